//! Memory and disk as one.

use crate::disk::Disk;
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
    pub disk: Option<Disk>,
    pub counters: Arc<Counters>,
}

// The disk is always told first: it puts what it has read into memory, unless it was told of something newer.
impl Tiers {
    /// Stores an object in place of what was under its key.
    pub fn put(&self, object: &Arc<Object>) {
        let (key, held) = (object.key(), Held::Object(object.clone()));
        if let Some(disk) = &self.disk {
            disk.write(Slot::head(key), &held);
        }
        let old = self.memory.peek(key);
        drop(self.memory.insert(Slot::head(key), held));
        if let Some(old) = old.filter(|old| old.seq() != object.seq()) {
            old.forget();
        }
    }

    /// Whether there is something newer than `seq` under a key.
    pub fn has_newer(&self, key: Key, seq: u64) -> bool {
        self.memory.peek(key).is_some_and(|held| held.seq() > seq)
            || self.disk.as_ref().is_some_and(|disk| disk.has_newer(key, seq))
    }

    /// Stores a slice.
    pub fn put_slice(&self, slot: Slot, slice: Bytes) {
        let held = Held::Slice(slice);
        if let Some(disk) = &self.disk {
            disk.write(slot, &held);
        }
        drop(self.memory.insert(slot, held));
    }

    /// Removes whatever is under a key.
    pub fn remove(&self, key: Key) -> bool {
        if let Some(disk) = &self.disk {
            disk.delete(Slot::head(key));
        }
        let old = self.memory.take(key, |_| true);
        if let Some(old) = &old {
            old.forget();
        }
        old.is_some()
    }

    /// Removes this object, if it is still the one under its key.
    pub fn bury(&self, object: &Arc<Object>) {
        if let Some(disk) = &self.disk {
            disk.delete_up_to(object.key(), object.seq());
        }
        drop(self.memory.take(object.key(), |held| Arc::ptr_eq(held, object)));
        object.forget();
    }

    /// Removes the slices of a body.
    pub fn drop_slices(&self, key: Key, generation: u64, slices: u32) {
        for index in 0..slices.min(DROPPED_MAX) {
            let slot = Slot::slice(key, generation, index);
            if let Some(disk) = &self.disk {
                disk.delete(slot);
            }
            drop(self.memory.remove(&slot));
        }
    }

    /// Whether every slice of a body is in a tier.
    pub fn has_slices(&self, key: Key, generation: u64, slices: u32) -> bool {
        (0..slices).all(|index| {
            let slot = Slot::slice(key, generation, index);
            self.memory.has(&slot) || self.disk.as_ref().is_some_and(|disk| disk.has(&slot))
        })
    }

    /// A slice, from memory or disk.
    pub async fn slice(&self, slot: Slot) -> Option<Bytes> {
        match self.memory.slice(&slot) {
            Some(slice) => Some(slice),
            None => self.slice_on_disk(slot).await,
        }
    }

    /// A slice, from disk.
    pub async fn slice_on_disk(&self, slot: Slot) -> Option<Bytes> {
        self.disk.as_ref()?.slice(slot).await
    }

    /// An object, from disk.
    pub async fn object_on_disk(&self, key: Key) -> Option<Arc<Object>> {
        self.disk.as_ref()?.object(key).await
    }
}
