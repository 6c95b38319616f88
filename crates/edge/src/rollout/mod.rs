//! The way of a change inside one edge: checked, published as a snapshot, rehearsed, given to a growing share of the
//! requests while gates compare, adopted, and after its soak called good (DESIGN §5). One thread does it, off the
//! request path; what a worker sees of it is a pointer that changes.

mod artifacts;
mod canary;
mod overlay;
mod prepare;
mod rehearsal;
mod status;

pub use artifacts::{Artifact, BOT_FEATURES, check as check_artifact};
pub(crate) use overlay::Overlay;
pub(crate) use status::Status;

use crate::process::{Note, Process};
use crate::stages::{told, what};
use crate::watchdog::{Log, Stuck};
use artifacts::Intake;
use canary::Trial;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use seawall_guard::Guard;
use seawall_model::{self as model, Module};
use seawall_snapshot::{Ack, Cause, Hash, Needed, Store, UnitKind, UnitPrefix, Units};
use seawall_telemetry::timeline::{Event, Kind, Timeline};
use status::{Ended, Outcome, Standing};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Changes that may wait for their turn; of configuration files only the newest counts, so this bounds orders.
const ORDERS_MAX: usize = 64;
/// How often a change on its way is looked at.
const STEP: Duration = Duration::from_millis(25);
/// How often everything else is: notes of workers, the soak.
const IDLE: Duration = Duration::from_millis(200);
/// Panics of one zone's requests outside of any stage within [`PANIC_WINDOW`], at which its unit is taken back.
const PANICS_MAX: u32 = 3;
const PANIC_WINDOW: Duration = Duration::from_secs(60);

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
}

/// What reaches the thread.
enum Order {
    Propose(u64, Box<Proposal>),
    Unpin(String),
    /// Certificates or log files moved; nothing to do with content.
    End,
}

/// The way to the thread.
pub(crate) struct Handle {
    orders: Sender<Order>,
    next: AtomicU64,
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
        self.status.lock().last = Some(Ended {
            order,
            number: None,
            outcome: Outcome::Refused,
            verdict: None,
            reasons,
            effects: Vec::new(),
            needs: Vec::new(),
            unix_ms: unix_ms(),
        });
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
    notes: Receiver<Note>,
    status: Arc<Mutex<Status>>,
    /// Documents of the process itself, for what units do not hold (its data folder).
    data_dir: std::path::PathBuf,
    current: Current,
    overlay: Overlay,
    intake: Intake,
    trial: Option<Box<Trial>>,
    waiting: VecDeque<(u64, Box<Proposal>)>,
    panics: Vec<(u64, Instant)>,
    began: Instant,
}

/// What serves.
struct Current {
    number: u64,
    units: Units,
    /// The same without the operator's switches.
    source: Units,
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
        let data_dir = process.data_dir.clone();
        let mut intake = Intake::default();
        if let Some(unit) = boot.units.get(UnitKind::Data, BOT_FEATURES) {
            intake.begin_with(BOT_FEATURES, Hash::of(&unit.bytes), 0);
        }
        let driver = Driver {
            overlay: Overlay::load(&data_dir),
            process,
            log,
            store: boot.store,
            timeline: boot.timeline,
            orders,
            notes,
            status: status.clone(),
            data_dir,
            current: Current {
                number: boot.number,
                source: boot.units.clone(),
                units: boot.units,
                since: Instant::now(),
            },
            intake,
            trial: None,
            waiting: VecDeque::new(),
            panics: Vec::new(),
            began: Instant::now(),
        };
        driver.tell_standing();
        (driver, Handle { orders: sender, next: AtomicU64::new(1), status })
    }

    /// Runs until the edge ends. A fault of ours in here costs the change at hand, never the ones after it.
    pub(crate) fn run(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(true) => {}
                Ok(false) => return,
                Err(panic) => {
                    let why = format!("carrying out a change panicked: {}", what(&*panic));
                    self.tell(Event::new(Kind::Alert, "panic", why));
                    if let Some(trial) = self.trial.take() {
                        self.take_back(&trial);
                    } else {
                        self.process.try_beside(None);
                    }
                }
            }
        }
    }

    /// One look at everything; false at the end.
    fn turn(&mut self) -> bool {
        let wait = if self.trial.is_some() { STEP } else { IDLE };
        match self.orders.recv_timeout(wait) {
            Ok(Order::Propose(order, proposal)) => self.enqueue(order, proposal),
            Ok(Order::Unpin(artifact)) => self.unpin(&artifact),
            Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {}
        }
        while let Ok(note) = self.notes.try_recv() {
            self.heed(note);
        }
        self.step_trial();
        if self.trial.is_none() {
            if let Some((order, proposal)) = self.waiting.pop_front() {
                self.begin(order, *proposal);
            } else {
                self.soak();
                self.settle();
            }
        }
        self.status.lock().queued = !self.waiting.is_empty();
        true
    }

    /// Of several configurations that wait the newest counts. Orders of an operator go first, and a short one does not
    /// wait for a long one to end: it takes its place, and the long one follows after.
    fn enqueue(&mut self, order: u64, proposal: Box<Proposal>) {
        if matches!(proposal.content, Content::Site { .. }) {
            let stale = self
                .waiting
                .iter()
                .position(|(_, p)| matches!(p.content, Content::Site { .. }) && p.acks.is_empty());
            if let Some((earlier, _)) = stale.and_then(|at| self.waiting.remove(at)) {
                self.ended(earlier, None, Outcome::Superseded, vec!["a newer configuration came".to_owned()]);
            }
        }
        if !proposal.quick {
            self.waiting.push_back((order, proposal));
            return;
        }
        self.waiting.push_front((order, proposal));
        if let Some(trial) = self.trial.take() {
            self.take_back(&trial);
            self.tell(
                Event::new(
                    Kind::Superseded,
                    "operator",
                    "an order with short stages goes first; this change follows it",
                )
                .snapshot(trial.number),
            );
            let again = trial.into_proposal();
            self.waiting.insert(1, again);
        }
    }

    fn unpin(&mut self, artifact: &str) {
        if self.intake.unpin(artifact) {
            self.tell(
                Event::new(Kind::ArtifactUnpinned, "operator", format!("{artifact} is followed again"))
                    .unit(format!("data {artifact}")),
            );
        }
        self.status.lock().pinned = self.intake.pinned();
    }

    /// Follows again what has stopped alternating.
    fn settle(&mut self) {
        for name in self.intake.settle(self.now_ms()) {
            let text = format!("{name} has calmed down and is followed again");
            self.tell(Event::new(Kind::ArtifactUnpinned, "calm", text).unit(format!("data {name}")));
            self.status.lock().pinned = self.intake.pinned();
        }
    }

    fn heed(&mut self, note: Note) {
        match note {
            Note::BreakerOpened { zone, module, fault, why } => {
                self.count_breaker(module, 1);
                let text = format!(
                    "{} failed for {zone} ({}): {why}; it is skipped there by its failure mode",
                    module.name(),
                    fault.name()
                );
                self.tell(
                    Event::new(Kind::BreakerOpened, fault.name(), text).zone(zone).module(module.name()),
                );
            }
            Note::BreakerClosed { zone, module } => {
                self.count_breaker(module, -1);
                let text = format!("{} works again for {zone}", module.name());
                self.tell(Event::new(Kind::BreakerClosed, "probe", text).zone(zone).module(module.name()));
            }
            Note::RuleTripped { zone, rule } => {
                let text = format!("rule `{rule}` of {zone} used up the time of all rules and is skipped");
                self.tell(Event::new(Kind::RuleTripped, "time", text).zone(zone).module("firewall"));
            }
            Note::Panicked { zone, unit, why } => self.panicked(&zone, unit, &why),
            Note::Stuck(stuck) => self.stuck(&stuck),
        }
    }

    fn stuck(&self, stuck: &Stuck) {
        let live = self.process.live.load_full();
        let zone = live.by_unit(stuck.unit).map(|zone| zone.doc.name.clone());
        let module = stuck.module.and_then(|index| Module::ALL.get(index));
        let place = match (&zone, module) {
            (Some(zone), Some(module)) => format!("in {} for {zone}", module.name()),
            (Some(zone), None) => format!("with a request for {zone}"),
            _ => "somewhere".to_owned(),
        };
        let then = if stuck.stand_in { "a stand-in serves its sockets" } else { "there is no stand-in left" };
        let text = format!("worker {} stands still {place} for {} ms; {then}", stuck.worker, stuck.for_ms);
        let mut event = Event::new(Kind::WorkerStuck, "watchdog", text);
        if let Some(zone) = zone {
            event = event.zone(zone);
        }
        if let Some(module) = module {
            event = event.module(module.name());
            self.count_breaker(*module, 1);
        }
        self.tell(event);
    }

    fn count_breaker(&self, module: Module, by: i64) {
        let open = &self.process.registry.shared().module_breakers_open;
        open.set(told(module), (open.level(told(module)) + by).max(0));
    }

    /// A few panics of one zone's requests: its unit goes, and its last version serves.
    fn panicked(&mut self, zone: &str, unit: u64, why: &str) {
        let now = Instant::now();
        self.panics.retain(|(_, at)| now.duration_since(*at) < PANIC_WINDOW);
        if self.panics.len() >= 1000 {
            return;
        }
        self.panics.push((unit, now));
        let count = self.panics.iter().filter(|(u, _)| *u == unit).count();
        if count as u32 == PANICS_MAX {
            self.quarantine_zone(zone, unit, &format!("{PANICS_MAX} of its requests panicked: {why}"));
        }
    }

    /// Takes one zone's unit out of service, and puts its last other version in its place.
    fn quarantine_zone(&mut self, zone: &str, unit: u64, reason: &str) {
        let Some(store) = &self.store else { return };
        if self.without(Guard::ZoneQuarantine) {
            return;
        }
        let noted = store.update(|history| history.quarantine_unit(UnitPrefix(unit), reason, unix_ms()));
        if let Err(fault) = noted {
            tracing::error!(%fault, zone, "a unit cannot be put into quarantine");
            return;
        }
        let text = format!("{zone} falls back to its last other version: {reason}");
        self.tell(Event::new(Kind::UnitQuarantined, "panic", text).zone(zone).unit(format!("zone {zone}")));
        self.process.registry.shared().snapshots_quarantined.inc();
        if let Some(trial) = self.trial.take() {
            self.take_back(&trial);
            self.waiting.push_back(trial.into_proposal());
        }
        self.fall_back();
    }

    /// Serves what the store holds to be the current snapshot without the units in quarantine. These served before, so
    /// there is nothing to try.
    fn fall_back(&mut self) {
        let Some(Ok(start)) = self.store.as_ref().map(|store| store.start(false)) else { return };
        if start.units.hash() == self.current.units.hash() {
            return;
        }
        let (mut live, faults) = self.process.compile(&start.units);
        if !faults.is_empty() {
            return;
        }
        let number = start.manifest.number;
        live.snapshot = number;
        let live = Arc::new(live);
        self.process.recorder.runs(number, 0);
        self.process.prepare_certificates(&live);
        self.process.adopt(live.clone());
        self.process.took_over(&live);
        self.current =
            Current { number, source: start.units.clone(), units: start.units, since: Instant::now() };
        if let Some(Err(fault)) =
            self.store.as_ref().map(|s| s.update(|history| history.started(number, unix_ms())))
        {
            tracing::error!(%fault, number, "it is not noted on disk that this snapshot serves");
        }
        let text = format!("snapshot {number} serves every request, without what is in quarantine");
        self.tell(Event::new(Kind::RolledBack, "quarantine", text).snapshot(number));
        self.tell_standing();
    }

    /// Calls the current snapshot good once it has served long enough.
    fn soak(&mut self) {
        let Some(store) = &self.store else { return };
        let soak = self.process.live.load().rollout.soak;
        if self.current.number == 0
            || self.current.since.elapsed() < soak
            || self.status.lock().current.as_ref().is_none_or(|c| c.state == "good")
        {
            return;
        }
        let soak_ms = u64::try_from(soak.as_millis()).unwrap_or(u64::MAX);
        match store.update(|history| history.soak(unix_ms(), soak_ms)) {
            Ok(Some(number)) => {
                let text = format!("snapshot {number} served for {} s without a death", soak.as_secs());
                self.tell(Event::new(Kind::PromotedGood, "soak", text).snapshot(number));
            }
            Ok(None) => {}
            Err(fault) => {
                seawall_telemetry::occasionally!(WARN, %fault, "a snapshot cannot be marked as good");
            }
        }
        self.tell_standing();
    }

    /// Puts what serves into the status and the metrics.
    fn tell_standing(&self) {
        let number = self.current.number;
        let state =
            self.store.as_ref().and_then(|s| s.history().ok()).and_then(|h| h.entry(number).map(|e| e.state));
        let shared = self.process.registry.shared();
        shared.snapshot_running.set(i64::try_from(number).unwrap_or(i64::MAX));
        let since = u64::try_from(self.current.since.elapsed().as_millis()).unwrap_or(0);
        self.status.lock().current = Some(Standing {
            number,
            content: self.current.units.hash().to_string(),
            state: state.map_or("trial", seawall_snapshot::State::name),
            since_unix_ms: unix_ms().saturating_sub(since),
        });
    }

    fn ended(&self, order: u64, number: Option<u64>, outcome: Outcome, reasons: Vec<String>) {
        let mut status = self.status.lock();
        status.candidate = None;
        status.last = Some(Ended {
            order,
            number,
            outcome,
            verdict: None,
            reasons,
            effects: Vec::new(),
            needs: Vec::new(),
            unix_ms: unix_ms(),
        });
    }

    fn refuse(
        &self,
        order: u64,
        number: Option<u64>,
        reasons: Vec<String>,
        effects: Vec<String>,
        needs: Vec<Needed>,
    ) {
        let text = reasons.join("; ");
        let mut event = Event::new(Kind::ChangeRefused, "check", text);
        if let Some(number) = number {
            event = event.snapshot(number);
        }
        self.tell(event);
        self.process.registry.shared().snapshots_refused.inc();
        let mut status = self.status.lock();
        status.candidate = None;
        status.last = Some(Ended {
            order,
            number,
            outcome: Outcome::Refused,
            verdict: None,
            reasons,
            effects,
            needs,
            unix_ms: unix_ms(),
        });
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
