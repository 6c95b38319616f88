//! One worker: a thread, a runtime, its connections and everything it shares with nobody.

use crate::buffers::Buffers;
use crate::cohort::{Cells, Cohort, Lot, Trial};
use crate::exchange::Scratch;
use crate::live::{Live, Zone};
use crate::process::Process;
use crate::recorder::Slot;
use crate::spans::Tracer;
use crate::telling::Telling;
use crate::unshared::Unshared;
use crate::upstream::Upstreams;
use seawall_balance::Standing;
use seawall_guard::Guard;
use seawall_http::RequestHead;
use seawall_net::deadline::Timers;
use seawall_telemetry::timeline::{Event, Kind};
use seawall_telemetry::{AccessLog, Metrics, OriginSlot};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Scratch space kept for later requests, in number.
const SCRATCH_KEPT: usize = 256;

/// How often the state of the pools is put into the metrics, in milliseconds.
const GAUGES_MS: u64 = 1000;

/// A worker's state; every task of its thread holds it.
pub(crate) struct Worker {
    pub id: usize,
    /// Which thread this is: a stand-in has the number of the worker it stands in for, and a seat of its own.
    pub seat: usize,
    /// What it has in hand, for the watchdog and for the supervisor after a death.
    pub slot: Slot,
    pub process: Arc<Process>,
    pub timers: Rc<Timers>,
    pub buffers: Buffers,
    pub upstreams: Upstreams,
    pub unshared: Unshared,
    pub encoders: RefCell<seawall_compress::Pool>,
    pub log: RefCell<AccessLog>,
    pub metrics: Metrics,
    pub tracer: Tracer,
    /// What describing requests may cost.
    pub telling: Telling,
    live: RefCell<Rc<LiveRef>>,
    /// The candidate, while there is one.
    trial: RefCell<Option<Trial>>,
    /// Counted while there is a candidate: the current configuration's requests, and the candidate's.
    pub cohorts: Arc<[Cells; 2]>,
    /// Heads still to be recorded before the next sweep.
    pub heads_wanted: Cell<u32>,
    generation: Cell<u64>,
    #[allow(clippy::vec_box)]
    // handed out and taken back as boxes: a kilobyte of heads is not moved each time
    scratch: RefCell<Vec<Box<Scratch>>>,
    random: Cell<u64>,
    draining: Cell<bool>,
    /// When the pools were last looked at.
    gauged_ms: Cell<u64>,
    /// Tells listeners that it drains.
    pub drained: tokio::sync::Notify,
    start: Instant,
    /// When it started by the system's clock, which may be set: brought up to date with every sweep.
    start_unix_ns: Cell<u64>,
    /// When it started, counted from the start of the process.
    start_offset_ns: u64,
    /// The clock as last read.
    recent_ns: Cell<u64>,
}

/// The configuration as a task holds it: counted within the thread, so that requests do not fight over one counter.
pub(crate) struct LiveRef {
    live: Arc<Live>,
    pub cohort: Cohort,
}

impl LiveRef {
    fn new(live: Arc<Live>, cohort: Cohort) -> Rc<LiveRef> {
        Rc::new(LiveRef { live, cohort })
    }
}

impl std::ops::Deref for LiveRef {
    type Target = Live;
    fn deref(&self) -> &Live {
        &self.live
    }
}

impl Worker {
    pub(crate) fn new(id: usize, seat: usize, process: Arc<Process>, log: AccessLog) -> Rc<Worker> {
        let live = process.live.load_full();
        let start_offset_ns = u64::try_from(process.start.elapsed().as_nanos()).unwrap_or(0);
        let mut seed = [0u8; 8];
        // Without entropy the clock will do: this drives load balancing and ray IDs, no secrets.
        if aws_lc_rs::rand::fill(&mut seed).is_err() {
            seed = unix_ns().to_le_bytes();
        }
        Rc::new(Worker {
            id,
            seat,
            slot: process.recorder.of_seat(seat),
            timers: Timers::new(),
            buffers: Buffers::default(),
            upstreams: Upstreams::default(),
            unshared: Unshared::default(),
            encoders: RefCell::new(seawall_compress::Pool::new()),
            log: RefCell::new(log),
            metrics: process.registry.worker(),
            tracer: Tracer::of(&live.spans),
            telling: Telling::new(
                !process.sabotage.as_ref().is_some_and(|s| s.without(Guard::TelemetryBudget)),
            ),
            // Not a generation that ever was: the first look finds the candidate, if there is one.
            generation: Cell::new(0),
            live: RefCell::new(LiveRef::new(live, Cohort::Current)),
            trial: RefCell::default(),
            cohorts: process.cohorts_of_worker(),
            heads_wanted: Cell::new(0),
            process,
            scratch: RefCell::default(),
            random: Cell::new(u64::from_le_bytes(seed) | 1),
            draining: Cell::new(false),
            gauged_ms: Cell::new(0),
            drained: tokio::sync::Notify::new(),
            start: Instant::now(),
            start_unix_ns: Cell::new(unix_ns()),
            start_offset_ns,
            recent_ns: Cell::new(0),
        })
    }

    /// The configuration now in force.
    #[inline]
    pub(crate) fn live(&self) -> Rc<LiveRef> {
        let generation = self.process.generation.load(Ordering::Acquire);
        if generation != self.generation.get() {
            self.generation.set(generation);
            self.follow();
        }
        self.live.borrow().clone()
    }

    /// The configuration for a request: the one in force, or for some the candidate beside it. `client` finds out whose
    /// request it is, by the configuration in force whichever it is then.
    #[inline]
    pub(crate) fn live_for(
        &self,
        head: &RequestHead,
        client: impl FnOnce(&LiveRef) -> IpAddr,
    ) -> (Rc<LiveRef>, Option<Lot>) {
        let live = self.live();
        let Some(trial) = &*self.trial.borrow() else { return (live, None) };
        let lot = trial.lot(client(&live), head);
        (if trial.takes(lot) { trial.live.clone() } else { live }, Some(lot))
    }

    /// Whether this very version of a zone is in force.
    pub(crate) fn serves(&self, zone: &Zone) -> bool {
        let live = self.live.borrow();
        let entry = live.zones.named(&zone.doc.name).and_then(|slot| live.zones.get(slot));
        entry.is_some_and(|entry| entry.unit().hash.prefix() == zone.unit)
    }

    /// Keeps a head for rehearsals.
    #[cold]
    pub(crate) fn keep_head(&self, head: &RequestHead, address: IpAddr, https: bool) {
        self.heads_wanted.set(self.heads_wanted.get().saturating_sub(1));
        if let Some(heads) = self.process.heads.get(self.id) {
            heads.keep(head, address, https);
        }
    }

    #[cold]
    fn follow(&self) {
        let live = self.process.live.load_full();
        if !Arc::ptr_eq(&live, &self.live.borrow().live) {
            self.log.borrow_mut().set_layout(live.layout.clone());
            self.tracer.follow(&live.spans);
            *self.live.borrow_mut() = LiveRef::new(live, Cohort::Current);
        }
        *self.trial.borrow_mut() = self
            .process
            .canary
            .load_full()
            .map(|canary| Trial { live: LiveRef::new(canary.live.clone(), Cohort::Candidate), canary });
    }

    /// Scratch space for one request.
    pub(crate) fn scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes it back.
    pub(crate) fn give_scratch(&self, scratch: Box<Scratch>) {
        let mut kept = self.scratch.borrow_mut();
        if kept.len() < SCRATCH_KEPT {
            kept.push(scratch);
        }
    }

    /// A random number: good enough to choose by, not to keep secrets with (xorshift64*, Vigna 2016).
    #[inline]
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Nanoseconds since the worker started; reads the clock.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        let now_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.recent_ns.set(now_ns);
        now_ns
    }

    /// Unix nanoseconds of a moment of [`Worker::now_ns`].
    pub(crate) fn unix_ns_of(&self, now_ns: u64) -> u64 {
        self.start_unix_ns.get() + now_ns
    }

    /// Unix milliseconds, as of the last [`Worker::now_ns`]: a request reads the clock a few times on its way, and what
    /// is asked in between is within the same microseconds.
    #[inline]
    pub(crate) fn unix_ms(&self) -> u64 {
        self.unix_ns_of(self.recent_ns.get()) / 1_000_000
    }

    /// Milliseconds that only grow, the same for all workers: what pools go by. As recent as [`Worker::unix_ms`].
    #[inline]
    pub(crate) fn pool_ms(&self) -> u64 {
        (self.start_offset_ns + self.recent_ns.get()) / 1_000_000
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Regular chores, every sweep of the timers.
    pub(crate) fn tick(&self) {
        if self.process.draining.load(Ordering::Acquire) && !self.draining.replace(true) {
            self.timers.fire_idle();
            self.drained.notify_waiters();
        }
        self.heads_wanted.set(crate::heads::PER_SWEEP);
        let now_ns = self.now_ns();
        self.start_unix_ns.set(unix_ns().saturating_sub(now_ns));
        self.upstreams.sweep(self.timers.now_ms());
        self.unshared.tick(self.timers.now_ms());
        self.log.borrow_mut().tick();
        // Where the kernel does not say how busy it was, it counts as busy all the time.
        self.telling.worked(seawall_sys::thread_cpu_ns().unwrap_or(now_ns));
        if let Some(left_out) = self.telling.summary(self.timers.now_ms()) {
            let id = self.id;
            let text = format!(
                "worker {id} counted {left_out} failing requests without describing them: telling of failures had taken its \
                 share of the processor"
            );
            self.process.timeline.tell(Event::new(Kind::TelemetrySuppressed, "telemetry budget", text));
        }
        self.process.beat(self.seat);
        // Without requests too: what was in force before cannot be freed while a worker holds it.
        self.live();
        // Pools are shared by the workers, so one of them tells how they stand.
        if self.id == 0 && self.timers.now_ms() >= self.gauged_ms.get() + GAUGES_MS {
            self.gauged_ms.set(self.timers.now_ms());
            self.gauge_pools();
        }
    }

    /// Of those pools that are counted one by one, and in use.
    fn gauge_pools(&self) {
        let now_ms = self.pool_ms();
        let live = self.live();
        for zone in live.zones.counted().filter_map(|(_, entry)| entry.compiled()) {
            for pool in &zone.pools {
                if pool.origins.iter().all(|o| o.slot == OriginSlot::OTHER) {
                    continue;
                }
                for (origin, member) in pool.origins.iter().zip(pool.balance.snapshot(now_ms).members) {
                    let cells = self.metrics.origin(origin.slot);
                    cells.outstanding.set(i64::from(member.outstanding));
                    cells.limit.set(member.limit.map_or(0, i64::from));
                    cells.ejected.set(i64::from(member.standing == Standing::Ejected));
                }
            }
        }
    }
}

fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
