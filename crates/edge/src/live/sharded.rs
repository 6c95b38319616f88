//! A hash table that tables of other ages share: a change copies the shards it touches and no others.

use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Parts of a table. With 100,000 zones a part holds some 400 names, which are copied in a few microseconds; and a clone
/// of the whole counts this many references.
const SHARDS: usize = 512;

/// Items with their hashes. What identifies an item is the caller's business.
#[derive(Clone)]
pub(crate) struct Sharded<T> {
    shards: Box<[Arc<HashTable<Item<T>>>]>,
    hasher: rapidhash::fast::RandomState,
    len: usize,
}

#[derive(Clone)]
struct Item<T> {
    hash: u64,
    value: T,
}

impl<T: Clone> Default for Sharded<T> {
    fn default() -> Self {
        let empty = Arc::new(HashTable::new());
        Sharded {
            shards: (0..SHARDS).map(|_| empty.clone()).collect(),
            hasher: rapidhash::fast::RandomState::new(),
            len: 0,
        }
    }
}

impl<T: Clone> Sharded<T> {
    /// Items in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The item under `key` of which `is` is true.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], mut is: impl FnMut(&T) -> bool) -> Option<&T> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shards.get(place(hash))?;
        shard.find(hash, |item| item.hash == hash && is(&item.value)).map(|item| &item.value)
    }

    /// The same, to be changed: this table gets a copy of its shard if others share it.
    pub(crate) fn find_mut(&mut self, key: &[u8], mut is: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let hash = self.hasher.hash_one(key);
        let shard = Arc::make_mut(self.shards.get_mut(place(hash))?);
        shard.find_mut(hash, |item| item.hash == hash && is(&item.value)).map(|item| &mut item.value)
    }

    /// Adds an item, which must not be there yet.
    pub(crate) fn insert(&mut self, key: &[u8], value: T) {
        let hash = self.hasher.hash_one(key);
        if let Some(shard) = self.shards.get_mut(place(hash)) {
            Arc::make_mut(shard).insert_unique(hash, Item { hash, value }, |item| item.hash);
            self.len += 1;
        }
    }

    /// Takes an item out.
    pub(crate) fn remove(&mut self, key: &[u8], mut is: impl FnMut(&T) -> bool) -> Option<T> {
        let hash = self.hasher.hash_one(key);
        let shard = Arc::make_mut(self.shards.get_mut(place(hash))?);
        let found = shard.find_entry(hash, |item| item.hash == hash && is(&item.value)).ok()?;
        let (item, _) = found.remove();
        if shard.is_empty() {
            shard.shrink_to_fit(|item| item.hash);
        }
        self.len -= 1;
        Some(item.value)
    }
}

/// Other bits than the table within the shard goes by.
fn place(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was_whatever_becomes_of_the_other() {
        let mut first: Sharded<u32> = Sharded::default();
        for n in 0..5000_u32 {
            first.insert(&n.to_le_bytes(), n);
        }
        let mut other = first.clone();
        for n in (0..5000_u32).step_by(2) {
            assert_eq!(other.remove(&n.to_le_bytes(), |found| *found == n), Some(n));
        }
        *other.find_mut(&1_u32.to_le_bytes(), |found| *found == 1).unwrap() = 7;
        other.insert(b"more", 9);
        let get = |table: &Sharded<u32>, n: u32| table.find(&n.to_le_bytes(), |_| true).copied();
        for n in 0..5000 {
            assert_eq!(get(&first, n), Some(n));
            assert_eq!(get(&other, n), if n == 1 { Some(7) } else { (n % 2 == 1).then_some(n) });
        }
        assert_eq!((first.len(), other.len()), (5000, 2501));
    }

    #[test]
    fn what_a_change_does_not_touch_stays_shared() {
        let mut first: Sharded<u32> = Sharded::default();
        for n in 0..5000_u32 {
            first.insert(&n.to_le_bytes(), n);
        }
        let mut other = first.clone();
        other.insert(b"more", 9);
        let own = first.shards.iter().zip(&other.shards).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(own, 1);
    }
}
