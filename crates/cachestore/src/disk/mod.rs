//! The disk tier: files, an index of them, and a few threads that do all the input and output.
//!
//! # Why not foyer
//! It was the first choice and read before use. It needs a multi-threaded runtime of its own; its flusher ends for good
//! at the first error, saying so only in a log, while what is handed to it goes on queueing without a bound; entries
//! share blocks and leave with the block, oldest first, whether they are in use or not; removed ones keep their room
//! until then; entries come in through a memory cache of its own, a second one here. It also brings two C libraries.
//! What is needed here is less: a file for each entry (as nginx does), the index in the same kind of table as memory,
//! so that the same rules say who leaves, and errors that end nothing.

mod files;
mod log;
mod queue;

use crate::codec::{self, Entry};
use crate::key::{Key, Slot};
use crate::marks::{Mark, Marks};
use crate::memory::{Evicted, Held, Memory};
use crate::object::Object;
use crate::stats::{Counters, Stats, add, read};
use crate::tiers::Tiers;
use files::Files;
use log::{Loaded, Log};
use parking_lot::Mutex;
use queue::{Job, Op, Queue, Reading};
use rapidhash::v3::rapidhash_v3;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Disk threads. Files are read one at a time by each: four keep a solid-state disk busy enough for a few GB/s.
const THREADS: usize = 4;

/// How long writing rests after it failed (full disk, most likely), in milliseconds.
const REST_MS: u64 = 5_000;

/// Sequences set aside at a time in the log: one record for every million fetches.
const RESERVE: u64 = 1 << 20;

/// Whether bytes are a sound purge log.
pub(crate) fn is_log(bytes: &[u8]) -> bool {
    log::decode(bytes).is_some()
}

/// The disk tier.
#[derive(Debug)]
pub(crate) struct Disk {
    room: Arc<Room>,
}

/// What the disk threads share.
#[derive(Debug)]
struct Room {
    files: Files,
    queues: [Queue; THREADS],
    log: Mutex<Log>,
    epoch: u64,
    /// Sequences up to this one may be in use after a restart.
    reserved: AtomicU64,
    memory: Arc<Memory>,
    marks: Arc<Marks>,
    counters: Arc<Counters>,
    tiers: Weak<Tiers>,
    opened: Instant,
    /// Milliseconds after `opened` until which nothing is written.
    rest_until: AtomicU64,
    stop: AtomicBool,
}

impl Disk {
    /// Opens the folder, reads the purge marks into `marks`, and starts the threads.
    pub fn open(
        path: &Path,
        capacity: u64,
        memory: Arc<Memory>,
        marks: Arc<Marks>,
        counters: Arc<Counters>,
        tiers: Weak<Tiers>,
    ) -> io::Result<Disk> {
        std::fs::create_dir_all(path)?;
        let log_path = path.join("purges");
        let run = unique();
        let mut loaded = log::load(&log_path)?.unwrap_or_else(|| {
            if log_path.exists() {
                add(&counters.disk_corrupt, 1);
                tracing::warn!(path = %log_path.display(), "purge marks are damaged; the cache on disk starts anew");
            }
            Loaded { epoch: run, ..Loaded::default() }
        });
        loaded.marks.iter().for_each(|mark| marks.restore(mark));
        marks.skip_to(loaded.reserved);
        loaded.reserved = marks.last() + RESERVE;
        loaded.marks = marks.list();
        let folder = format!("objects-{:016x}", loaded.epoch);
        let files = Files::open(path.join(&folder), capacity, run, counters.clone())?;
        let log = Log::create(log_path, &loaded)?;
        let room = Arc::new(Room {
            files,
            queues: std::array::from_fn(|_| Queue::default()),
            log: Mutex::new(log),
            epoch: loaded.epoch,
            reserved: AtomicU64::new(loaded.reserved),
            memory,
            marks,
            counters,
            tiers,
            opened: Instant::now(),
            rest_until: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let disk = Disk { room: room.clone() };
        for number in 0..THREADS {
            let room = room.clone();
            thread::Builder::new().name(format!("seawall-disk-{number}")).spawn(move || room.work(number))?;
        }
        let root = path.to_path_buf();
        thread::Builder::new().name("seawall-disk-scan".into()).spawn(move || room.scan(&root, &folder))?;
        Ok(disk)
    }

    /// Asks for the object under a key. The answer was not purged, and is in memory.
    pub async fn object(&self, key: Key) -> Option<Arc<Object>> {
        match self.read(Slot::head(key)).await {
            Some(Held::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// Asks for a slice.
    pub async fn slice(&self, slot: Slot) -> Option<bytes::Bytes> {
        match self.read(slot).await {
            Some(Held::Slice(slice)) => Some(slice),
            _ => None,
        }
    }

    /// Writes an entry, soon; if there is no room to wait in, deletes what was there before.
    pub fn write(&self, slot: Slot, held: &Held) {
        let room = &self.room;
        if slot.is_head() {
            room.reserve();
        }
        if !room.rests() && room.queue(&slot).is_some_and(|q| q.submit(slot, Op::Write(held.clone()))) {
            return;
        }
        add(&room.counters.disk_busy, 1);
        self.delete(slot);
    }

    /// Deletes an entry.
    pub fn delete(&self, slot: Slot) {
        let room = &self.room;
        let Some(queue) = room.queue(&slot) else { return };
        // With no room to wait in, the caller does it: what was removed must not come back.
        if queue.has_or(&slot, || room.files.may_have(&slot)) && !queue.submit(slot, Op::Delete) {
            room.files.delete(&slot);
        }
    }

    /// Deletes the head under a key if it is not newer than `seq`.
    pub fn delete_up_to(&self, key: Key, seq: u64) {
        if !self.has_newer(key, seq) {
            self.delete(Slot::head(key));
        }
    }

    /// Whether this process has written, or is to write, something newer than `seq` under a key.
    pub fn has_newer(&self, key: Key, seq: u64) -> bool {
        let slot = Slot::head(key);
        let waits = self.room.queue(&slot).is_some_and(|queue| queue.has_newer(&slot, seq));
        waits || !self.room.files.is_at_most(&slot, seq)
    }

    /// Whether an entry is here, or is to be written. Without a look at the disk, so that it may yet turn out damaged.
    pub fn has(&self, slot: &Slot) -> bool {
        // In this order: see `Queue::has_or`.
        self.room.queue(slot).is_some_and(|queue| queue.has_write(slot)) || self.room.files.may_have(slot)
    }

    /// Writes down a purge, soon.
    pub fn log(&self, marks: &[Option<Mark>]) {
        if let Some(queue) = self.room.queues.first() {
            marks.iter().flatten().for_each(|mark| queue.log(&log::record(self.room.epoch, mark)));
        }
    }

    /// Waits, blocking, until all that was asked for is done. Returns whether it is.
    pub fn flush(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        self.room.queues.iter().all(|queue| queue.flush(deadline))
    }

    /// Fills in what it holds.
    pub fn report(&self, stats: &mut Stats) {
        let files = &self.room.files;
        stats.disk_bytes = files.bytes();
        stats.disk_capacity = files.capacity();
        stats.disk_entries = files.entries();
        stats.disk_indexed = files.is_scanned();
    }

    async fn read(&self, slot: Slot) -> Option<Held> {
        let counters = &self.room.counters;
        let queue = self.room.queue(&slot)?;
        if !queue.has_or(&slot, || self.room.files.may_have(&slot)) {
            add(&counters.disk_misses, 1);
            return None;
        }
        let held = match queue.read(slot) {
            Reading::Ready(held) => held,
            Reading::Wait(answer) => answer.await.unwrap_or_default(),
            Reading::Busy => {
                add(&counters.disk_busy, 1);
                return None;
            }
        };
        add(if held.is_some() { &counters.disk_hits } else { &counters.disk_misses }, 1);
        held
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.room.stop.store(true, Ordering::Relaxed);
        self.room.queues.iter().for_each(Queue::stop);
    }
}

impl Room {
    fn queue(&self, slot: &Slot) -> Option<&Queue> {
        self.queues.get((slot.fold().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % THREADS)
    }

    /// A disk thread.
    fn work(&self, number: usize) {
        let Some(queue) = self.queues.get(number) else { return };
        // Should the thread end by a panic, no one is left waiting for it.
        let _last = Last(queue);
        loop {
            match queue.next() {
                Job::Read(slot) => {
                    let held = self.read(&slot);
                    queue.answer(slot, held, |held| self.keep(slot, held));
                }
                Job::Do(slot, Op::Write(held)) => self.write(slot, &held),
                Job::Do(slot, Op::Delete) => self.files.delete(&slot),
                Job::Log(records, anew) => self.append(&records, anew),
                Job::Stop => return,
            }
        }
    }

    /// Puts what was read into memory, unless something newer is there. Gives back what is to be dropped without the
    /// queue's lock: the last reference to an object may ask for deletions.
    fn keep(&self, slot: Slot, held: &Held) -> (Evicted, Option<Arc<Object>>) {
        let there = if slot.is_head() { self.memory.peek(slot.key) } else { None };
        let newer = match (held, &there) {
            (Held::Object(object), Some(there)) => there.seq() > object.seq(),
            _ => false,
        };
        (if newer { Evicted::new() } else { self.memory.insert(slot, held.clone()) }, there)
    }

    fn scan(&self, root: &Path, keep: &str) {
        self.files.scan(&self.stop);
        files::sweep(root, keep);
    }

    fn read(&self, slot: &Slot) -> Option<Held> {
        let file = match self.files.read(slot) {
            Ok(file) => file?,
            Err(error) => {
                self.failed("a file of the cache cannot be read", &error);
                return None;
            }
        };
        let entry = match codec::decode(&file) {
            Ok((found, entry)) if found == *slot => entry,
            damaged => {
                let reason = damaged.map_or_else(|d| d.to_string(), |_| "another entry's name".to_owned());
                add(&self.counters.disk_corrupt, 1);
                tracing::warn!(reason, "a file of the cache is damaged and deleted");
                self.files.delete(slot);
                return None;
            }
        };
        let (seq, meta, body) = match entry {
            Entry::Slice(slice) => return Some(Held::Slice(slice)),
            Entry::Head { seq, meta, body } => (seq, meta, body),
        };
        if !self.marks.spare_labels(&meta.labels, seq) {
            add(&self.counters.purged, 1);
            self.files.delete(slot);
            return None;
        }
        Some(Held::Object(Arc::new(match (body, meta.body_len) {
            (Some(body), _) => Object::whole(slot.key, seq, meta, body),
            (None, len) => Object::sliced(slot.key, seq, meta, len.unwrap_or(0), self.tiers.clone()),
        })))
    }

    fn write(&self, slot: Slot, held: &Held) {
        let (seq, prefix, body) = match held {
            Held::Slice(slice) => (slot.generation, Some(codec::encode_slice(&slot, slice)), Some(slice)),
            Held::Object(object) => (object.seq(), codec::encode_object(object), object.body().whole()),
        };
        let body = body.map_or(&[][..], |body| body);
        let written = match prefix {
            Some(prefix) if !self.rests() => self.files.write(slot, seq, &prefix, body),
            _ => {
                add(&self.counters.disk_busy, 1);
                return self.files.delete(&slot);
            }
        };
        if let Err(error) = written {
            let until = self.now_ms() + REST_MS;
            self.rest_until.store(until, Ordering::Relaxed);
            self.failed("the cache cannot write to disk and serves on from memory", &error);
            self.files.delete(&slot);
        }
    }

    fn append(&self, records: &[u8], anew: bool) {
        let mut log = self.log.lock();
        let written = if anew || log.is_due() {
            log.rewrite(&self.marks.list(), self.reserved.load(Ordering::Relaxed))
        } else {
            log.append(records)
        };
        if let Err(error) = written {
            self.failed("purges cannot be written down: a restart now would empty the cache on disk", &error);
        }
    }

    /// Keeps a reserve of sequences written down, so that after a restart new ones are above all that were in use.
    fn reserve(&self) {
        let reserved = self.reserved.load(Ordering::Relaxed);
        if self.marks.last() + RESERVE / 2 < reserved {
            return;
        }
        let next = reserved + RESERVE;
        let won =
            self.reserved.compare_exchange(reserved, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if let (true, Some(queue)) = (won, self.queues.first()) {
            queue.log(&log::reservation(self.epoch, next));
        }
    }

    fn rests(&self) -> bool {
        self.now_ms() < self.rest_until.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts an error and says so, ever more seldom.
    fn failed(&self, what: &str, error: &io::Error) {
        let before = read(&self.counters.disk_errors);
        add(&self.counters.disk_errors, 1);
        if before == 0 || before.is_power_of_two() {
            tracing::warn!(%error, errors = before + 1, "{what}");
        }
    }
}

struct Last<'a>(&'a Queue);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.0.die();
    }
}

/// A number no other process has used: for names that must not meet those of an earlier run.
fn unique() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut seed = [0; 20];
    let (time, process) = seed.split_at_mut(16);
    time.copy_from_slice(&now.to_le_bytes());
    process.copy_from_slice(&std::process::id().to_le_bytes());
    rapidhash_v3(&seed)
}
