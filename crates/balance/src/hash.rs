//! Hashing that must never change: keys, affinity cookies and every edge of an installation depend on it.

/// Length of an affinity token in bytes: 64 bits in hexadecimal.
pub(crate) const TOKEN_BYTES: usize = 16;

/// A 64-bit hash of `bytes` that is the same on every machine and in every version of Seawall. Not meant to withstand
/// an attacker who chooses the bytes; one who does can only pick the member he lands on.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    // FNV-1a, then a finaliser, since FNV alone leaves the upper bits of short keys alike.
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(folded)
}

/// Spreads every bit of the input over the whole output (the finaliser of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The next draw after `value`, for where one random number given by the caller has to serve twice.
pub(crate) fn next_random(value: u64) -> u64 {
    mix(value.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// Standing of a member for a key in weighted rendezvous hashing: the member with the highest value has the key.
/// Weights are honoured since the value is the time of a Poisson arrival of rate `weight`, negated.
pub(crate) fn rendezvous(key: u64, member: u64, weight: u32) -> f64 {
    let draw = mix(key ^ mix(member));
    // The upper 53 bits as a fraction in (0, 1]; never 0, whose logarithm is infinite.
    let unit = ((draw >> 11) as f64 + 1.0) / 9_007_199_254_740_992.0;
    unit.ln() / f64::from(weight.max(1))
}

/// An affinity token as text.
pub(crate) struct TokenText([u8; TOKEN_BYTES]);

impl TokenText {
    pub(crate) fn of(token: u64) -> Self {
        let digit = |at: usize| (token >> (60 - 4 * at)) as u8 & 15;
        Self(std::array::from_fn(|at| match digit(at) {
            small @ 0..=9 => b'0' + small,
            large => b'a' + large - 10,
        }))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Reads an affinity token; anything but 16 lower-case hexadecimal digits is none.
pub(crate) fn token_value(text: &[u8]) -> Option<u64> {
    if text.len() != TOKEN_BYTES {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some((sum << 4) | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_it_was_when_the_first_cookie_was_handed_out() {
        let table = [
            ("", 0xf52a_15e9_a9b5_e89b),
            ("app-1", 0xc769_8e9c_b5f2_f545),
            ("10.0.0.1:3000", 0x88f5_2a5c_e777_5b4e),
        ];
        for (text, want) in table {
            assert_eq!(stable_hash(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn tokens_come_back_and_nothing_else_is_one() {
        for value in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(token_value(TokenText::of(value).as_str().as_bytes()), Some(value));
        }
        for bad in [
            "",
            "0",
            "0123456789abcde",
            "0123456789abcdef0",
            "0123456789ABCDEF",
            "0123456789abcdeg",
            "+123456789abcdef",
        ] {
            assert_eq!(token_value(bad.as_bytes()), None, "{bad}");
        }
    }
}
