//! Mutations from a seed number: the same everywhere, so that a failure can be had again.

/// Pieces that mean something to one parser or another.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b"\"",
    b"\\",
    b"/",
    b"*",
    b"?",
    b"#",
    b"@",
    b"%00",
    b"\r\n\r\n",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"0",
    b"1",
    b"-1",
    b"+1",
    b"0x1",
    b"18446744073709551616",
    b"9999999999999999999999",
    b"ffffffffffffffff",
    b"Content-Length: ",
    b"Transfer-Encoding: ",
    b"chunked",
    b"identity",
    b"Host: ",
    b"Connection: ",
    b"close",
    b"keep-alive",
    b"Upgrade: ",
    b"websocket",
    b"Expect: 100-continue",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"GET ",
    b"POST ",
    b"CONNECT ",
    b"http://",
    b"[::1]",
    b"::ffff:10.0.0.1",
    b"127.0.0.1",
    b"for=",
    b"PROXY TCP4 ",
    b"UNKNOWN",
    b"max-age=",
    b"no-store",
    b"private",
    b"s-maxage=",
    b"stale-if-error=",
    b"Vary: *",
    b"gzip",
    b"br",
    b"zstd",
    b";q=0",
    b";q=0.5",
    b"identity;q=0",
    b"W/\"",
    b"bytes=0-",
    b"bytes=-1",
    b"[[zone]]",
    b"[edge]",
    b"{ url = ",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Age: ",
    b"Date: ",
    b"ETag: ",
    b"X-A: b\r\n",
    b"0\r\n\r\n",
];

/// A small generator of numbers (SplitMix64): enough for mutations, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at a seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 for none.
    pub fn below(&mut self, n: usize) -> usize {
        (self.number() % n.max(1) as u64) as usize
    }
}

/// An input made of one of `seeds`, changed in a few places, at most `max` bytes long.
#[must_use]
pub fn mutated(seeds: &[Vec<u8>], random: &mut Random, max: usize) -> Vec<u8> {
    let mut input = seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        once(&mut input, seeds, random);
    }
    input.truncate(max);
    input
}

fn once(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(12)).min(input.len());
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.number() as u8,
        2 => drop(input.drain(at.min(end)..end)),
        3 => {
            let piece = input[at.min(end)..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, piece);
        }
        4 | 5 => {
            let word = WORDS[random.below(WORDS.len())];
            input.splice(at..at, word.iter().copied());
        }
        6 => {
            let word = WORDS[random.below(WORDS.len())];
            input.splice(at.min(end)..end, word.iter().copied());
        }
        7 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => input.truncate(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seeds = vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"abc".to_vec()];
        let all = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| mutated(&seeds, &mut random, 100)).collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert!(all(3).iter().all(|input| input.len() <= 100));
    }
}
