//! Skips a module that keeps failing, and finds out when it is well again.
//!
//! One atomic word holds everything that decides, so that two threads can never act on halves of a state:
//!
//! ```text
//!   closed ──3 faults within 10 s, or one overrun of 10×──► open ──its delay passes──► one request probes
//!     ▲                                                      ▲ ▲                            │   │
//!     └────────────── the second good probe ─────────────────┼─┼──────── good ◄─────────────┘   │
//!                                                            │ └── the first good one: next     │
//!                                                            └──── a fault: twice the delay ◄───┘
//! ```
//!
//! Overruns of time are counted with care: on a machine with more work than cores, a thread can be put aside in the
//! middle of a module for longer than the module's budget, and that is nobody's fault. So three of them must come within
//! one second, not ten; one of ten times the budget counts at once all the same.

use crate::Fault;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Faults within [`FAULT_WINDOW_MS`] that open a breaker: one may be a single odd request, three are a pattern.
pub const FAULTS_TO_OPEN: u32 = 3;
/// How close together faults must be to count as one pattern, in milliseconds.
pub const FAULT_WINDOW_MS: u64 = 10_000;
/// How close together overruns of time must be, in milliseconds: a busy machine makes some, a slow module makes many.
pub const OVERRUN_WINDOW_MS: u64 = 1_000;
/// Time until the first probe, in milliseconds; it doubles with every failed one.
pub const PROBE_DELAY_MS: u64 = 1_000;
/// Longest time between probes, in milliseconds: a module that is mended comes back within a minute.
pub const PROBE_DELAY_MAX_MS: u64 = 60_000;
/// Good probes in a row that close: one good answer from a module that fails now and then proves little.
pub const PROBES_TO_CLOSE: u32 = 2;
/// How long a probe may stay without a result before another is let through, in milliseconds. Requests whose visitor
/// left report nothing.
pub const PROBE_LEASE_MS: u64 = 5_000;
/// A breaker that opens again this soon after it closed goes on doubling where it was, in milliseconds; else a module that
/// fails one request in ten would be probed every second for ever.
pub const REMEMBER_MS: u64 = 60_000;

/// What to do with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Run the module.
    Closed,
    /// Run the module, and say how it went: [`Breaker::ok`] or [`Breaker::fault`]. This request alone decides.
    Probe,
    /// Do not run the module; go on by its failure mode.
    Skip,
}

/// The breaker of one module of one zone, shared by threads. 24 bytes; no lock; the closed path is one relaxed load.
#[derive(Debug, Default)]
pub struct Breaker {
    /// A packed [`State`]; its two low bits are 0 while closed.
    state: AtomicU64,
    /// When the last two faults were, as two stamps of 32 bits (newer in the high half); 0 is none.
    recent: AtomicU64,
    /// Spreads the probes of breakers that opened together.
    seed: u32,
    /// How often it opened.
    opened: AtomicU32,
}

const KIND: u64 = 0b11;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const PROBING: u64 = 2;

impl Breaker {
    /// A closed breaker. `seed` spreads its probes from those of others; the first bytes of a unit's hash will do.
    #[must_use]
    pub const fn new(seed: u32) -> Self {
        Breaker { state: AtomicU64::new(0), recent: AtomicU64::new(0), seed, opened: AtomicU32::new(0) }
    }

    /// Whether the module runs for everybody: one relaxed load. Call this first and read the clock only when it says no.
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.state.load(Relaxed) & KIND == CLOSED
    }

    /// How many times it has opened.
    #[must_use]
    pub fn times_opened(&self) -> u32 {
        self.opened.load(Relaxed)
    }

    /// What to do with this request. While open, exactly one request at a time gets [`Pass::Probe`].
    #[must_use]
    #[inline]
    pub fn allow(&self, now_ms: u64) -> Pass {
        if self.is_closed() { Pass::Closed } else { self.allow_while_open(now_ms) }
    }

    #[cold]
    fn allow_while_open(&self, now_ms: u64) -> Pass {
        let found = self.state.load(Relaxed);
        let state = State::unpack(found);
        match state.kind {
            CLOSED => return Pass::Closed,
            OPEN if now_ms < state.at_ms => return Pass::Skip,
            PROBING if now_ms < state.at_ms.saturating_add(PROBE_LEASE_MS) => return Pass::Skip,
            _ => {}
        }
        let probing = State { kind: PROBING, at_ms: now_ms, ..state };
        match self.state.compare_exchange(found, probing.pack(), Relaxed, Relaxed) {
            Ok(_) => Pass::Probe,
            Err(_) => Pass::Skip, // another thread was first
        }
    }

    /// A run under `pass` went well. Nothing to do unless it was the probe; need not be called for [`Pass::Closed`].
    /// Returns whether this closed the breaker.
    #[inline]
    pub fn ok(&self, pass: Pass) -> bool {
        pass == Pass::Probe && self.probe_went_well()
    }

    #[cold]
    fn probe_went_well(&self) -> bool {
        let mut closed = false;
        let _ = self.state.fetch_update(Relaxed, Relaxed, |found| {
            let state = State::unpack(found);
            let good = state.good + 1;
            closed = state.kind == PROBING && good >= PROBES_TO_CLOSE;
            (state.kind == PROBING).then(|| {
                // While closed, `at_ms` says since when; else the next request may probe at once.
                let kind = if closed { CLOSED } else { OPEN };
                State { kind, good: if closed { 0 } else { good }, ..state }.pack()
            })
        });
        if closed {
            // Faults of requests that began before it opened prove nothing about the time after.
            self.recent.store(0, Relaxed);
        }
        closed
    }

    /// A run under `pass` ended in a fault. Returns whether this opened the breaker (it was closed before).
    pub fn fault(&self, pass: Pass, now_ms: u64, fault: Fault) -> bool {
        match pass {
            Pass::Probe => self.open(now_ms, 0, |state| state.kind == PROBING),
            Pass::Closed => {
                self.counts_enough(now_ms, fault) && self.open(now_ms, 0, |state| state.kind == CLOSED)
            }
            Pass::Skip => false,
        }
    }

    /// Opens at once, whatever was counted, and for long: for a module that does not come back at all, where every probe
    /// may cost a thread. Returns whether this opened the breaker (it was closed before).
    pub fn trip(&self, now_ms: u64) -> bool {
        self.open(now_ms, State::STEP_TRIPPED, |state| state.kind != OPEN)
    }

    /// Closes and forgets: for an operator who says that it is mended.
    pub fn reset(&self) {
        self.recent.store(0, Relaxed);
        self.state.store(0, Relaxed);
    }

    /// Moves to open where `from` allows it, with the delay of step `least` or a later one. Returns whether it was closed.
    #[cold]
    fn open(&self, now_ms: u64, least: u32, from: impl Fn(&State) -> bool) -> bool {
        let mut was_closed = false;
        let _ = self.state.fetch_update(Relaxed, Relaxed, |found| {
            let state = State::unpack(found);
            was_closed = state.kind == CLOSED && from(&state);
            from(&state).then(|| {
                // The first opening, or one long after the last, starts with the shortest delay.
                let fresh = found == 0 || (was_closed && now_ms > state.at_ms.saturating_add(REMEMBER_MS));
                let step = if fresh { least } else { (state.step + 1).clamp(least, State::STEP_MAX) };
                let at_ms = now_ms.saturating_add(self.delay_ms(step, now_ms));
                State { kind: OPEN, step, good: 0, at_ms }.pack()
            })
        });
        if was_closed {
            self.recent.store(0, Relaxed);
            self.opened.fetch_add(1, Relaxed);
        }
        was_closed
    }

    /// The delay of a step, up to a quarter shorter: jitter must not make it longer than what is promised.
    fn delay_ms(&self, step: u32, now_ms: u64) -> u64 {
        let whole = (PROBE_DELAY_MS << step.min(State::STEP_MAX)).min(PROBE_DELAY_MAX_MS);
        whole - mix(u64::from(self.seed) ^ (now_ms << 32)) % (whole / 4)
    }

    /// Notes a fault; with the two before it there are [`FAULTS_TO_OPEN`]. Returns whether faults are close enough together to open.
    fn counts_enough(&self, now_ms: u64, fault: Fault) -> bool {
        if fault.opens_at_once() {
            return true;
        }
        let window_ms = match fault {
            Fault::Time { .. } => OVERRUN_WINDOW_MS,
            _ => FAULT_WINDOW_MS,
        };
        // A stamp is never 0, which is none; it wraps after 49 days, where a fault may be taken for a recent one.
        let now = (now_ms as u32).max(1);
        let mut enough = false;
        let _ = self.recent.fetch_update(Relaxed, Relaxed, |recent| {
            let (newer, older) = ((recent >> 32) as u32, recent as u32);
            // Threads read the clock before they come here: a stamp may lie a little ahead of now.
            let age = now.wrapping_sub(older) as i32;
            enough = older != 0 && i64::from(age) < window_ms as i64;
            Some(u64::from(now) << 32 | u64::from(newer))
        });
        enough
    }
}

/// What the word holds: kind (2 bits), step of the delay (3), good probes (2), and a time (57).
#[derive(Clone, Copy)]
struct State {
    kind: u64,
    step: u32,
    good: u32,
    /// Open: when to probe. Probing: since when. Closed: since when, after having been open.
    at_ms: u64,
}

impl State {
    /// 1 s doubled six times is more than [`PROBE_DELAY_MAX_MS`].
    const STEP_MAX: u32 = 6;
    /// The first delay after [`Breaker::trip`]: 1 s doubled five times, half a minute.
    const STEP_TRIPPED: u32 = 5;

    fn pack(self) -> u64 {
        self.kind | u64::from(self.step & 0b111) << 2 | u64::from(self.good & 0b11) << 5 | self.at_ms << 7
    }

    fn unpack(word: u64) -> State {
        State {
            kind: word & KIND,
            step: (word >> 2) as u32 & 0b111,
            good: (word >> 5) as u32 & 0b11,
            at_ms: word >> 7,
        }
    }
}

/// The finalizer of SplitMix64: spreads neighbours over all values.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
