//! How long to wait before a process that died is started again.

/// The wait before the second restart in a row; it doubles from there. The first restart is immediate.
pub const BASE_MS: u64 = 100;
/// The longest wait: a process that cannot start is tried again this often, for ever. Short enough that a repaired
/// machine comes back without anyone typing, long enough that the log stays readable.
pub const LONGEST_MS: u64 = 5_000;
/// A process that has served this long has not failed "in a row" when it dies; counting starts afresh.
pub const STABLE_MS: u64 = 60_000;
/// Waits vary by this share either way, so that many edges hit by one cause do not return in step (DESIGN R11).
pub const JITTER_PERCENT: u64 = 20;

/// Counts failures in a row and spaces the restarts.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    /// `seed` makes the jitter; any number will do.
    pub fn new(seed: u64) -> Self {
        Self { failures: 0, random: seed | 1 }
    }

    /// Notes a death after `served_ms` of service (0: it never became ready) and says how long to wait.
    pub fn delay_ms(&mut self, served_ms: u64) -> u64 {
        if served_ms >= STABLE_MS {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let doublings = match self.failures {
            1 => return 0,
            n => (n - 2).min(16),
        };
        let wait = (BASE_MS << doublings).min(LONGEST_MS);
        let spread = wait * JITTER_PERCENT / 100;
        wait - spread + self.next_random() % (2 * spread + 1)
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// xorshift64: the jitter needs no better randomness.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_later_ones_wait_longer_up_to_the_cap_for_ever() {
        let mut backoff = Backoff::new(7);
        assert_eq!(backoff.delay_ms(0), 0);
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
            let got = backoff.delay_ms(0);
            assert!(got >= expected * 80 / 100 && got <= expected * 120 / 100, "{got} for {expected}");
        }
        for _ in 0..1000 {
            assert!(backoff.delay_ms(0) <= LONGEST_MS * 120 / 100);
        }
    }

    #[test]
    fn a_long_life_is_forgiven() {
        let mut backoff = Backoff::new(7);
        for _ in 0..10 {
            backoff.delay_ms(0);
        }
        assert_eq!(backoff.delay_ms(STABLE_MS), 0);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn two_seeds_do_not_wait_in_step() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.delay_ms(0)).collect::<Vec<_>>()
        };
        assert_ne!(waits(3), waits(1_000_003));
    }
}
