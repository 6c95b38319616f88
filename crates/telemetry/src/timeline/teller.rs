//! Telling, and the thread behind it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::event::Event;
use super::file::Tail;
use super::flood::Flood;
use super::read::{Filter, Reading};
use crate::events::{Occasional, WARN_INTERVAL_S};
use crate::metrics::Registry;

/// Events that may wait for the thread that writes them; more are dropped and counted. Half a megabyte at most.
pub const QUEUE_EVENTS: usize = 1024;

/// Events kept in memory, for when the disk is full or unreadable.
pub const RING_EVENTS: usize = 1000;

/// How long the end of the process waits for events to be written, when the disk is stuck.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// What became of events.
#[derive(Debug, Default)]
pub struct Counts {
    told: AtomicU64,
    dropped: AtomicU64,
    suppressed: AtomicU64,
    unwritten: AtomicU64,
}

impl Counts {
    /// Events told: in memory, and in the file unless [`Self::unwritten`].
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told.load(Relaxed)
    }

    /// Events lost because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Events summarised by the next of their kind, since traffic made too many.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    /// Events that are in memory only, since the file could not be written.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Relaxed)
    }
}

/// The way into the timeline. Cheap to clone; any thread may tell, and none ever waits.
#[derive(Clone, Debug)]
pub struct Timeline {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    role: &'static str,
    data_dir: PathBuf,
    next: AtomicU64,
    queue: Sender<Word>,
    counts: Arc<Counts>,
    ring: Arc<Mutex<VecDeque<Arc<Event>>>>,
    finished: Receiver<()>,
}

enum Word {
    Event(Box<Event>),
    Flush(Sender<()>),
    End,
}

impl Timeline {
    /// The timeline of a process, in the file of `data_dir`. Never fails: what cannot be written to the file is kept in
    /// memory and counted, and the file is tried again with each event.
    #[must_use]
    pub fn open(data_dir: &Path, role: &'static str) -> Self {
        Self::with(Tail::new(data_dir), data_dir, role)
    }

    fn with(tail: Tail, data_dir: &Path, role: &'static str) -> Self {
        let (queue, incoming) = bounded(QUEUE_EVENTS);
        let (finishing, finished) = bounded(1);
        let counts = Arc::new(Counts::default());
        let ring = Arc::new(Mutex::new(VecDeque::with_capacity(RING_EVENTS)));
        let mut keeper = Keeper {
            tail,
            flood: Flood::new(),
            began: Instant::now(),
            counts: Arc::clone(&counts),
            ring: Arc::clone(&ring),
        };
        // Without a thread every event is dropped and counted: telling is no reason not to serve.
        let spawned = std::thread::Builder::new().name("timeline".to_owned()).spawn(move || {
            for word in incoming {
                match word {
                    Word::Event(event) => keeper.keep(*event),
                    Word::Flush(done) => drop(done.try_send(())),
                    Word::End => break,
                }
            }
            let _ = finishing.send(());
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for the timeline; its events are lost");
        }
        let inner = Inner {
            role,
            data_dir: data_dir.to_owned(),
            next: AtomicU64::new(1),
            queue,
            counts,
            ring,
            finished,
        };
        Timeline { inner: Arc::new(inner) }
    }

    /// Tells. Returns at once: a full queue costs the event, which is counted.
    pub fn tell(&self, mut event: Event) {
        let inner = &*self.inner;
        if event.unix_ms == 0 {
            event.unix_ms = unix_ms();
        }
        event.seq = inner.next.fetch_add(1, Relaxed);
        inner.role.clone_into(&mut event.role);
        event.pid = std::process::id();
        event.bound();
        if inner.queue.try_send(Word::Event(Box::new(event))).is_err() {
            inner.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits until what was told before is in memory and file, at most `patience`. Says whether it is. For what comes
    /// before an `exec` or the end of a process, not for a worker.
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, wait) = bounded(1);
        self.inner.queue.send_timeout(Word::Flush(done), patience).is_ok()
            && wait.recv_timeout(patience).is_ok()
    }

    /// Events of every process, from the file and this process's memory, in order. Reads files: not for a worker.
    #[must_use]
    pub fn read(&self, filter: &Filter) -> Reading {
        let own: Vec<Event> = self.inner.ring.lock().iter().map(|event| Event::clone(event)).collect();
        super::read::gather(&self.inner.data_dir, own, filter).unwrap_or_default()
    }

    /// The newest events of this process, oldest first, at most [`RING_EVENTS`].
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<Event>> {
        self.inner.ring.lock().iter().cloned().collect()
    }

    /// The newest so many of them, oldest first.
    #[must_use]
    pub fn newest(&self, number: usize) -> Vec<Arc<Event>> {
        let ring = self.inner.ring.lock();
        ring.iter().skip(ring.len().saturating_sub(number)).cloned().collect()
    }

    /// What became of events.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.inner.counts)
    }

    /// Shows the counts in the metrics, and the newest events in the summary.
    pub fn watch(&self, registry: &Registry) {
        registry.watch_timeline(self.clone());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.queue.send_timeout(Word::End, CLOSE_PATIENCE);
        let _ = self.finished.recv_timeout(CLOSE_PATIENCE);
    }
}

/// What the thread owns.
struct Keeper {
    tail: Tail,
    flood: Flood,
    began: Instant,
    counts: Arc<Counts>,
    ring: Arc<Mutex<VecDeque<Arc<Event>>>>,
}

impl Keeper {
    fn keep(&mut self, mut event: Event) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(suppressed) = self.flood.admit(event.kind, now_ms) else {
            self.counts.suppressed.fetch_add(1, Relaxed);
            return;
        };
        event.suppressed = suppressed;
        let event = Arc::new(event);
        {
            let mut ring = self.ring.lock();
            if ring.len() >= RING_EVENTS {
                ring.pop_front();
            }
            ring.push_back(Arc::clone(&event));
        }
        self.counts.told.fetch_add(1, Relaxed);
        mirror(&event);
        if let Err(error) = self.tail.append(&event.to_line()) {
            static WARNING: Occasional = Occasional::every(WARN_INTERVAL_S);
            self.counts.unwritten.fetch_add(1, Relaxed);
            if let Some(held_back) = WARNING.due() {
                tracing::warn!(%error, held_back, "the timeline cannot be written; its events are kept in memory");
            }
        }
    }
}

/// The same among the process's own events.
fn mirror(event: &Event) {
    macro_rules! at {
        ($level:ident) => {
            tracing::event!(
                target: "seawall_timeline",
                tracing::Level::$level,
                kind = event.kind.name(),
                snapshot = event.snapshot,
                zone = event.zone.as_deref(),
                module = event.module.as_deref(),
                unit = event.unit.as_deref(),
                cause = event.cause,
                suppressed = (event.suppressed > 0).then_some(event.suppressed),
                "{}",
                event.text
            )
        };
    }
    match event.kind.level() {
        tracing::Level::ERROR => at!(ERROR),
        tracing::Level::WARN => at!(WARN),
        _ => at!(INFO),
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Kind, read};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn event(n: u64) -> Event {
        Event::new(Kind::Stage, "test", format!("event {n}")).snapshot(n)
    }

    #[test]
    fn what_is_told_is_in_memory_and_in_the_file_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let timeline = Timeline::open(folder.path(), "edge");
        for n in 1..=100 {
            timeline.tell(event(n));
        }
        assert!(timeline.flush(PATIENCE));
        let recent: Vec<u64> = timeline.recent().iter().filter_map(|e| e.snapshot).collect();
        let read = read(folder.path(), &Filter::default()).unwrap();
        let written: Vec<u64> = read.events.iter().filter_map(|e| e.snapshot).collect();
        assert_eq!((recent, written), ((1..=100).collect(), (1..=100).collect()));
        let first = &read.events[0];
        assert_eq!((first.role.as_str(), first.pid, first.seq), ("edge", std::process::id(), 1));
        assert!(first.unix_ms > 1_700_000_000_000);
        assert_eq!(timeline.read(&Filter::default()).events.len(), 100, "memory and file are not told twice");
    }

    #[test]
    fn a_file_that_cannot_be_written_loses_the_line_and_nothing_else() {
        let timeline = Timeline::open(Path::new("/proc/no such folder"), "edge");
        timeline.tell(event(1));
        assert!(timeline.flush(PATIENCE));
        let counts = timeline.counts();
        assert_eq!((counts.told(), counts.unwritten(), timeline.recent().len()), (1, 1, 1));
        assert_eq!(timeline.read(&Filter::default()).events.len(), 1);
    }

    #[test]
    fn a_stuck_disk_holds_nobody_and_what_is_lost_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        // Opening a FIFO without a reader for writing blocks: the thread hangs as on a dead network file system.
        let path = folder.path().join(super::super::FILE);
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let timeline = Timeline::open(folder.path(), "edge");
        let total = QUEUE_EVENTS as u64 + 100;
        for n in 0..total {
            timeline.tell(event(n));
        }
        assert!(timeline.counts().dropped() >= 90, "{:?}", timeline.counts());
        // The thread takes one in hand, which is in memory before the disk is asked.
        let began = Instant::now();
        while timeline.recent().is_empty() && began.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        assert_eq!(timeline.recent().len(), 1);
        // Lets the thread go.
        drop(std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap());
    }

    #[test]
    fn memory_is_bounded_and_a_flood_does_not_push_out_the_changes() {
        let folder = tempfile::tempdir().unwrap();
        let timeline = Timeline::open(folder.path(), "edge");
        timeline.tell(event(7));
        for n in 0..5_000 {
            timeline.tell(
                Event::new(Kind::BreakerOpened, "panic", format!("breaker {n}")).zone(format!("z{n}.test")),
            );
            if n % 500 == 0 {
                assert!(timeline.flush(PATIENCE));
            }
        }
        assert!(timeline.flush(PATIENCE));
        let recent = timeline.recent();
        assert!(recent.len() < 100, "{}", recent.len());
        assert_eq!(recent[0].snapshot, Some(7));
        assert!(timeline.counts().suppressed() > 1000);
    }
}
