//! Events that traffic can cause are told up to a rate, so that 100,000 breakers neither fill the disk nor push out of
//! memory and file what changed before them.

use super::kinds::{KINDS, Kind, Source};

/// Events of one kind that may come at once.
pub const FLOOD_BURST: u64 = 50;

/// After that, one more in so many milliseconds.
pub const FLOOD_REFILL_MS: u64 = 1_000;

/// How many more of each kind may be told.
#[derive(Debug)]
pub(crate) struct Flood {
    kinds: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    /// When the last one was given back.
    since_ms: u64,
    suppressed: u64,
}

impl Flood {
    pub(crate) fn new() -> Self {
        Flood { kinds: vec![Bucket { left: FLOOD_BURST, since_ms: 0, suppressed: 0 }; KINDS.len()] }
    }

    /// Whether an event of this kind is told, and if so how many before it were not. `now_ms` is of a steady clock.
    pub(crate) fn admit(&mut self, kind: Kind, now_ms: u64) -> Option<u64> {
        if kind.source() == Source::Change {
            return Some(0);
        }
        let bucket = self.kinds.get_mut(kind.index())?;
        let earned = now_ms.saturating_sub(bucket.since_ms) / FLOOD_REFILL_MS;
        if earned > 0 {
            bucket.left = bucket.left.saturating_add(earned).min(FLOOD_BURST);
            bucket.since_ms = bucket.since_ms.saturating_add(earned.saturating_mul(FLOOD_REFILL_MS));
        }
        if bucket.left == 0 {
            bucket.suppressed += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_the_next_one_told_says_by_how_much() {
        let mut flood = Flood::new();
        let told = (0..1000).filter(|_| flood.admit(Kind::BreakerOpened, 10).is_some()).count();
        assert_eq!(told as u64, FLOOD_BURST);
        assert_eq!(flood.admit(Kind::BreakerOpened, 10 + FLOOD_REFILL_MS), Some(1000 - FLOOD_BURST));
        assert_eq!(flood.admit(Kind::BreakerOpened, 10 + FLOOD_REFILL_MS), None);
        assert_eq!(flood.admit(Kind::WorkerStuck, 10), Some(0), "kinds do not share");
    }

    #[test]
    fn changes_are_always_told() {
        let mut flood = Flood::new();
        assert!((0..10_000).all(|_| flood.admit(Kind::UnitKept, 1) == Some(0)));
    }
}
