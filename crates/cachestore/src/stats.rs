//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the store did since it was opened, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects found in memory.
    pub memory_hits: u64,
    /// Objects not found in memory.
    pub memory_misses: u64,
    /// Bytes in memory now, heads and tables included.
    pub memory_bytes: u64,
    /// Most bytes memory may hold.
    pub memory_capacity: u64,
    /// Entries in memory now: objects and slices.
    pub memory_entries: u64,
    /// Entries memory let go to make room.
    pub memory_evictions: u64,
    /// Entries read from disk.
    pub disk_hits: u64,
    /// Entries looked for on disk and not there.
    pub disk_misses: u64,
    /// Bytes on disk now, rounded up to blocks.
    pub disk_bytes: u64,
    /// Most bytes the disk may hold.
    pub disk_capacity: u64,
    /// Files on disk now.
    pub disk_entries: u64,
    /// Whether all files an earlier process left are counted in, and found without trying.
    pub disk_indexed: bool,
    /// Files deleted to make room.
    pub disk_evictions: u64,
    /// Bytes written to disk.
    pub disk_written: u64,
    /// Files that were damaged, and are deleted.
    pub disk_corrupt: u64,
    /// Reads, writes and folders that failed.
    pub disk_errors: u64,
    /// Reads and writes left out because the queue was full or the disk rests after errors.
    pub disk_busy: u64,
    /// Objects stored.
    pub admitted: u64,
    /// Objects not stored: too large, wrong length, purged on the way, no memory for the fill, or refused by the caller.
    pub refused: u64,
    /// Objects given a new head.
    pub refreshed: u64,
    /// Fetches begun.
    pub fills: u64,
    /// Fetches under way now.
    pub fills_now: u64,
    /// Bytes held by fetches under way now.
    pub fill_bytes: u64,
    /// Fetches that ended before their time.
    pub aborted: u64,
    /// Requests that followed another's fetch.
    pub followed: u64,
    /// Followers cut off because what they had not yet read was gone.
    pub lost: u64,
    /// Purges.
    pub purges: u64,
    /// Purge marks kept now.
    pub marks: u64,
    /// Times marks were joined to coarser ones.
    pub marks_collapsed: u64,
    /// Objects found dead by a purge.
    pub purged: u64,
}

/// Counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub memory_hits: Spread,
    pub memory_misses: Spread,
    pub memory_evictions: AtomicU64,
    pub disk_hits: AtomicU64,
    pub disk_misses: AtomicU64,
    pub disk_evictions: AtomicU64,
    pub disk_written: AtomicU64,
    pub disk_corrupt: AtomicU64,
    pub disk_errors: AtomicU64,
    pub disk_busy: AtomicU64,
    pub admitted: AtomicU64,
    pub refused: AtomicU64,
    pub refreshed: AtomicU64,
    pub fills: AtomicU64,
    pub fill_bytes: AtomicU64,
    pub aborted: AtomicU64,
    pub followed: AtomicU64,
    pub lost: AtomicU64,
    pub purges: AtomicU64,
    pub marks_collapsed: AtomicU64,
    pub purged: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// A counter for every request: each thread has a cell of its own (while there are cells enough), so that cores do
/// not pass one cache line around.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    cells: [Cell; CELLS],
}

const CELLS: usize = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

impl Spread {
    #[inline]
    pub fn add(&self) {
        if let Some(cell) = self.cells.get(place()) {
            add(&cell.0, 1);
        }
    }

    pub fn sum(&self) -> u64 {
        self.cells.iter().map(|c| read(&c.0)).sum()
    }
}

fn place() -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed) as usize % CELLS;
    }
    PLACE.try_with(|p| *p).unwrap_or(0)
}
