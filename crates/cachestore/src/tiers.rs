//! Memory and disk as one.

use crate::key::{Key, Slot};
use crate::memory::{Held, Memory};
use crate::object::Object;
use crate::stats::Counters;
use bytes::Bytes;
use std::sync::Arc;

/// Slices deleted at once when an object goes; the others are never asked for again and leave by eviction.
const DROPPED_MAX: u32 = 4096;

/// Both tiers. Objects point back here, weakly, for their slices.
#[derive(Debug)]
pub(crate) struct Tiers {
    pub memory: Arc<Memory>,
    pub counters: Arc<Counters>,
}

impl Tiers {
    /// Stores an object in place of what was under its key.
    pub fn put(&self, object: &Arc<Object>) {
        let key = object.key();
        let old = self.memory.peek(key);
        drop(self.memory.insert(Slot::head(key), Held::Object(object.clone())));
        if let Some(old) = old.filter(|old| old.generation() != object.generation()) {
            old.forget();
        }
    }

    /// Stores a slice.
    pub fn put_slice(&self, slot: Slot, slice: Bytes) {
        drop(self.memory.insert(slot, Held::Slice(slice)));
    }

    /// Removes whatever is under a key.
    pub fn remove(&self, key: Key) -> bool {
        let old = self.memory.take(key, |_| true);
        if let Some(old) = &old {
            old.forget();
        }
        old.is_some()
    }

    /// Removes this object, if it is still the one under its key.
    pub fn bury(&self, object: &Arc<Object>) {
        drop(self.memory.take(object.key(), |held| Arc::ptr_eq(held, object)));
        object.forget();
    }

    /// Removes the slices of a body.
    pub fn drop_slices(&self, key: Key, generation: u64, slices: u32) {
        for index in 0..slices.min(DROPPED_MAX) {
            let slot = Slot::slice(key, generation, index);
            drop(self.memory.remove(&slot));
        }
    }

    /// A slice, from memory or disk.
    pub async fn slice(&self, slot: Slot) -> Option<Bytes> {
        match self.memory.slice(&slot) {
            Some(slice) => Some(slice),
            None => self.slice_on_disk(slot).await,
        }
    }

    pub async fn slice_on_disk(&self, _slot: Slot) -> Option<Bytes> {
        None
    }

    pub async fn object_on_disk(&self, _key: Key) -> Option<Arc<Object>> {
        None
    }
}
