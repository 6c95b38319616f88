//! How the cache tells what it did: Cache-Status (RFC 9211) and CF-Cache-Status.

use smallvec::SmallVec;

/// Longest `detail` written, in bytes; the rest is cut.
pub const DETAIL_MAX: usize = 64;

/// Where a member is written: with the usual detail it fits without an allocation.
pub type StatusText = SmallVec<[u8; 128]>;

/// CF-Cache-Status (developers.cloudflare.com/cache/concepts/cache-responses).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CfStatus {
    /// Served from the cache.
    Hit,
    /// Not in the cache, fetched, and fit for it.
    Miss,
    /// In the cache but expired, fetched anew.
    Expired,
    /// Served expired, as the origin could not be asked (or the client took it).
    Stale,
    /// Served expired while it is being fetched anew.
    Updating,
    /// In the cache and confirmed by the origin's 304.
    Revalidated,
    /// Kept from the cache by the origin or by a rule.
    Bypass,
    /// Not fit for the cache: nobody asked for it to be cached.
    Dynamic,
    /// The edge answered by itself, the cache had no part.
    #[default]
    None,
}

impl CfStatus {
    /// Every value, for metrics and documents.
    pub const ALL: [CfStatus; 9] = [
        CfStatus::Hit,
        CfStatus::Miss,
        CfStatus::Expired,
        CfStatus::Stale,
        CfStatus::Updating,
        CfStatus::Revalidated,
        CfStatus::Bypass,
        CfStatus::Dynamic,
        CfStatus::None,
    ];

    /// As sent.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CfStatus::Hit => "HIT",
            CfStatus::Miss => "MISS",
            CfStatus::Expired => "EXPIRED",
            CfStatus::Stale => "STALE",
            CfStatus::Updating => "UPDATING",
            CfStatus::Revalidated => "REVALIDATED",
            CfStatus::Bypass => "BYPASS",
            CfStatus::Dynamic => "DYNAMIC",
            CfStatus::None => "NONE",
        }
    }
}

/// Why a request was forwarded (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The cache was told not to take part.
    Bypass,
    /// The method needs the origin.
    Method,
    /// Nothing stored for the URI.
    UriMiss,
    /// Stored for the URI, but not for these request fields.
    VaryMiss,
    /// Nothing usable stored.
    Miss,
    /// The client's directives.
    Request,
    /// Stored, but stale.
    Stale,
    /// Stored in part.
    Partial,
}

impl Forward {
    /// As sent.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Forward::Bypass => "bypass",
            Forward::Method => "method",
            Forward::UriMiss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Miss => "miss",
            Forward::Request => "request",
            Forward::Stale => "stale",
            Forward::Partial => "partial",
        }
    }
}

/// One cache's member of Cache-Status (RFC 9211 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// Why the request was forwarded; `None`: a hit.
    pub forward: Option<Forward>,
    /// The origin's status, where it differs from the one sent or says more.
    pub forward_status: Option<u16>,
    /// Seconds of freshness left, negative once stale.
    pub ttl_s: Option<i64>,
    /// Whether the forwarded response was stored.
    pub stored: bool,
    /// Whether the request waited for another one's response.
    pub collapsed: bool,
    /// A word more; bytes other than printable ASCII are left out.
    pub detail: Option<&'a str>,
}

impl CacheStatus<'_> {
    /// Appends the member for the cache `name` (a token, else it is written as a string):
    /// `seawall; fwd=stale; fwd-status=304; ttl=60; stored; detail=x`.
    pub fn write(&self, name: &str, out: &mut StatusText) {
        text(name, out);
        match self.forward {
            None => out.extend_from_slice(b"; hit"),
            Some(why) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(why.name().as_bytes());
                if let Some(status) = self.forward_status {
                    out.extend_from_slice(b"; fwd-status=");
                    number(status.into(), out);
                }
            }
        }
        if let Some(ttl) = self.ttl_s {
            out.extend_from_slice(b"; ttl=");
            number(ttl, out);
        }
        // Both say something of a forwarded request only (§2.4, §2.6).
        if self.forward.is_some() && self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.forward.is_some() && self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            text(detail, out);
        }
    }
}

/// A token where it can be one, else a string (RFC 9651 §3.3).
fn text(text: &str, out: &mut StatusText) {
    let bytes = text.as_bytes().get(..DETAIL_MAX).unwrap_or(text.as_bytes());
    let inner = |b: &u8| crate::list::is_token(*b) || matches!(b, b':' | b'/');
    if bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'*') && bytes.iter().all(inner) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for b in bytes.iter().filter(|b| matches!(b, 0x20..=0x7e)) {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out.push(b'"');
}

/// An integer of at most 15 digits (RFC 9651 §3.3.1), written without allocating.
fn number(n: i64, out: &mut StatusText) {
    const LIMIT: i64 = 999_999_999_999_999;
    let n = n.clamp(-LIMIT, LIMIT);
    if n < 0 {
        out.push(b'-');
    }
    let (mut rest, mut digits, mut used) = (n.unsigned_abs(), [0u8; 15], 0);
    for digit in &mut digits {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().take(used).rev().copied());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(status: CacheStatus<'_>) -> String {
        let mut out = StatusText::new();
        status.write("seawall", &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn members_are_written_as_rfc_9211_shows_them() {
        let none = CacheStatus::default();
        assert_eq!(written(CacheStatus { ttl_s: Some(376), ..none }), "seawall; hit; ttl=376");
        assert_eq!(written(CacheStatus { ttl_s: Some(-412), ..none }), "seawall; hit; ttl=-412");
        let fwd = CacheStatus { forward: Some(Forward::UriMiss), ..none };
        assert_eq!(written(fwd), "seawall; fwd=uri-miss");
        let fwd = CacheStatus { stored: true, collapsed: true, ttl_s: Some(0), ..fwd };
        assert_eq!(written(fwd), "seawall; fwd=uri-miss; ttl=0; stored; collapsed");
        let stale = CacheStatus { forward: Some(Forward::Stale), forward_status: Some(304), ..none };
        assert_eq!(written(stale), "seawall; fwd=stale; fwd-status=304");
        let bypass = CacheStatus { forward: Some(Forward::Bypass), detail: Some("no-store"), ..none };
        assert_eq!(written(bypass), "seawall; fwd=bypass; detail=no-store");
        let odd = CacheStatus { detail: Some("a \"b\"\u{e9}"), ..none };
        assert_eq!(written(odd), "seawall; hit; detail=\"a \\\"b\\\"\"");
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_usual(n in -999_999_999_999_999i64..=999_999_999_999_999) {
            let mut out = StatusText::new();
            number(n, &mut out);
            prop_assert_eq!(String::from_utf8(out.to_vec()).unwrap(), n.to_string());
        }
    }
}
