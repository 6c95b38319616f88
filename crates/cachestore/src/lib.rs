//! Cache storage: memory and disk tiers, purge marks, fills shared by waiters.
//!
//! This crate knows nothing of RFC 9111. It keeps objects (a head with an opaque policy record, and a body) under
//! 128-bit keys, and answers four questions: is it here, who is fetching it, may it still be used (purges), and
//! where do its bytes lie.
//!
//! # Tiers
//! Memory is a [`quick_cache`] weighted by bytes; looking up is one shard read lock and one reference count. Bodies of
//! at most [`SLICE`] bytes lie with their head; longer ones are cut into slices of that size, each an entry of its
//! own in both tiers, so that an object may be larger than memory and a part of it may be gone.
//!
//! # Fills
//! [`Store::join`] makes one caller the leader of a fetch and all others its followers, in the whole process. The
//! leader never waits for a follower; a follower that falls behind reads from the tiers.
//!
//! # Purges
//! A purge sets one mark with a sequence number; an object is dead when any of its [`Labels`] has a mark newer than
//! the start of its fetch. Nothing is scanned. Marks outlive a restart when there is a disk tier.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod codec;
mod disk;
mod fill;
mod follow;
mod key;
mod label;
mod marks;
mod memory;
mod object;
mod registry;
mod stats;
mod store;
mod tiers;
mod urls;

pub use fill::{Fill, Unstored};
pub use follow::{Followed, Follower, Lost};
pub use key::Key;
pub use label::{Labels, Purge};
pub use object::{Body, Meta, Object};
pub use stats::Stats;
pub use store::{Config, Join, Store};

/// For fuzzing: reads bytes as a file of the disk tier and as a purge log. Returns which of them they are.
#[doc(hidden)]
#[must_use]
pub fn fuzz_files(bytes: &[u8]) -> (bool, bool) {
    (codec::decode(&bytes::Bytes::copy_from_slice(bytes)).is_ok(), disk::is_log(bytes))
}

/// Bytes in a slice. A body up to this length lies whole beside its head; a longer one is cut at its multiples.
/// 1 MiB: large enough that a slice costs one file and one lookup per millisecond of a 10 Gbit/s link, small enough
/// that a range request does not pull in much it does not need.
pub const SLICE: usize = 1 << 20;

/// Slices a fill keeps at hand for its followers before they must read from the tiers: 8 MiB, about 60 ms of
/// a gigabit link.
pub const WINDOW_SLICES: usize = 8;

/// Fills listed at once in one process; beyond it fetches are not shared. One costs about 300 bytes.
pub const FILLS_MAX: usize = 65_536;

/// Followers of one fill; beyond it requests fetch on their own. One costs about 100 bytes and a wake-up per push.
pub const FOLLOWERS_MAX: usize = 16_384;

/// Purge marks kept apart (about 64 bytes each); beyond it the older half of those of the zones with the most becomes
/// one mark for the whole zone, which purges more than was asked and never less.
pub const MARKS_MAX: usize = 100_000;

/// Path prefixes an object can be purged by, counted from the root; a purge of a longer prefix takes the first 16.
pub const PREFIXES_MAX: usize = 16;

/// Tags an object is known by. An object with more is purged with every tag purge of its zone.
pub const TAGS_MAX: usize = 128;
