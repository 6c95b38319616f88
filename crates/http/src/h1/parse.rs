//! Parsing heads. `httparse` tells tokens apart; what it lets through and we do not is checked around it.

use crate::authority;
use crate::fault::Fault;
use crate::fields::Fields;
use crate::framing::{self, BodyLength};
use crate::head::{Method, RequestHead, ResponseHead, Version};
use crate::known::Known;
use std::mem::MaybeUninit;

/// Most of what one head may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole head.
    pub head_bytes: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Number of fields, at most [`Fields::MAX`].
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head_bytes: 32 * 1024, target_bytes: 16 * 1024, fields: 100 }
    }
}

/// What a parsed request head says about the message and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedRequest {
    /// Bytes of the head; the body starts there.
    pub len: usize,
    /// Framing of the body.
    pub body: BodyLength,
    /// Whether the client wants to use the connection again.
    pub keep_alive: bool,
    /// Whether the client waits for 100 (Continue).
    pub expect_continue: bool,
    /// Whether the client asks to upgrade to WebSocket (RFC 6455 §4.1).
    pub websocket: bool,
}

/// What a parsed response head says about the message and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedResponse {
    /// Bytes of the head; the body starts there.
    pub len: usize,
    /// Framing of the body.
    pub body: BodyLength,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
}

/// Parses a request head from the front of `buf` into `head` (cleared first).
///
/// `scanned` remembers how far `buf` was searched for the end of the head, so that bytes that trickle in are looked
/// at once; set it to 0 for a new message. `Ok(None)` means more bytes are needed.
///
/// # Errors
/// A [`Fault`] as soon as it can be told, without waiting for the rest.
pub fn parse_request(
    buf: &[u8],
    scanned: &mut usize,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<ParsedRequest>, Fault> {
    // A client may send one empty line after a body (RFC 9112 §2.2).
    let skip = if buf.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(len) = find_end(buf, skip, scanned, limits.head_bytes)? else {
        let line_open = memchr::memchr(b'\n', buf.get(skip..).unwrap_or(&[])).is_none();
        return if line_open && buf.len() > limits.target_bytes + 64 {
            Err(Fault::TargetTooLong)
        } else if buf.len() >= limits.head_bytes {
            Err(Fault::HeadTooLarge)
        } else {
            Ok(None)
        };
    };
    let raw = buf.get(skip..len).unwrap_or(&[]);
    head.clear();
    let mut slots = [const { MaybeUninit::uninit() }; Fields::MAX];
    let slots = slots.get_mut(..limits.fields.min(Fields::MAX)).unwrap_or(&mut []);
    let mut parsed = httparse::Request::new(&mut []);
    match httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, raw, slots) {
        Ok(httparse::Status::Complete(n)) if n == raw.len() => {}
        Ok(_) => return Err(Fault::StartLine),
        Err(e) => return Err(fault(e)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Fault::StartLine);
    };
    if target.len() > limits.target_bytes {
        return Err(Fault::TargetTooLong);
    }
    head.version = if minor == 0 { Version::H10 } else { Version::H11 };
    head.method = Method::of(method.as_bytes());
    head.method_text.extend_from_slice(method.as_bytes());
    copy_fields(raw, parsed.headers, &mut head.fields)?;
    authority::set_target(head, target.as_bytes())?;

    let connection = Connection::read(&head.fields);
    let websocket = connection.upgrade
        && head.method == Method::Get
        && head.version == Version::H11
        && asks_websocket(&head.fields);
    Ok(Some(ParsedRequest {
        len,
        body: framing::of_request(head.version, &head.fields)?,
        keep_alive: connection.keeps(head.version),
        expect_continue: expects_continue(head)?,
        websocket,
    }))
}

/// Parses a response head from the front of `buf` into `head` (cleared first); `method` is the request's.
///
/// # Errors
/// As [`parse_request`]; the fault is the origin's.
pub fn parse_response(
    buf: &[u8],
    scanned: &mut usize,
    limits: &Limits,
    method: Method,
    head: &mut ResponseHead,
) -> Result<Option<ParsedResponse>, Fault> {
    let Some(len) = find_end(buf, 0, scanned, limits.head_bytes)? else {
        return if buf.len() >= limits.head_bytes { Err(Fault::HeadTooLarge) } else { Ok(None) };
    };
    let raw = buf.get(..len).unwrap_or(&[]);
    head.clear();
    let mut slots = [const { MaybeUninit::uninit() }; Fields::MAX];
    let slots = slots.get_mut(..limits.fields.min(Fields::MAX)).unwrap_or(&mut []);
    let mut parsed = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, raw, slots) {
        Ok(httparse::Status::Complete(n)) if n == raw.len() => {}
        Ok(_) => return Err(Fault::StartLine),
        Err(e) => return Err(fault(e)),
    }
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else { return Err(Fault::StartLine) };
    if !(100..600).contains(&status) {
        return Err(Fault::Status);
    }
    head.version = if minor == 0 { Version::H10 } else { Version::H11 };
    head.status = status;
    head.reason.extend_from_slice(parsed.reason.unwrap_or("").as_bytes());
    copy_fields(raw, parsed.headers, &mut head.fields)?;
    let body = framing::of_response(method, status, head.version, &head.fields)?;
    let keep_alive = Connection::read(&head.fields).keeps(head.version) && body != BodyLength::UntilClose;
    Ok(Some(ParsedResponse { len, body, keep_alive }))
}

/// Parses the fields of a trailer section that ends with its empty line, into `fields`.
///
/// # Errors
/// [`Fault::Trailer`] for anything that is not one.
pub fn parse_trailers(raw: &[u8], fields: &mut Fields) -> Result<(), Fault> {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    match httparse::parse_headers(raw, &mut slots) {
        Ok(httparse::Status::Complete((n, found))) if n == raw.len() => {
            copy_fields(raw, found, fields).map_err(|_| Fault::Trailer)
        }
        _ => Err(Fault::Trailer),
    }
}

/// Where the head ends, after its empty line. Every LF must follow a CR.
fn find_end(buf: &[u8], skip: usize, scanned: &mut usize, limit: usize) -> Result<Option<usize>, Fault> {
    let from = (*scanned).max(skip);
    let window = buf.get(..buf.len().min(limit)).unwrap_or(&[]);
    for at in memchr::memchr_iter(b'\n', window.get(from..).unwrap_or(&[])).map(|i| i + from) {
        match at.checked_sub(1).and_then(|i| buf.get(i)) {
            Some(b'\r') => {}
            _ => return Err(Fault::BareLineFeed),
        }
        let before = at.checked_sub(3).filter(|i| *i >= skip).and_then(|i| buf.get(i..i + 2));
        if before == Some(b"\r\n") {
            return Ok(Some(at + 1));
        }
    }
    *scanned = window.len();
    Ok(None)
}

fn copy_fields(raw: &[u8], found: &[httparse::Header<'_>], to: &mut Fields) -> Result<(), Fault> {
    if found.iter().any(|h| h.name.is_empty()) {
        return Err(Fault::FieldName);
    }
    if to.take_parsed(raw, found) { Ok(()) } else { Err(Fault::TooManyFields) }
}

fn fault(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::HeaderName => Fault::FieldName,
        httparse::Error::HeaderValue => Fault::FieldValue,
        httparse::Error::TooManyHeaders => Fault::TooManyFields,
        httparse::Error::Version => Fault::Version,
        httparse::Error::Status => Fault::Status,
        httparse::Error::NewLine | httparse::Error::Token => Fault::StartLine,
    }
}

/// What Connection says (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Connection {
    fn read(fields: &Fields) -> Connection {
        let mut seen = Connection::default();
        for option in fields.all(Known::Connection).flat_map(|v| v.split(|b| *b == b',')) {
            let option = option.trim_ascii();
            seen.close |= option.eq_ignore_ascii_case(b"close");
            seen.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            seen.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
        seen
    }

    fn keeps(self, version: Version) -> bool {
        !self.close && (version == Version::H11 || self.keep_alive)
    }
}

fn asks_websocket(fields: &Fields) -> bool {
    fields.get(Known::Upgrade).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
        && fields.has(Known::SecWebSocketKey)
}

fn expects_continue(head: &RequestHead) -> Result<bool, Fault> {
    match head.fields.get(Known::Expect) {
        None => Ok(false),
        Some(v) if v.eq_ignore_ascii_case(b"100-continue") => Ok(head.version == Version::H11),
        Some(_) => Err(Fault::Expectation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Option<(ParsedRequest, RequestHead)>, Fault> {
        let mut head = RequestHead::default();
        let limits = Limits { head_bytes: 4096, target_bytes: 1024, fields: 20 };
        let parsed = parse_request(text.as_bytes(), &mut 0, &limits, &mut head)?;
        // Byte by byte must mean the same.
        let (mut scanned, mut stepped) = (0, Ok(None));
        let mut again = RequestHead::default();
        for end in 0..=text.len() {
            stepped = parse_request(&text.as_bytes()[..end], &mut scanned, &limits, &mut again);
            if !matches!(stepped, Ok(None)) {
                break;
            }
        }
        assert_eq!(stepped, Ok(parsed), "{text:?}");
        Ok(parsed.map(|p| (p, head)))
    }

    #[test]
    fn good_requests_are_understood() {
        let (p, h) =
            request("GET /a?b HTTP/1.1\r\nHost: A.test:80\r\nX:  y \t\r\n\r\nrest").unwrap().unwrap();
        assert_eq!(
            (h.method, &h.target[..], &h.authority[..]),
            (Method::Get, &b"/a?b"[..], &b"a.test:80"[..])
        );
        assert_eq!(h.fields.get_named(b"x"), Some(&b"y"[..]));
        assert_eq!((p.len, p.body, p.keep_alive), (47, BodyLength::None, true));
        let (p, h) = request("\r\nPOST http://a.test?q HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\nexpect: 100-Continue\r\nconnection: close\r\n\r\n").unwrap().unwrap();
        assert_eq!(
            (&h.target[..], p.body, p.expect_continue, p.keep_alive),
            (&b"/?q"[..], BodyLength::Exact(3), true, false)
        );
        let (p, h) = request("OPTIONS * HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert_eq!((&h.target[..], p.keep_alive, h.version), (&b"*"[..], false, Version::H10));
        let (p, _) = request("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n").unwrap().unwrap();
        assert!(p.websocket);
        let (_, h) = request("GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap();
        assert_eq!(h.target, b"/caf%C3%A9");
    }

    #[test]
    fn bad_requests_are_refused_with_the_right_fault() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1100));
        let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(5000));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(30));
        let endless = "G".repeat(2000);
        for (text, want) in [
            ("GET / HTTP/1.1\nHost: a\n\n", Fault::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", Fault::BareLineFeed),
            ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Fault::FieldValue),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Fault::FieldValue),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", Fault::FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", Fault::FieldName),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Fault::FieldName),
            ("GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", Fault::FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n\r\n", Fault::FieldName),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::StartLine),
            ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Version),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Fault::StartLine),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Fault::Version),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Fault::Version),
            ("PRI * HTTP/2.0\r\n\r\n", Fault::Version),
            ("GET / HTTP/1.1\r\n\r\n", Fault::HostMissing),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Fault::HostRepeated),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Fault::Host),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Fault::Host),
            ("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", Fault::HostDisagrees),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
            ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Fault::Method),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Fault::LengthAndCoding,
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", Fault::Expectation),
            (&long, Fault::TargetTooLong),
            (&endless, Fault::TargetTooLong),
            (&large, Fault::HeadTooLarge),
            (&many, Fault::TooManyFields),
        ] {
            assert_eq!(request(text).map(|r| r.map(|(_, h)| h)), Err(want), "{text:?}");
        }
    }

    #[test]
    fn responses_are_understood_or_refused() {
        let parse = |text: &str, method| {
            let mut head = ResponseHead::default();
            parse_response(text.as_bytes(), &mut 0, &Limits::default(), method, &mut head)
                .map(|p| p.map(|p| (p, head)))
        };
        let (p, h) = parse("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok", Method::Get).unwrap().unwrap();
        assert_eq!(
            (h.status, &h.reason[..], p.body, p.keep_alive),
            (200, &b"Fine"[..], BodyLength::Exact(2), true)
        );
        let (p, _) = parse("HTTP/1.0 200\r\n\r\n", Method::Get).unwrap().unwrap();
        assert_eq!((p.body, p.keep_alive), (BodyLength::UntilClose, false));
        assert_eq!(parse("HTTP/1.1 200 OK\r\nA: b", Method::Get), Ok(None));
        for (text, want) in [
            ("HTTP/1.1 099 X\r\n\r\n", Fault::Status),
            ("HTTP/1.1 600 X\r\n\r\n", Fault::Status),
            ("HTTP/1.1 20 X\r\n\r\n", Fault::Status),
            ("ICY 200 OK\r\n\r\n", Fault::Version),
            ("HTTP/1.1 200 OK\nA: b\n\n", Fault::BareLineFeed),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                Fault::LengthAndCoding,
            ),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Fault::FieldName),
        ] {
            assert_eq!(parse(text, Method::Get), Err(want), "{text:?}");
        }
    }
}
