//! What the stages of all zones share: the model, the lists, the edge's own bans, what is turned off.

use super::{Bot, what};
use crate::rollout::{BOT_FEATURES, Switch};
use seawall_guard::{Guard, Sabotage};
use seawall_human::{FeatureFile, Model};
use seawall_model::{self as model, FailMode, Module};
use seawall_ruleset::{AddressSet, ModuleSet};
use seawall_snapshot::{Hash, LimitFault, Measured, Unit, UnitKind, Units, codec};
use seawall_sys::alloc::thread_allocated;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// Settings of the edge as a whole, for one configuration.
pub(crate) struct Shared {
    /// When it was compiled.
    since: Instant,
    /// Banned from every zone.
    pub banned: Vec<Arc<AddressSet>>,
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
            banned: Vec::new(),
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
            match known.map_or_else(
                || measured(unit, || list(unit)).map(|set| (unit.hash, set)),
                |known| Ok(known.clone()),
            ) {
                Ok(list) => drop(shared.lists.insert(unit.name.clone(), list)),
                Err(why) => faults.push(fault(unit, why)),
            }
        }
        for unit in units.of_kind(UnitKind::Module) {
            if let Err(why) = measured(unit, || shared.take_module(unit)) {
                faults.push(fault(unit, why));
            }
        }
        if let Err(why) = shared.ban(&edge.bans) {
            faults.push(UnitFault { kind: UnitKind::Edge, name: codec::EDGE.to_owned(), why });
        }
        let old_bot = old.and_then(|o| o.bot.as_ref());
        match units.get(UnitKind::Data, BOT_FEATURES) {
            None => shared.bot = bot_by_default(old_bot),
            Some(unit) => match measured(unit, || bot(unit, old_bot, sabotage)) {
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

    /// How long it has been in use, or could have been, in milliseconds.
    pub(crate) fn age_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The edge's own bans. Each zone looks into them by its own stage: what fails in one is no other's.
    fn ban(&mut self, names: &[String]) -> Result<(), String> {
        let find =
            |name: &String| self.list(name).ok_or_else(|| format!("there is no list `{name}` to ban by"));
        self.banned = names.iter().map(find).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// What a module's unit says: one of the configuration, or an operator's switch.
    fn take_module(&mut self, unit: &Unit) -> Result<(), String> {
        let setting = codec::decode_module(&unit.bytes).map_err(|fault| fault.to_string())?;
        let switch = Switch::of_unit(&unit.name)
            .ok_or_else(|| format!("`{}` names no module", unit.name.chars().take(80).collect::<String>()))?;
        match switch {
            Switch::Zone(zone, module) if setting.off => {
                self.zone_off.entry(zone.into()).or_default().insert(module);
            }
            Switch::Edge(module) if setting.off => self.off.insert(module),
            Switch::Configured(module) => {
                if setting.off {
                    self.off.insert(module);
                }
                if let Some(slot) = self.modes.get_mut(module.index()) {
                    *slot = setting.mode;
                }
            }
            Switch::Zone(..) | Switch::Edge(_) => {}
        }
        Ok(())
    }
}

/// Compiles a unit within the budget of its kind; a panic is the unit's fault alone.
fn measured<T>(unit: &Unit, mut compile: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let asked = thread_allocated();
    let mut once = || {
        let began = Instant::now();
        let compiled = catch_unwind(AssertUnwindSafe(&mut compile));
        let compiled =
            compiled.unwrap_or_else(|panic| Err(format!("compiling it panicked: {}", what(&*panic))));
        compiled.map(|compiled| (compiled, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)))
    };
    let (compiled, mut took_ms) = once()?;
    let asked = thread_allocated().wrapping_sub(asked);
    if took_ms > unit.kind.rules().compile_ms {
        // The clock counts the time of others too: only what is too slow twice is too slow.
        took_ms = took_ms.min(once()?.1);
    }
    within(unit, "compile_ms", took_ms).map_err(|fault| fault.to_string())?;
    within(unit, "compile_bytes", asked).map_err(|fault| fault.to_string())?;
    Ok(compiled)
}

fn within(unit: &Unit, field: &'static str, value: u64) -> Result<(), LimitFault> {
    match unit.kind.measure(&unit.name, field, value) {
        Measured::Fine => Ok(()),
        Measured::Near(near) => {
            tracing::warn!(%near, "a unit is near a limit");
            Ok(())
        }
        Measured::Beyond(fault) => Err(fault),
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
