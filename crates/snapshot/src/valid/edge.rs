//! The edge's settings, and lists.

use std::net::SocketAddr;

use ipnet::IpNet;
use seawall_model::{
    CacheSettings, Edge, Limits, List, LogSettings, ProxyProtocol, ResolverSettings, Rollout, Timeouts,
    TraceSettings, limits,
};

use super::{count, duration, path, rule, zone};
use crate::context::short;
use crate::names::check_plain_name;
use crate::schema;
use crate::unit_fault::{At as _, Checked, Fault, text, within};

/// Whether an edge could run with these settings, as the unit of the edge holds them.
pub(crate) fn edge(edge: &Edge) -> Checked {
    if !edge.modules.is_empty() {
        let fault =
            Fault::new("settings of modules are units of their own", "leave them out here".to_owned());
        return Err(fault).at("modules");
    }
    edge_with_modules(edge)
}

/// Whether an edge could run with these settings.
pub(crate) fn edge_with_modules(edge: &Edge) -> Checked {
    listeners(edge)?;
    count(&schema::EDGE, "workers", edge.workers)?;
    node(&edge.node).at("node")?;
    within(edge.trusted_proxies.len(), limits::TRUSTED_PROXIES).at("trusted_proxies")?;
    if edge.proxy_protocol == ProxyProtocol::Required && edge.trusted_proxies.is_empty() {
        let fault = Fault::new(
            "no proxy is trusted, so every connection would be refused",
            "name the proxies in `trusted_proxies`".to_owned(),
        );
        return Err(fault).at("proxy_protocol");
    }
    duration(&schema::EDGE, "drain", edge.drain)?;
    zone::certificates(&edge.tls.certificates).at("certificates").at("tls")?;
    visitor_limits(&edge.limits).at("limits")?;
    timeouts(&edge.timeouts).at("timeouts")?;
    cache(&edge.cache).at("cache")?;
    log(&edge.log).at("log")?;
    resolver(&edge.resolver).at("resolver")?;
    trace(&edge.trace).at("trace")?;
    rule::ban_names(&edge.bans)?;
    if let Some(features) = &edge.bot_features {
        path(features).at("bot_features")?;
    }
    rollout(&edge.rollout).at("rollout")
}

/// Whether each address is listened on once.
fn listeners(edge: &Edge) -> Checked {
    within(edge.http.len(), limits::LISTENERS).at("http")?;
    within(edge.https.len(), limits::LISTENERS).at("https")?;
    let mut all: Vec<(&'static str, SocketAddr)> = Vec::new();
    let http = edge.http.iter().map(|address| ("http", *address));
    let https = edge.https.iter().map(|address| ("https", *address));
    for (key, address) in http.chain(https).chain(edge.metrics.map(|address| ("metrics", address))) {
        if all.iter().any(|(other, earlier)| clash(*earlier, address, *other == key)) {
            return Err(Fault::new(format!("{address} is listened on already"), "remove one".to_owned()))
                .at(key);
        }
        all.push((key, address));
    }
    Ok(())
}

/// Whether two addresses cannot both be listened on. Port 0 is a fresh port each time, and under one key the wildcard and an
/// address are two sockets.
pub(crate) fn clash(a: SocketAddr, b: SocketAddr, one_key: bool) -> bool {
    let swallowed =
        !one_key && a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && (a == b || swallowed)
}

fn node(node: &str) -> Checked {
    let fits =
        (1..=8).contains(&node.len()) && node.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if fits {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no code", short(node)),
        "write 1 to 8 capital letters or digits, such as \"FRA\"".to_owned(),
    ))
}

fn visitor_limits(limits: &Limits) -> Checked {
    count(&schema::LIMITS, "header_count", limits.header_count)?;
    count(&schema::LIMITS, "header_bytes", limits.header_bytes)?;
    count(&schema::LIMITS, "uri_bytes", limits.uri_bytes)?;
    count(&schema::LIMITS, "connections", limits.connections)?;
    count(
        &schema::LIMITS,
        "requests_per_connection",
        some(limits.requests_per_connection.map(u64::from)).at("requests_per_connection")?,
    )?;
    count(&schema::LIMITS, "h2_streams", limits.h2_streams)?;
    count(&schema::LIMITS, "body_bytes", some(limits.body_bytes).at("body_bytes")?)
}

/// A bound that is absent where there is none, so that 0 is a slip.
fn some(bound: Option<u64>) -> Checked<u64> {
    match bound {
        Some(0) => Err(Fault::new("0 would let nothing through", "leave it out for no limit".to_owned())),
        bound => Ok(bound.unwrap_or(1)),
    }
}

fn timeouts(timeouts: &Timeouts) -> Checked {
    duration(&schema::TIMEOUTS, "header", timeouts.header)?;
    duration(&schema::TIMEOUTS, "body", timeouts.body)?;
    duration(&schema::TIMEOUTS, "idle", timeouts.idle)?;
    duration(&schema::TIMEOUTS, "write", timeouts.write)?;
    duration(&schema::TIMEOUTS, "tls_handshake", timeouts.tls_handshake)
}

fn cache(cache: &CacheSettings) -> Checked {
    count(&schema::CACHE, "memory", cache.memory)?;
    count(&schema::CACHE, "disk", cache.disk)?;
    path(&cache.path).at("path")?;
    count(&schema::CACHE, "max_object", cache.max_object)
}

fn log(log: &LogSettings) -> Checked {
    path(&log.path).at("path")?;
    count(&schema::LOG, "rotate", log.rotate)?;
    count(&schema::LOG, "keep", log.keep)?;
    within(log.fields.len(), limits::LOG_FIELDS).at("fields")?;
    for (index, field) in log.fields.iter().enumerate() {
        check_log_field(field).and_then(|()| text(field)).at_item("fields", index)?;
    }
    within(log.redact_query.len(), limits::REDACTED_KEYS).at("redact_query")?;
    for (index, key) in log.redact_query.iter().enumerate() {
        check_query_key(key).and_then(|()| text(key)).at_item("redact_query", index)?;
    }
    Ok(())
}

/// Whether the log can have a field of this name.
pub(crate) fn check_log_field(name: &str) -> Checked {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Fault::new("this is no field of the log", "write a name such as \"ClientIP\"".to_owned()))
}

/// Whether a query can have a key of this name.
pub(crate) fn check_query_key(name: &str) -> Checked {
    if !name.is_empty() {
        return Ok(());
    }
    Err(Fault::new("a query key is empty", "write the name of a key, such as \"token\"".to_owned()))
}

fn resolver(resolver: &ResolverSettings) -> Checked {
    duration(&schema::RESOLVER, "ttl", resolver.ttl)?;
    duration(&schema::RESOLVER, "stale", resolver.stale)
}

fn trace(trace: &TraceSettings) -> Checked {
    if let Some(endpoint) = &trace.endpoint {
        check_endpoint(endpoint).and_then(|()| text(endpoint)).at("endpoint")?;
    }
    if (0.0..=100.0).contains(&trace.sample_percent) {
        return Ok(());
    }
    Err(Fault::new(format!("{} lies outside 0 to 100", trace.sample_percent), None)).at("sample_percent")
}

/// Whether traces can be sent to this address.
pub(crate) fn check_endpoint(text: &str) -> Checked {
    let rest = text.strip_prefix("http://");
    let authority = rest.and_then(|rest| rest.split('/').next());
    let is_good = |authority: &str| seawall_model::OriginUrl::parse(&format!("http://{authority}")).is_ok();
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
    if text.starts_with("https://") {
        return Err(Fault::new(
            "traces are sent without TLS",
            "run a collector beside Seawall, and write \"http://127.0.0.1:4318\"".to_owned(),
        ));
    }
    if is_plain && authority.is_some_and(is_good) {
        return Ok(());
    }
    Err(Fault::new("`endpoint` is no address of a collector", "write \"http://127.0.0.1:4318\"".to_owned()))
}

fn rollout(rollout: &Rollout) -> Checked {
    check_stages(&rollout.stages).at("stages")?;
    duration(&schema::ROLLOUT, "hold", rollout.hold)?;
    count(&schema::ROLLOUT, "requests", rollout.requests)?;
    duration(&schema::ROLLOUT, "soak", rollout.soak)?;
    count(&schema::ROLLOUT, "keep", rollout.keep)?;
    duration(&schema::ROLLOUT, "quick_hold", rollout.quick_hold)
}

/// Whether shares of requests lead up from little to nearly all.
pub(crate) fn check_stages(stages: &[u8]) -> Checked {
    let fix = || "write shares that grow, each from 1 to 99, such as [1, 10, 50]".to_owned();
    if stages.is_empty() {
        return Err(Fault::new("there is no stage: no change goes to all requests at once", fix()));
    }
    within(stages.len(), limits::STAGES)?;
    let mut before = 0;
    for stage in stages {
        if *stage > 99 {
            return Err(
                Fault::new(format!("{stage} is no share below all"), fix()).beyond(99, u64::from(*stage))
            );
        }
        if *stage <= before {
            return Err(Fault::new(format!("{stage} comes after {before}"), fix()));
        }
        before = *stage;
    }
    Ok(())
}

/// Whether a list could be used.
pub(crate) fn list(list: &List) -> Checked {
    check_plain_name(&list.name).at("name")?;
    within(list.addresses.len(), limits::LIST_ROWS).at("addresses")?;
    for (index, net) in list.addresses.iter().enumerate() {
        check_list_net(*net).at_item("addresses", index)?;
    }
    Ok(())
}

/// Whether a list may hold a network: everybody is no list.
pub(crate) fn check_list_net(net: IpNet) -> Checked {
    if net.prefix_len() > 0 {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{net}` is every address, and a list that holds it is no list"),
        "name the ranges that are meant".to_owned(),
    ))
}
