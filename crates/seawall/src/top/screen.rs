//! Drawing a frame.

use std::collections::VecDeque;

use ratatui::Frame as Terminal;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table, TableState};
use seawall_telemetry::Summary;
use seawall_telemetry::metrics::Latency;

use super::rates::{Frame, Health, OriginRow, Sort, ZoneRow};

/// Looks remembered for the sparkline: more than any terminal is wide.
pub const HISTORY_MAX: usize = 512;

/// Which table the arrow keys move in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Focus {
    /// The upper one.
    #[default]
    Zones,
    /// The lower one.
    Origins,
}

/// What a screen shows.
#[derive(Debug, Default)]
pub struct View {
    /// The last look.
    pub summary: Summary,
    /// What happened since the one before.
    pub frame: Frame,
    /// Requests per second, oldest first.
    pub history: VecDeque<u64>,
    /// How the tables are sorted.
    pub sort: Sort,
    /// Where the arrow keys move.
    pub focus: Focus,
    /// First line shown of the zones, and of the origins.
    pub scroll: [usize; 2],
    /// Why the figures are old, if they are.
    pub fault: Option<String>,
}

/// Draws everything.
pub fn draw(view: &View, terminal: &mut Terminal<'_>) {
    let [head, chart, zones, origins, foot] = Layout::vertical([
        Constraint::Length(5),
        Constraint::Length(4),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(terminal.area());
    terminal.render_widget(Paragraph::new(heading(view)), head);
    draw_chart(view, terminal, chart);
    draw_zones(view, terminal, zones);
    draw_origins(view, terminal, origins);
    let keys = format!(" q quit   s sort: {}   tab table   up/down scroll", view.sort.word());
    terminal.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
}

fn heading(view: &View) -> Vec<Line<'static>> {
    let (summary, frame) = (&view.summary, &view.frame);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let state = match (&view.fault, summary.draining, summary.ready) {
        (Some(fault), ..) => Span::styled(fault.clone(), Style::new().fg(Color::Red)),
        (None, true, _) => Span::styled("draining", Style::new().fg(Color::Yellow)),
        (None, false, true) => Span::styled("ready", Style::new().fg(Color::Green)),
        (None, false, false) => Span::styled("not ready", Style::new().fg(Color::Red)),
    };
    let config = if summary.config_last_load_ok {
        Span::raw(format!("configuration {}", summary.config_version))
    } else {
        let text = format!(
            "configuration {} kept: the new one has {} problems",
            summary.config_version, summary.config_problems
        );
        Span::styled(text, Style::new().fg(Color::Red))
    };
    let client: i64 = summary.connections.values().sum();
    vec![
        Line::from(vec![
            Span::styled(format!("seawall {}", summary.build), bold),
            Span::raw(format!("  up {}  {} workers  ", duration(summary.uptime_ms), summary.workers)),
            state,
            Span::raw("  "),
            config,
        ]),
        Line::from(format!(
            "requests {}/s  in flight {}  connections {}  out {}/s  in {}/s",
            rate(frame.total.requests),
            summary.in_flight,
            client,
            bytes(frame.total.bytes_out),
            bytes(frame.total.bytes_in)
        )),
        Line::from(format!(
            "errors 5xx {}  4xx {}  cache hits {}  cache {} in {} objects  disk {}",
            percent(frame.total.server_errors),
            percent(frame.total.client_errors),
            percent(frame.total.cache_hits),
            bytes_of(summary.cache_memory_bytes),
            summary.cache_objects,
            bytes_of(summary.cache_disk_bytes)
        )),
        Line::from(format!(
            "latency {}   origin first byte {}",
            quantiles(&frame.duration),
            quantiles(&frame.origin_first_byte)
        )),
        Line::from(format!(
            "process {} memory  {} of {} descriptors  log records lost {}",
            summary.resident_bytes.map_or("-".to_owned(), |n| bytes(as_f64(n))),
            number(summary.open_fds),
            number(summary.max_fds),
            summary.log_records_lost
        )),
    ]
}

fn draw_chart(view: &View, terminal: &mut Terminal<'_>, area: Rect) {
    let most = view.history.iter().copied().max().unwrap_or(0);
    let block = Block::new().borders(Borders::TOP).title(format!(" requests/s, at most {most} "));
    let width = usize::from(area.width);
    let skip = view.history.len().saturating_sub(width);
    let data: Vec<u64> = view.history.iter().skip(skip).copied().collect();
    let line = Sparkline::default().block(block).data(data).style(Style::new().fg(Color::Cyan));
    terminal.render_widget(line, area);
}

fn draw_zones(view: &View, terminal: &mut Terminal<'_>, area: Rect) {
    let rows = view.frame.zones.iter().map(zone_cells);
    let widths = [26, 10, 8, 8, 9, 8, 11, 10].map(Constraint::Length);
    let names = ["zone", "req/s", "4xx", "5xx", "edge/s", "hits", "out/s", "mean"];
    let at = view.scroll.first().copied().unwrap_or(0);
    let title = title(" zones ", view.frame.zones.len(), at, view.focus == Focus::Zones);
    table(terminal, area, title, names, widths, rows, at);
}

fn draw_origins(view: &View, terminal: &mut Terminal<'_>, area: Rect) {
    let rows = view.frame.origins.iter().map(origin_cells);
    let widths = [38, 8, 10, 9, 8, 7, 7, 7, 10].map(Constraint::Length);
    let names = ["origin", "health", "req/s", "faults/s", "5xx", "active", "conns", "limit", "first"];
    let at = view.scroll.last().copied().unwrap_or(0);
    let title = title(" origins ", view.frame.origins.len(), at, view.focus == Focus::Origins);
    table(terminal, area, title, names, widths, rows, at);
}

fn table<'a, const N: usize>(
    terminal: &mut Terminal<'_>,
    area: Rect,
    title: Line<'static>,
    names: [&'static str; N],
    widths: [Constraint; N],
    rows: impl Iterator<Item = Row<'a>>,
    at: usize,
) {
    let header = Row::new(names).style(Style::new().add_modifier(Modifier::DIM));
    let table =
        Table::new(rows, widths).header(header).block(Block::new().borders(Borders::TOP).title(title));
    let mut state = TableState::default().with_offset(at);
    terminal.render_stateful_widget(table, area, &mut state);
}

fn title(name: &'static str, count: usize, at: usize, focused: bool) -> Line<'static> {
    let mark = if focused { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    let more = if at > 0 { format!("{count}, from {} ", at + 1) } else { format!("{count} ") };
    Line::from(vec![Span::styled(name, mark), Span::raw(more)])
}

fn zone_cells(row: &ZoneRow) -> Row<'_> {
    Row::new(vec![
        Cell::from(row.name.as_str()),
        Cell::from(rate(row.rates.requests)),
        Cell::from(percent(row.rates.client_errors)),
        alarming(percent(row.rates.server_errors), row.rates.server_errors.is_some_and(|share| share > 0.01)),
        alarming(rate(row.edge_errors), row.edge_errors > 0.0),
        Cell::from(percent(row.rates.cache_hits)),
        Cell::from(bytes(row.rates.bytes_out)),
        Cell::from(micros(row.mean_us)),
    ])
}

fn origin_cells(row: &OriginRow) -> Row<'_> {
    let colour = match row.health {
        Health::Up => Color::Green,
        Health::Unwatched => Color::Reset,
        Health::Ejected => Color::Yellow,
        Health::Down => Color::Red,
    };
    Row::new(vec![
        Cell::from(row.name.as_str()),
        Cell::from(row.health.word()).style(Style::new().fg(colour)),
        Cell::from(rate(row.requests)),
        alarming(rate(row.faults), row.faults > 0.0),
        alarming(percent(row.server_errors), row.server_errors.is_some_and(|share| share > 0.01)),
        Cell::from(row.outstanding.to_string()),
        Cell::from(row.connections.to_string()),
        Cell::from(row.limit.map_or("-".to_owned(), |limit| limit.to_string())),
        Cell::from(micros(row.mean_us)),
    ])
}

fn alarming(text: String, alarm: bool) -> Cell<'static> {
    let style = if alarm { Style::new().fg(Color::Red) } else { Style::new() };
    Cell::from(text).style(style)
}

fn rate(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1}k", v / 1000.0),
        v if v >= 100.0 || v == 0.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

fn percent(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share > 0.0 && share < 0.001 => "<0.1%".to_owned(),
        Some(share) => format!("{:.1}%", share * 100.0),
    }
}

fn bytes(value: f64) -> String {
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

fn bytes_of(value: i64) -> String {
    bytes(as_f64(u64::try_from(value).unwrap_or(0)))
}

#[allow(clippy::cast_precision_loss)] // for people
fn as_f64(value: u64) -> f64 {
    value as f64
}

fn micros(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(us) if us < 1000.0 => format!("{us:.0} us"),
        Some(us) if us < 1_000_000.0 => format!("{:.1} ms", us / 1000.0),
        Some(us) => format!("{:.1} s", us / 1_000_000.0),
    }
}

fn quantiles(latency: &Latency) -> String {
    let text = |us: Option<u64>| micros(us.map(as_f64));
    format!("p50 {}  p90 {}  p99 {}", text(latency.p50_us), text(latency.p90_us), text(latency.p99_us))
}

fn number(value: Option<u64>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn duration(ms: u64) -> String {
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
