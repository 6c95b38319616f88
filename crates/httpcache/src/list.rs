//! The lenient list syntax of Cache-Control: `name`, `name=token`, `name="quoted, text"`.

use std::borrow::Cow;

/// One directive as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    /// Without surrounding blanks; not empty.
    pub name: &'a [u8],
    /// Without quotes.
    pub value: Option<Cow<'a, [u8]>>,
    /// Blanks stood around `=`, which the syntax does not allow: numbers so written are not trusted.
    pub spaced: bool,
}

/// Walks the directives of one field line.
pub(crate) fn directives(line: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    members(line).filter_map(directive)
}

/// Splits at commas outside of quoted strings; members come without surrounding blanks and are not empty.
pub(crate) fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |b| {
        match *b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return true,
            _ => {}
        }
        false
    })
    .map(<[u8]>::trim_ascii)
    .filter(|m| !m.is_empty())
}

/// Whether a byte may stand in a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn directive(member: &[u8]) -> Option<Directive<'_>> {
    let mut halves = member.splitn(2, |b| *b == b'=');
    let raw = halves.next()?;
    let name = raw.trim_ascii();
    if name.is_empty() {
        return None;
    }
    let value = halves.next();
    let spaced = name.len() != raw.len() || value.is_some_and(|v| v.trim_ascii_start().len() != v.len());
    Some(Directive { name, value: value.map(|v| unquote(v.trim_ascii())), spaced })
}

/// The text of a quoted string, or the bytes as they are.
fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")) else {
        return Cow::Borrowed(value);
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut escaped = false;
    let text = inner.iter().copied().filter(|b| {
        let keep = escaped || *b != b'\\';
        escaped = !escaped && *b == b'\\';
        keep
    });
    Cow::Owned(text.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_do_not_split() {
        let all: Vec<_> = directives(b"a, b=\"x, max-age=1\\\"\" ,, c =1,d= 2, =3").collect();
        let text: Vec<_> = all.iter().map(|d| (d.name, d.value.as_deref(), d.spaced)).collect();
        assert_eq!(
            text,
            [
                (&b"a"[..], None, false),
                (b"b", Some(&b"x, max-age=1\""[..]), false),
                (b"c", Some(b"1"), true),
                (b"d", Some(b"2"), true),
            ]
        );
    }

    #[test]
    fn an_open_quote_swallows_the_rest() {
        assert_eq!(directives(b"x=\"a, no-store").count(), 1);
    }
}
