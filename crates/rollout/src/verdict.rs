//! The written judgement of a gate.

use crate::gates::Metric;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a gate measured of one cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// So many of so many requests.
    Share {
        /// Requests it holds for.
        count: u64,
        /// Requests looked at.
        of: u64,
    },
    /// A time in microseconds, to a power of two.
    TimeUs(u64),
    /// Bytes.
    Bytes(u64),
    /// It could not be measured.
    Missing,
}

/// Of what a gate compared shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Requests of visitors.
    Requests,
    /// Requests of visitors, one of each visitor and page.
    Distinct,
    /// Synthetic requests.
    Synthetic,
}

/// Why a candidate does not go on: what got worse, from what to what, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What got worse.
    pub metric: Metric,
    /// More closely, where the metric has parts: the band of scores, or what counts as slow.
    pub detail: Option<String>,
    /// Percent of requests the candidate had.
    pub stage_percent: u8,
    /// How long the stage had lasted, in milliseconds.
    pub after_ms: u64,
    /// Requests of the candidate in this stage, without synthetic ones.
    pub requests: u64,
    /// What requests it was seen on.
    pub counted: Counted,
    /// What it was beside the candidate.
    pub stable: Value,
    /// What it was under the candidate.
    pub candidate: Value,
}

impl Verdict {
    /// By how much it got worse, in words: `+97.8 points`, `16 times`, `+300 MiB`.
    #[must_use]
    pub fn by_how_much(&self) -> String {
        match (self.stable, self.candidate) {
            (Value::Share { count: a, of: of_a }, Value::Share { count: b, of: of_b }) => {
                let percent = |count: u64, of: u64| count as f64 * 100.0 / of.max(1) as f64;
                format!("{:+.1} points", percent(b, of_b) - percent(a, of_a))
            }
            (Value::TimeUs(a), Value::TimeUs(b)) => format!("{} times", b / a.max(1)),
            (Value::Bytes(a), Value::Bytes(b)) => format!("+{} MiB", b.saturating_sub(a) >> 20),
            _ => "not to be measured".to_owned(),
        }
    }

    fn fell(&self) -> bool {
        match (self.stable, self.candidate) {
            (Value::Share { count: a, of: of_a }, Value::Share { count: b, of: of_b }) => {
                u128::from(b) * u128::from(of_a) < u128::from(a) * u128::from(of_b)
            }
            _ => false,
        }
    }
}

/// A sentence: `stage 10 %: module faults rose from 0 of 812 requests to 88 of 90`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {} %: {}", self.stage_percent, self.metric.name())?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        let kind = match self.counted {
            Counted::Requests => "requests",
            Counted::Distinct => "distinct requests",
            Counted::Synthetic => "synthetic requests",
        };
        match (self.stable, self.candidate) {
            (_, Value::Missing) => write!(f, " of the candidate could not be measured"),
            (Value::Missing, _) => write!(f, " beside the candidate could not be measured"),
            (Value::Share { count: a, of: of_a }, Value::Share { count: b, of: of_b }) => {
                let moved = if self.fell() { "fell" } else { "rose" };
                write!(f, " {moved} from {a} of {of_a} {kind} to {b} of {of_b}")
            }
            (a, b) => write!(f, " rose from {a} to {b}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::Share { count, of } => write!(f, "{count} of {of}"),
            Value::TimeUs(us) if us < 10_000 => write!(f, "about {:.1} ms", us as f64 / 1_000.0),
            Value::TimeUs(us) => write!(f, "about {} ms", us / 1_000),
            Value::Bytes(bytes) => write!(f, "{} MiB", bytes >> 20),
            Value::Missing => f.write_str("nothing measured"),
        }
    }
}
