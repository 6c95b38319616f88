//! HTTP/1 heads.

use crate::input::{is_name, is_value};
use seawall_http::h1::encode::{self, KnownSet};
use seawall_http::h1::{Limits, ParsedRequest, ParsedResponse, parse_request, parse_response};
use seawall_http::{BodyLength, Fault, Fields, Known, Method, RequestHead, ResponseHead, Version, hop};
use std::fmt::Debug;

const LIMITS: Limits = Limits { head_bytes: 4096, target_bytes: 1024, fields: 40 };

/// A request head. What is accepted must be what httparse sees, hide nothing from a sloppy reader, and mean the same
/// once written in canonical form.
pub fn request_head(data: &[u8]) {
    let parse =
        |buf: &[u8], scanned: &mut usize, head: &mut RequestHead| parse_request(buf, scanned, &LIMITS, head);
    let Some((parsed, head)) = in_steps(data, parse) else { return };

    let skip = if data.starts_with(b"\r\n") { 2 } else { 0 };
    let raw = &data[skip..parsed.len];
    let mut slots = [httparse::EMPTY_HEADER; Fields::MAX];
    let mut other = httparse::Request::new(&mut slots);
    assert_eq!(other.parse(raw), Ok(httparse::Status::Complete(raw.len())), "httparse sees another end");
    assert_eq!(other.method.map(str::as_bytes), Some(&head.method_text[..]));
    assert_eq!(other.version, Some(u8::from(head.version == Version::H11)));
    same_fields(other.headers, &head.fields);
    assert!(head.target.starts_with(b"/") || (head.target == b"*" && head.method == Method::Options));
    assert!(head.target.iter().all(u8::is_ascii_graphic), "a target that cannot be forwarded");
    assert!(!head.authority.is_empty() || head.version == Version::H10);
    assert!(is_name(&head.method_text) && head.method != Method::Connect);
    sound_lines(raw, &head.fields);
    match parsed.body {
        BodyLength::None | BodyLength::Exact(_) => assert!(!head.fields.has(Known::TransferEncoding)),
        BodyLength::Chunked => {
            assert_eq!(head.fields.all(Known::TransferEncoding).count(), 1);
            assert!(!head.fields.has(Known::ContentLength) && head.version == Version::H11);
        }
        BodyLength::UntilClose => panic!("a request cannot end with its connection"),
    }
    if parsed.websocket {
        assert!(head.method == Method::Get && head.fields.has(Known::SecWebSocketKey));
    }

    // Canonical form: what would be forwarded, with a Host that says what the target said.
    let mut sent = head.clone();
    if !sent.authority.is_empty() {
        sent.fields.set(Known::Host, &head.authority);
        let wire = written(&sent);
        let mut again = RequestHead::default();
        let reparsed = parse_request(
            &wire,
            &mut 0,
            &Limits { head_bytes: 8192, target_bytes: 4096, ..LIMITS },
            &mut again,
        );
        let reparsed = reparsed.expect("canonical form is refused").expect("canonical form has no end");
        assert_eq!((reparsed.len, reparsed.body), (wire.len(), parsed.body));
        assert_eq!((again.method, &again.method_text), (head.method, &head.method_text));
        assert_eq!(
            (&again.target, &again.authority, &again.fields),
            (&head.target, &head.authority, &sent.fields)
        );
        assert_eq!(written(&again), wire, "canonical form is not a fixed point");
    }

    // What Connection names goes; what carries the message stays.
    let mut forwarded = head.fields.clone();
    hop::drop_nominated(&mut forwarded);
    for kept in [Known::Host, Known::ContentLength, Known::Cookie, Known::Authorization] {
        assert!(forwarded.all(kept).eq(head.fields.all(kept)), "{kept:?} was made to disappear");
    }
}

/// A response head, to GET and to HEAD.
pub fn response_head(data: &[u8]) {
    for method in [Method::Get, Method::Head] {
        let parse = |buf: &[u8], scanned: &mut usize, head: &mut ResponseHead| {
            parse_response(buf, scanned, &LIMITS, method, head)
        };
        let Some((parsed, head)) = in_steps(data, parse) else { continue };
        let raw = &data[..parsed.len];
        let mut slots = [httparse::EMPTY_HEADER; Fields::MAX];
        let mut other = httparse::Response::new(&mut slots);
        assert_eq!(other.parse(raw), Ok(httparse::Status::Complete(raw.len())), "httparse sees another end");
        assert_eq!(other.code, Some(head.status));
        same_fields(other.headers, &head.fields);
        sound_lines(raw, &head.fields);
        assert!((100..600).contains(&head.status) && is_value(&head.reason));
        if parsed.keep_alive {
            assert_ne!(
                parsed.body,
                BodyLength::UntilClose,
                "a connection is kept that marks the end of its body"
            );
        }

        let mut wire = Vec::new();
        encode::status_line(&mut wire, head.status, &head.reason);
        encode::fields(&mut wire, &head.fields, KnownSet::default());
        encode::end(&mut wire);
        let mut again = ResponseHead::default();
        let reparsed =
            parse_response(&wire, &mut 0, &Limits { head_bytes: 8192, ..LIMITS }, method, &mut again);
        let reparsed = reparsed.expect("canonical form is refused").expect("canonical form has no end");
        assert_eq!((reparsed.len, reparsed.body), (wire.len(), parsed.body));
        assert_eq!((again.status, &again.fields), (head.status, &head.fields));
    }
}

/// Parses all at once and in growing pieces, which must mean the same.
fn in_steps<P: Copy + Debug + PartialEq + HeadLen, H: Default + Debug + PartialEq>(
    data: &[u8],
    parse: impl Fn(&[u8], &mut usize, &mut H) -> Result<Option<P>, Fault>,
) -> Option<(P, H)> {
    let mut head = H::default();
    let whole = parse(data, &mut 0, &mut head);
    let step = 1 + data.len() / 200;
    let (mut scanned, mut stepped, mut again) = (0, Ok(None), H::default());
    for end in (0..data.len()).step_by(step).chain([data.len()]) {
        stepped = parse(&data[..end], &mut scanned, &mut again);
        if !matches!(stepped, Ok(None)) {
            break;
        }
    }
    match (&whole, &stepped) {
        (Ok(Some(parsed)), Ok(Some(same))) => assert_eq!((parsed, &head), (same, &again)),
        // An open first line is judged by its length alone, before it can be told what in it is long.
        (Ok(_), Err(Fault::TargetTooLong)) => {}
        (Ok(Some(_)), _) | (_, Ok(Some(_))) => panic!("at once {whole:?}, in steps {stepped:?}"),
        // Which of several faults is found first may depend on the steps, and so may how soon.
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (Ok(None), Err(_)) | (Err(_), Ok(None)) => panic!("at once {whole:?}, in steps {stepped:?}"),
    }
    let parsed = whole.ok().flatten()?;
    assert!(parsed.len() <= data.len() && data[..parsed.len()].ends_with(b"\r\n\r\n"));
    Some((parsed, head))
}

trait HeadLen {
    fn len(&self) -> usize;
}

impl HeadLen for ParsedRequest {
    fn len(&self) -> usize {
        self.len
    }
}

impl HeadLen for ParsedResponse {
    fn len(&self) -> usize {
        self.len
    }
}

fn same_fields(theirs: &[httparse::Header<'_>], ours: &Fields) {
    assert_eq!(theirs.len(), ours.len());
    for (theirs, (known, name, value)) in theirs.iter().zip(ours.iter()) {
        assert_eq!(theirs.name.as_bytes(), name);
        assert_eq!(theirs.value.trim_ascii_end(), value);
        assert_eq!(Known::of(name), known);
        assert!(is_name(name) && is_value(value));
    }
}

/// Lines as someone sloppy reads them: split at any LF or CR, spaces forgiven around names, odd characters skipped. What
/// looks to them like framing must have been seen as framing by us, as often.
fn sound_lines(raw: &[u8], ours: &Fields) {
    for known in [Known::ContentLength, Known::TransferEncoding, Known::Host] {
        let looks_like = |line: &&[u8]| {
            let name = line.split(|b| *b == b':').next().unwrap_or(&[]);
            let letters: Vec<u8> =
                name.iter().copied().filter(|b| b.is_ascii_alphanumeric() || *b == b'-').collect();
            line.contains(&b':') && letters.eq_ignore_ascii_case(known.name().as_bytes()) && is_bare(name)
        };
        let seen = raw.split(|b| matches!(b, b'\r' | b'\n')).skip(1).filter(looks_like).count();
        assert_eq!(seen, ours.all(known).count(), "{known:?} is seen by others and not by us");
    }
}

/// A name with nothing around it but spaces and control characters: `X!Content-Length` is another name for everyone.
fn is_bare(name: &[u8]) -> bool {
    name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b <= b' ')
}

fn written(head: &RequestHead) -> Vec<u8> {
    let mut wire = Vec::new();
    encode::request_line(&mut wire, &head.method_text, &head.target);
    encode::fields(&mut wire, &head.fields, KnownSet::default());
    encode::end(&mut wire);
    wire
}
