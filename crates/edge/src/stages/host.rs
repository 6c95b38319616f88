//! What stands around a stage: it contains panics and errors, notices overruns of time and memory, skips what failed
//! too often, and tells of it (DESIGN R4).

use super::sabotage::inflict;
use super::{Faults, Part, Shared, Stages, told};
use crate::process::Note;
use crossbeam_channel::Sender;
use seawall_guard::{Fault, Guard, Pass, Sabotage};
use seawall_model::{FailMode, Module};
use seawall_ruleset::ModuleSet;
use seawall_sys::recorder::Slot;
use seawall_telemetry::Metrics;
use seawall_telemetry::names::ModuleFault;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Why a stage has no result.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StageError(pub String);

/// The surroundings of the stages of one request.
pub(crate) struct Host<'a> {
    pub shared: &'a Shared,
    /// Whose request it is, for what is told.
    pub zone: &'a str,
    /// The zone's, for drills that tie faults to a rule.
    pub stages: &'a Stages,
    /// What the operator turned off for this zone alone.
    pub off: ModuleSet,
    /// Steady milliseconds, for breakers.
    pub now_ms: u64,
    /// What a live request is told to; a rehearsal opens no breaker and tells no story.
    pub teller: Option<Teller<'a>>,
    /// In a drill.
    pub sabotage: Option<&'a Sabotage>,
    /// The kind of the last fault, for a rehearsal.
    pub last: Cell<Option<Fault>>,
}

/// Where what happens in a live request goes.
#[derive(Clone, Copy)]
pub(crate) struct Teller<'a> {
    /// Where a crash would be looked for.
    pub slot: &'a Slot,
    pub metrics: &'a Metrics,
    /// The rollout thread.
    pub notes: &'a Sender<Note>,
}

impl Host<'_> {
    /// Whether the operator or the configuration turned a module off.
    pub(crate) fn is_off(&self, module: Module) -> bool {
        self.shared.off.contains(module) || self.off.contains(module)
    }

    /// What a failure of this stage means for the request.
    pub(crate) fn mode(&self, part: &Part) -> FailMode {
        part.mode.unwrap_or_else(|| self.shared.mode(part.module))
    }

    /// Runs a stage. `None`: it failed, or is being skipped because it did before.
    pub(crate) fn run<T>(
        &self,
        part: &Part,
        faults: &mut Faults,
        stage: impl FnOnce() -> Result<T, StageError>,
    ) -> Option<T> {
        let pass = match self.teller {
            Some(teller) => match part.breaker.allow(self.now_ms) {
                Pass::Skip if self.sabotage.is_none_or(|s| !s.without(Guard::Breaker)) => {
                    teller.metrics.module_skipped.inc(told(part.module));
                    return None;
                }
                pass => pass,
            },
            None => Pass::Closed,
        };
        let began = Instant::now();
        let allocated = seawall_sys::alloc::thread_allocated();
        if let Some(teller) = self.teller {
            teller.slot.module(part.module.index());
        }
        let outcome = self.contained(part.module, stage);
        if let Some(teller) = self.teller {
            teller.slot.module_done();
        }
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let asked = seawall_sys::alloc::thread_allocated().wrapping_sub(allocated);
        let (result, fault) = match outcome {
            Ok(result) => (
                Some(result),
                Fault::overrun(part.module.budget(), took_us, asked).map(|fault| (fault, fault.to_string())),
            ),
            Err(failed) => (None, Some(failed)),
        };
        match fault {
            None => self.went_well(part, pass),
            Some((fault, why)) => {
                faults.push((
                    told(part.module),
                    ModuleFault::ALL.get(fault.index()).copied().unwrap_or(ModuleFault::Error),
                ));
                self.last.set(Some(fault));
                self.failed(part, pass, fault, why);
            }
        }
        result
    }

    fn contained<T>(
        &self,
        module: Module,
        stage: impl FnOnce() -> Result<T, StageError>,
    ) -> Result<T, (Fault, String)> {
        let run = || {
            if let Some(sabotage) = self.sabotage.filter(|s| s.has_faults()) {
                let since_ms = u64::try_from(self.shared.since.elapsed().as_millis()).unwrap_or(u64::MAX);
                if let Some(what) =
                    sabotage.fault(Some(module), self.zone, |rule| self.stages.has_rule(rule), since_ms)
                {
                    inflict(what)?;
                }
            }
            stage()
        };
        if self.sabotage.is_some_and(|s| s.without(Guard::Containment)) {
            return run().map_err(|error| (Fault::Error, error.0));
        }
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err((Fault::Error, error.0)),
            Err(panic) => Err((Fault::Panic, what(&*panic))),
        }
    }

    fn went_well(&self, part: &Part, pass: Pass) {
        if part.breaker.ok(pass)
            && let Some(teller) = self.teller
        {
            let zone = self.zone.to_owned();
            let _ = teller.notes.try_send(Note::BreakerClosed { zone, module: part.module });
        }
    }

    #[cold]
    fn failed(&self, part: &Part, pass: Pass, fault: Fault, why: String) {
        let Some(teller) = self.teller else { return };
        if part.breaker.fault(pass, self.now_ms, fault) {
            let zone = self.zone.to_owned();
            // A full queue loses the story, not the effect.
            let _ = teller.notes.try_send(Note::BreakerOpened { zone, module: part.module, fault, why });
        }
    }
}

/// What a panic said.
pub(crate) fn what(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
