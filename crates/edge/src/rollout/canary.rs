//! A candidate on its way: rehearsed, then beside what serves with a growing share of the requests, until it is over
//! (`ending`).

use super::prepare::{Prepared, Refusal};
use super::rehearsal::{self, Bench, Heads};
use super::status::{Seen, Underway};
use super::{Content, Driver, Proposal, unix_ms};
use crate::cohort::{Canary, Cohort};
use crate::heads::Recorded;
use seawall_guard::Guard;
use seawall_rollout::{Objection, Plan, Progress, Rehearsal, Sample, Step, Verdict};
use seawall_snapshot::{Needed, UnitPrefix};
use seawall_telemetry::timeline::{Event, Kind};
use std::sync::Arc;
use std::time::Instant;

/// Synthetic requests run in one step, at most.
const SYNTHETIC_MAX: usize = 200;

/// A change on its way.
pub(super) struct Trial {
    pub number: u64,
    pub order: u64,
    pub proposal: Proposal,
    pub prepared: Prepared,
    canary: Arc<Canary>,
    progress: Progress,
    /// What it is tried on where visitors are few.
    heads: Heads,
    /// What both had been through when the stage began.
    base: [Sample; 2],
    /// What synthetic requests of this stage went through.
    synthetic: [Sample; 2],
    pub began: Instant,
    percent: u8,
}

impl Trial {
    /// Rehearses a candidate and puts it beside what serves. `None`: it was refused, or is adopted already.
    pub(super) fn begin(
        driver: &mut Driver,
        order: u64,
        proposal: Proposal,
        prepared: Prepared,
    ) -> Option<Trial> {
        let number = prepared.number;
        let plan = driver.plan(&proposal, &prepared);
        let recent: Vec<Recorded> = driver.process.heads.iter().flat_map(|h| h.all()).collect();
        let made_up = rehearsal::heads_for(&prepared.live, &prepared.zones());
        let mut trial = Trial {
            number,
            order,
            canary: Arc::new(Canary::new(prepared.live.clone(), number)),
            progress: Progress::new(plan.clone(), driver.now_ms()),
            heads: Heads { recent: recent.into(), made_up },
            base: Default::default(),
            synthetic: Default::default(),
            began: Instant::now(),
            percent: 0,
            proposal,
            prepared,
        };
        driver.under_way(&trial, "rehearsal");
        // Said before it runs: what kills the process at once is blamed for it then too.
        driver.process.recorder.runs(driver.current.number, number);
        driver.note_candidate(Some(number));
        if !driver.without(Guard::Rehearsal) {
            match driver.rehearse(&trial) {
                Ok(expected) => {
                    let expected_change = plan.expected_change.max(expected);
                    let before = driver.process.sample(Cohort::Current);
                    let plan = Plan { expected_change, ..plan };
                    trial.progress = Progress::new(plan, driver.now_ms()).after(&before);
                }
                Err(Refusal { reasons, needs, .. }) => {
                    driver.drop_candidate(number, &reasons.join("; "));
                    driver.refuse(order, Some(number), reasons, trial.prepared.effects, needs);
                    return None;
                }
            }
        }
        if driver.without(Guard::Canary) {
            driver.adopt(trial);
            return None;
        }
        if trial.prepared.certificates {
            // Of hosts that only one of the two knows, a visitor may land under either.
            let current = driver.process.live.load_full();
            driver.process.prepare_certificates(&current, Some(&trial.prepared.live));
        }
        driver.process.try_beside(Some(trial.canary.clone()));
        let percent = trial.progress.percent();
        driver.widen(&mut trial, percent);
        Some(trial)
    }

    /// Whether it takes the short stages.
    pub(super) fn is_quick(&self) -> bool {
        self.proposal.quick
    }

    /// Whether a unit came with this change.
    pub(super) fn brought(&self, unit: UnitPrefix) -> bool {
        self.prepared.brought(unit)
    }
}

impl Driver {
    /// Short stages are for what an operator wants quickly, and for bans. That verdicts change is taken for granted only
    /// where nothing else can be meant: a rule that blocks too much may come quickly, too.
    fn plan(&self, proposal: &Proposal, prepared: &Prepared) -> Plan {
        let settings = &self.process.live.load().rollout;
        let mut plan = match proposal.quick || prepared.is_ban_or_switch() {
            true => Plan::quick(settings),
            false => Plan::new(settings),
        };
        if !proposal.is_meant() {
            plan.expected_change = 0.0;
        }
        plan.gates = !self.without(Guard::Gate);
        if self.without(Guard::GateSilence) {
            plan.silence_ms = None;
        }
        plan
    }

    /// Looks how the change on its way is doing.
    pub(super) fn step_trial(&mut self) {
        let Some(mut trial) = self.trial.take() else { return };
        if self.process.sabotage.as_ref().is_some_and(|s| s.rollout_fails()) {
            std::panic::resume_unwind(Box::new("sabotage: the rollout fails".to_owned()));
        }
        let now_ms = self.now_ms();
        let [current, candidate] = self.samples(&trial);
        if let Err(why) = self.fill(&mut trial, now_ms) {
            return self.fail(*trial, why);
        }
        if let Some(under_way) = &mut self.status.lock().candidate {
            under_way.requests = Seen { current: current.requests, candidate: candidate.requests };
        }
        let blind = self.process.sabotage.as_ref().is_some_and(|s| s.blind_gate());
        let [made_current, made_candidate] = &trial.synthetic;
        let step = trial.progress.observe(
            now_ms,
            (!blind).then_some(&current),
            (!blind).then_some(&candidate),
            Some(made_current),
            Some(made_candidate),
        );
        match step {
            Step::Wait => self.trial = Some(trial),
            Step::Advance { percent } => {
                self.widen(&mut trial, percent);
                self.trial = Some(trial);
            }
            Step::Done => self.adopt(*trial),
            Step::Fail(verdict) => {
                let sentence = told(&verdict);
                self.fail(*trial, sentence);
            }
        }
    }

    /// Runs recent heads through both. The share of requests that end differently, where that is meant.
    fn rehearse(&self, trial: &Trial) -> Result<f64, Refusal> {
        let rehearsed = self.bench(trial).rehearse(&trial.heads, self.process.recorder.bench());
        let [recent, made_up] = rehearsed.map_err(Refusal::because)?;
        let told = |rehearsal: &Rehearsal, what: &str| {
            let Rehearsal { seen, faults, overruns, .. } = rehearsal;
            format!("{seen} {what}, {faults} faults, {overruns} overruns")
        };
        let text = format!(
            "snapshot {} ran over {} ({} end differently), and over {}",
            trial.number,
            told(&recent, "recent requests"),
            recent.changed,
            told(&made_up, "made up")
        );
        self.tell(Event::new(Kind::Rehearsed, "rehearsal", text).snapshot(trial.number));
        let acked =
            trial.proposal.acks.iter().find(|a| a.what == Objection::CHANGED_VERDICTS).map(|a| a.count);
        // Faults of both together: one of each kind is two.
        let mut both = recent;
        both.merge(&made_up);
        both.changed = 0;
        let acked = acked.or(trial.proposal.is_meant().then_some(recent.changed));
        match both.judge(None).and(recent.judge(acked)) {
            Ok(()) if acked.is_some() => Ok(recent.changed_share()),
            Ok(()) => Ok(0.0),
            Err(objection) => {
                let why = objection.to_string();
                let needs = objection.needs().map(|(what, count)| Needed { what, count, why: why.clone() });
                Err(Refusal { needs: needs.into_iter().collect(), ..Refusal::because(why) })
            }
        }
    }

    fn bench(&self, trial: &Trial) -> Bench {
        Bench {
            current: self.process.live.load_full(),
            candidate: trial.prepared.live.clone(),
            sabotage: self.process.sabotage.clone(),
        }
    }

    /// Gives the candidate its share, and counts from here.
    fn widen(&mut self, trial: &mut Trial, percent: u8) {
        trial.percent = percent;
        trial.base = [Cohort::Current, Cohort::Candidate].map(|cohort| self.process.sample(cohort));
        trial.synthetic = Default::default();
        trial.canary.widen(percent);
        self.process.registry.shared().canary_percent.set(i64::from(percent));
        let text = format!("{percent} % of the requests run under snapshot {}", trial.number);
        self.tell(Event::new(Kind::Stage, "rollout", text).snapshot(trial.number));
        self.under_way(trial, &format!("{percent} %"));
    }

    /// What both went through since the stage began.
    fn samples(&self, trial: &Trial) -> [Sample; 2] {
        let [current, candidate] = &trial.base;
        [
            self.process.sample(Cohort::Current).since(current),
            self.process.sample(Cohort::Candidate).since(candidate),
        ]
    }

    /// Runs recent heads and made-up ones through the stages of both, so that a stage says something even at night.
    fn fill(&self, trial: &mut Trial, now_ms: u64) -> Result<(), String> {
        let wanted = usize::try_from(trial.progress.wants_synthetic(now_ms)).unwrap_or(SYNTHETIC_MAX);
        if wanted == 0 {
            return Ok(());
        }
        let [done, _] = &trial.synthetic;
        let slot = self.process.recorder.bench();
        let filled = self.bench(trial).fill(&trial.heads, done.requests, wanted.min(SYNTHETIC_MAX), slot)?;
        for (sum, more) in trial.synthetic.iter_mut().zip(&filled) {
            sum.merge(more);
        }
        Ok(())
    }

    fn under_way(&self, trial: &Trial, stage: &str) {
        let began = u64::try_from(trial.began.elapsed().as_millis()).unwrap_or(0);
        self.status.lock().candidate = Some(Underway {
            order: trial.order,
            number: trial.number,
            content: trial.prepared.units.hash().to_string(),
            stage: stage.to_owned(),
            percent: trial.percent,
            since_unix_ms: unix_ms().saturating_sub(began),
            requests: Seen::default(),
            effects: trial.prepared.effects.clone(),
        });
    }
}

impl Proposal {
    /// Whether it is there to change what becomes of requests: a kill switch, a return to what was.
    fn is_meant(&self) -> bool {
        matches!(self.content, Content::Switch { .. } | Content::Switches | Content::Snapshot(_))
    }
}

/// A verdict with its size.
fn told(verdict: &Verdict) -> String {
    format!("{verdict} ({})", verdict.by_how_much())
}
