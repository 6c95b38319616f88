//! Deadlines that cost nothing until they pass.
//!
//! A timer of the runtime costs a lock and a list insertion each time it is set, and a proxy sets several a request.
//! Here setting one is a store into a cell. A worker sweeps all of its cells a few times a second: ten thousand idle
//! connections cost it some tens of microseconds a sweep. The price is precision: a deadline may pass up to
//! [`SWEEP`] late, which no timeout of seconds notices.

use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Time between sweeps, and so the precision of every deadline.
pub const SWEEP: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

/// The deadlines of one worker.
#[derive(Debug)]
pub struct Timers {
    start: Instant,
    now_ms: Cell<u64>,
    entries: RefCell<Slab<Rc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    at_ms: Cell<u64>,
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    idle: Cell<bool>,
}

/// One deadline, set and cleared many times over the life of a connection.
#[derive(Debug)]
pub struct Timer {
    entry: Rc<Entry>,
    key: usize,
    timers: Rc<Timers>,
}

impl Timers {
    /// The timers of a new worker; [`Timers::run`] must be spawned beside.
    #[must_use]
    pub fn new() -> Rc<Timers> {
        Rc::new(Timers { start: Instant::now(), now_ms: Cell::new(0), entries: RefCell::default() })
    }

    /// A new deadline, not set.
    #[must_use]
    pub fn timer(self: &Rc<Self>) -> Timer {
        let entry = Rc::new(Entry {
            at_ms: Cell::new(NEVER),
            fired: Cell::new(false),
            waker: RefCell::default(),
            idle: Cell::new(false),
        });
        let key = self.entries.borrow_mut().insert(entry.clone());
        Timer { entry, key, timers: self.clone() }
    }

    /// Milliseconds since the worker started, as of the last sweep.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Sweeps for ever.
    pub async fn run(self: Rc<Self>) {
        let mut interval = tokio::time::interval(SWEEP);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.sweep(self.start.elapsed().as_millis() as u64);
        }
    }

    /// Wakes whoever waits on a deadline that has passed at `now_ms`.
    pub fn sweep(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
        // Waking only marks tasks as runnable; nothing runs, so nothing touches the slab meanwhile.
        for (_, entry) in self.entries.borrow().iter() {
            if entry.at_ms.get() <= now_ms {
                entry.at_ms.set(NEVER);
                entry.fired.set(true);
                if let Some(waker) = entry.waker.borrow_mut().take() {
                    waker.wake();
                }
            }
        }
    }

    /// Lets every deadline pass that is marked idle: what a worker that drains does to connections without a request.
    pub fn fire_idle(&self) {
        for (_, entry) in self.entries.borrow().iter().filter(|(_, e)| e.idle.get()) {
            entry.at_ms.set(NEVER);
            entry.fired.set(true);
            if let Some(waker) = entry.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

impl Timer {
    /// Says whether the connection waits for a request, for [`Timers::fire_idle`].
    #[inline]
    pub fn idle(&self, yes: bool) {
        self.entry.idle.set(yes);
    }

    /// Sets the deadline that long from now; a deadline that had passed is forgotten.
    #[inline]
    pub fn set(&self, after: Duration) {
        self.entry.fired.set(false);
        self.entry.at_ms.set(self.timers.now_ms().saturating_add(after.as_millis() as u64));
    }

    /// Forgets the deadline.
    #[inline]
    pub fn clear(&self) {
        self.entry.fired.set(false);
        self.entry.at_ms.set(NEVER);
    }

    /// Makes the deadline pass now, waking who waits.
    pub fn fire(&self) {
        self.entry.at_ms.set(NEVER);
        self.entry.fired.set(true);
        if let Some(waker) = self.entry.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether the deadline has passed.
    #[must_use]
    #[inline]
    pub fn passed(&self) -> bool {
        self.entry.fired.get()
    }

    /// Asks to be woken when the deadline passes. One waiter a timer: the last one that asked.
    #[inline]
    pub fn wake_on_pass(&self, cx: &Context<'_>) {
        let mut slot = self.entry.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *slot = Some(cx.waker().clone());
        }
    }

    /// The timers it belongs to.
    #[must_use]
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// Runs `future` until it ends or the time is over, in which case it is `None`.
    pub async fn limit<F: Future>(&self, after: Duration, future: F) -> Option<F::Output> {
        self.set(after);
        self.until_passed(future).await
    }

    /// Runs `future` until it ends or the deadline passes, which others may set and clear meanwhile. Cleared after.
    pub async fn until_passed<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let output = std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = Pin::as_mut(&mut future).poll(cx) {
                return Poll::Ready(Some(output));
            }
            if self.passed() {
                return Poll::Ready(None);
            }
            self.wake_on_pass(cx);
            Poll::Pending
        })
        .await;
        self.clear();
        output
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.entries.borrow_mut().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_at_the_first_sweep_after_it() {
        let timers = Timers::new();
        let timer = timers.timer();
        timers.sweep(1000);
        timer.set(Duration::from_millis(500));
        timers.sweep(1499);
        assert!(!timer.passed());
        timers.sweep(1500);
        assert!(timer.passed());
        timer.set(Duration::from_millis(1));
        assert!(!timer.passed());
        timer.clear();
        timers.sweep(9000);
        assert!(!timer.passed());
    }

    #[test]
    fn a_dropped_timer_leaves_nothing_behind() {
        let timers = Timers::new();
        drop((timers.timer(), timers.timer()));
        assert!(timers.entries.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_limit_cuts_what_takes_too_long() {
        let timers = Timers::new();
        let timer = timers.timer();
        assert_eq!(timer.limit(Duration::from_secs(1), async { 7 }).await, Some(7));
        let swept = async { timers.sweep(5000) };
        let (cut, ()) =
            tokio::join!(timer.limit(Duration::from_secs(1), std::future::pending::<()>()), swept);
        assert_eq!(cut, None);
    }
}
