//! What CF-Cache-Status and Cache-Status say, and what is stored at all.

use crate::edge::{Edge, Setup};
use crate::origin::{Answer, Origin};
use crate::until;

#[test]
fn a_miss_is_stored_and_hit_from_then_on() {
    let origin = Origin::start(|_| Answer::fresh("page").with("X-Own", "1"));
    let edge = Edge::of(&origin);
    let first = edge.get("/a");
    first.is("MISS", "page");
    assert_eq!(first.told(), "seawall; fwd=uri-miss; stored");
    assert_eq!(first.get("Age"), "");
    let second = edge.get("/a");
    second.is("HIT", "page");
    assert!(second.told().starts_with("seawall; hit; ttl="), "{}", second.told());
    assert_eq!((second.get("Age"), second.get("X-Own")), ("0", "1"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn fields_for_caches_go_no_further() {
    let origin = Origin::start(|a| {
        let answer = Answer::ok("x")
            .with("Cache-Tag", "one,two")
            .with("Surrogate-Control", "max-age=60")
            .with("Cloudflare-CDN-Cache-Control", "max-age=60")
            .with("Seawall-CDN-Cache-Control", "max-age=60")
            .with("Alt-Svc", "h3=\":443\"");
        if a.target == "/kept" { answer } else { answer.with("Vary", "*") }
    });
    let edge = Edge::of(&origin);
    for (target, status) in [("/kept", "MISS"), ("/kept", "HIT"), ("/passed", "BYPASS")] {
        let got = edge.get(target);
        got.is(status, "x");
        for name in [
            "Cache-Tag",
            "Surrogate-Control",
            "Cloudflare-CDN-Cache-Control",
            "Seawall-CDN-Cache-Control",
            "Alt-Svc",
        ] {
            assert_eq!(got.get(name), "", "{target} {name}");
        }
    }
}

#[test]
fn what_no_one_wants_cached_is_dynamic_and_what_is_forbidden_is_bypass() {
    let origin = Origin::start(|a| match a.target.as_str() {
        "/page" => Answer::ok("x"),
        "/private" => Answer::ok("x").with("Cache-Control", "private, max-age=60"),
        "/no-store" => Answer::ok("x").with("Cache-Control", "no-store"),
        "/star" => Answer::fresh("x").with("Vary", "*"),
        _ => Answer::ok("x"),
    });
    let edge = Edge::of(&origin);
    for (target, status, detail) in [
        ("/page", "DYNAMIC", "no-freshness"),
        ("/private", "BYPASS", "private"),
        ("/no-store", "BYPASS", "no-store"),
        ("/star", "BYPASS", "vary-star"),
    ] {
        for _ in 0..2 {
            let got = edge.get(target);
            got.is(status, "x");
            assert_eq!(got.told(), format!("seawall; fwd=uri-miss; detail={detail}"));
        }
    }
    assert_eq!(edge.ask("POST", "/page", &[("Content-Length", "0")]).cf(), "DYNAMIC");
    assert_eq!(edge.get_with("/page", "Cache-Control", "no-store").cf(), "BYPASS");
    assert_eq!(origin.count(), 10);
}

#[test]
fn static_extensions_are_cached_without_a_word_of_the_origin() {
    let origin =
        Origin::start(|a| if a.target == "/gone.js" { Answer::new(404, "no") } else { Answer::ok("x") });
    let edge = Edge::of(&origin);
    edge.get("/app.js").is("MISS", "x");
    edge.get("/app.js").is("HIT", "x");
    // Negative caching: a missing file is remembered too.
    assert_eq!((edge.get("/gone.js").cf(), edge.get("/gone.js").cf()), ("MISS", "HIT"));
    assert_eq!(edge.get("/gone.js").status, 404);
    assert_eq!(origin.count(), 2);
}

#[test]
fn errors_with_freshness_are_cached_and_errors_without_are_not() {
    let origin = Origin::start(|a| match a.target.as_str() {
        "/410" => Answer::new(410, "gone").with("Cache-Control", "max-age=60"),
        _ => Answer::new(500, "sorry"),
    });
    let edge = Edge::of(&origin);
    assert_eq!((edge.get("/410").cf(), edge.get("/410").cf()), ("MISS", "HIT"));
    for _ in 0..2 {
        let got = edge.get("/500.js");
        assert_eq!((got.status, got.text(), got.cf()), (500, "sorry", "DYNAMIC"));
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_client_that_wants_no_origin_asked_gets_504_or_the_stored_one() {
    let origin = Origin::start(|_| Answer::fresh("x"));
    let edge = Edge::of(&origin);
    assert_eq!(edge.get_with("/a", "Cache-Control", "only-if-cached").status, 504);
    assert_eq!(origin.count(), 0);
    edge.get("/a");
    edge.get_with("/a", "Cache-Control", "only-if-cached").is("HIT", "x");
}

#[test]
fn an_age_that_came_with_a_response_is_passed_on_and_grows() {
    let origin = Origin::start(|_| Answer::fresh("x").with("Age", "7"));
    let edge = Edge::of(&origin);
    assert_eq!(edge.get("/a").all("Age"), "7");
    assert_eq!(edge.get("/a").all("Age"), "7");
}

#[test]
fn bodies_shorter_than_promised_are_neither_stored_nor_ended_as_if_whole() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::cut("half", 8).with("Cache-Control", "max-age=60"),
        _ => Answer::fresh("complete"),
    });
    let edge = Edge::of(&origin);
    let got = edge.get("/a");
    assert!(!got.whole || got.status >= 500, "{got:?}");
    edge.get("/a").is("MISS", "complete");
}

#[test]
fn cookies_are_stored_only_when_the_origin_says_so() {
    let origin = Origin::start(|a| {
        let answer = Answer::ok("x").with("Set-Cookie", "id=1");
        if a.target == "/explicit" { answer.with("Cache-Control", "public, max-age=60") } else { answer }
    });
    let edge = Edge::of(&origin);
    for _ in 0..2 {
        let got = edge.get("/page.js");
        got.is("BYPASS", "x");
        assert_eq!((got.get("Set-Cookie"), got.told()), ("id=1", "seawall; fwd=uri-miss; detail=set-cookie"));
    }
    assert_eq!((edge.get("/explicit").cf(), edge.get("/explicit").cf()), ("MISS", "HIT"));
}

#[test]
fn answers_to_authorised_requests_stay_theirs_unless_declared_public() {
    let origin = Origin::start(|a| {
        let who = a.get("Authorization").to_owned();
        let answer = Answer::ok(format!("for {who}"));
        let public = a.target == "/public";
        answer.with("Cache-Control", if public { "public, max-age=60" } else { "max-age=60" })
    });
    let edge = Edge::of(&origin);
    edge.get_with("/a", "Authorization", "one").is("BYPASS", "for one");
    edge.get_with("/a", "Authorization", "two").is("BYPASS", "for two");
    edge.get("/a").is("MISS", "for ");
    edge.get_with("/public", "Authorization", "one").is("MISS", "for one");
    edge.get("/public").is("HIT", "for one");
}

#[test]
fn fields_kept_from_the_cache_reach_who_caused_the_fetch() {
    let origin = Origin::start(|_| {
        Answer::ok("x")
            .with("Cache-Control", "max-age=60, private=\"X-Mine\"")
            .with("X-Mine", "1")
            .with("X-All", "2")
    });
    let edge = Edge::of(&origin);
    // A shared cache may store it without the field; the first one asked for it and may have it.
    let first = edge.get("/a");
    assert_eq!((first.cf(), first.get("X-Mine"), first.get("X-All")), ("MISS", "1", "2"));
    let second = edge.get("/a");
    assert_eq!((second.cf(), second.get("X-Mine"), second.get("X-All")), ("HIT", "", "2"));
}

#[test]
fn head_is_answered_from_what_get_stored() {
    let origin = Origin::start(|_| Answer::fresh("four").with("ETag", "\"v\""));
    let edge = Edge::of(&origin);
    let miss = edge.ask("HEAD", "/a", &[]);
    assert_eq!((miss.status, miss.cf(), miss.get("Content-Length"), miss.body.len()), (200, "MISS", "4", 0));
    edge.get("/a").is("MISS", "four");
    let hit = edge.ask("HEAD", "/a", &[]);
    assert_eq!((hit.status, hit.cf(), hit.get("Content-Length"), hit.body.len()), (200, "HIT", "4", 0));
    assert_eq!(origin.count(), 2);
}

#[test]
fn keys_keep_host_port_path_and_query_apart() {
    let origin = Origin::start(|a| Answer::fresh(format!("{} {}", a.get("Host"), a.target)));
    let edge = Edge::of(&origin);
    for (host, target) in [
        ("a.test", "/x"),
        ("b.test", "/x"),
        ("a.test:81", "/x"),
        ("a.test", "/x?"),
        ("a.test", "/x?1"),
        ("a.test", "/X"),
    ] {
        let body = format!("{host} {target}");
        edge.get_with(target, "Host", host).is("MISS", &body);
        edge.get_with(target, "Host", host).is("HIT", &body);
    }
    // Hosts are names: their case does not count.
    edge.get_with("/x", "Host", "A.TEST").is("HIT", "a.test /x");
}

#[test]
fn schemes_are_kept_apart() {
    let origin = Origin::start(|a| Answer::fresh(a.get("X-Forwarded-Proto").to_owned()));
    let edge =
        Edge::with(&origin, Setup { edge: r#"trusted_proxies = ["127.0.0.0/8"]"#, ..Setup::default() });
    for proto in ["http", "https"] {
        edge.get_with("/x", "X-Forwarded-Proto", proto).is("MISS", proto);
        edge.get_with("/x", "X-Forwarded-Proto", proto).is("HIT", proto);
    }
}

#[test]
fn unsafe_methods_invalidate_the_url_and_its_variants() {
    let origin = Origin::start(|a| match a.method.as_str() {
        "GET" => Answer::fresh(format!("{}", a.nth)).with("Vary", "X-Kind"),
        _ if a.target == "/fails" => Answer::new(500, ""),
        _ => Answer::new(201, "")
            .with("Location", "/made")
            .with("Content-Location", "http://elsewhere.test/other"),
    });
    let edge = Edge::of(&origin);
    let warm = |target: &str| {
        for kind in ["a", "b"] {
            edge.get_with(target, "X-Kind", kind);
            assert_eq!(edge.get_with(target, "X-Kind", kind).cf(), "HIT", "{target}");
        }
    };
    for target in ["/item", "/made", "/other", "/fails"] {
        warm(target);
    }
    assert_eq!(edge.ask("POST", "/item", &[("Content-Length", "0")]).status, 201);
    assert_eq!(edge.ask("DELETE", "/fails", &[]).status, 500);
    for (target, status) in [("/item", "MISS"), ("/made", "MISS"), ("/other", "HIT"), ("/fails", "HIT")] {
        for kind in ["a", "b"] {
            assert_eq!(edge.get_with(target, "X-Kind", kind).cf(), status, "{target} {kind}");
        }
    }
}

#[test]
fn an_unsafe_method_during_a_fetch_keeps_its_old_answer_out() {
    let (pieces, old) = Answer::pieces();
    let old = std::sync::Mutex::new(Some(old.with("Cache-Control", "max-age=60")));
    let origin = Origin::start(move |a| match a.method.as_str() {
        "GET" => old.lock().unwrap().take().unwrap_or_else(|| Answer::fresh("new")),
        _ => Answer::new(204, ""),
    });
    let edge = Edge::of(&origin);
    pieces.send(b"old".to_vec()).unwrap();
    let mut first = edge.open("GET", "/a", &[]);
    first.wait_for(b"old");
    assert_eq!(edge.ask("PUT", "/a", &[("Content-Length", "0")]).status, 204);
    drop(pieces);
    first.finish().is("MISS", "old");
    edge.get("/a").is("MISS", "new");
    until(|| edge.get("/a").cf() == "HIT");
}
