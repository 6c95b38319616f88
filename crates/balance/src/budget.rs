//! How many retries a pool allows itself.
//!
//! A sliding window of one-second slots counts first attempts and retries; a retry is allowed while retries stay within
//! a share of first attempts, or within a small number per second. Without such a budget every retry is one more request for an
//! origin that already fails, and a brief fault becomes an outage.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::settings::RetryBudget;

/// Length of the window, seconds. Ten is long enough to smooth over a burst and short enough to forget one.
const WINDOW_S: u64 = 10;

/// Written by every request, so on cache lines of its own. Its slots share lines: only one second is counted at a time.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Budget {
    slots: [Slot; WINDOW_S as usize],
    allowed: AtomicU64,
    denied: AtomicU64,
}

#[derive(Default)]
struct Slot {
    second: AtomicU64,
    attempts: AtomicU32,
    retries: AtomicU32,
}

impl Budget {
    /// Counts an attempt, first or repeated.
    pub(crate) fn attempt(&self, now_ms: u64) {
        if let Some(slot) = self.slot(now_ms / 1000) {
            slot.attempts.fetch_add(1, Relaxed);
        }
    }

    /// Takes one retry from the budget, if there is one.
    pub(crate) fn withdraw(&self, settings: &RetryBudget, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        let Some(slot) = self.slot(second) else { return false };
        // Taken first and given back if too many, so that workers asking at once cannot all take the last one.
        slot.retries.fetch_add(1, Relaxed);
        let (attempts, retries) = self.totals(second);
        let first_attempts = attempts.saturating_sub(retries.saturating_sub(1));
        let share = first_attempts.saturating_mul(u64::from(settings.percent)) / 100;
        // The constant part is per second, so that an idle minute saves up no burst. The share may be spent at any
        // time within the window, since a fault of one second is just what retries are for.
        let of_second = slot.retries.load(Relaxed);
        let allowed = retries <= share || of_second <= settings.min_per_second;
        if allowed {
            self.allowed.fetch_add(1, Relaxed);
        } else {
            let _ = slot.retries.fetch_update(Relaxed, Relaxed, |count| Some(count.saturating_sub(1)));
            self.denied.fetch_add(1, Relaxed);
        }
        allowed
    }

    pub(crate) fn allowed(&self) -> u64 {
        self.allowed.load(Relaxed)
    }

    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// The slot of a second, emptied if it still held an older one. A count made by another worker between the
    /// exchange and the stores is lost, which a budget can bear.
    fn slot(&self, second: u64) -> Option<&Slot> {
        let slot = self.slots.get(usize::try_from(second % WINDOW_S).ok()?)?;
        let held = slot.second.load(Relaxed);
        if held < second && slot.second.compare_exchange(held, second, Relaxed, Relaxed).is_ok() {
            slot.attempts.store(0, Relaxed);
            slot.retries.store(0, Relaxed);
        }
        Some(slot)
    }

    fn totals(&self, second: u64) -> (u64, u64) {
        let recent = self.slots.iter().filter(|slot| slot.second.load(Relaxed) + WINDOW_S > second);
        recent.fold((0, 0), |(attempts, retries), slot| {
            (
                attempts + u64::from(slot.attempts.load(Relaxed)),
                retries + u64::from(slot.retries.load(Relaxed)),
            )
        })
    }
}
