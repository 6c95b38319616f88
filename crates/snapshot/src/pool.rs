//! `[[zone.pool]]`: the pools of one zone and how they fall back on each other.

use std::collections::HashSet;

use seawall_model::{
    Affinity, Concurrency, Ejection, HashKey, Monitor, MonitorKind, Policy, Pool, PoolTimeouts, StatusRange,
    is_token, limits,
};

use crate::context::{At, Spot, short};
use crate::names::{host_value, method, plain_name, reported};
use crate::origin::origins;
use crate::reader::Reader;
use crate::suggest::did_you_mean;
use crate::valid;

/// The pools of one zone and where they stand.
pub(crate) struct Pools<'t> {
    pub(crate) list: Vec<Pool>,
    /// For each pool where its name stands, and where each name in its `fallback`.
    places: Vec<(At<'t>, Vec<At<'t>>)>,
    /// Whether a name could not be read, so that an unknown one may be that.
    pub(crate) nameless: bool,
}

impl Pools<'_> {
    /// "did you mean", or the names there are.
    pub(crate) fn suggest(&self, spot: &Spot<'_, '_>, name: &str) -> Option<String> {
        let names = || self.list.iter().map(|pool| pool.name.as_str()).filter(|name| !name.is_empty());
        let near = if spot.cx.may_suggest() { did_you_mean(name, names()) } else { None };
        near.or_else(|| {
            let few: Vec<String> = names().take(5).map(|name| format!("`{name}`")).collect();
            (!few.is_empty()).then(|| format!("the pools of this zone are {}", few.join(", ")))
        })
    }

    /// Warns of pools that neither a route nor another pool names.
    pub(crate) fn check_used(&self, zone: &Reader<'_, '_>, routed: &HashSet<&str>) {
        // A route with a slip in its pool's name would make the pool look unused.
        if zone.cx.zone_errors().0 > 0 {
            return;
        }
        let fallen_to: HashSet<&str> =
            self.list.iter().flat_map(|pool| &pool.fallback).map(String::as_str).collect();
        for (index, (pool, (at, _))) in self.list.iter().zip(&self.places).enumerate() {
            let name = pool.name.as_str();
            if !name.is_empty() && !routed.contains(name) && !fallen_to.contains(name) {
                let place = zone.place.item("pool", index);
                let spot = Spot { cx: zone.cx, place: place.key("name"), at: *at };
                spot.warn(
                    format!("no route leads to pool `{name}`"),
                    "name it in a [[zone.route]], or remove it".to_owned(),
                );
            }
        }
    }
}

/// Reads the pools of a zone.
pub(crate) fn pools<'t>(zone: &Reader<'_, 't>) -> Pools<'t> {
    let mut pools = Pools { list: Vec::new(), places: Vec::new(), nameless: false };
    let mut names = HashSet::new();
    let count = zone.tables("pool", limits::POOLS, |_, table| {
        let name = table.required("name").and_then(|text| plain_name(&table.spot_of("name"), text));
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            table.spot_of("name").error(
                format!("another pool of this zone is named `{}`", short(name)),
                "give each pool its own name".to_owned(),
            );
        }
        pools.nameless |= name.is_none();
        let mut pool = Pool::new(name.unwrap_or_default(), Vec::new());
        let fallback_places = read_pool(table, &mut pool);
        pools.places.push((table.spot_of("name").at, fallback_places));
        pools.list.push(pool);
    });
    if count == 0 && (!zone.has("pool") || zone.is_empty_list("pool")) {
        let spot = if zone.has("pool") { zone.spot_of("pool") } else { zone.spot() };
        spot.error(
            "the zone has no pool, so there is nowhere to send its requests",
            "add a [[zone.pool]] with origins".to_owned(),
        );
    }
    check_fallbacks(zone, &pools);
    pools
}

fn read_pool<'t>(table: &Reader<'_, 't>, pool: &mut Pool) -> Vec<At<'t>> {
    pool.origins = origins(table);
    pool.policy = policy(table);
    table.table("affinity", |t| pool.affinity = Some(affinity(t)));
    let mut places = Vec::new();
    table.texts("fallback", limits::FALLBACKS, |spot, text| {
        places.push(spot.at);
        pool.fallback.push(text.to_owned());
    });
    table.count("retries", &mut pool.retries);
    table.count("retry_budget_percent", &mut pool.retry_budget_percent);
    table.table("timeouts", |t| timeouts(t, &mut pool.timeouts));
    table.table("monitor", |t| pool.monitor = Some(monitor(t)));
    table.table("ejection", |t| ejection(t, &mut pool.ejection));
    table.table("concurrency", |t| concurrency(t, &mut pool.concurrency));
    places
}

fn policy(table: &Reader<'_, '_>) -> Policy {
    let word = table.choice("policy").unwrap_or("round_robin");
    let key = table.text("hash_key").and_then(|text| hash_key(&table.spot_of("hash_key"), text));
    if table.has("hash_key") && word != "hash" {
        table.spot_of("hash_key").warn(
            "`hash_key` does nothing without policy = \"hash\"",
            "set policy = \"hash\", or remove `hash_key`".to_owned(),
        );
    }
    match word {
        "hash" => Policy::Hash(key.unwrap_or_default()),
        "least_outstanding" => Policy::LeastOutstanding,
        _ => Policy::RoundRobin,
    }
}

fn hash_key(spot: &Spot<'_, '_>, text: &str) -> Option<HashKey> {
    match text.split_once(':') {
        Some(("header", name)) if is_token(name) => return Some(HashKey::Header(name.to_owned())),
        Some(("cookie", name)) if is_token(name) => return Some(HashKey::Cookie(name.to_owned())),
        Some(("header" | "cookie", _)) => {
            spot.error(
                format!("`{}` holds no valid name", short(text)),
                "write a name such as \"header:X-Session\"".to_owned(),
            );
            return None;
        }
        _ => {}
    }
    match text {
        "ip" => Some(HashKey::Ip),
        "path" => Some(HashKey::Path),
        "uri" => Some(HashKey::Uri),
        _ => {
            spot.error(
                format!("`hash_key` cannot be \"{}\"", short(text)),
                "write \"ip\", \"path\", \"uri\", \"header:NAME\" or \"cookie:NAME\"".to_owned(),
            );
            None
        }
    }
}

fn affinity(table: &Reader<'_, '_>) -> Affinity {
    let mut affinity = Affinity::default();
    if let Some(name) = table.text("cookie") {
        if is_token(name) {
            affinity.cookie = name.to_owned();
        } else {
            table.spot_of("cookie").error(
                format!("`{}` is no name of a cookie", short(name)),
                "write letters, digits, hyphens and underscores only".to_owned(),
            );
        }
    }
    table.duration("ttl", &mut affinity.ttl);
    affinity
}

fn timeouts(table: &Reader<'_, '_>, timeouts: &mut PoolTimeouts) {
    table.duration("connect", &mut timeouts.connect);
    table.duration("response", &mut timeouts.response);
    table.duration("idle", &mut timeouts.idle);
    table.duration("between_bytes", &mut timeouts.between_bytes);
}

fn monitor(table: &Reader<'_, '_>) -> Monitor {
    let mut monitor = Monitor::default();
    match table.choice("type") {
        Some("https") => monitor.kind = MonitorKind::Https,
        Some("tcp") => monitor.kind = MonitorKind::Tcp,
        _ => {}
    }
    if let Some(path) = table.text("path")
        && reported(&table.spot_of("path"), valid::check_monitor_path(path)).is_some()
    {
        monitor.path = path.to_owned();
    }
    if let Some(name) = table.text("method").and_then(|text| method(&table.spot_of("method"), text)) {
        monitor.method = name;
    }
    monitor.host = table.text("host").and_then(|text| host_value(&table.spot_of("host"), text));
    let mut statuses = Vec::new();
    let stands =
        table.texts("expect_status", limits::STATUSES, |spot, text| match StatusRange::parse(text) {
            Ok(range) => statuses.push(range),
            Err(fault) => spot.error(format!("`{}`: {fault}", short(text)), None),
        });
    if stands {
        if table.is_empty_list("expect_status") {
            table
                .spot_of("expect_status")
                .error("no status would count as healthy", "write [\"2xx\"]".to_owned());
        }
        monitor.expect_status = statuses;
    }
    if let Some(text) = table.text("expect_body") {
        monitor.expect_body = (!text.is_empty()).then(|| text.to_owned());
        reported(&table.spot_of("expect_body"), valid::check_expects_body(&monitor));
    }
    table.duration("interval", &mut monitor.interval);
    table.duration("timeout", &mut monitor.timeout);
    if monitor.timeout > monitor.interval {
        let key = if table.has("timeout") { "timeout" } else { "interval" };
        table
            .spot_of(key)
            .error("`timeout` is longer than `interval`", "make `interval` the longer".to_owned());
    }
    table.count("healthy", &mut monitor.healthy);
    table.count("unhealthy", &mut monitor.unhealthy);
    table.count("jitter_percent", &mut monitor.jitter_percent);
    monitor
}

fn ejection(table: &Reader<'_, '_>, ejection: &mut Ejection) {
    table.count("consecutive_failures", &mut ejection.consecutive_failures);
    table.duration("base", &mut ejection.base);
    table.duration("max", &mut ejection.max);
    if ejection.base > ejection.max {
        let key = if table.has("base") { "base" } else { "max" };
        table.spot_of(key).error("`base` is longer than `max`", "make `max` the longer".to_owned());
    }
    table.count("max_percent", &mut ejection.max_percent);
}

fn concurrency(table: &Reader<'_, '_>, concurrency: &mut Concurrency) {
    table.flag("adaptive", &mut concurrency.adaptive);
    table.count("min", &mut concurrency.min);
    table.count("max", &mut concurrency.max);
    if concurrency.min > concurrency.max {
        let key = if table.has("min") { "min" } else { "max" };
        table.spot_of(key).error("`min` is larger than `max`", "make `max` the larger".to_owned());
    }
}

/// Reports fallbacks on pools that are not there, and circles.
fn check_fallbacks(zone: &Reader<'_, '_>, pools: &Pools<'_>) {
    let index_of = |name: &str| pools.list.iter().position(|pool| pool.name == name);
    let mut edges: Vec<Vec<(usize, usize)>> = Vec::new();
    for (from, (pool, (_, places))) in pools.list.iter().zip(&pools.places).enumerate() {
        let place = zone.place.item("pool", from);
        let mut out = Vec::new();
        for (item, (name, at)) in pool.fallback.iter().zip(places).enumerate() {
            let spot = Spot { cx: zone.cx, place: place.item("fallback", item), at: *at };
            match index_of(name) {
                Some(to) => out.push((to, item)),
                None if pools.nameless => {}
                None => spot.error(
                    format!("no pool of this zone is named `{}`", short(name)),
                    pools.suggest(&spot, name),
                ),
            }
        }
        edges.push(out);
    }
    check_circles(zone, pools, &edges);
}

/// Depth first; an edge back to a pool on the way closes a circle, which is reported there, once.
fn check_circles(zone: &Reader<'_, '_>, pools: &Pools<'_>, edges: &[Vec<(usize, usize)>]) {
    let mut done = vec![false; edges.len()];
    for start in 0..edges.len() {
        // The way from `start`: each pool with the number of its edges walked.
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((pool, walked)) = way.last_mut() {
            let from = *pool;
            let next = edges.get(from).and_then(|out| out.get(*walked)).copied();
            *walked += 1;
            let finished = done.get(from).copied().unwrap_or(true);
            let Some((to, item)) = next.filter(|_| !finished) else {
                if let Some(mark) = done.get_mut(from) {
                    *mark = true;
                }
                way.pop();
                continue;
            };
            if let Some(since) = way.iter().position(|(on_way, _)| *on_way == to) {
                let circle = way.iter().skip(since).map(|(at, _)| *at).chain([to]);
                let names: Vec<&str> =
                    circle.filter_map(|at| pools.list.get(at)).map(|p| p.name.as_str()).collect();
                let place = zone.place.item("pool", from);
                let at =
                    pools.places.get(from).and_then(|(_, at)| at.get(item)).copied().unwrap_or(At::Nowhere);
                let spot = Spot { cx: zone.cx, place: place.item("fallback", item), at };
                spot.error(
                    format!("the fallbacks go in a circle: {}", names.join(" → ")),
                    "let the last pool fall back on none of the others".to_owned(),
                );
            } else {
                way.push((to, 0));
            }
        }
    }
}
