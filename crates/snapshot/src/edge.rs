//! `data_dir` and `[edge]`.

use seawall_model::{
    AccessFormat, CacheSettings, ClientIpHeader, Edge, LogSettings, ProxyProtocol, ResolverSettings, Rollout,
    Severity, Site, Timeouts, Tls, TlsVersion, TraceSettings, limits,
};

use crate::context::{At, Context, Place};
use crate::files::certificates;
use crate::listen::{Listener, check_overlaps, listen, trusted};
use crate::modules::modules;
use crate::names::reported;
use crate::reader::Reader;
use crate::rule;
use crate::schema::{tables, variable};
use crate::suggest::did_you_mean;
use crate::valid;

/// Reads all but the zones.
pub(crate) fn read(root: &Reader<'_, '_>) -> Site {
    let data_dir = root.path("data_dir").unwrap_or_else(|| root.cx.base_dir.join("data"));
    let mut edge = Edge::under(&data_dir);
    root.table("edge", |table| {
        addresses_and_trust(table, &mut edge);
        table.table("tls", |t| tls(t, &mut edge.tls));
        table.table("limits", |t| visitor_limits(t, &mut edge.limits));
        table.table("timeouts", |t| timeouts(t, &mut edge.timeouts));
        table.table("cache", |t| cache(t, &mut edge.cache));
        table.table("log", |t| log(t, &mut edge.log));
        table.table("resolver", |t| resolver(t, &mut edge.resolver));
        table.table("trace", |t| trace(t, &mut edge.trace));
        edge.bans = rule::bans(table);
        table.table("modules", |t| edge.modules = modules(t));
        table.table("bot", |t| edge.bot_features = t.path("features"));
        table.table("rollout", |t| rollout(t, &mut edge.rollout));
    });
    Site { data_dir, edge, lists: Vec::new(), zones: Vec::new() }
}

fn rollout(table: &Reader<'_, '_>, rollout: &mut Rollout) {
    let errors = table.cx.errors();
    let mut stages = Vec::new();
    let stands = table.counts("stages", limits::STAGES, |_, share| stages.extend(u8::try_from(share).ok()));
    if stands {
        if table.cx.errors() == errors {
            reported(&table.spot_of("stages"), valid::check_stages(&stages));
        }
        rollout.stages = stages;
    }
    table.duration("hold", &mut rollout.hold);
    table.count("requests", &mut rollout.requests);
    table.duration("soak", &mut rollout.soak);
    table.count("keep", &mut rollout.keep);
    table.duration("quick_hold", &mut rollout.quick_hold);
}

/// Warns of variables that look like ours and override nothing.
pub(crate) fn check_environment(cx: &Context<'_>) {
    let mut known = Vec::new();
    for (table, prefix) in tables() {
        if let Some(prefix) = prefix {
            let fitting = table.keys.iter().filter(|key| key.kind.fits_environment());
            known.extend(fitting.map(|key| variable(&prefix, key.name)));
        }
    }
    let mut unknown: Vec<&str> =
        cx.env.keys().copied().filter(|name| name.starts_with("SEAWALL_EDGE_")).collect();
    unknown.retain(|name| !known.iter().any(|k| k == name));
    unknown.sort_unstable();
    for name in unknown {
        // No error: container platforms set such variables of their own accord, after services named seawall-edge.
        cx.report(
            Severity::Warning,
            &Place::ROOT,
            At::Env(name),
            format!("the environment variable {name} overrides nothing"),
            did_you_mean(name, known.iter().map(String::as_str)),
        );
    }
}

fn addresses_and_trust(table: &Reader<'_, '_>, edge: &mut Edge) {
    let mut listeners = Vec::new();
    for (key, list) in [("http", &mut edge.http), ("https", &mut edge.https)] {
        let mut found = Vec::new();
        let stands = table.texts(key, limits::LISTENERS, |spot, text| {
            if !text.eq_ignore_ascii_case("off") {
                found.extend(listen(spot, text).into_iter().map(|address| (address, spot.at)));
            }
        });
        if stands {
            *list = found.iter().map(|(address, _)| *address).collect();
            listeners.extend(found.into_iter().map(|(address, at)| Listener { address, key, at: Some(at) }));
        } else {
            listeners.extend(list.iter().map(|&address| Listener { address, key, at: None }));
        }
    }
    metrics(table, edge, &mut listeners);
    check_overlaps(table, &listeners);

    table.count("workers", &mut edge.workers);
    if let Some(node) = table.text("node") {
        if (1..=8).contains(&node.len()) && node.bytes().all(|b| b.is_ascii_alphanumeric()) {
            edge.node = node.to_ascii_uppercase();
        } else {
            table
                .spot_of("node")
                .error("`node` is no code", "write 1 to 8 letters or digits, such as \"FRA\"".to_owned());
        }
    }
    let errors = table.cx.errors();
    table.texts("trusted_proxies", limits::TRUSTED_PROXIES, |spot, text| {
        edge.trusted_proxies.extend(trusted(spot, text));
    });
    // Where the list holds errors these are told, and it is not known who would be trusted.
    let nobody_is_trusted = edge.trusted_proxies.is_empty() && table.cx.errors() == errors;
    if let Some(name) = table.choice("client_ip_header") {
        edge.client_ip_header =
            ClientIpHeader::ALL.into_iter().find(|h| h.name() == name).unwrap_or_default();
    }
    if let Some(word) = table.choice("proxy_protocol") {
        edge.proxy_protocol = match word {
            "optional" => ProxyProtocol::Optional,
            "required" => ProxyProtocol::Required,
            _ => ProxyProtocol::Off,
        };
        if nobody_is_trusted {
            let fix = "name the proxies in `trusted_proxies`".to_owned();
            match edge.proxy_protocol {
                ProxyProtocol::Off => {}
                ProxyProtocol::Optional => table
                    .spot_of("proxy_protocol")
                    .warn("no proxy is trusted, so PROXY protocol is never read", fix),
                ProxyProtocol::Required => table
                    .spot_of("proxy_protocol")
                    .error("no proxy is trusted, so every connection would be refused", fix),
            }
        }
    }
    table.duration("drain", &mut edge.drain);
}

fn metrics<'t>(table: &Reader<'_, 't>, edge: &mut Edge, listeners: &mut Vec<Listener<'t>>) {
    let mut at = None;
    if let Some(text) = table.text("metrics") {
        let spot = table.spot_of("metrics");
        at = Some(spot.at);
        if text.eq_ignore_ascii_case("off") || text.is_empty() {
            edge.metrics = None;
        } else if let Some(port) = text.strip_prefix(':') {
            spot.error("`metrics` needs an address beside the port", format!("write \"127.0.0.1:{port}\""));
        } else if let Some(address) = listen(&spot, text).first() {
            edge.metrics = Some(*address);
        }
    }
    listeners.extend(edge.metrics.map(|address| Listener { address, key: "metrics", at }));
}

fn tls(table: &Reader<'_, '_>, tls: &mut Tls) {
    if let Some(word) = table.choice("min_version") {
        tls.min_version = if word == "1.3" { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
    }
    table.flag("self_signed", &mut tls.self_signed);
    tls.certificates = certificates(table, "certificates");
}

fn visitor_limits(table: &Reader<'_, '_>, limits: &mut seawall_model::Limits) {
    table.count("header_count", &mut limits.header_count);
    table.size("header_bytes", &mut limits.header_bytes);
    table.size("uri_bytes", &mut limits.uri_bytes);
    if limits.uri_bytes > limits.header_bytes {
        let key = if table.has("uri_bytes") { "uri_bytes" } else { "header_bytes" };
        table.spot_of(key).warn(
            "`uri_bytes` is larger than `header_bytes`, which holds the request target too",
            "make `header_bytes` the larger".to_owned(),
        );
    }
    table.count("connections", &mut limits.connections);
    let mut requests = 0u32;
    table.count("requests_per_connection", &mut requests);
    limits.requests_per_connection = (requests > 0).then_some(requests);
    table.count("h2_streams", &mut limits.h2_streams);
    let mut body = 0;
    table.size("body_bytes", &mut body);
    limits.body_bytes = (body > 0).then_some(body);
}

fn timeouts(table: &Reader<'_, '_>, timeouts: &mut Timeouts) {
    table.duration("header", &mut timeouts.header);
    table.duration("body", &mut timeouts.body);
    table.duration("idle", &mut timeouts.idle);
    table.duration("write", &mut timeouts.write);
    table.duration("tls_handshake", &mut timeouts.tls_handshake);
}

fn cache(table: &Reader<'_, '_>, cache: &mut CacheSettings) {
    table.size("memory", &mut cache.memory);
    table.size("disk", &mut cache.disk);
    if let Some(path) = table.path("path") {
        cache.path = path;
    }
    table.size("max_object", &mut cache.max_object);
}

fn log(table: &Reader<'_, '_>, log: &mut LogSettings) {
    if let Some(word) = table.choice("access") {
        log.access = match word {
            "combined" => AccessFormat::Combined,
            "off" => AccessFormat::Off,
            _ => AccessFormat::Json,
        };
    }
    if let Some(path) = table.path("path") {
        log.path = path;
    }
    table.size("rotate", &mut log.rotate);
    table.count("keep", &mut log.keep);
    let mut fields = Vec::new();
    table.texts("fields", limits::LOG_FIELDS, |spot, text| {
        fields.extend(reported(spot, valid::check_log_field(text)).map(|()| text.to_owned()));
    });
    log.fields = fields;
    let mut keys = Vec::new();
    let stands = table.texts("redact_query", limits::REDACTED_KEYS, |spot, text| {
        keys.extend(reported(spot, valid::check_query_key(text)).map(|()| text.to_owned()));
    });
    if stands {
        log.redact_query = keys;
    }
}

fn resolver(table: &Reader<'_, '_>, resolver: &mut ResolverSettings) {
    table.duration("ttl", &mut resolver.ttl);
    table.duration("stale", &mut resolver.stale);
}

fn trace(table: &Reader<'_, '_>, trace: &mut TraceSettings) {
    if let Some(text) = table.text("endpoint") {
        let good = reported(&table.spot_of("endpoint"), valid::check_endpoint(text));
        trace.endpoint = good.map(|()| text.to_owned());
    }
    table.percent("sample_percent", &mut trace.sample_percent);
    table.flag("follow_parent", &mut trace.follow_parent);
}
