//! Waiting in turn for a place at a full member.
//!
//! A short queue turns a burst into a little delay instead of refusals; a long one only turns overload into delay for
//! everybody. So the queue is bounded by number, and, where the adaptive limit knows the member's pace, by the time a
//! place would take to come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::admission::{Refused, Ticket};
use crate::pool::Pool;

/// Longest a place should be waited for, milliseconds: beyond it a visitor is better served by a quick 503, and the
/// origin by one request less. The caller keeps the time.
pub const MAX_WAIT_MS: u64 = 1_000;

/// Time after which a caller who was called but does not answer is passed over by new requests, milliseconds: his
/// worker may be busy for a moment, but must not stop the others.
const CALL_PATIENCE_MS: u64 = 100;

#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<Arc<Place>>>,
    /// Whether the first has been called and has not answered, and since when.
    called: AtomicBool,
    called_at_ms: AtomicU64,
}

#[derive(Default)]
struct Place {
    waker: Mutex<Option<Waker>>,
}

impl Queue {
    /// Calls the first in the queue, since a place may have come free. To be called with `pending` known to be above 0.
    pub(crate) fn call(&self) {
        let first = lock(&self.waiting).front().cloned();
        if let Some(first) = first {
            self.called.store(true, Relaxed);
            if let Some(waker) = &*lock(&first.waker) {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether those in the queue have precedence over a new request.
    pub(crate) fn has_precedence(&self, now_ms: u64) -> bool {
        if !self.called.load(Relaxed) {
            return true;
        }
        let since_ms = self.called_at_ms.load(Relaxed);
        if since_ms == 0 {
            // The first to notice starts the clock: calling itself happens where no time is at hand.
            self.called_at_ms.store(now_ms.max(1), Relaxed);
            return true;
        }
        now_ms < since_ms.saturating_add(CALL_PATIENCE_MS)
    }

    fn answered(&self) {
        self.called.store(false, Relaxed);
        self.called_at_ms.store(0, Relaxed);
    }

    fn remove(&self, place: &Arc<Place>) {
        let mut waiting = lock(&self.waiting);
        // Whoever got a place was the first; only those that gave up stand elsewhere.
        if waiting.front().is_some_and(|first| Arc::ptr_eq(first, place)) {
            waiting.pop_front();
        } else {
            waiting.retain(|other| !Arc::ptr_eq(other, place));
        }
    }
}

/// Makes sure that either who waits sees the place given back, or who gives it back sees the waiting: both write one
/// counter and then read the other's, which relaxed ordering alone would let miss each other.
pub(crate) fn meet() {
    fence(SeqCst);
}

/// A request waiting in turn. Dropping it leaves the queue.
#[must_use = "dropping it leaves the queue"]
pub struct Waiting {
    pool: Arc<Pool>,
    member: usize,
    place: Arc<Place>,
    left: bool,
}

impl Waiting {
    pub(crate) fn enter(pool: Arc<Pool>, member: usize, queue: &Queue) -> Self {
        let place = Arc::<Place>::default();
        lock(&queue.waiting).push_back(Arc::clone(&place));
        Self { pool, member, place, left: false }
    }

    /// The ticket, once it is this request's turn and there is a place; not to be polled again after. Until then `waker` is woken when it is worth
    /// asking again. A refusal is final (the member is gone from the pool).
    pub fn poll(&mut self, waker: &Waker, now_ms: u64) -> Poll<Result<Ticket, Refused>> {
        let Some(queue) = self.pool.queue(self.member) else {
            return Poll::Ready(self.pool.begin(self.member, now_ms));
        };
        {
            let mut stored = lock(&self.place.waker);
            if !stored.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
                *stored = Some(waker.clone());
            }
        }
        let is_first = lock(&queue.waiting).front().is_some_and(|first| Arc::ptr_eq(first, &self.place));
        if !is_first {
            return Poll::Pending;
        }
        queue.answered();
        meet();
        match self.pool.begin_waiting(self.member, now_ms) {
            Some(ticket) => {
                self.leave();
                Poll::Ready(Ok(ticket))
            }
            None => Poll::Pending,
        }
    }

    /// Leaves the queue and calls the next, for whom there may be room too.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.left, true) {
            if let Some(queue) = self.pool.queue(self.member) {
                queue.remove(&self.place);
                queue.answered();
            }
            self.pool.stopped_waiting(self.member);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leave();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
