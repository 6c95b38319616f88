//! Stored objects.

use crate::SLICE;
use crate::key::{Key, Slot};
use crate::label::Labels;
use crate::tiers::Tiers;
use bytes::Bytes;
use seawall_http::Fields;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Head of an object and what is needed to use and to purge it. Of all this the store reads `body_len` and `labels`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// Response status.
    pub status: u16,
    /// Response fields as they are to be sent.
    pub fields: Fields,
    /// Policy record of `httpcache`.
    pub stored: Bytes,
    /// Length of the body, if known before it ends. Always known once stored.
    pub body_len: Option<u64>,
    /// What the object can be purged by.
    pub labels: Labels,
    /// When it was stored, unix milliseconds.
    pub created_ms: u64,
    /// For an entry that stands for the variants of a URL: what chooses between them.
    pub vary: Option<Bytes>,
    /// Whatever else the caller keeps.
    pub extra: Bytes,
}

impl Meta {
    /// Memory held beside the struct itself, in bytes.
    pub(crate) fn heap_size(&self) -> usize {
        let vary = self.vary.as_ref().map_or(0, Bytes::len);
        self.fields.heap_size() + self.stored.len() + self.extra.len() + vary + self.labels.len() * 8
    }
}

/// An object in the store.
#[derive(Debug)]
pub struct Object {
    /// Its head. `body_len` is always there.
    pub meta: Meta,
    key: Key,
    seq: u64,
    weight: u64,
    body: Held,
    /// Newest purge this object is known to have outlived, or its own sequence.
    pub(crate) checked: AtomicU64,
    /// Set once nothing leads to the object any more: its slices go with the last who reads it.
    forgotten: AtomicBool,
}

#[derive(Debug)]
enum Held {
    Whole(Bytes),
    Sliced { len: u64, tiers: Weak<Tiers> },
}

impl Object {
    /// Entry beside its content in the tables of the memory tier, in bytes: struct, counts, slot, links.
    const OVERHEAD: usize = size_of::<Object>() + 128;

    /// An object that is not in the store: for whoever needs one as if it were.
    #[must_use]
    pub fn unstored(key: Key, seq: u64, meta: Meta, body: Bytes) -> Object {
        Object::whole(key, seq, meta, body)
    }

    pub(crate) fn whole(key: Key, seq: u64, mut meta: Meta, body: Bytes) -> Object {
        meta.body_len = Some(body.len() as u64);
        let weight = (Self::OVERHEAD + meta.heap_size() + body.len()) as u64;
        Object::build(key, seq, weight, meta, Held::Whole(body))
    }

    pub(crate) fn sliced(key: Key, seq: u64, mut meta: Meta, len: u64, tiers: Weak<Tiers>) -> Object {
        meta.body_len = Some(len);
        let weight = (Self::OVERHEAD + meta.heap_size()) as u64;
        Object::build(key, seq, weight, meta, Held::Sliced { len, tiers })
    }

    fn build(key: Key, seq: u64, weight: u64, meta: Meta, body: Held) -> Object {
        let (checked, forgotten) = (AtomicU64::new(seq), AtomicBool::new(false));
        Object { meta, key, seq, weight, body, checked, forgotten }
    }

    /// The same body under another head.
    pub(crate) fn with_meta(&self, meta: Meta) -> Object {
        match &self.body {
            Held::Whole(body) => Object::whole(self.key, self.seq, meta, body.clone()),
            Held::Sliced { len, tiers } => Object::sliced(self.key, self.seq, meta, *len, tiers.clone()),
        }
    }

    /// The key it is stored under.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Place of its fetch in the order of fetches and purges; later ones are larger, also across restarts.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        Body(self)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Lets the slices go with the last reader. To be called only when the object is out of the memory tier:
    /// dropping it there would lock a shard within itself.
    pub(crate) fn forget(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.forgotten.load(Ordering::Relaxed)
            && let Held::Sliced { len, tiers } = &self.body
            && let Some(tiers) = tiers.upgrade()
        {
            tiers.drop_slices(self.key, self.seq, slices(*len));
        }
    }
}

/// The body of an object: whole in memory, or in slices of [`SLICE`] bytes wherever they are.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a>(&'a Object);

impl<'a> Body<'a> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0.body {
            Held::Whole(body) => body.len() as u64,
            Held::Sliced { len, .. } => *len,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of slices: one for every [`SLICE`] bytes begun.
    #[must_use]
    pub fn slices(&self) -> u32 {
        slices(self.len())
    }

    /// The whole body, if it is at most [`SLICE`] bytes.
    #[must_use]
    #[inline]
    pub fn whole(&self) -> Option<&'a Bytes> {
        match &self.0.body {
            Held::Whole(body) => Some(body),
            Held::Sliced { .. } => None,
        }
    }

    /// Whether all of it seems to be there: to be asked before a response is begun. Costs a lookup for each slice and
    /// no reading; the first one to be gone or damaged by the time it is read is `None` from [`Body::slice`] all the same.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.0.body {
            Held::Whole(_) => true,
            Held::Sliced { len, tiers } => {
                tiers.upgrade().is_some_and(|t| t.has_slices(self.0.key, self.0.seq, slices(*len)))
            }
        }
    }

    /// Slice `index` if it is in memory.
    #[must_use]
    pub fn slice_in_memory(&self, index: u32) -> Option<Bytes> {
        match &self.0.body {
            Held::Whole(body) => (index == 0 && !body.is_empty()).then(|| body.clone()),
            Held::Sliced { tiers, .. } => tiers.upgrade()?.memory.slice(&self.slot(index)),
        }
    }

    /// Slice `index`, from memory or disk. `None` if it is past the end or was evicted: fetch that range again.
    pub async fn slice(&self, index: u32) -> Option<Bytes> {
        if let Some(slice) = self.slice_in_memory(index) {
            return Some(slice);
        }
        match &self.0.body {
            Held::Whole(_) => None,
            Held::Sliced { .. } if index >= self.slices() => None,
            Held::Sliced { len, tiers } => {
                let slice = tiers.upgrade()?.slice_on_disk(self.slot(index)).await?;
                (slice.len() as u64 == slice_len(*len, index)).then_some(slice)
            }
        }
    }

    fn slot(&self, index: u32) -> Slot {
        Slot::slice(self.0.key, self.0.seq, index)
    }
}

/// Slices of a body that long.
pub(crate) fn slices(len: u64) -> u32 {
    u32::try_from(len.div_ceil(SLICE as u64)).unwrap_or(u32::MAX)
}

fn slice_len(len: u64, index: u32) -> u64 {
    len.saturating_sub(u64::from(index) * SLICE as u64).min(SLICE as u64)
}
