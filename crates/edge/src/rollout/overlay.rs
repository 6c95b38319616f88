//! What an operator switched by hand, beside the configuration file: modules turned off. It is laid over every
//! configuration that comes after, until it is switched back, and outlives restarts.

use seawall_model::{Module, ModuleSetting};
use seawall_snapshot::{UnitKind, Units, codec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "overlay.json";
/// Zones with a switch of their own. A module that has to be off for more is off for all.
const ZONES_MAX: usize = 10_000;

/// The switches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Overlay {
    /// Off for every zone.
    off: BTreeSet<String>,
    /// Off for some.
    zones: BTreeMap<String, BTreeSet<String>>,
}

impl Overlay {
    /// What was switched before this process began. A file that cannot be read means that nothing was.
    pub(crate) fn load(data_dir: &Path) -> Overlay {
        match std::fs::read(path(data_dir)) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|fault| {
                tracing::error!(%fault, "{FILE} cannot be read: modules that were switched off by hand are on again");
                Overlay::default()
            }),
            Err(_) => Overlay::default(),
        }
    }

    /// Keeps it, all or nothing.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn save(&self, data_dir: &Path) -> io::Result<()> {
        let beside = data_dir.join("overlay.json.new");
        std::fs::write(&beside, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(beside, path(data_dir))
    }

    /// Switches a module, everywhere or for one zone.
    ///
    /// # Errors
    /// Too many zones have switches of their own.
    pub(crate) fn switch(&mut self, module: Module, zone: Option<&str>, on: bool) -> Result<(), String> {
        let name = module.name().to_owned();
        let Some(zone) = zone else {
            let _ = if on { self.off.remove(&name) } else { self.off.insert(name) };
            return Ok(());
        };
        if !on && !self.zones.contains_key(zone) && self.zones.len() >= ZONES_MAX {
            return Err(format!(
                "{ZONES_MAX} zones have switches of their own already: turn the module off for all"
            ));
        }
        let off = self.zones.entry(zone.to_owned()).or_default();
        let _ = if on { off.remove(&name) } else { off.insert(name) };
        self.zones.retain(|_, off| !off.is_empty());
        Ok(())
    }

    /// Whether this switch is off here, not by the configuration.
    pub(crate) fn is_off(&self, module: Module, zone: Option<&str>) -> bool {
        match zone {
            None => self.off.contains(module.name()),
            Some(zone) => self.zones.get(zone).is_some_and(|off| off.contains(module.name())),
        }
    }

    /// Lays the switches over what the configuration says.
    pub(crate) fn lay_over(&self, units: &mut Units) {
        for name in &self.off {
            turn_off(units, name);
        }
        for (zone, off) in &self.zones {
            if units.get(UnitKind::Zone, zone).is_some() {
                off.iter().for_each(|name| turn_off(units, &of_zone(zone, name)));
            }
        }
    }
}

/// The name of a module's unit that concerns one zone.
pub(crate) fn of_zone(zone: &str, module: &str) -> String {
    format!("{zone}/{module}")
}

fn turn_off(units: &mut Units, name: &str) {
    let before = units.get(UnitKind::Module, name).and_then(|unit| codec::decode_module(&unit.bytes).ok());
    let setting = ModuleSetting { off: true, ..before.unwrap_or_default() };
    units.insert(UnitKind::Module, name, codec::encode_module(&setting));
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_outlive_the_process_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut overlay = Overlay::load(dir.path());
        overlay.switch(Module::Firewall, None, false).unwrap();
        overlay.switch(Module::Bot, Some("a.test"), false).unwrap();
        overlay.save(dir.path()).unwrap();
        let mut again = Overlay::load(dir.path());
        assert_eq!(again, overlay);
        assert!(again.is_off(Module::Firewall, None) && again.is_off(Module::Bot, Some("a.test")));
        again.switch(Module::Firewall, None, true).unwrap();
        again.switch(Module::Bot, Some("a.test"), true).unwrap();
        assert_eq!(again, Overlay::default());
    }
}
