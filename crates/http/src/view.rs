//! What a stage sees of a request: its head and who sent it. Stages are functions of this, so that they can be run
//! again over recorded heads.

use crate::RequestHead;
use std::borrow::Cow;
use std::net::IpAddr;

/// A request as the stages see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The head, as it came in.
    pub head: &'a RequestHead,
    /// The client's address, by the trusted-proxy rules.
    pub address: IpAddr,
    /// Whether the client spoke TLS.
    pub https: bool,
}

impl View<'_> {
    /// The path as most origins will understand it, for rules to look at: what needs no percent-encoding is decoded, once
    /// (RFC 3986 §6.2.2.2), `\\` is `/`, runs of `/` are one, dot segments are gone (§5.2.4). The origin gets the path as it came.
    #[must_use]
    pub fn path(&self) -> Cow<'_, [u8]> {
        let path = self.head.path();
        if is_normal(path) { Cow::Borrowed(path) } else { Cow::Owned(normal(path)) }
    }
}

/// Whether there is nothing to do: nearly always.
fn is_normal(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|byte| {
        let odd = matches!(byte, b'%' | b'\\') || before == b'/' && matches!(byte, b'/' | b'.');
        before = *byte;
        !odd
    })
}

fn normal(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.split_first_chunk::<2>()).flatten();
        match escaped.and_then(|(digits, after)| Some((unreserved(*digits)?, after))) {
            Some((byte, after)) => {
                decoded.push(byte);
                rest = after;
            }
            None => {
                decoded.push(if *first == b'\\' { b'/' } else { *first });
                rest = after;
            }
        }
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut normal = Vec::with_capacity(decoded.len());
    for segment in &segments {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    // What ends in a folder goes on ending in one.
    if segments.is_empty() || decoded.ends_with(b"/") || decoded.ends_with(b"/.") || decoded.ends_with(b"/..")
    {
        normal.push(b'/');
    }
    normal
}

/// The byte of two hexadecimal digits, if it needs no encoding (RFC 3986 §2.3).
fn unreserved([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(target: &str) -> String {
        let head = RequestHead { target: target.as_bytes().to_vec(), ..RequestHead::default() };
        let view = View { head: &head, address: IpAddr::from([192, 0, 2, 1]), https: false };
        String::from_utf8(view.path().into_owned()).unwrap()
    }

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for (sent, seen) in [
            ("/", "/"),
            ("/a/b.c?x=/../y", "/a/b.c"),
            ("/%2egit/config", "/.git/config"),
            ("/%2Egit", "/.git"),
            ("//.git", "/.git"),
            ("/a/./b", "/a/b"),
            ("/a/../.git", "/.git"),
            ("/%2e%2e/etc", "/etc"),
            ("/../../etc", "/etc"),
            ("/a\\..\\b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//", "/a/"),
            ("/..", "/"),
            // Not twice, and not what a slash or a space would be.
            ("/%252egit", "/%252egit"),
            ("/a%2fb%20c", "/a%2fb%20c"),
            ("/%zz%4", "/%zz%4"),
            ("/%41dmin", "/Admin"),
        ] {
            assert_eq!(path(sent), seen, "{sent}");
        }
    }

    #[test]
    fn what_is_normal_is_not_copied_and_stays() {
        for target in ["/", "/index.html", "/a/b/c.d/", "/a.b/..c"] {
            let head = RequestHead { target: target.as_bytes().to_vec(), ..RequestHead::default() };
            let view = View { head: &head, address: IpAddr::from([192, 0, 2, 1]), https: false };
            let owned = matches!(view.path(), Cow::Owned(_));
            assert!(!owned || target.contains("/."), "{target}");
            assert_eq!(path(target), target);
        }
    }
}
