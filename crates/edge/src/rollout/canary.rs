//! A candidate on its way: rehearsed, then beside what serves with a growing share of the requests, until it is adopted
//! or a gate sends it back.

use super::prepare::{Prepared, Refusal};
use super::queue::Waiting;
use super::rehearsal::{self, Bench, Heads};
use super::status::{Ended, Outcome, Seen, Underway};
use super::{Content, Current, Driver, Proposal, unix_ms};
use crate::cohort::{Canary, Cohort};
use crate::heads::Recorded;
use seawall_guard::Guard;
use seawall_rollout::{Objection, Plan, Progress, Rehearsal, Sample, Step, Verdict};
use seawall_snapshot::{History, Needed, UnitKind, UnitPrefix};
use seawall_telemetry::timeline::{Event, Kind};
use std::sync::Arc;
use std::time::Instant;

/// Synthetic requests run in one step, at most.
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
    /// What it is tried on where visitors are few.
    heads: Heads,
    /// What both had been through when the stage began.
    base: [Sample; 2],
    /// What synthetic requests of this stage went through.
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

    pub(super) fn proposal(&self) -> &Proposal {
        &self.proposal
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

    /// The candidate is what serves now. What cannot be noted on the disk is not served: a restart would know nothing of it.
    fn adopt(&mut self, trial: Trial) {
        if let Err(why) = self.note_adopted(&trial) {
            return self.fail(trial, why);
        }
        let Trial { number, order, prepared, proposal, began, .. } = trial;
        let Prepared { live, units, effects, kept, certificates, .. } = prepared;
        if certificates {
            self.process.prepare_certificates(&live, None);
        }
        self.process.recorder.runs(number, 0);
        self.process.adopt(live.clone());
        self.process.try_beside(None);
        self.process.took_over(&live);
        let before = std::mem::replace(&mut self.current, Current { number, units, since: Instant::now() });
        live.forget_candidate();
        self.note_problems(&proposal);
        if let Some(log) = &*self.log.lock() {
            log.set_output(crate::start::output(&live.edge.log));
        }
        self.prune(live.rollout.keep);
        let took_ms = began.elapsed().as_millis();
        let text = format!(
            "snapshot {number} serves every request, {took_ms} ms after its rehearsal began; before it {}",
            before.number
        );
        self.tell(Event::new(Kind::Adopted, &proposal.cause.who, text).snapshot(number));
        self.tell_order(number, &proposal);
        let shared = self.process.registry.shared();
        shared.canary_percent.set(0);
        shared.snapshot_candidate.set(0);
        shared.units_kept.set(i64::try_from(kept.len()).unwrap_or(i64::MAX));
        // Whoever sees that it ended sees what serves.
        self.tell_standing();
        self.end(Ended { effects, reasons: kept, ..Ended::new(order, Some(number), Outcome::Adopted) });
    }

    /// Keeps on the disk what follows from adopting a candidate.
    fn note_adopted(&mut self, trial: &Trial) -> Result<(), String> {
        let (number, now) = (trial.number, self.clock.now_unix_ms());
        let overlay = &trial.prepared.overlay;
        if self.overlay != *overlay {
            overlay.save(&self.data_dir).map_err(|fault| {
                format!("what is switched by hand cannot be kept over a restart, so it is not done: {fault}")
            })?;
        }
        let at_once = self.without(Guard::Soak);
        let noted = self.store.as_ref().map_or(Ok(()), |store| {
            store.update(|history| {
                history.adopted(number, now);
                if at_once {
                    history.soak(now, 0);
                }
            })
        });
        if let Err(fault) = noted {
            let _ = self.overlay.save(&self.data_dir);
            return Err(format!("it cannot be noted on disk that it serves, so it does not: {fault}"));
        }
        self.overlay = overlay.clone();
        Ok(())
    }

    fn prune(&self, keep: u32) {
        match self.store.as_ref().map(|store| store.prune(keep)) {
            Some(Ok(gone)) => {
                for number in gone {
                    let text = format!("snapshot {number} is deleted: {keep} newer ones are kept");
                    self.tell(Event::new(Kind::SnapshotDeleted, "prune", text).snapshot(number));
                }
            }
            Some(Err(fault)) => tracing::warn!(%fault, "older snapshots stay on disk"),
            None => {}
        }
    }

    /// Tells what an operator ordered, in its own words.
    fn tell_order(&self, number: u64, proposal: &Proposal) {
        let who = &proposal.cause.who;
        match &proposal.content {
            Content::Switch { module, zone, on } => {
                let kind = if *on { Kind::ModuleOn } else { Kind::ModuleOff };
                let mut event =
                    Event::new(kind, who, proposal.cause.why.clone()).module(module.name()).snapshot(number);
                if let Some(zone) = zone {
                    event = event.zone(zone);
                }
                self.tell(event);
            }
            Content::Snapshot(_) => {
                let text = format!("{}; its content serves as snapshot {number}", proposal.cause.why);
                self.tell(Event::new(Kind::RolledBack, who, text).snapshot(number));
            }
            _ => {}
        }
    }

    /// What served before serves all again.
    pub(super) fn fail(&mut self, trial: Trial, why: String) {
        let number = trial.number;
        let sentence = format!("{}: {why}", self.what_changed(&trial));
        self.take_back(&trial);
        self.process.registry.shared().gate_failures.inc();
        self.tell(Event::new(Kind::GateFailed, "gate", sentence.clone()).snapshot(number));
        self.drop_candidate(number, &sentence);
        let back = format!("snapshot {} serves every request again", self.current.number);
        self.tell(Event::new(Kind::RolledBack, "gate", back).snapshot(self.current.number));
        let alert = format!("snapshot {number} was taken back: {sentence}");
        self.tell(Event::new(Kind::Alert, "gate", alert).snapshot(number));
        self.blame_data(&trial, &sentence);
        self.end(Ended {
            verdict: Some(sentence),
            effects: trial.prepared.effects,
            ..Ended::new(trial.order, Some(number), Outcome::Failed)
        });
    }

    /// A data file that came alone has turned out bad. Where more changed, nobody knows which it was.
    fn blame_data(&mut self, trial: &Trial, why: &str) {
        let [change] = trial.prepared.changes.as_slice() else { return };
        let Some(unit) = change.after.as_ref().filter(|unit| unit.kind == UnitKind::Data) else { return };
        let now_ms = self.now_ms();
        if let Some(finding) = self.intake.turned_out_bad(&unit.name, &unit.bytes, why, now_ms)
            && !self.without(Guard::Pin)
        {
            self.pinned(&finding);
        }
    }

    /// What the change did, for whoever reads that it was taken back.
    fn what_changed(&self, trial: &Trial) -> String {
        if !trial.prepared.effects.is_empty() {
            return trial.prepared.effects.join("; ");
        }
        let changes = &trial.prepared.changes;
        let named: Vec<String> =
            changes.iter().take(NAMED_MAX).map(|c| format!("{} {}", c.kind.name(), c.name)).collect();
        let more = changes.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("changes {}{more}", named.join(", "))
    }

    /// Takes a candidate away for another change; it may be tried again.
    pub(super) fn make_way(&mut self, trial: Trial) -> Waiting {
        self.take_back(&trial);
        self.at_hand = None;
        self.status.lock().candidate = None;
        (trial.order, Box::new(trial.proposal))
    }

    /// No request runs under the candidate any more.
    fn take_back(&self, trial: &Trial) {
        self.process.try_beside(None);
        self.process.recorder.runs(self.current.number, 0);
        trial.prepared.live.forget_candidate();
        if trial.prepared.certificates {
            self.process.prepare_certificates(&self.process.live.load_full(), None);
        }
        self.note_candidate(None);
    }

    /// Notes on disk what became of a candidate.
    pub(super) fn drop_candidate(&self, number: u64, reason: &str) {
        self.process.recorder.runs(self.current.number, 0);
        self.process.registry.shared().snapshot_candidate.set(0);
        let Some(store) = &self.store else { return };
        if let Err(fault) = store.update(|history| history.failed(number, reason)) {
            tracing::error!(%fault, number, "it is not noted on disk that this snapshot was taken back");
        }
    }

    pub(super) fn note_candidate(&self, number: Option<u64>) {
        let shared = self.process.registry.shared();
        shared.snapshot_candidate.set(number.map_or(0, |n| i64::try_from(n).unwrap_or(i64::MAX)));
        if number.is_none() {
            shared.canary_percent.set(0);
        }
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
