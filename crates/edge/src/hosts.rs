//! Which zone serves a host: exact names, then the closest wildcard above, then the zone for any host.

use rapidhash::RapidHashMap;
use seawall_model::HostPattern;

/// Hosts to positions of zones.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    exact: RapidHashMap<Box<[u8]>, usize>,
    under: RapidHashMap<Box<[u8]>, usize>,
    any: Option<usize>,
}

impl Hosts {
    /// A table of the hosts of each zone in turn. Where two claim one host, the first has it.
    pub(crate) fn new<'a>(zones: impl Iterator<Item = &'a [HostPattern]>) -> Hosts {
        let mut hosts = Hosts::default();
        for (zone, patterns) in zones.enumerate() {
            for pattern in patterns {
                match pattern {
                    HostPattern::Any => {
                        hosts.any.get_or_insert(zone);
                    }
                    HostPattern::Exact(name) => {
                        hosts.exact.entry(name.as_bytes().into()).or_insert(zone);
                    }
                    HostPattern::Under(name) => {
                        hosts.under.entry(name.as_bytes().into()).or_insert(zone);
                    }
                }
            }
        }
        hosts
    }

    /// The zone of a host, which is in lower case and without port.
    pub(crate) fn find(&self, host: &[u8]) -> Option<usize> {
        if let Some(zone) = self.exact.get(host) {
            return Some(*zone);
        }
        if !self.under.is_empty() {
            let mut rest = host;
            while let Some(dot) = memchr::memchr(b'.', rest) {
                rest = rest.get(dot + 1..).unwrap_or(&[]);
                if let Some(zone) = self.under.get(rest) {
                    return Some(*zone);
                }
            }
        }
        self.any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_claim_wins() {
        let zones: Vec<Vec<HostPattern>> =
            [&["a.test", "*.a.test"][..], &["x.a.test"], &["*.deep.a.test"], &["*"]]
                .iter()
                .map(|list| list.iter().map(|t| HostPattern::parse(t).unwrap()).collect())
                .collect();
        let hosts = Hosts::new(zones.iter().map(Vec::as_slice));
        for (host, zone) in [
            ("a.test", 0),
            ("b.a.test", 0),
            ("c.b.a.test", 0),
            ("x.a.test", 1),
            ("y.deep.a.test", 2),
            ("deep.a.test", 0),
            ("b.test", 3),
        ] {
            assert_eq!(hosts.find(host.as_bytes()), Some(zone), "{host}");
        }
        let none = Hosts::new(zones.iter().take(3).map(Vec::as_slice));
        assert_eq!(none.find(b"b.test"), None);
    }
}
