//! Sending a request's body to an origin while its response may already be coming.

use crate::message::{RequestBody, UploadFault};
use bytes::Bytes;
use h2::SendStream;
use seawall_http::h1::encode;
use seawall_http::{BodyLength, Fields};
use seawall_net::deadline::Timer;
use seawall_net::io::Io;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// A body on its way. Ends well also when the origin stops reading: its response says why.
pub(crate) type Upload<'b> = Pin<Box<dyn Future<Output = Result<(), UploadFault>> + 'b>>;

/// Runs `main` with the upload beside it.
///
/// # Errors
/// The client's body failed, which ends both.
pub(crate) async fn beside<T>(
    upload: &mut Option<Upload<'_>>,
    main: impl Future<Output = T>,
) -> Result<T, UploadFault> {
    if upload.is_none() {
        return Ok(main.await);
    }
    let mut main = std::pin::pin!(main);
    poll_fn(|cx| {
        if let Some(going) = upload
            && let Poll::Ready(ended) = going.as_mut().poll(cx)
        {
            *upload = None;
            ended?;
        }
        main.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// Sends a body over HTTP/1.
pub(crate) fn to_h1<'b, B: RequestBody>(
    body: &'b mut B,
    io: Rc<Io>,
    length: BodyLength,
    response_limit: Duration,
) -> Upload<'b> {
    Box::pin(async move {
        let mut out = Vec::new();
        let chunked = length == BodyLength::Chunked;
        loop {
            // Waiting for the client is not waiting for the origin. Once the response has begun, its own deadline rules.
            if !io.has_deadline_between() {
                io.timer().clear();
            }
            let piece = body.next().await.inspect_err(|_| io.spoil())?;
            if !io.has_deadline_between() {
                io.deadline(response_limit);
            }
            out.clear();
            let last = piece.is_none();
            let wrote = match piece {
                Some(piece) if chunked => {
                    encode::chunk_size(&mut out, piece.len());
                    io.write_parts([&out, &piece, encode::CHUNK_END]).await
                }
                Some(piece) => io.write_all(&piece).await,
                None if chunked => {
                    let trailers = body.take_trailers();
                    encode::last_chunk(&mut out, trailers.as_deref());
                    io.write_all(&out).await
                }
                None => return Ok(()),
            };
            if wrote.is_err() || io.flush().await.is_err() {
                // The origin does not read on. Its response says why, and is the last one on this connection.
                io.spoil();
                return Ok(());
            }
            if last {
                return Ok(());
            }
        }
    })
}

/// Sends a body over HTTP/2. `response` is the deadline of the response's head, which does not run while the client is
/// waited for.
pub(crate) fn to_h2<'b, B: RequestBody>(
    body: &'b mut B,
    mut stream: SendStream<Bytes>,
    response: Rc<Timer>,
    response_limit: Duration,
) -> Upload<'b> {
    Box::pin(async move {
        loop {
            response.clear();
            let piece = body.next().await;
            response.set(response_limit);
            match piece {
                Ok(Some(piece)) => {
                    if send_all(&mut stream, piece).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => break,
                Err(fault) => {
                    stream.send_reset(h2::Reason::CANCEL);
                    return Err(fault);
                }
            }
        }
        // The origin may have closed the stream; its response tells.
        let _ = end(&mut stream, body.take_trailers().as_deref());
        Ok(())
    })
}

/// Sends a piece as flow control allows.
pub(crate) async fn send_all(stream: &mut SendStream<Bytes>, mut piece: Bytes) -> Result<(), h2::Error> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        let room = match stream.capacity() {
            0 => match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(room) => room?,
                None => return Err(h2::Reason::CANCEL.into()),
            },
            room => room,
        };
        let part = piece.split_to(room.min(piece.len()));
        stream.send_data(part, false)?;
    }
    Ok(())
}

/// Ends a stream, with trailers if there are any.
pub(crate) fn end(stream: &mut SendStream<Bytes>, trailers: Option<&Fields>) -> Result<(), h2::Error> {
    match trailers {
        Some(trailers) => stream.send_trailers(crate::h2map::header_map(trailers, Default::default())),
        None => stream.send_data(Bytes::new(), true),
    }
}
