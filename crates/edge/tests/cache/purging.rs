//! Purges through the admin socket.

use crate::edge::{Edge, Setup};
use crate::origin::{Answer, Origin};
use std::sync::Mutex;

fn counting() -> Origin {
    Origin::start(|a| match a.target.as_str() {
        t if t.contains("tagged") => Answer::fresh("x").with("Cache-Tag", "Blog, news"),
        t if t.contains("varies") => Answer::fresh(a.get("X-Kind").to_owned()).with("Vary", "X-Kind"),
        _ => Answer::fresh("x"),
    })
}

/// Warms targets at hosts, purges, and tells which are gone.
fn gone<'t>(edge: &Edge, pages: &[(&'t str, &'t str)], order: &str) -> Vec<(&'t str, &'t str)> {
    for (host, target) in pages {
        edge.get_with(target, "Host", host);
        assert_eq!(edge.get_with(target, "Host", host).cf(), "HIT", "{host}{target}");
    }
    let (status, said) = edge.purge(order);
    assert_eq!(status, 200, "{said}");
    pages
        .iter()
        .copied()
        .filter(|(host, target)| edge.get_with(target, "Host", host).cf() == "MISS")
        .collect()
}

#[test]
fn urls_hosts_prefixes_and_tags_hit_what_they_name_and_nothing_else() {
    let origin = counting();
    let edge = Edge::of(&origin);
    let pages = [
        ("a.test", "/"),
        ("a.test", "/blog"),
        ("a.test", "/blog/one?page=2"),
        ("a.test", "/blogger"),
        ("a.test", "/tagged"),
        ("a.test:8080", "/blog"),
        ("b.test", "/blog"),
        ("b.test", "/tagged"),
    ];
    let at = |list: &[usize]| list.iter().map(|i| pages[*i]).collect::<Vec<_>>();
    for (order, hit) in [
        // Schemes and ports do not count: one name, one purge.
        (r#"{"files":["https://a.test/blog"]}"#, &[1, 5][..]),
        (r#"{"files":["http://A.test:9999/blog/one?page=2#top"]}"#, &[2]),
        (r#"{"files":["a.test/blog/one"]}"#, &[]),
        (r#"{"hosts":["A.TEST"]}"#, &[0, 1, 2, 3, 4, 5]),
        (r#"{"hosts":["a.test:8080"]}"#, &[0, 1, 2, 3, 4, 5]),
        (r#"{"prefixes":["a.test/blog"]}"#, &[1, 2, 5]),
        (r#"{"prefixes":["https://a.test/blog/"]}"#, &[1, 2, 5]),
        (r#"{"prefixes":["a.test"]}"#, &[0, 1, 2, 3, 4, 5]),
        (r#"{"prefixes":["a.test/blo"]}"#, &[]),
        (r#"{"tags":["blog"]}"#, &[4, 7]),
        (r#"{"tags":["NEWS"], "zone": "usual"}"#, &[4, 7]),
        (r#"{"tags":["new"]}"#, &[]),
        (r#"{"zone":"usual","purge_everything":true}"#, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (r#"{"purge_everything":true}"#, &[0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        assert_eq!(gone(&edge, &pages, order), at(hit), "{order}");
    }
}

#[test]
fn every_variant_goes_with_its_url() {
    let origin = counting();
    let edge = Edge::of(&origin);
    for kind in ["a", "b"] {
        edge.get_with("/varies", "X-Kind", kind).is("MISS", kind);
    }
    edge.purge(r#"{"files":["a.test/varies"]}"#);
    for kind in ["a", "b"] {
        edge.get_with("/varies", "X-Kind", kind).is("MISS", kind);
        edge.get_with("/varies", "X-Kind", kind).is("HIT", kind);
    }
}

#[test]
fn zones_are_purged_apart() {
    let origin = counting();
    let zones = r#"
[[zone]]
name = "other"
hosts = ["b.test"]
[[zone.pool]]
name = "app"
origins = [{ url = "ORIGIN" }]
"#;
    let edge = Edge::with(&origin, Setup { zones, ..Setup::default() });
    let pages = [("a.test", "/tagged"), ("b.test", "/tagged")];
    assert_eq!(gone(&edge, &pages, r#"{"zone":"other","purge_everything":true}"#), [pages[1]]);
    assert_eq!(gone(&edge, &pages, r#"{"zone":"other","tags":["blog"]}"#), [pages[1]]);
    assert_eq!(gone(&edge, &pages, r#"{"files":["b.test/tagged"]}"#), [pages[1]]);
    // Which zone's tags?
    assert_eq!(edge.purge(r#"{"tags":["blog"]}"#).0, 400);
}

#[test]
fn orders_that_name_nothing_or_nonsense_are_refused() {
    let edge = Edge::of(&counting());
    for order in [
        "",
        "{}",
        r#"{"files":[]}"#,
        r#"{"files":[""]}"#,
        r#"{"hosts":[" "]}"#,
        r#"{"everything":true}"#,
        r#"{"zone":"nowhere","purge_everything":true}"#,
        r#"{"files":["/path"]}"#,
        r#"{"tags":["a"],"purge_everything":true}"#,
    ] {
        assert_eq!(edge.purge(order).0, 400, "{order}");
    }
}

#[test]
fn a_purge_during_a_fetch_hits_what_is_fetched() {
    for order in [
        r#"{"files":["a.test/a"]}"#,
        r#"{"hosts":["a.test"]}"#,
        r#"{"prefixes":["a.test/"]}"#,
        r#"{"tags":["t"]}"#,
        r#"{"purge_everything":true}"#,
    ] {
        let (pieces, old) = Answer::pieces();
        let old = Mutex::new(Some(old.with("Cache-Control", "max-age=60").with("Cache-Tag", "t")));
        let origin =
            Origin::start(move |_| old.lock().unwrap().take().unwrap_or_else(|| Answer::fresh("new")));
        let edge = Edge::of(&origin);
        pieces.send(b"old ".to_vec()).unwrap();
        let mut first = edge.open("GET", "/a", &[]);
        first.wait_for(b"old ");
        edge.purge(order);
        // Whoever asks after the purge does not get what was fetched before it.
        edge.get("/a").is("MISS", "new");
        pieces.send(b"page".to_vec()).unwrap();
        drop(pieces);
        first.finish().is("MISS", "old page");
        edge.get("/a").is("HIT", "new");
    }
}

#[test]
fn a_url_is_purged_whatever_of_its_query_the_route_ignores() {
    let origin = counting();
    let routes = r#"
[[zone.route]]
path = "/all/*"
pool = "app"
ignore_query = true
[[zone.route]]
path = "/some/*"
pool = "app"
ignore_query = ["utm_*"]
[[zone.route]]
pool = "app"
"#;
    let edge = Edge::with(&origin, Setup { routes, ..Setup::default() });
    for (stored, purged) in [
        ("/all/x?a=1", "/all/x"),
        ("/all/x?a=1", "/all/x?b=2"),
        ("/some/x?utm_source=m&a=1", "/some/x?a=1"),
        ("/some/x?a=1", "/some/x?a=1&utm_source=other"),
        ("/some/x?utm_source=m", "/some/x"),
    ] {
        edge.get(stored);
        edge.get(stored).is("HIT", "x");
        assert_eq!(edge.purge(&format!(r#"{{"files":["a.test{purged}"]}}"#)).0, 200);
        assert_eq!(edge.get(stored).cf(), "MISS", "{stored} by {purged}");
    }
}
