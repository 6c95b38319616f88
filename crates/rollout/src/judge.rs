//! Comparing two cohorts by the table of gates.

use crate::gates::{Gate, Metric};
use crate::stats::{apart, fisher, upper_tail};
use crate::{Counted, Histogram, Sample, Value};

/// Chance below which a rise of errors or faults is none. Gates look some hundred times in a rollout at several metrics, and
/// equal cohorts may fail fewer than one rollout in a thousand.
const CHANCE: f64 = 1e-6;
/// The same for distributions, over the eleven bands of scores: P(χ² > 70) with ten degrees of freedom is below 1e-10, and
/// bands are sparse.
const CHI_SQUARE: f64 = 70.0;
/// Chance below which a stage waits for more evidence before it goes on.
const SUSPICION: f64 = 0.01;
/// Where nothing failed before, one failure in this many requests is enough.
const STRICT_SHARE: u64 = 50;
/// Requests without a failure beside the candidate that make up "nothing failed before".
const STRICT_BESIDE: u64 = 20;
/// Failures under the candidate that are judged by what was long before, not only by what is beside.
const SEVERAL: u64 = 3;
/// Chance below which several failures under the candidate and none beside are sure enough, once they are confirmed.
const LONE_CHANCE: f64 = 1e-4;
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
    pub counted: Counted,
}

impl Pair<'_> {
    pub(crate) fn synthetic(&self) -> bool {
        self.counted == Counted::Synthetic
    }
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
    /// So few failures that the first of a general trouble may have fallen to the candidate by chance: it is worse if it
    /// still looks so a moment later, or when it is not `sure`, after a longer while.
    Lone {
        stable: Value,
        candidate: Value,
        sure: bool,
    },
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
            shifted(gate, [a, b], rises || falls)
        }
        Metric::OriginErrors => {
            let shares = [of(s.origin_errors, s.requests), of(c.origin_errors, c.requests)];
            // Alone it says nothing: an origin may be ill by itself.
            failures(gate, pair, shares, 1, NONE_IS_NOT_NORMAL)
        }
        Metric::CacheHits => {
            let [a, b] = [s, c].map(|x| of(x.cache_hits, x.cacheable));
            shifted(gate, [a, b], a.share() - b.share() >= gate.threshold)
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

    fn value(self) -> Value {
        Value::Share { count: self.count, of: self.of }
    }

    fn pair(self) -> (u64, u64) {
        (self.count, self.of)
    }
}

fn worse([a, b]: [Share; 2], detail: Option<String>) -> Finding {
    Finding::Worse { stable: a.value(), candidate: b.value(), detail }
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
    let beside = stable.of + requests_before;
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
    if chance < CHANCE && rises {
        return worse(shares, None);
    }
    let clean = stable.count == 0 && failed_before == 0;
    let strict = candidate.count * STRICT_SHARE >= candidate.of && beside >= STRICT_BESIDE.min(candidate.of);
    // Nothing failed for long before, nothing fails beside, and several do here.
    let unheard_of = rises
        && candidate.count >= SEVERAL
        && upper_tail(candidate.count, 0, of_c / (of_c + of_s + requests_before as f64)) < CHANCE;
    if clean && (strict || unheard_of) {
        // Synthetic requests run through both in pairs: there is no luck in who met it.
        return match pair.synthetic() {
            true => worse(shares, None),
            false => {
                let sure = candidate.count < SEVERAL || chance < LONE_CHANCE;
                Finding::Lone { stable: stable.value(), candidate: candidate.value(), sure }
            }
        };
    }
    if chance < SUSPICION && rises { Finding::Suspicious } else { Finding::Fine }
}

/// A share that moved, if it is far enough (`far`) and no chance.
fn shifted(gate: &Gate, shares: [Share; 2], far: bool) -> Finding {
    let [stable, candidate] = shares;
    let enough = stable.of >= gate.least && candidate.of >= gate.least;
    let (a, b) = (stable.pair(), candidate.pair());
    let no_chance = || fisher(a, b).min(fisher(b, a)) < CHANCE;
    if far && enough && no_chance() { worse(shares, None) } else { Finding::Fine }
}

fn scores(gate: &Gate, pair: Pair<'_>) -> Finding {
    let bands = |sample: &Sample| {
        let mut bands = [0; 11];
        bands.iter_mut().zip(sample.scores.iter().chain([&sample.unscored])).for_each(|(b, n)| *b = *n);
        bands
    };
    let (before, after) = (bands(pair.stable), bands(pair.candidate));
    let of = [pair.stable, pair.candidate].map(Sample::scorable);
    let (variation, chi_square) = apart(&before, &after);
    if of.iter().any(|of| *of < gate.least) || variation < gate.threshold || chi_square < CHI_SQUARE {
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
    match shifted(gate, shares, after >= slow) {
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
    match shifted(gate, shares, shares[1].share() >= gate.threshold) {
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
