//! The address of an origin.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::host::{HostFault, host_name};

/// Scheme, host and port of an origin. Paths are the visitor's, so there is none here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginUrl {
    /// Cleartext or TLS.
    pub scheme: Scheme,
    /// A name in lower case or an address; an IPv6 address stands without brackets.
    pub host: String,
    /// The port: 80 or 443 where the URL names none.
    pub port: u16,
}

/// Scheme of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl OriginUrl {
    /// Reads `http[s]://host[:port][/]`.
    ///
    /// # Errors
    /// [`UrlFault`] naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlFault::NoScheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlFault::Scheme),
        };
        let (authority, path) =
            match rest.find(['/', '?', '#', '\\']).and_then(|at| rest.split_at_checked(at)) {
                Some(parts) => parts,
                None => (rest, "/"),
            };
        // Before anything is quoted back: what stands in front of an @ may be a password.
        if authority.contains('@') {
            return Err(UrlFault::UserInfo);
        }
        if path != "/" {
            return Err(UrlFault::Path);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (host, after) = inner.split_once(']').ok_or(UrlFault::Host(HostFault::Address))?;
                let host: Ipv6Addr = host.parse().map_err(|_| UrlFault::Host(HostFault::Address))?;
                let port = match after {
                    "" => None,
                    _ => Some(after.strip_prefix(':').ok_or(UrlFault::Port)?),
                };
                (host.to_string(), port)
            }
            None if authority.parse::<Ipv6Addr>().is_ok() => return Err(UrlFault::Brackets),
            None => match authority.split_once(':') {
                Some((host, port)) => (host_name(host).map_err(UrlFault::Host)?, Some(port)),
                None => (host_name(authority).map_err(UrlFault::Host)?, None),
            },
        };
        let port = match port {
            None => scheme.default_port(),
            // `u16::from_str` would let a plus sign through.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<u16>().ok().filter(|&port| port > 0).ok_or(UrlFault::Port)?
            }
            Some(_) => return Err(UrlFault::Port),
        };
        Ok(OriginUrl { scheme, host, port })
    }

    /// The host as an address, when it is one: then no name needs resolving.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host`, with brackets around an IPv6 address and with the port unless it is the scheme's own: the form of a Host
    /// header.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.bracketed();
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    /// `host:port`, always with the port.
    #[must_use]
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    fn bracketed(&self) -> String {
        let name = self.host.parse::<Ipv4Addr>().is_ok() || !self.host.contains(':');
        if name { self.host.clone() } else { format!("[{}]", self.host) }
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// Why a text is not the address of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlFault {
    /// No `://`.
    #[error("the address has no scheme")]
    NoScheme,
    /// Neither http nor https.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// A user name or password.
    #[error("the address holds a user name or password, which Seawall does not send")]
    UserInfo,
    /// A path, query or fragment.
    #[error("the address has a path; Seawall sends each request with the visitor's own path")]
    Path,
    /// An IPv6 address without brackets.
    #[error("an IPv6 address stands in brackets in a URL")]
    Brackets,
    /// A port that is none.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A host that is none.
    #[error("the host is not valid: {0}")]
    Host(HostFault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_default_ports() {
        for (text, display, host, port) in [
            ("http://10.0.0.1:3000", "http://10.0.0.1:3000", "10.0.0.1", 3000),
            ("http://App.internal/", "http://app.internal", "app.internal", 80),
            ("HTTPS://example.com", "https://example.com", "example.com", 443),
            ("https://[::1]", "https://[::1]", "::1", 443),
            ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080", "2001:db8::1", 8080),
        ] {
            let url = OriginUrl::parse(text).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.host.as_str(), url.port),
                (display, host, port),
                "{text}"
            );
            assert_eq!(OriginUrl::parse(&url.to_string()), Ok(url), "{text}");
        }
    }

    #[test]
    fn bad_addresses_are_refused_for_their_own_reason() {
        for (text, want) in [
            ("", UrlFault::NoScheme),
            ("10.0.0.1:3000", UrlFault::NoScheme),
            ("ftp://a", UrlFault::Scheme),
            ("http://u:p@a", UrlFault::UserInfo),
            ("http://a/b", UrlFault::Path),
            ("http://a?b", UrlFault::Path),
            ("http://a#", UrlFault::Path),
            ("http://::1", UrlFault::Brackets),
            ("http://a:0", UrlFault::Port),
            ("http://a:", UrlFault::Port),
            ("http://a:+80", UrlFault::Port),
            ("http://a:65536", UrlFault::Port),
            ("http://[::1]80", UrlFault::Port),
            ("http://", UrlFault::Host(HostFault::Empty)),
            ("http://:80", UrlFault::Host(HostFault::Empty)),
            ("http://10.0.0.300", UrlFault::Host(HostFault::Address)),
            ("http://[::1", UrlFault::Host(HostFault::Address)),
            ("http://a b", UrlFault::Host(HostFault::Character(' '))),
        ] {
            assert_eq!(OriginUrl::parse(text), Err(want), "{text}");
        }
    }
}
