//! Which unit and which module each thread has in hand: for the watchdog beside it, and for the supervisor after a death.
//!
//! The memory is the supervisor's when it lent some (`seawall_sys::recorder`), else our own. A thread gets a slot for
//! good: the workers and their stand-ins that of their seat, and one is for trying candidates.

use seawall_sys::recorder as sys;

pub(crate) use seawall_sys::recorder::{Hand, Runs, Slot};

/// Slots for an edge of so many workers: each may get a stand-in, and candidates are tried beside them.
#[must_use]
pub fn slots_for(workers: usize) -> usize {
    workers.saturating_mul(2).saturating_add(1) // the bench
}

/// Gives out slots, and notes what the process runs.
pub(crate) struct Recorder {
    memory: sys::Recorder,
    bench: usize,
}

impl Recorder {
    /// Over memory that outlives this process, or its own.
    pub(crate) fn new(lent: Option<sys::Recorder>, workers: usize) -> Recorder {
        let memory = lent.unwrap_or_else(|| sys::Recorder::private(slots_for(workers)));
        Recorder { memory, bench: workers.saturating_mul(2) }
    }

    /// The slot of a seat (`crate::seats`).
    pub(crate) fn of_seat(&self, seat: usize) -> Slot {
        self.memory.slot(seat).unwrap_or_else(Slot::unseen)
    }

    /// The slot of whoever compiles a change, and then runs requests of it that nobody made: one thread at a time, or one that
    /// hangs and the next.
    pub(crate) fn bench(&self) -> Slot {
        self.of_seat(self.bench)
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
