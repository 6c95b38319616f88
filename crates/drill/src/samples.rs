//! What visitors saw, request by request.

use serde::Serialize;

/// Most requests one drill keeps; more are counted and not kept. A drill sends some thousands.
pub const SAMPLES_MAX: usize = 400_000;

/// How a request ended, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The origin answered, below 500.
    Ok,
    /// The edge answered by itself, below 500: a block, a redirect, a refusal.
    Edge,
    /// The edge turned it away with 503 and said when to come again.
    Shed,
    /// The origin answered, 500 or above.
    OriginError,
    /// The edge made an error: 500 or above and no words of the origin's.
    EdgeError,
    /// No whole answer: refused, cut off, too late.
    Broken,
}

impl Class {
    /// All, in the order in which charts stack them.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Edge, Self::Shed, Self::OriginError, Self::EdgeError, Self::Broken];

    /// What it is called on a page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "served by the origin",
            Self::Edge => "answered by the edge",
            Self::Shed => "turned away (503, Retry-After)",
            Self::OriginError => "origin's own errors",
            Self::EdgeError => "errors made by the edge",
            Self::Broken => "no answer",
        }
    }

    /// What it is called in a style sheet.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Edge => "edge",
            Self::Shed => "shed",
            Self::OriginError => "origin",
            Self::EdgeError => "error",
            Self::Broken => "broken",
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was meant to be sent, microseconds since the drill began.
    pub at_us: u64,
    /// From then to the end of the answer, microseconds.
    pub latency_us: u64,
    /// HTTP status; 0 for none.
    pub status: u16,
    /// How it ended.
    pub class: Class,
    /// Which of the load's hosts it asked for.
    pub host: u16,
    /// The score the origin was told, if it was told one (DESIGN R5: absent is not zero).
    pub score: Option<u8>,
}

/// All requests of a load, in the order in which they were meant.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    all: Vec<Sample>,
}

impl Samples {
    /// Ordered by intended time.
    #[must_use]
    pub fn new(mut all: Vec<Sample>) -> Self {
        all.sort_unstable_by_key(|sample| sample.at_us);
        Self { all }
    }

    /// Every request.
    #[must_use]
    pub fn all(&self) -> &[Sample] {
        &self.all
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those meant to be sent in this time, milliseconds since the drill began.
    #[must_use]
    pub fn between(&self, from_ms: u64, to_ms: u64) -> Self {
        let inside = |s: &&Sample| s.at_us >= from_ms * 1000 && s.at_us < to_ms * 1000;
        Self { all: self.all.iter().filter(inside).copied().collect() }
    }

    /// Those for one of the load's hosts.
    #[must_use]
    pub fn of_host(&self, host: usize) -> Self {
        Self { all: self.all.iter().filter(|s| usize::from(s.host) == host).copied().collect() }
    }

    /// Those of one class.
    #[must_use]
    pub fn of(&self, class: Class) -> Self {
        Self { all: self.all.iter().filter(|s| s.class == class).copied().collect() }
    }

    /// How many of one class.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.all.iter().filter(|s| s.class == class).count()
    }

    /// How many with this status.
    #[must_use]
    pub fn with_status(&self, status: u16) -> usize {
        self.all.iter().filter(|s| s.status == status).count()
    }

    /// Requests in error by the edge's doing: its own error pages and answers that never came.
    #[must_use]
    pub fn edge_made(&self) -> usize {
        self.count(Class::EdgeError) + self.count(Class::Broken)
    }

    /// Share of the origin's answers that came with a score, per cent; `None` of nothing.
    #[must_use]
    pub fn scored_percent(&self) -> Option<f64> {
        let of = self.count(Class::Ok);
        let scored = self.all.iter().filter(|s| s.class == Class::Ok && s.score.is_some()).count();
        (of > 0).then(|| scored as f64 * 100.0 / of as f64)
    }

    /// The mean of the scores there are.
    #[must_use]
    pub fn mean_score(&self) -> Option<f64> {
        let scores: Vec<f64> = self.all.iter().filter_map(|s| s.score).map(f64::from).collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }

    /// A percentile of latency, milliseconds; `None` of nothing.
    #[must_use]
    pub fn latency_ms(&self, percent: f64) -> Option<f64> {
        let mut sorted: Vec<u64> = self.all.iter().map(|s| s.latency_us).collect();
        sorted.sort_unstable();
        percentile(&sorted, percent).map(|us| us as f64 / 1000.0)
    }

    /// The 99th percentile of a typical second: the median over seconds, milliseconds. A machine that stops for a moment
    /// does to one second what a dear request does to all of them.
    #[must_use]
    pub fn typical_p99_ms(&self) -> Option<f64> {
        let (first, last) = self.span_ms()?;
        let second = |from: u64| self.between(from, from + 1_000).latency_ms(99.0);
        let mut all: Vec<f64> = (first..=last).step_by(1_000).filter_map(second).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    }

    /// From the first to the last intended time, milliseconds.
    #[must_use]
    pub fn span_ms(&self) -> Option<(u64, u64)> {
        Some((self.all.first()?.at_us / 1000, self.all.last()?.at_us / 1000))
    }

    /// Statuses and how often, for people.
    #[must_use]
    pub fn statuses(&self) -> String {
        let mut counts = std::collections::BTreeMap::new();
        for sample in &self.all {
            *counts.entry(sample.status).or_insert(0_u32) += 1;
        }
        let words: Vec<String> = counts
            .iter()
            .map(|(status, n)| if *status == 0 { format!("{n}× none") } else { format!("{n}× {status}") })
            .collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    }
}

/// A percentile of sorted values by the nearest rank.
#[must_use]
pub fn percentile(sorted: &[u64], percent: f64) -> Option<u64> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_us: u64, latency_us: u64, class: Class) -> Sample {
        Sample { at_us, latency_us, status: 200, class, host: 0, score: None }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<u64> = (1..=100).collect();
        for (percent, expected) in [(0.0, 1), (50.0, 50), (99.0, 99), (100.0, 100)] {
            assert_eq!(percentile(&sorted, percent), Some(expected));
        }
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn one_bad_second_is_not_typical() {
        let at = |second: u64, n: u64| (0..n).map(move |i| second * 1_000_000 + i * 1_000);
        let slow = |second: u64| if second == 3 { 900_000 } else { 5_000 };
        let all =
            (0..9).flat_map(|second| at(second, 100).map(move |us| sample(us, slow(second), Class::Ok)));
        assert_eq!(Samples::new(all.collect()).typical_p99_ms(), Some(5.0));
        assert_eq!(Samples::default().typical_p99_ms(), None);
    }

    #[test]
    fn a_window_takes_what_was_meant_within_it() {
        let samples = Samples::new(vec![
            sample(2_500, 1, Class::Broken),
            sample(0, 1, Class::Ok),
            sample(999, 1, Class::EdgeError),
        ]);
        assert_eq!((samples.between(0, 1).len(), samples.between(1, 3).len()), (2, 1));
        assert_eq!(samples.edge_made(), 2);
        assert_eq!(samples.span_ms(), Some((0, 2)));
    }
}
