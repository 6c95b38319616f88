//! Which URLs may be stored: so that invalidating one that never was costs neither a mark nor a line on disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bits of the filter: 128 KiB. With a hundred thousand URLs one stranger in ten is taken for one of them, with a
/// million two of three; each costs a mark that need not have been.
const BITS: usize = 1 << 20;
const WORDS: usize = BITS / 64;

/// A filter over URL labels. What was put in is found for good; now and then something else is found too.
#[derive(Debug)]
pub(crate) struct Urls {
    words: Box<[AtomicU64]>,
    /// Anything may be there: a disk that was not empty at the start.
    all: AtomicBool,
}

impl Urls {
    pub fn new(all: bool) -> Urls {
        Urls { words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(), all: AtomicBool::new(all) }
    }

    pub fn put(&self, label: u64) {
        let (word, bit) = place(label);
        if let Some(word) = self.words.get(word)
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    pub fn has(&self, label: u64) -> bool {
        let (word, bit) = place(label);
        self.all.load(Ordering::Relaxed)
            || self.words.get(word).is_none_or(|word| word.load(Ordering::SeqCst) & bit != 0)
    }
}

/// Word, and bit in it. Labels are hashes, of which any bits will do.
fn place(label: u64) -> (usize, u64) {
    let at = (label >> 7) as usize % BITS;
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_hardly_anything_else() {
        let urls = Urls::new(false);
        let labels = |from: u64| (from..from + 1000).map(|n| rapidhash::v3::rapidhash_v3(&n.to_le_bytes()));
        labels(0).for_each(|label| urls.put(label));
        assert!(labels(0).all(|label| urls.has(label)));
        assert!(labels(1 << 40).filter(|label| urls.has(*label)).count() < 10);
        assert!(labels(1 << 40).all(|label| Urls::new(true).has(label)));
    }
}
