//! Bot score: what a request's head says about whether a human sent it.
//!
//! A *feature file* (JSON, [`FeatureFile`]) lists what is measured of a head and the trees that weigh it. It is generated
//! elsewhere every few minutes, so it is user input (R2): [`FeatureFile::parse`] refuses whatever is not sound, and
//! [`Model::compile`] checks again. [`Model::score`] gives 1 (bot) to 99 (human), or says why there is no score; it never
//! panics, also not on files that no check has seen, which `seawall drill feature-file` relies on.
//!
//! [`DEFAULT`] is the built-in file. `examples/train` makes it: `cargo run -p seawall-human --example train`.

mod census;
mod check;
mod consistent;
pub mod docs;
mod extract;
mod fault;
mod file;
pub mod generate;
mod json;
mod kinds;
mod limits;
mod model;
mod names;
mod path;
pub mod sample;
mod score;
mod search;
mod time;
mod watch;

pub use census::Census;
pub use extract::Extraction;
pub use fault::{FeatureFault, Repeated, ScoreFault, SelfTestFault, Wrong};
pub use file::{FORMAT, Feature, FeatureFile, Node};
pub use kinds::{KINDS, Kind, Parameter};
pub use limits::{
    DEPTH_MAX, FEATURES_MAX, FILE_BYTES_MAX, HEADERS_MAX, LEAF_MAX, LIMITS, Limit, NAME_BYTES_MAX, NODES_MAX,
    PARAMETER_BYTES_MAX, PATH_BYTES_READ, TREES_MAX, VALUE_BYTES_READ, WARN_PERCENT,
};
pub use model::{Model, Scratch, SelfTest};
pub use score::{SCORE_LEAST, SCORE_MOST};

/// The built-in feature file.
pub const DEFAULT: &[u8] = include_bytes!("default-features.json");
