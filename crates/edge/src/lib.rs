//! The data plane: workers, exchanges, cache, pools, logs.
//!
//! A request comes in by [`h1`] or [`h2`], is carried by [`exchange`], answered from the cache ([`cached`], [`serving`],
//! [`filling`]) or from an origin ([`fetch`], [`upstream`], [`source`], [`upload`]), sent by [`respond`], and written down
//! by [`record`]. A [`worker`] is one thread; a [`process`] is what workers share; [`live`] is the configuration.

// What a request needs on its way (its head, the response's head, fields of our own, its body, where the answer goes, what
// is found out) is borrowed part by part: each is lent on and changed while the others are in use, across waits, which one
// struct of them all would not let.
#![allow(clippy::too_many_arguments)]

mod accept;
mod admin;
mod buffers;
mod cached;
mod changes;
mod cohort;
mod exchange;
mod fetch;
mod filling;
mod floods;
mod h1;
mod h2;
mod h2io;
mod h2map;
mod heads;
mod hosts;
mod live;
mod message;
mod monitor;
mod orders;
mod pages;
mod process;
mod record;
mod recorder;
mod respond;
mod rollout;
mod seats;
mod serving;
mod source;
mod spans;
mod stages;
mod start;
mod telling;
mod trace;
mod tunnel;
mod unshared;
mod upload;
mod upstream;
mod watchdog;
mod worker;

pub use orders::Apply;
pub use recorder::slots_for;
pub use rollout::{Artifact, BOT_FEATURES, Boot, Content, Proposal, check_artifact};
pub use start::{Edge, Start, StartError};
