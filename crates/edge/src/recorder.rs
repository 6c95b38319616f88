//! Which unit and which module each thread has in hand: for the watchdog beside it, and for the supervisor after a death.
//!
//! The memory is the supervisor's when it lent some (`seawall_sys::recorder`), else our own. A thread gets a slot for
//! good: the workers and their stand-ins that of their seat, threads that load and rehearse one of the spare ones.

use seawall_sys::recorder as sys;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use seawall_sys::recorder::{Hand, Runs, Slot};

/// Slots beside those of workers and stand-ins: for threads that load and rehearse.
pub const SPARE: usize = 6;

/// Slots for an edge of so many workers: each may get a stand-in.
#[must_use]
pub fn slots_for(workers: usize) -> usize {
    workers.saturating_mul(2).saturating_add(SPARE)
}

/// Gives out slots, and notes what the process runs.
pub(crate) struct Recorder {
    memory: sys::Recorder,
    next: AtomicUsize,
}

impl Recorder {
    /// Over memory that outlives this process, or its own.
    pub(crate) fn new(lent: Option<sys::Recorder>, workers: usize) -> Recorder {
        let memory = lent.unwrap_or_else(|| sys::Recorder::private(slots_for(workers)));
        Recorder { memory, next: AtomicUsize::new(workers.saturating_mul(2)) }
    }

    /// The slot of a seat (`crate::seats`).
    pub(crate) fn of_seat(&self, seat: usize) -> Slot {
        self.memory.slot(seat).unwrap_or_else(Slot::unseen)
    }

    /// A slot for the calling thread, which is no worker. Take it once, when the thread starts. When there is none left,
    /// it is one that nobody looks at.
    pub(crate) fn spare(&self) -> Slot {
        self.memory.slot(self.next.fetch_add(1, Ordering::Relaxed)).unwrap_or_else(Slot::unseen)
    }

    /// What a seat has in hand now.
    pub(crate) fn look(&self, seat: usize) -> Hand {
        self.memory.look(seat)
    }

    /// Notes which snapshots run, 0 for none. Call it before they do: what kills at once is blamed then too.
    pub(crate) fn runs(&self, current: u64, candidate: u64) {
        self.memory.runs(Runs { current, candidate });
    }

    /// What was noted last.
    pub(crate) fn running(&self) -> Runs {
        self.memory.running()
    }
}
