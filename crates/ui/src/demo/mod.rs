//! A small site to put the edge in front of: something to look at, cache, stream, upload and break.
//!
//! [`respond`] is the site, without I/O: a request in, a reply out. [`serve`] puts it on a socket. Its pages work without
//! scripts; with them they show live figures.

mod assets;
mod pages;
mod server;

pub use server::serve;

use crate::errors::{ENTRIES, ErrorFacts, Format, error_page};
use crate::text::Utc;
use std::borrow::Cow;
use std::time::Duration;

/// Longest wait before an answer, in seconds: past the usual 100 s after which an edge gives up with 524.
pub const SLOW_MAX_SECS: u64 = 150;
/// Largest body of `/large`, in MiB.
pub const LARGE_MAX_MIB: u64 = 1024;
/// Largest upload, in bytes: 4 GiB, which costs no memory, for only its digest is kept.
pub const UPLOAD_MAX_BYTES: u64 = 4 << 30;
/// How long `/cached` may be kept by shared caches, in seconds: short enough to watch it run out.
pub const CACHED_SECS: u64 = 10;
/// How long files under `/static/` may be kept, in seconds.
pub const STATIC_SECS: u64 = 3600;

/// A request as the site sees it.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    /// Method, as it came.
    pub method: &'a str,
    /// Path, as it came.
    pub path: &'a str,
    /// Query without `?`; empty when there is none.
    pub query: &'a str,
    /// Header fields in their order.
    pub fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Unix milliseconds.
    pub now: u64,
}

impl Ask<'_> {
    /// The first value of a field, in any case of its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v)
    }

    /// A number from the query; `default` when it is missing or no number.
    fn number(&self, name: &str, default: u64, max: u64) -> u64 {
        self.parameter(name).and_then(|v| v.parse().ok()).unwrap_or(default).min(max)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|p| p.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    fn wants_html(&self) -> bool {
        Format::negotiate(self.field("accept").map(str::as_bytes)) == Format::Html
    }
}

/// What a body is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// These bytes.
    Whole(Cow<'static, [u8]>),
    /// Server-sent events, one a second, without end.
    Events,
    /// Lines of text, one a second, this many.
    Drip(u64),
    /// This many bytes.
    Large(u64),
    /// The request's body is to be read to its end; then [`uploaded`] gives the reply.
    Upload,
    /// The connection becomes a WebSocket that sends back what it gets.
    WebSocket,
}

/// A reply of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header fields, without framing.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Body,
    /// How long to wait before the head is sent.
    pub delay: Duration,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, cache: &'static str, body: Body) -> Reply {
        Reply {
            status,
            fields: vec![("Content-Type", content_type.into()), ("Cache-Control", cache.into())],
            body,
            delay: Duration::ZERO,
        }
    }

    fn html(status: u16, cache: &'static str, page: String) -> Reply {
        Reply::new(status, "text/html; charset=utf-8", cache, Body::Whole(page.into_bytes().into()))
    }

    fn json(status: u16, value: &serde_json::Value) -> Reply {
        let body = Body::Whole(format!("{value}\n").into_bytes().into());
        Reply::new(status, "application/json", NO_STORE, body)
    }

    fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Reply {
        self.fields.push((name, value.into()));
        self
    }
}

const NO_STORE: &str = "no-store";

/// What was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Length of the body in bytes.
    pub bytes: u64,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    /// How long it took to arrive, in milliseconds.
    pub took_ms: u64,
}

/// The site's answer to a request.
#[must_use]
pub fn respond(ask: &Ask<'_>) -> Reply {
    if let Some(allowed) = allowed_methods(ask.path)
        && !allowed.split(", ").any(|m| m == ask.method)
    {
        return pages::note(ask, 405, "Method not allowed", "This page takes other methods.")
            .with("Allow", allowed);
    }
    match ask.path {
        "/" => Reply::html(200, "no-cache", pages::home(ask)),
        "/api/time" => Reply::json(
            200,
            &serde_json::json!({ "time": Utc::of(ask.now).rfc3339(), "unix_ms": ask.now, "ray": ask.field("cf-ray") }),
        ),
        "/events" => Reply::new(200, "text/event-stream", NO_STORE, Body::Events),
        "/ws" => socket(ask),
        "/upload" if ask.method == "GET" || ask.method == "HEAD" => {
            Reply::html(200, "no-cache", pages::upload(ask))
        }
        "/upload" => Reply::new(200, "application/json", NO_STORE, Body::Upload),
        "/slow" => slow(ask),
        "/headers" => headers(ask),
        "/large" => large(ask),
        // Browsers always ask again, shared caches keep it: then what is seen is the edge's cache and no other.
        "/cached" => Reply::html(200, "public, max-age=0, s-maxage=10", pages::cached(ask)),
        "/errors" => Reply::html(200, "no-cache", pages::errors(ask)),
        "/robots.txt" => Reply::new(
            200,
            "text/plain; charset=utf-8",
            "public, max-age=3600",
            Body::Whole(b"User-agent: *\nDisallow: /\n"[..].into()),
        ),
        path => under(ask, path),
    }
}

/// The answer once the body of a request to `/upload` was read.
#[must_use]
pub fn uploaded(ask: &Ask<'_>, receipt: &Receipt) -> Reply {
    if ask.wants_html() {
        return Reply::html(200, NO_STORE, pages::receipt(ask, receipt));
    }
    let Receipt { bytes, sha256, took_ms } = receipt;
    Reply::json(200, &serde_json::json!({ "bytes": bytes, "sha256": sha256, "took_ms": took_ms }))
}

/// The answer when the body of a request to `/upload` is longer than [`UPLOAD_MAX_BYTES`].
#[must_use]
pub fn too_large(ask: &Ask<'_>) -> Reply {
    pages::note(ask, 413, "Too large", "This site takes uploads of up to 4 GiB.")
}

/// Methods of a path; `None` where every method is welcome.
fn allowed_methods(path: &str) -> Option<&'static str> {
    match path {
        "/headers" => None,
        "/upload" => Some("GET, HEAD, POST, PUT"),
        p if p.starts_with("/status/") => None,
        _ => Some("GET, HEAD"),
    }
}

/// Paths with something after a slash.
fn under(ask: &Ask<'_>, path: &str) -> Reply {
    let number = |text: &str| text.parse::<u16>().ok();
    if let Some(name) = path.strip_prefix("/static/")
        && let Some(reply) = assets::reply(ask, name)
    {
        return reply;
    }
    if let Some(status) = path.strip_prefix("/status/").and_then(number).filter(|s| (200..600).contains(s)) {
        return match status {
            204 | 205 | 304 => {
                Reply { status, fields: Vec::new(), body: Body::Whole(b""[..].into()), delay: Duration::ZERO }
            }
            _ => pages::status(ask, status),
        };
    }
    if let Some(code) = path.strip_prefix("/errors/").and_then(number)
        && ENTRIES.iter().any(|e| e.code == code)
    {
        return sample_error(ask, code);
    }
    pages::note(ask, 404, "Nothing here", "This page does not exist. The front page lists those that do.")
}

/// A specimen of an error page, sent with status 200 because nothing failed.
fn sample_error(ask: &Ask<'_>, code: u16) -> Reply {
    let host = ask.field("host").unwrap_or("");
    let facts = ErrorFacts {
        code,
        ray: ask.field("cf-ray").unwrap_or("0000000000000000-DEV"),
        host: host.rsplit_once(':').map_or(host, |(name, _)| name),
        client_ip: ask.field("cf-connecting-ip").unwrap_or("203.0.113.7"),
        node: "DEV",
        now: ask.now,
        detail: "This is a specimen: nothing failed.",
        retry_after_secs: None,
    };
    let format = match ask.parameter("format") {
        Some("json") => Format::Json,
        Some("text") => Format::Text,
        _ => Format::Html,
    };
    let page = error_page(&facts, format);
    Reply::new(200, page.content_type, NO_STORE, Body::Whole(page.body.into()))
}

fn socket(ask: &Ask<'_>) -> Reply {
    let wants_upgrade = ask.field("upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket"));
    if wants_upgrade && ask.field("sec-websocket-key").is_some() {
        return Reply { status: 101, fields: Vec::new(), body: Body::WebSocket, delay: Duration::ZERO };
    }
    Reply::html(200, "no-cache", pages::socket(ask))
}

fn slow(ask: &Ask<'_>) -> Reply {
    let seconds = ask.number("s", 3, SLOW_MAX_SECS);
    if ask.parameter("drip").is_some() {
        return Reply::new(200, "text/plain; charset=utf-8", NO_STORE, Body::Drip(seconds));
    }
    Reply { delay: Duration::from_secs(seconds), ..pages::slow(ask, seconds) }
}

fn headers(ask: &Ask<'_>) -> Reply {
    if ask.wants_html() {
        return Reply::html(200, NO_STORE, pages::headers(ask));
    }
    let fields: Vec<_> = ask.fields.iter().map(|(n, v)| [n, v]).collect();
    Reply::json(
        200,
        &serde_json::json!({ "method": ask.method, "path": ask.path, "query": ask.query, "headers": fields }),
    )
}

fn large(ask: &Ask<'_>) -> Reply {
    let bytes = ask.number("mb", 1, LARGE_MAX_MIB) << 20;
    let cache = if ask.parameter("cache").is_some() { "public, max-age=60" } else { NO_STORE };
    Reply::new(200, "application/octet-stream", cache, Body::Large(bytes))
}

#[cfg(test)]
mod tests;
