//! The change against the previous version: what it does, and what of it must be acknowledged.

use crate::units::Units;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a change does, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect(pub String);

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What must be acknowledged before a change is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Needed {
    /// Its name.
    pub what: &'static str,
    /// The number to state.
    pub count: u64,
    /// Why.
    pub why: String,
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; if that is meant, acknowledge {}={}", self.why, self.what, self.count)
    }
}

/// An acknowledgement, as `removed_zones=12`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Its name.
    pub what: String,
    /// The number stated.
    pub count: u64,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.what, self.count)
    }
}

impl FromStr for Ack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (what, count) = text.split_once('=').ok_or("write WHAT=COUNT, as removed_zones=12")?;
        let count = count.parse().map_err(|_| format!("`{count}` is not a number"))?;
        Ok(Ack { what: what.to_owned(), count })
    }
}

/// What was found out about a change.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// What it does.
    pub effects: Vec<Effect>,
    /// What must be acknowledged.
    pub needs: Vec<Needed>,
    /// What is worth a word.
    pub warnings: Vec<String>,
}

/// Reviews a change.
#[must_use]
pub fn review(_before: &Units, _after: &Units) -> Review {
    Review::default()
}

/// Whether all that is needed is acknowledged, with the very number.
///
/// # Errors
/// What is not.
pub fn check(review: &Review, acks: &[Ack]) -> Result<(), Vec<Needed>> {
    let open: Vec<Needed> = review
        .needs
        .iter()
        .filter(|need| !acks.iter().any(|ack| ack.what == need.what && ack.count == need.count))
        .cloned()
        .collect();
    if open.is_empty() { Ok(()) } else { Err(open) }
}
