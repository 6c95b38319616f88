//! `seawall top`: a live view of a running edge.

mod changes;
mod figures;
mod heading;
mod rates;
mod screen;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use hyper::Method;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use seawall_telemetry::Summary;

use crate::admin;
use crate::cli::TopArgs;
use crate::config;
use crate::exit::Exit;
use crate::told::now_unix_ms;
use changes::Source;
use rates::Frame;
use screen::{Focus, HISTORY_MAX, View};

/// Size of the frame that `--once` prints, in characters.
const ONCE_SIZE: (u16, u16) = (110, 40);

/// Shows it until the user leaves.
pub fn run(args: &TopArgs) -> Exit {
    let data_dir = match config::data_dir(&args.place) {
        Ok(dir) => dir,
        Err(refusal) => {
            refusal.messages().iter().for_each(|message| eprintln!("seawall: {message}"));
            return refusal.exit();
        }
    };
    let interval = Duration::from_millis(args.interval_ms);
    let first = match look(&data_dir) {
        Ok(summary) => summary,
        Err(error) => return failed(&error),
    };
    let outcome = if args.once { once(&data_dir, first, interval) } else { live(&data_dir, first, interval) };
    match outcome {
        Ok(()) => Exit::Ok,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(message: &str) -> Exit {
    eprintln!("seawall: {message}");
    Exit::Failure
}

fn look(data_dir: &Path) -> Result<Summary, String> {
    let bytes =
        admin::ask_blocking(data_dir, Method::GET, "/summary", None).map_err(|error| error.to_string())?;
    read(&bytes).map_err(|error| format!("the edge's summary cannot be understood: {error}"))
}

/// Reads a summary of an edge of another version too: what it does not send keeps its default.
fn read(bytes: &[u8]) -> Result<Summary, serde_json::Error> {
    let received: serde_json::Value = serde_json::from_slice(bytes)?;
    let mut whole = serde_json::to_value(Summary::default())?;
    if let (Some(whole), serde_json::Value::Object(received)) = (whole.as_object_mut(), received) {
        whole.extend(received);
    }
    serde_json::from_value(whole)
}

fn once(data_dir: &Path, first: Summary, interval: Duration) -> io::Result<()> {
    let (mut view, mut source) = begin(data_dir, first);
    std::thread::sleep(interval);
    refresh(&mut view, &mut source, data_dir);
    if let Some(fault) = view.fault {
        return Err(io::Error::other(fault));
    }
    print!("{}", as_text(&view)?);
    Ok(())
}

/// One frame as text, without colours and without the empty ends of lines.
fn as_text(view: &View) -> io::Result<String> {
    let (width, height) = ONCE_SIZE;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(io::Error::other)?;
    let drawn = terminal.draw(|terminal| screen::draw(view, terminal)).map_err(io::Error::other)?;
    let cells: Vec<&str> = drawn.buffer.content().iter().map(|cell| cell.symbol()).collect();
    let lines = cells.chunks(usize::from(width)).map(|line| line.concat().trim_end().to_owned());
    let mut text = String::new();
    let mut last_empty = false;
    for line in lines {
        if !(line.is_empty() && last_empty) {
            text.push_str(&line);
            text.push('\n');
        }
        last_empty = line.is_empty();
    }
    Ok(text)
}

fn live(data_dir: &Path, first: Summary, interval: Duration) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let outcome = live_on(&mut terminal, data_dir, first, interval);
    ratatui::restore();
    outcome
}

fn live_on(
    terminal: &mut ratatui::DefaultTerminal,
    data_dir: &Path,
    first: Summary,
    interval: Duration,
) -> io::Result<()> {
    let (mut view, mut source) = begin(data_dir, first);
    let mut next_look = Instant::now() + interval;
    loop {
        terminal.draw(|terminal| screen::draw(&view, terminal))?;
        if event::poll(next_look.saturating_duration_since(Instant::now()))?
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && !press(&mut view, key)
        {
            return Ok(());
        }
        if Instant::now() >= next_look {
            refresh(&mut view, &mut source, data_dir);
            next_look = Instant::now() + interval;
        }
    }
}

fn begin(data_dir: &Path, first: Summary) -> (View, Source) {
    let mut view = View { summary: first, now_unix_ms: now_unix_ms(), ..View::default() };
    let mut source = Source::new(data_dir, &mut view.changes);
    source.look(data_dir, Some(&view.summary), &mut view.changes);
    (view, source)
}

fn refresh(view: &mut View, source: &mut Source, data_dir: &Path) {
    let summary = look(data_dir);
    source.look(data_dir, summary.as_ref().ok(), &mut view.changes);
    view.now_unix_ms = now_unix_ms();
    update(view, summary);
}

/// Takes in another look. An edge that does not answer (being restarted, say) leaves the old figures and says so.
fn update(view: &mut View, look: Result<Summary, String>) {
    match look {
        Ok(now) => {
            view.frame = Frame::between(&view.summary, &now, view.sort);
            view.summary = now;
            view.fault = None;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            // a non-negative rate, for people
            view.history.push_back(view.frame.total.requests.round() as u64);
            if view.history.len() > HISTORY_MAX {
                view.history.pop_front();
            }
        }
        Err(fault) => view.fault = Some(fault),
    }
}

/// Whether to go on.
fn press(view: &mut View, key: KeyEvent) -> bool {
    let (table, rows) = match view.focus {
        Focus::Zones => (0, view.frame.zones.len()),
        Focus::Origins => (1, view.frame.origins.len()),
    };
    let last = rows.saturating_sub(1);
    let Some(at) = view.scroll.get_mut(table) else { return true };
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char('s') => view.sort = view.sort.next(),
        KeyCode::Tab => {
            view.focus = match view.focus {
                Focus::Zones => Focus::Origins,
                Focus::Origins => Focus::Zones,
            }
        }
        KeyCode::Up | KeyCode::Char('k') => *at = at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => *at = (*at + 1).min(last),
        KeyCode::PageUp => *at = at.saturating_sub(10),
        KeyCode::PageDown => *at = (*at + 10).min(last),
        KeyCode::Home => *at = 0,
        KeyCode::End => *at = last,
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_telemetry::metrics::{OriginSummary, ZoneSummary};

    fn summary(uptime_ms: u64, requests: u64) -> Summary {
        Summary {
            build: "0.1.0".to_owned(),
            uptime_ms,
            requests,
            ready: true,
            config_last_load_ok: true,
            zones: vec![ZoneSummary { name: "example.com".into(), requests, ..ZoneSummary::default() }],
            origins: vec![OriginSummary {
                zone: "example.com".into(),
                pool: "app".into(),
                name: "one".into(),
                healthy: Some(false),
                ..OriginSummary::default()
            }],
            ..Summary::default()
        }
    }

    #[test]
    fn a_frame_as_text_shows_rates_zones_and_origins() {
        let mut view = View { summary: summary(1_000, 0), ..View::default() };
        update(&mut view, Ok(summary(2_000, 250)));
        let text = as_text(&view).unwrap();
        for part in ["seawall 0.1.0", "requests     250/s", "ready", "example.com", "app/one", "down", "p99"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn what_changed_stands_above_the_tables_also_while_no_edge_answers() {
        let mut view = View { summary: summary(1_000, 0), now_unix_ms: 200_000, ..View::default() };
        let event = seawall_telemetry::timeline::Event::new(
            seawall_telemetry::timeline::Kind::GateFailed,
            "gate",
            "snapshot 8 made 12 % errors",
        );
        view.changes.events.push_back(event.at(20_000));
        update(&mut view, Err("no edge answers".to_owned()));
        let text = as_text(&view).unwrap();
        assert!(text.contains("3 min ago  gate_failed         snapshot 8 made 12 % errors"), "{text}");
        assert!(text.find("what changed") < text.find("zones"), "{text}");
    }

    #[test]
    fn a_summary_with_missing_and_with_unknown_fields_is_read() {
        let read = read(br#"{"requests": 5, "from_the_future": {"x": 1}}"#).unwrap();
        assert_eq!(read.requests, 5);
        assert!(super::read(b"[]").is_ok() && super::read(b"nonsense").is_err());
    }

    #[test]
    fn an_edge_that_does_not_answer_leaves_the_old_figures_and_says_so() {
        let mut view = View { summary: summary(1_000, 0), ..View::default() };
        update(&mut view, Ok(summary(2_000, 250)));
        update(&mut view, Err("no edge answers".to_owned()));
        assert!(as_text(&view).unwrap().contains("no edge answers"));
        assert_eq!(view.history.len(), 1);
    }

    #[test]
    fn keys_scroll_within_the_table_and_q_leaves() {
        let mut view = View { summary: summary(1_000, 0), ..View::default() };
        update(&mut view, Ok(summary(2_000, 250)));
        let mut key = |code| press(&mut view, KeyEvent::new(code, KeyModifiers::NONE));
        assert!(key(KeyCode::Down) && key(KeyCode::PageDown) && key(KeyCode::Tab) && key(KeyCode::Char('s')));
        assert!(!key(KeyCode::Char('q')));
        assert_eq!((view.scroll, view.focus), ([0, 0], Focus::Origins));
    }
}
