//! What workers tell the rollout thread: breakers, rules that tripped, panics. And what follows from panics: the unit
//! that brought them goes, alone.

use super::{Current, Driver};
use crate::cohort::Cohort;
use crate::process::Note;
use crate::rollout::rehearsal::bounded;
use crate::stages::told;
use crate::watchdog::Stuck;
use seawall_guard::Guard;
use seawall_model::Module;
use seawall_snapshot::UnitPrefix;
use seawall_telemetry::timeline::{Event, Kind};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Panics of one zone's requests outside of any stage within [`PANIC_WINDOW`], at which its unit is taken back.
const PANICS_MAX: usize = 3;
const PANIC_WINDOW: Duration = Duration::from_secs(60);
/// Panics remembered at once, in number; more of them change nothing.
const PANICS_KEPT: usize = 1000;
/// Open breakers that are known one by one, in number; a worker tells of more than these in vain.
const BREAKERS_KEPT: usize = 10_000;
/// How often it is looked whether those known are still open: configurations go, and their breakers with them.
const BREAKERS_LOOK: Duration = Duration::from_secs(1);
/// Longest that compiling the version before may take.
const FALL_BACK_WITHIN: Duration = Duration::from_secs(30);

/// Panics of late.
#[derive(Default)]
pub(super) struct Panics {
    /// The unit, the snapshot it ran under, and when.
    late: Vec<(u64, u64, Instant)>,
    /// Units of which enough is known: requests that are under way go on to panic for a moment.
    known: HashSet<u64>,
}

impl Panics {
    /// Counts one. How many there were of this unit under this snapshot within the window.
    fn count(&mut self, unit: u64, snapshot: u64, now: Instant) -> usize {
        self.late.retain(|(.., at)| now.duration_since(*at) < PANIC_WINDOW);
        if self.late.len() < PANICS_KEPT && !self.known.contains(&unit) {
            self.late.push((unit, snapshot, now));
        }
        self.late.iter().filter(|(u, s, _)| (*u, *s) == (unit, snapshot)).count()
    }

    fn forget(&mut self, unit: u64) {
        self.late.retain(|(u, ..)| *u != unit);
    }
}

/// Open breakers of what serves.
pub(super) struct Breakers {
    open: BTreeSet<(String, Module)>,
    looked: Instant,
}

impl Default for Breakers {
    fn default() -> Breakers {
        Breakers { open: BTreeSet::new(), looked: Instant::now() }
    }
}

impl Driver {
    pub(super) fn heed(&mut self, note: Note) {
        match note {
            Note::BreakerOpened { zone, module, cohort, fault, why } => {
                let under = self.under(cohort);
                let text = format!(
                    "{module} failed for {zone}{under} ({}): {why}; it is skipped there by its failure mode",
                    fault.name()
                );
                self.tell_of(
                    cohort,
                    Event::new(Kind::BreakerOpened, fault.name(), text).zone(&zone).module(module.name()),
                );
                if cohort == Cohort::Current && self.breakers.open.len() < BREAKERS_KEPT {
                    self.breakers.open.insert((zone, module));
                    self.gauge_breakers();
                }
            }
            Note::BreakerClosed { zone, module, cohort } => {
                let text = format!("{module} works again for {zone}{}", self.under(cohort));
                self.tell_of(
                    cohort,
                    Event::new(Kind::BreakerClosed, "probe", text).zone(&zone).module(module.name()),
                );
                if cohort == Cohort::Current {
                    self.breakers.open.remove(&(zone, module));
                    self.gauge_breakers();
                }
            }
            Note::RuleTripped { zone, rule, fault } => {
                let text = format!("rule `{rule}` of {zone} is skipped, the other rules are not: {fault}");
                self.tell(
                    Event::new(Kind::RuleTripped, fault.name(), text)
                        .zone(zone)
                        .module(Module::Firewall.name()),
                );
            }
            Note::Panicked { zone, unit, snapshot, why } => self.panicked(&zone, unit, snapshot, &why),
            Note::Stuck(stuck) => self.stuck(&stuck),
        }
    }

    fn under(&self, cohort: Cohort) -> &'static str {
        if cohort == Cohort::Candidate { " under the candidate" } else { "" }
    }

    fn tell_of(&self, cohort: Cohort, event: Event) {
        match &self.trial {
            Some(trial) if cohort == Cohort::Candidate => self.tell(event.snapshot(trial.number)),
            _ => self.tell(event),
        }
    }

    fn stuck(&mut self, stuck: &Stuck) {
        let live = self.process.live.load_full();
        let zone = live.by_unit(stuck.unit).map(|zone| zone.doc.name.clone());
        let module = stuck.module.and_then(Module::of_index);
        let place = match (&zone, module) {
            (Some(zone), Some(module)) => format!("in {module} for {zone}"),
            (Some(zone), None) => format!("with a request for {zone}"),
            _ => "somewhere".to_owned(),
        };
        let then = if stuck.stand_in { "a stand-in serves its sockets" } else { "there is no stand-in left" };
        let text = format!("worker {} stands still {place} for {} ms; {then}", stuck.worker, stuck.for_ms);
        let mut event = Event::new(Kind::WorkerStuck, "watchdog", text);
        if let Some(zone) = &zone {
            event = event.zone(zone);
        }
        if let Some(module) = module {
            event = event.module(module.name());
        }
        self.tell(event);
        if let Some(trial) = self.trial.take() {
            // Whose request it was is not known, and a request that does not end is counted by no gate.
            self.fail(*trial, format!("worker {} got stuck {place} meanwhile", stuck.worker));
        }
        if let (Some(zone), Some(module)) = (zone, module)
            && self.breakers.open.len() < BREAKERS_KEPT
        {
            self.breakers.open.insert((zone, module));
            self.gauge_breakers();
        }
    }

    /// Forgets breakers that closed untold, or went with their zone.
    pub(super) fn look_at_breakers(&mut self) {
        if self.breakers.open.is_empty() || self.breakers.looked.elapsed() < BREAKERS_LOOK {
            return;
        }
        self.breakers.looked = Instant::now();
        let live = self.process.live.load_full();
        self.breakers.open.retain(|(zone, module)| live.is_open(zone, *module));
        self.gauge_breakers();
    }

    fn gauge_breakers(&self) {
        let shared = self.process.registry.shared();
        for module in Module::ALL {
            let open = self.breakers.open.iter().filter(|(_, of)| *of == module).count();
            shared.module_breakers_open.set(told(module), i64::try_from(open).unwrap_or(i64::MAX));
        }
    }

    /// A few panics of one zone's requests: whatever brought them goes.
    fn panicked(&mut self, zone: &str, unit: u64, snapshot: u64, why: &str) {
        if self.panics.count(unit, snapshot, Instant::now()) < PANICS_MAX
            || self.without(Guard::ZoneQuarantine)
        {
            return;
        }
        self.panics.forget(unit);
        let reason = format!("{PANICS_MAX} of its requests panicked: {why}");
        let on_trial = self.trial.as_ref().filter(|trial| trial.number == snapshot);
        if on_trial.is_some_and(|trial| !trial.brought(UnitPrefix(unit)))
            && let Some(trial) = self.trial.take()
        {
            // The zone is as it was, so something else of the change is to blame.
            return self.fail(*trial, format!("{zone}: {reason}"));
        }
        self.panics.known.insert(unit);
        self.quarantine_zone(zone, unit, &reason);
    }

    /// Takes one zone's unit out of service, and puts its last other version in its place.
    fn quarantine_zone(&mut self, zone: &str, unit: u64, reason: &str) {
        let now = self.clock.now_unix_ms();
        let Some(store) = &self.store else { return };
        if let Err(fault) = store.update(|history| history.quarantine_unit(UnitPrefix(unit), reason, now)) {
            tracing::error!(%fault, zone, "a unit cannot be put into quarantine");
            return;
        }
        let text = format!("{zone} falls back to its last other version: {reason}");
        let unit_name = format!("zone {zone}");
        self.tell(Event::new(Kind::UnitQuarantined, "panic", text.clone()).zone(zone).unit(&unit_name));
        self.tell(Event::new(Kind::Alert, "panic", text).zone(zone).unit(&unit_name));
        self.process.registry.shared().snapshots_quarantined.inc();
        if let Some(trial) = self.trial.take() {
            // The rest of the change goes on, without that unit.
            let rest = self.make_way(*trial);
            self.waiting.again(rest);
        }
        self.fall_back();
    }

    /// Serves what the store holds to be the current snapshot without the units in quarantine. These served before, so
    /// there is nothing to try.
    fn fall_back(&mut self) {
        let Some(Ok(start)) = self.store.as_ref().map(|store| store.start(false)) else { return };
        if start.units.hash() == self.current.units.hash() {
            return;
        }
        let (process, units) = (self.process.clone(), start.units);
        let compiled = bounded("load", FALL_BACK_WITHIN, move || process.compile(&units));
        let (mut live, faults) = match compiled {
            Ok(compiled) => compiled,
            Err(why) => {
                self.tell(Event::new(Kind::Alert, "quarantine", format!("there is no falling back: {why}")));
                return;
            }
        };
        for fault in &faults {
            let text = format!("{} {} cannot fall back: {}", fault.kind.name(), fault.name, fault.why);
            self.tell(Event::new(Kind::Alert, "quarantine", text));
        }
        let number = start.manifest.number;
        live.snapshot = number;
        let live = Arc::new(live);
        self.process.recorder.runs(number, 0);
        self.process.prepare_certificates(&live, None);
        self.process.adopt(live.clone());
        self.process.took_over(&live);
        self.current = Current { number, units: live.units.clone(), since: Instant::now() };
        let now = self.clock.now_unix_ms();
        if let Some(Err(fault)) =
            self.store.as_ref().map(|s| s.update(|history| history.started(number, now)))
        {
            tracing::error!(%fault, number, "it is not noted on disk that this snapshot serves");
        }
        let text = format!("snapshot {number} serves every request, without what is in quarantine");
        self.tell(Event::new(Kind::RolledBack, "quarantine", text).snapshot(number));
        self.tell_standing();
    }
}
