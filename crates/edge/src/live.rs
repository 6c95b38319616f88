//! The configuration as the workers use it: compiled off the request path, swapped whole, old zones kept where they
//! did not change.

use crate::hosts::Hosts;
use rapidhash::RapidHashMap;
use seawall_balance as balance;
use seawall_http::h1::Limits;
use seawall_httpcache as httpcache;
use seawall_model as model;
use seawall_net::client_addr::Trust;
use seawall_net::resolver::{Name, Resolver};
use seawall_net::tls::client::{OriginConfigs, OriginTls};
use seawall_telemetry::{OriginSlot, ZoneSlot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What every worker serves by.
pub(crate) struct Live {
    pub generation: u64,
    pub zones: Vec<Arc<Zone>>,
    hosts: Hosts,
    pub head_limits: Limits,
    pub timeouts: model::Timeouts,
    pub body_bytes: Option<u64>,
    pub requests_per_connection: Option<u32>,
    pub h2_streams: u32,
    pub trust: Trust,
    pub proxy_protocol: model::ProxyProtocol,
    pub node: Box<str>,
    /// Of the access log.
    pub layout: Option<Arc<seawall_telemetry::Layout>>,
    /// Of traces.
    pub spans: crate::spans::Exporter,
}

/// A zone, compiled.
pub(crate) struct Zone {
    pub doc: model::Zone,
    /// Where it is counted.
    pub slot: ZoneSlot,
    pub routes: Vec<Route>,
    pub pools: Vec<Pool>,
}

/// A route, compiled.
pub(crate) struct Route {
    pub doc: model::Route,
    /// Index in the zone's pools.
    pub pool: usize,
    pub cache: httpcache::Policy,
    pub query: httpcache::QueryRule,
    pub compression: bool,
    /// Nothing to match but everything: the usual route of a small zone.
    pub is_plain: bool,
}

/// A pool, compiled.
pub(crate) struct Pool {
    pub doc: model::Pool,
    pub balance: Arc<balance::Pool>,
    pub origins: Vec<Origin>,
    /// Indexes of pools to go on to, in order.
    pub fallback: Vec<usize>,
}

/// One origin of a pool.
pub(crate) struct Origin {
    /// Same as long as connections to it may be reused, over reloads too.
    pub id: u32,
    /// Where it is counted.
    pub slot: OriginSlot,
    pub doc: model::Origin,
    pub address: Name,
    pub tls: Option<OriginTls>,
    /// The same without HTTP/2, for WebSockets.
    pub tls_http1: Option<OriginTls>,
    /// Host to send instead of the client's.
    pub host: Option<Box<[u8]>>,
}

/// Why a zone could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A pool's numbers.
    #[error("pool {pool}: {source}")]
    Pool {
        /// Name of the pool.
        pool: String,
        /// What is wrong.
        source: balance::SettingsError,
    },
    /// An origin's TLS.
    #[error("origin {origin}: {source}")]
    Tls {
        /// Name of the origin.
        origin: String,
        /// What is wrong.
        source: seawall_net::tls::client::ClientSetupError,
    },
    /// A name that is not there.
    #[error("pool {0} does not exist")]
    NoPool(String),
}

static GENERATION: AtomicU64 = AtomicU64::new(1);
static ORIGIN_ID: AtomicU32 = AtomicU32::new(1);

/// What compiling needs beside the documents.
pub(crate) struct Compiler<'a> {
    pub resolver: &'a Resolver,
    /// TLS settings shared by origins, over reloads too.
    pub configs: &'a parking_lot::Mutex<OriginConfigs>,
    pub old: Option<&'a Live>,
    /// Where zones are counted, by name.
    pub zone_slot: &'a dyn Fn(&str) -> ZoneSlot,
    /// Where origins are counted, by zone, pool and name.
    pub origin_slot: &'a dyn Fn(&str, &str, &str) -> OriginSlot,
}

impl Compiler<'_> {
    /// Compiles a site. A zone that cannot be compiled keeps its last version, or is left out, and is reported.
    pub(crate) fn site(&self, site: &model::Site) -> (Live, Vec<(String, CompileError)>) {
        let old: RapidHashMap<&str, &Arc<Zone>> =
            self.old.iter().flat_map(|o| &o.zones).map(|z| (z.doc.name.as_str(), z)).collect();
        let mut ids = OriginIds::of(self.old);
        let mut zones: Vec<Arc<Zone>> = Vec::with_capacity(site.zones.len());
        let mut faults = Vec::new();
        for doc in &site.zones {
            let past = old.get(doc.name.as_str()).copied();
            if let Some(same) = past.filter(|z| z.doc == *doc) {
                zones.push(same.clone());
                continue;
            }
            match self.zone(doc, past, &mut ids) {
                Ok(zone) => zones.push(Arc::new(zone)),
                Err(fault) => {
                    faults.push((doc.name.clone(), fault));
                    if let Some(Ok(kept)) = past.map(|past| self.zone(&past.doc, Some(past), &mut ids)) {
                        zones.push(Arc::new(kept));
                    }
                }
            }
        }
        let hosts = Hosts::new(zones.iter().map(|z| z.doc.hosts.as_slice()));
        let edge = &site.edge;
        let live = Live {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            zones,
            hosts,
            head_limits: crate::h1::limits(&edge.limits),
            timeouts: edge.timeouts.clone(),
            body_bytes: edge.limits.body_bytes,
            requests_per_connection: edge.limits.requests_per_connection,
            h2_streams: edge.limits.h2_streams,
            trust: Trust::new(&edge.trusted_proxies, edge.client_ip_header),
            proxy_protocol: edge.proxy_protocol,
            node: edge.node.as_str().into(),
            layout: None,
            spans: Default::default(),
        };
        (live, faults)
    }

    fn zone(
        &self,
        doc: &model::Zone,
        past: Option<&Arc<Zone>>,
        ids: &mut OriginIds,
    ) -> Result<Zone, CompileError> {
        let position = |name: &str| {
            doc.pools.iter().position(|p| p.name == name).ok_or_else(|| CompileError::NoPool(name.to_owned()))
        };
        let mut pools = Vec::with_capacity(doc.pools.len());
        for pool in &doc.pools {
            let before = past.and_then(|z| z.pools.iter().find(|p| p.doc.name == pool.name));
            let fallback = pool.fallback.iter().map(|n| position(n)).collect::<Result<_, _>>()?;
            pools.push(self.pool(doc, pool, before, fallback, ids)?);
        }
        let routes =
            doc.routes.iter().map(|r| Ok(route(doc, r, position(&r.pool)?))).collect::<Result<_, _>>()?;
        Ok(Zone { doc: doc.clone(), slot: (self.zone_slot)(&doc.name), routes, pools })
    }

    fn pool(
        &self,
        zone: &model::Zone,
        doc: &model::Pool,
        before: Option<&Pool>,
        fallback: Vec<usize>,
        ids: &mut OriginIds,
    ) -> Result<Pool, CompileError> {
        let members = doc.origins.iter().map(|o| balance::Member {
            name: o.name.clone(),
            weight: o.weight,
            backup: o.backup,
            max_connections: o.max_connections,
            max_pending: o.max_pending,
        });
        let fault = |source| CompileError::Pool { pool: doc.name.clone(), source };
        let mut pool = balance::Pool::new(settings(zone, doc), members.collect()).map_err(fault)?;
        if let Some(before) = before {
            pool.adopt(&before.balance);
        }
        let origins = doc.origins.iter().map(|o| self.origin(zone, doc, o, ids)).collect::<Result<_, _>>()?;
        Ok(Pool { doc: doc.clone(), balance: Arc::new(pool), origins, fallback })
    }

    fn origin(
        &self,
        zone: &model::Zone,
        pool: &model::Pool,
        doc: &model::Origin,
        ids: &mut OriginIds,
    ) -> Result<Origin, CompileError> {
        let fault = |source| CompileError::Tls { origin: doc.name.clone(), source };
        let mut configs = self.configs.lock();
        let tls = configs.origin(doc).map_err(fault)?;
        let tls_http1 = match doc.http2 {
            true => configs.origin(&model::Origin { http2: false, ..doc.clone() }).map_err(fault)?,
            false => tls.clone(),
        };
        drop(configs);
        Ok(Origin {
            id: ids.id(doc),
            slot: (self.origin_slot)(&zone.name, &pool.name, &doc.name),
            address: self.resolver.name(&doc.url.host),
            tls,
            tls_http1,
            host: doc.host.as_ref().map(|h| h.as_bytes().into()),
            doc: doc.clone(),
        })
    }
}

impl Live {
    /// Position of the zone that serves a host (lower case, without port).
    pub(crate) fn find(&self, host: &[u8]) -> Option<usize> {
        self.hosts.find(host)
    }
}

impl Zone {
    /// The first route that fits.
    pub(crate) fn route(&self, host: &[u8], method: &[u8], path: &[u8]) -> Option<&Route> {
        self.routes.iter().find(|r| r.is_plain || r.doc.matches(host, method, path))
    }
}

fn route(zone: &model::Zone, doc: &model::Route, pool: usize) -> Route {
    let mode = match doc.cache {
        _ if !zone.cache => httpcache::Mode::Off,
        model::RouteCache::Bypass => httpcache::Mode::Off,
        model::RouteCache::Default => httpcache::Mode::Standard,
        model::RouteCache::Everything => httpcache::Mode::Everything,
    };
    let cache = httpcache::Policy {
        mode,
        development_mode: zone.development_mode,
        edge_ttl_s: doc.edge_ttl.map(seconds),
        browser_ttl_s: doc.browser_ttl.map(seconds),
        stale_while_revalidate_s: doc.stale_while_revalidate.map_or(0, seconds),
        stale_if_error_s: doc.stale_if_error.map_or(0, seconds),
        ..httpcache::Policy::default()
    };
    let query = match &doc.ignore_query {
        model::IgnoreQuery::None => httpcache::QueryRule::Keep,
        model::IgnoreQuery::All => httpcache::QueryRule::IgnoreAll,
        model::IgnoreQuery::Keys(keys) => {
            httpcache::QueryRule::Ignore(keys.iter().map(|k| k.as_str().as_bytes().into()).collect())
        }
    };
    let is_plain =
        doc.host.is_none() && doc.methods.is_empty() && doc.path == model::PathPattern::everything();
    let compression = doc.compression.unwrap_or(zone.compression);
    Route { doc: doc.clone(), pool, cache, query, compression, is_plain }
}

fn settings(zone: &model::Zone, doc: &model::Pool) -> balance::Settings {
    balance::Settings {
        policy: match doc.policy {
            model::Policy::RoundRobin => balance::Policy::RoundRobin,
            model::Policy::LeastOutstanding => balance::Policy::LeastOutstanding,
            model::Policy::Hash(_) => balance::Policy::Hash { max_load_percent: 0 },
        },
        affinity: doc.affinity.is_some(),
        affinity_salt: balance::stable_hash(format!("{}/{}", zone.name, doc.name).as_bytes()),
        // In the file 0 turns it off.
        ejection: (doc.ejection.consecutive_failures > 0).then(|| balance::Ejection {
            consecutive_failures: doc.ejection.consecutive_failures,
            base_ms: milliseconds(doc.ejection.base),
            max_ms: milliseconds(doc.ejection.max),
            max_percent: doc.ejection.max_percent,
            status_5xx: false,
        }),
        monitor: doc.monitor.as_ref().map(|m| balance::Monitor {
            interval_ms: milliseconds(m.interval),
            jitter_percent: m.jitter_percent,
            healthy: m.healthy,
            unhealthy: m.unhealthy,
        }),
        concurrency: Some(match &doc.concurrency {
            model::Concurrency { adaptive: true, min, max } => balance::Concurrency { min: *min, max: *max },
            // A limit that cannot move.
            model::Concurrency { max, .. } => balance::Concurrency { min: *max, max: *max },
        }),
        retry: balance::RetryBudget { percent: doc.retry_budget_percent, ..Default::default() },
    }
}

/// Keeps the ids of origins whose connections may be reused.
struct OriginIds {
    known: RapidHashMap<String, u32>,
}

impl OriginIds {
    fn of(old: Option<&Live>) -> OriginIds {
        let origins = old.into_iter().flat_map(|o| &o.zones).flat_map(|z| &z.pools).flat_map(|p| &p.origins);
        OriginIds { known: origins.map(|o| (identity(&o.doc), o.id)).collect() }
    }

    fn id(&mut self, doc: &model::Origin) -> u32 {
        *self.known.entry(identity(doc)).or_insert_with(|| ORIGIN_ID.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a connection to an origin depends on.
fn identity(doc: &model::Origin) -> String {
    format!("{} {:?} {} {:?} {}", doc.url, doc.tls, doc.server_name(), doc.ca, doc.http2)
}

fn seconds(d: Duration) -> u32 {
    u32::try_from(d.as_secs()).unwrap_or(u32::MAX)
}

pub(crate) fn milliseconds(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
