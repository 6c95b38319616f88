//! Timestamps as text, with the text of a second kept.

use super::text::{push_int, push_padded};

/// Keeps the text of the second last written; within one second only the fraction is formatted.
#[derive(Debug)]
pub(crate) struct SecondText {
    second: u64,
    text: Vec<u8>,
    write: fn(&mut Vec<u8>, u64),
}

impl SecondText {
    /// `2026-11-21T20:50:01` (RFC 3339 without fraction and zone).
    pub(crate) fn rfc3339() -> Self {
        SecondText { second: u64::MAX, text: Vec::with_capacity(20), write: push_rfc3339 }
    }

    /// `21/Nov/2026:20:50:01 +0000`, as the common log format has it.
    pub(crate) fn common() -> Self {
        SecondText { second: u64::MAX, text: Vec::with_capacity(26), write: push_common }
    }

    /// The text for a Unix second.
    pub(crate) fn of(&mut self, second: u64) -> &[u8] {
        if second != self.second {
            self.text.clear();
            (self.write)(&mut self.text, second);
            self.second = second;
        }
        &self.text
    }
}

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

fn push_rfc3339(out: &mut Vec<u8>, second: u64) {
    let (year, month, day) = civil(second / 86_400);
    push_padded(out, year, 4);
    out.push(b'-');
    push_padded(out, month, 2);
    out.push(b'-');
    push_padded(out, day, 2);
    out.push(b'T');
    push_time(out, second);
}

fn push_common(out: &mut Vec<u8>, second: u64) {
    let (year, month, day) = civil(second / 86_400);
    push_padded(out, day, 2);
    out.push(b'/');
    out.extend_from_slice(
        usize::try_from(month).ok().and_then(|m| MONTHS.get(m.wrapping_sub(1))).unwrap_or(&&b"???"[..]),
    );
    out.push(b'/');
    push_int(out, year);
    out.push(b':');
    push_time(out, second);
    out.extend_from_slice(b" +0000");
}

fn push_time(out: &mut Vec<u8>, second: u64) {
    push_padded(out, second / 3600 % 24, 2);
    out.push(b':');
    push_padded(out, second / 60 % 60, 2);
    out.push(b':');
    push_padded(out, second % 60, 2);
}

/// Year, month and day of a day number since 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March so that the leap day comes last and months have a linear pattern (153 days each five).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(second: u64) -> String {
        String::from_utf8(SecondText::rfc3339().of(second).to_vec()).unwrap()
    }

    #[test]
    fn seconds_become_dates() {
        // Checked against `date -u -d @N`.
        for (second, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_763_424_000, "2025-11-18T00:00:00"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(text(second), expected, "{second}");
        }
    }

    #[test]
    fn the_common_format_has_the_month_as_a_word() {
        assert_eq!(SecondText::common().of(1_763_465_732), b"18/Nov/2025:11:35:32 +0000");
    }

    #[test]
    fn a_kept_second_is_not_mistaken_for_another() {
        let mut clock = SecondText::rfc3339();
        for second in [5, 5, 6, 5] {
            assert_eq!(clock.of(second).to_vec(), text(second).into_bytes());
        }
    }
}
