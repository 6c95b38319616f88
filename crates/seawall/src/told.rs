//! Tables, times and ages for people.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// A table with a heading; columns are as wide as their widest cell, the last as long as it likes.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Of each column: numbers stand on the right.
    right: Vec<bool>,
}

impl Table {
    /// A table with these columns; a name that ends in `#` is one of numbers.
    pub fn new(columns: &[&str]) -> Self {
        let names = columns.iter().map(|name| name.trim_end_matches('#').to_uppercase()).collect();
        Table { rows: vec![names], right: columns.iter().map(|name| name.ends_with('#')).collect() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let _ =
                    if *right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The time now, Unix milliseconds.
pub fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago that was, by its largest unit.
pub fn age(then_unix_ms: u64, now_unix_ms: u64) -> String {
    match now_unix_ms.saturating_sub(then_unix_ms) / 1000 {
        0 => "now".to_owned(),
        s @ 1..60 => format!("{s} s ago"),
        s @ 60..3_600 => format!("{} min ago", s / 60),
        s if s < DAY_S => format!("{} h ago", s / 3_600),
        s if s < 2 * DAY_S => "1 day ago".to_owned(),
        s => format!("{} days ago", s / DAY_S),
    }
}

/// A moment in UTC, as the access log writes it: `2026-11-21T20:50:01.250Z`.
pub fn moment(unix_ms: u64) -> String {
    let (second, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (year, month, day) = civil(second / DAY_S);
    let (hour, minute, second) = (second % DAY_S / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// A moment as people name one: `10m`, `2h`, `3d` ago, `2026-11-21T20:50:01Z`, or Unix seconds. In Unix milliseconds.
///
/// # Errors
/// What is expected.
pub fn read_moment(text: &str, now_unix_ms: u64) -> Result<u64, String> {
    let text = text.trim();
    let expected = || {
        format!(
            "`{text}` is no time: write 90s, 10m, 2h or 3d (ago), a time in UTC as 2026-11-21T20:50:01Z, or Unix seconds"
        )
    };
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(seconds.saturating_mul(1000));
    }
    if let Some((at, unit)) = text.char_indices().last()
        && let Some(unit_s) = [('s', 1), ('m', 60), ('h', 3_600), ('d', DAY_S)].iter().find(|u| u.0 == unit)
        && let Some(Ok(count)) = text.get(..at).map(|digits| digits.parse::<u64>())
    {
        return Ok(now_unix_ms.saturating_sub(count.saturating_mul(unit_s.1).saturating_mul(1000)));
    }
    rfc3339(text).ok_or_else(expected)
}

/// `2026-11-21T20:50:01Z`, with or without fractions of the second and the `Z`; a blank may stand for the `T`.
fn rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.trim_end_matches('Z').split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-').map(str::parse::<u64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.splitn(3, ':').map(str::parse::<u64>);
    let (hour, minute) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let second = parts.next().unwrap_or(Ok(0)).ok()?;
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let ms = match fraction {
        "" => 0,
        digits => format!("{digits:0<3}").get(..3)?.parse::<u64>().ok()?,
    };
    let days = days_of(year, month, day);
    (civil(days) == (year, month, day))
        .then(|| (days * DAY_S + hour * 3_600 + minute * 60 + second) * 1000 + ms)
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The way back.
fn days_of(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells_and_numbers_stand_on_the_right() {
        let mut table = Table::new(&["name", "count#", "why"]);
        table.row(vec!["a".into(), "5".into(), "because".into()]);
        table.row(vec!["longer".into(), "12345".into(), String::new()]);
        assert_eq!(table.to_string(), "NAME    COUNT  WHY\na           5  because\nlonger  12345\n");
    }

    #[test]
    fn ages_have_one_unit() {
        let ages = [0, 900, 59_000, 60_000, 7_199_000, 90_000_000, 200_000_000].map(|ms| age(0, ms));
        assert_eq!(ages, ["now", "now", "59 s ago", "1 min ago", "1 h ago", "1 day ago", "2 days ago"]);
        assert_eq!(age(5_000, 0), "now", "a clock that is behind");
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_868_799_000, "2000-02-29T23:59:59.000Z"),
            (1_763_465_732_250, "2025-11-18T11:35:32.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(moment(unix_ms), text);
            assert_eq!(read_moment(text, 0), Ok(unix_ms), "{text}");
        }
    }

    #[test]
    fn moments_can_be_named_in_other_ways() {
        let now = 1_000_000_000;
        for (text, expected) in [
            ("90s", now - 90_000),
            ("10m", now - 600_000),
            ("2h", now - 7_200_000),
            ("1d", now - 86_400_000),
            ("99999d", 0),
            ("1763465732", 1_763_465_732_000),
            ("2025-11-18T11:35Z", 1_763_465_700_000),
            ("2025-11-18 11:35:32", 1_763_465_732_000),
            ("2025-11-18T11:35:32.2Z", 1_763_465_732_200),
        ] {
            assert_eq!(read_moment(text, now), Ok(expected), "{text}");
        }
        for bad in
            ["", "m", "ten", "-5m", "5w", "2025-13-01T00:00Z", "2025-02-30T00:00Z", "2025-11-18", "ä", "1é"]
        {
            assert!(read_moment(bad, now).is_err(), "{bad}");
        }
    }
}
