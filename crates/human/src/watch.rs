//! Which headers the features of a file look at: names to slots, so that one pass over a head finds all of them.

use crate::kinds::{Kind, Measure, Parameter};
use crate::limits::HEADERS_MAX;
use seawall_http::Known;
use seawall_http::known::KNOWN;

pub(crate) const USER_AGENT: &str = "user-agent";
pub(crate) const HINTS: &str = "sec-ch-ua";
pub(crate) const PLATFORM: &str = "sec-ch-ua-platform";
pub(crate) const MOBILE: &str = "sec-ch-ua-mobile";
pub(crate) const SITE: &str = "sec-fetch-site";
pub(crate) const MODE: &str = "sec-fetch-mode";
pub(crate) const DEST: &str = "sec-fetch-dest";
pub(crate) const USER: &str = "sec-fetch-user";

/// Buckets of the table of names; a few times the names a usual file has.
const BUCKETS: usize = 128;

/// No slot, no next entry.
const NONE: u8 = u8::MAX;

/// Header names and the slots their values go to.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// Names in order of their slots, in lower case, each with the next of its bucket.
    names: Vec<(Box<[u8]>, u8)>,
    /// The first name of each bucket.
    buckets: [u8; BUCKETS],
    /// Slots of well-known names.
    known: [u8; KNOWN],
}

impl Default for Watch {
    fn default() -> Watch {
        Watch { names: Vec::new(), buckets: [NONE; BUCKETS], known: [NONE; KNOWN] }
    }
}

impl Watch {
    /// The headers that a feature of this kind looks at.
    pub(crate) fn names_of(kind: &Kind, parameter: &str) -> Vec<String> {
        let names: Vec<&str> = match (kind.parameter, kind.measure) {
            (Parameter::Header, _) => vec![parameter],
            (Parameter::Headers, _) => parameter.splitn(2, ',').collect(),
            (Parameter::HeaderText, _) => parameter.splitn(2, ':').take(1).collect(),
            (_, Measure::AgentText | Measure::AgentVersion | Measure::AgentWords) => vec![USER_AGENT],
            (_, Measure::HintsAgree) => vec![USER_AGENT, HINTS],
            (_, Measure::PlatformAgrees) => vec![USER_AGENT, PLATFORM],
            (_, Measure::MobileAgrees) => vec![USER_AGENT, MOBILE],
            (_, Measure::FetchAgrees) => vec![SITE, MODE, DEST, USER],
            _ => Vec::new(),
        };
        names.into_iter().map(str::to_owned).collect()
    }

    /// The slot of a name, which is made if there is room; at most [`HEADERS_MAX`].
    pub(crate) fn enter(&mut self, name: &str) -> Option<u8> {
        let lower = name.to_ascii_lowercase().into_bytes();
        let known = Known::of(&lower);
        if let Some(slot) = self.slot(known, &lower) {
            return Some(slot);
        }
        if self.names.len() >= HEADERS_MAX {
            return None;
        }
        let slot = u8::try_from(self.names.len()).ok()?;
        let mut next = NONE;
        match self.known.get_mut(known as usize) {
            Some(place) => *place = slot,
            None => {
                if let Some(first) = self.buckets.get_mut(bucket(&lower)) {
                    next = std::mem::replace(first, slot);
                }
            }
        }
        self.names.push((lower.into_boxed_slice(), next));
        Some(slot)
    }

    /// The slot of a name that came with a request.
    #[inline]
    pub(crate) fn slot(&self, known: Known, name: &[u8]) -> Option<u8> {
        if let Some(slot) = self.known.get(known as usize) {
            return (*slot != NONE).then_some(*slot);
        }
        let mut slot = self.buckets.get(bucket(name)).copied().unwrap_or(NONE);
        // Ends: an entry's next was entered before it.
        while let Some((entered, next)) = self.names.get(slot as usize) {
            if entered.eq_ignore_ascii_case(name) {
                return Some(slot);
            }
            slot = *next;
        }
        None
    }
}

/// Length and three letters from the back, where names of a family differ (`sec-fetch-site`, `sec-fetch-mode`).
#[inline]
fn bucket(name: &[u8]) -> usize {
    let mut back = name.iter().rev().map(|b| usize::from(b | 0x20));
    let (a, b, c) = (back.next().unwrap_or(0), back.next().unwrap_or(0), back.nth(1).unwrap_or(0));
    (name.len().wrapping_mul(37) ^ a ^ b.wrapping_mul(7) ^ c.wrapping_mul(19)) % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_slot_in_any_case_and_no_more_than_there_are() {
        let mut watch = Watch::default();
        let names: Vec<String> = (0..HEADERS_MAX)
            .map(|i| match i {
                0 => "accept".to_owned(),
                1 => "sec-fetch-site".to_owned(),
                2 => "sec-fetch-mode".to_owned(),
                _ => format!("x-{i}"),
            })
            .collect();
        for (i, name) in names.iter().enumerate() {
            assert_eq!(watch.enter(name), Some(i as u8));
            assert_eq!(watch.enter(&name.to_uppercase()), Some(i as u8), "twice is one");
        }
        assert_eq!(watch.enter("one-more"), None);
        for (i, name) in names.iter().enumerate() {
            for spelling in [name.clone(), name.to_uppercase()] {
                let bytes = spelling.as_bytes();
                assert_eq!(watch.slot(Known::of(bytes), bytes), Some(i as u8), "{spelling}");
            }
        }
        for other in ["", "x", "x-99", "host", "sec-fetch-dest"] {
            assert_eq!(watch.slot(Known::of(other.as_bytes()), other.as_bytes()), None, "{other}");
        }
    }
}
