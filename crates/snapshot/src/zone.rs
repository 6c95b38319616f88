//! `[[zone]]`: each zone for itself, then against the others.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use seawall_model::{Bot, HostPattern, Route, Zone, limits};
use toml::de::DeValue;

use crate::codec::check_bytes;
use crate::context::{Spot, short};
use crate::files::certificates;
use crate::modules::modules;
use crate::names::{host_fault, zone_name};
use crate::pool::pools;
use crate::reader::Reader;
use crate::route::routes;
use crate::rule::{bans, rules};
use crate::unit::UnitKind;
use crate::valid;

/// The zones read, those that cannot be used left out.
#[derive(Default)]
pub(crate) struct Zones {
    pub(crate) sound: Vec<Zone>,
    /// Those whose only errors are files of certificates, without these certificates.
    pub(crate) degraded: Vec<Zone>,
    /// Whether `zone` is no list of tables, or too long a one: an error of the whole file.
    pub(crate) unreadable: bool,
}

/// What the zones read so far have claimed.
#[derive(Default)]
struct Claims {
    names: HashSet<Rc<str>>,
    hosts: HashMap<HostPattern, Rc<str>>,
}

/// Reads every zone.
pub(crate) fn read(root: &Reader<'_, '_>) -> Zones {
    let cx = root.cx;
    let mut zones = Zones::default();
    let mut claims = Claims::default();
    let count = root.tables_entered(
        "zone",
        limits::ZONES,
        |index, value| cx.enter_zone(label(index, value)),
        |index, table| {
            let zone = zone(table, index, &mut claims);
            check_whole(table, &zone);
            match cx.zone_errors() {
                (0, _) => zones.sound.push(zone),
                (errors, of_files) if errors == of_files => zones.degraded.push(zone),
                _ => {}
            }
        },
    );
    cx.leave_zone();
    zones.unreadable = count == 0 && root.has("zone") && !root.is_empty_list("zone");
    if !root.has("zone") && cx.errors() == 0 {
        root.spot().warn(
            "there is no zone, so every request is answered with an error",
            "add a [[zone]] with a [[zone.pool]]".to_owned(),
        );
    }
    zones
}

/// Asks of a zone that is read without an error what is asked of every stored one, so that none is stored that could not
/// be read again.
fn check_whole(table: &Reader<'_, '_>, zone: &Zone) {
    let (errors, of_files) = table.cx.zone_errors();
    if errors != of_files {
        return;
    }
    if let Err(fault) = valid::zone(zone) {
        let (path, message, fix) = fault.into_parts();
        table.spot().error(format!("{path}: {message}"), fix);
    }
    check_bytes(&table.spot(), UnitKind::Zone, &zone.name, zone);
}

/// How a zone is called in reports: by its name, or by its place where it has none.
fn label(index: usize, value: &DeValue<'_>) -> String {
    let name = value.get("name").and_then(|name| name.get_ref().as_str()).and_then(zone_name);
    name.unwrap_or_else(|| format!("zone[{index}]"))
}

fn zone(table: &Reader<'_, '_>, index: usize, claims: &mut Claims) -> Zone {
    let name = name(table, claims);
    let label: Rc<str> = name.clone().unwrap_or_else(|| format!("zone[{index}]").into());
    let hosts = hosts(table, name.as_deref(), &label, claims);
    let mut zone = Zone::new(&*label, hosts, Vec::new());
    zone.certificates = certificates(table, "certificates");
    table.flag("development_mode", &mut zone.development_mode);
    table.flag("compression", &mut zone.compression);
    table.flag("http2", &mut zone.http2);
    table.flag("websockets", &mut zone.websockets);
    table.flag("always_https", &mut zone.always_https);
    table.flag("cache", &mut zone.cache);
    table.table("errors", |_| {});
    let pools = pools(table);
    zone.routes = routes(table, &zone.hosts, &pools);
    zone.pools = pools.list;
    table.table("bot", |t| bot(t, &mut zone.bot));
    zone.rules = rules(table, &zone.bot);
    zone.bans = bans(table);
    table.table("modules", |t| zone.modules = modules(t));
    if zone.routes.is_empty() && !table.has("route") {
        match zone.pools.as_slice() {
            [only] => zone.routes = vec![Route::to(&only.name)],
            [] => {}
            [first, ..] => table.spot().error(
                format!("the zone has {} pools and no route that chooses among them", zone.pools.len()),
                format!("add a [[zone.route]] with pool = \"{}\"", first.name),
            ),
        }
    }
    zone
}

fn bot(table: &Reader<'_, '_>, bot: &mut Bot) {
    table.flag("score", &mut bot.score);
    table.flag("header", &mut bot.header);
    if bot.header && !bot.score {
        table
            .spot_of("header")
            .warn("`header` does nothing without a score", "set score = true, or remove `header`".to_owned());
    }
}

fn name(table: &Reader<'_, '_>, claims: &mut Claims) -> Option<Rc<str>> {
    let text = table.required("name")?;
    let spot = table.spot_of("name");
    let Some(name) = zone_name(text) else {
        spot.error(
            format!("`{}` cannot name a zone", short(text)),
            "write letters, digits, dots and hyphens: by custom the domain, in its xn-- form where it is not ASCII".to_owned(),
        );
        return None;
    };
    let name: Rc<str> = name.into();
    if !claims.names.insert(Rc::clone(&name)) {
        spot.error(
            format!("another zone is named `{name}`"),
            "give each zone its own name, or join the two".to_owned(),
        );
    }
    Some(name)
}

fn hosts(
    table: &Reader<'_, '_>,
    name: Option<&str>,
    label: &Rc<str>,
    claims: &mut Claims,
) -> Vec<HostPattern> {
    let mut hosts: Vec<HostPattern> = Vec::new();
    let mut claim = |spot: &Spot<'_, '_>, host: HostPattern| match claims.hosts.get(&host) {
        Some(other) if Rc::ptr_eq(other, label) => {
            spot.warn(format!("`{host}` stands here twice"), "remove one".to_owned());
        }
        Some(other) => spot.error(
            format!("`{host}` is claimed by zone \"{other}\" already"),
            "let only one zone have it".to_owned(),
        ),
        None => {
            claims.hosts.insert(host.clone(), Rc::clone(label));
            hosts.push(host);
        }
    };
    let stands = table.texts("hosts", limits::HOSTS, |spot, text| match HostPattern::parse(text) {
        Ok(host) => claim(spot, host),
        Err(fault) => host_fault(spot, text, fault),
    });
    if stands {
        if table.is_empty_list("hosts") {
            table
                .spot_of("hosts")
                .error("the zone has no host", "name the hosts it answers for, or remove `hosts`".to_owned());
        }
        return hosts;
    }
    let Some(name) = name else { return hosts };
    let spot = table.spot_of("name");
    match HostPattern::parse(name) {
        Ok(host) => {
            let under = HostPattern::parse(&format!("*.{name}"));
            claim(&spot, host);
            if let Ok(under) = under {
                claim(&spot, under);
            }
        }
        Err(fault) => spot.error(
            format!("the zone has no `hosts`, and its name is no host: {fault}"),
            "add hosts = [\"…\"]".to_owned(),
        ),
    }
    hosts
}
