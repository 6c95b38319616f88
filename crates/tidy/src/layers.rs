//! Which crate may name which (DESIGN §6): arrows point down, and some point nowhere.

use std::collections::{BTreeMap, BTreeSet};

/// The layer of every crate of the workspace, by folder under `crates/`. A new crate gets a line here.
pub const LAYERS: &[(&str, u8)] = &[
    // 0 vocabulary
    ("sys", 0),
    ("model", 0),
    ("telemetry", 0),
    // 1 pure cores: no async, no I/O, no clock
    ("http", 1),
    ("httpcache", 1),
    ("balance", 1),
    ("compress", 1),
    ("guard", 1),
    ("ruleset", 1),
    ("rollout", 1),
    ("human", 1),
    // 2 configuration
    ("snapshot", 2),
    // 3 wire
    ("net", 3),
    ("cachestore", 3),
    ("ui", 3),
    // 4 roles
    ("edge", 4),
    // 5 product and what is built on all of it
    ("seawall", 5),
    ("drill", 5),
    ("fuzzing", 5),
    ("tidy", 5),
];

/// Arrows within a layer, each with its reason.
pub const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("httpcache", "http", "the cache's rules are rules about heads; one head type for all (DESIGN §4)"),
    ("compress", "http", "whether to compress is read off the same heads"),
    ("human", "http", "features are measured on the same view"),
    ("ruleset", "http", "rules look at the one view of a request that every stage sees"),
    (
        "seawall",
        "drill",
        "the program carries its drills; they see it from outside and name none of its crates",
    ),
];

/// Crates that must not be reached from a crate, by any way. Crates that do not exist yet are named too, so that the
/// rule stands before the first line that could break it.
pub const UNREACHABLE: &[(&str, &[&str], &str)] = &[
    ("edge", &["db", "control"], "the data plane starts and serves without the store (R6)"),
    ("status", &["edge", "control", "snapshot"], "the rescue path never needs what it rescues (R9)"),
    ("tracker", &["edge", "control", "snapshot"], "the rescue path never needs what it rescues (R9)"),
];

/// Dependencies that bring a runtime, sockets or a clock: not for layer 1, other than in its tests.
pub const IMPURE: &[&str] =
    &["tokio", "tokio-util", "hyper", "hyper-util", "h2", "futures-util", "socket2", "nix"];

/// The crates and what each names, by folder names.
pub type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What is wrong with the arrows.
#[must_use]
pub fn complaints(arrows: &Arrows) -> Vec<String> {
    let mut found = Vec::new();
    for (from, targets) in arrows {
        let Some(layer) = layer(from) else {
            found.push(format!(
                "crates/{from} has no layer yet: give it one in LAYERS of crates/tidy/src/layers.rs (DESIGN §6 tells which)"
            ));
            continue;
        };
        for to in targets {
            let sideways = SIDEWAYS.iter().any(|(a, b, _)| a == from && b == to);
            match self::layer(to) {
                Some(below) if below < layer || (below == layer && sideways) => {}
                Some(same) if same == layer => found.push(format!(
                    "crates/{from} names crates/{to} of its own layer {layer}: move what they share down, or list the arrow with its reason in SIDEWAYS"
                )),
                Some(above) => found.push(format!(
                    "crates/{from} (layer {layer}) names crates/{to} (layer {above}): arrows point down only"
                )),
                None => {}
            }
        }
        for (_, never, why) in UNREACHABLE.iter().filter(|(crate_name, ..)| crate_name == from) {
            let reached = reachable(arrows, from);
            for to in never.iter().filter(|to| reached.contains(**to)) {
                found.push(format!("crates/{from} reaches crates/{to}: {why}"));
            }
        }
    }
    found
}

/// The layer of a crate, if it has one.
#[must_use]
pub fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, layer)| *layer)
}

fn reachable<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = arrows.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if let Some((name, further)) = arrows.get_key_value(next)
            && seen.insert(name.as_str())
        {
            open.extend(further.iter().map(String::as_str));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(list: &[(&str, &[&str])]) -> Arrows {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        list.iter().map(|(from, to)| ((*from).to_owned(), owned(to))).collect()
    }

    #[test]
    fn arrows_down_and_listed_arrows_aside_are_fine() {
        let fine = arrows(&[
            ("edge", &["net", "http"]),
            ("net", &["http"]),
            ("httpcache", &["http"]),
            ("http", &[]),
        ]);
        assert_eq!(complaints(&fine), Vec::<String>::new());
    }

    #[test]
    fn every_bad_arrow_is_told() {
        for (bad, hint) in [
            (arrows(&[("http", &["net"]), ("net", &[])]), "point down"),
            (arrows(&[("balance", &["http"]), ("http", &[])]), "own layer"),
            (arrows(&[("novelty", &[])]), "no layer yet"),
            (arrows(&[("edge", &["net"]), ("net", &["db"]), ("db", &[])]), "reaches crates/db"),
        ] {
            let found = complaints(&bad);
            assert!(found.iter().any(|c| c.contains(hint)), "{hint}: {found:?}");
        }
    }
}
