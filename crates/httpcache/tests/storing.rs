//! RFC 9111 §3 (storing), §4.2 (lifetimes, ages), §5.2.2 (response directives), RFC 9213, and what policies change.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test

mod common;
use common::*;
use seawall_http::{Known, Method};
use seawall_httpcache::*;

/// Lifetime in seconds, or why not, of a 200 to GET `/` under the default policy.
fn lifetime(text: &str) -> Result<u32, Refusal> {
    stored(&Policy::default(), text).map(|e| e.stored.lifetime_s)
}

#[test]
fn section_3_storing() {
    let cases: &[(u16, &str, &str, Result<(), Refusal>)] = &[
        (200, "", "Cache-Control: max-age=60", Ok(())),
        (200, "", "Expires: {+60}", Ok(())),
        (200, "", "Cache-Control: s-maxage=60", Ok(())),
        (200, "", "", Err(Refusal::NoFreshness)),
        (200, "", "Cache-Control: public", Err(Refusal::NoFreshness)),
        (200, "", "ETag: \"a\" | Last-Modified: {-9999}", Err(Refusal::NoFreshness)),
        (200, "", "Cache-Control: max-age=60, no-store", Err(Refusal::NoStore)),
        (200, "", "Cache-Control: No-StOrE", Err(Refusal::NoStore)),
        (200, "", "Cache-Control: max-age=60 | Cache-Control: private", Err(Refusal::Private)),
        (
            200,
            "Cache-Control: no-store",
            "Cache-Control: max-age=60",
            Err(Refusal::Bypassed(Bypass::NoStore)),
        ),
        // statuses, understood or not, with explicit freshness
        (299, "", "Cache-Control: max-age=60", Ok(())),
        (302, "", "Cache-Control: max-age=60", Ok(())),
        (404, "", "Cache-Control: max-age=60", Ok(())),
        (499, "", "Cache-Control: max-age=60", Ok(())),
        (503, "", "Cache-Control: max-age=60", Ok(())),
        (599, "", "Cache-Control: max-age=60", Ok(())),
        // never
        (101, "", "Cache-Control: max-age=60", Err(Refusal::Status)),
        (206, "", "Cache-Control: max-age=60", Err(Refusal::Status)),
        (304, "", "Cache-Control: max-age=60", Err(Refusal::Status)),
        (412, "", "Cache-Control: max-age=60", Err(Refusal::Status)),
        (416, "", "Cache-Control: max-age=60", Err(Refusal::Status)),
        // §5.2.2.3
        (599, "", "Cache-Control: max-age=60, must-understand", Err(Refusal::NotUnderstood)),
        (200, "", "Cache-Control: max-age=60, must-understand, no-store", Ok(())),
        (599, "", "Cache-Control: max-age=60, no-store", Err(Refusal::NoStore)),
        // §4.1
        (200, "", "Cache-Control: max-age=60 | Vary: *", Err(Refusal::Vary(VaryError::Star))),
        // nothing would ever use it
        (200, "", "Cache-Control: max-age=0", Err(Refusal::Useless)),
        (200, "", "Cache-Control: no-cache", Err(Refusal::Useless)),
        (200, "", "Expires: 0", Err(Refusal::Useless)),
        (200, "", "Cache-Control: max-age=0 | ETag: \"a\"", Ok(())),
        (200, "", "Cache-Control: max-age=0, stale-if-error=5", Ok(())),
        (200, "", "Cache-Control: no-cache | Last-Modified: {-5}", Ok(())),
    ];
    for (status, asked, text, expected) in cases {
        let found = stored_as(&Policy::default(), "/", *status, asked, text).map(drop);
        assert_eq!(found, *expected, "{status} {asked} {text}");
    }
}

#[test]
fn section_3_only_get_is_stored() {
    let response = response(200, "Cache-Control: max-age=60");
    for (method, expected) in [
        (Method::Head, Refusal::Method),
        (Method::Post, Refusal::Bypassed(Bypass::Method)),
        (Method::Other, Refusal::Bypassed(Bypass::Method)),
    ] {
        let facts = RequestFacts { method, ..RequestFacts::default() };
        assert_eq!(store(&exchange(&facts, "/", &response), &Policy::default()), Err(expected));
    }
}

#[test]
fn section_3_1_fields_that_are_not_stored() {
    let entry = stored(
        &Policy::default(),
        "Connection: a, B | Keep-Alive: x | Proxy-Authenticate: x | Proxy-Authentication-Info: x | \
         Proxy-Authorization: x | Proxy-Connection: x | TE: x | Trailer: x | Transfer-Encoding: x | Upgrade: x | \
         a: 1 | b: 2 | c: 3 | Age: 7 | d: 4 | E: 5 | Cache-Control: max-age=60, no-cache=\"d, e\" | \
         Cache-Control: private=\"set-cookie\" | Set-Cookie: s=1 | Date: {+0}",
    )
    .unwrap();
    let names: Vec<_> =
        entry.fields.iter().map(|(_, n, _)| String::from_utf8_lossy(n).to_lowercase()).collect();
    assert_eq!(names, ["c", "cache-control", "cache-control", "date"]);
    assert_eq!(entry.stored.age_s(T0_MS), 7);
}

#[test]
fn section_3_1_a_missing_or_wrong_date_is_written() {
    for text in ["Cache-Control: max-age=60", "Cache-Control: max-age=60 | Date: foo"] {
        let entry = stored(&Policy::default(), text).unwrap();
        assert_eq!(entry.fields.all(Known::Date).collect::<Vec<_>>(), [date(0).as_bytes()]);
    }
}

#[test]
fn section_3_5_authorised_requests() {
    for (text, expected) in [
        ("Expires: {+60}", false),
        ("Cache-Control: max-age=60", false),
        ("Cache-Control: max-age=60, proxy-revalidate", false),
        ("Cache-Control: max-age=60, public", true),
        ("Cache-Control: max-age=60, must-revalidate", true),
        ("Cache-Control: s-maxage=60", true),
        ("CDN-Cache-Control: max-age=60", false),
        ("CDN-Cache-Control: max-age=60, public", true),
        // the words must be in the field that governs
        ("CDN-Cache-Control: max-age=60 | Cache-Control: public", false),
    ] {
        let found = stored_as(&Policy::default(), "/", 200, "Authorization: Basic x", text);
        assert_eq!(found.is_ok(), expected, "{text}");
    }
    let edge = Policy { edge_ttl_s: Some(60), ..Policy::default() };
    let found = stored_as(&edge, "/", 200, "Authorization: x", "Cache-Control: public");
    assert_eq!(found, Err(Refusal::Authorization));
}

#[test]
fn section_4_2_1_lifetimes() {
    for (text, expected) in [
        ("Cache-Control: max-age=3600", 3600),
        ("Cache-Control: MaX-aGe=3600", 3600),
        ("Cache-Control: foobar, max-age=3600", 3600),
        ("Cache-Control: max-age=2147483648", 1 << 31),
        ("Cache-Control: max-age=2147483649", 1 << 31),
        ("Cache-Control: max-age=99999999999999999999999999", 1 << 31),
        ("Cache-Control: max-age=003600", 3600),
        ("Cache-Control: max-age=\"3600\"", 3600),
        ("Cache-Control: max-age=3600, s-maxage=1", 1),
        ("Cache-Control: max-age=3600 | Cache-Control: s-maxage=1", 1),
        ("Cache-Control: max-age=1, s-maxage=3600", 3600),
        ("Cache-Control: max-age=0, s-maxage=3600 | Expires: {-10}", 3600),
        ("Cache-Control: max-age=3600 | Expires: {-7200} | Date: {+0}", 3600),
        ("Cache-Control: max-age=3600 | Expires: 0", 3600),
        ("Cache-Control: max-age=0 | Expires: {+3600}", 0),
        ("Expires: {+3600} | Date: {+0}", 3600),
        ("Expires: {+20} | Date: {+10}", 10),
        ("Expires: {+10} | Date: foo", 10),
        ("Expires: {+10}", 10),
        ("Expires: {+300} | Date: {+400}", 0),
        ("Expires: Thursday, 18-Aug-50 02:01:18 GMT | Date: Thu, 18 Aug 2050 02:01:08 GMT", 10),
        ("Expires: {+60} | Expires: {+60}", 60),
        ("Expires: {+60} | Expires: {+61}", 0),
        // invalid is stale
        ("Cache-Control: max-age=-3600", 0),
        ("Cache-Control: max-age='3600'", 0),
        ("Cache-Control: max-age=3600.0", 0),
        ("Cache-Control: max-age=a3600", 0),
        ("Cache-Control: max-age=3600a", 0),
        ("Cache-Control: max-age =3600", 0),
        ("Cache-Control: max-age= 3600", 0),
        ("Cache-Control: max-age", 0),
        ("Cache-Control: max-age=", 0),
        ("Cache-Control: s-maxage=x, max-age=60", 0),
        // twice the same is once, twice different is stale
        ("Cache-Control: max-age=60, max-age=60", 60),
        ("Cache-Control: max-age=3600 | Cache-Control: max-age=1800", 0),
        // in quotes it is not a directive
        ("Cache-Control: extension=\"max-age=3600\", max-age=1", 1),
        ("Cache-Control: max-age=1, extension=\"max-age=3600\"", 1),
        ("Cache-Control: extension=\"no-store, max-age=3600\", max-age=\"1\"", 1),
    ] {
        assert_eq!(lifetime(&format!("{text} | ETag: \"a\"")), Ok(expected), "{text}");
    }
}

#[test]
fn section_4_2_2_heuristics_only_where_the_policy_wants_them() {
    let on = Policy { heuristic: Some(Heuristic::default()), ..Policy::default() };
    let text = "Last-Modified: {-86400} | Date: {+0}";
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        let entry = stored_as(&on, "/", status, "", text).unwrap();
        assert_eq!(entry.stored.lifetime_s, 8640, "{status}");
        assert!(entry.stored.flags.has(Flags::ASSIGNED));
        assert_eq!(stored_as(&Policy::default(), "/", status, "", text), Err(Refusal::NoFreshness));
    }
    for status in [201, 202, 302, 307, 403, 429, 500, 502, 503, 504, 599] {
        assert_eq!(stored_as(&on, "/", status, "", text), Err(Refusal::NoFreshness), "{status}");
        let public = format!("{text} | Cache-Control: public");
        assert!(stored_as(&on, "/", status, "", &public).is_ok(), "{status}");
    }
    let capped = stored(&on, "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT").unwrap();
    assert_eq!(capped.stored.lifetime_s, 86_400);
    assert_eq!(stored(&on, "Last-Modified: {+60}"), Err(Refusal::NoFreshness));
}

#[test]
fn section_4_2_3_ages() {
    let age = |text: &str| {
        stored(&Policy::default(), &format!("Cache-Control: max-age=3600 | {text}"))
            .unwrap()
            .stored
            .age_s(T0_MS)
    };
    assert_eq!(age(""), 0);
    assert_eq!(age("Age: 30"), 30);
    assert_eq!(age("Date: {-50}"), 50);
    assert_eq!(age("Date: {-50} | Age: 30"), 50);
    assert_eq!(age("Date: {-50} | Age: 70"), 70);
    assert_eq!(age("Date: {+50}"), 0);
    assert_eq!(age("Age: 99999999999999"), 1 << 31);

    // The delay counts (corrected_age_value), and so does the time since.
    let (request, response) = (RequestFacts::default(), response(200, "Cache-Control: max-age=9 | Age: 5"));
    let slow = Exchange { response_time_ms: T0_MS + 1500, ..exchange(&request, "/", &response) };
    let stored = store(&slow, &Policy::default()).unwrap().stored;
    assert_eq!(stored.age_ms(T0_MS + 1500), 6500);
    assert!(stored.is_fresh(T0_MS + 3999) && !stored.is_fresh(T0_MS + 4000));
    assert_eq!(stored.age_s(T0_MS + 3500), 8);

    // Dates have whole seconds: a response is not aged by the fraction.
    let fraction = Exchange { request_time_ms: T0_MS + 999, response_time_ms: T0_MS + 999, ..slow };
    assert_eq!(store(&fraction, &Policy::default()).unwrap().stored.initial_age_ms, 5000);
}

#[test]
fn section_4_2_3_an_age_that_is_not_one_integer_is_stale() {
    for text in [
        "Age: abc",
        "Age: -7200",
        "Age: 7200.0",
        "Age: 7200,0",
        "Age: 7200 | Age: 0",
        "Age: 0 | Age: 7200",
        "Age: 0, 0",
        "Age: 0 | Age: 0",
        "Age: 3600, 3600",
        "Age: 7200;foo=bar",
        "Age:",
    ] {
        let found = lifetime(&format!("Cache-Control: max-age=10000 | ETag: \"a\" | {text}"));
        assert_eq!(found, Ok(0), "{text}");
    }
}

#[test]
fn section_5_2_2_flags() {
    let flags =
        |text: &str| stored(&Policy::default(), &format!("{text} | ETag: \"a\"")).unwrap().stored.flags;
    assert!(flags("Cache-Control: no-cache").has(Flags::NO_CACHE));
    assert!(flags("Cache-Control: max-age=5, No-CaChE").has(Flags::NO_CACHE));
    assert!(!flags("Cache-Control: max-age=5, no-cache=\"x\"").has(Flags::NO_CACHE));
    assert!(flags("Cache-Control: max-age=5, no-cache=\"x\", no-cache").has(Flags::NO_CACHE));
    assert!(flags("Cache-Control: max-age=5, no-cache=\"\"").has(Flags::NO_CACHE));
    assert!(flags("Cache-Control: max-age=5, no-cache=\"a b\"").has(Flags::NO_CACHE));
    assert!(flags("Cache-Control: max-age=5, must-revalidate").has(Flags::MUST_REVALIDATE));
    assert!(flags("Cache-Control: max-age=5, proxy-revalidate").has(Flags::MUST_REVALIDATE));
    assert!(flags("Cache-Control: s-maxage=5").has(Flags::S_MAXAGE));
    assert!(flags("Cache-Control: max-age=5, immutable").has(Flags::IMMUTABLE));
    let plain = flags("Cache-Control: max-age=5 | Last-Modified: {-1} | Date: {+0}");
    assert!(plain.has(Flags::ETAG) && plain.has(Flags::LAST_MODIFIED) && plain.has(Flags::STRONG_DATE));
    assert!(!flags("Cache-Control: max-age=5 | Last-Modified: {+0} | Date: {+0}").has(Flags::STRONG_DATE));
    assert!(!flags("Cache-Control: max-age=5 | Last-Modified: x").has(Flags::LAST_MODIFIED));
    assert_eq!(stored(&Policy::default(), "Cache-Control: max-age=5, private=\"\""), Err(Refusal::Private));
}

#[test]
fn rfc_5861_windows_come_from_the_response_then_from_the_policy() {
    let policy = Policy { stale_while_revalidate_s: 7, stale_if_error_s: 8, ..Policy::default() };
    for (text, expected) in [
        ("max-age=5", (7, 8)),
        ("max-age=5, stale-while-revalidate=1, stale-if-error=2", (1, 2)),
        ("max-age=5, stale-while-revalidate=0", (0, 8)),
        ("max-age=5, stale-while-revalidate", (7, 8)),
        ("max-age=5, must-revalidate, stale-while-revalidate=1", (0, 0)),
        ("max-age=5, proxy-revalidate", (0, 0)),
        ("s-maxage=5", (0, 0)),
        ("s-maxage=5, stale-while-revalidate=1", (1, 0)),
        ("no-cache, stale-if-error=9", (0, 0)),
    ] {
        let stored = stored(&policy, &format!("ETag: \"a\" | Cache-Control: {text}")).unwrap().stored;
        assert_eq!((stored.stale_while_revalidate_s, stored.stale_if_error_s), expected, "{text}");
    }
}

#[test]
fn rfc_9213_targeted_fields_replace_cache_control_and_expires() {
    for (text, expected) in [
        ("CDN-Cache-Control: max-age=600 | Cache-Control: max-age=60", Ok(600)),
        ("CDN-Cache-Control: max-age=600 | Cache-Control: no-store", Ok(600)),
        ("CDN-Cache-Control: no-store | Cache-Control: max-age=60", Err(Refusal::NoStore)),
        ("CDN-Cache-Control: must-revalidate | Cache-Control: max-age=60", Err(Refusal::NoFreshness)),
        ("CDN-Cache-Control: public | Expires: {+60}", Err(Refusal::NoFreshness)),
        ("CDN-Cache-Control: max-age=1 | Cloudflare-CDN-Cache-Control: max-age=2", Ok(2)),
        ("Cloudflare-CDN-Cache-Control: max-age=2 | Seawall-CDN-Cache-Control: max-age=3", Ok(3)),
        // one that is empty or does not parse is passed over
        ("Seawall-CDN-Cache-Control: | CDN-Cache-Control: max-age=4", Ok(4)),
        ("Seawall-CDN-Cache-Control: Max-Age=9 | CDN-Cache-Control: max-age=4", Ok(4)),
        ("CDN-Cache-Control: max-age=4, | Cache-Control: max-age=60", Ok(60)),
        ("CDN-Cache-Control: max-age=4.5 | Cache-Control: max-age=60", Ok(0)),
        ("CDN-Cache-Control: max-age=4 | CDN-Cache-Control: stale-if-error=9", Ok(4)),
        // Surrogate-Control comes last of them
        ("Surrogate-Control: max-age=9 | Cache-Control: max-age=60", Ok(9)),
        ("Surrogate-Control: MAX-AGE=9, foobar | Expires: {-9}", Ok(9)),
        ("Surrogate-Control: no-store | Cache-Control: max-age=60", Err(Refusal::NoStore)),
        ("Surrogate-Control: max-age=9;seawall | Cache-Control: no-store", Ok(9)),
        ("Surrogate-Control: max-age=9;other | Cache-Control: max-age=60", Ok(60)),
        ("Surrogate-Control: no-store;other | Cache-Control: max-age=60", Ok(60)),
        ("Surrogate-Control: max-age=9 | CDN-Cache-Control: max-age=4", Ok(4)),
    ] {
        assert_eq!(lifetime(&format!("ETag: \"a\" | {text}")), expected, "{text}");
    }
    let off = Policy { surrogate_control: false, ..Policy::default() };
    let entry = stored(&off, "Surrogate-Control: no-store | Cache-Control: max-age=60").unwrap();
    assert_eq!(entry.stored.lifetime_s, 60);
}

#[test]
fn static_extensions_have_cloudflares_lifetimes() {
    let policy = Policy::default();
    let of = |path: &str, status, text: &str| {
        stored_as(&policy, path, status, "", text).map(|e| e.stored.lifetime_s)
    };
    for (status, expected) in
        [(200, Ok(7200)), (301, Ok(7200)), (302, Ok(1200)), (303, Ok(1200)), (404, Ok(180)), (410, Ok(180))]
    {
        assert_eq!(of("/a.css", status, ""), expected);
    }
    for status in [201, 204, 307, 400, 403, 500, 503] {
        assert_eq!(of("/a.css", status, ""), Err(Refusal::NoFreshness), "{status}");
    }
    assert_eq!(of("/robots.txt", 200, ""), Ok(7200));
    assert_eq!(of("/a.html", 200, ""), Err(Refusal::NoFreshness));
    assert_eq!(of("/a.css", 200, "Cache-Control: public"), Ok(7200));
    assert_eq!(of("/a.css", 200, "Cache-Control: max-age=5"), Ok(5));
    assert_eq!(of("/a.css", 200, "Expires: 0"), Err(Refusal::Useless));
    assert_eq!(of("/a.css", 200, "Cache-Control: private"), Err(Refusal::Private));
    assert_eq!(of("/a.css", 200, "Cache-Control: no-cache | ETag: \"a\""), Ok(0));
    assert_eq!(of("/a.css", 200, "Set-Cookie: a=b"), Err(Refusal::SetCookie));
    let off = Policy { static_defaults: false, ..policy };
    assert_eq!(stored_as(&off, "/a.css", 200, "", ""), Err(Refusal::NoFreshness));
    let everything = Policy { mode: Mode::Everything, ..policy };
    assert_eq!(stored_as(&everything, "/a", 404, "", "").unwrap().stored.lifetime_s, 180);
}

#[test]
fn an_edge_ttl_replaces_what_the_origin_says() {
    let policy = Policy { edge_ttl_s: Some(600), ..Policy::default() };
    for (status, text, expected) in [
        (200, "Cache-Control: no-store", Ok(600)),
        (200, "Cache-Control: private, max-age=5, must-revalidate", Ok(600)),
        (200, "CDN-Cache-Control: no-store", Ok(600)),
        (301, "", Ok(600)),
        (302, "", Ok(600)),
        (404, "Cache-Control: max-age=5", Ok(180)),
        (500, "Cache-Control: max-age=5", Err(Refusal::NoFreshness)),
        (206, "", Err(Refusal::Status)),
        (200, "Vary: *", Err(Refusal::Vary(VaryError::Star))),
    ] {
        let entry = stored_as(&policy, "/", status, "", text);
        assert_eq!(entry.map(|e| e.stored.lifetime_s), expected, "{status} {text}");
    }
    let entry = stored(&policy, "Set-Cookie: a=b | Cache-Control: private").unwrap();
    assert!(!entry.fields.has(Known::SetCookie) && !entry.stored.flags.has(Flags::MUST_REVALIDATE));
    let zero = Policy { edge_ttl_s: Some(0), ..policy };
    assert_eq!(stored(&zero, "Cache-Control: max-age=5"), Err(Refusal::Useless));
}

#[test]
fn cookies_are_stored_as_the_policy_says() {
    let cases = [
        ("Cache-Control: max-age=5", [true, false, false]),
        ("Expires: {+5}", [true, false, false]),
        ("Cache-Control: max-age=5, public", [true, true, false]),
        ("Cache-Control: s-maxage=5", [true, true, false]),
        ("CDN-Cache-Control: max-age=5", [true, true, false]),
        ("Cache-Control: max-age=5, no-cache=\"Set-Cookie\"", [true, true, true]),
    ];
    for (text, expected) in cases {
        let rules = [SetCookie::WhenExplicit, SetCookie::WhenShared, SetCookie::Never];
        let found = rules.map(|set_cookie| {
            stored(&Policy { set_cookie, ..Policy::default() }, &format!("Set-Cookie: a=b | {text}")).is_ok()
        });
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn refusals_tell_bypass_from_dynamic() {
    for (text, expected) in [
        ("Cache-Control: no-store", CfStatus::Bypass),
        ("Cache-Control: max-age=0", CfStatus::Bypass),
        ("", CfStatus::Dynamic),
    ] {
        assert_eq!(stored(&Policy::default(), text).unwrap_err().cf_status(), expected, "{text}");
    }
    assert_eq!(Refusal::Bypassed(Bypass::Method).cf_status(), CfStatus::Dynamic);
}
