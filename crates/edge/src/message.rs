//! What an exchange needs of a client, whatever version of HTTP it speaks.

use bytes::Bytes;
use seawall_http::h1::encode::KnownSet;
use seawall_http::{BodyLength, Fields, Known};
use seawall_net::body::BodyFault;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// A request's body, read a piece at a time.
pub(crate) trait RequestBody {
    /// The next piece; `None` at the end. The first call tells a client that waits for it to go on (100).
    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault>;
    /// How long it is.
    fn length(&self) -> BodyLength;
    /// The trailer fields, after the end.
    fn take_trailers(&mut self) -> Option<Box<Fields>>;
}

/// Why a request's body could not be read.
#[derive(Debug)]
pub(crate) enum UploadFault {
    /// It is larger than allowed.
    TooLarge,
    /// See [`BodyFault`].
    Body(BodyFault),
    /// The HTTP/2 stream was reset or broke the protocol.
    Stream,
}

/// A response head on its way to a client.
#[derive(Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub status: u16,
    pub reason: &'a [u8],
    /// Fields to pass on, except those in `leave_out`.
    pub fields: &'a Fields,
    pub leave_out: KnownSet,
    /// Fields of our own, after the others.
    pub added: &'a Fields,
    pub length: BodyLength,
    /// Content-Length of a response that has none of its body sent (HEAD, 304).
    pub told_length: Option<u64>,
}

impl Reply<'_> {
    /// What every sink leaves out of `fields`, since it says these things itself.
    pub(crate) const ALWAYS_OUT: KnownSet =
        seawall_http::hop::HOP.with(Known::ContentLength).with(Known::ProxyAuthenticate);
}

/// Where a response goes.
pub(crate) trait Sink {
    /// Sends the head and the first piece of the body together; `last` if nothing follows.
    async fn head(&mut self, reply: &Reply<'_>, first: Bytes, last: bool) -> io::Result<()>;
    /// Sends a piece of the body.
    async fn data(&mut self, piece: Bytes) -> io::Result<()>;
    /// Ends the body.
    async fn end(&mut self, trailers: Option<&Fields>) -> io::Result<()>;
    /// Sends an interim response (103) if the client's version has them.
    async fn interim(&mut self, status: u16, fields: &Fields) -> io::Result<()>;
    /// Whether the head has gone.
    fn is_started(&self) -> bool;
    /// Bytes of heads and of body sent so far.
    fn sent(&self) -> (u64, u64);
    /// Asks that the connection not be used again after this response.
    fn close_after(&mut self);
    /// Ready once the client no longer wants an answer, as far as its version can say so.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}

/// Runs `main` to its end, or until the client no longer wants an answer (`None`).
pub(crate) async fn unless_gone<S: Sink, T>(sink: &mut S, main: impl Future<Output = T>) -> Option<T> {
    let mut main = std::pin::pin!(main);
    poll_fn(|cx| match main.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sink.poll_gone(cx).map(|()| None),
    })
    .await
}
