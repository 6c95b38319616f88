//! Judging a candidate's run over recorded requests, before any visitor meets it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Share of changed verdicts beyond which somebody must have meant it.
pub const CHANGED_SHARE: f64 = 0.05;
/// Changed verdicts below which nobody is asked: a few recorded requests prove nothing.
pub const CHANGED_MIN: u64 = 3;
/// Overruns that are put down to a busy machine: up to this many, or one request in a hundred.
const OVERRUNS_BORNE: u64 = 2;
/// Recorded requests move on between the rehearsal that named a number and the one that is judged by it; so a quarter more
/// than acknowledged is borne.
const SLACK: f64 = 1.25;

/// What a rehearsal counted. Every recorded request ran under both configurations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Requests that ran.
    pub seen: u64,
    /// Module faults under the candidate beyond those under the current configuration.
    pub faults: u64,
    /// Requests that overran a budget under the candidate only.
    pub overruns: u64,
    /// Requests that end differently: let through, blocked, elsewhere.
    pub changed: u64,
}

/// Why a rehearsed candidate does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Objection {
    /// Modules failed that do not fail now.
    Faults {
        /// How many times.
        faults: u64,
        /// Requests that ran.
        seen: u64,
    },
    /// Modules took more time or memory than they may.
    Overruns {
        /// Requests that did.
        overruns: u64,
        /// Requests that ran.
        seen: u64,
    },
    /// Many requests end differently, and nobody acknowledged that.
    Changed {
        /// Requests that do.
        changed: u64,
        /// Requests that ran.
        seen: u64,
        /// What was acknowledged.
        acknowledged: Option<u64>,
    },
}

impl Rehearsal {
    /// Whether the candidate may go on. `acknowledged` is the number of changed verdicts somebody meant.
    ///
    /// # Errors
    /// The [`Objection`], the plainest first. Only [`Objection::Changed`] can be acknowledged away.
    pub fn judge(&self, acknowledged: Option<u64>) -> Result<(), Objection> {
        let Rehearsal { seen, faults, overruns, changed } = *self;
        if faults > 0 {
            return Err(Objection::Faults { faults, seen });
        }
        if overruns > OVERRUNS_BORNE && overruns * 100 > seen {
            return Err(Objection::Overruns { overruns, seen });
        }
        let borne = acknowledged.map_or(0.0, |n| (n as f64 * SLACK).max((n + CHANGED_MIN) as f64));
        if self.is_surprising() && changed as f64 > borne {
            return Err(Objection::Changed { changed, seen, acknowledged });
        }
        Ok(())
    }

    /// Whether so many requests end differently that somebody must say that it is meant.
    #[must_use]
    pub fn is_surprising(&self) -> bool {
        self.changed >= CHANGED_MIN && self.changed_share() > CHANGED_SHARE
    }

    /// Share of requests that end differently, 0 to 1: what [`Plan::expected_change`](crate::Plan) is to be once it is
    /// acknowledged.
    #[must_use]
    pub fn changed_share(&self) -> f64 {
        self.changed as f64 / self.seen.max(1) as f64
    }

    /// Adds what another rehearsal counted.
    pub fn merge(&mut self, other: &Rehearsal) {
        self.seen += other.seen;
        self.faults += other.faults;
        self.overruns += other.overruns;
        self.changed += other.changed;
    }
}

impl Objection {
    /// Name of the number that can be acknowledged.
    pub const CHANGED_VERDICTS: &'static str = "changed_verdicts";

    /// What somebody would have to acknowledge, by name and number; none if it cannot be.
    #[must_use]
    pub fn needs(&self) -> Option<(&'static str, u64)> {
        match self {
            Objection::Changed { changed, .. } => Some((Self::CHANGED_VERDICTS, *changed)),
            Objection::Faults { .. } | Objection::Overruns { .. } => None,
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Objection::Faults { faults, seen } => {
                write!(
                    f,
                    "rehearsal: modules failed {faults} times in {seen} recent requests, and do not now"
                )
            }
            Objection::Overruns { overruns, seen } => write!(
                f,
                "rehearsal: {overruns} of {seen} recent requests took more time or memory than modules may, and do not now"
            ),
            Objection::Changed { changed, seen, acknowledged } => {
                write!(f, "rehearsal: {changed} of {seen} recent requests would end differently")?;
                match acknowledged {
                    None => write!(f, "; if that is meant, acknowledge changed_verdicts={changed}"),
                    Some(n) => write!(
                        f,
                        ", far more than the {n} acknowledged; if that is meant, acknowledge changed_verdicts={changed}"
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_is_judged_by_what_would_get_worse() {
        let run = |seen, faults, overruns, changed| Rehearsal { seen, faults, overruns, changed };
        let changed = |changed, seen, acknowledged| Err(Objection::Changed { changed, seen, acknowledged });
        for (rehearsal, acknowledged, want) in [
            (run(0, 0, 0, 0), None, Ok(())),
            (run(1_000, 0, 0, 0), None, Ok(())),
            (run(1_000, 1, 0, 0), None, Err(Objection::Faults { faults: 1, seen: 1_000 })),
            (run(1_000, 1, 0, 0), Some(1_000), Err(Objection::Faults { faults: 1, seen: 1_000 })),
            (run(100, 0, 2, 0), None, Ok(())),
            (run(100, 0, 3, 0), None, Err(Objection::Overruns { overruns: 3, seen: 100 })),
            (run(1_000, 0, 9, 0), None, Ok(())),
            (run(10, 0, 0, 2), None, Ok(())),
            (run(10, 0, 0, 3), None, changed(3, 10, None)),
            (run(100, 0, 0, 5), None, Ok(())),
            (run(100, 0, 0, 6), None, changed(6, 100, None)),
            (run(100, 0, 0, 6), Some(6), Ok(())),
            (run(1_000, 0, 0, 480), Some(400), Ok(())),
            (run(1_000, 0, 0, 600), Some(400), changed(600, 1_000, Some(400))),
            (run(100, 0, 0, 6), Some(0), changed(6, 100, Some(0))),
        ] {
            assert_eq!(rehearsal.judge(acknowledged), want, "{rehearsal:?} {acknowledged:?}");
        }
    }

    #[test]
    fn an_objection_says_what_to_acknowledge() {
        let objection = Rehearsal { seen: 100, changed: 40, ..Rehearsal::default() }.judge(None).unwrap_err();
        assert_eq!(objection.needs(), Some(("changed_verdicts", 40)));
        assert!(objection.to_string().contains("40 of 100"), "{objection}");
        assert!(objection.to_string().ends_with("acknowledge changed_verdicts=40"), "{objection}");
        assert_eq!(Objection::Faults { faults: 1, seen: 2 }.needs(), None);
    }
}
