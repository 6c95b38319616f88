//! The report: one page that needs nothing but itself. No script; light and dark; readable on a phone and on paper.

mod chart;
mod text;

use std::fmt::Write;

use self::chart::Axis;
use self::text::{date, duration, escape, seconds};
use crate::Ran;
use crate::evidence::{Evidence, Mark, Table};
use crate::samples::{Class, Samples};
use crate::verdict::{Check, figure};

/// Style of the page.
const STYLE: &str = include_str!("style.css");
/// Events of a drill that are shown at once; more are folded away.
const EVENTS_OPEN: usize = 14;
/// Most of what a check found, characters.
const FOUND_MAX: usize = 160;
/// Kinds of the product's own events that are drawn on charts. Others stand in the list only.
const DRAWN: &[&str] = &[
    "gate_failed",
    "adopted",
    "rolled_back",
    "promoted_good",
    "quarantined",
    "unit_quarantined",
    "unit_kept",
    "breaker_opened",
    "breaker_closed",
    "module_off",
    "module_on",
    "worker_stuck",
    "restart",
    "artifact_refused",
    "artifact_pinned",
    "change_refused",
];

/// What is said about the run as a whole.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Version of the program.
    pub version: String,
    /// When the run began, unix milliseconds.
    pub began_unix_ms: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Whether stages took as long as they do by default.
    pub real_pace: bool,
}

/// The page.
#[must_use]
pub fn page(ran: &[Ran], about: &About) -> String {
    let passed = ran.iter().filter(|ran| ran.verdict.passed).count();
    let mut out = String::with_capacity(1 << 16);
    let _ = writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Seawall drills: {passed} of {} passed</title><style>{STYLE}</style></head><body>",
        ran.len()
    );
    header(&mut out, ran, passed, about);
    out.push_str("<main>\n");
    summary(&mut out, ran);
    for one in ran {
        drill(&mut out, one);
    }
    out.push_str("</main>\n");
    let _ = writeln!(
        out,
        "<footer><p>Every drill starts the real program with its own data folder, stub origins and visitors on loopback, and measures from \
         outside: responses, metrics, the timeline file, and the kernel's account of processor time. Visitors form an open loop: \
         requests are sent when they are due, however late earlier answers are, and latency counts from that moment. \
         A drill can be run without the guard it is about (<code>seawall drill run NAME --without GUARD</code>), and must then fail.</p>\
         <p>Stories of outages are told in our own words after the public reports of those concerned.</p></footer>\n</body></html>"
    );
    out
}

fn header(out: &mut String, ran: &[Ran], passed: usize, about: &About) {
    let all = passed == ran.len() && !ran.is_empty();
    let badge = if all {
        "<span class=\"badge pass\">passed</span>"
    } else {
        "<span class=\"badge fail\">failed</span>"
    };
    let checks: usize = ran.iter().map(|ran| ran.verdict.checks.len()).sum();
    let _ = writeln!(
        out,
        "<header><h1>Seawall drills</h1><p class=\"lead\">{badge} {passed} of {} drills passed, {} checks, in {}.</p>\
         <p>Each drill replays an outage that happened to somebody, against a small installation on one machine, and asks whether it stayed small.</p>\
         <p class=\"soft small\">seawall {} · {} · {} · {}</p></header>",
        ran.len(),
        checks,
        duration(about.took_ms),
        escape(&about.version),
        date(about.began_unix_ms),
        escape(&machine()),
        if about.real_pace { "stages as long as by default" } else { "stages and soaks shortened" },
    );
}

/// What it ran on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, Linux {}", kernel.trim())
}

fn badge(pass: bool) -> &'static str {
    if pass { "<span class=\"badge pass\">passed</span>" } else { "<span class=\"badge fail\">failed</span>" }
}

fn summary(out: &mut String, ran: &[Ran]) {
    out.push_str(
        "<section aria-labelledby=\"summary\"><div class=\"top\"><h2 id=\"summary\">Summary</h2></div><div class=\"wide\"><table class=\"sum\">\
         <thead><tr><th scope=\"col\">Drill</th><th scope=\"col\" class=\"opt\">Replays</th><th scope=\"col\">Result</th><th scope=\"col\" class=\"opt\">Found</th><th scope=\"col\" class=\"num opt\">Took</th></tr></thead><tbody>\n",
    );
    for Ran { manifest, verdict, .. } in ran {
        let good = verdict.checks.iter().filter(|check| check.pass).count();
        let _ = writeln!(
            out,
            "<tr><td><a href=\"#{0}\">{1}</a><br><span class=\"name\">{0}</span></td><td class=\"opt\">{2}, {3}</td><td>{4}</td><td class=\"opt\">{5}</td><td class=\"num opt\">{6}</td></tr>",
            manifest.name,
            escape(manifest.title),
            escape(manifest.replays.whose),
            escape(manifest.replays.when),
            badge(verdict.passed),
            escape(&headline(&verdict.checks, good)),
            seconds(verdict.took_ms),
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

/// The first check that failed, or the one the drill is about.
fn headline(checks: &[Check], good: usize) -> String {
    let key = checks.iter().find(|check| !check.pass).or(checks.iter().find(|check| check.key));
    match key.or(checks.first()) {
        Some(check) => {
            format!("{}: {} ({good} of {} checks)", check.what, short(&check.measured), checks.len())
        }
        None => "nothing was checked".to_owned(),
    }
}

fn drill(out: &mut String, Ran { manifest, verdict, evidence }: &Ran) {
    let without = if verdict.without.is_empty() {
        String::new()
    } else {
        format!(" <span class=\"badge fail\">without {}</span>", escape(&verdict.without.join(", ")))
    };
    let _ = writeln!(
        out,
        "<section id=\"{0}\" aria-labelledby=\"{0}-h\"><div class=\"top\"><h2 id=\"{0}-h\">{1}</h2><div>{2}{without}</div></div><p class=\"name\">{0} · {3}</p>",
        manifest.name,
        escape(manifest.title),
        badge(verdict.passed),
        seconds(verdict.took_ms),
    );
    let _ = writeln!(
        out,
        "<div class=\"story\"><p class=\"soft small\">{}, {}</p><p>{}</p></div>",
        escape(manifest.replays.whose),
        escape(manifest.replays.when),
        escape(manifest.replays.story)
    );
    out.push_str("<dl>");
    for (what, text) in [
        ("Broken here", manifest.fault),
        ("Load", manifest.load),
        ("Looked at", manifest.observed),
        ("Passes when", manifest.pass),
    ] {
        let _ = write!(out, "<dt>{what}</dt><dd>{}</dd>", escape(text));
    }
    out.push_str("</dl>\n");
    if let Some(fault) = &verdict.fault {
        let _ = writeln!(out, "<h3>The drill could not be carried out</h3><pre>{}</pre>", escape(fault));
    }
    checks(out, &verdict.checks);
    charts(out, manifest.name, evidence);
    evidence.tables.iter().for_each(|one| table(out, one));
    events(out, &evidence.marks);
    figures(out, evidence);
    if !evidence.odd.is_empty() {
        let _ = writeln!(
            out,
            "<details><summary>Some answers in error, as they came</summary><pre>{}</pre></details>",
            escape(&evidence.odd.join("\n"))
        );
    }
    out.push_str("</section>\n");
}

fn checks(out: &mut String, checks: &[Check]) {
    if checks.is_empty() {
        return;
    }
    out.push_str("<h3>Checks</h3><div class=\"wide\"><table class=\"checks\"><thead><tr><th scope=\"col\">What</th><th scope=\"col\" class=\"num\">Demanded</th><th scope=\"col\" class=\"num\">Found</th><th scope=\"col\"></th></tr></thead><tbody>\n");
    for check in checks {
        let class = if check.pass { "" } else { " class=\"bad\"" };
        let long = if check.measured.chars().count() > 28 || check.limit.chars().count() > 28 {
            ""
        } else {
            " class=\"num\""
        };
        let _ = writeln!(
            out,
            "<tr{class}><td>{}</td><td{long}>{}</td><td{long}>{}</td><td>{}</td></tr>",
            escape(&check.what),
            escape(&check.limit),
            escape(&short(&check.measured)),
            badge(check.pass)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

/// What was found, no longer than a few lines: the timeline has the whole sentence.
fn short(text: &str) -> String {
    if text.chars().count() <= FOUND_MAX {
        return text.to_owned();
    }
    let cut: String = text.chars().take(FOUND_MAX).collect();
    format!("{}…", cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole))
}

fn charts(out: &mut String, name: &str, evidence: &Evidence) {
    let ends = evidence.loads.iter().filter_map(|(_, samples)| samples.span_ms()).map(|(_, end)| end);
    let drawn = evidence
        .charts
        .iter()
        .flat_map(|chart| &chart.lines)
        .filter_map(|line| line.points.last())
        .map(|p| p.0);
    let Some(end_ms) = ends.chain(drawn).max() else { return };
    let whole = Axis { begin_ms: 0, end_ms: end_ms + 250 };
    let shown = |axis: Axis| -> Vec<(usize, &Mark)> {
        let drawn = |mark: &Mark| mark.by_drill || DRAWN.contains(&mark.kind.as_str());
        numbered(&evidence.marks).filter(|(_, mark)| drawn(mark) && axis.holds(mark.at_ms)).collect()
    };
    for (index, (title, samples)) in evidence.loads.iter().enumerate() {
        let Some((begin_ms, end_ms)) = samples.span_ms() else { continue };
        // A drill of several acts shows each by itself.
        let axis = match begin_ms {
            ..1_000 => Axis { begin_ms: 0, end_ms: end_ms + 250 },
            _ => Axis { begin_ms: begin_ms - begin_ms % 500, end_ms: end_ms + 250 },
        };
        let marks = shown(axis);
        let title =
            if evidence.loads.len() == 1 { "Requests".to_owned() } else { format!("Requests: {title}") };
        chart::requests(out, &format!("{name}-r{index}"), &title, samples, &marks, axis);
        let title = title.replacen("Requests", "Latency", 1);
        chart::latency(out, &format!("{name}-l{index}"), &title, samples, &marks, axis);
    }
    let marks = shown(whole);
    for (index, one) in evidence.charts.iter().enumerate() {
        chart::lines(out, &format!("{name}-c{index}"), one, &marks, whole);
    }
}

/// Marks with the numbers they have on charts and in the list.
fn numbered(marks: &[Mark]) -> impl Iterator<Item = (usize, &Mark)> {
    marks.iter().enumerate().map(|(index, mark)| (index + 1, mark))
}

fn events(out: &mut String, marks: &[Mark]) {
    if marks.is_empty() {
        return;
    }
    let folded = marks.len() > EVENTS_OPEN;
    let (open, close) = if folded {
        (format!("<details><summary>Timeline: {} events</summary>", marks.len()), "</details>")
    } else {
        ("<h3>Timeline</h3>".to_owned(), "")
    };
    let _ = writeln!(
        out,
        "{open}<p class=\"small soft\">Numbers are those on the charts; red is what the drill did, grey what Seawall wrote in its timeline.</p><ol class=\"events\">"
    );
    for (number, mark) in numbered(marks) {
        let _ = writeln!(
            out,
            "<li><time>{}</time><b{}>{number}</b><span><i>{}</i> {}</span></li>",
            seconds(mark.at_ms),
            if mark.by_drill { " class=\"did\"" } else { "" },
            escape(&mark.kind.replace('_', " ")),
            escape(&mark.text)
        );
    }
    let _ = writeln!(out, "</ol>{close}");
}

fn table(out: &mut String, table: &Table) {
    let wrong = table.rows.iter().filter(|(_, right)| !right).count();
    let fold = table.rows.len() > 20;
    let _ = write!(out, "<h3>{}</h3>", escape(&table.title));
    if fold {
        let _ = write!(
            out,
            "<details{}><summary>{} rows, {} not as they should be</summary>",
            if wrong > 0 { " open" } else { "" },
            table.rows.len(),
            wrong
        );
    }
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for head in &table.head {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escape(head));
    }
    out.push_str("<th scope=\"col\"></th></tr></thead><tbody>\n");
    for (cells, right) in &table.rows {
        let _ = write!(out, "<tr{}>", if *right { "" } else { " class=\"bad\"" });
        for cell in cells {
            let _ = write!(out, "<td>{}</td>", escape(cell));
        }
        let _ = writeln!(out, "<td>{}</td></tr>", if *right { "as it should" } else { "wrong" });
    }
    out.push_str("</tbody></table></div>");
    out.push_str(if fold { "</details>\n" } else { "\n" });
}

/// The charts in figures, second by second, for those who cannot see them or want to reckon.
fn figures(out: &mut String, evidence: &Evidence) {
    for (name, samples) in evidence.loads.iter().filter(|(_, samples)| !samples.is_empty()) {
        let classes: Vec<Class> = Class::ALL.into_iter().filter(|class| samples.count(*class) > 0).collect();
        let _ = write!(
            out,
            "<details><summary>Figures, second by second: {}</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\" class=\"num\">Second</th>",
            escape(name)
        );
        for class in &classes {
            let _ = write!(out, "<th scope=\"col\" class=\"num\">{}</th>", escape(class.name()));
        }
        out.push_str("<th scope=\"col\" class=\"num\">median ms</th><th scope=\"col\" class=\"num\">99 % ms</th></tr></thead><tbody>\n");
        let Some((first, last)) = samples.span_ms() else { continue };
        for second in first / 1000..=last / 1000 {
            let part = samples.between(second * 1000, second * 1000 + 1000);
            let _ = write!(out, "<tr><td class=\"num\">{second}</td>");
            for class in &classes {
                let _ = write!(out, "<td class=\"num\">{}</td>", figure(part.count(*class) as f64, ""));
            }
            for percent in [50.0, 99.0] {
                let _ = write!(out, "<td class=\"num\">{}</td>", of(&part, percent));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div></details>\n");
    }
}

fn of(samples: &Samples, percent: f64) -> String {
    samples.latency_ms(percent).map_or_else(|| "–".to_owned(), |ms| figure(ms, ""))
}
