//! The facts of one request.

use std::net::{IpAddr, Ipv4Addr};

use crate::metrics::{OriginSlot, ZoneSlot};
use crate::names::{CacheStatus, Cohort, HttpVersion, Module, ModuleFault, SecurityAction, TlsVersion};

/// What is known of one request when it has ended. Borrowed, so that making one copies nothing.
///
/// Facts that were never measured are `None` or empty and are left out of the log: missing is absent, never zero
/// (DESIGN R5). There is no place here for cookies, credentials or other fields of the request, on purpose.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the head of the request was read, Unix nanoseconds.
    pub start_unix_ns: u64,
    /// From there to the last byte handed to the client, microseconds.
    pub duration_us: u64,
    /// From there to the first byte of the response, microseconds; none if no response was sent.
    pub first_byte_us: Option<u64>,
    /// The client as trusted-proxy rules see it.
    pub client_ip: IpAddr,
    /// Source port of the connection; 0 if unknown behind a proxy.
    pub client_port: u16,
    /// Two-letter country of the client, if a database says one; else empty.
    pub country: &'a str,
    /// TLS of the client connection; none for clear text.
    pub tls: Option<Tls<'a>>,
    /// Version the client spoke.
    pub version: HttpVersion,
    /// Method as text.
    pub method: &'a [u8],
    /// Host asked for, without port.
    pub host: &'a [u8],
    /// Path and query as the client sent them.
    pub target: &'a [u8],
    /// `User-Agent`.
    pub user_agent: &'a [u8],
    /// `Referer`.
    pub referer: &'a [u8],
    /// Bytes read of head and body.
    pub request_bytes: u64,
    /// Status sent to the client; 0 if the connection was closed without one.
    pub status: u16,
    /// Bytes of the response head.
    pub response_head_bytes: u64,
    /// Bytes of the response body as sent.
    pub response_body_bytes: u64,
    /// Bytes of the body before Seawall compressed it; none if it did not.
    pub uncompressed_bytes: Option<u64>,
    /// `Content-Type` of the response.
    pub content_type: &'a [u8],
    /// Ray ID without node code.
    pub ray: &'a str,
    /// Node code (`edge.node`).
    pub node: &'a str,
    /// Name of the zone; empty if none was found.
    pub zone: &'a str,
    /// Where the zone is counted.
    pub zone_slot: ZoneSlot,
    /// What the cache did.
    pub cache: CacheStatus,
    /// The last attempt at an origin; none if none was made.
    pub origin: Option<Origin<'a>>,
    /// Number of attempts at origins, retries included.
    pub attempts: u16,
    /// Set if the response is an error page of the edge.
    pub error: Option<EdgeError<'a>>,
    /// Bot score 1–99; absent if it was not computed.
    pub bot_score: Option<u8>,
    /// A score was asked for and could not be computed.
    pub bot_score_missing: bool,
    /// What a security module did; none if no rule matched.
    pub security: Option<Security<'a>>,
    /// Number of the snapshot that ran the request; none before there is one.
    pub snapshot: Option<u64>,
    /// Which of two configurations ran it, while a candidate is compared with what serves.
    pub cohort: Option<Cohort>,
    /// Faults of modules during the request, each contained.
    pub module_faults: &'a [(Module, ModuleFault)],
    /// How many failing requests this one stands for in the log, itself included, when the budget of telemetry left
    /// others out; 1 otherwise.
    pub stands_for: u32,
    /// Number of the worker.
    pub worker: u16,
}

/// TLS of the client connection.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// Negotiated version.
    pub version: TlsVersion,
    /// IANA number of the cipher suite.
    pub cipher: u16,
    /// Server name the client asked for; empty if it did not.
    pub server_name: &'a str,
}

/// An attempt at an origin.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Address connected to; none if it did not come to that.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Where the origin is counted.
    pub slot: OriginSlot,
    /// Name of the pool.
    pub pool: &'a str,
    /// Host sent to the origin.
    pub host: &'a [u8],
    /// TLS version to the origin; none for clear text.
    pub tls: Option<TlsVersion>,
    /// Whether a kept connection was used.
    pub reused: bool,
    /// Status of the origin's response; 0 if there was none.
    pub status: u16,
    /// Bytes of body read from the origin.
    pub bytes: u64,
    /// Time to resolve the name, microseconds; none if it was known.
    pub resolve_us: Option<u64>,
    /// Time to connect, microseconds; none on a kept connection.
    pub connect_us: Option<u64>,
    /// Time of the TLS handshake, microseconds; none on a kept connection or clear text.
    pub tls_us: Option<u64>,
    /// From the request being sent to the response head being read, microseconds.
    pub first_byte_us: Option<u64>,
    /// From the choice of the origin to the end of its response head, microseconds: the above together.
    pub duration_us: Option<u64>,
}

/// What a security module did to a request.
#[derive(Clone, Copy, Debug)]
pub struct Security<'a> {
    /// What it did.
    pub action: SecurityAction,
    /// Name of the rule or list that said so.
    pub rule: &'a str,
}

/// An error the edge answered with.
#[derive(Clone, Copy, Debug)]
pub struct EdgeError<'a> {
    /// Its code: the HTTP status (400–530) or a 1xxx code.
    pub code: u16,
    /// What went wrong, for the operator.
    pub detail: &'a str,
}

impl Default for Origin<'_> {
    fn default() -> Self {
        Origin {
            ip: None,
            port: 0,
            slot: OriginSlot::OTHER,
            pool: "",
            host: b"",
            tls: None,
            reused: false,
            status: 0,
            bytes: 0,
            resolve_us: None,
            connect_us: None,
            tls_us: None,
            first_byte_us: None,
            duration_us: None,
        }
    }
}

impl Record<'_> {
    /// Whether the edge itself failed the request: an error page of its own with a status from 500, or a fault of a
    /// module. What is told of these has a budget.
    #[must_use]
    pub fn is_our_failure(&self) -> bool {
        (self.error.is_some() && self.status >= 500) || !self.module_faults.is_empty()
    }
}

impl Default for Record<'_> {
    fn default() -> Self {
        Record {
            start_unix_ns: 0,
            duration_us: 0,
            first_byte_us: None,
            client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            client_port: 0,
            country: "",
            tls: None,
            version: HttpVersion::H11,
            method: b"",
            host: b"",
            target: b"",
            user_agent: b"",
            referer: b"",
            request_bytes: 0,
            status: 0,
            response_head_bytes: 0,
            response_body_bytes: 0,
            uncompressed_bytes: None,
            content_type: b"",
            ray: "",
            node: "",
            zone: "",
            zone_slot: ZoneSlot::OTHER,
            cache: CacheStatus::Unknown,
            origin: None,
            attempts: 0,
            error: None,
            bot_score: None,
            bot_score_missing: false,
            security: None,
            snapshot: None,
            cohort: None,
            module_faults: &[],
            stands_for: 1,
            worker: 0,
        }
    }
}
