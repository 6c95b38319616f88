//! What makes a feature file sound.

use crate::fault::{FeatureFault, Repeated, Wrong, clipped};
use crate::file::{FORMAT, Feature, FeatureFile, LEAF_RANGE, Node};
use crate::kinds::{Kind, Parameter};
use crate::limits::{
    DEPTH_MAX, FEATURES_MAX, HEADERS_MAX, NAME_BYTES_MAX, NODES_MAX, PARAMETER_BYTES_MAX, TREES_MAX,
    WARN_PERCENT,
};
use crate::time::is_time;
use crate::watch::Watch;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn file(file: &FeatureFile) -> Result<(), FeatureFault> {
    if file.version != FORMAT {
        let (value, only) = (file.version.into(), FORMAT.into());
        return Err(FeatureFault::new("version", Wrong::Range { value, least: only, most: only }));
    }
    if !is_time(&file.generated) {
        let value = clipped(&file.generated);
        return Err(FeatureFault::new(
            "generated",
            Wrong::Unfit { value, why: "must be a time as 2026-11-18T11:20:00Z" },
        ));
    }
    features(&file.features)?;
    bounded("base".to_owned(), file.base, LEAF_RANGE)?;
    count("trees", "trees", file.trees.len(), TREES_MAX)?;
    for (i, nodes) in file.trees.iter().enumerate() {
        tree(&format!("trees[{i}]"), nodes, &file.features)?;
    }
    Ok(())
}

pub(crate) fn warnings(file: &FeatureFile) -> Vec<String> {
    let nodes = file.trees.iter().map(Vec::len).max().unwrap_or(0);
    [
        ("features", file.features.len(), FEATURES_MAX),
        ("trees", file.trees.len(), TREES_MAX),
        ("nodes of one tree", nodes, NODES_MAX),
    ]
    .into_iter()
    .filter(|(_, value, limit)| value * 100 >= limit * WARN_PERCENT)
    .map(|(what, value, limit)| format!("{what}: {value} of at most {limit}"))
    .collect()
}

/// The rows that repeat the name of an earlier one.
pub(crate) fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Repeated {
    let mut order = Vec::new();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        let n = times.entry(name).or_insert(0);
        *n += 1;
        if *n == 2 {
            order.push(name);
        }
    }
    let names = order.iter().map(|name| ((*name).to_owned(), times.get(name).copied().unwrap_or(0)));
    Repeated { rows: times.values().map(|n| n - 1).sum(), names: names.collect() }
}

pub(crate) fn too_many(field: &str, unit: &'static str, value: usize, limit: usize) -> FeatureFault {
    FeatureFault::new(field, Wrong::TooMany { unit, value, limit, repeated: Repeated::default() })
}

fn count(field: &str, unit: &'static str, value: usize, limit: usize) -> Result<(), FeatureFault> {
    match value {
        0 => Err(FeatureFault::new(field, Wrong::Empty)),
        _ if value > limit => Err(too_many(field, unit, value, limit)),
        _ => Ok(()),
    }
}

fn features(rows: &[Feature]) -> Result<(), FeatureFault> {
    let field = "features";
    let repeated = repeated(rows.iter().map(|row| row.name.as_str()));
    if rows.len() > FEATURES_MAX {
        let wrong = Wrong::TooMany { unit: "rows", value: rows.len(), limit: FEATURES_MAX, repeated };
        return Err(FeatureFault::new(field, wrong));
    }
    count(field, "rows", rows.len(), FEATURES_MAX)?;
    if repeated.rows > 0 {
        return Err(FeatureFault::new(field, Wrong::Repeats(repeated)));
    }
    let mut measures: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut headers = BTreeSet::new();
    for (i, row) in rows.iter().enumerate() {
        let at = |key: &str| format!("features[{i}].{key}");
        name(row).map_err(|wrong| FeatureFault::new(at("name"), wrong))?;
        let Some(kind) = Kind::of_name(&row.kind) else {
            return Err(FeatureFault::new(at("kind"), Wrong::UnknownKind(clipped(&row.kind))));
        };
        parameter(kind.parameter, &row.parameter)
            .map_err(|wrong| FeatureFault::new(at("parameter"), wrong))?;
        if let Some(earlier) = measures.insert((&row.kind, &row.parameter), &row.name) {
            return Err(FeatureFault::new(format!("features[{i}]"), Wrong::SameAs(earlier.to_owned())));
        }
        headers.extend(Watch::names_of(kind, &row.parameter));
    }
    match headers.len() {
        n if n > HEADERS_MAX => Err(too_many(field, "header names", n, HEADERS_MAX)),
        _ => Ok(()),
    }
}

fn name(row: &Feature) -> Result<(), Wrong> {
    length(&row.name, NAME_BYTES_MAX)?;
    let plain =
        row.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-./:".contains(&b));
    if plain { Ok(()) } else { Err(unfit(&row.name, "must be lower-case letters, digits and _ - . / :")) }
}

fn length(text: &str, limit: usize) -> Result<(), Wrong> {
    match text.len() {
        0 => Err(Wrong::Empty),
        value if value > limit => {
            Err(Wrong::TooMany { unit: "bytes", value, limit, repeated: Repeated::default() })
        }
        _ => Ok(()),
    }
}

fn parameter(parameter: Parameter, text: &str) -> Result<(), Wrong> {
    if parameter == Parameter::None {
        return if text.is_empty() { Ok(()) } else { Err(unfit(text, "this kind takes no parameter")) };
    }
    if text.is_empty() {
        return Err(Wrong::Missing);
    }
    length(text, PARAMETER_BYTES_MAX)?;
    let fits = match parameter {
        Parameter::Header => is_header(text),
        Parameter::Headers => {
            text.split_once(',').is_some_and(|(a, b)| is_header(a) && is_header(b) && a != b)
        }
        Parameter::HeaderText => text.split_once(':').is_some_and(|(a, b)| is_header(a) && is_text(b)),
        Parameter::Text => is_text(text) && !text.bytes().any(|b| b.is_ascii_uppercase()),
        Parameter::Method => text.bytes().all(|b| b.is_ascii_uppercase()),
        Parameter::None => true,
    };
    if fits {
        return Ok(());
    }
    Err(unfit(
        text,
        match parameter {
            Parameter::Header => "must be a header name in lower case",
            Parameter::Headers => "must be two different header names in lower case, as in accept,host",
            Parameter::HeaderText => "must be a header name in lower case and a text, as in accept:text/html",
            Parameter::Method => "must be a method in capitals, as in GET",
            _ => "must be a text of printable ASCII in lower case",
        },
    ))
}

fn is_header(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn unfit(text: &str, why: &'static str) -> Wrong {
    Wrong::Unfit { value: clipped(text), why }
}

fn bounded(field: String, value: f32, (least, most): (f32, f32)) -> Result<(), FeatureFault> {
    // No number is not between any two.
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let (value, least, most) = (value.into(), least.into(), most.into());
    Err(FeatureFault::new(field, Wrong::Range { value, least, most }))
}

/// That the nodes make one tree: children stand behind their parents, so there is no way round, and every node but the
/// first is the child of exactly one.
fn tree(field: &str, nodes: &[Node], features: &[Feature]) -> Result<(), FeatureFault> {
    count(field, "nodes", nodes.len(), NODES_MAX)?;
    let mut depths: Vec<Option<usize>> = vec![None; nodes.len()];
    if let Some(root) = depths.first_mut() {
        *root = Some(0);
    }
    for (i, node) in nodes.iter().enumerate() {
        let at = |key: &str| format!("{field}[{i}].{key}");
        let Some(depth) = depths.get(i).copied().flatten() else {
            return Err(FeatureFault::new(format!("{field}[{i}]"), Wrong::NoTree("no node leads here")));
        };
        let (feature, threshold, left, right) = match *node {
            Node::Leaf(leaf) => {
                bounded(at("leaf"), leaf, LEAF_RANGE)?;
                continue;
            }
            Node::Split { feature, threshold, left, right } => (feature, threshold, left, right),
        };
        let Some(row) = features.get(feature as usize) else {
            let most = features.len().saturating_sub(1) as f64;
            let wrong = Wrong::Range { value: feature.into(), least: 0.0, most };
            return Err(FeatureFault::new(at("feature"), wrong));
        };
        // A threshold outside what the kind can yield would decide nothing: a sign of columns mixed up.
        let range = Kind::of_name(&row.kind).map_or((f32::MIN, f32::MAX), |kind| (kind.least, kind.most));
        bounded(at("threshold"), threshold, range)?;
        if depth >= DEPTH_MAX {
            return Err(too_many(&format!("{field}[{i}]"), "splits above each other", depth + 1, DEPTH_MAX));
        }
        for (key, child) in [("left", left as usize), ("right", right as usize)] {
            let wrong = match depths.get_mut(child) {
                None => Wrong::NoTree("leads to a node that does not exist"),
                Some(_) if child <= i => Wrong::NoTree("leads back; children stand behind their parents"),
                Some(Some(_)) => Wrong::NoTree("leads to a node that has a parent already"),
                Some(slot) => {
                    *slot = Some(depth + 1);
                    continue;
                }
            };
            return Err(FeatureFault::new(at(key), wrong));
        }
    }
    Ok(())
}
