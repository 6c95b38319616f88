//! What the stages of all zones share: the model, the lists, the edge's own bans, what is turned off.

use super::{Bot, Part};
use crate::rollout::BOT_FEATURES;
use seawall_guard::{Guard, Sabotage};
use seawall_human::{FeatureFile, Model};
use seawall_model::{self as model, FailMode, Module};
use seawall_ruleset::{AddressSet, ModuleSet};
use seawall_snapshot::{Hash, Unit, UnitKind, Units, codec};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Settings of the edge as a whole, for one configuration.
pub(crate) struct Shared {
    /// When it was compiled.
    pub since: Instant,
    /// Stages that run before every zone's own.
    pub parts: Box<[Part]>,
    pub bot: Option<Bot>,
    /// Turned off for every zone.
    pub off: ModuleSet,
    /// Turned off for some.
    pub zone_off: HashMap<Box<str>, ModuleSet>,
    modes: [Option<FailMode>; Module::ALL.len()],
    lists: HashMap<Box<str>, (Hash, Arc<AddressSet>)>,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            since: Instant::now(),
            parts: Box::default(),
            bot: None,
            off: ModuleSet::default(),
            zone_off: HashMap::new(),
            modes: Default::default(),
            lists: HashMap::new(),
        }
    }
}

/// A unit that could not be compiled, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitFault {
    pub kind: UnitKind,
    pub name: String,
    pub why: String,
}

impl Shared {
    /// Compiles what is not a zone. What has not changed is taken over from `old`.
    pub(crate) fn compile(
        edge: &model::Edge,
        units: &Units,
        old: Option<&Shared>,
        sabotage: Option<&Sabotage>,
    ) -> (Shared, Vec<UnitFault>) {
        let mut shared = Shared::default();
        let mut faults = Vec::new();
        for unit in units.of_kind(UnitKind::List) {
            let known = old.and_then(|o| o.lists.get(&unit.name)).filter(|(hash, _)| *hash == unit.hash);
            match known.map_or_else(|| list(unit).map(|set| (unit.hash, set)), |known| Ok(known.clone())) {
                Ok(list) => drop(shared.lists.insert(unit.name.clone(), list)),
                Err(why) => faults.push(fault(unit, why)),
            }
        }
        for unit in units.of_kind(UnitKind::Module) {
            if let Err(why) = shared.take_module(unit) {
                faults.push(fault(unit, why));
            }
        }
        if !edge.bans.is_empty() {
            let found = edge
                .bans
                .iter()
                .map(|name| shared.list(name).ok_or_else(|| format!("there is no list `{name}` to ban by")));
            match found.collect::<Result<Box<[_]>, _>>() {
                Ok(lists) => shared.parts = [Part::bans(lists)].into(),
                Err(why) => {
                    faults.push(UnitFault { kind: UnitKind::Edge, name: "edge".to_owned(), why });
                }
            }
        }
        let old_bot = old.and_then(|o| o.bot.as_ref());
        match units.get(UnitKind::Data, BOT_FEATURES) {
            None => shared.bot = bot_by_default(old_bot),
            Some(unit) => match bot(unit, old_bot, sabotage) {
                Ok(bot) => shared.bot = Some(bot),
                Err(why) => faults.push(fault(unit, why)),
            },
        }
        (shared, faults)
    }

    /// What a failure of a module means where the zone does not say.
    pub(crate) fn mode(&self, module: Module) -> FailMode {
        self.modes.get(module.index()).copied().flatten().unwrap_or_else(|| module.default_mode())
    }

    /// The addresses of a list.
    pub(crate) fn list(&self, name: &str) -> Option<Arc<AddressSet>> {
        self.lists.get(name).map(|(_, set)| set.clone())
    }

    /// What is off for this zone alone.
    #[inline]
    pub(crate) fn off_for(&self, zone: &str) -> ModuleSet {
        if self.zone_off.is_empty() {
            return ModuleSet::default();
        }
        self.zone_off.get(zone).copied().unwrap_or_default()
    }

    /// A module's setting: its name alone for all zones, `ZONE/MODULE` for one.
    fn take_module(&mut self, unit: &Unit) -> Result<(), String> {
        let setting = codec::decode_module(&unit.bytes).map_err(|fault| fault.to_string())?;
        let (zone, name) = match unit.name.rsplit_once('/') {
            Some((zone, name)) => (Some(zone), name),
            None => (None, &*unit.name),
        };
        let module = Module::of_name(name).ok_or_else(|| format!("there is no module `{name}`"))?;
        match zone {
            Some(zone) if setting.off => self.zone_off.entry(zone.into()).or_default().insert(module),
            Some(_) => {}
            None => {
                if setting.off {
                    self.off.insert(module);
                }
                if let Some(slot) = self.modes.get_mut(module.index()) {
                    *slot = setting.mode;
                }
            }
        }
        Ok(())
    }
}

fn fault(unit: &Unit, why: String) -> UnitFault {
    UnitFault { kind: unit.kind, name: unit.name.to_string(), why }
}

fn list(unit: &Unit) -> Result<Arc<AddressSet>, String> {
    let list = codec::decode_list(&unit.bytes).map_err(|fault| fault.to_string())?;
    Ok(Arc::new(AddressSet::new(&list.addresses)))
}

/// The model of a feature file; the one before stays at hand for a module that is stale.
fn bot(unit: &Unit, old: Option<&Bot>, sabotage: Option<&Sabotage>) -> Result<Bot, String> {
    if let Some(same) = old.filter(|old| old.of == Some(unit.hash)) {
        return Ok(same.clone());
    }
    let before = old.map(|old| old.model.clone());
    if sabotage.is_some_and(|s| s.without(Guard::LoadValidation)) {
        let file = FeatureFile::parse_unchecked(&unit.bytes).map_err(|fault| fault.to_string())?;
        return Ok(Bot { of: Some(unit.hash), model: Arc::new(Model::compile_unchecked(&file)), before });
    }
    let file = FeatureFile::parse(&unit.bytes).map_err(|fault| fault.to_string())?;
    let model = Model::compile(&file).map_err(|fault| fault.to_string())?;
    model.self_test().map_err(|fault| format!("its scores make no sense: {fault}"))?;
    Ok(Bot { of: Some(unit.hash), model: Arc::new(model), before })
}

/// Without a file of the operator's, the one that is built in.
fn bot_by_default(old: Option<&Bot>) -> Option<Bot> {
    if let Some(same) = old.filter(|old| old.of.is_none()) {
        return Some(same.clone());
    }
    let file = FeatureFile::parse(seawall_human::DEFAULT).ok()?;
    let model = Model::compile(&file).ok()?;
    Some(Bot { of: None, model: Arc::new(model), before: old.map(|old| old.model.clone()) })
}
