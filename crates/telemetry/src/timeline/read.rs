//! Reading the timeline: what every process wrote, in the order it happened.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

use super::event::Event;
use super::file::{FILE, KEEP, aged};
use super::kinds::Kind;

/// Which events are wanted; the default is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Later than this, Unix milliseconds.
    pub after_unix_ms: Option<u64>,
    /// Not later than this, Unix milliseconds.
    pub until_unix_ms: Option<u64>,
    /// Of these kinds; empty for all.
    pub kinds: Vec<Kind>,
    /// About this zone.
    pub zone: Option<String>,
    /// About this module.
    pub module: Option<String>,
    /// About this snapshot.
    pub snapshot: Option<u64>,
    /// At most this many, the newest.
    pub limit: Option<usize>,
}

impl Filter {
    /// Whether an event is wanted, apart from the limit.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        self.after_unix_ms.is_none_or(|after| event.unix_ms > after)
            && self.until_unix_ms.is_none_or(|until| event.unix_ms <= until)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && same(&self.zone, &event.zone)
            && same(&self.module, &event.module)
            && (self.snapshot.is_none() || self.snapshot == event.snapshot)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// In the order they happened.
    pub events: Vec<Event>,
    /// Lines that are no event: cut by a full disk, or damaged.
    pub damaged_lines: u64,
}

/// Reads the timeline of a data folder, with nothing running. A folder without one has no events.
///
/// The order within a process is the order of telling, whatever its clock did; processes are put together by their
/// clocks.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn read(data_dir: &Path, filter: &Filter) -> io::Result<Reading> {
    gather(data_dir, Vec::new(), filter)
}

/// The same together with what a process has in memory.
pub(crate) fn gather(data_dir: &Path, memory: Vec<Event>, filter: &Filter) -> io::Result<Reading> {
    let path = data_dir.join(FILE);
    let mut damaged_lines = 0;
    let mut found = Vec::new();
    for age in (0..=KEEP).rev() {
        let bytes = match fs::read(aged(&path, age)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // What is in memory is told even so.
            Err(_) if !memory.is_empty() => continue,
            Err(error) => return Err(error),
        };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match Event::of_line(line) {
                Some(event) => found.push(event),
                None => damaged_lines += 1,
            }
        }
    }
    let mut events = merge(found, memory);
    events.retain(|event| filter.wants(event));
    if let Some(limit) = filter.limit {
        let older = events.len().saturating_sub(limit);
        events.drain(..older);
    }
    Ok(Reading { events, damaged_lines })
}

/// Events of two readings in one order, each once: a file as it was before and after a rotation, or the file and what a
/// process still has in memory.
#[must_use]
pub fn merge(mut first: Vec<Event>, second: Vec<Event>) -> Vec<Event> {
    first.extend(second);
    let mut seen = HashSet::new();
    first.retain(|event| seen.insert((event.pid, event.seq, event.unix_ms)));
    in_order(first)
}

/// Merges the processes. Each keeps its own order, so that a clock set back does not turn cause and effect round.
pub(crate) fn in_order(events: Vec<Event>) -> Vec<Event> {
    let total = events.len();
    let mut processes: BTreeMap<(String, u32), VecDeque<Event>> = BTreeMap::new();
    let mut restarted = 0;
    let mut keys: BTreeMap<(String, u32), u32> = BTreeMap::new();
    for event in events {
        // A process number is used again one day: numbers of events that begin anew are another process.
        let name = (event.role.clone(), event.pid);
        let round = keys.entry(name).or_insert(0);
        let key = |round: u32| (format!("{} {}", event.role, event.pid), round);
        let begins_anew = event.seq == 1 && processes.get(&key(*round)).is_some_and(|own| !own.is_empty());
        if begins_anew {
            restarted += 1;
            *round = restarted;
        }
        let key = key(*round);
        let own = processes.entry(key).or_default();
        // Lines of one process are in order but for those read from memory.
        let place = own.iter().rposition(|e| e.seq <= event.seq).map_or(0, |i| i + 1);
        own.insert(place, event);
    }
    let mut merged = Vec::with_capacity(total);
    while merged.len() < total {
        let first = processes
            .values_mut()
            .filter(|own| !own.is_empty())
            .min_by_key(|own| own.front().map_or(u64::MAX, |event| event.unix_ms));
        match first.and_then(VecDeque::pop_front) {
            Some(event) => merged.push(event),
            None => break,
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(role: &str, pid: u32, seq: u64, unix_ms: u64) -> Event {
        let mut event = Event::new(Kind::Stage, "test", format!("{role} {seq}")).at(unix_ms);
        (event.role, event.pid, event.seq) = (role.to_owned(), pid, seq);
        event
    }

    fn texts(events: &[Event]) -> Vec<&str> {
        events.iter().map(|e| e.text.as_str()).collect()
    }

    #[test]
    fn processes_are_put_together_by_time_and_each_keeps_its_order_when_its_clock_jumps_back() {
        let events = vec![
            event("edge", 1, 1, 100),
            event("edge", 1, 2, 50),
            event("supervisor", 2, 1, 60),
            event("edge", 1, 3, 110),
        ];
        assert_eq!(texts(&in_order(events)), ["supervisor 1", "edge 1", "edge 2", "edge 3"]);
    }

    #[test]
    fn a_process_number_used_again_is_another_process() {
        let events = vec![event("edge", 1, 1, 100), event("edge", 1, 2, 200), event("edge", 1, 1, 300)];
        assert_eq!(texts(&in_order(events)), ["edge 1", "edge 2", "edge 1"]);
    }

    #[test]
    fn filters_choose_and_the_limit_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::new();
        for n in 1..=10 {
            let mut e = event("edge", 1, n, n * 10).snapshot(n % 2);
            if n > 5 {
                e = e.zone("a.test");
                e.kind = Kind::Alert;
            }
            text.push_str(&e.to_line());
        }
        fs::write(folder.path().join(FILE), text).unwrap();
        let count = |filter: Filter| {
            read(folder.path(), &filter).unwrap().events.iter().map(|e| e.seq).collect::<Vec<_>>()
        };
        assert_eq!(count(Filter { after_unix_ms: Some(80), ..Filter::default() }), [9, 10]);
        assert_eq!(count(Filter { until_unix_ms: Some(20), ..Filter::default() }), [1, 2]);
        assert_eq!(count(Filter { kinds: vec![Kind::Stage], ..Filter::default() }), [1, 2, 3, 4, 5]);
        assert_eq!(
            count(Filter { zone: Some("a.test".into()), snapshot: Some(0), ..Filter::default() }),
            [6, 8, 10]
        );
        assert_eq!(count(Filter { limit: Some(3), ..Filter::default() }), [8, 9, 10]);
    }

    #[test]
    fn damaged_lines_are_passed_over_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let good = event("edge", 1, 1, 5).to_line();
        let half: String = good.chars().take(30).collect();
        fs::write(
            folder.path().join(FILE),
            format!("{good}{half}\n\0\0\0\n\n{}", event("edge", 1, 2, 6).to_line()),
        )
        .unwrap();
        let reading = read(folder.path(), &Filter::default()).unwrap();
        assert_eq!((reading.events.len(), reading.damaged_lines), (2, 2));
    }

    #[test]
    fn a_folder_without_a_timeline_has_no_events() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), &Filter::default()).unwrap(), Reading::default());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_turned_round(times in proptest::collection::vec((0u32..3, 0u64..1000), 0..60)) {
            let mut seqs = [0u64; 3];
            let events: Vec<Event> = times.iter().map(|(pid, ms)| {
                seqs[*pid as usize] += 1;
                event("edge", *pid, seqs[*pid as usize], *ms)
            }).collect();
            let merged = in_order(events.clone());
            prop_assert_eq!(merged.len(), events.len());
            for pid in 0..3 {
                let own = merged.iter().filter(|e| e.pid == pid).map(|e| e.seq);
                prop_assert!(own.eq(1..=seqs[pid as usize]));
            }
        }
    }
}
