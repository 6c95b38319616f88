//! The feature file: what it holds, how it is read, and how it is written. [`crate::check`] says what is sound.

use crate::fault::FeatureFault;
use crate::json::{At, Json};
use crate::limits::{FEATURES_MAX, FILE_BYTES_MAX, LEAF_MAX, NODES_MAX};
use crate::{check, fault::Wrong};
use std::fmt::Write as _;

/// The one version of the format.
pub const FORMAT: u32 = 1;

/// A feature file. [`FeatureFile::parse`] makes sound ones; whoever changes one afterwards calls
/// [`FeatureFile::check`], as [`crate::Model::compile`] does again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureFile {
    /// Version of the format, [`FORMAT`].
    pub version: u32,
    /// When it was generated, as in `2026-11-18T11:20:00Z`. For people: nothing is decided by it.
    pub generated: String,
    /// What is measured of a request.
    pub features: Vec<Feature>,
    /// Where the sum of the leaves begins, in log-odds of a human.
    pub base: f32,
    /// The trees; each is a list of nodes that begins with its root.
    pub trees: Vec<Vec<Node>>,
}

/// One row: something to be measured of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feature {
    /// Its name, no other row's.
    pub name: String,
    /// What is measured: a name of [`crate::KINDS`].
    pub kind: String,
    /// Of what, for kinds that need telling; else empty.
    pub parameter: String,
}

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// Goes left if the feature's value is below the threshold, else right.
    Split {
        /// Position of the feature among the features.
        feature: u32,
        /// The threshold.
        threshold: f32,
        /// Position of the left child in its tree, behind this node.
        left: u32,
        /// Position of the right child.
        right: u32,
    },
    /// What this tree adds to the sum.
    Leaf(f32),
}

pub(crate) const KEYS: &[&str] = &["version", "generated", "features", "base", "trees"];
pub(crate) const FEATURE_KEYS: &[&str] = &["name", "kind", "parameter"];
pub(crate) const SPLIT_KEYS: &[&str] = &["feature", "threshold", "left", "right"];
pub(crate) const LEAF_KEYS: &[&str] = &["leaf"];

impl FeatureFile {
    /// Reads a file and checks all of it.
    ///
    /// # Errors
    /// The first fault found: its field, and limit and value where there are such.
    pub fn parse(bytes: &[u8]) -> Result<FeatureFile, FeatureFault> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(check::too_many("file", "bytes", bytes.len(), FILE_BYTES_MAX));
        }
        let json = Json::read(bytes)?;
        let root = At::root(&json);
        root.object(KEYS)?;
        let version = root.required("version")?;
        let generated = root.required("generated")?.text()?.to_owned();
        let features = root.required("features")?.list()?.map(|at| feature(&at)).collect::<Result<_, _>>()?;
        let base = root.required("base")?.number()?;
        let trees = root.required("trees")?.list()?.map(|at| tree(&at)).collect::<Result<_, _>>()?;
        let file = FeatureFile { version: version.whole(u32::MAX)?, generated, features, base, trees };
        file.check()?;
        Ok(file)
    }

    /// Reads a file without any check but that it is JSON. What is missing or of another type reads as nothing.
    ///
    /// For drills, which bypass the checks on purpose to show that scoring stands such a file.
    ///
    /// # Errors
    /// When the bytes are not JSON.
    pub fn parse_unchecked(bytes: &[u8]) -> Result<FeatureFile, FeatureFault> {
        let json = Json::read(bytes)?;
        let list = |key| json.lookup(key).map_or(&[][..], Json::elements);
        Ok(FeatureFile {
            version: loose_number(&json, "version") as u32,
            generated: loose_text(&json, "generated"),
            features: list("features").iter().map(loose_feature).collect(),
            base: loose_number(&json, "base"),
            trees: list("trees").iter().map(|t| t.elements().iter().map(loose_node).collect()).collect(),
        })
    }

    /// Checks all that [`FeatureFile::parse`] checks of what was read.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), FeatureFault> {
        check::file(self)
    }

    /// What is above 80 % of a limit, each in a sentence.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        check::warnings(self)
    }

    /// The file as JSON, one feature a line and one tree a line. Equal files give equal bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = String::new();
        let _ =
            write!(out, "{{\n\"version\": {},\n\"generated\": {},\n", self.version, quoted(&self.generated));
        let features = self.features.iter().map(|f| {
            let parameter = match f.parameter.as_str() {
                "" => String::new(),
                text => format!(", \"parameter\": {}", quoted(text)),
            };
            format!("{{\"name\": {}, \"kind\": {}{parameter}}}", quoted(&f.name), quoted(&f.kind))
        });
        let _ = write!(out, "\"features\": [\n{}\n],\n", features.collect::<Vec<_>>().join(",\n"));
        let trees = self.trees.iter().map(|tree| {
            let nodes = tree.iter().map(|node| match node {
                Node::Leaf(leaf) => format!("{{\"leaf\": {leaf}}}"),
                Node::Split { feature, threshold, left, right } => format!(
                    "{{\"feature\": {feature}, \"threshold\": {threshold}, \"left\": {left}, \"right\": {right}}}"
                ),
            });
            format!("[{}]", nodes.collect::<Vec<_>>().join(", "))
        });
        let _ = write!(
            out,
            "\"base\": {},\n\"trees\": [\n{}\n]\n}}\n",
            self.base,
            trees.collect::<Vec<_>>().join(",\n")
        );
        out.into_bytes()
    }
}

fn feature(at: &At<'_>) -> Result<Feature, FeatureFault> {
    at.object(FEATURE_KEYS)?;
    let parameter = match at.optional("parameter") {
        Some(at) => {
            let text = at.text()?;
            if text.is_empty() {
                return Err(at.fault(Wrong::Empty));
            }
            text.to_owned()
        }
        None => String::new(),
    };
    let (name, kind) = (at.required("name")?.text()?.to_owned(), at.required("kind")?.text()?.to_owned());
    Ok(Feature { name, kind, parameter })
}

fn tree(at: &At<'_>) -> Result<Vec<Node>, FeatureFault> {
    at.list()?.map(|at| node(&at)).collect()
}

fn node(at: &At<'_>) -> Result<Node, FeatureFault> {
    if let Some(leaf) = at.optional("leaf") {
        at.object(LEAF_KEYS)?;
        return Ok(Node::Leaf(leaf.number()?));
    }
    at.object(SPLIT_KEYS)?;
    Ok(Node::Split {
        feature: at.required("feature")?.whole(FEATURES_MAX as u32)?,
        threshold: at.required("threshold")?.number()?,
        left: at.required("left")?.whole(NODES_MAX as u32)?,
        right: at.required("right")?.whole(NODES_MAX as u32)?,
    })
}

fn loose_feature(json: &Json) -> Feature {
    Feature {
        name: loose_text(json, "name"),
        kind: loose_text(json, "kind"),
        parameter: loose_text(json, "parameter"),
    }
}

fn loose_node(json: &Json) -> Node {
    if json.lookup("leaf").is_some() {
        return Node::Leaf(loose_number(json, "leaf"));
    }
    let whole = |key| loose_number(json, key) as u32;
    Node::Split {
        feature: whole("feature"),
        threshold: loose_number(json, "threshold"),
        left: whole("left"),
        right: whole("right"),
    }
}

fn loose_text(json: &Json, key: &str) -> String {
    match json.lookup(key) {
        Some(Json::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

fn loose_number(json: &Json, key: &str) -> f32 {
    match json.lookup(key) {
        Some(Json::Number(number)) => *number as f32,
        _ => 0.0,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The bounds of the base score and of leaves.
pub(crate) const LEAF_RANGE: (f32, f32) = (-LEAF_MAX, LEAF_MAX);
