//! What stands around a stage: it contains panics and errors, notices overruns of time and memory, skips what failed
//! too often, and tells of it (DESIGN R4).

use super::sabotage::inflict;
use super::{Faults, Part, Shared, Stages, told};
use crate::cohort::Cohort;
use crate::process::Note;
use crossbeam_channel::Sender;
use seawall_guard::{Fault, Guard, Pass, Sabotage};
use seawall_model::{FailMode, Module};
use seawall_ruleset::ModuleSet;
use seawall_sys::Usage;
use seawall_sys::recorder::Slot;
use seawall_telemetry::Metrics;
use seawall_telemetry::names::ModuleFault;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

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
    /// Where it would be looked for what killed the process; a rehearsal may have none.
    pub slot: Option<&'a Slot>,
    /// What a live request is told to; a rehearsal opens no breaker and tells no story.
    pub teller: Option<Teller<'a>>,
    /// In a drill.
    pub sabotage: Option<&'a Sabotage>,
    /// What the thread had used when the stages began, where that is known: time spent waiting for a processor is held
    /// against nobody.
    pub usage: Option<Usage>,
    /// Time that is held against a part of the stage at work, and not against the whole of it.
    pub excused: Cell<Duration>,
}

/// Where what happens in a live request goes.
#[derive(Clone, Copy)]
pub(crate) struct Teller<'a> {
    /// Whose breakers count.
    pub cohort: Cohort,
    pub metrics: &'a Metrics,
    /// The rollout thread.
    pub notes: &'a Sender<Note>,
}

impl Teller<'_> {
    /// Tells the rollout thread. A full queue loses the story, not the effect.
    pub(super) fn tell(&self, note: Note) {
        let _ = self.notes.try_send(note);
    }
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
        let pass = self.allowed(part);
        let result = match pass {
            Pass::Skip => None,
            _ => self.measured(part, pass, faults, stage),
        };
        if let (None, Some(teller)) = (&result, self.teller)
            && self.mode(part) != FailMode::Closed
        {
            teller.metrics.module_skipped.inc(told(part.module));
        }
        result
    }

    fn allowed(&self, part: &Part) -> Pass {
        let Some(teller) = self.teller else { return Pass::Closed };
        match part.breaker(teller.cohort).allow(self.now_ms) {
            Pass::Skip if self.sabotage.is_some_and(|s| s.without(Guard::Breaker)) => Pass::Closed,
            pass => pass,
        }
    }

    fn measured<T>(
        &self,
        part: &Part,
        pass: Pass,
        faults: &mut Faults,
        stage: impl FnOnce() -> Result<T, StageError>,
    ) -> Option<T> {
        let began = Instant::now();
        let allocated = seawall_sys::alloc::thread_allocated();
        if let Some(slot) = self.slot {
            slot.module(part.module.index());
        }
        let outcome = self.contained(part.module, stage);
        if let Some(slot) = self.slot {
            slot.module_done();
        }
        let took = began.elapsed();
        let asked = seawall_sys::alloc::thread_allocated().wrapping_sub(allocated);
        let excused = self.excused.take();
        let budget = part.module.budget();
        let took = if took.as_micros() > u128::from(budget.time_us) { self.held(took) } else { took };
        let over = |took: Duration| {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            Fault::overrun(budget, took_us, asked)
        };
        let uncontained = self.sabotage.is_some_and(|s| s.without(Guard::Containment));
        let (result, fault) = match outcome {
            Ok(result) if uncontained => (Some(result), None),
            Ok(result) => (Some(result), over(took).map(|fault| (fault, fault.to_string()))),
            Err(failed) => (None, Some(failed)),
        };
        let Some((fault, why)) = fault else {
            self.went_well(part, pass);
            return result;
        };
        faults.push((
            told(part.module),
            ModuleFault::ALL.get(fault.index()).copied().unwrap_or(ModuleFault::Error),
        ));
        if matches!(fault, Fault::Time { .. }) && over(took.saturating_sub(excused)).is_none() {
            self.went_well(part, pass);
        } else {
            self.failed(part, pass, fault, why);
        }
        result
    }

    /// What of a time is held against the stage. On a machine with too much to do a thread waits for its turn, and a stage that
    /// is well must not be skipped for it; a stage that sleeps or waits for something else is not well.
    #[cold]
    pub(super) fn held(&self, took: Duration) -> Duration {
        match (self.usage, seawall_sys::thread_usage()) {
            (Some(before), Some(now)) if now.slept == before.slept => {
                took.min(Duration::from_nanos(now.cpu_ns.saturating_sub(before.cpu_ns)))
            }
            _ => took,
        }
    }

    fn contained<T>(
        &self,
        module: Module,
        stage: impl FnOnce() -> Result<T, StageError>,
    ) -> Result<T, (Fault, String)> {
        let run = || {
            if let Some(sabotage) = self.sabotage.filter(|s| s.has_faults())
                && let Some(what) = sabotage.fault(
                    Some(module),
                    self.zone,
                    |rule| self.stages.has_rule(rule),
                    self.shared.age_ms(),
                )
            {
                inflict(what)?;
            }
            stage()
        };
        if self.sabotage.is_some_and(|s| s.without(Guard::Containment)) {
            // Without it an error is nobody's to catch either: it ends the request as a panic does.
            return run().map_err(|error| resume_unwind(Box::new(error.0)));
        }
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err((Fault::Error, error.0)),
            Err(panic) => Err((Fault::Panic, what(&*panic))),
        }
    }

    fn went_well(&self, part: &Part, pass: Pass) {
        let Some(teller) = self.teller else { return };
        if part.breaker(teller.cohort).ok(pass) {
            let (zone, cohort) = (self.zone.to_owned(), teller.cohort);
            teller.tell(Note::BreakerClosed { zone, module: part.module, cohort });
        }
    }

    #[cold]
    fn failed(&self, part: &Part, pass: Pass, fault: Fault, why: String) {
        let Some(teller) = self.teller else { return };
        if part.breaker(teller.cohort).fault(pass, self.now_ms, fault) {
            let (zone, cohort) = (self.zone.to_owned(), teller.cohort);
            teller.tell(Note::BreakerOpened { zone, module: part.module, cohort, fault, why });
        }
    }
}

/// What a panic said.
pub(crate) fn what(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
