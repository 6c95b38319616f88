//! Zones of a change, decoded and compiled in parallel, each within its budget.

use super::compile::{CompileError, Means};
use super::entry::Entry;
use super::zone::Zone;
use crate::stages::Shared;
use seawall_model as model;
use seawall_snapshot::{LimitFault, Measured, Unit, UnitKind, codec};
use seawall_sys::alloc::thread_allocated;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Zones below which another thread is not worth starting: they take a few milliseconds.
const SHARE_MIN: usize = 64;
/// Zones a thread takes at a time. After each lot it lets others have its core: workers serve on the same ones.
const LOT: usize = 16;
/// A zone that takes longer than this to compile stays compiled, and no request has to wait for it.
const QUICK: Duration = Duration::from_micros(300);
/// Up to so many zones all stay compiled: the memory is small, and no first request is slower than others.
const ALL_KEPT: usize = 1000;

/// A zone to be compiled.
pub(super) struct Job {
    pub unit: Arc<Unit>,
    /// The version before.
    pub past: Option<Arc<Entry>>,
}

/// What became of it.
pub(super) type Outcome = Result<Arc<Entry>, CompileError>;

/// Compiles all; the outcomes are in the order of the jobs. `count`: zones in the whole configuration.
pub(super) fn all(means: &Means, shared: &Shared, jobs: &[Job], count: usize) -> Vec<Outcome> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(jobs.len() / SHARE_MIN).max(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done: Vec<(usize, Vec<Outcome>)> = Vec::new();
        loop {
            let at = next.fetch_add(LOT, Ordering::Relaxed);
            let lot = jobs.iter().skip(at).take(LOT);
            if lot.len() == 0 {
                return done;
            }
            done.push((at, lot.map(|job| one(means, shared, job, count)).collect()));
            std::thread::yield_now();
        }
    };
    let mut lots = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut lots = work();
        // A thread does not panic: what may is contained where a zone is compiled.
        lots.extend(others.into_iter().flat_map(|thread| thread.join().unwrap_or_default()));
        lots
    });
    lots.sort_unstable_by_key(|(at, _)| *at);
    let outcomes: Vec<Outcome> = lots.into_iter().flat_map(|(_, lot)| lot).collect();
    if count > ALL_KEPT {
        // What was looked up to try a zone, and is not kept.
        means.resolver.forget_unused();
    }
    outcomes
}

fn one(means: &Means, shared: &Shared, job: &Job, count: usize) -> Outcome {
    let doc = decode(&job.unit)?;
    let keep = count <= ALL_KEPT
        || is_demanding(&doc)
        || job.past.as_ref().is_some_and(|past| past.compiled().is_some());
    let entry = Entry::new(means, job.unit.clone(), &doc, job.past.as_deref());
    let (zone, took) = measured(means, shared, &entry, doc)?;
    if keep || took > QUICK {
        entry.keep(zone);
    }
    Ok(Arc::new(entry))
}

fn decode(unit: &Unit) -> Result<model::Zone, CompileError> {
    let decode = std::panic::AssertUnwindSafe(|| codec::zone_of(unit));
    match std::panic::catch_unwind(decode) {
        Ok(doc) => Ok(doc?),
        Err(panic) => Err(CompileError::Panic(super::entry::said(&*panic))),
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
