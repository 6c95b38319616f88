//! A zone's document compiled to what requests use.

use super::zone::{Origin, OriginId, Pool, Route, Zone};
use crate::recorder::Slot;
use crate::stages::{self, Shared};
use parking_lot::Mutex;
use seawall_balance as balance;
use seawall_guard::{Guard, Sabotage};
use seawall_httpcache as httpcache;
use seawall_model as model;
use seawall_net::resolver::Resolver;
use seawall_net::tls::client::OriginConfigs;
use seawall_telemetry::{OriginSlot, Registry, ZoneSlot};
use std::sync::Arc;
use std::time::Duration;

/// What zones are compiled with, beside their documents; lasts as long as the process.
pub(crate) struct Means {
    pub resolver: Resolver,
    /// TLS settings shared by origins, over reloads too.
    pub configs: Mutex<OriginConfigs>,
    /// Where zones and origins are counted.
    pub registry: Arc<Registry>,
    /// In a drill.
    pub sabotage: Option<Arc<Sabotage>>,
    /// Where it is noted which zone is being compiled, should that kill the process.
    pub bench: Slot,
}

/// Where a compiled zone belongs.
pub(super) struct Place<'a> {
    /// First bytes of its unit's hash.
    pub unit: u64,
    pub slot: ZoneSlot,
    /// Where its origins are counted, by pool and name.
    pub slots: &'a dyn Fn(&str, &str) -> OriginSlot,
    /// Gives a pool the state of its namesakes.
    pub take_in: &'a dyn Fn(&str, balance::Pool) -> Arc<balance::Pool>,
}

/// Why a zone could not be compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// Its unit.
    #[error(transparent)]
    Unit(#[from] seawall_snapshot::UnitFault),
    /// It takes too much time or memory.
    #[error(transparent)]
    Limit(#[from] seawall_snapshot::LimitFault),
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
    /// A rule or a list.
    #[error("{0}")]
    Stages(#[from] crate::stages::CompileStages),
    /// It does not end.
    #[error("compiling it takes more than {} s and was given up", .0.as_secs())]
    Hangs(Duration),
    /// Too many others hung before its turn came.
    #[error("it was not compiled: too many others did not end")]
    Lost,
    /// A fault of ours, contained.
    #[error("compiling it panicked: {0}")]
    Panic(String),
}

/// Compiles a zone.
pub(super) fn zone(
    means: &Means,
    shared: &Shared,
    mut doc: model::Zone,
    place: &Place<'_>,
) -> Result<Zone, CompileError> {
    // Always limited, but in the drill that shows what the limits of patterns are for.
    let limited = means.sabotage.as_ref().is_none_or(|s| !s.without(Guard::PatternLimits));
    // Spreads the probes of breakers from those of other zones.
    let seed = place.unit as u32;
    let stages = stages::compile(&doc, seed, limited, &|name| shared.list(name))?;
    let pools = std::mem::take(&mut doc.pools);
    let names: Vec<String> = pools.iter().map(|p| p.name.clone()).collect();
    let position = |name: &str| {
        names.iter().position(|n| n == name).ok_or_else(|| CompileError::NoPool(name.to_owned()))
    };
    let routes = std::mem::take(&mut doc.routes).into_iter().map(|r| {
        let pool = position(&r.pool)?;
        Ok(route(&doc, r, pool))
    });
    let routes = routes.collect::<Result<_, CompileError>>()?;
    let pools = pools.into_iter().map(|p| {
        let fallback = p.fallback.iter().map(|n| position(n)).collect::<Result<_, _>>()?;
        pool(means, &doc, p, fallback, place)
    });
    let pools = pools.collect::<Result<_, CompileError>>()?;
    Ok(Zone { slot: place.slot, unit: place.unit, doc, routes, pools, stages })
}

fn pool(
    means: &Means,
    zone: &model::Zone,
    mut doc: model::Pool,
    fallback: Vec<usize>,
    place: &Place<'_>,
) -> Result<Pool, CompileError> {
    let docs = std::mem::take(&mut doc.origins);
    let members = docs.iter().map(|o| balance::Member {
        name: o.name.clone(),
        weight: o.weight,
        backup: o.backup,
        max_connections: o.max_connections,
        max_pending: o.max_pending,
    });
    let members = members.collect();
    let fault = |source| CompileError::Pool { pool: doc.name.clone(), source };
    let mut wanted = settings(zone, &doc);
    // In the drill that shows what the limit is for.
    if means.sabotage.as_ref().is_some_and(|s| s.without(Guard::Admission)) {
        wanted.concurrency = None;
    }
    let state = balance::Pool::new(wanted, members).map_err(fault)?;
    let origins = docs.into_iter().map(|o| origin(means, (place.slots)(&doc.name, &o.name), o));
    let origins = origins.collect::<Result<_, _>>()?;
    let balance = (place.take_in)(&doc.name, state);
    Ok(Pool { doc, balance, origins, fallback })
}

fn origin(means: &Means, slot: OriginSlot, doc: model::Origin) -> Result<Origin, CompileError> {
    let fault = |source| CompileError::Tls { origin: doc.name.clone(), source };
    let mut configs = means.configs.lock();
    let tls = configs.origin(&doc).map_err(fault)?;
    let tls_http1 = match doc.http2 {
        true => configs.origin(&model::Origin { http2: false, ..doc.clone() }).map_err(fault)?,
        false => tls.clone(),
    };
    drop(configs);
    Ok(Origin {
        id: OriginId::of(&doc),
        slot,
        address: means.resolver.name(&doc.url.host),
        tls,
        tls_http1,
        host: doc.host.as_ref().map(|h| h.as_bytes().into()),
        doc,
    })
}

fn route(zone: &model::Zone, doc: model::Route, pool: usize) -> Route {
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
    Route { doc, pool, cache, query, compression, is_plain }
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

fn seconds(d: Duration) -> u32 {
    u32::try_from(d.as_secs()).unwrap_or(u32::MAX)
}

pub(crate) fn milliseconds(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
