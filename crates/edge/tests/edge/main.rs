//! The edge on real sockets: between clients and origins that are scripted byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![allow(missing_docs)]

mod abuse;
mod changes;
mod common;
mod exchange;
mod framing;
mod http2;
mod pools;
mod statuses;
mod tls;
mod translation;
