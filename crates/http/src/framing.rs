//! Where a message ends. The one place that decides it, for requests and responses (RFC 9112 §6).
//!
//! What is ambiguous is refused: two lengths that disagree about one body are how requests are smuggled.

use crate::fault::Fault;
use crate::fields::Fields;
use crate::head::{Method, Version};
use crate::known::Known;

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// No body.
    #[default]
    None,
    /// That many bytes.
    Exact(u64),
    /// Chunks (HTTP/1.1), or a stream that ends by itself (HTTP/2).
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

/// The framing of a request.
///
/// # Errors
/// Refuses Content-Length beside Transfer-Encoding, repeated or odd lengths, and any coding but one `chunked`.
pub fn of_request(version: Version, fields: &Fields) -> Result<BodyLength, Fault> {
    if fields.has(Known::TransferEncoding) {
        if fields.has(Known::ContentLength) {
            return Err(Fault::LengthAndCoding);
        }
        return coding(version, fields).map(|()| BodyLength::Chunked);
    }
    Ok(match length(fields, false)? {
        None | Some(0) => BodyLength::None,
        Some(n) => BodyLength::Exact(n),
    })
}

/// The framing of a response to a request of that method.
///
/// # Errors
/// As for requests, except that a Content-Length repeated with one value counts once (RFC 9112 §6.3).
pub fn of_response(
    method: Method,
    status: u16,
    version: Version,
    fields: &Fields,
) -> Result<BodyLength, Fault> {
    let both = fields.has(Known::TransferEncoding) && fields.has(Known::ContentLength);
    if both {
        return Err(Fault::LengthAndCoding);
    }
    if bodiless(method, status) {
        return Ok(BodyLength::None);
    }
    if fields.has(Known::TransferEncoding) {
        return coding(version, fields).map(|()| BodyLength::Chunked);
    }
    Ok(match length(fields, true)? {
        None => BodyLength::UntilClose,
        Some(0) => BodyLength::None,
        Some(n) => BodyLength::Exact(n),
    })
}

/// Whether a response of that status to that method has no body whatever its fields say (RFC 9112 §6.3).
#[must_use]
pub fn bodiless(method: Method, status: u16) -> bool {
    method == Method::Head || status < 200 || status == 204 || status == 304
}

/// Content-Length as a number, if there is one.
///
/// # Errors
/// Anything but digits below 2^63, and repeated values unless `same_may_repeat` and they are equal.
pub fn length(fields: &Fields, same_may_repeat: bool) -> Result<Option<u64>, Fault> {
    let mut found = None;
    for value in fields.all(Known::ContentLength) {
        let n = number(value).ok_or(Fault::Length)?;
        match found {
            Some(first) if !same_may_repeat || first != n => return Err(Fault::LengthRepeated),
            _ => found = Some(n),
        }
    }
    Ok(found)
}

/// Decimal digits only, at most 18 so that sums cannot overflow.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
}

fn coding(version: Version, fields: &Fields) -> Result<(), Fault> {
    let mut values = fields.all(Known::TransferEncoding);
    let (Some(value), None, Version::H11) = (values.next(), values.next(), version) else {
        return Err(Fault::Coding);
    };
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    // A list that ends in chunked is well formed but beyond us; anything else cannot be framed at all.
    let last = value.rsplit(|b| *b == b',').next().unwrap_or(&[]).trim_ascii();
    let once =
        value.split(|b| *b == b',').filter(|c| c.trim_ascii().eq_ignore_ascii_case(b"chunked")).count() == 1;
    Err(if once && last.eq_ignore_ascii_case(b"chunked") { Fault::CodingUnknown } else { Fault::Coding })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut f = Fields::new();
        list.iter().for_each(|(n, v)| assert!(f.push(n.as_bytes(), v.as_bytes())));
        f
    }

    #[test]
    fn requests_are_framed_or_refused() {
        use BodyLength::*;
        let cl = "Content-Length";
        let te = "Transfer-Encoding";
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<BodyLength, Fault>);
        let cases: &[Case] = &[
            (&[], Ok(None)),
            (&[(cl, "0")], Ok(None)),
            (&[(cl, "12")], Ok(Exact(12))),
            (&[(cl, "007")], Ok(Exact(7))),
            (&[(cl, "+1")], Err(Fault::Length)),
            (&[(cl, "-1")], Err(Fault::Length)),
            (&[(cl, "1 ")], Err(Fault::Length)),
            (&[(cl, "0x1")], Err(Fault::Length)),
            (&[(cl, "1,1")], Err(Fault::Length)),
            (&[(cl, "")], Err(Fault::Length)),
            (&[(cl, "9999999999999999999")], Err(Fault::Length)),
            (&[(cl, "1"), (cl, "1")], Err(Fault::LengthRepeated)),
            (&[(cl, "1"), (cl, "2")], Err(Fault::LengthRepeated)),
            (&[(te, "chunked")], Ok(Chunked)),
            (&[(te, "Chunked")], Ok(Chunked)),
            (&[(te, "chunked"), (cl, "3")], Err(Fault::LengthAndCoding)),
            (&[(te, "gzip, chunked")], Err(Fault::CodingUnknown)),
            (&[(te, "chunked, gzip")], Err(Fault::Coding)),
            (&[(te, "chunked, chunked")], Err(Fault::Coding)),
            (&[(te, "identity")], Err(Fault::Coding)),
            (&[(te, "xchunked")], Err(Fault::Coding)),
            (&[(te, "chunked;a=b")], Err(Fault::Coding)),
            (&[(te, "")], Err(Fault::Coding)),
            (&[(te, "chunked"), (te, "chunked")], Err(Fault::Coding)),
        ];
        for (list, want) in cases {
            assert_eq!(of_request(Version::H11, &fields(list)), *want, "{list:?}");
        }
        assert_eq!(of_request(Version::H10, &fields(&[(te, "chunked")])), Err(Fault::Coding));
    }

    #[test]
    fn responses_are_framed_or_refused() {
        let f = |list: &[(&str, &str)], status| of_response(Method::Get, status, Version::H11, &fields(list));
        assert_eq!(f(&[], 200), Ok(BodyLength::UntilClose));
        assert_eq!(f(&[("Content-Length", "5"), ("Content-Length", "5")], 200), Ok(BodyLength::Exact(5)));
        assert_eq!(f(&[("Content-Length", "5"), ("Content-Length", "6")], 200), Err(Fault::LengthRepeated));
        assert_eq!(
            f(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")], 200),
            Err(Fault::LengthAndCoding)
        );
        assert_eq!(f(&[("Content-Length", "5")], 304), Ok(BodyLength::None));
        assert_eq!(f(&[("Transfer-Encoding", "chunked")], 204), Ok(BodyLength::None));
        let head = of_response(Method::Head, 200, Version::H11, &fields(&[("Content-Length", "5")]));
        assert_eq!(head, Ok(BodyLength::None));
    }
}
