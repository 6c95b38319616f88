//! The timeline: every change, stage, gate, rollback, breaker, restart and quarantine is one event with time and cause
//! (DESIGN R12), so that "what changed just before" can be answered first.
//!
//! [`Timeline::tell`] puts an event into a bounded queue and returns; a thread of its own keeps the newest in memory,
//! mirrors each as a `tracing` event and appends it as one JSON line to `<data_dir>/timeline.jsonl`. Every process of
//! an installation appends to the same file; [`read`] puts all in order. A full disk costs the line in the file, a full
//! queue the event; both are counted.
//!
//! [`KINDS`] is the one list of what can happen, and `docs/timeline.md` is written from it.

mod event;
mod file;
mod flood;
mod follow;
mod kinds;
mod read;
mod teller;

pub use event::{Event, LINE_MAX};
pub use file::{FILE, KEEP, ROTATE_BYTES};
pub use flood::{FLOOD_BURST, FLOOD_REFILL_MS};
pub use follow::Follower;
pub use kinds::{KINDS, Kind, KindRow, Source};
pub use read::{Filter, Reading, merge, read};
pub use teller::{Counts, QUEUE_EVENTS, RING_EVENTS, Timeline};
