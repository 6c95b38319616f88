//! All workers together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::cell::{Family, Merge, SharedCounter, SharedGauge};
use super::cells::{Cells, Metrics, OriginCells, Padded, ZoneCells};
use super::process::Process;
use super::slots::{MAX_ORIGINS, MAX_ZONES, OriginSlot, Slots, ZoneSlot};
use super::summary::Summary;
use super::table;
use super::view::{LogNumbers, OriginView, View};
use crate::access::LogWriter;
use crate::events::Events;
use crate::names::Module;
use crate::timeline::Timeline;

/// Media type of [`Registry::expose`]: OpenMetrics 1.0 text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Certificates shown one by one; Prometheus has a series for each.
pub const MAX_CERTIFICATES: usize = 1000;

/// Events of the timeline in a summary: what a screen has room for.
const NEWEST_EVENTS: usize = 20;

/// Name of the slot for what is beyond the limits.
pub(crate) const OTHER: &str = "_other";

/// Which origin of which pool of which zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginName {
    /// Zone.
    pub zone: String,
    /// Pool in the zone.
    pub pool: String,
    /// Origin in the pool.
    pub origin: String,
}

/// A certificate being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its first name.
    pub name: String,
    /// End of its validity, Unix seconds.
    pub not_after_unix_s: i64,
}

/// Numbers that belong to the process rather than to a worker. Any thread may write them.
#[derive(Debug, Default)]
pub struct Shared {
    /// Bytes of objects in memory.
    pub cache_memory_bytes: SharedGauge,
    /// Objects in memory.
    pub cache_memory_objects: SharedGauge,
    /// Bytes of objects on disk.
    pub cache_disk_bytes: SharedGauge,
    /// Objects on disk.
    pub cache_disk_objects: SharedGauge,
    /// Objects put out to make room.
    pub cache_evictions: SharedCounter,
    /// Reads and writes of the disk tier that failed.
    pub cache_disk_errors: SharedCounter,
    /// Purges taken.
    pub cache_purges: SharedCounter,
    /// Number of the configuration in use.
    pub config_version: SharedGauge,
    /// When it was adopted, Unix seconds.
    pub config_loaded_unix_s: SharedGauge,
    /// 1 if the last load succeeded.
    pub config_last_load_ok: SharedGauge,
    /// Loads that succeeded.
    pub config_loads_ok: SharedCounter,
    /// Loads that were refused.
    pub config_loads_failed: SharedCounter,
    /// Problems found by the last load.
    pub config_problems: SharedGauge,
    /// Edges that died before this one, since the supervisor began.
    pub edge_restarts: SharedCounter,
    /// Zones in use.
    pub zones_loaded: SharedGauge,
    /// 1 while ready to serve.
    pub ready: SharedGauge,
    /// 1 while draining.
    pub draining: SharedGauge,
    /// Number of the snapshot that serves; 0 without one.
    pub snapshot_running: SharedGauge,
    /// Number of the snapshot on its way; 0 without one.
    pub snapshot_candidate: SharedGauge,
    /// Share of requests that run the candidate, percent.
    pub canary_percent: SharedGauge,
    /// How long compiling the last change took, milliseconds.
    pub change_compile_ms: SharedGauge,
    /// How long everything before its rehearsal took: review, compiling, keeping it on disk.
    pub change_prepare_ms: SharedGauge,
    /// Candidates sent back by a gate.
    pub gate_failures: SharedCounter,
    /// Changes refused before they served a request.
    pub snapshots_refused: SharedCounter,
    /// Snapshots and units put under quarantine.
    pub snapshots_quarantined: SharedCounter,
    /// Units that serve an earlier version than the newest configuration holds.
    pub units_kept: SharedGauge,
    /// Zones whose breaker of a module is open.
    pub module_breakers_open: Family<Module, SharedGauge, { Module::COUNT }>,
    /// Spans given to the collector.
    pub spans_exported: SharedCounter,
    /// Spans lost: the queue was full or the collector did not take them.
    pub spans_dropped: SharedCounter,
}

/// Something that brings [`Shared`] up to date before a scrape.
type Refresh = Box<dyn Fn(&Registry) + Send + Sync>;

/// Knows every worker's cells, names their slots, and adds all up when asked.
pub struct Registry {
    workers: Mutex<Vec<Arc<Padded>>>,
    zones: Mutex<Named<String, ZoneCells>>,
    origins: Mutex<Named<OriginName, OriginCells>>,
    /// By slot: 0 not known, 1 healthy, 2 unhealthy.
    origin_health: Box<[AtomicU8]>,
    shared: Shared,
    certificates: Mutex<Vec<Certificate>>,
    refresh: Mutex<Vec<Refresh>>,
    log: Mutex<Option<Arc<crate::access::LogCounts>>>,
    events_lost: Mutex<Option<Arc<AtomicU64>>>,
    timeline: Mutex<Option<Timeline>>,
    started_unix_ms: u64,
    build: &'static str,
}

impl Registry {
    /// A registry without workers. `build` is the version of the program.
    #[must_use]
    pub fn new(build: &'static str) -> Self {
        Registry {
            workers: Mutex::default(),
            zones: Mutex::new(Named::new(MAX_ZONES)),
            origins: Mutex::new(Named::new(MAX_ORIGINS)),
            origin_health: (0..=MAX_ORIGINS).map(|_| AtomicU8::new(0)).collect(),
            shared: Shared::default(),
            certificates: Mutex::default(),
            refresh: Mutex::default(),
            log: Mutex::default(),
            events_lost: Mutex::default(),
            timeline: Mutex::default(),
            started_unix_ms: unix_ms(),
            build,
        }
    }

    /// The cells of one more worker (about 160 KiB, mostly slots of zones and origins).
    #[must_use]
    pub fn worker(&self) -> Metrics {
        let cells = Arc::new(Padded::default());
        self.workers.lock().push(Arc::clone(&cells));
        Metrics::new(cells)
    }

    /// Gives the zones of a new configuration their slots, in the order given. A zone that was there before keeps its
    /// counts; zones not named are no longer shown; zones beyond [`MAX_ZONES`] get [`ZoneSlot::OTHER`].
    pub fn assign_zones<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<ZoneSlot> {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        warn_if_many("zones", names.len(), MAX_ZONES);
        let workers = self.workers.lock();
        let slots = self.zones.lock().assign(&names, |slot, sum| {
            for worker in workers.iter() {
                worker.0.zones.get(slot).merge_into(sum);
            }
        });
        slots.into_iter().map(ZoneSlot).collect()
    }

    /// The same for origins.
    pub fn assign_origins(&self, names: &[OriginName]) -> Vec<OriginSlot> {
        warn_if_many("origins", names.len(), MAX_ORIGINS);
        let workers = self.workers.lock();
        let slots = self.origins.lock().assign(names, |slot, sum| {
            if let Some(health) = self.origin_health.get(usize::from(slot)) {
                health.store(0, Relaxed);
            }
            for worker in workers.iter() {
                worker.0.origins.get(slot).merge_into(sum);
            }
        });
        slots.into_iter().map(OriginSlot).collect()
    }

    /// Gives one zone a slot, for as long as a configuration names it: each claim is to be
    /// [released](Registry::release_zone) once. A zone that has one keeps it, whoever claims; beyond [`MAX_ZONES`] it is
    /// [`ZoneSlot::OTHER`]. Unlike [`Registry::assign_zones`] it costs the same however many zones there are.
    #[must_use]
    pub fn claim_zone(&self, name: &str) -> ZoneSlot {
        let workers = self.workers.lock();
        let mut zones = self.zones.lock();
        let before = zones.slots.len();
        let slot = zones.claim(&name.to_owned(), |slot, sum| {
            for worker in workers.iter() {
                worker.0.zones.get(slot).merge_into(sum);
            }
        });
        warn_when_many("zones", before, zones.slots.len(), MAX_ZONES);
        ZoneSlot(slot)
    }

    /// Gives a slot back that [`Registry::claim_zone`] gave.
    pub fn release_zone(&self, name: &str, slot: ZoneSlot) {
        if slot != ZoneSlot::OTHER {
            self.zones.lock().slots.release(&name.to_owned(), slot.0);
        }
    }

    /// As [`Registry::claim_zone`], for an origin.
    #[must_use]
    pub fn claim_origin(&self, name: &OriginName) -> OriginSlot {
        let workers = self.workers.lock();
        let mut origins = self.origins.lock();
        let before = origins.slots.len();
        let slot = origins.claim(name, |slot, sum| {
            if let Some(health) = self.origin_health.get(usize::from(slot)) {
                health.store(0, Relaxed);
            }
            for worker in workers.iter() {
                worker.0.origins.get(slot).merge_into(sum);
            }
        });
        warn_when_many("origins", before, origins.slots.len(), MAX_ORIGINS);
        OriginSlot(slot)
    }

    /// Gives a slot back that [`Registry::claim_origin`] gave.
    pub fn release_origin(&self, name: &OriginName, slot: OriginSlot) {
        if slot != OriginSlot::OTHER {
            self.origins.lock().slots.release(name, slot.0);
        }
    }

    /// What a monitor found. Origins never set show no health: missing is absent.
    pub fn set_origin_health(&self, slot: OriginSlot, healthy: bool) {
        if slot != OriginSlot::OTHER
            && let Some(cell) = self.origin_health.get(usize::from(slot.0))
        {
            cell.store(if healthy { 1 } else { 2 }, Relaxed);
        }
    }

    /// Numbers of the process.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The certificates being served, at most [`MAX_CERTIFICATES`] of them.
    pub fn set_certificates(&self, mut certificates: Vec<Certificate>) {
        // Two certificates may share a name (RSA and ECDSA); the first to end is the one to show.
        certificates.sort_by(|a, b| (&a.name, a.not_after_unix_s).cmp(&(&b.name, b.not_after_unix_s)));
        certificates.dedup_by(|b, a| a.name == b.name);
        certificates.truncate(MAX_CERTIFICATES);
        *self.certificates.lock() = certificates;
    }

    /// Calls this before each scrape and summary, to bring [`Self::shared`] up to date.
    pub fn before_scrape(&self, refresh: impl Fn(&Registry) + Send + Sync + 'static) {
        self.refresh.lock().push(Box::new(refresh));
    }

    /// Shows what became of the access log's records.
    pub fn watch_log(&self, log: &LogWriter) {
        *self.log.lock() = Some(log.counts());
    }

    /// Shows how many events were lost.
    pub fn watch_events(&self, events: &Events) {
        *self.events_lost.lock() = Some(events.lost_count());
    }

    /// Shows what became of the timeline's events, and the newest of them in the summary.
    pub fn watch_timeline(&self, timeline: Timeline) {
        *self.timeline.lock() = Some(timeline);
    }

    /// Prometheus text (OpenMetrics), of type [`CONTENT_TYPE`]. Takes milliseconds; not for a worker's thread.
    #[must_use]
    pub fn expose(&self) -> String {
        table::expose(self.view())
    }

    /// The numbers `seawall top` shows.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(&self.view())
    }

    pub(crate) fn view(&self) -> View {
        for refresh in self.refresh.lock().iter() {
            refresh(self);
        }
        let workers: Vec<Arc<Padded>> = self.workers.lock().clone();
        let cells = Cells::default();
        for worker in &workers {
            worker.0.merge_into(&cells);
        }
        let zones = self.zones.lock().views(OTHER.to_owned(), |slot, sum: &ZoneCells, before| {
            cells.zones.get(slot).merge_into(sum);
            if let Some(before) = before {
                sum.less(before);
            }
        });
        let other = OriginName { zone: OTHER.to_owned(), pool: OTHER.to_owned(), origin: OTHER.to_owned() };
        let origins = self.origins.lock().views(other, |slot, sum: &OriginCells, before| {
            cells.origins.get(slot).merge_into(sum);
            if let Some(before) = before {
                sum.less(before);
            }
        });
        let origins = origins
            .into_iter()
            .map(|(name, slot, cells)| {
                let healthy = match self.origin_health.get(usize::from(slot)).map(|h| h.load(Relaxed)) {
                    Some(1) => Some(true),
                    Some(2) => Some(false),
                    _ => None,
                };
                OriginView { name, cells, healthy }
            })
            .collect();
        let log = self.log.lock().as_ref().map(|log| LogNumbers {
            queued: log.queued() as u64,
            written: log.written(),
            lost: log.lost(),
            errors: log.write_errors(),
            rotations: log.rotations(),
        });
        let timeline = self.timeline.lock().clone();
        View {
            cells,
            workers: workers.len(),
            zones: zones.into_iter().map(|(name, _, cells)| (name, cells)).collect(),
            origins,
            shared: self.shared.copied(),
            certificates: self.certificates.lock().clone(),
            process: Process::read(),
            log,
            timeline: timeline.as_ref().map(Timeline::counts),
            newest_events: timeline.map(|t| t.newest(NEWEST_EVENTS)).unwrap_or_default(),
            events_lost: self.events_lost.lock().as_ref().map(|n| n.load(Relaxed)),
            now_unix_ms: unix_ms(),
            started_unix_ms: self.started_unix_ms,
            build: self.build,
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("build", &self.build).finish_non_exhaustive()
    }
}

/// Slots with what their former names had counted.
#[derive(Debug)]
struct Named<K, C> {
    slots: Slots<K>,
    before: std::collections::HashMap<u16, C>,
}

impl<K: Clone + Eq + std::hash::Hash + Ord, C: Default> Named<K, C> {
    fn new(limit: usize) -> Self {
        Named { slots: Slots::new(limit), before: std::collections::HashMap::new() }
    }

    fn assign(&mut self, names: &[K], count: impl Fn(u16, &C)) -> Vec<u16> {
        let before = &mut self.before;
        self.slots.assign(names, |slot| {
            let sum = C::default();
            count(slot, &sum);
            before.insert(slot, sum);
        })
    }

    fn claim(&mut self, name: &K, count: impl Fn(u16, &C)) -> u16 {
        let before = &mut self.before;
        self.slots.claim(name, |slot| {
            let sum = C::default();
            count(slot, &sum);
            before.insert(slot, sum);
        })
    }

    fn views(&self, other: K, fill: impl Fn(u16, &C, Option<&C>)) -> Vec<(K, u16, C)> {
        let names = self.slots.names().into_iter().chain([(other, 0)]);
        names
            .map(|(name, slot)| {
                let sum = C::default();
                fill(slot, &sum, self.before.get(&slot));
                (name, slot, sum)
            })
            .collect()
    }
}

impl Shared {
    fn copied(&self) -> Shared {
        let copy = Shared::default();
        for (to, from) in [
            (&copy.cache_memory_bytes, &self.cache_memory_bytes),
            (&copy.cache_memory_objects, &self.cache_memory_objects),
            (&copy.cache_disk_bytes, &self.cache_disk_bytes),
            (&copy.cache_disk_objects, &self.cache_disk_objects),
            (&copy.config_version, &self.config_version),
            (&copy.config_loaded_unix_s, &self.config_loaded_unix_s),
            (&copy.config_last_load_ok, &self.config_last_load_ok),
            (&copy.config_problems, &self.config_problems),
            (&copy.zones_loaded, &self.zones_loaded),
            (&copy.ready, &self.ready),
            (&copy.draining, &self.draining),
            (&copy.snapshot_running, &self.snapshot_running),
            (&copy.snapshot_candidate, &self.snapshot_candidate),
            (&copy.canary_percent, &self.canary_percent),
            (&copy.change_compile_ms, &self.change_compile_ms),
            (&copy.change_prepare_ms, &self.change_prepare_ms),
            (&copy.units_kept, &self.units_kept),
        ] {
            to.set(from.get());
        }
        for (to, from) in [
            (&copy.cache_evictions, &self.cache_evictions),
            (&copy.cache_disk_errors, &self.cache_disk_errors),
            (&copy.cache_purges, &self.cache_purges),
            (&copy.config_loads_ok, &self.config_loads_ok),
            (&copy.config_loads_failed, &self.config_loads_failed),
            (&copy.edge_restarts, &self.edge_restarts),
            (&copy.gate_failures, &self.gate_failures),
            (&copy.snapshots_refused, &self.snapshots_refused),
            (&copy.snapshots_quarantined, &self.snapshots_quarantined),
            (&copy.spans_exported, &self.spans_exported),
            (&copy.spans_dropped, &self.spans_dropped),
        ] {
            to.set(from.get());
        }
        for (module, open) in self.module_breakers_open.iter() {
            copy.module_breakers_open.set(module, open.get());
        }
        copy
    }
}

/// Names the limit before it is reached (DESIGN R10).
fn warn_if_many(what: &str, number: usize, limit: usize) {
    if number > limit {
        tracing::warn!(
            what,
            number,
            limit,
            "more than metrics count one by one; the rest is counted as _other"
        );
    } else if number > limit / 5 * 4 {
        tracing::warn!(what, number, limit, "nearly as many as metrics count one by one");
    }
}

/// The same, once, when the number passes either mark.
fn warn_when_many(what: &str, before: usize, number: usize, limit: usize) {
    let mark = limit / 5 * 4 + 1;
    if before < mark && number >= mark {
        tracing::warn!(what, number, limit, "nearly as many as metrics count one by one");
    } else if before < number && number == limit {
        tracing::warn!(
            what,
            number,
            limit,
            "as many as metrics count one by one; more are counted as _other"
        );
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
