//! Heads of recent requests, for rehearsing a candidate over what visitors really ask.
//!
//! A sample, not a log: a few a sweep from each worker, bounded in number and bytes, in memory only, and without the
//! values of credentials (their length stays, since that is what stages may look at).

use parking_lot::Mutex;
use seawall_http::{Known, RequestHead};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// Heads kept by each worker, in number.
const KEPT: usize = 256;
/// Heads taken by a worker in one sweep (a tenth of a second): copying one costs as much as a stage.
pub(crate) const PER_SWEEP: u32 = 4;
/// Largest head kept, in bytes of fields and target; longer ones are passed over.
const HEAD_BYTES: usize = 8 * 1024;
/// Words in the names of fields whose values are nobody's business: `Authorization`, `Cookie`, `X-Api-Key`, `CF-Access-JWT-…`.
const SECRET: [&[u8]; 9] =
    [b"auth", b"cookie", b"token", b"secret", b"session", b"passw", b"jwt", b"-key", b"credential"];

/// A request as it came, to be run through stages again.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub head: RequestHead,
    pub address: IpAddr,
    pub https: bool,
}

/// The last heads of one worker.
#[derive(Default)]
pub(crate) struct Heads(Mutex<VecDeque<Recorded>>);

impl Heads {
    /// Keeps a head.
    pub(crate) fn keep(&self, head: &RequestHead, address: IpAddr, https: bool) {
        if head.fields.heap_size() + head.target.len() > HEAD_BYTES {
            return;
        }
        let mut head = head.clone();
        veil(&mut head);
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(Recorded { head, address, https });
    }

    /// The heads kept.
    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.0.lock().iter().cloned().collect()
    }
}

/// Replaces what secret fields say by as many `x`: their length stays, which is what rules may look at.
fn veil(head: &mut RequestHead) {
    let is_secret = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        SECRET.iter().any(|word| memchr::memmem::find(&name, word).is_some())
    };
    let secret: Vec<(Vec<u8>, usize)> = head
        .fields
        .iter()
        .filter(|(_, name, _)| is_secret(name))
        .map(|(_, name, value)| (name.to_vec(), value.len()))
        .collect();
    for (name, _) in &secret {
        head.fields.remove_named(name);
    }
    for (name, length) in &secret {
        head.fields.push(name, &vec![b'x'; *length]);
    }
}

/// Where made-up requests come from: TEST-NET-1, which is nobody's (RFC 5737), and an address like any visitor's, as lists
/// of bogus networks hold the former.
pub(crate) const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

/// A head made up for a host nobody asked for lately.
pub(crate) fn made_up(host: &str, path: &str, address: IpAddr) -> Recorded {
    let mut head = RequestHead {
        method_text: b"GET".to_vec(),
        target: path.as_bytes().to_vec(),
        authority: host.as_bytes().to_vec(),
        ..RequestHead::default()
    };
    head.fields.add(Known::Host, host.as_bytes());
    head.fields.add(Known::UserAgent, b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36");
    head.fields.add(Known::Accept, b"text/html,application/xhtml+xml,*/*;q=0.8");
    head.fields.add(Known::AcceptEncoding, b"gzip, deflate, br, zstd");
    Recorded { head, address, https: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_kept_by_length_only_and_old_heads_make_room() {
        let heads = Heads::default();
        let mut recorded = made_up("a.test", "/x?y=1", NOBODY);
        recorded.head.fields.push(b"Cookie", b"session=secret");
        recorded.head.fields.push(b"X-API-Key", b"secret too");
        recorded.head.fields.push(b"Cookie", b"another=secret");
        recorded.head.fields.push(b"X-Kept", b"plain");
        for _ in 0..KEPT + 10 {
            heads.keep(&recorded.head, recorded.address, true);
        }
        let all = heads.all();
        assert_eq!(all.len(), KEPT);
        let fields = &all[0].head.fields;
        let text = fields.iter().map(|(_, _, v)| String::from_utf8_lossy(v).into_owned()).collect::<Vec<_>>();
        assert!(text.contains(&"x".repeat(14)) && text.contains(&"plain".to_owned()), "{text:?}");
        assert_eq!(fields.all(Known::Cookie).count(), 2);
        assert!(text.iter().all(|v| !v.contains("secret")));
    }

    #[test]
    fn a_huge_head_is_passed_over() {
        let heads = Heads::default();
        let mut recorded = made_up("a.test", "/", NOBODY);
        recorded.head.fields.push(b"X-Long", &vec![b'a'; HEAD_BYTES]);
        heads.keep(&recorded.head, recorded.address, false);
        assert!(heads.all().is_empty());
    }
}
