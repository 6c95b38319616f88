//! Zones of a change, decoded and compiled in threads of their own, each within its budget.

use super::compile::{CompileError, Means};
use super::entry::{Entry, said};
use super::zone::Zone;
use crate::stages::Shared;
use seawall_model as model;
use seawall_snapshot::{LimitFault, Measured, Unit, UnitKind, codec};
use seawall_sys::alloc::thread_allocated;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Zones below which another thread is not worth starting: they take a few milliseconds.
const SHARE_MIN: usize = 64;
/// Zones a thread compiles before it lets others have its core: about half a millisecond, which is what a request may
/// have to wait where workers serve on the same cores.
const LOT: usize = 8;
/// And how long it pauses then while something is being served.
const PAUSE: Duration = Duration::from_micros(100);
/// A zone that takes longer than this to compile stays compiled, and no request has to wait for it.
const QUICK: Duration = Duration::from_micros(300);
/// Up to so many zones all stay compiled: the memory is small, and no first request is slower than others.
pub(super) const ALL_KEPT: usize = 1000;
/// A zone that takes this many times its budget is given up, and its thread left to itself.
const PATIENCE: u32 = 5;
/// Threads that may be left so. Where more hang, it is not a zone that is at fault.
const LOST_MAX: usize = 4;
/// How often it is looked whether one hangs.
const LOOK: Duration = Duration::from_millis(100);

/// A zone to be compiled.
pub(super) struct Job {
    pub unit: Arc<Unit>,
    /// The version before.
    pub past: Option<Arc<Entry>>,
}

/// What became of it.
pub(super) type Outcome = Result<Arc<Entry>, CompileError>;

/// All zones of a change.
pub(super) struct Load {
    pub means: Arc<Means>,
    pub shared: Arc<Shared>,
    pub jobs: Vec<Job>,
    /// Zones in the whole configuration.
    pub count: usize,
    /// Whether requests are being served meanwhile.
    pub serving: bool,
    pub next: AtomicUsize,
}

/// What a thread has in hand.
#[derive(Default)]
struct Desk {
    /// The job, counted from 1; 0 between jobs.
    job: AtomicUsize,
    /// When it was begun, in milliseconds since the load was.
    since_ms: AtomicU64,
    /// Nobody waits for this thread any more.
    lost: AtomicBool,
}

impl Load {
    /// Compiles all; the outcomes are in the order of the jobs.
    pub(super) fn run(self) -> (Vec<Job>, Vec<Outcome>) {
        let load = Arc::new(self);
        let mut outcomes: Vec<Option<Outcome>> = load.jobs.iter().map(|_| None).collect();
        if !load.jobs.is_empty() {
            Crew::new(load.clone()).work(&mut outcomes);
        }
        if load.count > ALL_KEPT {
            // What was looked up to try a zone, and is not kept.
            load.means.resolver.forget_unused();
        }
        let unit = |job: &Job| Job { unit: job.unit.clone(), past: job.past.clone() };
        let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(CompileError::Lost)));
        (load.jobs.iter().map(unit).collect(), outcomes.collect())
    }

    /// What a thread does until there are no more jobs or it is given up.
    fn go_on(&self, began: Instant, desk: &Desk, results: &Sender<(usize, Outcome)>) {
        for lot in 1_usize.. {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(at) else { return };
            desk.since_ms.store(milliseconds(began.elapsed()), Ordering::Relaxed);
            desk.job.store(at + 1, Ordering::Release);
            let outcome = self.one(job);
            desk.job.store(0, Ordering::Release);
            if desk.lost.load(Ordering::Acquire) || results.send((at, outcome)).is_err() {
                return;
            }
            if lot.is_multiple_of(LOT) {
                if self.serving { std::thread::sleep(PAUSE) } else { std::thread::yield_now() }
            }
        }
    }

    fn one(&self, job: &Job) -> Outcome {
        let (means, shared) = (&*self.means, &*self.shared);
        let doc = decode(&job.unit)?;
        codec::check_lists(&doc, |name| shared.list(name).is_some())?;
        let demanding = is_demanding(&doc);
        let was_awake = job.past.as_ref().is_some_and(|past| past.compiled().is_some());
        let entry = Entry::new(means, job.unit.clone(), &doc, job.past.as_deref());
        let (zone, took) = measured(means, shared, &entry, doc)?;
        let pinned = demanding || took > QUICK;
        if pinned || was_awake || self.count <= ALL_KEPT {
            entry.keep(zone, pinned);
        }
        Ok(Arc::new(entry))
    }
}

/// The threads at work on a load.
struct Crew {
    load: Arc<Load>,
    began: Instant,
    desks: Vec<Arc<Desk>>,
    results: Receiver<(usize, Outcome)>,
    sender: Sender<(usize, Outcome)>,
}

impl Crew {
    fn new(load: Arc<Load>) -> Crew {
        let (sender, results) = channel();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Half of the cores are left to requests.
        let cores = if load.serving { cores.div_ceil(2) } else { cores };
        let threads = cores.min(load.jobs.len() / SHARE_MIN).max(1);
        let mut crew = Crew { load, began: Instant::now(), desks: Vec::new(), results, sender };
        (0..threads).for_each(|_| crew.hire());
        crew
    }

    /// Sets another thread to work. Where none can be started the load ends with what the others do.
    fn hire(&mut self) {
        let desk = Arc::<Desk>::default();
        let (load, began, results, own) = (self.load.clone(), self.began, self.sender.clone(), desk.clone());
        let work = move || load.go_on(began, &own, &results);
        match std::thread::Builder::new().name("compile".to_owned()).spawn(work) {
            Ok(_) => self.desks.push(desk),
            Err(fault) => tracing::error!(%fault, "no thread can be started to compile zones in"),
        }
    }

    fn work(mut self, outcomes: &mut [Option<Outcome>]) {
        let limit = Duration::from_millis(UnitKind::Zone.rules().compile_ms) * PATIENCE;
        let (mut left, mut lost) = (outcomes.len(), 0);
        while left > 0 && lost <= LOST_MAX && !self.desks.is_empty() {
            match self.results.recv_timeout(LOOK) {
                Ok((at, outcome)) => left -= note(outcomes, at, outcome),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    for at in self.overdue(limit) {
                        left -= note(outcomes, at, Err(CompileError::Hangs(limit)));
                        lost += 1;
                        self.hire();
                    }
                }
            }
        }
        // Whoever is still at it need not finish.
        self.desks.iter().for_each(|desk| desk.lost.store(true, Ordering::Release));
    }

    /// Jobs that hang. Their threads are given up.
    fn overdue(&mut self, limit: Duration) -> Vec<usize> {
        let now_ms = milliseconds(self.began.elapsed());
        let mut overdue = Vec::new();
        self.desks.retain(|desk| {
            let job = desk.job.load(Ordering::Acquire);
            let took_ms = now_ms.saturating_sub(desk.since_ms.load(Ordering::Relaxed));
            let hangs = job > 0 && took_ms > milliseconds(limit);
            if hangs {
                desk.lost.store(true, Ordering::Release);
                overdue.push(job - 1);
            }
            !hangs
        });
        overdue
    }
}

/// Takes down an outcome; answers how many more are known now.
fn note(outcomes: &mut [Option<Outcome>], at: usize, outcome: Outcome) -> usize {
    match outcomes.get_mut(at) {
        Some(place @ None) => {
            *place = Some(outcome);
            1
        }
        _ => 0,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn decode(unit: &Unit) -> Result<model::Zone, CompileError> {
    match catch_unwind(AssertUnwindSafe(|| codec::zone_of(unit))) {
        Ok(doc) => Ok(doc?),
        Err(panic) => Err(CompileError::Panic(said(&*panic))),
    }
}

/// Compiles it within its budget. Time is what a clock on the wall says, which counts the time of others on a busy machine
/// too: only what is too slow twice is too slow.
fn measured(
    means: &Means,
    shared: &Shared,
    entry: &Entry,
    doc: model::Zone,
) -> Result<(Zone, Duration), CompileError> {
    let limits = UnitKind::Zone.rules();
    let limit = Duration::from_millis(limits.compile_ms);
    let (began, asked) = (Instant::now(), thread_allocated());
    let mut zone = entry.compile(means, shared, doc)?;
    let mut took = began.elapsed();
    let asked = thread_allocated().wrapping_sub(asked);
    if took > limit {
        let doc = decode(entry.unit())?;
        let again = Instant::now();
        zone = entry.compile(means, shared, doc)?;
        took = took.min(again.elapsed());
    }
    within(entry, "compile_ms", u64::try_from(took.as_millis()).unwrap_or(u64::MAX))?;
    within(entry, "compile_bytes", asked)?;
    Ok((zone, took))
}

fn within(entry: &Entry, field: &'static str, value: u64) -> Result<(), LimitFault> {
    match UnitKind::Zone.measure(entry.name(), field, value) {
        Measured::Fine => Ok(()),
        Measured::Near(near) => {
            tracing::warn!(%near, "a zone is near a limit");
            Ok(())
        }
        Measured::Beyond(fault) => Err(fault),
    }
}

/// Whether a zone needs to be compiled at all times: for its monitors, or since it reads a file, which at its first request
/// may not be there.
fn is_demanding(doc: &model::Zone) -> bool {
    doc.pools.iter().any(|pool| pool.monitor.is_some() || pool.origins.iter().any(|o| o.ca.is_some()))
}
