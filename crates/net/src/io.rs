//! One connection's bytes, plain or encrypted, with a deadline on them.

use crate::deadline::{Timer, Timers};
use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// A stream over a connection. Methods take `&self` so that one task can read and write at once; nothing is
/// borrowed while waiting.
#[derive(Debug)]
pub struct Io {
    stream: RefCell<Stream>,
    timer: Timer,
    /// Set: every read or write that moves bytes puts the deadline that far ahead. Zero: left alone.
    every: Cell<Duration>,
    /// Set: something was left unsaid, so that whatever is written next would be taken for the rest of it.
    spoiled: Cell<bool>,
}

/// What carries the bytes.
#[derive(Debug)]
pub enum Stream {
    /// Cleartext.
    Tcp(TcpStream),
    /// TLS, we are the server.
    TlsServer(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS, we are the client.
    TlsClient(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

macro_rules! with {
    ($self:ident, $s:ident => $body:expr) => {
        match &mut *$self.stream.borrow_mut() {
            Stream::Tcp($s) => $body,
            Stream::TlsServer($s) => $body,
            Stream::TlsClient($s) => $body,
        }
    };
}

impl Io {
    /// Wraps a stream; no deadline is set.
    #[must_use]
    pub fn new(stream: Stream, timers: &Rc<Timers>) -> Io {
        Io {
            stream: RefCell::new(stream),
            timer: timers.timer(),
            every: Cell::new(Duration::ZERO),
            spoiled: Cell::new(false),
        }
    }

    /// Sets the deadline of whatever is waited for next. When it passes, reads and writes fail with `TimedOut`.
    #[inline]
    pub fn deadline(&self, after: Duration) {
        self.every.set(Duration::ZERO);
        self.timer.set(after);
    }

    /// Sets a deadline that every byte moved puts that far ahead again.
    #[inline]
    pub fn deadline_between(&self, every: Duration) {
        self.every.set(every);
        self.timer.set(every);
    }

    /// Whether the deadline moves with the bytes ([`Io::deadline_between`]).
    #[must_use]
    pub fn has_deadline_between(&self) -> bool {
        !self.every.get().is_zero()
    }

    /// Says that a message was broken off: nothing else may be sent here.
    pub fn spoil(&self) {
        self.spoiled.set(true);
    }

    /// The connection's deadline, to be fired from elsewhere (draining).
    #[must_use]
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// The stream itself, to be wrapped again.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        self.stream.into_inner()
    }

    /// Waits until reading would not, holding no buffer.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes first.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let ready = match &*self.stream.borrow() {
                Stream::Tcp(s) => s.poll_read_ready(cx),
                Stream::TlsServer(s) if !s.get_ref().1.wants_read() => Poll::Ready(Ok(())),
                Stream::TlsServer(s) => s.get_ref().0.poll_read_ready(cx),
                Stream::TlsClient(s) if !s.get_ref().1.wants_read() => Poll::Ready(Ok(())),
                Stream::TlsClient(s) => s.get_ref().0.poll_read_ready(cx),
            };
            self.or_deadline(cx, ready)
        })
        .await
    }

    /// Whether bytes or an end have come while nobody read, or it was [spoiled](Io::spoil): an idle connection of
    /// which that is so is not to be used again.
    #[must_use]
    pub fn is_stirring(&self) -> bool {
        if self.spoiled.get() {
            return true;
        }
        let cx = &mut Context::from_waker(Waker::noop());
        let mut byte = [0u8; 1];
        let mut buf = ReadBuf::new(&mut byte);
        // A stale readiness costs one system call here, instead of a request on a dead connection.
        with!(self, s => Pin::new(s).poll_read(cx, &mut buf)).is_ready()
    }

    /// Reads at least a byte into the spare room of `buf`, or 0 at the end of the stream.
    ///
    /// # Errors
    /// Those of the stream, and `TimedOut`.
    pub async fn read(&self, buf: &mut BytesMut) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_into(cx, buf)).await
    }

    /// As [`Io::read`], for use within a poll.
    pub fn poll_read_into(&self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        let ready = with!(self, s => poll_read_buf(Pin::new(s), cx, buf));
        self.or_deadline(cx, ready)
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// Those of the stream, and `TimedOut`.
    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let n = poll_fn(|cx| {
                let ready = with!(self, s => Pin::new(s).poll_write(cx, data));
                self.or_deadline(cx, ready)
            })
            .await?;
            data = moved(data, n)?;
        }
        Ok(())
    }

    /// Writes all of the parts in order, in one system call where the stream takes them.
    ///
    /// # Errors
    /// Those of the stream, and `TimedOut`.
    pub async fn write_parts<const N: usize>(&self, mut parts: [&[u8]; N]) -> io::Result<()> {
        let mut left: usize = parts.iter().map(|p| p.len()).sum();
        while left > 0 {
            let n = poll_fn(|cx| {
                let slices = parts.map(IoSlice::new);
                let ready = with!(self, s => Pin::new(s).poll_write_vectored(cx, &slices));
                self.or_deadline(cx, ready)
            })
            .await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            left -= n;
            let mut gone = n;
            for part in &mut parts {
                let of_part = gone.min(part.len());
                *part = part.get(of_part..).unwrap_or(&[]);
                gone -= of_part;
            }
        }
        Ok(())
    }

    /// Hands everything written to the system. Only TLS holds anything back.
    ///
    /// # Errors
    /// Those of the stream, and `TimedOut`.
    pub async fn flush(&self) -> io::Result<()> {
        if matches!(&*self.stream.borrow(), Stream::Tcp(_)) {
            return Ok(());
        }
        poll_fn(|cx| {
            let ready = with!(self, s => Pin::new(s).poll_flush(cx));
            self.or_deadline(cx, ready)
        })
        .await
    }

    /// Ends our direction: close_notify for TLS, then FIN.
    ///
    /// # Errors
    /// Those of the stream, and `TimedOut`.
    pub async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let ready = with!(self, s => Pin::new(s).poll_shutdown(cx));
            self.or_deadline(cx, ready)
        })
        .await
    }

    /// The socket below, for its options and addresses.
    pub fn with_tcp<R>(&self, look: impl FnOnce(&TcpStream) -> R) -> R {
        match &*self.stream.borrow() {
            Stream::Tcp(s) => look(s),
            Stream::TlsServer(s) => look(s.get_ref().0),
            Stream::TlsClient(s) => look(s.get_ref().0),
        }
    }

    /// Whether the bytes go over the socket as they are.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(&*self.stream.borrow(), Stream::Tcp(_))
    }

    #[inline]
    fn or_deadline<T>(&self, cx: &Context<'_>, ready: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if ready.is_ready() {
            if !self.every.get().is_zero() {
                self.timer.set(self.every.get());
            }
            return ready;
        }
        if self.timer.passed() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.timer.wake_on_pass(cx);
        Poll::Pending
    }
}

fn moved(data: &[u8], n: usize) -> io::Result<&[u8]> {
    match n {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(data.get(n..).unwrap_or(&[])),
    }
}

/// The shapes `AsyncRead` and `AsyncWrite` want, for streams that others hold too.
impl Io {
    /// See [`AsyncRead::poll_read`].
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let ready = with!(self, s => Pin::new(s).poll_read(cx, buf));
        self.or_deadline(cx, ready)
    }

    /// See [`AsyncWrite::poll_write`].
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let ready = with!(self, s => Pin::new(s).poll_write(cx, data));
        self.or_deadline(cx, ready)
    }

    /// See [`AsyncWrite::poll_write_vectored`].
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let ready = with!(self, s => Pin::new(s).poll_write_vectored(cx, slices));
        self.or_deadline(cx, ready)
    }

    /// See [`AsyncWrite::poll_flush`].
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = with!(self, s => Pin::new(s).poll_flush(cx));
        self.or_deadline(cx, ready)
    }

    /// See [`AsyncWrite::poll_shutdown`].
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = with!(self, s => Pin::new(s).poll_shutdown(cx));
        self.or_deadline(cx, ready)
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Io::poll_read(&self, cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Io::poll_write(&self, cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Io::poll_write_vectored(&self, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Io::poll_flush(&self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Io::poll_shutdown(&self, cx)
    }
}
