//! Answering a client from a stored whole: conditions (RFC 9110 §13, RFC 9111 §4.3.2) and ranges (RFC 9110 §14).

use crate::dates;
use crate::etag;
use crate::facts::RequestFacts;
use crate::stored::{Flags, Stored};
use seawall_http::{Fields, Known, Method};

/// The form in which a stored response answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With its own status and all of its body.
    Whole,
    /// 304, with [`not_modified`].
    NotModified,
    /// 206 with these bytes, both ends included, and [`partial`].
    Part {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// 416, with [`unsatisfiable`].
    Unsatisfiable,
}

/// Chooses the form. `length` is the length of the stored body, if it is known (a body still arriving may not be).
///
/// If-Match and If-Unmodified-Since are not for caches to judge and are passed over (RFC 9110 §13.1.1, §13.1.4).
/// Several ranges get the whole body: they are rare, may overlap to the point of an attack, and RFC 9110 §14.2 lets a
/// server ignore Range.
#[must_use]
#[inline]
pub fn answer(
    facts: &RequestFacts,
    request: &Fields,
    stored: &Stored,
    fields: &Fields,
    length: Option<u64>,
    now_ms: u64,
) -> Answer {
    if !facts.conditional && !facts.range {
        return Answer::Whole;
    }
    // Conditions are judged only where the answer without them is a success (RFC 9110 §13.2.1).
    if (200..300).contains(&stored.status)
        && facts.conditional
        && is_unmodified(request, stored, fields, now_ms)
    {
        return Answer::NotModified;
    }
    match (facts.range && facts.method == Method::Get && stored.status == 200, length) {
        (true, Some(length)) if holds_if_range(request, stored, fields) => range(request, length),
        _ => Answer::Whole,
    }
}

/// The fields of our 304 (RFC 9110 §15.4.5): all that are stored but those that describe the body the client has.
/// Last-Modified stays where there is no ETag. The caller adds Age.
pub fn not_modified(fields: &Fields, out: &mut Fields) {
    let etag = fields.has(Known::ETag);
    for (known, name, value) in fields.iter() {
        let about_body = matches!(
            known,
            Known::ContentLength
                | Known::ContentType
                | Known::ContentEncoding
                | Known::ContentLanguage
                | Known::ContentRange
                | Known::AcceptRanges
        );
        if about_body || (etag && known == Known::LastModified) {
            continue;
        }
        out.push(name, value);
    }
}

/// The fields of our 206 (RFC 9110 §15.3.7) for the bytes `first` to `last` of `length`. The caller adds Age.
pub fn partial(fields: &Fields, first: u64, last: u64, length: u64, out: &mut Fields) {
    without_length(fields, out);
    out.add(Known::ContentRange, format!("bytes {first}-{last}/{length}").as_bytes());
    out.add(Known::ContentLength, (last - first.min(last) + 1).to_string().as_bytes());
}

/// The fields of our 416 (RFC 9110 §15.5.17) for a body of `length` bytes; it has no body of its own.
pub fn unsatisfiable(length: u64, out: &mut Fields) {
    out.add(Known::ContentRange, format!("bytes */{length}").as_bytes());
    out.add(Known::ContentLength, b"0");
}

fn without_length(fields: &Fields, out: &mut Fields) {
    for (known, name, value) in fields.iter() {
        if !matches!(known, Known::ContentLength | Known::ContentRange) {
            out.push(name, value);
        }
    }
}

/// Whether what the client has is what is stored. If-None-Match decides alone where it is there.
fn is_unmodified(request: &Fields, stored: &Stored, fields: &Fields, now_ms: u64) -> bool {
    if request.has(Known::IfNoneMatch) {
        let own = fields.get(Known::ETag);
        return request.all(Known::IfNoneMatch).any(|line| etag::lists(line, own));
    }
    let mut dates = request.all(Known::IfModifiedSince);
    match (dates.next(), dates.next()) {
        (Some(date), None) => dates::parse_s(date, now_ms).is_some_and(|since| stored.modified_s <= since),
        _ => false,
    }
}

/// RFC 9110 §13.1.5: an entity tag compares strongly, a date exactly, and only if it is a strong validator.
fn holds_if_range(request: &Fields, stored: &Stored, fields: &Fields) -> bool {
    let mut lines = request.all(Known::IfRange);
    let Some(validator) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    if validator.contains(&b'"') {
        return fields.get(Known::ETag).is_some_and(|own| etag::same_strongly(own, validator));
    }
    stored.flags.has(Flags::STRONG_DATE) && fields.get(Known::LastModified) == Some(validator)
}

/// Judges Range against a body. What is no single valid range of bytes is ignored (RFC 9110 §14.2).
fn range(request: &Fields, length: u64) -> Answer {
    let mut lines = request.all(Known::Range);
    let (Some(line), None) = (lines.next(), lines.next()) else { return Answer::Whole };
    parse_range(line, length).unwrap_or(Answer::Whole)
}

fn parse_range(line: &[u8], length: u64) -> Option<Answer> {
    let (unit, set) = line.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") || set.contains(&b',') {
        return None;
    }
    let mut ends = set.trim_ascii().splitn(2, |b| *b == b'-');
    let (first, last) = (ends.next()?, ends.next()?);
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last),
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => return Some(Answer::Unsatisfiable),
            _ => (length.saturating_sub(suffix), u64::MAX),
        },
        _ => return None,
    };
    let end = length.checked_sub(1).filter(|end| first <= *end);
    Some(end.map_or(Answer::Unsatisfiable, |end| Answer::Part { first, last: last.min(end) }))
}

/// Digits as a number, clamped; `None` for anything else, the empty text included.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| {
        b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(b - b'0')))
    })
}
