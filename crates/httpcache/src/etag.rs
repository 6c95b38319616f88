//! Entity tags (RFC 9110 §8.8.3). Comparison is of bytes, so tags without quotes, which do occur, equal themselves.

/// Whether a tag is weak.
pub(crate) fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

/// Weak comparison (§8.8.3.2).
pub(crate) fn same_weakly(a: &[u8], b: &[u8]) -> bool {
    let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag);
    !a.is_empty() && opaque(a) == opaque(b)
}

/// Strong comparison.
pub(crate) fn same_strongly(a: &[u8], b: &[u8]) -> bool {
    !a.is_empty() && !is_weak(a) && a == b
}

/// Whether one line of If-None-Match lists `own` (compared weakly) or is `*`.
pub(crate) fn lists(line: &[u8], own: Option<&[u8]>) -> bool {
    let line = line.trim_ascii();
    line == b"*" || own.is_some_and(|own| Tags(line).any(|tag| same_weakly(tag, own)))
}

/// Walks a list of tags. Commas may stand inside quotes; backslashes escape nothing there.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|b| !matches!(b, b' ' | b'\t' | b','))?;
        let rest = self.0.get(start..)?;
        let mut quotes = 0;
        let end = rest.iter().position(|b| {
            quotes += u32::from(*b == b'"');
            *b == b',' && quotes != 1
        });
        let (tag, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        self.0 = after;
        Some(tag.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_searched_weakly() {
        for (line, own, expected) in [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"a\"", "W/\"a\"", true),
            ("\"x\", \"a\", \"y\"", "\"a\"", true),
            ("\"x\",\"y\",W/\"a\"", "\"a\"", true),
            ("\"x,\"a\",y\"", "\"a\"", false),
            ("\"a, b\"", "\"a, b\"", true),
            ("*", "\"a\"", true),
            ("a", "a", true),
            ("a", "\"a\"", false),
            ("", "\"a\"", false),
            (", ,", "", false),
            ("w/\"a\"", "\"a\"", false),
        ] {
            assert_eq!(lists(line.as_bytes(), Some(own.as_bytes())), expected, "{line} {own}");
        }
        assert!(lists(b" * ", None) && !lists(b"\"a\"", None));
    }

    #[test]
    fn strong_comparison_wants_two_strong_tags() {
        assert!(same_strongly(b"\"a\"", b"\"a\""));
        assert!(!same_strongly(b"W/\"a\"", b"W/\"a\"") && !same_strongly(b"\"a\"", b"W/\"a\""));
    }
}
