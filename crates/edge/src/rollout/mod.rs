//! The way of a change inside one edge: checked, published as a snapshot, rehearsed, given to a growing share of the
//! requests while gates compare, adopted, and after its soak called good (DESIGN §5). One thread does it, off the
//! request path; what a worker sees of it is a pointer that changes.
//!
//! | file | holds |
//! |---|---|
//! | `queue` | what waits, and what goes first |
//! | `source`, `artifacts`, `overlay` | what a change says: documents, data files, switches |
//! | `prepare` | checks, compiling, publishing |
//! | `rehearsal`, `canary`, `ending` | trying it, adopting it, taking it back |
//! | `notes` | what workers tell: breakers, panics, units to blame |
//! | `standing`, `status` | what is told of it all |

mod artifacts;
mod canary;
mod ending;
mod notes;
mod overlay;
mod prepare;
mod queue;
mod rehearsal;
mod source;
mod standing;
mod status;

pub use artifacts::{Artifact, BOT_FEATURES, check as check_artifact};
pub(crate) use overlay::{Overlay, Switch};
pub(crate) use status::Status;

use crate::process::{Note, Process};
use crate::stages::what;
use crate::watchdog::Log;
use artifacts::Intake;
use canary::Trial;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use notes::{Breakers, Panics};
use parking_lot::Mutex;
use queue::Queue;
use seawall_guard::Guard;
use seawall_model::{self as model, Module};
use seawall_snapshot::{Ack, Bytes, Cause, SteadyClock, Store, UnitKind, Units};
use seawall_telemetry::timeline::{Event, Kind, Timeline};
use status::{Ended, Outcome};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Changes that may wait for their turn; of configuration files only the newest counts, so this bounds orders.
const ORDERS_MAX: usize = 64;
/// How often a change on its way is looked at.
const STEP: Duration = Duration::from_millis(25);
/// How often everything else is: notes of workers, the soak.
const IDLE: Duration = Duration::from_millis(200);

/// A change somebody wants.
#[derive(Debug)]
pub struct Proposal {
    /// What it says.
    pub content: Content,
    /// Who wants it, and why.
    pub cause: Cause,
    /// What they acknowledge, with its number.
    pub acks: Vec<Ack>,
    /// The snapshot it was made from, if they know.
    pub base: Option<u64>,
    /// By the short stages.
    pub quick: bool,
}

/// What a change says.
#[derive(Debug)]
pub enum Content {
    /// A configuration as read. Zones with an error are not in the site; they keep their last version.
    Site {
        /// The documents.
        site: Box<model::Site>,
        /// What is wrong with parts of it.
        problems: Vec<model::Problem>,
        /// Lists with an error, which are not in the site either and keep their last version.
        refused_lists: Vec<String>,
        /// The data files it names.
        artifacts: Vec<Artifact>,
    },
    /// A data file alone: one that was pinned and is followed again.
    Data {
        /// Its name.
        name: &'static str,
        /// What is in it.
        bytes: Bytes,
    },
    /// An earlier snapshot: this one, or the newest good one before the current.
    Snapshot(Option<u64>),
    /// A module on or off, everywhere or for one zone.
    Switch {
        /// Which.
        module: Module,
        /// Where.
        zone: Option<String>,
        /// Which way.
        on: bool,
    },
    /// What was switched by hand before this process began, and is not so in what it began with.
    Switches,
}

/// What reaches the thread.
enum Order {
    Propose(u64, Box<Proposal>),
    Unpin(String),
    End,
}

/// The way to the thread.
pub(crate) struct Handle {
    orders: Sender<Order>,
    next: Arc<AtomicU64>,
    status: Arc<Mutex<Status>>,
}

impl Handle {
    /// Hands in a change; its number is found again in the status.
    ///
    /// # Errors
    /// Too many are waiting.
    pub(crate) fn propose(&self, order: u64, proposal: Proposal) -> Result<(), String> {
        let order = Order::Propose(order, Box::new(proposal));
        self.orders.try_send(order).map_err(|_| "too many changes are waiting already".to_owned())
    }

    /// A number for a change to come.
    pub(crate) fn next_order(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Follows a pinned artifact again.
    pub(crate) fn unpin(&self, artifact: &str) -> Result<(), String> {
        self.orders.try_send(Order::Unpin(artifact.to_owned())).map_err(|_| "too many orders wait".to_owned())
    }

    pub(crate) fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Notes that a change was refused before it got here.
    pub(crate) fn refused(&self, order: u64, reasons: Vec<String>) {
        self.status.lock().end(Ended { reasons, ..Ended::new(order, None, Outcome::Refused) });
    }

    pub(crate) fn end(&self) {
        let _ = self.orders.try_send(Order::End);
    }
}

/// What an edge starts from.
pub struct Boot {
    /// What is served from the first request on.
    pub units: Units,
    /// Its number; 0 if it has none yet.
    pub number: u64,
    /// Where snapshots are kept. Without one nothing outlives the process.
    pub store: Option<Store>,
    /// Where what happens is told.
    pub timeline: Timeline,
}

/// The thread.
pub(crate) struct Driver {
    process: Arc<Process>,
    log: Log,
    store: Option<Store>,
    timeline: Timeline,
    orders: Receiver<Order>,
    /// Gives numbers to orders of its own.
    next: Arc<AtomicU64>,
    notes: Receiver<Note>,
    status: Arc<Mutex<Status>>,
    data_dir: PathBuf,
    current: Current,
    overlay: Overlay,
    intake: Intake,
    trial: Option<Box<Trial>>,
    waiting: Queue,
    /// The order at hand and the number it got, for as long as its end was not told.
    at_hand: Option<(u64, Option<u64>)>,
    /// What of the change at hand keeps its last version, and why.
    kept: Vec<String>,
    panics: Panics,
    breakers: Breakers,
    /// The last number given where no snapshots are kept.
    unkept: u64,
    soaked: Instant,
    clock: SteadyClock,
    began: Instant,
}

/// What serves.
struct Current {
    number: u64,
    units: Units,
    since: Instant,
}

impl Driver {
    /// The thread and the way to it.
    pub(crate) fn new(
        process: Arc<Process>,
        log: Log,
        boot: Boot,
        notes: Receiver<Note>,
    ) -> (Driver, Handle) {
        let (sender, orders) = crossbeam_channel::bounded(ORDERS_MAX);
        let status = Arc::new(Mutex::new(Status::default()));
        let next = Arc::new(AtomicU64::new(1));
        let data_dir = process.data_dir.clone();
        // Not what it was to start with: what of it could not be compiled does not run.
        let units = process.live.load().units.clone();
        let mut intake = Intake::default();
        if let Some(unit) = units.get(UnitKind::Data, BOT_FEATURES) {
            intake.begin_with(BOT_FEATURES, &unit.bytes, 0);
        }
        let mut driver = Driver {
            overlay: Overlay::load(&data_dir).unwrap_or_else(|| Overlay::of(&units)),
            process,
            log,
            store: boot.store,
            timeline: boot.timeline,
            orders,
            next: next.clone(),
            notes,
            status: status.clone(),
            data_dir,
            current: Current { number: boot.number, units, since: Instant::now() },
            intake,
            trial: None,
            waiting: Queue::default(),
            at_hand: None,
            kept: Vec::new(),
            panics: Panics::default(),
            breakers: Breakers::default(),
            unkept: boot.number,
            soaked: Instant::now(),
            clock: SteadyClock::start(),
            began: Instant::now(),
        };
        driver.tell_standing();
        if Overlay::of(&driver.current.units) != driver.overlay {
            driver.propose(Content::Switches, Cause::new("start", "modules were switched by hand before"));
        }
        (driver, Handle { orders: sender, next, status })
    }

    /// Runs until the edge ends. A fault of ours in here costs the change at hand, never the ones after it.
    pub(crate) fn run(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(true) => {}
                Ok(false) => return,
                Err(panic) => {
                    let why = format!("carrying out a change failed inside Seawall: {}", what(&*panic));
                    // Whatever fails in here must not end the thread either.
                    let _ = catch_unwind(AssertUnwindSafe(|| self.abandon(&why)));
                }
            }
        }
    }

    /// One look at everything; false at the end.
    fn turn(&mut self) -> bool {
        let wait = if self.trial.is_some() { STEP } else { IDLE };
        let wait = if self.trial.is_none() && !self.waiting.is_empty() { Duration::ZERO } else { wait };
        let first = match self.orders.recv_timeout(wait) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        // All that has come by now: a short order is not to wait behind a long one that came a moment before it.
        let orders: Vec<Order> = first.into_iter().chain(self.orders.try_iter()).collect();
        for order in orders {
            match order {
                Order::Propose(order, proposal) => self.enqueue(order, proposal),
                Order::Unpin(artifact) => self.unpin(&artifact),
                Order::End => return false,
            }
        }
        while let Ok(note) = self.notes.try_recv() {
            self.heed(note);
        }
        self.step_trial();
        self.look_at_breakers();
        self.soak();
        self.settle();
        if self.trial.is_none()
            && let Some((order, proposal)) = self.waiting.pop()
        {
            self.begin(order, *proposal);
        }
        let waiting = self.waiting.orders();
        let mut status = self.status.lock();
        status.queued = !waiting.is_empty();
        status.waiting = waiting;
        true
    }

    /// Takes a change in. A short one does not wait for a long one to end: it takes its place, and the long one follows
    /// after, unless the short one makes it pointless.
    fn enqueue(&mut self, order: u64, proposal: Box<Proposal>) {
        let makes_way = self.trial.take_if(|trial| proposal.quick && !trial.is_quick());
        if let Some(trial) = makes_way {
            let pointless = proposal.supersedes(&trial.proposal);
            let then = if pointless { "and this change is dropped" } else { "and this change follows it" };
            let text = format!("an order with short stages goes first, {then}");
            self.tell(Event::new(Kind::Superseded, "operator", text).snapshot(trial.number));
            let again = self.make_way(*trial);
            if pointless {
                self.superseded(again.0);
            } else {
                self.waiting.again(again);
            }
        }
        for pointless in self.waiting.push(order, proposal) {
            self.superseded(pointless);
        }
    }

    fn superseded(&mut self, order: u64) {
        let reasons = vec!["a later change took its place".to_owned()];
        self.end(Ended { reasons, ..Ended::new(order, None, Outcome::Superseded) });
    }

    /// Hands in a change of its own.
    fn propose(&mut self, content: Content, cause: Cause) {
        let quick = matches!(content, Content::Switches);
        let proposal = Proposal { content, cause, acks: Vec::new(), base: None, quick };
        let order = self.next.fetch_add(1, Ordering::Relaxed);
        self.enqueue(order, Box::new(proposal));
    }

    fn unpin(&mut self, artifact: &str) {
        if self.intake.unpin(artifact) {
            self.follow(artifact, "operator", format!("{artifact} is followed again"));
        }
    }

    /// Follows again what has stopped alternating.
    fn settle(&mut self) {
        for name in self.intake.settle(self.now_ms()) {
            self.follow(&name, "calm", format!("{name} has calmed down and is followed again"));
        }
    }

    /// The last version of an artifact that was pinned is not waited for to come a second time.
    fn follow(&mut self, artifact: &str, cause: &str, text: String) {
        self.tell(Event::new(Kind::ArtifactUnpinned, cause, text.clone()).unit(format!("data {artifact}")));
        self.status.lock().pinned = self.intake.pinned();
        if let Some((name, bytes)) = self.intake.newest(artifact) {
            self.propose(Content::Data { name, bytes }, Cause::new("file", text));
        }
    }

    /// A fault of ours: what serves stays, and nothing of the change at hand is left.
    fn abandon(&mut self, why: &str) {
        self.trial = None;
        self.process.try_beside(None);
        let live = self.process.live.load_full();
        if live.units.hash() != self.current.units.hash() {
            // It was adopted before the fault: what serves is what counts.
            self.current =
                Current { number: live.snapshot, units: live.units.clone(), since: Instant::now() };
        }
        self.process.recorder.runs(self.current.number, 0);
        self.process.prepare_certificates(&live, None);
        self.note_candidate(None);
        let at_hand = self.at_hand.take();
        let mut event = Event::new(Kind::Alert, "panic", why.to_owned());
        if let Some((_, Some(number))) = at_hand {
            event = event.snapshot(number);
            self.drop_candidate(number, why);
        }
        self.tell(event);
        self.tell_standing();
        let mut status = self.status.lock();
        status.candidate = None;
        if let Some((order, number)) = at_hand {
            status.end(Ended { reasons: vec![why.to_owned()], ..Ended::new(order, number, Outcome::Failed) });
        }
    }

    fn without(&self, guard: Guard) -> bool {
        self.process.sabotage.as_ref().is_some_and(|s| s.without(guard))
    }

    fn tell(&self, event: Event) {
        self.timeline.tell(event);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

pub(crate) fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
