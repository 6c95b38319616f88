//! Text to tree, or what keeps it from being TOML.

use seawall_model::{Problem, Severity};
use toml::de::{DeTable, Error};

use crate::context::{At, Context, Place, short};

/// Largest text whose every syntax error is looked for. Beyond it only the first is told, since a large file that is no
/// TOML at all has one with every byte.
const RECOVERABLE: usize = 1024 * 1024;

/// Most syntax errors told: those after the first are often its consequences.
const ERRORS: usize = 20;

/// Parses `text`.
pub(crate) fn parse(text: &str) -> Result<DeTable<'_>, Vec<Error>> {
    match DeTable::parse(text) {
        Ok(table) => Ok(table.into_inner()),
        Err(_) if text.len() <= RECOVERABLE => Err(DeTable::parse_recoverable(text).1),
        Err(error) => Err(vec![error]),
    }
}

/// The problems of a text that is no TOML, one a line.
pub(crate) fn problems(cx: Context<'_>, errors: &[Error]) -> Vec<Problem> {
    for error in errors.iter().take(ERRORS) {
        let at = error.span().map_or(At::Nowhere, |span| At::Byte(span.start));
        let message = short(error.message());
        let suggestion = match message.as_str() {
            "duplicate key" => Some(
                "each key and each [table] stands once; a list of tables is written [[table]]".to_owned(),
            ),
            _ => None,
        };
        cx.report(Severity::Error, &Place::ROOT, at, format!("this is not TOML: {message}"), suggestion);
    }
    let mut problems = cx.into_problems();
    problems.dedup_by_key(|problem| problem.line);
    problems
}
