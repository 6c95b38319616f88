//! What lives under `/cdn-cgi/`, a path no origin ever sees.

use crate::exchange::{Client, Facts, Fail, Scratch};
use crate::message::Sink;
use crate::respond;
use crate::worker::{LiveRef, Worker};
use seawall_http::{Known, Method};
use std::fmt::Write;
use std::net::IpAddr;
use std::rc::Rc;

/// Answers `/cdn-cgi/trace` in the format scripts read (`key=value` lines, as Cloudflare's); all else is 404.
pub(crate) async fn answer<S: Sink>(
    w: &Rc<Worker>,
    live: &LiveRef,
    client: &Client,
    address: IpAddr,
    scratch: &mut Scratch,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let Scratch { request, added, ray, .. } = scratch;
    if request.path() != b"/cdn-cgi/trace" {
        return Err(Fail::page(404, "nothing lives at this path of /cdn-cgi/"));
    }
    let text = |bytes: &[u8]| -> String {
        String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect()
    };
    let tls = client.tls.as_ref();
    let ms = w.unix_ms();
    let lines = [
        ("fl", format!("{}w{}", live.node, w.id)),
        ("h", text(&request.authority)),
        ("ip", address.to_string()),
        ("ts", format!("{}.{:03}", ms / 1000, ms % 1000)),
        ("visit_scheme", if tls.is_some() { "https" } else { "http" }.into()),
        ("uag", text(request.fields.get(Known::UserAgent).unwrap_or(b""))),
        ("colo", live.node.to_string()),
        ("sliver", "none".into()),
        ("http", request.version.name().to_ascii_lowercase()),
        ("tls", tls.map_or("off", |t| t.version).into()),
        ("sni", tls.map_or("off", |t| if t.sni.is_some() { "plaintext" } else { "off" }).into()),
        ("warp", "off".into()),
        ("gateway", "off".into()),
        ("rbi", "off".into()),
        ("kex", tls.and_then(|t| t.group).map_or("none".into(), |g| format!("{g:?}"))),
    ];
    let mut body = String::new();
    for (key, value) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(body, "{key}={value}");
    }
    added.clear();
    added.add(Known::ContentType, b"text/plain");
    added.add(Known::CacheControl, b"no-cache");
    added.push(b"X-Content-Type-Options", b"nosniff");
    added.push(b"Access-Control-Allow-Origin", b"*");
    let head_only = request.method == Method::Head;
    respond::own_body(w, 200, body.into(), head_only, ray, added, sink, facts).await
}
