//! Artifacts that flip between good and bad.
//!
//! On 18 November 2025 a feature file was generated every five minutes, well or badly depending on which part of a database
//! answered. Each good one looked like the end of the outage. A file that turns bad, good and bad again is not mended by its
//! next good version: something behind it is broken, and its last good version is kept until that is over.
//!
//! An artifact is *pinned* after two alternations (good, bad, good, bad). It is followed again when somebody says so, or
//! when it has been good for three periods, changed or not. If it then turns bad once more it is pinned at once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Turns from good to bad that pin an artifact. One can be a mistake that somebody mended.
pub const ALTERNATIONS_TO_PIN: u32 = 2;
/// Periods without a bad version after which a pinned artifact is followed again.
pub const PERIODS_TO_UNPIN: u64 = 3;
/// Turns longer ago than this are forgotten, in milliseconds: six hours. Two mistakes a day are no pattern.
pub const MEMORY_MS: u64 = 6 * 3_600_000;
/// Shortest time for which a pinned artifact must be good, in milliseconds, however fast it flipped.
const CALM_MS: u64 = 60_000;
/// Artifacts followed. There is a handful of kinds; more than this is a caller's mistake, and the newest are not followed.
const ARTIFACTS_MAX: usize = 256;
/// Turns, and bad versions, remembered of each.
const TURNS_MAX: usize = 16;

/// Follows artifacts by name.
#[derive(Clone, Debug, Default)]
pub struct Alternation {
    tracks: BTreeMap<String, Track>,
}

/// An artifact that alternates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub artifact: String,
    /// From one turn to the bad to the next, in milliseconds, on average.
    pub period_ms: u64,
    /// Turns from good to bad so far.
    pub alternations: u32,
}

#[derive(Clone, Debug, Default)]
struct Track {
    /// The last version and whether it was good.
    last: Option<(u64, bool)>,
    /// Whether the version before it was good.
    good_before: bool,
    /// Versions that were bad, and when, the newest last.
    bad: VecDeque<(u64, u64)>,
    /// When it turned from good to bad, the newest last.
    turns: VecDeque<u64>,
    alternations: u32,
    last_bad_ms: u64,
    pinned: Option<Finding>,
    /// It was pinned before and followed again by itself.
    suspect: bool,
}

impl Alternation {
    /// Tells how a version of an artifact turned out. `hash` tells versions apart; the same one told again with another
    /// outcome corrects what was said (it was taken for good and turned out bad). Returns a finding when this pins it.
    pub fn feed(&mut self, artifact: &str, now_ms: u64, hash: u64, ok: bool) -> Option<Finding> {
        if self.tracks.len() >= ARTIFACTS_MAX && !self.tracks.contains_key(artifact) {
            return None;
        }
        let track = self.tracks.entry(artifact.to_owned()).or_default();
        // A version that turned out bad before is bad, whatever a first look says.
        track.bad.retain(|(_, at)| now_ms.saturating_sub(*at) < MEMORY_MS);
        let ok = ok && !track.bad.iter().any(|(known, _)| *known == hash);
        if track.last.is_none_or(|(last, _)| last != hash) {
            track.good_before = track.last.is_some_and(|(_, good)| good);
        }
        let said_bad = track.last == Some((hash, false));
        track.last = Some((hash, ok));
        if ok {
            return None;
        }
        track.last_bad_ms = now_ms;
        if !said_bad {
            track.bad.push_back((hash, now_ms));
            if track.bad.len() > TURNS_MAX {
                track.bad.pop_front();
            }
        }
        if track.good_before && !said_bad {
            track.turns.retain(|turn| now_ms.saturating_sub(*turn) < MEMORY_MS);
            if track.turns.is_empty() {
                track.alternations = 0;
            }
            track.turns.push_back(now_ms);
            track.alternations += 1;
            if track.turns.len() > TURNS_MAX {
                track.turns.pop_front();
            }
        }
        track.pin(artifact)
    }

    /// The finding on an artifact, if it is pinned.
    #[must_use]
    pub fn finding(&self, artifact: &str) -> Option<&Finding> {
        self.tracks.get(artifact)?.pinned.as_ref()
    }

    /// Names of what is pinned.
    pub fn pinned(&self) -> impl Iterator<Item = &str> {
        self.tracks.iter().filter(|(_, track)| track.pinned.is_some()).map(|(name, _)| name.as_str())
    }

    /// Follows an artifact again because somebody says so, and forgets what it did. Returns whether it was pinned.
    pub fn unpin(&mut self, artifact: &str) -> bool {
        self.tracks.remove(artifact).is_some_and(|track| track.pinned.is_some())
    }

    /// Follows again what has calmed down: good for [`PERIODS_TO_UNPIN`] periods, and for a minute at least. Returns their
    /// names. Call it now and then; an artifact that stays good may not be told of any more.
    pub fn settle(&mut self, now_ms: u64) -> Vec<String> {
        let mut calm = Vec::new();
        for (name, track) in &mut self.tracks {
            let good = track.last.is_some_and(|(_, good)| good);
            let due_ms =
                track.pinned.as_ref().map(|f| f.period_ms.saturating_mul(PERIODS_TO_UNPIN).max(CALM_MS));
            if good && due_ms.is_some_and(|due| now_ms.saturating_sub(track.last_bad_ms) >= due) {
                track.pinned = None;
                track.suspect = true;
                calm.push(name.clone());
            }
        }
        calm
    }
}

impl Track {
    /// Pins it if it alternated often enough. A pinned one's finding is kept up to date.
    fn pin(&mut self, artifact: &str) -> Option<Finding> {
        let enough = self.turns.len() as u32 >= if self.suspect { 1 } else { ALTERNATIONS_TO_PIN };
        if !enough {
            return None;
        }
        let between = (self.turns.len() as u64).saturating_sub(1);
        let span_ms = self.turns.back()?.saturating_sub(*self.turns.front()?);
        let finding = Finding {
            artifact: artifact.to_owned(),
            period_ms: span_ms.checked_div(between).unwrap_or(CALM_MS),
            alternations: self.alternations,
        };
        let known = self.pinned.replace(finding.clone()).is_some();
        (!known).then_some(finding)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { artifact, period_ms, alternations } = self;
        write!(f, "{artifact} alternates between good and bad about every {} ", Period(*period_ms))?;
        write!(
            f,
            "({alternations} times so far); its last good version is kept until it stays good or is unpinned"
        )
    }
}

/// A time in the unit people would use.
struct Period(u64);

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms < 10_000 => write!(f, "{}.{} s", ms / 1_000, ms % 1_000 / 100),
            ms if ms < 120_000 => write!(f, "{} s", ms / 1_000),
            ms => write!(f, "{} min", ms / 60_000),
        }
    }
}

#[cfg(test)]
#[path = "alternation_tests.rs"]
mod tests;
