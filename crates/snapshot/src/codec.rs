//! Documents to the bytes of units and back.
//!
//! The bytes are JSON of one form: fields in the order of the type, nothing between them, and in zones and lists no field
//! that has its default. So equal documents have equal bytes and one hash, a zone of few words is a few hundred bytes, and a
//! field that a later Seawall adds leaves the hashes of what does not use it alone. A default is part of the form: to change
//! one changes what stored units mean, so a changed default wants a new field.
//!
//! Reading checks in full (DESIGN R2), whoever wrote the bytes: what the reader of the file checks about one document is
//! checked here by the same functions ([`crate::valid`]). `null`, unknown and repeated fields, other types and other forms
//! are refused; a field that is left out has its default, where it has one. Any spelling of a right document is read; what
//! is written is canonical.

use std::collections::BTreeMap;

use bytes::Bytes;
use seawall_model::{Edge, List, Module, ModuleSetting, Modules, Site, Zone};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{Spot, short};
use crate::strict::Strict;
use crate::unit::{LimitFault, Measured, Unit, UnitKind};
use crate::unit_fault::{Checked, Fault, UnitFault};
use crate::units::Units;
use crate::valid;

/// Name of the edge's own unit.
pub const EDGE: &str = "edge";

/// Name of the data unit that holds the feature file of the bot module.
pub const BOT_FEATURES: &str = "bot-features";

/// Data files by the name of their unit.
pub type DataFiles = BTreeMap<String, Bytes>;

/// The bytes of a zone.
#[must_use]
pub fn encode_zone(zone: &Zone) -> Bytes {
    encode(zone)
}

/// The bytes of the edge's settings, without those of modules: each is a unit of its own, so that a kill switch ships
/// nothing else.
#[must_use]
pub fn encode_edge(edge: &Edge) -> Bytes {
    if edge.modules.is_empty() {
        return encode(edge);
    }
    encode(&Edge { modules: Modules::default(), ..edge.clone() })
}

/// The bytes of a list.
#[must_use]
pub fn encode_list(list: &List) -> Bytes {
    encode(list)
}

/// The bytes of what is set of a module.
#[must_use]
pub fn encode_module(setting: &ModuleSetting) -> Bytes {
    encode(setting)
}

/// The zone of these bytes.
///
/// # Errors
/// [`UnitFault`] when they are none, or it is none that could be served.
pub fn decode_zone(bytes: &[u8]) -> Result<Zone, UnitFault> {
    let zone: Zone = decode(UnitKind::Zone, None, bytes)?;
    told(UnitKind::Zone, &zone.name, valid::zone(&zone))?;
    Ok(zone)
}

/// The edge's settings of these bytes.
///
/// # Errors
/// [`UnitFault`] when they are none, or none that could be used.
pub fn decode_edge(bytes: &[u8]) -> Result<Edge, UnitFault> {
    let edge: Edge = decode(UnitKind::Edge, Some(EDGE), bytes)?;
    told(UnitKind::Edge, EDGE, valid::edge(&edge))?;
    Ok(edge)
}

/// The list of these bytes.
///
/// # Errors
/// [`UnitFault`] when they are none, or none that could be used.
pub fn decode_list(bytes: &[u8]) -> Result<List, UnitFault> {
    let list: List = decode(UnitKind::List, None, bytes)?;
    told(UnitKind::List, &list.name, valid::list(&list))?;
    Ok(list)
}

/// What is set of a module, of these bytes.
///
/// # Errors
/// [`UnitFault`] when they are no such setting.
pub fn decode_module(bytes: &[u8]) -> Result<ModuleSetting, UnitFault> {
    decode(UnitKind::Module, None, bytes)
}

/// The zone of a unit, which bears its name.
///
/// # Errors
/// [`UnitFault`] when there is none, or it has another name.
pub fn zone_of(unit: &Unit) -> Result<Zone, UnitFault> {
    let zone = decode_zone(expect(unit, UnitKind::Zone)?).map_err(|fault| named(fault, unit))?;
    bears(unit, &zone.name)?;
    Ok(zone)
}

/// The list of a unit, which bears its name.
///
/// # Errors
/// [`UnitFault`] when there is none, or it has another name.
pub fn list_of(unit: &Unit) -> Result<List, UnitFault> {
    let list = decode_list(expect(unit, UnitKind::List)?).map_err(|fault| named(fault, unit))?;
    bears(unit, &list.name)?;
    Ok(list)
}

/// The edge's settings of a unit.
///
/// # Errors
/// [`UnitFault`] when there are none.
pub fn edge_of(unit: &Unit) -> Result<Edge, UnitFault> {
    let edge = decode_edge(expect(unit, UnitKind::Edge)?)?;
    bears(unit, EDGE)?;
    Ok(edge)
}

/// The module of a unit and what is set of it.
///
/// # Errors
/// [`UnitFault`] when there is none.
pub fn module_of(unit: &Unit) -> Result<(Module, ModuleSetting), UnitFault> {
    let setting = decode_module(expect(unit, UnitKind::Module)?).map_err(|fault| named(fault, unit))?;
    let fault = || {
        let names = Module::ALL.map(Module::name).join(", ");
        Fault::new(format!("no module is named `{}`", short(&unit.name)), format!("the modules are {names}"))
    };
    match Module::of_name(&unit.name) {
        Some(module) => Ok((module, setting)),
        None => Err(fault().of_unit(UnitKind::Module, &unit.name)),
    }
}

/// What is set of the modules for every zone, of the module units in `units`.
///
/// # Errors
/// [`UnitFault`] of the first unit that cannot be read.
pub fn modules_of(units: &Units) -> Result<Modules, UnitFault> {
    let mut modules = Modules::default();
    for unit in units.of_kind(UnitKind::Module) {
        let (module, setting) = module_of(unit)?;
        modules.set(module, setting);
    }
    Ok(modules)
}

/// The units of a site: one for the edge, one for each zone, list and data file, and one for each module set in
/// `[edge.modules]`.
#[must_use]
pub fn units_of(site: &Site, data: &DataFiles) -> Units {
    let mut units = Units::new();
    units.insert(UnitKind::Edge, EDGE, encode_edge(&site.edge));
    for (module, setting) in site.edge.modules.iter() {
        units.insert(UnitKind::Module, module.name(), encode_module(&setting));
    }
    for list in &site.lists {
        units.insert(UnitKind::List, &list.name, encode_list(list));
    }
    for zone in &site.zones {
        units.insert(UnitKind::Zone, &zone.name, encode_zone(zone));
    }
    for (name, bytes) in data {
        units.insert(UnitKind::Data, name, bytes.clone());
    }
    units
}

/// Whether every list that a zone names is there. To be asked of a zone that is good in itself.
///
/// # Errors
/// [`UnitFault`] naming the rule and the list.
pub fn check_lists(zone: &Zone, has_list: impl Fn(&str) -> bool) -> Result<(), UnitFault> {
    told(UnitKind::Zone, &zone.name, valid::lists_of_zone(zone, &has_list))
}

/// Whether every list that the edge's settings name is there.
///
/// # Errors
/// [`UnitFault`] naming the list.
pub fn check_edge_lists(edge: &Edge, has_list: impl Fn(&str) -> bool) -> Result<(), UnitFault> {
    told(UnitKind::Edge, EDGE, valid::bans(&edge.bans, &has_list))
}

fn encode(document: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    // Writing to memory does not fail, and no document holds a map whose keys are no strings; should one ever, the empty
    // bytes are refused by whoever reads them.
    if serde_json::to_writer(&mut bytes, document).is_err() {
        bytes.clear();
    }
    // Units are kept for as long as they serve, so that what was reserved and not used is given back.
    bytes.shrink_to_fit();
    bytes.into()
}

/// How many bytes a document has as a unit.
pub(crate) fn bytes_of(document: &impl Serialize) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting does not fail.
    let _ = serde_json::to_writer(&mut count, document);
    count.0
}

/// Reports a document that is beyond the bytes of its kind of unit, and warns of one that is near.
pub(crate) fn check_bytes(spot: &Spot<'_, '_>, kind: UnitKind, name: &str, document: &impl Serialize) {
    let told = |near: &str, fault: &LimitFault| {
        let (kind, value, limit) = (fault.kind.name(), fault.value, fault.limit);
        format!(
            "the {kind} has {value} bytes as a unit, {near} the limit of {limit}: {}",
            fault.kind.rules().reason
        )
    };
    match kind.measure(name, "bytes", bytes_of(document)) {
        Measured::Fine => {}
        Measured::Near(fault) => spot.warn(told("near", &fault), None),
        Measured::Beyond(fault) => spot.error(told("more than", &fault), "make several of it".to_owned()),
    }
}

fn decode<T: DeserializeOwned>(kind: UnitKind, name: Option<&str>, bytes: &[u8]) -> Result<T, UnitFault> {
    if let Measured::Beyond(beyond) = kind.measure(name.unwrap_or_default(), "bytes", bytes.len() as u64) {
        let fault = Fault::new(
            format!(
                "{} bytes are more than the limit of {}: {}",
                beyond.value,
                beyond.limit,
                kind.rules().reason
            ),
            None,
        );
        return Err(fault.beyond(beyond.limit, beyond.value).of_unit(kind, name.unwrap_or_default()));
    }
    let mut from = serde_json::Deserializer::from_slice(bytes);
    match T::deserialize(Strict(&mut from)).and_then(|document| from.end().map(|()| document)) {
        Ok(document) => Ok(document),
        Err(error) => {
            let fault = explain::<T>(bytes, &error);
            let claimed = if name.is_none() { claimed_name(bytes) } else { None };
            Err(fault.of_unit(kind, name.or(claimed.as_deref()).unwrap_or_default()))
        }
    }
}

/// Reads again, along with the path to where it went wrong: too slow for every zone, and needed only for the bad one.
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Box<Fault> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(Strict(&mut from)) {
        Ok(_) => Fault::new(plain(error), None),
        Err(error) => {
            let path = error.path().to_string();
            // Where it broke off before a key was read, the path ends in a question mark.
            let path = path.trim_end_matches(['?', '.']);
            Fault::new(plain(error.inner()), None).placed(short(path))
        }
    }
}

/// What an error of the parser says, bounded, without what would garble a terminal, and without the line of a text that
/// has one line.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    let mut message = crate::context::clean(text.strip_suffix(&at).unwrap_or(&text), 240);
    // A text in the wrong place is quoted, and may be a URL with a password.
    if let Some((before, _)) = message.split_once("://")
        && message.contains('@')
    {
        message = format!("{before}://…");
    }
    match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
            format!("this is not JSON: {message}, at byte {}", error.column())
        }
        _ => message,
    }
}

/// The name a document gives itself, for a message about it.
fn claimed_name(bytes: &[u8]) -> Option<String> {
    let tree: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    Some(tree.get("name")?.as_str()?.to_owned())
}

fn told(kind: UnitKind, name: &str, checked: Checked) -> Result<(), UnitFault> {
    checked.map_err(|fault| fault.of_unit(kind, name))
}

/// A fault of bytes that do not say whose they are.
fn named(fault: UnitFault, unit: &Unit) -> UnitFault {
    if fault.name.is_empty() { UnitFault { name: short(&unit.name).into(), ..fault } } else { fault }
}

fn expect(unit: &Unit, kind: UnitKind) -> Result<&[u8], UnitFault> {
    if unit.kind == kind {
        return Ok(&unit.bytes);
    }
    Err(Fault::new(format!("this is no {}", kind.name()), None).of_unit(unit.kind, &unit.name))
}

fn bears(unit: &Unit, name: &str) -> Result<(), UnitFault> {
    if *unit.name == *name {
        return Ok(());
    }
    let fault = Fault::new(
        format!("the document is named `{}`, and the unit `{}`", short(name), short(&unit.name)),
        None,
    );
    told(unit.kind, &unit.name, Err::<(), _>(fault))
}
