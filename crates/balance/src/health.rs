//! Whether a member is to be used: what probes say (active) and what requests say (passive).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::hash::mix;
use crate::settings::{Ejection, Monitor};

/// Time between two requests that try whether an ejected member is well again, milliseconds. Long enough that a
/// member which is still broken costs one failed request a second at most, and short enough to come back soon.
pub(crate) const TRIAL_SPACING_MS: u64 = 1_000;

/// Doublings after which the length of an ejection is surely beyond any `max_ms`; keeps the shift in range.
const MAX_LEVEL: u32 = 32;

/// What a member is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Takes requests.
    Live,
    /// Its ejection is over: one request at a time tries it, and a success makes it live.
    Returning,
    /// Failed requests put it out for a time.
    Ejected,
    /// Probes failed.
    Down,
}

/// A change of standing, to be logged and put on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Probes succeed again.
    Up,
    /// Probes fail.
    Down,
    /// Requests failed in a row.
    Ejected {
        /// Until it is tried again, milliseconds.
        for_ms: u64,
    },
    /// A request to an ejected member succeeded.
    Restored,
}

/// What probes say of a member. Shared by all pools it is configured in.
#[derive(Default)]
pub(crate) struct Probes {
    down: AtomicBool,
    successes: AtomicU32,
    failures: AtomicU32,
    next_ms: AtomicU64,
    sent: AtomicU64,
}

/// What the requests of one pool say of a member. Not shared: a pool on trial beside the one in force may fail by its own
/// settings, say a time limit that is too short, and must not put origins out for the other.
///
/// Read with every pick, written when something fails or changes.
#[derive(Default)]
pub(crate) struct Ejections {
    /// 0: not ejected.
    until_ms: AtomicU64,
    at_ms: AtomicU64,
    restored_at_ms: AtomicU64,
    /// When a trial request was last let through; 0: never since the ejection.
    trial_at_ms: AtomicU64,
    failures: AtomicU32,
    level: AtomicU32,
    count: AtomicU64,
}

impl Ejections {
    /// As things stand with another.
    pub(crate) fn copy(&self) -> Self {
        let copy = |number: &AtomicU64| AtomicU64::new(number.load(Relaxed));
        Self {
            until_ms: copy(&self.until_ms),
            at_ms: copy(&self.at_ms),
            restored_at_ms: copy(&self.restored_at_ms),
            trial_at_ms: copy(&self.trial_at_ms),
            failures: AtomicU32::new(self.failures.load(Relaxed)),
            level: AtomicU32::new(self.level.load(Relaxed)),
            count: copy(&self.count),
        }
    }

    pub(crate) fn standing(&self, now_ms: u64) -> Standing {
        match self.until_ms.load(Relaxed) {
            0 => Standing::Live,
            until if now_ms < until => Standing::Ejected,
            _ => Standing::Returning,
        }
    }

    /// Takes the right to send a trial request to a returning member. It lapses by itself, so a caller that does not
    /// use it leaves nothing behind.
    pub(crate) fn claim_trial(&self, now_ms: u64) -> bool {
        let last = self.trial_at_ms.load(Relaxed);
        let due = last == 0 || now_ms >= last.saturating_add(TRIAL_SPACING_MS);
        due && self.trial_at_ms.compare_exchange(last, now_ms.max(1), Relaxed, Relaxed).is_ok()
    }

    /// A request begun at `began_ms` succeeded.
    pub(crate) fn succeeded(&self, began_ms: u64, now_ms: u64) -> Option<Change> {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        let until = self.until_ms.load(Relaxed);
        // Only a request that began after the ejection is news; those under way at the time may have been lucky.
        if until == 0 || began_ms < self.at_ms.load(Relaxed) {
            return None;
        }
        if self.until_ms.compare_exchange(until, 0, Relaxed, Relaxed).is_err() {
            return None;
        }
        self.restored_at_ms.store(now_ms, Relaxed);
        Some(Change::Restored)
    }

    /// A request begun at `began_ms` failed. Answers whether the member is due for ejection, which the pool decides
    /// since it knows how many are out already.
    pub(crate) fn failed(&self, settings: &Ejection, began_ms: u64, now_ms: u64) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        match self.until_ms.load(Relaxed) {
            0 => failures >= settings.consecutive_failures,
            until => now_ms >= until && began_ms >= self.at_ms.load(Relaxed),
        }
    }

    /// Puts the member out. To be called by one at a time.
    pub(crate) fn eject(&self, settings: &Ejection, now_ms: u64) -> Change {
        let well_for_ms = now_ms.saturating_sub(self.restored_at_ms.load(Relaxed));
        let again = self.until_ms.load(Relaxed) != 0;
        let level = if again || well_for_ms < settings.max_ms { self.level.load(Relaxed) } else { 0 };
        let for_ms = settings.base_ms.saturating_mul(1 << level.min(MAX_LEVEL)).min(settings.max_ms).max(1);
        self.level.store(level.saturating_add(1).min(MAX_LEVEL), Relaxed);
        self.failures.store(0, Relaxed);
        self.trial_at_ms.store(0, Relaxed);
        self.at_ms.store(now_ms, Relaxed);
        self.until_ms.store(now_ms.saturating_add(for_ms), Relaxed);
        self.count.fetch_add(1, Relaxed);
        Change::Ejected { for_ms }
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.until_ms.load(Relaxed) != 0
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    pub(crate) fn until_ms(&self) -> u64 {
        self.until_ms.load(Relaxed)
    }
}

impl Probes {
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Relaxed)
    }

    /// Forgets what probes said, when a reload turned the monitor off.
    pub(crate) fn forget(&self) {
        self.down.store(false, Relaxed);
    }

    /// Takes in the answer to a probe.
    pub(crate) fn probed(&self, settings: &Monitor, ok: bool) -> Option<Change> {
        self.sent.fetch_add(1, Relaxed);
        if ok {
            self.failures.store(0, Relaxed);
            let row = self.successes.fetch_add(1, Relaxed).saturating_add(1);
            let up = row >= settings.healthy && self.down.swap(false, Relaxed);
            return up.then_some(Change::Up);
        }
        self.successes.store(0, Relaxed);
        let row = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let down = row >= settings.unhealthy && !self.down.swap(true, Relaxed);
        down.then_some(Change::Down)
    }

    /// Takes the right to send the next probe, if one is due, and sets the time of the one after. Exactly one of the
    /// workers that ask gets it. The first probe of each member falls at a random point of the first interval.
    pub(crate) fn claim_probe(&self, settings: &Monitor, now_ms: u64, rnd: u64) -> bool {
        let rnd = mix(rnd); // callers' generators may be simple ones, whose lower bits repeat
        let due = self.next_ms.load(Relaxed);
        if due == 0 {
            let first = now_ms.saturating_add(rnd % settings.interval_ms.max(1)).max(1);
            let _ = self.next_ms.compare_exchange(0, first, Relaxed, Relaxed);
            return false;
        }
        let next = now_ms.saturating_add(jittered(settings, rnd));
        now_ms >= due && self.next_ms.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
    }

    /// When the next probe is due; 0 if nobody has asked yet.
    pub(crate) fn next_probe_ms(&self) -> u64 {
        self.next_ms.load(Relaxed)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}

/// Length of one interval between probes: within `jitter_percent` of the interval, evenly.
fn jittered(settings: &Monitor, rnd: u64) -> u64 {
    let spread = settings.interval_ms.saturating_mul(u64::from(settings.jitter_percent.min(100))) / 100;
    let offset = rnd % spread.saturating_mul(2).saturating_add(1);
    settings.interval_ms.saturating_sub(spread).saturating_add(offset).max(1)
}
