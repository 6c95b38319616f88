//! Host names and the patterns a zone claims.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::limits;

/// Which request hosts a zone or a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `*`: every host that no other zone claims.
    Any,
    /// One host, in lower case, without port and without a final dot; an IPv6 address in brackets.
    Exact(Box<str>),
    /// `*.example.com`, kept as `example.com`: every name below it, at any depth, but not the name itself.
    Under(Box<str>),
}

impl HostPattern {
    /// Reads `*`, `*.name`, a name or an address.
    ///
    /// # Errors
    /// [`HostFault`] when the text is none of these.
    pub fn parse(text: &str) -> Result<Self, HostFault> {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        if text.contains("://") {
            return Err(HostFault::Url);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let (address, after) = inner.split_once(']').ok_or(HostFault::Address)?;
            let address: Ipv6Addr = address.parse().map_err(|_| HostFault::Address)?;
            return match after {
                "" => Ok(HostPattern::Exact(format!("[{address}]").into())),
                _ => Err(HostFault::Port),
            };
        }
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(HostPattern::Exact(format!("[{address}]").into()));
        }
        if text.contains(':') {
            return Err(HostFault::Port);
        }
        let (under, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(HostFault::Star);
        }
        let name = host_name(name)?;
        if under && name.parse::<Ipv4Addr>().is_ok() {
            return Err(HostFault::Star);
        }
        Ok(if under { HostPattern::Under(name.into()) } else { HostPattern::Exact(name.into()) })
    }

    /// Whether `host` (without port) is taken. Case does not matter.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
            HostPattern::Under(name) => host
                .len()
                .checked_sub(name.len())
                .and_then(|at| host.split_at_checked(at))
                .is_some_and(|(labels, rest)| {
                    labels.len() > 1 && labels.ends_with(b".") && name.as_bytes().eq_ignore_ascii_case(rest)
                }),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Any => f.write_str("*"),
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Under(name) => write!(f, "*.{name}"),
        }
    }
}

/// Why a text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostFault {
    /// Nothing there.
    #[error("the host is empty")]
    Empty,
    /// A whole URL.
    #[error("this is a URL, and only its host belongs here")]
    Url,
    /// A port.
    #[error("a host here has no port")]
    Port,
    /// A bad address in brackets, or a dotted number that is no IPv4 address.
    #[error("this is not a valid IP address")]
    Address,
    /// A star elsewhere than in `*` or `*.name`.
    #[error("a star may only stand alone or as the whole first label, as in *.example.com")]
    Star,
    /// Beyond 253 bytes.
    #[error("a host name has at most 253 characters (RFC 1035 §2.3.4)")]
    TooLong,
    /// A label beyond 63 bytes.
    #[error("each part of a host name between dots has at most 63 characters (RFC 1035 §2.3.4)")]
    LabelTooLong,
    /// Two dots in a row, or one in front.
    #[error("a part between dots is empty")]
    LabelEmpty,
    /// A hyphen at the edge of a label.
    #[error("a part between dots begins or ends with a hyphen")]
    Hyphen,
    /// Letters outside ASCII.
    #[error("{0:?} is not ASCII; an international name is written in its xn-- form here")]
    NotAscii(char),
    /// Anything else that does not belong in a name.
    #[error("{0:?} cannot stand in a host name")]
    Character(char),
}

/// Reads a host name or an IPv4 address; gives it in lower case, without a final dot. Underscores are let through, since
/// names with them are in use.
///
/// # Errors
/// [`HostFault`] naming what is wrong.
pub fn host_name(text: &str) -> Result<String, HostFault> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err(HostFault::Empty);
    }
    if let Some(odd) =
        name.chars().find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.'))
    {
        return Err(if odd.is_ascii() { HostFault::Character(odd) } else { HostFault::NotAscii(odd) });
    }
    if name.len() as u64 > limits::HOST_BYTES.value {
        return Err(HostFault::TooLong);
    }
    for label in name.split('.') {
        match label.len() {
            0 => return Err(HostFault::LabelEmpty),
            1..=63 => {}
            _ => return Err(HostFault::LabelTooLong),
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(HostFault::Hyphen);
        }
    }
    // No top-level domain is all digits (RFC 3696 §2), so such a text was meant as an address.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(HostFault::Address);
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_their_canonical_form() {
        for (text, want) in [
            ("*", "*"),
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::0001]", "[::1]"),
            ("2001:DB8::1", "[2001:db8::1]"),
            ("a_b.example", "a_b.example"),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), want, "{text}");
        }
    }

    #[test]
    fn bad_hosts_are_refused_for_their_own_reason() {
        let long = "a".repeat(64);
        let longer = format!("{}com", "abcdefg.".repeat(40));
        for (text, want) in [
            ("", HostFault::Empty),
            (".", HostFault::Empty),
            ("https://example.com", HostFault::Url),
            ("example.com:80", HostFault::Port),
            ("[::1]:80", HostFault::Port),
            ("[::g]", HostFault::Address),
            ("10.0.0.999", HostFault::Address),
            ("www.*.com", HostFault::Star),
            ("*example.com", HostFault::Star),
            ("*.10.0.0.1", HostFault::Star),
            ("a..b", HostFault::LabelEmpty),
            ("-a.b", HostFault::Hyphen),
            ("a b", HostFault::Character(' ')),
            ("bücher.de", HostFault::NotAscii('ü')),
            (long.as_str(), HostFault::LabelTooLong),
            (longer.as_str(), HostFault::TooLong),
        ] {
            assert_eq!(HostPattern::parse(text), Err(want), "{text}");
        }
    }

    #[test]
    fn a_star_takes_every_depth_below_but_not_the_name_itself() {
        let star = HostPattern::parse("*.example.com").unwrap();
        assert!(star.matches(b"a.example.com"));
        assert!(star.matches(b"A.B.EXAMPLE.com"));
        assert!(!star.matches(b"example.com"));
        assert!(!star.matches(b".example.com"));
        assert!(!star.matches(b"badexample.com"));
        assert!(!star.matches(b"com"));
        assert!(HostPattern::parse("example.com").unwrap().matches(b"Example.Com"));
    }
}
