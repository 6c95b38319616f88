//! Requests that a cache may answer: looking up, fetching once for all who ask, validating, serving stale.

use crate::exchange::{self, Exchange, Facts, Fail};
use crate::fetch::{self, Fetched, NoBody};
use crate::filling;
use crate::live::Zone;
use crate::message::{RequestBody, Sink};
use crate::serving::{self, Held};
use seawall_cachestore as cachestore;
use seawall_cachestore::{Fill, Followed, Follower, Join, Labels, Meta, Object, Purge};
use seawall_http::{BodyLength, Fields, Known, Method, RequestHead, ResponseHead};
use seawall_httpcache as httpcache;
use seawall_httpcache::{
    Bypass, CacheStatus as Told, Failure, Forward, Freshened, Refusal, RequestFacts, Stored, Target,
    VarySpec, Verdict, Why,
};
use seawall_telemetry::names::CacheStatus;
use std::borrow::Cow;
use std::sync::Arc;

/// First byte of a range beyond which a miss is passed on as it is: fetching a whole object to serve its end would keep
/// the client waiting for what it did not ask for.
const RANGE_START_MAX: u64 = 1 << 20;
/// How often a request follows someone else's fetch that ends early before it fetches for itself.
const FOLLOW_MAX: usize = 2;

/// What is found under a key.
pub(crate) struct Found {
    pub object: Arc<Object>,
    pub stored: Stored,
}

/// A request as the cache sees it.
pub(crate) struct Question<'a> {
    pub request: &'a RequestHead,
    pub asked: RequestFacts,
    /// Of the URL.
    pub primary: httpcache::Key,
}

/// Answers a GET or HEAD from the cache, or from the origin by way of the cache.
pub(crate) async fn serve<B: RequestBody, S: Sink>(
    x: &Exchange<'_>,
    request: &RequestHead,
    response: &mut ResponseHead,
    added: &mut Fields,
    body: &mut B,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let policy = &x.route.cache;
    let mut asked = RequestFacts::of(request);
    asked.bypass = !x.route.doc.bypass_cookie.is_empty() && has_cookie(x, &request.fields);
    let admitted = match asked.admit(policy) {
        Ok(()) if body.length() != BodyLength::None => Err(Bypass::Method),
        admitted => admitted,
    };
    if let Err(why) = admitted {
        facts.cache = Some(if why == Bypass::Method { CacheStatus::Dynamic } else { CacheStatus::Bypass });
        return direct(x, request, response, added, body, sink, facts).await;
    }
    let mut q =
        Question { request, asked, primary: x.w.process.keys.key(&target(x, request), &x.route.query) };
    if let Some(candidate) = x.apart() {
        if let (_, Some(found)) = look_up(x, &q).await
            && let Verdict::Fresh { age_s } =
                httpcache::decide(&q.asked, &found.stored, x.w.unix_ms(), policy)
        {
            facts.cache = Some(CacheStatus::Hit);
            let told = Told { ttl_s: Some(found.stored.ttl_s(x.w.unix_ms())), ..Told::default() };
            return serving::object(x, &q, &found, age_s, &told, added, sink, facts).await;
        }
        q.primary = beside(q.primary, candidate);
    }
    let mut followed = 0;
    loop {
        let (key, found) = look_up(x, &q).await;
        let verdict = found.as_ref().map(|f| httpcache::decide(&q.asked, &f.stored, x.w.unix_ms(), policy));
        let (status, age_s) = match verdict {
            Some(Verdict::Fresh { age_s }) => (CacheStatus::Hit, age_s),
            Some(Verdict::Stale { age_s }) => (CacheStatus::Stale, age_s),
            Some(Verdict::Refresh { age_s }) => (CacheStatus::Updating, age_s),
            Some(Verdict::Unavailable) => {
                return Err(Fail::page(504, "not in the cache, and only-if-cached"));
            }
            Some(Verdict::Validate(_)) => (CacheStatus::Expired, 0),
            None if q.asked.unavailable_on_miss(policy) => {
                return Err(Fail::page(504, "not in the cache, and only-if-cached"));
            }
            None => (CacheStatus::Miss, 0),
        };
        facts.cache = Some(status);
        if let Some(found) = found.as_ref().filter(|_| status.served_from_cache()) {
            if status == CacheStatus::Updating {
                filling::refresh(x, &q, key, found);
            }
            let told = Told { ttl_s: Some(found.stored.ttl_s(x.w.unix_ms())), ..Told::default() };
            return serving::object(x, &q, found, age_s, &told, added, sink, facts).await;
        }
        let why = match verdict {
            Some(Verdict::Validate(Why::Request)) => Forward::Request,
            Some(_) => Forward::Stale,
            None => Forward::UriMiss,
        };
        let ask = Ask { key, found: found.as_ref(), why, plain: false };
        // What turned out not to be shareable a moment ago is not waited for.
        if q.asked.method == Method::Head || x.w.unshared.has(key) || far_range(&q) || followed > FOLLOW_MAX {
            return ask_origin(x, &q, ask, None, response, added, body, sink, facts).await;
        }
        let store = &x.w.process.store;
        match store.join(&slot(key), found.as_ref().map(|f| &f.object)) {
            Join::Lead(fill) => {
                return ask_origin(x, &q, ask, Some(fill), response, added, body, sink, facts).await;
            }
            Join::Stored(_) => followed += 1,
            Join::Follow(follower) => match follow(x, &q, key, follower).await {
                Some((meta, follower, stored)) => {
                    facts.cache = Some(CacheStatus::StreamHit);
                    let told = Told { forward: Some(why), collapsed: true, ..Told::default() };
                    let held = Held::Arriving(&meta, follower);
                    return serving::held(x, &q, held, &stored, 0, &told, added, sink, facts).await;
                }
                None => followed += 1,
            },
        }
    }
}

/// What to ask an origin for.
pub(crate) struct Ask<'f> {
    pub key: httpcache::Key,
    /// Stored but not good enough.
    pub found: Option<&'f Found>,
    pub why: Forward,
    /// Without conditions of ours: the origin confirmed something that is not what we have.
    pub plain: bool,
}

/// Asks the origin, for oneself and, with a fill, for those who follow.
async fn ask_origin<B: RequestBody, S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    ask: Ask<'_>,
    fill: Option<Fill>,
    response: &mut ResponseHead,
    added: &mut Fields,
    body: &mut B,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let policy = &x.route.cache;
    // What is fetched for itself alone is validated too, if there is something to validate.
    let alone = q.asked.method == Method::Get && !far_range(q);
    let whole = fill.is_some() || (alone && ask.found.is_some_and(|f| f.stored.has_validator()));
    let fields = match whole {
        true => shape(q, ask.found.filter(|_| !ask.plain)),
        false => Cow::Borrowed(&q.request.fields),
    };
    let request_time_ms = x.w.unix_ms();
    let seq = x.w.process.store.seq();
    let fetched = fetch::fetch(x, q.request, &fields, response, added, body, sink, facts).await;
    let response_time_ms = x.w.unix_ms();
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(fail) => {
            if let (Some(found), Fail::Origin(fault)) = (ask.found, &fail)
                && let Some(age_s) =
                    httpcache::on_failure(&found.stored, Failure::Unreachable, response_time_ms, policy)
            {
                tracing::debug!(%fault, "serving stale");
                return Box::pin(serve_stale(x, q, found, age_s, fill, added, sink, facts)).await;
            }
            return Err(fail);
        }
    };
    let exchange = httpcache::Exchange {
        request: &q.asked,
        path: q.request.path(),
        response,
        request_time_ms,
        response_time_ms,
    };
    if whole
        && response.status == 304
        && !ask.plain
        && let Some(found) = ask.found
    {
        fetched.finish(x, facts, true);
        let freshened = httpcache::freshen(&exchange, &found.stored, &found.object.meta.fields, policy);
        if freshened == Freshened::Mismatch {
            let ask = Ask { plain: true, ..ask };
            // Whoever is admitted to the cache has no body to send again.
            let mut none = NoBody;
            return Box::pin(ask_origin(x, q, ask, fill, response, added, &mut none, sink, facts)).await;
        }
        return Box::pin(revalidated(x, q, found, freshened, ask, seq, fill, added, sink, facts)).await;
    }
    if let Some(found) = ask.found
        && let Some(age_s) =
            httpcache::on_failure(&found.stored, Failure::Status(response.status), response_time_ms, policy)
    {
        fetched.finish(x, facts, false);
        return Box::pin(serve_stale(x, q, found, age_s, fill, added, sink, facts)).await;
    }
    if q.asked.method == Method::Head {
        if let Some(found) = ask.found {
            freshen_by_head(x, q, found, &exchange);
        }
        facts.cache = Some(if ask.found.is_some() { CacheStatus::Expired } else { CacheStatus::Miss });
        told(added, &Told { forward: Some(ask.why), ..Told::default() });
        return exchange::pass_on(x, q.request, response, added, fetched, sink, facts).await;
    }
    let partial = !whole && q.request.fields.has(Known::Range);
    match if partial { Err(Refusal::Status) } else { httpcache::store(&exchange, policy) } {
        Err(refusal) => {
            if let Some(fill) = fill {
                x.w.unshared.add(ask.key);
                fill.refuse();
            }
            if ask.found.is_some() && replaces(response.status, refusal) {
                x.w.process.store.remove(&slot(ask.key));
            }
            facts.cache = Some(match refusal.cf_status() {
                httpcache::CfStatus::Bypass => CacheStatus::Bypass,
                _ => CacheStatus::Dynamic,
            });
            told(added, &Told { forward: Some(ask.why), detail: Some(refusal.token()), ..Told::default() });
            exchange::pass_on(x, q.request, response, added, fetched, sink, facts).await
        }
        Ok(entry) => {
            if is_shareable(&entry.stored, response_time_ms) {
                x.w.unshared.forget(ask.key);
            } else {
                x.w.unshared.add(ask.key);
            }
            let fill = match fill {
                Some(fill) => Some(fill),
                // Bytes of a conditional or ranged answer that was not shaped for the cache are not the whole.
                None if !whole && (q.asked.conditional || q.asked.range) => None,
                None => x.w.process.store.try_lead(&slot(ask.key)),
            };
            let Some(fill) = fill else {
                told(added, &Told { forward: Some(ask.why), ..Told::default() });
                return exchange::pass_on(x, q.request, response, added, fetched, sink, facts).await;
            };
            Box::pin(store(x, q, &ask, entry, fill, seq, fetched, response, added, sink, facts)).await
        }
    }
}

/// The key under which a candidate keeps what it fetches for a zone that it changes. It may answer from what is there,
/// but what it brings is for those it was meant for alone: from another origin, by other rules, or wrong.
fn beside(key: httpcache::Key, candidate: u64) -> httpcache::Key {
    // An odd factor tells all candidates apart; the keys themselves are spread already.
    httpcache::Key(key.0 ^ u128::from(candidate).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// Whether a response that is not stored nevertheless shows that what is stored is no longer what there is. What is
/// said to one request only (authorised, ranged, refused) and passing trouble of the origin show nothing.
pub(crate) fn replaces(status: u16, refusal: Refusal) -> bool {
    matches!(status, 200..=203 | 300..=303 | 307 | 308 | 404 | 410)
        && !matches!(
            refusal,
            Refusal::Authorization | Refusal::Bypassed(_) | Refusal::Method | Refusal::Status
        )
}

/// Stores a response while answering from it. Who caused the fetch gets the origin's own fields, those included that
/// are not to be stored.
async fn store<S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    ask: &Ask<'_>,
    entry: httpcache::Entry,
    mut fill: Fill,
    seq: u64,
    fetched: Fetched<'_>,
    response: &mut ResponseHead,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    place(x, q, &entry, &mut fill, seq);
    let length = seawall_http::framing::length(&response.fields, true).ok().flatten();
    let meta = meta(x, q, &entry, response.status, length);
    let stored = entry.stored;
    let told_how = Told { forward: Some(ask.why), stored: true, ..Told::default() };
    if !fill.head(meta.clone()) {
        told(added, &Told { stored: false, detail: Some("size"), ..told_how });
        return exchange::pass_on(x, q.request, response, added, fetched, sink, facts).await;
    }
    let age_s = stored.age_s(x.w.unix_ms());
    seawall_http::hop::drop_nominated(&mut response.fields);
    let own = &response.fields;
    match filling::fill(x, fill, fetched, facts) {
        filling::Filled::Whole(object) => {
            let held = Held::Stored(&object);
            serving::send(x, q, held, &stored, own, age_s, &told_how, added, sink, facts).await
        }
        filling::Filled::Following(follower) => {
            let held = Held::Arriving(&meta, follower);
            serving::send(x, q, held, &stored, own, age_s, &told_how, added, sink, facts).await
        }
        filling::Filled::Broken(fault) => Err(Fail::Origin(fault)),
    }
}

/// Takes a 304 in: the stored response is good again.
async fn revalidated<S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    found: &Found,
    freshened: Freshened,
    ask: Ask<'_>,
    seq: u64,
    fill: Option<Fill>,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let told = Told { forward: Some(ask.why), forward_status: Some(304), ..Told::default() };
    facts.cache = Some(CacheStatus::Revalidated);
    match freshened {
        Freshened::Update(entry) => {
            let age_s = entry.stored.age_s(x.w.unix_ms());
            match update(x, q, found, &entry, seq, fill) {
                Some(object) => {
                    let told = Told { stored: true, ..told };
                    let held = Held::Stored(&object);
                    serving::held(x, q, held, &entry.stored, age_s, &told, added, sink, facts).await
                }
                None => serving::last(x, q, found, &entry.fields, age_s, &told, added, sink, facts).await,
            }
        }
        Freshened::Once(fields) => {
            drop(fill);
            serving::last(x, q, found, &fields, 0, &told, added, sink, facts).await
        }
        Freshened::Last(refusal, fields) => {
            x.w.process.store.remove(&slot(ask.key));
            if let Some(fill) = fill {
                fill.refuse();
            }
            let told = Told { detail: Some(refusal.token()), ..told };
            serving::last(x, q, found, &fields, 0, &told, added, sink, facts).await
        }
        // Asked again by the caller.
        Freshened::Mismatch => Err(Fail::Broken),
    }
}

/// Stores what a 304 made of a response; under another key, if it varies on other fields now. `None`: it could not be
/// kept.
pub(crate) fn update(
    x: &Exchange<'_>,
    q: &Question<'_>,
    found: &Found,
    entry: &httpcache::Entry,
    seq: u64,
    fill: Option<Fill>,
) -> Option<Arc<Object>> {
    let store = &x.w.process.store;
    let old = &found.object;
    let meta = meta(x, q, entry, old.meta.status, old.meta.body_len);
    let key = slot(x.w.process.keys.variant(q.primary, &entry.vary, &q.request.fields));
    if key == old.key() {
        return Some(match fill {
            Some(fill) => fill.refresh(old, meta),
            None => store.refresh(old, meta),
        });
    }
    store.remove(&old.key());
    // Slices lie under the key of their object: a long body is fetched again under its new one.
    let body = old.body().whole()?.clone();
    mark_variants(x, q, entry, seq);
    let object = store.insert(&key, old.seq(), meta, body)?;
    if let Some(fill) = fill {
        fill.adopt(object.clone());
    }
    Some(object)
}

async fn serve_stale<S: Sink>(
    x: &Exchange<'_>,
    q: &Question<'_>,
    found: &Found,
    age_s: u32,
    fill: Option<Fill>,
    added: &mut Fields,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    if let Some(fill) = fill {
        fill.adopt(found.object.clone());
    }
    facts.cache = Some(CacheStatus::Stale);
    let told = Told {
        ttl_s: Some(found.stored.ttl_s(x.w.unix_ms())),
        detail: Some("origin-error"),
        ..Told::default()
    };
    serving::object(x, q, found, age_s, &told, added, sink, facts).await
}

fn freshen_by_head(x: &Exchange<'_>, q: &Question<'_>, found: &Found, exchange: &httpcache::Exchange<'_>) {
    let old = &found.object;
    match httpcache::freshen_by_head(exchange, &found.stored, &old.meta.fields, &x.route.cache) {
        Some(Freshened::Update(entry)) => drop(update(x, q, found, &entry, old.seq(), None)),
        Some(Freshened::Mismatch | Freshened::Last(..)) => drop(x.w.process.store.remove(&old.key())),
        Some(Freshened::Once(_)) | None => {}
    }
}

/// Passes a request on that the cache has no part in.
async fn direct<B: RequestBody, S: Sink>(
    x: &Exchange<'_>,
    request: &RequestHead,
    response: &mut ResponseHead,
    added: &mut Fields,
    body: &mut B,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let fetched = fetch::fetch(x, request, &request.fields, response, added, body, sink, facts).await?;
    exchange::pass_on(x, request, response, added, fetched, sink, facts).await
}

/// Forgets what a request with an unsafe method made invalid (RFC 9111 §4.4).
pub(crate) fn after_unsafe(x: &Exchange<'_>, request: &RequestHead, response: &ResponseHead) {
    if !x.zone.doc.cache || request.method.is_safe() {
        return;
    }
    let request_facts = httpcache::UnsafeRequest {
        method: request.method,
        scheme: scheme(x),
        authority: &request.authority,
        target: &request.target,
    };
    for target in httpcache::invalidated(&request_facts, response.status, &response.fields) {
        let mut halves = target.splitn(2, |b| *b == b'?');
        let (path, query) = (halves.next().unwrap_or(&[]), halves.next());
        let Some(route) = x.zone.route(request.host(), b"GET", path) else { continue };
        let (zone, host) = (&x.zone.doc.name, &request.authority);
        let of = Target { scheme: scheme(x), host, zone: zone.as_bytes(), path, query };
        let key = x.w.process.keys.key(&of, &route.query);
        let url = Purge::Url { zone, host: request.host(), target: &route.query.canonical(&target) };
        x.w.process.store.invalidate(&slot(key), &url);
    }
}

/// Purges a URL and all its variants. The part of a query that the URL's route ignores does not count.
pub(crate) fn purge_url(store: &cachestore::Store, zone: &Zone, host: &[u8], target: &[u8]) {
    let path = target.split(|b| *b == b'?').next().unwrap_or(target);
    let route = zone.route(host, b"GET", path);
    let target = route.map_or(Cow::Borrowed(target), |r| r.query.canonical(target));
    store.purge(&Purge::Url { zone: &zone.doc.name, host, target: &target });
}

/// Looks a request up; the key is that of the variant, where the URL has variants.
pub(crate) async fn look_up(x: &Exchange<'_>, q: &Question<'_>) -> (httpcache::Key, Option<Found>) {
    let store = &x.w.process.store;
    let Some(object) = store.get(&slot(q.primary)).await else { return (q.primary, None) };
    let Some(vary) = &object.meta.vary else { return (q.primary, found(object)) };
    let Some(spec) = VarySpec::decode(vary) else { return (q.primary, None) };
    let key = x.w.process.keys.variant(q.primary, &spec, &q.request.fields);
    (key, store.get(&slot(key)).await.and_then(found))
}

fn found(object: Arc<Object>) -> Option<Found> {
    // One with a slice gone is fetched anew rather than sent in part.
    let usable = object.body().whole().is_some() || object.body().is_complete();
    usable.then_some(())?;
    Some(Found { stored: Stored::decode(&object.meta.stored).ok()?, object })
}

/// Whether those who wait for a response may have it (RFC 9111 §4: only what a cache may reuse). What is stale on
/// arrival, or `no-cache`, is for the one who asked, and kept to be validated.
fn is_shareable(stored: &Stored, now_ms: u64) -> bool {
    stored.is_fresh(now_ms)
        || (stored.stale_while_revalidate_s > 0 && !stored.flags.has(httpcache::Flags::NO_CACHE))
}

/// Waits for the head of someone else's fetch; `None` if it is of no use to this request.
async fn follow(
    x: &Exchange<'_>,
    q: &Question<'_>,
    key: httpcache::Key,
    mut follower: Follower,
) -> Option<(Arc<Meta>, Follower, Stored)> {
    match follower.head().await {
        Followed::Head(meta) => {
            let stored = Stored::decode(&meta.stored).ok()?;
            if !is_shareable(&stored, x.w.unix_ms()) {
                x.w.unshared.add(key);
                return None;
            }
            // The fetch was for another variant of the URL if the fields it varies on differ.
            let (of, spec) = Extra::of(&meta).variant()?;
            let same = spec.is_empty()
                || VarySpec::decode(spec).is_some_and(|s| {
                    x.w.process.keys.variant(q.primary, &s, &q.request.fields).to_bytes() == of
                });
            same.then_some((meta, follower, stored))
        }
        Followed::Refused => {
            x.w.unshared.add(key);
            None
        }
        Followed::Retry => None,
    }
}

/// Chooses the key to store under; a URL with variants gets a marker that leads to them.
pub(crate) fn place(x: &Exchange<'_>, q: &Question<'_>, entry: &httpcache::Entry, fill: &mut Fill, seq: u64) {
    mark_variants(x, q, entry, seq);
    fill.vary_to(slot(x.w.process.keys.variant(q.primary, &entry.vary, &q.request.fields)));
}

fn mark_variants(x: &Exchange<'_>, q: &Question<'_>, entry: &httpcache::Entry, seq: u64) {
    if entry.vary.is_empty() {
        return;
    }
    let marker = Meta {
        vary: Some(entry.vary.encode().into()),
        labels: labels(x, q, &Fields::new()),
        created_ms: x.w.unix_ms(),
        ..Meta::default()
    };
    x.w.process.store.insert(&slot(q.primary), seq, marker, bytes::Bytes::new());
}

/// The head to store.
pub(crate) fn meta(
    x: &Exchange<'_>,
    q: &Question<'_>,
    entry: &httpcache::Entry,
    status: u16,
    length: Option<u64>,
) -> Meta {
    let head = ResponseHead { status, fields: entry.fields.clone(), ..ResponseHead::default() };
    let key = x.w.process.keys.variant(q.primary, &entry.vary, &q.request.fields);
    Meta {
        extra: Extra::encode(&head, length, key, &entry.vary),
        status,
        fields: head.fields,
        stored: entry.stored.encode().to_vec().into(),
        body_len: length,
        labels: labels(x, q, &entry.fields),
        created_ms: x.w.unix_ms(),
        vary: None,
    }
}

fn labels(x: &Exchange<'_>, q: &Question<'_>, fields: &Fields) -> Labels {
    let target = x.route.query.canonical(&q.request.target);
    Labels::new(&x.zone.doc.name, q.request.host(), &target, httpcache::tags::tags(fields))
}

/// What the edge keeps beside the record of a response: found out once, when it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Extra<'m>(&'m [u8]);

impl<'m> Extra<'m> {
    /// May be compressed for a client that wants it.
    const TEXT: u8 = 1;
    /// Each of its chunks is a message of its own.
    const STREAM: u8 = 2;
    /// Names Accept-Encoding in Vary by itself.
    const VARIES: u8 = 4;

    pub(crate) fn of(meta: &'m Meta) -> Extra<'m> {
        Extra(&meta.extra)
    }

    fn encode(
        head: &ResponseHead,
        length: Option<u64>,
        key: httpcache::Key,
        vary: &VarySpec,
    ) -> bytes::Bytes {
        let text = seawall_compress::eligible(&RequestHead::default(), head, length);
        let stream = seawall_compress::flushes_each_chunk(head);
        let varies = vary.names().any(|n| n == b"accept-encoding");
        let mut out = Vec::with_capacity(32);
        let flag = |on, flag| if on { flag } else { 0 };
        out.push(flag(text, Extra::TEXT) | flag(stream, Extra::STREAM) | flag(varies, Extra::VARIES));
        out.extend_from_slice(&key.to_bytes());
        if !vary.is_empty() {
            out.extend_from_slice(&vary.encode());
        }
        out.into()
    }

    pub(crate) fn is_text(self) -> bool {
        self.has(Extra::TEXT)
    }

    pub(crate) fn is_stream(self) -> bool {
        self.has(Extra::STREAM)
    }

    pub(crate) fn varies_by_coding(self) -> bool {
        self.has(Extra::VARIES)
    }

    /// Key, and what it varies on.
    fn variant(self) -> Option<(&'m [u8], &'m [u8])> {
        const KEY_BYTES: usize = 16;
        self.0.get(1..)?.split_at_checked(KEY_BYTES)
    }

    fn has(self, flag: u8) -> bool {
        self.0.first().is_some_and(|flags| flags & flag != 0)
    }
}

/// The request fields to fetch a whole response with, conditional on what is stored.
pub(crate) fn shape<'q>(q: &Question<'q>, found: Option<&Found>) -> Cow<'q, Fields> {
    let plain = &q.request.fields;
    let conditional = [
        Known::IfNoneMatch,
        Known::IfModifiedSince,
        Known::IfMatch,
        Known::IfUnmodifiedSince,
        Known::Range,
        Known::AcceptEncoding,
    ];
    let found = found.filter(|f| f.stored.has_validator());
    if found.is_none() && !conditional.iter().any(|name| plain.has(*name)) {
        return Cow::Borrowed(plain);
    }
    let mut fields = plain.clone();
    match found {
        Some(found) => drop(httpcache::validation(&found.object.meta.fields, &mut fields)),
        None => httpcache::for_whole(&mut fields),
    }
    // Few forms of one wish make few variants.
    if plain.has(Known::AcceptEncoding) {
        fields.set(Known::AcceptEncoding, httpcache::Codings::of(plain).value().as_bytes());
    }
    Cow::Owned(fields)
}

/// Writes our member of Cache-Status for a response that is passed on.
fn told(added: &mut Fields, told: &Told<'_>) {
    added.clear();
    serving::tell(added, told);
}

fn target<'a>(x: &'a Exchange<'_>, request: &'a RequestHead) -> Target<'a> {
    Target {
        scheme: scheme(x),
        host: &request.authority,
        zone: x.zone.doc.name.as_bytes(),
        path: request.path(),
        query: request.query(),
    }
}

fn scheme(x: &Exchange<'_>) -> &'static [u8] {
    if x.https { b"https" } else { b"http" }
}

fn far_range(q: &Question<'_>) -> bool {
    let Some(range) = q.request.fields.get(Known::Range).filter(|_| q.asked.range) else { return false };
    let Some(spec) = range.strip_prefix(b"bytes=") else { return false };
    let start: Option<u64> = spec
        .split(|b| *b == b'-')
        .next()
        .and_then(|s| std::str::from_utf8(s).ok())
        .and_then(|s| s.trim().parse().ok());
    // A suffix counts from an end that is far away.
    start.is_none_or(|start| start > RANGE_START_MAX)
}

fn has_cookie(x: &Exchange<'_>, fields: &Fields) -> bool {
    fields.all(Known::Cookie).flat_map(|v| v.split(|b| *b == b';')).any(|pair| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or(&[]).trim_ascii();
        x.route.doc.bypass_cookie.iter().any(|pattern| pattern.matches(name))
    })
}

/// A key as the store takes it: `httpcache` makes keys and `cachestore` keeps things under them, unknown to each other.
pub(crate) fn slot(key: httpcache::Key) -> cachestore::Key {
    cachestore::Key(key.0)
}
