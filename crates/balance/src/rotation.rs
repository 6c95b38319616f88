//! Weighted round robin as stride scheduling over atomics.
//!
//! Every member has a *pass*, which grows by `1 / weight` when it is chosen; the lowest pass is next. Shares are exact
//! over time whichever members are left out in between, there is no table to rebuild when one comes or goes, and two
//! workers that choose at the same instant at worst choose the same member, for which it then waits twice as long.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::pick::bits;
use crate::settings::{MAX_WEIGHT, Member};

/// Stride of weight 1 where the weights have no small common multiple. Large, so that rounding `UNIT / weight` to an
/// integer errs by less than one pick in ten million; passes wrap and are compared by difference.
const UNIT: u64 = 1 << 40;

/// Members of one tier (ordinary or backup) share a clock.
pub(crate) const TIERS: usize = 2;

pub(crate) struct Rotation {
    /// Together rather than padded: all are read for each pick, and eight share a cache line.
    passes: Box<[AtomicU64]>,
    strides: Box<[u64]>,
    /// Pass of the latest regular pick of each tier. A member that was out starts from here when it returns, instead
    /// of taking every request until it has caught up.
    clocks: Clocks,
}

/// Written by every pick, so on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Clocks([AtomicU64; TIERS]);

impl Rotation {
    pub(crate) fn new(members: &[Member]) -> Self {
        // Twice the multiple, so that half a stride is exact too.
        let unit = common_multiple(members).unwrap_or(UNIT) * 2;
        let strides: Box<[u64]> =
            members.iter().map(|member| unit / u64::from(member.weight.clamp(1, MAX_WEIGHT))).collect();
        Self {
            // Half a stride in, so that light members fall between the turns of a heavy one, not all before them.
            passes: strides.iter().map(|stride| AtomicU64::new(stride / 2)).collect(),
            strides,
            clocks: Clocks::default(),
        }
    }

    /// How far ahead of its tier's clock `member` stands; the lowest is next. Members that fell behind while they
    /// were out stand at 0.
    pub(crate) fn ahead(&self, member: usize, tier: usize) -> u64 {
        match (self.passes.get(member), self.clocks.0.get(tier)) {
            (Some(pass), Some(clock)) => ahead(pass.load(Relaxed), clock.load(Relaxed)),
            _ => u64::MAX,
        }
    }

    /// Counts a pick of `member`. `of` are all live members of its tier, so that the clock may follow the lowest; after
    /// a pick that left live members out (a retry, a full member) it is `None`, or those left out would lose their
    /// turn.
    pub(crate) fn advance(&self, member: usize, tier: usize, of: Option<u64>) {
        let (Some(pass), Some(stride), Some(clock)) =
            (self.passes.get(member), self.strides.get(member), self.clocks.0.get(tier))
        else {
            return;
        };
        let now = clock.load(Relaxed);
        let before = pass.load(Relaxed);
        let from = now.wrapping_add(ahead(before, now));
        if from == before {
            pass.fetch_add(*stride, Relaxed);
        } else {
            // Another worker may bring the member forward at the same time; either result is right.
            pass.store(from.wrapping_add(*stride), Relaxed);
        }
        // The lowest as it is now, not as it was when the member was chosen: a worker that lost its core in between
        // would else push the clock past members whose turn it is. A clock that stays behind does no harm.
        let lowest = of.and_then(|members| bits(members).map(|member| self.ahead(member, tier)).min());
        if let Some(lowest @ 1..) = lowest {
            clock.store(now.wrapping_add(lowest), Relaxed);
        }
    }
}

/// Distance of a pass from the clock, 0 when behind. Passes wrap after centuries or, at small units, days: only the
/// difference counts.
fn ahead(pass: u64, clock: u64) -> u64 {
    let distance = pass.wrapping_sub(clock);
    if distance > u64::MAX / 2 { 0 } else { distance }
}

/// Least common multiple of the weights, if small enough to serve as the unit: then every stride is exact.
fn common_multiple(members: &[Member]) -> Option<u64> {
    members.iter().try_fold(1_u64, |multiple, member| {
        let weight = u64::from(member.weight.clamp(1, MAX_WEIGHT));
        let next = multiple / common_divisor(multiple, weight) * weight;
        (next <= UNIT).then_some(next)
    })
}

fn common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one.max(1)
}
