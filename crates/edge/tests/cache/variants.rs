//! Vary, Accept-Encoding and ranges.

use crate::edge::Edge;
use crate::origin::{Answer, Origin};

#[test]
fn each_variant_is_stored_for_itself() {
    let origin =
        Origin::start(|a| Answer::fresh(a.get("Accept-Language").to_owned()).with("Vary", "Accept-Language"));
    let edge = Edge::of(&origin);
    for (value, body, status) in [
        ("de", "de", "MISS"),
        ("en", "en", "MISS"),
        ("DE", "de", "HIT"),
        ("en", "en", "HIT"),
        ("de, en", "de, en", "MISS"),
    ] {
        edge.get_with("/a", "Accept-Language", value).is(status, body);
    }
    assert_eq!(edge.get("/a").cf(), "MISS");
    assert_eq!(origin.count(), 4);
}

#[test]
fn many_ways_to_accept_codings_make_few_variants() {
    let origin = Origin::start(|a| {
        let answer =
            Answer::fresh(format!("as {}", a.get("Accept-Encoding"))).with("Vary", "Accept-Encoding");
        if a.get("Accept-Encoding").contains("gzip") {
            answer.with("Content-Encoding", "gzip")
        } else {
            answer
        }
    });
    let edge = Edge::of(&origin);
    for (value, body, status) in [
        ("gzip, deflate, br", "as gzip, br", "MISS"),
        ("br;q=0.8, gzip;q=1.0", "as gzip, br", "HIT"),
        ("gzip", "as gzip", "MISS"),
        ("x-gzip, deflate", "as gzip", "HIT"),
    ] {
        let got = edge.get_with("/a", "Accept-Encoding", value);
        got.is(status, body);
        assert_eq!(got.get("Content-Encoding"), "gzip");
    }
    let plain = edge.get("/a");
    assert_eq!((plain.cf(), plain.get("Content-Encoding")), ("MISS", ""));
}

#[test]
fn a_response_that_no_longer_varies_replaces_its_variants() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::stale("varies", "").with("Vary", "X-Kind"),
        _ => Answer::fresh("the same for all"),
    });
    let edge = Edge::of(&origin);
    edge.get_with("/a", "X-Kind", "a").is("MISS", "varies");
    edge.get_with("/a", "X-Kind", "a").is("EXPIRED", "the same for all");
    edge.get_with("/a", "X-Kind", "b").is("HIT", "the same for all");
}

#[test]
fn ranges_are_cut_from_the_stored_whole() {
    let origin = Origin::start(|_| Answer::fresh("0123456789").with("ETag", "\"v1\""));
    let edge = Edge::of(&origin);
    for (status, range, want, code, content_range) in [
        ("MISS", "bytes=0-3", "0123", 206, "bytes 0-3/10"),
        ("HIT", "bytes=4-", "456789", 206, "bytes 4-9/10"),
        ("HIT", "bytes=-2", "89", 206, "bytes 8-9/10"),
        ("HIT", "bytes=9-100", "9", 206, "bytes 9-9/10"),
        ("HIT", "bytes=10-", "", 416, "bytes */10"),
        ("HIT", "bytes=0-1,3-4", "0123456789", 200, ""),
        ("HIT", "lines=1-2", "0123456789", 200, ""),
    ] {
        let got = edge.get_with("/a", "Range", range);
        assert_eq!((got.status, got.text(), got.cf()), (code, want, status), "{range}");
        assert_eq!(got.get("Content-Range"), content_range, "{range}");
        assert!(got.whole, "{range}");
    }
    // The whole was asked for, once.
    assert_eq!((origin.count(), origin.last().get("Range")), (1, ""));
    let with = |tag: &str| edge.ask("GET", "/a", &[("Range", "bytes=0-1"), ("If-Range", tag)]).status;
    assert_eq!((with("\"v1\""), with("\"v2\"")), (206, 200));
}

#[test]
fn far_ranges_on_a_miss_go_past_the_cache() {
    let origin = Origin::start(|a| match a.get("Range") {
        "" => Answer::fresh("x"),
        _ => Answer::new(206, "part").with("Content-Range", "bytes 5000000-5000003/9000000"),
    });
    let edge = Edge::of(&origin);
    let got = edge.get_with("/a.bin", "Range", "bytes=5000000-5000003");
    assert_eq!((got.status, got.text(), origin.last().get("Range")), (206, "part", "bytes=5000000-5000003"));
    let got = edge.get_with("/a.bin", "Range", "bytes=-4");
    assert_eq!((got.status, origin.last().get("Range")), (206, "bytes=-4"));
    // Nothing of that was taken for the whole.
    edge.get("/a.bin").is("MISS", "x");
}

#[test]
fn a_partial_answer_to_a_whole_question_is_not_stored() {
    let origin = Origin::start(|_| {
        Answer::new(206, "part").with("Content-Range", "bytes 0-3/10").with("Cache-Control", "max-age=60")
    });
    let edge = Edge::of(&origin);
    for _ in 0..2 {
        let got = edge.get("/a");
        assert_eq!((got.status, got.text(), got.cf()), (206, "part", "DYNAMIC"));
    }
}
