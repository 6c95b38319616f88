//! What an operator switched by hand, beside the configuration file: modules turned off. It is laid over every
//! configuration that comes after, until it is switched back, and outlives restarts.
//!
//! A switch is a unit with a name of its own, so that what a snapshot was switched to and what it was configured to can be
//! told apart in the snapshot itself.

use seawall_model::{Module, ModuleSetting};
use seawall_snapshot::{UnitKind, Units, codec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "overlay.json";
/// Stands in the place of a zone's name in a switch for all of them. No zone can be named so.
const EVERY: &str = "*";
/// Zones with a switch of their own. A module that has to be off for more is off for all.
const ZONES_MAX: usize = 10_000;

/// The switches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Overlay {
    /// Off for every zone.
    off: BTreeSet<Module>,
    /// Off for some.
    zones: BTreeMap<String, BTreeSet<Module>>,
}

/// What the unit of a module is about, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch<'n> {
    /// `firewall`: what the configuration says of it.
    Configured(Module),
    /// `*/firewall`: switched off by hand, everywhere.
    Edge(Module),
    /// `a.test/firewall`: switched off by hand for one zone.
    Zone(&'n str, Module),
}

impl<'n> Switch<'n> {
    /// Reads the name of a unit. `None`: it names no module.
    pub(crate) fn of_unit(name: &'n str) -> Option<Switch<'n>> {
        match name.rsplit_once('/') {
            None => Module::of_name(name).map(Switch::Configured),
            Some((EVERY, module)) => Module::of_name(module).map(Switch::Edge),
            Some((zone, module)) => Module::of_name(module).map(|module| Switch::Zone(zone, module)),
        }
    }
}

impl Overlay {
    /// What was switched before this process began. `None` if that is not on the disk, or cannot be read.
    pub(crate) fn load(data_dir: &Path) -> Option<Overlay> {
        let bytes = std::fs::read(path(data_dir)).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(|fault| tracing::error!(%fault, "{FILE} cannot be read: modules stay switched as in the snapshot"))
            .ok()
    }

    /// The switches a snapshot was made under.
    pub(crate) fn of(units: &Units) -> Overlay {
        let mut overlay = Overlay::default();
        for unit in units.of_kind(UnitKind::Module) {
            match Switch::of_unit(&unit.name) {
                Some(Switch::Edge(module)) => drop(overlay.off.insert(module)),
                Some(Switch::Zone(zone, module)) => {
                    overlay.zones.entry(zone.to_owned()).or_default().insert(module);
                }
                _ => {}
            }
        }
        overlay
    }

    /// Keeps it, all or nothing.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn save(&self, data_dir: &Path) -> io::Result<()> {
        let beside = data_dir.join("overlay.json.new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(beside, path(data_dir))?;
        File::open(data_dir)?.sync_all()
    }

    /// Switches a module, everywhere or for one zone.
    ///
    /// # Errors
    /// Too many zones have switches of their own.
    pub(crate) fn switch(&mut self, module: Module, zone: Option<&str>, on: bool) -> Result<(), String> {
        let Some(zone) = zone else {
            let _ = if on { self.off.remove(&module) } else { self.off.insert(module) };
            return Ok(());
        };
        if !on && !self.zones.contains_key(zone) && self.zones.len() >= ZONES_MAX {
            return Err(format!(
                "{ZONES_MAX} zones have switches of their own already: turn the module off for all"
            ));
        }
        let off = self.zones.entry(zone.to_owned()).or_default();
        let _ = if on { off.remove(&module) } else { off.insert(module) };
        self.zones.retain(|_, off| !off.is_empty());
        Ok(())
    }

    /// Whether it is switched off by hand everywhere.
    pub(crate) fn is_off(&self, module: Module) -> bool {
        self.off.contains(&module)
    }

    /// Zones for which it is switched off by hand.
    pub(crate) fn zones(&self, module: Module) -> impl Iterator<Item = &str> {
        self.zones.iter().filter(move |(_, off)| off.contains(&module)).map(|(zone, _)| zone.as_str())
    }

    /// Puts these switches in the place of those that units were made under.
    pub(crate) fn lay_over(&self, units: &mut Units) {
        let made_under = Overlay::of(units);
        for name in made_under.names() {
            units.remove(UnitKind::Module, &name);
        }
        let off = codec::encode_module(&ModuleSetting { off: true, mode: None });
        for name in self.names() {
            let is_there = match Switch::of_unit(&name) {
                Some(Switch::Zone(zone, _)) => units.get(UnitKind::Zone, zone).is_some(),
                _ => true,
            };
            if is_there {
                units.insert(UnitKind::Module, &name, off.clone());
            }
        }
    }

    /// Names of the units that stand for its switches.
    fn names(&self) -> Vec<String> {
        let everywhere = self.off.iter().map(|module| format!("{EVERY}/{module}"));
        let zones = self
            .zones
            .iter()
            .flat_map(|(zone, off)| off.iter().map(move |module| format!("{zone}/{module}")));
        everywhere.chain(zones).collect()
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_model::FailMode;

    #[test]
    fn switches_outlive_the_process_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Overlay::load(dir.path()), None);
        let mut overlay = Overlay::default();
        overlay.switch(Module::Firewall, None, false).unwrap();
        overlay.switch(Module::Bot, Some("a.test"), false).unwrap();
        overlay.save(dir.path()).unwrap();
        let mut again = Overlay::load(dir.path()).unwrap();
        assert_eq!(again, overlay);
        assert!(again.is_off(Module::Firewall));
        assert_eq!(again.zones(Module::Bot).collect::<Vec<_>>(), ["a.test"]);
        again.switch(Module::Firewall, None, true).unwrap();
        again.switch(Module::Bot, Some("a.test"), true).unwrap();
        assert_eq!(again, Overlay::default());
    }

    #[test]
    fn a_damaged_file_is_none_and_the_snapshot_knows_the_switches_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut overlay = Overlay::default();
        overlay.switch(Module::Firewall, None, false).unwrap();
        overlay.switch(Module::Bot, Some("a.test"), false).unwrap();
        for damage in ["", "{\"off\":[\"firew", "{\"off\":[\"nothing\"]}", "\0\0\0"] {
            std::fs::write(path(dir.path()), damage).unwrap();
            assert_eq!(Overlay::load(dir.path()), None, "{damage}");
        }
        let mut units = Units::new();
        units.insert(UnitKind::Zone, "a.test", b"{}".to_vec().into());
        overlay.lay_over(&mut units);
        assert_eq!(Overlay::of(&units), overlay);
    }

    #[test]
    fn what_is_switched_by_hand_leaves_what_is_configured_as_it_is() {
        let mut configured = Units::new();
        configured.insert(UnitKind::Zone, "a.test", b"{}".to_vec().into());
        for (module, setting) in [
            (Module::Firewall, ModuleSetting { off: false, mode: Some(FailMode::Closed) }),
            (Module::Bans, ModuleSetting { off: true, mode: None }),
        ] {
            configured.insert(UnitKind::Module, module.name(), codec::encode_module(&setting));
        }
        let mut overlay = Overlay::default();
        for module in [Module::Firewall, Module::Bans, Module::Redirect] {
            overlay.switch(module, None, false).unwrap();
        }
        overlay.switch(Module::Bot, Some("a.test"), false).unwrap();
        overlay.switch(Module::Bot, Some("gone.test"), false).unwrap();
        let mut units = configured.clone();
        overlay.lay_over(&mut units);
        assert_eq!(units.len(), configured.len() + 4, "a zone that is gone needs no switch");
        let again = units.hash();
        overlay.lay_over(&mut units);
        assert_eq!(units.hash(), again);
        Overlay::default().lay_over(&mut units);
        assert_eq!(units.hash(), configured.hash());
    }

    #[test]
    fn names_of_units_say_what_they_switch() {
        for (name, is) in [
            ("firewall", Some(Switch::Configured(Module::Firewall))),
            ("*/firewall", Some(Switch::Edge(Module::Firewall))),
            ("a.test/bot", Some(Switch::Zone("a.test", Module::Bot))),
            ("a/b/bot", Some(Switch::Zone("a/b", Module::Bot))),
            ("nothing", None),
            ("a.test/nothing", None),
            ("", None),
        ] {
            assert_eq!(Switch::of_unit(name), is, "{name}");
        }
    }
}
