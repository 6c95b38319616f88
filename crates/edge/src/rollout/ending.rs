//! How a candidate ends: adopted, taken back, or out of the way of another change.

use super::canary::Trial;
use super::prepare::Prepared;
use super::queue::Waiting;
use super::status::{Ended, Outcome};
use super::{Content, Current, Driver, Proposal};
use seawall_guard::Guard;
use seawall_snapshot::{History, UnitKind};
use seawall_telemetry::timeline::{Event, Kind};
use std::time::Instant;

/// Units a verdict names.
const NAMED_MAX: usize = 5;

impl Driver {
    /// The candidate is what serves now. What cannot be noted on the disk is not served: a restart would know nothing of it.
    pub(super) fn adopt(&mut self, trial: Trial) {
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
}
