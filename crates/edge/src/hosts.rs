//! Which zone serves a host: exact names, then the closest wildcard above, then the zone for any host.
//!
//! A table is made from another one by changing some claims; what did not change is shared by both.

use crate::live::sharded::Sharded;
use seawall_model::HostPattern;
use std::sync::Arc;

/// A host as a zone claims it. The text is shared by zone and table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Any,
    Exact(Arc<str>),
    Under(Arc<str>),
}

impl From<&HostPattern> for Host {
    fn from(pattern: &HostPattern) -> Host {
        match pattern {
            HostPattern::Any => Host::Any,
            HostPattern::Exact(name) => Host::Exact((**name).into()),
            HostPattern::Under(name) => Host::Under((**name).into()),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Any => f.write_str("*"),
            Host::Exact(name) => f.write_str(name),
            Host::Under(name) => write!(f, "*.{name}"),
        }
    }
}

/// Hosts to slots of zones.
#[derive(Clone, Default)]
pub(crate) struct Hosts {
    exact: Sharded<Claim>,
    under: Sharded<Claim>,
    any: Claimants,
}

#[derive(Clone)]
struct Claim {
    name: Arc<str>,
    by: Claimants,
}

/// Who claims a host: usually one. Where there are more, one has it and the others wait.
#[derive(Clone, Default)]
struct Claimants {
    first: Option<u32>,
    others: Option<Box<[u32]>>,
}

impl Hosts {
    /// Gives a zone its hosts. Where another has a claim too, `prefers(a, b)` says whether `a` is to have it.
    pub(crate) fn claim(&mut self, hosts: &[Host], zone: u32, prefers: &dyn Fn(u32, u32) -> bool) {
        for host in hosts {
            let (table, name) = match host {
                Host::Any => {
                    self.any.add(zone, prefers);
                    continue;
                }
                Host::Exact(name) => (&mut self.exact, name),
                Host::Under(name) => (&mut self.under, name),
            };
            match table.find_mut(name.as_bytes(), |claim| claim.name == *name) {
                Some(claim) => claim.by.add(zone, prefers),
                None => {
                    let by = Claimants { first: Some(zone), others: None };
                    table.insert(name.as_bytes(), Claim { name: name.clone(), by });
                }
            }
        }
    }

    /// Takes its hosts from a zone; who waited for one gets it.
    pub(crate) fn give_up(&mut self, hosts: &[Host], zone: u32, prefers: &dyn Fn(u32, u32) -> bool) {
        for host in hosts {
            let (table, name) = match host {
                Host::Any => {
                    self.any.remove(zone, prefers);
                    continue;
                }
                Host::Exact(name) => (&mut self.exact, name),
                Host::Under(name) => (&mut self.under, name),
            };
            let is = |claim: &Claim| claim.name == *name;
            let Some(claim) = table.find_mut(name.as_bytes(), is) else { continue };
            claim.by.remove(zone, prefers);
            if claim.by.first.is_none() {
                table.remove(name.as_bytes(), is);
            }
        }
    }

    /// The zone of a host, which is in lower case and without port.
    pub(crate) fn find(&self, host: &[u8]) -> Option<u32> {
        if let Some(claim) = self.exact.find(host, |claim| claim.name.as_bytes() == host) {
            return claim.by.first;
        }
        if self.under.len() > 0 {
            let mut rest = host;
            while let Some(dot) = memchr::memchr(b'.', rest) {
                rest = rest.get(dot + 1..).unwrap_or(&[]);
                if let Some(claim) = self.under.find(rest, |claim| claim.name.as_bytes() == rest) {
                    return claim.by.first;
                }
            }
        }
        self.any.first
    }
}

impl Claimants {
    fn add(&mut self, zone: u32, prefers: &dyn Fn(u32, u32) -> bool) {
        let Some(first) = self.first else {
            self.first = Some(zone);
            return;
        };
        // A zone may name a host twice.
        if first == zone || self.others().contains(&zone) {
            return;
        }
        let (first, other) = if prefers(zone, first) { (zone, first) } else { (first, zone) };
        self.first = Some(first);
        self.others = Some(self.others().iter().copied().chain([other]).collect());
    }

    fn remove(&mut self, zone: u32, prefers: &dyn Fn(u32, u32) -> bool) {
        let mut left: Vec<u32> =
            self.first.into_iter().chain(self.others().iter().copied()).filter(|z| *z != zone).collect();
        let best = (0..left.len()).reduce(|best, at| match (left.get(at), left.get(best)) {
            (Some(one), Some(other)) if prefers(*one, *other) => at,
            _ => best,
        });
        self.first = best.map(|at| left.swap_remove(at));
        self.others = (!left.is_empty()).then(|| left.into());
    }

    fn others(&self) -> &[u32] {
        self.others.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> Vec<Host> {
        list.iter().map(|t| Host::from(&HostPattern::parse(t).unwrap())).collect()
    }

    #[test]
    fn the_closest_claim_wins() {
        let zones = [&["a.test", "*.a.test"][..], &["x.a.test"], &["*.deep.a.test"], &["*"]];
        let mut table = Hosts::default();
        for (zone, list) in (0..).zip(zones) {
            table.claim(&hosts(list), zone, &|a, b| a < b);
        }
        for (host, zone) in [
            ("a.test", 0),
            ("b.a.test", 0),
            ("c.b.a.test", 0),
            ("x.a.test", 1),
            ("y.deep.a.test", 2),
            ("deep.a.test", 0),
            ("b.test", 3),
        ] {
            assert_eq!(table.find(host.as_bytes()), Some(zone), "{host}");
        }
        table.give_up(&hosts(&["*"]), 3, &|a, b| a < b);
        assert_eq!(table.find(b"b.test"), None);
    }

    #[test]
    fn of_two_that_claim_a_host_the_preferred_one_has_it_and_the_other_when_it_has_gone() {
        let (mut table, prefers) = (Hosts::default(), |a: u32, b: u32| a < b);
        for zone in [5, 3, 9, 3] {
            table.claim(&hosts(&["a.test", "*"]), zone, &prefers);
        }
        for (has, goes) in [(3, 5), (3, 3), (9, 9)] {
            assert_eq!((table.find(b"a.test"), table.find(b"b.test")), (Some(has), Some(has)));
            table.give_up(&hosts(&["a.test", "*"]), goes, &prefers);
        }
        assert_eq!((table.find(b"a.test"), table.find(b"b.test")), (None, None));
    }
}
