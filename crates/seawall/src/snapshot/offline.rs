//! The history on disk, with nothing running.

use std::path::Path;

use seawall_snapshot::{Entry, History, State, Store, StoreFault, UnitKind, review};
use seawall_telemetry::timeline::{Event, Kind, Timeline};
use serde_json::{Value, json};

use super::order::Output;
use crate::exit::Exit;
use crate::supervisor::counted;
use crate::told::{Table, age, moment, now_unix_ms};

/// How long a command waits for its event to be on disk.
const TOLD_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
/// Units listed by name in a difference; of the rest the number is told.
const CHANGES_SHOWN: usize = 50;

/// The snapshots, newest first.
pub fn list(data_dir: &Path, output: Output) -> Exit {
    with_store(data_dir, |_, history| {
        match output {
            Output::Json => println!(
                "{}",
                json!({
                    "current": history.current,
                    "candidate": history.candidate,
                    "snapshots": history.entries.iter().map(|entry| as_json(entry, history)).collect::<Vec<_>>(),
                })
            ),
            Output::Text => print!("{}", table(history, now_unix_ms())),
        }
        Ok(Exit::Ok)
    })
}

fn table(history: &History, now_unix_ms: u64) -> String {
    let mut table = Table::new(&["snapshot#", "state", "", "content", "made", "by", "why"]);
    for entry in &history.entries {
        let why = match &entry.reason {
            Some(reason) => format!("{}; {reason}", entry.cause.why),
            None => entry.cause.why.clone(),
        };
        table.row(vec![
            entry.number.to_string(),
            entry.state.name().to_owned(),
            place(entry, history).unwrap_or_default().to_owned(),
            entry.content.short(),
            age(entry.created_unix_ms, now_unix_ms),
            entry.cause.who.clone(),
            why,
        ]);
    }
    table.to_string()
}

/// What it does now.
fn place(entry: &Entry, history: &History) -> Option<&'static str> {
    let number = Some(entry.number);
    if history.current == number {
        Some("serves")
    } else if history.candidate == number {
        Some("on its way")
    } else if history.rollback_target() == number {
        Some("rollback goes here")
    } else {
        None
    }
}

fn as_json(entry: &Entry, history: &History) -> Value {
    json!({
        "number": entry.number,
        "state": entry.state.name(),
        "content": entry.content.to_string(),
        "created_unix_ms": entry.created_unix_ms,
        "who": entry.cause.who,
        "why": entry.cause.why,
        "reason": entry.reason,
        "deaths": entry.deaths.len(),
        "current": history.current == Some(entry.number),
        "candidate": history.candidate == Some(entry.number),
    })
}

/// One snapshot.
pub fn show(data_dir: &Path, number: Option<u64>, output: Output) -> Exit {
    with_store(data_dir, |store, history| {
        let number = number.or(history.current).or_else(|| history.newest().map(|entry| entry.number));
        let Some(entry) = number.and_then(|number| history.entry(number)) else {
            return Err(StoreFault::NoSuch(number.unwrap_or(0)));
        };
        // What is damaged is shown too, with what is wrong.
        let manifest = store.load(entry.number);
        let counts = |kind: UnitKind| manifest.as_ref().map_or(0, |(manifest, _)| manifest.count(kind));
        let kinds: Vec<(&str, u64)> =
            UnitKind::ALL.into_iter().map(|kind| (kind.name(), counts(kind))).collect();
        if output == Output::Json {
            let mut document = as_json(entry, history);
            let mut note = |name: &str, value: Value| {
                if let Some(fields) = document.as_object_mut() {
                    fields.insert(name.to_owned(), value);
                }
            };
            note("units", kinds.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect());
            match &manifest {
                Ok((manifest, _)) => {
                    note("base", json!(manifest.base));
                    note("bytes", json!(manifest.bytes));
                }
                Err(fault) => note("fault", json!(fault.to_string())),
            }
            println!("{document}");
            return Ok(Exit::Ok);
        }
        print!("{}", described(entry, history, now_unix_ms()));
        match &manifest {
            Ok((manifest, _)) => {
                let units = kinds.iter().filter(|(_, count)| *count > 0);
                let units: Vec<String> = units
                    .map(|(kind, count)| counted(usize::try_from(*count).unwrap_or(usize::MAX), kind))
                    .collect();
                println!(
                    "{:<12}{} ({} bytes), every hash and the signature as they should be",
                    "holds",
                    units.join(", "),
                    manifest.bytes
                );
            }
            Err(fault) => println!("{:<12}{fault}", "damaged"),
        }
        Ok(Exit::Ok)
    })
}

fn described(entry: &Entry, history: &History, now_unix_ms: u64) -> String {
    let when = |unix_ms: u64| format!("{} ({})", moment(unix_ms), age(unix_ms, now_unix_ms));
    let state = match entry.state {
        State::Trial => "trial: it has not soaked yet",
        State::Good => "good: it outlived its soak and may be started from",
        State::Quarantined => "quarantined: it will not be served again",
    };
    let mut lines = vec![
        ("snapshot", entry.number.to_string()),
        ("state", state.to_owned()),
        ("content", entry.content.to_string()),
        ("made", when(entry.created_unix_ms)),
        ("by", format!("{}: {}", entry.cause.who, entry.cause.why)),
    ];
    lines.extend(place(entry, history).map(|place| ("now", place.to_owned())));
    lines.extend(entry.reason.clone().map(|reason| ("found", reason)));
    lines.extend(entry.adopted_unix_ms.map(|at| ("adopted", when(at))));
    lines.extend(entry.soak_begun_unix_ms.map(|at| ("soaks since", when(at))));
    for death in &entry.deaths {
        lines.push(("died", format!("{}, after {:.1} s", when(death.unix_ms), seconds(death.ran_ms))));
    }
    lines.into_iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
}

#[allow(clippy::cast_precision_loss)] // for people
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// What changes from one snapshot to another.
pub fn diff(data_dir: &Path, before: u64, after: Option<u64>, output: Output) -> Exit {
    with_store(data_dir, |store, history| {
        let after = after.or(history.current).or_else(|| history.newest().map(|entry| entry.number));
        let after = after.ok_or(StoreFault::NoSuch(0))?;
        let ((_, old), (_, new)) = (store.load(before)?, store.load(after)?);
        let review = review(&old, &new);
        let changes = old.changes(&new);
        let word = |change: &seawall_snapshot::Change| match (&change.before, &change.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let effects: Vec<String> = review.effects.iter().map(ToString::to_string).collect();
        if output == Output::Json {
            println!(
                "{}",
                json!({
                    "before": before,
                    "after": after,
                    "effects": effects,
                    "needs": review.needs,
                    "changes": changes.iter().map(|change| json!({
                        "kind": change.kind.name(),
                        "name": change.name,
                        "change": word(change),
                        "before": change.before.as_ref().map(|unit| unit.hash.to_string()),
                        "after": change.after.as_ref().map(|unit| unit.hash.to_string()),
                    })).collect::<Vec<_>>(),
                })
            );
            return Ok(Exit::Ok);
        }
        if changes.is_empty() {
            println!("snapshots {before} and {after} say the same");
            return Ok(Exit::Ok);
        }
        println!("from snapshot {before} to {after}:");
        effects.iter().for_each(|effect| println!("  {effect}"));
        for need in &review.needs {
            println!("  needs --acknowledge {}={}: {}", need.what, need.count, need.why);
        }
        println!();
        let mut table = Table::new(&["unit", "name", "change", "before", "after"]);
        let short = |unit: &Option<std::sync::Arc<seawall_snapshot::Unit>>| {
            unit.as_ref().map_or_else(|| "-".to_owned(), |unit| unit.hash.short())
        };
        for change in changes.iter().take(CHANGES_SHOWN) {
            table.row(vec![
                change.kind.name().to_owned(),
                change.name.to_string(),
                word(change).to_owned(),
                short(&change.before),
                short(&change.after),
            ]);
        }
        print!("{table}");
        if changes.len() > CHANGES_SHOWN {
            println!("and {} more", changes.len() - CHANGES_SHOWN);
        }
        Ok(Exit::Ok)
    })
}

/// Deletes one, unless it is needed.
pub fn delete(data_dir: &Path, number: u64, output: Output) -> Exit {
    with_store(data_dir, |store, _| {
        store.delete(number)?;
        let timeline = Timeline::open(data_dir, "command");
        timeline.tell(
            Event::new(Kind::SnapshotDeleted, "operator", format!("snapshot {number} was deleted"))
                .snapshot(number),
        );
        timeline.flush(TOLD_WITHIN);
        match output {
            Output::Json => println!("{}", json!({ "deleted": number })),
            Output::Text => println!("deleted: snapshot {number}"),
        }
        Ok(Exit::Ok)
    })
}

/// Opens the history for a command and tells what goes wrong.
fn with_store(data_dir: &Path, act: impl FnOnce(&Store, &History) -> Result<Exit, StoreFault>) -> Exit {
    // Looking must not make a store where none is.
    if !data_dir.join("snapshots").is_dir() {
        eprintln!(
            "seawall: {} holds no snapshots: is it the data folder (--data-dir), and has Seawall run with it?",
            data_dir.display()
        );
        return Exit::Failure;
    }
    let outcome = Store::open(data_dir).and_then(|store| {
        let history = store.history()?;
        act(&store, &history)
    });
    match outcome {
        Ok(exit) => exit,
        Err(fault) => {
            eprintln!("seawall: {fault}");
            match fault {
                StoreFault::Needed(_) | StoreFault::Quarantined { .. } | StoreFault::StaleBase { .. } => {
                    Exit::Refused
                }
                _ => Exit::Failure,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_snapshot::{Cause, Hash};

    #[test]
    fn the_table_says_what_serves_and_where_a_rollback_goes() {
        let mut history = History::default();
        for (number, state) in [(1, State::Good), (2, State::Quarantined), (3, State::Trial)] {
            let content = Hash::from_bytes([u8::try_from(number).unwrap(); 32]);
            let mut entry = Entry::new(number, content, 0, Cause::new("file", "seawall.toml changed"));
            entry.state = state;
            entry.reason = (state == State::Quarantined).then(|| "it died twice".to_owned());
            history.record(entry);
        }
        history.current = Some(3);
        let text = table(&history, 120_000);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[1].contains("3  trial") && lines[1].contains("serves") && lines[1].contains("2 min ago"),
            "{text}"
        );
        assert!(
            lines[2].contains("quarantined") && lines[2].ends_with("seawall.toml changed; it died twice"),
            "{text}"
        );
        assert!(lines[3].contains("rollback goes here"), "{text}");
    }
}
