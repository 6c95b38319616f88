use super::*;

const HTML: (&str, &str) = ("accept", "text/html");

fn ask<'a>(method: &'a str, target: &'a str, fields: &[(&'a str, &'a str)]) -> Ask<'a> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fields = fields.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    Ask { method, path, query, fields, now: 1_795_294_211_000 }
}

fn get(target: &str) -> Reply {
    respond(&ask("GET", target, &[HTML]))
}

fn text(reply: &Reply) -> String {
    match &reply.body {
        Body::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| &**v)
}

#[test]
fn every_link_on_the_front_page_leads_somewhere() {
    let home = text(&get("/"));
    let links: Vec<_> = home.split("href=\"").skip(1).filter_map(|p| p.split('"').next()).collect();
    assert!(links.len() > 15);
    for link in links.iter().filter(|l| l.starts_with('/') && !l.starts_with("/cdn-cgi/")) {
        let reply = get(&link.replace("&amp;", "&"));
        assert_eq!(reply.status, if link.starts_with("/status/") { 404 } else { 200 }, "{link}");
    }
    for anchor in links.iter().filter_map(|l| l.strip_prefix('#')) {
        assert!(home.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
}

#[test]
fn every_page_is_whole_and_no_placeholder_is_left() {
    for page in
        ["/", "/cached", "/ws", "/upload", "/headers", "/errors", "/slow?s=0", "/status/500", "/nowhere"]
    {
        let page_text = text(&get(page));
        assert!(page_text.starts_with("<!doctype html>") && page_text.ends_with("</html>\n"), "{page}");
        assert!(!page_text.contains("{{") && !page_text.contains("}}"), "{page}");
        assert_eq!(page_text.matches("<h1").count(), 1, "{page}");
        assert!(!page_text.contains("https://"), "{page} loads something from elsewhere");
    }
}

#[test]
fn static_files_may_be_kept_and_are_not_sent_twice() {
    for name in ["site.css", "site.js", "mark.svg"] {
        let path = format!("/static/{name}");
        let first = respond(&ask("GET", &path, &[]));
        assert_eq!((first.status, field(&first, "Cache-Control")), (200, Some("public, max-age=3600")));
        let tag = field(&first, "ETag").unwrap();
        for known in [tag.to_owned(), format!("\"x\", W/{tag}"), "*".into()] {
            let again = respond(&ask("GET", &path, &[("If-None-Match", &known)]));
            assert_eq!(
                (again.status, text(&again).len(), field(&again, "ETag")),
                (304, 0, Some(tag)),
                "{known}"
            );
        }
        assert_eq!(respond(&ask("GET", &path, &[("If-None-Match", "\"x\"")])).status, 200);
    }
}

#[test]
fn what_the_visitor_sent_cannot_become_markup() {
    let evil = "<script>alert(1)</script>";
    for target in ["/", "/headers?<script>", "/upload"] {
        let page =
            text(&respond(&ask("GET", target, &[HTML, ("host", evil), ("cf-ray", evil), ("x", evil)])));
        assert!(!page.contains("<script>"), "{target}");
    }
}

#[test]
fn numbers_in_addresses_are_bounded() {
    assert_eq!(get("/large?mb=2").body, Body::Large(2 << 20));
    assert_eq!(get("/large?mb=99999999").body, Body::Large(LARGE_MAX_MIB << 20));
    assert_eq!(get("/large?mb=-1").body, Body::Large(1 << 20));
    assert_eq!(get("/slow?s=9999").delay, Duration::from_secs(SLOW_MAX_SECS));
    assert_eq!(get("/slow?s=9999&drip=1").body, Body::Drip(SLOW_MAX_SECS));
}

#[test]
fn any_status_can_be_had_and_nothing_that_is_none() {
    for status in [200, 204, 301, 304, 401, 404, 418, 503, 599] {
        let path = format!("/status/{status}");
        let reply = respond(&ask("DELETE", &path, &[]));
        assert_eq!(reply.status, status);
        assert!(!matches!(status, 204 | 304) || text(&reply).is_empty());
    }
    for path in ["/status/100", "/status/199", "/status/600", "/status/-1", "/status/", "/status/abc"] {
        assert_eq!(get(path).status, 404, "{path}");
    }
}

#[test]
fn programs_get_json() {
    let json = |reply: &Reply| serde_json::from_str::<serde_json::Value>(&text(reply)).unwrap();
    let headers = json(&respond(&ask("PUT", "/headers?a=b", &[("X-One", "1"), ("X-One", "2")])));
    assert_eq!(headers["headers"], serde_json::json!([["X-One", "1"], ["X-One", "2"]]));
    let time = json(&get("/api/time"));
    assert_eq!(time["time"], "2026-11-21T20:50:11Z");
    let receipt = Receipt { bytes: 3, sha256: "ab".into(), took_ms: 1 };
    assert_eq!(json(&uploaded(&ask("POST", "/upload", &[]), &receipt))["bytes"], 3);
    assert!(text(&uploaded(&ask("POST", "/upload", &[HTML]), &receipt)).contains("3 bytes"));
}

#[test]
fn methods_a_page_does_not_take_are_refused_with_those_it_takes() {
    let reply = respond(&ask("POST", "/", &[]));
    assert_eq!((reply.status, field(&reply, "Allow")), (405, Some("GET, HEAD")));
    assert_eq!(respond(&ask("PUT", "/upload", &[])).body, Body::Upload);
    assert_eq!(respond(&ask("DELETE", "/upload", &[])).status, 405);
}

#[test]
fn a_socket_opens_only_when_asked_for_properly() {
    let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(respond(&ask("GET", "/ws", &[("Upgrade", "WebSocket"), key])).status, 101);
    assert_eq!(respond(&ask("GET", "/ws", &[("Upgrade", "websocket")])).status, 200);
    assert_eq!(respond(&ask("GET", "/ws", &[key])).status, 200);
}
