//! Of how many independent parts a group of requests is made.
//!
//! A request goes to a cohort by a hash of its visitor and its path, so that the same visitor keeps getting the same
//! answer. So a thousand requests may be one monitor asking for one page, and all of them slow, cached or blocked alike:
//! that is one observation, not a thousand. Comparing rates as if it were a thousand would fail changes for the luck of the
//! draw. A [`Spread`] counts requests by a part of that hash, and from how unevenly they lie tells what they are worth.

use serde::{Deserialize, Serialize};

/// Requests by a part of the hash that chose their cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread(Vec<u64>);

impl Default for Spread {
    fn default() -> Self {
        Spread(vec![0; Self::BUCKETS])
    }
}

impl Spread {
    /// Number of buckets: tells up to about a thousand independent parts, which is more than any gate asks for.
    pub const BUCKETS: usize = 256;

    /// The bucket of a hash. Its low bits count; cohorts are chosen by the high ones.
    #[must_use]
    #[inline]
    pub fn bucket(hash: u64) -> usize {
        (hash % Self::BUCKETS as u64) as usize
    }

    /// Counts one request by its hash.
    pub fn record(&mut self, hash: u64) {
        self.add(Self::bucket(hash), 1);
    }

    /// Adds to a bucket.
    pub fn add(&mut self, bucket: usize, count: u64) {
        if let Some(sum) = self.0.get_mut(bucket) {
            *sum += count;
        }
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Spread) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }

    /// What was counted here and not in an earlier state of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Spread) -> Spread {
        Spread(self.0.iter().zip(&earlier.0).map(|(now, before)| now.saturating_sub(*before)).collect())
    }

    /// What one request is worth: 1 where all are independent, near 0 where one visitor makes nearly all. 1 if nothing was
    /// counted, for then nobody counts.
    ///
    /// By Kish's effective sample size (Σw)²/Σw², with Σw² estimated from the buckets and the collisions among them
    /// taken off.
    #[must_use]
    pub fn worth(&self) -> f64 {
        let buckets = Self::BUCKETS as f64;
        let sum: f64 = self.0.iter().map(|c| *c as f64).sum();
        if sum < 1.0 {
            return 1.0;
        }
        let squares: f64 = self.0.iter().map(|c| (*c as f64).powi(2)).sum();
        let of_parts = (squares - sum * sum / buckets) / (1.0 - 1.0 / buckets);
        // What collisions add scatters; lean to the careful side by two deviations of it.
        let careful = of_parts + 2.0 * sum * (2.0 / buckets).sqrt();
        (sum / careful.max(sum)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::Random;

    #[test]
    fn requests_of_many_visitors_count_nearly_whole() {
        let mut random = Random::new(1);
        for requests in [1, 10, 100, 10_000, 1_000_000] {
            let mut spread = Spread::default();
            (0..requests).for_each(|_| spread.record(random.next()));
            assert!(spread.worth() > 0.7, "{requests}: {}", spread.worth());
        }
    }

    #[test]
    fn requests_of_few_visitors_count_as_few() {
        let mut random = Random::new(2);
        for visitors in [1, 3, 30, 300] {
            let hashes: Vec<u64> = (0..visitors).map(|_| random.next()).collect();
            let mut spread = Spread::default();
            for n in 0..30_000 {
                spread.record(hashes[n % visitors]);
            }
            let parts = spread.worth() * 30_000.0;
            assert!(parts < visitors as f64 * 1.5 && parts > visitors as f64 * 0.4, "{visitors}: {parts}");
        }
    }

    #[test]
    fn one_loud_visitor_among_many_is_seen() {
        let mut random = Random::new(3);
        let mut spread = Spread::default();
        (0..5_000).for_each(|_| spread.record(7));
        (0..5_000).for_each(|_| spread.record(random.next()));
        // (Σw)²/Σw² = 10,000² / (5,000² + 5,000) ≈ 4
        assert!((2.0..6.0).contains(&(spread.worth() * 10_000.0)), "{}", spread.worth());
    }

    #[test]
    fn where_nobody_counts_every_request_is_worth_itself() {
        assert_eq!(Spread::default().worth(), 1.0);
    }
}
