//! Routes.

use std::collections::HashSet;

use seawall_model::{HeaderEdits, IgnoreQuery, Route, Zone, limits};

use super::some_duration;
use crate::context::short;
use crate::names::{check_editable_field, check_field_value, check_method};
use crate::schema;
use crate::unit_fault::{At as _, Checked, Fault, text, within};

/// Whether the routes of a zone could be used.
pub(super) fn routes(zone: &Zone) -> Checked {
    if zone.routes.is_empty() {
        let fault = Fault::new("the zone has no route", "add one that names a pool".to_owned());
        return Err(fault).at("routes");
    }
    within(zone.routes.len(), limits::ROUTES).at("routes")?;
    for (index, each) in zone.routes.iter().enumerate() {
        route(zone, each).at_item("routes", index)?;
    }
    Ok(())
}

fn route(zone: &Zone, route: &Route) -> Checked {
    if zone.pool(&route.pool).is_none() {
        let fault = Fault::new(format!("no pool of this zone is named `{}`", short(&route.pool)), None);
        return Err(fault).at("pool");
    }
    methods(&route.methods)?;
    some_duration(&schema::ROUTE, "edge_ttl", route.edge_ttl)?;
    some_duration(&schema::ROUTE, "browser_ttl", route.browser_ttl)?;
    if let IgnoreQuery::Keys(keys) = &route.ignore_query {
        within(keys.len(), limits::NAME_PATTERNS).at("ignore_query")?;
    }
    within(route.bypass_cookie.len(), limits::NAME_PATTERNS).at("bypass_cookie")?;
    some_duration(&schema::ROUTE, "stale_while_revalidate", route.stale_while_revalidate)?;
    some_duration(&schema::ROUTE, "stale_if_error", route.stale_if_error)?;
    edits(&route.request_headers, true).at("request_headers")?;
    edits(&route.response_headers, false).at("response_headers")?;
    some_duration(&schema::ROUTE, "timeout_response", route.timeout_response)
}

/// Whether these are methods.
pub(super) fn methods(methods: &[String]) -> Checked {
    within(methods.len(), limits::METHODS).at("methods")?;
    for (index, method) in methods.iter().enumerate() {
        check_method(method).at_item("methods", index)?;
        text(method).at_item("methods", index)?;
    }
    Ok(())
}

fn edits(edits: &HeaderEdits, request: bool) -> Checked {
    within(edits.set.len(), limits::HEADER_EDITS).at("set")?;
    for (index, (name, value)) in edits.set.iter().enumerate() {
        let good = check_editable_field(name, request)
            .and_then(|()| text(name))
            .and_then(|()| check_field_value(value))
            .and_then(|()| text(value));
        good.at_item("set", index)?;
    }
    if edits.set.len() > 1 {
        let mut names = HashSet::new();
        for (index, (name, _)) in edits.set.iter().enumerate() {
            if !names.insert(name.to_ascii_lowercase()) {
                let fault = Fault::new(
                    format!(
                        "`{}` is set twice: the case of a header field's name does not matter",
                        short(name)
                    ),
                    "remove one".to_owned(),
                );
                return Err(fault).at_item("set", index);
            }
        }
    }
    within(edits.remove.len(), limits::HEADER_EDITS).at("remove")?;
    for (index, name) in edits.remove.iter().enumerate() {
        check_editable_field(name, request).and_then(|()| text(name)).at_item("remove", index)?;
    }
    Ok(())
}
