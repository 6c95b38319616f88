//! The demo site on a socket, over hyper.

use super::{Ask, Body, Receipt, Reply, UPLOAD_MAX_BYTES, respond, too_large, uploaded};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::{HeaderMap, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, handshake::derive_accept_key};

/// Most connections at a time: a demonstration, not a server; more wait in the backlog.
const CONNECTIONS_MAX: usize = 512;
/// How long a request's head may take to arrive, in seconds.
const HEAD_TIMEOUT_SECS: u64 = 10;
/// How long requests in flight may go on after the end was called for, in seconds.
const DRAIN_SECS: u64 = 2;
/// Longest WebSocket message, in bytes.
const MESSAGE_MAX_BYTES: usize = 64 << 10;
/// How long a WebSocket may be silent, in seconds.
const SOCKET_IDLE_SECS: u64 = 300;
/// Size of one piece of `/large`, in bytes.
const PIECE_BYTES: u64 = 64 << 10;

/// Serves the demo site on a bound listener until `shutdown` completes, then lets requests in flight end for two seconds.
///
/// Runs in the caller's tokio runtime, with time and I/O enabled.
///
/// # Errors
/// When the listener cannot be used. Faults of single connections end only those.
pub async fn serve(
    listener: std::net::TcpListener,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let places = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (end, ending) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = async {
                // The semaphore is never closed, so a place is all that can come back.
                let place = places.clone().acquire_owned().await.ok();
                (place, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (place, Ok((stream, _))) => {
                let ending = ending.clone();
                tokio::spawn(async move {
                    connection(stream, ending).await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: wait for some to come free.
            (_, Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    drop(ending);
    let _ = end.send(());
    let _ = tokio::time::timeout(Duration::from_secs(DRAIN_SECS), end.closed()).await;
    Ok(())
}

async fn connection(stream: TcpStream, mut ending: watch::Receiver<()>) {
    // Small answers must not wait for more.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(|request| async { Ok::<_, Infallible>(handle(request).await) });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(HEAD_TIMEOUT_SECS))
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = ending.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(Duration::from_secs(DRAIN_SECS), connection).await;
        }
    }
}

async fn handle(mut request: Request<Incoming>) -> Response<Content> {
    let (method, uri, fields) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let ask = Ask {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or(""),
        fields: fields
            .iter()
            .map(|(name, value)| (name.as_str().into(), String::from_utf8_lossy(value.as_bytes())))
            .collect(),
        now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64),
    };
    let reply = respond(&ask);
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    match reply.body {
        Body::Upload => match receive(request.into_body()).await {
            Some(receipt) => response(uploaded(&ask, &receipt)),
            None => response(too_large(&ask)),
        },
        Body::WebSocket => upgrade(&mut request, &fields),
        _ => response(reply),
    }
}

/// Reads a body to its end, keeping its digest only; `None` when it is too long or broke off.
async fn receive(mut body: Incoming) -> Option<Receipt> {
    let start = Instant::now();
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes += data.len() as u64;
            if bytes > UPLOAD_MAX_BYTES {
                return None;
            }
            digest.update(&data);
        }
    }
    let sha256 = digest.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
    Some(Receipt { bytes, sha256, took_ms: start.elapsed().as_millis() as u64 })
}

fn upgrade(request: &mut Request<Incoming>, fields: &HeaderMap) -> Response<Content> {
    let key = fields.get(header::SEC_WEBSOCKET_KEY).map_or(&b""[..], |v| v.as_bytes());
    let accept = derive_accept_key(key);
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Ok(stream) = upgraded.await {
            echo(TokioIo::new(stream)).await;
        }
    });
    let mut response = Response::new(Content::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let head = response.headers_mut();
    head.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    head.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    if let Ok(value) = accept.try_into() {
        head.insert(header::SEC_WEBSOCKET_ACCEPT, value);
    }
    response
}

/// Sends every message back until the other side closes or falls silent. The library answers pings and closings.
async fn echo(stream: TokioIo<hyper::upgrade::Upgraded>) {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
    let idle = Duration::from_secs(SOCKET_IDLE_SECS);
    while let Ok(Some(Ok(message))) = tokio::time::timeout(idle, socket.next()).await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            // Writes out the pong, or the answer to a closing, that the library has queued.
            _ => socket.flush().await,
        };
        if sent.is_err() {
            return;
        }
    }
    let _ = socket.close(None).await;
}

fn response(reply: Reply) -> Response<Content> {
    let content = match reply.body {
        Body::Whole(bytes) => Content::Whole(match bytes {
            std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
        }),
        Body::Large(bytes) => Content::Large(bytes),
        Body::Events => Content::ticks(u64::MAX, true),
        Body::Drip(lines) => Content::ticks(lines, false),
        Body::Upload | Body::WebSocket => Content::empty(),
    };
    let mut response = Response::new(content);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.fields {
        if let Ok(value) = value.as_ref().try_into() {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A body that makes itself as it is read.
enum Content {
    Whole(Bytes),
    Large(u64),
    Ticks { clock: Interval, sent: u64, last: u64, events: bool },
}

impl Content {
    fn empty() -> Content {
        Content::Whole(Bytes::new())
    }

    fn ticks(last: u64, events: bool) -> Content {
        let mut clock = interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Content::Ticks { clock, sent: 0, last, events }
    }
}

impl hyper::body::Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        /// Every byte of `/large`: text, so that it can be told from noise.
        static PIECE: [u8; PIECE_BYTES as usize] = [b'~'; PIECE_BYTES as usize];
        let data = match &mut *self {
            Content::Whole(bytes) => std::mem::take(bytes),
            Content::Large(left) => {
                let take = (*left).min(PIECE_BYTES);
                *left -= take;
                Bytes::from_static(PIECE.get(..take as usize).unwrap_or(&[]))
            }
            Content::Ticks { sent, last, .. } if sent == last => Bytes::new(),
            Content::Ticks { clock, sent, events, .. } => {
                std::task::ready!(clock.poll_tick(cx));
                *sent += 1;
                tick(*sent, *events)
            }
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Large(left) => *left == 0,
            Content::Ticks { sent, last, .. } => sent == last,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Large(left) => SizeHint::with_exact(*left),
            Content::Ticks { .. } => SizeHint::default(),
        }
    }
}

fn tick(number: u64, events: bool) -> Bytes {
    let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    if events {
        format!("id: {number}\nevent: tick\ndata: {{\"number\":{number},\"unix_ms\":{unix_ms}}}\n\n").into()
    } else {
        format!("line {number} left the origin at {unix_ms}\n").into()
    }
}
