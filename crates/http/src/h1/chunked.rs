//! The chunked transfer coding (RFC 9112 §7.1), decoded a piece at a time.

use super::parse::parse_trailers;
use crate::fault::Fault;
use crate::fields::Fields;
use crate::known::Known;

/// Longest chunk-size line: size, extensions and CRLF. Extensions mean nothing to us and hide smuggling.
pub const MAX_SIZE_LINE: usize = 256;
/// Longest trailer section, in bytes.
pub const MAX_TRAILERS: usize = 8 * 1024;
/// Most hexadecimal digits of a chunk size: below 2^60, so that sums cannot overflow.
const MAX_DIGITS: usize = 15;

/// What the front of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Framing; drop that many bytes and look again.
    Skip(usize),
    /// Body: that many bytes, to be taken off the front.
    Data(usize),
    /// More input is needed.
    Partial,
    /// The body has ended; drop that many bytes. What follows belongs to the next message.
    End(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// Decodes one chunked body.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    trailers: Option<Box<Fields>>,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        ChunkedDecoder { state: State::Size, trailers: None }
    }
}

impl ChunkedDecoder {
    /// Looks at the front of `input`. The caller removes what the piece names before calling again.
    ///
    /// # Errors
    /// Odd sizes, bare CR or LF, missing CRLF after data, malformed or oversized trailers.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, Fault> {
        match self.state {
            State::Size => self.size_line(input),
            State::Data(left) if input.is_empty() => {
                debug_assert!(left > 0);
                Ok(Piece::Partial)
            }
            State::Data(left) => {
                let n = left.min(input.len() as u64);
                self.state = if n == left { State::DataEnd } else { State::Data(left - n) };
                Ok(Piece::Data(n as usize))
            }
            State::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Piece::Skip(2))
                }
                [] | [b'\r'] => Ok(Piece::Partial),
                _ => Err(Fault::Chunk),
            },
            State::Trailers => self.trailer_section(input),
            State::Done => Ok(Piece::End(0)),
        }
    }

    /// Body bytes known to be ahead in the current chunk: how much may be read straight through.
    #[must_use]
    pub fn ahead(&self) -> u64 {
        match self.state {
            State::Data(left) => left,
            _ => 0,
        }
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields, once the body has ended and if there were any that may be forwarded.
    pub fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }

    fn size_line(&mut self, input: &[u8]) -> Result<Piece, Fault> {
        let Some(end) = memchr::memchr(b'\n', input.get(..input.len().min(MAX_SIZE_LINE)).unwrap_or(&[]))
        else {
            return if input.len() >= MAX_SIZE_LINE { Err(Fault::Chunk) } else { check_prefix(input) };
        };
        let line = input.get(..end).and_then(|l| l.strip_suffix(b"\r")).ok_or(Fault::Chunk)?;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at_checked(digits).ok_or(Fault::Chunk)?;
        if digits == 0 || digits > MAX_DIGITS || !extension_is_plain(extension) {
            return Err(Fault::Chunk);
        }
        let size = size.iter().fold(0u64, |n, b| n * 16 + u64::from((*b as char).to_digit(16).unwrap_or(0)));
        self.state = if size == 0 { State::Trailers } else { State::Data(size) };
        Ok(Piece::Skip(end + 1))
    }

    fn trailer_section(&mut self, input: &[u8]) -> Result<Piece, Fault> {
        if input.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(Piece::End(2));
        }
        let window = input.get(..input.len().min(MAX_TRAILERS)).unwrap_or(&[]);
        let mut line_start = 0;
        for at in memchr::memchr_iter(b'\n', window) {
            let line =
                window.get(line_start..at).and_then(|l| l.strip_suffix(b"\r")).ok_or(Fault::Trailer)?;
            if line.is_empty() {
                let mut fields = Fields::new();
                parse_trailers(window.get(..at + 1).unwrap_or(&[]), &mut fields)?;
                fields.retain(|known, _, _| may_trail(known));
                self.trailers = (!fields.is_empty()).then(|| Box::new(fields));
                self.state = State::Done;
                return Ok(Piece::End(at + 1));
            }
            line_start = at + 1;
        }
        if input.len() >= MAX_TRAILERS { Err(Fault::Trailer) } else { Ok(Piece::Partial) }
    }
}

/// Whether a field may stand in a trailer section: none that frames, routes, authenticates or controls (RFC 9110 §6.5.1).
#[must_use]
pub fn may_trail(known: Known) -> bool {
    use Known::*;
    !matches!(
        known,
        TransferEncoding
            | ContentLength
            | Host
            | Connection
            | KeepAlive
            | ProxyConnection
            | Te
            | Trailer
            | Upgrade
            | Authorization
            | ProxyAuthorization
            | Cookie
            | SetCookie
            | CacheControl
            | Expect
            | MaxForwards
            | Range
            | ContentEncoding
            | ContentType
            | ContentRange
            | Age
            | Expires
            | Date
            | Location
            | RetryAfter
            | Vary
            | CfConnectingIp
            | CfRay
            | CfIpCountry
            | CfVisitor
            | CdnLoop
            | XForwardedFor
            | XForwardedProto
            | XForwardedHost
            | XRealIp
            | TrueClientIp
            | Forwarded
            | Pragma
            | IfMatch
            | IfNoneMatch
            | IfRange
            | IfModifiedSince
            | IfUnmodifiedSince
    )
}

/// A first part of a size line that can no longer become a good one is refused without waiting for its end.
fn check_prefix(input: &[u8]) -> Result<Piece, Fault> {
    let digits = input.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let good_start = digits > 0 || input.is_empty();
    let good_next = matches!(input.get(digits), None | Some(b';' | b'\r'));
    if good_start && good_next && digits <= MAX_DIGITS { Ok(Piece::Partial) } else { Err(Fault::Chunk) }
}

/// Nothing, or `;` and visible characters: no spaces before it, no controls, no bare CR.
fn extension_is_plain(extension: &[u8]) -> bool {
    match extension {
        [] => true,
        [b';', rest @ ..] => rest.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Body, trailers and the number of bytes left over.
    type Decoded = (Vec<u8>, Option<Box<Fields>>, usize);

    /// Decodes `input` fed in steps of `step` bytes.
    fn decode(input: &[u8], step: usize) -> Result<Decoded, Fault> {
        let mut decoder = ChunkedDecoder::default();
        let (mut body, mut held, mut fed) = (Vec::new(), Vec::new(), 0);
        loop {
            match decoder.next(&held)? {
                Piece::Skip(n) => drop(held.drain(..n)),
                Piece::Data(n) => body.extend(held.drain(..n)),
                Piece::End(n) => {
                    return Ok((body, decoder.take_trailers(), held.len() - n + input.len() - fed));
                }
                Piece::Partial if fed == input.len() => return Err(Fault::Chunk),
                Piece::Partial => {
                    let to = (fed + step).min(input.len());
                    held.extend_from_slice(&input[fed..to]);
                    fed = to;
                }
            }
        }
    }

    #[test]
    fn good_bodies_are_decoded_whatever_the_steps() {
        let input = b"5\r\nhello\r\n6;a=b\r\n world\r\n00\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\nGET";
        for step in 1..input.len() {
            let (body, trailers, left) = decode(input, step).unwrap();
            assert_eq!((&body[..], left), (&b"hello world"[..], 3));
            let trailers = trailers.unwrap();
            assert_eq!(trailers.get_named(b"x-sum"), Some(&b"1"[..]));
            assert!(!trailers.has(Known::ContentLength), "a trailer must not frame");
        }
    }

    #[test]
    fn odd_bodies_are_refused() {
        for input in [
            "5\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5 ;a\r\nhello\r\n0\r\n\r\n",
            "-1\r\n",
            "\r\n",
            "g\r\n",
            "5\r\nhelloX",
            "5\r\nhello\n0\r\n\r\n",
            "1000000000000000\r\n",
            "5;\u{1}\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\n\n",
        ] {
            for step in [1, 7, 1000] {
                assert!(decode(input.as_bytes(), step).is_err(), "{input:?}");
            }
        }
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(MAX_SIZE_LINE));
        assert_eq!(decode(long.as_bytes(), 1000), Err(Fault::Chunk));
        let trailers = format!("0\r\nA: {}\r\n\r\n", "a".repeat(MAX_TRAILERS));
        assert_eq!(decode(trailers.as_bytes(), 1000), Err(Fault::Trailer));
    }

    proptest! {
        #[test]
        fn steps_do_not_change_the_meaning(input in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'), Just(b'a'), Just(b';'), Just(b':'), any::<u8>()], 0..80)) {
            let whole = decode(&input, 1000);
            for step in [1, 2, 3] {
                let stepped = decode(&input, step);
                prop_assert_eq!(whole.is_ok(), stepped.is_ok());
                if let (Ok(a), Ok(b)) = (&whole, &stepped) {
                    prop_assert_eq!(a, b);
                }
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8), step in 1usize..50) {
            let mut wire = Vec::new();
            for part in &parts {
                crate::h1::encode::chunk(&mut wire, part);
            }
            crate::h1::encode::last_chunk(&mut wire, None);
            let (body, trailers, left) = decode(&wire, step).unwrap();
            prop_assert_eq!(body, parts.concat());
            prop_assert!(trailers.is_none() && left == 0);
        }
    }
}
