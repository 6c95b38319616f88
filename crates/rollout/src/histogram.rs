//! Latency by powers of two.

use serde::{Deserialize, Serialize};

/// Counts by power of two of microseconds: bucket `b` holds 2^b up to 2^(b+1). Gates ask whether something is several
/// times slower, so that is all the resolution they need, and adding up workers is adding up numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram([u64; Histogram::BUCKETS]);

impl Histogram {
    /// Number of buckets; the last begins at 36 minutes.
    pub const BUCKETS: usize = 32;

    /// The bucket of a time in microseconds.
    #[must_use]
    #[inline]
    pub fn bucket(us: u64) -> usize {
        (us.max(1).ilog2() as usize).min(Self::BUCKETS - 1)
    }

    /// Where a bucket begins, in microseconds.
    #[must_use]
    pub fn begins_us(bucket: usize) -> u64 {
        1 << bucket.min(Self::BUCKETS - 1)
    }

    /// Counts one time in microseconds.
    pub fn record(&mut self, us: u64) {
        self.add(Self::bucket(us), 1);
    }

    /// Adds to a bucket.
    pub fn add(&mut self, bucket: usize, count: u64) {
        if let Some(sum) = self.0.get_mut(bucket) {
            *sum += count;
        }
    }

    /// Number of times counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many lie in this bucket or a later one.
    #[must_use]
    pub fn from(&self, bucket: usize) -> u64 {
        self.0.iter().skip(bucket).sum()
    }

    /// The bucket that holds a quantile (0 to 1) of the times; none if there are none.
    #[must_use]
    pub fn quantile_bucket(&self, quantile: f64) -> Option<usize> {
        let count = self.count();
        let rank = ((count as f64 * quantile).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        self.0.iter().position(|in_bucket| {
            below += in_bucket;
            below >= rank
        })
    }

    /// Every bucket's count through a function.
    pub(crate) fn map(&self, change: impl Fn(u64) -> u64) -> Histogram {
        Histogram(self.0.map(change))
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Histogram) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// What was counted here and not in an earlier state of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut later = self.clone();
        later.0.iter_mut().zip(earlier.0).for_each(|(sum, before)| *sum = sum.saturating_sub(before));
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_power_of_two() {
        for (us, bucket) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (1_023, 9), (1_024, 10), (u64::MAX, 31)]
        {
            assert_eq!(Histogram::bucket(us), bucket, "{us}");
            assert!(bucket == 31 || us < Histogram::begins_us(bucket + 1), "{us}");
        }
    }

    #[test]
    fn quantiles_are_found_by_rank() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_bucket(0.5), None);
        histogram.add(3, 99);
        histogram.add(9, 1);
        assert_eq!(histogram.quantile_bucket(0.5), Some(3));
        assert_eq!(histogram.quantile_bucket(0.99), Some(3));
        assert_eq!(histogram.quantile_bucket(1.0), Some(9));
        assert_eq!((histogram.from(3), histogram.from(4), histogram.count()), (100, 1, 100));
    }
}
