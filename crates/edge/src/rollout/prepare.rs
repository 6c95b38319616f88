//! From what somebody wants to a candidate: documents to units, checked against what serves, compiled, published.

use super::artifacts::Taken;
use super::canary::Trial;
use super::overlay::Overlay;
use super::rehearsal::bounded;
use super::status::Outcome;
use super::{Artifact, Content, Driver, Proposal};
use crate::live::Live;
use seawall_guard::Guard;
use seawall_model as model;
use seawall_rollout::Finding;
use seawall_snapshot::{Needed, UnitKind, Units, codec, review};
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
    /// The same before the operator's switches were laid over it.
    pub source: Units,
    pub overlay: Overlay,
    pub live: Arc<Live>,
    pub effects: Vec<String>,
    /// Zones that differ from what serves.
    pub changed: Vec<String>,
    /// Whether certificates or the hosts they are for differ.
    pub certificates: bool,
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
        let began = Instant::now();
        match self.prepare(&proposal) {
            Ok(prepared) => {
                self.process.registry.shared().change_prepare_ms.set(ms_since(began));
                self.launch(order, proposal, prepared);
            }
            Err(refusal) if refusal.unchanged => {
                self.note_problems(&proposal);
                self.ended(order, Some(self.current.number), Outcome::Unchanged, Vec::new());
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
        let (source, mut units) = self.units(proposal, &mut overlay)?;
        if units.hash() == self.current.units.hash() {
            // The overlay may differ in what has no effect.
            self.overlay = overlay;
            return Err(Refusal { unchanged: true, ..Refusal::default() });
        }
        if units.count(UnitKind::Zone) == 0 && self.current.units.count(UnitKind::Zone) > 0 {
            return Err(Refusal::because(
                "the change leaves no zone at all, and that is not an order to remove everything",
            ));
        }
        self.leave_out_quarantined(&mut units);
        let reviewed = review(&self.current.units, &units);
        let effects: Vec<String> = reviewed.effects.iter().map(ToString::to_string).collect();
        if self.current.number > 0 && !self.without(Guard::RemovalCap) {
            seawall_snapshot::check(&reviewed, &proposal.acks).map_err(|needs| Refusal {
                reasons: needs.iter().map(ToString::to_string).collect(),
                effects: effects.clone(),
                needs,
                unchanged: false,
            })?;
        }
        let mut live = self.compile(&mut units)?;
        if units.hash() == self.current.units.hash() {
            return Err(Refusal::because("nothing of the change can be used; see the units that were kept"));
        }
        let quarantined = self
            .store
            .as_ref()
            .and_then(|s| s.history().ok())
            .is_some_and(|h| h.is_quarantined_content(&units.hash()));
        if quarantined && !proposal.acks.iter().any(|a| a.what == "quarantined") {
            return Err(Refusal {
                reasons: vec!["this very content is in quarantine: it was taken back before. Change it, or acknowledge quarantined=1".to_owned()],
                effects,
                ..Refusal::default()
            });
        }
        let number = self.publish(proposal, &units)?;
        live.snapshot = number;
        let changed = self.current.units.changes(&units);
        let zone = |c: &seawall_snapshot::Change| (c.kind == UnitKind::Zone).then(|| c.name.to_string());
        let certificates = live.certificates != self.process.live.load().certificates;
        Ok(Prepared {
            number,
            source,
            overlay,
            live: Arc::new(live),
            changed: changed.iter().filter_map(zone).collect(),
            units,
            effects,
            certificates,
        })
    }

    /// A change made from an older snapshot than the newest would undo what came between (DESIGN R8).
    fn check_base(&self, proposal: &Proposal) -> Result<(), Refusal> {
        let newest = self.newest();
        match proposal.base {
            Some(base) if base != newest && !self.without(Guard::StaleWriter) => {
                Err(Refusal::because(format!(
                    "the change was made from snapshot {base}, but the newest is {newest}: look at `seawall snapshot diff {base} {newest}` and make it again from there"
                )))
            }
            _ => Ok(()),
        }
    }

    /// What the change says, before and after the operator's switches.
    fn units(&mut self, proposal: &Proposal, overlay: &mut Overlay) -> Result<(Units, Units), Refusal> {
        let source = match &proposal.content {
            Content::Site { site, problems, refused_lists, artifacts } => {
                self.units_of(site, problems, refused_lists, artifacts)
            }
            Content::Snapshot(number) => {
                let units = self.earlier(*number)?;
                return Ok((units.clone(), units));
            }
            Content::Switch { module, zone, on } => {
                if let Some(zone) =
                    zone.as_deref().filter(|z| self.current.source.get(UnitKind::Zone, z).is_none())
                {
                    return Err(Refusal::because(format!("there is no zone `{zone}`")));
                }
                overlay.switch(*module, zone.as_deref(), *on).map_err(Refusal::because)?;
                self.current.source.clone()
            }
        };
        let mut units = source.clone();
        overlay.lay_over(&mut units);
        Ok((source, units))
    }

    fn units_of(
        &mut self,
        site: &model::Site,
        problems: &[model::Problem],
        refused_lists: &[String],
        artifacts: &[Artifact],
    ) -> Units {
        let mut units = codec::units_of(site, &codec::DataFiles::default());
        for name in problems.iter().filter(|p| p.is_error()).filter_map(|p| p.zone.as_deref()) {
            if units.get(UnitKind::Zone, name).is_none()
                && let Some(kept) = self.current.source.get(UnitKind::Zone, name).cloned()
            {
                units.insert(UnitKind::Zone, name, kept.bytes.clone());
                let why = problems.iter().find(|p| p.is_error() && p.zone.as_deref() == Some(name));
                let text = why.map_or_else(String::new, |p| format!("{p:#}"));
                self.kept(UnitKind::Zone, name, &text);
            }
        }
        for name in refused_lists {
            if let Some(kept) = self.current.source.get(UnitKind::List, name).cloned() {
                units.put(kept);
                self.kept(UnitKind::List, name, "it has an error");
            }
        }
        for artifact in artifacts {
            let kept = self.current.source.get(UnitKind::Data, artifact.name).map(|unit| unit.bytes.clone());
            let bytes = self.take_in(artifact).or(kept);
            if let Some(bytes) = bytes {
                units.insert(UnitKind::Data, artifact.name, bytes);
            }
        }
        units
    }

    /// A data file, if it is new and may be used.
    fn take_in(&mut self, artifact: &Artifact) -> Option<bytes::Bytes> {
        let sabotage = self.process.sabotage.clone();
        let (taken, finding) = self.intake.look(artifact, self.now_ms(), sabotage.as_deref())?;
        let unit = format!("data {}", artifact.name);
        if let Some(finding) = finding {
            self.pinned(&finding);
        }
        match taken {
            Taken::Accepted(bytes) => Some(bytes),
            Taken::Refused(why) => {
                let text = format!("{why}; the last good version stays");
                self.tell(Event::new(Kind::ArtifactRefused, "check", text.clone()).unit(&unit));
                self.tell(Event::new(Kind::Alert, "artifact", text).unit(&unit));
                self.process.registry.shared().snapshots_refused.inc();
                None
            }
            Taken::Pinned(_) => None,
        }
    }

    /// Tells of an artifact that alternates.
    pub(super) fn pinned(&self, finding: &Finding) {
        let unit = format!("data {}", finding.artifact);
        self.tell(Event::new(Kind::ArtifactPinned, "alternation", finding.to_string()).unit(&unit));
        self.tell(Event::new(Kind::Alert, "alternation", finding.to_string()).unit(&unit));
        self.status.lock().pinned = self.intake.pinned();
    }

    fn earlier(&self, number: Option<u64>) -> Result<Units, Refusal> {
        let store = self.store.as_ref().ok_or_else(|| Refusal::because("no snapshots are kept here"))?;
        let history = store.history().map_err(|fault| Refusal::because(fault.to_string()))?;
        let number = number.or_else(|| history.rollback_target()).ok_or_else(|| {
            Refusal::because(
                "there is no earlier good snapshot to go back to; name one of `seawall snapshot list`",
            )
        })?;
        store
            .effective(number)
            .map(|(_, units, _)| units)
            .map_err(|fault| Refusal::because(fault.to_string()))
    }

    /// Units that did harm before stay out: their last version serves.
    fn leave_out_quarantined(&mut self, units: &mut Units) {
        let Some(history) = self.store.as_ref().and_then(|s| s.history().ok()) else { return };
        let bad = history.quarantined_units.iter().filter_map(|(prefix, q)| {
            let (kind, name) = q.unit.as_ref()?;
            let unit = units.get(*kind, name)?;
            (unit.hash.prefix() == prefix.0).then(|| (*kind, name.clone(), q.reason.clone()))
        });
        let bad: Vec<_> = bad.collect();
        for (kind, name, reason) in bad {
            self.keep(units, kind, &name, &format!("it is in quarantine: {reason}"));
        }
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

    /// Puts back what serves in the place of a unit.
    fn keep(&mut self, units: &mut Units, kind: UnitKind, name: &str, why: &str) {
        match self.current.units.get(kind, name) {
            Some(unit) => {
                let bytes = unit.bytes.clone();
                units.insert(kind, name, bytes);
            }
            None => {
                units.remove(kind, name);
            }
        }
        self.kept(kind, name, why);
    }

    fn kept(&self, kind: UnitKind, name: &str, why: &str) {
        let unit = format!("{} {name}", kind.name());
        let text = format!("{unit} keeps its last version: {why}");
        let mut event = Event::new(Kind::UnitKept, "check", text.clone()).unit(&unit);
        if kind == UnitKind::Zone {
            event = event.zone(name);
        }
        self.tell(event);
        if kind == UnitKind::Data {
            // What generates it goes on generating: somebody should look.
            self.tell(Event::new(Kind::Alert, "artifact", text).unit(&unit));
        }
        self.process.registry.shared().units_kept.add(1);
    }

    fn publish(&mut self, proposal: &Proposal, units: &Units) -> Result<u64, Refusal> {
        let Some(store) = &self.store else {
            return Ok(self.current.number + 1);
        };
        let base = proposal.base.filter(|_| !self.without(Guard::StaleWriter));
        let manifest = store.publish(units, base, &proposal.cause).map_err(|fault| {
            Refusal::because(format!(
                "the snapshot cannot be kept, and what cannot be kept is not served: {fault}"
            ))
        })?;
        Ok(manifest.number)
    }

    /// The newest number there is.
    fn newest(&self) -> u64 {
        let history = self.store.as_ref().and_then(|s| s.history().ok());
        history.map(|h| h.newest_number).filter(|n| *n > 0).unwrap_or(self.current.number)
    }

    pub(super) fn without(&self, guard: Guard) -> bool {
        self.process.sabotage.as_ref().is_some_and(|s| s.without(guard))
    }

    pub(super) fn launch(&mut self, order: u64, proposal: Proposal, prepared: Prepared) {
        let event = Event::new(
            Kind::ChangeProposed,
            &proposal.cause.who,
            match prepared.effects.as_slice() {
                [] => format!("snapshot {}: {}", prepared.number, proposal.cause.why),
                effects => format!("snapshot {}: {}", prepared.number, effects.join("; ")),
            },
        );
        self.tell(event.snapshot(prepared.number));
        for ack in &proposal.acks {
            self.tell(Event::new(Kind::Acknowledged, "operator", ack.to_string()).snapshot(prepared.number));
        }
        self.trial = Trial::begin(self, order, proposal, prepared).map(Box::new);
    }
}

fn ms_since(began: Instant) -> i64 {
    i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)
}
