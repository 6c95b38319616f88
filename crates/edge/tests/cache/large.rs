//! Objects of more than one slice.

use crate::edge::{Edge, Setup};
use crate::origin::{Answer, Origin};

/// Bytes that tell where they are.
fn body(len: usize) -> Vec<u8> {
    (0..len as u64 / 8 + 1).flat_map(u64::to_be_bytes).take(len).collect()
}

fn range_of(asked: &str) -> Option<(usize, usize)> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Serves a body of that many bytes, and ranges of it.
fn big(len: usize) -> Origin {
    Origin::start(move |a| {
        let body = body(len);
        let answer = match range_of(a.get("Range")) {
            None => Answer::fresh(body),
            Some((first, last)) => Answer::new(206, &body[first..=last])
                .with("Cache-Control", "max-age=60")
                .with("Content-Range", &format!("bytes {first}-{last}/{len}")),
        };
        answer.with("ETag", "\"v1\"")
    })
}

const LEN: usize = (3 << 20) + 1234;

#[test]
fn a_body_of_several_slices_is_stored_and_cut() {
    let origin = big(LEN);
    let edge = Edge::of(&origin);
    for status in ["MISS", "HIT"] {
        let got = edge.get("/a");
        assert!(got.body == body(LEN) && got.whole, "{status}");
        assert_eq!((got.cf(), got.get("Content-Length")), (status, LEN.to_string().as_str()));
    }
    for (first, last) in
        [(0, 0), (1_048_570, 1_048_580), (1_048_576, 2_097_151), (3 << 20, LEN - 1), (5, LEN - 1)]
    {
        let got = edge.get_with("/a", "Range", &format!("bytes={first}-{last}"));
        assert_eq!((got.status, got.cf()), (206, "HIT"));
        assert!(got.body == body(LEN)[first..=last] && got.whole, "{first}-{last}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn slices_that_were_evicted_are_fetched_again() {
    let origin = big(LEN);
    // Room for one such object and a half: each pushes out slices of the others.
    let edge = Edge::with(&origin, Setup { cache: "memory = \"8MiB\"", ..Setup::default() });
    for turn in 0..3 {
        for target in ["/a", "/b", "/c"] {
            let got = edge.get(target);
            assert!(got.body == body(LEN) && got.whole, "{turn} {target}");
            let got = edge.get_with(target, "Range", "bytes=2500000-2500009");
            assert_eq!((got.status, got.whole), (206, true));
            assert!(got.body == body(LEN)[2_500_000..=2_500_009]);
        }
    }
}

#[test]
fn what_is_larger_than_memory_lies_on_disk_in_slices() {
    const HUGE: usize = 12 << 20;
    let origin = big(HUGE);
    let edge =
        Edge::with(&origin, Setup { cache: "memory = \"4MiB\"\ndisk = \"64MiB\"", ..Setup::default() });
    let got = edge.get("/a");
    assert!(got.body == body(HUGE) && got.whole);
    let mut hits = 0;
    for _ in 0..3 {
        let got = edge.get("/a");
        assert!(got.body == body(HUGE) && got.whole);
        hits += usize::from(got.cf() == "HIT");
    }
    let got = edge.get_with("/a", "Range", "bytes=9000000-9000009");
    assert!(got.status == 206 && got.body == body(HUGE)[9_000_000..=9_000_009]);
    assert!(hits >= 2 && origin.count() <= 2, "{hits} hits, {} fetches", origin.count());
}

#[test]
fn what_is_larger_than_may_be_stored_is_passed_on_whole() {
    let origin = big(LEN);
    let edge = Edge::with(&origin, Setup { cache: "max_object = \"2MiB\"", ..Setup::default() });
    for _ in 0..2 {
        let got = edge.get("/a");
        assert!(got.body == body(LEN) && got.whole);
        assert_eq!((got.cf(), got.told()), ("MISS", "seawall; fwd=uri-miss; detail=size"));
    }
}
