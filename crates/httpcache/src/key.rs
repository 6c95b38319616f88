//! Cache keys: what makes two requests ask for the same thing.

use crate::glob;
use crate::vary::VarySpec;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};
use seawall_http::Fields;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A cache key of 128 bits.
///
/// Two requests have the same key when scheme, host, zone, path and (by the route's rule) query are the same; every
/// part is hashed with its length before it, so no two different tuples share bytes. HEAD shares the key of GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u128);

impl Key {
    /// The key as it goes to disk.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// Reads it back.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Key {
        Key(u128::from_le_bytes(bytes))
    }
}

/// What a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// `http` or `https`, as the client asked.
    pub scheme: &'a [u8],
    /// Host and port the client asked for, lower case, as in `RequestHead::authority`.
    pub host: &'a [u8],
    /// Name of the zone: a host moved to another zone starts with an empty cache.
    pub zone: &'a [u8],
    /// Path as it came.
    pub path: &'a [u8],
    /// Query as it came, without `?`; `None` differs from empty.
    pub query: Option<&'a [u8]>,
}

/// What of a query counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryRule {
    /// All of it.
    #[default]
    Keep,
    /// Nothing (`ignore_query = true`).
    IgnoreAll,
    /// All parameters but those whose name, as it came (percent-encoding included), matches one of these globs, `*`
    /// standing for any run of bytes. A query of which nothing is left counts as none.
    Ignore(Vec<Box<[u8]>>),
}

impl QueryRule {
    /// A target (path and query) without what does not count: the one name under which all that share a key are known.
    #[must_use]
    pub fn canonical<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(mark) = target.iter().position(|b| *b == b'?') else { return Cow::Borrowed(target) };
        let (path, query) = (target.get(..mark).unwrap_or(target), target.get(mark + 1..).unwrap_or(&[]));
        match self {
            QueryRule::Keep => Cow::Borrowed(target),
            QueryRule::IgnoreAll => Cow::Borrowed(path),
            QueryRule::Ignore(globs) => {
                let mut out = path.to_vec();
                for (n, parameter) in counting(query, globs).enumerate() {
                    out.push(if n == 0 { b'?' } else { b'&' });
                    out.extend_from_slice(parameter);
                }
                Cow::Owned(out)
            }
        }
    }
}

/// The parameters that are not ignored, in their order.
fn counting<'q>(query: &'q [u8], globs: &'q [Box<[u8]>]) -> impl Iterator<Item = &'q [u8]> {
    query.split(|b| *b == b'&').filter(|parameter| {
        let name = parameter.split(|b| *b == b'=').next().unwrap_or(&[]);
        !globs.iter().any(|g| glob::matches(g, name))
    })
}

/// Makes keys. Build once and share: making the secrets costs more than many keys.
///
/// rapidhash withstands chosen inputs only while its seed is unknown, and a collision would serve one page in place of
/// another. So the seed belongs to the installation: random, kept beside the cache (the keys have to outlive a
/// restart), and never shown.
#[derive(Clone, Copy, Debug)]
pub struct KeyMaker {
    high: RapidSecrets,
    low: RapidSecrets,
}

impl KeyMaker {
    /// Keys under a seed of 128 random bits; the same seed makes the same keys in every version that writes format 1.
    #[must_use]
    pub const fn new(seed: u128) -> KeyMaker {
        // Each half derives its own seven secrets. The constant keeps the halves apart should the seed's halves agree.
        let high = RapidSecrets::seed((seed >> 64) as u64);
        KeyMaker { high, low: RapidSecrets::seed(seed as u64 ^ 0x5ea3_a11c_ac4e_0001) }
    }

    /// The key of a target.
    #[must_use]
    pub fn key(&self, target: &Target<'_>, rule: &QueryRule) -> Key {
        let mut bytes = Bytes::new();
        bytes.push(KIND_TARGET);
        for part in [target.scheme, target.host, target.zone, target.path] {
            put(&mut bytes, part);
        }
        match (target.query, rule) {
            (None, _) | (_, QueryRule::IgnoreAll) => bytes.push(0),
            (Some(query), QueryRule::Keep) => {
                bytes.push(1);
                put(&mut bytes, query);
            }
            (Some(query), QueryRule::Ignore(globs)) => put_filtered(&mut bytes, query, globs),
        }
        self.hash(&bytes)
    }

    /// The secondary key (RFC 9111 §4.1): of `primary`, the variant for this request. Without Vary, `primary` itself.
    #[must_use]
    pub fn variant(&self, primary: Key, vary: &VarySpec, request: &Fields) -> Key {
        if vary.is_empty() {
            return primary;
        }
        let mut bytes = Bytes::new();
        bytes.push(KIND_VARIANT);
        bytes.extend_from_slice(&primary.to_bytes());
        vary.write_values(request, &mut bytes);
        self.hash(&bytes)
    }

    /// A key for other things the cache marks: a tag, a host, a prefix. `kind` keeps them apart.
    #[must_use]
    pub fn mark(&self, kind: u8, parts: &[&[u8]]) -> Key {
        let mut bytes = Bytes::new();
        bytes.extend_from_slice(&[KIND_MARK, kind]);
        for part in parts {
            put(&mut bytes, part);
        }
        self.hash(&bytes)
    }

    fn hash(&self, bytes: &[u8]) -> Key {
        // "Protected" mixing: without it, known tricks cancel the state whatever the seed.
        let half = |secrets| u128::from(rapidhash_v3_inline::<true, false, true>(bytes, secrets));
        Key(half(&self.high) << 64 | half(&self.low))
    }
}

/// First byte of what is hashed: keeps the three kinds of key apart.
const KIND_TARGET: u8 = 1;
const KIND_VARIANT: u8 = 2;
const KIND_MARK: u8 = 3;

/// What is hashed: most targets fit without an allocation.
pub(crate) type Bytes = SmallVec<[u8; 512]>;

fn put(bytes: &mut Bytes, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

/// The parameters that are not ignored, in their order. A query of which nothing is left counts as none.
fn put_filtered(bytes: &mut Bytes, query: &[u8], globs: &[Box<[u8]>]) {
    let mut any = false;
    for parameter in counting(query, globs) {
        if !any {
            bytes.push(2);
            any = true;
        }
        put(bytes, parameter);
    }
    if !any {
        bytes.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const MAKER: KeyMaker = KeyMaker::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

    fn target<'a>(path: &'a str, query: Option<&'a str>) -> Target<'a> {
        Target {
            scheme: b"https",
            host: b"a.test",
            zone: b"z",
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
        }
    }

    #[test]
    fn keys_are_the_same_after_a_restart() {
        assert_eq!(MAKER.key(&target("/a", Some("b=c")), &QueryRule::Keep), Key(RECORDED));
    }

    /// Written down when format 1 was made: a change here orphans every disk cache.
    const RECORDED: u128 = 135_260_431_077_320_226_194_618_818_994_888_223_692;

    #[test]
    fn every_part_counts_and_none_flows_into_the_next() {
        let t = target("/a", Some("b"));
        let targets = [
            t,
            Target { scheme: b"http", ..t },
            Target { host: b"a.test:8443", ..t },
            Target { zone: b"y", ..t },
            Target { path: b"/a?b", query: None, ..t },
            Target { path: b"/ab", query: Some(b""), ..t },
            Target { query: None, ..t },
            Target { query: Some(b""), ..t },
            Target { host: b"a.testz", zone: b"", ..t },
            Target { host: b"a.tes", zone: b"tz", ..t },
        ];
        let mut seen = HashMap::new();
        for t in targets {
            assert_eq!(seen.insert(MAKER.key(&t, &QueryRule::Keep), t), None);
        }
    }

    #[test]
    fn queries_are_ignored_as_the_route_says() {
        let key = |query, rule: &QueryRule| MAKER.key(&target("/a", query), rule);
        let utm = QueryRule::Ignore(vec![b"utm_*".as_slice().into(), b"fbclid".as_slice().into()]);
        assert_eq!(key(Some("x=1"), &QueryRule::IgnoreAll), key(None, &QueryRule::IgnoreAll));
        assert_eq!(key(Some("utm_source=a&x=1&fbclid=2"), &utm), key(Some("x=1"), &utm));
        assert_eq!(key(Some("utm_source=a"), &utm), key(None, &utm));
        assert_ne!(key(Some("x=1&y=2"), &utm), key(Some("x=1"), &utm));
        assert_ne!(key(Some("fbclidx=1"), &utm), key(None, &utm));
    }

    #[test]
    fn targets_of_one_key_have_one_canonical_name() {
        let utm = QueryRule::Ignore(vec![b"utm_*".as_slice().into()]);
        for (rule, target, canonical) in [
            (&QueryRule::Keep, "/a?utm_x=1", "/a?utm_x=1"),
            (&QueryRule::IgnoreAll, "/a?b=1", "/a"),
            (&QueryRule::IgnoreAll, "/a", "/a"),
            (&utm, "/a?utm_x=1", "/a"),
            (&utm, "/a?x&utm_x=1&y=2", "/a?x&y=2"),
            (&utm, "/a?", "/a?"),
        ] {
            assert_eq!(*rule.canonical(target.as_bytes()), *canonical.as_bytes(), "{target}");
        }
    }

    #[test]
    fn variants_differ_from_each_other_and_from_their_primary() {
        let mut fields = Fields::new();
        fields.push(b"Vary", b"Foo");
        let vary = VarySpec::of(&fields).unwrap();
        let primary = MAKER.key(&target("/", None), &QueryRule::Keep);
        let mut one = Fields::new();
        one.push(b"Foo", b"1");
        let keys =
            [primary, MAKER.variant(primary, &vary, &one), MAKER.variant(primary, &vary, &Fields::new())];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(MAKER.variant(primary, &VarySpec::default(), &one), primary);
    }

    proptest! {
        #[test]
        fn different_tuples_have_different_keys(
            a in proptest::array::uniform5("[a-c/]{0,4}"),
            b in proptest::array::uniform5("[a-c/]{0,4}"),
        ) {
            let key = |p: &[String; 5]| MAKER.key(&Target {
                scheme: p[0].as_bytes(),
                host: p[1].as_bytes(),
                zone: p[2].as_bytes(),
                path: p[3].as_bytes(),
                query: Some(p[4].as_bytes()),
            }, &QueryRule::Keep);
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }
    }
}
