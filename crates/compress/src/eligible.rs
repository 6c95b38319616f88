//! Which responses may be encoded.

use crate::{Coding, negotiate};
use seawall_http::{Known, Method, RequestHead, ResponseHead};

/// Media types encoded by default: the list in Cloudflare's documentation, "Content compression". Sorted, lower case.
pub const LISTED_TYPES: &[&str] = &[
    "application/eot",
    "application/font",
    "application/font-sfnt",
    "application/font-woff",
    "application/geo+json",
    "application/graphql+json",
    "application/javascript",
    "application/javascript-binast",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/opentype",
    "application/otf",
    "application/rss+xml",
    "application/truetype",
    "application/ttf",
    "application/vnd.api+json",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-httpd-cgi",
    "application/x-javascript",
    "application/x-opentype",
    "application/x-otf",
    "application/x-perl",
    "application/x-protobuf",
    "application/x-ttf",
    "application/xhtml+xml",
    "application/xml",
    "font/otf",
    "font/ttf",
    "font/x-woff",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "image/x-icon",
    "multipart/bag",
    "multipart/mixed",
    "text/css",
    "text/html",
    "text/javascript",
    "text/js",
    "text/plain",
    "text/richtext",
    "text/x-component",
    "text/x-java-source",
    "text/x-markdown",
    "text/x-script",
    "text/xml",
];

/// Media types encoded besides: plainly text, in use, and newer than that list. Sorted, lower case.
pub const MORE_TYPES: &[&str] = &[
    "application/atom+xml",
    "application/problem+json",
    "application/x-ndjson",
    "text/calendar",
    "text/csv",
    "text/event-stream",
    "text/markdown",
    "text/vtt",
];

/// Longest media type in the tables, in bytes, rounded up: anything longer is not one of them.
const TYPE_MAX_BYTES: usize = 40;

/// Whether this response to this request may be encoded, whatever codings the client knows.
///
/// `body_len` is the length of the body in bytes where it is known. Not encoded: any status but 200, 403 and 404 (as
/// Cloudflare documents; a part of a body, 206, must stay the part that was asked for), bodies already encoded, types
/// outside the tables, bodies too short to gain ([`Coding::min_body_bytes`]), and anything either side marked
/// `no-transform` (RFC 9111 §5.2.1.6 and §5.2.2.6). A response to HEAD is judged as one to GET, so both have one head.
#[must_use]
pub fn eligible(request: &RequestHead, response: &ResponseHead, body_len: Option<u64>) -> bool {
    matches!(response.status, 200 | 403 | 404)
        && request.method != Method::Connect
        && body_len.is_none_or(|n| n >= Coding::Gzip.min_body_bytes())
        && !response.fields.has(Known::ContentEncoding)
        && !response.fields.has(Known::ContentRange)
        && response.fields.get(Known::ContentType).is_some_and(is_compressible)
        && !response.fields.all(Known::CacheControl).any(says_no_transform)
        && !request.fields.all(Known::CacheControl).any(says_no_transform)
}

/// The coding this response gets: [`eligible()`] and [`negotiate()`] in one, with the shortest length of each coding.
/// `available` stands in the order we prefer; long-lived streams ([`flushes_each_chunk`]) get [`Coding::STREAM`] instead.
#[must_use]
pub fn choose(
    request: &RequestHead,
    response: &ResponseHead,
    body_len: Option<u64>,
    available: &[Coding],
) -> Option<Coding> {
    if !request.fields.has(Known::AcceptEncoding) || !eligible(request, response, body_len) {
        return None;
    }
    let available = if flushes_each_chunk(response) { Coding::STREAM } else { available };
    negotiate(request.fields.all(Known::AcceptEncoding), available)
        .filter(|coding| body_len.is_none_or(|n| n >= coding.min_body_bytes()))
}

/// Whether every chunk of this body is a message of its own, which must not wait for the next.
#[must_use]
pub fn flushes_each_chunk(response: &ResponseHead) -> bool {
    response.fields.get(Known::ContentType).is_some_and(|value| {
        let media_type = essence(value);
        [&b"text/event-stream"[..], b"application/x-ndjson", b"multipart/mixed"]
            .iter()
            .any(|t| media_type.eq_ignore_ascii_case(t))
    })
}

fn is_compressible(content_type: &[u8]) -> bool {
    let media_type = essence(content_type);
    let mut buffer = [0; TYPE_MAX_BYTES];
    let Some(lower) = buffer.get_mut(..media_type.len()) else { return false };
    lower.copy_from_slice(media_type);
    lower.make_ascii_lowercase();
    let lower = &*lower;
    [LISTED_TYPES, MORE_TYPES].iter().any(|table| table.binary_search_by(|t| t.as_bytes().cmp(lower)).is_ok())
}

/// The media type without its parameters.
fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or(&[]).trim_ascii()
}

fn says_no_transform(cache_control: &[u8]) -> bool {
    cache_control.split(|b| *b == b',').any(|d| d.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        for (name, value) in fields {
            assert!(head.fields.push(name.as_bytes(), value.as_bytes()));
        }
        head
    }

    fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(status);
        for (name, value) in fields {
            assert!(head.fields.push(name.as_bytes(), value.as_bytes()));
        }
        head
    }

    #[test]
    fn tables_are_sorted_lower_case_and_short_enough() {
        for table in [LISTED_TYPES, MORE_TYPES] {
            assert!(table.is_sorted());
            for t in table {
                assert!(t.len() <= TYPE_MAX_BYTES && *t == t.to_lowercase(), "{t}");
                assert!(is_compressible(t.to_uppercase().as_bytes()), "{t}");
            }
        }
    }

    #[test]
    fn text_is_encoded_and_pictures_are_not() {
        let plain = request(&[]);
        for (content_type, yes) in [
            ("text/html; charset=utf-8", true),
            ("Text/HTML", true),
            ("application/json;charset=utf-8", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("application/grpc", false),
            ("application/octet-stream", false),
            ("", false),
            ("application/vnd.a-type-with-a-name-longer-than-any-in-the-table+json", false),
        ] {
            assert_eq!(
                eligible(&plain, &response(200, &[("Content-Type", content_type)]), None),
                yes,
                "{content_type}"
            );
        }
        assert!(!eligible(&plain, &response(200, &[]), None));
    }

    #[test]
    fn status_length_and_directives_hold_it_back() {
        let plain = request(&[]);
        let html = ("Content-Type", "text/html");
        for (status, yes) in [
            (200, true),
            (403, true),
            (404, true),
            (101, false),
            (204, false),
            (206, false),
            (304, false),
            (500, false),
        ] {
            assert_eq!(eligible(&plain, &response(status, &[html]), Some(1000)), yes, "{status}");
        }
        assert!(!eligible(&plain, &response(200, &[html]), Some(47)));
        assert!(eligible(&plain, &response(200, &[html]), Some(48)));
        for field in [
            ("Content-Encoding", "br"),
            ("Content-Range", "bytes 0-1/2"),
            ("Cache-Control", "public, No-Transform"),
        ] {
            assert!(!eligible(&plain, &response(200, &[html, field]), Some(1000)), "{field:?}");
        }
        assert!(!eligible(
            &request(&[("Cache-Control", "no-transform")]),
            &response(200, &[html]),
            Some(1000)
        ));
    }

    #[test]
    fn choosing_minds_the_shortest_length_of_each_coding() {
        let html = response(200, &[("Content-Type", "text/html")]);
        let both = request(&[("Accept-Encoding", "gzip, br")]);
        assert_eq!(choose(&both, &html, Some(50), Coding::STATIC), Some(Coding::Brotli));
        assert_eq!(choose(&both, &html, Some(49), Coding::STATIC), None);
        assert_eq!(
            choose(&request(&[("Accept-Encoding", "gzip")]), &html, Some(48), Coding::STATIC),
            Some(Coding::Gzip)
        );
        assert_eq!(choose(&request(&[]), &html, None, Coding::STATIC), None);
    }

    #[test]
    fn event_streams_get_the_encoder_with_the_least_memory() {
        let events = response(200, &[("Content-Type", "text/event-stream")]);
        let chrome = request(&[("Accept-Encoding", "gzip, deflate, br, zstd")]);
        assert_eq!(choose(&chrome, &events, None, Coding::DYNAMIC), Some(Coding::Gzip));
        assert_eq!(choose(&request(&[("Accept-Encoding", "zstd")]), &events, None, Coding::DYNAMIC), None);
    }

    #[test]
    fn event_streams_flush_each_chunk() {
        assert!(flushes_each_chunk(&response(200, &[("Content-Type", "text/event-stream; charset=utf-8")])));
        assert!(!flushes_each_chunk(&response(200, &[("Content-Type", "text/html")])));
    }
}
