//! Pools and origins.

use seawall_model::{
    Concurrency, Ejection, HashKey, Monitor, MonitorKind, Origin, OriginTls, Policy, Pool, PoolTimeouts,
    Scheme, is_token, limits,
};

use super::{count, duration, nothing_twice, path};
use crate::context::short;
use crate::names::{check_host_value, check_method, check_plain_name, check_server_name};
use crate::schema;
use crate::unit_fault::{At as _, Checked, Fault, text, within};

/// Whether the pools of a zone could be used.
pub(super) fn pools(pools: &[Pool]) -> Checked {
    if pools.is_empty() {
        let fault = Fault::new(
            "the zone has no pool, so there is nowhere to send its requests",
            "add one with origins".to_owned(),
        );
        return Err(fault).at("pools");
    }
    within(pools.len(), limits::POOLS).at("pools")?;
    for (index, each) in pools.iter().enumerate() {
        pool(each).at_item("pools", index)?;
    }
    nothing_twice(pools.iter().map(|pool| &pool.name), "name").at("pools")?;
    fallbacks(pools)
}

fn pool(pool: &Pool) -> Checked {
    check_plain_name(&pool.name).at("name")?;
    if let Policy::Hash(HashKey::Header(name) | HashKey::Cookie(name)) = &pool.policy {
        token(name).at("policy")?;
        text(name).at("policy")?;
    }
    if let Some(affinity) = &pool.affinity {
        let of_affinity = || {
            token(&affinity.cookie).at("cookie")?;
            text(&affinity.cookie).at("cookie")?;
            duration(&schema::AFFINITY, "ttl", affinity.ttl)
        };
        of_affinity().at("affinity")?;
    }
    within(pool.fallback.len(), limits::FALLBACKS).at("fallback")?;
    count(&schema::POOL, "retries", pool.retries)?;
    count(&schema::POOL, "retry_budget_percent", pool.retry_budget_percent)?;
    if pool.origins.is_empty() {
        let fault = Fault::new("the pool has no origin", "add one with a url".to_owned());
        return Err(fault).at("origins");
    }
    within(pool.origins.len(), limits::ORIGINS).at("origins")?;
    for (index, each) in pool.origins.iter().enumerate() {
        origin(each).at_item("origins", index)?;
    }
    nothing_twice(pool.origins.iter().map(|origin| &origin.name), "name").at("origins")?;
    timeouts(&pool.timeouts).at("timeouts")?;
    if let Some(each) = &pool.monitor {
        monitor(each).at("monitor")?;
    }
    ejection(&pool.ejection).at("ejection")?;
    concurrency(&pool.concurrency).at("concurrency")
}

fn token(name: &str) -> Checked {
    if is_token(name) {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no name of a header field or a cookie", short(name)),
        "write letters, digits, hyphens and underscores only".to_owned(),
    ))
}

fn origin(origin: &Origin) -> Checked {
    check_plain_name(&origin.name).at("name")?;
    count(&schema::ORIGIN, "weight", origin.weight)?;
    if let Some(host) = &origin.host {
        canonical(host, check_host_value(host)).at("host")?;
    }
    if let Some(sni) = &origin.sni {
        canonical(sni, check_server_name(sni)).at("sni")?;
    }
    if let Some(ca) = &origin.ca {
        path(ca).at("ca")?;
    }
    match (origin.url.scheme, origin.tls) {
        (Scheme::Http, OriginTls::Full | OriginTls::Strict) => {
            let fault = "`tls` is set for an http:// origin, which is spoken to in cleartext";
            return Err(Fault::new(fault, "write https://, or tls off".to_owned())).at("tls");
        }
        (Scheme::Https, OriginTls::Off) => {
            let fault = "`tls` is \"off\" for an https:// origin";
            return Err(Fault::new(fault, "write http://, or tls full".to_owned())).at("tls");
        }
        _ => {}
    }
    count(&schema::ORIGIN, "max_connections", origin.max_connections)?;
    count(&schema::ORIGIN, "max_pending", origin.max_pending)
}

/// Whether a text is what reading it gives: one thing has one spelling.
fn canonical(text: &str, read: Checked<String>) -> Checked {
    let read = read?;
    if read == text {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is not written plainly", short(text)),
        format!("write \"{}\"", short(&read)),
    ))
}

fn timeouts(timeouts: &PoolTimeouts) -> Checked {
    duration(&schema::POOL_TIMEOUTS, "connect", timeouts.connect)?;
    duration(&schema::POOL_TIMEOUTS, "response", timeouts.response)?;
    duration(&schema::POOL_TIMEOUTS, "idle", timeouts.idle)?;
    duration(&schema::POOL_TIMEOUTS, "between_bytes", timeouts.between_bytes)
}

fn monitor(monitor: &Monitor) -> Checked {
    check_monitor_path(&monitor.path).at("path")?;
    text(&monitor.path).at("path")?;
    check_method(&monitor.method).at("method")?;
    text(&monitor.method).at("method")?;
    if let Some(host) = &monitor.host {
        canonical(host, check_host_value(host)).at("host")?;
    }
    if monitor.expect_status.is_empty() {
        let fault = Fault::new("no status would count as healthy", "write [\"2xx\"]".to_owned());
        return Err(fault).at("expect_status");
    }
    within(monitor.expect_status.len(), limits::STATUSES).at("expect_status")?;
    if let Some(body) = &monitor.expect_body {
        text(body).at("expect_body")?;
        if body.is_empty() {
            return Err(Fault::new("every body holds nothing", "leave it out".to_owned())).at("expect_body");
        }
        check_expects_body(monitor).at("expect_body")?;
    }
    duration(&schema::MONITOR, "interval", monitor.interval)?;
    duration(&schema::MONITOR, "timeout", monitor.timeout)?;
    if monitor.timeout > monitor.interval {
        let fault =
            Fault::new("`timeout` is longer than `interval`", "make `interval` the longer".to_owned());
        return Err(fault).at("timeout");
    }
    count(&schema::MONITOR, "healthy", monitor.healthy)?;
    count(&schema::MONITOR, "unhealthy", monitor.unhealthy)?;
    count(&schema::MONITOR, "jitter_percent", monitor.jitter_percent)
}

/// Whether a check can ask for this path.
pub(crate) fn check_monitor_path(path: &str) -> Checked {
    if path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no path to ask for", short(path)),
        "begin with /, and write odd characters percent-encoded".to_owned(),
    ))
}

/// Whether a check that looks for a text gets a body to look into.
pub(crate) fn check_expects_body(monitor: &Monitor) -> Checked {
    if monitor.kind != MonitorKind::Tcp && monitor.method != "HEAD" {
        return Ok(());
    }
    Err(Fault::new(
        "this check gets no body to look into",
        "remove `expect_body`, or use type = \"http\" with method = \"GET\"".to_owned(),
    ))
}

fn ejection(ejection: &Ejection) -> Checked {
    count(&schema::EJECTION, "consecutive_failures", ejection.consecutive_failures)?;
    duration(&schema::EJECTION, "base", ejection.base)?;
    duration(&schema::EJECTION, "max", ejection.max)?;
    if ejection.base > ejection.max {
        let fault = Fault::new("`base` is longer than `max`", "make `max` the longer".to_owned());
        return Err(fault).at("base");
    }
    count(&schema::EJECTION, "max_percent", ejection.max_percent)
}

fn concurrency(concurrency: &Concurrency) -> Checked {
    count(&schema::CONCURRENCY, "min", concurrency.min)?;
    count(&schema::CONCURRENCY, "max", concurrency.max)?;
    if concurrency.min > concurrency.max {
        let fault = Fault::new("`min` is larger than `max`", "make `max` the larger".to_owned());
        return Err(fault).at("min");
    }
    Ok(())
}

/// Whether fallbacks name pools that are there, and lead in no circle.
fn fallbacks(pools: &[Pool]) -> Checked {
    if pools.iter().all(|pool| pool.fallback.is_empty()) {
        return Ok(());
    }
    let mut out: Vec<Vec<usize>> = Vec::with_capacity(pools.len());
    for (from, pool) in pools.iter().enumerate() {
        let mut to = Vec::new();
        for (item, name) in pool.fallback.iter().enumerate() {
            let Some(found) = pools.iter().position(|pool| pool.name == *name) else {
                let fault = Fault::new(format!("no pool of this zone is named `{}`", short(name)), None);
                return Err(fault).at_item("fallback", item).at_item("pools", from);
            };
            to.push(found);
        }
        out.push(to);
    }
    // Take away what falls back on nothing that is left: what cannot be taken away goes in a circle.
    let mut left: Vec<usize> = (0..pools.len()).collect();
    loop {
        let before = left.len();
        let stuck = |pool: &usize| out.get(*pool).is_some_and(|to| to.iter().any(|pool| left.contains(pool)));
        let rest: Vec<usize> = left.iter().copied().filter(stuck).collect();
        left = rest;
        match left.first() {
            None => return Ok(()),
            Some(first) if left.len() == before => {
                let names: Vec<&str> =
                    left.iter().filter_map(|at| pools.get(*at)).map(|pool| pool.name.as_str()).collect();
                let fault = Fault::new(
                    format!("the fallbacks go in a circle among {}", short(&names.join(", "))),
                    "let the last pool fall back on none of the others".to_owned(),
                );
                return Err(fault).at("fallback").at_item("pools", *first);
            }
            Some(_) => {}
        }
    }
}
