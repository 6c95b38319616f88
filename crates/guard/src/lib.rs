//! What keeps a broken module, a storm of errors or a drill from hurting more than it must.
//!
//! - [`Breaker`] skips a module of one zone after a few faults and probes until it is well again (DESIGN R4).
//! - [`TelemetryBudget`] bounds the time that describing failures may take (DESIGN R10).
//! - [`Sabotage`] says which faults a drill injects and which guards it switches off.
//!
//! Nothing here reads a clock: time is an argument, in monotonic milliseconds from any start common to all callers.

mod breaker;
mod budget;
pub mod docs;
mod fault;
pub mod sabotage;

pub use breaker::{
    Breaker, FAULT_WINDOW_MS, FAULTS_TO_OPEN, OVERRUN_WINDOW_MS, PROBE_DELAY_MAX_MS, PROBE_DELAY_MS,
    PROBE_LEASE_MS, PROBES_TO_CLOSE, Pass, REMEMBER_MS,
};
pub use budget::{BURST_NS, SHARE_PERCENT, TelemetryBudget};
pub use fault::{AT_ONCE, Fault};
pub use sabotage::{ALLOCATE_BYTES, GUARDS, Guard, HANG_MS, SLOW_MS, Sabotage, SabotageFault, What};
