//! Pools of origins: how one is chosen, watched and spared.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::{self, as_word};
use crate::url::{OriginUrl, Scheme};

/// One `[[zone.pool]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name, unique in the zone.
    pub name: String,
    /// How an origin is chosen. Default round robin.
    #[serde(default, skip_serializing_if = "text::plain")]
    pub policy: Policy,
    /// Cookie that keeps a visitor on one origin. Default none.
    #[serde(default, deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Pools of the same zone tried in this order when every origin here is out. Default none. Free of cycles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// Further tries of a request that may safely be repeated. Default 1.
    #[serde(default = "default_retries", skip_serializing_if = "is_default_retries")]
    pub retries: u32,
    /// Most retries as a share of the pool's requests, in percent. Default 20.
    #[serde(default = "default_budget", skip_serializing_if = "is_default_budget")]
    pub retry_budget_percent: u32,
    /// The origins; never empty.
    pub origins: Vec<Origin>,
    /// The longest an origin may take.
    #[serde(default, skip_serializing_if = "text::plain")]
    pub timeouts: PoolTimeouts,
    /// Active health checks. Default none.
    #[serde(default, deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// Passive ejection of failing origins.
    #[serde(default, skip_serializing_if = "text::plain")]
    pub ejection: Ejection,
    /// The limit on requests at once.
    #[serde(default, skip_serializing_if = "text::plain")]
    pub concurrency: Concurrency,
}

impl Pool {
    /// A pool with the defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, origins: Vec<Origin>) -> Self {
        Pool {
            name: name.into(),
            policy: Policy::default(),
            affinity: None,
            fallback: Vec::new(),
            retries: default_retries(),
            retry_budget_percent: default_budget(),
            origins,
            timeouts: PoolTimeouts::default(),
            monitor: None,
            ejection: Ejection::default(),
            concurrency: Concurrency::default(),
        }
    }
}

const fn default_retries() -> u32 {
    1
}

const fn is_default_retries(count: &u32) -> bool {
    *count == default_retries()
}

const fn default_budget() -> u32 {
    20
}

const fn is_default_budget(percent: &u32) -> bool {
    *percent == default_budget()
}

/// How an origin is chosen among the healthy ones. Written as `round_robin`, `least_outstanding`, or `hash:` and a
/// [`HashKey`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastOutstanding,
    /// Consistent hash of this part of the request.
    Hash(HashKey),
}

impl Policy {
    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// [`PolicyFault`] when the text is no policy.
    pub fn parse(text: &str) -> Result<Self, PolicyFault> {
        Ok(match text {
            "round_robin" => Policy::RoundRobin,
            "least_outstanding" => Policy::LeastOutstanding,
            _ => Policy::Hash(HashKey::parse(text.strip_prefix("hash:").ok_or(PolicyFault::Policy)?)?),
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::RoundRobin => f.write_str("round_robin"),
            Policy::LeastOutstanding => f.write_str("least_outstanding"),
            Policy::Hash(key) => write!(f, "hash:{key}"),
        }
    }
}

/// Why a text is no policy or hash key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PolicyFault {
    /// No policy of that name.
    #[error("there is round_robin, least_outstanding and hash:KEY")]
    Policy,
    /// No hash key of that name.
    #[error("a hash key is ip, path, uri, header:NAME or cookie:NAME")]
    HashKey,
    /// A header or cookie whose name is none (`token` of RFC 9110 §5.6.2).
    #[error("this holds no valid name")]
    Name,
}

/// What a request is hashed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// `ip`: the visitor's address. The default.
    #[default]
    Ip,
    /// `path`: the path without the query.
    Path,
    /// `uri`: path and query.
    Uri,
    /// `header:NAME`: the first value of a request header. Requests without it hash as empty.
    Header(String),
    /// `cookie:NAME`: a cookie's value. Requests without it hash as empty.
    Cookie(String),
}

impl HashKey {
    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// [`PolicyFault`] when the text is no hash key.
    pub fn parse(text: &str) -> Result<Self, PolicyFault> {
        let named = |name: &str| if is_token(name) { Ok(name.to_owned()) } else { Err(PolicyFault::Name) };
        Ok(match (text, text.split_once(':')) {
            ("ip", _) => HashKey::Ip,
            ("path", _) => HashKey::Path,
            ("uri", _) => HashKey::Uri,
            (_, Some(("header", name))) => HashKey::Header(named(name)?),
            (_, Some(("cookie", name))) => HashKey::Cookie(named(name)?),
            _ => return Err(PolicyFault::HashKey),
        })
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashKey::Ip => f.write_str("ip"),
            HashKey::Path => f.write_str("path"),
            HashKey::Uri => f.write_str("uri"),
            HashKey::Header(name) => write!(f, "header:{name}"),
            HashKey::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// `token` of RFC 9110 §5.6.2: what names a header field, a method or a cookie.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Cookie that keeps a visitor on one origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Affinity {
    /// Its name. Default `__seawall_lb`.
    pub cookie: String,
    /// How long the browser keeps it. Default 1 h.
    #[serde(with = "text::duration")]
    pub ttl: Duration,
}

impl Default for Affinity {
    fn default() -> Self {
        Affinity { cookie: "__seawall_lb".to_owned(), ttl: Duration::from_secs(3600) }
    }
}

/// One origin of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Where it is.
    pub url: OriginUrl,
    /// Name in logs, metrics and the affinity cookie, unique in the pool. Default `host:port` of the URL.
    pub name: String,
    /// Its share of requests relative to the others, at least 1. Default 1.
    #[serde(default = "default_weight", skip_serializing_if = "is_default_weight")]
    pub weight: u32,
    /// `Host` header sent to it. Default `None`: the visitor's own.
    #[serde(default, deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Name sent and verified in TLS. Default `None`: see [`Origin::server_name`].
    #[serde(default, deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// PEM file of the authorities that may sign its certificate, instead of the system's. Default `None`.
    #[serde(default, with = "text::some_path", skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// TLS towards it. Default [`OriginTls::Strict`] for `https://` and [`OriginTls::Off`] for `http://`, and never
    /// at odds with the URL.
    pub tls: OriginTls,
    /// Whether HTTP/2 is spoken with it (by ALPN over TLS, by prior knowledge without). Default false.
    #[serde(default, skip_serializing_if = "text::is_no")]
    pub http2: bool,
    /// Connections to it at once, over all workers. Default 512.
    #[serde(default = "default_connections", skip_serializing_if = "is_default_connections")]
    pub max_connections: u32,
    /// Requests that may wait for a connection, over all workers. Default 1024; more are answered 503.
    #[serde(default = "default_pending", skip_serializing_if = "is_default_pending")]
    pub max_pending: u32,
    /// Whether it is used only when no other origin of the pool is healthy. Default false.
    #[serde(default, skip_serializing_if = "text::is_no")]
    pub backup: bool,
}

impl Origin {
    /// An origin with the defaults.
    #[must_use]
    pub fn new(url: OriginUrl) -> Self {
        Origin {
            name: url.host_port(),
            weight: default_weight(),
            host: None,
            sni: None,
            ca: None,
            tls: OriginTls::for_scheme(url.scheme),
            http2: false,
            max_connections: default_connections(),
            max_pending: default_pending(),
            backup: false,
            url,
        }
    }

    /// The name sent and verified in TLS: `sni`, else `host` without its port, else the URL's host. May be an address,
    /// which is verified but not sent (RFC 6066 §3).
    #[must_use]
    pub fn server_name(&self) -> &str {
        match (&self.sni, &self.host) {
            (Some(sni), _) => sni,
            (None, Some(host)) => without_port(host),
            (None, None) => &self.url.host,
        }
    }
}

const fn default_weight() -> u32 {
    1
}

const fn is_default_weight(weight: &u32) -> bool {
    *weight == default_weight()
}

const fn default_connections() -> u32 {
    512
}

const fn is_default_connections(count: &u32) -> bool {
    *count == default_connections()
}

const fn default_pending() -> u32 {
    1024
}

const fn is_default_pending(count: &u32) -> bool {
    *count == default_pending()
}

/// A Host value without its port and brackets.
fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split_once(']').map_or(inner, |(address, _)| address);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

/// TLS towards an origin, as in Cloudflare's encryption modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OriginTls {
    /// Cleartext.
    Off,
    /// Encrypted, whatever certificate the origin shows.
    Full,
    /// Encrypted, and the certificate must be valid for the name: 526 otherwise.
    Strict,
}

as_word!(OriginTls, "\"off\", \"full\" or \"strict\"", Off = "off", Full = "full", Strict = "strict");

impl OriginTls {
    /// The default for a scheme.
    #[must_use]
    pub const fn for_scheme(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => OriginTls::Off,
            Scheme::Https => OriginTls::Strict,
        }
    }
}

/// The `[zone.pool.timeouts]` table: the longest an origin may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolTimeouts {
    /// To connect, TLS included. Default 5 s; answered 522.
    #[serde(with = "text::duration")]
    pub connect: Duration,
    /// From the request sent to the first byte of the response. Default 100 s; answered 524.
    #[serde(with = "text::duration")]
    pub response: Duration,
    /// Without use of a kept connection. Default 60 s.
    #[serde(with = "text::duration")]
    pub idle: Duration,
    /// Between two reads of a response body. Default 100 s.
    #[serde(with = "text::duration")]
    pub between_bytes: Duration,
}

impl Default for PoolTimeouts {
    fn default() -> Self {
        PoolTimeouts {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(100),
            idle: Duration::from_secs(60),
            between_bytes: Duration::from_secs(100),
        }
    }
}

/// The `[zone.pool.monitor]` table: active health checks of each origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitor {
    /// What a check does. Default HTTP.
    pub kind: MonitorKind,
    /// Request target of an HTTP check. Default `/`.
    pub path: String,
    /// Its method, upper case. Default `GET`.
    pub method: String,
    /// Its Host header. Default `None`: the origin's `host`, else the URL's authority.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Statuses that count as healthy. Default 200–299.
    pub expect_status: Vec<StatusRange>,
    /// Text that must stand in the first 64 KiB of the body. Default none.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub expect_body: Option<String>,
    /// Between two checks. Default 10 s.
    #[serde(with = "text::duration")]
    pub interval: Duration,
    /// Longest a check may take, at most `interval`. Default 3 s.
    #[serde(with = "text::duration")]
    pub timeout: Duration,
    /// Checks in a row that must pass before an origin comes back. Default 2.
    pub healthy: u32,
    /// Checks in a row that must fail before it is taken out. Default 3.
    pub unhealthy: u32,
    /// Random spread of the interval, in percent to either side. Default 20.
    pub jitter_percent: u32,
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor {
            kind: MonitorKind::Http,
            path: "/".to_owned(),
            method: "GET".to_owned(),
            host: None,
            expect_status: vec![StatusRange { from: 200, to: 299 }],
            expect_body: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            healthy: 2,
            unhealthy: 3,
            jitter_percent: 20,
        }
    }
}

impl Monitor {
    /// Whether a check answered with `status` counts as healthy.
    #[must_use]
    pub fn expects(&self, status: u16) -> bool {
        self.expect_status.iter().any(|range| range.contains(status))
    }
}

/// What a health check does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MonitorKind {
    /// A request in cleartext.
    #[default]
    Http,
    /// A request over TLS, verified as the origin's `tls` says.
    Https,
    /// A connection only.
    Tcp,
}

as_word!(MonitorKind, "\"http\", \"https\" or \"tcp\"", Http = "http", Https = "https", Tcp = "tcp");

/// A run of HTTP statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

impl StatusRange {
    /// Reads `204`, `2xx` or `200-299`.
    ///
    /// # Errors
    /// [`StatusFault`] when the text is none of these or lies outside 100–599.
    pub fn parse(text: &str) -> Result<Self, StatusFault> {
        let number = |t: &str| -> Result<u16, StatusFault> {
            if t.len() != 3 || !t.bytes().all(|b| b.is_ascii_digit()) {
                return Err(StatusFault);
            }
            t.parse().ok().filter(|n| (100..=599).contains(n)).ok_or(StatusFault)
        };
        if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            let from = number(&format!("{class}00"))?;
            return Ok(StatusRange { from, to: from + 99 });
        }
        let (from, to) = match text.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(text)?, number(text)?),
        };
        if from <= to { Ok(StatusRange { from, to }) } else { Err(StatusFault) }
    }

    /// Whether `status` lies inside.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.from <= status && status <= self.to
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (from, to) if from == to => write!(f, "{from}"),
            (from, to) if from % 100 == 0 && to == from + 99 => write!(f, "{}xx", from / 100),
            (from, to) => write!(f, "{from}-{to}"),
        }
    }
}

/// A text that is no status, class of statuses or range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is neither a status (204), a class (2xx) nor a range (200-299) within 100 to 599")]
pub struct StatusFault;

/// The `[zone.pool.ejection]` table: origins that fail live requests sit out for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ejection {
    /// Failures in a row that eject an origin. Default 5; 0 turns ejection off.
    pub consecutive_failures: u32,
    /// First time out, doubled with each further one. Default 10 s.
    #[serde(with = "text::duration")]
    pub base: Duration,
    /// Longest time out. Default 5 min.
    #[serde(with = "text::duration")]
    pub max: Duration,
    /// Most of the pool that may be out at once, in percent of its origins. Default 50.
    pub max_percent: u32,
}

impl Default for Ejection {
    fn default() -> Self {
        Ejection {
            consecutive_failures: 5,
            base: Duration::from_secs(10),
            max: Duration::from_secs(300),
            max_percent: 50,
        }
    }
}

/// The `[zone.pool.concurrency]` table: requests in flight to each origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Concurrency {
    /// Whether the limit follows what the origin can serve. Default true; false holds it at `max`.
    pub adaptive: bool,
    /// Lowest the limit goes. Default 8.
    pub min: u32,
    /// Highest the limit goes. Default 1024.
    pub max: u32,
}

impl Default for Concurrency {
    fn default() -> Self {
        Concurrency { adaptive: true, min: 8, max: 1024 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_numbers_classes_and_ranges() {
        for (text, from, to) in
            [("204", 204, 204), ("2xx", 200, 299), ("5XX", 500, 599), ("200-399", 200, 399)]
        {
            assert_eq!(StatusRange::parse(text), Ok(StatusRange { from, to }), "{text}");
        }
        for text in ["", "2", "2x", "xx", "6xx", "0xx", "99", "600", "300-200", "200-", "+20", "ok", "12xx"] {
            assert_eq!(StatusRange::parse(text), Err(StatusFault), "{text}");
        }
        assert!(Monitor::default().expects(204) && !Monitor::default().expects(301));
    }

    #[test]
    fn the_name_in_tls_falls_back_from_sni_to_host_to_url() {
        let mut origin = Origin::new(OriginUrl::parse("https://10.0.0.1:3000").unwrap());
        assert_eq!((origin.server_name(), origin.tls), ("10.0.0.1", OriginTls::Strict));
        assert_eq!(origin.name, "10.0.0.1:3000");
        origin.host = Some("app.example:8443".to_owned());
        assert_eq!(origin.server_name(), "app.example");
        origin.host = Some("[::1]:8443".to_owned());
        assert_eq!(origin.server_name(), "::1");
        origin.sni = Some("tls.example".to_owned());
        assert_eq!(origin.server_name(), "tls.example");
    }
}
