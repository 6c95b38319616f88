//! Cache directives of a response, from whichever field governs this cache: Cache-Control (RFC 9111 §5.2),
//! a targeted field (RFC 9213) or Surrogate-Control.

use crate::{dictionary, list, policy::Policy};
use seawall_http::{Fields, Known};
use smallvec::SmallVec;

/// Largest delta-seconds kept: 2^31, as RFC 9111 §1.2.2 asks of greater numbers.
pub const MAX_SECONDS: u32 = 1 << 31;

/// Most field names taken from `no-cache="…"` and `private="…"` together; a response naming more counts as if the
/// directive had no list, which is the stricter reading.
pub const LISTED_FIELDS_MAX: usize = 32;

/// A directive whose argument is a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seconds {
    /// Not there.
    #[default]
    Absent,
    /// There, without a usable or with a contradicted number.
    Invalid,
    /// At most [`MAX_SECONDS`].
    Of(u32),
}

impl Seconds {
    /// Reads digits only; anything else is invalid, greater numbers are clamped.
    #[must_use]
    pub fn parse(text: &[u8]) -> Seconds {
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Seconds::Invalid;
        }
        let max = u64::from(MAX_SECONDS);
        let n = text.iter().fold(0u64, |n, b| (n * 10 + u64::from(b - b'0')).min(max));
        Seconds::Of(n as u32)
    }

    /// For lifetimes: an invalid number makes a response stale (RFC 9111 §4.2.1 encourages it).
    #[must_use]
    pub fn or_zero_if_invalid(self) -> Option<u32> {
        match self {
            Seconds::Absent => None,
            Seconds::Invalid => Some(0),
            Seconds::Of(n) => Some(n),
        }
    }

    /// For windows and wishes: an invalid number is as good as none.
    #[must_use]
    pub fn valid(self) -> Option<u32> {
        match self {
            Seconds::Of(n) => Some(n),
            Seconds::Absent | Seconds::Invalid => None,
        }
    }

    /// Adds another occurrence. Two that agree are one; two that differ are invalid (§4.2.1 lets a cache choose
    /// between the first and stale: stale cannot serve what one of two layers of the origin forbade).
    pub(crate) fn add(&mut self, other: Seconds) {
        *self = match (*self, other) {
            (Seconds::Absent, other) => other,
            (Seconds::Of(a), Seconds::Of(b)) if a == b => Seconds::Of(a),
            _ => Seconds::Invalid,
        };
    }
}

/// The field the directives came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Cache-Control, or nothing at all: Expires counts too.
    #[default]
    CacheControl,
    /// `Seawall-CDN-Cache-Control`, `Cloudflare-CDN-Cache-Control` or `CDN-Cache-Control`: Cache-Control and Expires
    /// do not count (RFC 9213 §2.2).
    Targeted,
    /// `Surrogate-Control` (W3C Edge Architecture note): likewise.
    Surrogate,
}

/// What a response says to this cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of the directives
pub struct Directives {
    pub source: Source,
    pub no_store: bool,
    /// Without a list of fields, or with one too long to keep.
    pub no_cache: bool,
    /// Without a list of fields, or with one too long to keep.
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub max_age: Seconds,
    pub s_maxage: Seconds,
    pub stale_while_revalidate: Seconds,
    pub stale_if_error: Seconds,
    /// Field names of `no-cache="…"` and `private="…"`, in lower case: not stored (§5.2.2.4, §5.2.2.7).
    pub unstored: SmallVec<[Box<[u8]>; 2]>,
}

impl Directives {
    /// Reads the directives that govern this cache: the first of the targeted fields that is not empty and parses
    /// (RFC 9213 §2.2), else Cache-Control.
    #[must_use]
    pub fn of(fields: &Fields, policy: &Policy) -> Directives {
        const TARGETED: [Known; 3] =
            [Known::SeawallCdnCacheControl, Known::CloudflareCdnCacheControl, Known::CdnCacheControl];
        for name in TARGETED {
            if fields.has(name)
                && let Some(found) = dictionary::directives(fields.all(name))
            {
                return found;
            }
        }
        if policy.surrogate_control
            && let Some(found) = surrogate(fields)
        {
            return found;
        }
        let mut found = Directives::default();
        for line in fields.all(Known::CacheControl) {
            for item in list::directives(line) {
                found.add(&item);
            }
        }
        found
    }

    fn add(&mut self, item: &list::Directive<'_>) {
        let seconds = || item.value.as_deref().map_or(Seconds::Invalid, Seconds::parse);
        let seconds = || if item.spaced { Seconds::Invalid } else { seconds() };
        let mut name = [0; 24];
        let Some(lower) = name.get_mut(..item.name.len()) else { return };
        lower.copy_from_slice(item.name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache |= !self.list_fields(item.value.as_deref()),
            b"private" => self.private |= !self.list_fields(item.value.as_deref()),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            b"max-age" => self.max_age.add(seconds()),
            b"s-maxage" => self.s_maxage.add(seconds()),
            b"stale-while-revalidate" => self.stale_while_revalidate.add(seconds()),
            b"stale-if-error" => self.stale_if_error.add(seconds()),
            _ => {}
        }
    }

    /// Takes the list of a qualified directive. Returns whether there was one that could be kept.
    pub(crate) fn list_fields(&mut self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return false };
        let mut any = false;
        for name in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|n| !n.is_empty()) {
            if self.unstored.len() == LISTED_FIELDS_MAX || !name.iter().all(|b| list::is_token(*b)) {
                return false;
            }
            self.unstored.push(name.to_ascii_lowercase().into());
            any = true;
        }
        any
    }
}

/// Surrogate-Control, if it says anything to this cache. `directive;target` speaks to that target alone.
fn surrogate(fields: &Fields) -> Option<Directives> {
    let mut found = Directives { source: Source::Surrogate, ..Directives::default() };
    let mut any = false;
    for line in fields.all_named(b"surrogate-control") {
        for mut item in list::directives(line) {
            let target = match item.value.as_deref() {
                Some(value) => value.iter().position(|b| *b == b';').map(|at| value.split_at(at)),
                None => None,
            };
            if let Some((value, target)) = target {
                if !target.get(1..).unwrap_or(&[]).trim_ascii().eq_ignore_ascii_case(SURROGATE_TARGET) {
                    continue;
                }
                let value = value.to_vec();
                item.value = Some(value.into());
            } else if item.name.contains(&b';') {
                continue;
            }
            any = true;
            found.add(&item);
        }
    }
    any.then_some(found)
}

/// The device token Surrogate-Control may address.
const SURROGATE_TARGET: &[u8] = b"seawall";
