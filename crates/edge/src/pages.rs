//! Error pages.

use crate::exchange::{Client, Facts, Fail, Scratch};
use crate::message::Sink;
use crate::respond;
use crate::worker::{LiveRef, Worker};
use seawall_http::{Known, Method};
use seawall_ui::errors::{self, ErrorFacts, Format};
use std::rc::Rc;

/// Sends the page for a code, in the format the client prefers.
pub(crate) async fn send<S: Sink>(
    w: &Rc<Worker>,
    live: &LiveRef,
    client: &Client,
    scratch: &mut Scratch,
    code: u16,
    detail: &str,
    retry_after_s: Option<u32>,
    sink: &mut S,
    facts: &mut Facts,
) -> Result<(), Fail> {
    let Scratch { request, added, ray, .. } = scratch;
    let host = String::from_utf8_lossy(request.host());
    let address = facts.address.unwrap_or(client.peer.ip()).to_string();
    let page = errors::error_page(
        &ErrorFacts {
            code,
            ray,
            host: &host,
            client_ip: &address,
            node: &live.node,
            now: w.unix_ms(),
            // Our own words about an origin may name its address, which is nobody's business.
            detail: public(code, detail),
            retry_after_secs: retry_after_s,
        },
        Format::negotiate(request.fields.get(Known::Accept)),
    );
    added.clear();
    added.add(Known::ContentType, page.content_type.as_bytes());
    for (name, value) in errors::FIELDS {
        added.push(name.as_bytes(), value.as_bytes());
    }
    if let Some(seconds) = page.retry_after_secs {
        added.add(Known::RetryAfter, seconds.to_string().as_bytes());
    }
    let head_only = request.method == Method::Head;
    respond::own_body(w, page.status, page.body.into(), head_only, ray, added, sink, facts).await
}

/// What of a detail may be shown to anyone: origins' faults speak of addresses and names inside.
fn public(code: u16, detail: &str) -> &str {
    match code {
        520..=530 | 1016 | 502 => "",
        _ => detail,
    }
}
