//! Why a unit is refused.

use std::fmt;

use seawall_model::{Limit, limits};
use thiserror::Error;

use crate::context::short;
use crate::unit::UnitKind;

/// Why a unit is refused: which, where in it, and what is wrong there. The message names the value found and, where it
/// is beyond a limit, the limit and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct UnitFault {
    /// What the unit holds.
    pub kind: UnitKind,
    /// Its name; empty where it cannot be read.
    pub name: Box<str>,
    /// Where in it: `pools[0].retries`. Empty where it is the whole.
    pub field: Box<str>,
    /// What is wrong: a sentence without a final stop.
    pub message: Box<str>,
    /// What to do about it, where that is known.
    pub fix: Option<Box<str>>,
    /// The bound that is passed, where there is one.
    pub limit: Option<u64>,
    /// What was found in its place.
    pub value: Option<u64>,
}

impl fmt::Display for UnitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.name(), self.name)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// A fault within a document, its path still growing from the inside out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    path: String,
    message: String,
    fix: Option<String>,
    limit: Option<u64>,
    value: Option<u64>,
}

/// What a check of a document says.
pub(crate) type Checked<T = ()> = Result<T, Box<Fault>>;

impl Fault {
    /// A fault at the place that is being looked at.
    pub(crate) fn new(message: impl Into<String>, fix: impl Into<Option<String>>) -> Box<Self> {
        let (message, fix) = (message.into(), fix.into());
        Box::new(Fault { path: String::new(), message, fix, limit: None, value: None })
    }

    /// The same, with the numbers behind it.
    pub(crate) fn beyond(mut self: Box<Self>, limit: u64, value: u64) -> Box<Self> {
        (self.limit, self.value) = (Some(limit), Some(value));
        self
    }

    /// The same, at this place.
    pub(crate) fn placed(mut self: Box<Self>, path: String) -> Box<Self> {
        self.path = path;
        self
    }

    fn inside(mut self: Box<Self>, outer: &str) -> Box<Self> {
        let dot =
            if self.path.is_empty() || self.path.starts_with('[') || outer.is_empty() { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }

    /// Where it is, what is wrong, and what to do about it.
    pub(crate) fn into_parts(self) -> (String, String, Option<String>) {
        (self.path, self.message, self.fix)
    }

    /// The fault as one of a unit.
    pub(crate) fn of_unit(self, kind: UnitKind, name: &str) -> UnitFault {
        UnitFault {
            kind,
            name: short(name).into(),
            field: self.path.into(),
            message: self.message.into(),
            fix: self.fix.map(Into::into),
            limit: self.limit,
            value: self.value,
        }
    }
}

/// Says where a fault is.
pub(crate) trait At {
    /// In this field.
    fn at(self, field: &str) -> Self;
    /// In this item of a list; with an empty name, of the list that is being looked at.
    fn at_item(self, field: &str, index: usize) -> Self;
}

impl<T> At for Checked<T> {
    fn at(self, field: &str) -> Self {
        self.map_err(|fault| fault.inside(field))
    }

    fn at_item(self, field: &str, index: usize) -> Self {
        self.map_err(|fault| fault.inside(&format!("{field}[{index}]")))
    }
}

/// Whether there are no more than `limit` of something.
pub(crate) fn within(count: usize, limit: Limit) -> Checked {
    let count = count as u64;
    if count <= limit.value {
        return Ok(());
    }
    let message =
        format!("{count} is more than the limit of {} {}: {}", limit.value, limit.unit, limit.reason);
    Err(Fault::new(message, None).beyond(limit.value, count))
}

/// Whether a text is no longer than any text may be.
pub(crate) fn text(text: &str) -> Checked {
    within(text.len(), limits::TEXT_BYTES)
}
