//! HTTP dates (RFC 9110 §5.6.7), read the way a cache has to: all three forms, letters in any case (RFC 9111 §4.2),
//! no zone but GMT, the weekday not checked against the date. Never panics, whatever the bytes.

/// Length of an IMF-fixdate in bytes.
pub const DATE_LEN: usize = 29;

const DAY_S: i64 = 86_400;
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const LONG_WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Reads a date as seconds since 1970; earlier dates read as 0. `now_ms` decides the century of two-digit years:
/// one more than 50 years ahead belongs to the last century (RFC 9110 §5.6.7).
#[must_use]
pub fn parse_s(value: &[u8], now_ms: u64) -> Option<u64> {
    let value = value.trim_ascii();
    let seconds = imf(value).or_else(|| rfc850(value, now_ms)).or_else(|| asctime(value))?;
    Some(u64::try_from(seconds).unwrap_or(0))
}

/// Writes an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`. Times after the year 9999 are written as its last second.
#[must_use]
pub fn format(seconds: u64) -> [u8; DATE_LEN] {
    const LAST: u64 = 253_402_300_799;
    let seconds = seconds.min(LAST);
    let (days, rest) = ((seconds / DAY_S as u64) as i64, seconds % DAY_S as u64);
    let (year, month, day) = civil(days);
    let year = u64::try_from(year).unwrap_or(1970);
    let two = |n: u64| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    let weekday = WEEKDAYS.get(((days + 3) % 7) as usize).copied().unwrap_or(b"Mon");
    let month = MONTHS.get((month as usize).wrapping_sub(1)).copied().unwrap_or(b"Jan");
    let pieces: [&[u8]; 15] = [
        weekday,
        b", ",
        &two(day.into()),
        b" ",
        month,
        b" ",
        &two(year / 100),
        &two(year % 100),
        b" ",
        &two(rest / 3600),
        b":",
        &two(rest / 60 % 60),
        b":",
        &two(rest % 60),
        b" GMT",
    ];
    let mut out = [b' '; DATE_LEN];
    for (to, from) in out.iter_mut().zip(pieces.iter().copied().flatten()) {
        *to = *from;
    }
    out
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf(value: &[u8]) -> Option<i64> {
    let mut scan = Scan(value);
    scan.one_of(&WEEKDAYS)?;
    scan.text(b", ")?;
    let day = scan.number(2)?;
    scan.text(b" ")?;
    let month = scan.one_of(&MONTHS)?;
    scan.text(b" ")?;
    let year = scan.number(4)?;
    scan.text(b" ")?;
    let time = scan.time()?;
    scan.text(b" GMT")?;
    scan.end()?;
    seconds(year.into(), month, day, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now_ms: u64) -> Option<i64> {
    let comma = value.iter().position(|b| *b == b',')?;
    let (weekday, rest) = value.split_at_checked(comma)?;
    LONG_WEEKDAYS.iter().find(|w| w.as_bytes().eq_ignore_ascii_case(weekday))?;
    let mut scan = Scan(rest);
    scan.text(b", ")?;
    let day = scan.number(2)?;
    scan.text(b"-")?;
    let month = scan.one_of(&MONTHS)?;
    scan.text(b"-")?;
    let short = i64::from(scan.number(2)?);
    scan.text(b" ")?;
    let time = scan.time()?;
    scan.text(b" GMT")?;
    scan.end()?;
    let (this_year, ..) = civil((now_ms / 1000).min(i64::MAX as u64) as i64 / DAY_S);
    let mut year = this_year - this_year.rem_euclid(100) + short;
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month, day, time)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<i64> {
    let mut scan = Scan(value);
    scan.one_of(&WEEKDAYS)?;
    scan.text(b" ")?;
    let month = scan.one_of(&MONTHS)?;
    scan.text(b" ")?;
    let day = match scan.text(b" ") {
        Some(()) => scan.number(1)?,
        None => scan.number(2)?,
    };
    scan.text(b" ")?;
    let time = scan.time()?;
    scan.text(b" ")?;
    let year = scan.number(4)?;
    scan.end()?;
    seconds(year.into(), month, day, time)
}

struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn text(&mut self, expected: &[u8]) -> Option<()> {
        let (head, tail) = self.0.split_at_checked(expected.len())?;
        head.eq_ignore_ascii_case(expected).then(|| self.0 = tail)
    }

    fn number(&mut self, digits: usize) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(digits)?;
        self.0 = tail;
        head.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    }

    /// Position, from 1, of the three-letter name that comes next.
    fn one_of(&mut self, names: &[&[u8; 3]]) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(3)?;
        self.0 = tail;
        names.iter().position(|n| n.eq_ignore_ascii_case(head)).map(|i| i as u32 + 1)
    }

    /// `08:49:37` in seconds; 60 is a leap second.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.text(b":")?;
        let minute = self.number(2)?;
        self.text(b":")?;
        let second = self.number(2)?;
        (hour < 24 && minute < 60 && second <= 60).then(|| i64::from(hour * 3600 + minute * 60 + second))
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Seconds since 1970 of a date of the Gregorian calendar; `None` where there is no such day.
fn seconds(year: i64, month: u32, day: u32, time: i64) -> Option<i64> {
    // Years run from March here, so that the leap day is the last day of a year.
    let (shifted, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = shifted.div_euclid(4) - shifted.div_euclid(100) + shifted.div_euclid(400);
    let days = shifted * 365 + leaps + i64::from((153 * months + 2) / 5) + i64::from(day) - 1 - 719_468;
    (civil(days) == (year, month, day)).then_some(days * DAY_S + time)
}

/// Year, month and day of a day counted from 1970.
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * months + 2) / 5 + 1) as u32;
    let month = if months < 10 { months + 3 } else { months - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_MS: u64 = 1_795_000_000_000; // November 2026

    #[test]
    fn the_three_forms_read_alike_in_any_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "sUN, 06 nOV 1994 08:49:37 gmt",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_s(text.as_bytes(), NOW_MS), Some(784_111_777), "{text}");
        }
        assert_eq!(parse_s(b"Thursday, 18-Aug-50 02:01:18 GMT", NOW_MS), Some(2_544_400_878));
        assert_eq!(parse_s(b"Mon, 01 Jan 1900 00:00:00 GMT", NOW_MS), Some(0));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 31 Feb 2050 02:01:18 GMT",
            "Thu, 00 Feb 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
        ] {
            assert_eq!(parse_s(text.as_bytes(), NOW_MS), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_agrees_with_httpdate(seconds in 0u64..253_402_300_800) {
            let text = format(seconds);
            prop_assert_eq!(parse_s(&text, NOW_MS), Some(seconds));
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let other = httpdate::fmt_http_date(time);
            prop_assert_eq!(other.as_bytes(), &text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), now in any::<u64>()) {
            let _ = parse_s(&bytes, now);
            let _ = format(now);
        }

        #[test]
        fn near_dates_do_not_panic(text in "[A-Za-z]{3,9},? [0-9]{0,2}[ -][A-Za-z]{3}[ -][0-9]{0,4} [0-9:]{8} GMT") {
            let _ = parse_s(text.as_bytes(), NOW_MS);
        }
    }
}
