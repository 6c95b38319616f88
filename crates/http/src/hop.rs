//! Fields that concern one connection and are never forwarded (RFC 9110 §7.6.1).

use crate::fields::Fields;
use crate::h1::encode::KnownSet;
use crate::known::Known;

/// Fields of one hop, whatever Connection says.
pub const HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Te,
    Known::Upgrade,
    Known::Http2Settings,
]);

/// Fields Connection cannot make disappear: naming them is an attack on whoever relies on them, not an option.
const PROTECTED: KnownSet = KnownSet::of(&[
    Known::Host,
    Known::ContentLength,
    Known::ContentType,
    Known::ContentEncoding,
    Known::Authorization,
    Known::Cookie,
    Known::SetCookie,
    Known::CacheControl,
    Known::Date,
    Known::Location,
    Known::Origin,
    Known::Range,
    Known::Vary,
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::CfConnectingIp,
]);

/// Removes the fields that Connection names; the fixed ones are left to [`HOP`] when the head is written.
pub fn drop_nominated(fields: &mut Fields) {
    let usual =
        |o: &[u8]| [&b"close"[..], b"keep-alive", b"upgrade", b""].iter().any(|u| o.eq_ignore_ascii_case(u));
    let options =
        || fields.all(Known::Connection).flat_map(|v| v.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    if options().all(usual) {
        return;
    }
    let nominated: Vec<Vec<u8>> =
        options().filter(|o| !usual(o) && !PROTECTED.has(Known::of(o))).map(<[u8]>::to_vec).collect();
    for name in nominated {
        fields.remove_named(&name);
    }
}

/// Removes fields whose names would become one of `names` if `_` were `-`. CGI and its heirs cannot tell the two apart, so
/// a client's `CF_Connecting_IP` would stand for ours. No field in use has such a name.
pub fn drop_lookalikes(fields: &mut Fields, names: KnownSet) {
    let is_lookalike = |name: &[u8]| {
        name.contains(&b'_') && {
            let dashed: Vec<u8> = name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
            names.has(Known::of(&dashed))
        }
    };
    if fields.iter().any(|(known, name, _)| known == Known::Other && is_lookalike(name)) {
        fields.retain(|known, name, _| known != Known::Other || !is_lookalike(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cgi_cannot_tell_from_ours_go() {
        let mut f = Fields::new();
        for name in ["CF_Connecting_IP", "x_forwarded-for", "my_field", "Cookie"] {
            f.push(name.as_bytes(), b"1");
        }
        drop_lookalikes(&mut f, KnownSet::of(&[Known::CfConnectingIp, Known::XForwardedFor]));
        let left: Vec<_> = f.iter().map(|(_, n, _)| n.to_vec()).collect();
        assert_eq!(left, [&b"my_field"[..], b"Cookie"]);
    }

    #[test]
    fn nominated_fields_go_and_protected_ones_stay() {
        let mut f = Fields::new();
        for (n, v) in
            [("Connection", "close, X-Hop, cookie"), ("X-Hop", "1"), ("Cookie", "a=b"), ("X-End", "2")]
        {
            f.push(n.as_bytes(), v.as_bytes());
        }
        drop_nominated(&mut f);
        assert!(f.get_named(b"x-hop").is_none() && f.has(Known::Cookie) && f.get_named(b"x-end").is_some());
    }
}
