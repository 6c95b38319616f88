//! The edge on real sockets: between clients and origins that are scripted byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![allow(missing_docs)]

mod common;
mod exchange;
mod framing;
mod statuses;
