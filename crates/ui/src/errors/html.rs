//! The page for people: one file, no script, nothing loaded from anywhere.

use super::{Entry, ErrorFacts, Party};
use crate::text::{Utc, escape_into};

const STYLE: &str = include_str!("error.css");
const BRIEF_STYLE: &str = include_str!("brief.css");

/// Drawings of 24 by 24: a browser window, a wall with the sea before it, a rack.
const ICONS: [&str; 3] = [
    r#"<rect x="2.5" y="4" width="19" height="16" rx="2"/><path d="M2.5 9h19M6 6.5h.01M9 6.5h.01"/>"#,
    r#"<path d="M3 3h18v11H3zM3 6.7h18M3 10.3h18M9 3v3.7M15 3v3.7M6 6.7v3.6M12 6.7v3.6M18 6.7v3.6M9 10.3V14M15 10.3V14M2 18.5c1.7 0 1.7-1.2 3.3-1.2s1.7 1.2 3.4 1.2 1.6-1.2 3.3-1.2 1.7 1.2 3.3 1.2 1.7-1.2 3.4-1.2 1.6 1.2 3.3 1.2M4 21.5c1.3 0 1.3-.9 2.7-.9s1.3.9 2.6.9 1.4-.9 2.7-.9 1.3.9 2.7.9 1.3-.9 2.6-.9 1.4.9 2.7.9"/>"#,
    r#"<rect x="3" y="3" width="18" height="5.2" rx="1.3"/><rect x="3" y="9.4" width="18" height="5.2" rx="1.3"/><rect x="3" y="15.8" width="18" height="5.2" rx="1.3"/><path d="M6.5 5.6h.01M6.5 12h.01M6.5 18.4h.01M10 5.6h7.5M10 12h7.5M10 18.4h7.5"/>"#,
];

pub(super) fn page(entry: &Entry, facts: &ErrorFacts<'_>) -> String {
    if entry.is_brief() { brief(entry, facts) } else { full(entry, facts) }
}

fn full(entry: &Entry, facts: &ErrorFacts<'_>) -> String {
    let code = entry.code.to_string();
    let time = Utc::of(facts.now).spoken();
    let mut out = String::with_capacity(8 << 10);
    head(&mut out, entry, facts, &code, STYLE);
    out.extend(["<main>\n<header><p class=\"code\">Error ", &code, "</p><h1>", entry.title, "</h1>"]);
    out.push_str("<p class=\"host\">");
    if !facts.host.is_empty() {
        escape_into(&mut out, facts.host);
        out.push_str(" · ");
    }
    out.extend([&time, "</p></header>\n"]);
    way(&mut out, entry, facts);
    out.extend(["<section><h2>What happened</h2><p>", entry.happened, "</p>"]);
    detail(&mut out, facts);
    out.extend([
        "</section>\n<div class=\"two\">\n<section><h2>What you can do</h2><p>",
        entry.visitor,
        "</p></section>\n",
    ]);
    if !entry.owner.is_empty() {
        out.push_str("<section><h2>If this is your site</h2><ul>");
        for line in entry.owner {
            out.push_str("<li>");
            with_code(&mut out, line);
            out.push_str("</li>");
        }
        out.push_str("</ul></section>\n");
    }
    out.push_str("</div>\n");
    footer(&mut out, facts);
    out.push_str("</main>\n</body></html>\n");
    out
}

fn brief(entry: &Entry, facts: &ErrorFacts<'_>) -> String {
    let code = entry.code.to_string();
    let mut out = String::with_capacity(2 << 10);
    head(&mut out, entry, facts, &code, BRIEF_STYLE);
    out.extend(["<main><h1>", &code, " ", entry.title, "</h1><p>", entry.happened, "</p>"]);
    detail(&mut out, facts);
    out.extend(["<p>", entry.visitor, "</p></main>\n"]);
    if !facts.ray.is_empty() {
        out.push_str("<footer>Ray ID: ");
        escape_into(&mut out, facts.ray);
        out.push_str("</footer>\n");
    }
    out.push_str("</body></html>\n");
    out
}

fn head(out: &mut String, entry: &Entry, facts: &ErrorFacts<'_>, code: &str, style: &str) {
    out.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\n<title>",
    );
    out.extend([code, ": ", entry.title]);
    if !facts.host.is_empty() {
        out.push_str(" | ");
        escape_into(out, facts.host);
    }
    out.extend(["</title>\n<style>", style, "</style></head>\n<body>\n"]);
}

/// The three stations of the request, the failing one marked in colour and in words.
fn way(out: &mut String, entry: &Entry, facts: &ErrorFacts<'_>) {
    let (you, edge, origin) = match entry.failed {
        Party::Visitor => (("bad", "Refused"), ("ok", "Working"), ("idle", "Not asked")),
        Party::Edge => (("ok", "Working"), ("bad", "Failed"), ("idle", "Not asked")),
        Party::Origin => (("ok", "Working"), ("ok", "Working"), ("bad", "Failed")),
    };
    let node = if facts.node.is_empty() { "Seawall" } else { facts.node };
    let host = if facts.host.is_empty() { "The site's server" } else { facts.host };
    let stations = [("You", "Your browser", you), ("Edge", node, edge), ("Origin", host, origin)];
    out.push_str("<section><h2 class=\"sr\">Where it failed</h2><ol class=\"way\">\n");
    for ((name, under, (class, state)), icon) in stations.into_iter().zip(ICONS) {
        out.extend([
            "<li class=\"",
            class,
            "\"><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">",
            icon,
            "</svg>",
        ]);
        out.extend(["<b>", name, "</b><em>", state, "</em><span>"]);
        escape_into(out, under);
        out.push_str("</span></li>\n");
    }
    out.push_str("</ol></section>\n");
}

fn detail(out: &mut String, facts: &ErrorFacts<'_>) {
    if !facts.detail.is_empty() {
        out.push_str("<p class=\"detail\">");
        escape_into(out, facts.detail);
        out.push_str("</p>");
    }
}

fn footer(out: &mut String, facts: &ErrorFacts<'_>) {
    out.push_str("<footer><dl>");
    for (name, value) in [("Ray ID", facts.ray), ("Your address", facts.client_ip)] {
        if !value.is_empty() {
            out.extend(["<div><dt>", name, "</dt><dd>"]);
            escape_into(out, value);
            out.push_str("</dd></div>");
        }
    }
    out.push_str("</dl><p>This page comes from the site's edge, <b>Seawall</b>.</p></footer>\n");
}

/// The table's `code` in backticks becomes an element; the table has no other markup.
fn with_code(out: &mut String, line: &str) {
    for (i, part) in line.split('`').enumerate() {
        if i % 2 == 1 {
            out.push_str("<code>");
            escape_into(out, part);
            out.push_str("</code>");
        } else {
            escape_into(out, part);
        }
    }
}
