//! Modules: the guarded stages of a request. The host contains what goes wrong in one (DESIGN R4).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::{self, as_word};

/// A guarded stage, in the order a request meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Module {
    /// Redirects.
    Redirect,
    /// Lists of addresses that are refused.
    Bans,
    /// The bot score.
    Bot,
    /// Firewall rules.
    Firewall,
    /// Edits of request headers.
    RequestHeaders,
    /// Edits of response headers.
    ResponseHeaders,
}

/// What a module does while it cannot do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailMode {
    /// It works on with its last good configuration or data; without one, as open.
    Stale,
    /// The request goes on as if the module were not there.
    Open,
    /// The request is answered 503, and the page names the module.
    Closed,
}

/// The most one call of a module may take before it counts as an overrun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Time of one call, in microseconds.
    pub time_us: u32,
    /// Memory asked for in one call, in bytes.
    pub memory_bytes: u64,
}

/// What is known of a module: one row of [`MODULES`].
#[derive(Clone, Copy, Debug)]
pub struct ModuleInfo {
    /// The module.
    pub module: Module,
    /// Its name in configuration, commands, metrics and pages.
    pub name: &'static str,
    /// What happens while it cannot work, unless configured otherwise.
    pub mode: FailMode,
    /// What one call may take.
    pub budget: Budget,
    /// What it does.
    pub doc: &'static str,
    /// Why that mode.
    pub why: &'static str,
}

/// An order of magnitude above what a stage takes when all is well, and below what a person notices.
const TIME_US: u32 = 5_000;

/// Many times what a stage needs for one request, and little enough that all workers at once do not fill a machine.
const MEMORY_BYTES: u64 = 16 * 1024 * 1024;

const BUDGET: Budget = Budget { time_us: TIME_US, memory_bytes: MEMORY_BYTES };

/// Every module, in the order a request meets them: the source for names, modes and documents.
pub static MODULES: [ModuleInfo; 6] = [
    ModuleInfo {
        module: Module::Redirect,
        name: "redirect",
        mode: FailMode::Open,
        budget: BUDGET,
        doc: "Sends visitors from `http://` to `https://`.",
        why: "a page without its redirect is better than no page",
    },
    ModuleInfo {
        module: Module::Bans,
        name: "bans",
        mode: FailMode::Closed,
        budget: BUDGET,
        doc: "Refuses the addresses of the lists in `bans`.",
        why: "whoever is banned must not get in because the check broke",
    },
    ModuleInfo {
        module: Module::Bot,
        name: "bot",
        mode: FailMode::Stale,
        budget: BUDGET,
        doc: "Scores requests from 1 (a program) to 99 (a person) by a model over the feature file.",
        why: "the last good feature file scores nearly as well as the next, and without one a score is absent",
    },
    ModuleInfo {
        module: Module::Firewall,
        name: "firewall",
        mode: FailMode::Open,
        budget: BUDGET,
        doc: "Tries the rules of the zone and blocks, logs or skips.",
        why: "one broken rule must not take the site down",
    },
    ModuleInfo {
        module: Module::RequestHeaders,
        name: "request_headers",
        mode: FailMode::Closed,
        budget: BUDGET,
        doc: "Sets and removes header fields on the way to the origin.",
        why: "origins trust these fields, and a request without them may mean something else",
    },
    ModuleInfo {
        module: Module::ResponseHeaders,
        name: "response_headers",
        mode: FailMode::Closed,
        budget: BUDGET,
        doc: "Sets and removes header fields on the way to the visitor.",
        why: "fields removed may be secrets, and fields set may be a security policy",
    },
];

impl Module {
    /// Every module, in the order a request meets them.
    pub const ALL: [Module; 6] = [
        Module::Redirect,
        Module::Bans,
        Module::Bot,
        Module::Firewall,
        Module::RequestHeaders,
        Module::ResponseHeaders,
    ];

    /// Its name in configuration, commands, metrics and pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Module::Redirect => "redirect",
            Module::Bans => "bans",
            Module::Bot => "bot",
            Module::Firewall => "firewall",
            Module::RequestHeaders => "request_headers",
            Module::ResponseHeaders => "response_headers",
        }
    }

    /// Its place in [`Module::ALL`] and [`MODULES`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The module of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Module> {
        Module::ALL.into_iter().find(|module| module.name() == name)
    }

    /// The module at that place.
    #[must_use]
    pub fn of_index(index: usize) -> Option<Module> {
        Module::ALL.get(index).copied()
    }

    /// What is known of it.
    #[must_use]
    pub fn info(self) -> &'static ModuleInfo {
        let [redirect, bans, bot, firewall, request_headers, response_headers] = &MODULES;
        match self {
            Module::Redirect => redirect,
            Module::Bans => bans,
            Module::Bot => bot,
            Module::Firewall => firewall,
            Module::RequestHeaders => request_headers,
            Module::ResponseHeaders => response_headers,
        }
    }

    /// What happens while it cannot work, unless configured otherwise.
    #[must_use]
    pub fn default_mode(self) -> FailMode {
        self.info().mode
    }

    /// What holds of it in a zone: what is off for the edge is off everywhere, so that a kill switch needs one setting;
    /// otherwise the zone's word comes before the edge's, and both before the module's own.
    #[must_use]
    pub fn settle(self, edge: &Modules, zone: &Modules) -> Settled {
        Settled {
            off: edge.is_off(self) || zone.is_off(self),
            mode: zone.mode(self).or(edge.mode(self)).unwrap_or(self.default_mode()),
        }
    }

    /// What one call may take.
    #[must_use]
    pub fn budget(self) -> Budget {
        self.info().budget
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

as_word!(
    Module,
    "one of the modules redirect, bans, bot, firewall, request_headers, response_headers",
    Redirect = "redirect",
    Bans = "bans",
    Bot = "bot",
    Firewall = "firewall",
    RequestHeaders = "request_headers",
    ResponseHeaders = "response_headers",
);

impl FailMode {
    /// Every mode.
    pub const ALL: [FailMode; 3] = [FailMode::Stale, FailMode::Open, FailMode::Closed];

    /// `stale`, `open` or `closed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FailMode::Stale => "stale",
            FailMode::Open => "open",
            FailMode::Closed => "closed",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<FailMode> {
        FailMode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for FailMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

as_word!(FailMode, "\"stale\", \"open\" or \"closed\"", Stale = "stale", Open = "open", Closed = "closed");

/// What is set of one module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModuleSetting {
    /// Whether it is off: requests pass as if it were not there. Default false.
    #[serde(skip_serializing_if = "text::is_no")]
    pub off: bool,
    /// What happens while it cannot work. Default `None`: its own default.
    #[serde(deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub mode: Option<FailMode>,
}

/// What holds of a module in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Whether it is off.
    pub off: bool,
    /// What happens while it cannot work.
    pub mode: FailMode,
}

/// Settings by module. A module that is not here has nothing set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules(pub BTreeMap<Module, ModuleSetting>);

impl Modules {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is set of a module.
    #[must_use]
    pub fn get(&self, module: Module) -> Option<ModuleSetting> {
        self.0.get(&module).copied()
    }

    /// Sets what holds of a module.
    pub fn set(&mut self, module: Module, setting: ModuleSetting) {
        self.0.insert(module, setting);
    }

    /// Whether a module is off here.
    #[must_use]
    pub fn is_off(&self, module: Module) -> bool {
        self.get(module).is_some_and(|setting| setting.off)
    }

    /// The mode of a module, where one is set here.
    #[must_use]
    pub fn mode(&self, module: Module) -> Option<FailMode> {
        self.get(module).and_then(|setting| setting.mode)
    }

    /// The settings, in the order of the modules.
    pub fn iter(&self) -> impl Iterator<Item = (Module, ModuleSetting)> {
        self.0.iter().map(|(module, setting)| (*module, *setting))
    }
}

impl Serialize for Modules {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_map(&self.0)
    }
}

impl<'de> Deserialize<'de> for Modules {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ByName)
    }
}

struct ByName;

impl<'de> Visitor<'de> for ByName {
    type Value = Modules;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings by the name of the module")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Modules, A::Error> {
        let mut modules = BTreeMap::new();
        while let Some(module) = map.next_key::<Module>()? {
            match modules.entry(module) {
                Entry::Vacant(free) => free.insert(map.next_value()?),
                Entry::Occupied(_) => return Err(A::Error::duplicate_field(module.name())),
            };
        }
        Ok(Modules(modules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_module_once_and_in_order() {
        for (index, (module, info)) in Module::ALL.into_iter().zip(&MODULES).enumerate() {
            assert_eq!((info.module, info.name, module.index()), (module, module.name(), index));
            assert_eq!(Module::of_name(module.name()), Some(module));
            assert_eq!(Module::of_index(index), Some(module));
            assert_eq!(module.info().module, module);
            assert_eq!(serde_json::to_string(&module).unwrap(), format!("{:?}", module.name()));
        }
        assert_eq!(Module::of_name("waf"), None);
        assert_eq!(Module::of_index(6), None);
    }

    #[test]
    fn off_for_the_edge_is_off_everywhere_and_otherwise_the_zone_comes_first() {
        let set = |off, mode| {
            let mut modules = Modules::default();
            modules.set(Module::Firewall, ModuleSetting { off, mode });
            modules
        };
        let none = Modules::default();
        for (edge, zone, off, mode) in [
            (&none, &none, false, FailMode::Open),
            (&set(true, None), &set(false, Some(FailMode::Closed)), true, FailMode::Closed),
            (&set(false, Some(FailMode::Stale)), &none, false, FailMode::Stale),
            (
                &set(false, Some(FailMode::Stale)),
                &set(false, Some(FailMode::Closed)),
                false,
                FailMode::Closed,
            ),
            (&none, &set(true, None), true, FailMode::Open),
        ] {
            assert_eq!(Module::Firewall.settle(edge, zone), Settled { off, mode });
            assert_eq!(Module::Bot.settle(edge, zone), Settled { off: false, mode: FailMode::Stale });
        }
    }

    #[test]
    fn settings_stand_under_the_name_of_their_module() {
        let text = r#"{"bot":{"off":true},"firewall":{"mode":"closed"}}"#;
        let modules: Modules = serde_json::from_str(text).unwrap();
        assert!(modules.is_off(Module::Bot) && !modules.is_off(Module::Firewall));
        assert_eq!(modules.mode(Module::Firewall), Some(FailMode::Closed));
        assert_eq!(serde_json::to_string(&modules).unwrap(), text);
        for text in [
            "null",
            "[]",
            r#"{"waf":{}}"#,
            r#"{"":{}}"#,
            r#"{"bot":null}"#,
            r#"{"bot":{"off":null}}"#,
            r#"{"bot":{"off":"true"}}"#,
            r#"{"bot":{"mode":null}}"#,
            r#"{"bot":{"mode":""}}"#,
            r#"{"bot":{"mode":{"open":null}}}"#,
            r#"{"bot":{"on":true}}"#,
            r#"{"bot":{},"bot":{}}"#,
        ] {
            assert!(serde_json::from_str::<Modules>(text).is_err(), "{text}");
        }
    }
}
