//! What every error answer owes to whoever reads it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test that fails panics

use seawall_ui::errors::{ENTRIES, ErrorFacts, Format, PAGE_MAX_BYTES, Party, error_page, reference};

const FACTS: ErrorFacts<'_> = ErrorFacts {
    code: 522,
    ray: "9a1b2c3d4e5f6071-DEV",
    host: "shop.example.com",
    client_ip: "203.0.113.7",
    node: "DEV",
    now: 1_795_294_211_000,
    detail: "No answer to the connection in 5 s.",
    retry_after_secs: None,
};

fn html(facts: ErrorFacts<'_>) -> String {
    String::from_utf8(error_page(&facts, Format::Html).body).unwrap()
}

#[test]
fn every_page_is_small_and_whole_and_loads_nothing() {
    for e in ENTRIES {
        let page = html(ErrorFacts { code: e.code, ..FACTS });
        assert!(page.len() <= PAGE_MAX_BYTES, "{}: {} bytes", e.code, page.len());
        for part in [
            "<!doctype html>",
            "lang=\"en\"",
            "<title>",
            "<h1>",
            "<main>",
            "name=\"viewport\"",
            FACTS.ray,
            e.title,
        ] {
            assert!(page.contains(part), "{}: no {part}", e.code);
        }
        for outside in ["<script", "http:", "https:", "src=", "url(", "@import", "<link", "javascript:"] {
            assert!(!page.contains(outside), "{}: {outside}", e.code);
        }
        assert_eq!(page.matches("<h1").count(), 1, "{}", e.code);
        assert!(page.contains(e.happened) && page.contains(e.visitor), "{}", e.code);
    }
}

#[test]
fn the_longest_facts_still_fit() {
    let long = "&".repeat(5000);
    for format in [Format::Html, Format::Json, Format::Text] {
        for e in ENTRIES {
            let facts = ErrorFacts {
                code: e.code,
                ray: &long,
                host: &long,
                client_ip: &long,
                node: &long,
                detail: &long,
                ..FACTS
            };
            let page = error_page(&facts, format);
            assert!(page.body.len() <= PAGE_MAX_BYTES, "{} {format:?}: {}", e.code, page.body.len());
        }
    }
}

#[test]
fn style_sheets_are_small_and_their_colours_can_be_read() {
    let style = include_str!("../src/errors/error.css");
    assert!(style.len() < 6 << 10, "{}", style.len());
    for scheme in style.lines().filter(|l| l.contains("--bg:")) {
        let colour = |name: &str| {
            let hex = scheme.split(&format!("--{name}:#")).nth(1).unwrap().split([';', '}']).next().unwrap();
            let hex =
                if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
            luminance(u32::from_str_radix(&hex, 16).unwrap())
        };
        for (front, back) in [
            ("text", "bg"),
            ("text", "card"),
            ("soft", "bg"),
            ("soft", "card"),
            ("ok", "card"),
            ("bad", "bg"),
            ("bad", "card"),
            ("bad", "tint"),
            ("sea", "bg"),
        ] {
            let (a, b) = (colour(front), colour(back));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{front} on {back}: {contrast:.2} in {scheme}");
        }
    }
}

/// Relative luminance (WCAG 2, §1.4.3).
fn luminance(rgb: u32) -> f64 {
    let channel = |shift: u32| {
        let c = f64::from(rgb >> shift & 0xff) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
}

#[test]
fn the_station_that_failed_is_marked_in_words() {
    for e in ENTRIES.iter().filter(|e| !e.is_brief()) {
        let page = html(ErrorFacts { code: e.code, ..FACTS });
        let bad: Vec<_> =
            page.split("<li class=\"bad\">").skip(1).map(|s| s.split("</li>").next().unwrap()).collect();
        let (name, state) = match e.failed {
            Party::Visitor => ("<b>You</b>", "<em>Refused</em>"),
            Party::Edge => ("<b>Edge</b>", "<em>Failed</em>"),
            Party::Origin => ("<b>Origin</b>", "<em>Failed</em>"),
        };
        assert!(bad.len() == 1 && bad[0].contains(name) && bad[0].contains(state), "{}: {bad:?}", e.code);
    }
}

#[test]
fn what_the_client_sent_cannot_become_markup() {
    let evil = "\"><script>alert('1')</script>";
    for code in [400, 522] {
        let facts =
            ErrorFacts { code, ray: evil, host: evil, client_ip: evil, node: evil, detail: evil, ..FACTS };
        let page = html(facts);
        assert!(
            !page.contains("<script") && !page.contains("alert('") && page.contains("&lt;script&gt;"),
            "{page}"
        );
        let text = error_page(&ErrorFacts { detail: "a\u{1b}[31m\r\nb", ..facts }, Format::Text).body;
        assert!(!text.contains(&0x1b) && !text.contains(&b'\r'));
    }
}

#[test]
fn the_problem_document_says_what_programs_need() {
    let page = error_page(&ErrorFacts { code: 1015, ..FACTS }, Format::Json);
    assert_eq!(
        (page.status, page.content_type, page.retry_after_secs),
        (429, "application/problem+json", Some(30))
    );
    let json: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    for (member, value) in [
        ("type", "urn:seawall:error:1015".into()),
        ("title", "Error 1015: Too many requests".into()),
        ("status", 429.into()),
        ("instance", FACTS.ray.into()),
        ("error_code", 1015.into()),
        ("error_name", "rate_limited".into()),
        ("error_category", "rate_limit".into()),
        ("ray_id", FACTS.ray.into()),
        ("timestamp", "2026-11-21T20:50:11Z".into()),
        ("zone", FACTS.host.into()),
        ("seawall_error", true.into()),
        ("retryable", true.into()),
        ("retry_after", 30.into()),
        ("owner_action_required", false.into()),
        ("failed", serde_json::Value::from("visitor")),
    ] {
        assert_eq!(json[member], value, "{member}");
    }
    assert!(json["detail"].as_str().unwrap().ends_with(FACTS.detail));
    let own = error_page(&ErrorFacts { code: 1015, retry_after_secs: Some(7), ..FACTS }, Format::Json);
    assert_eq!(own.retry_after_secs, Some(7));
}

#[test]
fn a_terminal_gets_a_few_lines() {
    let page = error_page(&FACTS, Format::Text);
    insta::assert_snapshot!(String::from_utf8(page.body).unwrap(), @r"
    Error 522: Connection timed out

    The edge tried to connect to the origin of this site and heard nothing back in time.
    Detail: No answer to the connection in 5 s.
    Failed: origin
    Try again in a minute. If it stays, tell the site's owner the ray ID below.

    Ray ID: 9a1b2c3d4e5f6071-DEV
    ");
}

#[test]
fn an_unknown_code_is_an_internal_error() {
    let page = error_page(&ErrorFacts { code: 299, ..FACTS }, Format::Text);
    assert_eq!(page.status, 500);
}

#[test]
fn the_reference_in_docs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, reference()).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == reference(),
        "docs/errors.md is not made from the table: run UPDATE_DOCS=1 cargo nextest run -p seawall-ui"
    );
}
