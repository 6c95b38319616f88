//! What a drill has to show: everything the report draws.

use crate::samples::Samples;

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Milliseconds since the drill began, and value.
    pub points: Vec<(u64, f64)>,
    /// Whether a value holds until the next, as a share of a canary does.
    pub steps: bool,
}

/// A chart of lines.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its heading.
    pub title: String,
    /// The unit of its values.
    pub unit: &'static str,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Milliseconds since the drill began.
    pub at_ms: u64,
    /// Whether the drill did it, or the product says so.
    pub by_drill: bool,
    /// Its kind, in a word.
    pub kind: String,
    /// What, for people.
    pub text: String,
}

/// A table of figures.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its heading.
    pub title: String,
    /// Column heads.
    pub head: Vec<String>,
    /// Rows; the last cell says whether it was right.
    pub rows: Vec<(Vec<String>, bool)>,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Loads, with what they are called.
    pub loads: Vec<(String, Samples)>,
    /// Other charts.
    pub charts: Vec<Chart>,
    /// What happened.
    pub marks: Vec<Mark>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Answers in error, as text, to find out what they were.
    pub odd: Vec<String>,
}
