//! Names of zones and origins, turned into positions when a configuration is loaded.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Zones counted one by one; those beyond share `_other`. A worker has 64 bytes for each, Prometheus ten series.
pub const MAX_ZONES: usize = 1000;

/// Origins counted one by one; those beyond share `_other`.
pub const MAX_ORIGINS: usize = 1000;

/// Where a zone is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZoneSlot(pub(crate) u16);

/// Where an origin is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginSlot(pub(crate) u16);

impl ZoneSlot {
    /// For requests of no zone and of zones beyond [`MAX_ZONES`].
    pub const OTHER: ZoneSlot = ZoneSlot(0);
}

impl OriginSlot {
    /// For origins beyond [`MAX_ORIGINS`].
    pub const OTHER: OriginSlot = OriginSlot(0);
}

/// Which name has which slot. A name keeps its slot from one configuration to the next. Slot 0 is for all others.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    by_name: HashMap<K, u16>,
    /// How many hold a slot claimed by [`Slots::claim`], by slot.
    holders: HashMap<u16, u32>,
    /// Slots never used, the next one last.
    fresh: Vec<u16>,
    /// Slots whose names are gone, the one longest gone first: requests that still hold it have had time to end.
    retired: VecDeque<u16>,
}

impl<K: Clone + Eq + Hash> Slots<K> {
    pub(crate) fn new(limit: usize) -> Self {
        let last = u16::try_from(limit).unwrap_or(u16::MAX);
        Slots {
            by_name: HashMap::new(),
            holders: HashMap::new(),
            fresh: (1..=last).rev().collect(),
            retired: VecDeque::new(),
        }
    }

    /// Gives each name of a new configuration its slot. Calls `reused` for a slot that had another name before.
    pub(crate) fn assign(&mut self, names: &[K], mut reused: impl FnMut(u16)) -> Vec<u16> {
        let wanted: HashSet<&K> = names.iter().collect();
        let retired = &mut self.retired;
        self.by_name.retain(|name, slot| {
            let stays = wanted.contains(name);
            if !stays {
                retired.push_back(*slot);
            }
            stays
        });
        names
            .iter()
            .map(|name| {
                if let Some(slot) = self.by_name.get(name) {
                    return *slot;
                }
                let slot = self.fresh.pop().or_else(|| self.retired.pop_front().inspect(|s| reused(*s)));
                if let Some(slot) = slot {
                    self.by_name.insert(name.clone(), slot);
                }
                slot.unwrap_or(0)
            })
            .collect()
    }

    /// Gives one name its slot, or 0 when none is left. Each claim that got a slot is to be [released](Slots::release) once.
    pub(crate) fn claim(&mut self, name: &K, mut reused: impl FnMut(u16)) -> u16 {
        let slot = match self.by_name.get(name) {
            Some(slot) => *slot,
            None => {
                let slot = self.fresh.pop().or_else(|| self.retired.pop_front().inspect(|s| reused(*s)));
                let Some(slot) = slot else { return 0 };
                self.by_name.insert(name.clone(), slot);
                slot
            }
        };
        *self.holders.entry(slot).or_default() += 1;
        slot
    }

    /// Gives a claimed slot back. It is retired when nobody holds it any more.
    pub(crate) fn release(&mut self, name: &K, slot: u16) {
        let Some(holders) = self.holders.get_mut(&slot) else { return };
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            self.holders.remove(&slot);
            self.by_name.remove(name);
            self.retired.push_back(slot);
        }
    }

    /// Names that have a slot of their own.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Names with their slots, in the order of names.
    pub(crate) fn names(&self) -> Vec<(K, u16)>
    where
        K: Ord,
    {
        let mut names: Vec<(K, u16)> = self.by_name.iter().map(|(k, s)| (k.clone(), *s)).collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(slots: &mut Slots<&'static str>, names: &[&'static str]) -> (Vec<u16>, Vec<u16>) {
        let mut reused = Vec::new();
        let given = slots.assign(names, |s| reused.push(s));
        (given, reused)
    }

    #[test]
    fn a_name_keeps_its_slot_and_those_beyond_the_limit_share_one() {
        let mut slots = Slots::new(2);
        assert_eq!(assign(&mut slots, &["a", "b", "c"]), (vec![1, 2, 0], vec![]));
        assert_eq!(assign(&mut slots, &["b", "a"]), (vec![2, 1], vec![]));
    }

    #[test]
    fn a_slot_is_used_again_when_no_fresh_one_is_left() {
        let mut slots = Slots::new(2);
        assign(&mut slots, &["a"]);
        assert_eq!(assign(&mut slots, &["b"]), (vec![2], vec![]), "fresh before retired");
        assert_eq!(assign(&mut slots, &["b", "c"]), (vec![2, 1], vec![1]));
        assert_eq!(slots.names(), [("b", 2), ("c", 1)]);
    }

    #[test]
    fn a_claimed_slot_is_free_again_when_the_last_holder_has_released_it() {
        let mut slots = Slots::new(1);
        let claim = |slots: &mut Slots<&'static str>, name| slots.claim(&name, |_| ());
        assert_eq!((claim(&mut slots, "a"), claim(&mut slots, "a"), claim(&mut slots, "b")), (1, 1, 0));
        slots.release(&"b", 0);
        slots.release(&"a", 1);
        assert_eq!(claim(&mut slots, "b"), 0, "the second holder has it still");
        slots.release(&"a", 1);
        let mut reused = Vec::new();
        assert_eq!((slots.claim(&"b", |s| reused.push(s)), reused, slots.len()), (1, vec![1], 1));
    }

    #[test]
    fn a_name_given_twice_has_one_slot() {
        let mut slots = Slots::new(2);
        assert_eq!(assign(&mut slots, &["a", "a"]).0, [1, 1]);
    }
}
