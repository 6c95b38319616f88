//! The store.

use crate::FOLLOWERS_MAX;
use crate::SLICE;
use crate::disk::Disk;
use crate::fill::Fill;
use crate::follow::{Follower, Shared};
use crate::key::Key;
use crate::label::Purge;
use crate::marks::Marks;
use crate::memory::Memory;
use crate::object::{Meta, Object};
use crate::registry::{Entered, Registry};
use crate::stats::{Counters, Stats, add, read};
use crate::tiers::Tiers;
use crate::urls::Urls;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Sizes and places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes memory may hold, heads and tables included.
    pub memory: u64,
    /// Bytes the disk may hold; 0 is no disk tier: no thread, no file.
    pub disk: u64,
    /// Folder of the disk tier, made if missing, not to be shared with anything else.
    pub path: PathBuf,
    /// Longest body stored, in bytes. Half of the disk (of memory, without one) if that is less.
    pub max_object: u64,
    /// Bytes all fetches under way may hold together beside the tiers. Each sets aside at its head what it will need, at
    /// most [`SLICE`]; those for whom nothing is left are neither stored nor shared. From a quarter of it on followers
    /// must keep up or read from the tiers. Bodies of unknown length may bring it to twice as much; then fetches are
    /// cut off.
    pub fill_memory: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            memory: 256 << 20,
            disk: 0,
            path: PathBuf::new(),
            max_object: 512 << 20,
            fill_memory: 128 << 20,
        }
    }
}

/// What [`Store::join`] made of the caller.
#[derive(Debug)]
pub enum Join {
    /// Fetch it, for yourself and for those who follow.
    Lead(Fill),
    /// Someone is fetching it.
    Follow(Follower),
    /// Someone stored it since the caller looked.
    Stored(Arc<Object>),
}

/// The cache. Clones are handles to the same one; use them from any thread and any runtime.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub tiers: Arc<Tiers>,
    pub marks: Arc<Marks>,
    pub fills: Registry,
    pub urls: Urls,
    pub max_object: u64,
    pub fill_memory: u64,
}

impl Store {
    /// Opens the store. Never fails: a disk that cannot be used is warned about and counted, and memory serves alone.
    #[must_use]
    pub fn open(config: &Config) -> Store {
        let counters = Arc::new(Counters::default());
        // Of what an earlier process left there, no one knows the URLs.
        let inherited = config.disk > 0
            && std::fs::read_dir(&config.path).is_ok_and(|mut folder| folder.next().is_some());
        let memory = Arc::new(Memory::new(config.memory, &counters));
        let marks = Arc::new(Marks::new(0));
        let tiers = Arc::new_cyclic(|tiers| {
            let disk = (config.disk > 0).then(|| {
                let (memory, marks) = (memory.clone(), marks.clone());
                Disk::open(&config.path, config.disk, memory, marks, counters.clone(), tiers.clone())
            });
            let disk = disk.and_then(|opened| {
                opened
                    .inspect_err(|error| {
                        add(&counters.disk_errors, 1);
                        let path = config.path.display();
                        tracing::warn!(%path, %error, "the disk cannot be used; the cache is in memory alone");
                    })
                    .ok()
            });
            Tiers { memory, disk, counters: counters.clone() }
        });
        let held = if tiers.disk.is_some() { config.disk.max(config.memory) } else { config.memory };
        Store(Arc::new(Inner {
            tiers,
            marks,
            fills: Registry::default(),
            urls: Urls::new(inherited),
            max_object: config.max_object.min(held / 2),
            fill_memory: config.fill_memory,
        }))
    }

    /// Longest body that is stored.
    #[must_use]
    pub fn max_object(&self) -> u64 {
        self.0.max_object
    }

    /// The object under a key, if it is in memory and not purged.
    #[must_use]
    #[inline]
    pub fn memory(&self, key: &Key) -> Option<Arc<Object>> {
        let tiers = &self.0.tiers;
        match tiers.memory.object(*key) {
            Some(object) if self.0.marks.spare(&object) => {
                tiers.counters.memory_hits.add();
                Some(object)
            }
            found => {
                tiers.counters.memory_misses.add();
                if let Some(dead) = found {
                    self.0.bury(&dead);
                }
                None
            }
        }
    }

    /// The object under a key, from memory or disk, if it is not purged. Ready at once when the disk has nothing.
    pub async fn get(&self, key: &Key) -> Option<Arc<Object>> {
        if let Some(object) = self.memory(key) {
            return Some(object);
        }
        let object = self.0.tiers.object_on_disk(*key).await?;
        if self.0.marks.spare(&object) {
            return Some(object);
        }
        self.0.bury(&object);
        None
    }

    /// Fetching it oneself, or following the one who does. `seen` is what the caller found under the key and does not
    /// want (stale, say): anything else found there in the meantime is handed over as [`Join::Stored`].
    #[must_use]
    pub fn join(&self, key: &Key, seen: Option<&Arc<Object>>) -> Join {
        let inner = &self.0;
        let shared = inner.shared(*key);
        let entered = inner.fills.enter(*key, &shared, |listed| match listed {
            Some(fill) if inner.may_follow(fill) => Some(Join::Follow(fill.follow())),
            Some(_) => None,
            None => {
                let object = inner.tiers.memory.peek(*key)?;
                let news = seen.is_none_or(|seen| !Arc::ptr_eq(seen, &object));
                (news && inner.marks.spare(&object)).then_some(Join::Stored(object))
            }
        });
        match entered {
            Entered::Left(join) => {
                if matches!(join, Join::Follow(_)) {
                    add(&inner.tiers.counters.followed, 1);
                }
                join
            }
            Entered::Listed => Join::Lead(Fill::new(inner.clone(), shared, *key, true)),
            Entered::Full => Join::Lead(Fill::new(inner.clone(), shared, *key, false)),
        }
    }

    /// Leading a fetch if no one does: for refreshing in the background.
    #[must_use]
    pub fn try_lead(&self, key: &Key) -> Option<Fill> {
        let inner = &self.0;
        let shared = inner.shared(*key);
        match inner
            .fills
            .enter(*key, &shared, |listed| listed.is_some_and(|f| inner.is_current(f)).then_some(()))
        {
            Entered::Left(()) | Entered::Full => None,
            Entered::Listed => Some(Fill::new(inner.clone(), shared, *key, true)),
        }
    }

    /// A place in the order of fetches and purges, for [`Store::insert`]: take it before asking the origin.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.0.marks.next()
    }

    /// Stores an object whose body is at hand, at most [`SLICE`] bytes: a marker of variants, an answer without a body.
    /// `seq` is that of the fetch it came from ([`Fill::seq`], [`Store::seq`]): a purge since then keeps it out.
    pub fn insert(&self, key: &Key, seq: u64, meta: Meta, body: Bytes) -> Option<Arc<Object>> {
        let inner = &self.0;
        let object = Arc::new(Object::whole(*key, seq, meta, body));
        let len = object.body().len();
        if len > SLICE as u64 || len > inner.max_object || !inner.marks.spare(&object) {
            add(&inner.tiers.counters.refused, 1);
            return None;
        }
        inner.note_url(&object.meta.labels);
        inner.tiers.put(&object);
        add(&inner.tiers.counters.admitted, 1);
        Some(object)
    }

    /// Gives a stored object a new head and keeps its body (a 304, RFC 9111 §4.3.4); see also [`Fill::refresh`]. The
    /// result is stored unless something newer, a removal or a purge has taken the old one's place.
    pub fn refresh(&self, old: &Arc<Object>, meta: Meta) -> Arc<Object> {
        let inner = &self.0;
        let object = Arc::new(old.with_meta(meta));
        let newer = inner.tiers.has_newer(old.key(), old.seq());
        // The old labels too: a purge of what it was purges it, whatever it is called now.
        if !newer && !old.is_forgotten() && inner.marks.spare(old) && inner.marks.spare(&object) {
            inner.tiers.put(&object);
            add(&inner.tiers.counters.refreshed, 1);
        }
        object
    }

    /// Removes what is under a key, and keeps a fetch of it that is under way from being stored. Returns whether
    /// there was something in memory.
    pub fn remove(&self, key: &Key) -> bool {
        if let Some(fill) = self.0.fills.find(*key) {
            fill.doomed.store(true, Ordering::Relaxed);
            self.0.fills.leave(*key, &fill);
        }
        self.0.tiers.remove(*key)
    }

    /// Invalidates a URL with all its variants after an unsafe request (RFC 9111 §4.4): as [`Store::purge`] of the URL
    /// does, which it comes to if anything may be stored there. `key` is the one under which fetches of the URL begin; a
    /// fetch under way is kept from being stored. Sites with many such requests would else be full of marks.
    pub fn invalidate(&self, key: &Key, url: &Purge<'_>) {
        let inner = &self.0;
        if let Some(fill) = inner.fills.find(*key) {
            fill.doomed.store(true, Ordering::SeqCst);
            inner.fills.leave(*key, &fill);
        }
        let (_, labels) = crate::label::marked(url);
        let may_be_stored = labels.iter().flatten().any(|label| inner.urls.has(*label));
        // Fetches that found no room on the list cannot be found on it.
        if may_be_stored || inner.fills.len() >= crate::FILLS_MAX {
            self.purge(url);
        }
    }

    /// Purges: everything it names that was fetched before is dead when this returns.
    pub fn purge(&self, purge: &Purge<'_>) {
        let counters = &self.0.tiers.counters;
        let (marks, collapsed) = self.0.marks.purge(purge);
        if let Some(disk) = &self.0.tiers.disk {
            disk.log(&marks);
        }
        add(&counters.purges, 1);
        if collapsed {
            add(&counters.marks_collapsed, 1);
            tracing::warn!(limit = crate::MARKS_MAX, "purge marks are full; joined to marks of whole zones");
        }
    }

    /// What it did and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Inner { tiers, marks, fills, .. } = &*self.0;
        let c = &tiers.counters;
        let mut stats = Stats {
            memory_hits: c.memory_hits.sum(),
            memory_misses: c.memory_misses.sum(),
            memory_bytes: tiers.memory.bytes(),
            memory_capacity: tiers.memory.capacity(),
            memory_entries: tiers.memory.entries(),
            memory_evictions: read(&c.memory_evictions),
            disk_hits: read(&c.disk_hits),
            disk_misses: read(&c.disk_misses),
            disk_evictions: read(&c.disk_evictions),
            disk_written: read(&c.disk_written),
            disk_corrupt: read(&c.disk_corrupt),
            disk_errors: read(&c.disk_errors),
            disk_busy: read(&c.disk_busy),
            admitted: read(&c.admitted),
            refused: read(&c.refused),
            refreshed: read(&c.refreshed),
            fills: read(&c.fills),
            fills_now: fills.len() as u64,
            fill_bytes: read(&c.fill_bytes),
            aborted: read(&c.aborted),
            followed: read(&c.followed),
            lost: read(&c.lost),
            purges: read(&c.purges),
            marks: marks.len() as u64,
            marks_collapsed: read(&c.marks_collapsed),
            purged: read(&c.purged),
            ..Stats::default()
        };
        if let Some(disk) = &tiers.disk {
            disk.report(&mut stats);
        }
        stats
    }

    /// Waits, blocking the thread, until the disk has all that was stored, removed and purged so far, at most this long:
    /// to be called at the end of the process. Returns whether it has. At once and `true` without a disk.
    pub fn flush(&self, wait: Duration) -> bool {
        self.0.tiers.disk.as_ref().is_none_or(|disk| disk.flush(wait))
    }
}

impl Inner {
    /// Notes that something may be stored for the URL these labels name.
    pub fn note_url(&self, labels: &crate::Labels) {
        if let Some(label) = labels.url() {
            self.urls.put(label);
        }
    }

    fn shared(&self, key: Key) -> Arc<Shared> {
        Shared::new(self.marks.next(), key, self.tiers.clone())
    }

    fn may_follow(&self, fill: &Shared) -> bool {
        fill.followers() < FOLLOWERS_MAX && self.is_current(fill)
    }

    /// Whether what this fill brings was not purged since it began. Until its head is there no one knows what a purge
    /// would hit, so any purge makes the next one ask anew.
    fn is_current(&self, fill: &Shared) -> bool {
        if self.marks.quiet_since(fill.seq) {
            return true;
        }
        let head = fill.state.lock().head.clone();
        head.is_some_and(|head| self.marks.spare_labels(&head.labels, fill.seq))
    }

    /// Lists a fill under a second key, unless there is one.
    pub fn list(&self, key: Key, fill: &Arc<Shared>) -> bool {
        let visit = |listed: Option<&Arc<Shared>>| listed.is_some_and(|f| self.is_current(f)).then_some(());
        matches!(self.fills.enter(key, fill, visit), Entered::Listed)
    }

    #[cold]
    fn bury(&self, dead: &Arc<Object>) {
        add(&self.tiers.counters.purged, 1);
        self.tiers.bury(dead);
    }
}
