//! How many requests may wait for a member's first byte at once.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::admission::{give, take};
use crate::settings::Concurrency;

#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Limiter {
    awaiting: AtomicU32,
    limit: AtomicU32,
}

impl Limiter {
    pub(crate) fn bound(&self, settings: &Concurrency) {
        let limit = self.limit.load(Relaxed);
        let limit = if limit == 0 { settings.max } else { limit };
        self.limit.store(limit.clamp(settings.min, settings.max), Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.awaiting.load(Relaxed) >= self.limit.load(Relaxed)
    }

    pub(crate) fn admit(&self, settings: Option<&Concurrency>, _now_ms: u64) -> bool {
        let limit = if settings.is_some() { self.limit.load(Relaxed) } else { u32::MAX };
        take(&self.awaiting, limit)
    }

    /// A place was given back without an answer.
    pub(crate) fn leave(&self) {
        give(&self.awaiting);
    }

    pub(crate) fn answered(
        &self,
        _settings: Option<&Concurrency>,
        _now_ms: u64,
        _elapsed_us: u64,
        _overload: bool,
    ) {
        give(&self.awaiting);
    }

    pub(crate) fn retry_after_s(&self, _rnd: u64) -> u32 {
        1
    }

    pub(crate) fn awaiting(&self) -> u32 {
        self.awaiting.load(Relaxed)
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }
}
