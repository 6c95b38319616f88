//! How a change is brought in: the `[edge.rollout]` table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::text;

/// How a change is brought in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollout {
    /// Shares of requests that run under the candidate, stage by stage, in percent; each above the one before, the last
    /// below 100. Default 1, 10, 50.
    pub stages: Vec<u8>,
    /// Least time a stage lasts. Default 8 s.
    #[serde(with = "text::duration")]
    pub hold: Duration,
    /// Least requests seen under the candidate in a stage; synthetic ones fill up. Default 50.
    pub requests: u32,
    /// How long a snapshot serves wholly and without a death before it is *good*. Default 10 min.
    #[serde(with = "text::duration")]
    pub soak: Duration,
    /// Snapshots kept. Default 20.
    pub keep: u32,
    /// `hold` of kill switches and bans. Default 1 s.
    #[serde(with = "text::duration")]
    pub quick_hold: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Rollout {
            stages: vec![1, 10, 50],
            hold: Duration::from_secs(8),
            requests: 50,
            soak: Duration::from_secs(600),
            keep: 20,
            quick_hold: Duration::from_secs(1),
        }
    }
}
