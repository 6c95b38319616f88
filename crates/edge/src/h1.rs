//! HTTP/1 from clients: one connection, its requests one after the other.

use crate::buffers::Buffers;
use crate::exchange::{self, After, Asked, Client};
use crate::message::{Reply, RequestBody, Sink, UploadFault};
use crate::worker::Worker;
use bytes::{Bytes, BytesMut};
use seawall_http::h1::{Limits, encode, parse_request};
use seawall_http::{BodyLength, Fault, Fields, Version};
use seawall_net::body::{BodyFault, BodyReader};
use seawall_net::io::Io;
use seawall_telemetry::names::ClientTimeout;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Body bytes copied behind a head to go out in one write; above, gathering two buffers is cheaper than copying.
const COPY_MAX: usize = 8 * 1024;
/// Bytes of an unread request body worth reading so that the connection can be used again.
const DRAIN_MAX: u64 = 64 * 1024;
/// How long a closing connection is read from so that our last response is not lost to a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
/// Bytes read and dropped while lingering.
const LINGER_BYTES: usize = 256 * 1024;

/// Serves a connection until it closes.
pub(crate) async fn serve(w: Rc<Worker>, io: Io, client: Rc<Client>) {
    let mut ahead = BytesMut::new();
    let mut requests = 0u32;
    let linger = loop {
        if ahead.is_empty() {
            let timeouts = &w.live().timeouts;
            io.deadline(if requests == 0 { timeouts.header } else { timeouts.idle });
            // A drain ends what waits for another request. A first one may be on its way already and is answered.
            io.timer().idle(requests > 0);
            if w.is_draining() && requests > 0 {
                break false;
            }
            let ready = io.readable().await;
            io.timer().idle(false);
            if let Err(e) = ready {
                if e.kind() == io::ErrorKind::TimedOut && !w.is_draining() {
                    w.metrics.client_timeouts.inc(match requests {
                        0 => ClientTimeout::Header,
                        _ => ClientTimeout::Idle,
                    });
                }
                break false;
            }
        }
        requests = requests.saturating_add(1);
        // Boxed while it runs, so that an idle connection is a small task.
        let after = Box::pin(request(&w, &io, &client, &mut ahead, requests)).await;
        match after {
            After::Again => {}
            After::Close { linger } => break linger,
        }
    };
    close(&w.buffers, &io, linger).await;
}

/// Reads one request, has it answered, and says what becomes of the connection.
async fn request(w: &Rc<Worker>, io: &Io, client: &Rc<Client>, ahead: &mut BytesMut, nth: u32) -> After {
    let mut buf = if ahead.is_empty() { w.buffers.read() } else { std::mem::take(ahead) };
    let mut scratch = w.scratch();
    // What a head leaves unsaid must not be what another client said before.
    scratch.clear();
    let live = w.live();
    let mut scanned = 0;
    let mut timed = false;
    let parsed = loop {
        if !buf.is_empty() {
            match parse_request(&buf, &mut scanned, &live.head_limits, &mut scratch.request) {
                Ok(Some(parsed)) => break Ok(parsed),
                Ok(None) => {}
                Err(fault) => break Err(HeadFault::Fault(fault)),
            }
        }
        if !timed && !buf.is_empty() {
            io.deadline(live.timeouts.header);
            timed = true;
        }
        buf.reserve(1024);
        match io.read(&mut buf).await {
            Ok(0) => break Err(HeadFault::Gone),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut && !buf.is_empty() => break Err(HeadFault::Slow),
            Err(_) => break Err(HeadFault::Gone),
        }
    };
    let mut sink = H1Sink::new(io, &w.buffers, live.timeouts.write);
    let after = match parsed {
        Ok(parsed) => {
            drop(buf.split_to(parsed.len));
            let limit = live.requests_per_connection.is_some_and(|max| nth >= max);
            sink.version = scratch.request.version;
            sink.keep = parsed.keep_alive && !limit && !w.is_draining();
            let mut body = H1Body {
                io,
                buf,
                reader: BodyReader::new(parsed.body),
                length: parsed.body,
                left: live.body_bytes.unwrap_or(u64::MAX),
                expects: parsed.expect_continue,
                answered: sink.started.clone(),
                touched: false,
                every: live.timeouts.body,
            };
            let asked = Asked { websocket: parsed.websocket, head_bytes: parsed.len as u64 };
            let tunnel = exchange::run(w, client, &mut scratch, asked, &mut body, &mut sink).await;
            if let Some(tunnel) = tunnel {
                let rest = std::mem::take(&mut body.buf);
                sink.give_back();
                w.give_scratch(scratch);
                tunnel.run(w, io, rest).await;
                return After::Close { linger: false };
            }
            let clean = body.drain(sink.keep).await;
            let keep = sink.keep && sink.is_complete() && clean;
            buf = body.buf;
            if keep { After::Again } else { After::Close { linger: !clean } }
        }
        Err(HeadFault::Gone) => After::Close { linger: false },
        Err(fault) => {
            sink.keep = false;
            exchange::refuse(w, client, &mut scratch, fault, buf.len() as u64, &mut sink).await;
            After::Close { linger: true }
        }
    };
    sink.give_back();
    w.give_scratch(scratch);
    if buf.is_empty() {
        w.buffers.give_read(buf);
    } else if matches!(after, After::Again) {
        *ahead = buf;
    }
    after
}

/// Why no request could be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadFault {
    /// The connection ended.
    Gone,
    /// The head did not arrive in time.
    Slow,
    /// It is malformed.
    Fault(Fault),
}

/// Ends a connection; reads on for a while where unread bytes would make the system reset it.
async fn close(buffers: &Buffers, io: &Io, linger: bool) {
    io.deadline(LINGER);
    if io.shutdown().await.is_err() || !linger {
        return;
    }
    let mut buf = buffers.read();
    let mut total = 0;
    while let Ok(n) = io.read(&mut buf).await {
        total += n;
        if n == 0 || total > LINGER_BYTES {
            break;
        }
        buf.clear();
    }
    buffers.give_read(buf);
}

/// The body of an HTTP/1 request.
struct H1Body<'a> {
    io: &'a Io,
    buf: BytesMut,
    reader: BodyReader,
    length: BodyLength,
    left: u64,
    expects: bool,
    answered: Rc<Cell<bool>>,
    touched: bool,
    every: Duration,
}

impl H1Body<'_> {
    /// Reads what is left if that is cheap and the connection is worth it. Says whether the body is behind us.
    async fn drain(&mut self, worth: bool) -> bool {
        if self.reader.is_done() {
            return true;
        }
        // A client that waits for 100 and got a final response will not send the body (RFC 9110 §10.1.1).
        let small = matches!(self.reader, BodyReader::Exact(n) if n <= DRAIN_MAX);
        if !worth || !small || self.expects {
            return false;
        }
        self.io.deadline(LINGER);
        while let Ok(Some(_)) = self.reader.next(self.io, &mut self.buf).await {}
        self.reader.is_done()
    }
}

impl RequestBody for H1Body<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault> {
        if !self.touched {
            self.touched = true;
            if matches!(self.length, BodyLength::Exact(n) if n > self.left) {
                return Err(UploadFault::TooLarge);
            }
            if std::mem::take(&mut self.expects) && !self.answered.get() && self.buf.is_empty() {
                let interim = self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                interim.map_err(|e| UploadFault::Body(BodyFault::Io(e)))?;
                self.io.flush().await.map_err(|e| UploadFault::Body(BodyFault::Io(e)))?;
            }
            self.io.deadline_between(self.every);
        }
        let piece = self.reader.next(self.io, &mut self.buf).await.map_err(UploadFault::Body)?;
        if let Some(piece) = &piece {
            self.left = self.left.checked_sub(piece.len() as u64).ok_or(UploadFault::TooLarge)?;
        }
        Ok(piece)
    }

    fn length(&self) -> BodyLength {
        self.length
    }

    fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.reader.take_trailers()
    }
}

/// How the body of a response is framed on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Nothing left to send.
    Done,
    Exact(u64),
    Chunked,
    UntilClose,
}

/// Writes responses on an HTTP/1 connection.
pub(crate) struct H1Sink<'a> {
    io: &'a Io,
    buffers: &'a Buffers,
    out: Vec<u8>,
    framing: Framing,
    pub(crate) version: Version,
    pub(crate) keep: bool,
    started: Rc<Cell<bool>>,
    head_bytes: u64,
    body_bytes: u64,
    write_timeout: Duration,
}

impl<'a> H1Sink<'a> {
    fn new(io: &'a Io, buffers: &'a Buffers, write_timeout: Duration) -> Self {
        H1Sink {
            io,
            buffers,
            out: buffers.write(),
            framing: Framing::Done,
            version: Version::H11,
            keep: true,
            started: Rc::default(),
            head_bytes: 0,
            body_bytes: 0,
            write_timeout,
        }
    }

    fn give_back(&mut self) {
        self.buffers.give_write(std::mem::take(&mut self.out));
    }

    /// Whether a whole response was sent, so that another may follow.
    fn is_complete(&self) -> bool {
        self.started.get() && self.framing == Framing::Done
    }

    fn compose(&mut self, reply: &Reply<'_>) {
        let out = &mut self.out;
        encode::status_line(out, reply.status, reply.reason);
        encode::fields(out, reply.fields, reply.leave_out.and(Reply::ALWAYS_OUT));
        encode::fields(out, reply.added, Default::default());
        self.framing = match reply.length {
            BodyLength::None => Framing::Done,
            BodyLength::Exact(n) => Framing::Exact(n),
            _ if self.version == Version::H10 => Framing::UntilClose,
            BodyLength::Chunked | BodyLength::UntilClose => Framing::Chunked,
        };
        match self.framing {
            Framing::Exact(n) => encode::field_number(out, b"Content-Length", n),
            Framing::Chunked => encode::field(out, b"Transfer-Encoding", b"chunked"),
            Framing::UntilClose => self.keep = false,
            Framing::Done => {
                if let Some(n) = reply.told_length {
                    encode::field_number(out, b"Content-Length", n);
                }
            }
        }
        if reply.status == 101 {
            // The tunnel says Connection and Upgrade itself, through `added`.
        } else if !self.keep {
            encode::field(out, b"Connection", b"close");
        } else if self.version == Version::H10 {
            encode::field(out, b"Connection", b"keep-alive");
        }
        encode::end(out);
        self.head_bytes += out.len() as u64;
    }

    async fn send(&mut self, piece: &[u8], last: bool) -> io::Result<()> {
        let mut tail: &[u8] = b"";
        match &mut self.framing {
            Framing::Done => debug_assert!(piece.is_empty()),
            Framing::UntilClose => {}
            Framing::Exact(left) => {
                // A source that gives more than it promised is cut: the rest would be the next response.
                let Some(rest) = left.checked_sub(piece.len() as u64) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                *left = rest;
                if rest == 0 {
                    self.framing = Framing::Done;
                } else if last {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            Framing::Chunked => {
                if !piece.is_empty() {
                    encode::chunk_size(&mut self.out, piece.len());
                }
                tail = match (piece.is_empty(), last) {
                    (false, false) => b"\r\n",
                    (false, true) => b"\r\n0\r\n\r\n",
                    (true, true) => b"0\r\n\r\n",
                    (true, false) => b"",
                };
                if last {
                    self.framing = Framing::Done;
                }
            }
        }
        if last && self.framing == Framing::UntilClose {
            self.framing = Framing::Done;
        }
        self.body_bytes += piece.len() as u64;
        self.io.deadline_between(self.write_timeout);
        if piece.len() <= COPY_MAX {
            self.out.extend_from_slice(piece);
            self.out.extend_from_slice(tail);
            self.io.write_all(&self.out).await?;
        } else {
            self.io.write_parts([&self.out, piece, tail]).await?;
        }
        self.out.clear();
        self.io.flush().await
    }
}

impl Sink for H1Sink<'_> {
    async fn head(&mut self, reply: &Reply<'_>, first: Bytes, last: bool) -> io::Result<()> {
        self.started.set(true);
        self.compose(reply);
        self.send(&first, last).await
    }

    async fn data(&mut self, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() { Ok(()) } else { self.send(&piece, false).await }
    }

    async fn end(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        match (self.framing, trailers) {
            (Framing::Done, _) => Ok(()),
            (Framing::Chunked, Some(trailers)) => {
                encode::last_chunk(&mut self.out, Some(trailers));
                self.framing = Framing::Done;
                self.io.write_all(&self.out).await?;
                self.out.clear();
                self.io.flush().await
            }
            _ => self.send(b"", true).await,
        }
    }

    async fn interim(&mut self, status: u16, fields: &Fields) -> io::Result<()> {
        if self.version != Version::H11 || self.started.get() {
            return Ok(());
        }
        encode::status_line(&mut self.out, status, b"");
        encode::fields(&mut self.out, fields, Reply::ALWAYS_OUT);
        encode::end(&mut self.out);
        self.head_bytes += self.out.len() as u64;
        self.io.deadline_between(self.write_timeout);
        self.io.write_all(&self.out).await?;
        self.out.clear();
        self.io.flush().await
    }

    fn is_started(&self) -> bool {
        self.started.get()
    }

    fn sent(&self) -> (u64, u64) {
        (self.head_bytes, self.body_bytes)
    }

    fn close_after(&mut self) {
        self.keep = false;
    }
}

/// The limits of heads that the configuration sets.
pub(crate) fn limits(limits: &seawall_model::Limits) -> Limits {
    Limits {
        head_bytes: usize::try_from(limits.header_bytes).unwrap_or(usize::MAX),
        target_bytes: usize::try_from(limits.uri_bytes).unwrap_or(usize::MAX),
        fields: limits.header_count as usize,
    }
}
