//! Work for one disk thread.
//!
//! Writes wait here under their slot, where a later one for the same slot takes the place of an earlier one and where
//! reads find them. A slot always belongs to the same thread, so that its file is never read, written and deleted at
//! the same time and whatever was asked last is what is done last.

use crate::key::Slot;
use crate::memory::Held;
use parking_lot::{Condvar, Mutex};
use rapidhash::RapidHashMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Reads that wait for one thread: at 1 ms each the last waits 2 s, and going to the origin is better than that.
const READS_MAX: usize = 2048;

/// Bytes that wait to be written by one thread: 16 MiB, a fraction of a second for any disk that keeps up.
const WRITE_BYTES_MAX: u64 = 16 << 20;

/// Writes and deletions that wait for one thread, 100 bytes each.
const OPS_MAX: usize = 65_536;

/// Bytes of purge records that wait; beyond it the file is written anew from the marks.
const LOG_MAX: usize = 1 << 20;

/// Reads done before a write has its turn.
const READS_IN_A_ROW: u32 = 8;

/// What is to be done with a file.
#[derive(Debug)]
pub(crate) enum Op {
    Write(Held),
    Delete,
}

/// What a thread does next.
#[derive(Debug)]
pub(crate) enum Job {
    Read(Slot),
    Do(Slot, Op),
    /// Purge records to append; `true` to write the file anew instead.
    Log(Vec<u8>, bool),
    Stop,
}

/// Where the answer to a read comes from.
#[derive(Debug)]
pub(crate) enum Reading {
    Ready(Option<Held>),
    Wait(oneshot::Receiver<Option<Held>>),
    /// The queue is full.
    Busy,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    reads: VecDeque<Slot>,
    readers: RapidHashMap<Slot, Vec<oneshot::Sender<Option<Held>>>>,
    order: VecDeque<Slot>,
    pending: RapidHashMap<Slot, Op>,
    bytes: u64,
    log: Vec<u8>,
    rewrite: bool,
    reads_in_a_row: u32,
    /// What the thread writes (with its sequence) or deletes (0) now: no longer pending, not yet in the index.
    doing: Option<(Slot, u64)>,
    busy: bool,
    stop: bool,
    /// The thread has ended: nothing will be done.
    dead: bool,
}

impl State {
    fn has(&self, slot: &Slot) -> bool {
        self.writes(slot).is_some() || self.readers.contains_key(slot)
    }

    fn writes(&self, slot: &Slot) -> Option<u64> {
        let doing = || self.doing.filter(|(doing, _)| doing == slot).map(|(_, seq)| seq);
        self.pending.get(slot).map(|op| seq(slot, op)).or_else(doing)
    }
}

impl Queue {
    /// Asks for an entry.
    pub fn read(&self, slot: Slot) -> Reading {
        let mut state = self.state.lock();
        match state.pending.get(&slot) {
            Some(Op::Write(held)) => return Reading::Ready(Some(held.clone())),
            Some(Op::Delete) => return Reading::Ready(None),
            None if state.dead => return Reading::Busy,
            None => {}
        }
        let (send, receive) = oneshot::channel();
        if let Some(readers) = state.readers.get_mut(&slot) {
            readers.push(send);
            return Reading::Wait(receive);
        }
        if state.reads.len() >= READS_MAX {
            return Reading::Busy;
        }
        state.readers.insert(slot, vec![send]);
        state.reads.push_back(slot);
        self.work.notify_one();
        Reading::Wait(receive)
    }

    /// Asks for a write, or for a deletion. Returns `false` if there is no room for it. For a deletion of what the thread
    /// has in hand, or is asked for, there always is: no one else can do it without being overtaken.
    pub fn submit(&self, slot: Slot, op: Op) -> bool {
        let mut state = self.state.lock();
        let len = len(&op);
        let full = match op {
            Op::Write(_) => state.bytes + len > WRITE_BYTES_MAX || state.pending.len() >= OPS_MAX,
            Op::Delete => state.pending.len() >= OPS_MAX && !state.has(&slot),
        };
        if full || state.dead {
            return false;
        }
        state.bytes += len;
        let replaced = state.pending.insert(slot, op);
        match &replaced {
            Some(old) => state.bytes -= self::len(old),
            None => state.order.push_back(slot),
        }
        self.work.notify_one();
        // Dropping an object may ask for deletions, which lock the queue.
        drop(state);
        drop(replaced);
        true
    }

    /// Whether a write of something newer than `seq` waits or is being done.
    pub fn has_newer(&self, slot: &Slot, seq: u64) -> bool {
        self.writes(slot).is_some_and(|newest| newest > seq)
    }

    /// Whether a write for this slot waits or is being done.
    pub fn has_write(&self, slot: &Slot) -> bool {
        self.writes(slot).is_some_and(|newest| newest > 0)
    }

    /// Whether anything for this slot waits or is being done, a read too, or else it is `filed`. The queue is asked first:
    /// a write goes from here to the index, which has it before the queue forgets it. Asked the other way round, both
    /// could say no while it does, and what is removed at that moment would come back.
    pub fn has_or(&self, slot: &Slot, filed: impl FnOnce() -> bool) -> bool {
        self.has(slot) || filed()
    }

    /// Whether anything for this slot waits or is being done, a read too.
    fn has(&self, slot: &Slot) -> bool {
        self.state.lock().has(slot)
    }

    /// The sequence of what will have been written last, 0 for a deletion; `None` if nothing is to be done.
    fn writes(&self, slot: &Slot) -> Option<u64> {
        self.state.lock().writes(slot)
    }

    /// Appends purge records.
    pub fn log(&self, records: &[u8]) {
        let mut state = self.state.lock();
        if state.log.len() + records.len() > LOG_MAX {
            state.log.clear();
            state.rewrite = true;
        } else {
            state.log.extend_from_slice(records);
        }
        self.work.notify_one();
    }

    /// Waits for something to do. With nothing left to do after a stop, it is [`Job::Stop`].
    pub fn next(&self) -> Job {
        let mut state = self.state.lock();
        loop {
            let state_ = &mut *state;
            (state_.busy, state_.doing) = (true, None);
            if !state_.log.is_empty() || state_.rewrite {
                return Job::Log(std::mem::take(&mut state_.log), std::mem::take(&mut state_.rewrite));
            }
            let write_first = state_.reads_in_a_row >= READS_IN_A_ROW && !state_.order.is_empty();
            if !write_first && let Some(slot) = state_.reads.pop_front() {
                state_.reads_in_a_row += 1;
                return Job::Read(slot);
            }
            state_.reads_in_a_row = 0;
            if let Some(slot) = state_.order.pop_front() {
                let Some(op) = state_.pending.remove(&slot) else { continue };
                state_.bytes -= len(&op);
                state_.doing = Some((slot, seq(&slot, &op)));
                return Job::Do(slot, op);
            }
            if state_.stop {
                return Job::Stop;
            }
            state_.busy = false;
            self.idle.notify_all();
            self.work.wait(&mut state);
        }
    }

    /// Answers those who wait for a slot. What was read is theirs, and `keep`s, unless the slot was written or deleted
    /// meanwhile; `keep` runs under the queue's lock, so that no removal comes between.
    pub fn answer<T: Default>(&self, slot: Slot, read: Option<Held>, keep: impl FnOnce(&Held) -> T) {
        let mut state = self.state.lock();
        let (answer, kept) = match (state.pending.get(&slot), read) {
            (Some(Op::Write(held)), _) => (Some(held.clone()), T::default()),
            (Some(Op::Delete), _) | (None, None) => (None, T::default()),
            (None, Some(held)) => {
                let kept = keep(&held);
                (Some(held), kept)
            }
        };
        let readers = state.readers.remove(&slot).unwrap_or_default();
        drop(state);
        drop(kept);
        for reader in readers {
            drop(reader.send(answer.clone()));
        }
    }

    /// Waits until there is nothing to do, at most until `deadline`. Returns whether there is nothing.
    pub fn flush(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        loop {
            let empty = state.order.is_empty() && state.reads.is_empty() && state.log.is_empty();
            if (empty && !state.busy && !state.rewrite) || state.dead {
                return !state.dead;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|d| *d > Duration::ZERO)
            else {
                return false;
            };
            self.idle.wait_for(&mut state, left);
        }
    }

    /// Ends the thread once it has done what waits.
    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.work.notify_all();
    }

    /// Says that the thread has ended, so that no one waits for it.
    pub fn die(&self) {
        let mut state = self.state.lock();
        let left = std::mem::take(&mut *state);
        state.dead = true;
        self.idle.notify_all();
        drop(state);
        drop(left);
    }
}

fn seq(slot: &Slot, op: &Op) -> u64 {
    match op {
        Op::Write(Held::Object(object)) => object.seq(),
        Op::Write(Held::Slice(_)) => slot.generation,
        Op::Delete => 0,
    }
}

fn len(op: &Op) -> u64 {
    match op {
        Op::Write(Held::Object(object)) => object.weight(),
        Op::Write(Held::Slice(slice)) => slice.len() as u64,
        Op::Delete => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use bytes::Bytes;

    fn slot(n: u128) -> Slot {
        Slot::slice(Key(n), 1, 0)
    }

    fn write(byte: u8, len: usize) -> Op {
        Op::Write(Held::Slice(Bytes::from(vec![byte; len])))
    }

    fn slice(held: Option<Held>) -> Option<u8> {
        match held {
            Some(Held::Slice(slice)) => slice.first().copied(),
            _ => None,
        }
    }

    #[test]
    fn the_last_word_on_a_slot_is_what_is_done_and_read() {
        let queue = Queue::default();
        assert!(queue.submit(slot(1), write(1, 10)) && queue.submit(slot(1), write(2, 10)));
        assert!(matches!(queue.read(slot(1)), Reading::Ready(held) if slice(held.clone()) == Some(2)));
        assert!(queue.submit(slot(1), Op::Delete));
        assert!(matches!(queue.read(slot(1)), Reading::Ready(None)));
        assert!(matches!(queue.next(), Job::Do(at, Op::Delete) if at == slot(1)));
        assert!(queue.has(&slot(1)) && !queue.has_write(&slot(1)), "until it is done");
        queue.stop();
        assert!(matches!(queue.next(), Job::Stop));
        assert!(!queue.has(&slot(1)));
    }

    #[test]
    fn what_was_read_is_not_kept_if_the_slot_was_written_or_removed_meanwhile() {
        let queue = Queue::default();
        let old = || Some(Held::Slice(Bytes::from_static(b"\x01")));
        for (op, want) in [(None, Some(1)), (Some(Op::Delete), None), (Some(write(2, 1)), Some(2))] {
            let changed = op.is_some();
            let Reading::Wait(mut answer) = queue.read(slot(1)) else { panic!() };
            let Reading::Wait(mut second) = queue.read(slot(1)) else { panic!() };
            assert!(matches!(queue.next(), Job::Read(_)), "one read for both");
            op.map(|op| queue.submit(slot(1), op));
            let mut kept = false;
            queue.answer(slot(1), old(), |_| kept = true);
            assert_eq!(kept, !changed);
            assert_eq!(slice(answer.try_recv().unwrap()), want);
            assert_eq!(slice(second.try_recv().unwrap()), want);
            if changed {
                queue.next();
            }
        }
    }

    #[test]
    fn bytes_reads_and_operations_waiting_are_bounded() {
        let queue = Queue::default();
        let room = (WRITE_BYTES_MAX >> 20) as u128;
        assert!((0..room).all(|n| queue.submit(slot(n), write(0, 1 << 20))));
        assert!(!queue.submit(slot(99), write(0, 1)));
        assert!(queue.submit(slot(0), Op::Delete) && queue.submit(slot(99), write(0, 1 << 20)));
        let reads = (1000..).take_while(|n| matches!(queue.read(slot(*n)), Reading::Wait(_))).count();
        assert_eq!(reads, READS_MAX);
        let deletions = (10_000..).take_while(|n| queue.submit(slot(*n), Op::Delete)).count();
        assert_eq!(deletions, OPS_MAX - room as usize - 1);
    }

    #[test]
    fn a_write_that_ends_while_it_is_asked_for_is_not_missed() {
        let queue = Queue::default();
        queue.submit(slot(1), write(1, 1));
        queue.stop();
        assert!(matches!(queue.next(), Job::Do(at, Op::Write(_)) if at == slot(1)));
        // The index does not have it yet; then the write ends.
        let filed = || !matches!(queue.next(), Job::Stop);
        assert!(queue.has_or(&slot(1), filed));
        assert!(matches!(queue.next(), Job::Stop));
        assert!(queue.has_or(&slot(1), || true) && !queue.has_or(&slot(1), || false));
    }

    #[test]
    fn what_is_being_written_or_read_can_be_deleted_however_full_the_queue_is() {
        let queue = Queue::default();
        queue.submit(slot(1), write(1, 1));
        assert!(matches!(queue.next(), Job::Do(at, Op::Write(_)) if at == slot(1)));
        let Reading::Wait(mut answer) = queue.read(slot(2)) else { panic!() };
        assert!(queue.has(&slot(2)) && !queue.has_write(&slot(2)));
        assert!((10_000..).take_while(|n| queue.submit(slot(*n), Op::Delete)).count() == OPS_MAX);
        assert!(queue.submit(slot(1), Op::Delete) && queue.submit(slot(2), Op::Delete));
        assert!(!queue.submit(slot(3), Op::Delete));
        assert!(matches!(queue.next(), Job::Read(at) if at == slot(2)));
        let mut kept = false;
        queue.answer(slot(2), Some(Held::Slice(Bytes::from_static(b"\x01"))), |_| kept = true);
        assert!(!kept && answer.try_recv().unwrap().is_none());
        assert!(!queue.has(&slot(3)));
    }

    #[test]
    fn writes_have_their_turn_among_many_reads() {
        let queue = Queue::default();
        queue.submit(slot(0), write(0, 1));
        let _answers: Vec<_> = (1..100).map(|n| queue.read(slot(n))).collect();
        let first = (0..100).position(|_| matches!(queue.next(), Job::Do(..)));
        assert_eq!(first, Some(READS_IN_A_ROW as usize));
    }

    #[test]
    fn a_thread_that_dies_leaves_no_one_waiting() {
        let queue = Queue::default();
        let Reading::Wait(mut answer) = queue.read(slot(1)) else { panic!() };
        queue.submit(slot(2), write(0, 1));
        queue.die();
        assert!(answer.try_recv().is_err());
        assert!(matches!(queue.read(slot(1)), Reading::Busy));
        assert!(!queue.submit(slot(2), write(0, 1)) && !queue.submit(slot(2), Op::Delete));
        assert!(!queue.flush(Instant::now() + Duration::from_secs(5)));
    }
}
