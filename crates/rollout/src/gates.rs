//! What is compared between the candidate and what serves beside it: one table for the gates, the report and the
//! documentation.

use serde::{Deserialize, Serialize};

/// What a gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // said in GATES
pub enum Metric {
    Requests,
    EdgeErrors,
    ModuleFaults,
    Overruns,
    ScoresAbsent,
    Scores,
    Verdicts,
    OriginErrors,
    Latency,
    SlowRequests,
    CacheHits,
    Memory,
}

/// One gate.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// What it looks at.
    pub metric: Metric,
    /// Its name in verdicts and documents.
    pub name: &'static str,
    /// What is compared.
    pub what: &'static str,
    /// Least requests of either cohort from which on it judges.
    pub least: u64,
    /// How much worse is too much, in the unit of `fails`. Being worse must be no chance besides.
    pub threshold: f64,
    /// When it fails, in words.
    pub fails: &'static str,
    /// Whether the page and the visitor decide it, so that one request of each is compared, not all.
    pub distinct: bool,
    /// Whether it also compares synthetic requests, those of the one cohort with those of the other.
    pub synthetic: bool,
    /// Why it stands, and why there.
    pub why: &'static str,
}

/// Every gate, in the order they are tried: the plainest evidence first.
pub const GATES: &[Gate] = &[
    Gate {
        metric: Metric::Requests,
        name: "requests",
        what: "that both cohorts are measured, and that enough requests are seen",
        least: 0,
        threshold: 2.0,
        fails: "measurements of a cohort are missing for 2 seconds, or a stage does not get its requests",
        distinct: false,
        synthetic: true,
        why: "silence is failure: what cannot be seen is not taken for healthy",
    },
    Gate {
        metric: Metric::ModuleFaults,
        name: "module faults",
        what: "faults of modules per request: panics, errors, overruns of memory",
        least: 1,
        threshold: 0.002,
        fails: "1 request in 50 brings one where none did before, or the share rises by half and by 0.2 points",
        distinct: false,
        synthetic: true,
        why: "a module that faults under the candidate and not beside it is what this whole machinery is for",
    },
    Gate {
        metric: Metric::Overruns,
        name: "overruns of modules",
        what: "overruns of the time modules may take, per request",
        least: 10,
        threshold: 0.05,
        fails: "their share rises by half and by 5 points",
        distinct: false,
        synthetic: true,
        why: "a slow module makes many; a busy machine makes one now and then, whoever is running",
    },
    Gate {
        metric: Metric::EdgeErrors,
        name: "errors made by the edge",
        what: "requests that ended in an error page of the edge's own making",
        least: 1,
        threshold: 0.002,
        fails: "1 request in 50 ends so where none did before, or the share rises by half and by 0.2 points",
        distinct: false,
        synthetic: true,
        why: "no visitor should meet an error that a change made",
    },
    Gate {
        metric: Metric::ScoresAbsent,
        name: "requests without a score",
        what: "requests that should have had a score and had none",
        least: 10,
        threshold: 0.02,
        fails: "their share rises by half and by 2 points",
        distinct: false,
        synthetic: true,
        why: "on 18 November 2025 scores that could not be computed became zeros and blocked people; their vanishing is the first sign",
    },
    Gate {
        metric: Metric::Scores,
        name: "distribution of scores",
        what: "requests by score in bands of ten, those without a score a band of their own",
        least: 40,
        threshold: 0.2,
        fails: "a fifth of the requests or more moved to other bands",
        distinct: true,
        synthetic: true,
        why: "a feature file that is well formed and wrong shows here; one trained anew moves a few in a hundred",
    },
    Gate {
        metric: Metric::Verdicts,
        name: "blocked and challenged requests",
        what: "requests that were blocked or challenged",
        least: 40,
        threshold: 0.1,
        fails: "their share rises or falls by 10 points more than what was acknowledged after the rehearsal",
        distinct: true,
        synthetic: true,
        why: "a rule that matches far more or far fewer requests than before is mostly a slip; twice what a rehearsal lets pass",
    },
    Gate {
        metric: Metric::OriginErrors,
        name: "errors of origins",
        what: "requests that ended in an error of an origin or on the way to it",
        least: 40,
        threshold: 0.05,
        fails: "their share rises by half and by 5 points",
        distinct: true,
        synthetic: false,
        why: "a wrong origin address is the edge's change and the origin's error; both cohorts feel an origin that is ill",
    },
    Gate {
        metric: Metric::Latency,
        name: "median latency",
        what: "the median of the time until the response begins, by powers of two",
        least: 40,
        threshold: 4.0,
        fails: "it is at least 4 times as long, and 4 ms or more",
        distinct: true,
        synthetic: false,
        why: "less can be a cold connection or another mix of pages; nobody notices what stays below 4 ms",
    },
    Gate {
        metric: Metric::SlowRequests,
        name: "slow requests",
        what: "requests that took at least 4 times as long as the slowest hundredth beside",
        least: 60,
        threshold: 0.05,
        fails: "they are 5 in a hundred or more, and 4 ms or slower",
        distinct: true,
        synthetic: false,
        why: "a median hides a twentieth of the visitors who wait",
    },
    Gate {
        metric: Metric::CacheHits,
        name: "cache hits",
        what: "requests answered from the cache, of those that might have been",
        least: 60,
        threshold: 0.25,
        fails: "their share falls by 25 points",
        distinct: true,
        synthetic: false,
        why: "a change of cache keys empties the cache for all, and origins get the whole load at once",
    },
    Gate {
        metric: Metric::Memory,
        name: "memory",
        what: "memory of the process without its cache, since the rollout began",
        least: 0,
        threshold: 1.5,
        fails: "it grew by half and by 256 MiB",
        distinct: true,
        synthetic: false,
        why: "a candidate is compiled beside what serves and may take as much again for its own zones, not more",
    },
];

impl Metric {
    /// Its row of [`GATES`].
    #[must_use]
    pub fn gate(self) -> Option<&'static Gate> {
        GATES.iter().find(|gate| gate.metric == self)
    }

    /// Its name in verdicts and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.gate().map_or("", |gate| gate.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_says_what_and_why_and_stands_once() {
        for (at, gate) in GATES.iter().enumerate() {
            let texts = [gate.name, gate.what, gate.fails, gate.why];
            assert!(texts.iter().all(|text| !text.is_empty()) && gate.threshold > 0.0, "{}", gate.name);
            assert!(
                GATES.iter().skip(at + 1).all(|g| g.metric != gate.metric && g.name != gate.name),
                "{}",
                gate.name
            );
            assert_eq!(gate.metric.name(), gate.name);
        }
    }
}
