//! Patterns with stars, matched in linear time.

use std::fmt;

use memchr::memmem::Finder;
use thiserror::Error;

use crate::limits;

/// A pattern over paths: `*` stands for any run of bytes (slashes too, and none at all); a pattern without a star is the
/// whole path. Case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Glob);

impl PathPattern {
    /// Reads a pattern: it begins with `/` or `*` and otherwise holds what RFC 3986 §3.3 lets a path hold.
    ///
    /// # Errors
    /// [`PatternFault`] naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        check_length(text)?;
        if !text.starts_with(['/', '*']) {
            return Err(PatternFault::NoSlash);
        }
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => {
                    let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
                    if !(hex(rest.next()) && hex(rest.next())) {
                        return Err(PatternFault::Percent);
                    }
                }
                b'?' => return Err(PatternFault::Query),
                b'{' | b'}' | b'[' | b']' => return Err(PatternFault::OtherDialect(char::from(byte))),
                _ if is_path_byte(byte) => {}
                _ => {
                    let odd = text.chars().find(|&c| !u8::try_from(c).is_ok_and(is_path_byte) && c != '%');
                    return Err(PatternFault::Character(odd.unwrap_or(char::REPLACEMENT_CHARACTER)));
                }
            }
        }
        Ok(PathPattern(Glob::new(text)))
    }

    /// `/*`: every path.
    #[must_use]
    pub fn everything() -> Self {
        PathPattern(Glob::new("/*"))
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether `path` (the request target without its query) fits. Time is linear in the path.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.matches(path)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pattern over the names of query keys or cookies: `*` stands for any run of bytes. Case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Glob);

impl NamePattern {
    /// Reads a pattern: printable ASCII without spaces and without what ends a name (`=`, `&`, `;`, `,`).
    ///
    /// # Errors
    /// [`PatternFault`] naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        check_length(text)?;
        match text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '=' | '&' | ';' | ',')) {
            Some(odd) => Err(PatternFault::Character(odd)),
            None => Ok(NamePattern(Glob::new(text))),
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether `name` fits. Time is linear in the name.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.matches(name)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternFault {
    /// Nothing there.
    #[error("the pattern is empty")]
    Empty,
    /// Beyond [`limits::PATTERN_BYTES`].
    #[error("the pattern is longer than {} bytes", limits::PATTERN_BYTES.value)]
    TooLong,
    /// Beyond [`limits::PATTERN_STARS`].
    #[error("the pattern has more than {} stars", limits::PATTERN_STARS.value)]
    TooManyStars,
    /// A path pattern that begins with neither `/` nor `*`.
    #[error("a path pattern begins with / or *")]
    NoSlash,
    /// A question mark.
    #[error("a path pattern does not see the query, so ? never matches")]
    Query,
    /// A brace or bracket, special in other dialects of patterns.
    #[error("`{0}` has no meaning here: only * is special")]
    OtherDialect(char),
    /// A percent sign without two hexadecimal digits.
    #[error("% must be followed by two hexadecimal digits")]
    Percent,
    /// Anything else a path or a name cannot hold.
    #[error("{0:?} cannot stand here; visitors send it percent-encoded")]
    Character(char),
}

fn check_length(text: &str) -> Result<(), PatternFault> {
    if text.is_empty() {
        return Err(PatternFault::Empty);
    }
    if text.len() as u64 > limits::PATTERN_BYTES.value {
        return Err(PatternFault::TooLong);
    }
    if text.bytes().filter(|&b| b == b'*').count() as u64 > limits::PATTERN_STARS.value {
        return Err(PatternFault::TooManyStars);
    }
    Ok(())
}

/// `pchar` of RFC 3986 without the percent sign, and the slash.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// A pattern cut at its stars. What stands before the first star and after the last is compared in place; each piece between
/// is taken at its first occurrence, which is never wrong because only stars are left and right of it.
#[derive(Clone, Debug)]
struct Glob {
    text: Box<str>,
    prefix: Box<[u8]>,
    /// `None` without a star: then `prefix` is all.
    suffix: Option<Box<[u8]>>,
    middle: Box<[Finder<'static>]>,
}

impl Glob {
    fn new(text: &str) -> Self {
        let (prefix, rest) = match text.split_once('*') {
            Some((prefix, rest)) => (prefix, Some(rest)),
            None => (text, None),
        };
        let (middle, suffix) = match rest.map(|rest| rest.rsplit_once('*').unwrap_or(("", rest))) {
            Some((middle, suffix)) => (middle, Some(suffix)),
            None => ("", None),
        };
        Glob {
            text: text.into(),
            prefix: prefix.as_bytes().into(),
            suffix: suffix.map(|s| s.as_bytes().into()),
            middle: middle
                .split('*')
                .filter(|p| !p.is_empty())
                .map(|p| Finder::new(p).into_owned())
                .collect(),
        }
    }

    fn matches(&self, bytes: &[u8]) -> bool {
        let Some(suffix) = &self.suffix else { return *bytes == *self.prefix };
        let Some(mut rest) = bytes.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&**suffix))
        else {
            return false;
        };
        for piece in &self.middle {
            let after = piece.find(rest).and_then(|at| rest.get(at + piece.needle().len()..));
            let Some(after) = after else { return false };
            rest = after;
        }
        true
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_take_any_run_and_the_rest_is_exact() {
        for (pattern, path, want) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/*", "/", true),
            ("/*", "/a/b", true),
            ("*", "", true),
            ("/static/*", "/static/", true),
            ("/static/*", "/static/a/b.css", true),
            ("/static/*", "/static", false),
            ("*.php", "/a/b.php", true),
            ("*.php", "/a/b.php5", false),
            ("/a*a", "/a", false),
            ("/a*a", "/aa", true),
            ("/a/*/b/*/c", "/a/1/b/2/c", true),
            ("/a/*/b/*/c", "/a/b/c", false),
            ("/**/x", "/1/x", true),
            ("/A", "/a", false),
            ("/%7Ea", "/%7Ea", true),
        ] {
            assert_eq!(
                PathPattern::parse(pattern).unwrap().matches(path.as_bytes()),
                want,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn bad_patterns_are_refused_for_their_own_reason() {
        let long = format!("/{}", "a".repeat(5000));
        let stars = format!("/{}", "*a".repeat(60));
        for (text, want) in [
            ("", PatternFault::Empty),
            ("static/*", PatternFault::NoSlash),
            ("/a?b=*", PatternFault::Query),
            ("/{a,b}", PatternFault::OtherDialect('{')),
            ("/[ab]", PatternFault::OtherDialect('[')),
            ("/a%2", PatternFault::Percent),
            ("/a b", PatternFault::Character(' ')),
            ("/ü", PatternFault::Character('ü')),
            ("/%41\"", PatternFault::Character('"')),
            (long.as_str(), PatternFault::TooLong),
            (stars.as_str(), PatternFault::TooManyStars),
        ] {
            assert_eq!(PathPattern::parse(text), Err(want), "{text}");
        }
        assert_eq!(NamePattern::parse("a=b"), Err(PatternFault::Character('=')));
        assert!(NamePattern::parse("utm_*").unwrap().matches(b"utm_source"));
    }

    /// The textbook definition, exponential but right.
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| oracle(rest, &text[at..])),
            Some((byte, rest)) => text.split_first().is_some_and(|(b, t)| b == byte && oracle(rest, t)),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_textbook(pattern in "[/*][ab*]{0,7}", text in "/?[ab]{0,10}") {
            let glob = PathPattern::parse(&pattern).unwrap();
            prop_assert_eq!(glob.matches(text.as_bytes()), oracle(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            let _ = PathPattern::parse(&text);
            let _ = NamePattern::parse(&text);
            let _ = crate::HostPattern::parse(&text);
            let _ = crate::OriginUrl::parse(&text);
            let _ = crate::StatusRange::parse(&text);
        }
    }
}
