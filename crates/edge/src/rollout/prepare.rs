//! From what somebody wants to a candidate: checked against what serves, compiled beside it, published.

use super::canary::Trial;
use super::overlay::Overlay;
use super::rehearsal::bounded;
use super::status::{Ended, Outcome};
use super::{Content, Driver, Proposal, check_artifact};
use crate::live::Live;
use seawall_guard::Guard;
use seawall_model as model;
use seawall_snapshot::{Ack, Change, Needed, Unit, UnitKind, UnitPrefix, Units, review};
use seawall_telemetry::timeline::{Event, Kind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest that loading a change may take: a million zones from scratch take less.
const LOAD_WITHIN: Duration = Duration::from_secs(120);

/// A change that may serve.
pub(super) struct Prepared {
    pub number: u64,
    /// What it says, as far as it could be compiled: what runs is exactly this.
    pub units: Units,
    pub overlay: Overlay,
    pub live: Arc<Live>,
    pub effects: Vec<String>,
    /// Units that keep their last version, and why.
    pub kept: Vec<String>,
    /// What differs from what serves.
    pub changes: Vec<Change>,
    /// Whether certificates or the hosts they are for differ.
    pub certificates: bool,
}

impl Prepared {
    /// Zones that differ from what serves.
    pub(super) fn zones(&self) -> Vec<String> {
        let zones = self.changes.iter().filter(|change| change.kind == UnitKind::Zone);
        zones.map(|change| change.name.to_string()).collect()
    }

    /// Whether nothing differs but addresses of lists and switches of modules.
    pub(super) fn is_ban_or_switch(&self) -> bool {
        self.changes.iter().all(|change| matches!(change.kind, UnitKind::List | UnitKind::Module))
    }

    /// Whether a unit came with this change.
    pub(super) fn brought(&self, unit: UnitPrefix) -> bool {
        self.changes.iter().filter_map(|change| change.after.as_ref()).any(|new| new.hash.prefix() == unit.0)
    }
}

/// Why a change is not taken.
#[derive(Default)]
pub(super) struct Refusal {
    pub reasons: Vec<String>,
    pub effects: Vec<String>,
    pub needs: Vec<Needed>,
    /// It says what is served.
    pub unchanged: bool,
}

impl Refusal {
    pub(super) fn because(reason: impl Into<String>) -> Refusal {
        Refusal { reasons: vec![reason.into()], ..Refusal::default() }
    }
}

impl Driver {
    /// Takes a change on its way, or refuses it.
    pub(super) fn begin(&mut self, order: u64, proposal: Proposal) {
        self.at_hand = Some((order, None));
        self.kept.clear();
        let began = Instant::now();
        match self.prepare(&proposal) {
            Ok(prepared) => {
                self.process.registry.shared().change_prepare_ms.set(ms_since(began));
                self.launch(order, proposal, prepared);
            }
            Err(refusal) if refusal.unchanged => {
                self.note_problems(&proposal);
                self.end(Ended::new(order, Some(self.current.number), Outcome::Unchanged));
            }
            Err(refusal) => {
                if matches!(proposal.content, Content::Site { .. }) {
                    let shared = self.process.registry.shared();
                    shared.config_last_load_ok.set(0);
                    shared.config_loads_failed.inc();
                }
                self.refuse(order, None, refusal.reasons, refusal.effects, refusal.needs);
            }
        }
    }

    /// Shows in the metrics what is wrong with a configuration, parts of which serve.
    pub(super) fn note_problems(&self, proposal: &Proposal) {
        if let Content::Site { problems, .. } = &proposal.content {
            let shared = self.process.registry.shared();
            shared.config_problems.set(i64::try_from(problems.len()).unwrap_or(i64::MAX));
            shared.config_last_load_ok.set(i64::from(!problems.iter().any(model::Problem::is_error)));
        }
    }

    fn prepare(&mut self, proposal: &Proposal) -> Result<Prepared, Refusal> {
        self.check_base(proposal)?;
        let mut overlay = self.overlay.clone();
        let mut units = self.wanted(proposal, &mut overlay)?;
        self.differs(&units, &overlay)?;
        if units.count(UnitKind::Zone) == 0 && self.current.units.count(UnitKind::Zone) > 0 {
            return Err(Refusal::because(
                "the change leaves no zone at all, and that is not an order to remove everything",
            ));
        }
        self.leave_out(&mut units, &proposal.acks);
        self.differs(&units, &overlay)?;
        let reviewed = review(&self.current.units, &units);
        let effects: Vec<String> = reviewed.effects.iter().map(ToString::to_string).collect();
        for warning in &reviewed.warnings {
            tracing::warn!(warning, "a change is near a limit");
        }
        if self.current.number > 0 && !self.without(Guard::RemovalCap) {
            seawall_snapshot::check(&reviewed, &proposal.acks).map_err(|needs| Refusal {
                reasons: needs.iter().map(ToString::to_string).collect(),
                effects: effects.clone(),
                needs,
                unchanged: false,
            })?;
        }
        let mut live = self.compile(&mut units)?;
        self.differs(&units, &overlay)?;
        self.was_taken_back(proposal, &units)?;
        let number = self.publish(proposal, &units)?;
        live.snapshot = number;
        let certificates = live.certificates != self.process.live.load().certificates;
        Ok(Prepared {
            number,
            overlay,
            live: Arc::new(live),
            kept: std::mem::take(&mut self.kept),
            changes: self.current.units.changes(&units),
            units,
            effects,
            certificates,
        })
    }

    /// A change made from another snapshot than what serves, or is newest, would undo what came between (DESIGN R8).
    fn check_base(&self, proposal: &Proposal) -> Result<(), Refusal> {
        let Some(base) = proposal.base.filter(|_| !self.without(Guard::StaleWriter)) else { return Ok(()) };
        let history = self.store.as_ref().and_then(|s| s.history().ok());
        let newest = history.and_then(|h| h.newest().map(|e| e.number)).unwrap_or(self.current.number);
        let now = self.current.number;
        if base == now || base == newest {
            return Ok(());
        }
        Err(Refusal::because(format!(
            "the change was made from snapshot {base}, but {now} serves now: look at `seawall snapshot diff {base} {now}` and make it again from there"
        )))
    }

    /// Whether there is something to do. What keeps its last version is a refusal where nothing else is left.
    fn differs(&mut self, units: &Units, overlay: &Overlay) -> Result<(), Refusal> {
        if units.hash() != self.current.units.hash() {
            return Ok(());
        }
        if self.overlay != *overlay {
            // A switch without effect: its zone is gone.
            self.overlay = overlay.clone();
            if let Err(fault) = self.overlay.save(&self.data_dir) {
                tracing::error!(%fault, "switches of modules are not kept over a restart");
            }
        }
        let reasons = std::mem::take(&mut self.kept);
        Err(Refusal { unchanged: reasons.is_empty(), reasons, ..Refusal::default() })
    }

    /// Units that did harm before, and data files that fail a second check or differ from the last version by more than
    /// was acknowledged, stay out: their last version serves, and the rest of the change goes on.
    fn leave_out(&mut self, units: &mut Units, acks: &[Ack]) {
        let history = self.store.as_ref().and_then(|s| s.history().ok()).unwrap_or_default();
        let checked = !self.without(Guard::BuildValidation);
        let now_ms = self.now_ms();
        for change in self.current.units.changes(units) {
            let Some(unit) = &change.after else { continue };
            let quarantine = history.quarantined_units.get(&UnitPrefix(unit.hash.prefix()));
            let why = match quarantine {
                Some(quarantine) => Err(format!("it is in quarantine: {}", quarantine.reason)),
                None if unit.kind != UnitKind::Data => Ok(()),
                None if checked => {
                    check_artifact(&unit.name, &unit.bytes).and_then(|()| self.review_alone(unit, acks))
                }
                None => self.review_alone(unit, acks),
            };
            if let Err(why) = why {
                if unit.kind == UnitKind::Data
                    && let Some(finding) = self.intake.turned_out_bad(&unit.name, &unit.bytes, &why, now_ms)
                    && !self.without(Guard::Pin)
                {
                    self.pinned(&finding);
                }
                match change.before {
                    Some(before) => drop(units.put(before)),
                    None => drop(units.remove(unit.kind, &unit.name)),
                }
                self.kept(unit.kind, &unit.name, &why);
            }
        }
    }

    /// What one unit would change by itself, against what is acknowledged.
    fn review_alone(&self, unit: &Arc<Unit>, acks: &[Ack]) -> Result<(), String> {
        if self.current.number == 0 || self.without(Guard::RemovalCap) {
            return Ok(());
        }
        let mut alone = self.current.units.clone();
        alone.put(unit.clone());
        let needs = seawall_snapshot::check(&review(&self.current.units, &alone), acks);
        needs.map_err(|needs| needs.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// Compiles a change beside what serves. A unit that cannot be compiled keeps its last version, and `units` is then
    /// what the result really is.
    fn compile(&mut self, units: &mut Units) -> Result<Live, Refusal> {
        let (process, wanted) = (self.process.clone(), units.clone());
        let began = Instant::now();
        let (live, faults) =
            bounded("load", LOAD_WITHIN, move || process.compile(&wanted)).map_err(Refusal::because)?;
        self.process.registry.shared().change_compile_ms.set(ms_since(began));
        for fault in faults {
            self.kept(fault.kind, &fault.name, &fault.why);
        }
        *units = live.units.clone();
        Ok(live)
    }

    /// What a gate sent back is not tried again just because its file is still there: somebody has to say so.
    fn was_taken_back(&self, proposal: &Proposal, units: &Units) -> Result<(), Refusal> {
        let Some(history) = self.store.as_ref().and_then(|s| s.history().ok()) else { return Ok(()) };
        let content = units.hash();
        if let Some((number, why)) = history.refusal(&content) {
            return Err(Refusal::because(format!(
                "this very content is in quarantine as snapshot {number}: {why}. Change it, or let it be tried again with `seawall snapshot delete {number}`"
            )));
        }
        let failed = history.entries.iter().filter(|e| e.content == content && e.adopted_unix_ms.is_none());
        match failed.filter_map(|entry| Some((entry.number, entry.reason.as_ref()?))).next() {
            Some((number, why)) if proposal.cause.who == "file" => Err(Refusal::because(format!(
                "this very content was turned down before, as snapshot {number}: {why}. To try it again all the same, order it: `seawall snapshot apply`"
            ))),
            _ => Ok(()),
        }
    }

    /// Tells that a unit keeps its last version.
    pub(super) fn kept(&mut self, kind: UnitKind, name: &str, why: &str) {
        let unit = format!("{} {name}", kind.name());
        let has_one = self.current.units.get(kind, name).is_some();
        let text = match has_one {
            true => format!("{unit} keeps its last version: {why}"),
            false => format!("{unit} is left out, as it has no earlier version: {why}"),
        };
        let mut event = Event::new(Kind::UnitKept, "check", text.clone()).unit(&unit);
        if kind == UnitKind::Zone {
            event = event.zone(name);
        }
        self.tell(event);
        if kind == UnitKind::Data {
            // What generates it goes on generating: somebody should look.
            self.tell(Event::new(Kind::Alert, "artifact", text.clone()).unit(&unit));
        }
        self.kept.push(text);
    }

    fn publish(&mut self, proposal: &Proposal, units: &Units) -> Result<u64, Refusal> {
        let Some(store) = &self.store else {
            self.unkept += 1;
            return Ok(self.unkept);
        };
        let base = proposal.base.filter(|_| !self.without(Guard::StaleWriter));
        let manifest = store.publish(units, base, &proposal.cause).map_err(|fault| {
            Refusal::because(format!(
                "the snapshot cannot be kept, and what cannot be kept is not served: {fault}"
            ))
        })?;
        Ok(manifest.number)
    }

    fn launch(&mut self, order: u64, proposal: Proposal, prepared: Prepared) {
        let number = prepared.number;
        self.at_hand = Some((order, Some(number)));
        let what = match prepared.effects.as_slice() {
            [] => proposal.cause.why.clone(),
            effects => effects.join("; "),
        };
        let text = format!("snapshot {number}: {what}");
        self.tell(Event::new(Kind::ChangeProposed, &proposal.cause.who, text).snapshot(number));
        for ack in &proposal.acks {
            self.tell(Event::new(Kind::Acknowledged, "operator", ack.to_string()).snapshot(number));
        }
        self.trial = Trial::begin(self, order, proposal, prepared).map(Box::new);
    }
}

fn ms_since(began: Instant) -> i64 {
    i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)
}
