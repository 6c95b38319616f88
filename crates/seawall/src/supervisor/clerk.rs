//! Writes deaths into the history of snapshots, on a thread of its own: a disk that is full or stuck, a history that is
//! damaged or locked must not keep the supervisor from supervising.
//!
//! The supervisor waits a moment for the entry, because the edge it starts next reads the history to see what to start with.
//! If it takes longer, the edge starts all the same, and the entry counts for the one after.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use seawall_guard::{Guard, Sabotage};
use seawall_model::Module;
use seawall_snapshot::{SteadyClock, Store, Verdict};
use seawall_sys::recorder::{Reading, Runs};
use seawall_telemetry::timeline::{Event, Kind, Timeline};

/// How long a restart waits for the entry: many times what a write takes, and little beside what a start takes.
const PATIENCE: Duration = Duration::from_millis(500);
/// Deaths that may wait for a disk that is stuck. Restarts are seconds apart by then; more are not written down.
const QUEUE: usize = 16;

/// A death of the serving edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// How it ended, as a phrase.
    pub how: String,
    /// How long it had run, in milliseconds.
    pub ran_ms: u64,
    /// What it ran and had in hand.
    pub reading: Reading,
}

impl Death {
    /// What it had in hand, in words.
    pub fn in_hand(&self) -> String {
        let hands: Vec<String> = self
            .reading
            .hands
            .iter()
            .map(|(_, hand)| {
                let module = hand.module.and_then(|index| Module::ALL.get(index));
                match module {
                    Some(module) => format!("unit {:016x} in module {}", hand.unit, module.name()),
                    None => format!("unit {:016x}", hand.unit),
                }
            })
            .collect();
        if hands.is_empty() { "nothing in hand".to_owned() } else { format!("{} in hand", hands.join(", ")) }
    }
}

/// Where deaths are written down.
pub trait Book: Send + 'static {
    /// Writes one down, and says what follows from it.
    ///
    /// # Errors
    /// Why it could not be written, in words.
    fn enter(&mut self, death: &Death) -> Result<Verdict, String>;
}

/// The thread's front.
#[derive(Debug)]
pub struct Clerk {
    jobs: Option<SyncSender<(Death, SyncSender<Option<Verdict>>)>>,
    patience: Duration,
}

impl Clerk {
    /// A clerk for the history of a data folder. A drill may leave out what it does.
    pub fn start(data_dir: &Path, timeline: Timeline, sabotage: Option<Arc<Sabotage>>) -> Self {
        let book = Snapshots { data_dir: data_dir.to_owned(), clock: SteadyClock::start(), sabotage };
        Self::with(book, timeline, PATIENCE)
    }

    fn with(book: impl Book, timeline: Timeline, patience: Duration) -> Self {
        let (jobs, waiting) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("clerk".to_owned());
        match thread.spawn(move || work(book, &timeline, &waiting)) {
            Ok(_) => Self { jobs: Some(jobs), patience },
            Err(error) => {
                tracing::error!(%error, "no thread to write deaths down; restarts go on without");
                Self { jobs: None, patience }
            }
        }
    }

    /// Has a death written down. Waits a moment for what follows from it; `None` if it took longer or failed.
    pub fn enter(&self, death: Death) -> Option<Verdict> {
        let (reply, verdict) = sync_channel(1);
        if self.jobs.as_ref()?.try_send((death, reply)).is_err() {
            tracing::error!("a death is not written down: earlier ones still wait for the disk");
            return None;
        }
        match verdict.recv_timeout(self.patience) {
            Ok(verdict) => verdict,
            Err(_) => {
                tracing::error!("writing a death down takes long; the edge is started meanwhile");
                None
            }
        }
    }
}

type Job = (Death, SyncSender<Option<Verdict>>);

fn work(mut book: impl Book, timeline: &Timeline, waiting: &Receiver<Job>) {
    for (death, reply) in waiting {
        // A history damaged in a way nobody thought of costs this entry.
        let entered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| book.enter(&death)));
        let verdict = match entered {
            Ok(Ok(verdict)) => Some(verdict),
            Ok(Err(why)) => {
                tracing::error!("a death cannot be written into the history of snapshots: {why}");
                None
            }
            Err(_) => {
                tracing::error!("writing a death down failed badly; the supervisor goes on");
                None
            }
        };
        // First this: the supervisor waits.
        let _ = reply.try_send(verdict.clone());
        if let Some(event) = verdict.and_then(|verdict| event(&verdict, &death)) {
            timeline.tell(event);
        }
    }
}

/// What is worth telling of what follows from a death.
fn event(verdict: &Verdict, death: &Death) -> Option<Event> {
    let told = |kind, number: u64| {
        let text = format!("{verdict}; the edge {} with {}", death.how, death.in_hand());
        Event::new(kind, "supervisor", text).snapshot(number)
    };
    Some(match verdict {
        Verdict::Nothing | Verdict::Counted { .. } => return None,
        Verdict::Unit { number, unit, .. } => told(Kind::UnitQuarantined, *number).unit(unit.to_string()),
        Verdict::Snapshot { number, .. } => told(Kind::Quarantined, *number),
        Verdict::Kept { number, .. } => told(Kind::Alert, *number),
    })
}

/// The history of snapshots in a data folder.
struct Snapshots {
    data_dir: PathBuf,
    clock: SteadyClock,
    sabotage: Option<Arc<Sabotage>>,
}

impl Snapshots {
    /// The units that may be to blame.
    fn suspects(&self, death: &Death) -> Vec<u64> {
        if self.without(Guard::ZoneQuarantine) { Vec::new() } else { death.reading.suspects() }
    }

    fn without(&self, guard: Guard) -> bool {
        self.sabotage.as_ref().is_some_and(|sabotage| sabotage.without(guard))
    }
}

impl Book for Snapshots {
    fn enter(&mut self, death: &Death) -> Result<Verdict, String> {
        if self.without(Guard::Quarantine) {
            return Ok(Verdict::Nothing);
        }
        // Opened each time: the folder may have been repaired, or made, since.
        let store = Store::open(&self.data_dir).map_err(|fault| fault.to_string())?;
        let (now, suspects) = (self.clock.now_unix_ms(), self.suspects(death));
        let entered = store.update(|history| {
            let Runs { current, candidate } = death.reading.runs;
            // What the edge said it runs is what it died with, whatever it came to write down.
            // One that had not come to say anything began with what serves.
            let known = |number: u64| history.entry(number).is_some().then_some(number);
            let (current, candidate) = (known(current), known(candidate));
            history.candidate = candidate;
            history.current = current.or(history.current);
            history.died(death.ran_ms, now, &suspects)
        });
        entered.map_err(|fault| fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    type Entry = Box<dyn FnMut(&Death) -> Result<Verdict, String> + Send>;

    struct Script(Entry);

    impl Book for Script {
        fn enter(&mut self, death: &Death) -> Result<Verdict, String> {
            (self.0)(death)
        }
    }

    fn death() -> Death {
        let reading = Reading { runs: Runs { current: 3, candidate: 0 }, hands: Vec::new() };
        Death { how: "was killed by SIGSEGV".to_owned(), ran_ms: 9, reading }
    }

    fn clerk(
        patience_ms: u64,
        entry: impl FnMut(&Death) -> Result<Verdict, String> + Send + 'static,
    ) -> (Clerk, Timeline) {
        let timeline = Timeline::open(&tempfile::tempdir().unwrap().keep(), "supervisor");
        let patience = Duration::from_millis(patience_ms);
        (Clerk::with(Script(Box::new(entry)), timeline.clone(), patience), timeline)
    }

    #[test]
    fn what_follows_from_a_death_is_told_and_waited_for() {
        let verdict = Verdict::Snapshot { number: 3, next: 2, reason: "it died twice".to_owned() };
        let answer = verdict.clone();
        let (clerk, timeline) = clerk(20_000, move |_| Ok(answer.clone()));
        assert_eq!(clerk.enter(death()), Some(verdict));
        drop(clerk);
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            timeline.flush(Duration::from_secs(1));
            if let [event] = &timeline.recent()[..] {
                assert_eq!((event.kind, event.snapshot), (Kind::Quarantined, Some(3)));
                assert!(
                    event.text.contains("died twice") && event.text.contains("SIGSEGV"),
                    "{}",
                    event.text
                );
                return;
            }
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_stuck_disk_holds_up_nobody_for_long() {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let theirs = Arc::clone(&lock);
        let (clerk, _) = clerk(50, move |_| {
            drop(theirs.lock());
            Ok(Verdict::Nothing)
        });
        let begun = Instant::now();
        for _ in 0..QUEUE + 5 {
            assert_eq!(clerk.enter(death()), None);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "some wait a moment, those beyond the queue not at all"
        );
        drop(held);
    }

    #[test]
    fn a_history_that_cannot_be_written_or_makes_the_writer_panic_costs_the_entry_only() {
        let mut calls = 0;
        let (clerk, _) = clerk(20_000, move |_| {
            calls += 1;
            match calls {
                1 => Err("no space left on device".to_owned()),
                2 => panic!("damaged"),
                _ => Ok(Verdict::Counted { number: 3, deaths: 1 }),
            }
        });
        assert_eq!(clerk.enter(death()), None);
        assert_eq!(clerk.enter(death()), None);
        assert_eq!(clerk.enter(death()), Some(Verdict::Counted { number: 3, deaths: 1 }));
    }
}
