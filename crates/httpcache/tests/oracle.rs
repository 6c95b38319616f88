//! The state machine against `http-cache-semantics`, an independent implementation of the older RFC 7234.
//!
//! Generated exchanges and clocks must lead both to the same word on storing, age, freshness and reuse. Where the two
//! differ on purpose, the generator leaves the case out (or the comparison names it), and says why:
//!
//! 1. Methods other than GET: the oracle stores HEAD and POST; we keep whole responses to GET only (RFC 9111 §3 "may").
//! 2. Statuses it does not understand: it refuses them all; RFC 9111 §3 asks that only of `must-understand`.
//! 3. Capital letters in directives: it compares names exactly; they are case-insensitive (§5.2).
//! 4. The same directive twice with different values: it takes the first and forbids stale; we take the response as
//!    stale (§4.2.1 allows both). It also overlooks a second Age or Expires line.
//! 5. Directives without their number: it goes on to Expires; we take the response as stale (§4.2.1).
//! 6. `proxy-revalidate`: it never reuses such a response; it only forbids *stale* ones (§5.2.2.8).
//! 7. `no-cache` and `private` with field lists: it reads them as if without; we leave the listed fields out (§5.2.2.4).
//! 8. `must-understand`, targeted fields, stale windows: newer than it.
//! 9. Pragma in responses: it reads `no-cache`; RFC 9111 §5.4 gives it no meaning there. In requests it heeds Pragma
//!    even beside Cache-Control.
//! 10. `apparent_age`: it ignores Date (§4.2.3), so Date is the moment of arrival here.
//! 11. `Set-Cookie`: without `public` it takes the response as stale, with it anything goes; we ask for explicit freshness.
//! 12. `Vary`: it compares values byte by byte; we normalise (§4.1). Values here are plain.
//! 13. Request `max-age=0`: it reuses a response in the millisecond of its arrival; we do not.
//! 14. Request `max-stale`: it wants the staleness below the limit, §5.2.1.2 "no more than" it; and it lets `max-stale`
//!     override `s-maxage` (§5.2.2.10 forbids) and `no-cache` (§5.2.2.4 forbids).
//! 15. Numbers above 2^31: we clamp (§1.2.2), it does not.
//! 16. An Age that is no number: it reads 0; we take the response as stale.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test

mod common;
use common::{T0_MS, date};
use http_cache_semantics::{CacheOptions, CachePolicy};
use proptest::prelude::*;
use seawall_http::{Method, RequestHead, ResponseHead};
use seawall_httpcache::*;
use std::time::{Duration, UNIX_EPOCH};

type Pairs = Vec<(&'static str, String)>;

#[derive(Clone, Debug)]
struct Case {
    first: Pairs,
    status: u16,
    response: Pairs,
    second: Pairs,
    after_ms: u64,
}

fn seconds() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1u64..20, 100u64..5000, Just(1 << 31)]
}

/// A value of max-age or s-maxage; the odd ones are invalid to both.
fn lifetime() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => seconds().prop_map(|n| n.to_string()),
        1 => seconds().prop_map(|n| format!("\"{n}\"")),
        1 => prop_oneof![Just("x"), Just("-5"), Just("1.5"), Just("5s"), Just("'5'")].prop_map(str::to_owned),
    ]
}

fn maybe<T: Clone + std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    probability: f64,
) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(probability, strategy)
}

fn flag(name: &'static str, probability: f64) -> impl Strategy<Value = Option<String>> {
    maybe(Just(name.to_owned()), probability)
}

fn numbered(name: &'static str, probability: f64) -> impl Strategy<Value = Option<String>> {
    maybe(lifetime(), probability).prop_map(move |v| v.map(|v| format!("{name}={v}")))
}

/// Some directives in any order, on one line or two.
fn lines(directives: Vec<BoxedStrategy<Option<String>>>) -> impl Strategy<Value = Pairs> {
    (directives.prop_map(|all| all.into_iter().flatten().collect::<Vec<_>>()).prop_shuffle(), any::<bool>())
        .prop_map(|(all, split)| {
            let at = if split { all.len() / 2 } else { all.len() };
            let halves = [&all[..at], &all[at..]];
            halves.iter().filter(|h| !h.is_empty()).map(|h| ("cache-control", h.join(", "))).collect()
        })
}

fn response_directives() -> impl Strategy<Value = Pairs> {
    lines(vec![
        numbered("max-age", 0.5).boxed(),
        numbered("s-maxage", 0.2).boxed(),
        flag("public", 0.2).boxed(),
        flag("private", 0.05).boxed(),
        flag("no-store", 0.05).boxed(),
        flag("no-cache", 0.1).boxed(),
        flag("must-revalidate", 0.2).boxed(),
        flag("immutable", 0.1).boxed(),
        flag("no-transform", 0.1).boxed(),
        flag("foo=\"bar\"", 0.1).boxed(),
    ])
}

fn wish(name: &'static str, from: u64) -> BoxedStrategy<Option<String>> {
    maybe(prop_oneof![from..20u64, 100u64..5000], 0.15)
        .prop_map(move |v| v.map(|v| format!("{name}={v}")))
        .boxed()
}

fn request_directives() -> impl Strategy<Value = Pairs> {
    lines(vec![
        wish("max-age", 1),
        wish("min-fresh", 1),
        wish("max-stale", 0),
        flag("max-stale", 0.05).boxed(),
        flag("no-cache", 0.1).boxed(),
        flag("foo", 0.1).boxed(),
    ])
    // Two forms of max-stale contradict each other (4).
    .prop_map(|pairs| match pairs.iter().map(|(_, v)| v.matches("max-stale").count()).sum::<usize>() {
        0 | 1 => pairs,
        _ => Pairs::new(),
    })
}

fn field(
    name: &'static str,
    value: impl Strategy<Value = String>,
    p: f64,
) -> impl Strategy<Value = Option<(&'static str, String)>> {
    maybe(value.prop_map(move |v| (name, v)), p)
}

fn expires() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (-50i64..5000).prop_map(date),
        1 => Just("0".to_owned()),
        1 => Just("soon".to_owned()),
    ]
}

fn response() -> impl Strategy<Value = Pairs> {
    (
        response_directives(),
        field("expires", expires(), 0.3),
        field("date", Just(date(0)), 0.7),
        field("age", seconds().prop_map(|n| n.to_string()), 0.3),
        field("last-modified", (-20_000i64..50).prop_map(date), 0.4),
        field("etag", "\"[a-c]\"", 0.4),
        field("vary", prop_oneof![Just("foo"), Just("foo, bar"), Just("*")].prop_map(str::to_owned), 0.3),
        any::<bool>(),
    )
        .prop_map(|(mut all, expires, date, age, modified, etag, vary, cookie)| {
            let public = all.iter().any(|(_, v)| v.contains("public"));
            let cookie = (cookie && public).then(|| ("set-cookie", "a=b".to_owned()));
            all.extend([expires, date, age, modified, etag, vary, cookie].into_iter().flatten());
            all
        })
}

fn selecting() -> impl Strategy<Value = Pairs> {
    (field("foo", "[12]", 0.5), field("bar", "[12]", 0.5)).prop_map(|(a, b)| a.into_iter().chain(b).collect())
}

fn case() -> impl Strategy<Value = Case> {
    let status = prop_oneof![
        4 => Just(200u16),
        4 => proptest::sample::select(vec![203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501]),
    ];
    let first =
        (selecting(), field("authorization", Just("x".to_owned()), 0.15), maybe(Just("no-store"), 0.05));
    let pragma = field("pragma", Just("no-cache".to_owned()), 0.1);
    let second = (selecting(), request_directives(), pragma);
    let after = prop_oneof![Just(0u64), (0u64..30).prop_map(|s| s * 1000), 0u64..6_000_000];
    (first, status, response(), second, after).prop_map(|(first, status, response, second, after_ms)| {
        let (mut asked, authorization, no_store) = first;
        asked.extend(authorization);
        asked.extend(no_store.map(|v| ("cache-control", v.to_owned())));
        let (mut asks, directives, pragma) = second;
        let pragma = pragma.filter(|_| directives.is_empty());
        asks.extend(directives);
        asks.extend(pragma);
        Case { first: asked, status, response, second: asks, after_ms }
    })
}

fn request_head(pairs: &Pairs) -> RequestHead {
    let mut head = RequestHead { method: Method::Get, target: b"/".to_vec(), ..RequestHead::default() };
    pairs.iter().for_each(|(n, v)| assert!(head.fields.push(n.as_bytes(), v.as_bytes())));
    head
}

fn oracle_request(pairs: &Pairs) -> http::Request<()> {
    let builder = http::Request::builder().uri("/");
    pairs.iter().fold(builder, |b, (n, v)| b.header(*n, v)).body(()).unwrap()
}

fn oracle(case: &Case) -> CachePolicy {
    let builder = http::Response::builder().status(case.status);
    let response = case.response.iter().fold(builder, |b, (n, v)| b.header(*n, v)).body(()).unwrap();
    let options = CacheOptions { immutable_min_time_to_live: Duration::ZERO, ..CacheOptions::default() };
    let arrival = UNIX_EPOCH + Duration::from_millis(T0_MS);
    CachePolicy::new_options(&oracle_request(&case.first), &response, arrival, options)
}

fn agree(case: &Case) -> Result<(), TestCaseError> {
    let policy = Policy {
        static_defaults: false,
        heuristic: Some(Heuristic { percent: 10, max_s: u32::MAX }),
        ..Policy::default()
    };
    let first = request_head(&case.first);
    let facts = RequestFacts::of(&first);
    let mut response = ResponseHead::new(case.status);
    case.response.iter().for_each(|(n, v)| assert!(response.fields.push(n.as_bytes(), v.as_bytes())));
    let exchange = Exchange {
        request: &facts,
        path: b"/",
        response: &response,
        request_time_ms: T0_MS,
        response_time_ms: T0_MS,
    };
    let ours = store(&exchange, &policy);
    let theirs = oracle(case);
    let arrival = UNIX_EPOCH + Duration::from_millis(T0_MS);

    let entry = match ours {
        Ok(entry) => entry,
        // What is fresh for no time, it "stores" all the same.
        Err(Refusal::NoFreshness | Refusal::Useless | Refusal::Vary(VaryError::Star)) => {
            prop_assert!(!theirs.is_storable() || theirs.is_stale(arrival), "we refuse what is fresh to it");
            return Ok(());
        }
        Err(Refusal::SetCookie) => return Ok(()),
        Err(refusal) => {
            prop_assert!(!theirs.is_storable(), "{refusal:?}, but it would store");
            return Ok(());
        }
    };
    prop_assert!(theirs.is_storable(), "we store what it would not");

    let stored = entry.stored;
    let now_ms = T0_MS + case.after_ms;
    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
    prop_assert_eq!(u128::from(stored.age_ms(now_ms)), theirs.age(now).as_millis());
    prop_assert_eq!(stored.is_fresh(now_ms), !theirs.is_stale(now));
    if stored.is_fresh(now_ms) {
        prop_assert_eq!(stored.fresh_for_ms(now_ms) as u128, theirs.time_to_live(now).as_millis());
    }

    let second = request_head(&case.second);
    let asks = RequestFacts::of(&second);
    let staleness_ms = -stored.fresh_for_ms(now_ms);
    let known_difference = asks.max_stale_s.is_some_and(|s| {
        let strict = stored.flags.has(Flags::S_MAXAGE) || stored.flags.has(Flags::NO_CACHE);
        strict || staleness_ms == i64::from(s) * 1000
    });
    if known_difference {
        return Ok(());
    }
    let maker = KeyMaker::new(1);
    let variant = |head: &RequestHead| maker.variant(Key(1), &entry.vary, &head.fields);
    let verdict = decide(&asks, &stored, now_ms, &policy);
    let reused = variant(&first) == variant(&second)
        && matches!(verdict, Verdict::Fresh { .. } | Verdict::Stale { .. });
    let oracle_reuses =
        theirs.before_request(&oracle_request(&case.second), now).satisfies_without_revalidation();
    prop_assert_eq!(reused, oracle_reuses, "{:?}", verdict);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_agree_on_storing_age_freshness_and_reuse(case in case()) {
        agree(&case)?;
    }
}
