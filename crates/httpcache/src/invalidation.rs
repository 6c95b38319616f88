//! Which stored responses an unsafe request makes invalid (RFC 9111 §4.4).

use seawall_http::{Fields, Known, Method};
use smallvec::SmallVec;

/// Longest reference in Location or Content-Location that is followed, in bytes: the limit for request targets.
pub const REFERENCE_MAX: usize = 16 * 1024;

/// The request whose response invalidates.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: Method,
    /// `http` or `https`.
    pub scheme: &'a [u8],
    /// Host and port, lower case.
    pub authority: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
}

/// The targets (path and query in origin form, all on the request's own scheme and authority) whose stored responses
/// are to be dropped after `status`: the request's own, and those of Location and Content-Location if they are of the
/// same origin. Empty for safe methods and for errors. At most three; every variant of each is meant.
#[must_use]
pub fn invalidated(request: &Request<'_>, status: u16, response: &Fields) -> SmallVec<[Vec<u8>; 3]> {
    let mut targets = SmallVec::new();
    // An unknown method may be unsafe and is taken for it (RFC 9111 §4.4).
    if request.method.is_safe() || request.method == Method::Connect || !(200..400).contains(&status) {
        return targets;
    }
    targets.push(request.target.to_vec());
    for name in [Known::Location, Known::ContentLocation] {
        if let Some(target) = response.get(name).and_then(|reference| resolve(request, reference))
            && !targets.contains(&target)
        {
            targets.push(target);
        }
    }
    targets
}

/// Resolves a reference against the request (RFC 3986 §5.2); `None` if it leads to another origin or is none.
fn resolve(request: &Request<'_>, reference: &[u8]) -> Option<Vec<u8>> {
    let reference = reference.trim_ascii().split(|b| *b == b'#').next()?;
    if reference.len() > REFERENCE_MAX || reference.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return None;
    }
    let rest = match scheme(reference) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(request.scheme) => {
            rest.starts_with(b"//").then_some(rest)?
        }
        Some(_) => return None,
        None => reference,
    };
    let base = request.target.split(|b| *b == b'?').next().unwrap_or(&[]);
    let path_and_query = match rest.strip_prefix(b"//") {
        Some(rest) => {
            let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end)?;
            if !same_authority(request, authority) {
                return None;
            }
            if rest.starts_with(b"/") { rest.to_vec() } else { [b"/", rest].concat() }
        }
        None if rest.is_empty() => return Some(request.target.to_vec()),
        None if rest.starts_with(b"/") => rest.to_vec(),
        None if rest.starts_with(b"?") => [base, rest].concat(),
        None => {
            let folder = base.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
            [base.get(..folder)?, rest].concat()
        }
    };
    Some(without_dots(&path_and_query))
}

/// Splits `scheme:` off a reference that has one.
fn scheme(reference: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = reference.iter().position(|b| matches!(b, b':' | b'/' | b'?'))?;
    let (scheme, rest) = reference.split_at_checked(colon)?;
    let alphabetic = scheme.first().is_some_and(u8::is_ascii_alphabetic);
    let plain = scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
    rest.strip_prefix(b":").filter(|_| alphabetic && plain).map(|rest| (scheme, rest))
}

fn same_authority(request: &Request<'_>, authority: &[u8]) -> bool {
    let default: &[u8] = if request.scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    let plain = |a: &'_ [u8]| -> Vec<u8> { a.strip_suffix(default).unwrap_or(a).to_ascii_lowercase() };
    plain(request.authority) == plain(authority)
}

/// Removes `.` and `..` from the path (RFC 3986 §5.2.4); the query stays.
fn without_dots(target: &[u8]) -> Vec<u8> {
    let end = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(end).unwrap_or((target, &[]));
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut open = false;
    for segment in path.split(|b| *b == b'/').skip(1) {
        open = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut out = Vec::with_capacity(target.len());
    for segment in &segments {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if open || out.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(query);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: Request<'static> = Request {
        method: Method::Post,
        scheme: b"https",
        authority: b"a.test:8443",
        target: b"/dir/page?q=1",
    };

    fn location(value: &str) -> Vec<String> {
        let mut fields = Fields::new();
        fields.push(b"Location", value.as_bytes());
        let all = invalidated(&REQUEST, 201, &fields);
        all.into_iter().skip(1).map(|t| String::from_utf8(t).unwrap()).collect()
    }

    #[test]
    fn references_of_the_same_origin_are_resolved() {
        for (reference, target) in [
            ("other", "/dir/other"),
            ("./other#part", "/dir/other"),
            ("../up?x", "/up?x"),
            ("../../../up", "/up"),
            ("..", "/"),
            ("a/.", "/dir/a/"),
            ("?z", "/dir/page?z"),
            ("/abs/a:b", "/abs/a:b"),
            ("//A.test:8443/net", "/net"),
            ("https://a.test:8443", "/"),
            ("HTTPS://a.TEST:8443/x?y", "/x?y"),
            ("https://a.test:8443?y", "/?y"),
        ] {
            assert_eq!(location(reference), [target], "{reference}");
        }
    }

    #[test]
    fn other_origins_are_left_alone() {
        for reference in [
            "",
            "http://a.test:8443/x",
            "https://a.test/x",
            "//b.test/x",
            "mailto:x",
            "https:x",
            "a b",
            "https://a.test:8443@b.test/",
        ] {
            assert!(location(reference).is_empty(), "{reference}");
        }
    }

    #[test]
    fn default_ports_are_the_same_with_and_without() {
        let mut fields = Fields::new();
        fields.push(b"Content-Location", b"https://a.test:443/x");
        let request = Request { authority: b"a.test", ..REQUEST };
        assert_eq!(invalidated(&request, 200, &fields)[1], b"/x");
    }

    #[test]
    fn only_success_of_an_unsafe_method_invalidates() {
        let none = Fields::new();
        let count = |method, status| invalidated(&Request { method, ..REQUEST }, status, &none).len();
        for method in [Method::Post, Method::Put, Method::Delete, Method::Patch, Method::Other] {
            assert_eq!(
                (count(method, 200), count(method, 303), count(method, 404), count(method, 500)),
                (1, 1, 0, 0)
            );
        }
        for method in [Method::Get, Method::Head, Method::Options, Method::Trace, Method::Connect] {
            assert_eq!(count(method, 200), 0);
        }
    }

    proptest! {
        #[test]
        fn any_reference_yields_a_path_or_nothing(reference in "[a-z:/?#.]{0,24}") {
            for target in location(&reference) {
                prop_assert!(target.starts_with('/'));
            }
        }
    }
}
