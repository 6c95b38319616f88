//! Names and header fields, as the wire allows them.

use seawall_model::{HostFault, HostPattern, is_token, limits};

use crate::context::{Spot, short};
use crate::unit_fault::{Checked, Fault};

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

/// Reports what is wrong with a text; what it is where nothing is.
pub(crate) fn reported<T>(spot: &Spot<'_, '_>, found: Checked<T>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(wrong) => {
            let (_, message, fix) = wrong.into_parts();
            spot.error(message, fix);
            None
        }
    }
}

/// Whether a header field can have this name.
pub(crate) fn check_field_name(name: &str) -> Checked {
    if is_token(name) {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no name of a header field", short(name)),
        "write letters, digits and hyphens only".to_owned(),
    ))
}

/// Whether edits may touch this field.
pub(crate) fn check_editable_field(name: &str, request: bool) -> Checked {
    check_field_name(name)?;
    if FRAMING.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(Fault::new(
            format!("`{name}` frames the message, and Seawall writes it itself"),
            "remove it".to_owned(),
        ));
    }
    if request && name.eq_ignore_ascii_case("host") {
        return Err(Fault::new("`Host` cannot be changed here", "set `host` of the origin".to_owned()));
    }
    Ok(())
}

/// Reports a field that edits must leave alone; whether it is good.
pub(crate) fn editable_field(spot: &Spot<'_, '_>, name: &str, request: bool) -> bool {
    reported(spot, check_editable_field(name, request)).is_some()
}

/// Whether a header field can have this value (RFC 9110 §5.5).
pub(crate) fn check_field_value(value: &str) -> Checked {
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        return Err(Fault::new(
            "the value of a header field holds a control character",
            "keep it on one line".to_owned(),
        ));
    }
    if value != value.trim_matches([' ', '\t']) {
        return Err(Fault::new(
            "the value of a header field begins or ends with a space",
            "remove the space".to_owned(),
        ));
    }
    Ok(())
}

/// Reports a value that no header field can have; whether it is good.
pub(crate) fn field_value(spot: &Spot<'_, '_>, value: &str) -> bool {
    reported(spot, check_field_value(value)).is_some()
}

/// Whether this is a method.
pub(crate) fn check_method(text: &str) -> Checked {
    if !is_token(text) {
        return Err(Fault::new(
            format!("`{}` is no method", short(text)),
            "write a method such as \"GET\"".to_owned(),
        ));
    }
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Fault::new(
            format!("the method `{}` must be in capitals: case matters (RFC 9110 §9.1)", short(text)),
            format!("write \"{}\"", short(&text.to_ascii_uppercase())),
        ));
    }
    Ok(())
}

/// Reads a method, or reports it.
pub(crate) fn method(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    reported(spot, check_method(text)).map(|()| text.to_owned())
}

/// A value for the Host header, `name` or `name:port`, in its canonical form.
pub(crate) fn check_host_value(text: &str) -> Checked<String> {
    if text.contains("://") {
        return Err(host_wrong(text, HostFault::Url));
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
        return Err(Fault::new(
            format!("the port of `{}` is not a number from 1 to 65535", short(text)),
            "write a host, and a port where it is not the usual one".to_owned(),
        ));
    }
    match HostPattern::parse(name) {
        Ok(HostPattern::Exact(name)) => Ok(match port {
            Some(port) => format!("{name}:{port}"),
            None => name.into(),
        }),
        Ok(_) => Err(host_wrong(text, HostFault::Star)),
        Err(fault) => Err(host_wrong(text, fault)),
    }
}

/// Reads a value for the Host header, or reports it.
pub(crate) fn host_value(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    reported(spot, check_host_value(text))
}

/// A name for TLS, in its canonical form.
pub(crate) fn check_server_name(text: &str) -> Checked<String> {
    match HostPattern::parse(text) {
        Ok(HostPattern::Exact(name)) => Ok(name.trim_matches(['[', ']']).to_owned()),
        Ok(_) => Err(host_wrong(text, HostFault::Star)),
        Err(fault) => Err(host_wrong(text, fault)),
    }
}

/// Reads a name for TLS, or reports it.
pub(crate) fn server_name(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    reported(spot, check_server_name(text))
}

/// What is wrong with a host that is none.
fn host_wrong(text: &str, fault: HostFault) -> Box<Fault> {
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
            Fault::new("the host is empty", "write a host such as \"example.com\"".to_owned())
        }
        _ => Fault::new(format!("`{}` is no host: {fault}", short(text)), suggestion),
    }
}

/// Reports a host that is none.
pub(crate) fn host_fault(spot: &Spot<'_, '_>, text: &str, fault: HostFault) {
    let _: Option<()> = reported(spot, Err(host_wrong(text, fault)));
}

/// Whether a pool, an origin, a rule or a list can have this name.
pub(crate) fn check_plain_name(text: &str) -> Checked {
    let odd = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '\\' | ';' | ','));
    let fault = match odd {
        Some(odd) => format!("a name cannot hold {odd:?}"),
        None if text.is_empty() => "a name is empty".to_owned(),
        None if text.len() as u64 > limits::NAME_BYTES.value => {
            format!("a name is longer than {} bytes", limits::NAME_BYTES.value)
        }
        None => return Ok(()),
    };
    Err(Fault::new(fault, "write a short name of letters, digits and hyphens".to_owned()))
}

/// Reads the name of a pool, an origin, a rule or a list, or reports it.
pub(crate) fn plain_name(spot: &Spot<'_, '_>, text: &str) -> Option<String> {
    reported(spot, check_plain_name(text)).map(|()| text.to_owned())
}

/// The name of a zone in lower case, when it is one: letters, digits, dots, hyphens and underscores.
pub(crate) fn zone_name(text: &str) -> Option<String> {
    let fits = (1..=limits::HOST_BYTES.value).contains(&(text.len() as u64))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && !text.starts_with(['.', '-']);
    fits.then(|| text.to_ascii_lowercase())
}
