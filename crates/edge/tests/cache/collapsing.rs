//! Many clients, one request to the origin.

use crate::edge::{Edge, Sent, Setup};
use crate::origin::{Answer, Origin};
use crate::until;
use std::net::Shutdown;
use std::sync::{Arc, Barrier, Mutex};

/// Answers the first request with pieces that come when told, and later ones with `then`.
fn slow_first(
    more: &'static [(&'static str, &'static str)],
    then: fn() -> Answer,
) -> (std::sync::mpsc::Sender<Vec<u8>>, Origin) {
    let (pieces, first) = Answer::pieces();
    let first = more.iter().fold(first, |a, (n, v)| a.with(n, v));
    let first = Mutex::new(Some(first));
    (pieces, Origin::start(move |_| first.lock().unwrap().take().unwrap_or_else(then)))
}

const FRESH: &[(&str, &str)] = &[("Cache-Control", "max-age=60")];

#[test]
fn a_hundred_clients_cost_one_request_and_get_the_first_bytes_before_the_origin_ends() {
    let (pieces, origin) = slow_first(FRESH, || Answer::new(500, "asked twice"));
    let edge = Edge::of(&origin);
    let sent: Vec<Sent> = (0..100).map(|_| edge.send("GET", "/a", &[])).collect();
    pieces.send(b"first bytes ".to_vec()).unwrap();
    let mut reading: Vec<_> = sent.into_iter().map(Sent::head).collect();
    for r in &mut reading {
        r.wait_for(b"first bytes ");
    }
    pieces.send(b"and the rest".to_vec()).unwrap();
    drop(pieces);
    let (mut collapsed, mut led) = (0, 0);
    for got in reading.into_iter().map(|r| r.finish()) {
        assert_eq!((got.status, got.text(), got.whole), (200, "first bytes and the rest", true));
        if got.told().ends_with("; collapsed") {
            collapsed += 1;
            assert_eq!(got.cf(), "HIT");
        } else {
            led += 1;
            assert_eq!(got.cf(), "MISS");
        }
    }
    assert_eq!((led, collapsed, origin.count()), (1, 99, 1));
    edge.get("/a").is("HIT", "first bytes and the rest");
}

#[test]
fn a_leader_that_reads_nothing_does_not_slow_the_others() {
    const SIZE: usize = 24 << 20;
    let origin = Origin::start(|_| Answer::fresh(vec![b'x'; SIZE]));
    let edge = Edge::of(&origin);
    let leader = edge.send("GET", "/big.bin", &[]);
    origin.wait_for(1);
    let got = edge.get("/big.bin");
    assert_eq!((got.body.len(), got.whole), (SIZE, true));
    assert_eq!(origin.count(), 1);
    // Slow, not lost: what it has not read yet is in the cache.
    let got = leader.head().finish();
    assert_eq!((got.body.len(), got.whole, got.cf()), (SIZE, true, "MISS"));
}

#[test]
fn a_leader_that_goes_away_leaves_the_fetch_to_the_others() {
    let (pieces, origin) = slow_first(FRESH, || Answer::new(500, "asked twice"));
    let edge = Edge::of(&origin);
    let mut leader = edge.open("GET", "/a", &[]);
    let other = edge.send("GET", "/a", &[]);
    pieces.send(b"some ".to_vec()).unwrap();
    leader.wait_for(b"some ");
    drop(leader);
    let mut other = other.head();
    other.wait_for(b"some ");
    pieces.send(b"more".to_vec()).unwrap();
    drop(pieces);
    assert_eq!(other.finish().text(), "some more");
    until(|| edge.get("/a").cf() == "HIT");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_leader_that_goes_away_before_the_head_holds_no_one_up() {
    let barrier = Arc::new(Barrier::new(2));
    let gate = barrier.clone();
    let origin = Origin::start(move |a| {
        if a.nth == 0 {
            gate.wait();
        }
        Answer::fresh("x")
    });
    let edge = Edge::of(&origin);
    let leader = edge.send("GET", "/a", &[]);
    origin.wait_for(1);
    let other = edge.send("GET", "/a", &[]);
    leader.stream.shutdown(Shutdown::Both).unwrap();
    barrier.wait();
    let got = other.head().finish();
    assert_eq!((got.status, got.text()), (200, "x"));
    assert!(origin.count() <= 2);
}

#[test]
fn when_the_origin_breaks_off_every_client_can_tell() {
    let origin = Origin::start(|a| match a.nth {
        0 => Answer::cut(vec![b'x'; 1000], 5000).with("Cache-Control", "max-age=60"),
        _ => Answer::fresh("whole"),
    });
    let edge = Edge::of(&origin);
    let clients: Vec<_> = (0..10).map(|_| edge.send("GET", "/a", &[])).collect();
    for got in clients.into_iter().map(|c| c.head().finish()) {
        assert!(!got.whole || got.status >= 500 || got.text() == "whole", "{got:?}");
    }
    edge.get("/a");
    edge.get("/a").is("HIT", "whole");
}

#[test]
fn what_cannot_be_shared_is_not_waited_for_in_line() {
    const CLIENTS: usize = 12;
    // Each of the later answers waits until all of them are being fetched at once: in line, that would never be.
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let origin = Origin::start(move |a| {
        if a.nth > 0 {
            barrier.wait();
        }
        Answer::ok(format!("{}", a.nth)).with("Cache-Control", "private")
    });
    // Each worker learns it for itself.
    let edge = Edge::with(&origin, Setup { alone: true, ..Setup::default() });
    edge.get("/a").is("BYPASS", "0");
    let sent: Vec<_> = (0..CLIENTS).map(|_| edge.send("GET", "/a", &[])).collect();
    let mut bodies: Vec<_> = sent.into_iter().map(|s| s.head().finish().text().to_owned()).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), CLIENTS);
}

#[test]
fn followers_of_what_turns_out_private_fetch_for_themselves() {
    let barrier = Arc::new(Barrier::new(2));
    let gate = barrier.clone();
    let origin = Origin::start(move |a| {
        if a.nth == 0 {
            gate.wait();
        }
        Answer::ok(a.get("Cookie").to_owned()).with("Cache-Control", "private")
    });
    let edge = Edge::of(&origin);
    let sent: Vec<_> =
        (0..8).map(|i| edge.send("GET", "/a", &[("Cookie", format!("id={i}").as_str())])).collect();
    origin.wait_for(1);
    barrier.wait();
    for (i, got) in sent.into_iter().map(|s| s.head().finish()).enumerate() {
        got.is("BYPASS", &format!("id={i}"));
    }
    assert_eq!(origin.count(), 8);
}

#[test]
fn followers_that_want_another_variant_fetch_it() {
    let barrier = Arc::new(Barrier::new(2));
    let gate = barrier.clone();
    let origin = Origin::start(move |a| {
        if a.nth == 0 {
            gate.wait();
        }
        Answer::fresh(a.get("X-Kind").to_owned()).with("Vary", "X-Kind")
    });
    let edge = Edge::of(&origin);
    let kinds = ["a", "b", "a", "b", "c", "a"];
    let mut sent = vec![edge.send("GET", "/a", &[("X-Kind", "a")])];
    origin.wait_for(1);
    sent.extend(kinds[1..].iter().map(|kind| edge.send("GET", "/a", &[("X-Kind", *kind)])));
    barrier.wait();
    for (kind, got) in kinds.iter().zip(sent.into_iter().map(|s| s.head().finish())) {
        assert_eq!((got.status, got.text()), (200, *kind));
    }
    for kind in ["a", "b", "c"] {
        edge.get_with("/a", "X-Kind", kind).is("HIT", kind);
    }
}

#[test]
fn a_validation_is_shared_too() {
    let barrier = Arc::new(Barrier::new(2));
    let gate = barrier.clone();
    let origin = Origin::start(move |a| {
        if a.nth == 0 {
            return Answer::ok("page").with("Cache-Control", "max-age=1").with("ETag", "\"v1\"");
        }
        gate.wait();
        Answer::new(304, "").with("Cache-Control", "max-age=60")
    });
    let edge = Edge::of(&origin);
    edge.get("/a");
    // What is stale on arrival is asked for by each; this one becomes stale in the cache.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let sent: Vec<_> = (0..6).map(|_| edge.send("GET", "/a", &[])).collect();
    origin.wait_for(2);
    std::thread::sleep(std::time::Duration::from_millis(50));
    barrier.wait();
    for got in sent.into_iter().map(|s| s.head().finish()) {
        assert_eq!((got.status, got.text(), got.whole), (200, "page", true));
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn what_must_be_validated_each_time_is_validated_by_each_and_not_in_line() {
    const CLIENTS: usize = 8;
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let origin = Origin::start(move |a| {
        if a.nth == 0 {
            return Answer::ok("page").with("Cache-Control", "no-cache, public").with("ETag", "\"v1\"");
        }
        barrier.wait();
        Answer::new(if a.get("If-None-Match") == "\"v1\"" { 304 } else { 500 }, "")
    });
    let edge = Edge::with(&origin, Setup { alone: true, ..Setup::default() });
    edge.get("/a").is("MISS", "page");
    for _ in 0..2 {
        let sent: Vec<_> = (0..CLIENTS).map(|_| edge.send("GET", "/a", &[])).collect();
        for got in sent.into_iter().map(|s| s.head().finish()) {
            got.is("REVALIDATED", "page");
        }
    }
    assert_eq!(origin.count(), 1 + 2 * CLIENTS);
}

#[test]
fn those_who_wait_for_what_is_stale_on_arrival_ask_for_themselves() {
    let barrier = Arc::new(Barrier::new(2));
    let gate = barrier.clone();
    let origin = Origin::start(move |a| {
        if a.nth == 0 {
            gate.wait();
        }
        Answer::ok(format!("{}", a.nth))
            .with("Cache-Control", "max-age=0")
            .with("ETag", &format!("\"{}\"", a.nth))
    });
    let edge = Edge::of(&origin);
    let sent: Vec<_> = (0..6).map(|_| edge.send("GET", "/a", &[])).collect();
    origin.wait_for(1);
    std::thread::sleep(std::time::Duration::from_millis(50));
    barrier.wait();
    let mut bodies: Vec<_> = sent.into_iter().map(|s| s.head().finish().text().to_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5"]);
}
