//! Compression of what is cached.

use crate::edge::{Edge, Got, Setup};
use crate::origin::{Answer, Origin};
use std::io::Read;

fn text() -> String {
    "All human beings are born free and equal in dignity and rights. ".repeat(200)
}

fn page() -> Origin {
    Origin::start(|_| Answer::fresh(text()).with("Content-Type", "text/html").with("ETag", "\"v1\""))
}

fn decoded(got: &Got) -> String {
    let mut out = String::new();
    match got.get("Content-Encoding") {
        "gzip" => flate2::read::GzDecoder::new(&got.body[..]).read_to_string(&mut out).map(drop),
        "br" => brotli::Decompressor::new(&got.body[..], 4096).read_to_string(&mut out).map(drop),
        "zstd" => zstd::stream::read::Decoder::new(&got.body[..]).unwrap().read_to_string(&mut out).map(drop),
        "" => return got.text().to_owned(),
        other => panic!("{other}"),
    }
    .unwrap();
    out
}

#[test]
fn each_client_gets_the_coding_it_likes_from_one_stored_page() {
    let origin = page();
    let edge = Edge::of(&origin);
    for (status, accepts, coding) in [
        ("MISS", "gzip", "gzip"),
        ("HIT", "gzip", "gzip"),
        ("HIT", "gzip, br, zstd", "br"),
        ("HIT", "zstd", "zstd"),
        ("HIT", "gzip, br, zstd", "br"),
        ("HIT", "br;q=0.1, gzip", "gzip"),
        ("HIT", "identity", ""),
        ("HIT", "", ""),
    ] {
        let got = edge.get_with("/a", "Accept-Encoding", accepts);
        assert_eq!((got.status, got.get("Content-Encoding"), got.whole), (200, coding, true), "{accepts}");
        assert_eq!(got.cf(), status, "{accepts}");
        assert_eq!(decoded(&got), text());
        assert_eq!(got.all("Vary"), "Accept-Encoding", "{accepts}");
        assert_eq!(got.get("ETag"), if coding.is_empty() { "\"v1\"" } else { "W/\"v1\"" }, "{accepts}");
        assert!(coding.is_empty() || got.body.len() < 1000);
    }
    let plain = edge.get("/a");
    assert_eq!((plain.get("Content-Encoding"), plain.all("Vary").as_str()), ("", "Accept-Encoding"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_that_has_the_compressed_page_is_told_of_the_same_tag() {
    let edge = Edge::of(&page());
    edge.get("/a");
    let ask = |tag| edge.ask("GET", "/a", &[("Accept-Encoding", "gzip"), ("If-None-Match", tag)]);
    let got = ask("W/\"v1\"");
    assert_eq!((got.status, got.get("ETag"), got.all("Vary").as_str()), (304, "W/\"v1\"", "Accept-Encoding"));
    assert_eq!(ask("W/\"v0\"").status, 200);
}

#[test]
fn ranges_are_of_the_plain_page() {
    let edge = Edge::of(&page());
    edge.get("/a");
    let got = edge.ask("GET", "/a", &[("Accept-Encoding", "gzip"), ("Range", "bytes=0-8")]);
    assert_eq!((got.status, got.text(), got.get("Content-Encoding")), (206, "All human", ""));
}

#[test]
fn a_purge_hits_the_compressed_copies() {
    let origin = Origin::start(|a| {
        Answer::fresh(format!("{} {}", a.nth, text()))
            .with("Content-Type", "text/plain")
            .with("Cache-Tag", "t")
    });
    let edge = Edge::of(&origin);
    for (nth, order) in
        [r#"{"files":["a.test/a"]}"#, r#"{"tags":["t"]}"#, r#"{"purge_everything":true}"#].iter().enumerate()
    {
        for _ in 0..3 {
            let got = edge.get_with("/a", "Accept-Encoding", "br");
            assert_eq!(got.get("Content-Encoding"), "br");
            assert!(decoded(&got).starts_with(&format!("{nth} ")));
        }
        edge.purge(order);
    }
}

#[test]
fn a_validated_page_has_its_new_fields_when_compressed() {
    let origin = Origin::start(|a| match a.get("If-None-Match") {
        "" => Answer::stale(text(), "").with("Content-Type", "text/html").with("X-Turn", "1"),
        _ => Answer::new(304, "").with("Cache-Control", "max-age=60").with("X-Turn", "2"),
    });
    let edge = Edge::of(&origin);
    for (status, turn) in [("MISS", "1"), ("REVALIDATED", "2"), ("HIT", "2")] {
        let got = edge.get_with("/a", "Accept-Encoding", "br");
        assert_eq!((got.cf(), got.get("X-Turn"), got.get("Content-Encoding")), (status, turn, "br"));
        assert_eq!(decoded(&got), text());
    }
}

#[test]
fn pages_are_compressed_while_they_arrive() {
    let (pieces, slow) = Answer::pieces();
    let slow = std::sync::Mutex::new(Some(
        slow.with("Content-Type", "text/html").with("Cache-Control", "max-age=60"),
    ));
    let origin = Origin::start(move |_| slow.lock().unwrap().take().unwrap());
    let edge = Edge::of(&origin);
    pieces.send(text().into_bytes()).unwrap();
    let sent: Vec<_> = (0..3).map(|_| edge.open("GET", "/a", &[("Accept-Encoding", "gzip")])).collect();
    pieces.send(text().into_bytes()).unwrap();
    drop(pieces);
    for reading in sent {
        let got = reading.finish();
        assert_eq!(got.get("Content-Encoding"), "gzip");
        assert_eq!(decoded(&got), text().repeat(2));
    }
    let got = edge.get_with("/a", "Accept-Encoding", "gzip");
    assert_eq!((got.cf(), decoded(&got)), ("HIT", text().repeat(2)));
}

#[test]
fn what_is_not_text_or_not_to_be_touched_stays_as_it_is() {
    let origin = Origin::start(|a| match a.target.as_str() {
        "/picture" => Answer::fresh(text()).with("Content-Type", "image/png"),
        "/kept" => Answer::ok(text())
            .with("Content-Type", "text/html")
            .with("Cache-Control", "max-age=60, no-transform"),
        "/done" => Answer::fresh(text()).with("Content-Type", "text/html").with("Content-Encoding", "x-own"),
        _ => Answer::fresh("short").with("Content-Type", "text/html"),
    });
    let edge = Edge::of(&origin);
    for target in ["/picture", "/kept", "/done", "/short"] {
        for status in ["MISS", "HIT"] {
            let got = edge.get_with(target, "Accept-Encoding", "gzip, br");
            assert_eq!(got.cf(), status, "{target}");
            assert!(!["gzip", "br"].contains(&got.get("Content-Encoding")), "{target}");
        }
    }
    let edge = Edge::with(&page(), Setup { zone: "compression = false", ..Setup::default() });
    let got = edge.get_with("/a", "Accept-Encoding", "gzip");
    assert_eq!((got.get("Content-Encoding"), got.get("Vary")), ("", ""));
}
