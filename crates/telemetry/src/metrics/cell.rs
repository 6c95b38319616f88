//! Numbers that one thread writes and any may read, and some that any may write.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::names::Name;

/// Adds one worker's numbers to a sum.
pub(crate) trait Merge {
    /// Adds these to `sum`, which only the caller writes.
    fn merge_into(&self, sum: &Self);
}

/// A count with one writer: adding is a load and a store, which costs a tenth of an atomic addition.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Takes an earlier count off.
    pub(crate) fn less(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).saturating_sub(n), Relaxed);
    }
}

/// A level with one writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// One less.
    #[inline]
    pub fn dec(&self) {
        self.add(-1);
    }

    /// Changes the level.
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets the level.
    #[inline]
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// The level.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A count any thread may write; off the hot path.
#[derive(Debug, Default)]
pub struct SharedCounter(AtomicU64);

impl SharedCounter {
    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes over a count kept elsewhere.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A level any thread may write; off the hot path.
#[derive(Debug, Default)]
pub struct SharedGauge(AtomicI64);

impl SharedGauge {
    /// Sets the level.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// Changes the level.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The level.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One cell for each word of a closed list.
#[derive(Debug)]
pub struct Family<N, C, const COUNT: usize> {
    cells: [C; COUNT],
    names: PhantomData<fn(N)>,
}

impl<N: Name, C, const COUNT: usize> Family<N, C, COUNT> {
    /// Words with their cells.
    pub fn iter(&self) -> impl Iterator<Item = (N, &C)> {
        N::all().iter().copied().zip(&self.cells)
    }
}

impl<A: Name, B: Name, const N: usize, const M: usize> Family<A, Family<B, Counter, M>, N> {
    /// Counts one of a pair of words.
    #[inline]
    pub fn inc_pair(&self, first: A, second: B) {
        if let Some(family) = self.cells.get(first.index()) {
            family.inc(second);
        }
    }

    /// The count of a word with any second.
    pub fn total(&self, first: A) -> u64 {
        self.cells.get(first.index()).map_or(0, |family| family.iter().map(|(_, c)| c.get()).sum())
    }
}

impl<N: Name, const COUNT: usize> Family<N, SharedGauge, COUNT> {
    /// Sets the level.
    pub fn set(&self, name: N, n: i64) {
        if let Some(cell) = self.cells.get(name.index()) {
            cell.set(n);
        }
    }

    /// The level.
    pub fn level(&self, name: N) -> i64 {
        self.cells.get(name.index()).map_or(0, SharedGauge::get)
    }
}

impl<N: Name, const COUNT: usize> Family<N, Counter, COUNT> {
    /// Counts one.
    #[inline]
    pub fn inc(&self, name: N) {
        self.add(name, 1);
    }

    /// Counts `n`.
    #[inline]
    pub fn add(&self, name: N, n: u64) {
        if let Some(cell) = self.cells.get(name.index()) {
            cell.add(n);
        }
    }

    /// The count.
    pub fn get(&self, name: N) -> u64 {
        self.cells.get(name.index()).map_or(0, Counter::get)
    }
}

impl<N: Name, const COUNT: usize> Family<N, Gauge, COUNT> {
    /// Changes the level.
    #[inline]
    pub fn add(&self, name: N, n: i64) {
        if let Some(cell) = self.cells.get(name.index()) {
            cell.add(n);
        }
    }

    /// The level.
    pub fn get(&self, name: N) -> i64 {
        self.cells.get(name.index()).map_or(0, Gauge::get)
    }
}

/// Buckets of a histogram: bounds double from 25 µs (a cache hit) to 105 s (past the time an origin may take), and one
/// more for what is longer.
pub const BUCKETS: usize = 24;

/// Upper bound of the first bucket, microseconds.
const FIRST_BOUND_US: u64 = 25;

/// Durations in fixed exponential buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: Cells24,
    sum_us: Counter,
}

type Cells24 = [Counter; BUCKETS];

impl Histogram {
    /// Counts a duration in microseconds.
    #[inline]
    pub fn observe_us(&self, us: u64) {
        // The number of doublings of 25 µs that hold it: an integer logarithm, no search.
        let doublings = 64 - (us.saturating_sub(1) / FIRST_BOUND_US).leading_zeros();
        let bucket = (doublings as usize).min(BUCKETS - 1);
        if let Some(cell) = self.buckets.get(bucket) {
            cell.inc();
        }
        self.sum_us.add(us);
    }

    /// Counts of each bucket, not cumulated.
    #[must_use]
    pub fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|i| self.buckets.get(i).map_or(0, Counter::get))
    }

    /// Sum of all durations, microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }
}

/// Upper bound of a bucket in microseconds, inclusive; none for the last.
#[must_use]
pub fn bucket_bound_us(bucket: usize) -> Option<u64> {
    (bucket + 1 < BUCKETS).then(|| FIRST_BOUND_US << bucket)
}

/// The duration that a share `q` (0 to 1) of observations stays within, by linear interpolation in its bucket.
/// None without observations. What lies past the last bound is given as that bound.
#[must_use]
pub fn quantile_us(counts: &[u64], q: f64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // an estimate
    let rank = ((total as f64 * q.clamp(0.0, 1.0)).ceil() as u64).clamp(1, total);
    let mut below = 0;
    let mut lower = 0;
    for (bucket, count) in counts.iter().enumerate() {
        let Some(upper) = bucket_bound_us(bucket) else { break };
        if below + count >= rank {
            let within = (u128::from(upper - lower) * u128::from(rank - below)) / u128::from(*count);
            return Some(lower + u64::try_from(within).unwrap_or(0));
        }
        below += count;
        lower = upper;
    }
    Some(lower)
}

impl Merge for Counter {
    fn merge_into(&self, sum: &Self) {
        sum.add(self.get());
    }
}

impl Merge for Gauge {
    fn merge_into(&self, sum: &Self) {
        sum.add(self.get());
    }
}

impl Merge for Histogram {
    fn merge_into(&self, sum: &Self) {
        self.buckets.merge_into(&sum.buckets);
        self.sum_us.merge_into(&sum.sum_us);
    }
}

impl<C: Merge, const COUNT: usize> Merge for [C; COUNT] {
    fn merge_into(&self, sum: &Self) {
        for (own, sum) in self.iter().zip(sum) {
            own.merge_into(sum);
        }
    }
}

impl<C: Merge> Merge for Box<[C]> {
    fn merge_into(&self, sum: &Self) {
        for (own, sum) in self.iter().zip(sum.iter()) {
            own.merge_into(sum);
        }
    }
}

impl<N, C: Merge, const COUNT: usize> Merge for Family<N, C, COUNT> {
    fn merge_into(&self, sum: &Self) {
        self.cells.merge_into(&sum.cells);
    }
}

impl<N, C: Default, const COUNT: usize> Default for Family<N, C, COUNT> {
    fn default() -> Self {
        Family { cells: std::array::from_fn(|_| C::default()), names: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for bucket in 0..BUCKETS - 1 {
            let bound = bucket_bound_us(bucket).unwrap();
            let histogram = Histogram::default();
            histogram.observe_us(bound);
            histogram.observe_us(bound + 1);
            let counts = histogram.counts();
            assert_eq!((counts[bucket], counts[bucket + 1]), (1, 1), "{bound}");
        }
    }

    #[test]
    fn the_smallest_and_the_largest_have_a_bucket() {
        let histogram = Histogram::default();
        histogram.observe_us(0);
        histogram.observe_us(u64::MAX);
        assert_eq!((histogram.counts()[0], histogram.counts()[BUCKETS - 1]), (1, 1));
    }

    #[test]
    fn quantiles_of_nothing_are_absent_and_of_one_are_its_bucket() {
        assert_eq!(quantile_us(&[0; BUCKETS], 0.5), None);
        let histogram = Histogram::default();
        histogram.observe_us(80);
        assert_eq!(quantile_us(&histogram.counts(), 0.99), Some(100));
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_a_bucket_of_the_truth(mut values in proptest::collection::vec(1u64..100_000_000, 1..200), q in 0.0f64..1.0) {
            let histogram = Histogram::default();
            for v in &values {
                histogram.observe_us(*v);
            }
            values.sort_unstable();
            let rank = ((values.len() as f64 * q).ceil() as usize).clamp(1, values.len());
            let truth = values[rank - 1].max(FIRST_BOUND_US);
            let estimate = quantile_us(&histogram.counts(), q).unwrap().max(FIRST_BOUND_US);
            prop_assert!(estimate <= truth * 2 && truth <= estimate * 2 + 1, "{} {}", truth, estimate);
        }
    }
}
