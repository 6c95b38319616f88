//! A candidate on its way: rehearsed, then beside what serves with a growing share of the requests, until it is adopted
//! or a gate sends it back.

use super::prepare::{Prepared, Refusal};
use super::rehearsal::{self, Fate};
use super::status::{Ended, Outcome, Seen, Underway};
use super::{BOT_FEATURES, Driver, Proposal, unix_ms};
use crate::cohort::{Canary, Cohort};
use crate::heads::Recorded;
use seawall_guard::Guard;
use seawall_rollout::{Objection, Plan, Progress, Sample, Step, Verdict};
use seawall_snapshot::{History, Needed};
use seawall_telemetry::names::ModuleFault;
use seawall_telemetry::timeline::{Event, Kind};
use std::sync::Arc;
use std::time::Instant;

/// Heads that a stage with too few requests is filled up with, at most.
const SYNTHETIC_MAX: usize = 200;

/// Units a verdict names.
const NAMED_MAX: usize = 5;

/// A change on its way.
pub(super) struct Trial {
    pub number: u64,
    order: u64,
    proposal: Proposal,
    prepared: Prepared,
    canary: Arc<Canary>,
    progress: Progress,
    /// What both had been through when the stage began.
    base: [Sample; 2],
    /// What made-up requests of this stage went through.
    synthetic: [Sample; 2],
    began: Instant,
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
        let began = Instant::now();
        let settings = driver.process.live.load().rollout.clone();
        let mut plan = if proposal.quick { Plan::quick(&settings) } else { Plan::new(&settings) };
        plan.gates = !driver.without(Guard::Gate);
        if driver.without(Guard::GateSilence) {
            plan.silence_ms = None;
        }
        let canary = Arc::new(Canary::new(prepared.live.clone(), number));
        let mut trial = Trial {
            number,
            order,
            proposal,
            prepared,
            canary,
            progress: Progress::new(plan.clone(), driver.now_ms()),
            base: Default::default(),
            synthetic: Default::default(),
            began,
            percent: 0,
        };
        driver.under_way(&trial, "rehearsal");
        // Said before it runs: what kills the process at once is blamed for it then too.
        driver.process.recorder.runs(driver.current.number, number);
        driver.note_candidate(Some(number));
        if !driver.without(Guard::Rehearsal) {
            match driver.rehearse(&trial) {
                Ok(changed) => plan.expected_change = plan.expected_change.max(changed),
                Err(refusal) => {
                    driver.drop_candidate(number, &refusal.reasons.join("; "));
                    driver.refuse(
                        order,
                        Some(number),
                        refusal.reasons,
                        trial.prepared.effects,
                        refusal.needs,
                    );
                    return None;
                }
            }
        }
        trial.progress = Progress::new(plan, driver.now_ms());
        if trial.prepared.certificates {
            driver.process.prepare_certificates(&trial.prepared.live);
        }
        if driver.without(Guard::Canary) {
            driver.adopt(trial);
            return None;
        }
        driver.process.try_beside(Some(trial.canary.clone()));
        let percent = trial.progress.percent();
        driver.widen(&mut trial, percent);
        Some(trial)
    }

    /// The change, to be tried again.
    pub(super) fn into_proposal(self) -> (u64, Box<Proposal>) {
        (self.order, Box::new(self.proposal))
    }
}

impl Driver {
    /// Looks how the change on its way is doing.
    pub(super) fn step_trial(&mut self) {
        let Some(mut trial) = self.trial.take() else { return };
        let now_ms = self.now_ms();
        let [current, candidate] = self.samples(&trial);
        self.make_up(&mut trial, now_ms);
        {
            let mut status = self.status.lock();
            if let Some(under_way) = &mut status.candidate {
                under_way.requests = Seen { current: current.requests, candidate: candidate.requests };
            }
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
            Step::Fail(verdict) => self.fail(*trial, &verdict),
        }
    }

    /// Runs recent heads through both. The share of requests that end differently, where that is meant.
    fn rehearse(&self, trial: &Trial) -> Result<f64, Refusal> {
        let current = self.process.live.load_full();
        let heads: Vec<Recorded> = self.process.heads.iter().flat_map(|h| h.all()).collect();
        let sabotage = self.process.sabotage.clone();
        let prepared = &trial.prepared;
        let slot = self.process.recorder.bench();
        let outcome =
            rehearsal::rehearse(&current, &prepared.live, heads, &prepared.changed, sabotage.as_ref(), slot);
        let rehearsal = outcome.map_err(Refusal::because)?;
        let text = format!(
            "snapshot {} ran over {} recent requests: {} end differently, {} faults, {} overruns",
            trial.number, rehearsal.seen, rehearsal.changed, rehearsal.faults, rehearsal.overruns
        );
        self.tell(Event::new(Kind::Rehearsed, "rehearsal", text).snapshot(trial.number));
        let acked =
            trial.proposal.acks.iter().find(|a| a.what == Objection::CHANGED_VERDICTS).map(|a| a.count);
        // A kill switch and a ban are there to change what becomes of requests.
        let acked = acked.or(trial.proposal.quick.then_some(rehearsal.changed));
        match rehearsal.judge(acked) {
            Ok(()) if acked.is_some() => Ok(rehearsal.changed_share()),
            Ok(()) => Ok(0.0),
            Err(objection) => {
                let why = objection.to_string();
                let needs = objection.needs().map(|(what, count)| Needed { what, count, why: why.clone() });
                Err(Refusal { needs: needs.into_iter().collect(), ..Refusal::because(why) })
            }
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

    /// Where visitors are few, recent heads and made-up ones are run through the stages of both, so that a stage says
    /// something even at night.
    fn make_up(&self, trial: &mut Trial, now_ms: u64) {
        let wanted = trial.progress.wants_synthetic(now_ms);
        if wanted == 0 {
            return;
        }
        let current = self.process.live.load_full();
        let mut heads: Vec<Recorded> =
            self.process.heads.iter().flat_map(|h| h.all()).take(SYNTHETIC_MAX).collect();
        heads.extend(rehearsal::heads_for(&trial.prepared.live, &trial.prepared.changed));
        if heads.is_empty() {
            heads.extend(rehearsal::heads_for_any(&trial.prepared.live));
        }
        let (sabotage, slot) = (self.process.sabotage.as_deref(), self.process.recorder.bench());
        let wanted = usize::try_from(wanted).unwrap_or(SYNTHETIC_MAX).min(SYNTHETIC_MAX);
        // Goes on where it stopped: a few are wanted at a time, and all of them are to have their turn.
        let done = trial.synthetic.first().map_or(0, |sample| sample.requests);
        let done = usize::try_from(done).unwrap_or(0).checked_rem(heads.len()).unwrap_or(0);
        for recorded in heads.iter().cycle().skip(done).take(if heads.is_empty() { 0 } else { wanted }) {
            for (live, sample) in [&current, &trial.prepared.live].into_iter().zip(&mut trial.synthetic) {
                let run = rehearsal::run(live, recorded, sabotage, &slot);
                sample.requests += 1;
                let late = |fault: &ModuleFault| matches!(fault, ModuleFault::Time);
                let small = run.facts.faults.iter().filter(|(_, fault)| late(fault)).count() as u64;
                sample.module_faults += run.facts.faults.len() as u64 - small;
                sample.overruns += small;
                sample.blocked += u64::from(matches!(run.fate, Fate::Stage(_)) && run.facts.blocked);
                match run.facts.score {
                    Some(Some(score)) => {
                        if let Some(band) = sample.scores.get_mut(usize::from(score.min(99)) / 10) {
                            *band += 1;
                        }
                    }
                    Some(None) => sample.unscored += 1,
                    None => {}
                }
            }
        }
    }

    /// The candidate is what serves now.
    fn adopt(&mut self, trial: Trial) {
        let Trial { number, order, prepared, proposal, began, .. } = trial;
        self.process.recorder.runs(number, 0);
        self.process.adopt(prepared.live.clone());
        self.process.try_beside(None);
        self.process.took_over(&prepared.live);
        self.note_problems(&proposal);
        if let Some(log) = &*self.log.lock() {
            log.set_output(crate::start::output(&prepared.live.edge.log));
        }
        let before = self.current.number;
        self.current =
            super::Current { number, units: prepared.units, source: prepared.source, since: Instant::now() };
        if self.overlay != prepared.overlay {
            self.overlay = prepared.overlay;
            if let Err(fault) = self.overlay.save(&self.data_dir) {
                tracing::error!(%fault, "switches of modules are not kept over a restart");
            }
        }
        let good = self.without(Guard::Soak);
        if let Some(store) = &self.store {
            let keep = prepared.live.rollout.keep;
            let kept = store.update(|history| {
                history.adopted(number, unix_ms());
                if good {
                    history.soak(unix_ms(), 0);
                }
            });
            if let Err(fault) = kept {
                tracing::error!(%fault, number, "it is not noted on disk that this snapshot serves; a restart starts from an older one");
            }
            if let Err(fault) = store.prune(keep) {
                tracing::warn!(%fault, "older snapshots stay on disk");
            }
        }
        let took_ms = began.elapsed().as_millis();
        let text = format!(
            "snapshot {number} serves every request, {took_ms} ms after its rehearsal began; before it {before}"
        );
        self.tell(Event::new(Kind::Adopted, &proposal.cause.who, text).snapshot(number));
        self.process.registry.shared().canary_percent.set(0);
        self.process.registry.shared().snapshot_candidate.set(0);
        {
            let mut status = self.status.lock();
            status.candidate = None;
            status.last = Some(Ended {
                order,
                number: Some(number),
                outcome: Outcome::Adopted,
                verdict: None,
                reasons: Vec::new(),
                effects: prepared.effects,
                needs: Vec::new(),
                unix_ms: unix_ms(),
            });
        }
        self.tell_standing();
    }

    /// A gate says no: what served before serves all again.
    fn fail(&mut self, trial: Trial, verdict: &Verdict) {
        let sentence = format!("{}: {verdict}", self.what_changed(&trial));
        self.take_back(&trial);
        self.process.registry.shared().gate_failures.inc();
        self.tell(Event::new(Kind::GateFailed, "gate", sentence.clone()).snapshot(trial.number));
        self.drop_candidate(trial.number, &sentence);
        let back = format!("snapshot {} serves every request again", self.current.number);
        self.tell(Event::new(Kind::RolledBack, "gate", back).snapshot(self.current.number));
        self.tell(
            Event::new(Kind::Alert, "gate", format!("snapshot {} was taken back: {sentence}", trial.number))
                .snapshot(trial.number),
        );
        for change in self.current.units.changes(&trial.prepared.units) {
            if change.kind == seawall_snapshot::UnitKind::Data && change.after.is_some() {
                self.turned_out_bad(&change.name);
            }
        }
        let mut status = self.status.lock();
        status.candidate = None;
        status.last = Some(Ended {
            order: trial.order,
            number: Some(trial.number),
            outcome: Outcome::Failed,
            verdict: Some(sentence),
            reasons: Vec::new(),
            effects: trial.prepared.effects,
            needs: Vec::new(),
            unix_ms: unix_ms(),
        });
    }

    /// What the change did, for whoever reads that it was taken back.
    fn what_changed(&self, trial: &Trial) -> String {
        if !trial.prepared.effects.is_empty() {
            return trial.prepared.effects.join("; ");
        }
        let changes = self.current.units.changes(&trial.prepared.units);
        let named = changes.iter().take(NAMED_MAX).map(|c| format!("{} {}", c.kind.name(), c.name));
        let named: Vec<String> = named.collect();
        let more = changes.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("changed {}{more}", named.join(", "))
    }

    /// No request runs under the candidate any more.
    pub(super) fn take_back(&self, trial: &Trial) {
        self.process.try_beside(None);
        self.process.recorder.runs(self.current.number, 0);
        if trial.prepared.certificates {
            self.process.prepare_certificates(&self.process.live.load_full());
        }
        let shared = self.process.registry.shared();
        shared.canary_percent.set(0);
        shared.snapshot_candidate.set(0);
        self.note_candidate(None);
    }

    /// Notes on disk what became of a candidate.
    fn drop_candidate(&self, number: u64, reason: &str) {
        self.process.recorder.runs(self.current.number, 0);
        self.process.registry.shared().snapshot_candidate.set(0);
        let Some(store) = &self.store else { return };
        if let Err(fault) = store.update(|history| history.failed(number, reason)) {
            tracing::error!(%fault, number, "it is not noted on disk that this snapshot was taken back");
        }
    }

    /// What was accepted has turned out bad: that counts for its alternation.
    fn turned_out_bad(&mut self, name: &str) {
        if name != BOT_FEATURES {
            return;
        }
        if let Some(finding) = self.intake.turned_out_bad(BOT_FEATURES, self.now_ms()) {
            self.pinned(&finding);
        }
    }

    fn note_candidate(&self, number: Option<u64>) {
        let shared = self.process.registry.shared();
        shared.snapshot_candidate.set(number.map_or(0, |n| i64::try_from(n).unwrap_or(i64::MAX)));
        let note = |history: &mut History| match number {
            Some(number) => drop(history.proposed(number)),
            None => history.candidate = None,
        };
        if let Some(Err(fault)) = self.store.as_ref().map(|s| s.update(note)) {
            tracing::warn!(%fault, "the candidate is not noted on disk");
        }
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
