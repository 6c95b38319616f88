//! Purge marks and the order of fetches and purges.

use crate::MARKS_MAX;
use crate::label::{self, Labels, Purge};
use crate::object::Object;
use parking_lot::RwLock;
use rapidhash::RapidHashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Marks left after making room, so that it is seldom made.
const MARKS_LEFT: usize = MARKS_MAX / 4 * 3;

/// One mark: everything with this label whose sequence is lower is dead. Label 0 stands for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub label: u64,
    pub zone: u64,
    pub seq: u64,
}

/// All marks. Looking at an object that was looked at since the last purge costs two relaxed loads.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Last sequence given to a fetch or a purge.
    last: AtomicU64,
    /// Sequence of the newest purge.
    newest: AtomicU64,
    /// Sequence of the newest purge of everything.
    everything: AtomicU64,
    /// label → (zone, sequence)
    map: RwLock<RapidHashMap<u64, (u64, u64)>>,
}

impl Marks {
    /// No marks; sequences go on after `last`.
    pub fn new(last: u64) -> Marks {
        Marks {
            last: AtomicU64::new(last),
            newest: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            map: RwLock::default(),
        }
    }

    /// The next sequence.
    pub fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The last sequence given out.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Goes on above this sequence.
    pub fn skip_to(&self, seq: u64) {
        self.last.fetch_max(seq, Ordering::Relaxed);
    }

    /// Whether no purge has hit the object.
    #[inline]
    pub fn spare(&self, object: &Object) -> bool {
        let newest = self.newest.load(Ordering::Relaxed);
        newest <= object.checked.load(Ordering::Relaxed) || self.check(object, newest)
    }

    #[cold]
    fn check(&self, object: &Object, newest: u64) -> bool {
        let spared = self.spare_labels(&object.meta.labels, object.seq());
        if spared {
            object.checked.store(newest, Ordering::Relaxed);
        }
        spared
    }

    /// Whether no purge since `seq` has hit any of the labels.
    pub fn spare_labels(&self, labels: &Labels, seq: u64) -> bool {
        if self.everything.load(Ordering::Relaxed) > seq {
            return false;
        }
        let map = self.map.read();
        !labels.iter().any(|label| map.get(&label).is_some_and(|(_, at)| *at > seq))
    }

    /// Whether there was no purge at all since `seq`.
    pub fn quiet_since(&self, seq: u64) -> bool {
        self.newest.load(Ordering::Relaxed) <= seq
    }

    /// Marks a purge. Gives back the marks set, to be written down, and whether older ones had to be joined.
    pub fn purge(&self, purge: &Purge<'_>) -> ([Option<Mark>; 2], bool) {
        let (zone, labels) = label::marked(purge);
        let mut map = self.map.write();
        // The number is drawn and published under the lock: were a later purge published before an earlier one has
        // set its marks, objects looked at in between would count as having outlived both.
        let seq = self.next();
        let set = if *purge == Purge::Everything {
            [Some(Mark { label: 0, zone, seq }), None]
        } else {
            labels.map(|label| label.map(|label| Mark { label, zone, seq }))
        };
        let mut collapsed = false;
        for mark in set.iter().flatten() {
            collapsed |= self.set(&mut map, mark);
        }
        self.newest.fetch_max(seq, Ordering::Relaxed);
        (set, collapsed)
    }

    /// Sets a mark read from disk.
    pub fn restore(&self, mark: &Mark) {
        let mut map = self.map.write();
        self.set(&mut map, mark);
        self.skip_to(mark.seq);
        self.newest.fetch_max(mark.seq, Ordering::Relaxed);
    }

    /// Every mark, to be written down.
    pub fn list(&self) -> Vec<Mark> {
        let map = self.map.read();
        let everything = self.everything.load(Ordering::Relaxed);
        let all = (everything > 0).then_some(Mark { label: 0, zone: 0, seq: everything });
        all.into_iter().chain(map.iter().map(|(l, (z, s))| Mark { label: *l, zone: *z, seq: *s })).collect()
    }

    pub fn len(&self) -> usize {
        self.map.read().len()
    }

    fn set(&self, map: &mut RapidHashMap<u64, (u64, u64)>, mark: &Mark) -> bool {
        if mark.label == 0 {
            let everything = self.everything.fetch_max(mark.seq, Ordering::Relaxed).max(mark.seq);
            map.retain(|_, (_, seq)| *seq > everything);
            return false;
        }
        let at = map.entry(mark.label).or_insert((mark.zone, 0));
        at.1 = at.1.max(mark.seq);
        let full = map.len() > MARKS_MAX;
        if full {
            self.collapse(map);
        }
        full
    }

    /// Makes room. Drops what a mark of the whole zone covers; if that does not do, joins the older half of the marks of
    /// the zones with the most to one of the whole zone. An object dies by that only if it is older than the middle one
    /// of tens of thousands of purges in its zone. If there are more zones than that, everything older is marked.
    fn collapse(&self, map: &mut RapidHashMap<u64, (u64, u64)>) {
        let whole: RapidHashMap<u64, u64> =
            map.iter().filter(|(label, (zone, _))| *label == zone).map(|(_, at)| *at).collect();
        map.retain(|label, (zone, seq)| label == zone || whole.get(zone).is_none_or(|at| *seq > *at));
        let mut zones: RapidHashMap<u64, Vec<u64>> = RapidHashMap::default();
        for (zone, seq) in map.values() {
            zones.entry(*zone).or_default().push(*seq);
        }
        let mut largest: Vec<(u64, Vec<u64>)> = zones.into_iter().collect();
        largest.sort_unstable_by_key(|(_, marks)| std::cmp::Reverse(marks.len()));
        let (mut left, mut joined) = (map.len(), RapidHashMap::default());
        for (zone, mut marks) in largest {
            let middle = marks.len() / 2;
            if left <= MARKS_LEFT || middle < 2 {
                break;
            }
            left -= middle - 1;
            let (_, seq, _) = marks.select_nth_unstable(middle);
            joined.insert(zone, *seq);
        }
        if left <= MARKS_LEFT {
            map.retain(|_, (zone, seq)| joined.get(zone).is_none_or(|at| *seq > *at));
            for (zone, seq) in joined {
                let at = map.entry(zone).or_insert((zone, seq));
                at.1 = at.1.max(seq);
            }
        } else {
            let mut all: Vec<u64> = map.values().map(|(_, seq)| *seq).collect();
            let middle = all.len() / 2;
            if middle < all.len() {
                let (_, seq, _) = all.select_nth_unstable(middle);
                let everything = self.everything.fetch_max(*seq, Ordering::Relaxed).max(*seq);
                map.retain(|_, (_, seq)| *seq > everything);
            }
        }
    }
}
