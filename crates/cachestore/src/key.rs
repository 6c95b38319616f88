//! Names of stored things.

use std::fmt;
use std::hash::{Hash, Hasher};

/// Name of an object: a hash the caller made of everything that tells two responses apart.
///
/// The store believes it: two requests with one key get one object. Make it with a keyed or cryptographic hash, or
/// keep the text it was made of in [`Meta::extra`](crate::Meta::extra) and compare it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub u128);

impl Key {
    pub(crate) fn fold(self) -> u64 {
        (self.0 as u64) ^ ((self.0 >> 64) as u64)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fold());
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:032x})", self.0)
    }
}

/// Place of one entry in the tiers: the head of an object (with its body, when that is short) or one slice of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub key: Key,
    /// Sequence of the fill that made the body; 0 for heads, of which there is one per key.
    pub generation: u64,
    pub index: u32,
}

impl Slot {
    pub const HEAD: u32 = u32::MAX;

    pub fn head(key: Key) -> Slot {
        Slot { key, generation: 0, index: Slot::HEAD }
    }

    pub fn slice(key: Key, generation: u64, index: u32) -> Slot {
        Slot { key, generation, index }
    }

    pub fn is_head(&self) -> bool {
        self.index == Slot::HEAD
    }

    pub fn fold(&self) -> u64 {
        self.key.fold() ^ self.generation.rotate_left(32) ^ u64::from(self.index)
    }
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fold());
    }
}
