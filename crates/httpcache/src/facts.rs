//! What the cache needs to know of a request, taken once.

use crate::directives::Seconds;
use crate::list;
use crate::policy::{Mode, Policy};
use crate::status::{CfStatus, Forward};
use seawall_http::{Fields, Known, Method, RequestHead};

/// The parts of a request that decide about the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Its method.
    pub method: Method,
    /// Whether it carries Authorization.
    pub authorization: bool,
    /// Whether the route's cookie rule keeps it away from the cache; set by the caller.
    pub bypass: bool,
    /// Whether If-None-Match or If-Modified-Since is there.
    pub conditional: bool,
    /// Whether Range is there.
    pub range: bool,
    /// `no-cache`, or `Pragma: no-cache` without Cache-Control.
    pub no_cache: bool,
    /// `no-store`
    pub no_store: bool,
    /// `only-if-cached`
    pub only_if_cached: bool,
    /// `max-age`, in seconds; an invalid one counts as 0.
    pub max_age_s: Option<u32>,
    /// `min-fresh`, in seconds; an invalid one does not count.
    pub min_fresh_s: Option<u32>,
    /// `max-stale`, in seconds; `u32::MAX` without a number; an invalid one does not count.
    pub max_stale_s: Option<u32>,
}

impl RequestFacts {
    /// Reads a request. Allocates nothing; costs a few array reads unless Cache-Control is there.
    #[must_use]
    pub fn of(head: &RequestHead) -> RequestFacts {
        let fields = &head.fields;
        let mut facts = RequestFacts {
            method: head.method,
            authorization: fields.has(Known::Authorization),
            conditional: fields.has(Known::IfNoneMatch) || fields.has(Known::IfModifiedSince),
            range: fields.has(Known::Range),
            ..RequestFacts::default()
        };
        if fields.has(Known::CacheControl) {
            facts.read_directives(fields);
        } else if fields.has(Known::Pragma) {
            facts.no_cache = fields
                .all(Known::Pragma)
                .any(|line| list::directives(line).any(|d| d.name.eq_ignore_ascii_case(b"no-cache")));
        }
        facts
    }

    fn read_directives(&mut self, fields: &Fields) {
        let (mut max_age, mut min_fresh, mut max_stale) = (Seconds::Absent, Seconds::Absent, Seconds::Absent);
        for item in fields.all(Known::CacheControl).flat_map(list::directives) {
            let is = |name: &str| item.name.eq_ignore_ascii_case(name.as_bytes());
            let seconds = || item.value.as_deref().map_or(Seconds::Invalid, Seconds::parse);
            if is("no-cache") {
                self.no_cache = true;
            } else if is("no-store") {
                self.no_store = true;
            } else if is("only-if-cached") {
                self.only_if_cached = true;
            } else if is("max-age") {
                max_age.add(seconds());
            } else if is("min-fresh") {
                min_fresh.add(seconds());
            } else if is("max-stale") {
                match item.value {
                    Some(_) => max_stale.add(seconds()),
                    None => max_stale.add(Seconds::Of(u32::MAX)),
                }
            }
        }
        self.max_age_s = max_age.or_zero_if_invalid();
        self.min_fresh_s = min_fresh.valid();
        self.max_stale_s = max_stale.valid();
    }

    /// Whether the cache is to be looked up for this request, or why not.
    ///
    /// # Errors
    /// The reason to go past the cache, for lookup and storing alike.
    #[inline]
    pub fn admit(&self, policy: &Policy) -> Result<(), Bypass> {
        if !matches!(self.method, Method::Get | Method::Head) {
            Err(Bypass::Method)
        } else if policy.mode == Mode::Off {
            Err(Bypass::Off)
        } else if policy.development_mode {
            Err(Bypass::DevelopmentMode)
        } else if self.bypass {
            Err(Bypass::Cookie)
        } else if self.no_store && !policy.ignore_client_directives {
            Err(Bypass::NoStore)
        } else {
            Ok(())
        }
    }

    /// Whether a request for which nothing is stored gets 504 instead of the origin's answer (RFC 9111 §5.2.1.7).
    #[must_use]
    #[inline]
    pub fn unavailable_on_miss(&self, policy: &Policy) -> bool {
        self.only_if_cached && !policy.ignore_client_directives
    }
}

/// Why a request goes past the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Neither GET nor HEAD.
    Method,
    /// The route does not cache.
    Off,
    /// The zone is in development mode.
    DevelopmentMode,
    /// The route's cookie rule.
    Cookie,
    /// The client said `no-store`.
    NoStore,
}

impl Bypass {
    /// `fwd` of Cache-Status.
    #[must_use]
    pub fn forward(self) -> Forward {
        match self {
            Bypass::Method => Forward::Method,
            Bypass::Off | Bypass::DevelopmentMode | Bypass::Cookie => Forward::Bypass,
            Bypass::NoStore => Forward::Request,
        }
    }

    /// CF-Cache-Status of the response: DYNAMIC where caching was never in question, else BYPASS.
    #[must_use]
    pub fn cf_status(self) -> CfStatus {
        match self {
            Bypass::Method | Bypass::Off => CfStatus::Dynamic,
            Bypass::DevelopmentMode | Bypass::Cookie | Bypass::NoStore => CfStatus::Bypass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(list: &[(&str, &str)]) -> RequestFacts {
        let mut head = RequestHead::default();
        for (n, v) in list {
            head.fields.push(n.as_bytes(), v.as_bytes());
        }
        RequestFacts::of(&head)
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        assert!(facts(&[("Pragma", "x, No-Cache")]).no_cache);
        assert!(!facts(&[("Pragma", "no-cache"), ("Cache-Control", "max-age=5")]).no_cache);
        assert!(!facts(&[("Pragma", "no-cachex")]).no_cache);
    }

    #[test]
    fn directives_are_read_in_any_case_and_on_any_line() {
        let f = facts(&[
            ("cache-control", "MAX-AGE=\"5\", max-stale"),
            ("Cache-Control", "min-fresh=7, no-STORE"),
        ]);
        assert_eq!((f.max_age_s, f.max_stale_s, f.min_fresh_s), (Some(5), Some(u32::MAX), Some(7)));
        assert!(f.no_store && !f.no_cache);
        let f = facts(&[("cache-control", "max-age=x, max-stale=x, min-fresh=x, only-if-cached")]);
        assert_eq!((f.max_age_s, f.max_stale_s, f.min_fresh_s), (Some(0), None, None));
        assert!(f.only_if_cached);
    }

    #[test]
    fn requests_are_kept_away_for_the_first_reason_found() {
        let policy = Policy::default();
        let get = RequestFacts::default();
        assert_eq!(get.admit(&policy), Ok(()));
        assert_eq!(RequestFacts { method: Method::Post, ..get }.admit(&policy), Err(Bypass::Method));
        assert_eq!(get.admit(&Policy { mode: Mode::Off, ..policy }), Err(Bypass::Off));
        assert_eq!(get.admit(&Policy { development_mode: true, ..policy }), Err(Bypass::DevelopmentMode));
        assert_eq!(RequestFacts { bypass: true, ..get }.admit(&policy), Err(Bypass::Cookie));
        let no_store = RequestFacts { no_store: true, ..get };
        assert_eq!(no_store.admit(&policy), Err(Bypass::NoStore));
        assert_eq!(no_store.admit(&Policy { ignore_client_directives: true, ..policy }), Ok(()));
    }
}
