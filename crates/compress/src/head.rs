//! What encoding changes in a response head.

use crate::Coding;
use seawall_http::{Fields, Known, ResponseHead};

/// Fields about bytes that no longer are: digests over the body as it was (RFC 9530, RFC 3230, RFC 1864).
const DIGESTS: [&[u8]; 4] = [b"Content-Digest", b"Repr-Digest", b"Digest", b"Content-MD5"];

/// Turns the head of a response into the head of the same response under a coding.
///
/// Adds `Content-Encoding` and `Vary: Accept-Encoding`, weakens a strong ETag (the bytes differ, the meaning does not:
/// RFC 9110 §8.8.1), and drops `Content-Length`, `Accept-Ranges` and digests. Framing is the caller's. Returns false, and
/// changes nothing but `Vary`, when the head has no room for the fields; then send the body as it is.
#[must_use]
pub fn apply_headers(response: &mut ResponseHead, coding: Coding) -> bool {
    let fields = &mut response.fields;
    if !add_vary(fields) || !fields.add(Known::ContentEncoding, coding.name().as_bytes()) {
        return false;
    }
    fields.remove(Known::ContentLength);
    fields.remove(Known::AcceptRanges);
    for name in DIGESTS {
        fields.remove_named(name);
    }
    weaken_etag(fields);
    true
}

/// Makes sure that `Vary` names `Accept-Encoding`. Returns false when there is no room for it.
///
/// Due on every [`crate::eligible()`] response, encoded or not: a cache between us and the client must not give an encoded
/// body to a client that cannot read it, nor keep the plain one for all.
#[must_use]
pub fn add_vary(fields: &mut Fields) -> bool {
    let named = fields.all(Known::Vary).any(|value| {
        value
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii)
            .any(|m| m == b"*" || m.eq_ignore_ascii_case(b"accept-encoding"))
    });
    named || fields.add(Known::Vary, b"Accept-Encoding")
}

fn weaken_etag(fields: &mut Fields) {
    let weak = match fields.get(Known::ETag) {
        Some(tag) if tag.starts_with(b"\"") => [b"W/", tag].concat(),
        _ => return,
    };
    // With no room left the tag is lost, which costs a validation and breaks nothing.
    fields.set(Known::ETag, &weak);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(200);
        for (name, value) in fields {
            assert!(head.fields.push(name.as_bytes(), value.as_bytes()));
        }
        head
    }

    #[test]
    fn the_head_tells_of_the_coding_and_forgets_the_old_bytes() {
        let mut h = head(&[
            ("Content-Type", "text/html"),
            ("Content-Length", "9"),
            ("ETag", "\"a\""),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("Digest", "x"),
            ("Repr-Digest", "x"),
            ("Content-Digest", "x"),
            ("X-Kept", "1"),
        ]);
        assert!(apply_headers(&mut h, Coding::Brotli));
        assert_eq!(
            h.fields,
            head(&[
                ("Content-Type", "text/html"),
                ("X-Kept", "1"),
                ("Vary", "Accept-Encoding"),
                ("Content-Encoding", "br"),
                ("ETag", "W/\"a\""),
            ])
            .fields
        );
    }

    #[test]
    fn weak_and_odd_tags_stay_as_they_are() {
        for tag in ["W/\"a\"", "odd"] {
            let mut h = head(&[("ETag", tag)]);
            assert!(apply_headers(&mut h, Coding::Gzip));
            assert_eq!(h.fields.get(Known::ETag), Some(tag.as_bytes()));
        }
    }

    #[test]
    fn vary_is_named_once() {
        for (before, after) in [
            (&[][..], &["Accept-Encoding"][..]),
            (&["Cookie"], &["Cookie", "Accept-Encoding"]),
            (&["Cookie, accept-encoding"], &["Cookie, accept-encoding"]),
            (&["Origin", "Accept-Encoding"], &["Origin", "Accept-Encoding"]),
            (&["*"], &["*"]),
        ] {
            let mut h = head(&before.iter().map(|v| ("Vary", *v)).collect::<Vec<_>>());
            assert!(add_vary(&mut h.fields));
            let values: Vec<_> =
                h.fields.all(Known::Vary).map(|v| String::from_utf8_lossy(v).into_owned()).collect();
            assert_eq!(values, after, "{before:?}");
        }
    }

    #[test]
    fn a_full_head_is_left_alone() {
        let mut h = head(&[("Content-Length", "9")]);
        while h.fields.push(b"a", b"b") {}
        assert!(!apply_headers(&mut h, Coding::Gzip));
        assert!(h.fields.has(Known::ContentLength) && !h.fields.has(Known::ContentEncoding));
    }
}
