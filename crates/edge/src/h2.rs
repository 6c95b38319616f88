//! HTTP/2 from clients: one connection, its streams side by side, on the `h2` crate.

use crate::exchange::{self, Asked, Client};
use crate::h1::HeadFault;
use crate::h2io::{Shared, SharedIo};
use crate::h2map;
use crate::message::{Reply, RequestBody, Sink, UploadFault};
use crate::upload;
use crate::worker::Worker;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use seawall_http::{BodyLength, Fields, Known, framing};
use seawall_net::deadline::Timer;
use seawall_net::io::Io;
use seawall_telemetry::names::{ClientTimeout, Refusal};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Flow-control window of a stream, in bytes: a fast upload is not held up by a round trip per 64 KiB.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Flow-control window of a connection, in bytes: what one client can make us hold.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams a client may reset before we have answered them (CVE-2023-44487); one more closes the connection.
const PENDING_RESETS_MAX: usize = 32;
/// Streams we reset for the client's errors; one more closes the connection.
const ERROR_RESETS_MAX: usize = 128;
/// Bytes of response data buffered for a stream.
const SEND_BUFFER: usize = 256 * 1024;
/// How long after GOAWAY a connection without streams is left to end by itself.
const DRAIN_STEP: Duration = Duration::from_secs(1);

/// Streams at work for one connection over those it may have open: those it has reset are not all ended yet.
const WORKING_FACTOR: usize = 2;

/// Serves a connection until it closes.
pub(crate) async fn serve(w: Rc<Worker>, io: Io, client: Rc<Client>) {
    let live = w.live();
    io.deadline(live.timeouts.header);
    let shared = Shared::new(io, &w);
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(live.h2_streams)
        .max_header_list_size(u32::try_from(live.head_limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .max_concurrent_reset_streams(PENDING_RESETS_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol()
        .handshake::<_, Bytes>(SharedIo(shared.clone()));
    let Ok(mut connection) = handshake.await else { return };
    let working_max = live.h2_streams as usize * WORKING_FACTOR;
    drop(live);
    let streams = Rc::new(Streams::default());
    let timer = shared.io.timer();
    let mut leaving = false;
    loop {
        if streams.running.get() == 0 {
            shared.io.deadline(if leaving { DRAIN_STEP } else { w.live().timeouts.idle });
        } else {
            timer.clear();
        }
        // A drain fires this deadline and so wakes the task, with streams at work too.
        timer.idle(!leaving);
        let before = streams.running.get();
        let next = poll_fn(|cx| {
            if !leaving && w.is_draining() {
                return Poll::Ready(Turn::Leave);
            }
            if before == 0 && timer.passed() {
                return Poll::Ready(if leaving { Turn::Over } else { Turn::Leave });
            }
            // Streams that are ready together are answered together: what they write leaves when none is left.
            shared.hold(true);
            let accepted = connection.poll_accept(cx);
            shared.hold(false);
            if accepted.is_pending() && matches!(shared.poll_drain(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Turn::Over);
            }
            match accepted {
                _ if shared.flooded.get() => Poll::Ready(Turn::Abuse),
                Poll::Ready(Some(Ok(_))) if before >= working_max => Poll::Ready(Turn::Abuse),
                Poll::Ready(Some(Ok((request, respond)))) => Poll::Ready(Turn::Stream(request, respond)),
                Poll::Ready(Some(Err(e))) if e.reason() == Some(Reason::ENHANCE_YOUR_CALM) => {
                    w.metrics.refusals.inc(Refusal::Http2Abuse);
                    Poll::Ready(Turn::Over)
                }
                Poll::Ready(_) => Poll::Ready(Turn::Over),
                Poll::Pending if streams.running.get() != before => Poll::Ready(Turn::Count),
                Poll::Pending => {
                    streams.wake_when_none(cx);
                    Poll::Pending
                }
            }
        });
        match next.await {
            Turn::Count => {}
            Turn::Leave => {
                if !w.is_draining() {
                    w.metrics.client_timeouts.inc(ClientTimeout::Idle);
                }
                leaving = true;
                connection.graceful_shutdown();
            }
            Turn::Stream(request, respond) => {
                streams.running.set(streams.running.get() + 1);
                start(&w, &client, request, respond, Running(streams.clone()));
            }
            Turn::Abuse => {
                w.metrics.refusals.inc(Refusal::Http2Abuse);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                shared.io.deadline(DRAIN_STEP);
                let told = poll_fn(|cx| match timer.passed() {
                    true => Poll::Ready(()),
                    false => connection.poll_closed(cx).map(drop),
                });
                return told.await;
            }
            Turn::Over => return,
        }
    }
}

#[allow(clippy::large_enum_variant)] // lives for one turn of the loop
enum Turn {
    Stream(http::Request<RecvStream>, SendResponse<Bytes>),
    /// The edge drains, or nothing has been asked for long.
    Leave,
    /// The client floods us.
    Abuse,
    /// The last stream has ended.
    Count,
    Over,
}

/// The streams of a connection that are being answered.
#[derive(Default)]
struct Streams {
    running: Cell<usize>,
    /// Of the connection's task, which sets its idle deadline when the last stream has ended.
    waker: RefCell<Option<Waker>>,
}

impl Streams {
    fn wake_when_none(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// Counts a stream while it runs.
struct Running(Rc<Streams>);

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.0.running.get().saturating_sub(1);
        self.0.running.set(left);
        if left == 0
            && let Some(waker) = &*self.0.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

/// Answers one stream. What can be answered without waiting is, without a task of its own.
fn start(
    w: &Rc<Worker>,
    client: &Rc<Client>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    running: Running,
) {
    let mut answer = Box::pin(stream(w.clone(), client.clone(), request, respond, running));
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    if answer.as_mut().poll(cx).is_pending() {
        tokio::task::spawn_local(answer);
    }
}

async fn stream(
    w: Rc<Worker>,
    client: Rc<Client>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    running: Running,
) {
    let (parts, recv) = request.into_parts();
    let mut scratch = w.scratch();
    scratch.clear();
    let live = w.live();
    let taken = h2map::take_request(&parts, &mut scratch.request);
    let bytes = scratch.request.fields.heap_size().min(4096) as u64;
    let protocol = parts.extensions.get::<h2::ext::Protocol>().map(|p| p.as_str().to_owned());
    let mut sink = H2Sink::new(&w, respond, live.timeouts.write);
    let fault = match (taken, &protocol) {
        (Err(fault), _) => Some(fault),
        (Ok(()), Some(protocol)) if protocol != "websocket" => Some(seawall_http::Fault::Method),
        (Ok(()), None) if scratch.request.method == seawall_http::Method::Connect => {
            Some(seawall_http::Fault::Method)
        }
        _ => None,
    };
    if let Some(fault) = fault {
        exchange::refuse(&w, &client, &mut scratch, HeadFault::Fault(fault), bytes, &mut sink).await;
        w.give_scratch(scratch);
        return;
    }
    let length = length_of(&scratch.request.fields, &recv, protocol.is_some());
    let left = live.body_bytes.unwrap_or(u64::MAX);
    let mut body = H2Body {
        recv,
        length,
        left,
        touched: false,
        done: length == BodyLength::None,
        trailers: None,
        timer: None,
        every: live.timeouts.body,
        w: &w,
    };
    if length != BodyLength::None && scratch.request.fields.has(Known::Expect) {
        // Told at once: over HTTP/2 a body that turns out unwanted costs a window at most (RFC 9110 §10.1.1).
        let _ = sink.interim(100, &Fields::new()).await;
    }
    let asked = Asked { websocket: protocol.is_some(), head_bytes: bytes };
    let tunnel = exchange::run(&w, &client, &mut scratch, asked, &mut body, &mut sink).await;
    w.give_scratch(scratch);
    match (tunnel, sink.stream.take()) {
        (Some(tunnel), Some(send)) => tunnel.run_h2(&w, body.recv, send).await,
        (_, unfinished) => {
            if let Some(mut send) = unfinished.filter(|_| !sink.ended) {
                send.send_reset(Reason::INTERNAL_ERROR);
            } else if !sink.started {
                sink.respond.send_reset(Reason::CANCEL);
            }
        }
    }
    drop(running);
}

/// The length of a body: what the fields say, or a stream that ends by itself.
fn length_of(fields: &Fields, recv: &RecvStream, tunnel: bool) -> BodyLength {
    match framing::length(fields, true) {
        _ if tunnel || recv.is_end_stream() => BodyLength::None,
        Ok(Some(n)) => BodyLength::Exact(n),
        _ => BodyLength::Chunked,
    }
}

/// The body of an HTTP/2 request. The `h2` crate checks it against Content-Length.
struct H2Body<'a> {
    recv: RecvStream,
    length: BodyLength,
    left: u64,
    touched: bool,
    done: bool,
    trailers: Option<Box<Fields>>,
    timer: Option<Timer>,
    every: Duration,
    w: &'a Rc<Worker>,
}

impl RequestBody for H2Body<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault> {
        self.touched = true;
        if matches!(self.length, BodyLength::Exact(n) if n > self.left) {
            return Err(UploadFault::TooLarge);
        }
        let timer = self.timer.get_or_insert_with(|| self.w.timers.timer());
        loop {
            let Some(data) = timer.limit(self.every, self.recv.data()).await else {
                return Err(UploadFault::Body(seawall_net::body::BodyFault::Io(
                    io::ErrorKind::TimedOut.into(),
                )));
            };
            match data {
                // Empty DATA frames carry nothing, and as a chunk would end the body (RFC 9112 §7.1).
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    let _ = self.recv.flow_control().release_capacity(piece.len());
                    self.left = self.left.checked_sub(piece.len() as u64).ok_or(UploadFault::TooLarge)?;
                    return Ok(Some(piece));
                }
                Some(Err(_)) => return Err(UploadFault::Stream),
                None => {
                    if let Some(map) = self.recv.trailers().await.map_err(|_| UploadFault::Stream)? {
                        let mut fields = Fields::new();
                        h2map::copy(&map, &mut fields);
                        fields.retain(|known, _, _| seawall_http::h1::chunked::may_trail(known));
                        self.trailers = (!fields.is_empty()).then(|| Box::new(fields));
                    }
                    self.done = true;
                    return Ok(None);
                }
            }
        }
    }

    fn length(&self) -> BodyLength {
        self.length
    }

    fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }
}

/// Writes a response on a stream.
struct H2Sink<'a> {
    w: &'a Rc<Worker>,
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    started: bool,
    ended: bool,
    head_bytes: u64,
    body_bytes: u64,
    write_timeout: Duration,
    timer: Option<Timer>,
}

impl<'a> H2Sink<'a> {
    fn new(w: &'a Rc<Worker>, respond: SendResponse<Bytes>, write_timeout: Duration) -> Self {
        H2Sink {
            w,
            respond,
            stream: None,
            started: false,
            ended: false,
            head_bytes: 0,
            body_bytes: 0,
            write_timeout,
            timer: None,
        }
    }

    async fn send(&mut self, mut piece: Bytes, last: bool) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        self.body_bytes += piece.len() as u64;
        // What fits in the buffer goes at once: small responses never wait.
        if last && piece.len() <= stream.capacity().max(SEND_BUFFER / 4) {
            self.ended = true;
            return stream.send_data(piece, true).map_err(broken);
        }
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let room = match stream.capacity() {
                0 => {
                    let timer = self.timer.get_or_insert_with(|| self.w.timers.timer());
                    match timer.limit(self.write_timeout, poll_fn(|cx| stream.poll_capacity(cx))).await {
                        Some(Some(room)) => room.map_err(broken)?,
                        Some(None) => return Err(io::ErrorKind::BrokenPipe.into()),
                        None => {
                            stream.send_reset(Reason::CANCEL);
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                }
                room => room,
            };
            let part = piece.split_to(room.min(piece.len()));
            let end = last && piece.is_empty();
            stream.send_data(part, end).map_err(broken)?;
            self.ended = end;
        }
        if last && !self.ended {
            self.ended = true;
            stream.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Ok(())
    }
}

impl Sink for H2Sink<'_> {
    async fn head(&mut self, reply: &Reply<'_>, first: Bytes, last: bool) -> io::Result<()> {
        let mut head = http::Response::new(());
        *head.status_mut() =
            http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        let map = head.headers_mut();
        *map = h2map::header_map(reply.fields, reply.leave_out.and(Reply::ALWAYS_OUT));
        h2map::extend(map, reply.added, Default::default());
        let length = match reply.length {
            BodyLength::Exact(n) => Some(n),
            _ => reply.told_length,
        };
        if let Some(n) = length {
            map.insert(http::header::CONTENT_LENGTH, n.into());
        }
        // About what HPACK would make of it without its table.
        self.head_bytes += map.iter().map(|(n, v)| n.as_str().len() + v.len() + 2).sum::<usize>() as u64;
        self.started = true;
        let bodiless = last && first.is_empty();
        self.stream = Some(self.respond.send_response(head, bodiless).map_err(broken)?);
        self.ended = bodiless;
        if bodiless || (first.is_empty() && !last) { Ok(()) } else { self.send(first, last).await }
    }

    async fn data(&mut self, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() { Ok(()) } else { self.send(piece, false).await }
    }

    async fn end(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        self.ended = true;
        upload::end(stream, trailers).map_err(broken)
    }

    async fn interim(&mut self, status: u16, fields: &Fields) -> io::Result<()> {
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::EARLY_HINTS);
        *head.headers_mut() = h2map::header_map(fields, Reply::ALWAYS_OUT);
        self.respond.send_informational(head).map_err(broken)
    }

    fn is_started(&self) -> bool {
        self.started
    }

    fn sent(&self) -> (u64, u64) {
        (self.head_bytes, self.body_bytes)
    }

    fn close_after(&mut self) {}

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(cx).map(drop),
            None => self.respond.poll_reset(cx).map(drop),
        }
    }
}

fn broken(e: h2::Error) -> io::Error {
    io::Error::other(e)
}
