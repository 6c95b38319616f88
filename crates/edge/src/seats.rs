//! The threads that serve: each sits in a seat and does the duty of a worker.
//!
//! Worker `n` begins in seat `n`. When it is stuck, a *stand-in* takes a further seat for the same duty, and if the first
//! one comes back both serve. A duty is alive as long as one of its seats is; that is what the supervisor is told.

use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// All seats: one for every worker, and as many for stand-ins.
pub(crate) struct Seats {
    seats: Box<[Seat]>,
    workers: usize,
    taken: AtomicUsize,
}

/// One thread's. Aligned so that threads do not write to one cache line.
#[repr(align(64))]
#[derive(Default)]
struct Seat {
    /// The worker whose duty it is.
    duty: AtomicUsize,
    /// When its thread last went round, milliseconds since the start of the process.
    beat_ms: AtomicU64,
    /// Client connections of this thread.
    open: AtomicUsize,
    /// The watchdog found it stuck, and it has not come back.
    stuck: AtomicBool,
    /// What the kernel says of the thread.
    stat: OnceLock<File>,
}

impl Seats {
    /// Seats for so many workers, theirs taken.
    pub(crate) fn new(workers: usize) -> Seats {
        let seats: Box<[Seat]> = (0..workers.saturating_mul(2)).map(|_| Seat::default()).collect();
        for (number, seat) in seats.iter().enumerate().take(workers) {
            seat.duty.store(number, Ordering::Relaxed);
        }
        Seats { seats, workers, taken: AtomicUsize::new(workers) }
    }

    /// A further seat for a duty; `None` when every one is taken.
    pub(crate) fn take(&self, duty: usize, now_ms: u64) -> Option<usize> {
        let number = self.taken.load(Ordering::Acquire);
        let seat = self.seats.get(number)?;
        seat.duty.store(duty, Ordering::Relaxed);
        seat.beat_ms.store(now_ms, Ordering::Relaxed);
        self.taken.store(number + 1, Ordering::Release); // only the watchdog takes seats
        Some(number)
    }

    /// Gives the last seat taken back, when no thread could be started for it.
    pub(crate) fn give_back(&self) {
        let taken = self.taken.load(Ordering::Acquire);
        if taken > self.workers {
            self.taken.store(taken - 1, Ordering::Release);
        }
    }

    /// Seats taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// The worker whose duty a seat does.
    pub(crate) fn duty(&self, seat: usize) -> usize {
        self.seats.get(seat).map_or(0, |s| s.duty.load(Ordering::Relaxed))
    }

    /// Lets the watchdog see what the kernel says of the calling thread.
    pub(crate) fn sit(&self, seat: usize) {
        if let (Some(seat), Ok(stat)) = (self.seats.get(seat), File::open("/proc/thread-self/stat")) {
            let _ = seat.stat.set(stat); // a seat has one thread
        }
    }

    /// What the kernel says of the thread.
    pub(crate) fn stat(&self, seat: usize) -> Option<&File> {
        self.seats.get(seat)?.stat.get()
    }

    /// The thread says that it lives.
    pub(crate) fn beat(&self, seat: usize, now_ms: u64) {
        if let Some(seat) = self.seats.get(seat) {
            seat.beat_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// When it last said so.
    pub(crate) fn last_beat(&self, seat: usize) -> u64 {
        self.seats.get(seat).map_or(0, |s| s.beat_ms.load(Ordering::Relaxed))
    }

    /// How long ago the slowest duty was last seen alive.
    pub(crate) fn slowest_ms(&self, now_ms: u64) -> u64 {
        let mut ages = vec![u64::MAX; self.workers];
        for seat in self.seats.iter().take(self.taken()) {
            if let Some(age) = ages.get_mut(seat.duty.load(Ordering::Relaxed)) {
                *age = now_ms.saturating_sub(seat.beat_ms.load(Ordering::Relaxed)).min(*age);
            }
        }
        ages.into_iter().max().unwrap_or(0)
    }

    /// A connection of this thread opened.
    pub(crate) fn opened(&self, seat: usize) {
        if let Some(seat) = self.seats.get(seat) {
            seat.open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One closed.
    pub(crate) fn closed(&self, seat: usize) {
        if let Some(seat) = self.seats.get(seat) {
            seat.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Connections that a drain need not wait for: their threads are stuck.
    pub(crate) fn open_on_stuck(&self) -> usize {
        let stuck = self.seats.iter().filter(|seat| seat.stuck.load(Ordering::Relaxed));
        stuck.map(|seat| seat.open.load(Ordering::Relaxed)).sum()
    }

    /// Threads that are stuck now.
    pub(crate) fn stuck(&self) -> usize {
        self.seats.iter().filter(|seat| seat.stuck.load(Ordering::Relaxed)).count()
    }

    /// The watchdog found it stuck, or moving again.
    pub(crate) fn set_stuck(&self, seat: usize, stuck: bool) {
        if let Some(seat) = self.seats.get(seat) {
            seat.stuck.store(stuck, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_lives_as_long_as_one_of_its_seats_does() {
        let seats = Seats::new(2);
        seats.beat(0, 1_000);
        seats.beat(1, 9_900);
        assert_eq!(seats.slowest_ms(10_000), 9_000, "the slowest counts");
        assert_eq!(seats.take(0, 9_950), Some(2));
        assert_eq!(seats.slowest_ms(10_000), 100, "a stand-in does the duty");
        seats.beat(1, 10_000);
        assert_eq!(seats.slowest_ms(12_950), 3_000, "and is watched as the first one was");
        seats.beat(0, 12_950);
        assert_eq!(seats.slowest_ms(12_950), 2_950, "the one that came back counts too");
    }

    #[test]
    fn there_are_as_many_stand_ins_as_workers_and_no_more() {
        let seats = Seats::new(2);
        assert_eq!((seats.take(1, 0), seats.take(1, 0), seats.take(0, 0)), (Some(2), Some(3), None));
        seats.give_back();
        assert_eq!((seats.take(0, 0), seats.taken(), seats.duty(2)), (Some(3), 4, 1));
    }

    #[test]
    fn a_drain_does_not_wait_for_connections_of_stuck_threads() {
        let seats = Seats::new(2);
        seats.opened(0);
        seats.opened(1);
        seats.opened(1);
        seats.closed(1);
        assert_eq!((seats.stuck(), seats.open_on_stuck()), (0, 0));
        seats.set_stuck(1, true);
        assert_eq!((seats.stuck(), seats.open_on_stuck()), (1, 1));
        seats.set_stuck(1, false);
        assert_eq!(seats.stuck(), 0);
    }
}
