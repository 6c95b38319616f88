//! The zones of a configuration, in slots that outlast it: a table made from another one shares all that did not change.

use super::entry::Entry;
use super::sharded::Sharded;
use crate::hosts::{Host, Hosts};
use seawall_net::tls::dev::NAMES_MAX;
use std::sync::Arc;

/// Zones that are copied together when one of them changes: a few microseconds of counting references.
const CHUNK: usize = 256;

/// Zones by slot, by name and by host.
#[derive(Clone, Default)]
pub(crate) struct Table {
    chunks: Vec<Arc<Chunk>>,
    names: Sharded<u32>,
    hosts: Hosts,
    /// No chunk before this one has room.
    vacant: usize,
}

#[derive(Clone)]
struct Chunk {
    entries: [Option<Arc<Entry>>; CHUNK],
    used: usize,
    /// Which of them have monitors, are counted one by one in the metrics, name lists, have certificates of their own,
    /// stand for a version that failed.
    monitored: Bits,
    counted: Bits,
    listed: Bits,
    certified: Bits,
    kept: Bits,
}

impl Default for Chunk {
    fn default() -> Self {
        Chunk {
            entries: [const { None }; CHUNK],
            used: 0,
            monitored: Bits::default(),
            counted: Bits::default(),
            listed: Bits::default(),
            certified: Bits::default(),
            kept: Bits::default(),
        }
    }
}

/// A set of places in a chunk.
#[derive(Clone, Copy, Default)]
struct Bits([u64; CHUNK / 64]);

impl Bits {
    fn set(&mut self, at: usize, on: bool) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word = *word & !(1 << (at % 64)) | u64::from(on) << (at % 64);
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(n, mut word)| {
            std::iter::from_fn(move || {
                let lowest = word.checked_sub(1).map(|_| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(n * 64 + lowest)
            })
        })
    }
}

impl Table {
    /// Zones in it.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The zone in a slot.
    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<&Arc<Entry>> {
        self.chunks.get(slot / CHUNK)?.entries.get(slot % CHUNK)?.as_ref()
    }

    /// The slot of the zone of this name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        let is = |slot: &u32| self.get(*slot as usize).is_some_and(|entry| entry.name() == name);
        self.names.find(name.as_bytes(), is).map(|slot| *slot as usize)
    }

    /// The slot of the zone that serves a host (lower case, without port).
    #[inline]
    pub(crate) fn find(&self, host: &[u8]) -> Option<usize> {
        self.hosts.find(host).map(|slot| slot as usize)
    }

    /// Every zone with its slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.chunks.iter().enumerate().flat_map(|(n, chunk)| {
            let entries = chunk.entries.iter().enumerate();
            entries.filter_map(move |(at, entry)| Some((n * CHUNK + at, entry.as_ref()?)))
        })
    }

    /// Zones with monitors.
    pub(crate) fn monitored(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.of(|chunk| chunk.monitored)
    }

    /// Zones some of whose origins are counted one by one.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.of(|chunk| chunk.counted)
    }

    /// Zones that name lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.of(|chunk| chunk.listed)
    }

    /// Zones with certificates of their own.
    pub(crate) fn certified(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.of(|chunk| chunk.certified)
    }

    /// Hosts of the zones in the lowest slots: as many as the self-signed certificate may be asked to carry, with room for
    /// those that cannot stand in one.
    pub(crate) fn first_hosts(&self) -> impl Iterator<Item = &Host> {
        self.iter().flat_map(|(_, entry)| entry.hosts().iter()).take(2 * NAMES_MAX)
    }

    /// Zones that stand in the place of a newer version that failed.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.of(|chunk| chunk.kept)
    }

    fn of(&self, set: impl Fn(&Chunk) -> Bits) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.chunks.iter().enumerate().flat_map(move |(n, chunk)| {
            set(chunk).iter().filter_map(move |at| Some((n * CHUNK + at, chunk.entries.get(at)?.as_ref()?)))
        })
    }

    /// Takes a zone in, in the place of its namesake if there is one. `kept`: it stands for a newer version that failed,
    /// and whoever else claims a host of it has that host. Answers its slot.
    pub(crate) fn put(&mut self, entry: Arc<Entry>, kept: bool) -> usize {
        let slot = match self.named(entry.name()) {
            Some(slot) => slot,
            None => {
                let slot = self.vacancy();
                self.names.insert(entry.name().as_bytes(), u32::try_from(slot).unwrap_or(u32::MAX));
                slot
            }
        };
        let past = self.get(slot).cloned();
        let same_claims =
            past.as_ref().is_some_and(|past| past.hosts() == entry.hosts()) && self.is_kept(slot) == kept;
        if !same_claims && let Some(past) = &past {
            self.give_up(past.hosts(), slot);
        }
        let hosts = entry.hosts().clone();
        self.set(slot, Some(entry), kept);
        if !same_claims {
            self.claim(&hosts, slot);
        }
        slot
    }

    /// Takes a zone out.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Entry>> {
        let slot = self.named(name)?;
        let past = self.get(slot).cloned()?;
        self.give_up(past.hosts(), slot);
        let is = |found: &u32| *found as usize == slot;
        self.names.remove(name.as_bytes(), is);
        self.set(slot, None, false);
        self.vacant = self.vacant.min(slot / CHUNK);
        Some(past)
    }

    /// Whether the zone in a slot stands for a newer version that failed.
    pub(crate) fn is_kept(&self, slot: usize) -> bool {
        self.chunks.get(slot / CHUNK).is_some_and(|chunk| chunk.kept.has(slot % CHUNK))
    }

    fn set(&mut self, slot: usize, entry: Option<Arc<Entry>>, kept: bool) {
        let Some(chunk) = self.chunks.get_mut(slot / CHUNK).map(Arc::make_mut) else { return };
        let at = slot % CHUNK;
        chunk.monitored.set(at, entry.as_ref().is_some_and(|e| e.is_monitored()));
        chunk.counted.set(at, entry.as_ref().is_some_and(|e| e.is_counted()));
        chunk.listed.set(at, entry.as_ref().is_some_and(|e| !e.lists().is_empty()));
        chunk.certified.set(at, entry.as_ref().is_some_and(|e| !e.certificates().is_empty()));
        chunk.kept.set(at, entry.is_some() && kept);
        if let Some(place) = chunk.entries.get_mut(at) {
            chunk.used = (chunk.used + usize::from(entry.is_some())) - usize::from(place.is_some());
            *place = entry;
        }
    }

    /// A free slot.
    fn vacancy(&mut self) -> usize {
        while self.chunks.get(self.vacant).is_some_and(|chunk| chunk.used == CHUNK) {
            self.vacant += 1;
        }
        if self.vacant == self.chunks.len() {
            self.chunks.push(Arc::default());
        }
        let free = |chunk: &Arc<Chunk>| chunk.entries.iter().position(Option::is_none);
        self.vacant * CHUNK + self.chunks.get(self.vacant).and_then(free).unwrap_or(0)
    }

    fn claim(&mut self, hosts: &[Host], slot: usize) {
        let chunks = &self.chunks;
        self.hosts.claim(hosts, u32::try_from(slot).unwrap_or(u32::MAX), &|a, b| prefers(chunks, a, b));
    }

    fn give_up(&mut self, hosts: &[Host], slot: usize) {
        let chunks = &self.chunks;
        self.hosts.give_up(hosts, u32::try_from(slot).unwrap_or(u32::MAX), &|a, b| prefers(chunks, a, b));
    }
}

/// Who has a host that two zones claim: the one that is as it should be, else the first by name. It must not depend on
/// who came first, or edges with the same configuration would differ.
fn prefers(chunks: &[Arc<Chunk>], a: u32, b: u32) -> bool {
    let rank = |slot: u32| {
        let chunk = chunks.get(slot as usize / CHUNK)?;
        let at = slot as usize % CHUNK;
        Some((chunk.kept.has(at), chunk.entries.get(at)?.as_ref()?.name()))
    };
    rank(a) < rank(b)
}
