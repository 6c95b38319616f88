//! Who is asked: request target, Host and `:authority` brought to one form (RFC 9112 §3.2, RFC 9110 §4.2, §7.2).

use crate::fault::Fault;
use crate::head::{Method, RequestHead, Version};
use crate::known::Known;

/// Longest authority: a name of 253 bytes (RFC 1035 §2.3.4), a colon and five digits, with room for brackets.
pub const MAX_AUTHORITY: usize = 261;

/// Sets target and authority of an HTTP/1 request from its request line and Host.
///
/// # Errors
/// A target of no known form, a missing, repeated or malformed Host, or a Host that the absolute form contradicts.
pub fn set_target(head: &mut RequestHead, target: &[u8]) -> Result<(), Fault> {
    let mut authority = std::mem::take(&mut head.authority);
    let mut hosts = head.fields.all(Known::Host);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => normalise(host, &mut authority)?,
        (Some(_), Some(_)) => return Err(Fault::HostRepeated),
        (None, _) if head.version == Version::H10 => {}
        (None, _) => return Err(Fault::HostMissing),
    }
    drop(hosts);
    head.authority = authority;
    match (head.method, target) {
        (Method::Connect, _) => return Err(Fault::Method),
        (_, [b'/', ..]) => push_target(&mut head.target, target)?,
        (Method::Options, b"*") => head.target.push(b'*'),
        _ => absolute_form(head, target)?,
    }
    Ok(())
}

/// Checks an authority and appends it in lower case, without a trailing dot of the name.
///
/// # Errors
/// [`Fault::Host`] for an empty one, userinfo, or a character outside names, addresses and ports.
pub fn normalise(authority: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let (host, port) = match authority {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|b| *b == b']').ok_or(Fault::Host)?;
            let inner = rest.get(..end).and_then(|s| std::str::from_utf8(s).ok()).ok_or(Fault::Host)?;
            inner.parse::<std::net::Ipv6Addr>().map_err(|_| Fault::Host)?;
            authority.split_at_checked(end + 2).ok_or(Fault::Host)?
        }
        _ => {
            let end = authority.iter().position(|b| *b == b':').unwrap_or(authority.len());
            let (host, port) = authority.split_at_checked(end).ok_or(Fault::Host)?;
            let host = host.strip_suffix(b".").unwrap_or(host);
            let empty_label = host.split(|b| *b == b'.').any(<[u8]>::is_empty);
            if empty_label
                || !host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            {
                return Err(Fault::Host);
            }
            (host, port)
        }
    };
    let port_ok = match port {
        [] => true,
        [b':', digits @ ..] => {
            !digits.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    if !port_ok || authority.len() > MAX_AUTHORITY {
        return Err(Fault::Host);
    }
    out.extend(host.iter().map(u8::to_ascii_lowercase));
    out.extend_from_slice(port);
    Ok(())
}

/// Appends path and query. Bytes outside ASCII are percent-encoded, which is what they mean (RFC 3986 §2.5).
///
/// # Errors
/// A fragment, which is never sent (RFC 9112 §3.2.1), or a control character.
pub fn push_target(out: &mut Vec<u8>, target: &[u8]) -> Result<(), Fault> {
    let mut plain = true;
    for b in target {
        if *b <= b' ' || *b == 0x7f || *b == b'#' {
            return Err(Fault::Target);
        }
        plain &= b.is_ascii();
    }
    if plain {
        out.extend_from_slice(target);
    } else {
        for b in target {
            if b.is_ascii() {
                out.push(*b);
            } else {
                out.extend_from_slice(&[b'%', hex(b >> 4), hex(b & 15)]);
            }
        }
    }
    Ok(())
}

fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

fn absolute_form(head: &mut RequestHead, target: &[u8]) -> Result<(), Fault> {
    let colon = memchr::memmem::find(target, b"://").ok_or(Fault::Target)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(Fault::Target)?;
    let rest = rest.get(3..).ok_or(Fault::Target)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Fault::Target);
    }
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Fault::Target)?;
    let mut named = Vec::with_capacity(authority.len());
    normalise(authority, &mut named).map_err(|_| Fault::Target)?;
    if head.fields.has(Known::Host) && named != head.authority {
        return Err(Fault::HostDisagrees);
    }
    head.authority = named;
    if !path.starts_with(b"/") {
        head.target.push(b'/');
    }
    push_target(&mut head.target, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_brought_to_one_form_or_refused() {
        for (given, want) in [
            ("A.Example", Some("a.example")),
            ("a.example.", Some("a.example")),
            ("a.example.:80", Some("a.example:80")),
            ("a_b.test:8080", Some("a_b.test:8080")),
            ("[::1]:443", Some("[::1]:443")),
            ("[2001:DB8::1]", Some("[2001:db8::1]")),
            ("", None),
            (":80", None),
            ("a:", None),
            ("a:b", None),
            ("a:123456", None),
            ("a..b", None),
            ("a..", None),
            ("..", None),
            (".a", None),
            ("u@a", None),
            ("a/b", None),
            ("a b", None),
            ("a,b", None),
            ("[::1", None),
            ("[zz]", None),
            ("[::1]x", None),
            ("a\u{e9}", None),
        ] {
            let mut out = Vec::new();
            let got = normalise(given.as_bytes(), &mut out).ok().map(|()| String::from_utf8(out).unwrap());
            assert_eq!(got.as_deref(), want, "{given:?}");
        }
    }
}
