//! Choosing an origin, and knowing when not to.
//!
//! A [`Pool`] is the state of one group of origins, shared by every worker through an [`Arc`](std::sync::Arc). The
//! way of a request through it:
//!
//! 1. [`Pool::pick`] names a member by policy, cookie affinity and health; [`pick_in_order`] does so across a pool
//!    and those it falls back to.
//! 2. [`Pool::begin`] counts the request against the member's limits and hands out a [`Ticket`], or refuses at once
//!    with an estimate for `Retry-After`; [`Pool::wait`] queues in turn instead.
//! 3. [`Ticket::first_byte`] feeds the adaptive concurrency limit; [`Ticket::finish`] feeds passive ejection.
//! 4. [`Pool::may_retry`] asks the retry budget, and the next [`PickInput::exclude`] leaves out what was tried.
//!
//! Nothing here reads a clock, opens a socket or waits. Time is `now_ms`, monotonic milliseconds from any start
//! common to all callers; randomness comes in as a `u64`. The request path takes no lock: state is atomics with
//! relaxed ordering, which may let two workers overlap by one request in a decision but never corrupts a count.
//! Locks exist off that path only: closing a measuring window, ejecting a member, waiting in a full member's queue.
//!
//! State belongs to the *name* of a member, not to its place: [`Pool::adopt`] carries it over a configuration reload,
//! so that a reload forgets neither an ejection nor a learned limit nor the requests still in flight.
//! Until it is [settled](Pool::settle) the new pool is *on trial* beside the old one, as in a canary: both share limits,
//! counts and what probes said, each ejects by what its own requests say, and the settings of the old one rule what is
//! shared. A pool that is dropped on trial leaves nothing behind.

mod admission;
mod budget;
mod concurrency;
mod control;
mod hash;
mod health;
mod pick;
mod pool;
mod queue;
mod rotation;
mod settings;
mod snapshot;
mod window;

pub use admission::{Connection, Outcome, Refused, Ticket, Why};
pub use hash::stable_hash;
pub use health::{Change, Standing};
pub use pick::{Pick, PickInput, Reason, pick_in_order};
pub use pool::Pool;
pub use queue::{MAX_WAIT_MS, Waiting};
pub use settings::{
    Concurrency, Ejection, MAX_MEMBERS, MAX_WEIGHT, Member, Monitor, Policy, RetryBudget, Settings,
    SettingsError,
};
pub use snapshot::{MemberSnapshot, PoolSnapshot};
