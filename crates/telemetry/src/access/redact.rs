//! Secrets in query strings, kept out of the log.

use memchr::{memchr, memchr2};

/// Query parameters whose values are replaced when configuration names none (`edge.log.redact_query`).
pub const DEFAULT_NAMES: &[&str] = &[
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "jwt",
    "key",
    "api_key",
    "apikey",
    "secret",
    "client_secret",
    "password",
    "passwd",
    "pwd",
    "pass",
    "signature",
    "sig",
    "code",
    "auth",
    "authorization",
    "session",
    "session_id",
    "sessionid",
    "sid",
    "otp",
    "x-amz-signature",
    "x-amz-security-token",
    "x-goog-signature",
];

/// Written in place of a secret.
pub const REPLACEMENT: &[u8] = b"REDACTED";

/// Most names a list may hold; each is compared with each parameter of a request.
pub const MAX_NAMES: usize = 128;

/// The names of parameters that hold secrets.
#[derive(Clone, Debug)]
pub struct Redaction {
    names: Vec<Vec<u8>>,
    /// Bit n is set if a name of n bytes is in the list; most parameters are dismissed by it.
    lengths: u64,
}

impl Redaction {
    /// Redacts parameters of these names, compared without regard to ASCII case. Names beyond [`MAX_NAMES`] are
    /// ignored.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Vec<Vec<u8>> = names
            .into_iter()
            .filter(|n| !n.is_empty())
            .take(MAX_NAMES)
            .map(|n| n.as_bytes().to_vec())
            .collect();
        let lengths = names.iter().fold(0, |bits, n| bits | length_bit(n.len()));
        Redaction { names, lengths }
    }

    /// Splits a target or URL into pieces to log, secrets replaced. Text without `?`, `#` and `@` is one piece.
    ///
    /// Covers values of named parameters after `?` or `#`, separated by `&` or `;`, and the user information of an
    /// absolute URL. Percent-encoding in names is seen through.
    pub(crate) fn pieces<'t>(&self, text: &'t [u8], mut emit: impl FnMut(&'t [u8])) {
        let text = without_user_info(text, &mut emit);
        let Some(start) = memchr2(b'?', b'#', text) else { return emit(text) };
        if self.names.is_empty() {
            return emit(text);
        }
        // What lies between `from` and `at` was read and is not yet emitted.
        let mut from = 0;
        let mut at = start + 1;
        while let Some(rest) = text.get(at..) {
            let length =
                rest.iter().position(|b| matches!(b, b'&' | b';' | b'#' | b'?')).unwrap_or(rest.len());
            let parameter = rest.get(..length).unwrap_or(rest);
            if let Some(equals) = memchr(b'=', parameter)
                && equals + 1 < length
                && self.is_secret(parameter.get(..equals).unwrap_or(parameter))
            {
                emit(text.get(from..=at + equals).unwrap_or_default());
                emit(REPLACEMENT);
                from = at + length;
            }
            at += length + 1;
        }
        if let Some(rest) = text.get(from..) {
            emit(rest);
        }
    }

    /// The text with its secrets replaced.
    #[must_use]
    pub fn redacted(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        self.pieces(text, |piece| out.extend_from_slice(piece));
        out
    }

    fn is_secret(&self, name: &[u8]) -> bool {
        if memchr(b'%', name).is_some() {
            let mut decoded = Vec::with_capacity(name.len());
            decode_into(&mut decoded, name);
            return self.names.iter().any(|n| n.eq_ignore_ascii_case(&decoded));
        }
        self.lengths & length_bit(name.len()) != 0 && self.names.iter().any(|n| n.eq_ignore_ascii_case(name))
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Redaction::of(DEFAULT_NAMES.iter().copied())
    }
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Emits `scheme://REDACTED` of an absolute URL with user information, and returns what follows it; else the text.
fn without_user_info<'t>(text: &'t [u8], emit: &mut impl FnMut(&'t [u8])) -> &'t [u8] {
    if text.first() == Some(&b'/') || memchr(b'@', text).is_none() {
        return text;
    }
    let Some(scheme) = text.windows(3).position(|w| w == b"://") else { return text };
    let Some((head, rest)) = text.split_at_checked(scheme + 3) else { return text };
    let authority = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let Some(at) = rest.get(..authority).and_then(|a| a.iter().rposition(|b| *b == b'@')) else {
        return text;
    };
    emit(head);
    emit(REPLACEMENT);
    rest.get(at..).unwrap_or_default()
}

fn decode_into(out: &mut Vec<u8>, text: &[u8]) {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redacted(redaction: &Redaction, text: &str) -> String {
        String::from_utf8(redaction.redacted(text.as_bytes())).unwrap()
    }

    #[test]
    fn secrets_are_replaced_and_all_else_stays() {
        let redaction = Redaction::default();
        for (text, expected) in [
            ("/", "/"),
            ("", ""),
            ("/a?b=c", "/a?b=c"),
            ("/?token=s3cret", "/?token=REDACTED"),
            ("/?a=1&token=s3cret&b=2", "/?a=1&token=REDACTED&b=2"),
            ("/?TOKEN=s3cret&Api_Key=x", "/?TOKEN=REDACTED&Api_Key=REDACTED"),
            ("/?to%6ben=s3cret", "/?to%6ben=REDACTED"),
            ("/?%74%6F%6B%65%6E=s3cret", "/?%74%6F%6B%65%6E=REDACTED"),
            ("/?token", "/?token"),
            ("/?token=", "/?token="),
            ("/?tokens=2", "/?tokens=2"),
            ("/?a;token=s;b", "/?a;token=REDACTED;b"),
            ("/?password=a=b&x", "/?password=REDACTED&x"),
            ("/?token=a?token=b", "/?token=REDACTED?token=REDACTED"),
            ("/cb#access_token=s3cret", "/cb#access_token=REDACTED"),
            ("/cb?x=1#code=s3cret", "/cb?x=1#code=REDACTED"),
            ("/?&&token=s&", "/?&&token=REDACTED&"),
            ("/?X-Amz-Signature=abc&X-Amz-Date=1", "/?X-Amz-Signature=REDACTED&X-Amz-Date=1"),
            ("https://u:p@h.test/x?sig=1", "https://REDACTED@h.test/x?sig=REDACTED"),
            ("https://h.test/@me?code=1", "https://h.test/@me?code=REDACTED"),
            ("/path@x", "/path@x"),
        ] {
            assert_eq!(redacted(&redaction, text), expected, "{text}");
        }
    }

    #[test]
    fn a_list_of_ones_own_replaces_the_default() {
        let redaction = Redaction::of(["pin"]);
        assert_eq!(redacted(&redaction, "/?pin=1&token=2"), "/?pin=REDACTED&token=2");
        assert_eq!(redacted(&Redaction::of([]), "/?pin=1"), "/?pin=1");
    }

    proptest! {
        #[test]
        fn a_value_of_a_secret_never_comes_through(before in "[a-z=&;?#%/]{0,20}", after in "[a-z=&;%]{0,20}") {
            let text = format!("/?{before}&token=S3CRET{after}");
            prop_assert!(!redacted(&Redaction::default(), &text).contains("S3CRET"), "{}", text);
        }

        #[test]
        fn without_names_nothing_changes(text in "[a-z/?&=;#%]{0,60}") {
            prop_assert_eq!(redacted(&Redaction::of([]), &text), text);
        }
    }
}
