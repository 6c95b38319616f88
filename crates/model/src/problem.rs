//! What is wrong with a configuration, told so that it can be mended.

use std::fmt;

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the zone it is in, or `None` where it concerns the whole file.
    pub zone: Option<String>,
    /// Where: `zone[2].pool[0].origins[1].url`, counted from 0. Empty where it is no single key.
    pub path: String,
    /// Line of the file, from 1. `None` for what has no line (a missing file, an environment variable).
    pub line: Option<usize>,
    /// What is wrong: one sentence, no final stop.
    pub message: String,
    /// What to do about it: one sentence, no final stop.
    pub suggestion: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The zone (or the file) cannot be used.
    Error,
    /// It works, though perhaps not as meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl Problem {
    /// Whether it keeps the zone (or the file) from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Where it is, for people: `line 12, zone[2].name (zone "example.com")`. Empty when nothing is known.
    #[must_use]
    pub fn place(&self) -> String {
        let mut place = String::new();
        if let Some(line) = self.line {
            place = format!("line {line}");
        }
        if !self.path.is_empty() {
            if !place.is_empty() {
                place.push_str(", ");
            }
            place.push_str(&self.path);
        }
        match &self.zone {
            Some(zone) if place.is_empty() => format!("zone {zone:?}"),
            Some(zone) => format!("{place} (zone {zone:?})"),
            None => place,
        }
    }
}

impl fmt::Display for Problem {
    /// What, where and what to do on a line each; with `{:#}` all on one line, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before_place, before_help) =
            if f.alternate() { (", at ", "; ") } else { ("\n  at ", "\n  fix: ") };
        write!(f, "{}: {}", self.severity.as_str(), self.message)?;
        let place = self.place();
        if !place.is_empty() {
            write!(f, "{before_place}{place}")?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "{before_help}{suggestion}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_where_and_what_to_do() {
        let problem = Problem {
            zone: Some("example.com".to_owned()),
            path: "zone[2].route[0].pool".to_owned(),
            line: Some(12),
            message: "no pool of this zone is named `ap`".to_owned(),
            suggestion: Some("did you mean `app`?".to_owned()),
            severity: Severity::Error,
        };
        assert_eq!(
            problem.to_string(),
            "error: no pool of this zone is named `ap`\n  at line 12, zone[2].route[0].pool (zone \"example.com\")\n  \
             fix: did you mean `app`?"
        );
        assert_eq!(
            format!("{problem:#}"),
            "error: no pool of this zone is named `ap`, at line 12, zone[2].route[0].pool (zone \"example.com\"); \
             did you mean `app`?"
        );
    }

    #[test]
    fn a_problem_without_a_place_is_one_line() {
        let problem = Problem {
            zone: None,
            path: String::new(),
            line: None,
            message: "the file is empty".to_owned(),
            suggestion: None,
            severity: Severity::Warning,
        };
        assert_eq!(problem.to_string(), "warning: the file is empty");
    }
}
