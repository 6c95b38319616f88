//! Addresses told by others: the PROXY protocol and forwarding fields.

use crate::input::{is_value, lines};
use ipnet::IpNet;
use seawall_http::{Fields, Known};
use seawall_model::ClientIpHeader;
use seawall_net::client_addr::{Networks, Trust};
use seawall_net::proxy_protocol::{Header, Parsed, V1_BYTES_MAX, V2_BYTES_MAX, parse};
use std::net::{IpAddr, SocketAddr};

/// The beginning of a stream, as it grows.
pub fn proxy_header(data: &[u8]) {
    let data = &data[..data.len().min(700)];
    let mut verdict = Parsed::Partial;
    for end in 0..=data.len() {
        let now = parse(&data[..end]);
        if verdict != Parsed::Partial {
            assert_eq!(now, verdict, "a verdict changed after {end} bytes");
        }
        verdict = now;
    }
    if verdict == Parsed::Partial {
        assert!(data.len() < V2_BYTES_MAX);
        assert!(!data.starts_with(b"PROXY ") || data.len() <= V1_BYTES_MAX);
    }
    let Parsed::Done(header) = verdict else { return };
    assert!(header.len <= data.len() && header.len <= V2_BYTES_MAX);
    if header.local {
        assert_eq!((header.source, header.dest), (None, None));
    }
    if let (Some(source), Some(dest)) = (header.source, header.dest) {
        let text = version_1(source, dest);
        let want = Header { len: text.len(), ..header };
        assert_eq!(parse(text.as_bytes()), Parsed::Done(want), "{text:?}");
        let bytes = version_2(source, dest);
        assert_eq!(parse(&bytes), Parsed::Done(Header { len: bytes.len(), ..header }));
    }
}

fn version_1(source: SocketAddr, dest: SocketAddr) -> String {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {} {} {} {}\r\n", source.ip(), dest.ip(), source.port(), dest.port())
}

fn version_2(source: SocketAddr, dest: SocketAddr) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    out.push(if source.is_ipv4() { 0x11 } else { 0x21 });
    out.extend_from_slice(&[0, if source.is_ipv4() { 12 } else { 36 }]);
    for address in [source, dest] {
        match address.ip() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&dest.port().to_be_bytes());
    out
}

/// The peer on the first line, then values of the forwarding field, one a line; for each of the fields there are.
pub fn client_address(data: &[u8]) {
    const NETS: [&str; 4] = ["10.0.0.0/8", "192.168.1.0/24", "2001:db8::/32", "::ffff:172.16.0.0/108"];
    let mut lines = lines(data);
    let first = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse::<IpAddr>().ok());
    let peer = first.unwrap_or(IpAddr::from([10, 0, 0, 1]));
    let values: Vec<&[u8]> = lines.filter(|v| is_value(v)).take(100).collect();
    let nets: Vec<IpNet> = NETS.iter().map(|n| n.parse().unwrap()).collect();
    let networks = Networks::new(&nets);
    for (header, name, claim) in [
        (ClientIpHeader::XForwardedFor, Known::XForwardedFor, &b"6.6.6.6"[..]),
        (ClientIpHeader::Forwarded, Known::Forwarded, b"for=6.6.6.6;proto=https"),
        (ClientIpHeader::CfConnectingIp, Known::CfConnectingIp, b"6.6.6.6"),
        (ClientIpHeader::TrueClientIp, Known::TrueClientIp, b"6.6.6.6"),
        (ClientIpHeader::XRealIp, Known::XRealIp, b"6.6.6.6"),
    ] {
        let with = |more: &[&[u8]]| {
            let mut fields = Fields::new();
            more.iter().chain(&values).for_each(|v| assert!(fields.add(name, v)));
            fields
        };
        let trust = Trust::new(&nets, header);
        let client = trust.client(peer, &with(&[]));
        assert_eq!(client, client.to_canonical());
        assert_eq!(
            Trust::new(&[], header).client(peer, &with(&[])),
            peer.to_canonical(),
            "nobody is trusted"
        );
        if !networks.contains(peer) {
            assert_eq!(client, peer.to_canonical(), "a stranger is believed");
        }
        // Once the walk has found someone outside our networks, what stands to the left is that one's own claim.
        let is_list = matches!(header, ClientIpHeader::XForwardedFor | ClientIpHeader::Forwarded);
        if is_list && !networks.contains(client) {
            assert_eq!(trust.client(peer, &with(&[claim])), client, "a client chose its own address");
        }
    }
}
