//! A change against the version before: what it does, and what of it somebody must say they mean.
//!
//! Sets that shrink or grow by more than [`SHARE_PERCENT`], sets that become empty, and rows that stand twice are what a
//! broken generator, a wrong filter or a slip looks like (DESIGN R2, R8). Such a change needs an acknowledgement that states
//! the number. The first version of anything has nothing to be compared with and needs none.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use seawall_model::{Edge, List, ModuleSetting, Zone};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::effects::{Effect, Effects, count, first_of};
use crate::unit::{Measured, Unit, UnitKind};
use crate::units::{Change, Units};

/// Share of a set that may come or go without being acknowledged, in percent.
pub const SHARE_PERCENT: u64 = 30;

/// Sets with fewer rows change by large shares all the time.
pub const SET_LEAST: u64 = 8;

/// What a change may have to have acknowledged, and how it must look then: for documents.
pub static ACKNOWLEDGED: [(&str, &str); 11] = [
    ("removed_zones", "zones that go"),
    ("added_zones", "zones that come"),
    ("removed_hosts", "hostnames that go from zones that stay"),
    ("added_hosts", "hostnames that come to zones that stay"),
    ("removed_rules", "firewall rules that go, over all zones that change"),
    ("removed_rows", "networks that go from a list"),
    ("added_rows", "networks that come to a list"),
    ("duplicate_rows", "networks that stand twice in a list and did not before, one or more"),
    ("removed_features", "rows that go from a data file"),
    ("added_features", "rows that come to a data file, or by which it grows"),
    ("duplicate_features", "rows that stand twice in a data file and did not before, one or more"),
];

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// In words, the grave ones first.
    pub effects: Vec<Effect>,
    /// What must be acknowledged.
    pub needs: Vec<Needed>,
    /// What is near a limit, or cannot be compared.
    pub warnings: Vec<String>,
}

/// Something that must be acknowledged with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Needed {
    /// What: `removed_zones`, `added_zones`, `removed_hosts`, `added_hosts`, `removed_rules`, `removed_rows`, `added_rows`,
    /// `duplicate_rows` (of lists), `removed_features`, `added_features`, `duplicate_features` (of data files).
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// Why it is asked, in words.
    pub why: String,
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; if that is meant, acknowledge {}={}", self.why, self.what, self.count)
    }
}

/// An acknowledgement: `removed_zones=12`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// What, as in [`Needed::what`].
    pub what: String,
    /// How many, exactly.
    pub count: u64,
}

/// A text that is no acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an acknowledgement is written WHAT=COUNT, such as removed_zones=12")]
pub struct AckFault;

impl FromStr for Ack {
    type Err = AckFault;

    fn from_str(text: &str) -> Result<Self, AckFault> {
        let (what, count) = text.trim().split_once('=').ok_or(AckFault)?;
        let (what, count) = (what.trim(), count.trim());
        let word = !what.is_empty() && what.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let number = count.bytes().all(|byte| byte.is_ascii_digit());
        match count.parse() {
            Ok(count) if word && number => Ok(Ack { what: what.to_owned(), count }),
            _ => Err(AckFault),
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.what, self.count)
    }
}

/// Whether everything that must be acknowledged is, with the right number.
///
/// # Errors
/// What is not.
pub fn check(review: &Review, acks: &[Ack]) -> Result<(), Vec<Needed>> {
    let acked = |need: &Needed| acks.iter().any(|ack| ack.what == need.what && ack.count == need.count);
    let open: Vec<Needed> = review.needs.iter().filter(|need| !acked(need)).cloned().collect();
    if open.is_empty() { Ok(()) } else { Err(open) }
}

/// Compares a set of units with the one before it. Costs as much as what is different.
#[must_use]
pub fn review(before: &Units, after: &Units) -> Review {
    let changes = before.changes(after);
    let first = before.is_empty();
    let mut comparison = Comparison { first, ..Comparison::default() };
    for change in &changes {
        comparison.near_limits(change);
        match change.kind {
            UnitKind::Zone => comparison.zone(change),
            UnitKind::List => comparison.list(change),
            UnitKind::Data => comparison.data(change),
            UnitKind::Edge => comparison.edge(change),
            UnitKind::Module => comparison.module(change),
        }
    }
    let mut needs = Vec::new();
    if !first {
        comparison.needs(before, after, &mut needs);
    }
    Review { effects: comparison.effects.told(), needs, warnings: comparison.warnings }
}

/// Rows that came and went in sets of one sort.
#[derive(Default)]
struct Rows {
    removed: u64,
    added: u64,
    /// Rows of the sets that changed, before.
    before: u64,
    twice: u64,
    /// Sets that lost, gained, or hold twice, more than they may by themselves.
    losing: Vec<String>,
    gaining: Vec<String>,
    doubling: Vec<String>,
}

impl Rows {
    /// Counts what happened to one set. `twice`: how many more rows stand twice than did.
    fn count(&mut self, name: &str, before: u64, removed: u64, added: u64, twice: u64) {
        self.before += before;
        self.removed += removed;
        self.added += added;
        self.twice += twice;
        let emptied = before > 0 && removed == before && added == 0;
        if emptied || too_much(removed, before) {
            self.losing.push(name.to_owned());
        }
        if too_much(added, before) {
            self.gaining.push(name.to_owned());
        }
        if twice > 0 {
            self.doubling.push(name.to_owned());
        }
    }
}

#[derive(Default)]
struct Comparison {
    /// There was nothing before.
    first: bool,
    effects: Effects,
    warnings: Vec<String>,
    removed_zones: Vec<String>,
    added_zones: Vec<String>,
    /// Hosts of zones that are there before and after.
    hosts: Rows,
    rules: Rows,
    rows: Rows,
    features: Rows,
}

impl Comparison {
    fn zone(&mut self, change: &Change) {
        let name = change.name.to_string();
        match (&change.before, &change.after) {
            (Some(before), Some(after)) => {
                let (Some(old), Some(new)) = (self.read::<Zone>(before), self.read::<Zone>(after)) else {
                    return self.effects.unreadable(UnitKind::Zone, name);
                };
                let told = self.effects.total();
                let hosts = |zone: &Zone| zone.hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
                let (old_hosts, new_hosts) = (hosts(&old), hosts(&new));
                let (removed, added) = difference(&old_hosts, &new_hosts);
                self.hosts.count(&name, old_hosts.len() as u64, removed.len() as u64, added.len() as u64, 0);
                self.effects.hosts(removed, added);
                let rules = |zone: &Zone| zone.rules.iter().map(|rule| rule.name.clone()).collect::<Vec<_>>();
                let (old_rules, new_rules) = (rules(&old), rules(&new));
                let gone = difference(&old_rules, &new_rules).0.len() as u64;
                // A single rule is taken out every day; many at once are not.
                self.rules.before += old_rules.len() as u64;
                self.rules.removed += gone;
                self.effects.zone(&old, &new);
                if self.effects.total() == told {
                    self.effects.settings(name);
                }
            }
            (None, Some(after)) => {
                if !self.first {
                    let hosts = self.read::<Hosts>(after).map(|zone| zone.hosts).unwrap_or_default();
                    self.effects.hosts(Vec::new(), hosts);
                }
                self.effects.added(UnitKind::Zone, name.clone());
                self.added_zones.push(name);
            }
            (Some(before), None) => {
                let hosts = self.read::<Hosts>(before).map(|zone| zone.hosts).unwrap_or_default();
                self.effects.hosts(hosts, Vec::new());
                self.effects.removed(UnitKind::Zone, name.clone());
                self.removed_zones.push(name);
            }
            (None, None) => {}
        }
    }

    fn list(&mut self, change: &Change) {
        let name = change.name.to_string();
        let rows = |comparison: &mut Self, unit: &Option<std::sync::Arc<Unit>>| match unit {
            Some(unit) => comparison
                .read::<List>(unit)
                .map(|list| list.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()),
            None => Some(Vec::new()),
        };
        let (Some(old), Some(new)) = (rows(self, &change.before), rows(self, &change.after)) else {
            return self.effects.unreadable(UnitKind::List, name);
        };
        self.nearly(UnitKind::List, &name, "rows", new.len() as u64);
        let (removed, added) = difference(&old, &new);
        let repeated = twice(&new).saturating_sub(twice(&old));
        self.rows.count(
            &name,
            distinct(&old),
            removed.len() as u64,
            if change.before.is_some() { added.len() as u64 } else { 0 },
            repeated,
        );
        self.effects.list(change, removed.len(), added.len(), repeated);
    }

    fn data(&mut self, change: &Change) {
        let name = change.name.to_string();
        let rows = |unit: &Option<std::sync::Arc<Unit>>| {
            unit.as_ref().map(|unit| data_rows(&unit.bytes)).unwrap_or_default()
        };
        let (old, new) = (rows(&change.before), rows(&change.after));
        self.nearly(UnitKind::Data, &name, "rows", new.len() as u64);
        let (removed, added) = difference(&old, &new);
        let repeated = twice(&new).saturating_sub(twice(&old));
        // Rows that stand twice are growth too: sixty features became 260 that way.
        let grown = (new.len() as u64).saturating_sub(old.len() as u64).max(added.len() as u64);
        self.features.count(
            &name,
            old.len() as u64,
            removed.len() as u64,
            if change.before.is_some() { grown } else { 0 },
            repeated,
        );
        self.effects.data(change, old.len(), new.len(), repeated);
    }

    fn edge(&mut self, change: &Change) {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { return };
        match (self.read::<Edge>(before), self.read::<Edge>(after)) {
            (Some(old), Some(new)) => self.effects.edge(&old, &new),
            _ => self.effects.unreadable(UnitKind::Edge, change.name.to_string()),
        }
    }

    fn module(&mut self, change: &Change) {
        if self.first {
            return;
        }
        let read = |comparison: &mut Self, unit: &Option<std::sync::Arc<Unit>>| match unit {
            Some(unit) => comparison.read::<ModuleSetting>(unit),
            None => Some(ModuleSetting::default()),
        };
        match (read(self, &change.before), read(self, &change.after)) {
            (Some(old), Some(new)) => self.effects.module_everywhere(&change.name, old, new),
            _ => self.effects.unreadable(UnitKind::Module, change.name.to_string()),
        }
    }

    fn needs(&self, before: &Units, after: &Units, needs: &mut Vec<Needed>) {
        let zones = before.count(UnitKind::Zone) as u64;
        let (gone, new) = (self.removed_zones.len() as u64, self.added_zones.len() as u64);
        let emptied = zones > 0 && after.count(UnitKind::Zone) == 0;
        if emptied || too_much(gone, zones) {
            let why = format!("{} go: {}", of(gone, zones, "zones"), first_of(&self.removed_zones));
            needs.push(Needed { what: "removed_zones", count: gone, why });
        }
        if too_much(new, zones) {
            let why = format!("{} come to {}: {}", count(new, "zone"), zones, first_of(&self.added_zones));
            needs.push(Needed { what: "added_zones", count: new, why });
        }
        self.host_needs(before, gone, needs);
        let rules = &self.rules;
        if too_much(rules.removed, rules.before) {
            let why = format!(
                "{} go from the zones that change",
                of(rules.removed, rules.before, "firewall rules")
            );
            needs.push(Needed { what: "removed_rules", count: rules.removed, why });
        }
        set_needs(&self.rows, ["removed_rows", "added_rows", "duplicate_rows"], "network", "list", needs);
        let data = ["removed_features", "added_features", "duplicate_features"];
        set_needs(&self.features, data, "row", "data file", needs);
    }

    /// Hosts are counted over the zones that stay: those of removed zones go with their zones.
    fn host_needs(&self, before: &Units, gone: u64, needs: &mut Vec<Needed>) {
        let hosts = &self.hosts;
        let staying = (before.count(UnitKind::Zone) as u64).saturating_sub(gone);
        // Every zone has a host, so that there are at least as many; only where that does not settle it are they counted.
        let most = hosts.removed.max(hosts.added);
        let all = if most * 100 > staying * SHARE_PERCENT { self.count_hosts(before) } else { u64::MAX };
        let mut ask = |what, count, zones: &[String], verb| {
            if count > 0 && (!zones.is_empty() || too_much(count, all)) {
                let place = match zones {
                    [] => format!("of {all} in all zones"),
                    zones => format!("most of them in {}", first_of(zones)),
                };
                let why = format!("{} {verb}, {place}", crate::effects::count(count, "hostname"));
                needs.push(Needed { what, count, why });
            }
        };
        ask("removed_hosts", hosts.removed, &hosts.losing, "go");
        ask("added_hosts", hosts.added, &hosts.gaining, "come");
    }

    fn count_hosts(&self, before: &Units) -> u64 {
        let gone: HashSet<&str> = self.removed_zones.iter().map(String::as_str).collect();
        let staying = before.of_kind(UnitKind::Zone).filter(|unit| !gone.contains(&*unit.name));
        let hosts =
            |unit: &Unit| serde_json::from_slice::<HostCount>(&unit.bytes).map_or(1, |zone| zone.hosts.len());
        staying.map(|unit| hosts(unit) as u64).sum()
    }

    /// Reads a document without judging it: what may be served is decided by the codec.
    fn read<T: DeserializeOwned>(&mut self, unit: &Unit) -> Option<T> {
        match serde_json::from_slice(&unit.bytes) {
            Ok(document) => Some(document),
            Err(error) => {
                self.warnings.push(format!("{} {:?} cannot be compared: {error}", unit.kind, unit.name));
                None
            }
        }
    }

    fn near_limits(&mut self, change: &Change) {
        if let Some(unit) = &change.after {
            self.nearly(unit.kind, &unit.name, "bytes", unit.bytes.len() as u64);
        }
    }

    fn nearly(&mut self, kind: UnitKind, name: &str, field: &'static str, value: u64) {
        match kind.measure(name, field, value) {
            Measured::Fine => {}
            Measured::Near(fault) => self.warnings.push(format!("near a limit: {fault}")),
            Measured::Beyond(fault) => self.warnings.push(format!("beyond a limit: {fault}")),
        }
    }
}

#[derive(Deserialize)]
struct Hosts {
    hosts: Vec<String>,
}

#[derive(Deserialize)]
struct HostCount {
    hosts: Vec<IgnoredAny>,
}

fn set_needs(rows: &Rows, whats: [&'static str; 3], row: &str, set: &str, needs: &mut Vec<Needed>) {
    let [removed, added, doubled] = whats;
    let mut ask = |what, number, sets: &[String], verb| {
        if number > 0 && !sets.is_empty() {
            let why = format!("{} {verb} in {set} {}", count(number, row), first_of(sets));
            needs.push(Needed { what, count: number, why });
        }
    };
    ask(removed, rows.removed, &rows.losing, "go");
    ask(added, rows.added, &rows.gaining, "come");
    ask(doubled, rows.twice, &rows.doubling, if rows.twice == 1 { "stands twice" } else { "stand twice" });
}

fn too_much(changed: u64, before: u64) -> bool {
    before >= SET_LEAST && changed.saturating_mul(100) > before.saturating_mul(SHARE_PERCENT)
}

fn of(part: u64, all: u64, what: &str) -> String {
    if part == all { format!("all {all} {what}") } else { format!("{part} of {all} {what}") }
}

/// What is in the first and not in the second, and the other way round; each once.
fn difference(before: &[String], after: &[String]) -> (Vec<String>, Vec<String>) {
    let without = |these: &[String], those: &[String]| {
        let those: HashSet<&String> = those.iter().collect();
        let mut seen = HashSet::new();
        these.iter().filter(|row| !those.contains(row) && seen.insert(*row)).cloned().collect::<Vec<_>>()
    };
    (without(before, after), without(after, before))
}

/// How many rows are repetitions of an earlier one.
fn twice(rows: &[String]) -> u64 {
    rows.len() as u64 - distinct(rows)
}

fn distinct(rows: &[String]) -> u64 {
    rows.iter().collect::<HashSet<_>>().len() as u64
}

/// The rows of a data file: what stands in the lists of a JSON object that hold named things, each by its name; in a file
/// that is no JSON, the lines that are not empty.
fn data_rows(bytes: &[u8]) -> Vec<String> {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        return lines.map(str::to_owned).collect();
    };
    let name = |row: &serde_json::Value| row.get("name").and_then(|name| name.as_str()).map(str::to_owned);
    let lists = json.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_array());
    lists.flatten().filter_map(name).collect()
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
