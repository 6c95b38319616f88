//! `[edge.modules]` and `[zone.modules]`.

use seawall_model::{FailMode, Module, ModuleSetting, Modules};

use crate::reader::Reader;

/// Reads the settings of modules.
pub(crate) fn modules(table: &Reader<'_, '_>) -> Modules {
    let mut modules = Modules::default();
    for module in Module::ALL {
        if let Some(word) = table.choice(module.name()) {
            let mode = FailMode::of_name(word);
            modules.set(module, ModuleSetting { off: mode.is_none(), mode });
        }
    }
    modules
}
