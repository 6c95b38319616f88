//! The table of keys: the one source for unknown keys, types, ranges, environment variables and the document.

mod edge;
mod zone;

use edge::LIST;
pub(crate) use edge::{CACHE, EDGE, LIMITS, LOG, RESOLVER, ROLLOUT, TIMEOUTS};
pub(crate) use zone::{
    AFFINITY, CONCURRENCY, EJECTION, MONITOR, ORIGIN, POOL, POOL_TIMEOUTS, ROUTE, RULE, ZONE,
};

use seawall_model::quantity::{show_bytes, show_ms};

/// One table of the file.
#[derive(Debug)]
pub struct Table {
    /// How it is written: `[edge.tls]`.
    pub header: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its keys, in the order people should meet them.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What holds where it does not stand.
    pub default: Default,
    /// What it does.
    pub doc: &'static str,
}

/// What holds where a key does not stand.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// This value, as TOML.
    Is(&'static str),
    /// Something that is no fixed value, in words.
    Words(&'static str),
    /// It must stand.
    Required,
}

/// What may stand at a key. Ranges include both ends.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A path; in the file relative to the file's folder, in the environment to the working directory.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A list of whole numbers, each from the first to the second.
    Counts(u64, u64),
    /// A share of a hundred, whole or with a fraction.
    Percent,
    /// Bytes.
    Size(u64, u64),
    /// Milliseconds.
    Duration(u64, u64),
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A list of strings; one may stand without brackets.
    Texts,
    /// `true`, `false` or one of these strings.
    FlagOr(&'static [&'static str]),
    /// `true`, `false` or a list of strings.
    FlagOrTexts,
    /// Strings by name.
    Map,
    /// One table.
    Table(&'static Table),
    /// A list of tables.
    Tables(&'static Table),
}

impl Kind {
    /// For people, in a few words.
    #[must_use]
    pub fn describe(&self) -> String {
        let quoted = |words: &[&str]| words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ");
        match self {
            Kind::Text => "string".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Count(low, high) if *high >= u64::from(u32::MAX) => format!("whole number from {low}"),
            Kind::Count(low, high) => format!("whole number, {low} to {high}"),
            Kind::Counts(low, high) => format!("list of whole numbers, {low} to {high}"),
            Kind::Percent => "number, 0 to 100".to_owned(),
            Kind::Size(low, high) => format!("size, {} to {}", show_bytes(*low), show_bytes(*high)),
            Kind::Duration(low, high) => format!("duration, {} to {}", show_ms(*low), show_ms(*high)),
            Kind::Choice(words) => format!("one of {}", quoted(words)),
            Kind::Texts => "list of strings, or one string".to_owned(),
            Kind::FlagOr(words) => format!("true, false or {}", quoted(words)),
            Kind::FlagOrTexts => "true, false or a list of strings".to_owned(),
            Kind::Map => "table of strings".to_owned(),
            Kind::Table(_) => "table".to_owned(),
            Kind::Tables(_) => "list of tables".to_owned(),
        }
    }

    /// Whether an environment variable can hold it.
    #[must_use]
    pub const fn fits_environment(&self) -> bool {
        !matches!(self, Kind::Map | Kind::Table(_) | Kind::Tables(_))
    }
}

impl Table {
    /// The key of that name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The whole file.
pub static ROOT: Table = Table {
    header: "",
    doc: "At the top of the file, before any table.",
    keys: &[
        key(
            "data_dir",
            Kind::Path,
            Default::Is("\"data\""),
            "Folder for what Seawall keeps: the disk cache and the access log, unless they have paths of their own.",
        ),
        key("edge", Kind::Table(&EDGE), Default::Words("its defaults"), "What concerns the edge as a whole."),
        key(
            "list",
            Kind::Tables(&LIST),
            Default::Words("none"),
            "Lists of addresses, which rules and `bans` name.",
        ),
        key("zone", Kind::Tables(&ZONE), Default::Words("none"), "One for each site."),
    ],
};

/// Every table with the prefix its keys have in the environment, in the order of the document.
pub(crate) fn tables() -> Vec<(&'static Table, Option<String>)> {
    fn walk(table: &'static Table, prefix: Option<String>, out: &mut Vec<(&'static Table, Option<String>)>) {
        if out.iter().any(|(seen, _)| std::ptr::eq(*seen, table)) {
            return;
        }
        out.push((table, prefix.clone()));
        for key in table.keys {
            match key.kind {
                Kind::Table(inner) => walk(inner, prefix.as_ref().map(|p| variable(p, key.name)), out),
                Kind::Tables(inner) => walk(inner, None, out),
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    walk(&ROOT, Some("SEAWALL".to_owned()), &mut out);
    out
}

/// The environment variable of a key under a prefix.
pub(crate) fn variable(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.to_ascii_uppercase())
}

const fn key(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1_024;
const U32: u64 = 4_294_967_295;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_once_and_documented() {
        for (table, _) in tables() {
            for (at, key) in table.keys.iter().enumerate() {
                assert!(key.doc.ends_with('.'), "{} {}", table.header, key.name);
                assert!(
                    table.keys.iter().skip(at + 1).all(|other| other.name != key.name),
                    "{} {}",
                    table.header,
                    key.name
                );
                assert!(key.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            }
        }
    }

    #[test]
    fn the_keys_of_modules_are_the_modules_with_their_modes() {
        let keys = edge::MODULES.keys.iter().map(|key| match key.default {
            Default::Words(words) => (key.name, words.trim_matches(['`', '"'])),
            _ => panic!("{} has a fixed default", key.name),
        });
        let modules = seawall_model::MODULES.iter().map(|module| (module.name, module.mode.name()));
        assert_eq!(keys.collect::<Vec<_>>(), modules.collect::<Vec<_>>());
    }

    #[test]
    fn no_two_keys_share_an_environment_variable() {
        let mut seen = std::collections::HashSet::new();
        for (table, prefix) in tables() {
            for key in table.keys.iter().filter(|key| key.kind.fits_environment()) {
                if let Some(prefix) = &prefix {
                    assert!(seen.insert(variable(prefix, key.name)), "{} {}", table.header, key.name);
                }
            }
        }
        assert!(seen.contains("SEAWALL_EDGE_METRICS") && seen.contains("SEAWALL_DATA_DIR"));
    }
}
