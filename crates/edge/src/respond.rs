//! Sending responses: the fields that are ours, compression, and the body as it comes.

use crate::exchange::{self, Exchange, Facts, Fail, Scratch};
use crate::fetch::Fetched;
use crate::message::{Reply, Sink};
use crate::source::Source;
use crate::upload::{self, Upload};
use crate::worker::{LiveRef, Worker};
use bytes::Bytes;
use seawall_compress::{Coding, Encoder};
use seawall_http::h1::encode::KnownSet;
use seawall_http::{BodyLength, Fields, Known, RequestHead, ResponseHead, framing};
use seawall_model::Module;
use seawall_telemetry::names::{self as telemetry, CacheStatus};
use std::rc::Rc;

/// Fields of an origin's response that are ours to say. Its Alt-Svc would lead clients around the edge.
pub(crate) const OURS: KnownSet = KnownSet::of(&[
    Known::Server,
    Known::CfRay,
    Known::CfCacheStatus,
    Known::AltSvc,
    // Meant for us, not for who comes after.
    Known::SurrogateControl,
    Known::SeawallCdnCacheControl,
    Known::CloudflareCdnCacheControl,
    Known::CacheTag,
]);

/// Sends the response in `response` and the body that follows it.
pub(crate) async fn stream<S: Sink>(
    x: &Exchange<'_>,
    request: &RequestHead,
    response: &mut ResponseHead,
    added: &mut Fields,
    fetched: &mut Fetched<'_>,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let bodiless = framing::bodiless(request.method, response.status);
    let told = framing::length(&response.fields, true).ok().flatten();
    let coding = choose_coding(x, request, response, told, Coding::DYNAMIC);
    let mut encoder = None;
    let coding = coding.filter(|c| seawall_compress::apply_headers(response, *c));
    if let Some(coding) = coding.filter(|_| !bodiless) {
        encoder = Some(x.w.encoders.borrow_mut().take(coding).map_err(|_| Fail::Broken)?);
        x.w.metrics.compressed.inc(counted_as(coding));
    }
    edit(x, response, facts)?;
    own_fields(x, &response.fields, facts.cache, added);
    set_affinity(x, fetched, facts, added);
    let length = match (bodiless, told, coding) {
        (true, ..) => BodyLength::None,
        (false, Some(n), None) => BodyLength::Exact(n),
        _ => BodyLength::Chunked,
    };
    let told_length = match (bodiless, coding) {
        (true, None) if response.status != 204 => told,
        _ => None,
    };
    let reply = Reply {
        status: response.status,
        reason: &response.reason,
        fields: &response.fields,
        leave_out: OURS,
        added,
        length: if length == BodyLength::Exact(0) { BodyLength::None } else { length },
        told_length: if length == BodyLength::Exact(0) { Some(0) } else { told_length },
    };
    facts.status = reply.status;
    let Fetched { source, upload, .. } = fetched;
    let mut body = Outgoing { source, upload, encoder, held: None, w: x.w, facts };
    if bodiless {
        body.went(x);
        return Ok(sink.head(&reply, Bytes::new(), true).await?);
    }
    let first = body.first()?;
    let trailers = if body.source.is_done() { body.source.trailers().await } else { None };
    let last = body.source.is_done() && body.is_drained() && trailers.is_none();
    body.went(x);
    let head = sink.head(&reply, first, last);
    upload::beside(body.upload, head).await.map_err(Fail::Upload)??;
    if last {
        return Ok(());
    }
    while let Some(piece) = body.next().await? {
        upload::beside(body.upload, sink.data(piece)).await.map_err(Fail::Upload)??;
    }
    let trailers = match trailers {
        Some(trailers) => Some(trailers),
        None => body.source.trailers().await,
    };
    Ok(sink.end(trailers.as_deref()).await?)
}

/// A body on its way out, encoded or not.
struct Outgoing<'f, 'b> {
    source: &'f mut Source,
    upload: &'f mut Option<Upload<'b>>,
    encoder: Option<Encoder>,
    /// Read ahead of its turn.
    held: Option<Bytes>,
    w: &'f Worker,
    facts: &'f mut Facts,
}

impl Outgoing<'_, '_> {
    fn went(&mut self, x: &Exchange<'_>) {
        self.facts.first_byte_ns = Some(x.w.now_ns());
        self.facts.uncompressed = self.encoder.is_some().then_some(0);
    }

    fn is_drained(&self) -> bool {
        self.encoder.is_none() && self.held.is_none()
    }

    /// What can be sent with the head without waiting.
    fn first(&mut self) -> Result<Bytes, Fail> {
        if self.encoder.is_some() {
            return Ok(Bytes::new());
        }
        let first = self.source.ready()?.unwrap_or_default();
        // The end of a chunked body often lies right behind its last chunk: looking makes one write of both.
        if self.source.has_more() {
            self.held = self.source.ready()?;
        }
        Ok(first)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Fail> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let Some(encoder) = &mut self.encoder else {
            let piece = upload::beside(self.upload, self.source.next()).await.map_err(Fail::Upload)?;
            return Ok(piece?);
        };
        let mut out = Vec::new();
        let fault = |_| Fail::Broken;
        loop {
            let piece = upload::beside(self.upload, self.source.next()).await.map_err(Fail::Upload)??;
            let Some(piece) = piece else {
                encoder.finish(&mut out).map_err(fault)?;
                if let Some(done) = self.encoder.take() {
                    self.w.encoders.borrow_mut().put(done);
                }
                return Ok((!out.is_empty()).then(|| out.into()));
            };
            // All that has arrived is encoded together. Bytes of framing may be left of it, so only trying tells.
            let mut arrived = Some(piece);
            while let Some(piece) = arrived {
                if let Some(total) = &mut self.facts.uncompressed {
                    *total += piece.len() as u64;
                }
                encoder.write(&piece, &mut out).map_err(fault)?;
                arrived = self.source.ready()?;
            }
            // Whatever the client could use already is not held back.
            if !self.source.is_done() {
                encoder.flush(&mut out).map_err(fault)?;
            }
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
    }
}

/// The word a coding is counted under.
pub(crate) fn counted_as(coding: Coding) -> telemetry::Coding {
    match coding {
        Coding::Gzip => telemetry::Coding::Gzip,
        Coding::Brotli => telemetry::Coding::Brotli,
        Coding::Zstd => telemetry::Coding::Zstd,
    }
}

/// Adds what every response of ours carries.
pub(crate) fn own_fields(x: &Exchange<'_>, fields: &Fields, cache: Option<CacheStatus>, added: &mut Fields) {
    basic_fields(x.w, x.ray, fields, added);
    if let Some(cache) = cache {
        added.add(Known::CfCacheStatus, cf_cache_status(cache).as_bytes());
        if !added.has(Known::CacheStatus) {
            added.add(Known::CacheStatus, b"seawall; fwd=bypass");
        }
    }
}

/// Adds what even an error page carries.
pub(crate) fn basic_fields(w: &Worker, ray: &str, fields: &Fields, added: &mut Fields) {
    if !fields.has(Known::Date) {
        added.add(Known::Date, httpdate::fmt_http_date(std::time::SystemTime::now()).as_bytes());
    }
    added.add(Known::Server, b"seawall");
    added.add(Known::CfRay, ray.as_bytes());
    debug_assert!(w.id < usize::MAX);
}

/// The value of CF-Cache-Status (Cloudflare's "Default cache behavior").
pub(crate) fn cf_cache_status(status: CacheStatus) -> &'static str {
    match status {
        CacheStatus::Miss => "MISS",
        CacheStatus::Expired => "EXPIRED",
        CacheStatus::Updating => "UPDATING",
        CacheStatus::Stale => "STALE",
        CacheStatus::Hit | CacheStatus::StreamHit => "HIT",
        CacheStatus::Bypass | CacheStatus::Ignored => "BYPASS",
        CacheStatus::Revalidated => "REVALIDATED",
        CacheStatus::Dynamic => "DYNAMIC",
        CacheStatus::Unknown => "NONE/UNKNOWN",
    }
}

/// The route's edits of response fields.
pub(crate) fn edit(x: &Exchange<'_>, response: &mut ResponseHead, facts: &mut Facts) -> Result<(), Fail> {
    if response.fields.has(Known::Connection) {
        seawall_http::hop::drop_nominated(&mut response.fields);
    }
    let edits = &x.route.doc.response_headers;
    if edits.is_empty() {
        return Ok(());
    }
    let host = exchange::host(x.w, x.live, x.zone);
    let edited =
        x.zone.stages.edit(Module::ResponseHeaders, &host, edits, &mut response.fields, &mut facts.stages);
    edited.map_err(|module| exchange::closed(x.w, module))
}

/// The coding to compress with, if it is worth it and wanted.
pub(crate) fn choose_coding(
    x: &Exchange<'_>,
    request: &RequestHead,
    response: &ResponseHead,
    length: Option<u64>,
    available: &[Coding],
) -> Option<Coding> {
    if !x.route.compression || !request.fields.has(Known::AcceptEncoding) {
        return None;
    }
    seawall_compress::choose(request, response, length, available)
}

fn set_affinity(x: &Exchange<'_>, fetched: &Fetched<'_>, facts: &Facts, added: &mut Fields) {
    let Some(origin) = facts.origin.as_ref().filter(|_| fetched.affinity) else { return };
    let Some(pool) = x.zone.pools.get(origin.pool) else { return };
    let Some(affinity) = &pool.doc.affinity else { return };
    let token = pool.balance.affinity_token(origin.member);
    let secure = if x.https { "; Secure" } else { "" };
    let age = affinity.ttl.as_secs();
    let cookie =
        format!("{}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}", affinity.cookie);
    added.add(Known::SetCookie, cookie.as_bytes());
}

/// Sends a client that came in clear text to the same place over TLS.
pub(crate) async fn to_https<S: Sink>(
    w: &Rc<Worker>,
    live: &LiveRef,
    scratch: &mut Scratch,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let Scratch { request, added, ray, .. } = scratch;
    let mut location = b"https://".to_vec();
    location.extend_from_slice(request.host());
    location.extend_from_slice(&request.target);
    added.clear();
    added.add(Known::Location, &location);
    added.add(Known::CacheControl, b"max-age=3600");
    small(w, live, 301, b"", ray, added, sink, facts).await
}

/// Sends a short response of the edge's own; its fields are in `added`.
pub(crate) async fn small<S: Sink>(
    w: &Rc<Worker>,
    _: &LiveRef,
    status: u16,
    body: &'static [u8],
    ray: &str,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    own_body(w, status, Bytes::from_static(body), false, ray, added, sink, facts).await
}

/// Sends a response of the edge's own; its fields are in `added`. `head_only` for HEAD.
pub(crate) async fn own_body<S: Sink>(
    w: &Rc<Worker>,
    status: u16,
    body: Bytes,
    head_only: bool,
    ray: &str,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let none = Fields::new();
    basic_fields(w, ray, &none, added);
    facts.status = status;
    facts.first_byte_ns = Some(w.now_ns());
    let sends = !head_only && !body.is_empty();
    let reply = Reply {
        status,
        reason: b"",
        fields: &none,
        leave_out: KnownSet::default(),
        added,
        length: if sends { BodyLength::Exact(body.len() as u64) } else { BodyLength::None },
        told_length: (!sends).then_some(body.len() as u64),
    };
    Ok(sink.head(&reply, if sends { body } else { Bytes::new() }, true).await?)
}
