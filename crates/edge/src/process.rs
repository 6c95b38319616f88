//! What the workers of a process share.

use crate::cohort::{Canary, Cells, Cohort};
use crate::heads::Heads;
use crate::live::{Live, Means, Retired};
use crate::orders::Apply;
use crate::recorder::Recorder;
use crate::rollout::Handle;
use crate::seats::Seats;
use crate::watchdog::Stuck;
use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam_channel::Sender;
use seawall_balance::Change;
use seawall_cachestore::Store;
use seawall_guard::{Fault, Sabotage};
use seawall_httpcache::KeyMaker;
use seawall_model::Module;
use seawall_net::tls::certs::CertStore;
use seawall_net::tls::server::Acceptor;
use seawall_net::tls::tickets::TicketKeys;
use seawall_rollout::Sample;
use seawall_telemetry::Registry;
use seawall_telemetry::timeline::Timeline;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Shared by all workers; what changes in it is swapped whole or counted.
pub(crate) struct Process {
    pub live: ArcSwap<Live>,
    /// Changes whenever `live` or `canary` does, for a cheap look.
    pub generation: AtomicU64,
    pub draining: AtomicBool,
    /// Tells those who wait that the drain has begun, at whatever moment they begin to wait.
    pub drain_begun: tokio::sync::watch::Sender<bool>,
    /// Client connections open now.
    pub open: AtomicUsize,
    /// Most of them.
    pub connections_max: usize,
    pub start: Instant,
    pub store: Store,
    pub keys: KeyMaker,
    pub certs: Arc<CertStore>,
    pub tickets: Arc<TicketKeys>,
    pub acceptor: ArcSwap<Acceptor>,
    /// What zones are compiled with.
    pub means: Arc<Means>,
    /// Configurations that were in force before.
    pub retired: Retired,
    pub data_dir: PathBuf,
    pub registry: Arc<Registry>,
    /// The threads that serve.
    pub seats: Seats,
    /// What they have in hand, and which snapshots run.
    pub recorder: Recorder,
    /// A candidate beside `live`, while a change is on its way.
    pub canary: ArcSwapOption<Canary>,
    /// What the requests of each worker went through, current and candidate.
    pub cohorts: parking_lot::Mutex<Vec<Arc<[Cells; 2]>>>,
    /// Recent heads, by worker.
    pub heads: Box<[Heads]>,
    /// What workers have to tell; the rollout thread listens.
    pub notes: Sender<Note>,
    /// In a drill.
    pub sabotage: Option<Arc<Sabotage>>,
    /// The way to the thread that carries out changes; set once it runs.
    pub rollout: OnceLock<Handle>,
    /// Orders to load the configuration, for whoever runs this edge.
    pub applies: parking_lot::Mutex<VecDeque<Apply>>,
    pub timeline: Timeline,
    /// Configurations that have been in force.
    pub versions: AtomicU64,
}

/// Notes that may wait to be told; more are dropped.
pub(crate) const NOTES_MAX: usize = 1024;

/// Something a worker noticed that belongs on the timeline.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    BreakerOpened {
        zone: String,
        module: Module,
        cohort: Cohort,
        fault: Fault,
        why: String,
    },
    BreakerClosed {
        zone: String,
        module: Module,
        cohort: Cohort,
    },
    RuleTripped {
        zone: String,
        rule: String,
        fault: Fault,
    },
    /// An exchange panicked outside of any stage.
    Panicked {
        zone: String,
        unit: u64,
        /// Number of the snapshot it ran under.
        snapshot: u64,
        why: String,
    },
    /// A worker does not come back.
    Stuck(Stuck),
}

impl Process {
    /// Puts a new configuration in force.
    pub(crate) fn adopt(&self, live: Arc<Live>) {
        live.settle();
        self.retired.push(self.live.swap(live));
        self.generation.store(crate::live::next_generation(), Ordering::Release);
    }

    /// Puts a candidate beside the configuration in force, or takes it away.
    pub(crate) fn try_beside(&self, canary: Option<Arc<Canary>>) {
        if let Some(before) = self.canary.swap(canary) {
            self.retired.push(before.live.clone());
        }
        self.generation.store(crate::live::next_generation(), Ordering::Release);
    }

    /// How many configurations have been in force, this one included.
    pub(crate) fn config_versions(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Begins a drain: accepts nothing more, on any socket.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain_begun.send_replace(true);
    }

    /// Waits until a drain begins.
    pub(crate) async fn drained(&self) {
        // Fails only without a sender, and the sender is ours.
        let _ = self.drain_begun.subscribe().wait_for(|begun| *begun).await;
    }

    /// The thread of a seat says that it lives.
    pub(crate) fn beat(&self, seat: usize) {
        self.seats.beat(seat, self.elapsed_ms());
    }

    /// How long ago the slowest worker went round, in milliseconds.
    pub(crate) fn slowest_beat_ms(&self) -> u64 {
        self.seats.slowest_ms(self.elapsed_ms())
    }

    /// Whether it serves: a configuration is in force and it is not draining.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire) && self.live.load().zones.len() > 0
    }

    /// Whether a request for `host` may come over a connection made for `sni`: within one zone, or where the
    /// certificate shown covers both, as browsers assume when they reuse connections (RFC 9113 §9.1.1).
    pub(crate) fn may_serve_over(&self, live: &Live, sni: &str, host: &[u8]) -> bool {
        live.find(sni.as_bytes()) == live.find(host)
            || std::str::from_utf8(host).is_ok_and(|host| self.certs.covers(host))
    }

    /// The watchdog found a worker stuck. Called on its thread: must not wait.
    pub(crate) fn worker_stuck(&self, stuck: Stuck) {
        tracing::error!(?stuck, "a worker is stuck");
        // The other workers must not follow it: the zone's breaker for that module opens before anything else.
        if let Some(module) = stuck.module.and_then(Module::of_index) {
            let candidate = self.canary.load_full().map(|canary| canary.live.clone());
            for live in [Some(self.live.load_full()), candidate].into_iter().flatten() {
                live.trip(stuck.unit, module, self.elapsed_ms());
            }
        }
        let _ = self.notes.try_send(Note::Stuck(stuck));
    }

    /// The counters of another worker.
    pub(crate) fn cohorts_of_worker(&self) -> Arc<[Cells; 2]> {
        let cells = Arc::new([Cells::default(), Cells::default()]);
        self.cohorts.lock().push(cells.clone());
        cells
    }

    /// What all requests of a cohort went through since the process began.
    pub(crate) fn sample(&self, cohort: Cohort) -> Sample {
        // The cache grows by itself, and that is no candidate's doing.
        let without_cache = |bytes: u64| bytes.saturating_sub(self.store.stats().memory_bytes);
        let memory_bytes = resident_bytes().map(without_cache);
        let mut sample = Sample { memory_bytes, ..Sample::default() };
        for cells in self.cohorts.lock().iter() {
            let [current, candidate] = &**cells;
            match cohort {
                Cohort::Current => current.add_to(&mut sample),
                Cohort::Candidate => candidate.add_to(&mut sample),
            }
        }
        sample
    }

    /// Notes that an origin's standing changed.
    pub(crate) fn note(&self, change: Option<Change>) {
        if let Some(change) = change {
            // Origins that come and go change it with every few requests.
            seawall_telemetry::occasionally!(WARN, ?change, "an origin's standing changed");
        }
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Memory of this process, as the kernel counts it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
