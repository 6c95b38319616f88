//! Patterns in which `*` stands for any run of bytes.

/// Whether `text` matches `pattern` as a whole. Linear in practice, at worst the product of both lengths.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go back to: behind the last star, and the text it has not swallowed yet.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((p, rest)), Some((t, more))) if p == t => (pattern, text) = (rest, more),
            (None, None) => return true,
            _ => match retry.and_then(|(rest, left)| Some((rest, left.split_first()?.1))) {
                Some((rest, left)) => {
                    retry = Some((rest, left));
                    (pattern, text) = (rest, left);
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_swallow_any_run() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("utm_*", "utm", false),
            ("**a", "ba", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
