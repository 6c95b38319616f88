//! `origins` of a pool.

use std::collections::HashSet;

use seawall_model::{Origin, OriginTls, OriginUrl, Scheme, UrlFault, limits};

use crate::context::{Spot, short};
use crate::files::{Role, check};
use crate::names::{host_fault, host_value, plain_name, server_name};
use crate::reader::Reader;

/// Reads the origins of a pool.
pub(crate) fn origins(pool: &Reader<'_, '_>) -> Vec<Origin> {
    let mut origins = Vec::new();
    let mut names = HashSet::new();
    let count = pool.tables("origins", limits::ORIGINS, |_, table| {
        // A faulty URL is stood in for, so that what else is wrong is found too.
        let stand_in = || OriginUrl { scheme: Scheme::Http, host: "invalid".to_owned(), port: 80 };
        let url = table.required("url").and_then(|text| read_url(&table.spot_of("url"), text));
        let known = url.is_some();
        let mut origin = Origin::new(url.unwrap_or_else(stand_in));
        read_origin(table, &mut origin, known);
        let named = table.has("name");
        if (known || named) && !names.insert(origin.name.clone()) {
            let key = if named { "name" } else { "url" };
            table.spot_of(key).error(
                format!("another origin of this pool is named `{}`", short(&origin.name)),
                "remove one, or give each its own `name`".to_owned(),
            );
        }
        origins.push(origin);
    });
    if count == 0 {
        if !pool.has("origins") {
            pool.missing("origins");
        } else if pool.is_empty_list("origins") {
            pool.spot_of("origins").error("the pool has no origin", "add { url = \"http://…\" }".to_owned());
        }
    }
    if !origins.is_empty() && origins.iter().all(|origin| origin.backup) {
        pool.spot_of("origins")
            .warn("every origin is a backup", "leave `backup` out of at least one".to_owned());
    }
    origins
}

fn read_origin(table: &Reader<'_, '_>, origin: &mut Origin, url_is_known: bool) {
    if let Some(name) = table.text("name").and_then(|text| plain_name(&table.spot_of("name"), text)) {
        origin.name = name;
    }
    table.count("weight", &mut origin.weight);
    origin.host = table.text("host").and_then(|text| host_value(&table.spot_of("host"), text));
    origin.sni = table.text("sni").and_then(|text| server_name(&table.spot_of("sni"), text));
    origin.ca = table.path("ca");
    if let Some(ca) = &origin.ca {
        check(&table.spot_of("ca"), ca, Role::Chain);
    }
    if let Some(word) = table.choice("tls") {
        origin.tls = match word {
            "full" => OriginTls::Full,
            "strict" => OriginTls::Strict,
            _ => OriginTls::Off,
        };
    }
    if url_is_known {
        check_tls(table, origin);
    }
    table.flag("http2", &mut origin.http2);
    table.count("max_connections", &mut origin.max_connections);
    table.count("max_pending", &mut origin.max_pending);
    table.flag("backup", &mut origin.backup);
}

/// Reports settings of TLS at odds with the scheme or each other.
fn check_tls(table: &Reader<'_, '_>, origin: &Origin) {
    let https = OriginUrl { scheme: Scheme::Https, ..origin.url.clone() };
    match (origin.url.scheme, origin.tls) {
        (Scheme::Http, OriginTls::Full | OriginTls::Strict) => {
            // The port of an http:// address is hardly the one for TLS, unless it was written.
            let host = if origin.url.port == 80 { OriginUrl { port: 443, ..https } } else { https };
            table.spot_of("tls").error(
                "`tls` is set for an http:// origin, which is spoken to in cleartext",
                format!("write url = \"{host}\", or remove `tls`"),
            );
            return;
        }
        (Scheme::Https, OriginTls::Off) => {
            table.spot_of("tls").error(
                "`tls` is \"off\" for an https:// origin",
                "write http://, or `tls = \"full\"` to take any certificate".to_owned(),
            );
            return;
        }
        _ => {}
    }
    for key in ["sni", "ca"] {
        if !table.has(key) {
            continue;
        }
        if origin.url.scheme == Scheme::Http {
            table.spot_of(key).warn(
                format!("`{key}` does nothing for an http:// origin"),
                format!("remove `{key}`, or write https://"),
            );
        } else if key == "ca" && origin.tls == OriginTls::Full {
            table.spot_of(key).warn(
                "`ca` does nothing with tls = \"full\", which takes any certificate",
                "write tls = \"strict\"".to_owned(),
            );
        }
    }
}

fn read_url(spot: &Spot<'_, '_>, text: &str) -> Option<OriginUrl> {
    let fault = match OriginUrl::parse(text) {
        Ok(url) => return Some(url),
        Err(fault) => fault,
    };
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let suggestion = match fault {
        UrlFault::NoScheme => {
            OriginUrl::parse(&format!("http://{text}")).ok().map(|url| format!("write \"{url}\""))
        }
        UrlFault::Scheme => Some("write http:// or https://".to_owned()),
        UrlFault::UserInfo => {
            Some("remove it; `request_headers` of a route can set Authorization".to_owned())
        }
        UrlFault::Path => {
            let scheme = text.split_once("://").map_or("http", |(scheme, _)| scheme);
            OriginUrl::parse(&format!("{scheme}://{authority}")).ok().map(|url| format!("write \"{url}\""))
        }
        UrlFault::Brackets => Some(format!("write \"[{}]\"", short(authority))),
        UrlFault::Port => None,
        UrlFault::Host(host) => {
            // Only the host is quoted back, never what else stands in the text.
            host_fault(spot, authority.split_once(':').map_or(authority, |(host, _)| host), host);
            return None;
        }
    };
    spot.error(format!("`url` is no address of an origin: {fault}"), suggestion);
    None
}
