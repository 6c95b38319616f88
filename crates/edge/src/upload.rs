//! Sending a request's body to an origin while its response may already be coming.

use crate::message::{RequestBody, UploadFault};
use bytes::Bytes;
use h2::SendStream;
use seawall_http::h1::encode;
use seawall_http::{BodyLength, Fields};
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
            // Waiting for the client is not waiting for the origin.
            io.timer().clear();
            let piece = body.next().await?;
            io.deadline(response_limit);
            out.clear();
            let wrote = match piece {
                Some(piece) if chunked => {
                    encode::chunk_size(&mut out, piece.len());
                    io.write_parts([&out, &piece, encode::CHUNK_END]).await
                }
                Some(piece) => io.write_all(&piece).await,
                None if chunked => {
                    let trailers = body.take_trailers();
                    encode::last_chunk(&mut out, trailers.as_deref());
                    let ended = io.write_all(&out).await;
                    if ended.is_ok() { io.flush().await } else { ended }.ok();
                    return Ok(());
                }
                None => return Ok(()),
            };
            if wrote.is_err() || io.flush().await.is_err() {
                return Ok(());
            }
        }
    })
}

/// Sends a body over HTTP/2.
pub(crate) fn to_h2<'b, B: RequestBody>(body: &'b mut B, mut stream: SendStream<Bytes>) -> Upload<'b> {
    Box::pin(async move {
        while let Some(piece) = body.next().await? {
            if send_all(&mut stream, piece).await.is_err() {
                return Ok(());
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
