//! How much time telling about failures may take.
//!
//! On 18 November 2025 part of the CPU of the proxies went into describing errors. A request that fails is counted always;
//! describing it (a log line with context, an event, a trace) costs many times as much and is what this budget bounds.

/// Share of a worker's time that descriptions may take, in percent (DESIGN R10).
pub const SHARE_PERCENT: u64 = 5;

/// Most that can be saved up while nothing fails, in nanoseconds of describing: a few hundred failures after a quiet time are
/// described in full before thinning begins.
pub const BURST_NS: u64 = 10_000_000;

/// The budget of one worker. A token bucket of time: what passes fills it, what descriptions took empties it. Over any
/// span, descriptions take at most the share of the span, plus [`BURST_NS`], plus the last description.
#[derive(Clone, Debug)]
pub struct TelemetryBudget {
    /// Percent; `None` is without a bound (drills show what happens then).
    share: Option<u64>,
    /// Time to spend, in hundredths of a nanosecond; below zero after a description that cost more than was there.
    credit: i64,
    skipped: u32,
    suppressed: u64,
    described: u64,
    one_in: u32,
}

/// Credit is counted in hundredths so that a share in percent needs no division.
const PARTS: u64 = 100;

impl Default for TelemetryBudget {
    fn default() -> Self {
        Self::new(SHARE_PERCENT)
    }
}

impl TelemetryBudget {
    /// A full bucket with this share, in percent (at most 100).
    #[must_use]
    pub const fn new(share_percent: u64) -> Self {
        let share = if share_percent > 100 { 100 } else { share_percent };
        TelemetryBudget {
            share: Some(share),
            credit: (BURST_NS * PARTS) as i64,
            skipped: 0,
            suppressed: 0,
            described: 0,
            one_in: 1,
        }
    }

    /// Describes everything: for the drill that shows what the budget is for.
    #[must_use]
    pub const fn unbounded() -> Self {
        let mut unbounded = Self::new(0);
        unbounded.share = None;
        unbounded
    }

    /// Time passed on the worker, in nanoseconds: busy time where it is known, else the time since the last call.
    #[inline]
    pub fn elapsed(&mut self, ns: u64) {
        let gained = ns.saturating_mul(self.share.unwrap_or(0)).min(BURST_NS * PARTS);
        self.credit = self.credit.saturating_add(gained as i64).min((BURST_NS * PARTS) as i64);
    }

    /// A description took this long, in nanoseconds.
    #[inline]
    pub fn spent(&mut self, ns: u64) {
        let taken = ns.saturating_mul(PARTS).min(i64::MAX as u64);
        self.credit = self.credit.saturating_sub(taken as i64);
    }

    /// Whether to describe this failing request. `Some(k)`: yes, and it stands for `k` failures (itself and those left
    /// out before it). `None`: count it only.
    #[inline]
    pub fn describe(&mut self) -> Option<u32> {
        if self.share.is_some() && self.credit <= 0 {
            self.skipped = self.skipped.saturating_add(1);
            self.suppressed += 1;
            return None;
        }
        self.described += 1;
        self.one_in = self.skipped.saturating_add(1);
        self.skipped = 0;
        Some(self.one_in)
    }

    /// One in how many failing requests was described lately: 1 while there is budget for all.
    #[must_use]
    pub fn one_in(&self) -> u32 {
        self.one_in.max(self.skipped.saturating_add(1))
    }

    /// Failures counted but not described, since the start.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Failures described, since the start.
    #[must_use]
    pub fn described(&self) -> u64 {
        self.described
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fails_after_a_quiet_time_is_described_in_full() {
        let mut budget = TelemetryBudget::default();
        for _ in 0..400 {
            assert_eq!(budget.describe(), Some(1));
            budget.spent(20_000);
        }
        assert_eq!((budget.suppressed(), budget.one_in()), (0, 1));
    }

    #[test]
    fn a_description_says_for_how_many_it_stands() {
        let mut budget = TelemetryBudget::default();
        budget.spent(BURST_NS);
        assert_eq!((budget.describe(), budget.describe()), (None, None));
        assert_eq!(budget.one_in(), 3);
        budget.elapsed(1_000);
        assert_eq!(budget.describe(), Some(3));
        assert_eq!((budget.suppressed(), budget.described()), (2, 1));
    }

    #[test]
    fn without_a_bound_everything_is_described() {
        let mut budget = TelemetryBudget::unbounded();
        for _ in 0..1_000 {
            budget.spent(u64::MAX);
            assert_eq!(budget.describe(), Some(1));
        }
    }

    #[test]
    fn nothing_overflows() {
        let mut budget = TelemetryBudget::new(u64::MAX);
        budget.elapsed(u64::MAX);
        budget.spent(u64::MAX);
        budget.spent(u64::MAX);
        budget.elapsed(u64::MAX);
        assert_eq!(budget.describe(), None);
    }

    proptest! {
        #[test]
        fn descriptions_take_at_most_their_share(
            share in 1u64..=100,
            costs in prop::collection::vec((0u64..200_000, 1u64..100_000), 1..2_000),
        ) {
            let mut budget = TelemetryBudget::new(share);
            let (mut passed, mut taken, mut described, mut total) = (0, 0, 0u64, 0u64);
            for (step, cost) in costs {
                budget.elapsed(step);
                passed += step;
                total += 1;
                if let Some(k) = budget.describe() {
                    budget.spent(cost);
                    taken += cost;
                    described += u64::from(k);
                }
            }
            prop_assert!(taken <= passed * share / 100 + BURST_NS + 100_000 + 1);
            // Every failure is accounted for, described or left out and not told of yet.
            prop_assert!(described <= total && total == budget.described() + budget.suppressed());
        }
    }
}
