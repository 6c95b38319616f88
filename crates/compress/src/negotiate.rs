//! `Accept-Encoding` (RFC 9110 §12.5.3).

use crate::Coding;

/// The coding to send, from every `Accept-Encoding` value of a request and the codings at hand in the order we prefer
/// them. `None` means: as it is.
///
/// The client's weights decide first, our order among equals. A request without the field gets the body as it is, as
/// does one whose field cannot be parsed: a client that cannot write the field may not read the coding either. A coding
/// named twice counts with its lower weight. When the client refuses `identity` and likes nothing we have, it still gets
/// the body as it is (the RFC allows that over an error).
#[must_use]
pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a [u8]>, available: &[Coding]) -> Option<Coding> {
    let mut wishes = Wishes::default();
    for value in values {
        for member in value.split(|b| *b == b',') {
            let member = member.trim_ascii();
            if !member.is_empty() {
                wishes.note(member)?;
            }
        }
    }
    wishes.best(available)
}

/// Weights in thousandths; `None` where the client said nothing.
#[derive(Default)]
struct Wishes {
    gzip: Option<u16>,
    brotli: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Wishes {
    /// Takes one member of the list; `None` when it is malformed.
    fn note(&mut self, member: &[u8]) -> Option<()> {
        let (name, weight) = match member.iter().position(|b| *b == b';') {
            Some(at) => {
                let (name, rest) = member.split_at_checked(at)?;
                (name.trim_ascii_end(), weight(rest.get(1..)?.trim_ascii())?)
            }
            None => (member, 1000),
        };
        if !name.iter().all(|b| is_token(*b)) || name.is_empty() {
            return None;
        }
        let slot = match Coding::of(name) {
            Some(coding) => self.slot(coding),
            None if name == b"*" => &mut self.any,
            None if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            None => return Some(()),
        };
        *slot = Some(slot.map_or(weight, |w| w.min(weight)));
        Some(())
    }

    fn slot(&mut self, coding: Coding) -> &mut Option<u16> {
        match coding {
            Coding::Gzip => &mut self.gzip,
            Coding::Brotli => &mut self.brotli,
            Coding::Zstd => &mut self.zstd,
        }
    }

    fn best(&mut self, available: &[Coding]) -> Option<Coding> {
        let any = self.any;
        let mut best: Option<(u16, Coding)> = None;
        for coding in available {
            let weight = self.slot(*coding).or(any).unwrap_or(0);
            if weight > best.map_or(0, |(w, _)| w) {
                best = Some((weight, *coding));
            }
        }
        // A client may like the plain body better than any coding; where it says nothing of it, coding is welcome.
        best.filter(|(weight, _)| *weight >= self.identity.unwrap_or(0)).map(|(_, coding)| coding)
    }
}

/// `q=0.5` as 500; `None` for anything the grammar of RFC 9110 §12.4.2 does not allow.
fn weight(text: &[u8]) -> Option<u16> {
    let value = text.strip_prefix(b"q=").or_else(|| text.strip_prefix(b"Q="))?;
    let (whole, fraction) = match value.split_first()? {
        (whole @ (b'0' | b'1'), []) => (*whole, &[][..]),
        (whole @ (b'0' | b'1'), [b'.', fraction @ ..]) if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = match fraction.get(place) {
            Some(d @ b'0'..=b'9') => u16::from(d - b'0'),
            Some(_) => return None,
            None => 0,
        };
        thousandths = thousandths * 10 + digit;
    }
    match (whole, thousandths) {
        (b'0', n) => Some(n),
        (_, 0) => Some(1000),
        _ => None,
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Coding::{Brotli, Gzip, Zstd};

    fn pick(value: &str) -> Option<Coding> {
        negotiate([value.as_bytes()], Coding::DYNAMIC)
    }

    #[test]
    fn weights_decide_and_our_order_breaks_ties() {
        for (value, coding) in [
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Gzip)),
            ("gzip", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("gzip;q=1.0, zstd;q=0.9", Some(Gzip)),
            ("gzip ; q=0.2 , br;Q=0.3", Some(Brotli)),
            ("zstd;q=0.001", Some(Zstd)),
            ("deflate", None),
            ("", None),
            (",,gzip,", Some(Gzip)),
            ("zstd;q=0, br;q=0.000, gzip;q=0.5", Some(Gzip)),
            ("gzip, gzip;q=0", None),
        ] {
            assert_eq!(pick(value), coding, "{value}");
        }
    }

    #[test]
    fn the_star_stands_for_what_is_not_named() {
        for (value, coding) in [
            ("*", Some(Zstd)),
            ("*;q=0", None),
            ("zstd;q=0, *", Some(Gzip)),
            ("gzip;q=0.5, *;q=0.1", Some(Gzip)),
            ("gzip;q=0.5, *;q=0", Some(Gzip)),
            ("identity;q=0, *;q=0.1", Some(Zstd)),
        ] {
            assert_eq!(pick(value), coding, "{value}");
        }
    }

    #[test]
    fn a_client_may_like_the_plain_body_best() {
        for (value, coding) in [
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0", None),
            ("identity;q=0, gzip", Some(Gzip)),
        ] {
            assert_eq!(pick(value), coding, "{value}");
        }
    }

    #[test]
    fn a_malformed_field_gets_the_plain_body() {
        for value in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=",
            "gzip;q=a",
            "gzip;level=1",
            "gzip;",
            "gzip;q=.5",
            ";q=1",
            "gz ip",
            "gzip, b\u{fc}",
            "br, gzip;q=-1",
            "gzip;q=1;q=1",
            "gzip;q=0.5x",
        ] {
            assert_eq!(pick(value), None, "{value}");
        }
    }

    #[test]
    fn several_fields_are_one_list_and_none_means_plain() {
        assert_eq!(negotiate([&b"gzip"[..], b"br"], Coding::STATIC), Some(Brotli));
        assert_eq!(negotiate([], Coding::DYNAMIC), None);
        assert_eq!(negotiate([&b"br, zstd"[..]], &[Gzip]), None);
        assert_eq!(negotiate([&b"br, zstd"[..]], Coding::STATIC), Some(Brotli));
    }
}
