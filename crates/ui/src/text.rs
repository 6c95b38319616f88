//! Small pieces of text: escaping, clipping, dates.

/// Appends text to HTML, in an element or a quoted attribute, with everything that could end either replaced.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut chars = special.chars();
        out.push_str(match chars.next() {
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            Some('"') => "&quot;",
            Some(_) => "&#39;",
            None => "",
        });
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// The text, cut to at most `max` bytes between two characters.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or("")
}

/// A moment as date and time of day in UTC, from unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    pub(crate) year: u64,
    /// 1 to 12.
    pub(crate) month: u64,
    /// 1 to 31.
    pub(crate) day: u64,
    /// Seconds since midnight.
    pub(crate) second: u64,
}

impl Utc {
    pub(crate) fn of(unix_ms: u64) -> Utc {
        let seconds = unix_ms / 1000;
        let days = seconds / 86_400;
        // Count from 1 March of year 0, so that the leap day is the last of its year; 146,097 days make 400 years.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Utc {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            second: seconds % 86_400,
        }
    }

    /// `2026-11-21T20:50:11Z` (RFC 3339).
    pub(crate) fn rfc3339(self) -> String {
        let Utc { year, month, day, second: s } = self;
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
    }

    /// `2026-11-21 20:50:11 UTC`, for people.
    pub(crate) fn spoken(self) -> String {
        let Utc { year, month, day, second: s } = self;
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", s / 3600, s / 60 % 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_an_element_or_attribute_is_replaced() {
        let mut out = String::new();
        escape_into(&mut out, "<a href='x' title=\"ü\">&</a>");
        assert_eq!(out, "&lt;a href=&#39;x&#39; title=&quot;ü&quot;&gt;&amp;&lt;/a&gt;");
    }

    #[test]
    fn clipping_never_splits_a_character() {
        assert_eq!((clip("aüb", 2), clip("aüb", 3), clip("aüb", 9), clip("ü", 0)), ("a", "aü", "aüb", ""));
    }

    #[test]
    fn dates_agree_with_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59Z"),
            (1_795_294_211_000, "2026-11-21T20:50:11Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Utc::of(ms).rfc3339(), text);
        }
        assert_eq!(Utc::of(1_795_294_211_000).spoken(), "2026-11-21 20:50:11 UTC");
    }
}
