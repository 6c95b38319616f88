//! From a sum of leaves to a score.

/// The least score: certainly a bot. Scores read as Cloudflare's bot score does.
pub const SCORE_LEAST: u8 = 1;

/// The greatest score: certainly a human.
pub const SCORE_MOST: u8 = 99;

/// Log-odds at which the score turns from 50 to 51, from 51 to 52, and so on to 99: ln(p / (1 - p)) for p = 50.5 %,
/// 51.5 %, … The lower half is the same with the sign turned. A table, so that all machines agree to the last bit.
const TURNS: [f32; 49] = [
    0.02, 0.06, 0.1001, 0.1402, 0.1805, 0.2209, 0.2615, 0.3023, 0.3433, 0.3847, 0.4263, 0.4684, 0.5108,
    0.5537, 0.5971, 0.6411, 0.6857, 0.7309, 0.7768, 0.8236, 0.8712, 0.9198, 0.9694, 1.0201, 1.0721, 1.1255,
    1.1803, 1.2368, 1.295, 1.3553, 1.4178, 1.4828, 1.5506, 1.6215, 1.6959, 1.7744, 1.8575, 1.9459, 2.0407,
    2.1429, 2.2541, 2.3763, 2.5123, 2.6662, 2.8439, 3.055, 3.3168, 3.6636, 4.1846,
];

/// The score of a sum in log-odds of a human; `None` if the sum is no number.
#[inline]
pub(crate) fn of_sum(sum: f32) -> Option<u8> {
    if !sum.is_finite() {
        return None;
    }
    let beyond = TURNS.partition_point(|turn| *turn <= sum.abs()) as u8;
    // 49.5 % and 50.5 % both lie within 50.
    Some(if sum >= 0.0 { 50 + beyond } else { 50 - beyond })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_the_rounded_chance_of_a_human_in_percent() {
        for i in -1200..=1200 {
            let sum = i as f32 / 100.0 + 0.001;
            let chance = 100.0 / (1.0 + f64::from(-sum).exp());
            let want = chance.round().clamp(1.0, 99.0) as u8;
            assert_eq!(of_sum(sum), Some(want), "{sum} {chance}");
        }
        assert_eq!((of_sum(f32::MAX), of_sum(f32::MIN)), (Some(SCORE_MOST), Some(SCORE_LEAST)));
        assert_eq!((of_sum(f32::NAN), of_sum(f32::INFINITY), of_sum(f32::NEG_INFINITY)), (None, None, None));
    }
}
