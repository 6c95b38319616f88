//! Whether a response is stored, and for how long it is fresh (RFC 9111 §3, §4.2).

use crate::dates;
use crate::directives::{Directives, MAX_SECONDS, Seconds, Source};
use crate::facts::{Bypass, RequestFacts};
use crate::policy::{Mode, POLICY_SECONDS_MAX, Policy, SetCookie, default_ttl_s, is_static};
use crate::status::CfStatus;
use crate::stored::{Flags, Stored};
use crate::vary::{VaryError, VarySpec};
use seawall_http::{Fields, Known, Method, ResponseHead};
use thiserror::Error;

/// One exchange with the origin.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The client's request.
    pub request: &'a RequestFacts,
    /// The path asked for, without query.
    pub path: &'a [u8],
    /// The origin's response.
    pub response: &'a ResponseHead,
    /// When the request was sent to the origin, unix milliseconds.
    pub request_time_ms: u64,
    /// When the response head came, unix milliseconds.
    pub response_time_ms: u64,
}

/// A response to store.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Times and flags.
    pub stored: Stored,
    /// What it varies on; the key to store it under is [`KeyMaker::variant`](crate::KeyMaker::variant) of it.
    pub vary: VarySpec,
    /// The fields to store: without those RFC 9111 §3.1 excludes and without Age, with a Date.
    pub fields: Fields,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request went past the cache.
    #[error("the request bypassed the cache")]
    Bypassed(Bypass),
    /// Only responses to GET are stored.
    #[error("only responses to GET are stored")]
    Method,
    /// Partial, not modified, informational, or a judgement on this one request (206, 304, 1xx, 412, 416).
    #[error("the status is never stored")]
    Status,
    /// `must-understand` and a status this cache does not know.
    #[error("must-understand and a status that is not understood")]
    NotUnderstood,
    /// `no-store`.
    #[error("no-store")]
    NoStore,
    /// `private`.
    #[error("private")]
    Private,
    /// The request was authorised and the response does not open itself to others (RFC 9111 §3.5).
    #[error("answer to an authorised request")]
    Authorization,
    /// Vary cannot be matched later.
    #[error("{0}")]
    Vary(VaryError),
    /// Sets cookies, and the policy wants more than it says.
    #[error("sets cookies")]
    SetCookie,
    /// No explicit freshness and nothing that would assign one.
    #[error("no explicit freshness")]
    NoFreshness,
    /// Stale from the start, without validator or stale window: storing it would serve nobody.
    #[error("stale on arrival")]
    Useless,
}

impl Refusal {
    /// CF-Cache-Status of the response: BYPASS where the origin, the client or a rule kept it out of the cache, DYNAMIC
    /// where nobody asked for caching.
    #[must_use]
    pub fn cf_status(self) -> CfStatus {
        match self {
            Refusal::Bypassed(bypass) => bypass.cf_status(),
            Refusal::NoFreshness | Refusal::Method | Refusal::Status => CfStatus::Dynamic,
            Refusal::NotUnderstood
            | Refusal::NoStore
            | Refusal::Private
            | Refusal::Authorization
            | Refusal::Vary(_)
            | Refusal::SetCookie
            | Refusal::Useless => CfStatus::Bypass,
        }
    }

    /// A token for the `detail` of Cache-Status.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Refusal::Bypassed(Bypass::Method) | Refusal::Method => "method",
            Refusal::Bypassed(Bypass::Off) => "off",
            Refusal::Bypassed(Bypass::DevelopmentMode) => "development-mode",
            Refusal::Bypassed(Bypass::Cookie) => "cookie",
            Refusal::Bypassed(Bypass::NoStore) => "request-no-store",
            Refusal::Status => "status",
            Refusal::NotUnderstood => "must-understand",
            Refusal::NoStore => "no-store",
            Refusal::Private => "private",
            Refusal::Authorization => "authorization",
            Refusal::Vary(VaryError::Star) => "vary-star",
            Refusal::Vary(VaryError::Limit) => "vary-limit",
            Refusal::SetCookie => "set-cookie",
            Refusal::NoFreshness => "no-freshness",
            Refusal::Useless => "stale-on-arrival",
        }
    }
}

/// Decides about storing a response to GET.
///
/// # Errors
/// Why it is not stored.
pub fn store(exchange: &Exchange<'_>, policy: &Policy) -> Result<Entry, Refusal> {
    let Exchange { request, path, response, .. } = *exchange;
    request.admit(policy).map_err(Refusal::Bypassed)?;
    if request.method != Method::Get {
        return Err(Refusal::Method);
    }
    entry(exchange, policy, path, response.status, &response.fields)
}

/// The same for a stored response freshened by `fields`, already merged: the method was settled when it was stored.
pub(crate) fn entry(
    exchange: &Exchange<'_>,
    policy: &Policy,
    path: &[u8],
    status: u16,
    fields: &Fields,
) -> Result<Entry, Refusal> {
    if !is_storable_status(status) {
        return Err(Refusal::Status);
    }
    let told = Directives::of(fields, policy);
    let (lifetime, said) = match policy.edge_ttl_s {
        // The operator's word replaces the origin's.
        Some(ttl) => (edge_ttl(ttl, status)?, Directives::default()),
        None => {
            permits(&told, status)?;
            (Lifetime::of(exchange, policy, path, status, fields, &told), told)
        }
    };
    if request_is_private(exchange.request, &said) {
        return Err(Refusal::Authorization);
    }
    let vary = VarySpec::of(fields).map_err(Refusal::Vary)?;
    let lifetime_s = match lifetime {
        // Kept for validation alone, where §3 allows storing without any freshness.
        Lifetime::None if said.no_cache && (said.public || is_heuristically_cacheable(status)) => 0,
        Lifetime::None => return Err(Refusal::NoFreshness),
        Lifetime::Explicit(s) | Lifetime::Assigned(s) => s,
    };
    let cookies = fields.has(Known::SetCookie) && !said.unstored.iter().any(|n| **n == *b"set-cookie");
    if cookies && policy.edge_ttl_s.is_none() && !may_store_cookies(policy, lifetime, &said) {
        return Err(Refusal::SetCookie);
    }
    let times = Times::of(exchange, fields);
    let lifetime_s = if times.sound { lifetime_s.min(MAX_SECONDS) } else { 0 };
    let stored = describe(exchange, policy, status, fields, &said, &times, lifetime_s, lifetime);
    let usable = lifetime_s > 0 && !said.no_cache;
    let windows = stored.stale_while_revalidate_s > 0 || stored.stale_if_error_s > 0;
    if !usable && !windows && !stored.has_validator() {
        return Err(Refusal::Useless);
    }
    let fields = kept_fields(fields, &said, policy.edge_ttl_s.is_some(), &times);
    Ok(Entry { stored, vary, fields })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    None,
    Explicit(u32),
    Assigned(u32),
}

impl Lifetime {
    /// RFC 9111 §4.2.1, then what the policy adds.
    fn of(
        exchange: &Exchange<'_>,
        policy: &Policy,
        path: &[u8],
        status: u16,
        fields: &Fields,
        told: &Directives,
    ) -> Lifetime {
        let explicit = told.s_maxage.or_zero_if_invalid().or(told.max_age.or_zero_if_invalid());
        if let Some(s) = explicit {
            return Lifetime::Explicit(s);
        }
        if told.source == Source::CacheControl && fields.has(Known::Expires) {
            return Lifetime::Explicit(expires(exchange, fields));
        }
        // No default and no heuristic under `no-cache`: each use would be validated anyway.
        if told.no_cache {
            return Lifetime::None;
        }
        let eligible = policy.mode == Mode::Everything || (policy.static_defaults && is_static(path));
        let assigned = default_ttl_s(status).filter(|_| eligible);
        match assigned.or_else(|| heuristic(exchange, policy, status, fields, told)) {
            Some(s) => Lifetime::Assigned(s),
            None => Lifetime::None,
        }
    }
}

/// What forbids storing (RFC 9111 §3).
fn permits(told: &Directives, status: u16) -> Result<(), Refusal> {
    if told.must_understand {
        // It replaces no-store for caches that know both the directive and the status (§5.2.2.3).
        if !is_understood(status) {
            return Err(Refusal::NotUnderstood);
        }
    } else if told.no_store {
        return Err(Refusal::NoStore);
    }
    if told.private { Err(Refusal::Private) } else { Ok(()) }
}

/// RFC 9111 §3.5.
fn request_is_private(request: &RequestFacts, said: &Directives) -> bool {
    request.authorization && !(said.public || said.must_revalidate || said.s_maxage != Seconds::Absent)
}

fn may_store_cookies(policy: &Policy, lifetime: Lifetime, said: &Directives) -> bool {
    let shared = said.public || said.s_maxage != Seconds::Absent || said.source != Source::CacheControl;
    match (policy.set_cookie, lifetime) {
        (SetCookie::Never, _) | (_, Lifetime::Assigned(_)) => false,
        (SetCookie::WhenExplicit, _) => true,
        (SetCookie::WhenShared, _) => shared,
    }
}

fn edge_ttl(ttl: u32, status: u16) -> Result<Lifetime, Refusal> {
    let ttl = ttl.min(POLICY_SECONDS_MAX);
    match (ttl, status) {
        (0, _) => Err(Refusal::Useless),
        (_, 200..=299 | 301 | 308) => Ok(Lifetime::Assigned(ttl)),
        _ => match default_ttl_s(status) {
            Some(s) => Ok(Lifetime::Assigned(s.min(ttl))),
            None => Err(Refusal::NoFreshness),
        },
    }
}

/// Expires minus Date (§4.2.1). Expires that is no date, or several that differ, mean "already expired" (§5.3).
fn expires(exchange: &Exchange<'_>, fields: &Fields) -> u32 {
    let mut lines = fields.all(Known::Expires);
    let Some(first) = lines.next() else { return 0 };
    if lines.any(|other| other != first) {
        return 0;
    }
    let now_ms = exchange.response_time_ms;
    let date = date_s(fields, now_ms).unwrap_or(now_ms / 1000);
    let lifetime = dates::parse_s(first, now_ms).unwrap_or(0).saturating_sub(date);
    lifetime.min(MAX_SECONDS.into()) as u32
}

/// §4.2.2: a share of the time since Last-Modified, for statuses that allow it, or when `public` says so.
fn heuristic(
    exchange: &Exchange<'_>,
    policy: &Policy,
    status: u16,
    fields: &Fields,
    told: &Directives,
) -> Option<u32> {
    let rule = policy.heuristic?;
    if !is_heuristically_cacheable(status) && !told.public {
        return None;
    }
    let now_ms = exchange.response_time_ms;
    let date = date_s(fields, now_ms).unwrap_or(now_ms / 1000);
    let modified = dates::parse_s(fields.get(Known::LastModified)?, now_ms)?;
    let share = date.saturating_sub(modified).saturating_mul(rule.percent.into()) / 100;
    Some(share.min(rule.max_s.min(MAX_SECONDS).into()) as u32).filter(|s| *s > 0)
}

fn date_s(fields: &Fields, now_ms: u64) -> Option<u64> {
    dates::parse_s(fields.get(Known::Date)?, now_ms)
}

/// Age on arrival (§4.2.3).
struct Times {
    initial_age_ms: u64,
    date_s: Option<u64>,
    arrival_s: u64,
    /// False when Age is anything but one non-negative integer. RFC 9111 §5.1 would have the first of several used and
    /// nonsense ignored; http-cache-tests, and §4.2.1 on invalid freshness information, take such a response as stale.
    sound: bool,
}

impl Times {
    fn of(exchange: &Exchange<'_>, fields: &Fields) -> Times {
        let arrival_s = exchange.response_time_ms / 1000;
        let date_s = date_s(fields, exchange.response_time_ms);
        let mut age = Seconds::Absent;
        for line in fields.all(Known::Age) {
            age = match age {
                Seconds::Absent => Seconds::parse(line.trim_ascii()),
                _ => Seconds::Invalid,
            };
        }
        // Date has whole seconds: comparing it with milliseconds would age every response by up to a second.
        let apparent_ms = arrival_s.saturating_sub(date_s.unwrap_or(arrival_s)).saturating_mul(1000);
        let delay_ms = exchange.response_time_ms.saturating_sub(exchange.request_time_ms);
        let corrected_ms = (u64::from(age.valid().unwrap_or(0)) * 1000).saturating_add(delay_ms);
        Times {
            initial_age_ms: apparent_ms.max(corrected_ms),
            date_s,
            arrival_s,
            sound: age != Seconds::Invalid,
        }
    }
}

#[allow(clippy::too_many_arguments)] // one place that knows everything; splitting it would pass the same things twice
fn describe(
    exchange: &Exchange<'_>,
    policy: &Policy,
    status: u16,
    fields: &Fields,
    said: &Directives,
    times: &Times,
    lifetime_s: u32,
    lifetime: Lifetime,
) -> Stored {
    let modified = fields.get(Known::LastModified).and_then(|v| dates::parse_s(v, exchange.response_time_ms));
    let date_s = times.date_s.unwrap_or(times.arrival_s);
    let own = said.stale_while_revalidate.valid().is_some() || said.stale_if_error.valid().is_some();
    let strict = said.no_cache || said.must_revalidate || said.proxy_revalidate;
    let s_maxage = said.s_maxage != Seconds::Absent;
    let window = |own: Seconds, policy_s: u32| match own.valid() {
        _ if strict => 0,
        Some(s) => s,
        // `s-maxage` forbids stale unless the response itself lifts that.
        None if s_maxage => 0,
        None => policy_s.min(POLICY_SECONDS_MAX),
    };
    Stored {
        response_time_ms: exchange.response_time_ms,
        initial_age_ms: times.initial_age_ms,
        modified_s: modified.unwrap_or(date_s),
        lifetime_s,
        stale_while_revalidate_s: window(said.stale_while_revalidate, policy.stale_while_revalidate_s),
        stale_if_error_s: window(said.stale_if_error, policy.stale_if_error_s),
        status,
        flags: Flags::default()
            .with(Flags::NO_CACHE, said.no_cache)
            .with(Flags::MUST_REVALIDATE, said.must_revalidate || said.proxy_revalidate)
            .with(Flags::S_MAXAGE, s_maxage)
            .with(Flags::ASSIGNED, matches!(lifetime, Lifetime::Assigned(_)))
            .with(Flags::ETAG, fields.get(Known::ETag).is_some_and(|v| !v.is_empty()))
            .with(Flags::LAST_MODIFIED, modified.is_some())
            .with(Flags::STRONG_DATE, times.date_s.zip(modified).is_some_and(|(d, m)| m < d))
            .with(Flags::IMMUTABLE, said.immutable)
            .with(Flags::OWN_WINDOWS, own),
    }
}

/// Statuses never stored: RFC 9111 §3 needs 206 and 304 understood, and this cache keeps whole responses only; 412 and
/// 416 judge one request's conditions and would be wrong for the next.
fn is_storable_status(status: u16) -> bool {
    (200..=599).contains(&status) && !matches!(status, 206 | 304 | 412 | 416)
}

/// Final statuses of RFC 9110 §15 (with 308, 421, 426, 428, 429, 431, 451, 511 from their own RFCs) whose caching this
/// cache implements.
fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=411 | 413..=415 | 417 | 421 | 422 | 424 | 426 | 428 | 429
            | 431 | 451 | 500..=505 | 511
    )
}

/// "Heuristically cacheable" statuses of RFC 9110 §15.1, without 206.
fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The fields a cache keeps (RFC 9111 §3.1), without Age (it is in [`Stored`]) and with a Date (RFC 9110 §6.6.1).
fn kept_fields(fields: &Fields, said: &Directives, drop_cookies: bool, times: &Times) -> Fields {
    let mut kept = Fields::new();
    for (known, name, value) in fields.iter() {
        let listed = said.unstored.iter().any(|n| n.eq_ignore_ascii_case(name));
        let date = known == Known::Date && times.date_s.is_none();
        let cookie = known == Known::SetCookie && drop_cookies;
        if known != Known::Age && !listed && !date && !cookie && !is_hop_by_hop(fields, known, name) {
            kept.push(name, value);
        }
    }
    if times.date_s.is_none() {
        kept.add(Known::Date, &dates::format(times.arrival_s));
    }
    kept
}

/// Fields about the connection or the proxy: RFC 9110 §7.6.1, RFC 9111 §3.1, and those Connection names.
pub(crate) fn is_hop_by_hop(fields: &Fields, known: Known, name: &[u8]) -> bool {
    const UNNAMED: [&[u8]; 1] = [b"proxy-authentication-info"];
    let fixed = matches!(
        known,
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization
            | Known::ProxyConnection
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::Http2Settings
    );
    fixed
        || (known == Known::Other && UNNAMED.iter().any(|n| n.eq_ignore_ascii_case(name)))
        || fields.all(Known::Connection).any(|line| {
            line.split(|b| *b == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(name))
        })
}
