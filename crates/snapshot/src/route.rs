//! `[[zone.route]]`: the routes of one zone.

use std::collections::HashSet;

use seawall_model::{
    HeaderEdits, HostPattern, IgnoreQuery, NamePattern, PathPattern, PatternFault, Route, RouteCache, limits,
};

use crate::context::{Spot, short};
use crate::names::{editable_field, field_value, host_fault, method};
use crate::pool::Pools;
use crate::reader::Reader;

/// Reads the routes of a zone.
pub(crate) fn routes(zone: &Reader<'_, '_>, hosts: &[HostPattern], pools: &Pools<'_>) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut covered = Covered::new(hosts);
    let mut closed_by: Option<usize> = None;
    let count = zone.tables("route", limits::ROUTES, |index, table| {
        let route = route(table, &mut covered, pools);
        match closed_by {
            Some(earlier) => table.spot().warn(
                format!("no request gets here: route[{earlier}] takes them all"),
                "put the route that takes everything last".to_owned(),
            ),
            None if takes_all(table) => closed_by = Some(index),
            None => {}
        }
        routes.push(route);
    });
    if count == 0 && zone.is_empty_list("route") && pools.list.len() > 1 {
        zone.spot_of("route")
            .error("the zone has several pools and no route", "add a [[zone.route]] for each".to_owned());
    }
    if count == 0
        && zone.is_empty_list("route")
        && let [only] = pools.list.as_slice()
    {
        routes.push(Route::to(&only.name));
    }
    if count > 0 {
        let routed: HashSet<&str> = routes.iter().map(|route| route.pool.as_str()).collect();
        pools.check_used(zone, &routed);
    }
    routes
}

/// Whether a route has no condition. Asked of what is written, since a faulty condition is one too.
fn takes_all(table: &Reader<'_, '_>) -> bool {
    let every_path = !table.has("path") || matches!(table.text("path"), Some("/*" | "*"));
    every_path && !table.has("host") && !table.has("methods")
}

fn route(table: &Reader<'_, '_>, covered: &mut Covered<'_>, pools: &Pools<'_>) -> Route {
    let mut route = Route::to(pool(table, pools).unwrap_or_default());
    route.host = table.text("host").and_then(|text| host(&table.spot_of("host"), text, covered));
    if let Some(text) = table.text("path") {
        match PathPattern::parse(text) {
            Ok(pattern) => route.path = pattern,
            Err(fault) => pattern_fault(&table.spot_of("path"), text, fault),
        }
    }
    table.texts("methods", limits::METHODS, |spot, text| route.methods.extend(method(spot, text)));
    route.cache = match (table.flag_alone("cache"), table.word("cache")) {
        (Some(false), _) => RouteCache::Bypass,
        (_, Some(_)) => RouteCache::Everything,
        _ => RouteCache::Default,
    };
    route.edge_ttl = table.some_duration("edge_ttl");
    route.browser_ttl = table.some_duration("browser_ttl");
    route.ignore_query = ignore_query(table);
    table.texts("bypass_cookie", limits::NAME_PATTERNS, |spot, text| {
        route.bypass_cookie.extend(name_pattern(spot, text))
    });
    route.stale_while_revalidate = table.some_duration("stale_while_revalidate");
    route.stale_if_error = table.some_duration("stale_if_error");
    table.table("request_headers", |t| route.request_headers = edits(t, true));
    table.table("response_headers", |t| route.response_headers = edits(t, false));
    if table.has("compression") {
        let mut flag = true;
        table.flag("compression", &mut flag);
        route.compression = Some(flag);
    } else {
        table.flag("compression", &mut false);
    }
    route.timeout_response = table.some_duration("timeout_response");
    if route.cache == RouteCache::Bypass && route.edge_ttl.is_some() {
        table
            .spot_of("edge_ttl")
            .warn("`edge_ttl` does nothing with cache = false", "remove one of the two".to_owned());
    }
    route
}

/// The pool a route names, or the only one.
fn pool(table: &Reader<'_, '_>, pools: &Pools<'_>) -> Option<String> {
    let Some(name) = table.text("pool") else {
        return match pools.list.as_slice() {
            _ if table.has("pool") => None,
            [only] => Some(only.name.clone()),
            [] => None,
            several => {
                let first = several.first().map_or("", |pool| pool.name.as_str());
                table.spot().error(
                    format!("the route names no pool, and the zone has {}", several.len()),
                    format!("add pool = \"{first}\""),
                );
                None
            }
        };
    };
    if !pools.list.iter().any(|pool| pool.name == name) && !pools.nameless && !pools.list.is_empty() {
        let spot = table.spot_of("pool");
        spot.error(format!("no pool of this zone is named `{}`", short(name)), pools.suggest(&spot, name));
    }
    Some(name.to_owned())
}

fn host(spot: &Spot<'_, '_>, text: &str, covered: &mut Covered<'_>) -> Option<HostPattern> {
    match HostPattern::parse(text) {
        Ok(host) => {
            if !covered.overlaps(&host) {
                spot.warn(
                    format!("no request gets here: `{host}` is no host of this zone"),
                    "add it to `hosts` of the zone".to_owned(),
                );
            }
            Some(host)
        }
        Err(fault) => {
            host_fault(spot, text, fault);
            None
        }
    }
}

/// The hosts of a zone, arranged to tell quickly whether a route's host is among them.
struct Covered<'z> {
    hosts: &'z [HostPattern],
    /// Filled at the first question: most zones have no route with a host.
    sets: Option<(HashSet<&'z str>, HashSet<&'z str>)>,
}

impl<'z> Covered<'z> {
    fn new(hosts: &'z [HostPattern]) -> Self {
        Covered { hosts, sets: None }
    }

    /// Whether some host fits both `wanted` and the zone.
    fn overlaps(&mut self, wanted: &HostPattern) -> bool {
        // Without hosts there is an error already.
        if self.hosts.is_empty() || self.hosts.contains(&HostPattern::Any) {
            return true;
        }
        let hosts = self.hosts;
        let (exact, under) = self.sets.get_or_insert_with(|| {
            let mut exact = HashSet::new();
            let mut under = HashSet::new();
            for host in hosts {
                match host {
                    HostPattern::Exact(name) => exact.insert(&**name),
                    HostPattern::Under(name) => under.insert(&**name),
                    HostPattern::Any => false,
                };
            }
            (exact, under)
        });
        let parent_is_under = |name: &str| {
            let mut rest = name;
            while let Some((_, parent)) = rest.split_once('.') {
                if under.contains(parent) {
                    return true;
                }
                rest = parent;
            }
            false
        };
        match wanted {
            HostPattern::Any => true,
            HostPattern::Exact(name) => exact.contains(&**name) || parent_is_under(name),
            HostPattern::Under(name) => {
                under.contains(&**name)
                    || parent_is_under(name)
                    || hosts.iter().any(|host| match host {
                        HostPattern::Exact(inner) => wanted.matches(inner.as_bytes()),
                        HostPattern::Under(inner) => wanted.matches(inner.as_bytes()),
                        HostPattern::Any => true,
                    })
            }
        }
    }
}

fn ignore_query(table: &Reader<'_, '_>) -> IgnoreQuery {
    match table.flag_alone("ignore_query") {
        Some(true) => IgnoreQuery::All,
        Some(false) => IgnoreQuery::None,
        None => {
            let mut keys = Vec::new();
            table.texts("ignore_query", limits::NAME_PATTERNS, |spot, text| {
                keys.extend(name_pattern(spot, text))
            });
            if keys.is_empty() { IgnoreQuery::None } else { IgnoreQuery::Keys(keys) }
        }
    }
}

fn name_pattern(spot: &Spot<'_, '_>, text: &str) -> Option<NamePattern> {
    match NamePattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(fault) => {
            spot.error(
                format!("`{}` is no pattern of names: {fault}", short(text)),
                "write a name such as \"utm_*\"".to_owned(),
            );
            None
        }
    }
}

fn pattern_fault(spot: &Spot<'_, '_>, text: &str, fault: PatternFault) {
    let suggestion = match fault {
        PatternFault::NoSlash => Some(format!("write \"/{}\"", short(text))),
        PatternFault::Query => text.split_once('?').map(|(path, _)| format!("write \"{}\"", short(path))),
        PatternFault::OtherDialect(_) => Some("write one route for each alternative".to_owned()),
        _ => None,
    };
    spot.error(format!("`{}` is no path pattern: {fault}", short(text)), suggestion);
}

fn edits(table: &Reader<'_, '_>, request: bool) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    let mut names = HashSet::new();
    table.map("set", limits::HEADER_EDITS, |spot, name, value| {
        if editable_field(spot, name, request) && field_value(spot, value) {
            if !names.insert(name.to_ascii_lowercase()) {
                spot.error(
                    format!(
                        "`{}` is set twice: the case of a header field's name does not matter",
                        short(name)
                    ),
                    "remove one".to_owned(),
                );
            }
            edits.set.push((name.to_owned(), value.to_owned()));
        }
    });
    table.texts("remove", limits::HEADER_EDITS, |spot, name| {
        if editable_field(spot, name, request) {
            edits.remove.push(name.to_owned());
        }
    });
    edits
}
