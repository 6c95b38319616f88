//! Names and header fields, as the wire allows them.

use seawall_model::{HostFault, HostPattern, limits};

use crate::context::{Spot, short};

/// Fields that frame a message or belong to one connection (RFC 9110 §7.6.1, RFC 9112): Seawall writes them itself.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// `token` of RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Reports a name that no header field can have; whether it is good.
pub(crate) fn field_name(spot: &Spot<'_, '_>, name: &str) -> bool {
    if !is_token(name) {
        spot.error(
            format!("`{}` is no name of a header field", short(name)),
            "write letters, digits and hyphens only".to_owned(),
        );
        return false;
    }
    true
}

/// Reports a field that edits must leave alone; whether it is good.
pub(crate) fn editable_field(spot: &Spot<'_, '_>, name: &str, request: bool) -> bool {
    if !field_name(spot, name) {
        return false;
    }
    if FRAMING.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        spot.error(
            format!("`{name}` frames the message, and Seawall writes it itself"),
            "remove it".to_owned(),
        );
        return false;
    }
    if request && name.eq_ignore_ascii_case("host") {
        spot.error("`Host` cannot be changed here", "set `host` of the origin".to_owned());
        return false;
    }
    true
}

/// Reports a value that no header field can have (RFC 9110 §5.5); whether it is good.
pub(crate) fn field_value(spot: &Spot<'_, '_>, value: &str) -> bool {
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        spot.error("the value of a header field holds a control character", "keep it on one line".to_owned());
        return false;
    }
    if value != value.trim_matches([' ', '\t']) {
        spot.error("the value of a header field begins or ends with a space", "remove the space".to_owned());
        return false;
    }
    true
}

/// Reads a method, or reports it.
pub(crate) fn method(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    if !is_token(text) {
        spot.error(format!("`{}` is no method", short(text)), "write a method such as \"GET\"".to_owned());
        return None;
    }
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        spot.error(
            format!("the method `{}` must be in capitals: case matters (RFC 9110 §9.1)", short(text)),
            format!("write \"{}\"", short(&text.to_ascii_uppercase())),
        );
        return None;
    }
    Some(text.to_owned())
}

/// Reads a value for the Host header, `name` or `name:port`, or reports it.
pub(crate) fn host_value(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    if text.contains("://") {
        host_fault(spot, text, HostFault::Url);
        return None;
    }
    let bare = text.parse::<std::net::Ipv6Addr>().is_ok();
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !bare && !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| {
        !port.bytes().all(|b| b.is_ascii_digit())
            || port.parse().is_ok_and(|p: u16| p == 0)
            || port.parse::<u16>().is_err()
    }) {
        spot.error(
            format!("the port of `{}` is not a number from 1 to 65535", short(text)),
            "write a host, and a port where it is not the usual one".to_owned(),
        );
        return None;
    }
    match HostPattern::parse(name) {
        Ok(HostPattern::Exact(name)) => Some(match port {
            Some(port) => format!("{name}:{port}"),
            None => name.into(),
        }),
        Ok(_) => {
            host_fault(spot, text, HostFault::Star);
            None
        }
        Err(fault) => {
            host_fault(spot, text, fault);
            None
        }
    }
}

/// Reads a name for TLS, or reports it.
pub(crate) fn server_name(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    match HostPattern::parse(text) {
        Ok(HostPattern::Exact(name)) => Some(name.trim_matches(['[', ']']).to_owned()),
        Ok(_) => {
            host_fault(spot, text, HostFault::Star);
            None
        }
        Err(fault) => {
            host_fault(spot, text, fault);
            None
        }
    }
}

/// Reports a host that is none.
pub(crate) fn host_fault(spot: &Spot<'_, '_>, text: &str, fault: HostFault) {
    let suggestion = match fault {
        HostFault::Url => {
            let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
            let host = rest.split(['/', ':', '?', '@']).next().unwrap_or_default();
            Some(format!("write \"{}\"", short(host)))
        }
        HostFault::Port => text.rsplit_once(':').map(|(host, _)| format!("write \"{}\"", short(host))),
        _ => None,
    };
    match fault {
        HostFault::Empty => {
            spot.error("the host is empty", "write a host such as \"example.com\"".to_owned())
        }
        _ => spot.error(format!("`{}` is no host: {fault}", short(text)), suggestion),
    }
}

/// Reads the name of a pool or an origin, or reports it.
pub(crate) fn plain_name(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    let odd = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '\\' | ';' | ','));
    let fault = match odd {
        Some(odd) => format!("a name cannot hold {odd:?}"),
        None if text.is_empty() => "a name is empty".to_owned(),
        None if text.len() as u64 > limits::NAME_BYTES.value => {
            format!("a name is longer than {} bytes", limits::NAME_BYTES.value)
        }
        None => return Some(text.to_owned()),
    };
    spot.error(fault, "write a short name of letters, digits and hyphens".to_owned());
    None
}

/// The name of a zone in lower case, when it is one: letters, digits, dots, hyphens and underscores.
pub(crate) fn zone_name(text: &str) -> Option<String> {
    let fits = (1..=limits::HOST_BYTES.value).contains(&(text.len() as u64))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && !text.starts_with(['.', '-']);
    fits.then(|| text.to_ascii_lowercase())
}
