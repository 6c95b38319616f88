//! What can be wrong with a feature file, and why a request may have no score.

use crate::limits::NAME_BYTES_MAX;
use std::fmt;

/// A file that is refused: which field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {wrong}")]
pub struct FeatureFault {
    /// Where in the file, as in `trees[3][0].threshold`; `file` for the whole.
    pub field: String,
    /// What is wrong there.
    pub wrong: Wrong,
}

impl FeatureFault {
    pub(crate) fn new(field: impl Into<String>, wrong: Wrong) -> FeatureFault {
        FeatureFault { field: field.into(), wrong }
    }
}

/// What is wrong with a field. All are the file's fault; making it again from sound data is the cure.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Wrong {
    /// The bytes are not JSON.
    NotJson(String),
    /// It must be there and is not.
    Missing,
    /// It means nothing here.
    Extra {
        /// What is allowed here.
        known: &'static [&'static str],
    },
    /// The key stands twice in one object.
    Twice,
    /// `null` is no value.
    Null,
    /// It is of another type.
    Type {
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// There is nothing in it.
    Empty,
    /// It is longer or more than allowed.
    TooMany {
        /// What is counted: rows, bytes, nodes.
        unit: &'static str,
        /// How many there are.
        value: usize,
        /// How many are allowed.
        limit: usize,
        /// Which of them repeat an earlier one.
        repeated: Repeated,
    },
    /// A number outside its bounds, or none at all.
    Range {
        /// The number.
        value: f64,
        /// The least allowed.
        least: f64,
        /// The most allowed.
        most: f64,
    },
    /// Rows with the name of an earlier row.
    Repeats(Repeated),
    /// The same kind and parameter as an earlier row, under another name.
    SameAs(String),
    /// No such kind of feature.
    UnknownKind(String),
    /// A value that does not fit, and why.
    Unfit {
        /// The value.
        value: String,
        /// What would fit.
        why: &'static str,
    },
    /// Nodes that do not make a tree, and how.
    NoTree(&'static str),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::NotJson(why) => write!(f, "not JSON: {why}"),
            Wrong::Missing => f.write_str("missing"),
            Wrong::Extra { known } => write!(f, "unknown; known here: {}", known.join(", ")),
            Wrong::Twice => f.write_str("stands here twice"),
            Wrong::Null => f.write_str("null is no value; leave it out or set it"),
            Wrong::Type { expected, found } => write!(f, "must be {expected}, is {found}"),
            Wrong::Empty => f.write_str("empty"),
            Wrong::TooMany { unit, value, limit, repeated } => {
                write!(f, "{value} {unit}, at most {limit} are allowed")?;
                if repeated.rows > 0 { write!(f, "; {repeated}") } else { Ok(()) }
            }
            Wrong::Range { value, least, most } => write!(f, "{value} is not between {least} and {most}"),
            Wrong::Repeats(repeated) => repeated.fmt(f),
            Wrong::SameAs(name) => write!(f, "measures the same as {}", clipped(name)),
            Wrong::UnknownKind(kind) => {
                write!(f, "no kind of feature is called {kind:?}; docs/bot-features.md lists them")
            }
            Wrong::Unfit { value, why } => write!(f, "{value:?}: {why}"),
            Wrong::NoTree(why) => f.write_str(why),
        }
    }
}

/// Rows that repeat the name of an earlier row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// How many rows too many.
    pub rows: usize,
    /// The names, with how often each stands in the file, in order of first appearance.
    pub names: Vec<(String, usize)>,
}

/// Most names that a message lists; the rest is counted. Messages go into logs and onto the timeline, whose lines have bounds.
const NAMES_SHOWN: usize = 5;

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, names) = (self.rows, self.names.len());
        write!(f, "{rows} of the rows repeat an earlier one: ")?;
        for (i, (name, times)) in self.names.iter().take(NAMES_SHOWN).enumerate() {
            write!(f, "{}{} {times} times", if i == 0 { "" } else { ", " }, clipped(name))?;
        }
        if names > NAMES_SHOWN {
            write!(f, " and {} more names", names - NAMES_SHOWN)?;
        }
        Ok(())
    }
}

/// As much of a text as a message should hold.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(NAME_BYTES_MAX).collect()
}

/// Why a request has no score. The score is absent then, never zero (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreFault {
    /// The file has more features than there are slots for their values.
    #[error("{features} features for {slots} slots")]
    TooManyFeatures {
        /// Features of the file.
        features: usize,
        /// Slots that were made beforehand.
        slots: usize,
    },
    /// A feature that cannot be computed: its kind or parameter makes no sense.
    #[error("feature {0} cannot be computed")]
    Feature(usize),
    /// A tree that leads nowhere, or round and round.
    #[error("tree {0} leads to no leaf")]
    Tree(usize),
    /// There are no trees, so nothing was learned.
    #[error("no trees")]
    NoTrees,
    /// More trees than a score may walk.
    #[error("{trees} trees, at most {most} are walked")]
    TooManyTrees {
        /// Trees of the file.
        trees: usize,
        /// How many a score may walk.
        most: usize,
    },
    /// The sum is no number.
    #[error("the sum of the leaves is no number")]
    NoNumber,
}

impl ScoreFault {
    /// A short name for metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ScoreFault::TooManyFeatures { .. } => "too_many_features",
            ScoreFault::Feature(_) => "feature",
            ScoreFault::Tree(_) => "tree",
            ScoreFault::NoTrees => "no_trees",
            ScoreFault::TooManyTrees { .. } => "too_many_trees",
            ScoreFault::NoNumber => "no_number",
        }
    }
}

/// Why a model did not pass its own test.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestFault {
    /// A recorded head got no score.
    #[error("the recorded head {head:?} gets no score: {fault}")]
    NoScore {
        /// Which head.
        head: &'static str,
        /// Why.
        fault: ScoreFault,
    },
    /// Browsers and tools score the same.
    #[error("recorded browsers and tools both score {0} in the middle: the model tells nothing apart")]
    AllAlike(u8),
    /// Browsers, taken together, score no higher than tools.
    #[error("recorded browsers score {browsers} in the middle and tools {tools}: low must mean bot")]
    UpsideDown {
        /// The middle score of the browsers.
        browsers: u8,
        /// That of the tools.
        tools: u8,
    },
}
