//! What can go wrong in a module, as its host sees it.

use seawall_model::Budget;
use std::fmt;

/// An overrun of this many times the budget opens a breaker at once: nothing ordinary explains it, and a second such
/// request would cost a visitor as much again.
pub const AT_ONCE: u64 = 10;

/// One fault of a module, contained by its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It panicked.
    Panic,
    /// It said that it could not do its work.
    Error,
    /// It took longer than its budget.
    Time {
        /// How long it took, in microseconds.
        spent_us: u64,
        /// What it may take.
        budget_us: u64,
    },
    /// It asked for more memory than its budget.
    Memory {
        /// How much it asked for, in bytes.
        asked_bytes: u64,
        /// What it may ask for.
        budget_bytes: u64,
    },
}

impl Fault {
    /// Every kind of fault by name, as in metrics.
    pub const NAMES: [&str; 4] = ["panic", "error", "time", "memory"];

    /// The name in metrics, events and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self.index()).copied().unwrap_or_default()
    }

    /// Position in [`Fault::NAMES`], for arrays of counters.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Fault::Panic => 0,
            Fault::Error => 1,
            Fault::Time { .. } => 2,
            Fault::Memory { .. } => 3,
        }
    }

    /// The overrun in what one run of a module used, if it used more than it may. Memory comes first: a huge allocation
    /// is slow too, and it is the cause.
    #[must_use]
    #[inline]
    pub fn overrun(budget: Budget, spent_us: u64, asked_bytes: u64) -> Option<Fault> {
        if asked_bytes > budget.memory_bytes {
            return Some(Fault::Memory { asked_bytes, budget_bytes: budget.memory_bytes });
        }
        let budget_us = u64::from(budget.time_us);
        (spent_us > budget_us).then_some(Fault::Time { spent_us, budget_us })
    }

    /// Whether it opens a breaker at once.
    #[must_use]
    pub fn opens_at_once(self) -> bool {
        match self {
            Fault::Panic | Fault::Error => false,
            Fault::Time { spent_us, budget_us } => spent_us >= budget_us.saturating_mul(AT_ONCE),
            Fault::Memory { asked_bytes, budget_bytes } => {
                asked_bytes >= budget_bytes.saturating_mul(AT_ONCE)
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Panic => f.write_str("it panicked"),
            Fault::Error => f.write_str("it failed"),
            Fault::Time { spent_us, budget_us } => {
                write!(f, "it took {spent_us} µs, its budget is {budget_us} µs")
            }
            Fault::Memory { asked_bytes, budget_bytes } => {
                write!(f, "it asked for {asked_bytes} bytes, its budget is {budget_bytes} bytes")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { time_us: 5_000, memory_bytes: 1_000 };

    #[test]
    fn what_is_within_the_budget_is_no_fault() {
        assert_eq!(Fault::overrun(BUDGET, 5_000, 1_000), None);
        assert_eq!(Fault::overrun(BUDGET, 0, 0), None);
    }

    #[test]
    fn overruns_are_named_and_only_those_of_ten_times_open_at_once() {
        for (spent_us, asked_bytes, name, at_once) in [
            (5_001, 0, "time", false),
            (49_999, 0, "time", false),
            (50_000, 0, "time", true),
            (0, 1_001, "memory", false),
            (0, 10_000, "memory", true),
            (u64::MAX, 1_001, "memory", false),
        ] {
            let fault = Fault::overrun(BUDGET, spent_us, asked_bytes).unwrap();
            assert_eq!((fault.name(), fault.opens_at_once()), (name, at_once), "{fault}");
        }
        assert!(!Fault::Panic.opens_at_once() && !Fault::Error.opens_at_once());
    }

    #[test]
    fn a_fault_says_what_it_used_and_what_it_may() {
        let said = Fault::overrun(BUDGET, 7_000, 0).unwrap().to_string();
        assert_eq!(said, "it took 7000 µs, its budget is 5000 µs");
    }
}
