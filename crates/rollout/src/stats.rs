//! The little statistics that gates need.

/// Observations a test looks at, at most: more are brought down in proportion. Beyond a million no gate needs to be surer,
/// and summing tails takes time with the root of their number.
const OBSERVATIONS_MAX: u64 = 1_000_000;

/// How surprising it is that `count` of `count + beside` events fell to one group, if each falls there with probability
/// `share`: P(X ≥ count) for X binomial. Exact, for any numbers; this is the conditional test of two rates.
pub(crate) fn upper_tail(count: u64, beside: u64, share: f64) -> f64 {
    let [count, beside] = brought_down([count, beside]);
    let all = count + beside;
    if count == 0 {
        return 1.0;
    }
    if share <= 0.0 {
        return 0.0;
    }
    if share >= 1.0 || count as f64 <= all as f64 * share {
        return 1.0; // nothing surprising; the exact figure is of no use
    }
    let (ln_share, ln_rest, odds) = (share.ln(), (1.0 - share).ln(), share / (1.0 - share));
    let mut term = (ln_choose(all, count) + count as f64 * ln_share + beside as f64 * ln_rest).exp();
    let mut sum = term;
    for k in count..all {
        // Terms fall at least geometrically beyond the mean.
        term *= (all - k) as f64 / (k + 1) as f64 * odds;
        sum += term;
        if term <= sum * 1e-12 {
            break;
        }
    }
    sum.min(1.0)
}

/// How surprising it is that the second of two groups has `after.0` or more of the hits, if hits fall to all members alike
/// (so many of so many each): Fisher's exact test, one-sided.
pub(crate) fn fisher(before: (u64, u64), after: (u64, u64)) -> f64 {
    let [hits_a, missed_a, hits_b, missed_b] = brought_down([
        before.0.min(before.1),
        before.1.saturating_sub(before.0),
        after.0.min(after.1),
        after.1.saturating_sub(after.0),
    ]);
    let (before, after) = ((hits_a, hits_a + missed_a), (hits_b, hits_b + missed_b));
    let (hits, all) = (before.0 + after.0, before.1 + after.1);
    if after.0 as f64 * all as f64 <= hits as f64 * after.1 as f64 {
        return 1.0; // nothing surprising; the exact figure is of no use
    }
    let of = ln_choose(all, hits);
    let mut sum = 0.0;
    for count in after.0..=after.1.min(hits) {
        let Some(rest) = (hits - count <= before.1).then_some(hits - count) else { continue };
        let term = (ln_choose(after.1, count) + ln_choose(before.1, rest) - of).exp();
        sum += term;
        if term <= sum * 1e-9 {
            break;
        }
    }
    sum.min(1.0)
}

/// How far apart two distributions are: the share of observations that would have to move (total variation, 0 to 1), and
/// the two-sample chi-square statistic.
pub(crate) fn apart(before: &[u64], after: &[u64]) -> (f64, f64) {
    let sum = |counts: &[u64]| counts.iter().map(|c| *c as f64).sum::<f64>();
    let (all_a, all_b) = (sum(before), sum(after));
    if all_a < 1.0 || all_b < 1.0 {
        return (0.0, 0.0);
    }
    let (mut variation, mut chi_square) = (0.0, 0.0);
    for (a, b) in before.iter().zip(after) {
        let (p, q) = (*a as f64 / all_a, *b as f64 / all_b);
        variation += (p - q).abs() / 2.0;
        let pooled = (p * all_a + q * all_b) / (all_a + all_b);
        if pooled > 0.0 {
            // Bands that hold next to nothing would weigh too much: no band counts as less than one observation.
            let expected = |n: f64| (pooled * n).max(1.0);
            chi_square += ((p - pooled) * all_a).powi(2) / expected(all_a)
                + ((q - pooled) * all_b).powi(2) / expected(all_b);
        }
    }
    (variation, chi_square)
}

/// Counts in proportion, [`OBSERVATIONS_MAX`] in all at most.
fn brought_down<const N: usize>(counts: [u64; N]) -> [u64; N] {
    let all = counts.iter().map(|count| u128::from(*count)).sum::<u128>();
    let most = u128::from(OBSERVATIONS_MAX);
    let less = |count: u64| u64::try_from(u128::from(count) * most / all).unwrap_or(count);
    if all <= most { counts } else { counts.map(less) }
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// ln n!, by Stirling's series from 16 on (its error there is below 1e-9).
fn ln_factorial(n: u64) -> f64 {
    if n < 16 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Seeded randomness for simulations (SplitMix64).
    pub(crate) struct Random(u64);

    impl Random {
        pub(crate) fn new(seed: u64) -> Self {
            Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
        }

        pub(crate) fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 + 1e-6 * b.abs()
    }

    #[test]
    fn the_tail_is_that_of_the_binomial() {
        // By hand: 0.1^4; 1 of 2 at a half or more; five or more of ten at 0.2.
        assert!(close(upper_tail(4, 0, 0.1), 1e-4));
        assert_eq!(upper_tail(1, 1, 0.5), 1.0);
        assert!(close(upper_tail(5, 5, 0.2), 0.032_793_497_6));
        assert_eq!(upper_tail(0, 5, 0.2), 1.0);
        assert_eq!(upper_tail(5, 95, 0.2), 1.0);
    }

    #[test]
    fn the_tail_of_large_numbers_is_a_number() {
        for (count, beside, share) in [(900_000, 1_000_000, 0.1), (1_000_000, 0, 1e-9), (10_400, 89_600, 0.1)]
        {
            let tail = upper_tail(count, beside, share);
            assert!((0.0..0.01).contains(&tail), "{tail}");
        }
    }

    #[test]
    fn enormous_numbers_take_no_time_and_say_the_same() {
        let huge = u64::MAX / 4;
        assert!(upper_tail(huge, huge / 2, 0.5) < 1e-9);
        assert!(upper_tail(huge / 2, huge, 0.3) < 1e-9);
        assert_eq!(upper_tail(huge / 2, huge, 0.5), 1.0);
        assert!(fisher((huge / 4, huge), (huge / 2, huge)) < 1e-9);
        assert_eq!(fisher((huge / 2, huge), (huge / 4, huge)), 1.0);
    }

    #[test]
    fn fisher_is_fisher() {
        // By hand: all 3 hits of 6 in one half is 1 of 20; the lady tasting tea is 17 of 70 for 3 of 4 or more.
        assert!(close(fisher((0, 3), (3, 3)), 0.05));
        assert!(close(fisher((1, 4), (3, 4)), 17.0 / 70.0));
        assert_eq!(fisher((3, 4), (1, 4)), 1.0);
        assert_eq!(fisher((0, 0), (0, 0)), 1.0);
        assert_eq!(fisher((5, 5), (5, 5)), 1.0);
        assert!(fisher((500_000, 1_000_000), (60_000, 100_000)) < 1e-9);
        assert!(fisher((20, 40), (40, 40)) < 1e-6);
    }

    #[test]
    fn equal_distributions_are_nowhere_apart() {
        assert_eq!(apart(&[1, 2, 3], &[10, 20, 30]).0, 0.0);
        let (variation, chi_square) = apart(&[100, 0], &[0, 100]);
        assert_eq!((variation, chi_square), (1.0, 200.0));
        assert_eq!(apart(&[0], &[1]), (0.0, 0.0));
    }
}
