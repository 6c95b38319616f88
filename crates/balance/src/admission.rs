//! A request's place at a member: taken by [`Pool::begin`], given back by dropping the [`Ticket`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use thiserror::Error;

use crate::health::Change;
use crate::pool::Pool;

/// How a request to an origin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The origin answered with a status below 500 and the answer could be read.
    Ok,
    /// No connection: refused, unreachable, name not resolved, TLS failed.
    ConnectFailed,
    /// A time limit passed before the answer was complete.
    Timeout,
    /// The answer was not HTTP, or broke off.
    BadResponse,
    /// The origin answered with a status of 500 or above.
    Status5xx,
    /// The client left, or the request was given up for a reason that says nothing about the origin.
    ClientGone,
}

impl Outcome {
    /// Every outcome, in the order of [`MemberSnapshot::outcomes`](crate::MemberSnapshot::outcomes).
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::ConnectFailed, Self::Timeout, Self::BadResponse, Self::Status5xx, Self::ClientGone];

    /// Name for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ConnectFailed => "connect_failed",
            Self::Timeout => "timeout",
            Self::BadResponse => "bad_response",
            Self::Status5xx => "status_5xx",
            Self::ClientGone => "client_gone",
        }
    }
}

/// Which limit refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// `max_connections` requests are in flight at the member.
    Connections,
    /// The adaptive limit: the member serves what it can.
    Concurrency,
    /// Others wait in turn already, and the queue is full or too slow.
    Pending,
    /// The index names no member of this pool. The caller is to blame.
    NoSuchMember,
}

impl Why {
    /// Name for metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Concurrency => "concurrency",
            Self::Pending => "pending",
            Self::NoSuchMember => "no_such_member",
        }
    }
}

/// A request was not admitted: nothing was counted, nothing is to be given back. Another member may have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("origin is at its limit ({}), retry after {retry_after_s} s", why.name())]
pub struct Refused {
    /// For `Retry-After`: grows with how far demand exceeds what the member serves, and is spread so that those
    /// refused together do not return together. Seconds, 1 to 60.
    pub retry_after_s: u32,
    /// Which limit.
    pub why: Why,
}

/// What the request path counts for one member: on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) outstanding: AtomicU32,
    pub(crate) connections: AtomicU32,
    pub(crate) pending: AtomicU32,
    pub(crate) refused: AtomicU64,
    pub(crate) outcomes: [AtomicU64; Outcome::ALL.len()],
}

impl Load {
    pub(crate) fn count(&self, outcome: Outcome) {
        if let Some(count) = self.outcomes.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// Adds one unless that would exceed `limit`, and answers how many there were.
pub(crate) fn take(count: &AtomicU32, limit: u32) -> Option<u32> {
    count.fetch_update(Relaxed, Relaxed, |held| (held < limit).then(|| held.saturating_add(1))).ok()
}

/// Gives one back. Saturates, so that no fault elsewhere can turn a count negative and lock a member for good.
pub(crate) fn give(count: &AtomicU32) {
    let _ = count.fetch_update(Relaxed, Relaxed, |held| Some(held.saturating_sub(1)));
}

/// One admitted request. Dropping it gives its place back; if it was not [finished](Ticket::finish), it counts as
/// [`Outcome::ClientGone`].
#[must_use = "dropping a ticket gives the place back at once"]
pub struct Ticket {
    pool: Arc<Pool>,
    member: usize,
    began_ms: u64,
    /// Until the first byte the request counts against the adaptive limit.
    awaiting: bool,
    finished: bool,
}

impl Ticket {
    pub(crate) fn new(pool: Arc<Pool>, member: usize, began_ms: u64) -> Self {
        Self { pool, member, began_ms, awaiting: true, finished: false }
    }

    /// Index of the member in its pool.
    #[must_use]
    pub fn member(&self) -> usize {
        self.member
    }

    /// The pool the place belongs to; after a reload, the one the request began with.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The head of the final answer (not 100 to 199, except 101) has been read, `elapsed_us` microseconds after the
    /// request was sent. From here on the request counts against connections but no longer against the adaptive
    /// limit: how long a body, an event stream or a WebSocket lasts says nothing about load. Only the first call
    /// counts. A status of 500 and above, or 429, is no sample of how long work takes; 503 is a sign of overload.
    pub fn first_byte(&mut self, now_ms: u64, elapsed_us: u64, status: u16) {
        if std::mem::take(&mut self.awaiting) {
            self.pool.answered(self.member, now_ms, elapsed_us, status);
        }
    }

    /// The request is over. Answers a change of the member's standing, to be logged.
    pub fn finish(mut self, now_ms: u64, outcome: Outcome) -> Option<Change> {
        self.finished = true;
        if std::mem::take(&mut self.awaiting) {
            self.pool.unanswered(self.member, now_ms, outcome);
        }
        self.pool.finished(self.member, self.began_ms, now_ms, outcome)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if std::mem::take(&mut self.awaiting) {
            self.pool.abandoned(self.member);
        }
        if !self.finished {
            self.pool.finished(self.member, self.began_ms, self.began_ms, Outcome::ClientGone);
        }
        self.pool.left(self.member);
    }
}

/// An open connection to a member, whether in use or idle. Dropping it counts the connection as closed.
#[must_use = "dropping the guard counts the connection as closed"]
pub struct Connection {
    pool: Arc<Pool>,
    member: usize,
}

impl Connection {
    pub(crate) fn new(pool: Arc<Pool>, member: usize) -> Self {
        Self { pool, member }
    }

    /// Whether the connection may be kept idle. Requests in flight never exceed `max_connections`, but idle
    /// connections of other workers come on top; whoever is asked while there are too many closes his.
    #[must_use]
    pub fn may_idle(&self) -> bool {
        self.pool.may_idle(self.member)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pool.disconnected(self.member);
    }
}
