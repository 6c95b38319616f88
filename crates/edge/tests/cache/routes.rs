//! What a zone or a route says about caching.

use crate::edge::{Edge, Setup};
use crate::origin::{Answer, Origin};

fn with(origin: &Origin, route: &str) -> Edge {
    let routes = format!("[[zone.route]]\npool = \"app\"\n{route}\n");
    Edge::with(origin, Setup { routes: &routes, ..Setup::default() })
}

#[test]
fn an_edge_ttl_overrides_the_origin_and_drops_its_cookies() {
    let origin = Origin::start(|a| {
        let answer = Answer::ok("x").with("Set-Cookie", "id=1");
        if a.target == "/private" { answer.with("Cache-Control", "private, no-store") } else { answer }
    });
    let edge = with(&origin, "edge_ttl = \"1h\"");
    for target in ["/plain", "/private"] {
        edge.get(target).is("MISS", "x");
        let hit = edge.get(target);
        hit.is("HIT", "x");
        assert_eq!(hit.get("Set-Cookie"), "");
    }
    edge.get_with("/authorised", "Authorization", "me").is("BYPASS", "x");
}

#[test]
fn an_edge_ttl_of_nothing_stores_nothing() {
    let origin = Origin::start(|_| Answer::fresh("x"));
    let edge = with(&origin, "edge_ttl = \"0s\"");
    edge.get("/a").is("BYPASS", "x");
    edge.get("/a").is("BYPASS", "x");
}

#[test]
fn a_browser_ttl_is_what_clients_are_told() {
    let origin = Origin::start(|_| {
        Answer::fresh("x")
            .with("Age", "20")
            .with("Expires", "Thu, 01 Jan 2015 00:00:00 GMT")
            .with("ETag", "\"v\"")
    });
    let edge = with(&origin, "browser_ttl = \"5m\"");
    for status in ["MISS", "HIT"] {
        let got = edge.get("/a");
        got.is(status, "x");
        // The browser subtracts the age it is told.
        assert_eq!((got.all("Cache-Control").as_str(), got.get("Expires")), ("max-age=320", ""), "{status}");
    }
    let got = edge.get_with("/a", "If-None-Match", "\"v\"");
    assert_eq!((got.status, got.get("Cache-Control")), (304, "max-age=320"));
}

#[test]
fn ignored_parts_of_a_query_do_not_tell_pages_apart() {
    let origin = Origin::start(|a| Answer::fresh(a.target.clone()));
    let edge = with(&origin, "ignore_query = [\"utm_*\"]");
    edge.get("/a?x=1&utm_source=mail").is("MISS", "/a?x=1&utm_source=mail");
    edge.get("/a?utm_medium=ad&x=1").is("HIT", "/a?x=1&utm_source=mail");
    edge.get("/a?x=2").is("MISS", "/a?x=2");
    let edge = with(&origin, "ignore_query = true");
    edge.get("/b?x=1").is("MISS", "/b?x=1");
    edge.get("/b").is("HIT", "/b?x=1");
}

#[test]
fn a_cookie_can_keep_a_request_from_the_cache() {
    let origin = Origin::start(|a| Answer::fresh(format!("for {}", a.get("Cookie"))));
    let edge = with(&origin, "bypass_cookie = [\"session*\"]");
    edge.get("/a").is("MISS", "for ");
    edge.get_with("/a", "Cookie", "x=1; session_id=7").is("BYPASS", "for x=1; session_id=7");
    edge.get_with("/a", "Cookie", "not_session=1; x=session").is("HIT", "for ");
}

#[test]
fn cache_everything_treats_every_path_as_a_file() {
    let origin = Origin::start(|a| {
        if a.target == "/private" {
            Answer::ok("x").with("Cache-Control", "private")
        } else {
            Answer::ok("x")
        }
    });
    let edge = with(&origin, "cache = \"everything\"");
    edge.get("/page").is("MISS", "x");
    edge.get("/page").is("HIT", "x");
    edge.get("/private").is("BYPASS", "x");
}

#[test]
fn a_route_or_a_zone_can_do_without_a_cache() {
    let origin = Origin::start(|_| Answer::fresh("x"));
    let edge = with(&origin, "cache = false");
    edge.get("/a").is("DYNAMIC", "x");
    edge.get("/a").is("DYNAMIC", "x");
    let edge = Edge::with(&origin, Setup { zone: "cache = false", ..Setup::default() });
    edge.get("/a").is("DYNAMIC", "x");
    edge.get("/a").is("DYNAMIC", "x");
}

#[test]
fn development_mode_goes_to_the_origin_each_time() {
    let origin = Origin::start(|_| Answer::fresh("x"));
    let edge = Edge::with(&origin, Setup { zone: "development_mode = true", ..Setup::default() });
    edge.get("/a").is("BYPASS", "x");
    edge.get("/a").is("BYPASS", "x");
    assert_eq!(origin.count(), 2);
}

#[test]
fn fields_a_route_edits_are_edited_on_hits_too() {
    let origin = Origin::start(|_| Answer::fresh("x").with("X-Secret", "1").with("X-Own", "1"));
    let edge = with(
        &origin,
        "response_headers = { set = { X-Own = \"2\", X-More = \"3\" }, remove = [\"X-Secret\"] }",
    );
    for status in ["MISS", "HIT"] {
        let got = edge.get("/a");
        got.is(status, "x");
        assert_eq!((got.get("X-Secret"), got.all("X-Own").as_str(), got.get("X-More")), ("", "2", "3"));
    }
}
