//! What a worker may spend on describing requests: access log lines, traces, error details.
//!
//! Every request is counted, whatever happens here. Describing one costs a microsecond or more, and on 18 November 2025
//! describing failures took what was left of the processors. So failures that are the edge's own
//! ([`Record::is_our_failure`]) are described within a budget, a share of the processor time the worker uses; those left
//! out are counted, the next line says how many it stands for, and a stretch of them is summarised by one event.
//!
//! The cost is measured by sampling: one request in [`SAMPLE_GOOD`] reads the clock twice more, of failing ones one in
//! [`SAMPLE_FAILING`]. Others are charged the mean.

use seawall_guard::TelemetryBudget;
use seawall_telemetry::{Metrics, Record};
use std::cell::{Cell, RefCell};

/// Of requests that go well one in this many is measured.
const SAMPLE_GOOD: u32 = 64;
/// Of requests the edge failed one in this many is measured: their cost decides how many are described.
const SAMPLE_FAILING: u32 = 8;
/// A sample counts as at most so much more than twice the mean, in nanoseconds: one that lasted longer was interrupted, and
/// descriptions that have become dear for good get there in a few dozen samples.
const SAMPLE_MAX_NS: u64 = 50_000;
/// From this mean on every description is measured: two looks at the clock are nothing beside it.
const DEAR_NS: u64 = 20_000;
/// Cost of a description before the first is measured, in nanoseconds.
const FIRST_GUESS_NS: u64 = 2_000;
/// A mean takes in a sample by one part in this many.
const SMOOTHING: u64 = 8;
/// While failures go on being left out, that is told once in so many milliseconds.
const SUMMARY_MS: u64 = 10_000;

/// A worker's account.
pub(crate) struct Telling {
    budget: RefCell<TelemetryBudget>,
    good: Mean,
    failing: Mean,
    /// What the worker had used when the budget last gained, in nanoseconds.
    worked_ns: Cell<u64>,
    stretch: Cell<Stretch>,
}

/// Failures left out and not summarised yet.
#[derive(Clone, Copy, Default)]
struct Stretch {
    left_out: u64,
    /// At the last look.
    seen: u64,
    told_ms: u64,
}

impl Telling {
    /// With a budget, or in a drill without.
    pub(crate) fn new(bounded: bool) -> Telling {
        Telling {
            budget: RefCell::new(if bounded {
                TelemetryBudget::default()
            } else {
                TelemetryBudget::unbounded()
            }),
            good: Mean::every(SAMPLE_GOOD),
            failing: Mean::every(SAMPLE_FAILING),
            worked_ns: Cell::new(0),
            stretch: Cell::default(),
        }
    }

    /// Describes a request with `describe`, unless it failed and the budget is used up. `clock` reads the worker's clock.
    #[inline]
    pub(crate) fn tell(
        &self,
        metrics: &Metrics,
        clock: impl Fn() -> u64,
        record: &mut Record<'_>,
        describe: impl FnOnce(&Record<'_>),
    ) {
        if !record.is_our_failure() {
            metrics.telemetry_ns.add(self.good.charge(clock, || describe(record)));
            return;
        }
        let mut budget = self.budget.borrow_mut();
        let Some(stands_for) = budget.describe() else {
            metrics.telemetry_suppressed.inc();
            let mut stretch = self.stretch.get();
            stretch.left_out += 1;
            self.stretch.set(stretch);
            return;
        };
        record.stands_for = stands_for;
        let cost_ns = self.failing.charge(clock, || describe(record));
        budget.spent(cost_ns);
        metrics.telemetry_ns.add(cost_ns);
    }

    /// The worker has used so much processor time since it began, in nanoseconds. To be told with every sweep: a system call
    /// for each failure would be telemetry too.
    pub(crate) fn worked(&self, total_ns: u64) {
        let gained_ns = total_ns.saturating_sub(self.worked_ns.replace(total_ns));
        self.budget.borrow_mut().elapsed(gained_ns);
    }

    /// How many failures were left out, once a stretch of them is over, and now and then while it lasts. To be asked with
    /// every sweep.
    pub(crate) fn summary(&self, now_ms: u64) -> Option<u64> {
        let mut stretch = self.stretch.get();
        if stretch.left_out == 0 {
            return None;
        }
        let goes_on = stretch.left_out > std::mem::replace(&mut stretch.seen, stretch.left_out);
        let is_due = now_ms.saturating_sub(stretch.told_ms) >= SUMMARY_MS;
        if goes_on && !(is_due && stretch.told_ms > 0) {
            if stretch.told_ms == 0 {
                stretch.told_ms = now_ms.max(1); // the stretch begins
            }
            self.stretch.set(stretch);
            return None;
        }
        let told_ms = if goes_on { now_ms } else { 0 };
        self.stretch.set(Stretch { left_out: 0, seen: 0, told_ms });
        Some(stretch.left_out)
    }
}

/// A mean cost, measured now and then.
struct Mean {
    every: u32,
    until_sample: Cell<u32>,
    mean_ns: Cell<u64>,
}

impl Mean {
    fn every(every: u32) -> Mean {
        Mean { every, until_sample: Cell::new(0), mean_ns: Cell::new(FIRST_GUESS_NS) }
    }

    /// Does it, and returns what it is taken to have cost, in nanoseconds.
    #[inline]
    fn charge(&self, clock: impl Fn() -> u64, describe: impl FnOnce()) -> u64 {
        let before_ns = self.mean_ns.get();
        if let Some(left) = self.until_sample.get().checked_sub(1).filter(|_| before_ns < DEAR_NS) {
            self.until_sample.set(left);
            describe();
            return self.mean_ns.get();
        }
        self.until_sample.set(self.every - 1);
        let begun_ns = clock();
        describe();
        let sample_ns = clock().saturating_sub(begun_ns).min(before_ns * 2 + SAMPLE_MAX_NS);
        let mean_ns = (before_ns * (SMOOTHING - 1) + sample_ns) / SMOOTHING;
        self.mean_ns.set(mean_ns);
        mean_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_guard::{BURST_NS, SHARE_PERCENT};
    use seawall_telemetry::{EdgeError, Registry};

    /// As workers sweep.
    const SWEEP_NS: u64 = 100_000_000;

    /// A worker whose requests take a while and whose descriptions cost something, by a clock of its own.
    struct Run {
        clock: Cell<u64>,
        metrics: Metrics,
        telling: Telling,
        described: Cell<u64>,
        stood_for: Cell<u64>,
        told_ns: Cell<u64>,
    }

    impl Run {
        fn new(bounded: bool) -> Run {
            Run {
                clock: Cell::new(0),
                metrics: Registry::new("").worker(),
                telling: Telling::new(bounded),
                described: Cell::new(0),
                stood_for: Cell::new(0),
                told_ns: Cell::new(0),
            }
        }

        fn request(&self, fails: bool, takes_ns: u64, costs_ns: u64) {
            let before = self.clock.get();
            self.clock.set(before + takes_ns);
            if self.clock.get() / SWEEP_NS != before / SWEEP_NS {
                self.telling.worked(self.clock.get());
            }
            let error = fails.then_some(EdgeError { code: 502, detail: "" });
            let mut record = Record { status: if fails { 502 } else { 200 }, error, ..Record::default() };
            self.telling.tell(
                &self.metrics,
                || self.clock.get(),
                &mut record,
                |record| {
                    self.clock.set(self.clock.get() + costs_ns);
                    self.told_ns.set(self.told_ns.get() + costs_ns);
                    self.described.set(self.described.get() + 1);
                    self.stood_for.set(self.stood_for.get() + u64::from(record.stands_for));
                },
            );
        }
    }

    #[test]
    fn when_everything_fails_telling_of_it_takes_its_share_and_every_failure_is_accounted_for() {
        for (takes_ns, costs_ns) in [(20_000, 1_500), (10_000, 10_000), (5_000, 40_000), (200_000, 1_000)] {
            let run = Run::new(true);
            let total = 200_000;
            for _ in 0..total {
                run.request(true, takes_ns, costs_ns);
            }
            let most = run.clock.get() * SHARE_PERCENT / 100 + BURST_NS;
            // The mean begins with a guess.
            assert!(run.told_ns.get() <= most + most / 20, "{takes_ns} {costs_ns}: {}", run.told_ns.get());
            let left_out = run.metrics.telemetry_suppressed.get();
            assert_eq!(run.described.get() + left_out, total);
            assert!(
                run.stood_for.get() <= total && run.stood_for.get() + 25_000 > total,
                "{}",
                run.stood_for.get()
            );
            let counted = run.metrics.telemetry_ns.get();
            assert!(
                counted.abs_diff(run.told_ns.get()) <= run.told_ns.get() / 5,
                "{counted} {}",
                run.told_ns.get()
            );
        }
    }

    #[test]
    fn descriptions_that_are_dearer_than_any_interruption_keep_to_the_share_as_well() {
        let run = Run::new(true);
        for _ in 0..20_000 {
            run.request(true, 500_000, 1_000_000);
        }
        let most = run.clock.get() * SHARE_PERCENT / 100 + BURST_NS;
        assert!(run.told_ns.get() <= most + most / 10, "{} {most}", run.told_ns.get());
    }

    #[test]
    fn requests_that_go_well_are_all_described_whatever_it_costs() {
        let run = Run::new(true);
        for _ in 0..10_000 {
            run.request(false, 10_000, 20_000);
        }
        assert_eq!((run.described.get(), run.metrics.telemetry_suppressed.get()), (10_000, 0));
    }

    #[test]
    fn without_the_guard_everything_is_described() {
        let run = Run::new(false);
        for _ in 0..10_000 {
            run.request(true, 1_000, 40_000);
        }
        assert_eq!(run.described.get(), 10_000);
    }

    #[test]
    fn an_interrupted_sample_does_not_silence_what_comes_after() {
        let run = Run::new(true);
        run.request(true, 1, 1_000_000_000);
        for _ in 0..1_000 {
            run.request(true, 1_000_000, 1_000);
        }
        assert_eq!(run.metrics.telemetry_suppressed.get(), 0);
    }

    #[test]
    fn a_stretch_is_summarised_when_it_ends_and_now_and_then_while_it_lasts() {
        let run = Run::new(true);
        run.telling.budget.borrow_mut().spent(u64::MAX); // nothing is described any more
        let mut told = Vec::new();
        for sweep in 1..=300u64 {
            if sweep <= 250 {
                run.request(true, 0, 1_000);
            }
            told.extend(run.telling.summary(sweep * 100).map(|n| (sweep, n)));
        }
        assert_eq!(told, [(101, 101), (201, 100), (251, 49)]);
        run.request(true, 0, 1_000);
        assert_eq!(
            (run.telling.summary(40_000), run.telling.summary(40_100)),
            (None, Some(1)),
            "a stretch of one"
        );
        assert_eq!(run.telling.summary(50_000), None);
    }
}
