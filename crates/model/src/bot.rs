//! The bot module's settings of a zone.

use serde::{Deserialize, Serialize};

/// The `[zone.bot]` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bot {
    /// Whether requests are scored: 1 is certainly a program, 99 certainly a person. Default false.
    pub score: bool,
    /// Whether the score goes to the origin in `CF-Bot-Score`. A request without a score goes without the field.
    /// Default false.
    pub header: bool,
}
