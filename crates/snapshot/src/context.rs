//! What one reading of a configuration carries along: the problems found, the environment, the files looked at.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use seawall_model::{Problem, Severity, limits};

use crate::files::{FileFault, Role};
use crate::suggest::did_you_mean;

/// Suggestions computed at most in one reading; beyond, problems come without. Keeps the time linear in the file.
const SUGGESTIONS: usize = 1_000;

/// Where a value stands in the tree: `zone[2].pool[0].url` as a chain from the leaf up, spelt out only for problems.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    name: &'p str,
    index: Option<usize>,
}

impl<'p> Place<'p> {
    pub(crate) const ROOT: Place<'static> = Place { parent: None, name: "", index: None };

    pub(crate) const fn key(&'p self, name: &'p str) -> Place<'p> {
        Place { parent: Some(self), name, index: None }
    }

    pub(crate) const fn item(&'p self, name: &'p str, index: usize) -> Place<'p> {
        Place { parent: Some(self), name, index: Some(index) }
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        if !self.name.is_empty() {
            if !out.is_empty() {
                out.push('.');
            }
            // Only unknown keys can be odd or long.
            match self.name {
                name if name.len() <= 80
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') =>
                {
                    out.push_str(name);
                }
                name => {
                    let _ = write!(out, "{:?}", short(name));
                }
            }
        }
        if let Some(index) = self.index {
            let _ = write!(out, "[{index}]");
        }
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'t> {
    /// Byte of the file.
    Byte(usize),
    /// Environment variable.
    Env(&'t str),
    /// No single place.
    Nowhere,
}

/// A value's place and origin together: what a problem is reported at.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'p, 't> {
    pub(crate) cx: &'p Context<'t>,
    pub(crate) place: Place<'p>,
    pub(crate) at: At<'t>,
}

impl Spot<'_, '_> {
    pub(crate) fn error(&self, message: impl Into<String>, suggestion: impl Into<Option<String>>) {
        self.cx.report(Severity::Error, &self.place, self.at, message.into(), suggestion.into());
    }

    pub(crate) fn warn(&self, message: impl Into<String>, suggestion: impl Into<Option<String>>) {
        self.cx.report(Severity::Warning, &self.place, self.at, message.into(), suggestion.into());
    }

    /// Reports more than `limit` of something as an error and more than four fifths as a warning (DESIGN R10). Whether
    /// it is within the limit.
    pub(crate) fn within(&self, count: usize, limit: limits::Limit) -> bool {
        let count = count as u64;
        if count > limit.value {
            self.error(
                format!("{count} is more than the limit of {} {}: {}", limit.value, limit.unit, limit.reason),
                None,
            );
            return false;
        }
        if count > limit.value / 5 * 4 && limit.value >= 100 {
            self.warn(format!("{count} is near the limit of {} {}", limit.value, limit.unit), None);
        }
        true
    }
}

/// One reading.
pub(crate) struct Context<'t> {
    /// Folder that relative paths of the file start from.
    pub(crate) base_dir: &'t Path,
    /// The `SEAWALL_…` variables.
    pub(crate) env: HashMap<&'t str, &'t str>,
    /// What was found of each file looked at: many zones share one certificate.
    pub(crate) files: RefCell<HashMap<(PathBuf, Role), Option<FileFault>>>,
    text: &'t str,
    zone: RefCell<Option<String>>,
    found: RefCell<Vec<(Option<usize>, Problem)>>,
    errors: Cell<usize>,
    certificate_errors: Cell<usize>,
    /// Errors of zones and of lists, which leave the rest to be used.
    zone_errors: Cell<usize>,
    list_errors: Cell<usize>,
    /// Names of the lists, those with an error too. `None` where one could not be read, so that an unknown name may be it.
    lists: RefCell<Option<HashSet<String>>>,
    /// Both counts when the zone was entered.
    entered: Cell<(usize, usize)>,
    left_out: Cell<usize>,
    suggestions: Cell<usize>,
}

impl<'t> Context<'t> {
    pub(crate) fn new(text: &'t str, base_dir: &'t Path, env: &'t [(String, String)]) -> Self {
        Context {
            base_dir,
            env: env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            files: RefCell::default(),
            text,
            zone: RefCell::default(),
            found: RefCell::default(),
            errors: Cell::new(0),
            certificate_errors: Cell::new(0),
            zone_errors: Cell::new(0),
            list_errors: Cell::new(0),
            lists: RefCell::default(),
            entered: Cell::new((0, 0)),
            left_out: Cell::new(0),
            suggestions: Cell::new(0),
        }
    }

    /// Problems reported from now on belong to this zone.
    pub(crate) fn enter_zone(&self, name: String) {
        *self.zone.borrow_mut() = Some(name);
        self.entered.set((self.errors.get(), self.certificate_errors.get()));
    }

    /// Problems reported from now on concern the whole file.
    pub(crate) fn leave_zone(&self) {
        *self.zone.borrow_mut() = None;
    }

    /// Errors reported so far, those beyond the limit of the report included.
    pub(crate) fn errors(&self) -> usize {
        self.errors.get()
    }

    /// Errors of the zone entered, and how many of them concern only the files of a certificate, which can be left out.
    pub(crate) fn zone_errors(&self) -> (usize, usize) {
        let (errors, of_files) = self.entered.get();
        (self.errors.get() - errors, self.certificate_errors.get() - of_files)
    }

    /// Errors that make the whole file unusable, when asked before any zone is entered.
    pub(crate) fn fatal_errors(&self) -> usize {
        self.errors.get() - self.certificate_errors.get() - self.list_errors.get()
    }

    /// Errors reported that concern neither a zone nor a list.
    pub(crate) fn general_errors(&self) -> usize {
        self.errors.get() - self.zone_errors.get() - self.list_errors.get()
    }

    /// Counts the errors reported since there were `before` as those of a list.
    pub(crate) fn of_list_since(&self, before: usize) {
        self.list_errors.set(self.list_errors.get() + self.errors.get() - before);
    }

    /// Says which lists there are.
    pub(crate) fn set_lists(&self, names: Option<HashSet<String>>) {
        *self.lists.borrow_mut() = names;
    }

    /// Whether there is a list of that name, as far as is known.
    pub(crate) fn has_list(&self, name: &str) -> bool {
        self.lists.borrow().as_ref().is_none_or(|lists| lists.contains(name))
    }

    /// Reports a list that is not there.
    pub(crate) fn no_list(&self, spot: &Spot<'_, '_>, message: String, name: &str) {
        let lists = self.lists.borrow();
        let names = || lists.iter().flatten().map(String::as_str);
        let near = if self.may_suggest() { did_you_mean(name, names()) } else { None };
        spot.error(message, near.or_else(|| Some(format!("add a [[list]] with name = \"{}\"", short(name)))));
    }

    /// Counts the errors reported since there were `before` as such.
    pub(crate) fn spared_since(&self, before: usize) {
        let fresh = self.errors.get() - before;
        self.certificate_errors.set(self.certificate_errors.get() + fresh);
    }

    /// Whether another suggestion may be computed.
    pub(crate) fn may_suggest(&self) -> bool {
        self.suggestions.set(self.suggestions.get().saturating_add(1));
        self.suggestions.get() <= SUGGESTIONS
    }

    pub(crate) fn report(
        &self,
        severity: Severity,
        place: &Place<'_>,
        at: At<'_>,
        message: String,
        suggestion: Option<String>,
    ) {
        if severity == Severity::Error {
            self.errors.set(self.errors.get() + 1);
            if self.zone.borrow().is_some() {
                self.zone_errors.set(self.zone_errors.get() + 1);
            }
        }
        let mut found = self.found.borrow_mut();
        if found.len() as u64 >= limits::PROBLEMS.value {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        let mut path = String::new();
        let offset = match at {
            At::Byte(offset) => Some(offset),
            At::Env(name) => {
                path.push_str(name);
                None
            }
            At::Nowhere => None,
        };
        if path.is_empty() {
            place.write(&mut path);
        }
        let zone = self.zone.borrow().clone();
        found.push((offset, Problem { zone, path, line: None, message, suggestion, severity }));
    }

    /// Every problem in the order of the file, with its line.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(offset, _)| *offset);
        let mut lines = Lines { rest: self.text.as_bytes(), before: 0, line: 1 };
        let mut problems: Vec<Problem> = found
            .into_iter()
            .map(|(offset, problem)| Problem { line: offset.map(|offset| lines.line_of(offset)), ..problem })
            .collect();
        if self.left_out.get() > 0 {
            problems.push(Problem {
                zone: None,
                path: String::new(),
                line: None,
                message: format!("{} more problems are not listed", self.left_out.get()),
                suggestion: None,
                severity: Severity::Warning,
            });
        }
        problems
    }
}

/// Counts lines for offsets that only grow, in one pass over the text.
struct Lines<'t> {
    rest: &'t [u8],
    before: usize,
    line: usize,
}

impl Lines<'_> {
    fn line_of(&mut self, offset: usize) -> usize {
        let ahead = offset.saturating_sub(self.before).min(self.rest.len());
        if let Some((passed, rest)) = self.rest.split_at_checked(ahead) {
            self.line += passed.iter().filter(|&&b| b == b'\n').count();
            self.before += ahead;
            self.rest = rest;
        }
        self.line
    }
}

/// A text quoted in a message: bounded, and without what would garble a terminal.
pub(crate) fn short(text: &str) -> String {
    clean(text, 80)
}

/// A path quoted in a message: whole where it is no longer than a path can be.
pub(crate) fn show_path(path: &Path) -> String {
    clean(&path.to_string_lossy(), 1_024)
}

pub(crate) fn clean(text: &str, most: usize) -> String {
    // Control characters could move the cursor or recolour, and the marks of writing direction could reorder the line.
    let garbles = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out: String = text.chars().take(most).map(|c| if garbles(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}
