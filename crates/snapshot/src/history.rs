//! What is known of the snapshots of one data folder: their states, which one serves, what died under which.
//!
//! Pure rules; time comes in as an argument. All times of one process must come from a clock that does not jump, see
//! [`SteadyClock`](crate::SteadyClock). What to do after a death is in `blame.rs`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::unit::{Hash, UnitKind};

/// Snapshots that are always kept, whatever the configuration says (DESIGN R6: last-known-good is a history).
pub const HISTORY_LEAST: usize = 10;

/// Good snapshots kept however many trial ones came after: files that are made anew every few minutes must not push them out.
pub const GOOD_LEAST: usize = 3;

/// Units of a snapshot's change that are remembered by hash. A change of more is not blamed unit by unit.
pub const CHANGED_MAX: usize = 64;

/// Contents that stay refused after their snapshot is pruned. The oldest is forgotten beyond.
const REFUSED_MAX: usize = 64;

/// Units in quarantine at once. The oldest is let out beyond: so many at once are no fault of single zones.
const QUARANTINED_UNITS_MAX: usize = 1_000;

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made, and perhaps serving, but not yet for the time of a soak.
    Trial,
    /// Served for the time of a soak without a death.
    Good,
    /// Found to break the edge. Nothing starts with it, and its content is refused.
    Quarantined,
}

impl State {
    /// `trial`, `good` or `quarantined`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Trial => "trial",
            State::Good => "good",
            State::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why there is a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Who made it: `file`, `operator`, `rollback`, `start`, `quarantine`.
    pub who: String,
    /// Why, in words.
    pub why: String,
}

impl Cause {
    /// [`Cause::who`] of a return to an older snapshot.
    pub const ROLLBACK: &'static str = "rollback";

    /// A cause.
    #[must_use]
    pub fn new(who: impl Into<String>, why: impl Into<String>) -> Self {
        Cause { who: who.into(), why: why.into() }
    }
}

/// An edge process that died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// When.
    pub unix_ms: u64,
    /// How long it had run with the snapshot, in milliseconds.
    pub ran_ms: u64,
    /// The units its workers had in hand, as the recorder tells.
    pub suspects: Vec<UnitPrefix>,
}

/// One snapshot, as the history knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number. Never given twice.
    pub number: u64,
    /// The hash of its units.
    pub content: Hash,
    /// How far it has come.
    pub state: State,
    /// When it was made.
    pub created_unix_ms: u64,
    /// Why.
    pub cause: Cause,
    /// What was found wrong with it, if anything was.
    #[serde(default)]
    pub reason: Option<String>,
    /// When an edge last began to serve wholly with it. `None`: never.
    #[serde(default)]
    pub adopted_unix_ms: Option<u64>,
    /// Since when it soaks. `None`: it does not, or is done.
    #[serde(default)]
    pub soak_begun_unix_ms: Option<u64>,
    /// Processes that died under it and are not explained by a unit; the latest last.
    #[serde(default)]
    pub deaths: Vec<Death>,
    /// The units that came with it. Empty where they were more than [`CHANGED_MAX`], or where it is not known.
    #[serde(default)]
    pub changed: Vec<UnitPrefix>,
    /// Whether a unit of it is in quarantine, so that it does not serve as it is and does not become good.
    #[serde(default)]
    pub spoiled: bool,
    /// Whether an operator went back from it to an older one.
    #[serde(default)]
    pub left: bool,
}

impl Entry {
    /// A snapshot that was just made.
    #[must_use]
    pub const fn new(number: u64, content: Hash, created_unix_ms: u64, cause: Cause) -> Self {
        Entry {
            number,
            content,
            state: State::Trial,
            created_unix_ms,
            cause,
            reason: None,
            adopted_unix_ms: None,
            soak_begun_unix_ms: None,
            deaths: Vec::new(),
            changed: Vec::new(),
            spoiled: false,
            left: false,
        }
    }
}

/// The first eight bytes of a unit's hash, [`Hash::prefix`]: what the recorder keeps of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitPrefix(pub u64);

impl fmt::Display for UnitPrefix {
    /// Sixteen digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for UnitPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UnitPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnitPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(UnitPrefix).map_err(de::Error::custom)
    }
}

/// Why a unit is left aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Its kind and name, as soon as somebody who has the units looked.
    #[serde(default)]
    pub unit: Option<(UnitKind, String)>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub unix_ms: u64,
}

/// A content that is refused though its snapshot is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The number it had.
    pub number: u64,
    /// Its hash.
    pub content: Hash,
    /// Why.
    pub reason: String,
}

/// All that is known. See the rules in `blame.rs` for what follows from a death.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The snapshots, newest first.
    pub entries: Vec<Entry>,
    /// The one that serves wholly.
    pub current: Option<u64>,
    /// The one on its way: in rehearsal or canary.
    pub candidate: Option<u64>,
    /// The highest number ever given.
    pub newest_number: u64,
    /// Units found to break the edge.
    pub quarantined_units: BTreeMap<UnitPrefix, Quarantine>,
    /// Contents that stay refused after their snapshots are gone, newest last.
    pub refused: Vec<Refused>,
    /// What configuration is read from, in words for people. Kept here, and of no consequence here.
    pub source: Option<String>,
    /// Snapshots quarantined one after the other for early deaths, with the states they had.
    pub blamed: Vec<(u64, State)>,
}

/// Why a snapshot is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Undeletable {
    /// There is none of that number.
    #[error("there is no snapshot {0}")]
    NoSuch(u64),
    /// It serves.
    #[error("snapshot {0} serves")]
    Current(u64),
    /// It is on its way.
    #[error("snapshot {0} is on its way to serve")]
    Candidate(u64),
    /// An edge would start with it.
    #[error("snapshot {0} is the newest good one, which an edge starts with")]
    NewestGood(u64),
    /// Without it there would be nothing to start with.
    #[error("snapshot {0} is the last one an edge could start with")]
    Last(u64),
}

impl History {
    /// The snapshot of that number.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    pub(crate) fn entry_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.number == number)
    }

    /// The newest snapshot, whatever its state.
    #[must_use]
    pub fn newest(&self) -> Option<&Entry> {
        self.entries.first()
    }

    /// What a new snapshot is to be made from: the one on its way, else the one that serves, else the newest.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.candidate.or(self.current).or_else(|| self.newest().map(|entry| entry.number))
    }

    /// The newest good snapshot; one that an operator went back from only if there is no other.
    #[must_use]
    pub fn newest_good(&self) -> Option<u64> {
        self.good().next().map(|entry| entry.number)
    }

    /// The newest good snapshot older than the one that serves: where a rollback goes that names no number.
    #[must_use]
    pub fn rollback_target(&self) -> Option<u64> {
        let current = self.current.and_then(|number| self.entry(number));
        let below = current.map_or(u64::MAX, |entry| entry.number);
        let content = current.map(|entry| entry.content);
        self.good().find(|entry| entry.number < below && Some(entry.content) != content).map(|e| e.number)
    }

    /// Good ones in the order they are to be started with.
    fn good(&self) -> impl Iterator<Item = &Entry> {
        let good = |left: bool| {
            self.entries.iter().filter(move |entry| entry.state == State::Good && entry.left == left)
        };
        good(false).chain(good(true))
    }

    /// What an edge starts with. `fresh`: as a first process, with the newest good one, or where none is good, the newest
    /// trial one. Not fresh: in the place of one that died, with the one that serves unless that is quarantined.
    #[must_use]
    pub fn start_with(&self, fresh: bool) -> Option<u64> {
        self.start_order(fresh).first().copied()
    }

    /// The snapshots an edge could start with, best first: should one be damaged, the next is tried.
    #[must_use]
    pub fn start_order(&self, fresh: bool) -> Vec<u64> {
        let trial = || self.entries.iter().filter(|entry| entry.state == State::Trial);
        let served = |entry: &&Entry| entry.adopted_unix_ms.is_some();
        let mut order: Vec<u64> = Vec::new();
        let current = self.current.and_then(|number| self.entry(number));
        if !fresh {
            order.extend(current.filter(|entry| entry.state != State::Quarantined).map(|entry| entry.number));
        }
        order.extend(self.good().map(|entry| entry.number));
        // Trial ones that served and did not die, then those never tried, then those that something was found with.
        order.extend(trial().filter(served).filter(|entry| entry.deaths.is_empty()).map(|e| e.number));
        order.extend(
            trial().filter(|entry| entry.reason.is_none() && entry.deaths.is_empty()).map(|e| e.number),
        );
        order.extend(trial().map(|entry| entry.number));
        let mut seen = Vec::new();
        order.retain(|number| {
            let first = !seen.contains(number);
            seen.push(*number);
            first
        });
        order
    }

    /// A snapshot was made.
    pub fn record(&mut self, mut entry: Entry) {
        // The same content again is the same danger again, whatever its number.
        if let Some(same) =
            self.entries.iter().find(|e| e.content == entry.content && e.state == State::Trial)
        {
            entry.deaths.clone_from(&same.deaths);
            entry.spoiled |= same.spoiled;
        }
        self.newest_number = self.newest_number.max(entry.number);
        let at = self.entries.partition_point(|other| other.number > entry.number);
        match self.entries.get_mut(at) {
            Some(same) if same.number == entry.number => *same = entry,
            _ => self.entries.insert(at, entry),
        }
    }

    /// A snapshot sets out to serve. False, and nothing changes, for one that is not there or is quarantined.
    pub fn proposed(&mut self, number: u64) -> bool {
        let fit = self.entry(number).is_some_and(|entry| entry.state != State::Quarantined);
        if fit {
            self.candidate = Some(number);
        }
        fit
    }

    /// The candidate did not make it, for this reason. What serves goes on.
    pub fn failed(&mut self, number: u64, reason: &str) {
        if self.candidate == Some(number) {
            self.candidate = None;
        }
        if let Some(entry) = self.entry_mut(number) {
            entry.reason = Some(reason.to_owned());
        }
    }

    /// A process begins with this snapshot: whatever soaked begins anew, or ends.
    pub fn started(&mut self, number: u64, now_unix_ms: u64) {
        if self.entry(number).is_none() {
            return;
        }
        self.candidate = None;
        self.current = Some(number);
        self.stop_soaking();
        self.begin(number, now_unix_ms);
    }

    /// The snapshot passed its stages and serves wholly. The one before goes on soaking: what comes after it has all of it
    /// but the change. Not so at a rollback, which says that something was wrong.
    pub fn adopted(&mut self, number: u64, now_unix_ms: u64) {
        let Some(entry) = self.entry(number) else { return };
        let content = entry.content;
        let before = self.current.replace(number).filter(|before| *before != number);
        if entry_is_rollback(self.entry(number)) {
            self.stop_soaking();
            if let Some(left) = before.and_then(|before| self.entry_mut(before))
                && left.content != content
            {
                left.left = true;
            }
        }
        if self.candidate == Some(number) {
            self.candidate = None;
        }
        self.begin(number, now_unix_ms);
    }

    fn begin(&mut self, number: u64, now_unix_ms: u64) {
        let content = self.entry(number).map(|entry| entry.content);
        // What was good once is good under another number. Going back leads to the content that is known, not into a trial.
        let known = self.entries.iter().any(|e| Some(e.content) == content && e.state == State::Good);
        if let Some(entry) = self.entry_mut(number) {
            entry.adopted_unix_ms = Some(now_unix_ms);
            entry.soak_begun_unix_ms = Some(now_unix_ms);
            entry.left = false;
            entry.reason = entry.reason.take().filter(|_| entry.spoiled);
            if known && entry.state == State::Trial && entry.deaths.is_empty() {
                entry.state = State::Good;
            }
        }
    }

    pub(crate) fn stop_soaking(&mut self) {
        for entry in &mut self.entries {
            entry.soak_begun_unix_ms = None;
        }
    }

    /// Makes good what has soaked for so long, one at a call, and says which: call again until there is none.
    ///
    /// A death in between begins it anew. A good one that serves again soaks too, to have its deaths forgotten.
    pub fn soak(&mut self, now_unix_ms: u64, soak_ms: u64) -> Option<u64> {
        loop {
            let due = self.entries.iter_mut().rev().find(|entry| {
                !entry.spoiled
                    && entry.soak_begun_unix_ms.is_some_and(|at| now_unix_ms.saturating_sub(at) >= soak_ms)
            })?;
            due.soak_begun_unix_ms = None;
            due.deaths.clear();
            let promoted = due.state == State::Trial;
            if promoted {
                due.state = State::Good;
            }
            let number = due.number;
            // A process lived: what was blamed was rightly blamed.
            self.blamed.clear();
            if promoted {
                return Some(number);
            }
        }
    }

    /// Whether this content was found to break the edge.
    #[must_use]
    pub fn is_quarantined_content(&self, content: &Hash) -> bool {
        self.refusal(content).is_some()
    }

    /// Why this content is refused, and under which number that was found. `None`: it is not.
    #[must_use]
    pub fn refusal(&self, content: &Hash) -> Option<(u64, &str)> {
        let here = |entry: &&Entry| entry.state == State::Quarantined && entry.content == *content;
        let entry = self.entries.iter().find(here);
        entry.map(|entry| (entry.number, entry.reason.as_deref().unwrap_or("quarantined"))).or_else(|| {
            let gone = self.refused.iter().rev().find(|refused| refused.content == *content);
            gone.map(|refused| (refused.number, refused.reason.as_str()))
        })
    }

    /// Whether this unit was found to break the edge.
    #[must_use]
    pub fn is_quarantined_unit(&self, hash: &Hash) -> bool {
        self.quarantined_units.contains_key(&UnitPrefix(hash.prefix()))
    }

    /// Leaves a unit aside from now on. The snapshots that hold it serve with another version of it
    /// ([`Store::effective`](crate::Store::effective)).
    pub fn quarantine_unit(&mut self, unit: UnitPrefix, reason: &str, now_unix_ms: u64) {
        if self.quarantined_units.len() >= QUARANTINED_UNITS_MAX
            && let Some(oldest) =
                self.quarantined_units.iter().min_by_key(|(_, q)| q.unix_ms).map(|(u, _)| *u)
        {
            self.quarantined_units.remove(&oldest);
        }
        let quarantine = Quarantine { unit: None, reason: reason.to_owned(), unix_ms: now_unix_ms };
        self.quarantined_units.entry(unit).or_insert(quarantine);
    }

    /// Lets a unit out of quarantine; false where it was not in.
    pub fn release_unit(&mut self, unit: UnitPrefix) -> bool {
        self.quarantined_units.remove(&unit).is_some()
    }

    /// Whether a snapshot may be deleted.
    ///
    /// # Errors
    /// [`Undeletable`] says why not.
    pub fn may_delete(&self, number: u64) -> Result<(), Undeletable> {
        if self.entry(number).is_none() {
            return Err(Undeletable::NoSuch(number));
        }
        if self.current == Some(number) {
            return Err(Undeletable::Current(number));
        }
        if self.candidate == Some(number) {
            return Err(Undeletable::Candidate(number));
        }
        if self.newest_good() == Some(number) {
            return Err(Undeletable::NewestGood(number));
        }
        if self.start_order(true) == [number] {
            return Err(Undeletable::Last(number));
        }
        Ok(())
    }

    /// Which snapshots are in excess of `keep`. Never fewer than [`HISTORY_LEAST`] stay, and never does one go that
    /// [`History::may_delete`] protects, nor one of the newest [`GOOD_LEAST`] good ones.
    #[must_use]
    pub fn excess(&self, keep: usize) -> Vec<u64> {
        let good: Vec<u64> = self.good().take(GOOD_LEAST).map(|entry| entry.number).collect();
        let old = self.entries.iter().skip(keep.max(HISTORY_LEAST)).map(|entry| entry.number);
        old.filter(|number| !good.contains(number) && self.may_delete(*number).is_ok()).collect()
    }

    /// Takes a snapshot out that was pruned: what was refused stays refused.
    pub(crate) fn pruned(&mut self, number: u64) {
        if let Some(entry) = self.entry(number).filter(|entry| entry.state == State::Quarantined) {
            let reason = entry.reason.clone().unwrap_or_else(|| "quarantined".to_owned());
            let refused = Refused { number, content: entry.content, reason };
            self.refused.push(refused);
            let excess = self.refused.len().saturating_sub(REFUSED_MAX);
            self.refused.drain(..excess);
        }
        self.deleted(number);
    }

    /// Takes a snapshot out that an operator deleted; with it goes the refusal of its content.
    pub(crate) fn deleted(&mut self, number: u64) {
        if let Some(content) = self.entry(number).map(|entry| entry.content) {
            self.entries.retain(|entry| entry.number != number);
            if !self.refused.iter().any(|refused| refused.number == number) {
                self.refused.retain(|refused| refused.content != content);
            }
        }
        self.blamed.retain(|(blamed, _)| *blamed != number);
    }
}

fn entry_is_rollback(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| entry.cause.who == Cause::ROLLBACK)
}
