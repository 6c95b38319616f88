//! Sets of addresses.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses as sorted ranges that neither overlap nor touch; 8 bytes a range of IPv4, 32 of IPv6. Looking up is
/// a binary search; a million networks are fine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl AddressSet {
    /// The set of all addresses in some networks. IPv4 addresses mapped into IPv6 (`::ffff:0:0/96`) count as IPv4.
    #[must_use]
    pub fn new<'a>(networks: impl IntoIterator<Item = &'a IpNet>) -> AddressSet {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => match (net.network().to_ipv4_mapped(), net.broadcast().to_ipv4_mapped()) {
                    (Some(first), Some(last)) => v4.push((first.to_bits(), last.to_bits())),
                    _ => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
                },
            }
        }
        AddressSet { v4: joined(v4, |a| a.checked_add(1)), v6: joined(v6, |a| a.checked_add(1)) }
    }

    /// Whether an address is in the set.
    #[must_use]
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }

    /// Whether no address is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Number of ranges.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The ranges, first and last address of each, IPv4 before IPv6, in order.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 =
            self.v4.iter().map(|(a, b)| (Ipv4Addr::from_bits(*a).into(), Ipv4Addr::from_bits(*b).into()));
        let v6 =
            self.v6.iter().map(|(a, b)| (Ipv6Addr::from_bits(*a).into(), Ipv6Addr::from_bits(*b).into()));
        v4.chain(v6)
    }

    /// Memory it holds, in bytes.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        size_of_val(&*self.v4) + size_of_val(&*self.v6)
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn joined<N: Ord + Copy>(mut ranges: Vec<(N, N)>, next: impl Fn(N) -> Option<N>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let touches = next(earlier.1).is_none_or(|after| later.0 <= after);
        if touches {
            earlier.1 = earlier.1.max(later.1);
        }
        touches
    });
    ranges.into_boxed_slice()
}

#[inline]
fn within<N: Ord + Copy>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(networks: &[&str]) -> AddressSet {
        AddressSet::new(&networks.iter().map(|n| n.parse().unwrap()).collect::<Vec<IpNet>>())
    }

    #[test]
    fn addresses_are_found_at_both_ends_of_a_network_and_not_beyond() {
        let set = set(&["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "255.255.255.255/32", "0.0.0.0/32"]);
        for (address, want) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("9.255.255.255", false),
            ("11.0.0.0", false),
            ("192.0.2.1", true),
            ("192.0.2.0", false),
            ("192.0.2.2", false),
            ("0.0.0.0", true),
            ("0.0.0.1", false),
            ("255.255.255.255", true),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("2001:db9::", false),
            ("::ffff:10.1.2.3", true),
            ("::10.1.2.3", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), want, "{address}");
        }
    }

    #[test]
    fn mapped_networks_are_those_of_ipv4() {
        assert_eq!(set(&["::ffff:192.0.2.0/120"]), set(&["192.0.2.0/24"]));
    }

    #[test]
    fn networks_that_touch_become_one_range() {
        let one = set(&["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7/32", "10.0.0.0/24"]);
        let ends: Vec<String> = one.iter().map(|(a, b)| format!("{a}-{b}")).collect();
        assert_eq!(ends, ["10.0.0.0-10.0.1.255"]);
        assert_eq!(set(&["0.0.0.0/0", "1.2.3.4/32", "::/0"]).ranges(), 2);
        assert!(set(&[]).is_empty() && !set(&[]).contains("::1".parse().unwrap()));
    }

    #[test]
    fn a_million_networks_take_eight_megabytes() {
        let networks: Vec<IpNet> =
            (0..1_000_000u32).map(|n| IpNet::new(Ipv4Addr::from_bits(n << 12).into(), 21).unwrap()).collect();
        let set = AddressSet::new(&networks);
        assert_eq!((set.ranges(), set.heap_size()), (1_000_000, 8_000_000));
        assert!(set.contains(Ipv4Addr::from_bits(77 << 12 | 5).into()));
        assert!(!set.contains(Ipv4Addr::from_bits(77 << 12 | 0x800).into()));
    }

    proptest! {
        #[test]
        fn a_set_holds_what_one_of_its_networks_holds(
            networks in prop::collection::vec((0u32..64, 22u8..=32, any::<bool>()), 0..20),
            probe in 0u32..64, low in 0u32..1024, six in any::<bool>(),
        ) {
            // Close together, so that they overlap and touch.
            let at = |n: u32, six: bool| -> IpAddr {
                if six { Ipv6Addr::from_bits(u128::from(n) | 1 << 96).into() } else { Ipv4Addr::from_bits(n).into() }
            };
            let networks: Vec<IpNet> = networks.iter().map(|(n, length, six)| {
                IpNet::new(at(n << 6, *six), if *six { length + 96 } else { *length }).unwrap().trunc()
            }).collect();
            let address = at(probe << 6 | low, six);
            let set = AddressSet::new(&networks);
            prop_assert_eq!(set.contains(address), networks.iter().any(|n| n.contains(&address)));
            let mut last = None;
            for (first, end) in set.iter() {
                prop_assert!(first <= end && last.is_none_or(|l| l < first));
                last = Some(end);
            }
        }
    }
}
