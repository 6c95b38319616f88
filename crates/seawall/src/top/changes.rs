//! What changed just before: the snapshot that serves, the one on its way, open breakers, and the last events of the
//! timeline.

use std::collections::VecDeque;
use std::path::Path;

use hyper::Method;
use ratatui::Frame as Terminal;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use seawall_telemetry::Summary;
use seawall_telemetry::timeline::{self, Event, Filter, Follower, Kind};
use serde::Deserialize;

use crate::admin;
use crate::module::some;
use crate::snapshot::status::Status;
use crate::timeline::words;
use crate::told::age;

/// Events remembered: more than a screen has lines.
const EVENTS_MAX: usize = 100;

/// What is known of changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Oldest first.
    pub events: VecDeque<Event>,
    /// Where changes stand; none from an edge that does not say.
    pub status: Option<Status>,
    /// Modules with open breakers, and of which zones.
    pub breakers: Vec<(String, Vec<String>)>,
}

/// Where it is looked for. The events come from the file: they are there while the edge is not, and tell of that.
#[derive(Debug)]
pub struct Source {
    follower: Option<Follower>,
}

impl Source {
    /// Looks at a data folder; what is in the file already goes to `changes`.
    pub fn new(data_dir: &Path, changes: &mut Changes) -> Self {
        let follower = Follower::new(data_dir).ok();
        let newest = Filter { limit: Some(EVENTS_MAX), ..Filter::default() };
        if let Ok(reading) = timeline::read(data_dir, &newest) {
            changes.events.extend(reading.events);
        }
        Source { follower }
    }

    /// What is new. `summary` is the edge's, if it answered.
    pub fn look(&mut self, data_dir: &Path, summary: Option<&Summary>, changes: &mut Changes) {
        let more = self.follower.as_mut().and_then(|follower| follower.more().ok()).unwrap_or_default();
        changes.take(more);
        let Some(summary) = summary else { return };
        // What the edge could not write for want of room on the disk.
        changes.take(summary.timeline.clone());
        changes.status = ask(data_dir, "/snapshot");
        changes.breakers.clear();
        if summary.modules.iter().any(|module| module.breakers_open > 0) {
            let modules: Modules = ask(data_dir, "/modules").unwrap_or_default();
            let open = modules.modules.into_iter().filter(|module| !module.breakers_open.is_empty());
            changes.breakers = open.map(|module| (module.name, module.breakers_open)).collect();
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Modules {
    modules: Vec<Module>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Module {
    name: String,
    breakers_open: Vec<String>,
}

fn ask<T: serde::de::DeserializeOwned>(data_dir: &Path, path: &str) -> Option<T> {
    serde_json::from_slice(&admin::ask_blocking(data_dir, Method::GET, path, None).ok()?).ok()
}

impl Changes {
    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            let is_known = self
                .events
                .iter()
                .any(|e| (e.pid, e.seq, e.unix_ms) == (event.pid, event.seq, event.unix_ms));
            if !is_known {
                let place =
                    self.events.iter().rposition(|e| e.unix_ms <= event.unix_ms).map_or(0, |at| at + 1);
                self.events.insert(place, event);
            }
        }
        let older = self.events.len().saturating_sub(EVENTS_MAX);
        self.events.drain(..older);
    }
}

/// The line about snapshots and breakers.
pub fn line(changes: &Changes, now_unix_ms: u64) -> Line<'static> {
    let mut spans = Vec::new();
    if let Some(status) = &changes.status {
        if let Some(current) = &status.current {
            let since = age(current.since_unix_ms, now_unix_ms);
            spans.push(Span::raw(format!("snapshot {} {}, {since}", current.number, current.state)));
        }
        if let Some(candidate) = &status.candidate {
            let seen = candidate.requests;
            let share = match seen.current + seen.candidate {
                0 => String::new(),
                all => format!(", {} of {all} requests", seen.candidate),
            };
            let text = format!("candidate {} at {}{share}", candidate.number, candidate.stage);
            spans.push(Span::styled(text, Style::new().fg(Color::Yellow)));
        }
        if !status.pinned.is_empty() {
            let text = format!("pinned: {}", some(&status.pinned));
            spans.push(Span::styled(text, Style::new().fg(Color::Yellow)));
        }
    }
    for (module, zones) in &changes.breakers {
        let text = format!("{module} skipped for {}", some(zones));
        spans.push(Span::styled(text, Style::new().fg(Color::Red)));
    }
    let between = || Span::styled(" | ", Style::new().add_modifier(Modifier::DIM));
    let mut line = Vec::new();
    for span in spans {
        if !line.is_empty() {
            line.push(between());
        }
        line.push(span);
    }
    Line::from(line)
}

/// Draws the last events, the newest on top.
pub fn draw(changes: &Changes, now_unix_ms: u64, terminal: &mut Terminal<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(" what changed ");
    let room = usize::from(area.height.saturating_sub(1));
    let mut lines: Vec<Line<'static>> =
        changes.events.iter().rev().take(room).map(|event| event_line(event, now_unix_ms)).collect();
    if lines.is_empty() {
        lines.push(Line::styled("nothing yet", Style::new().add_modifier(Modifier::DIM)));
    }
    terminal.render_widget(Paragraph::new(lines).block(block), area);
}

fn event_line(event: &Event, now_unix_ms: u64) -> Line<'static> {
    let colour = match event.kind {
        Kind::PromotedGood | Kind::BreakerClosed | Kind::OriginUp => Color::Green,
        kind if kind.level() == tracing::Level::ERROR => Color::Red,
        kind if kind.is_bad() => Color::Yellow,
        _ => Color::Reset,
    };
    Line::from(vec![
        Span::styled(
            format!("{:>11}  ", age(event.unix_ms, now_unix_ms)),
            Style::new().add_modifier(Modifier::DIM),
        ),
        Span::styled(format!("{:<18}  ", event.kind.name()), Style::new().fg(colour)),
        Span::raw(words(event)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::status::{Seen, Standing, Underway};

    fn event(seq: u64, unix_ms: u64) -> Event {
        let mut event = Event::new(Kind::Stage, "gate", format!("event {seq}")).at(unix_ms);
        event.seq = seq;
        event
    }

    #[test]
    fn the_line_says_what_serves_what_is_on_its_way_and_what_is_skipped() {
        let status = Status {
            current: Some(Standing { number: 12, state: "good".into(), since_unix_ms: 0 }),
            candidate: Some(Underway {
                number: 13,
                stage: "10 %".into(),
                requests: Seen { current: 90, candidate: 10 },
                ..Underway::default()
            }),
            pinned: vec!["bot-features".into()],
            ..Status::default()
        };
        let breakers = vec![("firewall".to_owned(), vec!["a.test".to_owned()])];
        let text =
            line(&Changes { status: Some(status), breakers, ..Changes::default() }, 180_000).to_string();
        assert_eq!(
            text,
            "snapshot 12 good, 3 min ago | candidate 13 at 10 %, 10 of 100 requests | pinned: bot-features | firewall \
             skipped for a.test"
        );
        assert_eq!(line(&Changes::default(), 0).to_string(), "");
    }

    #[test]
    fn events_are_in_order_each_once_and_bounded() {
        let mut changes = Changes::default();
        changes.take(vec![event(1, 10), event(3, 30)]);
        changes.take(vec![event(2, 20), event(3, 30)]);
        let seqs: Vec<u64> = changes.events.iter().map(|e| e.seq).collect();
        assert_eq!(seqs, [1, 2, 3]);
        changes.take((10..500).map(|n| event(n, n * 10)).collect());
        assert_eq!((changes.events.len(), changes.events.back().unwrap().seq), (EVENTS_MAX, 499));
    }
}
