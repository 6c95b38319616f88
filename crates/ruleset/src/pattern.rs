//! Regular expressions that cannot run away.
//!
//! On 2 July 2019 one pattern with nested repetitions took all CPU of an edge. Here a search is linear in the text by
//! construction (finite automata, no backtracking without a bound), and its other factor, the size of the automaton, is
//! bounded when the pattern is compiled. What is `(a+)+$` elsewhere is a small automaton here.
//!
//! Patterns match bytes: `.` is any byte but a line feed, `\w` and `(?i)` know ASCII only. Without Unicode tables a
//! class such as `\w` is a hundred times smaller, and a header need not be UTF-8.

use crate::fault::PatternFault;
use crate::limits;
use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use std::sync::atomic::{AtomicBool, Ordering};

/// Memory for states a worker builds while it searches, in bytes. When it is full it starts over, and when that happens
/// too often the search goes on without it.
const LAZY_BYTES: usize = 128 << 10;

/// Memory for an automaton that needs no such states, in bytes.
const ONE_PASS_BYTES: usize = 16 << 10;

/// Whether this process has no limits on patterns: in the drill that shows what they are for, and nowhere else.
static LIFTED: AtomicBool = AtomicBool::new(false);

/// A compiled pattern. It matches where it is found anywhere in a text, unless it is anchored.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Whether a text is a pattern within the limits. It is compiled to find out: up to a few milliseconds.
    ///
    /// # Errors
    /// [`PatternFault`] naming what is wrong and the limit.
    pub fn check(text: &str) -> Result<(), PatternFault> {
        Pattern::compile(text).map(drop)
    }

    /// Compiles a pattern.
    ///
    /// # Errors
    /// As [`Pattern::check`].
    pub fn compile(text: &str) -> Result<Pattern, PatternFault> {
        if text.is_empty() {
            return Err(PatternFault::Empty);
        }
        if text.len() as u64 > limits::PATTERN_BYTES.value {
            return Err(PatternFault::Long { bytes: text.len(), limit: limits::PATTERN_BYTES.value });
        }
        if Pattern::limits_lifted() {
            return Pattern::compile_unbounded(text);
        }
        let compiled_bytes = usize::try_from(limits::PATTERN_COMPILED_BYTES.value).unwrap_or(usize::MAX);
        Pattern::within(text, Some(compiled_bytes))
    }

    /// From now on nothing in this process limits what a pattern compiles to: where a configuration is read, and where
    /// it is compiled. Only for the drill that shows what the limits are for.
    pub fn lift_limits() {
        LIFTED.store(true, Ordering::Relaxed);
    }

    /// Whether [`Pattern::lift_limits`] was called.
    #[must_use]
    pub fn limits_lifted() -> bool {
        LIFTED.load(Ordering::Relaxed)
    }

    /// Compiles whatever it is given, of any size: only for the drill that shows what the limits are for.
    ///
    /// # Errors
    /// [`PatternFault::Syntax`].
    pub fn compile_unbounded(text: &str) -> Result<Pattern, PatternFault> {
        Pattern::within(text, None)
    }

    fn within(text: &str, compiled_bytes: Option<usize>) -> Result<Pattern, PatternFault> {
        let depth = u32::try_from(limits::PATTERN_DEPTH.value).unwrap_or(u32::MAX);
        let engines = Config::new()
            .nfa_size_limit(compiled_bytes)
            .onepass_size_limit(Some(ONE_PASS_BYTES))
            .hybrid_cache_capacity(LAZY_BYTES)
            .which_captures(WhichCaptures::None)
            .utf8_empty(false);
        let reading = syntax::Config::new().unicode(false).utf8(false).nest_limit(depth);
        match Regex::builder().configure(engines).syntax(reading).build(text) {
            Ok(regex) => Ok(Pattern(regex)),
            Err(error) => Err(fault(&error)),
        }
    }

    /// Whether it is found in a text. Time is linear in the text.
    #[must_use]
    #[inline]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// Memory it holds, in bytes, without the scratch of workers.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.0.memory_usage()
    }
}

/// What the compiler says, in our words.
fn fault(error: &BuildError) -> PatternFault {
    use regex_syntax::{Error, ast::ErrorKind};
    if error.size_limit().is_some() {
        return PatternFault::Large { limit: limits::PATTERN_COMPILED_BYTES.value };
    }
    match error.syntax_error() {
        Some(Error::Parse(parse)) => match parse.kind() {
            ErrorKind::NestLimitExceeded(_) => PatternFault::Deep { limit: limits::PATTERN_DEPTH.value },
            kind => PatternFault::Syntax { at: Some(parse.span().start.offset), message: kind.to_string() },
        },
        Some(Error::Translate(translate)) => PatternFault::Syntax {
            at: Some(translate.span().start.offset),
            message: translate.kind().to_string(),
        },
        _ => PatternFault::Syntax { at: None, message: error.to_string() },
    }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
