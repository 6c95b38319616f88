//! Data files that something else generates: checked when they come in, like any user's input (DESIGN R2), and pinned
//! when they alternate between good and bad.

use bytes::Bytes;
use seawall_guard::{Guard, Sabotage};
use seawall_human::FeatureFile;
use seawall_rollout::{Alternation, Finding};
use seawall_snapshot::Hash;
use std::collections::HashMap;

/// Name of the bot module's feature file.
pub const BOT_FEATURES: &str = "bot-features";

/// A data file as it was read.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its name in snapshots.
    pub name: &'static str,
    /// What is in it, or why it cannot be read.
    pub content: Result<Bytes, String>,
}

/// What to do about a data file.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// It may go into the next snapshot.
    Accepted(Bytes),
    /// The last good one stays, for this reason.
    Refused(String),
    /// It alternates, and the last good one stays until it does no more or somebody says so.
    Pinned(Finding),
}

/// Remembers what came in.
#[derive(Default)]
pub(crate) struct Intake {
    alternations: Alternation,
    seen: HashMap<&'static str, Hash>,
}

impl Intake {
    /// Takes in what serves from the start: the first good version.
    pub(crate) fn begin_with(&mut self, name: &'static str, hash: Hash, now_ms: u64) {
        self.seen.insert(name, hash);
        self.alternations.feed(name, now_ms, hash.prefix(), true);
    }

    /// Looks at a data file. `None`: it is the one looked at before.
    pub(crate) fn look(
        &mut self,
        artifact: &Artifact,
        now_ms: u64,
        sabotage: Option<&Sabotage>,
    ) -> Option<(Taken, Option<Finding>)> {
        let bytes = match &artifact.content {
            Ok(bytes) => bytes,
            Err(why) => return Some((Taken::Refused(why.clone()), None)),
        };
        let hash = Hash::of(bytes);
        if self.seen.insert(artifact.name, hash) == Some(hash) {
            return None;
        }
        let checked = match sabotage.is_some_and(|s| s.without(Guard::Validation)) {
            true => Ok(()),
            false => check(artifact.name, bytes),
        };
        Some(self.judge(artifact.name, hash, checked.map(|()| bytes.clone()), now_ms, sabotage))
    }

    /// A later check found out that what was accepted is bad.
    pub(crate) fn turned_out_bad(&mut self, name: &'static str, now_ms: u64) -> Option<Finding> {
        let hash = *self.seen.get(name)?;
        self.alternations.feed(name, now_ms, hash.prefix(), false)
    }

    /// Follows again what has calmed down.
    pub(crate) fn settle(&mut self, now_ms: u64) -> Vec<String> {
        let calm = self.alternations.settle(now_ms);
        self.seen.retain(|seen, _| !calm.iter().any(|name| name == seen));
        calm
    }

    /// Follows an artifact again.
    pub(crate) fn unpin(&mut self, name: &str) -> bool {
        self.seen.retain(|seen, _| *seen != name);
        self.alternations.unpin(name)
    }

    /// Names of what is pinned.
    pub(crate) fn pinned(&self) -> Vec<String> {
        self.alternations.pinned().map(str::to_owned).collect()
    }

    fn judge(
        &mut self,
        name: &'static str,
        hash: Hash,
        checked: Result<Bytes, String>,
        now_ms: u64,
        sabotage: Option<&Sabotage>,
    ) -> (Taken, Option<Finding>) {
        let new = self.alternations.feed(name, now_ms, hash.prefix(), checked.is_ok());
        if !sabotage.is_some_and(|s| s.without(Guard::Pin))
            && let Some(finding) = self.alternations.finding(name)
        {
            return (Taken::Pinned(finding.clone()), new);
        }
        (checked.map_or_else(Taken::Refused, Taken::Accepted), new)
    }
}

/// Checks a data file by its kind.
///
/// # Errors
/// What is wrong with it: the field, the limit and the value.
pub fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
    match name {
        BOT_FEATURES => FeatureFile::parse(bytes).map(drop).map_err(|fault| format!("{name}: {fault}")),
        _ => Ok(()),
    }
}
