//! Which fetches are under way.

use crate::FILLS_MAX;
use crate::follow::Shared;
use crate::key::Key;
use parking_lot::Mutex;
use rapidhash::RapidHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 64;

/// Fills by key, in shards so that misses of different keys seldom meet.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: [Mutex<RapidHashMap<Key, Arc<Shared>>>; SHARDS],
    listed: AtomicUsize,
}

/// What [`Registry::enter`] found.
pub(crate) enum Entered<T> {
    /// The visitor chose to end here.
    Left(T),
    /// The new fill is listed.
    Listed,
    /// There are too many fills to list another one.
    Full,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { shards: std::array::from_fn(|_| Mutex::default()), listed: AtomicUsize::new(0) }
    }
}

impl Registry {
    /// Shows `visit` the fill under a key, if there is one. If it has no answer, lists `new` in its place.
    /// All of it under the key's lock.
    pub fn enter<T>(
        &self,
        key: Key,
        new: &Arc<Shared>,
        visit: impl FnOnce(Option<&Arc<Shared>>) -> Option<T>,
    ) -> Entered<T> {
        let Some(shard) = self.shard(key) else { return Entered::Full };
        let mut shard = shard.lock();
        if let Some(answer) = visit(shard.get(&key)) {
            return Entered::Left(answer);
        }
        if self.listed.load(Ordering::Relaxed) >= FILLS_MAX {
            return Entered::Full;
        }
        if shard.insert(key, new.clone()).is_none() {
            self.listed.fetch_add(1, Ordering::Relaxed);
        }
        Entered::Listed
    }

    /// The fill under a key.
    pub fn find(&self, key: Key) -> Option<Arc<Shared>> {
        self.shard(key)?.lock().get(&key).cloned()
    }

    /// Takes this fill off the list, unless another one has taken its place.
    pub fn leave(&self, key: Key, fill: &Arc<Shared>) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        if shard.get(&key).is_some_and(|listed| Arc::ptr_eq(listed, fill)) {
            shard.remove(&key);
            self.listed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Fills listed now.
    pub fn len(&self) -> usize {
        self.listed.load(Ordering::Relaxed)
    }

    fn shard(&self, key: Key) -> Option<&Mutex<RapidHashMap<Key, Arc<Shared>>>> {
        self.shards.get((key.fold() >> 17) as usize % SHARDS)
    }
}
