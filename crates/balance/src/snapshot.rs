//! The state of a pool at one moment, for metrics and `seawall top`.

use crate::health::Standing;

/// One member. Counts are totals since the member was first configured; they survive reloads.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberSnapshot {
    /// Of the member.
    pub name: String,
    /// As configured.
    pub weight: u32,
    /// As configured.
    pub backup: bool,
    /// What it is good for now.
    pub standing: Standing,
    /// Until when it is ejected, in the milliseconds of `now_ms`; 0: not ejected.
    pub ejected_until_ms: u64,
    /// Requests in flight, streams and WebSockets included.
    pub outstanding: u32,
    /// Of these, waiting for the first byte.
    pub awaiting: u32,
    /// Requests queued for a place.
    pub pending: u32,
    /// Connections open, idle ones included.
    pub connections: u32,
    /// `max_connections` as configured.
    pub max_connections: u32,
    /// Adaptive limit on `awaiting`; `None` when it is off.
    pub limit: Option<u32>,
    /// Requests admitted: those that ended and those outstanding.
    pub requests: u64,
    /// Requests refused by a limit.
    pub refused: u64,
    /// Requests by how they ended, in the order of [`Outcome::ALL`](crate::Outcome::ALL).
    pub outcomes: [u64; 6],
    /// Times it was ejected.
    pub ejections: u64,
    /// Probes answered or failed.
    pub probes: u64,
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSnapshot {
    /// In the order of configuration.
    pub members: Vec<MemberSnapshot>,
    /// Retries the budget allowed.
    pub retries_allowed: u64,
    /// Retries it denied.
    pub retries_denied: u64,
    /// Picks made while no member was live.
    pub panic_picks: u64,
}
