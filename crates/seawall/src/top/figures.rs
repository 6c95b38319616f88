//! Figures written for people.

/// A rate, three digits or so.
pub fn rate(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1}k", v / 1000.0),
        v if v >= 100.0 || v == 0.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// A share of 0 to 1 as a percentage; `-` where there is none.
pub fn percent(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share > 0.0 && share < 0.001 => "<0.1%".to_owned(),
        Some(share) => format!("{:.1}%", share * 100.0),
    }
}

/// A number of bytes in a fitting unit.
pub fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut value = value;
    for unit in units {
        if value < 1024.0 {
            return if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// The same of a gauge; below zero counts as zero.
pub fn bytes_of(value: i64) -> String {
    bytes(as_f64(u64::try_from(value).unwrap_or(0)))
}

/// A count for arithmetic that need not be exact.
#[allow(clippy::cast_precision_loss)] // for people
pub fn as_f64(value: u64) -> f64 {
    value as f64
}

/// A time in microseconds in a fitting unit; `-` where there is none.
pub fn micros(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(us) if us < 1000.0 => format!("{us:.0} us"),
        Some(us) if us < 1_000_000.0 => format!("{:.1} ms", us / 1000.0),
        Some(us) => format!("{:.1} s", us / 1_000_000.0),
    }
}

/// A number; `-` where there is none.
pub fn number(value: Option<u64>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// A time in milliseconds by its two largest units.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} m {s} s"),
        (0, h, m, _) => format!("{h} h {m} m"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([rate(0.0), rate(0.25), rate(123.4), rate(12_345.0)], ["0", "0.2", "123", "12.3k"]);
        assert_eq!([percent(None), percent(Some(0.0)), percent(Some(0.0004))], ["-", "0.0%", "<0.1%"]);
        assert_eq!([bytes(12.0), bytes(2048.0), bytes(3.0e13)], ["12 B", "2.0 KiB", "27.3 TiB"]);
        assert_eq!(
            [micros(Some(10.0)), micros(Some(1500.0)), micros(Some(2.5e6))],
            ["10 us", "1.5 ms", "2.5 s"]
        );
        assert_eq!(
            [duration(59_000), duration(3_660_000), duration(90_000_000)],
            ["59 s", "1 h 1 m", "1 d 1 h"]
        );
    }
}
