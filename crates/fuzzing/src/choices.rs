//! Choosing by what is asked: content codings and patterns.

use crate::input::{is_value, lines};
use seawall_compress::{Coding, negotiate};
use seawall_httpcache::glob;
use seawall_model::{NamePattern, PathPattern};

/// Values of Accept-Encoding, one a line.
pub fn accept_encoding(data: &[u8]) {
    let values: Vec<&[u8]> = lines(data).filter(|v| is_value(v)).take(20).collect();
    for available in [Coding::DYNAMIC, Coding::STATIC, Coding::STREAM, &[]] {
        let chosen = negotiate(values.iter().copied(), available);
        assert!(chosen.is_none_or(|coding| available.contains(&coding)), "a coding we do not have");
        assert_eq!(chosen, reference(&values, available), "{:?}", String::from_utf8_lossy(data));
    }
}

/// RFC 9110 §12.5.3, member by member as text.
fn reference(values: &[&[u8]], available: &[Coding]) -> Option<Coding> {
    let mut wishes: Vec<(String, u32)> = Vec::new();
    for value in values {
        // Bytes beyond ASCII are in no name and no weight.
        let value: String = value.iter().map(|b| char::from(*b)).collect();
        for member in value.split(',').map(|m| m.trim_matches([' ', '\t'])).filter(|m| !m.is_empty()) {
            let (name, weight) = match member.split_once(';') {
                Some((name, q)) => {
                    (name.trim_end_matches([' ', '\t']), thousandths(q.trim_matches([' ', '\t']))?)
                }
                None => (member, 1000),
            };
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(token) {
                return None;
            }
            let name = name.to_ascii_lowercase();
            wishes.push((if name == "x-gzip" { "gzip".to_owned() } else { name }, weight));
        }
    }
    let wish = |name: &str| wishes.iter().filter(|(n, _)| n == name).map(|(_, w)| *w).min();
    let weight = |coding: &Coding| wish(coding.name()).or_else(|| wish("*")).unwrap_or(0);
    let best =
        available.iter().map(weight).max().filter(|w| *w > 0 && *w >= wish("identity").unwrap_or(0))?;
    available.iter().find(|coding| weight(coding) == best).copied()
}

fn thousandths(text: &str) -> Option<u32> {
    let number = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) || !matches!(whole, "0" | "1") {
        return None;
    }
    let sum = whole.parse::<u32>().ok()? * 1000 + format!("{fraction:0<3}").parse::<u32>().ok()?;
    (sum <= 1000).then_some(sum)
}

/// A pattern on the first line, and what it is held against on the others.
pub fn path_pattern(data: &[u8]) {
    let mut lines = lines(data);
    let pattern = String::from_utf8_lossy(lines.next().unwrap_or(&[])).into_owned();
    let path = PathPattern::parse(&pattern);
    let name = NamePattern::parse(&pattern);
    if let Ok(path) = &path {
        assert_eq!(path.as_str(), pattern);
    }
    for text in lines.map(|line| &line[..line.len().min(300)]).take(5) {
        let want = slowly(pattern.as_bytes(), text);
        assert_eq!(glob::matches(pattern.as_bytes(), text), want, "{pattern:?} {text:?}");
        assert!(
            path.as_ref().is_ok_and(|p| p.matches(text)) == (want && path.is_ok()),
            "{pattern:?} {text:?}"
        );
        assert!(
            name.as_ref().is_ok_and(|p| p.matches(text)) == (want && name.is_ok()),
            "{pattern:?} {text:?}"
        );
    }
}

/// A table of which prefixes match which, row by row: nothing to get wrong.
fn slowly(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for p in pattern {
        let mut next = vec![false; text.len() + 1];
        for i in 0..=text.len() {
            next[i] = match p {
                b'*' => row[i] || (i > 0 && next[i - 1]),
                p => i > 0 && row[i - 1] && text[i - 1] == *p,
            };
        }
        row = next;
    }
    row[text.len()]
}
