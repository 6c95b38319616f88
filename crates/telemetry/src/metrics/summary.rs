//! The numbers `seawall top` shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cell::{Histogram, quantile_us};
use super::view::View;
use crate::names::Module;
use crate::timeline::Event;

/// Statuses listed in a summary, most frequent first.
const TOP_STATUSES: usize = 10;

/// The state of an edge at one moment. Counts are since the start: two summaries make rates, and two [`Latency`]s the
/// quantiles in between ([`Latency::since`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)] // `seawall top` of one version reads an edge of another
#[allow(missing_docs)] // names and units say it
pub struct Summary {
    pub build: String,
    pub time_unix_ms: u64,
    pub uptime_ms: u64,
    pub workers: usize,
    pub requests: u64,
    /// Responses 1xx, 2xx, 3xx, 4xx, 5xx.
    pub responses_by_class: [u64; 5],
    /// Most frequent statuses; 0 stands for none sent.
    pub top_statuses: Vec<(u16, u64)>,
    /// Error pages by code.
    pub errors: BTreeMap<String, u64>,
    /// Requests by what the cache did.
    pub cache: BTreeMap<String, u64>,
    pub cache_hits: u64,
    pub cache_memory_bytes: i64,
    pub cache_disk_bytes: i64,
    pub cache_objects: i64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub in_flight: i64,
    /// Open connections by use.
    pub connections: BTreeMap<String, i64>,
    pub connections_accepted: u64,
    pub tls_handshakes: u64,
    /// Request head to last byte.
    pub duration: Latency,
    /// Request sent to an origin, to its response head.
    pub origin_first_byte: Latency,
    /// Attempts at origins without a response, by fault.
    pub origin_faults: BTreeMap<String, u64>,
    pub retries: u64,
    pub zones: Vec<ZoneSummary>,
    pub origins: Vec<OriginSummary>,
    /// Number of the snapshot that serves; absent without one.
    pub snapshot_running: Option<u64>,
    /// Number of the snapshot on its way; absent without one.
    pub snapshot_candidate: Option<u64>,
    /// Share of requests that run the candidate.
    pub canary_percent: i64,
    pub units_kept: i64,
    /// Modules that failed, were skipped or have breakers open.
    pub modules: Vec<ModuleSummary>,
    pub telemetry_us: u64,
    pub telemetry_suppressed: u64,
    /// Newest events of this process, oldest first.
    pub timeline: Vec<Event>,
    pub config_version: i64,
    pub config_last_load_ok: bool,
    pub config_problems: i64,
    pub ready: bool,
    pub draining: bool,
    pub log_records_lost: u64,
    pub resident_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    pub cpu_ms: Option<u64>,
}

/// One zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)] // `seawall top` of one version reads an edge of another
#[allow(missing_docs)]
pub struct ZoneSummary {
    pub name: String,
    pub requests: u64,
    pub client_errors: u64,
    pub server_errors: u64,
    pub edge_errors: u64,
    pub cache_hits: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Sum over all requests.
    pub duration_us: u64,
}

/// One module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // `seawall top` of one version reads an edge of another
#[allow(missing_docs)]
pub struct ModuleSummary {
    pub name: String,
    pub faults: u64,
    pub skipped: u64,
    pub closed_responses: u64,
    /// Zones whose breaker is open.
    pub breakers_open: i64,
}

/// One origin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)] // `seawall top` of one version reads an edge of another
#[allow(missing_docs)]
pub struct OriginSummary {
    pub zone: String,
    pub pool: String,
    pub name: String,
    /// What the monitor says; absent without one.
    pub healthy: Option<bool>,
    /// Workers that have ejected it.
    pub ejected_by: i64,
    pub requests: u64,
    pub faults: u64,
    pub server_errors: u64,
    pub outstanding: i64,
    pub connections: i64,
    pub connects: u64,
    /// Concurrency allowed, all workers together; 0 if not limited.
    pub limit: i64,
    /// Mean time to the response head; absent without one.
    pub mean_first_byte_us: Option<u64>,
    pub first_bytes: u64,
    pub first_byte_us_sum: u64,
}

/// A distribution of durations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)] // `seawall top` of one version reads an edge of another
pub struct Latency {
    /// Observations.
    pub count: u64,
    /// Their sum, microseconds.
    pub sum_us: u64,
    /// Half are within; absent without observations, like the others.
    pub p50_us: Option<u64>,
    /// 90 % are within.
    pub p90_us: Option<u64>,
    /// 99 % are within.
    pub p99_us: Option<u64>,
    /// Observations by bucket; bounds as [`super::bucket_bound_us`] says.
    pub buckets: Vec<u64>,
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        Self::from_buckets(histogram.counts().to_vec(), histogram.sum_us())
    }

    /// What was observed after `earlier`; all of it if the process has begun anew since.
    #[must_use]
    pub fn since(&self, earlier: &Latency) -> Latency {
        if earlier.count > self.count || earlier.buckets.len() != self.buckets.len() {
            return self.clone();
        }
        let buckets = self.buckets.iter().zip(&earlier.buckets).map(|(now, then)| now.saturating_sub(*then));
        Self::from_buckets(buckets.collect(), self.sum_us.saturating_sub(earlier.sum_us))
    }

    fn from_buckets(buckets: Vec<u64>, sum_us: u64) -> Self {
        let at = |q| quantile_us(&buckets, q);
        let (p50_us, p90_us, p99_us) = (at(0.5), at(0.9), at(0.99));
        Latency { count: buckets.iter().sum(), sum_us, p50_us, p90_us, p99_us, buckets }
    }
}

impl Summary {
    pub(crate) fn of(view: &View) -> Self {
        let cells = &view.cells;
        let shared = &view.shared;
        let mut top_statuses: Vec<(u16, u64)> = cells.responses.seen().collect();
        top_statuses.sort_by_key(|(status, count)| (std::cmp::Reverse(*count), *status));
        top_statuses.truncate(TOP_STATUSES);
        Summary {
            build: view.build.to_owned(),
            time_unix_ms: view.now_unix_ms,
            uptime_ms: view.uptime_ms(),
            workers: view.workers,
            requests: cells.requests.iter().map(|(_, c)| c.get()).sum(),
            responses_by_class: cells.responses.by_class(),
            top_statuses,
            errors: cells.errors.seen().map(|(code, n)| (error_label(code), n)).collect(),
            cache: named(cells.cache.iter().map(|(k, c)| (k.name(), c.get()))),
            cache_hits: cells.cache.iter().filter(|(k, _)| k.served_from_cache()).map(|(_, c)| c.get()).sum(),
            cache_memory_bytes: shared.cache_memory_bytes.get(),
            cache_disk_bytes: shared.cache_disk_bytes.get(),
            cache_objects: shared.cache_memory_objects.get() + shared.cache_disk_objects.get(),
            request_bytes: cells.request_bytes.get(),
            response_bytes: cells.response_bytes.get(),
            in_flight: cells.in_flight.get(),
            connections: cells.connections.iter().map(|(k, g)| (k.name().to_owned(), g.get())).collect(),
            connections_accepted: cells.connections_accepted.get(),
            tls_handshakes: cells.tls_handshakes.iter().map(|(_, c)| c.get()).sum(),
            duration: Latency::of(&cells.request_duration),
            origin_first_byte: Latency::of(&cells.origin_first_byte),
            origin_faults: named(cells.origin_faults.iter().map(|(k, c)| (k.name(), c.get()))),
            retries: cells.retries.get(),
            zones: view.zones.iter().filter(|(name, z)| is_shown(name, z.requests.get())).map(zone).collect(),
            origins: view
                .origins
                .iter()
                .filter(|o| is_shown(&o.name.origin, o.cells.requests.get()))
                .map(origin)
                .collect(),
            snapshot_running: there(shared.snapshot_running.get()),
            snapshot_candidate: there(shared.snapshot_candidate.get()),
            canary_percent: shared.canary_percent.get(),
            units_kept: shared.units_kept.get(),
            modules: Module::ALL
                .iter()
                .map(|m| module(view, *m))
                .filter(ModuleSummary::says_something)
                .collect(),
            telemetry_us: cells.telemetry_ns.get() / 1000,
            telemetry_suppressed: cells.telemetry_suppressed.get(),
            timeline: view.newest_events.iter().map(|event| Event::clone(event)).collect(),
            config_version: shared.config_version.get(),
            config_last_load_ok: shared.config_last_load_ok.get() != 0,
            config_problems: shared.config_problems.get(),
            ready: shared.ready.get() != 0,
            draining: shared.draining.get() != 0,
            log_records_lost: view.log.as_ref().map_or(0, |l| l.lost),
            resident_bytes: view.process.resident_bytes,
            open_fds: view.process.open_fds,
            max_fds: view.process.max_fds,
            cpu_ms: view.process.cpu_ms(),
        }
    }
}

/// Label of an error code.
pub(crate) fn error_label(code: Option<u16>) -> String {
    code.map_or_else(|| "other".to_owned(), |c| c.to_string())
}

/// The slot for all others is shown only once something was counted there.
pub(crate) fn is_shown(name: &str, count: u64) -> bool {
    count > 0 || name != super::registry::OTHER
}

fn named<'n>(pairs: impl Iterator<Item = (&'n str, u64)>) -> BTreeMap<String, u64> {
    pairs.filter(|(_, n)| *n > 0).map(|(k, n)| (k.to_owned(), n)).collect()
}

fn zone((name, cells): &(String, super::ZoneCells)) -> ZoneSummary {
    ZoneSummary {
        name: name.clone(),
        requests: cells.requests.get(),
        client_errors: cells.client_errors.get(),
        server_errors: cells.server_errors.get(),
        edge_errors: cells.edge_errors.get(),
        cache_hits: cells.cache_hits.get(),
        request_bytes: cells.request_bytes.get(),
        response_bytes: cells.response_bytes.get(),
        duration_us: cells.duration_us.get(),
    }
}

fn module(view: &View, module: Module) -> ModuleSummary {
    let cells = &view.cells;
    ModuleSummary {
        name: module.name().to_owned(),
        faults: cells.module_faults.total(module),
        skipped: cells.module_skipped.get(module),
        closed_responses: cells.module_closed.get(module),
        breakers_open: view.shared.module_breakers_open.level(module),
    }
}

impl ModuleSummary {
    fn says_something(&self) -> bool {
        self.faults > 0 || self.skipped > 0 || self.closed_responses > 0 || self.breakers_open > 0
    }
}

/// A number that 0 says is not there.
fn there(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|n| *n > 0)
}

fn origin(view: &super::view::OriginView) -> OriginSummary {
    let cells = &view.cells;
    OriginSummary {
        zone: view.name.zone.clone(),
        pool: view.name.pool.clone(),
        name: view.name.origin.clone(),
        healthy: view.healthy,
        ejected_by: cells.ejected.get(),
        requests: cells.requests.get(),
        faults: cells.faults.get(),
        server_errors: cells.server_errors.get(),
        outstanding: cells.outstanding.get(),
        connections: cells.connections.get(),
        connects: cells.connects.get(),
        limit: cells.limit.get(),
        mean_first_byte_us: cells.first_byte_us.get().checked_div(cells.first_bytes.get()),
        first_bytes: cells.first_bytes.get(),
        first_byte_us_sum: cells.first_byte_us.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_between_two_summaries_forget_what_was_before() {
        let histogram = Histogram::default();
        for _ in 0..1000 {
            histogram.observe_us(10_000_000);
        }
        let earlier = Latency::of(&histogram);
        for _ in 0..10 {
            histogram.observe_us(80);
        }
        let between = Latency::of(&histogram).since(&earlier);
        assert_eq!((between.count, between.sum_us), (10, 800));
        assert!(between.p99_us.unwrap() <= 100);
        assert_eq!(earlier.since(&Latency::of(&histogram)), earlier, "a process begun anew");
    }
}
