//! Durations and sizes as people write them.

use thiserror::Error;

/// Units of time and how many milliseconds each is, longest first.
const TIME: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size and how many bytes each is, largest first.
const SIZE: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuantityFault {
    /// It does not begin with digits.
    #[error("it does not begin with a number")]
    NoNumber,
    /// The unit is unknown.
    #[error("its unit is unknown")]
    Unit,
    /// The result does not fit 64 bits.
    #[error("it is too large")]
    TooLarge,
}

/// Milliseconds of `500ms`, `30s`, `5m`, `1h`, `7d`; a bare number counts seconds.
///
/// # Errors
/// [`QuantityFault`] naming what is wrong.
pub fn duration_ms(text: &str) -> Result<u64, QuantityFault> {
    quantity(text, |unit| match unit {
        "" => Some(1_000),
        _ => TIME.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale),
    })
}

/// Bytes of `64KiB`, `256MiB`, `1GB`; a bare number counts bytes. The case of the unit does not matter.
///
/// # Errors
/// [`QuantityFault`] naming what is wrong.
pub fn size_bytes(text: &str) -> Result<u64, QuantityFault> {
    quantity(text, |unit| match unit {
        "" => Some(1),
        _ => SIZE.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, scale)| *scale),
    })
}

fn quantity(text: &str, scale_of: impl Fn(&str) -> Option<u64>) -> Result<u64, QuantityFault> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    if number.is_empty() {
        return Err(QuantityFault::NoNumber);
    }
    let scale = scale_of(unit.trim_start()).ok_or(QuantityFault::Unit)?;
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or(QuantityFault::TooLarge)
}

/// A duration as people write it, in the largest unit that divides it.
#[must_use]
pub fn show_ms(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    show(ms, &TIME)
}

/// A size as people write it, in the largest binary unit that divides it.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    show(bytes, SIZE.get(..4).unwrap_or(&SIZE))
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    match units.iter().find(|(_, scale)| value.is_multiple_of(*scale)) {
        Some((name, scale)) => format!("{}{name}", value / scale),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_in_every_unit() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("7", 7_000),
            ("0", 0),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for (text, bytes) in [
            ("0", 0),
            ("10", 10),
            ("10B", 10),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("1kB", 1_000),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(size_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for (text, fault) in [
            ("", QuantityFault::NoNumber),
            ("fast", QuantityFault::NoNumber),
            ("-1s", QuantityFault::NoNumber),
            ("1.5s", QuantityFault::Unit),
            ("1y", QuantityFault::Unit),
            ("1h30m", QuantityFault::Unit),
            ("99999999999999999999s", QuantityFault::TooLarge),
            ("18446744073709551615d", QuantityFault::TooLarge),
        ] {
            assert_eq!(duration_ms(text), Err(fault), "{text}");
        }
        assert_eq!(size_bytes("1XiB"), Err(QuantityFault::Unit));
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for ms in [0, 1, 500, 1_500, 30_000, 60_000, 3_600_000, 86_400_000, 31_622_400_000] {
            assert_eq!(duration_ms(&show_ms(ms)), Ok(ms));
        }
        for bytes in [0, 1, 1_023, 1_024, 1 << 20, 3 << 40] {
            assert_eq!(size_bytes(&show_bytes(bytes)), Ok(bytes));
        }
    }
}
