//! What a pool is told at its start. Plain numbers; the configuration's own types are converted by the caller.

use thiserror::Error;

/// Most members of one pool. A set of members is one `u64`, which keeps choosing free of allocation; larger groups
/// belong behind several pools or a name that resolves to several addresses.
pub const MAX_MEMBERS: usize = 64;

/// Largest weight of a member. Beyond it proportions are better said by leaving members out.
pub const MAX_WEIGHT: u32 = 65_535;

/// How a member is chosen among the live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// In turn, in proportion to weight, evenly interleaved.
    #[default]
    RoundRobin,
    /// The fewest outstanding requests per weight; above 16 live members the better of two drawn by weight.
    LeastOutstanding,
    /// By [`PickInput::hash`](crate::PickInput::hash): a key stays with its member while that member lives, and a
    /// member that goes or comes moves only its own share of keys.
    Hash {
        /// A member above this percentage of the mean load passes keys on to the key's next choice; 0 turns it off.
        /// Sensible values lie at 125 to 200.
        max_load_percent: u32,
    },
}

/// Passive ejection: what requests themselves tell about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row that eject; at least 1.
    pub consecutive_failures: u32,
    /// Length of a first ejection, milliseconds; doubles with each that follows.
    pub base_ms: u64,
    /// Longest ejection, milliseconds; also how long a member must have been well for the doubling to start over.
    pub max_ms: u64,
    /// No ejection that would put more than this share of the members out, percent.
    pub max_percent: u32,
    /// Whether [`Outcome::Status5xx`](crate::Outcome::Status5xx) counts as failure.
    pub status_5xx: bool,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { consecutive_failures: 5, base_ms: 10_000, max_ms: 300_000, max_percent: 50, status_5xx: true }
    }
}

/// Active probing: when to ask, and how many answers change a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Time between probes of one member, milliseconds.
    pub interval_ms: u64,
    /// Spread of that time to either side, percent of it; at most 100.
    pub jitter_percent: u32,
    /// Good answers in a row that bring a member back.
    pub healthy: u32,
    /// Bad answers in a row that take a member out.
    pub unhealthy: u32,
}

impl Default for Monitor {
    fn default() -> Self {
        Self { interval_ms: 10_000, jitter_percent: 20, healthy: 2, unhealthy: 3 }
    }
}

/// Adaptive limit on requests that wait for a member's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// The limit never falls below this; at least 1.
    pub min: u32,
    /// The limit never rises above this; at least `min`.
    pub max: u32,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { min: 8, max: 1024 }
    }
}

/// How many retries are allowed for all members of the pool together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries per hundred first attempts of the last ten seconds.
    pub percent: u32,
    /// Retries allowed per second however few requests there are, so that a quiet site may retry at all.
    pub min_per_second: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 3 }
    }
}

/// All that concerns a pool as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// How to choose.
    pub policy: Policy,
    /// Whether clients are tied to a member by cookie.
    pub affinity: bool,
    /// Mixed into affinity tokens, so that tokens of one pool mean nothing in another. Use a hash of zone and pool
    /// name: it must be the same on every edge and after every restart.
    pub affinity_salt: u64,
    /// Passive ejection; `None` turns it off.
    pub ejection: Option<Ejection>,
    /// Active probing; `None` leaves every member healthy.
    pub monitor: Option<Monitor>,
    /// Adaptive limit; `None` leaves only the fixed limits of each member.
    pub concurrency: Option<Concurrency>,
    /// Retry budget.
    pub retry: RetryBudget,
}

/// One origin of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Unique within the pool, stable over reloads: state, hashing and affinity go by it.
    pub name: String,
    /// Share of the load against the other members; 0 drains: only clients already tied to the member reach it.
    pub weight: u32,
    /// Used only when no ordinary member is live.
    pub backup: bool,
    /// Most requests in flight at once, and most connections open.
    pub max_connections: u32,
    /// Most requests waiting in turn for one of those.
    pub max_pending: u32,
}

impl Member {
    /// A member of weight 1 with the default limits of 512 connections and 1024 pending.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), weight: 1, backup: false, max_connections: 512, max_pending: 1024 }
    }
}

/// Why a pool cannot be made of what was given. The configuration is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// No member at all.
    #[error("a pool needs at least one origin")]
    Empty,
    /// More than [`MAX_MEMBERS`].
    #[error("{0} origins in one pool, the limit is {MAX_MEMBERS}")]
    TooMany(usize),
    /// Two members of one name.
    #[error("two origins are named \"{0}\"")]
    Duplicate(String),
    /// A weight above [`MAX_WEIGHT`].
    #[error("origin \"{name}\" has weight {weight}, the limit is {MAX_WEIGHT}")]
    Weight {
        /// Of the member.
        name: String,
        /// As given.
        weight: u32,
    },
    /// Every weight is 0, so nothing could be chosen.
    #[error("every origin has weight 0")]
    NoWeight,
    /// A number outside its range.
    #[error("{0}")]
    Range(&'static str),
}

impl Settings {
    /// Checks ranges of the pool's numbers and of its members.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self, members: &[Member]) -> Result<(), SettingsError> {
        if members.is_empty() {
            return Err(SettingsError::Empty);
        }
        if members.len() > MAX_MEMBERS {
            return Err(SettingsError::TooMany(members.len()));
        }
        let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        for (one, next) in names.iter().zip(names.iter().skip(1)) {
            if one == next {
                return Err(SettingsError::Duplicate((*one).to_owned()));
            }
        }
        for member in members {
            if member.weight > MAX_WEIGHT {
                return Err(SettingsError::Weight { name: member.name.clone(), weight: member.weight });
            }
            if member.max_connections == 0 {
                return Err(SettingsError::Range("max_connections must be at least 1"));
            }
        }
        if members.iter().all(|member| member.weight == 0) {
            return Err(SettingsError::NoWeight);
        }
        self.check_ranges()
    }

    fn check_ranges(&self) -> Result<(), SettingsError> {
        let faults = [
            (
                self.ejection.is_some_and(|e| e.consecutive_failures == 0),
                "consecutive_failures must be at least 1",
            ),
            (self.ejection.is_some_and(|e| e.base_ms == 0), "ejection base must be longer than 0"),
            (self.ejection.is_some_and(|e| e.max_ms < e.base_ms), "ejection max must not be below base"),
            (self.ejection.is_some_and(|e| e.max_percent > 100), "max_percent must be at most 100"),
            (self.monitor.is_some_and(|m| m.interval_ms == 0), "monitor interval must be longer than 0"),
            (self.monitor.is_some_and(|m| m.jitter_percent > 100), "jitter_percent must be at most 100"),
            (
                self.monitor.is_some_and(|m| m.healthy == 0 || m.unhealthy == 0),
                "healthy and unhealthy must be at least 1",
            ),
            (self.concurrency.is_some_and(|c| c.min == 0), "concurrency min must be at least 1"),
            (self.concurrency.is_some_and(|c| c.max < c.min), "concurrency max must not be below min"),
            (
                matches!(self.policy, Policy::Hash { max_load_percent: 1..=100 }),
                "max_load_percent must be 0 or above 100",
            ),
        ];
        match faults.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, fault)) => Err(SettingsError::Range(fault)),
            None => Ok(()),
        }
    }
}
