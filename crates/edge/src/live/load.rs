//! Zones of a change, decoded and compiled in threads of their own, each within its budget.

use super::compile::{CompileError, Means};
use super::crew::{Undone, Work};
use super::entry::{Entry, Home, said};
use super::zone::Zone;
use crate::stages::Shared;
use seawall_model as model;
use seawall_snapshot::{LimitFault, Measured, Unit, UnitKind, codec};
use seawall_sys::alloc::thread_allocated;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Zones below which another thread is not worth starting: they take a few milliseconds.
const SHARE_MIN: usize = 64;
/// A zone that takes longer than this to compile stays compiled, and no request has to wait for it.
const QUICK: Duration = Duration::from_micros(300);
/// Up to so many zones all stay compiled: the memory is small, and no first request is slower than others.
pub(super) const ALL_KEPT: usize = 1000;
/// A zone that takes this many times its budget is given up, and its thread left to itself.
const PATIENCE: u32 = 5;

/// A zone to be compiled.
#[derive(Clone)]
pub(super) struct Job {
    pub unit: Arc<Unit>,
    pub home: Arc<Home>,
    /// The version before.
    pub past: Option<Arc<Entry>>,
}

/// What became of it.
pub(super) type Outcome = Result<Arc<Entry>, CompileError>;

/// What zones are compiled with.
#[derive(Clone)]
pub(super) struct Load {
    pub means: Arc<Means>,
    pub shared: Arc<Shared>,
    /// Zones in the whole configuration.
    pub count: usize,
    /// Whether requests are being served meanwhile.
    pub serving: bool,
}

impl Load {
    /// Compiles all; the outcomes are in the order of the jobs.
    pub(super) fn run(self, jobs: &Arc<[Job]>) -> Vec<Outcome> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Half of the cores are left to requests.
        let cores = if self.serving { cores.div_ceil(2) } else { cores };
        let limit = Duration::from_millis(UnitKind::Zone.rules().compile_ms) * PATIENCE;
        let (load, list) = (self.clone(), jobs.clone());
        let threads = cores.min(jobs.len() / SHARE_MIN);
        // A slot is written to by one thread. Where there are more of them, nobody could tell who it was anyway.
        let alone = threads <= 1;
        let one = move |at: usize| {
            let job = list.get(at).ok_or(CompileError::Lost)?;
            if alone {
                load.means.bench.enter(job.unit.hash.prefix());
            }
            let outcome = load.one(job);
            if alone {
                load.means.bench.leave();
            }
            outcome
        };
        let work = Work { pieces: jobs.len(), threads, limit, serving: self.serving, one: Box::new(one) };
        let outcome = |done: Result<Outcome, Undone>| match done {
            Ok(outcome) => outcome,
            Err(Undone::Hangs) => Err(CompileError::Hangs(limit)),
            Err(Undone::Left) => Err(CompileError::Lost),
        };
        let outcomes = work.run().into_iter().map(outcome).collect();
        if self.count > ALL_KEPT {
            // What was looked up to try a zone, and is not kept.
            self.means.resolver.forget_unused();
        }
        outcomes
    }

    fn one(&self, job: &Job) -> Outcome {
        let (means, shared) = (&*self.means, &*self.shared);
        let doc = decode(&job.unit)?;
        codec::check_lists(&doc, |name| shared.list(name).is_some())?;
        let demanding = is_demanding(&doc);
        let was_awake = job.past.as_ref().is_some_and(|past| past.compiled().is_some());
        let entry = Entry::new(means, job.unit.clone(), &doc, job.home.clone(), job.past.as_deref());
        let (zone, took) = measured(means, shared, &entry, doc)?;
        let pinned = demanding || took > QUICK;
        if pinned || was_awake || self.count <= ALL_KEPT {
            entry.keep(zone, pinned);
        }
        Ok(Arc::new(entry))
    }
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
