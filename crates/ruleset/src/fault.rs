//! Why a rule is refused.

use crate::limits;
use thiserror::Error;

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternFault {
    /// Nothing in it: it would match everything (DESIGN R8).
    #[error("the pattern is empty and would match everything; leave the key out, or write \".*\" to mean it")]
    Empty,
    /// It is too long.
    #[error("the pattern has {bytes} bytes, at most {limit} are allowed; make several rules of it")]
    Long {
        /// Its length in bytes.
        bytes: usize,
        /// The most allowed.
        limit: u64,
    },
    /// It is no regular expression, or uses what is not offered.
    #[error("the pattern cannot be read{}: {message}", at.map(|at| format!(" at byte {at}")).unwrap_or_default())]
    Syntax {
        /// Where, in bytes from its start, if it is known.
        at: Option<usize>,
        /// What the reader of patterns says.
        message: String,
    },
    /// Groups within groups within groups.
    #[error("the pattern has groups more than {limit} deep; write it with fewer")]
    Deep {
        /// The most allowed.
        limit: u64,
    },
    /// It compiles to too much.
    #[error(
        "the pattern compiles to more than {limit} bytes; counted repetitions such as {{1,1000}} and sets within them are what grows it"
    )]
    Large {
        /// The most allowed.
        limit: u64,
    },
}

impl PatternFault {
    /// The limit it went beyond, by name and bound, if it is about one.
    #[must_use]
    pub fn limit(&self) -> Option<(&'static str, u64)> {
        let limit = match self {
            PatternFault::Empty | PatternFault::Syntax { .. } => return None,
            PatternFault::Long { .. } => limits::PATTERN_BYTES,
            PatternFault::Deep { .. } => limits::PATTERN_DEPTH,
            PatternFault::Large { .. } => limits::PATTERN_COMPILED_BYTES,
        };
        Some((limit.name, limit.value))
    }
}

/// Why the rules of a zone cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleFault {
    /// A pattern of a rule.
    #[error("rule \"{rule}\", {field}: {fault} (it is \"{}\")", short(value))]
    Pattern {
        /// The rule's name.
        rule: String,
        /// `path`, `query`, `user_agent` or `header`.
        field: &'static str,
        /// The pattern as written.
        value: String,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// A list that does not exist.
    #[error("rule \"{rule}\", list: there is no list \"{list}\"; make one, or name another")]
    List {
        /// The rule's name.
        rule: String,
        /// The list it names.
        list: String,
    },
    /// Nothing is set that a request must be like (DESIGN R8).
    #[error(
        "rule \"{rule}\", when: nothing is set, and empty does not mean all; say what a request must be like"
    )]
    Nothing {
        /// The rule's name.
        rule: String,
    },
    /// A name of a header field that no field can have.
    #[error("rule \"{rule}\", header: \"{}\" is no name of a header field (RFC 9110 §5.1)", short(name))]
    HeaderName {
        /// The rule's name.
        rule: String,
        /// The name as written.
        name: String,
    },
    /// More rules than a zone may have.
    #[error("there are {count} rules, at most {limit} are allowed in a zone")]
    Many {
        /// How many there are.
        count: usize,
        /// The most allowed.
        limit: u64,
    },
    /// All patterns together compile to too much; the rule named is the one that went beyond.
    #[error(
        "rule \"{rule}\": up to here the patterns of the zone compile to {bytes} bytes, at most {limit} are allowed"
    )]
    Bytes {
        /// The rule's name.
        rule: String,
        /// What they compile to, in bytes.
        bytes: u64,
        /// The most allowed.
        limit: u64,
    },
}

impl RuleFault {
    /// The rule it is about, if it is about one.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        match self {
            RuleFault::Pattern { rule, .. }
            | RuleFault::List { rule, .. }
            | RuleFault::Nothing { rule }
            | RuleFault::HeaderName { rule, .. }
            | RuleFault::Bytes { rule, .. } => Some(rule),
            RuleFault::Many { .. } => None,
        }
    }
}

/// The beginning of a text that may be long, for messages.
fn short(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}
