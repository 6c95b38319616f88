//! Targeted cache control (RFC 9213): a Structured Fields dictionary (RFC 9651 §4.2.2), strictly parsed.

use crate::directives::{Directives, MAX_SECONDS, Seconds, Source};
use crate::list::is_token;

/// What matters of a member's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    True,
    False,
    Integer(i64),
    /// Between the quotes, escapes kept.
    Text(&'a [u8]),
    /// Tokens, decimals, byte sequences, inner lists …: no directive takes one.
    Other,
}

/// Reads the lines of one targeted field. `None` when it is empty or does not parse: the cache then looks at the
/// next field (RFC 9213 §2.1).
pub(crate) fn directives<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Directives> {
    let mut found = Directives { source: Source::Targeted, ..Directives::default() };
    let mut any = false;
    // Lines are one list (RFC 9110 §5.3); a comma at the seam belongs to neither, so each line parses by itself.
    for line in lines {
        let mut scan = Scan(line);
        scan.spaces();
        while !scan.0.is_empty() {
            let (key, value) = scan.member()?;
            found.set(key, value);
            any = true;
            scan.blanks();
            if scan.0.is_empty() {
                break;
            }
            scan.byte(b',')?;
            scan.blanks();
            if scan.0.is_empty() {
                return None; // a comma must be followed by a member
            }
        }
    }
    any.then_some(found)
}

impl Directives {
    /// A later member of the same name replaces an earlier one (RFC 9651 §3.2).
    fn set(&mut self, key: &[u8], value: Value<'_>) {
        let on = value != Value::False;
        let seconds = match value {
            Value::Integer(n) if n >= 0 => Seconds::Of(n.min(MAX_SECONDS.into()) as u32),
            _ => Seconds::Invalid,
        };
        let mut listed = || match value {
            Value::Text(text) => self.list_fields(Some(text)),
            _ => false,
        };
        match key {
            b"no-store" => self.no_store = on,
            b"no-cache" => self.no_cache = on && !listed(),
            b"private" => self.private = on && !listed(),
            b"public" => self.public = on,
            b"must-revalidate" => self.must_revalidate = on,
            b"proxy-revalidate" => self.proxy_revalidate = on,
            b"must-understand" => self.must_understand = on,
            b"immutable" => self.immutable = on,
            b"max-age" => self.max_age = seconds,
            b"s-maxage" => self.s_maxage = seconds,
            b"stale-while-revalidate" => self.stale_while_revalidate = seconds,
            b"stale-if-error" => self.stale_if_error = seconds,
            _ => {}
        }
    }
}

struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self, expected: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[expected])?;
        Some(())
    }

    fn take_while(&mut self, mut keep: impl FnMut(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|b| !keep(*b)).unwrap_or(self.0.len());
        let (head, tail) = self.0.split_at_checked(end).unwrap_or((self.0, &[]));
        self.0 = tail;
        head
    }

    fn spaces(&mut self) {
        self.take_while(|b| b == b' ');
    }

    fn blanks(&mut self) {
        self.take_while(|b| b == b' ' || b == b'\t');
    }

    fn member(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let key = self.key()?;
        let value = match self.byte(b'=') {
            Some(()) if self.peek() == Some(b'(') => self.inner_list()?,
            Some(()) => self.bare_item()?,
            None => Value::True,
        };
        self.parameters()?;
        Some((key, value))
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.peek().filter(|b| b.is_ascii_lowercase() || *b == b'*')?;
        let key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
        Some(self.take_while(key))
    }

    fn parameters(&mut self) -> Option<()> {
        while self.byte(b';').is_some() {
            self.spaces();
            self.key()?;
            if self.byte(b'=').is_some() {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn inner_list(&mut self) -> Option<Value<'a>> {
        self.byte(b'(')?;
        loop {
            self.spaces();
            if self.byte(b')').is_some() {
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            self.peek().filter(|b| matches!(b, b' ' | b')'))?;
        }
    }

    fn bare_item(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string(),
            b':' => {
                self.byte(b':')?;
                self.take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
                self.byte(b':').map(|()| Value::Other)
            }
            b'?' => {
                self.byte(b'?')?;
                match self.byte(b'1') {
                    Some(()) => Some(Value::True),
                    None => self.byte(b'0').map(|()| Value::False),
                }
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'@' => {
                self.byte(b'@')?;
                matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
            }
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(|b| is_token(b) || b == b':' || b == b'/');
                Some(Value::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let negative = self.byte(b'-').is_some();
        let digits = self.take_while(|b| b.is_ascii_digit());
        if self.byte(b'.').is_some() {
            let fraction = self.take_while(|b| b.is_ascii_digit());
            return ((1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len()))
                .then_some(Value::Other);
        }
        if !(1..=15).contains(&digits.len()) {
            return None;
        }
        let n = digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        Some(Value::Integer(if negative { -n } else { n }))
    }

    fn string(&mut self) -> Option<Value<'a>> {
        self.byte(b'"')?;
        let (mut escaped, mut sound) = (false, true);
        let text = self.take_while(|b| {
            sound &= matches!(b, 0x20..=0x7e) && !(escaped && b != b'"' && b != b'\\');
            let end = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            !end
        });
        self.byte(b'"')?;
        sound.then_some(Value::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Option<Directives> {
        directives([line.as_bytes()].into_iter())
    }

    #[test]
    fn rfc_9213_examples_read() {
        let d = read("max-age=60, must-revalidate").unwrap();
        assert_eq!((d.max_age, d.must_revalidate, d.source), (Seconds::Of(60), true, Source::Targeted));
        assert!(read("no-store").unwrap().no_store);
        assert!(!read("no-store=?0").unwrap().no_store);
        assert_eq!(read("max-age=60;foo=\"b,ar\", max-age=5").unwrap().max_age, Seconds::Of(5));
        assert_eq!(read("max-age=999999999999").unwrap().max_age, Seconds::Of(MAX_SECONDS));
        assert_eq!(read("no-cache=\"Set-Cookie\"").unwrap().unstored.len(), 1);
    }

    #[test]
    fn a_wrong_type_is_invalid_and_a_wrong_syntax_is_nothing() {
        for line in ["max-age=\"60\"", "max-age=6.5", "max-age=-1", "max-age", "max-age=(1 2)", "max-age=x"] {
            assert_eq!(read(line).unwrap().max_age, Seconds::Invalid, "{line}");
        }
        for line in [
            "",
            "  ",
            "Max-Age=60",
            "max-age=60,",
            "max-age =60",
            "max-age= 60",
            "max-age=60 no-store",
            "a=\"",
            "a=?2",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = directives([&line[..]].into_iter());
        }

        #[test]
        fn near_dictionaries_do_not_panic(line in "[a-z*0-9=;,\"?:@(). \\\\-]{0,40}") {
            let _ = read(&line);
        }
    }
}
