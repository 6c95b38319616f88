//! What follows from a death of the edge: which unit or which snapshot is to blame, and where to go.
//!
//! - The candidate is blamed if there is one, else the one that serves.
//! - Two deaths with exactly one unit in hand both times put that unit alone in quarantine.
//! - Two deaths while trial, however far apart, or two within a minute of beginning with it, put the snapshot in quarantine,
//!   if there is another to go to.
//! - If one after the other dies young, it is not the snapshots: the good ones are given back their state, and the newest of
//!   them is kept on. Otherwise a machine that kills every process would walk back to the oldest configuration there is.
//! - Each death begins the soak anew.

use std::fmt;

use crate::history::{Death, Entry, History, State, UnitPrefix};
use crate::unit::Hash;

/// A process that ran shorter than this with a snapshot died of beginning with it.
pub const EARLY_MS: u64 = 60_000;

/// Deaths that put a snapshot or a unit in quarantine: one may be chance.
pub const DEATHS: usize = 2;

/// Snapshots in a row that die young before it is said that it is not the snapshots.
pub const BLAMED_MAX: usize = 3;

/// Units in hand that are kept of one death: one for each worker of a large machine.
const SUSPECTS_MAX: usize = 64;

/// Deaths kept of one snapshot.
const DEATHS_KEPT: usize = 16;

/// Deaths under different snapshots are compared when they are no farther apart than this: an hour.
const RELATED_MS: u64 = 3_600_000;

/// What was decided after a death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No snapshot was in use.
    Nothing,
    /// It is counted.
    Counted {
        /// The snapshot it is counted for.
        number: u64,
        /// How many it has.
        deaths: usize,
    },
    /// One unit is to blame and is left aside from now on.
    Unit {
        /// The snapshot it was in.
        number: u64,
        /// The unit.
        unit: UnitPrefix,
        /// Why.
        reason: String,
    },
    /// The snapshot is to blame and is left aside from now on.
    Snapshot {
        /// The snapshot.
        number: u64,
        /// What the edge goes to.
        next: u64,
        /// Why.
        reason: String,
    },
    /// The snapshot would be to blame, and is kept.
    Kept {
        /// The snapshot that goes on serving.
        number: u64,
        /// Why it is kept.
        reason: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Nothing => f.write_str("no snapshot was in use"),
            Verdict::Counted { number, deaths: 1 } => write!(f, "first death with snapshot {number}"),
            Verdict::Counted { number, deaths } => write!(f, "{deaths} deaths with snapshot {number}"),
            Verdict::Unit { unit, number, reason } => {
                write!(f, "unit {unit} of snapshot {number} is quarantined: {reason}")
            }
            Verdict::Snapshot { number, next, reason } => {
                write!(f, "snapshot {number} is quarantined: {reason}; going to snapshot {next}")
            }
            Verdict::Kept { number, reason } => write!(f, "snapshot {number} is kept: {reason}"),
        }
    }
}

impl History {
    /// An edge process died after `ran_ms`, with the units of `suspects` ([`Hash::prefix`]) in hand.
    ///
    /// Afterwards [`History::start_with`] says what the next process begins with.
    pub fn died(&mut self, ran_ms: u64, now_unix_ms: u64, suspects: &[u64]) -> Verdict {
        let candidate = self.candidate.take().filter(|number| self.entry(*number).is_some());
        let Some(number) = candidate.or(self.current).filter(|number| self.entry(*number).is_some()) else {
            return Verdict::Nothing;
        };
        self.soak_anew(now_unix_ms);
        let death = self.death(number, ran_ms, now_unix_ms, suspects);
        if death.ran_ms >= EARLY_MS {
            self.blamed.clear();
        }
        let culprit = self.culprit(number, &death);
        let Some(entry) = self.entry_mut(number) else { return Verdict::Nothing };
        entry.deaths.push(death);
        let excess = entry.deaths.len().saturating_sub(DEATHS_KEPT);
        entry.deaths.drain(..excess);
        if let Some(unit) = culprit {
            return self.blame_unit(number, unit, now_unix_ms);
        }
        let deaths = entry.deaths.len();
        match grounds(entry) {
            Some(reason) => self.blame_snapshot(number, reason),
            None => Verdict::Counted { number, deaths },
        }
    }

    /// Puts a snapshot in quarantine by order. False, and nothing changes, when nothing else could serve.
    pub fn quarantine(&mut self, number: u64, reason: &str) -> bool {
        let Some(state) = self.entry(number).map(|entry| entry.state) else { return false };
        if state == State::Quarantined {
            return true;
        }
        let next = match self.current {
            Some(current) if current != number => Some(current),
            _ => self.start_order(true).into_iter().find(|other| *other != number),
        };
        let Some(next) = next else { return false };
        self.set_aside(number, reason, next);
        true
    }

    /// Lets a snapshot out of quarantine, to be tried again; false where it was not in.
    pub fn release(&mut self, number: u64) -> bool {
        let Some(entry) = self.entry_mut(number).filter(|entry| entry.state == State::Quarantined) else {
            return false;
        };
        entry.state = State::Trial;
        entry.reason = None;
        entry.deaths.clear();
        true
    }

    /// Lets a content be tried again that was found to break the edge, under whatever numbers; false where it was not.
    pub fn release_content(&mut self, content: &Hash) -> bool {
        let numbers: Vec<u64> =
            self.entries.iter().filter(|entry| entry.content == *content).map(|entry| entry.number).collect();
        let refused = self.refused.len();
        self.refused.retain(|refused| refused.content != *content);
        let released = numbers.into_iter().filter(|number| self.release(*number)).count();
        released > 0 || self.refused.len() < refused
    }

    /// Begins the soak of what serves anew. What was superseded does not serve and cannot show that it would have lived.
    fn soak_anew(&mut self, now_unix_ms: u64) {
        self.stop_soaking();
        if let Some(entry) = self.current.and_then(|number| self.entry_mut(number)) {
            entry.soak_begun_unix_ms = Some(now_unix_ms);
        }
    }

    fn death(&self, number: u64, ran_ms: u64, now_unix_ms: u64, suspects: &[u64]) -> Death {
        let adopted = self.entry(number).and_then(|entry| entry.adopted_unix_ms);
        // A candidate was never adopted: it ran for less than the process, and early is early enough.
        let with_it = adopted.map_or(0, |at| now_unix_ms.saturating_sub(at));
        let mut suspects: Vec<UnitPrefix> = suspects.iter().copied().map(UnitPrefix).collect();
        suspects.sort_unstable();
        suspects.dedup();
        suspects.retain(|unit| unit.0 != 0 && !self.quarantined_units.contains_key(unit));
        suspects.truncate(SUSPECTS_MAX);
        Death { unix_ms: now_unix_ms, ran_ms: ran_ms.min(with_it), suspects }
    }

    /// The one unit that this death and an earlier one have in common.
    fn culprit(&self, number: u64, death: &Death) -> Option<UnitPrefix> {
        let earlier = |entry: &Entry| {
            let same = entry.number == number;
            let related = move |d: &&Death| same || death.unix_ms.saturating_sub(d.unix_ms) <= RELATED_MS;
            entry.deaths.iter().filter(related).map(|d| (d.clone(), same)).collect::<Vec<_>>()
        };
        let mut all: Vec<(Death, bool)> = self.entries.iter().flat_map(earlier).collect();
        all.sort_by_key(|(d, _)| std::cmp::Reverse(d.unix_ms));
        all.iter().find_map(|(other, same)| {
            let mut common = other.suspects.iter().filter(|unit| death.suspects.contains(unit));
            let (unit, None) = (*common.next()?, common.next()) else { return None };
            // A busy zone is in hand at every death. If it did not come with the snapshot on trial, the rest of the change
            // is the better suspect, as long as there is something to go back to.
            let entry = self.entry(number)?;
            let came_with_it = entry.changed.is_empty() || entry.changed.contains(&unit);
            let on_trial = entry.state == State::Trial && *same && self.refuge(entry).is_some();
            (came_with_it || !on_trial).then_some(unit)
        })
    }

    fn blame_unit(&mut self, number: u64, unit: UnitPrefix, now_unix_ms: u64) -> Verdict {
        let reason = format!("it was in hand at {DEATHS} deaths, and nothing else was at both");
        self.quarantine_unit(unit, &reason, now_unix_ms);
        for entry in &mut self.entries {
            // Explained now, and not to be held against the snapshot.
            entry.deaths.retain(|death| !death.suspects.contains(&unit));
        }
        for spoiled in [Some(number), self.current].into_iter().flatten() {
            if let Some(entry) = self.entry_mut(spoiled) {
                entry.spoiled = true;
                entry.reason = Some(format!("unit {unit} is quarantined: {reason}"));
            }
        }
        Verdict::Unit { number, unit, reason }
    }

    fn blame_snapshot(&mut self, number: u64, reason: String) -> Verdict {
        let Some(entry) = self.entry(number) else { return Verdict::Nothing };
        let Some(next) = self.refuge(entry) else {
            return Verdict::Kept { number, reason: format!("{reason}, and nothing else could serve") };
        };
        let young = entry.deaths.iter().all(|death| death.ran_ms < EARLY_MS);
        if young && self.current == Some(number) {
            if self.blamed.len() + 1 >= BLAMED_MAX {
                return self.absolve(number);
            }
            self.blamed.push((number, entry.state));
        }
        self.set_aside(number, &reason, next);
        Verdict::Snapshot { number, next, reason }
    }

    /// It is not the snapshots.
    fn absolve(&mut self, number: u64) -> Verdict {
        let was: Vec<(u64, State)> = self.blamed.clone();
        for (blamed, _) in was.iter().filter(|(_, state)| *state == State::Good) {
            if let Some(entry) = self.entry_mut(*blamed) {
                entry.state = State::Good;
                entry.reason = None;
                entry.deaths.clear();
            }
        }
        let number = self.newest_good().unwrap_or(number);
        self.current = Some(number);
        let reason =
            format!("{BLAMED_MAX} snapshots died young one after the other, so it is none of theirs");
        Verdict::Kept { number, reason }
    }

    /// Where to go from a snapshot. From a good one only to another good one; from one on trial also to one that served
    /// and did not die, for where nothing has soaked yet.
    fn refuge(&self, from: &Entry) -> Option<u64> {
        if let Some(current) = self.current.filter(|current| *current != from.number)
            && self.entry(current).is_some_and(|entry| entry.state != State::Quarantined)
        {
            return Some(current);
        }
        let other = |number: &u64| *number != from.number;
        let fit = |number: &u64| {
            self.entry(*number).is_some_and(|entry| {
                entry.state == State::Good
                    || from.state == State::Trial
                        && entry.adopted_unix_ms.is_some()
                        && entry.deaths.len() < DEATHS
                        && entry.content != from.content
            })
        };
        self.start_order(true).into_iter().filter(other).find(fit)
    }

    fn set_aside(&mut self, number: u64, reason: &str, next: u64) {
        if let Some(entry) = self.entry_mut(number) {
            entry.state = State::Quarantined;
            entry.reason = Some(reason.to_owned());
            entry.soak_begun_unix_ms = None;
        }
        if self.candidate == Some(number) {
            self.candidate = None;
        }
        if self.current == Some(number) {
            self.current = Some(next);
        }
    }
}

/// Why a snapshot's deaths are reason enough.
fn grounds(entry: &Entry) -> Option<String> {
    let early = entry.deaths.iter().filter(|death| death.ran_ms < EARLY_MS).count();
    match entry.state {
        State::Trial if entry.deaths.len() >= DEATHS => {
            Some(format!("the edge died {} times with it while it was on trial", entry.deaths.len()))
        }
        State::Good if early >= DEATHS => {
            Some(format!("the edge died {early} times within a minute of beginning with it"))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
