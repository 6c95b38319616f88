//! How many requests may wait for a member's first byte at once: the counters of the request path. What they mean is
//! decided in [`control`](crate::control), once per window, by whichever worker closes it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::admission::{give, take};
use crate::control::{Control, Enforced, STANDING_MS};
use crate::settings::Concurrency;
use crate::window::{Collected, Sums};

/// Longest `Retry-After` before it is spread, seconds; spreading may double it.
const MAX_RETRY_AFTER_S: u32 = 30;

#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Limiter {
    awaiting: AtomicU32,
    /// As enforced now; during a trial below the limit that stands.
    limit: AtomicU32,
    /// The window closes at this many samples, or at `tick_ms`.
    need: AtomicU32,
    samples: AtomicU32,
    refused: AtomicU32,
    overloads: AtomicU32,
    /// Sums over the samples: latency in microseconds, its square in units of 64 µs. Over samples and overloads:
    /// requests awaiting.
    latency_us: AtomicU64,
    latency_squared: AtomicU64,
    busy: AtomicU64,
    tick_ms: AtomicU64,
    /// When less than half the limit was last in use.
    slack_ms: AtomicU64,
    retry_after_s: AtomicU32,
    bearable_queue: AtomicU32,
    /// Bounds of the pool in force, within which the limit moves.
    min: AtomicU32,
    max: AtomicU32,
    /// Made when first stepped: most members are idle, and it is larger than all the rest.
    control: Mutex<Option<Box<Control>>>,
}

impl Limiter {
    /// Brings the limit within the bounds of the pool that is in force from now on.
    pub(crate) fn bound(&self, settings: &Concurrency) {
        if let Ok(mut control) = self.control.lock() {
            self.min.store(settings.min, Relaxed);
            self.max.store(settings.max, Relaxed);
            let enforced = match &mut *control {
                Some(control) => control.bound(settings),
                None => Control::default().bound(settings),
            };
            self.enforce(enforced);
        }
    }

    pub(crate) fn is_full(&self, settings: &Concurrency) -> bool {
        self.awaiting.load(Relaxed) >= self.limit(settings)
    }

    pub(crate) fn admit(&self, settings: Option<&Concurrency>, now_ms: u64) -> bool {
        let Some(settings) = settings else { return take(&self.awaiting, u32::MAX).is_some() };
        let limit = self.limit(settings);
        if let Some(before) = take(&self.awaiting, limit) {
            self.note_slack(before, limit, now_ms);
            return true;
        }
        let grown = self.look(now_ms) && take(&self.awaiting, self.limit(settings)).is_some();
        if !grown {
            self.refused.fetch_add(1, Relaxed);
        }
        grown
    }

    /// Counts a request refused because others wait in turn. `true`: the limit was looked at, and may have grown.
    pub(crate) fn passed_over(&self, settings: Option<&Concurrency>, now_ms: u64) -> bool {
        self.refused.fetch_add(1, Relaxed);
        settings.is_some() && self.look(now_ms)
    }

    /// Without answers nothing else would ever look at the clock.
    fn look(&self, now_ms: u64) -> bool {
        now_ms >= self.tick_ms.load(Relaxed) && self.step(now_ms)
    }

    /// A place was given back without an answer that says anything.
    pub(crate) fn leave(&self) {
        give(&self.awaiting);
    }

    /// A place was given back with the first byte after `elapsed_us`, or with a sign of overload instead.
    pub(crate) fn answered(
        &self,
        settings: Option<&Concurrency>,
        now_ms: u64,
        elapsed_us: u64,
        overload: bool,
    ) {
        let busy = self.awaiting.load(Relaxed);
        give(&self.awaiting);
        let Some(settings) = settings else { return };
        self.note_slack(busy, self.limit(settings), now_ms);
        self.busy.fetch_add(u64::from(busy), Relaxed);
        let seen = if overload {
            self.overloads.fetch_add(1, Relaxed).saturating_add(self.samples.load(Relaxed))
        } else {
            let coarse = elapsed_us >> 6;
            self.latency_us.fetch_add(elapsed_us, Relaxed);
            self.latency_squared.fetch_add(coarse.saturating_mul(coarse), Relaxed);
            self.samples.fetch_add(1, Relaxed)
        };
        if seen.saturating_add(1) >= self.need.load(Relaxed) || now_ms >= self.tick_ms.load(Relaxed) {
            self.step(now_ms);
        }
    }

    /// Seconds after which a refused client may expect a place. Demand above what is served returns in that many
    /// rounds, and `rnd` spreads the round.
    pub(crate) fn retry_after_s(&self, rnd: u64) -> u32 {
        let base = self.retry_after_s.load(Relaxed).clamp(1, MAX_RETRY_AFTER_S);
        base + u32::try_from(rnd % (u64::from(base) + 1)).unwrap_or(0)
    }

    /// How many may wait in turn, so that one who joins gets a place within a bearable time.
    pub(crate) fn bearable_queue(&self) -> u32 {
        self.bearable_queue.load(Relaxed)
    }

    pub(crate) fn awaiting(&self) -> u32 {
        self.awaiting.load(Relaxed)
    }

    /// As a pool of these bounds sees it: one on trial may have others than the one in force, and shares what was
    /// learned.
    pub(crate) fn limit(&self, settings: &Concurrency) -> u32 {
        self.limit.load(Relaxed).min(settings.max).max(settings.min)
    }

    /// Lets the control look at the window. Never waits: if another worker is at it, that is enough.
    fn step(&self, now_ms: u64) -> bool {
        let Ok(mut control) = self.control.try_lock() else { return false };
        let settings = &Concurrency { min: self.min.load(Relaxed), max: self.max.load(Relaxed) };
        let control = control.get_or_insert_with(|| {
            let mut control = Box::<Control>::default();
            control.bound(settings);
            control
        });
        let standing = now_ms >= self.slack_ms.load(Relaxed).saturating_add(STANDING_MS);
        let enforced = control.step(settings, now_ms, self.awaiting.load(Relaxed), standing, self);
        self.enforce(enforced);
        true
    }

    fn note_slack(&self, busy: u32, limit: u32, now_ms: u64) {
        if busy < limit.div_ceil(2) && self.slack_ms.load(Relaxed) != now_ms {
            self.slack_ms.store(now_ms, Relaxed);
        }
    }

    fn enforce(&self, enforced: Enforced) {
        self.limit.store(enforced.limit, Relaxed);
        self.need.store(enforced.need, Relaxed);
        self.tick_ms.store(enforced.tick_ms, Relaxed);
        self.retry_after_s.store(enforced.retry_after_s, Relaxed);
        self.bearable_queue.store(enforced.bearable_queue, Relaxed);
    }
}

impl Collected for Limiter {
    fn seen(&self) -> u32 {
        self.samples.load(Relaxed).saturating_add(self.overloads.load(Relaxed))
    }

    fn peek(&self) -> Sums {
        Sums {
            samples: self.samples.load(Relaxed),
            latency_us: self.latency_us.load(Relaxed),
            latency_squared: self.latency_squared.load(Relaxed),
            busy: self.busy.load(Relaxed),
            refused: self.refused.load(Relaxed),
            overloads: self.overloads.load(Relaxed),
        }
    }

    /// A sample another worker is adding at this moment may be split over two windows, which errs by one sample's
    /// part in dozens.
    fn take(&self) -> Sums {
        Sums {
            samples: self.samples.swap(0, Relaxed),
            latency_us: self.latency_us.swap(0, Relaxed),
            latency_squared: self.latency_squared.swap(0, Relaxed),
            busy: self.busy.swap(0, Relaxed),
            refused: self.refused.swap(0, Relaxed),
            overloads: self.overloads.swap(0, Relaxed),
        }
    }
}
