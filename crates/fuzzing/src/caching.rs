//! The cache's state machine.

use crate::input::{blocks, fields, lines};
use seawall_http::{Fields, Known, Method, RequestHead, ResponseHead};
use seawall_httpcache::{
    Answer, Codings, Directives, Exchange, Failure, Flags, Freshened, Key, KeyMaker, MAX_SECONDS, Mode,
    Policy, QueryRule, RequestFacts, STORED_LEN, Seconds, SetCookie, Stored, Target, UnsafeRequest, VarySpec,
    Verdict, answer, dates, decide, freshen, invalidated, merge, not_modified, on_failure, partial, store,
    tags, unsatisfiable, validation,
};

/// 21 November 2026, in unix milliseconds: the moment all inputs are judged at.
const NOW_MS: u64 = 1_795_000_000_000;

/// Fields, one a line.
pub fn cache_directives(data: &[u8]) {
    let fields = fields(lines(data));
    let found = Directives::of(&fields, &Policy::default());
    for seconds in [found.max_age, found.s_maxage, found.stale_while_revalidate, found.stale_if_error] {
        assert!(!matches!(seconds, Seconds::Of(n) if n > MAX_SECONDS));
    }
    assert!(found.unstored.iter().all(|name| !name.iter().any(u8::is_ascii_uppercase)));
    assert!(tags::tags(&fields).all(|tag| !tag.is_empty() && tags::same(tag, &tag.to_ascii_uppercase())));
    // Whether a line is cut in two at a comma outside quotes does not matter (RFC 9110 §5.3).
    if let Some(value) = fields.get(Known::CacheControl).filter(|v| !v.contains(&b'"') && !v.contains(&b'\\'))
    {
        let mut split = fields.clone();
        split.retain(|known, _, _| known != Known::CacheControl);
        let all: Vec<Vec<u8>> = fields.all(Known::CacheControl).map(<[u8]>::to_vec).collect();
        let pieces = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        let fits = pieces
            .chain(all.iter().skip(1).map(Vec::as_slice))
            .all(|piece| split.add(Known::CacheControl, piece));
        if fits {
            assert_eq!(Directives::of(&split, &Policy::default()), found, "{fields:?}");
        }
    }
    for (_, _, value) in fields.iter() {
        // Years of four digits only.
        if let Some(seconds) = dates::parse_s(value, NOW_MS).filter(|s| *s < 253_402_300_800) {
            assert_eq!(dates::parse_s(&dates::format(seconds), NOW_MS), Some(seconds));
        }
    }
    // What a request's codings are reduced to says the same as the request.
    let codings = Codings::of(&fields);
    let mut reduced = Fields::new();
    reduced.add(Known::AcceptEncoding, codings.value().as_bytes());
    for coding in [Codings::GZIP, Codings::BR, Codings::ZSTD] {
        assert_eq!(Codings::of(&reduced).has(coding), codings.has(coding), "{:?}", codings.value());
    }
}

/// Blocks apart by an empty line: a request (path, then fields), a response (status, then fields), the fields of
/// a 304, the fields of a second request. Judged under several policies and at several times.
pub fn cache_exchange(data: &[u8]) {
    let blocks = blocks(data);
    let block = |i: usize| blocks.get(i).map_or(&[][..], Vec::as_slice);
    let path = block(0).first().copied().unwrap_or(b"/");
    let rest = |i: usize| block(i).get(1..).unwrap_or(&[]).iter().copied();
    let status = block(1).first().and_then(|s| std::str::from_utf8(s).ok()?.parse().ok()).unwrap_or(200);
    let request = RequestHead { fields: fields(rest(0)), ..RequestHead::default() };
    let response = ResponseHead { fields: fields(rest(1)), ..ResponseHead::new(status) };
    let update = ResponseHead { fields: fields(block(2).iter().copied()), ..ResponseHead::new(304) };
    let second = RequestHead { fields: fields(block(3).iter().copied()), ..RequestHead::default() };

    let post = UnsafeRequest { method: Method::Post, scheme: b"https", authority: b"a.test", target: path };
    for target in invalidated(&post, status, &response.fields) {
        assert!(target.starts_with(b"/") || target == path, "{}", String::from_utf8_lossy(&target));
    }
    for policy in policies() {
        let facts = RequestFacts::of(&request);
        let (request_time_ms, response_time_ms) = (NOW_MS - 40, NOW_MS);
        let exchange =
            Exchange { request: &facts, path, response: &response, request_time_ms, response_time_ms };
        let Ok(entry) = store(&exchange, &policy) else { continue };
        let never = response.fields.all(Known::CacheControl).any(|v| v == b"no-store" || v == b"private");
        assert!(
            !never || policy.edge_ttl_s.is_some() || has_targeted(&response.fields),
            "{response:?} is stored"
        );
        assert_eq!(Stored::decode(&entry.stored.encode()), Ok(entry.stored));
        assert_eq!(VarySpec::decode(&entry.vary.encode()), Some(entry.vary.clone()));
        assert!(
            entry.fields.has(Known::Date)
                && !entry.fields.has(Known::Connection)
                && !entry.fields.has(Known::Age)
        );
        let maker = KeyMaker::new(7);
        assert_eq!(
            maker.variant(Key(1), &entry.vary, &request.fields),
            maker.variant(Key(1), &entry.vary, &request.fields)
        );
        for after_ms in [0, 61_000, 40 * 86_400_000] {
            reuse(&entry.stored, &entry.fields, &second, NOW_MS + after_ms, &policy);
        }
        let told = Exchange { response: &update, ..exchange };
        if let Freshened::Update(new) = freshen(&told, &entry.stored, &entry.fields, &policy) {
            assert_eq!(new.stored.status, entry.stored.status);
            assert_eq!(new.fields.get(Known::ETag), entry.fields.get(Known::ETag));
            assert_eq!(new.fields.get(Known::ContentLength), entry.fields.get(Known::ContentLength));
        }
        let merged = merge(&entry.fields, &update.fields);
        assert!(!merged.has(Known::TransferEncoding) || entry.fields.has(Known::TransferEncoding));
    }
}

fn reuse(stored: &Stored, kept: &Fields, asks: &RequestHead, now_ms: u64, policy: &Policy) {
    let facts = RequestFacts::of(asks);
    let verdict = decide(&facts, stored, now_ms, policy);
    if let Verdict::Fresh { age_s } | Verdict::Refresh { age_s } | Verdict::Stale { age_s } = verdict {
        assert_eq!(age_s, stored.age_s(now_ms));
        assert!(!stored.flags.has(Flags::NO_CACHE));
        assert!(
            policy.ignore_client_directives || !facts.no_cache,
            "served from the cache in spite of no-cache"
        );
    }
    if matches!(verdict, Verdict::Fresh { .. }) {
        assert!(stored.is_fresh(now_ms) || facts.max_stale_s.is_some(), "stale is called fresh");
    }
    if on_failure(stored, Failure::Unreachable, now_ms, policy).is_some() {
        assert!(
            !(stored.flags.has(Flags::MUST_REVALIDATE) || stored.flags.has(Flags::NO_CACHE))
                || stored.is_fresh(now_ms)
        );
    }
    let mut out = Fields::new();
    for length in [Some(0), Some(1), Some(1000), None] {
        out.clear();
        match answer(&facts, &asks.fields, stored, kept, length, now_ms) {
            Answer::Part { first, last } => {
                let length = length.expect("a part of an unknown whole");
                assert!(first <= last && last < length);
                partial(kept, first, last, length, &mut out);
                assert!(out.has(Known::ContentRange));
            }
            Answer::NotModified => {
                not_modified(kept, &mut out);
                assert!(!out.has(Known::ContentLength) && facts.conditional);
            }
            Answer::Unsatisfiable => unsatisfiable(length.unwrap_or(0), &mut out),
            Answer::Whole => {}
        }
    }
    let mut asked = asks.fields.clone();
    if validation(kept, &mut asked) {
        assert!(asked.has(Known::IfNoneMatch) || asked.has(Known::IfModifiedSince));
    }
}

fn policies() -> [Policy; 4] {
    let standard = Policy::default();
    [
        standard,
        Policy { mode: Mode::Everything, stale_while_revalidate_s: 30, stale_if_error_s: 600, ..standard },
        Policy { edge_ttl_s: Some(120), browser_ttl_s: Some(5), ignore_client_directives: true, ..standard },
        Policy {
            heuristic: Some(seawall_httpcache::Heuristic::default()),
            set_cookie: SetCookie::Never,
            ..standard
        },
    ]
}

fn has_targeted(fields: &Fields) -> bool {
    [Known::CdnCacheControl, Known::CloudflareCdnCacheControl, Known::SeawallCdnCacheControl]
        .iter()
        .any(|known| fields.has(*known))
        || fields.get_named(b"Surrogate-Control").is_some()
}

/// Bytes of a policy record, of a Vary specification, and of a key's parts.
pub fn cache_records(data: &[u8]) {
    if let Ok(stored) = Stored::decode(data) {
        assert_eq!(stored.encode(), *data, "a record has two spellings");
        for now_ms in [0, NOW_MS, u64::MAX] {
            assert!(stored.age_ms(now_ms) >= stored.initial_age_ms || stored.age_s(now_ms) == u32::MAX);
            let _ = (stored.ttl_s(now_ms), stored.fresh_for_ms(now_ms), stored.useless_after_ms(u32::MAX));
            let _ = decide(&RequestFacts::default(), &stored, now_ms, &Policy::default());
        }
    }
    // Most bytes fail at the version; with it in place more of them go further.
    let mut near = data.to_vec();
    near.resize(STORED_LEN, 0);
    near[..4].copy_from_slice(&Stored { status: 200, ..Stored::default() }.encode()[..4]);
    if let Ok(stored) = Stored::decode(&near) {
        assert_eq!(stored.encode()[..], near[..]);
    }
    if let Some(vary) = VarySpec::decode(data) {
        assert_eq!(vary.encode(), data, "a specification has two spellings");
        assert!(vary.names().is_sorted());
    }
    // Different targets have different keys, wherever their bytes are divided.
    let half = data.len() / 2;
    let target = |at: usize| Target {
        scheme: b"http",
        host: b"a",
        zone: b"z",
        path: &data[..at],
        query: Some(&data[at..]),
    };
    let maker = KeyMaker::new(1);
    if half > 0 {
        assert_ne!(
            maker.key(&target(half), &QueryRule::Keep),
            maker.key(&target(half - 1), &QueryRule::Keep)
        );
        assert_eq!(maker.key(&target(half), &QueryRule::Keep), maker.key(&target(half), &QueryRule::Keep));
    }
}
