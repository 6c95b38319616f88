//! Where a message ends, by its fields.

use crate::input::{fields, lines};
use seawall_http::framing::{bodiless, length, of_request, of_response};
use seawall_http::{BodyLength, Fields, Known, Method, Version};

/// Fields, one a line; for every version, and for responses of several kinds.
pub fn framing(data: &[u8]) {
    let fields = fields(lines(data));
    for version in [Version::H10, Version::H11] {
        assert_eq!(of_request(version, &fields).ok(), request(version, &fields), "{version:?} {fields:?}");
        for (method, status) in [
            (Method::Get, 200),
            (Method::Head, 200),
            (Method::Post, 204),
            (Method::Get, 304),
            (Method::Get, 103),
        ] {
            let found = of_response(method, status, version, &fields).ok();
            assert_eq!(
                found,
                response(method, status, version, &fields),
                "{method:?} {status} {version:?} {fields:?}"
            );
            if bodiless(method, status) {
                assert!(matches!(found, None | Some(BodyLength::None)));
            }
        }
    }
    // A request that ends is framed the same as a response: nothing in the fields tells them apart but repetition.
    if let Ok(Some(n)) = length(&fields, false) {
        assert_eq!(length(&fields, true), Ok(Some(n)));
    }
}

/// RFC 9112 §6.3 for requests, with everything refused that leaves room for two readings.
fn request(version: Version, fields: &Fields) -> Option<BodyLength> {
    let (lengths, codings) = read(fields);
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(BodyLength::None),
        ([one], []) => exact(one),
        ([], [one]) if is_chunked(version, one) => Some(BodyLength::Chunked),
        _ => None,
    }
}

/// The same for responses: a length may be repeated, and a body may end with the connection.
fn response(method: Method, status: u16, version: Version, fields: &Fields) -> Option<BodyLength> {
    let (lengths, codings) = read(fields);
    if !lengths.is_empty() && !codings.is_empty() {
        return None;
    }
    if method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
        return Some(BodyLength::None);
    }
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(BodyLength::UntilClose),
        ([first, rest @ ..], []) => {
            let told = exact(first)?;
            rest.iter().all(|more| exact(more) == Some(told)).then_some(told)
        }
        ([], [one]) if is_chunked(version, one) => Some(BodyLength::Chunked),
        _ => None,
    }
}

fn read(fields: &Fields) -> (Vec<String>, Vec<String>) {
    let text = |known| fields.all(known).map(|v| String::from_utf8_lossy(v).into_owned()).collect();
    (text(Known::ContentLength), text(Known::TransferEncoding))
}

fn exact(text: &str) -> Option<BodyLength> {
    let plain = (1..=18).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
    match plain.then(|| text.parse::<u64>().ok()).flatten()? {
        0 => Some(BodyLength::None),
        n => Some(BodyLength::Exact(n)),
    }
}

fn is_chunked(version: Version, text: &str) -> bool {
    version == Version::H11 && text.eq_ignore_ascii_case("chunked")
}
