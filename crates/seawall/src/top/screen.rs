//! Drawing a frame.

use std::collections::VecDeque;

use ratatui::Frame as Terminal;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table, TableState};
use seawall_telemetry::Summary;

use super::changes::{self, Changes};
use super::figures::{bytes, micros, percent, rate};
use super::heading;
use super::rates::{Frame, Health, OriginRow, Sort, ZoneRow};

/// Looks remembered for the sparkline: more than any terminal is wide.
pub const HISTORY_MAX: usize = 512;

/// Events of the timeline that are shown on the smallest screen, and on the largest.
const EVENT_LINES_LEAST: u16 = 3;
const EVENT_LINES_MAX: u16 = 8;

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
    /// What changed.
    pub changes: Changes,
    /// When this is looked at, Unix milliseconds.
    pub now_unix_ms: u64,
    /// Why the figures are old, if they are.
    pub fault: Option<String>,
}

/// Draws everything.
pub fn draw(view: &View, terminal: &mut Terminal<'_>) {
    let area = terminal.area();
    let events = (area.height / 6).clamp(EVENT_LINES_LEAST, EVENT_LINES_MAX) + 1;
    let [head, chart, timeline, zones, origins, foot] = Layout::vertical([
        Constraint::Length(heading::HEIGHT),
        Constraint::Length(4),
        Constraint::Length(events),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    heading::draw(view, terminal, head);
    draw_chart(view, terminal, chart);
    changes::draw(&view.changes, view.now_unix_ms, terminal, timeline);
    draw_zones(view, terminal, zones);
    draw_origins(view, terminal, origins);
    let keys = format!(" q quit   s sort: {}   tab table   up/down scroll", view.sort.word());
    terminal.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
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

/// A column: its name, its width in characters, and whether narrow terminals do without it. The first takes what is
/// left, within bounds, and is the only one that holds words.
type Column = (&'static str, u16, bool);

const ZONE_COLUMNS: &[Column] = &[
    ("zone", 48, false),
    ("req/s", 7, false),
    ("hits", 6, false),
    ("4xx", 6, false),
    ("5xx", 6, false),
    ("errors/s", 8, true),
    ("out/s", 10, false),
    ("mean", 7, false),
];

const ORIGIN_COLUMNS: &[Column] = &[
    ("origin", 48, false),
    ("health", 9, false),
    ("req/s", 7, false),
    ("faults/s", 8, false),
    ("5xx", 6, false),
    ("active", 6, false),
    ("limit", 5, true),
    ("conns", 5, true),
    ("first", 7, false),
];

/// Terminals with fewer columns are narrow.
const WIDE: u16 = 96;

fn draw_zones(view: &View, terminal: &mut Terminal<'_>, area: Rect) {
    let at = view.scroll.first().copied().unwrap_or(0);
    let title = title(" zones ", view.frame.zones.len(), at, view.focus == Focus::Zones);
    table(terminal, area, title, ZONE_COLUMNS, view.frame.zones.iter().map(zone_cells), at);
}

fn draw_origins(view: &View, terminal: &mut Terminal<'_>, area: Rect) {
    let at = view.scroll.last().copied().unwrap_or(0);
    let title = title(" origins ", view.frame.origins.len(), at, view.focus == Focus::Origins);
    table(terminal, area, title, ORIGIN_COLUMNS, view.frame.origins.iter().map(origin_cells), at);
}

fn table(
    terminal: &mut Terminal<'_>,
    area: Rect,
    title: Line<'static>,
    columns: &[Column],
    rows: impl Iterator<Item = Vec<Span<'static>>>,
    at: usize,
) {
    let is_shown = |column: &Column| area.width >= WIDE || !column.2;
    let cells = |spans: Vec<Span<'static>>| {
        let shown = spans.into_iter().zip(columns).filter(|(_, column)| is_shown(column));
        Row::new(shown.enumerate().map(|(i, (span, _))| {
            let line = Line::from(span);
            Cell::from(if i == 0 { line } else { line.right_aligned() })
        }))
    };
    let header = cells(columns.iter().map(|column| Span::raw(column.0)).collect())
        .style(Style::new().add_modifier(Modifier::DIM));
    let widths = columns.iter().filter(|c| is_shown(c)).enumerate().map(|(i, column)| match i {
        0 => Constraint::Max(column.1),
        _ => Constraint::Length(column.1),
    });
    let table = Table::new(rows.map(cells), widths)
        .header(header)
        .column_spacing(if area.width >= WIDE { 2 } else { 1 })
        .block(Block::new().borders(Borders::TOP).title(title));
    let mut state = TableState::default().with_offset(at);
    terminal.render_stateful_widget(table, area, &mut state);
}

fn title(name: &'static str, count: usize, at: usize, focused: bool) -> Line<'static> {
    let mark = if focused { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    let more = if at > 0 { format!("{count}, from {} ", at + 1) } else { format!("{count} ") };
    Line::from(vec![Span::styled(name, mark), Span::raw(more)])
}

/// In the order of [`ZONE_COLUMNS`].
fn zone_cells(row: &ZoneRow) -> Vec<Span<'static>> {
    vec![
        Span::raw(row.name.clone()),
        Span::raw(rate(row.rates.requests)),
        Span::raw(percent(row.rates.cache_hits)),
        Span::raw(percent(row.rates.client_errors)),
        alarming(percent(row.rates.server_errors), is_alarming(row.rates.server_errors)),
        alarming(rate(row.edge_errors), row.edge_errors > 0.0),
        Span::raw(bytes(row.rates.bytes_out)),
        Span::raw(micros(row.mean_us)),
    ]
}

/// In the order of [`ORIGIN_COLUMNS`].
fn origin_cells(row: &OriginRow) -> Vec<Span<'static>> {
    let colour = match row.health {
        Health::Up => Color::Green,
        Health::Unwatched => Color::Reset,
        Health::Ejected => Color::Yellow,
        Health::Down => Color::Red,
    };
    vec![
        Span::raw(row.name.clone()),
        Span::styled(row.health.word(), Style::new().fg(colour)),
        Span::raw(rate(row.requests)),
        alarming(rate(row.faults), row.faults > 0.0),
        alarming(percent(row.server_errors), is_alarming(row.server_errors)),
        Span::raw(row.outstanding.to_string()),
        Span::raw(row.limit.map_or("-".to_owned(), |limit| limit.to_string())),
        Span::raw(row.connections.to_string()),
        Span::raw(micros(row.mean_us)),
    ]
}

/// Whether a share of server errors deserves red: more than one in a hundred.
pub fn is_alarming(share: Option<f64>) -> bool {
    share.is_some_and(|share| share > 0.01)
}

fn alarming(text: String, alarm: bool) -> Span<'static> {
    let style = if alarm { Style::new().fg(Color::Red) } else { Style::new() };
    Span::styled(text, style)
}
