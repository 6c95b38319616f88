//! PROXY protocol versions 1 and 2: the addresses a load balancer in front saw.
//!
//! Source: "The PROXY protocol", HAProxy, versions 1 & 2. [`parse`] is pure and looks at a growing prefix of the stream;
//! [`read`] takes the header off a socket and leaves what follows. Believe the header only from peers you trust.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::AsRawFd;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Longest version 1 header, line end included, in bytes (§2.1).
pub const V1_BYTES_MAX: usize = 107;

/// Longest version 2 header taken, in bytes: what the specification tells senders to stay within (§2.2).
pub const V2_BYTES_MAX: usize = 536;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;
const TLV_CRC32C: u8 = 0x03;

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header, or nothing yet: more bytes are needed.
    Partial,
    /// Not a header, or a broken one.
    Invalid(Fault),
    /// A whole header.
    Done(Header),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes to take off the stream.
    pub len: usize,
    /// The client. Nothing if the sender does not say (UNKNOWN, LOCAL, a UNIX socket): the peer is the client then.
    pub source: Option<SocketAddr>,
    /// The address the client connected to.
    pub dest: Option<SocketAddr>,
    /// The sender speaks for itself (health checks).
    pub local: bool,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The stream begins with something else: the peer does not speak the protocol.
    #[error("no PROXY header")]
    Absent,
    /// A version 1 line longer than [`V1_BYTES_MAX`] or without a line end.
    #[error("PROXY line too long")]
    LongLine,
    /// A version 1 line that breaks the grammar.
    #[error("malformed PROXY line")]
    BadLine,
    /// A version 2 header longer than [`V2_BYTES_MAX`].
    #[error("PROXY v2 header too long")]
    TooLong,
    /// A version or command that is not defined.
    #[error("unknown PROXY v2 version or command")]
    BadCommand,
    /// An address family or transport that is not defined.
    #[error("unknown PROXY v2 address family")]
    BadFamily,
    /// Shorter than its addresses.
    #[error("PROXY v2 header too short for its addresses")]
    Short,
    /// Extensions (TLVs) that run over the header's end.
    #[error("malformed PROXY v2 extensions")]
    BadExtension,
    /// The checksum does not fit.
    #[error("PROXY v2 checksum mismatch")]
    BadChecksum,
}

/// Looks at the beginning of a stream. Calling it again with more bytes never changes a verdict other than `Partial`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    if bytes.starts_with(V1_START) {
        return v1(bytes);
    }
    if let Some(rest) = bytes.strip_prefix(V2_START) {
        return v2(bytes, rest);
    }
    match V1_START.starts_with(bytes) || V2_START.starts_with(bytes) {
        true => Parsed::Partial,
        false => Parsed::Invalid(Fault::Absent),
    }
}

/// Why no header was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer sent something wrong.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The socket failed, or ended before the header did.
    #[error("PROXY header: {0}")]
    Io(#[from] io::Error),
}

/// Takes the header off a socket and leaves what follows. With `required` unset a stream without one is left whole and
/// answered with nothing. The caller sets the time limit.
///
/// Peeks, so that nothing needs to be put back; waits for new bytes, not for bytes it has seen.
///
/// # Errors
/// A broken header, a missing one if `required`, or a socket that failed or ended.
pub async fn read(stream: &TcpStream, required: bool) -> Result<Option<Header>, ReadError> {
    let mut buf = [0; V2_BYTES_MAX];
    let mut seen = 0;
    loop {
        let look = || match recv(stream.as_raw_fd(), &mut buf, MsgFlags::MSG_PEEK) {
            Ok(n) if n > 0 && n <= seen => Err(io::ErrorKind::WouldBlock.into()),
            Ok(n) => Ok(n),
            Err(Errno::EINTR) => Err(io::ErrorKind::WouldBlock.into()),
            Err(errno) => Err(io::Error::from(errno)),
        };
        seen = stream.async_io(Interest::READABLE, look).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match parse(buf.get(..seen).unwrap_or(&[])) {
            Parsed::Partial => {}
            Parsed::Invalid(Fault::Absent) if !required => return Ok(None),
            Parsed::Invalid(fault) => return Err(fault.into()),
            Parsed::Done(header) => {
                let taken = stream.try_read(buf.get_mut(..header.len).unwrap_or(&mut []))?;
                return match taken == header.len {
                    true => Ok(Some(header)),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }
}

fn v1(bytes: &[u8]) -> Parsed {
    let window = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    // The first CR must be the one that ends the line.
    let line = match window.iter().position(|b| *b == b'\r' || *b == b'\n') {
        Some(at) => match window.get(at..at + 2) {
            Some(b"\r\n") => window.get(..at).unwrap_or(&[]),
            None if window.ends_with(b"\r") => {
                return match window.len() < V1_BYTES_MAX {
                    true => Parsed::Partial,
                    false => Parsed::Invalid(Fault::LongLine),
                };
            }
            _ => return Parsed::Invalid(Fault::BadLine),
        },
        None if window.len() < V1_BYTES_MAX => return Parsed::Partial,
        None => return Parsed::Invalid(Fault::LongLine),
    };
    let len = line.len() + 2;
    let text = std::str::from_utf8(line).ok().and_then(|l| l.strip_prefix("PROXY "));
    let Some(text) = text else { return Parsed::Invalid(Fault::BadLine) };
    // "UNKNOWN" may be followed by anything, which is ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Parsed::Done(Header { len, source: None, dest: None, local: false });
    }
    match v1_addresses(text) {
        Some((source, dest)) => {
            Parsed::Done(Header { len, source: Some(source), dest: Some(dest), local: false })
        }
        None => Parsed::Invalid(Fault::BadLine),
    }
}

fn v1_addresses(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (family, source, dest, source_port, dest_port) = (next()?, next()?, next()?, next()?, next()?);
    if next().is_some() {
        return None;
    }
    let ip = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    Some((SocketAddr::new(ip(source)?, port(source_port)?), SocketAddr::new(ip(dest)?, port(dest_port)?)))
}

/// Digits without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits)
}

fn v2(bytes: &[u8], rest: &[u8]) -> Parsed {
    let [version_command, family, length @ ..] = rest else {
        // A wrong version is refused as soon as it is there.
        return match rest {
            [version_command] if !known_command(*version_command) => Parsed::Invalid(Fault::BadCommand),
            _ => Parsed::Partial,
        };
    };
    if !known_command(*version_command) {
        return Parsed::Invalid(Fault::BadCommand);
    }
    let [high, low, ..] = length else { return Parsed::Partial };
    let len = V2_FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if len > V2_BYTES_MAX {
        return Parsed::Invalid(Fault::TooLong);
    }
    let Some((header, body)) = bytes.get(..len).and_then(|h| h.split_at_checked(V2_FIXED)) else {
        return Parsed::Partial;
    };
    // LOCAL: the rest is to be skipped, whatever it is (§2.2).
    if version_command & 0x0F == 0 {
        return Parsed::Done(Header { len, source: None, dest: None, local: true });
    }
    match v2_body(*family, header, body) {
        Ok((source, dest)) => Parsed::Done(Header { len, source, dest, local: false }),
        Err(fault) => Parsed::Invalid(fault),
    }
}

fn known_command(byte: u8) -> bool {
    matches!(byte, 0x20 | 0x21)
}

type Ends = (Option<SocketAddr>, Option<SocketAddr>);

fn v2_body(family: u8, header: &[u8], body: &[u8]) -> Result<Ends, Fault> {
    let (addresses, extensions) = match (family >> 4, family & 0x0F) {
        (0, 0..=2) => body.split_at_checked(0),
        (1, 1 | 2) => body.split_at_checked(12),
        (2, 1 | 2) => body.split_at_checked(36),
        (3, 1 | 2) => body.split_at_checked(216),
        _ => return Err(Fault::BadFamily),
    }
    .ok_or(Fault::Short)?;
    let ends = match family >> 4 {
        1 => v2_ends::<4>(addresses),
        2 => v2_ends::<16>(addresses),
        _ => None,
    };
    check_extensions(header, body, extensions)?;
    Ok(ends.map_or((None, None), |(source, dest)| (Some(source), Some(dest))))
}

fn v2_ends<const N: usize>(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (dest, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let dest_port = rest.first_chunk::<2>()?;
    let end = |ip: &[u8; N], port: &[u8; 2]| SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port));
    Some((end(source, source_port), end(dest, dest_port)))
}

/// Walks the extensions (§2.2.1 and on) and checks the sum if one is there; the rest is of no use here.
fn check_extensions(header: &[u8], body: &[u8], extensions: &[u8]) -> Result<(), Fault> {
    let mut rest = extensions;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = after.split_at_checked(length).ok_or(Fault::BadExtension)?;
        if *kind == TLV_CRC32C {
            let stated = value.try_into().map(u32::from_be_bytes).map_err(|_| Fault::BadExtension)?;
            // The sum is taken over the whole header with its own field as zeros.
            let (before, behind) =
                body.split_at_checked(body.len() - next.len() - 4).ok_or(Fault::BadExtension)?;
            let parts = [header, before, &[0; 4], behind.get(4..).unwrap_or(&[])];
            if crc32c(&parts) != stated {
                return Err(Fault::BadChecksum);
            }
        }
        rest = next;
    }
    match rest.is_empty() {
        true => Ok(()),
        false => Err(Fault::BadExtension),
    }
}

/// CRC-32C (RFC 3720 appendix B.4), reflected.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        #[allow(clippy::indexing_slicing)] // i < 256, at compile time
        {
            table[i] = crc;
        }
        i += 1;
    }
    table
};

fn crc32c(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let at = usize::from((crc as u8) ^ byte);
        (crc >> 8) ^ CRC_TABLE.get(at).copied().unwrap_or(0)
    };
    !parts.iter().flat_map(|part| part.iter()).fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn v2_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut h = V2_START.to_vec();
        h.extend([command, family]);
        h.extend((body.len() as u16).to_be_bytes());
        h.extend(body);
        h
    }

    fn tcp4() -> Vec<u8> {
        vec![192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xBB]
    }

    fn with_crc(mut body: Vec<u8>) -> Vec<u8> {
        body.extend([TLV_CRC32C, 0, 4, 0, 0, 0, 0]);
        let mut h = v2_header(0x21, 0x11, &body);
        let sum = crc32c(&[&h]).to_be_bytes();
        let at = h.len() - 4;
        h[at..].copy_from_slice(&sum);
        h
    }

    fn done(len: usize, source: &str, dest: &str) -> Parsed {
        Parsed::Done(Header {
            len,
            source: Some(source.parse().unwrap()),
            dest: Some(dest.parse().unwrap()),
            local: false,
        })
    }

    #[test]
    fn version_1_table() {
        use Fault::{Absent, BadLine, LongLine};
        let unknown = |len| Parsed::Done(Header { len, source: None, dest: None, local: false });
        let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        let end = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        for (text, want) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\nGET /",
                done(45, "192.0.2.1:12345", "198.51.100.2:443"),
            ),
            ("PROXY TCP6 2001:db8::1 ::1 1 0\r\n", done(32, "[2001:db8::1]:1", "[::1]:0")),
            (longest, done(longest.len(), end, end)),
            ("PROXY UNKNOWN\r\n", unknown(15)),
            ("PROXY UNKNOWN whatever it says\r\nrest", unknown(32)),
            ("", Parsed::Partial),
            ("PROX", Parsed::Partial),
            ("PROXY TCP4 192.0.2.1", Parsed::Partial),
            ("PROXY UNKNOWN\r", Parsed::Partial),
            ("GET / HTTP/1.1\r\n", Parsed::Invalid(Absent)),
            ("POST / HTTP/1.1\r\n", Parsed::Invalid(Absent)),
            ("PROXYTCP4", Parsed::Invalid(Absent)),
            ("proxy UNKNOWN\r\n", Parsed::Invalid(Absent)),
            ("PROXY UNKNOWNS\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.1\r198.51.100.2 1 2\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", Parsed::Invalid(BadLine)),
            ("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", Parsed::Invalid(BadLine)),
            ("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", Parsed::Invalid(BadLine)),
            (&long, Parsed::Invalid(LongLine)),
        ] {
            assert_eq!(parse(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn version_2_table() {
        use Fault::{BadCommand, BadExtension, BadFamily, Short, TooLong};
        let tcp6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 15], &[1], &[0, 80, 1, 0xBB]].concat();
        let none = |len, local| Parsed::Done(Header { len, source: None, dest: None, local });
        let tlv = |tail: &[u8]| [&tcp4()[..], tail].concat();
        for (what, bytes, want) in [
            ("IPv4", v2_header(0x21, 0x11, &tcp4()), done(28, "192.0.2.1:12345", "198.51.100.2:443")),
            (
                "IPv4, datagrams",
                v2_header(0x21, 0x12, &tcp4()),
                done(28, "192.0.2.1:12345", "198.51.100.2:443"),
            ),
            ("IPv6", v2_header(0x21, 0x21, &tcp6), done(52, "[2001:db8::1]:80", "[::1]:443")),
            ("UNIX", v2_header(0x21, 0x31, &[b'/'; 216]), none(232, false)),
            ("unspecified", v2_header(0x21, 0x00, &[]), none(16, false)),
            ("local", v2_header(0x20, 0x00, &[]), none(16, true)),
            ("local with a block to skip", v2_header(0x20, 0xFF, &[9; 7]), none(23, true)),
            ("longest", v2_header(0x20, 0x00, &[0; 520]), none(536, true)),
            (
                "extensions",
                v2_header(0x21, 0x11, &tlv(&[4, 0, 1, 0, 0xEE, 0, 0])),
                done(35, "192.0.2.1:12345", "198.51.100.2:443"),
            ),
            ("too long", v2_header(0x20, 0x00, &[0; 521]), Parsed::Invalid(TooLong)),
            ("version 1 in version 2", v2_header(0x11, 0x11, &tcp4()), Parsed::Invalid(BadCommand)),
            ("command 2", v2_header(0x22, 0x11, &tcp4()), Parsed::Invalid(BadCommand)),
            ("family 4", v2_header(0x21, 0x41, &tcp4()), Parsed::Invalid(BadFamily)),
            ("transport 3", v2_header(0x21, 0x13, &tcp4()), Parsed::Invalid(BadFamily)),
            ("short", v2_header(0x21, 0x11, &tcp4()[..11]), Parsed::Invalid(Short)),
            ("extension cut", v2_header(0x21, 0x11, &tlv(&[4, 0, 2, 0])), Parsed::Invalid(BadExtension)),
            ("extension head cut", v2_header(0x21, 0x11, &tlv(&[4, 0])), Parsed::Invalid(BadExtension)),
            ("odd checksum", v2_header(0x21, 0x11, &tlv(&[3, 0, 1, 0])), Parsed::Invalid(BadExtension)),
        ] {
            assert_eq!(parse(&bytes), want, "{what}");
        }
    }

    #[test]
    fn the_checksum_is_checked() {
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xE306_9283, "the standard's check value");
        let good = with_crc(tcp4());
        assert_eq!(parse(&good), done(35, "192.0.2.1:12345", "198.51.100.2:443"));
        for at in 16..good.len() - 7 {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(parse(&bad), Parsed::Invalid(Fault::BadChecksum), "byte {at}");
        }
    }

    fn any_start() -> impl Strategy<Value = Vec<u8>> {
        let line = "PROXY (TCP4|TCP6|UNKNOWN)? ?[0-9a-f.: ]{0,60}(\r\n|\n|\r)?";
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            line.prop_map(String::into_bytes),
            (any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80))
                .prop_map(|(c, f, b)| v2_header(0x20 | (c & 3), f & 0x33, &b)),
            proptest::collection::vec(any::<u8>(), 0..30).prop_map(|t| with_crc([tcp4(), t].concat())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_verdict_on_a_prefix_is_the_verdict_on_the_whole(start in any_start(), tail in proptest::collection::vec(any::<u8>(), 0..8)) {
            let all = [start, tail].concat();
            let whole = parse(&all);
            for n in 0..=all.len() {
                match parse(&all[..n]) {
                    Parsed::Partial => {}
                    verdict => {
                        prop_assert_eq!(verdict, whole);
                        if let Parsed::Done(h) = verdict {
                            prop_assert!(h.len <= n && h.len <= V2_BYTES_MAX);
                        }
                    }
                }
            }
            if all.len() >= V2_BYTES_MAX {
                prop_assert_ne!(whole, Parsed::Partial);
            }
        }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_header_in_single_bytes_is_taken_off_and_the_rest_left() {
        for header in [b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n".to_vec(), with_crc(tcp4())] {
            let (mut client, mut server) = pair().await;
            client.set_nodelay(true).unwrap();
            let send = async {
                for byte in header.iter().chain(b"GET") {
                    client.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let (header, ()) = tokio::join!(read(&server, true), send);
            assert_eq!(header.unwrap().unwrap().source, Some("192.0.2.1:12345".parse().unwrap()));
            let mut rest = [0; 3];
            server.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"GET");
        }
    }

    #[tokio::test]
    async fn a_stream_without_a_header_is_left_whole_or_refused() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"PUT / HTTP/1.1").await.unwrap();
        assert!(matches!(read(&server, true).await, Err(ReadError::Fault(Fault::Absent))));
        assert!(read(&server, false).await.unwrap().is_none());
        drop(client);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"PUT / HTTP/1.1");
    }

    #[tokio::test]
    async fn a_peer_that_leaves_without_a_word_is_noticed() {
        let (client, server) = pair().await;
        drop(client);
        assert!(matches!(read(&server, true).await, Err(ReadError::Io(_))));
    }
}
