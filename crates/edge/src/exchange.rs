//! The way of a request: whose it is, what it asks, who answers it, and what is recorded of it.

use crate::cached;
use crate::cohort::{Cohort, Lot};
use crate::fetch::{self, Fetched};
use crate::h1::HeadFault;
use crate::live::{Route, Zone};
use crate::message::{RequestBody, Sink, UploadFault};
use crate::pages;
use crate::process::Note;
use crate::record;
use crate::respond;
use crate::spans::Span;
use crate::stages::{self, Host, StageFacts, Teller, Verdict};
use crate::trace;
use crate::tunnel::Tunnel;
use crate::upstream::{ConnectTimes, OriginFault};
use crate::worker::{LiveRef, Worker};
use seawall_http::{Fields, Known, Method, RequestHead, ResponseHead, View};
use seawall_model::Module;
use seawall_net::tls::server::TlsInfo;
use seawall_telemetry::names::{CacheStatus, ClientTimeout, Refusal};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Own tokens in CDN-Loop at which a request is taken to go in circles (RFC 8586). A few edges in a row are a
/// legitimate set-up.
const LOOP_MAX: usize = 4;
/// When to try again after a closed module's 503, in seconds: its breaker probes by then.
const CLOSED_RETRY_S: u32 = 2;
/// The token we add to CDN-Loop.
pub(crate) const LOOP_TOKEN: &[u8] = b"seawall";

/// What is known of a client from its connection.
pub(crate) struct Client {
    /// Who connected, or whom a trusted proxy named by PROXY protocol.
    pub peer: SocketAddr,
    /// Whether forwarding headers of that peer are believed.
    pub trusted: bool,
    /// Set for TLS connections.
    pub tls: Option<TlsInfo>,
    /// The peer's address as text, which every request of the connection needs.
    pub peer_text: Box<str>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr, trusted: bool, tls: Option<TlsInfo>) -> Client {
        Client { peer, trusted, tls, peer_text: peer.ip().to_string().into() }
    }

    /// An address as text: the peer's own, nearly always.
    pub(crate) fn text(&self, address: IpAddr) -> std::borrow::Cow<'_, str> {
        if address == self.peer.ip() { (&*self.peer_text).into() } else { address.to_string().into() }
    }
}

/// What the codec knows of a request beside its head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// Asks for a WebSocket, by upgrade or extended CONNECT.
    pub websocket: bool,
    /// Bytes of the head.
    pub head_bytes: u64,
}

/// What becomes of an HTTP/1 connection after a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    Again,
    Close { linger: bool },
}

/// Space for the heads of one request, kept by the worker between requests.
#[derive(Default)]
pub(crate) struct Scratch {
    pub request: RequestHead,
    pub response: ResponseHead,
    /// Fields of our own for the request to the origin, then for the response.
    pub added: Fields,
    pub ray: String,
}

impl Scratch {
    /// Forgets the request before; the memory stays.
    pub(crate) fn clear(&mut self) {
        self.request.clear();
        self.response.clear();
    }
}

/// What is found out about a request on its way, for the log.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub begun_ns: u64,
    pub first_byte_ns: Option<u64>,
    pub address: Option<IpAddr>,
    pub zone: Option<usize>,
    pub status: u16,
    pub request_bytes: u64,
    pub cache: Option<CacheStatus>,
    pub attempts: u16,
    pub origin: Option<OriginFacts>,
    pub error: Option<(u16, String)>,
    /// What the guarded stages found out.
    pub stages: StageFacts,
    pub uncompressed: Option<u64>,
    pub span: Span,
    /// What it drew, while a candidate is on its way.
    pub lot: Option<Lot>,
}

/// The last attempt at an origin.
#[derive(Debug, Default)]
pub(crate) struct OriginFacts {
    pub peer: Option<SocketAddr>,
    pub pool: usize,
    pub member: usize,
    pub reused: bool,
    pub status: u16,
    pub bytes: u64,
    pub connect: ConnectTimes,
    pub first_byte_us: Option<u64>,
    pub begun_ns: u64,
    pub duration_us: Option<u64>,
}

/// Why a request got no answer from the origin or the cache.
#[derive(Debug)]
pub(crate) enum Fail {
    /// The edge answers with an error page.
    Page { code: u16, detail: String, retry_after_s: Option<u32> },
    /// An origin failed.
    Origin(OriginFault),
    /// The client is to blame and an answer is still worth trying.
    Upload(UploadFault),
    /// The client did not take the response in time.
    Slow,
    /// The client went away, or what was begun cannot be ended: close.
    Broken,
}

impl Fail {
    pub(crate) fn page(code: u16, detail: impl Into<String>) -> Fail {
        Fail::Page { code, detail: detail.into(), retry_after_s: None }
    }
}

impl From<io::Error> for Fail {
    fn from(fault: io::Error) -> Fail {
        if fault.kind() == io::ErrorKind::TimedOut { Fail::Slow } else { Fail::Broken }
    }
}

impl From<OriginFault> for Fail {
    fn from(fault: OriginFault) -> Fail {
        Fail::Origin(fault)
    }
}

/// What all parts of an exchange need to know; nothing in it changes while it runs.
pub(crate) struct Exchange<'a> {
    pub w: &'a Rc<Worker>,
    pub live: &'a LiveRef,
    pub zone: &'a Arc<Zone>,
    pub route: &'a Route,
    pub client: &'a Client,
    /// The client's address by the trusted-proxy rules.
    pub address: IpAddr,
    /// Whether the client itself spoke TLS.
    pub https: bool,
    pub ray: &'a str,
    pub asked: Asked,
    /// The bot score, where the origin is to know it.
    pub score: Option<u8>,
}

impl Exchange<'_> {
    /// The number of the candidate this runs under, where its zone is not as the one that serves.
    pub(crate) fn apart(&self) -> Option<u64> {
        let differs = || self.live.cohort == Cohort::Candidate && !self.w.serves(self.zone);
        differs().then_some(self.live.snapshot)
    }
}

/// Answers a request. A tunnel is returned for the connection to run once its response has gone.
pub(crate) async fn run<B: RequestBody, S: Sink>(
    w: &Rc<Worker>,
    client: &Client,
    scratch: &mut Scratch,
    asked: Asked,
    body: &mut B,
    sink: &mut S,
) -> Option<Tunnel> {
    let request = &scratch.request;
    let (live, lot) = w.live_for(request, |live| whence(live, client, request).0);
    let mut facts = Facts { begun_ns: w.now_ns(), request_bytes: asked.head_bytes, lot, ..Facts::default() };
    facts.span = w.tracer.begin(&mut scratch.request.fields);
    name(w, &live, scratch);
    w.metrics.in_flight.inc();
    let result = contained(w, &live, client, scratch, asked, body, sink, &mut facts).await;
    let tunnel = match result {
        Ok(tunnel) => tunnel,
        Err(fail) => {
            Box::pin(fail_kindly(w, &live, client, scratch, fail, sink, &mut facts)).await;
            None
        }
    };
    record::write(w, &live, client, scratch, &facts, sink.sent());
    tunnel
}

/// Answers a request whose head could not be read.
pub(crate) async fn refuse<S: Sink>(
    w: &Rc<Worker>,
    client: &Client,
    scratch: &mut Scratch,
    fault: HeadFault,
    bytes: u64,
    sink: &mut S,
) {
    let live = w.live();
    let mut facts = Facts { begun_ns: w.now_ns(), request_bytes: bytes, ..Facts::default() };
    facts.address = Some(client.peer.ip());
    name(w, &live, scratch);
    w.metrics.in_flight.inc();
    let fail = match fault {
        HeadFault::Gone => Fail::Broken,
        HeadFault::Slow => {
            w.metrics.client_timeouts.inc(ClientTimeout::Header);
            Fail::page(408, "the request head did not arrive in time")
        }
        HeadFault::Fault(fault) => {
            w.metrics.refusals.inc(match fault.status() {
                414 | 431 => Refusal::HeadTooLarge,
                _ => Refusal::BadRequest,
            });
            Fail::page(fault.status(), fault.to_string())
        }
    };
    fail_kindly(w, &live, client, scratch, fail, sink, &mut facts).await;
    record::write(w, &live, client, scratch, &facts, sink.sent());
}

/// Serves a request so that a panic ends it and nothing else, and so that after a crash of the process it is known whose
/// request a thread had in hand (`seawall_sys::recorder`).
async fn contained<B: RequestBody, S: Sink>(
    w: &Rc<Worker>,
    live: &LiveRef,
    client: &Client,
    scratch: &mut Scratch,
    asked: Asked,
    body: &mut B,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<Option<Tunnel>, Fail> {
    // Of the zone, once it is known.
    let unit = Cell::new(0);
    let panic = {
        let mut serving = pin!(serve(w, live, client, scratch, asked, body, sink, facts, &unit));
        let polled = poll_fn(|cx| {
            if unit.get() != 0 {
                w.slot.enter(unit.get());
            }
            let polled = catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(cx)));
            w.slot.leave();
            match polled {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        match polled.await {
            Ok(result) => return result,
            Err(panic) => panic,
        }
    };
    let why = stages::what(&*panic);
    let zone = facts.zone.and_then(|z| live.zone(z)).map_or(String::new(), |z| z.doc.name.clone());
    if unit.get() != 0 {
        let _ =
            w.process.notes.try_send(Note::Panicked { zone, unit: unit.get(), snapshot: live.snapshot, why });
    }
    Err(Fail::page(500, "answering this request failed inside Seawall"))
}

async fn serve<B: RequestBody, S: Sink>(
    w: &Rc<Worker>,
    live: &LiveRef,
    client: &Client,
    scratch: &mut Scratch,
    asked: Asked,
    body: &mut B,
    sink: &mut S,
    facts: &mut Facts,
    unit: &Cell<u64>,
) -> Result<Option<Tunnel>, Fail> {
    let (address, https) = whence(live, client, &scratch.request);
    facts.address = Some(address);
    let request = &mut scratch.request;
    if request.target.starts_with(b"/cdn-cgi/") {
        Box::pin(trace::answer(w, live, client, address, scratch, sink, facts)).await?;
        return Ok(None);
    }
    let index = live.find(request.host()).ok_or_else(|| unknown_host(request.host()))?;
    facts.zone = Some(index);
    let zone = live.zone(index).ok_or(Fail::Broken)?;
    if let Some(sni) = client.tls.as_ref().and_then(|t| t.sni.as_deref())
        && sni.as_bytes() != request.host()
        && !w.process.may_serve_over(live, sni, request.host())
    {
        return Err(Fail::page(421, "this connection was made for another host"));
    }
    unit.set(zone.unit);
    w.slot.enter(zone.unit);
    if w.heads_wanted.get() > 0 {
        w.keep_head(request, address, https);
    }
    if let Some(sabotage) = &w.process.sabotage {
        stages::strike(sabotage, live, zone).map_err(|fault| Fail::page(500, fault.to_string()))?;
    }
    if !zone.stages.is_idle(&live.shared) {
        let view = View { head: request, address, https };
        let verdict = zone.stages.decide(&host(w, live, zone), &view, &mut facts.stages);
        match verdict {
            Verdict::Go => {}
            Verdict::Redirect => {
                Box::pin(respond::to_https(w, live, scratch, sink, facts)).await?;
                return Ok(None);
            }
            stop => return Err(stopped(w, &stop)),
        }
    }
    check_loop(&request.fields)?;
    seawall_http::hop::drop_nominated(&mut request.fields);
    seawall_http::hop::drop_lookalikes(&mut request.fields, fetch::left_out());
    let path = request.path();
    let route = zone.route(request.host(), &request.method_text, path);
    let route = route.ok_or_else(|| Fail::page(404, "no route of this zone fits the request"))?;
    if !route.doc.request_headers.is_empty() {
        let (host, edits) = (host(w, live, zone), &route.doc.request_headers);
        let edited =
            zone.stages.edit(Module::RequestHeaders, &host, edits, &mut request.fields, &mut facts.stages);
        edited.map_err(|module| closed(w, module))?;
    }
    let score = facts.stages.score.flatten().filter(|_| zone.doc.bot.header);
    let Scratch { request, response, added, ray } = scratch;
    let x = Exchange { w, live, zone, route, client, address, https, ray, asked, score };
    if asked.websocket {
        if !zone.doc.websockets {
            return Err(Fail::page(1020, "WebSockets are turned off for this zone"));
        }
        return Box::pin(fetch::websocket(&x, request, response, added, sink, facts)).await;
    }
    if matches!(request.method, Method::Get | Method::Head)
        && route.cache.mode != seawall_httpcache::Mode::Off
    {
        cached::serve(&x, request, response, added, body, sink, facts).await?;
        return Ok(None);
    }
    facts.cache = Some(CacheStatus::Dynamic);
    let fetched = fetch::fetch(&x, request, &request.fields, response, added, body, sink, facts).await?;
    cached::after_unsafe(&x, request, response);
    pass_on(&x, request, response, added, fetched, sink, facts).await?;
    Ok(None)
}

/// Sends a fetched response to the client as it comes.
pub(crate) async fn pass_on<S: Sink>(
    x: &Exchange<'_>,
    request: &RequestHead,
    response: &mut ResponseHead,
    added: &mut Fields,
    mut fetched: Fetched<'_>,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let sent = respond::stream(x, request, response, added, &mut fetched, sink, facts).await;
    fetched.finish(x, facts, sent.is_ok());
    sent
}

/// The surroundings of a zone's stages for one request.
pub(crate) fn host<'a>(w: &'a Worker, live: &'a LiveRef, zone: &'a Zone) -> Host<'a> {
    Host {
        shared: &live.shared,
        zone: &zone.doc.name,
        stages: &zone.stages,
        off: live.shared.off_for(&zone.doc.name),
        now_ms: w.pool_ms(),
        slot: Some(&w.slot),
        teller: Some(Teller { cohort: live.cohort, metrics: &w.metrics, notes: &w.process.notes }),
        sabotage: w.process.sabotage.as_deref(),
        usage: seawall_sys::thread_usage(),
        excused: Cell::default(),
    }
}

fn stopped(w: &Worker, verdict: &Verdict) -> Fail {
    match verdict {
        Verdict::Banned => Fail::page(1006, "this address is banned here"),
        Verdict::Closed(module) => closed(w, *module),
        _ => Fail::page(1020, "a firewall rule of this site blocks this request"),
    }
}

/// The 503 of a module that fails and is set to stop requests then.
pub(crate) fn closed(w: &Worker, module: Module) -> Fail {
    w.metrics.module_closed.inc(stages::told(module));
    let detail =
        format!("the module `{}` is failing, and is set to let no request past it then", module.name());
    Fail::Page { code: 503, detail, retry_after_s: Some(CLOSED_RETRY_S) }
}

/// The client's address, and whether it used TLS, by what trusted proxies say.
fn whence(live: &LiveRef, client: &Client, request: &RequestHead) -> (IpAddr, bool) {
    if !client.trusted {
        return (client.peer.ip(), client.tls.is_some());
    }
    let address = live.trust.client(client.peer.ip(), &request.fields);
    let https = match request.fields.get(Known::XForwardedProto) {
        Some(proto) => proto.eq_ignore_ascii_case(b"https"),
        None => client.tls.is_some(),
    };
    (address, https)
}

fn unknown_host(host: &[u8]) -> Fail {
    let text = String::from_utf8_lossy(host);
    if host.starts_with(b"[") || text.parse::<IpAddr>().is_ok() {
        return Fail::page(1003, "a host name is needed, not an address");
    }
    Fail::page(421, "no zone here serves this host")
}

fn check_loop(fields: &Fields) -> Result<(), Fail> {
    if !fields.has(Known::CdnLoop) {
        return Ok(());
    }
    let tokens = fields.all(Known::CdnLoop).flat_map(|v| v.split(|b| *b == b','));
    let own = tokens.filter(|t| {
        let id = t.split(|b| *b == b';').next().unwrap_or(&[]).trim_ascii();
        id.eq_ignore_ascii_case(LOOP_TOKEN)
    });
    if own.count() >= LOOP_MAX {
        Err(Fail::page(1000, "the request goes in circles (CDN-Loop)"))
    } else {
        Ok(())
    }
}

/// Gives the request its ray ID: sixteen digits that are unlikely to come twice, and the node.
fn name(w: &Worker, live: &LiveRef, scratch: &mut Scratch) {
    scratch.ray.clear();
    let mut random = w.random();
    for _ in 0..16 {
        let digit = (random & 15) as u32;
        scratch.ray.push(char::from_digit(digit, 16).unwrap_or('0'));
        random >>= 4;
    }
    scratch.ray.push('-');
    scratch.ray.push_str(&live.node);
}

/// Answers with an error page if there is still someone to answer.
async fn fail_kindly<S: Sink>(
    w: &Rc<Worker>,
    live: &LiveRef,
    client: &Client,
    scratch: &mut Scratch,
    fail: Fail,
    sink: &mut S,
    facts: &mut Facts,
) {
    let (code, detail, retry_after_s) = match fail {
        Fail::Page { code, detail, retry_after_s } => (code, detail, retry_after_s),
        Fail::Origin(fault) => (fault.code(), fault.to_string(), None),
        Fail::Upload(UploadFault::TooLarge) => (413, "the request body is larger than allowed".into(), None),
        Fail::Upload(UploadFault::Body(fault)) if fault.is_timeout() => {
            w.metrics.client_timeouts.inc(ClientTimeout::Body);
            (408, "the request body did not arrive in time".into(), None)
        }
        Fail::Upload(UploadFault::Body(seawall_net::body::BodyFault::Framing(fault))) => {
            w.metrics.refusals.inc(Refusal::BadRequest);
            (fault.status(), fault.to_string(), None)
        }
        Fail::Upload(_) | Fail::Broken | Fail::Slow => {
            if matches!(fail, Fail::Slow) {
                w.metrics.client_timeouts.inc(ClientTimeout::Write);
            }
            sink.close_after();
            return;
        }
    };
    if (400..=431).contains(&code) && code != 421 && code != 404 {
        sink.close_after();
    }
    let started = sink.is_started();
    if !started {
        // A page that cannot be sent has no one to read it.
        let _ = pages::send(w, live, client, scratch, code, &detail, retry_after_s, sink, facts).await;
    } else {
        sink.close_after();
    }
    facts.error = Some((code, detail));
}
