//! Pieces of text that are safe in a line of the log.

use std::io::Write as _;
use std::net::IpAddr;

/// Longest text of one field, bytes before escaping; the rest is cut and the cut marked with `…`.
/// A line of a few kilobytes can be read; a client may send targets and fields of 16 KiB and more.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Stands for what was cut.
pub(crate) const CUT: &str = "…";

/// Cuts text to [`MAX_TEXT_BYTES`], not within a UTF-8 sequence. Says whether it cut.
pub(crate) fn cut(text: &[u8]) -> (&[u8], bool) {
    let Some((head, rest)) = text.split_at_checked(MAX_TEXT_BYTES) else { return (text, false) };
    if rest.is_empty() {
        return (text, false);
    }
    let continued = rest.first().is_some_and(|b| b & 0xC0 == 0x80);
    // At most three bytes belong to a sequence that goes on after the cut.
    let back = if continued {
        head.iter().rev().take(3).position(|b| b & 0xC0 != 0x80).map_or(0, |n| n + 1)
    } else {
        0
    };
    (head.get(..head.len() - back).unwrap_or(head), true)
}

/// Appends text as the inside of a JSON string. Bytes that are no UTF-8 become `\u00XX`, as if they were Latin-1:
/// the line stays valid and the evidence stays readable.
pub(crate) fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    if is_clean(text) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        push_json_valid(out, chunk.valid().as_bytes());
        for byte in chunk.invalid() {
            push_json_escape(out, *byte);
        }
    }
}

/// Appends text between the quotes of the combined format: anything but printable ASCII, and `"` and `\`, as `\xHH`.
pub(crate) fn push_combined(out: &mut Vec<u8>, text: &[u8]) {
    if is_clean(text) && memchr::memchr(0x7F, text).is_none() {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        if is_dirty(*byte) || *byte == 0x7F {
            out.extend_from_slice(b"\\x");
            push_hex(out, *byte);
        } else {
            out.push(*byte);
        }
    }
}

/// Appends a decimal number.
pub(crate) fn push_int(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a decimal number with leading zeros.
pub(crate) fn push_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// Appends an address. Version 4 by hand, as `fmt` costs several times as much.
pub(crate) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (position, octet) in v4.octets().into_iter().enumerate() {
                if position > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{v6}");
        }
    }
}

const fn is_dirty(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0x80
}

/// Whether text may stand in a string as it is: ASCII without controls, quotes and backslashes.
///
/// Nearly all text is, and most is short: eight bytes at a time without early exit, the last eight overlapping those
/// before, is the quickest way to know.
fn is_clean(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else { return !text.iter().any(|b| is_dirty(*b)) };
    let (words, _) = text.as_chunks::<8>();
    words.iter().fold(dirty_bits(*last), |dirty, word| dirty | dirty_bits(*word)) & HIGH_BITS == 0
}

const EACH_BYTE: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = EACH_BYTE * 0x80;

/// Sets the high bit of some byte if any of the eight is dirty. Subtracting from a byte sets its high bit if the byte is
/// smaller, or had it set before (not ASCII: dirty as well); a borrow from the byte above needs a dirty byte below it.
fn dirty_bits(word: [u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(word);
    let control = word.wrapping_sub(EACH_BYTE * 0x20);
    let quote = (word ^ (EACH_BYTE * b'"' as u64)).wrapping_sub(EACH_BYTE);
    let backslash = (word ^ (EACH_BYTE * b'\\' as u64)).wrapping_sub(EACH_BYTE);
    word | control | quote | backslash
}

/// Escapes within text known to be UTF-8: quotes, backslashes and controls only.
fn push_json_valid(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x00..=0x1F => push_json_escape(out, *byte),
            _ => out.push(*byte),
        }
    }
}

fn push_json_escape(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\u00");
    push_hex(out, byte);
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    for nibble in [byte >> 4, byte & 15] {
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &[u8]) -> String {
        let mut out = vec![b'"'];
        push_json(&mut out, text);
        out.push(b'"');
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_json_cannot_hold_is_escaped() {
        for (text, expected) in [
            (&b"plain"[..], r#""plain""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"a\nb\x1b", r#""a\u000ab\u001b""#),
            ("grün".as_bytes(), "\"grün\""),
            (b"gr\xFCn", r#""gr\u00fcn""#),
        ] {
            assert_eq!(json(text), expected);
        }
    }

    #[test]
    fn the_combined_format_is_printable_ascii() {
        let mut out = Vec::new();
        push_combined(&mut out, "a\"\\\n\x7Fü".as_bytes());
        assert_eq!(out, br"a\x22\x5c\x0a\x7f\xc3\xbc");
    }

    #[test]
    fn a_cut_does_not_split_a_character() {
        for lead in 0..4 {
            let text = format!("{}{}", "a".repeat(MAX_TEXT_BYTES - lead), "𝄞𝄞");
            let (head, was_cut) = cut(text.as_bytes());
            assert!(was_cut);
            assert!(std::str::from_utf8(head).is_ok(), "{lead}");
        }
        assert!(!cut(&[b'a'; MAX_TEXT_BYTES]).1);
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_json_string_and_utf8_survives(bytes: Vec<u8>, text: String) {
            let _: String = serde_json::from_str(&json(&bytes)).unwrap();
            let back: String = serde_json::from_str(&json(text.as_bytes())).unwrap();
            prop_assert_eq!(back, text);
        }

        #[test]
        fn the_quick_look_agrees_with_the_slow_one(text in "[ -~]{0,40}", at: usize, byte: u8) {
            let mut text = text.into_bytes();
            if !text.is_empty() {
                let at = at % text.len();
                text[at] = byte;
            }
            prop_assert_eq!(is_clean(&text), !text.iter().any(|b| is_dirty(*b)));
        }

        #[test]
        fn addresses_are_written_as_std_writes_them(v4: [u8; 4], v6: [u8; 16]) {
            for ip in [IpAddr::from(v4), IpAddr::from(v6)] {
                let mut out = Vec::new();
                push_ip(&mut out, ip);
                prop_assert_eq!(String::from_utf8(out).unwrap(), ip.to_string());
            }
        }
    }
}
