//! RFC 9111 §4 (reuse), §4.2.4 (stale), §5.2.1 (request directives), RFC 5861.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test

mod common;
use common::*;
use seawall_httpcache::*;

fn verdict(asked: &str, text: &str, after_s: u64) -> Verdict {
    let stored = stored(&Policy::default(), text).unwrap().stored;
    decide(&facts(asked), &stored, T0_MS + after_s * 1000, &Policy::default())
}

use Verdict::{Fresh, Refresh, Stale, Unavailable, Validate};

#[test]
fn section_4_fresh_until_the_lifetime_is_over() {
    let text = "Cache-Control: max-age=10";
    assert_eq!(verdict("", text, 0), Fresh { age_s: 0 });
    assert_eq!(verdict("", text, 9), Fresh { age_s: 9 });
    assert_eq!(verdict("", text, 10), Validate(Why::Stale));
    assert_eq!(verdict("", "Cache-Control: max-age=3600 | Age: 7200", 0), Validate(Why::Stale));
    assert_eq!(verdict("", "Cache-Control: no-cache, max-age=10 | ETag: \"a\"", 0), Validate(Why::NoCache));
    assert_eq!(verdict("", "Cache-Control: max-age=10, no-cache=\"x\"", 0), Fresh { age_s: 0 });
    let before = decide(
        &facts(""),
        &stored(&Policy::default(), text).unwrap().stored,
        T0_MS - 99_000,
        &Policy::default(),
    );
    assert_eq!(before, Fresh { age_s: 0 });
}

#[test]
fn section_5_2_1_the_clients_wishes() {
    let ten = "Cache-Control: max-age=10";
    for (asked, text, after, expected) in [
        ("Cache-Control: no-cache", ten, 0, Validate(Why::Request)),
        ("Pragma: no-cache", ten, 0, Validate(Why::Request)),
        ("Pragma: other", ten, 0, Fresh { age_s: 0 }),
        ("Cache-Control: max-age=0", ten, 0, Validate(Why::Request)),
        ("Cache-Control: max-age=1", ten, 1, Fresh { age_s: 1 }),
        ("Cache-Control: max-age=1", ten, 2, Validate(Why::Request)),
        ("Cache-Control: max-age=600", "Cache-Control: max-age=3600 | Age: 1800", 0, Validate(Why::Request)),
        ("Cache-Control: min-fresh=10", ten, 0, Fresh { age_s: 0 }),
        ("Cache-Control: min-fresh=10", ten, 1, Validate(Why::Request)),
        (
            "Cache-Control: min-fresh=1000",
            "Cache-Control: max-age=1500 | Age: 1000",
            0,
            Validate(Why::Request),
        ),
        ("Cache-Control: max-stale", ten, 999_999, Stale { age_s: 999_999 }),
        ("Cache-Control: max-stale=5", ten, 15, Stale { age_s: 15 }),
        ("Cache-Control: max-stale=5", ten, 16, Validate(Why::Stale)),
        (
            "Cache-Control: max-stale=1000",
            "Cache-Control: max-age=1500 | Age: 2000",
            0,
            Stale { age_s: 2000 },
        ),
        ("Cache-Control: max-stale=x", ten, 11, Validate(Why::Stale)),
        ("Cache-Control: max-stale, max-age=5", ten, 11, Validate(Why::Request)),
        ("Cache-Control: max-stale", "Cache-Control: max-age=10, must-revalidate", 11, Validate(Why::Stale)),
        ("Cache-Control: max-stale", "Cache-Control: max-age=10, proxy-revalidate", 11, Validate(Why::Stale)),
        ("Cache-Control: max-stale", "Cache-Control: s-maxage=10", 11, Validate(Why::Stale)),
        ("Cache-Control: only-if-cached", ten, 0, Fresh { age_s: 0 }),
        ("Cache-Control: only-if-cached", ten, 11, Unavailable),
        ("Cache-Control: only-if-cached, no-cache", ten, 0, Unavailable),
        ("Cache-Control: only-if-cached, max-stale", ten, 11, Stale { age_s: 11 }),
    ] {
        assert_eq!(verdict(asked, text, after), expected, "{asked} {text} {after}");
    }
    assert!(facts("Cache-Control: only-if-cached").unavailable_on_miss(&Policy::default()));
}

#[test]
fn wishes_are_ignored_where_the_policy_says_so() {
    let policy = Policy { ignore_client_directives: true, ..Policy::default() };
    let stored = stored(&policy, "Cache-Control: max-age=10").unwrap().stored;
    for asked in ["no-cache", "max-age=0", "min-fresh=99", "max-stale", "only-if-cached"] {
        let facts = facts(&format!("Cache-Control: {asked}"));
        assert_eq!(decide(&facts, &stored, T0_MS + 9000, &policy), Fresh { age_s: 9 }, "{asked}");
        assert_eq!(decide(&facts, &stored, T0_MS + 11_000, &policy), Validate(Why::Stale), "{asked}");
        assert!(!facts.unavailable_on_miss(&policy));
    }
}

#[test]
fn rfc_5861_3_stale_while_revalidate() {
    let text = "Cache-Control: max-age=10, stale-while-revalidate=5";
    assert_eq!(verdict("", text, 9), Fresh { age_s: 9 });
    assert_eq!(verdict("", text, 10), Refresh { age_s: 10 });
    assert_eq!(verdict("", text, 14), Refresh { age_s: 14 });
    assert_eq!(verdict("", text, 15), Validate(Why::Stale));
    assert_eq!(verdict("Cache-Control: no-cache", text, 12), Validate(Why::Request));
    let common = "Cache-Control: s-maxage=10, stale-while-revalidate=5";
    assert_eq!(verdict("", common, 12), Refresh { age_s: 12 });
    let strict = "Cache-Control: max-age=10, stale-while-revalidate=5, must-revalidate";
    assert_eq!(verdict("", strict, 12), Validate(Why::Stale));
}

#[test]
fn rfc_5861_4_stale_if_error_and_a_disconnected_origin() {
    let out = Failure::Unreachable;
    let policy = Policy { stale_if_unreachable_s: 100, ..Policy::default() };
    for (text, failure, after, expected) in [
        ("max-age=2, stale-if-error=60", Failure::Status(503), 10, Some(10)),
        ("max-age=2, stale-if-error=60", Failure::Status(500), 10, Some(10)),
        ("max-age=2, stale-if-error=60", Failure::Status(522), 10, Some(10)),
        ("max-age=2, stale-if-error=60", Failure::Status(404), 10, None),
        ("max-age=2, stale-if-error=60", Failure::Status(501), 10, None),
        ("max-age=2, stale-if-error=60", Failure::Status(503), 62, None),
        ("max-age=2, stale-if-error=60", out, 61, Some(61)),
        ("max-age=2", Failure::Status(503), 3, None),
        ("max-age=2", out, 101, Some(101)),
        ("max-age=2", out, 102, None),
        ("max-age=20", Failure::Status(503), 3, Some(3)),
        ("max-age=2, must-revalidate", out, 3, None),
        ("max-age=2, proxy-revalidate", out, 3, None),
        ("max-age=2, s-maxage=2", out, 3, None),
        ("max-age=2, no-cache", out, 1, None),
        ("max-age=2, must-revalidate, stale-if-error=60", out, 3, None),
        ("s-maxage=2, stale-if-error=60", out, 3, Some(3)),
    ] {
        let text_of = format!("ETag: \"a\" | Cache-Control: {text}");
        let stored = stored(&policy, &text_of).unwrap().stored;
        let found = on_failure(&stored, failure, T0_MS + after * 1000, &policy);
        assert_eq!(found, expected, "{text} {failure:?} {after}");
    }
}
