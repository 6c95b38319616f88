//! Charts as inline SVG. The drawing stretches to any width; words and numbers stand beside it as text of the page, so
//! that they stay readable on a phone.

use std::fmt::Write;

use super::text::{escape, seconds};
use crate::evidence::{Chart, Mark};
use crate::samples::{Class, Samples, percentile};
use crate::verdict::figure;

/// Units of the drawing; they mean nothing outside it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 300.0;
/// Most columns of a chart of requests: finer ones are no longer told apart.
const COLUMNS_MAX: u64 = 120;
/// Marks nearer than this share of the width show one number only, per cent.
const CROWDED: f64 = 2.6;

/// The time that a chart shows, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Its beginning.
    pub begin_ms: u64,
    /// Its end.
    pub end_ms: u64,
}

impl Axis {
    /// Whether a moment is shown.
    pub fn holds(self, ms: u64) -> bool {
        (self.begin_ms..=self.end_ms).contains(&ms)
    }

    fn length_ms(self) -> u64 {
        self.end_ms.saturating_sub(self.begin_ms).max(1)
    }

    fn x(self, ms: u64) -> f64 {
        (ms.saturating_sub(self.begin_ms) as f64 / self.length_ms() as f64).min(1.0) * WIDTH
    }

    fn percent(self, ms: u64) -> f64 {
        self.x(ms) / WIDTH * 100.0
    }

    /// Milliseconds per column: a round number that gives no more than [`COLUMNS_MAX`].
    fn column_ms(self) -> u64 {
        let sizes = [100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000];
        sizes.into_iter().find(|size| self.length_ms() / size <= COLUMNS_MAX).unwrap_or(60_000)
    }

    fn step_ms(self) -> u64 {
        let steps = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000];
        steps.into_iter().find(|step| self.length_ms() / step <= 10).unwrap_or(600_000)
    }
}

/// Requests per second, stacked by how they ended.
pub fn requests(
    out: &mut String,
    id: &str,
    title: &str,
    samples: &Samples,
    marks: &[(usize, &Mark)],
    axis: Axis,
) {
    let size = axis.column_ms();
    let first = axis.begin_ms / size;
    let columns = (axis.end_ms / size - first + 1) as usize;
    let classes: Vec<Class> = Class::ALL.into_iter().filter(|class| samples.count(*class) > 0).collect();
    let mut counts = vec![vec![0_u64; columns]; classes.len()];
    for sample in samples.all() {
        let column = (sample.at_us / 1000 / size).saturating_sub(first) as usize;
        if let Some(row) = classes.iter().position(|class| *class == sample.class)
            && let Some(count) = counts.get_mut(row).and_then(|row| row.get_mut(column))
        {
            *count += 1;
        }
    }
    let per_second = 1000.0 / size as f64;
    let total =
        |column: usize| counts.iter().filter_map(|row| row.get(column)).sum::<u64>() as f64 * per_second;
    let top = ceiling((0..columns).map(total).fold(1.0, f64::max));
    let words: Vec<String> = classes
        .iter()
        .map(|class| format!("{} {}", figure(samples.count(*class) as f64, ""), class.name()))
        .collect();
    Frame {
        id,
        title,
        unit: "requests per second",
        says: &words.join(", "),
        axis,
        top,
        scale: Scale::Linear,
    }
    .open(out);
    let mut floor = vec![0.0_f64; columns];
    for (row, class) in counts.iter().zip(&classes) {
        let mut path = String::new();
        for (column, (count, floor)) in row.iter().zip(&mut floor).enumerate() {
            if *count == 0 {
                continue;
            }
            let height = *count as f64 * per_second / top * HEIGHT;
            let (left, right) =
                (axis.x((first + column as u64) * size), axis.x((first + column as u64 + 1) * size));
            let bottom = HEIGHT - *floor;
            let _ = write!(path, "M{left:.1} {bottom:.1}V{:.1}H{right:.1}V{bottom:.1}z", bottom - height);
            *floor += height;
        }
        let _ = write!(out, "<path class=\"k-{}\" d=\"{path}\"/>", class.key());
    }
    close(out, marks, axis);
    out.push_str("<ul class=\"legend\">");
    for (class, words) in classes.iter().zip(&words) {
        let _ = write!(
            out,
            "<li><svg viewBox=\"0 0 14 8\" aria-hidden=\"true\"><rect width=\"14\" height=\"8\" class=\"k-{}\"/></svg>{}</li>",
            class.key(),
            escape(words)
        );
    }
    out.push_str("</ul></figure>\n");
}

/// Latency of what was answered by the origin, and of what was refused: median and 99th percentile on a logarithmic scale.
pub fn latency(
    out: &mut String,
    id: &str,
    title: &str,
    samples: &Samples,
    marks: &[(usize, &Mark)],
    axis: Axis,
) {
    // A column needs some requests for a percentile to mean something.
    let size = axis.column_ms() * 2;
    let series = |class: Class, percent: f64| -> Vec<(u64, f64)> {
        let mut columns: std::collections::BTreeMap<u64, Vec<u64>> = std::collections::BTreeMap::new();
        for sample in samples.all().iter().filter(|s| s.class == class) {
            columns.entry(sample.at_us / 1000 / size).or_default().push(sample.latency_us);
        }
        let point = |(column, mut all): (u64, Vec<u64>)| {
            all.sort_unstable();
            let us = percentile(&all, percent)?;
            Some((column * size + size / 2, (us as f64 / 1000.0).max(0.1)))
        };
        columns.into_iter().filter_map(point).collect()
    };
    let mut lines =
        vec![("median, served", series(Class::Ok, 50.0)), ("99 %, served", series(Class::Ok, 99.0))];
    if samples.count(Class::Shed) > 20 {
        lines.push(("99 %, turned away", series(Class::Shed, 99.0)));
    }
    lines.retain(|(_, points)| !points.is_empty());
    if lines.is_empty() {
        return;
    }
    let largest =
        lines.iter().flat_map(|(_, points)| points).fold(1.0_f64, |top, (_, value)| top.max(*value));
    let top = 10_f64.powf(largest.log10().ceil().max(1.0));
    let says: Vec<String> = lines.iter().map(|(name, points)| range(name, points, "ms")).collect();
    Frame {
        id,
        title,
        unit: "milliseconds, logarithmic",
        says: &says.join("; "),
        axis,
        top,
        scale: Scale::Log,
    }
    .open(out);
    let y =
        |value: f64| HEIGHT - (value.max(LOWEST_MS) / LOWEST_MS).log10() / (top / LOWEST_MS).log10() * HEIGHT;
    for (index, (_, points)) in lines.iter().enumerate() {
        polyline(out, index, points, axis, y, false, size * 3);
    }
    close(out, marks, axis);
    legend(out, lines.iter().map(|(name, _)| *name));
}

/// The bottom of the logarithmic scale, milliseconds.
const LOWEST_MS: f64 = 0.1;

/// Any other lines.
pub fn lines(out: &mut String, id: &str, chart: &Chart, marks: &[(usize, &Mark)], axis: Axis) {
    let largest =
        chart.lines.iter().flat_map(|line| &line.points).fold(0.0_f64, |top, (_, value)| top.max(*value));
    let top = if chart.unit == "%" && largest > 50.0 { 100.0 } else { ceiling(largest.max(1e-6)) };
    let says: Vec<String> =
        chart.lines.iter().map(|line| range(&line.name, &line.points, chart.unit)).collect();
    Frame { id, title: &chart.title, unit: chart.unit, says: &says.join("; "), axis, top, scale: Scale::Low }
        .open(out);
    for (index, line) in chart.lines.iter().enumerate() {
        polyline(
            out,
            index,
            &line.points,
            axis,
            |value| HEIGHT - (value / top).clamp(0.0, 1.0) * HEIGHT,
            line.steps,
            u64::MAX,
        );
    }
    close(out, marks, axis);
    legend(out, chart.lines.iter().map(|line| line.name.as_str()));
}

fn range(name: &str, points: &[(u64, f64)], unit: &str) -> String {
    let low = points.iter().map(|(_, v)| *v).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(_, v)| *v).fold(f64::NEG_INFINITY, f64::max);
    format!("{name} from {} to {}", figure(low, unit), figure(high, unit))
}

/// A line; it breaks where nothing was measured for longer than `gap_ms`.
fn polyline(
    out: &mut String,
    index: usize,
    points: &[(u64, f64)],
    axis: Axis,
    y: impl Fn(f64) -> f64,
    steps: bool,
    gap_ms: u64,
) {
    let mut path = String::new();
    let mut before: Option<(u64, f64)> = None;
    for (at, value) in points {
        let (x, height) = (axis.x(*at), y(*value));
        match before {
            Some((last, _)) if at.saturating_sub(last) <= gap_ms => {
                if steps {
                    let _ = write!(path, "H{x:.1}V{height:.1}");
                } else {
                    let _ = write!(path, "L{x:.1} {height:.1}");
                }
            }
            _ => {
                // A dot of its own, should no neighbour follow.
                let _ = write!(path, "M{x:.1} {height:.1}h.1");
            }
        }
        before = Some((*at, *value));
    }
    let _ = write!(out, "<path class=\"ln s{}\" d=\"{path}\"/>", index % 4);
}

/// What stands around a drawing.
struct Frame<'a> {
    id: &'a str,
    title: &'a str,
    unit: &'a str,
    /// What the drawing shows, in words, for those who cannot see it.
    says: &'a str,
    axis: Axis,
    top: f64,
    scale: Scale,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    /// From [`LOWEST_MS`].
    Log,
    /// Linear, in a drawing of less height.
    Low,
}

impl Frame<'_> {
    fn open(&self, out: &mut String) {
        let Frame { id, title, unit, says, axis, top, scale } = *self;
        let (log, low) = (scale == Scale::Log, scale == Scale::Low);
        let suffix = if unit.is_empty() {
            String::new()
        } else {
            format!(" <span class=\"soft\">{}</span>", escape(unit))
        };
        let _ = write!(
            out,
            "<figure><figcaption>{}{suffix}</figcaption><div class=\"plot{}\">",
            escape(title),
            if low { " low" } else { "" }
        );
        let mut ticks: Vec<(f64, String)> = Vec::new();
        if log {
            let mut value = LOWEST_MS;
            while value <= top * 1.001 {
                let share = (value / LOWEST_MS).log10() / (top / LOWEST_MS).log10() * 100.0;
                ticks.push((share, figure(value, "").trim_end_matches('0').trim_end_matches('.').to_owned()));
                if value >= 0.9 {
                    ticks.pop();
                    ticks.push((share, figure(value.round(), "")));
                }
                value *= 10.0;
            }
        } else {
            let parts = if low { 2 } else { 4 };
            for part in 0..=parts {
                let share = f64::from(part) / f64::from(parts);
                ticks.push((share * 100.0, figure(top * share, "")));
            }
        }
        // Times along the bottom come first, so that a narrow page can leave out every other by counting.
        let mut at = axis.begin_ms.next_multiple_of(axis.step_ms());
        while at <= axis.end_ms {
            let _ = write!(
                out,
                "<span class=\"x\" style=\"left:{:.2}%\">{} s</span>",
                axis.percent(at),
                at as f64 / 1000.0
            );
            at += axis.step_ms();
        }
        for (share, text) in &ticks {
            let _ = write!(out, "<span class=\"y\" style=\"bottom:{share:.1}%\">{text}</span>");
        }
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            escape(title),
            escape(says)
        );
        for (share, _) in &ticks {
            let y = HEIGHT - share / 100.0 * HEIGHT;
            let _ = write!(out, "<path class=\"grid\" d=\"M0 {y:.1}H{WIDTH}\"/>");
        }
    }
}

fn close(out: &mut String, marks: &[(usize, &Mark)], axis: Axis) {
    for (_, mark) in marks {
        let x = axis.x(mark.at_ms);
        let _ = write!(
            out,
            "<path class=\"at{}\" d=\"M{x:.1} 0V{HEIGHT}\"/>",
            if mark.by_drill { " did" } else { "" }
        );
    }
    let _ = write!(out, "<path class=\"axis\" d=\"M0 {HEIGHT}H{WIDTH}\"/></svg>");
    // What the drill did is never hidden behind what the product said of it.
    let mut taken: Vec<f64> = Vec::new();
    let (did, told): (Vec<_>, Vec<_>) = marks.iter().partition(|(_, mark)| mark.by_drill);
    for (number, mark) in did.into_iter().chain(told) {
        let left = axis.percent(mark.at_ms);
        if taken.iter().any(|other| (other - left).abs() < CROWDED) {
            continue;
        }
        taken.push(left);
        let class = if mark.by_drill { "m did" } else { "m" };
        let _ = write!(
            out,
            "<span class=\"{class}\" style=\"left:{left:.2}%\" title=\"{} {}: {}\">{number}</span>",
            seconds(mark.at_ms),
            escape(&mark.kind),
            escape(&mark.text)
        );
    }
    out.push_str("</div>");
}

fn legend<'a>(out: &mut String, names: impl Iterator<Item = &'a str>) {
    out.push_str("<ul class=\"legend\">");
    for (index, name) in names.enumerate() {
        let _ = write!(
            out,
            "<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\"><path class=\"ln s{}\" d=\"M0 6H28\"/></svg>{}</li>",
            index % 4,
            escape(name)
        );
    }
    out.push_str("</ul></figure>\n");
}

/// A round number at or a little above.
fn ceiling(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|top| *top >= value * 0.999).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, top) in [(1.0, 1.0), (0.9, 1.0), (101.0, 120.0), (1_999.0, 2_000.0), (0.03, 0.032)] {
            assert!((ceiling(value) - top).abs() < 1e-9, "{value}: {}", ceiling(value));
        }
    }

    #[test]
    fn columns_are_few_whatever_the_length() {
        for end_ms in [1, 1_000, 25_000, 600_000] {
            let axis = Axis { begin_ms: 7_300, end_ms: 7_300 + end_ms };
            assert!(end_ms / axis.column_ms() <= COLUMNS_MAX);
            assert!(end_ms / axis.step_ms() <= 10);
        }
    }
}
