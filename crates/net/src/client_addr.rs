//! Who the client is: the peer, or whom a trusted proxy in front names.
//!
//! The one place where forwarding headers are believed. A header from a peer outside the trusted networks is a claim
//! anyone can make and is not read at all.

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use seawall_http::{Fields, Known};
use seawall_model::ClientIpHeader;

/// Most elements of a forwarding list walked, from the right. Real chains have two or three; a longer one ends at the
/// last element looked at.
pub const HOPS_MAX: usize = 32;

/// A set of networks: disjoint ranges in order, looked up by halving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The union of the networks.
    #[must_use]
    pub fn new(nets: &[IpNet]) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push(*net),
                // ::ffff:10.0.0.0/104 means 10.0.0.0/8, as addresses are looked up without the mapping.
                IpNet::V6(net) => match (net.network().to_ipv4_mapped(), net.prefix_len().checked_sub(96)) {
                    (Some(ip), Some(prefix)) => v4.extend(Ipv4Net::new(ip, prefix)),
                    _ => v6.push(*net),
                },
            }
        }
        let v4 = Ipv4Net::aggregate(&v4).iter().map(|n| (n.network().into(), n.broadcast().into())).collect();
        let v6 = Ipv6Net::aggregate(&v6).iter().map(|n| (n.network().into(), n.broadcast().into())).collect();
        let mut networks = Networks { v4, v6 };
        networks.v4.sort_unstable();
        networks.v6.sort_unstable();
        networks
    }

    /// Whether the address lies in one of them. IPv4-mapped IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => within(&self.v4, ip.into()),
            IpAddr::V6(ip) => within(&self.v6, ip.into()),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Whom to believe about the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    networks: Networks,
    header: ClientIpHeader,
}

impl Trust {
    /// Believes `header` from peers in the networks. With none nobody is believed.
    #[must_use]
    pub fn new(trusted: &[IpNet], header: ClientIpHeader) -> Trust {
        Trust { networks: Networks::new(trusted), header }
    }

    /// Whether the peer may speak for others (headers, PROXY protocol).
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        !self.networks.is_empty() && self.networks.contains(peer)
    }

    /// The client's address, never IPv4-mapped: the peer's unless the peer is trusted.
    ///
    /// Lists are walked from the right over trusted hops to the first address that is not trusted; what is left of it
    /// the client may have written. If something that is no address comes first, the last trustworthy address stands.
    #[must_use]
    pub fn client(&self, peer: IpAddr, fields: &Fields) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        match self.header {
            ClientIpHeader::XForwardedFor => self.walk(peer, fields, Some),
            ClientIpHeader::Forwarded => self.walk(peer, fields, forwarded_for),
            // Two values contradict each other: a proxy that sets the header would have replaced the client's.
            header => {
                let mut values = fields.all(known(header));
                match (values.next().and_then(address), values.next()) {
                    (Some(ip), None) => ip,
                    _ => peer,
                }
            }
        }
    }

    fn walk<'a>(&self, peer: IpAddr, fields: &'a Fields, node: fn(&'a [u8]) -> Option<&'a [u8]>) -> IpAddr {
        let name = known(self.header);
        let mut last = peer;
        let mut hops = 0;
        // Several lines are one list (RFC 9110 §5.3), so the last line comes first. Lines are few; counting beats
        // collecting them.
        for line in (0..fields.all(name).count()).rev() {
            for element in elements_from_right(fields.all(name).nth(line).unwrap_or(&[])) {
                hops += 1;
                match node(element).and_then(address) {
                    Some(ip) if hops < HOPS_MAX && self.networks.contains(ip) => last = ip,
                    Some(ip) => return ip,
                    None => return last,
                }
            }
        }
        last
    }
}

fn known(header: ClientIpHeader) -> Known {
    match header {
        ClientIpHeader::XForwardedFor => Known::XForwardedFor,
        ClientIpHeader::Forwarded => Known::Forwarded,
        ClientIpHeader::CfConnectingIp => Known::CfConnectingIp,
        ClientIpHeader::TrueClientIp => Known::TrueClientIp,
        ClientIpHeader::XRealIp => Known::XRealIp,
    }
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], at: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= at);
    after.checked_sub(1).and_then(|i| ranges.get(i)).is_some_and(|(_, last)| at <= *last)
}

/// The elements of a comma-separated list, last first, trimmed; empty ones are left out (RFC 9110 §5.6.1). A comma
/// within quotes separates here as well: what it cuts apart is no address, and the walk ends there.
fn elements_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.rsplit(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty())
}

/// An address as proxies write it: bare, in brackets, with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

/// The node of the `for` parameter of one element of `Forwarded`, without its quotes. Nothing if there is none, or two.
fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    let mut node = None;
    for pair in element.split(|b| *b == b';') {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            let value = value.get(1..)?.trim_ascii();
            let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
            if node.replace(value).is_some() {
                return None;
            }
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn nets() -> Vec<IpNet> {
        ["10.0.0.0/8", "192.168.1.0/24", "2001:db8::/32", "::ffff:172.16.0.0/108"]
            .map(|n| n.parse().unwrap())
            .to_vec()
    }

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in list {
            assert!(fields.push(name.as_bytes(), value.as_bytes()));
        }
        fields
    }

    #[test]
    fn x_forwarded_for_is_walked_from_the_right_over_trusted_hops() {
        let trust = Trust::new(&nets(), ClientIpHeader::XForwardedFor);
        for (peer, lines, want) in [
            ("203.0.113.9", &["1.2.3.4"][..], "203.0.113.9"), // a stranger is not believed
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"), // the client's own claim is left of it
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4, 192.168.1.7"], "1.2.3.4"),
            ("10.0.0.1", &["1.2.3.4", "10.0.0.2,192.168.1.7"], "1.2.3.4"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"), // all trusted: the farthest
            ("10.0.0.1", &["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.2"), // garbage ends the walk
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4,"], "1.2.3.4"),
            ("10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("10.0.0.1", &["[2606:4700::1]:443"], "2606:4700::1"),
            ("10.0.0.1", &["2606:4700::1"], "2606:4700::1"),
            ("10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"),
            ("::ffff:10.0.0.1", &["1.2.3.4, 172.16.5.5"], "1.2.3.4"),
            ("2001:db8::5", &["1.2.3.4, 2001:db8::6"], "1.2.3.4"),
            ("::ffff:203.0.113.9", &[], "203.0.113.9"),
        ] {
            let list: Vec<_> = lines.iter().map(|l| ("x-forwarded-for", *l)).collect();
            assert_eq!(trust.client(ip(peer), &fields(&list)), ip(want), "{peer} {lines:?}");
        }
    }

    #[test]
    fn forwarded_is_walked_the_same_way() {
        let trust = Trust::new(&nets(), ClientIpHeader::Forwarded);
        for (line, want) in [
            ("for=1.2.3.4", "1.2.3.4"),
            ("For=\"1.2.3.4:99\";proto=https;by=10.0.0.9", "1.2.3.4"),
            ("for=6.6.6.6, for=\"[2606:4700::1]\", proto=https;for=10.0.0.2", "2606:4700::1"),
            ("for=\"[2606:4700::1]:4711\"", "2606:4700::1"),
            ("for=1.2.3.4, for=unknown", "10.0.0.1"),
            ("for=1.2.3.4, for=_hidden, for=10.0.0.2", "10.0.0.2"),
            ("for=1.2.3.4, proto=https", "10.0.0.1"),
            ("for=1.2.3.4;for=5.6.7.8", "10.0.0.1"),
            ("for=\"1.2.3.4, for=5.6.7.8\"", "10.0.0.1"),
            ("for", "10.0.0.1"),
            ("=;=", "10.0.0.1"),
        ] {
            assert_eq!(trust.client(ip("10.0.0.1"), &fields(&[("Forwarded", line)])), ip(want), "{line}");
        }
    }

    #[test]
    fn a_single_value_is_taken_whole_and_two_contradict() {
        for (name, header) in [
            ("CF-Connecting-IP", ClientIpHeader::CfConnectingIp),
            ("true-client-ip", ClientIpHeader::TrueClientIp),
            ("X-Real-IP", ClientIpHeader::XRealIp),
        ] {
            let trust = Trust::new(&nets(), header);
            let client = |list: &[(&str, &str)]| trust.client(ip("10.0.0.1"), &fields(list));
            assert_eq!(client(&[(name, " 1.2.3.4 ")]), ip("1.2.3.4"));
            assert_eq!(client(&[(name, "10.9.9.9")]), ip("10.9.9.9"));
            assert_eq!(client(&[(name, "1.2.3.4, 5.6.7.8")]), ip("10.0.0.1"));
            assert_eq!(client(&[(name, "1.2.3.4"), (name, "5.6.7.8")]), ip("10.0.0.1"));
            assert_eq!(client(&[("X-Forwarded-For", "1.2.3.4")]), ip("10.0.0.1"));
            assert_eq!(trust.client(ip("8.8.8.8"), &fields(&[(name, "1.2.3.4")])), ip("8.8.8.8"));
        }
    }

    #[test]
    fn every_header_of_the_configuration_is_read_under_its_name() {
        for header in ClientIpHeader::ALL {
            assert_eq!(known(header).name(), header.name());
        }
    }

    #[test]
    fn an_endless_list_ends_at_the_limit() {
        let trust = Trust::new(&nets(), ClientIpHeader::XForwardedFor);
        let long: Vec<_> = (0..10_000).map(|n| format!("10.1.{}.{}", n / 256, n % 256)).collect();
        let client = trust.client(ip("10.0.0.1"), &fields(&[("X-Forwarded-For", &long.join(","))]));
        assert_eq!(client.to_string(), long[10_000 - HOPS_MAX]);
    }

    #[test]
    fn nobody_is_trusted_without_networks() {
        assert!(!Trust::default().trusts(ip("127.0.0.1")));
        assert!(Networks::default().is_empty());
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (any::<u32>(), 0u8..=32).prop_map(|(a, p)| Ipv4Net::new(a.into(), p).unwrap().into()),
            (any::<u128>(), 0u8..=128).prop_map(|(a, p)| Ipv6Net::new(a.into(), p).unwrap().into()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn ranges_hold_what_the_networks_hold(nets in proptest::collection::vec(any_net(), 0..20), ips in proptest::collection::vec(any::<IpAddr>(), 20)) {
            let set = Networks::new(&nets);
            let edges = nets.iter().flat_map(|n| [n.network(), n.broadcast()]);
            for ip in ips.into_iter().chain(edges).filter(|ip| *ip == ip.to_canonical()) {
                prop_assert_eq!(set.contains(ip), nets.iter().any(|n| n.contains(&ip)), "{}", ip);
            }
        }

        #[test]
        fn whatever_the_header_says_an_address_comes_out(text in "[ -~]{0,80}", list in "((for=)?\"?[0-9a-f.:\\[\\]]{0,20}\"?[,; ]{0,2}){0,6}") {
            for header in [ClientIpHeader::XForwardedFor, ClientIpHeader::Forwarded, ClientIpHeader::XRealIp] {
                let trust = Trust::new(&nets(), header);
                for line in [&text, &list] {
                    let mut fields = Fields::new();
                    fields.add(known(header), line.as_bytes());
                    let client = trust.client(ip("10.0.0.1"), &fields);
                    prop_assert_eq!(client, client.to_canonical());
                    prop_assert_eq!(trust.client(ip("9.9.9.9"), &fields), ip("9.9.9.9"));
                }
            }
        }
    }
}
