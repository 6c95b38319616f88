//! Asking an origin: choosing one, connecting, sending the request, reading the head of the response.

use crate::exchange::{Exchange, Facts, Fail, LOOP_TOKEN, OriginFacts};
use crate::live::{Origin, Pool, Zone};
use crate::message::{RequestBody, Sink, UploadFault, unless_gone};
use crate::source::Source;
use crate::tunnel::{self, Tunnel};
use crate::upstream::{Connection, H1Origin, OriginFault};
use crate::worker::Worker;
use crate::{h2map, upload};
use seawall_balance::{self as balance, Outcome, PickInput, Ticket};
use seawall_http::h1::encode::{self, KnownSet};
use seawall_http::h1::parse_response;
use seawall_http::{BodyLength, Fields, Known, Method, RequestHead, ResponseHead, hop};
use seawall_model as model;
use seawall_net::body::BodyReader;
use seawall_telemetry::OriginSlot;
use seawall_telemetry::names as telemetry;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Fields of the client's request that are ours to say.
const OURS: KnownSet = KnownSet::of(&[
    Known::Host,
    Known::ContentLength,
    Known::Expect,
    Known::CfBotScore,
    Known::CfConnectingIp,
    Known::CfIpCountry,
    Known::CfRay,
    Known::CfVisitor,
    Known::CdnLoop,
    Known::TrueClientIp,
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::ProxyAuthorization,
])
.and(hop::HOP);

/// How long a request waits in turn for a place at an origin.
const MAX_WAIT: Duration = Duration::from_millis(balance::MAX_WAIT_MS);

/// Interim responses an origin may send before the final one.
const INTERIM_MAX: usize = 16;

/// A response whose head has come; its body is still with the origin.
#[must_use]
pub(crate) struct Fetched<'b> {
    pub source: Source,
    /// What is left to send of the request's body.
    pub upload: Option<upload::Upload<'b>>,
    ticket: Option<Ticket>,
    status: u16,
    pool: usize,
    member: usize,
    /// Cookie that ties the client to this origin, to be set.
    pub affinity: bool,
}

impl Fetched<'_> {
    /// Takes what remains to be read away from the request that caused it.
    pub(crate) fn detach(self) -> Detached {
        let Fetched { source, ticket, status, pool, member, .. } = self;
        Detached { source, ticket, status, pool, member }
    }

    /// Gives the connection back and tells the pool how it went.
    pub(crate) fn finish(self, x: &Exchange<'_>, facts: &mut Facts, delivered: bool) {
        let whole = self.source.is_done() && self.upload.is_none();
        let outcome = outcome(&self.source, delivered || whole, self.status);
        if let Some(origin) = facts.origin.as_mut() {
            origin.bytes = self.source.read();
        }
        if let Some(pool) = x.zone.pools.get(self.pool)
            && let Some(origin) = pool.origins.get(self.member)
        {
            broke_off(x.w, origin, &self.source);
            self.source.give_back(x.w, origin, pool.doc.timeouts.idle, whole);
        }
        if let Some(ticket) = self.ticket {
            x.w.process.note(ticket.finish(x.w.pool_ms(), outcome));
        }
    }
}

/// A response whose request has gone on without it.
pub(crate) struct Detached {
    pub source: Source,
    ticket: Option<Ticket>,
    status: u16,
    pool: usize,
    member: usize,
}

impl Detached {
    /// Gives the connection back and tells the pool how it went.
    pub(crate) fn finish(self, w: &Worker, zone: &Zone) {
        let whole = self.source.is_done();
        let outcome = outcome(&self.source, whole, self.status);
        if let Some(pool) = zone.pools.get(self.pool)
            && let Some(origin) = pool.origins.get(self.member)
        {
            broke_off(w, origin, &self.source);
            self.source.give_back(w, origin, pool.doc.timeouts.idle, whole);
        }
        if let Some(ticket) = self.ticket {
            w.process.note(ticket.finish(w.pool_ms(), outcome));
        }
    }
}

/// How a request went whose response head had come: `taken` if somebody took all of it.
fn outcome(source: &Source, taken: bool, status: u16) -> Outcome {
    match (source.failed(), taken) {
        (true, _) => Outcome::BadResponse,
        (false, false) => Outcome::ClientGone,
        (false, true) => outcome_of(status),
    }
}

/// What a status says of the origin.
pub(crate) fn outcome_of(status: u16) -> Outcome {
    if status >= 500 { Outcome::Status5xx } else { Outcome::Ok }
}

/// Counts a body that broke off; its head was counted as an answer.
fn broke_off(w: &Worker, origin: &Origin, source: &Source) {
    if source.failed() {
        w.metrics.origin_faults.inc(telemetry::OriginFault::Broken);
        w.metrics.origin(origin.slot).faults.inc();
    }
}

/// Sends the request to an origin of the route's pool and reads the head of the response into `response`.
pub(crate) async fn fetch<'b, B: RequestBody, S: Sink>(
    x: &Exchange<'_>,
    request: &RequestHead,
    fields: &Fields,
    response: &mut ResponseHead,
    added: &mut Fields,
    body: &'b mut B,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<Fetched<'b>, Fail> {
    let length = body.length();
    let mut body = Some(body);
    let mut tried = 0u64;
    let mut fresh = false;
    let mut retries = None;
    let mut before: Option<OriginFault> = None;
    loop {
        let chosen = match (place(x, request, tried).await, before.take()) {
            (Ok(chosen), _) => chosen,
            // What went wrong says more than that there is nobody else to ask.
            (Err(_), Some(fault)) => return Err(fault.into()),
            (Err(fail), None) => return Err(fail),
        };
        let Chosen { at, pool, member, mut ticket, affinity } = chosen;
        let origin = pool.origins.get(member).ok_or(Fail::Broken)?;
        let retries_left = *retries.get_or_insert(pool.doc.retries);
        begin(x, facts, at, member);
        let attempt = attempt(
            x, pool, origin, member, request, fields, response, added, &mut body, length, fresh, sink, facts,
        );
        let fault = match attempt.await {
            Ok((source, upload)) => {
                let (now, status) = (x.w.pool_ms(), response.status);
                let elapsed_us = answered(x, origin, facts);
                ticket.first_byte(now, elapsed_us, status);
                added.clear();
                if x.w.is_draining() {
                    // The drain began while the origin was waited for.
                    sink.close_after();
                }
                let ticket = Some(ticket);
                return Ok(Fetched { source, upload, ticket, status, pool: at, member, affinity });
            }
            Err(Attempt::Client(fail)) => return Err(fail),
            Err(Attempt::Origin(fault)) => fault,
        };
        x.w.metrics.origin_failed(origin.slot, fault.kind());
        x.w.process.note(ticket.finish(x.w.pool_ms(), fault.outcome()));
        let reused = facts.origin.as_ref().is_some_and(|o| o.reused);
        // An idle connection that turned out closed says nothing about the origin: once more, on a new one.
        let idle_race = reused
            && !fresh
            && matches!(fault, OriginFault::Closed | OriginFault::Broken(_) | OriginFault::H2(_));
        let safe = fault.is_before_request() || request.method.is_idempotent();
        if body.is_none() || !safe || (!idle_race && retries_left == 0) {
            return Err(fault.into());
        }
        if !idle_race && !pool.balance.may_retry(x.w.pool_ms()) {
            x.w.metrics.retries_refused.inc();
            return Err(fault.into());
        }
        x.w.metrics.retries.inc();
        if !idle_race {
            retries = Some(retries_left - 1);
            if pool.origins.len() > 1 {
                tried |= 1 << member;
            }
        }
        fresh = true;
        before = Some(fault);
    }
}

/// Connects to an origin for a WebSocket and relays its answer; on 101 the tunnel is returned.
pub(crate) async fn websocket<S: Sink>(
    x: &Exchange<'_>,
    request: &RequestHead,
    response: &mut ResponseHead,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<Option<Tunnel>, Fail> {
    let Chosen { at, pool, member, mut ticket, .. } = place(x, request, 0).await?;
    let origin = pool.origins.get(member).ok_or(Fail::Broken)?;
    begin(x, facts, at, member);
    let opened = tunnel::open(x, pool, origin, member, request, response, added, facts).await;
    match opened {
        Ok(connection) => {
            let elapsed_us = answered(x, origin, facts);
            ticket.first_byte(x.w.pool_ms(), elapsed_us, response.status);
            tunnel::accept(x, request, response, added, connection, ticket, sink, facts).await
        }
        Err(fault) => {
            x.w.metrics.origin_failed(origin.slot, fault.kind());
            x.w.process.note(ticket.finish(x.w.pool_ms(), fault.outcome()));
            Err(fault.into())
        }
    }
}

/// Counts an attempt that gave a response; answers its time to first byte in microseconds.
fn answered(x: &Exchange<'_>, origin: &Origin, facts: &Facts) -> u64 {
    let Some(o) = &facts.origin else { return 0 };
    let elapsed_us = o.first_byte_us.unwrap_or(0);
    x.w.metrics.origin_answered(origin.slot, o.status, o.reused, elapsed_us);
    elapsed_us
}

/// An origin with a place for the request.
struct Chosen<'x> {
    /// Position of the pool.
    at: usize,
    pool: &'x Pool,
    member: usize,
    ticket: Ticket,
    affinity: bool,
}

/// Why no origin has a place.
struct Nowhere<'x> {
    /// The first that could take it if it had a place.
    full: Option<(usize, &'x Pool, usize)>,
    refused: Option<balance::Refused>,
}

/// Picks an origin and takes a place at it. Where all are at their limits, waits a moment in turn.
async fn place<'x>(x: &Exchange<'x>, request: &RequestHead, tried: u64) -> Result<Chosen<'x>, Fail> {
    let nowhere = match choose(x, request, tried)? {
        Ok(chosen) => return Ok(chosen),
        Err(nowhere) => nowhere,
    };
    let mut refused = nowhere.refused;
    if let Some((at, pool, member)) = nowhere.full {
        match pool.balance.wait(member) {
            Ok(mut waiting) => {
                let turn = std::future::poll_fn(|cx| waiting.poll(cx.waker(), x.w.pool_ms()));
                let timer = x.w.timers.timer();
                if let Some(Ok(ticket)) = timer.limit(MAX_WAIT, turn).await {
                    return Ok(Chosen { at, pool, member, ticket, affinity: false });
                }
            }
            Err(full) => refused = Some(full),
        }
        let slot = pool.origins.get(member).map_or(OriginSlot::OTHER, |o| o.slot);
        x.w.metrics.origin_failed(slot, telemetry::OriginFault::Overload);
    }
    // Told apart on the page: an origin with all the work it can do is not one that is ill.
    let (code, detail) = match &refused {
        Some(full) => (1200, format!("the origin is at its limit ({})", full.why.name())),
        None => (503, "no origin is available".to_owned()),
    };
    Err(Fail::Page { code, detail, retry_after_s: Some(refused.map_or(5, |r| r.retry_after_s)) })
}

/// Picks an origin and takes a place at it, going on to fallback pools as long as none can take the request.
fn choose<'x>(
    x: &Exchange<'x>,
    request: &RequestHead,
    tried: u64,
) -> Result<Result<Chosen<'x>, Nowhere<'x>>, Fail> {
    let first = x.route.pool;
    let home = x.zone.pools.get(first).ok_or(Fail::Broken)?;
    let now_ms = x.w.pool_ms();
    let order = std::iter::once(first).chain(home.fallback.iter().copied());
    let mut nowhere = Nowhere { full: None, refused: None };
    for (n, at) in order.enumerate() {
        let Some(pool) = x.zone.pools.get(at) else { continue };
        let input = PickInput {
            hash: hash(x, pool, request),
            affinity: pool.doc.affinity.as_ref().and_then(|a| cookie(&request.fields, a.cookie.as_bytes())),
            now_ms,
            rnd: x.w.random(),
            exclude: if n == 0 { tried } else { 0 },
        };
        let last = n == home.fallback.len();
        // A pool with nothing live is passed over while another may be better; the last resort is to try anyway.
        let pick = if last { pool.balance.pick(&input) } else { pool.balance.pick_live(&input) };
        let Some(pick) = pick else { continue };
        match pool.balance.begin(pick.member, now_ms) {
            Ok(ticket) => {
                return Ok(Ok(Chosen { at, pool, member: pick.member, ticket, affinity: pick.set_affinity }));
            }
            Err(full) => {
                let other = elsewhere(pool, &input, pick.member);
                match other.map(|m| (m, pool.balance.begin(m, now_ms))) {
                    Some((member, Ok(ticket))) => {
                        return Ok(Ok(Chosen { at, pool, member, ticket, affinity: false }));
                    }
                    _ => {
                        nowhere.full.get_or_insert((at, pool, pick.member));
                        nowhere.refused = Some(full);
                    }
                }
            }
        }
    }
    Ok(Err(nowhere))
}

/// Another member than the one that is full.
fn elsewhere(pool: &Pool, input: &PickInput<'_>, full: usize) -> Option<usize> {
    let input = PickInput { exclude: input.exclude | 1 << full, affinity: None, ..*input };
    pool.balance.pick_live(&input).map(|p| p.member)
}

fn begin(x: &Exchange<'_>, facts: &mut Facts, pool: usize, member: usize) {
    facts.attempts = facts.attempts.saturating_add(1);
    facts.origin = Some(OriginFacts { pool, member, begun_ns: x.w.now_ns(), ..OriginFacts::default() });
}

/// Who failed in an attempt.
enum Attempt {
    Client(Fail),
    Origin(OriginFault),
}

impl<F: Into<OriginFault>> From<F> for Attempt {
    fn from(fault: F) -> Attempt {
        Attempt::Origin(fault.into())
    }
}

async fn attempt<'b, B: RequestBody, S: Sink>(
    x: &Exchange<'_>,
    pool: &Pool,
    origin: &Origin,
    member: usize,
    request: &RequestHead,
    fields: &Fields,
    response: &mut ResponseHead,
    added: &mut Fields,
    body: &mut Option<&'b mut B>,
    length: BodyLength,
    fresh: bool,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(Source, Option<upload::Upload<'b>>), Attempt> {
    let timeouts = &pool.doc.timeouts;
    let upstreams = &x.w.upstreams;
    let (connection, times) =
        upstreams.connect(x.w, origin, &pool.balance, member, timeouts, fresh, true).await?;
    if let Some(o) = facts.origin.as_mut() {
        o.connect = times;
        (o.peer, o.reused) = match &connection {
            Connection::H1(c) => (Some(c.peer), c.reused),
            Connection::H2 { peer, reused, .. } => (Some(*peer), *reused),
        };
    }
    added.clear();
    add_fields(x, request, fields, added);
    let limit = x.route.doc.timeout_response.unwrap_or(timeouts.response);
    let sent_ns = x.w.now_ns();
    let (source, upload) = match connection {
        Connection::H1(mut c) => {
            let mut out = x.w.buffers.write();
            compose(&mut out, x, origin, request, fields, added, length);
            c.io.deadline(limit);
            let wrote = async {
                c.io.write_all(&out).await?;
                c.io.flush().await
            };
            let wrote = wrote.await;
            x.w.buffers.give_write(out);
            wrote.map_err(|e| broken(e, limit))?;
            let mut upload = match length {
                BodyLength::None => None,
                _ => body.take().map(|b| upload::to_h1(b, c.io.clone(), length, limit)),
            };
            let head = read_head(x, &mut c, request.method, response, limit, sink);
            let (reader, keep) = match upload::beside(&mut upload, head).await {
                Ok(head) => head?,
                Err(fault) => return Err(Attempt::Client(Fail::Upload(fault))),
            };
            c.io.deadline_between(timeouts.between_bytes);
            (Source::h1(c, reader, keep), upload)
        }
        Connection::H2 { send, lease, .. } => {
            let head = h2map::request(x, origin, request, fields, added, length);
            let (answer, stream) = h2map::send(send, head, length == BodyLength::None)?;
            let timer = Rc::new(x.w.timers.timer());
            timer.set(limit);
            let mut upload = match length {
                BodyLength::None => None,
                _ => body.take().map(|b| upload::to_h2(b, stream, timer.clone(), limit)),
            };
            let head = unless_gone(sink, timer.until_passed(answer));
            let recv = match upload::beside(&mut upload, head).await {
                Ok(Some(Some(answer))) => h2map::response(answer.map_err(OriginFault::H2)?, response)?,
                Ok(Some(None)) => return Err(OriginFault::ResponseTimeout(limit).into()),
                Ok(None) => return Err(Attempt::Client(Fail::Broken)),
                Err(fault) => return Err(Attempt::Client(Fail::Upload(fault))),
            };
            (Source::h2(recv, x.w.timers.timer(), timeouts.between_bytes, lease), upload)
        }
    };
    if let Some(o) = facts.origin.as_mut() {
        let now_ns = x.w.now_ns();
        o.status = response.status;
        o.first_byte_us = Some((now_ns - sent_ns) / 1000);
        o.duration_us = Some((now_ns - o.begun_ns) / 1000);
    }
    Ok((source, upload))
}

/// Reads the head of the final response; passes early hints on.
async fn read_head<S: Sink>(
    x: &Exchange<'_>,
    c: &mut H1Origin,
    method: Method,
    response: &mut ResponseHead,
    limit: Duration,
    sink: &mut S,
) -> Result<(BodyReader, bool), Attempt> {
    for _ in 0..INTERIM_MAX {
        let read = read_any_head(x, c, method, response, limit);
        let Some(parsed) = unless_gone(sink, read).await else { return Err(Attempt::Client(Fail::Broken)) };
        let parsed = parsed?;
        match response.status {
            101 => return Err(OriginFault::Malformed(seawall_http::Fault::Status).into()),
            // Where fields are edited, a response that nobody edits must not go before.
            103 if x.route.doc.response_headers.is_empty() => {
                let passed_on = sink.interim(103, &response.fields).await;
                passed_on.map_err(|e| Attempt::Client(e.into()))?;
            }
            100..=199 => {}
            _ => return Ok((BodyReader::new(parsed.body), parsed.keep_alive)),
        }
    }
    Err(OriginFault::Malformed(seawall_http::Fault::Status).into())
}

/// Reads one head, interim or final.
pub(crate) async fn read_any_head(
    x: &Exchange<'_>,
    c: &mut H1Origin,
    method: Method,
    response: &mut ResponseHead,
    limit: Duration,
) -> Result<seawall_http::h1::ParsedResponse, OriginFault> {
    let mut scanned = 0;
    loop {
        if !c.buf.is_empty() {
            let parsed = parse_response(&c.buf, &mut scanned, &x.live.head_limits, method, response);
            if let Some(parsed) = parsed.map_err(OriginFault::Malformed)? {
                drop(c.buf.split_to(parsed.len));
                return Ok(parsed);
            }
        }
        c.buf.reserve(4096);
        match c.io.read(&mut c.buf).await {
            Ok(0) if c.buf.is_empty() => return Err(OriginFault::Closed),
            Ok(0) => return Err(OriginFault::Malformed(seawall_http::Fault::StartLine)),
            Ok(_) => {}
            Err(e) if c.buf.is_empty() && e.kind() == io::ErrorKind::ConnectionReset => {
                return Err(OriginFault::Closed);
            }
            Err(e) => return Err(broken(e, limit)),
        }
    }
}

pub(crate) fn broken(e: io::Error, limit: Duration) -> OriginFault {
    match e.kind() {
        io::ErrorKind::TimedOut => OriginFault::ResponseTimeout(limit),
        _ => OriginFault::Broken(e),
    }
}

/// The fields we add to every request to an origin (DESIGN §8, Cloudflare's HTTP headers reference).
pub(crate) fn add_fields(x: &Exchange<'_>, request: &RequestHead, fields: &Fields, added: &mut Fields) {
    let peer = x.client.peer_text.as_bytes();
    added.add(Known::CfConnectingIp, x.client.text(x.address).as_bytes());
    match fields.get(Known::XForwardedFor) {
        None => drop(added.add(Known::XForwardedFor, peer)),
        Some(_) => {
            let mut chain: Vec<u8> = fields.all(Known::XForwardedFor).collect::<Vec<_>>().join(&b", "[..]);
            chain.extend_from_slice(b", ");
            chain.extend_from_slice(peer);
            added.add(Known::XForwardedFor, &chain);
        }
    }
    // Cloudflare's word for a country that is not known, which without a database of addresses is all of them.
    added.add(Known::CfIpCountry, b"XX");
    let (proto, visitor): (&[u8], &[u8]) =
        if x.https { (b"https", br#"{"scheme":"https"}"#) } else { (b"http", br#"{"scheme":"http"}"#) };
    added.add(Known::XForwardedProto, proto);
    added.add(Known::CfVisitor, visitor);
    added.add(Known::CfRay, x.ray.as_bytes());
    // One that could not be computed is not there, rather than 0 (DESIGN R5).
    if let Some(score) = x.score {
        added.add(Known::CfBotScore, itoa::Buffer::new().format(score).as_bytes());
    }
    match fields.get(Known::CdnLoop) {
        None => drop(added.add(Known::CdnLoop, LOOP_TOKEN)),
        Some(_) => {
            let mut chain: Vec<u8> = fields.all(Known::CdnLoop).collect::<Vec<_>>().join(&b", "[..]);
            chain.extend_from_slice(b", ");
            chain.extend_from_slice(LOOP_TOKEN);
            added.add(Known::CdnLoop, &chain);
        }
    }
    debug_assert!(!request.target.is_empty());
    if request.method == Method::Get {
        added.add(Known::SurrogateCapability, b"seawall=\"Surrogate/1.0\"");
    }
}

/// Writes an HTTP/1 request head.
pub(crate) fn compose(
    out: &mut Vec<u8>,
    x: &Exchange<'_>,
    origin: &Origin,
    request: &RequestHead,
    fields: &Fields,
    added: &Fields,
    length: BodyLength,
) {
    encode::request_line(out, &request.method_text, &request.target);
    encode::field(out, b"Host", host(x, origin, request));
    encode::fields(out, fields, OURS);
    encode::fields(out, added, KnownSet::default());
    if fields.get(Known::Te).is_some_and(|te| te.eq_ignore_ascii_case(b"trailers")) {
        encode::field(out, b"TE", b"trailers");
    }
    match length {
        BodyLength::Exact(n) => encode::field_number(out, b"Content-Length", n),
        BodyLength::Chunked => encode::field(out, b"Transfer-Encoding", b"chunked"),
        // A method that usually has a body says that there is none (RFC 9110 §8.6).
        _ if matches!(request.method, Method::Post | Method::Put | Method::Patch) && !x.asked.websocket => {
            encode::field(out, b"Content-Length", b"0");
        }
        _ => {}
    }
    if x.asked.websocket {
        encode::field(out, b"Connection", b"Upgrade");
        encode::field(out, b"Upgrade", b"websocket");
    }
    encode::end(out);
}

/// What is left out of the client's fields on the way to an origin.
pub(crate) const fn left_out() -> KnownSet {
    OURS
}

/// The Host an origin is asked for.
pub(crate) fn host<'h>(_: &Exchange<'_>, origin: &'h Origin, request: &'h RequestHead) -> &'h [u8] {
    match &origin.host {
        Some(host) => host,
        None => &request.authority,
    }
}

fn hash(x: &Exchange<'_>, pool: &Pool, request: &RequestHead) -> u64 {
    let model::Policy::Hash(key) = &pool.doc.policy else { return 0 };
    match key {
        model::HashKey::Ip => match x.address {
            IpAddr::V4(a) => balance::stable_hash(&a.octets()),
            IpAddr::V6(a) => balance::stable_hash(&a.octets()),
        },
        model::HashKey::Path => balance::stable_hash(request.path()),
        model::HashKey::Uri => balance::stable_hash(&request.target),
        model::HashKey::Header(name) => {
            balance::stable_hash(request.fields.get_named(name.as_bytes()).unwrap_or(b""))
        }
        model::HashKey::Cookie(name) => {
            balance::stable_hash(cookie(&request.fields, name.as_bytes()).unwrap_or(b""))
        }
    }
}

/// The value of a cookie.
pub(crate) fn cookie<'f>(fields: &'f Fields, name: &[u8]) -> Option<&'f [u8]> {
    fields.all(Known::Cookie).flat_map(|v| v.split(|b| *b == b';')).find_map(|pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"="))
    })
}

/// For callers that have no body to send.
pub(crate) struct NoBody;

impl RequestBody for NoBody {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, UploadFault> {
        Ok(None)
    }
    fn length(&self) -> BodyLength {
        BodyLength::None
    }
    fn take_trailers(&mut self) -> Option<Box<Fields>> {
        None
    }
}
