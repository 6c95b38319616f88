//! The one form of time that a feature file has. Nothing here reads a clock.

/// Days of the months; 29 February is taken in any year, since nothing is computed with it.
const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Whether a text is a time in UTC as RFC 3339 §5.6 writes it to the second: `2026-11-18T11:20:00Z`.
pub(crate) fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00Z";
    let bytes = text.as_bytes();
    let fits = bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(b, s)| if *s == b'0' { b.is_ascii_digit() } else { b == s });
    let number = |at: usize| text.get(at..at + 2).and_then(|t| t.parse::<u32>().ok()).unwrap_or(u32::MAX);
    let month = number(5);
    let days = month.checked_sub(1).and_then(|m| DAYS.get(m as usize)).copied().unwrap_or(0);
    fits && (1..=days).contains(&number(8)) && number(11) < 24 && number(14) < 60 && number(17) <= 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_known_from_what_looks_like_them() {
        for (text, want) in [
            ("2026-11-18T11:20:00Z", true),
            ("2026-02-29T23:59:60Z", true),
            ("2026-11-18T11:20:00+01:00", false),
            ("2026-11-18 11:20:00Z", false),
            ("2026-13-18T11:20:00Z", false),
            ("2026-00-18T11:20:00Z", false),
            ("2026-04-31T11:20:00Z", false),
            ("2026-11-18T24:20:00Z", false),
            ("", false),
            ("２026-11-18T11:20:0Z", false),
        ] {
            assert_eq!(is_time(text), want, "{text}");
        }
    }
}
