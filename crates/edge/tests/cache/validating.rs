//! Stale responses: validated, replaced, served in an emergency.

use crate::edge::{Edge, Setup};
use crate::origin::{Answer, Origin};
use crate::until;
use std::sync::Mutex;

#[test]
fn stale_is_validated_and_revalidated_by_304() {
    let origin = Origin::start(|a| match a.get("If-None-Match") {
        "\"v1\"" => Answer::new(304, "").with("Cache-Control", "max-age=60").with("X-New", "1"),
        _ => Answer::stale("page", ""),
    });
    let edge = Edge::of(&origin);
    edge.get("/a").is("MISS", "page");
    let second = edge.get("/a");
    second.is("REVALIDATED", "page");
    assert_eq!(second.told(), "seawall; fwd=stale; fwd-status=304; stored");
    assert_eq!((second.get("X-New"), second.get("ETag")), ("1", "\"v1\""));
    edge.get("/a").is("HIT", "page");
    assert_eq!(edge.get("/a").get("X-New"), "1");
    assert_eq!(origin.count(), 2);
}

#[test]
fn stale_that_changed_is_expired_and_replaced() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::stale("old", ""),
        _ => Answer::fresh("new"),
    });
    let edge = Edge::of(&origin);
    edge.get("/a").is("MISS", "old");
    let second = edge.get("/a");
    second.is("EXPIRED", "new");
    assert_eq!(second.told(), "seawall; fwd=stale; stored");
    edge.get("/a").is("HIT", "new");
}

#[test]
fn stale_that_may_no_longer_be_stored_is_forgotten() {
    let origin = Origin::start(|a| match (a.nth, a.target.as_str()) {
        (0, _) => Answer::stale("old", ""),
        (1, "/forbidden") => Answer::ok("mine").with("Cache-Control", "no-store"),
        (1, "/unsaid") => Answer::ok("mine"),
        (1, "/confirmed") => Answer::new(304, "").with("Cache-Control", "no-store"),
        _ => Answer::hang_up(),
    });
    let edge = Edge::of(&origin);
    for (target, status, body) in [
        ("/forbidden", "BYPASS", "mine"),
        ("/unsaid", "DYNAMIC", "mine"),
        ("/confirmed", "REVALIDATED", "old"),
    ] {
        edge.get(target).is("MISS", "old");
        edge.get(target).is(status, body);
        // Were it still there, it would be served now that the origin fails.
        assert_eq!(edge.get(target).status, 520, "{target}");
    }
}

#[test]
fn a_client_can_ask_for_a_validation_of_what_is_fresh() {
    let origin = Origin::start(|a| match a.get("If-None-Match") {
        "" => Answer::fresh("x").with("ETag", "\"v1\""),
        _ => Answer::new(304, ""),
    });
    let edge = Edge::of(&origin);
    edge.get("/a");
    let got = edge.get_with("/a", "Cache-Control", "no-cache");
    got.is("REVALIDATED", "x");
    assert_eq!(got.told(), "seawall; fwd=request; fwd-status=304; stored");
    assert_eq!(origin.count(), 2);
}

#[test]
fn clients_that_have_it_get_304_from_the_cache_and_on_a_miss() {
    let origin = Origin::start(|_| {
        Answer::fresh("x").with("ETag", "\"v1\"").with("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT")
    });
    let edge = Edge::of(&origin);
    for status in ["MISS", "HIT"] {
        let got = edge.get_with("/a", "If-None-Match", "W/\"v1\"");
        assert_eq!((got.status, got.cf(), got.get("ETag"), got.body.len()), (304, status, "\"v1\"", 0));
    }
    assert_eq!(edge.get_with("/a", "If-Modified-Since", "Thu, 01 Jan 2015 00:00:00 GMT").status, 304);
    edge.get_with("/a", "If-None-Match", "\"other\"").is("HIT", "x");
    // The whole was fetched for the cache, whatever the client already had.
    assert_eq!((origin.count(), origin.last().get("If-None-Match")), (1, ""));
}

#[test]
fn a_304_for_something_else_is_asked_again_without_conditions() {
    let origin = Origin::start(|a| match (a.nth, a.get("If-None-Match")) {
        (0, _) => Answer::stale("old", ""),
        (_, "") => Answer::fresh("new").with("ETag", "\"v2\""),
        _ => Answer::new(304, "").with("ETag", "\"v2\""),
    });
    let edge = Edge::of(&origin);
    edge.get("/a").is("MISS", "old");
    let second = edge.get("/a");
    second.is("EXPIRED", "new");
    assert_eq!(origin.count(), 3);
    edge.get("/a").is("HIT", "new");
}

#[test]
fn a_304_that_changes_vary_moves_the_response_to_its_new_key() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::stale("for b", ""),
        1 => Answer::new(304, "").with("Cache-Control", "max-age=60").with("Vary", "X-Kind"),
        _ => Answer::fresh(format!("for {}", a.get("X-Kind"))).with("Vary", "X-Kind"),
    });
    let edge = Edge::of(&origin);
    edge.get_with("/a", "X-Kind", "b").is("MISS", "for b");
    edge.get_with("/a", "X-Kind", "b").is("REVALIDATED", "for b");
    edge.get_with("/a", "X-Kind", "b").is("HIT", "for b");
    edge.get_with("/a", "X-Kind", "c").is("MISS", "for c");
    edge.get_with("/a", "X-Kind", "b").is("HIT", "for b");
}

#[test]
fn stale_while_revalidate_serves_at_once_and_asks_once_in_the_background() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let origin = Origin::start(move |a| match a.nth {
        0 => Answer::stale("old", ", stale-while-revalidate=60"),
        _ => {
            gate.lock().unwrap().recv().unwrap();
            Answer::fresh("new")
        }
    });
    let edge = Edge::of(&origin);
    edge.get("/a").is("MISS", "old");
    for _ in 0..8 {
        let got = edge.get("/a");
        got.is("UPDATING", "old");
        assert!(got.told().starts_with("seawall; hit; ttl=-"), "{}", got.told());
    }
    origin.wait_for(2);
    release.send(()).unwrap();
    until(|| edge.get("/a").cf() == "HIT");
    edge.get("/a").is("HIT", "new");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_background_304_makes_it_fresh_again() {
    let origin = Origin::start(|a| match a.get("If-None-Match") {
        "" => Answer::stale("page", ", stale-while-revalidate=60"),
        _ => Answer::new(304, "").with("Cache-Control", "max-age=60"),
    });
    let edge = Edge::of(&origin);
    edge.get("/a").is("MISS", "page");
    // A HEAD may start it too; what is asked is a GET.
    assert_eq!(edge.ask("HEAD", "/a", &[]).cf(), "UPDATING");
    until(|| edge.get("/a").cf() == "HIT");
    assert_eq!((origin.count(), origin.last().method.as_str()), (2, "GET"));
}

#[test]
fn stale_if_error_covers_errors_and_a_dead_origin() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::stale("page", ", stale-if-error=60"),
        _ => Answer::new(503, "broken"),
    });
    let edge = Edge::of(&origin);
    edge.get("/a").is("MISS", "page");
    let got = edge.get("/a");
    got.is("STALE", "page");
    assert!(got.told().contains("detail=origin-error"), "{}", got.told());
    origin.take_down();
    edge.get("/a").is("STALE", "page");
}

#[test]
fn stale_that_must_be_validated_is_never_served_in_an_emergency() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::stale("page", ", must-revalidate, stale-if-error=60"),
        _ => Answer::hang_up(),
    });
    let edge = Edge::of(&origin);
    edge.get("/a").is("MISS", "page");
    let got = edge.get("/a");
    assert_eq!((got.status, got.cf()), (520, ""));
}

#[test]
fn a_route_can_grant_the_windows_the_origin_does_not() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::stale("page", ""),
        _ => Answer::new(500, "broken"),
    });
    let routes = "[[zone.route]]\npool = \"app\"\nstale_while_revalidate = \"1h\"\n";
    let edge = Edge::with(&origin, Setup { routes, ..Setup::default() });
    edge.get("/a").is("MISS", "page");
    edge.get("/a").is("UPDATING", "page");
    origin.wait_for(2);
    edge.get("/a").is("UPDATING", "page");
}

#[test]
fn a_head_freshens_or_outdates_what_is_stored() {
    let origin = Origin::start(|a| match (a.method.as_str(), a.target.as_str()) {
        ("HEAD", "/same") => Answer::ok("four").with("ETag", "\"v1\"").with("Cache-Control", "max-age=60"),
        ("HEAD", _) => Answer::ok("longer").with("ETag", "\"v2\""),
        _ if a.nth == 0 => Answer::stale("four", ""),
        _ => Answer::fresh("anew"),
    });
    let edge = Edge::of(&origin);
    for target in ["/same", "/other"] {
        edge.get(target).is("MISS", "four");
        assert_eq!(edge.ask("HEAD", target, &[]).cf(), "EXPIRED");
    }
    edge.get("/same").is("HIT", "four");
    edge.get("/other").is("MISS", "anew");
}
