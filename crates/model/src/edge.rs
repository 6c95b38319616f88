//! What concerns the edge as a whole: sockets, limits, timeouts, cache, log.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::module::Modules;
use crate::rollout::Rollout;
use crate::text::{self, as_word};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The `[edge]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Addresses for cleartext HTTP/1. Default `0.0.0.0:8080` and `[::]:8080`; empty means none.
    ///
    /// Where both wildcards of one port are listed, the IPv6 socket takes IPv6 only, and a machine without IPv6
    /// serves on IPv4 alone.
    #[serde(default = "default_http")]
    pub http: Vec<SocketAddr>,
    /// Addresses for TLS (HTTP/1 and HTTP/2). Default `0.0.0.0:8443` and `[::]:8443`; empty means none.
    #[serde(default = "default_https")]
    pub https: Vec<SocketAddr>,
    /// Address of `/metrics`, `/livez` and `/readyz`. Default `127.0.0.1:8091`; `None` where the file says `"off"`.
    #[serde(default = "default_metrics", with = "text::address_or_off")]
    pub metrics: Option<SocketAddr>,
    /// Worker threads. Default 0: one for each core.
    #[serde(default)]
    pub workers: u32,
    /// Code of this node at the end of `CF-Ray` and in `/cdn-cgi/trace`: 1–8 upper-case letters or digits. Default `DEV`.
    #[serde(default = "default_node")]
    pub node: String,
    /// Peers whose forwarding header (and PROXY protocol header) is believed. Default none.
    #[serde(default, with = "text::nets")]
    pub trusted_proxies: Vec<IpNet>,
    /// The one forwarding header believed from those peers. Default `X-Forwarded-For`.
    #[serde(default)]
    pub client_ip_header: ClientIpHeader,
    /// PROXY protocol on incoming connections. Default off.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// How long SIGTERM waits for requests in flight. Default 30 s.
    #[serde(default = "default_drain", with = "text::duration")]
    pub drain: Duration,
    /// TLS towards visitors.
    #[serde(default)]
    pub tls: Tls,
    /// Bounds on what a visitor may send.
    #[serde(default)]
    pub limits: Limits,
    /// Bounds on how long a visitor may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// The cache's two tiers.
    pub cache: CacheSettings,
    /// The access log.
    pub log: LogSettings,
    /// Resolution of origin names.
    #[serde(default)]
    pub resolver: ResolverSettings,
    /// Traces of requests.
    #[serde(default)]
    pub trace: TraceSettings,
    /// Names of lists whose addresses are refused in every zone. Default none.
    #[serde(default)]
    pub bans: Vec<String>,
    /// Settings of modules for every zone. Off here is off everywhere; a mode that a zone sets comes before the one here.
    /// Default none.
    #[serde(default, skip_serializing_if = "Modules::is_empty")]
    pub modules: Modules,
    /// The feature file of the bot module (`[edge.bot] features`). Default `None`: the one built in.
    #[serde(default, with = "text::some_path", skip_serializing_if = "Option::is_none")]
    pub bot_features: Option<PathBuf>,
    /// How changes are brought in.
    #[serde(default)]
    pub rollout: Rollout,
}

impl Edge {
    /// The defaults, with the paths that stand under `data_dir`.
    #[must_use]
    pub fn under(data_dir: &Path) -> Self {
        Edge {
            http: default_http(),
            https: default_https(),
            metrics: default_metrics(),
            workers: 0,
            node: default_node(),
            trusted_proxies: Vec::new(),
            client_ip_header: ClientIpHeader::default(),
            proxy_protocol: ProxyProtocol::default(),
            drain: default_drain(),
            tls: Tls::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            cache: CacheSettings::under(data_dir),
            log: LogSettings::under(data_dir),
            resolver: ResolverSettings::default(),
            trace: TraceSettings::default(),
            bans: Vec::new(),
            modules: Modules::default(),
            bot_features: None,
            rollout: Rollout::default(),
        }
    }
}

impl Default for Edge {
    /// [`Edge::under`] the folder `data` of the working directory.
    fn default() -> Self {
        Edge::under(Path::new("data"))
    }
}

/// `0.0.0.0:port` and `[::]:port`, what `":port"` stands for.
fn both_wildcards(port: u16) -> Vec<SocketAddr> {
    vec![
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
    ]
}

fn default_http() -> Vec<SocketAddr> {
    both_wildcards(8080)
}

fn default_https() -> Vec<SocketAddr> {
    both_wildcards(8443)
}

const fn default_metrics() -> Option<SocketAddr> {
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8091))
}

fn default_node() -> String {
    "DEV".to_owned()
}

const fn default_drain() -> Duration {
    Duration::from_secs(30)
}

/// A header that carries the visitor's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientIpHeader {
    /// `X-Forwarded-For`: the right-most address that is not itself a trusted proxy.
    #[default]
    XForwardedFor,
    /// `CF-Connecting-IP`: one address.
    CfConnectingIp,
    /// `True-Client-IP`: one address.
    TrueClientIp,
    /// `X-Real-IP`: one address.
    XRealIp,
    /// `Forwarded` (RFC 7239): the right-most `for` that is not itself a trusted proxy.
    Forwarded,
}

as_word!(
    ClientIpHeader,
    "one of the headers known to carry a visitor's address",
    XForwardedFor = "X-Forwarded-For",
    CfConnectingIp = "CF-Connecting-IP",
    TrueClientIp = "True-Client-IP",
    XRealIp = "X-Real-IP",
    Forwarded = "Forwarded",
);

impl ClientIpHeader {
    /// Every choice.
    pub const ALL: [Self; 5] =
        [Self::XForwardedFor, Self::CfConnectingIp, Self::TrueClientIp, Self::XRealIp, Self::Forwarded];

    /// The header's name as written in the configuration and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::CfConnectingIp => "CF-Connecting-IP",
            Self::TrueClientIp => "True-Client-IP",
            Self::XRealIp => "X-Real-IP",
            Self::Forwarded => "Forwarded",
        }
    }
}

/// Whether connections begin with a PROXY protocol header (v1 or v2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Never read.
    #[default]
    Off,
    /// Read from trusted proxies when it is there; other peers are plain visitors.
    Optional,
    /// Read from trusted proxies, which must send it; other peers are refused.
    Required,
}

as_word!(
    ProxyProtocol,
    "\"off\", \"optional\" or \"required\"",
    Off = "off",
    Optional = "optional",
    Required = "required",
);

/// The `[edge.tls]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Lowest version spoken with visitors. Default 1.2.
    pub min_version: TlsVersion,
    /// Whether a self-signed certificate, made at the start, serves names that no certificate covers. Default true.
    pub self_signed: bool,
    /// Certificates for any name they carry, whatever the zone; the first is also sent to visitors without SNI.
    /// Default none.
    pub certificates: Vec<Certificate>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls { min_version: TlsVersion::Tls12, self_signed: true, certificates: Vec::new() }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

as_word!(TlsVersion, "\"1.2\" or \"1.3\"", Tls12 = "1.2", Tls13 = "1.3");

/// A certificate chain and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The chain, leaf first.
    #[serde(with = "text::path")]
    pub cert: PathBuf,
    /// The private key.
    #[serde(with = "text::path")]
    pub key: PathBuf,
}

/// The `[edge.limits]` table: the most a visitor may send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Header fields of one request. Default 100; more is answered 431.
    pub header_count: u32,
    /// Bytes of one request's header section, the request line included. Default 32 KiB; more is answered 431.
    pub header_bytes: u64,
    /// Bytes of the request target. Default 16 KiB; more is answered 414.
    pub uri_bytes: u64,
    /// Visitor connections at once, over all workers. Default 20,000; more wait in the listen backlog.
    pub connections: u32,
    /// Requests on one connection before it is closed. Default `None`: unlimited (0 in the file).
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u32>,
    /// Streams at once on one HTTP/2 connection. Default 128.
    pub h2_streams: u32,
    /// Bytes of one request body. Default `None`: unlimited (0 in the file); more is answered 413.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_count: 100,
            header_bytes: 32 * KIB,
            uri_bytes: 16 * KIB,
            connections: 20_000,
            requests_per_connection: None,
            h2_streams: 128,
            body_bytes: None,
        }
    }
}

/// The `[edge.timeouts]` table: the longest a visitor may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its header section. Default 10 s; answered 408.
    #[serde(with = "text::duration")]
    pub header: Duration,
    /// Between two reads of a request body. Default 30 s; answered 408.
    #[serde(with = "text::duration")]
    pub body: Duration,
    /// Between two requests on a kept connection, and from the accept to the first byte. Default 75 s.
    #[serde(with = "text::duration")]
    pub idle: Duration,
    /// Without a byte taken by the visitor while a response is being written. Default 30 s.
    #[serde(with = "text::duration")]
    pub write: Duration,
    /// The TLS handshake. Default 10 s.
    #[serde(with = "text::duration")]
    pub tls_handshake: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            tls_handshake: Duration::from_secs(10),
        }
    }
}

/// The `[edge.cache]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Bytes of the memory tier. Default 256 MiB; 0 turns it off.
    #[serde(default = "default_memory")]
    pub memory: u64,
    /// Bytes of the disk tier. Default 0: off.
    #[serde(default)]
    pub disk: u64,
    /// Folder of the disk tier. Default `<data_dir>/cache`.
    #[serde(with = "text::path")]
    pub path: PathBuf,
    /// Bytes of the largest object stored. Default 512 MiB.
    #[serde(default = "default_max_object")]
    pub max_object: u64,
}

impl CacheSettings {
    /// Objects are stored in slices of this many bytes: 1 MiB, the block size of the disk tier. Not configurable.
    pub const SLICE: u64 = MIB;

    /// The defaults, with the disk tier in the folder `cache` of `data_dir`.
    #[must_use]
    pub fn under(data_dir: &Path) -> Self {
        CacheSettings {
            memory: default_memory(),
            disk: 0,
            path: data_dir.join("cache"),
            max_object: default_max_object(),
        }
    }
}

const fn default_memory() -> u64 {
    256 * MIB
}

const fn default_max_object() -> u64 {
    512 * MIB
}

/// The `[edge.log]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Format of the access log. Default JSON.
    #[serde(default)]
    pub access: AccessFormat,
    /// Its file. Default `<data_dir>/log/access.log`.
    #[serde(with = "text::path")]
    pub path: PathBuf,
    /// Bytes after which the file is renamed and a new one begun. Default 256 MiB; 0 means never.
    #[serde(default = "default_rotate")]
    pub rotate: u64,
    /// Renamed files kept. Default 4.
    #[serde(default = "default_keep")]
    pub keep: u32,
    /// Fields of the JSON format, by their Logpush names. Empty (the default) means the built-in selection.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Query keys whose values never reach the log, compared without regard to case.
    /// Default [`LogSettings::REDACTED`].
    #[serde(default = "default_redact_query")]
    pub redact_query: Vec<String>,
}

impl LogSettings {
    /// Query keys redacted unless the file names others: what commonly carries a secret in a URL.
    pub const REDACTED: [&'static str; 27] = [
        "token",
        "access_token",
        "refresh_token",
        "id_token",
        "jwt",
        "key",
        "api_key",
        "apikey",
        "secret",
        "client_secret",
        "password",
        "passwd",
        "pwd",
        "pass",
        "signature",
        "sig",
        "code",
        "auth",
        "authorization",
        "session",
        "session_id",
        "sessionid",
        "sid",
        "otp",
        "x-amz-signature",
        "x-amz-security-token",
        "x-goog-signature",
    ];

    /// The defaults, with the file in the folder `log` of `data_dir`.
    #[must_use]
    pub fn under(data_dir: &Path) -> Self {
        LogSettings {
            access: AccessFormat::Json,
            path: data_dir.join("log").join("access.log"),
            rotate: default_rotate(),
            keep: default_keep(),
            fields: Vec::new(),
            redact_query: default_redact_query(),
        }
    }
}

const fn default_rotate() -> u64 {
    256 * MIB
}

const fn default_keep() -> u32 {
    4
}

fn default_redact_query() -> Vec<String> {
    LogSettings::REDACTED.map(str::to_owned).to_vec()
}

/// Format of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line, with the field names of Cloudflare's Logpush `http_requests`.
    #[default]
    Json,
    /// The combined format of Apache and nginx.
    Combined,
    /// No access log.
    Off,
}

as_word!(
    AccessFormat,
    "\"json\", \"combined\" or \"off\"",
    Json = "json",
    Combined = "combined",
    Off = "off",
);

/// The `[edge.resolver]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverSettings {
    /// How long an answer is used before the name is asked again. Default 30 s.
    #[serde(with = "text::duration")]
    pub ttl: Duration,
    /// How much longer an old answer serves while the name cannot be resolved. Default 1 h.
    #[serde(with = "text::duration")]
    pub stale: Duration,
}

impl Default for ResolverSettings {
    fn default() -> Self {
        ResolverSettings { ttl: Duration::from_secs(30), stale: Duration::from_secs(3600) }
    }
}

/// The `[edge.trace]` table. It has an effect in builds with the feature `otel` only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSettings {
    /// The collector that takes OTLP over HTTP: `http://`, an authority, and perhaps a path. Default `None`: no traces.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Share of requests traced, 0 to 100. Default 1.
    pub sample_percent: f64,
    /// Whether what the visitor says is traced is traced, whatever the share. Default false.
    pub follow_parent: bool,
}

impl Default for TraceSettings {
    fn default() -> Self {
        TraceSettings { endpoint: None, sample_percent: 1.0, follow_parent: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_listen_on_both_families() {
        let edge = Edge::default();
        let text: Vec<String> = edge.http.iter().chain(&edge.https).map(ToString::to_string).collect();
        assert_eq!(text, ["0.0.0.0:8080", "[::]:8080", "0.0.0.0:8443", "[::]:8443"]);
        assert_eq!(edge.metrics.unwrap().to_string(), "127.0.0.1:8091");
    }

    #[test]
    fn paths_stand_under_the_data_folder() {
        let edge = Edge::under(Path::new("/srv/sw"));
        assert_eq!(edge.cache.path, Path::new("/srv/sw/cache"));
        assert_eq!(edge.log.path, Path::new("/srv/sw/log/access.log"));
    }
}
