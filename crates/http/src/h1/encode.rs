//! Writing heads and chunks, always in canonical form.

use crate::fields::Fields;
use crate::known::Known;

/// A set of well-known names, for leaving fields out while writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u128);

impl KnownSet {
    /// The set of these names.
    #[must_use]
    pub const fn of(names: &[Known]) -> KnownSet {
        let mut bits = 0;
        let mut rest = names;
        while let [first, more @ ..] = rest {
            bits |= 1u128 << (*first as u8);
            rest = more;
        }
        KnownSet(bits)
    }

    /// Whether the name is in the set. [`Known::Other`] never is.
    #[must_use]
    #[inline]
    pub const fn has(self, name: Known) -> bool {
        !matches!(name, Known::Other) && self.0 >> (name as u8) & 1 == 1
    }

    /// The set with one name more.
    #[must_use]
    pub const fn with(self, name: Known) -> KnownSet {
        KnownSet(self.0 | 1u128 << (name as u8))
    }

    /// The set with one name less.
    #[must_use]
    pub const fn without(self, name: Known) -> KnownSet {
        KnownSet(self.0 & !(1u128 << (name as u8)))
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: KnownSet) -> KnownSet {
        KnownSet(self.0 | other.0)
    }
}

/// Appends `METHOD target HTTP/1.1`.
pub fn request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    out.reserve(method.len() + target.len() + 16);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Appends `HTTP/1.1 status reason`; the usual reason where none is given.
pub fn status_line(out: &mut Vec<u8>, status: u16, reason_given: &[u8]) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(digits.format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(if reason_given.is_empty() { reason(status).as_bytes() } else { reason_given });
    out.extend_from_slice(b"\r\n");
}

/// Appends one field.
#[inline]
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field whose value is a number.
pub fn field_number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    field(out, name, itoa::Buffer::new().format(value).as_bytes());
}

/// Appends every field but those in `leave_out`, in their order and case.
pub fn fields(out: &mut Vec<u8>, list: &Fields, leave_out: KnownSet) {
    list.write_lines(out, |known| !leave_out.has(known));
}

/// Appends the empty line that ends a head.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends the size line of a chunk of `len` bytes; the data and [`CHUNK_END`] follow. `len` must not be 0.
pub fn chunk_size(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "a chunk of no bytes would end the body");
    let mut digits = [0u8; 18];
    let (mut left, mut at) = (len, digits.len() - 2);
    if let Some(end) = digits.last_chunk_mut::<2>() {
        *end = *b"\r\n";
    }
    while left > 0 && at > 0 {
        at -= 1;
        if let Some(slot) = digits.get_mut(at) {
            *slot = b"0123456789abcdef".get(left & 15).copied().unwrap_or(b'0');
        }
        left >>= 4;
    }
    out.extend_from_slice(digits.get(at..).unwrap_or(&[]));
}

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends a whole chunk; nothing for no data.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        chunk_size(out, data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(CHUNK_END);
    }
}

/// Appends the last chunk and the trailer section.
pub fn last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(out, trailers, KnownSet::default());
    }
    end(out);
}

/// The usual reason phrase (IANA registry; 52x and 530 as Cloudflare names them).
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        520 => "Web Server Returned an Unknown Error",
        521 => "Web Server Is Down",
        522 => "Connection Timed Out",
        523 => "Origin Is Unreachable",
        524 => "A Timeout Occurred",
        525 => "SSL Handshake Failed",
        526 => "Invalid SSL Certificate",
        530 => "Origin DNS Error",
        _ => http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for (n, want) in [(1, "1\r\n"), (16, "10\r\n"), (255, "ff\r\n"), (usize::MAX, "ffffffffffffffff\r\n")]
        {
            let mut out = Vec::new();
            chunk_size(&mut out, n);
            assert_eq!(out, want.as_bytes());
        }
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        const SET: KnownSet = KnownSet::of(&[Known::Host, Known::XRealIp]);
        assert!(
            SET.has(Known::Host) && SET.has(Known::XRealIp) && !SET.has(Known::Via) && !SET.has(Known::Other)
        );
        assert!(!SET.without(Known::Host).has(Known::Host) && SET.with(Known::Via).has(Known::Via));
    }
}
