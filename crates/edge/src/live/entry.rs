//! A zone in the table: its unit, and the zone compiled from it once it is used.

use super::compile::{self, CompileError, Means};
use super::zone::Zone;
use crate::hosts::Host;
use crate::stages::Shared;
use parking_lot::Mutex;
use seawall_balance as balance;
use seawall_model as model;
use seawall_snapshot::{Unit, codec};
use seawall_telemetry::metrics::OriginName;
use seawall_telemetry::{OriginSlot, Registry, ZoneSlot};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// One version of a zone. It stays the same object for as long as its unit and the lists that it names do, in whatever
/// tables.
pub(crate) struct Entry {
    /// Tells the pools of this version from those of others.
    id: u64,
    unit: Arc<Unit>,
    hosts: Arc<[Host]>,
    /// Names of lists that its rules look into.
    lists: Box<[Box<str>]>,
    certificates: Box<[model::Certificate]>,
    home: Arc<Home>,
    origins: Arc<[OriginClaim]>,
    monitored: bool,
    /// Asked for since the last round of those that look for zones to rest, and rounds for which it was not.
    used: AtomicBool,
    idle: AtomicU8,
    /// Stays compiled, used or not.
    pinned: AtomicBool,
    /// Whether it has ever been the version in force; until then it is a candidate.
    settled: AtomicBool,
    /// Compiled when first used, or from the start; nothing if that failed.
    zone: OnceLock<Option<Arc<Zone>>>,
}

/// What all versions of a zone have in common: where it is counted, and the state of its pools.
pub(crate) struct Home {
    claim: Option<ZoneClaim>,
    pools: Mutex<Vec<Housed>>,
}

/// A pool of some version, for as long as anyone uses it.
struct Housed {
    entry: u64,
    name: Box<str>,
    pool: Weak<balance::Pool>,
}

/// A slot in the metrics, given back when the last version of the zone is gone.
struct ZoneClaim {
    registry: Arc<Registry>,
    name: Box<str>,
    slot: ZoneSlot,
}

/// The same for an origin.
struct OriginClaim {
    registry: Arc<Registry>,
    name: OriginName,
    slot: OriginSlot,
}

static ENTRY: AtomicU64 = AtomicU64::new(1);

impl Entry {
    /// A version of a zone; `past` is the version before.
    pub(super) fn new(
        means: &Means,
        unit: Arc<Unit>,
        doc: &model::Zone,
        home: Arc<Home>,
        past: Option<&Entry>,
    ) -> Entry {
        let hosts: Vec<Host> = doc.hosts.iter().map(Host::from).collect();
        let hosts = match past {
            Some(past) if *past.hosts == *hosts => past.hosts.clone(),
            _ => hosts.into(),
        };
        Entry {
            id: ENTRY.fetch_add(1, Ordering::Relaxed),
            hosts,
            lists: lists(doc),
            certificates: doc.certificates.as_slice().into(),
            // Zones that are counted together have no origins that are counted apart.
            origins: if home.slot() == ZoneSlot::OTHER { [].into() } else { claims(means, doc) },
            home,
            monitored: doc.pools.iter().any(|p| p.monitor.is_some()),
            used: AtomicBool::new(false),
            idle: AtomicU8::new(0),
            pinned: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            zone: OnceLock::new(),
            unit,
        }
    }

    /// The same, not compiled.
    pub(super) fn at_rest(&self) -> Entry {
        Entry {
            id: ENTRY.fetch_add(1, Ordering::Relaxed),
            unit: self.unit.clone(),
            hosts: self.hosts.clone(),
            lists: self.lists.clone(),
            certificates: self.certificates.clone(),
            home: self.home.clone(),
            origins: self.origins.clone(),
            monitored: self.monitored,
            used: AtomicBool::new(false),
            idle: AtomicU8::new(0),
            pinned: AtomicBool::new(false),
            settled: AtomicBool::new(self.settled.load(Ordering::Relaxed)),
            zone: OnceLock::new(),
        }
    }

    /// Whether it may rest: compiled, not asked for in this many rounds, and nothing under way at its origins. To be
    /// asked once a round.
    pub(super) fn is_tired(&self, rounds: u8, now_ms: u64) -> bool {
        let Some(zone) = self.compiled() else { return false };
        if self.used.swap(false, Ordering::Relaxed) {
            self.idle.store(0, Ordering::Relaxed);
            return false;
        }
        let idle = self.idle.load(Ordering::Relaxed).saturating_add(1);
        self.idle.store(idle, Ordering::Relaxed);
        idle >= rounds
            && !self.pinned.load(Ordering::Relaxed)
            && zone.pools.iter().all(|pool| pool.balance.is_idle(now_ms))
    }

    /// Name of the zone.
    #[inline]
    pub(crate) fn name(&self) -> &str {
        &self.unit.name
    }

    /// What it was made of.
    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    pub(super) fn hosts(&self) -> &Arc<[Host]> {
        &self.hosts
    }

    pub(super) fn certificates(&self) -> &[model::Certificate] {
        &self.certificates
    }

    pub(super) fn lists(&self) -> &[Box<str>] {
        &self.lists
    }

    pub(super) fn is_monitored(&self) -> bool {
        self.monitored
    }

    pub(super) fn is_counted(&self) -> bool {
        !self.origins.is_empty()
    }

    /// The zone, compiled now if it never was. Nothing only where that fails although it did not when the configuration
    /// was loaded.
    #[inline]
    pub(crate) fn zone(&self, means: &Means, shared: &Shared) -> Option<&Arc<Zone>> {
        // Written once a round, and read by every request.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        match self.zone.get() {
            Some(zone) => zone.as_ref(),
            None => self.first_use(means, shared),
        }
    }

    /// The zone, if it is compiled.
    pub(crate) fn compiled(&self) -> Option<&Arc<Zone>> {
        self.zone.get()?.as_ref()
    }

    #[cold]
    fn first_use(&self, means: &Means, shared: &Shared) -> Option<&Arc<Zone>> {
        let compile = || match codec::zone_of(&self.unit).map_err(CompileError::from) {
            Ok(doc) => self.compile(means, shared, doc),
            Err(fault) => Err(fault),
        };
        let compile = || match compile() {
            Ok(zone) => Some(Arc::new(zone)),
            Err(fault) => {
                tracing::error!(zone = self.name(), %fault, "a zone could be compiled when it was loaded and cannot be now");
                None
            }
        };
        self.zone.get_or_init(compile).as_ref()
    }

    /// Compiles it, containing panics: what a zone says is user input.
    pub(super) fn compile(
        &self,
        means: &Means,
        shared: &Shared,
        doc: model::Zone,
    ) -> Result<Zone, CompileError> {
        let slots = |pool: &str, origin: &str| {
            let is = |c: &&OriginClaim| c.name.pool == pool && c.name.origin == origin;
            self.origins.iter().find(is).map_or(OriginSlot::OTHER, |c| c.slot)
        };
        let take_in = |name: &str, pool| self.home.take_in(self, name, pool);
        let unit = self.unit.hash.prefix();
        let place = compile::Place { unit, slot: self.home.slot(), slots: &slots, take_in: &take_in };
        let compiled =
            std::panic::catch_unwind(AssertUnwindSafe(|| compile::zone(means, shared, doc, &place)));
        compiled.unwrap_or_else(|panic| Err(CompileError::Panic(said(&*panic))))
    }

    /// Keeps what was compiled, so that no request needs to wait for it; `pinned` for good.
    pub(super) fn keep(&self, zone: Zone, pinned: bool) {
        self.pinned.store(pinned, Ordering::Relaxed);
        // A failure to set means that it is there.
        let _ = self.zone.set(Some(Arc::new(zone)));
    }

    /// Says that this is the version in force now: from here on its settings rule what all versions share.
    pub(super) fn settle(&self) {
        // Under the lock, so that a zone compiled at this moment either sees it or is seen.
        let pools = self.home.pools.lock();
        self.settled.store(true, Ordering::Relaxed);
        pools.iter().filter(|h| h.entry == self.id).filter_map(|h| h.pool.upgrade()).for_each(|p| p.settle());
    }
}

impl Home {
    /// Of a zone that was not there before.
    pub(super) fn new(means: &Means, name: &str) -> Home {
        let slot = means.registry.claim_zone(name);
        let claim = (slot != ZoneSlot::OTHER).then(|| ZoneClaim {
            registry: means.registry.clone(),
            name: name.into(),
            slot,
        });
        Home { claim, pools: Mutex::default() }
    }

    pub(super) fn slot(&self) -> ZoneSlot {
        self.claim.as_ref().map_or(ZoneSlot::OTHER, |claim| claim.slot)
    }

    /// Gives a new pool of an entry what its namesakes know, and makes it known itself.
    fn take_in(&self, entry: &Entry, name: &str, mut pool: balance::Pool) -> Arc<balance::Pool> {
        let mut pools = self.pools.lock();
        pools.retain(|housed| housed.pool.strong_count() > 0);
        let namesakes = || pools.iter().rev().filter(|h| *h.name == *name).filter_map(|h| h.pool.upgrade());
        if let Some(in_force) = namesakes().find(|p| p.is_settled()) {
            pool.adopt(&in_force);
        } else if let Some(on_trial) = namesakes().next() {
            pool.share(&on_trial);
        }
        if entry.settled.load(Ordering::Relaxed) {
            pool.settle();
        } else {
            pool.begin_trial();
        }
        let pool = Arc::new(pool);
        pools.push(Housed { entry: entry.id, name: name.into(), pool: Arc::downgrade(&pool) });
        pool
    }
}

impl Drop for ZoneClaim {
    fn drop(&mut self) {
        self.registry.release_zone(&self.name, self.slot);
    }
}

impl Drop for OriginClaim {
    fn drop(&mut self) {
        self.registry.release_origin(&self.name, self.slot);
    }
}

fn claims(means: &Means, zone: &model::Zone) -> Arc<[OriginClaim]> {
    let origins = zone.pools.iter().flat_map(|pool| pool.origins.iter().map(move |o| (pool, o)));
    let claims = origins.filter_map(|(pool, origin)| {
        let name =
            OriginName { zone: zone.name.clone(), pool: pool.name.clone(), origin: origin.name.clone() };
        let slot = means.registry.claim_origin(&name);
        (slot != OriginSlot::OTHER).then(|| OriginClaim { registry: means.registry.clone(), name, slot })
    });
    claims.collect()
}

/// Lists that a zone looks into.
fn lists(zone: &model::Zone) -> Box<[Box<str>]> {
    let of_rules = zone.rules.iter().filter_map(|rule| rule.when.list.as_ref());
    let mut names: Vec<&String> = zone.bans.iter().chain(of_rules).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| name.as_str().into()).collect()
}

/// What a panic said.
pub(super) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
