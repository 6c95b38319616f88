//! Who is asked: Host, `:authority` and the request target.

use seawall_http::authority::{MAX_AUTHORITY, normalise, push_target, set_target};
use seawall_http::{Known, Method, RequestHead};

/// A name, with port or without, and a target.
pub fn authority(data: &[u8]) {
    let mut target = Vec::new();
    if push_target(&mut target, data).is_ok() {
        assert!(target.iter().all(u8::is_ascii_graphic) && !target.contains(&b'#'));
        let mut again = Vec::new();
        assert_eq!(push_target(&mut again, &target), Ok(()));
        assert_eq!(again, target, "a target is escaped twice");
    }

    let mut named = Vec::new();
    if normalise(data, &mut named).is_err() {
        assert!(named.is_empty(), "a refused name leaves something behind");
        return;
    }
    assert!(!named.is_empty() && named.len() <= MAX_AUTHORITY);
    assert!(named.iter().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()));
    assert!(!named.iter().any(|b| b"@/\\?#,;\"'<> ".contains(b)), "a name that others cut elsewhere");
    let mut again = Vec::new();
    assert_eq!(normalise(&named, &mut again), Ok(()), "{}", String::from_utf8_lossy(&named));
    assert_eq!(again, named, "one form has another");

    // The same name in absolute form, with Host in either spelling, is one and the same request.
    for host in [data, &named] {
        let mut head = RequestHead { method: Method::Get, ..RequestHead::default() };
        assert!(head.fields.add(Known::Host, host));
        let absolute = [b"http://", &named[..], b"/a?b"].concat();
        assert_eq!(set_target(&mut head, &absolute), Ok(()));
        assert_eq!((&head.authority, &head.target[..]), (&named, &b"/a?b"[..]));
        let bare = head.host();
        assert!(!bare.is_empty() && named.starts_with(bare));
        let port = &named[bare.len()..];
        assert!(port.is_empty() || (port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit)));
    }
}
