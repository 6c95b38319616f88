//! URLs whose responses turned out not to be shareable: for a while their requests do not wait for each other.

use seawall_httpcache::Key;
use std::cell::{Cell, RefCell};

/// Keys remembered; a new one takes the place of whatever shares its slot. 16 bytes each.
const SLOTS: usize = 8192;
/// How long one is remembered, in milliseconds: long enough to matter under load, short enough that a page which
/// becomes cacheable is soon collapsed again.
const FOR_MS: u64 = 30_000;

/// A worker's memory of such keys.
pub(crate) struct Unshared {
    slots: RefCell<Box<[(u64, u64)]>>,
    now_ms: Cell<u64>,
}

impl Default for Unshared {
    fn default() -> Self {
        Unshared { slots: RefCell::new(vec![(0, 0); SLOTS].into()), now_ms: Cell::new(1) }
    }
}

impl Unshared {
    /// Tells the time, in milliseconds of any clock that only grows.
    pub(crate) fn tick(&self, now_ms: u64) {
        self.now_ms.set(now_ms + 1);
    }

    /// Remembers a key.
    pub(crate) fn add(&self, key: Key) {
        let (slot, tag) = place(key);
        if let Some(entry) = self.slots.borrow_mut().get_mut(slot) {
            *entry = (tag, self.now_ms.get() + FOR_MS);
        }
    }

    /// Forgets a key.
    pub(crate) fn forget(&self, key: Key) {
        let (slot, tag) = place(key);
        if let Some(entry) = self.slots.borrow_mut().get_mut(slot)
            && entry.0 == tag
        {
            *entry = (0, 0);
        }
    }

    /// Whether a key is remembered.
    pub(crate) fn has(&self, key: Key) -> bool {
        let (slot, tag) = place(key);
        self.slots.borrow().get(slot).is_some_and(|(t, until)| *t == tag && *until > self.now_ms.get())
    }
}

fn place(key: Key) -> (usize, u64) {
    ((key.0 as usize) % SLOTS, (key.0 >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_remembered_for_a_while() {
        let unshared = Unshared::default();
        let key = Key(7 | 9 << 64);
        assert!(!unshared.has(key));
        unshared.add(key);
        assert!(unshared.has(key) && !unshared.has(Key(7 | 8 << 64)));
        unshared.tick(FOR_MS);
        assert!(!unshared.has(key));
        unshared.add(key);
        unshared.forget(key);
        assert!(!unshared.has(key));
    }
}
