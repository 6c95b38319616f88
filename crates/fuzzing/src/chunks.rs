//! Chunked bodies.

use crate::input::{is_name, is_value};
use seawall_http::h1::chunked::{MAX_SIZE_LINE, MAX_TRAILERS, may_trail};
use seawall_http::h1::{ChunkedDecoder, Piece, encode};
use seawall_http::{Fields, Known};

/// What became of an input.
#[derive(Debug, PartialEq)]
enum Told {
    /// A body that ended: its bytes, its trailers that may be forwarded, and how much is left over.
    Whole(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, usize),
    /// More input is needed.
    Open,
    /// No chunked body.
    Bad,
}

/// A chunked body, whole and in steps, against `reference` below, and once more after encoding it again.
pub fn chunked_body(data: &[u8]) {
    let wanted = reference(data);
    for step in [1, 3, data.len().max(1)] {
        let found = decoded(data, step);
        match (&found, &wanted) {
            // A prefix that cannot become a size line is refused before its end is there.
            (Told::Bad, Told::Open) => {}
            (found, wanted) => assert_eq!(found, wanted, "in steps of {step}"),
        }
    }
    if let Told::Whole(body, trailers, _) = wanted {
        let mut wire = Vec::new();
        for part in body.chunks(7) {
            encode::chunk(&mut wire, part);
        }
        let mut fields = Fields::new();
        trailers.iter().for_each(|(name, value)| assert!(fields.push(name, value)));
        encode::last_chunk(&mut wire, Some(&fields));
        assert_eq!(reference(&wire), Told::Whole(body, trailers, 0), "the encoder writes what is refused");
    }
}

fn decoded(input: &[u8], step: usize) -> Told {
    let mut decoder = ChunkedDecoder::default();
    let (mut body, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        let held = &input[start..end];
        let ahead = decoder.ahead();
        match decoder.next(held) {
            Err(_) => return Told::Bad,
            Ok(Piece::Skip(n)) => {
                assert!(n > 0 && n <= held.len(), "framing of {n} bytes in {}", held.len());
                start += n;
            }
            Ok(Piece::Data(n)) => {
                assert!(n > 0 && n <= held.len() && n as u64 <= ahead);
                body.extend_from_slice(&held[..n]);
                start += n;
            }
            Ok(Piece::End(n)) => {
                assert!(decoder.is_done() && decoder.next(&[]) == Ok(Piece::End(0)));
                let trailers = decoder.take_trailers();
                let list = trailers.iter().flat_map(|f| f.iter()).map(|(_, n, v)| (n.to_vec(), v.to_vec()));
                return Told::Whole(body, list.collect(), input.len() - start - n);
            }
            Ok(Piece::Partial) if end == input.len() => return Told::Open,
            Ok(Piece::Partial) => end = (end + step).min(input.len()),
        }
    }
}

/// A decoder written for reading, from RFC 9112 §7.1 and the limits we document: the whole input, line by line.
fn reference(input: &[u8]) -> Told {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let line = match line(&input[at..], MAX_SIZE_LINE) {
            Ok(line) => line,
            Err(told) => return told,
        };
        at += line.len() + 2;
        let (size, extension) = match line.iter().position(|b| *b == b';') {
            Some(semicolon) => (&line[..semicolon], &line[semicolon + 1..]),
            None => (line, &[][..]),
        };
        let digits = std::str::from_utf8(size).unwrap_or("?");
        if digits.is_empty()
            || digits.len() > 15
            || !digits.bytes().all(|b| b.is_ascii_hexdigit())
            || !is_value(extension)
        {
            return Told::Bad;
        }
        let size = u64::from_str_radix(digits, 16).expect("hexadecimal digits");
        if size == 0 {
            return trailers(&input[at..], body);
        }
        let rest = &input[at..];
        let taken = rest.len().min(usize::try_from(size).expect("64 bits"));
        body.extend_from_slice(&rest[..taken]);
        at += taken;
        match &rest[taken..] {
            _ if (taken as u64) < size => return Told::Open,
            [] | [b'\r'] => return Told::Open,
            [b'\r', b'\n', ..] => at += 2,
            _ => return Told::Bad,
        }
    }
}

fn trailers(input: &[u8], body: Vec<u8>) -> Told {
    let (mut at, mut list, mut count) = (0, Vec::new(), 0);
    loop {
        let line = match line(&input[at..], MAX_TRAILERS - at) {
            Ok(line) => line,
            Err(told) => return told,
        };
        at += line.len() + 2;
        if line.is_empty() {
            return Told::Whole(body, list, input.len() - at);
        }
        count += 1;
        let Some(colon) = line.iter().position(|b| *b == b':').filter(|_| count <= 32) else {
            return rest_decides(&input[at..], MAX_TRAILERS - at);
        };
        let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
        if !is_name(name) || !is_value(value) {
            return rest_decides(&input[at..], MAX_TRAILERS - at);
        }
        if may_trail(Known::of(name)) {
            list.push((name.to_vec(), value.to_vec()));
        }
    }
}

/// Without spaces and tabs around it. A CR is neither: `trim_ascii` would forgive one.
fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |i| i + 1);
    &value[start..end]
}

/// Trailers are judged when all of them are there, so a bad one shows with the end of the section.
fn rest_decides(input: &[u8], room: usize) -> Told {
    let mut at = 0;
    loop {
        match line(&input[at..], room - at) {
            Ok([]) => return Told::Bad,
            Ok(line) => at += line.len() + 2,
            Err(told) => return told,
        }
    }
}

/// The first line, without its CRLF, which must end within `room` bytes. CR and LF stand only together.
fn line(input: &[u8], room: usize) -> Result<&[u8], Told> {
    let open = |at: usize| if at >= room { Told::Bad } else { Told::Open };
    let window = &input[..input.len().min(room)];
    let end = window.iter().position(|b| *b == b'\n').ok_or_else(|| open(input.len()))?;
    let line = window[..end].strip_suffix(b"\r").ok_or(Told::Bad)?;
    // A CR elsewhere makes whatever the line is for malformed, once it is judged.
    Ok(line)
}
