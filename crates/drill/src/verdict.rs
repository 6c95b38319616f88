//! What a drill found: checks with figures.

use serde::Serialize;

/// One thing that had to be so.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// What was demanded.
    pub limit: String,
    /// What was found; "not measured" where it could not be.
    pub measured: String,
    /// Whether it was so. What was not measured was not so (DESIGN R7).
    pub pass: bool,
    /// Whether it is what the drill is about: the summary shows it.
    #[serde(skip)]
    pub key: bool,
}

impl Check {
    /// The same, as what the drill is about.
    #[must_use]
    pub fn key(mut self) -> Self {
        self.key = true;
        self
    }

    /// A figure that may be this much and no more.
    #[must_use]
    pub fn at_most(what: &str, limit: f64, measured: Option<f64>, unit: &str) -> Self {
        Self {
            what: what.to_owned(),
            limit: format!("≤ {}", figure(limit, unit)),
            pass: measured.is_some_and(|m| m <= limit),
            measured: measured.map_or_else(|| "not measured".to_owned(), |m| figure(m, unit)),
            key: false,
        }
    }

    /// A figure that must be this much or more.
    #[must_use]
    pub fn at_least(what: &str, limit: f64, measured: Option<f64>, unit: &str) -> Self {
        Self {
            what: what.to_owned(),
            limit: format!("≥ {}", figure(limit, unit)),
            pass: measured.is_some_and(|m| m >= limit),
            measured: measured.map_or_else(|| "not measured".to_owned(), |m| figure(m, unit)),
            key: false,
        }
    }

    /// Something that must be absent.
    #[must_use]
    pub fn none(what: &str, count: usize, of: usize) -> Self {
        Self {
            what: what.to_owned(),
            limit: "0".to_owned(),
            measured: format!("{count} of {of}"),
            // Nothing among nothing proves nothing.
            pass: count == 0 && of > 0,
            key: false,
        }
    }

    /// Something that must be so, with what was found in words.
    #[must_use]
    pub fn holds(what: &str, limit: &str, pass: bool, measured: impl Into<String>) -> Self {
        Self { what: what.to_owned(), limit: limit.to_owned(), measured: measured.into(), pass, key: false }
    }
}

/// The verdict on one run of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The drill.
    pub drill: &'static str,
    /// Whether every check passed, and there was at least one.
    pub passed: bool,
    /// Guards that were off.
    pub without: Vec<String>,
    /// The checks.
    pub checks: Vec<Check>,
    /// Why the drill could not be carried out to its end.
    pub fault: Option<String>,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// What was found, or "none".
#[must_use]
pub fn told(found: Option<impl std::fmt::Display>) -> String {
    found.map_or_else(|| "none".to_owned(), |found| found.to_string())
}

/// A snapshot by its number.
#[must_use]
pub fn snapshot(number: Option<u64>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| format!("snapshot {number}"))
}

/// A number as people read it.
#[must_use]
pub fn figure(value: f64, unit: &str) -> String {
    let magnitude = value.abs();
    let number = if value == value.trunc() && magnitude < 1e15 {
        grouped(value)
    } else if magnitude >= 100.0 {
        grouped(value.round())
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    };
    match unit {
        "" => number,
        "%" | "×" => format!("{number} {unit}").replace(" ×", "×"),
        unit => format!("{number} {unit}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if value < 0.0 { format!("−{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_grouped() {
        for (value, unit, text) in [
            (0.0, "", "0"),
            (12_345.0, "", "12\u{202f}345"),
            (1.234, "ms", "1.23 ms"),
            (98.76, "%", "98.8 %"),
            (123.4, "ms", "123 ms"),
            (1.5, "×", "1.50×"),
        ] {
            assert_eq!(figure(value, unit), text);
        }
    }

    #[test]
    fn what_was_not_measured_fails() {
        assert!(!Check::at_most("x", 1.0, None, "").pass);
        assert!(!Check::at_least("x", 1.0, None, "").pass);
        assert!(!Check::none("errors", 0, 0).pass);
        assert!(Check::none("errors", 0, 1).pass);
    }
}
