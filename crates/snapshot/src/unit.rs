//! A unit: the bytes of one document or data file, and the hash it is known by.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; Hash::BYTES]);

impl Hash {
    /// Bytes of a hash.
    pub const BYTES: usize = 32;

    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::taken(digest::digest(&digest::SHA256, bytes))
    }

    /// The hash a unit is known by. Kind and name are part of it: two modules with equal settings are two units, and
    /// what is blamed for a crash is one of them.
    #[must_use]
    pub fn of_unit(kind: UnitKind, name: &str, bytes: &[u8]) -> Self {
        let mut sum = digest::Context::new(&digest::SHA256);
        sum.update(b"seawall unit\0");
        sum.update(&[kind.tag()]);
        sum.update(&(name.len() as u64).to_le_bytes());
        sum.update(name.as_bytes());
        sum.update(bytes);
        Self::taken(sum.finish())
    }

    /// The hash of these 32 bytes of a file.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Hash::BYTES]) -> Self {
        Hash(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Hash::BYTES] {
        &self.0
    }

    /// The first twelve digits: enough for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }

    /// The first eight bytes as a number that is never 0: enough for the recorder, where 0 means nothing in hand.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Hash::BYTES];
        let mut digits = text.bytes().map(|digit| char::from(digit).to_digit(16));
        for byte in &mut bytes {
            let (high, low) = (digits.next()??, digits.next()??);
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        digits.next().is_none().then_some(Hash(bytes))
    }

    fn taken(digest: digest::Digest) -> Self {
        let mut bytes = [0; Hash::BYTES];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Hash(bytes)
    }
}

impl fmt::Display for Hash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Hash::parse(&text).ok_or_else(|| de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// What a unit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// What concerns the edge as a whole. One, named `edge`.
    Edge,
    /// One zone, by its name.
    Zone,
    /// One list of networks, by its name.
    List,
    /// One generated data file, by the name of the artifact.
    Data,
    /// The setting of one module for the whole edge, by the name of the module.
    Module,
}

/// What is true of every unit of one kind: its limits, and what happens without it.
///
/// At 80 % of a limit a warning is due, beyond 100 % the unit is refused.
#[derive(Clone, Copy, Debug)]
pub struct UnitRules {
    /// The kind.
    pub kind: UnitKind,
    /// Its name in files, messages and documents.
    pub name: &'static str,
    /// What it holds, for documents.
    pub what: &'static str,
    /// Bytes of one unit.
    pub bytes: u64,
    /// Rows of one unit: routes and rules of a zone, networks of a list, features of a data file.
    pub rows: u64,
    /// How deep its JSON may be nested.
    pub depth: u64,
    /// Milliseconds that compiling one may take.
    pub compile_ms: u64,
    /// Bytes of memory that compiling one may ask for.
    pub compile_bytes: u64,
    /// How many there may be in a snapshot.
    pub count: u64,
    /// Why these numbers.
    pub reason: &'static str,
    /// Whether an edge can serve without one of these when no version of it can be used. What others name, and what
    /// everything rests on, cannot be left out.
    pub may_be_left_out: bool,
}

/// Every kind and its limits: what is checked and what is documented.
pub static UNIT_KINDS: [UnitRules; 5] = [
    UnitRules {
        kind: UnitKind::Edge,
        name: "edge",
        what: "settings of the edge as a whole",
        bytes: 4 * MIB,
        rows: 20_000,
        depth: 16,
        compile_ms: 1_000,
        compile_bytes: 64 * MIB,
        count: 1,
        reason: "ten thousand trusted proxies and two hundred log fields fit many times over",
        may_be_left_out: false,
    },
    UnitRules {
        kind: UnitKind::Zone,
        name: "zone",
        what: "one zone: hosts, pools, routes, rules",
        bytes: 4 * MIB,
        rows: 5_000,
        depth: 16,
        compile_ms: 2_000,
        compile_bytes: 64 * MIB,
        count: 1_000_000,
        reason: "a zone at every limit of its document is below 4 MiB; more than that is no zone but a mistake of a generator",
        may_be_left_out: true,
    },
    UnitRules {
        kind: UnitKind::List,
        name: "list",
        what: "one list of networks",
        bytes: 64 * MIB,
        rows: 1_000_000,
        depth: 4,
        compile_ms: 5_000,
        compile_bytes: 256 * MIB,
        count: 10_000,
        reason: "the largest public blocklists have some hundred thousand networks of up to 43 bytes",
        may_be_left_out: false,
    },
    UnitRules {
        kind: UnitKind::Data,
        name: "data",
        what: "one generated data file, such as the features of the bot module",
        bytes: 8 * MIB,
        rows: 200,
        depth: 16,
        compile_ms: 500,
        compile_bytes: 64 * MIB,
        count: 64,
        reason: "about sixty features are in use, and memory for two hundred is reserved before the first request",
        may_be_left_out: true,
    },
    UnitRules {
        kind: UnitKind::Module,
        name: "module",
        what: "the setting of one module for the whole edge",
        bytes: 4 * KIB,
        rows: 16,
        depth: 4,
        compile_ms: 100,
        compile_bytes: MIB,
        count: 64,
        reason: "on or off, and a failure mode",
        may_be_left_out: true,
    },
];

/// Share of a limit at which a warning is due, in percent.
pub const WARN_PERCENT: u64 = 80;

impl UnitKind {
    /// Every kind, in the order of [`UNIT_KINDS`].
    pub const ALL: [UnitKind; 5] =
        [UnitKind::Edge, UnitKind::Zone, UnitKind::List, UnitKind::Data, UnitKind::Module];

    /// What is true of units of this kind.
    #[must_use]
    pub fn rules(self) -> &'static UnitRules {
        let [edge, zone, list, data, module] = &UNIT_KINDS;
        match self {
            UnitKind::Edge => edge,
            UnitKind::Zone => zone,
            UnitKind::List => list,
            UnitKind::Data => data,
            UnitKind::Module => module,
        }
    }

    /// Its name: `edge`, `zone`, `list`, `data`, `module`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.rules().name
    }

    /// The kind of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        UnitKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its number in files and hashes. Never reused.
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            UnitKind::Edge => 1,
            UnitKind::Zone => 2,
            UnitKind::List => 3,
            UnitKind::Data => 4,
            UnitKind::Module => 5,
        }
    }

    /// The kind of that number; `None` for one that a newer Seawall may have.
    #[must_use]
    pub fn of_tag(tag: u8) -> Option<Self> {
        UnitKind::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

impl fmt::Display for UnitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a value stands to a limit of its kind of unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Below 80 %.
    Fine,
    /// At 80 % or more: to be told, and taken.
    Near(LimitFault),
    /// Beyond: to be refused.
    Beyond(LimitFault),
}

/// A unit at or beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} {name:?}: {field} is {value}, and the limit is {limit}: {}", kind.rules().reason)]
pub struct LimitFault {
    /// Kind of the unit.
    pub kind: UnitKind,
    /// Name of the unit.
    pub name: Box<str>,
    /// Which limit, by its name in [`UnitRules`].
    pub field: &'static str,
    /// The limit.
    pub limit: u64,
    /// What was found.
    pub value: u64,
}

impl UnitKind {
    /// Compares a value with the limit of that field of [`UnitRules`].
    #[must_use]
    pub fn measure(self, name: &str, field: &'static str, value: u64) -> Measured {
        let rules = self.rules();
        let limit = match field {
            "bytes" => rules.bytes,
            "rows" => rules.rows,
            "depth" => rules.depth,
            "compile_ms" => rules.compile_ms,
            "compile_bytes" => rules.compile_bytes,
            "count" => rules.count,
            _ => return Measured::Fine,
        };
        // A limit of one is met, not neared, by one.
        if value <= 1 || (value <= limit && value.saturating_mul(100) < limit.saturating_mul(WARN_PERCENT)) {
            return Measured::Fine;
        }
        let fault = LimitFault { kind: self, name: name.into(), field, limit, value };
        if value > limit { Measured::Beyond(fault) } else { Measured::Near(fault) }
    }
}

/// One document or data file of a snapshot.
#[derive(Clone, PartialEq, Eq)]
pub struct Unit {
    /// What it holds.
    pub kind: UnitKind,
    /// Its name, unique in its kind.
    pub name: Box<str>,
    /// What it is known by: [`Hash::of_unit`].
    pub hash: Hash,
    /// Canonical JSON of a document, or a data file as it is.
    pub bytes: Bytes,
}

impl Unit {
    /// A unit of these bytes.
    #[must_use]
    pub fn new(kind: UnitKind, name: &str, bytes: Bytes) -> Self {
        Unit { kind, name: name.into(), hash: Hash::of_unit(kind, name, &bytes), bytes }
    }

    /// The same, to be shared.
    #[must_use]
    pub fn shared(kind: UnitKind, name: &str, bytes: Bytes) -> Arc<Self> {
        Arc::new(Unit::new(kind, name, bytes))
    }
}

impl fmt::Debug for Unit {
    /// Without the bytes: they may be many, and data of others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} ({}, {} bytes)", self.kind, self.name, self.hash.short(), self.bytes.len())
    }
}

/// The table of kinds as a page: `docs/units.md`.
#[must_use]
pub fn units_document() -> String {
    let mut page = String::from(
        "# Units and their limits\n\n\
         A snapshot is made of units. Each kind has limits; at 80 % of one Seawall warns, beyond 100 % it refuses the unit and\n\
         keeps the version it has. This page is written from the table `UNIT_KINDS` in `crates/snapshot/src/unit.rs`.\n\n\
         | kind | holds | bytes | rows | depth | compile time | compile memory | in a snapshot | without it |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for rules in &UNIT_KINDS {
        let without = if rules.may_be_left_out { "left out" } else { "kept" };
        page += &format!(
            "| {} | {} | {} | {} | {} | {} ms | {} | {} | {without} |\n",
            rules.name,
            rules.what,
            seawall_model::quantity::show_bytes(rules.bytes),
            rules.rows,
            rules.depth,
            rules.compile_ms,
            seawall_model::quantity::show_bytes(rules.compile_bytes),
            rules.count,
        );
    }
    page += "\nWhy these numbers:\n\n";
    for rules in &UNIT_KINDS {
        page += &format!("- {}: {}.\n", rules.name, rules.reason);
    }
    page += "\n\"Without it\" is what happens to a unit that was found to break the edge and has no other version: a zone, data file or\n\
             module setting is left out, while the edge's settings and lists, which others rest on, are kept.\n";
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_name_and_by_number_and_stand_in_the_order_of_the_table() {
        for (kind, rules) in UnitKind::ALL.into_iter().zip(&UNIT_KINDS) {
            assert_eq!(rules.kind, kind);
            assert_eq!(kind.rules().kind, kind);
            assert_eq!(UnitKind::of_name(kind.name()), Some(kind));
            assert_eq!(UnitKind::of_tag(kind.tag()), Some(kind));
        }
        assert_eq!(UnitKind::of_tag(0), None);
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Hash::of(b"abc");
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-4, appendix
        );
        assert_eq!(hash.short(), "ba7816bf8f01");
        assert_eq!(hash.prefix(), 0xba78_16bf_8f01_cfea);
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        assert_eq!(serde_json::from_str::<Hash>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
        for bad in ["", "ba78", &"g".repeat(64), &"0".repeat(65)] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
        assert_eq!(Hash::from_bytes([0; 32]).prefix(), 1);
    }

    #[test]
    fn kind_name_and_bytes_all_count() {
        let hash = |kind, name, bytes: &'static str| Unit::new(kind, name, bytes.into()).hash;
        let one = hash(UnitKind::Module, "bot", "{}");
        for other in [
            hash(UnitKind::Module, "bans", "{}"),
            hash(UnitKind::Data, "bot", "{}"),
            hash(UnitKind::Module, "bot", "{} "),
            hash(UnitKind::Module, "bo", "t{}"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, hash(UnitKind::Module, "bot", "{}"));
    }

    #[test]
    fn a_limit_warns_at_eighty_percent_and_refuses_beyond_all() {
        let rows = |value| UnitKind::Data.measure("bot-features", "rows", value);
        assert_eq!(rows(159), Measured::Fine);
        assert!(matches!(rows(160), Measured::Near(_)));
        assert!(matches!(rows(200), Measured::Near(_)));
        let Measured::Beyond(fault) = rows(260) else { panic!() };
        assert_eq!(
            fault.to_string(),
            "data \"bot-features\": rows is 260, and the limit is 200: about sixty features are in use, and memory for \
             two hundred is reserved before the first request"
        );
        assert_eq!(UnitKind::Edge.measure("edge", "count", 1), Measured::Fine);
        assert!(matches!(UnitKind::Edge.measure("edge", "count", 2), Measured::Beyond(_)));
    }
}
