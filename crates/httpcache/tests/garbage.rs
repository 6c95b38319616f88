//! Whatever a client or an origin sends: no panic, and what is stored survives a trip to the disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test

use proptest::prelude::*;
use seawall_http::{Fields, Known, Method, RequestHead, ResponseHead};
use seawall_httpcache::*;

/// Names the cache looks at, in requests and in responses.
const NAMES: &[Known] = &[
    Known::AcceptEncoding,
    Known::Age,
    Known::Authorization,
    Known::CacheControl,
    Known::CacheTag,
    Known::CdnCacheControl,
    Known::Connection,
    Known::ContentLength,
    Known::ContentLocation,
    Known::Date,
    Known::ETag,
    Known::Expires,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::IfRange,
    Known::LastModified,
    Known::Location,
    Known::Pragma,
    Known::Range,
    Known::SetCookie,
    Known::Vary,
];

const WORDS: &[&str] = &[
    "max-age=",
    "s-maxage=",
    "no-cache",
    "private=",
    "public",
    "stale-while-revalidate=",
    "stale-if-error=",
    "must-understand",
    "no-store",
    "max-stale",
    "min-fresh=",
    "only-if-cached",
    "\"",
    "\\",
    ",",
    ";",
    "=",
    " ",
    "0",
    "60",
    "99999999999999999999",
    "-",
    "bytes=",
    "W/",
    "*",
    "foo",
    "accept-encoding",
    "gzip",
    "q=0",
    "/",
    "..",
    "?",
    "#",
    "http:",
    "//a.test",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "(",
    ")",
    ":",
    "?1",
    "@",
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => proptest::collection::vec(proptest::sample::select(WORDS), 0..6).prop_map(|w| w.concat().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..24),
    ]
}

fn fields() -> impl Strategy<Value = Fields> {
    let surrogate = Just(b"Surrogate-Control".to_vec());
    let known = proptest::sample::select(NAMES).prop_map(|n| n.name().as_bytes().to_vec());
    let name = prop_oneof![9 => known, 1 => surrogate];
    proptest::collection::vec((name, value()), 0..8).prop_map(|list| {
        let mut fields = Fields::new();
        list.iter().for_each(|(n, v)| assert!(fields.push(n, v)));
        fields
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    (any::<[bool; 4]>(), proptest::option::of(any::<u32>()), any::<u32>(), 0u8..3).prop_map(
        |(on, ttl, window, kind)| Policy {
            mode: if on[0] { Mode::Everything } else { Mode::Standard },
            edge_ttl_s: ttl.filter(|_| on[1]),
            browser_ttl_s: ttl,
            heuristic: on[2].then_some(Heuristic { percent: 255, max_s: window }),
            stale_while_revalidate_s: window,
            stale_if_error_s: window,
            stale_if_unreachable_s: window,
            ignore_client_directives: on[3],
            set_cookie: [SetCookie::WhenExplicit, SetCookie::WhenShared, SetCookie::Never][usize::from(kind)],
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_heads_and_no_clock_make_it_panic(
        asked in fields(),
        told in fields(),
        update in fields(),
        asks in fields(),
        status in 100u16..600,
        policy in policy(),
        times in any::<[u64; 3]>(),
        length in any::<u64>(),
    ) {
        let head = |fields: &Fields| RequestHead { fields: fields.clone(), ..RequestHead::default() };
        let (first, second) = (head(&asked), head(&asks));
        let facts = RequestFacts::of(&first);
        let response = ResponseHead { fields: told, ..ResponseHead::new(status) };
        let exchange = Exchange {
            request: &facts,
            path: b"/a.css",
            response: &response,
            request_time_ms: times[0],
            response_time_ms: times[1],
        };
        let post = UnsafeRequest { method: Method::Post, scheme: b"http", authority: b"a.test", target: b"/a/b?c" };
        for target in invalidated(&post, 200, &response.fields) {
            prop_assert!(target.starts_with(b"/"));
        }
        prop_assert!(tags::tags(&response.fields).all(|t| !t.is_empty()));
        let Ok(entry) = store(&exchange, &policy) else { return Ok(()) };
        prop_assert_eq!(Stored::decode(&entry.stored.encode()), Ok(entry.stored));
        prop_assert_eq!(VarySpec::decode(&entry.vary.encode()), Some(entry.vary.clone()));
        prop_assert!(!entry.fields.has(Known::Age) && !entry.fields.has(Known::Connection));
        prop_assert!(entry.fields.has(Known::Date));

        let asks = RequestFacts::of(&second);
        let now_ms = times[2];
        let verdict = decide(&asks, &entry.stored, now_ms, &policy);
        if let Verdict::Fresh { age_s } | Verdict::Refresh { age_s } | Verdict::Stale { age_s } = verdict {
            prop_assert_eq!(age_s, entry.stored.age_s(now_ms));
            prop_assert!(!entry.stored.flags.has(Flags::NO_CACHE));
        }
        let _ = on_failure(&entry.stored, Failure::Unreachable, now_ms, &policy);
        let maker = KeyMaker::new(u128::from(length));
        let _ = maker.variant(Key(0), &entry.vary, &second.fields);

        let mut out = Fields::new();
        let form = answer(&asks, &second.fields, &entry.stored, &entry.fields, Some(length), now_ms);
        match form {
            Answer::Part { first, last } => {
                prop_assert!(first <= last && last < length);
                partial(&entry.fields, first, last, length, &mut out);
            }
            Answer::NotModified => not_modified(&entry.fields, &mut out),
            Answer::Unsatisfiable => unsatisfiable(length, &mut out),
            Answer::Whole => {}
        }
        let mut request = second.fields.clone();
        validation(&entry.fields, &mut request);
        let not_modified = ResponseHead { fields: update, ..ResponseHead::new(304) };
        let exchange = Exchange { response: &not_modified, ..exchange };
        if let Freshened::Update(new) = freshen(&exchange, &entry.stored, &entry.fields, &policy) {
            prop_assert_eq!(new.stored.status, entry.stored.status);
            prop_assert_eq!(new.fields.get(Known::ETag), entry.fields.get(Known::ETag));
        }
    }
}
