//! Whether a stored response answers a request now (RFC 9111 §4), and whether it may when the origin fails.

use crate::facts::RequestFacts;
use crate::policy::{POLICY_SECONDS_MAX, Policy};
use crate::status::{CfStatus, Forward};
use crate::stored::{Flags, Stored};

/// What to do with a stored response whose key matches a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it: it is fresh. (HIT)
    Fresh {
        /// For the Age field, in seconds.
        age_s: u32,
    },
    /// Serve it stale and validate it in the background, once for all who ask (RFC 5861 §3). (UPDATING)
    Refresh {
        /// For the Age field, in seconds.
        age_s: u32,
    },
    /// Serve it stale: the client takes that (`max-stale`). (STALE)
    Stale {
        /// For the Age field, in seconds.
        age_s: u32,
    },
    /// Ask the origin, with [`validation`](crate::validation()) if there is a validator. (EXPIRED or REVALIDATED)
    Validate(Why),
    /// Answer 504: the client wanted no origin asked (RFC 9111 §5.2.1.7).
    Unavailable,
}

impl Verdict {
    /// CF-Cache-Status if the verdict is carried out: what is served is named as such, and what the origin answers anew
    /// is EXPIRED (after a 304 the caller says [`CfStatus::Revalidated`], after an error STALE).
    #[must_use]
    pub fn cf_status(self) -> CfStatus {
        match self {
            Verdict::Fresh { .. } => CfStatus::Hit,
            Verdict::Refresh { .. } => CfStatus::Updating,
            Verdict::Stale { .. } => CfStatus::Stale,
            Verdict::Validate(_) => CfStatus::Expired,
            Verdict::Unavailable => CfStatus::None,
        }
    }

    /// `fwd` of Cache-Status; `None`: not forwarded.
    #[must_use]
    pub fn forward(self) -> Option<Forward> {
        match self {
            Verdict::Validate(Why::Request) => Some(Forward::Request),
            Verdict::Validate(Why::Stale | Why::NoCache) => Some(Forward::Stale),
            Verdict::Fresh { .. }
            | Verdict::Refresh { .. }
            | Verdict::Stale { .. }
            | Verdict::Unavailable => None,
        }
    }
}

/// Why a stored response needs the origin's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is no longer fresh.
    Stale,
    /// It says `no-cache`.
    NoCache,
    /// The client asks for something fresher.
    Request,
}

/// How the origin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No response: no connection, a broken one, or silence.
    Unreachable,
    /// A response with this status.
    Status(u16),
}

/// Decides whether `stored` answers a request that passed [`RequestFacts::admit`]. Pure arithmetic: no field is parsed.
#[must_use]
#[inline]
pub fn decide(request: &RequestFacts, stored: &Stored, now_ms: u64, policy: &Policy) -> Verdict {
    let heeded = !policy.ignore_client_directives;
    match reusable(request, stored, now_ms, heeded) {
        Verdict::Validate(_) if heeded && request.only_if_cached => Verdict::Unavailable,
        verdict => verdict,
    }
}

#[inline]
fn reusable(request: &RequestFacts, stored: &Stored, now_ms: u64, heeded: bool) -> Verdict {
    let age_ms = stored.age_ms(now_ms);
    let age_s = stored.age_s(now_ms);
    let fresh_for_ms = stored.fresh_for_ms(now_ms);
    if stored.flags.has(Flags::NO_CACHE) {
        return Verdict::Validate(Why::NoCache);
    }
    if heeded {
        let too_old = request.max_age_s.is_some_and(|s| s == 0 || age_ms > u64::from(s) * 1000);
        let too_near_its_end = request.min_fresh_s.is_some_and(|s| fresh_for_ms < i64::from(s) * 1000);
        if request.no_cache || too_old || too_near_its_end {
            return Verdict::Validate(Why::Request);
        }
    }
    if fresh_for_ms > 0 {
        return Verdict::Fresh { age_s };
    }
    let staleness_ms = fresh_for_ms.unsigned_abs();
    if staleness_ms < u64::from(stored.stale_while_revalidate_s) * 1000 {
        return Verdict::Refresh { age_s };
    }
    let strict = stored.flags.has(Flags::MUST_REVALIDATE) || stored.flags.has(Flags::S_MAXAGE);
    match request.max_stale_s {
        Some(s) if heeded && !strict && staleness_ms <= u64::from(s) * 1000 => Verdict::Stale { age_s },
        _ => Verdict::Validate(Why::Stale),
    }
}

/// The age in seconds with which `stored` may be served although the origin failed; `None`: the failure is the answer.
///
/// Fresh ones may (a client's `no-cache` is a preference, RFC 9111 §5.2.1.4, and the origin was asked); stale ones
/// within their stale-if-error window, for the errors of RFC 5861 §4 and their kin at this edge; and within the
/// policy's window when the origin is out of reach (§4.2.4). Never what `no-cache`, `must-revalidate` or
/// `proxy-revalidate` protect; what `s-maxage` protects only within a window of its own.
#[must_use]
pub fn on_failure(stored: &Stored, failure: Failure, now_ms: u64, policy: &Policy) -> Option<u32> {
    let is_error = match failure {
        Failure::Unreachable => true,
        Failure::Status(status) => matches!(status, 500 | 502..=504 | 520..=526 | 530),
    };
    if !is_error || stored.flags.has(Flags::NO_CACHE) {
        return None;
    }
    let fresh_for_ms = stored.fresh_for_ms(now_ms);
    let age_s = stored.age_s(now_ms);
    if fresh_for_ms > 0 {
        return Some(age_s);
    }
    if stored.flags.has(Flags::MUST_REVALIDATE) {
        return None;
    }
    let unreachable_s = match failure {
        Failure::Unreachable if !stored.flags.has(Flags::S_MAXAGE) => {
            policy.stale_if_unreachable_s.min(POLICY_SECONDS_MAX)
        }
        _ => 0,
    };
    let window_ms = u64::from(stored.stale_if_error_s.max(unreachable_s)) * 1000;
    (fresh_for_ms.unsigned_abs() < window_ms).then_some(age_s)
}
