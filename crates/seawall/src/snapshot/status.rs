//! What an edge says of changes (`GET /snapshot`). What an edge of another version does not send keeps its default.

use serde::Deserialize;

/// Where changes stand.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The snapshot that serves.
    pub current: Option<Standing>,
    /// The one on its way.
    pub candidate: Option<Underway>,
    /// How the last change ended.
    pub last: Option<Ended>,
    /// The same for some before it, the newest last.
    pub recent: Vec<Ended>,
    /// Whether another change waits for this one to end.
    pub queued: bool,
    /// Orders of those that wait.
    pub waiting: Vec<u64>,
    /// Generated files kept at their good version because they alternate.
    pub pinned: Vec<String>,
}

/// The snapshot that serves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Its number.
    pub number: u64,
    /// `trial` or `good`.
    pub state: String,
    /// Since when it serves.
    pub since_unix_ms: u64,
}

/// The snapshot on its way.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Underway {
    /// The order it comes from.
    pub order: u64,
    /// Its number.
    pub number: u64,
    /// `rehearsal`, or its share: `10 %`.
    pub stage: String,
    /// The share.
    pub percent: u8,
    /// Since when this stage.
    pub since_unix_ms: u64,
    /// Requests of this stage.
    pub requests: Seen,
    /// What it changes, each in a sentence.
    pub effects: Vec<String>,
}

/// Requests of a stage so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// By the snapshot that serves.
    pub current: u64,
    /// By the candidate.
    pub candidate: u64,
}

/// A change that is over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// The order it came from.
    pub order: u64,
    /// None if it was refused before it had one.
    pub number: Option<u64>,
    /// `adopted`, `unchanged`, `refused`, `failed` or `superseded`.
    pub outcome: String,
    /// What a gate found.
    pub verdict: Option<String>,
    /// Why it was refused.
    pub reasons: Vec<String>,
    /// What it changes.
    pub effects: Vec<String>,
    /// What is to be acknowledged for it to be taken.
    pub needs: Vec<Needed>,
}

/// Something to be acknowledged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Needed {
    /// As `removed_zones`.
    pub what: String,
    /// The number to state.
    pub count: u64,
    /// Why.
    pub why: String,
}
