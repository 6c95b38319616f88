//! One vote of each visitor and page.
//!
//! A request goes to a cohort by a hash of its visitor and its page, so that the same visitor keeps getting the same
//! answer. So a thousand requests of a cohort may be one monitor asking for one page, all of them slow, cached or blocked
//! alike: one observation, not a thousand. Comparing shares of requests would fail changes for the luck of the draw, and
//! where few visitors make most of the traffic it would do so often. So what depends on the page and the visitor is
//! compared by votes: for each part of the hash the last request counts, however many there were.

use crate::{Histogram, Sample};
use serde::{Deserialize, Serialize};

/// What one request came to, as far as it is compared by votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// How long the visitor waited for the response to begin, in microseconds.
    pub latency_us: u64,
    /// The cache might have answered it.
    pub cacheable: bool,
    /// The cache did.
    pub cache_hit: bool,
    /// It ended in an error of an origin.
    pub origin_error: bool,
    /// It was blocked or challenged.
    pub blocked: bool,
    /// Its score, if one was to be computed; `Some(None)` if that failed.
    pub score: Option<Option<u8>>,
}

/// Where in the word the turn begins; it takes the rest.
const TURN_SHIFT: u32 = 14;
/// No score was to be computed.
const UNSCORABLE: u32 = 15;
/// One was, and could not be.
const UNSCORED: u32 = 10;

impl Vote {
    /// As one word, which one relaxed store keeps. Never 0. `turn` says when, in any unit that moves on several times within a
    /// stage and does not come round within an hour, tenths of a second for one: of two votes for a part the newer counts.
    #[must_use]
    #[inline]
    pub fn pack(self, turn: u64) -> u32 {
        let score = match self.score {
            None => UNSCORABLE,
            Some(None) => UNSCORED,
            Some(Some(score)) => u32::from(score.min(99)) / 10,
        };
        let flags = u32::from(self.cacheable)
            | u32::from(self.cache_hit) << 1
            | u32::from(self.origin_error) << 2
            | u32::from(self.blocked) << 3;
        1 | flags << 1
            | (Histogram::bucket(self.latency_us) as u32) << 5
            | score << 10
            | (turn as u32) << TURN_SHIFT
    }
}

/// The last vote of each part, as packed by [`Vote::pack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes(Vec<u32>);

impl Default for Votes {
    fn default() -> Self {
        Votes(vec![0; Self::PARTS])
    }
}

impl Votes {
    /// Number of parts. More visitors and pages than this share parts, and any of them speaks for the part.
    pub const PARTS: usize = 256;

    /// The part of a hash. Its low bits count; cohorts are chosen by the high ones.
    #[must_use]
    #[inline]
    pub fn part(hash: u64) -> usize {
        (hash % Self::PARTS as u64) as usize
    }

    /// Keeps a packed vote for a part, if there is none yet that is newer; 0 is none and changes nothing.
    pub fn cast(&mut self, part: usize, packed: u32) {
        // Turns wrap: newer is what lies less than half a round ahead.
        let newer =
            |than: u32| (packed >> TURN_SHIFT).wrapping_sub(than >> TURN_SHIFT) << TURN_SHIFT < 1 << 31;
        if let Some(slot) = self.0.get_mut(part).filter(|slot| packed != 0 && (**slot == 0 || newer(**slot)))
        {
            *slot = packed;
        }
    }

    /// Takes over the votes of another.
    pub fn merge(&mut self, other: &Votes) {
        other.0.iter().enumerate().for_each(|(part, packed)| self.cast(part, *packed));
    }

    /// Votes cast since an earlier state.
    #[must_use]
    pub fn since(&self, earlier: &Votes) -> Votes {
        let cast = |(now, before): (&u32, &u32)| if now == before { 0 } else { *now };
        Votes(self.0.iter().zip(&earlier.0).map(cast).collect())
    }

    /// The votes as a sample of that many requests; `None` if nobody votes.
    pub(crate) fn sample(&self) -> Option<Sample> {
        let mut sample = Sample::default();
        for packed in self.0.iter().filter(|packed| **packed != 0) {
            let flag = |bit: u32| u64::from(packed >> bit & 1);
            sample.requests += 1;
            sample.cacheable += flag(1);
            sample.cache_hits += flag(2);
            sample.origin_errors += flag(3);
            sample.blocked += flag(4);
            sample.latency.add((packed >> 5 & 31) as usize, 1);
            match packed >> 10 & 15 {
                UNSCORED => sample.unscored += 1,
                band => sample.scores.iter_mut().skip(band as usize).take(1).for_each(|count| *count += 1),
            }
        }
        (sample.requests > 0).then_some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_say_what_was_packed() {
        let votes = [
            Vote {
                latency_us: 9_000,
                cacheable: true,
                cache_hit: true,
                score: Some(Some(99)),
                ..Vote::default()
            },
            Vote { latency_us: 0, origin_error: true, score: Some(None), ..Vote::default() },
            Vote { latency_us: u64::MAX, blocked: true, score: None, ..Vote::default() },
            Vote { latency_us: 1, cacheable: true, score: Some(Some(0)), ..Vote::default() },
        ];
        let mut cast = Votes::default();
        assert_eq!(cast.sample(), None);
        votes.iter().enumerate().for_each(|(part, vote)| cast.cast(part, vote.pack(u64::MAX)));
        let mut want = Sample {
            requests: 4,
            cacheable: 2,
            cache_hits: 1,
            origin_errors: 1,
            blocked: 1,
            ..Sample::default()
        };
        (want.scores[9], want.scores[0], want.unscored) = (1, 1, 1);
        [9_000, 0, u64::MAX, 1].into_iter().for_each(|us| want.latency.record(us));
        assert_eq!(cast.sample(), Some(want));
    }

    #[test]
    fn a_loud_visitor_has_one_vote() {
        let mut votes = Votes::default();
        (0..1_000).for_each(|turn| votes.cast(7, Vote { blocked: true, ..Vote::default() }.pack(turn)));
        (0..9).for_each(|part| votes.cast(part * 20, Vote::default().pack(part as u64)));
        let sample = votes.sample().unwrap();
        assert_eq!((sample.requests, sample.blocked), (10, 1));
    }

    #[test]
    fn of_two_votes_for_a_part_the_newer_counts_whoever_brings_it() {
        let vote = |blocked, turn| Vote { blocked, ..Vote::default() }.pack(turn);
        let top = (1 << 18) - 1;
        for (older, newer) in [(5, 6), (0, 100_000), (top, 0), (top - 5, 3)] {
            for in_order in [true, false] {
                let mut votes = Votes::default();
                let cast = [vote(false, older), vote(true, newer)];
                let order = if in_order { [0, 1] } else { [1, 0] };
                order.into_iter().for_each(|at: usize| votes.cast(9, cast[at]));
                assert_eq!(votes.sample().map(|s| s.blocked), Some(1), "{older} {newer} {in_order}");
            }
        }
    }

    #[test]
    fn votes_since_are_those_cast_again() {
        let vote = Vote::default();
        let mut before = Votes::default();
        before.cast(1, vote.pack(1));
        before.cast(2, vote.pack(2));
        let mut now = before.clone();
        now.cast(2, vote.pack(3));
        now.cast(5, vote.pack(4));
        assert_eq!(now.since(&before).sample().map(|s| s.requests), Some(2));
        let mut merged = before.clone();
        merged.merge(&now.since(&before));
        assert_eq!(merged, now);
    }
}
