//! What a change says: the units it would have serve.

use super::artifacts::Taken;
use super::overlay::Overlay;
use super::prepare::Refusal;
use super::{Artifact, Content, Driver, Proposal};
use seawall_model::{self as model, Module};
use seawall_rollout::Finding;
use seawall_snapshot::{Bytes, UnitKind, Units, codec};
use seawall_telemetry::timeline::{Event, Kind};

impl Driver {
    /// The units a change asks for, the operator's switches laid over them.
    pub(super) fn wanted(&mut self, proposal: &Proposal, overlay: &mut Overlay) -> Result<Units, Refusal> {
        let mut units = match &proposal.content {
            Content::Site { site, problems, refused_lists, artifacts } => {
                self.units_of(site, problems, refused_lists, artifacts)
            }
            Content::Data { name, bytes } => {
                let mut units = self.current.units.clone();
                units.insert(UnitKind::Data, name, bytes.clone());
                units
            }
            Content::Snapshot(number) => self.earlier(*number)?,
            Content::Switch { module, zone, on } => {
                self.switch(*module, zone.as_deref(), *on, overlay)?;
                self.current.units.clone()
            }
            Content::Switches => self.current.units.clone(),
        };
        overlay.lay_over(&mut units);
        Ok(units)
    }

    fn switch(
        &self,
        module: Module,
        zone: Option<&str>,
        on: bool,
        overlay: &mut Overlay,
    ) -> Result<(), Refusal> {
        if let Some(zone) = zone.filter(|z| self.current.units.get(UnitKind::Zone, z).is_none()) {
            return Err(Refusal::because(format!("there is no zone `{zone}`")));
        }
        overlay.switch(module, zone, on).map_err(Refusal::because)?;
        if !on && zone.is_none() {
            return Ok(());
        }
        let unit = self.current.units.get(UnitKind::Module, module.name());
        let configured = unit.and_then(|unit| codec::decode_module(&unit.bytes).ok()).unwrap_or_default();
        let why = match zone {
            _ if on && configured.off => {
                format!("the configuration turns {module} off, in [edge.modules]: change it there")
            }
            Some(zone) if on && overlay.is_off(module) => {
                format!(
                    "{module} is switched off for every zone, {zone} included: switch it on for all first"
                )
            }
            _ => return Ok(()),
        };
        Err(Refusal::because(why))
    }

    fn units_of(
        &mut self,
        site: &model::Site,
        problems: &[model::Problem],
        refused_lists: &[String],
        artifacts: &[Artifact],
    ) -> Units {
        let mut units = codec::units_of(site, &codec::DataFiles::default());
        let errors = || problems.iter().filter(|problem| problem.is_error());
        for name in errors().filter_map(|p| p.zone.as_deref()) {
            if units.get(UnitKind::Zone, name).is_some() {
                continue;
            }
            let why = errors().find(|p| p.zone.as_deref() == Some(name));
            let why = why.map_or_else(String::new, |p| format!("{p:#}"));
            if let Some(kept) = self.current.units.get(UnitKind::Zone, name).cloned() {
                units.put(kept);
            }
            self.kept(UnitKind::Zone, name, &why);
        }
        for name in refused_lists {
            let of_lists = errors().find(|p| p.zone.is_none() && p.path.starts_with("list"));
            let why = of_lists.map_or_else(|| "it has an error".to_owned(), |p| format!("{p:#}"));
            if let Some(kept) = self.current.units.get(UnitKind::List, name).cloned() {
                units.put(kept);
            }
            self.kept(UnitKind::List, name, &why);
        }
        for artifact in artifacts {
            match self.take_in(artifact) {
                Some(bytes) => drop(units.insert(UnitKind::Data, artifact.name, bytes)),
                None => {
                    if let Some(kept) = self.current.units.get(UnitKind::Data, artifact.name).cloned() {
                        units.put(kept);
                    }
                }
            }
        }
        units
    }

    /// A data file, if it may be used.
    fn take_in(&mut self, artifact: &Artifact) -> Option<Bytes> {
        let sabotage = self.process.sabotage.clone();
        let (taken, finding) = self.intake.look(artifact, self.now_ms(), sabotage.as_deref());
        if let Some(finding) = finding {
            self.pinned(&finding);
        }
        match taken {
            Taken::Accepted(bytes) => Some(bytes),
            Taken::Refused(why) => {
                let unit = format!("data {}", artifact.name);
                let text = format!("{why}; the last good version stays");
                self.tell(Event::new(Kind::ArtifactRefused, "check", text.clone()).unit(&unit));
                self.tell(Event::new(Kind::Alert, "artifact", text.clone()).unit(&unit));
                self.process.registry.shared().snapshots_refused.inc();
                self.kept.push(text);
                None
            }
            Taken::Known(why) => {
                self.kept.push(format!("{why}; the last good version stays"));
                None
            }
            Taken::Pinned => None,
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
}
