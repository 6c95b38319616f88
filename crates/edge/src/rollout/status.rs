//! What is told of changes: what serves, what is on its way, how the last ones ended. The answer to `GET /snapshot`.

use seawall_snapshot::Needed;
use serde::Serialize;
use std::collections::VecDeque;

/// Ended changes that are remembered, so that whoever asks now and then misses none.
const RECENT: usize = 16;

/// Where changes stand.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Status {
    pub current: Option<Standing>,
    pub candidate: Option<Underway>,
    /// How the last change ended.
    pub last: Option<Ended>,
    /// The same for some before it, the newest last.
    pub recent: VecDeque<Ended>,
    /// Whether another change waits for this one to end.
    pub queued: bool,
    /// Orders of those that wait, in their turn.
    pub waiting: Vec<u64>,
    /// Artifacts kept at their good version because they alternate.
    pub pinned: Vec<String>,
}

/// The snapshot that serves.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Standing {
    pub number: u64,
    /// Hash of what it says; what runs is exactly this.
    pub content: String,
    pub state: &'static str,
    pub since_unix_ms: u64,
}

/// The snapshot on its way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Underway {
    pub order: u64,
    pub number: u64,
    pub content: String,
    /// `rehearsal`, or the share: `10 %`.
    pub stage: String,
    pub percent: u8,
    pub since_unix_ms: u64,
    pub requests: Seen,
    pub effects: Vec<String>,
}

/// Requests of a stage so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Seen {
    pub current: u64,
    pub candidate: u64,
}

/// A change that is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ended {
    pub order: u64,
    /// None if it was refused before it had one.
    pub number: Option<u64>,
    pub outcome: Outcome,
    /// What a gate found, in a sentence.
    pub verdict: Option<String>,
    /// Why it was refused, each in a sentence; of one that was adopted, what of it was not.
    pub reasons: Vec<String>,
    pub effects: Vec<String>,
    /// What must be acknowledged for it to be taken.
    pub needs: Vec<Needed>,
    pub unix_ms: u64,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Adopted,
    /// It says what is served already.
    Unchanged,
    /// By a check, before it touched a request.
    Refused,
    /// By a gate; the one before serves again.
    Failed,
    /// A later change took its place.
    Superseded,
}

impl Status {
    /// A change is over.
    pub(crate) fn end(&mut self, ended: Ended) {
        if self.candidate.as_ref().is_some_and(|candidate| candidate.order == ended.order) {
            self.candidate = None;
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(ended.clone());
        self.last = Some(ended);
    }
}

impl Ended {
    /// One that ended so, with nothing more to say.
    pub(crate) fn new(order: u64, number: Option<u64>, outcome: Outcome) -> Ended {
        Ended {
            order,
            number,
            outcome,
            verdict: None,
            reasons: Vec::new(),
            effects: Vec::new(),
            needs: Vec::new(),
            unix_ms: super::unix_ms(),
        }
    }
}
