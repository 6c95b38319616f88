//! What the bytes of a path give away.

use crate::limits::PATH_BYTES_READ;

/// What one pass over the path gives.
#[derive(Default)]
pub(crate) struct PathFacts {
    pub(crate) slashes: u32,
    pub(crate) digits: u32,
    pub(crate) percents: u32,
    pub(crate) entropy: f32,
}

impl PathFacts {
    /// Looks at a path of at most [`PATH_BYTES_READ`] bytes.
    pub(crate) fn of(path: &[u8]) -> PathFacts {
        let mut facts = PathFacts::default();
        let mut times = [0_u16; 256];
        let weighted = |n: u16| WEIGHTED.get(usize::from(n)).copied().unwrap_or(0.0);
        // H = log2 n - (Σ c log2 c) / n over the counts c of n bytes. The sum is kept as the counts grow: paths are short, and
        // looking at all 256 counts afterwards would take longer.
        let mut sum = 0.0;
        for byte in path {
            facts.slashes += u32::from(*byte == b'/');
            facts.percents += u32::from(*byte == b'%');
            facts.digits += u32::from(byte.is_ascii_digit());
            if let Some(n) = times.get_mut(usize::from(*byte)) {
                sum -= weighted(*n);
                *n += 1;
                sum += weighted(*n);
            }
        }
        if !path.is_empty() {
            let whole = weighted(path.len() as u16);
            facts.entropy = ((whole - sum) / path.len() as f32).max(0.0);
        }
        facts
    }
}

/// n log2 n, computed at compile time with no more than multiplication, so that all machines agree to the last bit.
const WEIGHTED: [f32; PATH_BYTES_READ + 1] = weighted();

#[allow(clippy::indexing_slicing)] // const evaluation: a fault here stops the build, not a request
const fn weighted() -> [f32; PATH_BYTES_READ + 1] {
    /// Binary digits of the logarithm behind the point: more than an f32 holds.
    const DIGITS: u32 = 30;
    let mut table = [0.0; PATH_BYTES_READ + 1];
    let mut n = 1;
    while n <= PATH_BYTES_READ {
        let whole = n.ilog2();
        let mut rest = n as f64 / (1_u64 << whole) as f64;
        let (mut log, mut bit, mut i) = (whole as f64, 0.5, 0);
        while i < DIGITS {
            rest *= rest;
            if rest >= 2.0 {
                rest /= 2.0;
                log += bit;
            }
            bit /= 2.0;
            i += 1;
        }
        table[n] = (n as f64 * log) as f32;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entropy_is_that_of_the_definition() {
        for path in ["", "/", "aaaa", "ab", "/articles/storm-2026", "/%C3%BC/x?", "0123456789abcdef"] {
            let bytes = path.as_bytes();
            let share = |b: u8| bytes.iter().filter(|x| **x == b).count() as f64 / bytes.len() as f64;
            let want: f64 = (0..=255).map(share).filter(|p| *p > 0.0).map(|p| -p * p.log2()).sum();
            let got = f64::from(PathFacts::of(bytes).entropy);
            assert!((got - want).abs() < 1e-4, "{path}: {got} {want}");
        }
    }
}
