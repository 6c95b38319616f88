//! `seawall timeline`: what happened, in order. Reads the file of the data folder, and with an edge running also what that
//! could not write.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use seawall_telemetry::timeline::{self, Event, Filter, Follower, KINDS, Kind, Reading};

use crate::admin;
use crate::cli::TimelineArgs;
use crate::config;
use crate::exit::Exit;
use crate::told::{moment, now_unix_ms, read_moment};

/// How long a running edge may take to tell what it has in memory: the file is there without it.
const MEMORY_WITHIN: Duration = Duration::from_secs(1);
/// How often the file is looked at while following.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Shows it.
pub fn run(args: &TimelineArgs) -> Exit {
    let filter = match filter(args) {
        Ok(filter) => filter,
        Err(message) => {
            eprintln!("seawall: {message}");
            return Exit::Usage;
        }
    };
    let data_dir = match config::data_dir(&args.place.of()) {
        Ok(dir) => dir,
        Err(refusal) => {
            refusal.messages().iter().for_each(|message| eprintln!("seawall: {message}"));
            return refusal.exit();
        }
    };
    match show(&data_dir, &filter, args) {
        Ok(()) => Exit::Ok,
        // Whoever reads has seen enough: `seawall timeline | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            eprintln!("seawall: the timeline in {} cannot be read: {error}", data_dir.display());
            Exit::Failure
        }
    }
}

fn show(data_dir: &Path, filter: &Filter, args: &TimelineArgs) -> io::Result<()> {
    // Begun before the first look, so that nothing falls in between.
    let mut follower = if args.follow { Some(Follower::new(data_dir)?) } else { None };
    let reading = gather(data_dir, filter)?;
    let mut out = io::stdout().lock();
    print(&mut out, &reading.events, args.place.json)?;
    if reading.damaged_lines > 0 {
        eprintln!("seawall: {} lines of the file cannot be read and were passed over", reading.damaged_lines);
    }
    if reading.events.is_empty() && !args.follow && !args.place.json {
        eprintln!("seawall: no such events in {}", data_dir.display());
    }
    let mut seen: Vec<(u32, u64)> = reading.events.iter().map(|e| (e.pid, e.seq)).collect();
    while let Some(follower) = &mut follower {
        let mut events = follower.more()?;
        events.retain(|event| filter.wants(event) && !seen.contains(&(event.pid, event.seq)));
        seen.clear(); // only the first look can overlap
        print(&mut out, &events, args.place.json)?;
        std::thread::sleep(FOLLOW_EVERY);
    }
    Ok(())
}

/// What is in the file and, if an edge runs, in its memory.
fn gather(data_dir: &Path, filter: &Filter) -> io::Result<Reading> {
    let every = Filter { limit: None, ..filter.clone() };
    let file = timeline::read(data_dir, &every);
    let mut memory = in_memory(data_dir).unwrap_or_default();
    memory.retain(|event| every.wants(event));
    let file = match file {
        Ok(reading) => reading,
        Err(_) if !memory.is_empty() => Reading::default(),
        Err(error) => return Err(error),
    };
    let mut events = timeline::merge(file.events, memory);
    if let Some(limit) = filter.limit {
        events.drain(..events.len().saturating_sub(limit));
    }
    Ok(Reading { events, damaged_lines: file.damaged_lines })
}

/// What a running edge has in memory; none if none answers at once.
fn in_memory(data_dir: &Path) -> Option<Vec<Event>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = admin::ask(data_dir, Method::GET, "/timeline", None);
    let bytes = runtime.block_on(async { tokio::time::timeout(MEMORY_WITHIN, asked).await }).ok()?.ok()?;
    Some(bytes.split(|byte| *byte == b'\n').filter_map(Event::of_line).collect())
}

fn print(out: &mut impl Write, events: &[Event], json: bool) -> io::Result<()> {
    for event in events {
        if json { out.write_all(event.to_line().as_bytes())? } else { writeln!(out, "{}", line(event))? }
    }
    out.flush()
}

/// One event for people.
pub fn line(event: &Event) -> String {
    let mut text =
        format!("{}  {:<10}  {:<18}  {}", moment(event.unix_ms), event.role, event.kind.name(), words(event));
    if !event.cause.is_empty() {
        text.push_str(&format!("  [{}]", plain(&event.cause)));
    }
    text
}

/// What happened and to what, without time and cause.
pub fn words(event: &Event) -> String {
    let mut about = Vec::new();
    // What the sentence says already is not said again.
    let mut note = |word: &str, value: String| {
        if !event.text.contains(&value) {
            about.push(format!("{word}{value}"));
        }
    };
    if let Some(number) = event.snapshot {
        note("snapshot ", number.to_string());
    }
    if let Some(zone) = &event.zone {
        note("", zone.clone());
    }
    if let Some(module) = &event.module {
        note("", module.clone());
    }
    if let Some(unit) = &event.unit {
        note("", unit.clone());
    }
    if event.suppressed > 0 {
        about.push(format!("{} more before it", event.suppressed));
    }
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    plain(&format!("{}{about}", event.text))
}

/// On one line and without what could steer a terminal: texts hold names from configuration and requests.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn filter(args: &TimelineArgs) -> Result<Filter, String> {
    let kind = |name: &String| {
        Kind::of_name(name).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|row| row.name).collect();
            format!("there is no kind `{name}`; there are {}", names.join(", "))
        })
    };
    let is_blank = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    for (flag, value) in [("--zone", &args.zone), ("--module", &args.module)] {
        if is_blank(value) {
            return Err(format!("{flag} is empty, and that does not mean all: name one, or leave it out"));
        }
    }
    Ok(Filter {
        after_unix_ms: args.after.as_ref().map(|text| read_moment(text, now_unix_ms())).transpose()?,
        until_unix_ms: None,
        kinds: args.kind.iter().map(kind).collect::<Result<_, _>>()?,
        zone: args.zone.clone(),
        module: args.module.clone(),
        snapshot: args.snapshot,
        limit: usize::try_from(args.limit).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_says_nothing_twice() {
        let mut event =
            Event::new(Kind::BreakerOpened, "panic", "the firewall failed 3 times\nin 2 s \u{1b}[2J")
                .zone("a.test")
                .module("firewall")
                .snapshot(7)
                .at(1_763_465_732_250);
        (event.role, event.suppressed) = ("edge".into(), 4);
        assert_eq!(
            line(&event),
            "2025-11-18T11:35:32.250Z  edge        breaker_opened      the firewall failed 3 times in 2 s  [2J \
             (snapshot 7, a.test, 4 more before it)  [panic]"
        );
    }

    #[test]
    fn a_filter_names_what_it_does_not_know() {
        let args =
            |kind: &str| TimelineArgs { kind: vec![kind.to_owned()], limit: 5, ..TimelineArgs::default() };
        assert_eq!(filter(&args("stage")).unwrap().kinds, [Kind::Stage]);
        assert!(filter(&args("stages")).unwrap_err().contains("gate_failed"));
        let blank = TimelineArgs { zone: Some(" ".to_owned()), ..TimelineArgs::default() };
        assert!(filter(&blank).is_err());
        let when = TimelineArgs { after: Some("yesterday".to_owned()), ..TimelineArgs::default() };
        assert!(filter(&when).unwrap_err().contains("yesterday"));
    }
}
