//! Leading a candidate through its stages.

use crate::gates::{GATES, Metric};
use crate::judge::{Beside, Finding, Pair, judge};
use crate::{Counted, Plan, Sample, Value, Verdict};

/// How long a measurement may be missing before its gate fails, in milliseconds (DESIGN R7): a few looks, so that one
/// that comes late is forgiven.
pub const SILENCE_MS: u64 = 2_000;
/// How many times its hold a stage may wait for requests, at least [`STAGE_MAX_MS`].
pub const STAGE_HOLDS_MAX: u64 = 10;
/// How long any stage may wait for requests, in milliseconds: synthetic ones come at once, so something is broken.
pub const STAGE_MAX_MS: u64 = 60_000;
/// How long a few failures under the candidate alone must stay alone before they count, in milliseconds: what troubles
/// both cohorts shows beside it by then.
pub const CONFIRM_MS: u64 = 2_000;
/// The same where several failed and most requests are the candidate's, so that it may well be chance.
const CONFIRM_MAX_MS: u64 = 10_000;
/// Requests from which on a cohort must have latencies for at least half of them.
const LATENCY_DUE: u64 = 20;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Go on as it is.
    Wait,
    /// Give the candidate this share and show samples that begin anew.
    Advance {
        /// Percent of requests.
        percent: u8,
    },
    /// All stages are passed: the candidate takes over.
    Done,
    /// Take it back.
    Fail(Verdict),
}

/// One candidate on its way. Begins at the first stage of its plan.
#[derive(Clone, Debug)]
pub struct Progress {
    plan: Plan,
    stage: usize,
    began_ms: u64,
    /// What is known of the time before this stage, without the candidate.
    before: Sample,
    /// What the current stage showed last, to be remembered when the next begins.
    shown: Sample,
    /// Since when each measurement is missing.
    missing: Vec<(Metric, bool, u64)>,
    /// Since when each metric shows failures under the candidate alone.
    lone: Vec<(Metric, u64)>,
    seen: u64,
    seen_synthetic: u64,
    /// Memory of the process when it was first measured.
    memory_bytes: Option<u64>,
}

impl Progress {
    /// Begins. The candidate gets [`Progress::percent`] from now on.
    #[must_use]
    pub fn new(plan: Plan, now_ms: u64) -> Progress {
        Progress {
            plan,
            stage: 0,
            began_ms: now_ms,
            before: Sample::default(),
            shown: Sample::default(),
            missing: Vec::new(),
            lone: Vec::new(),
            seen: 0,
            seen_synthetic: 0,
            memory_bytes: None,
        }
    }

    /// What went before the rollout, the longer the better: where the edge makes an error once in a thousand requests anyway, one
    /// under the candidate is no surprise.
    #[must_use]
    pub fn after(mut self, history: &Sample) -> Progress {
        self.before.merge(history);
        self.memory_bytes = history.memory_bytes;
        self
    }

    /// Percent of requests the candidate is to have.
    #[must_use]
    pub fn percent(&self) -> u8 {
        self.plan.stages.get(self.stage).copied().unwrap_or(100)
    }

    /// The plan it follows.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Requests of the candidate seen in this stage, real and synthetic.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Synthetic requests of the candidate seen in this stage: how many recorded heads were used, to go on with the next.
    #[must_use]
    pub fn seen_synthetic(&self) -> u64 {
        self.seen_synthetic
    }

    /// How many synthetic requests to run now through both. They fill a stage up to its requests evenly over its time, however
    /// many real ones there are: run through both in pairs they tell the two apart far better than visitors do, and they
    /// cost microseconds.
    #[must_use]
    pub fn wants_synthetic(&self, now_ms: u64) -> u32 {
        let requests = u64::from(self.plan.requests);
        let (passed, hold) = (now_ms.saturating_sub(self.began_ms), self.plan.hold_ms.max(1));
        let due = if passed >= hold { requests } else { requests.saturating_mul(passed) / hold };
        u32::try_from(due.saturating_sub(self.seen_synthetic)).unwrap_or(u32::MAX)
    }

    /// Looks at what both cohorts went through since the stage began. `None` is a measurement that is missing. Synthetic
    /// requests run through both alike; they count for faults, errors of the edge, verdicts and scores. `None` there: none ran.
    pub fn observe(
        &mut self,
        now_ms: u64,
        stable: Option<&Sample>,
        candidate: Option<&Sample>,
        synthetic_stable: Option<&Sample>,
        synthetic_candidate: Option<&Sample>,
    ) -> Step {
        let none = Sample::default();
        let requests = |sample: Option<&Sample>| sample.map_or(0, |s| s.requests);
        self.seen_synthetic = requests(synthetic_candidate);
        self.seen = requests(candidate) + self.seen_synthetic;
        if let Some(verdict) = self.silence(now_ms, stable, candidate) {
            return Step::Fail(verdict);
        }
        let real = Pair {
            stable: stable.unwrap_or(&none),
            candidate: candidate.unwrap_or(&none),
            counted: Counted::Requests,
        };
        let synthetic = Pair {
            stable: synthetic_stable.unwrap_or(&none),
            candidate: synthetic_candidate.unwrap_or(&none),
            counted: Counted::Synthetic,
        };
        let suspicious = match self.compare(now_ms, real, synthetic) {
            Ok(suspicious) => suspicious,
            Err(verdict) => return Step::Fail(*verdict),
        };
        if let Some(stable) = stable {
            self.shown = stable.clone();
        }
        self.advance(now_ms, suspicious)
    }

    /// Measurements that are missing for too long.
    fn silence(
        &mut self,
        now_ms: u64,
        stable: Option<&Sample>,
        candidate: Option<&Sample>,
    ) -> Option<Verdict> {
        let allowed_ms = self.plan.silence_ms?;
        for (sample, of_candidate) in [(stable, false), (candidate, true)] {
            let lacks_latency = |s: &Sample| s.requests >= LATENCY_DUE && s.latency.count() * 2 < s.requests;
            for (metric, missing) in [
                (Metric::Requests, sample.is_none()),
                (Metric::Memory, sample.is_some_and(|s| s.memory_bytes.is_none())),
                (Metric::Latency, sample.is_some_and(lacks_latency)),
            ] {
                let at = self.missing.iter().position(|(m, c, _)| (*m, *c) == (metric, of_candidate));
                match (missing, at) {
                    (true, None) => self.missing.push((metric, of_candidate, now_ms)),
                    (false, Some(at)) => drop(self.missing.swap_remove(at)),
                    _ => {}
                }
            }
        }
        let late = |(_, _, since): &&(Metric, bool, u64)| now_ms.saturating_sub(*since) >= allowed_ms;
        let (metric, of_candidate, _) = *self.missing.iter().find(late)?;
        let seen = |missing: bool, sample: Option<&Sample>| match missing {
            true => Value::Missing,
            false => Value::Share { count: 0, of: sample.map_or(0, |s| s.requests) },
        };
        let values = (seen(!of_candidate, stable), seen(of_candidate, candidate));
        Some(self.verdict(now_ms, metric, candidate, Counted::Requests, values, None))
    }

    /// Tries every gate. Whether one has a suspicion, or the verdict of the one that fails.
    fn compare(&mut self, now_ms: u64, real: Pair<'_>, synthetic: Pair<'_>) -> Result<bool, Box<Verdict>> {
        if !self.plan.gates {
            return Ok(false);
        }
        let beside = Beside {
            requests: self.before.requests,
            edge_errors: self.before.edge_errors,
            module_faults: self.before.module_faults,
            expected_change: self.plan.expected_change,
        };
        let [(mut stable, _), (candidate, apart)] = [real.stable, real.candidate].map(Sample::distinct);
        // Memory belongs to the process: what counts is how it grows from the first look on.
        self.memory_bytes = self.memory_bytes.or(real.candidate.memory_bytes);
        stable.memory_bytes = self.memory_bytes;
        let counted = if apart { Counted::Distinct } else { Counted::Requests };
        let distinct = Pair { stable: &stable, candidate: &candidate, counted };
        let mut suspicious = false;
        let mut lone = Vec::new();
        for gate in GATES {
            let of_visitors = if gate.distinct { distinct } else { real };
            for pair in [of_visitors].into_iter().chain(gate.synthetic.then_some(synthetic)) {
                let (values, detail) = match judge(gate, pair, &beside) {
                    Finding::Fine => continue,
                    Finding::Suspicious => {
                        suspicious = true;
                        continue;
                    }
                    Finding::Worse { stable, candidate, detail } => ((stable, candidate), detail),
                    Finding::Lone { stable, candidate, sure } => {
                        let known = self.lone.iter().find(|(metric, _)| *metric == gate.metric);
                        let since_ms = known.map_or(now_ms, |(_, since_ms)| *since_ms);
                        lone.push((gate.metric, since_ms));
                        let confirm_ms = if sure { CONFIRM_MS } else { CONFIRM_MAX_MS };
                        if now_ms.saturating_sub(since_ms) < confirm_ms {
                            continue;
                        }
                        ((stable, candidate), None)
                    }
                };
                let seen_by = Some(real.candidate);
                return Err(Box::new(self.verdict(
                    now_ms,
                    gate.metric,
                    seen_by,
                    pair.counted,
                    values,
                    detail,
                )));
            }
        }
        self.lone = lone;
        Ok(suspicious)
    }

    fn advance(&mut self, now_ms: u64, suspicious: bool) -> Step {
        let passed_ms = now_ms.saturating_sub(self.began_ms);
        let hold_ms = self.plan.hold_ms;
        let blind = self.plan.silence_ms.is_none();
        if self.seen < u64::from(self.plan.requests) && !blind {
            let longest_ms = hold_ms.saturating_mul(STAGE_HOLDS_MAX).max(STAGE_MAX_MS);
            if passed_ms < longest_ms || !self.plan.gates {
                return Step::Wait;
            }
            let detail = Some(format!("{} of {} in {} s", self.seen, self.plan.requests, passed_ms / 1_000));
            let values = (Value::Share { count: 0, of: 0 }, Value::Missing);
            return Step::Fail(self.verdict(
                now_ms,
                Metric::Requests,
                None,
                Counted::Requests,
                values,
                detail,
            ));
        }
        // One more hold for what may be chance; then it stands as chance.
        let due_ms = if suspicious { hold_ms.saturating_mul(2) } else { hold_ms };
        if passed_ms < due_ms || !self.missing.is_empty() || !self.lone.is_empty() {
            return Step::Wait;
        }
        self.before.merge(&std::mem::take(&mut self.shown));
        self.stage += 1;
        self.began_ms = now_ms;
        (self.seen, self.seen_synthetic) = (0, 0);
        self.lone.clear();
        match self.plan.stages.get(self.stage) {
            Some(percent) => Step::Advance { percent: *percent },
            None => Step::Done,
        }
    }

    fn verdict(
        &self,
        now_ms: u64,
        metric: Metric,
        candidate: Option<&Sample>,
        counted: Counted,
        (stable, now): (Value, Value),
        detail: Option<String>,
    ) -> Verdict {
        Verdict {
            metric,
            detail,
            stage_percent: self.percent(),
            after_ms: now_ms.saturating_sub(self.began_ms),
            requests: candidate.map_or(0, |c| c.requests),
            counted,
            stable,
            candidate: now,
        }
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
