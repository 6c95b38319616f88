//! Whether a change may go on: stages, gates, rehearsal, and artifacts that alternate.
//!
//! - [`Progress`] leads one candidate through the stages of a [`Plan`]. It is shown [`Sample`]s of what the two cohorts
//!   went through, and answers with a [`Step`].
//! - [`GATES`] says what is compared, from how many requests on, and how much worse is too much.
//! - [`Verdict`] is a gate's written judgement: what got worse, from what to what, at which stage.
//! - [`Rehearsal`] judges a candidate's run over recorded requests, before any visitor meets it.
//! - [`Alternation`] recognises an artifact that flips between good and bad.
//!
//! Nothing here reads a clock: time is an argument, in monotonic milliseconds from any start common to all calls.

mod alternation;
mod gates;
mod histogram;
mod judge;
mod plan;
mod progress;
mod rehearsal;
mod sample;
mod spread;
mod stats;
mod verdict;
mod votes;

pub use alternation::{ALTERNATIONS_TO_PIN, Alternation, Finding, MEMORY_MS, PERIODS_TO_UNPIN};
pub use gates::{GATES, Gate, Metric};
pub use histogram::Histogram;
pub use plan::Plan;
pub use progress::{CONFIRM_MS, Progress, SILENCE_MS, STAGE_HOLDS_MAX, STAGE_MAX_MS, Step};
pub use rehearsal::{CHANGED_MIN, CHANGED_SHARE, Objection, Rehearsal};
pub use sample::Sample;
pub use spread::Spread;
pub use verdict::{Counted, Value, Verdict};
pub use votes::{Vote, Votes};
