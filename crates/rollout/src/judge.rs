//! Comparing two cohorts by the table of gates.

use crate::gates::{Gate, Metric};
use crate::stats::{apart, deviations, upper_tail};
use crate::{Histogram, Sample, Value};

/// Chance below which a rise of errors or faults is none. Gates look some hundred times in a rollout at several metrics, and
/// equal cohorts may fail fewer than one rollout in a thousand.
const CHANCE: f64 = 1e-6;
/// Standard deviations beyond which a difference of shares is no chance; for the same reason.
const DEVIATIONS: f64 = 5.5;
/// The same for distributions over the eleven bands of scores: P(χ² > 70) with ten degrees of freedom is below 1e-10, and
/// bands are sparse.
const CHI_SQUARE: f64 = 70.0;
/// Chance below which a stage waits for more evidence before it goes on.
const SUSPICION: f64 = 0.01;
/// Where nothing failed before, one failure in this many requests is enough.
const STRICT_SHARE: u64 = 50;
/// Requests without a failure beside the candidate that make up "nothing failed before".
const STRICT_BESIDE: u64 = 20;
/// Failures before, for what happens now and then to anybody: one alone is never enough.
const NONE_IS_NOT_NORMAL: u64 = 1;
/// By how much a rate must rise besides being no chance.
const RATIO: f64 = 1.5;
/// Latency is compared from this on, in microseconds: what lies below nobody notices.
const NOTICED_US: u64 = 4_096;
/// Buckets up that count as several times slower: two powers of two.
const SLOWER_BUCKETS: usize = 2;
/// Growth of memory that is never too much, in bytes.
const MEMORY_SLACK_BYTES: u64 = 256 << 20;

/// Both cohorts' requests of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub stable: &'a Sample,
    pub candidate: &'a Sample,
    pub synthetic: bool,
}

/// What is known besides.
#[derive(Clone, Copy, Default)]
pub(crate) struct Beside {
    /// Requests before this stage.
    pub requests: u64,
    /// Errors the edge made in them.
    pub edge_errors: u64,
    /// Module faults in them.
    pub module_faults: u64,
    /// Share of requests whose verdict is meant to change.
    pub expected_change: f64,
}

/// What a gate found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    Fine,
    /// It may be chance; more requests will tell.
    Suspicious,
    Worse {
        stable: Value,
        candidate: Value,
        detail: Option<String>,
    },
}

/// Compares by one gate.
pub(crate) fn judge(gate: &Gate, pair: Pair<'_>, beside: &Beside) -> Finding {
    let Pair { stable: s, candidate: c, .. } = pair;
    let of = |count: u64, of: u64| Share { count: count.min(of), of };
    match gate.metric {
        Metric::Requests => Finding::Fine, // by Progress, which knows the time
        Metric::ModuleFaults => {
            let shares = [of(s.module_faults, s.requests), of(c.module_faults, c.requests)];
            failures(gate, pair, shares, beside.requests, beside.module_faults)
        }
        Metric::EdgeErrors => {
            let shares = [of(s.edge_errors, s.requests), of(c.edge_errors, c.requests)];
            failures(gate, pair, shares, beside.requests, beside.edge_errors)
        }
        Metric::Overruns => {
            let shares = [of(s.overruns, s.requests), of(c.overruns, c.requests)];
            failures(gate, pair, shares, 0, NONE_IS_NOT_NORMAL)
        }
        Metric::ScoresAbsent => {
            let shares = [of(s.unscored, s.scorable()), of(c.unscored, c.scorable())];
            failures(gate, pair, shares, 0, NONE_IS_NOT_NORMAL)
        }
        Metric::Scores => scores(gate, pair),
        Metric::Verdicts => {
            let [a, b] = [s, c].map(|x| of(x.blocked + x.challenged, x.requests));
            // What is expected may come or not: only what goes beyond counts.
            let least = gate.threshold + beside.expected_change;
            let (rises, falls) = (b.share() - a.share() >= least, a.share() - b.share() >= least);
            shifted(gate, pair, [a, b], rises || falls)
        }
        Metric::OriginErrors => {
            let [a, b] = [s, c].map(|x| of(x.origin_errors, x.requests));
            shifted(gate, pair, [a, b], b.share() - a.share() >= gate.threshold)
        }
        Metric::CacheHits => {
            let [a, b] = [s, c].map(|x| of(x.cache_hits, x.cacheable));
            shifted(gate, pair, [a, b], a.share() - b.share() >= gate.threshold)
        }
        Metric::Latency => latency(gate, pair),
        Metric::SlowRequests => slow(gate, pair),
        Metric::Memory => memory(gate, pair),
    }
}

/// So many of so many.
#[derive(Clone, Copy)]
struct Share {
    count: u64,
    of: u64,
}

impl Share {
    fn share(self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }

    /// Of independent parts.
    fn worth(self, worth: f64) -> (f64, f64) {
        (self.count as f64 * worth, self.of as f64 * worth)
    }
}

fn worse([a, b]: [Share; 2], detail: Option<String>) -> Finding {
    let value = |share: Share| Value::Share { count: share.count, of: share.of };
    Finding::Worse { stable: value(a), candidate: value(b), detail }
}

/// Errors and faults: none is normal, so one among few is enough where nothing failed before; else an exact test.
fn failures(
    gate: &Gate,
    pair: Pair<'_>,
    shares: [Share; 2],
    requests_before: u64,
    failed_before: u64,
) -> Finding {
    let [stable, candidate] = shares;
    if candidate.count == 0 || candidate.of < gate.least {
        return Finding::Fine;
    }
    let clean = stable.count == 0 && failed_before == 0;
    let beside = stable.of + requests_before;
    let strict = candidate.count * STRICT_SHARE >= candidate.of;
    if clean && strict && beside >= STRICT_BESIDE.min(candidate.of) {
        return worse(shares, None);
    }
    // Nothing to compare with at all: most requests failing is bad whatever was before.
    if beside == 0 && candidate.of >= STRICT_BESIDE && candidate.count * 2 > candidate.of {
        return worse(shares, None);
    }
    let [worth_s, worth_c] = [pair.stable, pair.candidate].map(|sample| sample.spread.worth());
    let parts = |count: u64, worth: f64| (count as f64 * worth).round() as u64;
    let (of_s, of_c) = (stable.of as f64 * worth_s, candidate.of as f64 * worth_c);
    let chance =
        upper_tail(parts(candidate.count, worth_c), parts(stable.count, worth_s), of_c / (of_s + of_c));
    let rises =
        candidate.share() >= stable.share() * RATIO && candidate.share() - stable.share() >= gate.threshold;
    match chance {
        chance if chance < CHANCE && rises => worse(shares, None),
        chance if chance < SUSPICION && rises => Finding::Suspicious,
        _ => Finding::Fine,
    }
}

/// A share that moved, if it is far enough (`far`) and no chance.
fn shifted(gate: &Gate, pair: Pair<'_>, shares: [Share; 2], far: bool) -> Finding {
    let [stable, candidate] = shares;
    let least = gate.least as f64;
    let a = stable.worth(pair.stable.spread.worth());
    let b = candidate.worth(pair.candidate.spread.worth());
    let no_chance = deviations(a, b).abs() >= DEVIATIONS;
    if far && a.1 >= least && b.1 >= least && no_chance { worse(shares, None) } else { Finding::Fine }
}

fn scores(gate: &Gate, pair: Pair<'_>) -> Finding {
    let bands = |sample: &Sample| {
        let mut bands = [0; 11];
        bands.iter_mut().zip(sample.scores.iter().chain([&sample.unscored])).for_each(|(b, n)| *b = *n);
        bands
    };
    let (before, after) = (bands(pair.stable), bands(pair.candidate));
    let of = [pair.stable, pair.candidate].map(Sample::scorable);
    let worth = [pair.stable, pair.candidate].map(|sample| sample.spread.worth());
    let few = of.iter().zip(worth).any(|(of, worth)| *of as f64 * worth < gate.least as f64);
    let (variation, chi_square) = apart(&before, &after, (worth[0], worth[1]));
    if few || variation < gate.threshold || chi_square < CHI_SQUARE {
        return Finding::Fine;
    }
    let [of_a, of_b] = of;
    let share = |count: &u64, of: u64| Share { count: *count, of };
    let moved = |(a, b): &(&u64, &u64)| (share(b, of_b).share() - share(a, of_a).share()).abs();
    let most = before.iter().zip(&after).enumerate().max_by(|(_, x), (_, y)| moved(x).total_cmp(&moved(y)));
    let Some((band, (a, b))) = most else { return Finding::Fine };
    let name = match band {
        10 => "without a score".to_owned(),
        _ => format!("scores {}–{}", band * 10, band * 10 + 9),
    };
    worse([share(a, of_a), share(b, of_b)], Some(name))
}

/// Slow means a bucket some powers of two above that of the stable quantile. `None` where that is too fast to matter.
fn slow_from(stable: &Histogram, quantile: f64) -> Option<usize> {
    let bucket = stable.quantile_bucket(quantile)? + SLOWER_BUCKETS;
    Some(bucket.max(Histogram::bucket(NOTICED_US)))
}

fn latency(gate: &Gate, pair: Pair<'_>) -> Finding {
    let [s, c] = [&pair.stable.latency, &pair.candidate.latency];
    let (Some(slow), Some(before), Some(after)) =
        (slow_from(s, 0.5), s.quantile_bucket(0.5), c.quantile_bucket(0.5))
    else {
        return Finding::Fine;
    };
    let shares = [s, c].map(|h| Share { count: h.from(slow), of: h.count() });
    match shifted(gate, pair, shares, after >= slow) {
        // The middle of the bucket, as a power of two knows it.
        Finding::Worse { .. } => Finding::Worse {
            stable: Value::TimeUs(Histogram::begins_us(before) * 3 / 2),
            candidate: Value::TimeUs(Histogram::begins_us(after) * 3 / 2),
            detail: None,
        },
        other => other,
    }
}

fn slow(gate: &Gate, pair: Pair<'_>) -> Finding {
    let [s, c] = [&pair.stable.latency, &pair.candidate.latency];
    let Some(slow) = slow_from(s, 0.99) else { return Finding::Fine };
    let shares = [s, c].map(|h| Share { count: h.from(slow), of: h.count() });
    match shifted(gate, pair, shares, shares[1].share() >= gate.threshold) {
        Finding::Worse { stable, candidate, .. } => {
            let detail = Some(format!("{} ms or more", Histogram::begins_us(slow) / 1_000));
            Finding::Worse { stable, candidate, detail }
        }
        other => other,
    }
}

fn memory(gate: &Gate, pair: Pair<'_>) -> Finding {
    let (Some(before), Some(now)) = (pair.stable.memory_bytes, pair.candidate.memory_bytes) else {
        return Finding::Fine; // missing is Progress's business, which knows for how long
    };
    let grew =
        now as f64 >= before as f64 * gate.threshold && now >= before.saturating_add(MEMORY_SLACK_BYTES);
    match grew {
        true => Finding::Worse { stable: Value::Bytes(before), candidate: Value::Bytes(now), detail: None },
        false => Finding::Fine,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
