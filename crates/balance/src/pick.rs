//! Choosing a member.

use std::sync::Arc;

use crate::hash::{next_random, rendezvous, token_value};
use crate::health::Standing;
use crate::pool::Pool;
use crate::settings::Policy;

/// Above this many live members the least loaded of all is not looked for: two draws find one nearly as good without
/// reading every member's counters, and without all workers running to the same one.
const SCAN_LIMIT: u32 = 16;

/// What choosing may depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickInput<'a> {
    /// Hash of whatever [`Policy::Hash`] goes by (address, path, header); see [`stable_hash`](crate::stable_hash).
    pub hash: u64,
    /// Value of the affinity cookie, if the client sent one. Anything may stand in it.
    pub affinity: Option<&'a [u8]>,
    /// Now, monotonic milliseconds.
    pub now_ms: u64,
    /// A random number, new for each pick.
    pub rnd: u64,
    /// Members not to be chosen, bit *n* for member *n*: those a retry has tried already.
    pub exclude: u64,
}

/// Why a member was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// By policy among the live members.
    Policy,
    /// The client's cookie names it.
    Affinity,
    /// No ordinary member is live.
    Backup,
    /// It was ejected and is being tried again.
    Trial,
    /// Nothing is live; it is the least bad.
    Panic,
}

impl Reason {
    /// Name for metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Affinity => "affinity",
            Self::Backup => "backup",
            Self::Trial => "trial",
            Self::Panic => "panic",
        }
    }
}

/// A chosen member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Index in the pool, in the order of configuration.
    pub member: usize,
    /// Why this one.
    pub reason: Reason,
    /// The pool ties clients by cookie and this client's names another member or none: set
    /// [`Pool::affinity_token`] of the member.
    pub set_affinity: bool,
}

/// Members by standing, as sets.
#[derive(Clone, Copy, Default)]
struct Standings {
    live: u64,
    returning: u64,
    ejected: u64,
    down: u64,
}

impl Pool {
    /// Chooses a member, in panic the least bad one. `None` only if every member is excluded or has weight 0.
    #[must_use]
    pub fn pick(&self, input: &PickInput<'_>) -> Option<Pick> {
        let standings = self.standings(input.now_ms);
        self.pick_well(input, standings).or_else(|| self.pick_least_bad(input, standings))
    }

    /// Chooses a live member (or one due for a trial); `None` if there is none.
    #[must_use]
    pub fn pick_live(&self, input: &PickInput<'_>) -> Option<Pick> {
        self.pick_well(input, self.standings(input.now_ms))
    }

    /// Whether any member is live.
    #[must_use]
    pub fn is_live(&self, now_ms: u64) -> bool {
        self.standings(now_ms).live != 0
    }

    fn pick_well(&self, input: &PickInput<'_>, standings: Standings) -> Option<Pick> {
        let allowed = !input.exclude;
        if let Some(member) = self.affine(input, standings, allowed) {
            return Some(Pick { member, reason: Reason::Affinity, set_affinity: false });
        }
        for (tier, members) in self.tiers.iter().enumerate() {
            let members = members & allowed;
            if let Some(member) = self.due_for_trial(members & standings.returning, input.now_ms) {
                return Some(self.picked(member, Reason::Trial));
            }
            let live = members & standings.live;
            if live != 0 {
                let reason = if tier == 0 { Reason::Policy } else { Reason::Backup };
                // Left out though live: what the tier lost to `exclude`, which must keep its turn.
                let whole = self.tiers.get(tier).is_some_and(|all| all & standings.live == live);
                return Some(self.picked(self.choose_with_room(live, tier, whole, input), reason));
            }
        }
        None
    }

    fn pick_least_bad(&self, input: &PickInput<'_>, standings: Standings) -> Option<Pick> {
        // Requests that failed say less than probes that fail now; ordinary members come before backups in each.
        for class in [standings.live | standings.returning, standings.ejected, standings.down] {
            for (tier, members) in self.tiers.iter().enumerate() {
                let candidates = members & class & !input.exclude;
                if candidates != 0 {
                    self.count_panic();
                    let member = self.choose_with_room(candidates, tier, false, input);
                    return Some(self.picked(member, Reason::Panic));
                }
            }
        }
        None
    }

    fn picked(&self, member: usize, reason: Reason) -> Pick {
        // In panic the client is not tied: its member may be back with the next request.
        Pick { member, reason, set_affinity: self.settings.affinity && reason != Reason::Panic }
    }

    fn standings(&self, now_ms: u64) -> Standings {
        let mut standings = Standings::default();
        for (index, entry) in self.entries.iter().enumerate() {
            let set = match self.standing_of(entry, now_ms) {
                Standing::Live => &mut standings.live,
                Standing::Returning => &mut standings.returning,
                Standing::Ejected => &mut standings.ejected,
                Standing::Down => &mut standings.down,
            };
            *set |= 1 << index;
        }
        standings
    }

    fn affine(&self, input: &PickInput<'_>, standings: Standings, allowed: u64) -> Option<usize> {
        if !self.settings.affinity {
            return None;
        }
        let token = token_value(input.affinity?)?;
        let member = self.entries.iter().position(|entry| entry.token == token)?;
        let bit = 1_u64 << member;
        if bit & allowed & standings.live != 0 {
            return Some(member);
        }
        self.due_for_trial(bit & allowed & standings.returning, input.now_ms)
    }

    fn due_for_trial(&self, returning: u64, now_ms: u64) -> Option<usize> {
        bits(returning)
            .find(|member| self.entries.get(*member).is_some_and(|entry| entry.ejections.claim_trial(now_ms)))
    }

    /// Chooses by policy; a member at its limit passes the request on while another has room. If none has, the first
    /// choice stands, and [`Pool::begin`] will refuse or queue it.
    fn choose_with_room(&self, members: u64, tier: usize, whole: bool, input: &PickInput<'_>) -> usize {
        let first = self.choose(members, tier, input);
        let mut chosen = first;
        let mut left = members;
        while self.is_full(chosen) {
            left &= !(1 << chosen);
            if left == 0 {
                chosen = first;
                break;
            }
            chosen = self.choose(left, tier, input);
        }
        if !matches!(self.settings.policy, Policy::Hash { .. }) {
            self.rotation.advance(chosen, tier, (whole && chosen == first).then_some(members));
        }
        chosen
    }

    fn choose(&self, members: u64, tier: usize, input: &PickInput<'_>) -> usize {
        match self.settings.policy {
            Policy::RoundRobin => self.next_in_turn(members, tier),
            Policy::LeastOutstanding if members.count_ones() > SCAN_LIMIT => {
                self.better_of_two(members, tier, input.rnd)
            }
            Policy::LeastOutstanding => self.least_outstanding(members, tier),
            Policy::Hash { max_load_percent } => self.by_hash(members, input.hash, max_load_percent),
        }
    }

    fn next_in_turn(&self, members: u64, tier: usize) -> usize {
        bits(members).min_by_key(|member| self.rotation.ahead(*member, tier)).unwrap_or(0)
    }

    /// The lowest load per weight; among equals (all idle, most of the time) the one whose turn it is.
    fn least_outstanding(&self, members: u64, tier: usize) -> usize {
        bits(members)
            .min_by_key(|member| (self.load_of(*member), self.rotation.ahead(*member, tier)))
            .unwrap_or(0)
    }

    fn better_of_two(&self, members: u64, tier: usize, rnd: u64) -> usize {
        let one = self.draw(members, rnd);
        let other = self.draw(members & !(1 << one), next_random(rnd));
        self.least_outstanding((1 << one) | (1 << other), tier)
    }

    /// Draws a member with probability in proportion to weight.
    fn draw(&self, members: u64, rnd: u64) -> usize {
        let total: u64 = bits(members).map(|member| self.weight(member)).sum();
        let mut point = rnd % total.max(1);
        for member in bits(members) {
            match point.checked_sub(self.weight(member)) {
                Some(rest) => point = rest,
                None => return member,
            }
        }
        bits(members).next().unwrap_or(0)
    }

    fn by_hash(&self, members: u64, key: u64, max_load_percent: u32) -> usize {
        let first = self.highest(members, key);
        if max_load_percent == 0 {
            return first;
        }
        // Mean load per weight, this request included.
        let (load, weight) = bits(members).fold((1_u64, 0_u64), |(load, weight), member| {
            (load + u64::from(self.outstanding(member)), weight + self.weight(member))
        });
        let bound = |member: usize| {
            let share = load.saturating_mul(self.weight(member)).saturating_mul(u64::from(max_load_percent));
            share.div_ceil(weight.max(1).saturating_mul(100))
        };
        let mut chosen = first;
        let mut left = members;
        while u64::from(self.outstanding(chosen)) >= bound(chosen) {
            left &= !(1 << chosen);
            if left == 0 {
                return first;
            }
            chosen = self.highest(left, key);
        }
        chosen
    }

    fn highest(&self, members: u64, key: u64) -> usize {
        let score = |member: usize| match self.entries.get(member) {
            Some(entry) => rendezvous(key, entry.name_hash, entry.config.weight),
            None => f64::NEG_INFINITY,
        };
        let mut best = (f64::NEG_INFINITY, bits(members).next().unwrap_or(0));
        for member in bits(members) {
            let score = score(member);
            if score > best.0 {
                best = (score, member);
            }
        }
        best.1
    }

    /// Outstanding requests per weight, in fixed point: 16 bits are the largest weight.
    fn load_of(&self, member: usize) -> u64 {
        (u64::from(self.outstanding(member)) << 16) / self.weight(member).max(1)
    }
}

/// Walks pools in order of failover and chooses from the first that has a live member; if none has, from the first
/// that has any member not excluded, in panic. `exclude` answers the excluded set of the pool at an index.
/// [`PickInput::exclude`] itself is not used.
pub fn pick_in_order<'p>(
    pools: impl Iterator<Item = &'p Arc<Pool>> + Clone,
    input: &PickInput<'_>,
    exclude: impl Fn(usize) -> u64,
) -> Option<(usize, Pick)> {
    let with = |index: usize| PickInput { exclude: exclude(index), ..*input };
    let mut numbered = pools.enumerate();
    let live = numbered.clone().find_map(|(index, pool)| Some((index, pool.pick_live(&with(index))?)));
    live.or_else(|| numbered.find_map(|(index, pool)| Some((index, pool.pick(&with(index))?))))
}

/// The members of a set, ascending.
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = usize> + Clone {
    std::iter::from_fn(move || {
        let lowest = set.checked_sub(1).map(|_| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(lowest)
    })
}
