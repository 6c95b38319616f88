//! The cache of the edge, end to end: real sockets, a scripted origin that counts, two workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod coding;
mod collapsing;
mod disk;
mod edge;
mod large;
mod origin;
mod purging;
mod routes;
mod statuses;
mod validating;
mod variants;

use std::time::{Duration, Instant};

/// Waits for something that happens on another thread.
#[track_caller]
fn until(mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !happened() {
        assert!(Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}
