//! Bytes taken for the inputs of targets, so that corpus files can be read and written by people.

use seawall_http::Fields;

/// The lines of a text, without their ends; LF and CRLF both end a line.
pub(crate) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The parts between empty lines.
pub(crate) fn blocks(data: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut blocks = vec![Vec::new()];
    for line in lines(data) {
        match line.is_empty() {
            true => blocks.push(Vec::new()),
            false => blocks.last_mut().unwrap().push(line),
        }
    }
    blocks
}

/// Lines `Name: value` as fields; what the codecs would never let through (odd names, control characters) is left out.
pub(crate) fn fields<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Fields {
    let mut fields = Fields::new();
    for line in lines {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if is_name(name) && is_value(value) && !fields.push(name, value) {
            break;
        }
    }
    fields
}

/// `1*tchar` (RFC 9110 §5.6.2).
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Visible characters, bytes beyond ASCII, spaces and tabs (RFC 9110 §5.5).
pub(crate) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f))
}
