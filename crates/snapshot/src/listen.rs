//! Listen addresses and address ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::context::{At, Spot, short};
use crate::names::reported;
use crate::reader::Reader;
use crate::unit_fault::{Checked, Fault};
use crate::valid;

/// A listen address and where it was written.
pub(crate) struct Listener<'t> {
    pub(crate) address: SocketAddr,
    /// Its key: `http`, `https` or `metrics`.
    pub(crate) key: &'static str,
    /// Where, or `None` for a default.
    pub(crate) at: Option<At<'t>>,
}

/// Reads one text of a listen list into addresses, or reports it.
pub(crate) fn listen(spot: &Spot<'_, '_>, text: &str) -> Vec<SocketAddr> {
    if let Ok(address) = text.parse() {
        return vec![address];
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:")).and_then(port_of) {
        return vec![
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        ];
    }
    let shown = short(text);
    let suggestion = suggestion(text).unwrap_or_else(|| {
        "write an IP and a port: \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\"".to_owned()
    });
    spot.error(format!("`{shown}` is no listen address"), suggestion);
    Vec::new()
}

fn suggestion(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("://") {
        return Some(format!("leave the scheme out: \"{}\"", short(rest.trim_end_matches('/'))));
    }
    if port_of(text).is_some() {
        return Some(format!("write \":{text}\" for that port on every address"));
    }
    let host_and_port = text.rsplit_once(':').and_then(|(host, port)| Some((host, port_of(port)?)));
    if let Some((host, port)) = host_and_port
        && let Ok(address) = host.parse::<Ipv6Addr>()
    {
        return Some(format!("put the IPv6 address in brackets: \"[{address}]:{port}\""));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(format!("add a port: \"{}\"", SocketAddr::new(address, 8080)));
    }
    let (host, port) = host_and_port?;
    if host == "localhost" {
        return Some(format!("write \"127.0.0.1:{port}\""));
    }
    Some("write the IP address: names are not looked up here, since the start must not need DNS".to_owned())
}

fn port_of(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// Reports addresses that are written twice, or that another key's wildcard swallows.
pub(crate) fn check_overlaps(edge: &Reader<'_, '_>, listeners: &[Listener<'_>]) {
    for (at, later) in listeners.iter().enumerate() {
        let clash = listeners
            .iter()
            .take(at)
            .find(|earlier| valid::clash(earlier.address, later.address, earlier.key == later.key));
        let Some(earlier) = clash else { continue };
        let (told, other) = if later.at.is_some() { (later, earlier) } else { (earlier, later) };
        let Some(place) = told.at else { continue };
        let spot = Spot { cx: edge.cx, place: edge.place.key(told.key), at: place };
        let (told_address, other_address, other_key) = (told.address, other.address, other.key);
        if other.at.is_none() {
            spot.error(
                format!("{told_address} clashes with {other_address}, the default of `{other_key}`"),
                format!("choose another port, or set `{other_key}` too"),
            );
        } else if told_address == other_address {
            spot.error(
                format!("{told_address} is listened on twice"),
                if other_key == told.key {
                    "remove one".to_owned()
                } else {
                    format!("remove it here or from `{other_key}`")
                },
            );
        } else {
            spot.error(
                format!("{told_address} clashes with {other_address} of `{other_key}`"),
                "choose another port".to_owned(),
            );
        }
    }
}

/// Reads an address or a range.
pub(crate) fn net(text: &str) -> Checked<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            Fault::new(
                format!("`{}` is no address or range of addresses", short(text)),
                "write \"10.0.0.1\", \"10.0.0.0/8\" or \"2001:db8::/32\"".to_owned(),
            )
        }),
    }
}

/// Reads an address or a range, or reports it.
pub(crate) fn range(spot: &Spot<'_, '_>, text: &str) -> Option<IpNet> {
    let net = reported(spot, net(text))?;
    if net != net.trunc() {
        spot.warn(
            format!("`{net}` means the whole of {}", net.trunc()),
            format!("write \"{}\"", net.trunc()),
        );
    }
    Some(net.trunc())
}

/// Reads who is trusted, or reports it.
pub(crate) fn trusted(spot: &Spot<'_, '_>, text: &str) -> Option<IpNet> {
    if let Ok(everybody) = net(text)
        && everybody.prefix_len() == 0
    {
        spot.warn(
            "every peer is trusted, so that any visitor can claim any address".to_owned(),
            "name the addresses of the proxies in front of this edge".to_owned(),
        );
        return Some(everybody.trunc());
    }
    range(spot, text)
}
