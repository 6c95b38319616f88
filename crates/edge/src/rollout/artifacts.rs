//! Data files that something else generates: checked when they come in, like any user's input (DESIGN R2), and pinned
//! when they alternate between good and bad.

use bytes::Bytes;
use seawall_guard::{Guard, Sabotage};
use seawall_human::FeatureFile;
use seawall_rollout::{Alternation, Finding};
use seawall_snapshot::Hash;
use std::collections::{HashMap, VecDeque};

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
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Taken {
    /// It may go into the next snapshot.
    Accepted(Bytes),
    /// The last good one stays, for this reason.
    Refused(String),
    /// The last good one stays, for this reason, which was told before.
    Known(String),
    /// It alternates, and the last good one stays until it does no more or somebody says so.
    Pinned,
}

/// Versions of an artifact that turned out bad and are remembered, in number.
const BAD_MAX: usize = 16;

/// Remembers what came in.
#[derive(Default)]
pub(crate) struct Intake {
    alternations: Alternation,
    seen: HashMap<&'static str, Seen>,
}

/// What is known of an artifact.
#[derive(Default)]
struct Seen {
    /// The last version: what it is if it was found good, else why not.
    last: Option<(Hash, Result<Bytes, String>)>,
    /// Versions that a gate sent back after they were accepted.
    bad: VecDeque<(Hash, String)>,
}

impl Intake {
    /// Takes in what serves from the start: the first good version.
    pub(crate) fn begin_with(&mut self, name: &'static str, bytes: &Bytes, now_ms: u64) {
        let hash = Hash::of(bytes);
        self.seen.entry(name).or_default().last = Some((hash, Ok(bytes.clone())));
        self.alternations.feed(name, now_ms, hash.prefix(), true);
    }

    /// Looks at a data file, and tells of it if this pins it. The same one looked at again is judged as before: a change
    /// may be handed in more than once until it is acknowledged.
    pub(crate) fn look(
        &mut self,
        artifact: &Artifact,
        now_ms: u64,
        sabotage: Option<&Sabotage>,
    ) -> (Taken, Option<Finding>) {
        let bytes = match &artifact.content {
            Ok(bytes) => bytes,
            Err(why) => return (Taken::Refused(why.clone()), None),
        };
        let hash = Hash::of(bytes);
        let pins = !sabotage.is_some_and(|s| s.without(Guard::Pin));
        let seen = self.seen.entry(artifact.name).or_default();
        if let Some((_, good)) = seen.last.as_ref().filter(|(last, _)| *last == hash) {
            let again = match good {
                _ if pins && self.alternations.finding(artifact.name).is_some() => Taken::Pinned,
                Ok(bytes) => Taken::Accepted(bytes.clone()),
                Err(why) => Taken::Known(why.clone()),
            };
            return (again, None);
        }
        let turned_out = seen.bad.iter().find(|(bad, _)| *bad == hash).map(|(_, why)| why.clone());
        let checked = match (turned_out, sabotage.is_some_and(|s| s.without(Guard::Validation))) {
            (Some(why), _) => Err(why),
            (None, true) => Ok(()),
            (None, false) => check(artifact.name, bytes),
        };
        let checked = checked.map(|()| bytes.clone());
        seen.last = Some((hash, checked.clone()));
        let finding = self.alternations.feed(artifact.name, now_ms, hash.prefix(), checked.is_ok());
        let taken = match checked {
            _ if pins && self.alternations.finding(artifact.name).is_some() => Taken::Pinned,
            Ok(bytes) => Taken::Accepted(bytes),
            Err(why) => Taken::Refused(why),
        };
        (taken, finding.filter(|_| pins))
    }

    /// What was accepted has turned out bad, for this reason.
    pub(crate) fn turned_out_bad(
        &mut self,
        name: &str,
        bytes: &[u8],
        why: &str,
        now_ms: u64,
    ) -> Option<Finding> {
        let (name, seen) = self.seen.iter_mut().find(|(known, _)| **known == name)?;
        let hash = Hash::of(bytes);
        let why = format!("{name}: this version was taken back before: {why}");
        if let Some((last, judged)) = &mut seen.last
            && *last == hash
        {
            *judged = Err(why.clone());
        }
        if seen.bad.len() >= BAD_MAX {
            seen.bad.pop_front();
        }
        seen.bad.push_back((hash, why));
        self.alternations.feed(name, now_ms, hash.prefix(), false)
    }

    /// Follows again what has calmed down.
    pub(crate) fn settle(&mut self, now_ms: u64) -> Vec<String> {
        self.alternations.settle(now_ms)
    }

    /// Follows an artifact again, and forgets what was held against it.
    pub(crate) fn unpin(&mut self, name: &str) -> bool {
        if let Some((_, seen)) = self.seen.iter_mut().find(|(known, _)| **known == name) {
            seen.bad.clear();
        }
        self.alternations.unpin(name)
    }

    /// The last version, if it was found good: what is to be followed to.
    pub(crate) fn newest(&self, name: &str) -> Option<(&'static str, Bytes)> {
        let (name, seen) = self.seen.iter().find(|(known, _)| **known == name)?;
        Some((name, seen.last.as_ref()?.1.clone().ok()?))
    }

    /// Names of what is pinned.
    pub(crate) fn pinned(&self) -> Vec<String> {
        self.alternations.pinned().map(str::to_owned).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> Artifact {
        Artifact { name: BOT_FEATURES, content: Ok(content.to_owned().into()) }
    }

    fn good(version: u8) -> String {
        let file = String::from_utf8(seawall_human::DEFAULT.to_vec()).unwrap();
        format!("{file}{}", " ".repeat(version.into()))
    }

    #[test]
    fn what_was_accepted_is_accepted_when_the_change_is_handed_in_again() {
        let mut intake = Intake::default();
        let accepted = Taken::Accepted(good(1).into());
        for _ in 0..3 {
            assert_eq!(intake.look(&file(&good(1)), 0, None), (accepted.clone(), None));
        }
    }

    #[test]
    fn a_bad_one_is_refused_in_words_once_and_then_known() {
        let mut intake = Intake::default();
        let (taken, _) = intake.look(&file("{}"), 0, None);
        assert!(matches!(&taken, Taken::Refused(why) if why.starts_with(BOT_FEATURES)), "{taken:?}");
        assert!(matches!(intake.look(&file("{}"), 0, None).0, Taken::Known(_)));
        assert!(matches!(intake.look(&file(&good(1)), 0, None).0, Taken::Accepted(_)));
        assert!(matches!(intake.look(&file("{}"), 0, None).0, Taken::Refused(_)));
    }

    #[test]
    fn what_a_gate_sent_back_is_not_tried_again_until_somebody_says_so() {
        let mut intake = Intake::default();
        assert!(matches!(intake.look(&file(&good(1)), 0, None).0, Taken::Accepted(_)));
        intake.turned_out_bad(BOT_FEATURES, good(1).as_bytes(), "scores vanished", 1);
        assert!(matches!(intake.look(&file(&good(1)), 2, None).0, Taken::Known(_)));
        assert!(matches!(intake.look(&file(&good(2)), 3, None).0, Taken::Accepted(_)));
        let (taken, _) = intake.look(&file(&good(1)), 4, None);
        assert!(matches!(&taken, Taken::Refused(why) if why.contains("scores vanished")), "{taken:?}");
        intake.unpin(BOT_FEATURES);
        intake.look(&file(&good(2)), 5, None);
        assert!(matches!(intake.look(&file(&good(1)), 6, None).0, Taken::Accepted(_)));
    }

    #[test]
    fn an_alternating_one_is_pinned_and_its_last_good_version_is_at_hand_when_it_is_followed_again() {
        let mut intake = Intake::default();
        intake.begin_with(BOT_FEATURES, &good(0).into(), 0);
        let looks = [("{}", 1), ("", 2), ("{ }", 3)].map(|(bad, n)| {
            let content = if bad.is_empty() { good(n) } else { bad.to_owned() };
            intake.look(&file(&content), u64::from(n) * 1_000, None)
        });
        assert!(
            matches!(&looks[2], (Taken::Pinned, Some(finding)) if finding.period_ms == 2_000),
            "{looks:?}"
        );
        assert_eq!(intake.look(&file(&good(4)), 4_000, None), (Taken::Pinned, None));
        assert_eq!(intake.pinned(), [BOT_FEATURES]);
        assert_eq!(intake.newest(BOT_FEATURES), Some((BOT_FEATURES, good(4).into())));
        assert!(intake.unpin(BOT_FEATURES));
        assert!(matches!(intake.look(&file(&good(4)), 5_000, None).0, Taken::Accepted(_)));
    }
}
