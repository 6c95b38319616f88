//! A zone.

use seawall_model::{Certificate, HostPattern, Zone, limits};

use super::{nothing_twice, path, pool, route, rule};
use crate::names::zone_name;
use crate::unit_fault::{At as _, Checked, Fault, within};

/// Whether a zone could be served, lists aside.
pub(crate) fn zone(zone: &Zone) -> Checked {
    name(&zone.name).at("name")?;
    hosts(&zone.hosts).at("hosts")?;
    certificates(&zone.certificates).at("certificates")?;
    pool::pools(&zone.pools)?;
    route::routes(zone)?;
    rule::rules(&zone.rules)?;
    rule::ban_names(&zone.bans)
}

fn name(name: &str) -> Checked {
    match zone_name(name) {
        Some(canonical) if canonical == name => Ok(()),
        Some(canonical) => Err(Fault::new(
            format!("`{name}` is not in lower case"),
            format!("write \"{canonical}\""),
        )),
        None => Err(Fault::new(
            format!("`{}` cannot name a zone", crate::context::short(name)),
            "write letters, digits, dots and hyphens: by custom the domain, in its xn-- form where it is not ASCII".to_owned(),
        )),
    }
}

fn hosts(hosts: &[HostPattern]) -> Checked {
    if hosts.is_empty() {
        return Err(Fault::new("the zone has no host", "name the hosts it answers for".to_owned()));
    }
    within(hosts.len(), limits::HOSTS)?;
    nothing_twice(hosts, "host")
}

/// Whether certificates are named as they can be. Whether their files are there is not a matter of the document.
pub(super) fn certificates(certificates: &[Certificate]) -> Checked {
    within(certificates.len(), limits::CERTIFICATES)?;
    for (index, certificate) in certificates.iter().enumerate() {
        path(&certificate.cert).at("cert").at_item("", index)?;
        path(&certificate.key).at("key").at_item("", index)?;
    }
    Ok(())
}
