//! The memory tier.

use crate::key::{Key, Slot};
use crate::object::Object;
use crate::stats::{Counters, add};
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use std::sync::Arc;

/// Least bytes of a shard: an object with its head and a whole body is just over 1 MiB, and the part of a shard for
/// newcomers must hold a few of those, or each of them pushes out what is in use.
const SHARD_BYTES: u64 = 32 << 20;

/// Share of the bytes for what was asked for more than once; the rest is for newcomers (S3-FIFO gives them as much).
const HOT: f64 = 0.9;

/// Shards are for threads to keep out of each other's way; more than this help no one.
const SHARDS_MAX: u64 = 128;

/// Assumed size of an entry, from which the table reckons how many evicted names it remembers.
const ENTRY_BYTES: u64 = 16 << 10;

/// What one slot holds.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    Object(Arc<Object>),
    Slice(Bytes),
}

/// Objects and slices in memory, weighed by bytes. S3-FIFO like: an entry seen once leaves before one seen twice.
#[derive(Debug)]
pub(crate) struct Memory {
    cache: Cache<Slot, Held, Weigh, DefaultHashBuilder, Evict>,
    counters: Arc<Counters>,
}

/// What an insertion pushed out, replaced or did not take; dropped by the caller outside of all locks.
pub(crate) type Evicted = Vec<(Slot, Held)>;

impl Memory {
    pub fn new(capacity: u64, counters: &Arc<Counters>) -> Memory {
        let shards = (capacity / SHARD_BYTES).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let entries = usize::try_from(capacity / ENTRY_BYTES).unwrap_or(usize::MAX).max(32 * shards);
        let mut options = OptionsBuilder::new();
        options
            .shards(shards)
            .estimated_items_capacity(entries)
            .weight_capacity(capacity)
            .hot_allocation(HOT);
        let hash = DefaultHashBuilder::default();
        let cache = match options.build() {
            Ok(options) => Cache::with_options(options, Weigh, hash, Evict),
            // Both numbers it asks for are set; should it want more one day, its defaults will do.
            Err(_) => Cache::with(entries, capacity, Weigh, hash, Evict),
        };
        Memory { cache, counters: counters.clone() }
    }

    #[inline]
    pub fn object(&self, key: Key) -> Option<Arc<Object>> {
        match self.cache.get(&Slot::head(key)) {
            Some(Held::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// As [`Memory::object`] without counting as a use.
    pub fn peek(&self, key: Key) -> Option<Arc<Object>> {
        match self.cache.peek(&Slot::head(key)) {
            Some(Held::Object(object)) => Some(object),
            _ => None,
        }
    }

    pub fn slice(&self, slot: &Slot) -> Option<Bytes> {
        match self.cache.get(slot) {
            Some(Held::Slice(slice)) => Some(slice),
            _ => None,
        }
    }

    pub fn has(&self, slot: &Slot) -> bool {
        self.cache.contains_key(slot)
    }

    /// Puts an entry in and gives back what had to go for it.
    #[must_use = "drop these outside of locks"]
    pub fn insert(&self, slot: Slot, held: Held) -> Evicted {
        let mut evicted = Evicted::new();
        self.cache.insert_with_lifecycle(slot, held, &mut evicted);
        // What was replaced, or not taken, is among them and was not evicted.
        let others = evicted.iter().filter(|(out, _)| *out != slot).count();
        add(&self.counters.memory_evictions, others as u64);
        evicted
    }

    /// Takes the object under a key out if `wanted` says so of it.
    pub fn take(&self, key: Key, wanted: impl Fn(&Arc<Object>) -> bool) -> Option<Arc<Object>> {
        let wanted = |held: &Held| matches!(held, Held::Object(object) if wanted(object));
        match self.cache.remove_if(&Slot::head(key), wanted) {
            Some((_, Held::Object(object))) => Some(object),
            _ => None,
        }
    }

    pub fn remove(&self, slot: &Slot) -> Option<(Slot, Held)> {
        self.cache.remove(slot)
    }

    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub fn capacity(&self) -> u64 {
        self.cache.capacity()
    }

    pub fn entries(&self) -> u64 {
        self.cache.len() as u64
    }
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Slot, Held> for Weigh {
    #[inline]
    fn weight(&self, _: &Slot, held: &Held) -> u64 {
        match held {
            Held::Object(object) => object.weight(),
            Held::Slice(slice) => slice.len() as u64 + 128,
        }
    }
}

#[derive(Clone, Debug)]
struct Evict;

impl Lifecycle<Slot, Held> for Evict {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, slot: Slot, held: Held) {
        evicted.push((slot, held));
    }
}
