//! RFC 9111 §3.2, §4.3.1, §4.3.4, §4.3.5.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test

mod common;
use common::*;
use seawall_http::Known;
use seawall_httpcache::*;

const OLD: &str = "Cache-Control: max-age=2 | ETag: \"a\" | Last-Modified: {-100} | Date: {+0} | X: 1 | Y: 1";

#[test]
fn section_4_3_1_the_validating_request() {
    let mut request = fields(
        "If-None-Match: \"mine\" | If-Modified-Since: {-1} | If-Match: x | Range: bytes=0-1 | If-Range: x | Abc: 123",
    );
    assert!(validation(&fields(OLD), &mut request));
    assert_eq!(request, fields("Abc: 123 | If-None-Match: \"a\" | If-Modified-Since: {-100}"));
    let mut request = fields("If-None-Match: \"mine\" | Abc: 123");
    assert!(!validation(&fields("Date: {+0}"), &mut request));
    assert_eq!(request, fields("Abc: 123"));
    let mut request = fields("");
    validation(&fields("ETag: W/\"a\""), &mut request);
    assert_eq!(request, fields("If-None-Match: W/\"a\""));
}

#[test]
fn section_4_3_4_which_response_a_304_confirms() {
    for (stored, update, expected) in [
        ("ETag: \"a\"", "ETag: \"a\"", true),
        ("ETag: \"a\"", "ETag: \"b\"", false),
        ("ETag: W/\"a\"", "ETag: \"a\"", false),
        ("ETag: \"a\"", "ETag: W/\"a\"", true),
        ("ETag: W/\"a\"", "ETag: W/\"a\"", true),
        ("Last-Modified: {-5}", "ETag: \"a\"", false),
        ("Last-Modified: {-5}", "Last-Modified: {-5}", true),
        ("Last-Modified: {-5}", "Last-Modified: {-4}", false),
        ("ETag: \"a\" | Last-Modified: {-5}", "ETag: \"a\" | Last-Modified: {-4}", true),
        ("ETag: \"a\"", "Last-Modified: {-4}", true),
        ("ETag: \"a\"", "Date: {+0}", true),
        ("", "", true),
    ] {
        assert_eq!(confirms(&fields(stored), &fields(update)), expected, "{stored} {update}");
    }
}

fn freshened(update: &str, after_s: u64) -> Freshened {
    let old = stored(&Policy::default(), OLD).unwrap();
    let (facts, update) = (facts(""), response(304, update));
    let now_ms = T0_MS + after_s * 1000;
    let exchange =
        Exchange { request_time_ms: now_ms, response_time_ms: now_ms, ..exchange(&facts, "/", &update) };
    freshen(&exchange, &old.stored, &old.fields, &Policy::default())
}

#[test]
fn section_3_2_a_304_replaces_what_it_names() {
    let Freshened::Update(new) = freshened(
        "Cache-Control: max-age=99 | ETag: \"a\" | X: 2 | x: 3 | Content-Length: 7 | Content-Encoding: br | \
         Content-MD5: z | Content-Type: t | Connection: hop | Hop: 1 | Date: {+50} | Age: 4",
        50,
    ) else {
        panic!("the 304 was not taken")
    };
    assert_eq!(
        new.fields,
        fields(
            "ETag: \"a\" | Last-Modified: {-100} | Y: 1 | Cache-Control: max-age=99 | X: 2 | x: 3 | \
             Content-Type: t | Date: {+50}"
        )
    );
    assert_eq!((new.stored.lifetime_s, new.stored.status), (99, 200));
    assert_eq!(new.stored.age_s(T0_MS + 50_000), 4);
}

#[test]
fn section_3_2_what_a_304_leaves_out_stays_but_its_age_is_new() {
    let Freshened::Update(new) = freshened("", 50) else { panic!("the 304 was not taken") };
    assert_eq!((new.stored.lifetime_s, new.stored.age_s(T0_MS + 50_000)), (2, 0));
    assert_eq!(new.fields.get(Known::Date), Some(date(50).as_bytes()));
    assert_eq!(new.fields.get_named(b"x"), Some(&b"1"[..]));
}

#[test]
fn a_304_can_end_the_storing_or_speak_of_something_else() {
    assert_eq!(freshened("ETag: \"b\"", 5), Freshened::Mismatch);
    let Freshened::Last(refusal, fields) = freshened("Cache-Control: private", 5) else {
        panic!("still stored")
    };
    assert_eq!(refusal, Refusal::Private);
    assert_eq!(fields.get_named(b"y"), Some(&b"1"[..]));
}

#[test]
fn section_3_5_a_304_to_an_authorised_request_neither_updates_nor_evicts() {
    let old = stored(&Policy::default(), OLD).unwrap();
    let (facts, update) = (facts("Authorization: x"), response(304, "X: mine"));
    let found = freshen(&exchange(&facts, "/", &update), &old.stored, &old.fields, &Policy::default());
    let Freshened::Once(fields) = found else { panic!("{found:?}") };
    assert_eq!(fields.get_named(b"x"), Some(&b"mine"[..]));
    let open = response(304, "Cache-Control: max-age=9, public");
    let found = freshen(&exchange(&facts, "/", &open), &old.stored, &old.fields, &Policy::default());
    assert!(matches!(found, Freshened::Update(_)));
}

#[test]
fn section_4_3_5_head_updates_or_outdates() {
    let old = stored(&Policy::default(), &format!("{OLD} | Content-Length: 9")).unwrap();
    let by = |status, text: &str| {
        let (facts, head) = (head_facts(""), response(status, text));
        freshen_by_head(&exchange(&facts, "/", &head), &old.stored, &old.fields, &Policy::default())
    };
    let Some(Freshened::Update(new)) = by(200, "Cache-Control: max-age=1000 | X: 2 | Content-Length: 9")
    else {
        panic!("not updated")
    };
    assert_eq!((new.stored.lifetime_s, new.fields.get_named(b"x")), (1000, Some(&b"2"[..])));
    for text in ["ETag: \"b\"", "Last-Modified: {-1}", "Content-Length: 8"] {
        assert_eq!(by(200, text), Some(Freshened::Mismatch), "{text}");
    }
    assert_eq!(by(410, "X: 2"), None);
}

#[test]
fn whole_responses_are_asked_for_without_the_clients_conditions() {
    let mut request = fields("If-Unmodified-Since: x | Range: bytes=0-1 | Accept: y");
    for_whole(&mut request);
    assert_eq!(request, fields("Accept: y"));
}
