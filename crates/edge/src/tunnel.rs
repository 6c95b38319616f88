//! WebSockets: the handshake with the origin, then bytes both ways until either side ends (RFC 6455, RFC 8441).

use crate::exchange::{Exchange, Facts, Fail};
use crate::fetch;
use crate::live::{Origin, Pool};
use crate::message::{Reply, Sink};
use crate::respond;
use crate::source::Source;
use crate::upload;
use crate::upstream::{Connection, H1Origin, OriginFault};
use crate::worker::Worker;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use seawall_balance::{Outcome, Ticket};
use seawall_http::{BodyLength, Fields, Known, Method, RequestHead, ResponseHead, Version, framing};
use seawall_net::body::{BodyReader, READ_SMALL};
use seawall_net::io::Io;
use std::rc::Rc;
use std::time::Duration;

/// A tunnel in which nothing moves for this long is closed. Longer than the pings of any WebSocket library.
const QUIET: Duration = Duration::from_secs(600);
/// How long the other side has to end a tunnel that one side has ended.
const CLOSING: Duration = Duration::from_secs(30);
/// Appended to the key of a handshake before hashing (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A connection to an origin that has switched to another protocol.
pub(crate) struct Tunnel {
    connection: Box<H1Origin>,
    ticket: Ticket,
}

/// What an origin said to a handshake.
pub(crate) struct Opened {
    connection: Box<H1Origin>,
    body: BodyReader,
}

/// Connects to an origin and carries out the handshake up to its answer. A new connection each time: what has carried
/// a tunnel carries nothing else.
pub(crate) async fn open(
    x: &Exchange<'_>,
    pool: &Pool,
    origin: &Origin,
    member: usize,
    request: &RequestHead,
    response: &mut ResponseHead,
    added: &mut Fields,
    facts: &mut Facts,
) -> Result<Opened, OriginFault> {
    let timeouts = &pool.doc.timeouts;
    let limit = x.route.doc.timeout_response.unwrap_or(timeouts.response);
    let opened = x.w.upstreams.connect(x.w, origin, &pool.balance, member, timeouts, true, false).await?;
    let (Connection::H1(mut connection), times) = opened else {
        // HTTP/1 was all that was offered.
        return Err(OriginFault::WebSocket);
    };
    if let Some(o) = facts.origin.as_mut() {
        o.connect = times;
        o.peer = Some(connection.peer);
    }
    added.clear();
    fetch::add_fields(x, request, &request.fields, added);
    let key = match request.fields.get(Known::SecWebSocketKey) {
        Some(key) if request.version != Version::H2 => key.to_vec(),
        _ => {
            let key =
                BASE64_STANDARD.encode([x.w.random().to_le_bytes(), x.w.random().to_le_bytes()].concat());
            added.add(Known::SecWebSocketKey, key.as_bytes());
            key.into_bytes()
        }
    };
    let mut out = x.w.buffers.write();
    let get = RequestHead { method_text: b"GET".to_vec(), ..request.clone() };
    fetch::compose(&mut out, x, origin, &get, &get.fields, added, BodyLength::None);
    connection.io.deadline(limit);
    let sent_ns = x.w.now_ns();
    let wrote = connection.io.write_all(&out).await;
    x.w.buffers.give_write(out);
    wrote.map_err(|e| fetch::broken(e, limit))?;
    connection.io.flush().await.map_err(|e| fetch::broken(e, limit))?;
    let parsed = loop {
        let parsed = fetch::read_any_head(x, &mut connection, Method::Get, response, limit).await?;
        if response.status == 101 || response.status >= 200 {
            break parsed;
        }
    };
    if let Some(o) = facts.origin.as_mut() {
        o.status = response.status;
        o.first_byte_us = Some((x.w.now_ns() - sent_ns) / 1000);
        o.duration_us = Some((x.w.now_ns() - o.begun_ns) / 1000);
    }
    if response.status == 101 {
        let accepts = response.fields.get(Known::SecWebSocketAccept) == Some(accept_of(&key).as_bytes());
        let upgrades =
            response.fields.get(Known::Upgrade).is_some_and(|u| u.eq_ignore_ascii_case(b"websocket"));
        if !accepts || !upgrades {
            return Err(OriginFault::WebSocket);
        }
    }
    Ok(Opened { connection, body: BodyReader::new(parsed.body) })
}

/// Sends the origin's answer on: 101 (200 over HTTP/2) and a tunnel, or a refusal like any response.
pub(crate) async fn accept<S: Sink>(
    x: &Exchange<'_>,
    request: &RequestHead,
    response: &mut ResponseHead,
    added: &mut Fields,
    opened: Opened,
    ticket: Ticket,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<Option<Tunnel>, Fail> {
    let Opened { connection, body } = opened;
    let switched = response.status == 101;
    respond::edit(x, response, facts)?;
    added.clear();
    respond::basic_fields(x.w, x.ray, &response.fields, added);
    let mut leave_out = respond::OURS;
    let mut status = response.status;
    if switched && request.version == Version::H2 {
        status = 200;
        leave_out = leave_out.with(Known::SecWebSocketAccept);
    } else if switched {
        added.add(Known::Connection, b"Upgrade");
        added.add(Known::Upgrade, b"websocket");
    }
    let reply = Reply {
        status,
        reason: &response.reason,
        fields: &response.fields,
        leave_out,
        added,
        length: if switched || body.is_done() { BodyLength::None } else { BodyLength::UntilClose },
        told_length: (!switched && body.is_done() && !framing::bodiless(Method::Get, status)).then_some(0),
    };
    facts.status = status;
    facts.first_byte_ns = Some(x.w.now_ns());
    if switched {
        // Over HTTP/2 the stream stays open: the tunnel is its body.
        sink.head(&reply, Bytes::new(), request.version != Version::H2).await?;
        return Ok(Some(Tunnel { connection, ticket }));
    }
    sink.close_after();
    sink.head(&reply, Bytes::new(), body.is_done()).await?;
    let mut source = Source::h1(connection, body, false);
    while let Some(piece) = source.next().await? {
        sink.data(piece).await?;
    }
    sink.end(None).await?;
    x.w.process.note(ticket.finish(x.w.pool_ms(), fetch::outcome_of(response.status)));
    Ok(None)
}

impl Tunnel {
    /// Carries bytes both ways over an HTTP/1 connection until both sides have ended; `ahead` was read already.
    pub(crate) async fn run(self, w: &Rc<Worker>, client: &Io, ahead: BytesMut) {
        let Tunnel { connection, ticket } = self;
        let H1Origin { io: origin, buf, .. } = &mut *{ connection };
        client.deadline_between(QUIET);
        origin.deadline_between(QUIET);
        let up = pump(client, origin, ahead);
        let down = pump(origin, client, std::mem::take(buf));
        futures_util::future::join(up, down).await;
        w.process.note(ticket.finish(w.pool_ms(), Outcome::Ok));
    }

    /// The same over an HTTP/2 stream.
    pub(crate) async fn run_h2(
        self,
        w: &Rc<Worker>,
        mut recv: h2::RecvStream,
        mut send: h2::SendStream<Bytes>,
    ) {
        let Tunnel { connection, ticket } = self;
        let H1Origin { io: origin, buf, .. } = &mut *{ connection };
        origin.deadline_between(QUIET);
        let up = async {
            while let Some(Ok(piece)) = recv.data().await {
                let _ = recv.flow_control().release_capacity(piece.len());
                if origin.write_all(&piece).await.is_err() || origin.flush().await.is_err() {
                    return;
                }
            }
            // The client has ended its side or gone; the origin has a moment to end its own.
            let _ = origin.shutdown().await;
            origin.deadline(CLOSING);
        };
        let timer = w.timers.timer();
        let down = async {
            let mut buf = std::mem::take(buf);
            loop {
                if !buf.is_empty() {
                    let sent = timer.limit(QUIET, upload::send_all(&mut send, buf.split().freeze())).await;
                    if !matches!(sent, Some(Ok(()))) {
                        send.send_reset(h2::Reason::CANCEL);
                        return;
                    }
                }
                buf.reserve(READ_SMALL);
                if !matches!(origin.read(&mut buf).await, Ok(1..)) {
                    let _ = upload::end(&mut send, None);
                    return;
                }
            }
        };
        // Once the origin has ended there is nobody left to talk to.
        let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
        if let futures_util::future::Either::Left(((), down)) =
            futures_util::future::select(up.as_mut(), down.as_mut()).await
        {
            down.await;
        }
        w.process.note(ticket.finish(w.pool_ms(), Outcome::Ok));
    }
}

/// Carries bytes one way until the end or a fault, then ends the other side too.
async fn pump(from: &Io, to: &Io, mut buf: BytesMut) {
    loop {
        if !buf.is_empty() && (to.write_all(&buf).await.is_err() || to.flush().await.is_err()) {
            // Whoever still reads the other way must not wait for a side that is gone.
            from.timer().fire();
            return;
        }
        buf.clear();
        buf.reserve(READ_SMALL);
        match from.read(&mut buf).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                to.deadline(CLOSING);
                return;
            }
            Ok(_) => {}
            Err(_) => {
                to.timer().fire();
                return;
            }
        }
    }
}

/// What a server answers to a key (RFC 6455 §4.2.2).
fn accept_of(key: &[u8]) -> String {
    let text = [key, GUID].concat();
    BASE64_STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // RFC 6455 §1.3
    }
}
