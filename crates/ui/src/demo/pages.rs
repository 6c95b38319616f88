//! The pages of the demo site.

use super::{Ask, Receipt, Reply, assets};
use crate::errors::ENTRIES;
use crate::text::{Utc, escape_into};
use std::fmt::Write as _;

const HOME: &str = include_str!("../../assets/demo/home.html");
const SCENE: &str = include_str!("../../assets/demo/hero.svg");
const CACHED: &str = include_str!("../../assets/demo/cached.html");
const SOCKET: &str = include_str!("../../assets/demo/socket.html");
const UPLOAD: &str = include_str!("../../assets/demo/upload.html");

pub(super) fn home(ask: &Ask<'_>) -> String {
    let ray = ask.field("cf-ray");
    let heading = match ray {
        Some(_) => "This page came over the wall.",
        None => "There is no wall here yet.",
    };
    let lead = match ray {
        Some(_) => {
            "You asked the edge, the edge asked this small site behind it, and the answer came back checked, counted and \
             compressed. Below you can watch each part of that, live."
        }
        None => {
            "You are talking to the demo site itself, with no edge in between. Open it through the edge's \
             address, usually port 8080 or 8443, to see the difference."
        }
    };
    frame(
        "Seawall demo",
        HOME,
        &[
            ("heading", heading),
            ("lead", lead),
            ("address", ask.field("cf-connecting-ip").unwrap_or("address unknown")),
            ("scheme", scheme(ask)),
            ("host", ask.field("host").unwrap_or("no host")),
            ("edge_class", if ray.is_some() { "there" } else { "none" }),
            ("ray", ray.unwrap_or("none")),
            ("edge", if ray.is_some() { "Seawall" } else { "not in between" }),
            ("time", &clock(ask.now)),
        ],
    )
}

pub(super) fn cached(ask: &Ask<'_>) -> String {
    frame("Kept for ten seconds", CACHED, &[("clock", &clock(ask.now))])
}

pub(super) fn socket(_: &Ask<'_>) -> String {
    frame("WebSocket echo", SOCKET, &[])
}

pub(super) fn upload(ask: &Ask<'_>) -> String {
    let base = format!("{}://{}", scheme(ask), ask.field("host").unwrap_or("localhost"));
    frame("Upload a file", UPLOAD, &[("base", &base)])
}

pub(super) fn receipt(_: &Ask<'_>, receipt: &Receipt) -> String {
    frame(
        "Uploaded",
        "<h1>It arrived</h1><p class=\"lead\">{{bytes}} bytes in {{ms}} ms, the form around the file included.</p>\
         <p>SHA-256 <code>{{sha256}}</code></p><p><a href=\"/upload\">Upload another</a></p>",
        &[
            ("bytes", &receipt.bytes.to_string()),
            ("ms", &receipt.took_ms.to_string()),
            ("sha256", &receipt.sha256),
        ],
    )
}

pub(super) fn headers(ask: &Ask<'_>) -> String {
    let mut main = String::from(
        "<h1>Your request, as the origin got it</h1><p class=\"lead\">Fields marked “edge” were added by it. \
         For programs the same page is JSON: <code>curl -H 'Accept: application/json'</code>.</p>\
         <div class=\"scroll\"><table class=\"pairs\"><caption class=\"quiet\">",
    );
    escape_into(&mut main, ask.method);
    main.push(' ');
    escape_into(&mut main, ask.path);
    if !ask.query.is_empty() {
        main.push('?');
        escape_into(&mut main, ask.query);
    }
    main.push_str(
        "</caption><thead><tr><th scope=\"col\">Field</th><th scope=\"col\">Value</th></tr></thead><tbody>",
    );
    for (name, value) in &ask.fields {
        let (row, mark) =
            if is_from_edge(name) { ("<tr class=\"edge\">", " <small>edge</small>") } else { ("<tr>", "") };
        main.extend([row, "<th scope=\"row\">"]);
        escape_into(&mut main, name);
        main.push_str(mark);
        main.push_str("</th><td>");
        escape_into(&mut main, value);
        main.push_str("</td></tr>");
    }
    main.push_str("</tbody></table></div>");
    shell("Your request", &main)
}

pub(super) fn slow(_: &Ask<'_>, seconds: u64) -> Reply {
    let page = frame(
        "A slow answer",
        "<h1>That took {{s}} seconds</h1><p class=\"lead\">The origin waited before it sent the first byte. The edge gives up after 100 \
         seconds, with error 524, unless it is set otherwise.</p><p><a href=\"/slow?s=10\">Ten seconds</a>, \
         <a href=\"/slow?s=120\">two minutes</a>, <a href=\"/slow?s=10&amp;drip=1\">ten lines, one a second</a>.</p>",
        &[("s", &seconds.to_string())],
    );
    Reply::html(200, super::NO_STORE, page)
}

pub(super) fn status(ask: &Ask<'_>, status: u16) -> Reply {
    let text =
        "The origin answered with this status because the address says so. Try any other from 200 to 599.";
    let reply = note(ask, status, "As you asked", text);
    match status {
        300..=399 => reply.with("Location", "/"),
        401 => reply.with("WWW-Authenticate", "Basic realm=\"demo\""),
        429 | 503 => reply.with("Retry-After", "5"),
        _ => reply,
    }
}

/// A page of one heading and one sentence.
pub(super) fn note(ask: &Ask<'_>, status: u16, title: &str, text: &str) -> Reply {
    if !ask.wants_html() {
        return Reply::json(status, &serde_json::json!({ "status": status, "title": title, "detail": text }));
    }
    let page = frame(
        title,
        "<h1>{{status}} {{title}}</h1><p class=\"lead\">{{text}}</p><p><a href=\"/\">To the front page</a></p>",
        &[("status", &status.to_string()), ("title", title), ("text", text)],
    );
    Reply::html(status, super::NO_STORE, page)
}

pub(super) fn errors(_: &Ask<'_>) -> String {
    let mut main = String::from(
        "<h1>Every error page</h1><p class=\"lead\">What visitors see when the edge has to answer in place of the origin. \
         These are specimens, sent with status 200.</p><div class=\"scroll\"><table><thead><tr><th scope=\"col\">Code</th>\
         <th scope=\"col\">Title</th><th scope=\"col\">Who failed</th><th scope=\"col\">Other formats</th></tr></thead><tbody>",
    );
    for e in ENTRIES {
        let _ = write!(
            main,
            "<tr><th scope=\"row\"><a href=\"/errors/{0}\">{0}</a></th><td>{1}</td><td>{2}</td>\
             <td><a href=\"/errors/{0}?format=json\">JSON</a> <a href=\"/errors/{0}?format=text\">text</a></td></tr>",
            e.code,
            e.title,
            e.failed.name()
        );
    }
    main.push_str("</tbody></table></div>");
    shell("Every error page", &main)
}

/// A page from a template: `{{name}}` becomes the escaped value.
fn frame(title: &str, template: &str, values: &[(&str, &str)]) -> String {
    let mut main = String::with_capacity(template.len() + 4096);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        main.push_str(before);
        let (name, tail) = after.split_once("}}").unwrap_or((after, ""));
        rest = tail;
        if name == "{scene" {
            // The only value that is markup, and ours: written with three braces.
            main.push_str(SCENE);
            rest = tail.strip_prefix('}').unwrap_or(tail);
        } else if let Some((_, value)) = values.iter().find(|(n, _)| *n == name) {
            escape_into(&mut main, value);
        }
    }
    main.push_str(rest);
    shell(title, &main)
}

/// What is around every page. `main` is markup.
fn shell(title: &str, main: &str) -> String {
    let mut out = String::with_capacity(main.len() + 2048);
    out.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
    );
    escape_into(&mut out, title);
    let [style, script, mark] = ["site.css", "site.js", "mark.svg"].map(assets::href);
    let _ = write!(
        out,
        "</title>\n<link rel=\"icon\" href=\"{mark}\"><link rel=\"stylesheet\" href=\"{style}\">\
         <script type=\"module\" src=\"{script}\"></script></head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">To the content</a>\n\
         <header class=\"top\"><a class=\"brand\" href=\"/\"><img src=\"{mark}\" alt=\"\">Seawall <small>demo site</small></a>\
         <nav aria-label=\"Pages\"><a href=\"/cached\">Cache</a><a href=\"/ws\">WebSocket</a><a href=\"/upload\">Upload</a>\
         <a href=\"/headers\">Headers</a><a href=\"/errors\">Errors</a></nav></header>\n<main id=\"main\">\n{main}\n</main>\n\
         <footer class=\"foot\"><p>This site is built into Seawall, so that there is something to put the edge in front of. It keeps nothing.</p></footer>\n\
         </body></html>\n"
    );
    out
}

/// The scheme the visitor used, as the edge tells it.
fn scheme(ask: &Ask<'_>) -> &'static str {
    match ask.field("x-forwarded-proto") {
        Some(p) if p.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    }
}

fn is_from_edge(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("cf-")
        || name.starts_with("x-forwarded-")
        || matches!(&*name, "cdn-loop" | "surrogate-capability" | "x-real-ip" | "via")
}

fn clock(now: u64) -> String {
    let second = Utc::of(now).second;
    format!("{:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}
