//! The one crate of the workspace with `unsafe`: descriptors that outlive an `exec`, memory that outlives its writer
//! ([`recorder`]), and an allocator that counts ([`alloc`]).
//!
//! Two things the supervisor and its children need cannot be said in safe Rust: running code between `fork` and
//! `exec`, and taking ownership of a descriptor that arrived as a number. Both live here, behind functions that are
//! safe to call with any argument, and so do mapping a file and being an allocator. Everything else (`kill`, `waitpid`, `signalfd`, `execve`) is safe through `nix`.
//!
//! A descriptor keeps its **number** across the hand-over. Renumbering to 3, 4, 5… would need `dup2` in the forked
//! child, where it can land on the pipe through which `std` reports a failed `exec`. The receiver is told the
//! numbers in an environment variable instead (see `seawall::handover`).
//!
//! Close-on-exec is the mark that makes this sound: `std` sets it on every descriptor it opens, so a descriptor
//! without it can only have been inherited. [`claim`] demands that it is clear and sets it, which makes a second claim
//! of the same number fail.
#![allow(unsafe_code)] // DESIGN R13: the one crate that may; every block below says why it is sound

pub mod alloc;
mod cpu;
mod inherit;
pub mod recorder;
mod spawn;

pub use cpu::{Usage, thread_cpu_ns, thread_usage};
pub use inherit::{
    ClaimError, claim, claim_file, claim_tcp_listener, claim_unix_listener, claim_unix_stream,
};
pub use spawn::{Lineage, exec, spawn};
