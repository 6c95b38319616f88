//! Time for a history: of the day, and without jumps.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Unix time as it was when the process began, and from then on as it passes: setting the machine's clock moves nothing.
///
/// A soak counts time that passed. A clock set forward by a time server must not end it.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    began_unix_ms: u64,
    began: Instant,
}

impl SteadyClock {
    /// A clock that is right now.
    #[must_use]
    pub fn start() -> Self {
        SteadyClock { began_unix_ms: unix_ms(), began: Instant::now() }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_unix_ms(&self) -> u64 {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began_unix_ms.saturating_add(passed)
    }
}

/// What the machine's clock says, in milliseconds since 1970; 0 for a clock before that.
pub(crate) fn unix_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}
