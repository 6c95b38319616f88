//! Firewall rules and address lists, compiled and bounded.
//!
//! A [`Ruleset`] is the rules of one zone, ready to run: patterns compiled, lists resolved, rules that are off left out.
//! [`Ruleset::decide`] is a function of a [`View`](seawall_http::View) and a score, without state, so that a candidate
//! can be rehearsed over recorded heads.
//!
//! What a rule can cost is bounded when it is compiled: [`Pattern`] takes only what runs in linear time and compiles to
//! little, whoever wrote it. What it did cost, the caller sees through `spend`, and can leave a single rule out.

mod address;
mod fault;
pub mod limits;
mod pattern;
mod ruleset;

pub use address::AddressSet;
pub use fault::{PatternFault, RuleFault};
pub use pattern::Pattern;
pub use ruleset::{Logged, ModuleSet, Outcome, Ruleset, Verdict};
