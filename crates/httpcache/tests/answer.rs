//! RFC 9110 §13 and §14 as RFC 9111 §4.3.2 lets a cache answer them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test

mod common;
use common::*;
use seawall_http::{Fields, Known, Method};
use seawall_httpcache::*;

const BODY: &str = "Cache-Control: max-age=60 | ETag: \"a\" | Last-Modified: {-100} | Date: {+0}";

fn answered(asked: &str, text: &str, length: Option<u64>) -> Answer {
    let (request, entry) = (request(asked), stored(&Policy::default(), text).unwrap());
    answer(&RequestFacts::of(&request), &request.fields, &entry.stored, &entry.fields, length, T0_MS)
}

#[test]
fn section_13_conditions() {
    let no_date = "Cache-Control: max-age=60 | Date: {+0}";
    for (asked, text, unmodified) in [
        ("If-None-Match: \"a\"", BODY, true),
        ("If-None-Match: W/\"a\"", BODY, true),
        ("If-None-Match: \"x\", \"a\"", BODY, true),
        ("If-None-Match: \"x\" | If-None-Match: \"a\"", BODY, true),
        ("If-None-Match: *", BODY, true),
        ("If-None-Match: \"b\"", BODY, false),
        ("If-None-Match: a", BODY, false),
        ("If-None-Match: \"a\"", no_date, false),
        ("If-None-Match: \"a\"", "Cache-Control: max-age=60 | ETag: W/\"a\"", true),
        ("If-None-Match: \"ab\u{fc}\"", "Cache-Control: max-age=60 | ETag: \"ab\u{fc}\"", true),
        ("If-None-Match: a", "Cache-Control: max-age=60 | ETag: a", true),
        // If-None-Match goes first, whichever way it decides
        ("If-None-Match: \"a\" | If-Modified-Since: {-999}", BODY, true),
        ("If-None-Match: \"b\" | If-Modified-Since: {+0}", BODY, false),
        ("If-Modified-Since: {-100}", BODY, true),
        ("If-Modified-Since: {-50}", BODY, true),
        ("If-Modified-Since: {-101}", BODY, false),
        ("If-Modified-Since: soon", BODY, false),
        ("If-Modified-Since: {-50} | If-Modified-Since: {-50}", BODY, false),
        // without Last-Modified the Date counts (§4.3.2)
        ("If-Modified-Since: {+0}", no_date, true),
        ("If-Modified-Since: {-1}", no_date, false),
        // not a cache's to judge
        ("If-Match: \"zzz\" | If-Unmodified-Since: {-9999}", BODY, false),
    ] {
        let expected = if unmodified { Answer::NotModified } else { Answer::Whole };
        assert_eq!(answered(asked, text, Some(9)), expected, "{asked} {text}");
    }
}

#[test]
fn section_13_2_1_conditions_count_for_success_only() {
    let (request, entry) =
        (request("If-None-Match: \"a\""), stored_as(&Policy::default(), "/", 404, "", BODY).unwrap());
    let facts = RequestFacts::of(&request);
    let found = answer(&facts, &request.fields, &entry.stored, &entry.fields, Some(9), T0_MS);
    assert_eq!(found, Answer::Whole);
}

#[test]
fn section_14_ranges() {
    let part = |first, last| Answer::Part { first, last };
    for (range, length, expected) in [
        ("bytes=0-1", 11, part(0, 1)),
        ("BYTES=0-1", 11, part(0, 1)),
        ("bytes=1-", 11, part(1, 10)),
        ("bytes=-1", 11, part(10, 10)),
        ("bytes=-99", 11, part(0, 10)),
        ("bytes=5-99999999999999999999999", 11, part(5, 10)),
        ("bytes=10-10", 11, part(10, 10)),
        ("bytes=11-", 11, Answer::Unsatisfiable),
        ("bytes=99999999999999999999-", 11, Answer::Unsatisfiable),
        ("bytes=-0", 11, Answer::Unsatisfiable),
        ("bytes=0-", 0, Answer::Unsatisfiable),
        ("bytes=-5", 0, Answer::Unsatisfiable),
        ("bytes=2-1", 11, Answer::Whole),
        ("bytes=0-1,3-4", 11, Answer::Whole),
        ("bytes=a-b", 11, Answer::Whole),
        ("bytes=-", 11, Answer::Whole),
        ("bytes=", 11, Answer::Whole),
        ("bytes", 11, Answer::Whole),
        ("lines=0-1", 11, Answer::Whole),
        ("bytes=+0-1", 11, Answer::Whole),
    ] {
        assert_eq!(answered(&format!("Range: {range}"), BODY, Some(length)), expected, "{range}");
    }
    assert_eq!(answered("Range: bytes=0-1 | Range: bytes=0-1", BODY, Some(11)), Answer::Whole);
    assert_eq!(answered("Range: bytes=0-1", BODY, None), Answer::Whole);
    assert_eq!(answered("Range: bytes=0-1 | If-None-Match: \"a\"", BODY, Some(11)), Answer::NotModified);
}

#[test]
fn section_13_1_5_if_range() {
    let weak = "Cache-Control: max-age=60 | ETag: W/\"a\" | Last-Modified: {+0} | Date: {+0}";
    for (validator, text, holds) in [
        ("\"a\"", BODY, true),
        ("\"b\"", BODY, false),
        ("W/\"a\"", weak, false),
        ("\"a\"", weak, false),
        ("{-100}", BODY, true),
        ("{-99}", BODY, false),
        ("{+0}", weak, false),
    ] {
        let found = answered(&format!("Range: bytes=0-1 | If-Range: {validator}"), text, Some(11));
        assert_eq!(found != Answer::Whole, holds, "{validator} {text}");
    }
}

#[test]
fn ranges_are_for_get_and_for_a_200() {
    let request = request("Range: bytes=0-1");
    for (method, status) in [(Method::Head, 200), (Method::Get, 404), (Method::Get, 203)] {
        let entry = stored_as(&Policy::default(), "/", status, "", BODY).unwrap();
        let facts = RequestFacts { method, ..RequestFacts::of(&request) };
        let found = answer(&facts, &request.fields, &entry.stored, &entry.fields, Some(11), T0_MS);
        assert_eq!(found, Answer::Whole, "{method:?} {status}");
    }
}

#[test]
fn each_form_has_its_fields() {
    let stored = fields(
        "Content-Length: 11 | Content-Type: x | ETag: \"a\" | Last-Modified: {-5} | Date: {+0} | Vary: b | X: y",
    );
    let mut out = Fields::new();
    not_modified(&stored, &mut out);
    assert_eq!(out, fields("ETag: \"a\" | Date: {+0} | Vary: b | X: y"));

    let mut out = Fields::new();
    not_modified(&fields("Last-Modified: {-5} | Content-Type: x"), &mut out);
    assert_eq!(out, fields("Last-Modified: {-5}"));

    let mut out = Fields::new();
    partial(&stored, 3, 5, 11, &mut out);
    assert_eq!(out.get(Known::ContentRange), Some(&b"bytes 3-5/11"[..]));
    assert_eq!(out.all(Known::ContentLength).collect::<Vec<_>>(), [b"3"]);
    assert_eq!((out.has(Known::ETag), out.has(Known::ContentType)), (true, true));

    let mut out = Fields::new();
    unsatisfiable(11, &mut out);
    assert_eq!(out, fields("Content-Range: bytes */11 | Content-Length: 0"));
}
