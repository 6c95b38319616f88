//! What one cohort went through.

use crate::{Histogram, Spread, Votes};
use serde::{Deserialize, Serialize};

/// Counters of one cohort since its stage began. Requests that are finished count, with all that they caused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Requests.
    pub requests: u64,
    /// Requests that ended in an error the edge itself made.
    pub edge_errors: u64,
    /// Requests that ended in an error of an origin, or of the way to it.
    pub origin_errors: u64,
    /// Faults of modules other than overruns of time. One request may bring several.
    pub module_faults: u64,
    /// Overruns of time. They are counted apart: on a busy machine a thread may be put aside in the middle of a module, and
    /// that says nothing about a candidate unless it happens often.
    pub overruns: u64,
    /// Requests that were blocked.
    pub blocked: u64,
    /// Requests that were challenged.
    pub challenged: u64,
    /// Requests that the cache might have answered.
    pub cacheable: u64,
    /// Of those, requests that it did answer.
    pub cache_hits: u64,
    /// How long the visitor waited for the response to begin.
    pub latency: Histogram,
    /// Requests by score, in bands of ten: 0–9, 10–19 … 90–99.
    pub scores: [u64; 10],
    /// Requests that should have had a score and had none (DESIGN R5: its own band, not zero).
    pub unscored: u64,
    /// Memory the process holds now, without its cache, in bytes; both cohorts' samples may say the same. `None`: it could
    /// not be measured, which is a failure when it lasts (DESIGN R7).
    pub memory_bytes: Option<u64>,
    /// Requests by the hash that chose their cohort. Synthetic requests have none.
    pub spread: Spread,
    /// What each visitor and page came to last: compared instead of the counters where the page or the visitor decides.
    /// Synthetic requests have none.
    pub votes: Votes,
}

impl Sample {
    /// Adds the counters of another; memory is that of the other where it has one.
    pub fn merge(&mut self, other: &Sample) {
        self.each(other, |sum, more| *sum += more);
        self.latency.merge(&other.latency);
        self.spread.merge(&other.spread);
        self.votes.merge(&other.votes);
        self.memory_bytes = other.memory_bytes.or(self.memory_bytes);
    }

    /// What happened since an earlier state of the same counters. Memory stays what it is now.
    #[must_use]
    pub fn since(&self, earlier: &Sample) -> Sample {
        let mut later = self.clone();
        later.each(earlier, |now, before| *now = now.saturating_sub(before));
        later.latency = self.latency.since(&earlier.latency);
        later.spread = self.spread.since(&earlier.spread);
        later.votes = self.votes.since(&earlier.votes);
        later
    }

    /// Requests that should have had a score.
    #[must_use]
    pub fn scorable(&self) -> u64 {
        self.scores.iter().sum::<u64>() + self.unscored
    }

    /// What can be compared where the page or the visitor decides, and whether it is of distinct visitors and pages: the
    /// votes; else the counters, for as much as they are worth.
    pub(crate) fn distinct(&self) -> (Sample, bool) {
        if let Some(votes) = self.votes.sample() {
            return (Sample { memory_bytes: self.memory_bytes, ..votes }, true);
        }
        let worth = self.spread.worth();
        let mut sample = self.clone();
        if worth < 1.0 {
            let less = |count: u64| (count as f64 * worth).round() as u64;
            sample.each(self, |mine, whole| *mine = less(whole));
            sample.latency = self.latency.map(less);
        }
        (sample, worth < 1.0)
    }

    fn each(&mut self, other: &Sample, mut with: impl FnMut(&mut u64, u64)) {
        with(&mut self.requests, other.requests);
        with(&mut self.edge_errors, other.edge_errors);
        with(&mut self.origin_errors, other.origin_errors);
        with(&mut self.module_faults, other.module_faults);
        with(&mut self.overruns, other.overruns);
        with(&mut self.blocked, other.blocked);
        with(&mut self.challenged, other.challenged);
        with(&mut self.cacheable, other.cacheable);
        with(&mut self.cache_hits, other.cache_hits);
        with(&mut self.unscored, other.unscored);
        self.scores.iter_mut().zip(other.scores).for_each(|(mine, others)| with(mine, others));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_a_sum_is_its_part() {
        let mut part =
            Sample { requests: 3, edge_errors: 1, origin_errors: 1, module_faults: 4, ..Sample::default() };
        part.scores[9] = 2;
        part.unscored = 1;
        (part.blocked, part.challenged, part.cacheable, part.cache_hits) = (1, 1, 2, 1);
        part.latency.record(900);
        part.votes.cast(77, 1);
        let before = part.clone();
        let mut sum = part.clone();
        sum.merge(&part);
        assert_eq!((sum.requests, sum.scorable(), sum.latency.count()), (6, 6, 2));
        sum.votes.cast(78, 1);
        part.votes = Votes::default();
        part.votes.cast(78, 1);
        assert_eq!(sum.since(&before), part);
    }
}
