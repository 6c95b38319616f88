//! How header names are written.

/// The ways to write a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// `user-agent`
    Lower,
    /// `User-Agent`
    Capitalised,
    /// `USER-AGENT`, `User-agent`
    Odd,
}

/// How a header name is written. Digits and hyphens have no case.
pub(crate) fn written(name: &[u8]) -> Written {
    let (mut upper, mut lower_at_start, mut upper_within, mut start) = (false, false, false, true);
    for byte in name {
        let is_upper = byte.is_ascii_uppercase();
        upper |= is_upper;
        upper_within |= is_upper && !start;
        lower_at_start |= start && byte.is_ascii_lowercase();
        start = *byte == b'-';
    }
    match (upper, upper_within || lower_at_start) {
        (false, _) => Written::Lower,
        (true, false) => Written::Capitalised,
        (true, true) => Written::Odd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_capitalised_or_odd() {
        for (name, want) in [
            ("user-agent", Written::Lower),
            ("x-1", Written::Lower),
            ("", Written::Lower),
            ("User-Agent", Written::Capitalised),
            ("X-1", Written::Capitalised),
            ("TE", Written::Odd),
            ("HOST", Written::Odd),
            ("User-agent", Written::Odd),
            ("user-Agent", Written::Odd),
            ("eTag", Written::Odd),
        ] {
            assert_eq!(written(name.as_bytes()), want, "{name}");
        }
    }
}
