//! The adaptive limit of one member, as a pure machine over measured windows.
//!
//! The question is how many requests an origin works on at once before more of them only queue. Latency alone cannot
//! tell: it differs by request, by hour and by release, so neither its minimum nor any fixed bound is a baseline. What
//! can be told is a *difference*: while demand exceeds the limit, lower the limit for a moment and look whether the
//! origin gets less done. By Little's law (requests in the system = throughput × time in the system), if throughput
//! was `x` before and time to first byte is `w` during the trial, the origin's capacity is `x · w`: the limit is set a
//! third above. If throughput does not fall at all, the trial's limit is still above capacity, and another trial
//! follows from there. Trials last a few dozen to a few hundred requests (more where latency varies more), are rare,
//! and happen only while requests are being refused anyway, so a member under light load is never touched.
//!
//! Between trials the limit grows while it refuses requests and latency is still what it was uncongested, and a trial
//! is called early if latency has moved away.

use crate::settings::Concurrency;
use crate::window::{Collected, Window};

/// Limit before anything is known, within the bounds. Enough for what browsers open at once; below what hurts.
const INITIAL: f64 = 64.0;

/// Limit over estimated capacity: the origin keeps a short queue, so that it is never idle for want of a request.
const HEADROOM: f64 = 1.35;

/// Latency relative to uncongested latency up to which the limit may grow, while it refuses requests.
const GROW_BELOW: f64 = 1.15;

/// And above which a trial is called before it is due.
const TRIAL_ABOVE: f64 = 1.8;

/// A trial's limit relative to the limit before, where nothing better is known.
const TRIAL_STEP: f64 = 0.3;

/// Share of throughput that a trial must keep for its limit to count as still above capacity.
const KEPT: f64 = 0.9;

/// How fast uncongested latency may rise, while demand is below the limit, as a share per second. An origin a little
/// over capacity slows down by far more; one that has become slower for good is recognised by a trial, should it matter.
const RISE_PER_SECOND: f64 = 0.01;

/// Fewest samples in a window.
const MIN_SAMPLES: f64 = 48.0;

/// Most samples that variance alone can ask for.
const MAX_SAMPLES: f64 = 1_000.0;

/// Largest squared variation of latency believed.
const MAX_VARIATION: f64 = 8.0;

/// Samples per unit of squared variation: the mean of a window is then good to a tenth.
const SAMPLES_PER_VARIATION: f64 = 100.0;

/// Shortest window, milliseconds: the clock has a resolution of one.
const MIN_WINDOW_MS: u64 = 20;

/// A window is closed at this age with as many samples as it has, if they are at least [`FEW_SAMPLES`]; milliseconds.
const MAX_WINDOW_MS: u64 = 10_000;

/// See [`MAX_WINDOW_MS`].
const FEW_SAMPLES: u32 = 16;

/// Time between trials while demand exceeds the limit, milliseconds.
const TRIAL_INTERVAL_MS: u64 = 10_000;

/// And at least this many times as long as a trial takes, so that trials cost little.
const TRIAL_SHARE: u64 = 20;

/// Least time between a trial and one called early, milliseconds.
const EARLY_TRIAL_MS: u64 = 1_000;

/// Longest a burst waits in turn for a place, milliseconds.
const BEARABLE_MS: f64 = 100.0;

/// Longest wait in turn while demand stands above the limit, milliseconds: less than a network's own jitter.
const STANDING_WAIT_MS: f64 = 25.0;

/// Time for which a limit has been more than half used without a break after which it is no burst, milliseconds.
pub(crate) const STANDING_MS: u64 = 500;

/// Time without any answer after which a limit that refuses requests grows, milliseconds: before and after anything
/// was learned. Silence is no evidence of overload, it may be a slow application, a long poll, or the very start.
const PATIENCE_NEW_MS: u64 = 50;
const PATIENCE_MS: u64 = 100;
const MAX_PATIENCE_MS: u64 = 10_000;

/// What the request path goes by until the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enforced {
    pub(crate) limit: u32,
    pub(crate) need: u32,
    pub(crate) tick_ms: u64,
    pub(crate) retry_after_s: u32,
    /// Most that may wait in turn for a place.
    pub(crate) bearable_queue: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Steady,
    /// The limit was lowered; waiting until no more requests are under way than it allows.
    Drain(Trial),
    /// Letting pass the answers that still carry the time they queued.
    Settle(Trial),
    /// Measuring under the lowered limit.
    Measure(Trial),
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    limit: f64,
    began_ms: u64,
    /// What was served per millisecond before, and at how many requests under way.
    served: f64,
    busy: f64,
    give_up_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Control {
    /// The limit that stands; 0 before the first bounds.
    limit: f64,
    phase: Phase,
    window_began_ms: u64,
    /// Samples after which the window is looked at.
    need: u32,
    /// Samples that make it good to a tenth.
    enough: u32,
    /// And after which it is taken as it is: two rounds of all that was under way.
    rounds: u32,
    tick_ms: u64,
    /// Samples at the last tick.
    seen: u32,
    patience_ms: u64,
    /// Latency without congestion, milliseconds; `None` until known (R5: missing is absent).
    uncongested_ms: Option<f64>,
    /// Latency of the last window.
    latest_ms: Option<f64>,
    variation: f64,
    /// Growth doubles the limit until congestion was met, and is careful from then on.
    met_congestion: bool,
    trial_due_ms: u64,
    early_trial_ms: u64,
    retry_after_s: u32,
    /// Demand has exceeded the limit for longer than a burst lasts.
    standing: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            limit: 0.0,
            phase: Phase::Steady,
            window_began_ms: 0,
            need: MIN_SAMPLES as u32,
            enough: MIN_SAMPLES as u32,
            rounds: 0,
            tick_ms: 0,
            seen: 0,
            patience_ms: PATIENCE_NEW_MS,
            uncongested_ms: None,
            latest_ms: None,
            variation: 1.0,
            met_congestion: false,
            trial_due_ms: 0,
            early_trial_ms: 0,
            retry_after_s: 1,
            standing: false,
        }
    }
}

impl Control {
    /// Brings the limit within bounds, which a reload may have changed.
    pub(crate) fn bound(&mut self, settings: &Concurrency) -> Enforced {
        self.set_limit(settings, if self.limit == 0.0 { INITIAL } else { self.limit });
        self.enforced(settings)
    }

    /// Looks at the time and at what the window has collected so far, ends it with `take` if it is complete, and
    /// answers what holds from now on. `awaiting` is the number of requests under way; `standing` says that more than
    /// half the limit has been in use for [`STANDING_MS`] without a break.
    pub(crate) fn step(
        &mut self,
        settings: &Concurrency,
        now_ms: u64,
        awaiting: u32,
        standing: bool,
        window: &impl Collected,
    ) -> Enforced {
        self.standing = standing;
        if self.window_began_ms == 0 {
            self.open_window(now_ms, awaiting);
            self.tick_ms = now_ms;
        }
        let seen = window.seen();
        match self.phase {
            Phase::Drain(trial) | Phase::Settle(trial) | Phase::Measure(trial)
                if now_ms >= trial.give_up_ms =>
            {
                // What is under way takes far longer than the mean: it is not congestion that fills the limit.
                window.take();
                self.end_trial(now_ms, &trial);
                self.set_limit(settings, self.limit * HEADROOM);
                self.open_window(now_ms, awaiting);
            }
            Phase::Drain(trial) => {
                self.tick_ms = trial.give_up_ms;
                if f64::from(awaiting) <= trial.limit {
                    window.take();
                    self.phase = Phase::Settle(trial);
                    self.need = trial.limit as u32;
                }
            }
            Phase::Settle(trial) => {
                if seen >= self.need {
                    window.take();
                    self.phase = Phase::Measure(trial);
                    self.open_window(now_ms, awaiting);
                    self.tick_ms = trial.give_up_ms;
                }
            }
            Phase::Steady | Phase::Measure(_) => self.look(settings, now_ms, awaiting, seen, window),
        }
        self.enforced(settings)
    }

    fn look(
        &mut self,
        settings: &Concurrency,
        now_ms: u64,
        awaiting: u32,
        seen: u32,
        window: &impl Collected,
    ) {
        let age_ms = now_ms.saturating_sub(self.window_began_ms);
        let old = age_ms >= MAX_WINDOW_MS && seen >= FEW_SAMPLES && matches!(self.phase, Phase::Steady);
        if old || (seen >= self.need && age_ms >= MIN_WINDOW_MS) {
            if !old && !self.is_conclusive(seen, &Window::new(window.peek(), age_ms)) {
                self.need = seen.saturating_mul(2).min(self.enough.max(self.rounds));
                return;
            }
            let closed = Window::new(window.take(), age_ms);
            match self.phase {
                Phase::Measure(trial) => self.judge(settings, now_ms, &trial, &closed),
                _ => self.consider(settings, now_ms, &closed),
            }
            self.open_window(now_ms, awaiting);
        } else if now_ms >= self.tick_ms && matches!(self.phase, Phase::Steady) {
            self.wait_longer(settings, now_ms, awaiting, seen);
        }
    }

    fn is_conclusive(&self, seen: u32, window: &Window) -> bool {
        // Unless mean and Little's law agree, something is in motion, or requests admitted together leave together and
        // a part of a round would be taken for the pace.
        if seen < self.rounds && !window.agrees() {
            return false;
        }
        match self.phase {
            // A trial that costs much shows it early, and is to be over soon.
            Phase::Measure(trial) if seen < self.enough => {
                let kept = window.served() / trial.served.max(1e-6);
                let variation = self.variation.max(window.variation);
                kept * (1.0 + 2.0 * (variation / window.samples.max(1.0)).sqrt()) < KEPT
            }
            _ => seen >= self.enough,
        }
    }

    /// The window is not complete. If there was no answer at all since the last tick and the limit is reached, it
    /// grows.
    fn wait_longer(&mut self, settings: &Concurrency, now_ms: u64, awaiting: u32, seen: u32) {
        let silent = seen == self.seen && f64::from(awaiting) >= self.limit;
        if silent {
            self.set_limit(settings, self.limit * 2.0);
        }
        if silent || seen > 0 {
            self.patience_ms = self.patience_ms.saturating_mul(2).min(MAX_PATIENCE_MS);
        }
        self.seen = seen;
        self.tick_ms = now_ms.saturating_add(self.patience_ms);
    }

    fn open_window(&mut self, now_ms: u64, awaiting: u32) {
        self.window_began_ms = now_ms;
        self.seen = 0;
        self.patience_ms = match self.latest_ms {
            Some(latency_ms) => PATIENCE_MS.max((latency_ms * 8.0) as u64).min(MAX_PATIENCE_MS),
            None => PATIENCE_NEW_MS,
        };
        self.tick_ms = now_ms.saturating_add(self.patience_ms);
        self.enough = self.samples_needed() as u32;
        self.need = match self.phase {
            Phase::Measure(_) => (self.enough / 2).max(FEW_SAMPLES * 2),
            _ => self.enough,
        };
        self.need = self.need.max(awaiting / 2);
        self.rounds = awaiting.saturating_mul(2);
    }

    fn samples_needed(&self) -> f64 {
        (self.variation * SAMPLES_PER_VARIATION).clamp(MIN_SAMPLES, MAX_SAMPLES)
    }

    fn set_limit(&mut self, settings: &Concurrency, limit: f64) {
        self.limit = limit.clamp(f64::from(settings.min), f64::from(settings.max.max(settings.min)));
    }

    /// A window at the standing limit.
    fn consider(&mut self, settings: &Concurrency, now_ms: u64, window: &Window) {
        let demand = (window.refused + window.samples) / window.samples.max(1.0);
        self.retry_after_s = demand.max(window.mean_ms / 1000.0).round() as u32;
        if window.overloads > 0.1 * (window.samples + window.overloads) {
            // The origin says so itself. Twice what was under way bounds a limit that was never reached.
            self.set_limit(settings, self.limit.min(2.0 * window.busy + 1.0) * 0.8);
            self.met_congestion = true;
            return;
        }
        self.latest_ms = Some(window.mean_ms);
        if window.refused == 0.0 {
            self.consider_unbound(settings, window);
            return;
        }
        let saturated = window.busy >= 0.8 * self.limit;
        if saturated {
            self.latest_ms = Some(window.latency_ms());
            self.variation = self.variation.max(window.variation.min(MAX_VARIATION));
        }
        let Some(uncongested_ms) = self.uncongested_ms else {
            if self.standing {
                self.try_less(settings, now_ms, window, None);
            }
            return;
        };
        let latency_ms = if saturated { window.latency_ms() } else { window.mean_ms };
        let inflation = latency_ms / uncongested_ms.max(0.001);
        let may_grow = self.limit < f64::from(settings.max);
        if may_grow && (inflation < GROW_BELOW || (!saturated && inflation < HEADROOM)) {
            self.set_limit(settings, self.limit * if self.met_congestion { HEADROOM } else { 2.0 });
        } else if self.standing
            && (now_ms >= self.trial_due_ms || (inflation > TRIAL_ABOVE && now_ms >= self.early_trial_ms))
        {
            // Not in a burst: it fills the origin's queue too, and is over before anything could be learned.
            self.try_less(settings, now_ms, window, Some(uncongested_ms));
        }
    }

    /// Demand is below the limit: learn what latency is without congestion, and grow ahead of demand.
    fn consider_unbound(&mut self, settings: &Concurrency, window: &Window) {
        self.variation = 0.5 * self.variation + 0.5 * window.variation.min(MAX_VARIATION);
        if window.busy <= 0.5 * self.limit {
            self.uncongested_ms = Some(match self.uncongested_ms {
                Some(known) if window.mean_ms > known => {
                    window.mean_ms.min(known * (1.0 + RISE_PER_SECOND * window.length_ms / 1000.0))
                }
                Some(known) => 0.8 * known + 0.2 * window.mean_ms,
                None => window.mean_ms,
            });
        } else if self.uncongested_ms.is_some_and(|known| window.mean_ms < HEADROOM * known) {
            self.set_limit(settings, self.limit * 1.5);
        }
    }

    fn try_less(
        &mut self,
        settings: &Concurrency,
        now_ms: u64,
        window: &Window,
        uncongested_ms: Option<f64>,
    ) {
        let guess = match uncongested_ms {
            Some(latency_ms) => window.served() * latency_ms * 0.8,
            None => self.limit * TRIAL_STEP,
        };
        let limit = guess.clamp(self.limit * 0.25, self.limit * 0.7).max(f64::from(settings.min)).round();
        if limit > 0.8 * self.limit {
            // The floor leaves no room for a trial: make some for the next window.
            self.set_limit(settings, f64::from(settings.min) * 1.5);
            self.trial_due_ms = now_ms;
            return;
        }
        self.start_trial(now_ms, limit, window);
    }

    /// Lowers the limit for a moment; `window` is what to compare with.
    fn start_trial(&mut self, now_ms: u64, limit: f64, window: &Window) {
        let served = window.served();
        // Time to drain if answers come as they did; and to let pass and measure, if they come at an eighth of that.
        let drain_ms = window.latency_ms() * 4.0;
        let measure_ms = (self.samples_needed() + 3.0 * limit) / served.max(1e-6) * 8.0;
        let give_up_ms = now_ms.saturating_add(500).saturating_add((drain_ms + measure_ms) as u64);
        self.phase = Phase::Drain(Trial { limit, began_ms: now_ms, served, busy: window.busy, give_up_ms });
    }

    /// A window at a trial's limit.
    fn judge(&mut self, settings: &Concurrency, now_ms: u64, trial: &Trial, window: &Window) {
        self.end_trial(now_ms, trial);
        if window.samples < f64::from(FEW_SAMPLES) {
            return; // signs of overload instead
        }
        if window.busy < 0.8 * trial.limit || window.refused == 0.0 {
            // Demand fell meanwhile: no comparison, but latency at low load is worth knowing.
            self.uncongested_ms =
                Some(self.uncongested_ms.map_or(window.mean_ms, |known| known.min(window.mean_ms)));
            return;
        }
        let latency_ms = window.latency_ms();
        let kept = window.served() / trial.served.max(1e-6);
        self.uncongested_ms = Some(latency_ms);
        self.latest_ms = Some(latency_ms);
        self.variation = window.variation.clamp(0.01, MAX_VARIATION);
        if kept >= KEPT {
            // Nothing was lost: the trial's limit is itself above capacity. Go on from there at once.
            self.set_limit(settings, trial.limit * HEADROOM);
            self.met_congestion = true;
            let next = (trial.limit * TRIAL_STEP).round().max(f64::from(settings.min));
            if next < 0.8 * trial.limit {
                self.start_trial(now_ms, next, window);
            }
            return;
        }
        let capacity = trial.served * latency_ms;
        self.met_congestion = capacity < 0.85 * trial.busy;
        let highest = trial.busy.max(trial.limit) * HEADROOM;
        self.set_limit(settings, (capacity * HEADROOM).clamp(trial.limit * 1.1, highest));
    }

    fn end_trial(&mut self, now_ms: u64, trial: &Trial) {
        let took_ms = now_ms.saturating_sub(trial.began_ms);
        self.phase = Phase::Steady;
        self.trial_due_ms = now_ms.saturating_add(TRIAL_INTERVAL_MS.max(took_ms.saturating_mul(TRIAL_SHARE)));
        self.early_trial_ms = now_ms.saturating_add(EARLY_TRIAL_MS.max(took_ms.saturating_mul(4)));
    }

    fn enforced(&self, settings: &Concurrency) -> Enforced {
        let (limit, need) = match self.phase {
            Phase::Steady => (self.limit, self.need),
            // Every answer may be the one that completes the drain.
            Phase::Drain(trial) => (trial.limit, 1),
            Phase::Settle(trial) | Phase::Measure(trial) => (trial.limit, self.need),
        };
        Enforced {
            limit: (limit.round() as u32).clamp(settings.min, settings.max),
            need,
            tick_ms: self.tick_ms,
            retry_after_s: self.retry_after_s,
            bearable_queue: self.bearable_queue(),
        }
    }

    /// A burst may wait for as long as [`BEARABLE_MS`]. While demand exceeds the limit window after window, the queue
    /// never empties: then every place in it is delay for all and use to none, but for those that keep places filled and
    /// for as many as are served before anyone notices ([`STANDING_WAIT_MS`]): a refusal is worse than that. Before the
    /// pace is known only `max_pending` and the time each may wait are the bounds.
    fn bearable_queue(&self) -> u32 {
        let Some(latency_ms) = self.latest_ms else { return u32::MAX };
        let within = |ms: f64| self.limit * ms / latency_ms.max(0.1);
        let (burst, standing) = (within(BEARABLE_MS), within(STANDING_WAIT_MS).max(self.limit * 0.25));
        (if self.standing { standing.min(burst) } else { burst.max(standing) }).max(1.0) as u32
    }
}
