//! Between our heads and those of the `h2` crate. HTTP/2 has no framing fields and lower-case names (RFC 9113 §8).

use crate::exchange::Exchange;
use crate::fetch;
use crate::live::Origin;
use crate::upstream::OriginFault;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_http::h1::encode::KnownSet;
use seawall_http::{
    BodyLength, Fault, Fields, Known, Method, RequestHead, ResponseHead, Version, authority, hop,
};
use std::sync::LazyLock;

/// The request to an origin.
pub(crate) fn request(
    x: &Exchange<'_>,
    origin: &Origin,
    request: &RequestHead,
    fields: &Fields,
    added: &Fields,
    length: BodyLength,
) -> http::Request<()> {
    let mut map = header_map(fields, fetch::left_out());
    extend(&mut map, added, KnownSet::default());
    if let BodyLength::Exact(n) = length {
        map.insert(http::header::CONTENT_LENGTH, n.into());
    }
    if fields.get(Known::Te).is_some_and(|te| te.eq_ignore_ascii_case(b"trailers")) {
        map.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    let host = fetch::host(x, origin, request);
    let authority = http::uri::Authority::try_from(if host.is_empty() { b"localhost" } else { host });
    let path = http::uri::PathAndQuery::try_from(&request.target[..]);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(http::uri::Scheme::HTTPS);
    parts.authority = authority.ok();
    parts.path_and_query = path.ok();
    let mut head = http::Request::new(());
    *head.method_mut() = http::Method::from_bytes(&request.method_text).unwrap_or_default();
    *head.uri_mut() = http::Uri::from_parts(parts).unwrap_or_default();
    *head.version_mut() = http::Version::HTTP_2;
    *head.headers_mut() = map;
    head
}

/// Opens the stream.
pub(crate) fn send(
    mut connection: SendRequest<Bytes>,
    head: http::Request<()>,
    last: bool,
) -> Result<(ResponseFuture, SendStream<Bytes>), OriginFault> {
    connection.send_request(head, last).map_err(OriginFault::H2)
}

/// Takes an origin's response over.
pub(crate) fn response(
    answer: http::Response<RecvStream>,
    head: &mut ResponseHead,
) -> Result<RecvStream, OriginFault> {
    let (parts, body) = answer.into_parts();
    head.clear();
    head.version = Version::H2;
    head.status = parts.status.as_u16();
    if !(200..600).contains(&head.status) {
        return Err(OriginFault::Malformed(Fault::Status));
    }
    copy(&parts.headers, &mut head.fields);
    seawall_http::framing::length(&head.fields, true).map_err(OriginFault::Malformed)?;
    Ok(body)
}

/// Takes a client's request over. The `h2` crate has refused what RFC 9113 §8.2.2 forbids.
pub(crate) fn take_request(parts: &http::request::Parts, head: &mut RequestHead) -> Result<(), Fault> {
    head.clear();
    head.version = Version::H2;
    head.method_text.extend_from_slice(parts.method.as_str().as_bytes());
    head.method = Method::of(&head.method_text);
    if parts.headers.len() > Fields::MAX {
        return Err(Fault::TooManyFields);
    }
    copy(&parts.headers, &mut head.fields);
    let named = parts.uri.authority().map(|a| a.as_str().as_bytes());
    let host = head.fields.get(Known::Host);
    if head.fields.all(Known::Host).count() > 1 {
        return Err(Fault::HostRepeated);
    }
    let mut wanted = Vec::new();
    authority::normalise(named.or(host).ok_or(Fault::HostMissing)?, &mut wanted)?;
    if let (Some(_), Some(host)) = (named, host) {
        let mut second = Vec::new();
        authority::normalise(host, &mut second)?;
        if second != wanted {
            return Err(Fault::HostDisagrees);
        }
    }
    head.authority = wanted;
    let target = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    match target {
        "*" if head.method == Method::Options => head.target.push(b'*'),
        _ if target.starts_with('/') => authority::push_target(&mut head.target, target.as_bytes())?,
        _ => return Err(Fault::Target),
    }
    if head.fields.get(Known::Expect).is_some_and(|e| !e.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Fault::Expectation);
    }
    join_cookies(&mut head.fields);
    Ok(())
}

/// Cookies come one a field in HTTP/2 and go on as one (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut Fields) {
    if fields.all(Known::Cookie).nth(1).is_some() {
        let whole: Vec<u8> = fields.all(Known::Cookie).collect::<Vec<_>>().join(&b"; "[..]);
        fields.set(Known::Cookie, &whole);
    }
}

/// Copies fields over.
pub(crate) fn copy(map: &HeaderMap, fields: &mut Fields) {
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
}

/// Fields as HTTP/2 sends them: without those of one hop and those in `leave_out`.
pub(crate) fn header_map(fields: &Fields, leave_out: KnownSet) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(16);
    extend(&mut map, fields, leave_out);
    map
}

/// Appends fields to a map.
pub(crate) fn extend(map: &mut HeaderMap, fields: &Fields, leave_out: KnownSet) {
    let leave_out = leave_out.and(hop::HOP);
    for (known, name, value) in fields.iter() {
        if leave_out.has(known) {
            continue;
        }
        let name = match NAMES.get(known as usize) {
            Some(name) => name.clone(),
            None => HeaderName::from_bytes(name).ok(),
        };
        if let (Some(name), Ok(mut value)) = (name, HeaderValue::from_bytes(value)) {
            // Never the same twice, so it would only push what is out of the compression table.
            value.set_sensitive(known == Known::CfRay);
            map.append(name, value);
        }
    }
}

/// The well-known names as `http` has them, made once: making one means folding its case, and for most an allocation.
static NAMES: LazyLock<Vec<Option<HeaderName>>> =
    LazyLock::new(|| Known::all().iter().map(|k| HeaderName::from_bytes(k.name().as_bytes()).ok()).collect());
