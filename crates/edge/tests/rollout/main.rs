//! Changes on their way through one edge, and what fails in it: real sockets, a real store in a folder of its own, and
//! faults injected on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![allow(missing_docs)]

mod canary;
mod closing;
#[allow(dead_code)] // shared with the tests beside
#[path = "../edge/common.rs"]
mod common;
mod data;
mod modules;
mod orders;
mod random;
mod refusals;
mod rehearsal;
mod stand;
mod switches;

/// As in the program: without it no module would ever be seen to ask for too much.
#[global_allocator]
static ALLOCATOR: seawall_sys::alloc::Counted<std::alloc::System> =
    seawall_sys::alloc::Counted(std::alloc::System);
