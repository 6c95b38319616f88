//! Vary (RFC 9110 §12.5.5, RFC 9111 §4.1): which request fields select among stored responses, and their values in a
//! form that is equal when they mean the same.

use crate::key::Bytes;
use crate::list;
use seawall_http::{Fields, Known};
use smallvec::SmallVec;
use thiserror::Error;

/// Most field names one response may vary on; a response naming more is not stored, as its variants would hardly ever
/// be asked for twice.
pub const VARY_NAMES_MAX: usize = 16;

/// Longest field name in Vary, in bytes; longer ones are taken for garbage and the response is not stored.
pub const VARY_NAME_LEN_MAX: usize = 64;

const VERSION: u8 = 1;

/// Why a response cannot be kept by its Vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VaryError {
    /// `Vary: *`: never matches a later request.
    #[error("varies on everything")]
    Star,
    /// More than [`VARY_NAMES_MAX`] names, or names that are none.
    #[error("more or longer names in Vary than are kept")]
    Limit,
}

/// The request fields a response varies on: lower case, sorted, each once. Empty: it does not vary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VarySpec {
    names: SmallVec<[Name; 2]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name(Box<[u8]>);

impl VarySpec {
    /// Reads Vary of a response.
    ///
    /// # Errors
    /// When the response cannot be selected later.
    pub fn of(response: &Fields) -> Result<VarySpec, VaryError> {
        let mut names = SmallVec::new();
        // A star anywhere wins over everything else, limits included.
        let members = || response.all(Known::Vary).flat_map(|line| line.split(|b| *b == b','));
        let members = || members().map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        if members().any(|name| name == b"*") {
            return Err(VaryError::Star);
        }
        for name in members() {
            if names.len() == VARY_NAMES_MAX || !is_name(name) {
                return Err(VaryError::Limit);
            }
            let name = Name(name.to_ascii_lowercase().into());
            if let Err(at) = names.binary_search(&name) {
                names.insert(at, name);
            }
        }
        Ok(VarySpec { names })
    }

    /// Whether the response is the same for all requests.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, sorted, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|n| &*n.0)
    }

    /// Writes the request's values of the varying fields so that two requests write the same bytes just when the
    /// response selected for one may serve the other.
    pub(crate) fn write_values(&self, request: &Fields, out: &mut Bytes) {
        for Name(name) in &self.names {
            put_part(out, name);
            let mut value = SmallVec::<[u8; 128]>::new();
            let present = match Known::of(name) {
                Known::Other => normalise(name, request.all_named(name), &mut value),
                Known::AcceptEncoding => {
                    value.push(Codings::of(request).0);
                    true
                }
                known => normalise(name, request.all(known), &mut value),
            };
            out.push(u8::from(present));
            put_part(out, &value);
        }
    }

    /// The bytes kept on disk: version, number of names, each with its length before it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.names.len() as u8];
        for Name(name) in &self.names {
            out.push(name.len() as u8);
            out.extend_from_slice(name);
        }
        out
    }

    /// Reads them back; `None` for anything [`VarySpec::encode`] does not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<VarySpec> {
        let ([version, count], mut rest) = bytes.split_first_chunk::<2>()?;
        if *version != VERSION || usize::from(*count) > VARY_NAMES_MAX {
            return None;
        }
        let mut names = SmallVec::new();
        for _ in 0..*count {
            let (len, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked((*len).into())?;
            rest = after;
            names.push(Name(name.into()));
        }
        let sorted = names.is_sorted_by(|a, b| a < b);
        let plain = |n: &Name| is_name(&n.0) && !n.0.iter().any(u8::is_ascii_uppercase);
        (rest.is_empty() && sorted && names.iter().all(plain)).then_some(VarySpec { names })
    }
}

/// The content codings this edge cares about, as a request accepts them: what Accept-Encoding is reduced to, for
/// variants and towards origins, so that `gzip, br` and `br;q=1.0, gzip;q=0.5, deflate` share a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Codings(u8);

impl Codings {
    /// gzip
    pub const GZIP: Codings = Codings(1);
    /// Brotli
    pub const BR: Codings = Codings(2);
    /// Zstandard
    pub const ZSTD: Codings = Codings(4);
    /// The client refuses the plain form (`identity;q=0`, or `*;q=0` without identity).
    pub const NO_IDENTITY: Codings = Codings(8);

    /// What a request accepts. Without Accept-Encoding: only the plain form.
    #[must_use]
    pub fn of(request: &Fields) -> Codings {
        let (mut yes, mut no, mut star) = (0u8, 0u8, None);
        for member in request.all(Known::AcceptEncoding).flat_map(list::members) {
            let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or(&[]);
            let refused = parts.any(is_zero_weight);
            let bit = if name == b"*" {
                star = Some(!refused);
                continue;
            } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                Codings::GZIP.0
            } else if name.eq_ignore_ascii_case(b"br") {
                Codings::BR.0
            } else if name.eq_ignore_ascii_case(b"zstd") {
                Codings::ZSTD.0
            } else if name.eq_ignore_ascii_case(b"identity") {
                Codings::NO_IDENTITY.0
            } else {
                continue;
            };
            if refused {
                no |= bit;
            } else {
                yes |= bit;
            }
        }
        const CODINGS: u8 = 7;
        let identity = Codings::NO_IDENTITY.0;
        let mut all = yes & !no & CODINGS;
        if star == Some(true) {
            all |= CODINGS & !no;
        }
        if no & identity != 0 || (star == Some(false) && yes & identity == 0) {
            all |= identity;
        }
        Codings(all)
    }

    /// Whether `coding` is accepted.
    #[must_use]
    pub fn has(self, coding: Codings) -> bool {
        self.0 & coding.0 == coding.0
    }

    /// The field value to send to an origin for this set; empty when only the plain form is wanted.
    #[must_use]
    pub fn value(self) -> &'static str {
        const VALUES: [&str; 8] =
            ["", "gzip", "br", "gzip, br", "zstd", "gzip, zstd", "br, zstd", "gzip, br, zstd"];
        const STRICT: [&str; 8] = [
            "identity;q=0",
            "gzip, identity;q=0",
            "br, identity;q=0",
            "gzip, br, identity;q=0",
            "zstd, identity;q=0",
            "gzip, zstd, identity;q=0",
            "br, zstd, identity;q=0",
            "gzip, br, zstd, identity;q=0",
        ];
        let table = if self.has(Codings::NO_IDENTITY) { &STRICT } else { &VALUES };
        table.get(usize::from(self.0 & 7)).copied().unwrap_or("")
    }
}

fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some(value) = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q=")) else {
        return false;
    };
    !value.is_empty() && value.iter().all(|b| matches!(b, b'0' | b'.'))
}

fn is_name(name: &[u8]) -> bool {
    (1..=VARY_NAME_LEN_MAX).contains(&name.len()) && name.iter().all(|b| list::is_token(*b))
}

fn put_part(out: &mut Bytes, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_le_bytes());
    out.extend_from_slice(part);
}

/// Joins the lines of a field and drops the blanks around commas (RFC 9111 §4.1 allows both), outside quotes. Languages
/// are folded to lower case (RFC 9110 §8.5.1) but keep their order, which some origins take for a preference (§12.5.4).
/// Returns whether the field was there.
fn normalise<'a>(name: &[u8], lines: impl Iterator<Item = &'a [u8]>, out: &mut SmallVec<[u8; 128]>) -> bool {
    let mut present = false;
    for member in lines.inspect(|_| present = true).flat_map(list::members) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(member);
    }
    if name == b"accept-language" {
        out.make_ascii_lowercase();
    }
    present
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut f = Fields::new();
        for (n, v) in list {
            assert!(f.push(n.as_bytes(), v.as_bytes()));
        }
        f
    }

    fn values(spec: &VarySpec, list: &[(&str, &str)]) -> Bytes {
        let mut out = Bytes::new();
        spec.write_values(&fields(list), &mut out);
        out
    }

    #[test]
    fn a_star_anywhere_never_matches() {
        for lines in [&["*"][..], &["*, *"], &["*", "*"], &[", *"], &["", "*"], &["*, Foo"], &["Foo, *"]] {
            let list: Vec<_> = lines.iter().map(|l| ("Vary", *l)).collect();
            assert_eq!(VarySpec::of(&fields(&list)), Err(VaryError::Star), "{lines:?}");
        }
    }

    #[test]
    fn names_are_sorted_folded_and_bounded() {
        let spec = VarySpec::of(&fields(&[("Vary", "Foo, bar"), ("Vary", "FOO,,Accept-Encoding")])).unwrap();
        assert_eq!(spec.names().collect::<Vec<_>>(), [&b"accept-encoding"[..], b"bar", b"foo"]);
        let many = (0..17).map(|i| format!("x{i}")).collect::<Vec<_>>().join(",");
        assert_eq!(VarySpec::of(&fields(&[("Vary", &many)])), Err(VaryError::Limit));
        assert_eq!(VarySpec::of(&fields(&[("Vary", "a b")])), Err(VaryError::Limit));
        assert!(VarySpec::of(&fields(&[])).unwrap().is_empty());
    }

    #[test]
    fn values_that_mean_the_same_are_the_same() {
        let spec = VarySpec::of(&fields(&[("Vary", "Foo, Accept-Language, Accept-Encoding")])).unwrap();
        type List<'a> = &'a [(&'a str, &'a str)];
        let same: &[(List, List)] = &[
            (&[("Foo", "1, 2")], &[("foo", "1"), ("FOO", "2")]),
            (&[("Foo", "1,2")], &[("Foo", " 1, 2 ")]),
            (&[("Accept-Language", "en, de")], &[("Accept-Language", " eN ,   De")]),
            (&[("Accept-Encoding", "gzip, br")], &[("Accept-Encoding", "br;q=0.1, deflate, GZIP")]),
            (&[], &[("Accept-Encoding", "")]),
        ];
        for (a, b) in same {
            assert_eq!(values(&spec, a), values(&spec, b), "{a:?} {b:?}");
        }
        let other: &[(List, List)] = &[
            (&[("Foo", "1")], &[("Foo", "2")]),
            (&[("Foo", "")], &[]),
            (&[("Foo", "1")], &[]),
            (&[("Foo", "\"1, 2\"")], &[("Foo", "\"1,2\"")]),
            (&[("Foo", "a")], &[("Foo", "A")]),
            (&[("Accept-Language", "en, de")], &[("Accept-Language", "de, en")]),
            (&[("Accept-Encoding", "gzip")], &[("Accept-Encoding", "gzip;q=0")]),
        ];
        for (a, b) in other {
            assert_ne!(values(&spec, a), values(&spec, b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn codings_are_what_the_client_accepts() {
        for (value, text) in [
            ("gzip, deflate, br, zstd", "gzip, br, zstd"),
            ("*", "gzip, br, zstd"),
            ("*, br;q=0", "gzip, zstd"),
            ("gzip;q=0.000, br", "br"),
            ("identity;q=0, gzip", "gzip, identity;q=0"),
            ("*;q=0, br", "br, identity;q=0"),
            ("*;q=0, identity", ""),
            ("deflate", ""),
            ("", ""),
        ] {
            assert_eq!(Codings::of(&fields(&[("Accept-Encoding", value)])).value(), text, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_spec_reads_back_as_it_was_written(text in "[A-Za-z, -]{0,60}") {
            if let Ok(spec) = VarySpec::of(&fields(&[("Vary", &text)])) {
                prop_assert_eq!(VarySpec::decode(&spec.encode()), Some(spec));
            }
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(spec) = VarySpec::decode(&bytes) {
                prop_assert_eq!(spec.encode(), bytes);
            }
        }
    }
}
