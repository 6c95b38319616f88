//! Validating stored responses (RFC 9111 §4.3): the conditional request, and what its answer changes.

use crate::etag;
use crate::policy::Policy;
use crate::stored::Stored;
use crate::storing::{self, Entry, Exchange, Refusal};
use seawall_http::{Fields, Known};

/// Takes what is the client's own business (conditions, ranges) off a request that is to fetch a whole response for
/// the cache; the client's own conditions are answered from what comes back, by [`answer`](crate::answer()).
pub fn for_whole(request: &mut Fields) {
    for name in [
        Known::IfNoneMatch,
        Known::IfModifiedSince,
        Known::IfMatch,
        Known::IfUnmodifiedSince,
        Known::IfRange,
        Known::Range,
    ] {
        request.remove(name);
    }
}

/// Makes a request validate a stored response (§4.3.1): [`for_whole`], then its ETag and its Last-Modified. Returns
/// whether there was a validator; without one the request is unconditional. The request's other fields stay, those
/// named by Vary among them.
pub fn validation(stored: &Fields, request: &mut Fields) -> bool {
    for_whole(request);
    let mut any = false;
    if let Some(tag) = stored.get(Known::ETag).filter(|tag| !tag.is_empty()) {
        any |= request.add(Known::IfNoneMatch, tag);
    }
    if let Some(date) = stored.get(Known::LastModified).filter(|date| !date.is_empty()) {
        any |= request.add(Known::IfModifiedSince, date);
    }
    any
}

/// Whether a 304 speaks of this stored response (§4.3.4).
///
/// A strong tag must be equal, a weak one weakly equal, and without a tag Last-Modified must be equal. A 304 without
/// any validator is taken for the response that was asked about: the request named just one, and many origins leave
/// validators out (the RFC would have the stored one lack them too).
#[must_use]
pub fn confirms(stored: &Fields, not_modified: &Fields) -> bool {
    let own = |name| stored.get(name);
    match (not_modified.get(Known::ETag), not_modified.get(Known::LastModified)) {
        (Some(tag), _) if etag::is_weak(tag) => {
            own(Known::ETag).is_some_and(|own| etag::same_weakly(tag, own))
        }
        (Some(tag), _) => own(Known::ETag).is_some_and(|own| own == tag),
        (None, Some(date)) => own(Known::LastModified).is_none_or(|own| own == date),
        (None, None) => true,
    }
}

/// What a 304 does to the stored response that was validated.
#[derive(Clone, Debug, PartialEq)]
pub enum Freshened {
    /// Store this in its place, with the body as it is. If its Vary changed, it belongs under another key.
    Update(Box<Entry>),
    /// Answer this one client with these fields (and the stored body) and leave what is stored as it is: the answer to an
    /// authorised request must not flow into what others get (§3.5), nor evict it.
    Once(Box<Fields>),
    /// Answer this one client with these fields (and the stored body), then forget the response: it may no longer be
    /// stored.
    Last(Refusal, Box<Fields>),
    /// The 304 speaks of something else: ask again without conditions. The stored response is not touched.
    Mismatch,
}

/// Merges a 304 into the stored response it confirms and judges the result anew (§3.2, §4.3.4). `exchange` holds the
/// validating request, the 304 and their times.
#[must_use]
pub fn freshen(exchange: &Exchange<'_>, stored: &Stored, fields: &Fields, policy: &Policy) -> Freshened {
    let update = &exchange.response.fields;
    if !confirms(fields, update) {
        return Freshened::Mismatch;
    }
    let merged = merge(fields, update);
    match storing::entry(exchange, policy, exchange.path, stored.status, &merged) {
        Ok(entry) => Freshened::Update(Box::new(entry)),
        Err(Refusal::Authorization) => Freshened::Once(Box::new(merged)),
        Err(refusal) => Freshened::Last(refusal, Box::new(merged)),
    }
}

/// What a response to HEAD does to the stored response to GET it could have been chosen for (§4.3.5); `None`: nothing,
/// as only a 200 says something. On [`Freshened::Mismatch`] the stored one is outdated and to be dropped.
#[must_use]
pub fn freshen_by_head(
    exchange: &Exchange<'_>,
    stored: &Stored,
    fields: &Fields,
    policy: &Policy,
) -> Option<Freshened> {
    let head = exchange.response;
    if head.status != 200 || stored.status != 200 {
        return None;
    }
    let differs = |name| head.fields.get(name).is_some_and(|new| fields.get(name) != Some(new));
    if [Known::ETag, Known::LastModified, Known::ContentLength].into_iter().any(differs) {
        return Some(Freshened::Mismatch);
    }
    Some(freshen(exchange, stored, fields, policy))
}

/// The stored fields with those of `update` in place of their namesakes (§3.2), but for fields that are not stored,
/// that describe the body which stays, and the ETag, which at most repeats itself.
#[must_use]
pub fn merge(stored: &Fields, update: &Fields) -> Fields {
    let takes = |known: Known, name: &[u8]| {
        let about_body = matches!(
            known,
            Known::ContentLength | Known::ContentEncoding | Known::ContentRange | Known::ETag
        );
        let digest = [&b"content-md5"[..], b"content-digest", b"repr-digest", b"digest"];
        let digest = known == Known::Other && digest.iter().any(|n| n.eq_ignore_ascii_case(name));
        !about_body && !digest && !storing::is_hop_by_hop(update, known, name)
    };
    let mut merged = Fields::new();
    for (known, name, value) in stored.iter() {
        // Without a Date of its own the 304 is dated by its arrival, not by the response it confirms.
        let replaced = known == Known::Date || (update.get_named(name).is_some() && takes(known, name));
        if !replaced {
            merged.push(name, value);
        }
    }
    for (known, name, value) in update.iter() {
        if takes(known, name) {
            merged.push(name, value);
        }
    }
    merged
}
