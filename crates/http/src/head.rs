//! Request and response heads, whatever the version they came in.

use crate::fields::Fields;

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    H10,
    /// HTTP/1.1
    #[default]
    H11,
    /// HTTP/2
    H2,
}

impl Version {
    /// As written in logs: `HTTP/1.1`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Version::H10 => "HTTP/1.0",
            Version::H11 => "HTTP/1.1",
            Version::H2 => "HTTP/2",
        }
    }
}

/// Request methods the edge treats apart (RFC 9110 §9); others pass through as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

impl Method {
    /// Recognises a method; methods are case-sensitive.
    #[must_use]
    pub fn of(text: &[u8]) -> Method {
        match text {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// Changes nothing at the origin (RFC 9110 §9.2.1).
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// May be sent twice with the effect of once (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// A request head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestHead {
    /// Version it came in.
    pub version: Version,
    /// The method, recognised.
    pub method: Method,
    /// The method as text.
    pub method_text: Vec<u8>,
    /// Path and query in origin form, starting with `/` (or `*` for OPTIONS).
    pub target: Vec<u8>,
    /// Host and port the client asked for, lower case, from Host, absolute form or `:authority`; they agree.
    pub authority: Vec<u8>,
    /// `:protocol` of an extended CONNECT (RFC 8441), else empty.
    pub protocol: Vec<u8>,
    /// The fields, without pseudo-fields; Host among them for HTTP/1.
    pub fields: Fields,
}

impl RequestHead {
    /// Empties the head and keeps its memory.
    pub fn clear(&mut self) {
        self.version = Version::H11;
        self.method = Method::Get;
        self.method_text.clear();
        self.target.clear();
        self.authority.clear();
        self.protocol.clear();
        self.fields.clear();
    }

    /// The target before `?`.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.target.split(|b| *b == b'?').next().unwrap_or(&[])
    }

    /// The target after `?`, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        self.target.splitn(2, |b| *b == b'?').nth(1)
    }

    /// The authority without port; brackets of an IPv6 address are kept.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        let authority = &self.authority[..];
        match authority.iter().rposition(|b| *b == b':' || *b == b']') {
            Some(i) if authority.get(i) == Some(&b':') => authority.get(..i).unwrap_or(authority),
            _ => authority,
        }
    }
}

/// A response head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponseHead {
    /// Version it came in.
    pub version: Version,
    /// Status code, 100–599 as parsed (RFC 9110 §15).
    pub status: u16,
    /// Reason phrase as it came; empty for HTTP/2.
    pub reason: Vec<u8>,
    /// The fields, without pseudo-fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// A head with a status and no fields.
    #[must_use]
    pub fn new(status: u16) -> Self {
        ResponseHead { status, ..Self::default() }
    }

    /// Empties the head and keeps its memory.
    pub fn clear(&mut self) {
        self.version = Version::H11;
        self.status = 0;
        self.reason.clear();
        self.fields.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_authority_without_its_port() {
        for (authority, host) in [
            ("a.test", "a.test"),
            ("a.test:80", "a.test"),
            ("[::1]", "[::1]"),
            ("[::1]:8", "[::1]"),
            ("", ""),
        ] {
            let head = RequestHead { authority: authority.into(), ..Default::default() };
            assert_eq!(head.host(), host.as_bytes(), "{authority}");
        }
    }

    #[test]
    fn path_and_query_are_the_halves_of_the_target() {
        let head = |t: &str| RequestHead { target: t.into(), ..Default::default() };
        assert_eq!((head("/a?b?c").path(), head("/a?b?c").query()), (&b"/a"[..], Some(&b"b?c"[..])));
        assert_eq!((head("/a").path(), head("/a").query()), (&b"/a"[..], None));
        assert_eq!(head("/a?").query(), Some(&b""[..]));
    }
}
