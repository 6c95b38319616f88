//! What a span of requests to one member measured.

/// Mean latency and latency by Little's law agree within this factor while nothing is in motion.
const AGREEMENT: f64 = 1.2;

/// Squared variation of latency below which requests are taken to all last the same.
const LOCKSTEP: f64 = 0.02;

/// What a window collected.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) samples: u32,
    pub(crate) latency_us: u64,
    pub(crate) latency_squared: u64,
    pub(crate) busy: u64,
    pub(crate) refused: u32,
    pub(crate) overloads: u32,
}

/// Where a window's sums are collected.
pub(crate) trait Collected {
    /// Samples and signs of overload so far.
    fn seen(&self) -> u32;
    /// The sums so far.
    fn peek(&self) -> Sums;
    /// The sums, which start over.
    fn take(&self) -> Sums;
}

/// A closed window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) length_ms: f64,
    pub(crate) samples: f64,
    /// Mean latency of the samples.
    pub(crate) mean_ms: f64,
    /// Squared coefficient of variation of latency.
    pub(crate) variation: f64,
    /// Mean number of requests awaiting their first byte.
    pub(crate) busy: f64,
    pub(crate) refused: f64,
    pub(crate) overloads: f64,
}

impl Window {
    pub(crate) fn new(sums: Sums, length_ms: u64) -> Self {
        let samples = f64::from(sums.samples);
        let count = samples.max(1.0);
        let mean_ms = sums.latency_us as f64 / count / 1_000.0;
        // Squares are in units of 64 µs.
        let mean_square = sums.latency_squared as f64 / count * (0.064 * 0.064);
        let variation = if mean_ms > 0.0 { (mean_square / (mean_ms * mean_ms) - 1.0).max(0.0) } else { 0.0 };
        Self {
            length_ms: (length_ms as f64).max(1.0),
            samples,
            mean_ms,
            variation,
            busy: sums.busy as f64 / (samples + f64::from(sums.overloads)).max(1.0),
            refused: f64::from(sums.refused),
            overloads: f64::from(sums.overloads),
        }
    }

    /// Time in the system from how many were in it and how many left: unlike the mean of those that left, it counts
    /// the slow ones that are still in.
    pub(crate) fn by_littles_law_ms(&self) -> f64 {
        self.busy * self.length_ms / self.samples.max(1.0)
    }

    /// Whether mean and Little's law say the same.
    pub(crate) fn agrees(&self) -> bool {
        let ratio = self.by_littles_law_ms() / self.mean_ms.max(0.001);
        (1.0 / AGREEMENT..=AGREEMENT).contains(&ratio)
    }

    /// Latency while the limit is reached: by Little's law, which sees a change at once, while those that leave tell how
    /// it was when they came. The mean only where all take the same time, for then those admitted together leave
    /// together, and counting departures errs by a part of a round.
    pub(crate) fn latency_ms(&self) -> f64 {
        if self.variation < LOCKSTEP && self.agrees() { self.mean_ms } else { self.by_littles_law_ms() }
    }

    /// Requests served per millisecond while the limit is reached.
    pub(crate) fn served(&self) -> f64 {
        self.busy / self.latency_ms().max(0.001)
    }
}
