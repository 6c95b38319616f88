//! Who a request runs under while a change is on its way: the current configuration, or for a small share of them the
//! candidate beside it. What each group went through is counted, so that gates can compare the two.

use crate::exchange::Facts;
use crate::live::Live;
use crate::worker::LiveRef;
use seawall_http::RequestHead;
use seawall_rollout::{Histogram, Sample, Spread, Vote, Votes};
use seawall_telemetry::metrics::Counter;
use seawall_telemetry::names::{CacheStatus, ModuleFault};
use std::hash::Hasher;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// All requests, in the unit of [`Canary::share`].
pub(crate) const WHOLE: u32 = 10_000;

/// Unit of the time in a vote: tenths of a second.
const VOTE_TURN_NS: u64 = 100_000_000;

/// Which configuration a request runs under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cohort {
    #[default]
    Current,
    Candidate,
}

/// A candidate beside the current configuration.
pub(crate) struct Canary {
    pub live: Arc<Live>,
    /// Its number, so that each change has other guinea pigs.
    pub snapshot: u64,
    /// Requests it gets, of [`WHOLE`].
    share: AtomicU32,
}

impl Canary {
    pub(crate) fn new(live: Arc<Live>, snapshot: u64) -> Canary {
        Canary { live, snapshot, share: AtomicU32::new(0) }
    }

    /// Gives it this share of requests.
    pub(crate) fn widen(&self, percent: u8) {
        self.share.store(u32::from(percent) * (WHOLE / 100), Ordering::Relaxed);
    }
}

/// What a request drew while a candidate is on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lot(u64);

/// A worker's hold on the candidate.
pub(crate) struct Trial {
    pub canary: Arc<Canary>,
    pub live: Rc<LiveRef>,
}

impl Trial {
    /// A request's lot: the same visitor asking for the same thing draws the same through all stages.
    pub(crate) fn lot(&self, client: IpAddr, head: &RequestHead) -> Lot {
        let mut hasher = rapidhash::fast::RapidHasher::default();
        hasher.write_u64(self.canary.snapshot);
        match client {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hasher.write(head.host());
        hasher.write(head.path());
        Lot(hasher.finish())
    }

    /// Whether a lot falls to the candidate. A wider stage holds whoever was in the one before.
    pub(crate) fn takes(&self, lot: Lot) -> bool {
        let point = ((lot.0 >> 32) * u64::from(WHOLE)) >> 32;
        point < u64::from(self.canary.share.load(Ordering::Relaxed))
    }
}

/// What one worker's requests of one cohort went through. Grows only; gates look at differences.
pub(crate) struct Cells {
    requests: Counter,
    edge_errors: Counter,
    origin_errors: Counter,
    module_faults: Counter,
    overruns: Counter,
    blocked: Counter,
    cacheable: Counter,
    cache_hits: Counter,
    latency: [Counter; Histogram::BUCKETS],
    scores: [Counter; 10],
    unscored: Counter,
    lots: [Counter; Spread::BUCKETS],
    votes: [AtomicU32; Votes::PARTS],
}

impl Default for Cells {
    fn default() -> Cells {
        fn cells<const N: usize>() -> [Counter; N] {
            std::array::from_fn(|_| Counter::default())
        }
        Cells {
            requests: Counter::default(),
            edge_errors: Counter::default(),
            origin_errors: Counter::default(),
            module_faults: Counter::default(),
            overruns: Counter::default(),
            blocked: Counter::default(),
            cacheable: Counter::default(),
            cache_hits: Counter::default(),
            latency: cells(),
            scores: cells(),
            unscored: Counter::default(),
            lots: cells(),
            votes: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl Cells {
    /// Counts a request while nothing is on its way: what a gate must know of the time before, so that an error that is made
    /// now and then anyway is no surprise.
    pub(crate) fn count_calm(&self, facts: &Facts) {
        self.requests.inc();
        if let Some((code, _)) = &facts.error {
            match code {
                500 | 503 => self.edge_errors.inc(),
                502 | 504 | 520..=530 => self.origin_errors.inc(),
                _ => {}
            }
        }
        if !facts.stages.faults.is_empty() {
            let late = |fault: &ModuleFault| matches!(fault, ModuleFault::Time);
            let small = facts.stages.faults.iter().filter(|(_, fault)| late(fault)).count() as u64;
            self.module_faults.add(facts.stages.faults.len() as u64 - small);
            self.overruns.add(small);
        }
    }

    /// Counts a request.
    pub(crate) fn count(&self, facts: &Facts, lot: Lot, latency_us: u64) {
        if let Some(lots) = self.lots.get(Spread::bucket(lot.0)) {
            lots.inc();
        }
        self.count_calm(facts);
        self.vote(facts, lot, latency_us);
        if facts.stages.blocked {
            self.blocked.inc();
        }
        match facts.cache {
            Some(
                CacheStatus::Hit | CacheStatus::Stale | CacheStatus::Updating | CacheStatus::Revalidated,
            ) => {
                self.cacheable.inc();
                self.cache_hits.inc();
            }
            Some(CacheStatus::Miss | CacheStatus::Expired) => self.cacheable.inc(),
            _ => {}
        }
        if let Some(bucket) = self.latency.get(Histogram::bucket(latency_us)) {
            bucket.inc();
        }
        match facts.stages.score {
            Some(Some(score)) => {
                if let Some(band) = self.scores.get(usize::from(score.min(99)) / 10) {
                    band.inc();
                }
            }
            Some(None) => self.unscored.inc(),
            None => {}
        }
    }

    /// Casts the vote of this visitor and page; their earlier one is forgotten.
    fn vote(&self, facts: &Facts, lot: Lot, latency_us: u64) {
        let error = facts.error.as_ref().map(|(code, _)| code);
        let cache_hit = matches!(
            facts.cache,
            Some(CacheStatus::Hit | CacheStatus::Stale | CacheStatus::Updating | CacheStatus::Revalidated)
        );
        let vote = Vote {
            latency_us,
            cacheable: cache_hit || matches!(facts.cache, Some(CacheStatus::Miss | CacheStatus::Expired)),
            cache_hit,
            origin_error: matches!(error, Some(502 | 504 | 520..=530)),
            blocked: facts.stages.blocked,
            score: facts.stages.score,
        };
        if let Some(slot) = self.votes.get(Votes::part(lot.0)) {
            slot.store(vote.pack(facts.begun_ns / VOTE_TURN_NS), Ordering::Relaxed);
        }
    }

    /// Adds what is counted here to a sample.
    pub(crate) fn add_to(&self, sample: &mut Sample) {
        sample.requests += self.requests.get();
        sample.edge_errors += self.edge_errors.get();
        sample.origin_errors += self.origin_errors.get();
        sample.module_faults += self.module_faults.get();
        sample.overruns += self.overruns.get();
        sample.blocked += self.blocked.get();
        sample.cacheable += self.cacheable.get();
        sample.cache_hits += self.cache_hits.get();
        for (bucket, cell) in self.latency.iter().enumerate() {
            sample.latency.add(bucket, cell.get());
        }
        for (sum, cell) in sample.scores.iter_mut().zip(&self.scores) {
            *sum += cell.get();
        }
        sample.unscored += self.unscored.get();
        for (bucket, cell) in self.lots.iter().enumerate() {
            sample.spread.add(bucket, cell.get());
        }
        for (part, vote) in self.votes.iter().enumerate() {
            sample.votes.cast(part, vote.load(Ordering::Relaxed));
        }
    }
}
