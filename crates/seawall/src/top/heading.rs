//! The lines above the tables: what the edge does as a whole.

use ratatui::Frame as Terminal;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::changes;
use super::figures::{as_f64, bytes, bytes_of, duration, micros, number, percent, rate};
use super::screen::{View, is_alarming};

/// Lines it takes.
pub const HEIGHT: u16 = 7;
/// Width of a label, in characters.
const LABEL: usize = 13;
/// Width of a figure that another stands beside, in characters.
const FIGURE: usize = 9;

/// Draws it.
pub fn draw(view: &View, terminal: &mut Terminal<'_>, area: Rect) {
    let [first, second, rest] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    terminal.render_widget(Paragraph::new(state(view)), first);
    terminal.render_widget(Paragraph::new(changes::line(&view.changes, view.now_unix_ms)), second);
    // Three columns that just fit in 80 characters.
    let columns =
        Layout::horizontal([Constraint::Length(24), Constraint::Length(24), Constraint::Length(32)])
            .spacing(if area.width > 90 { 5 } else { 0 })
            .split(rest);
    for (lines, place) in [traffic(view), outcome(view), times(view)].into_iter().zip(columns.iter()) {
        terminal.render_widget(Paragraph::new(lines), *place);
    }
}

fn state(view: &View) -> Line<'static> {
    let summary = &view.summary;
    let state = match (&view.fault, summary.draining, summary.ready) {
        (Some(fault), ..) => Span::styled(fault.clone(), Style::new().fg(Color::Red)),
        (None, true, _) => Span::styled("draining", Style::new().fg(Color::Yellow)),
        (None, false, true) => Span::styled("ready", Style::new().fg(Color::Green)),
        (None, false, false) => Span::styled("not ready", Style::new().fg(Color::Red)),
    };
    let version = summary.config_version;
    let config = if summary.config_last_load_ok {
        Span::raw(format!("configuration {version}"))
    } else {
        let problems = match summary.config_problems {
            0 => "was refused".to_owned(),
            1 => "has 1 problem".to_owned(),
            many => format!("has {many} problems"),
        };
        let text = format!("configuration {version} kept: the new one {problems}");
        Span::styled(text, Style::new().fg(Color::Red))
    };
    let workers = match summary.workers {
        1 => "1 worker".to_owned(),
        many => format!("{many} workers"),
    };
    Line::from(vec![
        Span::styled(format!("seawall {}", summary.build), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw("  "),
        state,
        Span::raw(format!("  up {}  {workers}  ", duration(summary.uptime_ms))),
        config,
    ])
}

fn traffic(view: &View) -> Vec<Line<'static>> {
    let (summary, total) = (&view.summary, &view.frame.total);
    let connections: i64 = summary.connections.values().sum();
    vec![
        line("requests", plain(format!("{}/s", rate(total.requests)))),
        line("in flight", plain(summary.in_flight.to_string())),
        line("connections", plain(connections.to_string())),
        line("out", plain(format!("{}/s", bytes(total.bytes_out)))),
        line("in", plain(format!("{}/s", bytes(total.bytes_in)))),
    ]
}

fn outcome(view: &View) -> Vec<Line<'static>> {
    let (summary, total) = (&view.summary, &view.frame.total);
    vec![
        line("cache hits", plain(percent(total.cache_hits))),
        line("errors 4xx", plain(percent(total.client_errors))),
        line("errors 5xx", red_if(is_alarming(total.server_errors), percent(total.server_errors))),
        line("in memory", plain(bytes_of(summary.cache_memory_bytes))),
        line("on disk", plain(bytes_of(summary.cache_disk_bytes))),
    ]
}

fn times(view: &View) -> Vec<Line<'static>> {
    let (summary, visitor, origin) = (&view.summary, &view.frame.duration, &view.frame.origin_first_byte);
    let time = |us: Option<u64>| micros(us.map(as_f64));
    let both =
        |name, visitor, origin| line(name, plain(format!("{:<FIGURE$} {}", time(visitor), time(origin))));
    let memory = summary.resident_bytes.map_or("-".to_owned(), |n| bytes(as_f64(n)));
    let lost = summary.log_records_lost;
    let process = if lost > 0 {
        line("log lost", red_if(true, format!("{lost} records")))
    } else {
        line("process", plain(format!("{memory:<FIGURE$} {} fds", number(summary.open_fds))))
    };
    let names = Style::new().add_modifier(Modifier::DIM);
    vec![
        line("time", Span::styled(format!("{:<FIGURE$} {}", "visitor", "origin"), names)),
        both("  p50", visitor.p50_us, origin.p50_us),
        both("  p90", visitor.p90_us, origin.p90_us),
        both("  p99", visitor.p99_us, origin.p99_us),
        process,
    ]
}

fn line(label: &str, figure: Span<'static>) -> Line<'static> {
    let label = Span::styled(format!("{label:<LABEL$}"), Style::new().add_modifier(Modifier::DIM));
    Line::from(vec![label, figure])
}

fn plain(text: String) -> Span<'static> {
    Span::raw(text)
}

fn red_if(alarm: bool, text: String) -> Span<'static> {
    if alarm { Span::styled(text, Style::new().fg(Color::Red)) } else { plain(text) }
}
