//! What is told of changes: to whoever asks, to the metrics, and on the timeline.

use super::status::{Ended, Outcome, Standing};
use super::{Driver, IDLE};
use seawall_snapshot::Needed;
use seawall_telemetry::timeline::{Event, Kind};
use std::time::{Duration, Instant};

/// In how many parts a soak is looked at, and how long a part is at most: a look reads the history from the disk.
const SOAK_LOOKS: u32 = 20;
const SOAK_LOOK_MAX: Duration = Duration::from_secs(5);

impl Driver {
    /// Calls good what has served long enough. A snapshot soaks on while later ones serve that hold all of it but a change,
    /// so that files which come anew every few minutes do not keep everything on trial.
    pub(super) fn soak(&mut self) {
        let soak = self.process.live.load().rollout.soak;
        let Some(store) = self.store.as_ref().filter(|_| self.current.number > 0) else { return };
        if self.soaked.elapsed() < (soak / SOAK_LOOKS).clamp(IDLE, SOAK_LOOK_MAX) {
            return;
        }
        self.soaked = Instant::now();
        let soak_ms = u64::try_from(soak.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.now_unix_ms();
        let promoted =
            store.update(|history| std::iter::from_fn(|| history.soak(now, soak_ms)).collect::<Vec<_>>());
        match promoted {
            Ok(promoted) if promoted.is_empty() => {}
            Ok(promoted) => {
                for number in promoted {
                    let text = format!("snapshot {number} served for {} s without a death", soak.as_secs());
                    self.tell(Event::new(Kind::PromotedGood, "soak", text).snapshot(number));
                }
                self.tell_standing();
            }
            Err(fault) => {
                seawall_telemetry::occasionally!(WARN, %fault, "a snapshot cannot be marked as good");
            }
        }
    }

    /// Puts what serves into the status and the metrics.
    pub(super) fn tell_standing(&self) {
        let number = self.current.number;
        let state =
            self.store.as_ref().and_then(|s| s.history().ok()).and_then(|h| h.entry(number).map(|e| e.state));
        let shared = self.process.registry.shared();
        shared.snapshot_running.set(i64::try_from(number).unwrap_or(i64::MAX));
        let since = u64::try_from(self.current.since.elapsed().as_millis()).unwrap_or(0);
        self.status.lock().current = Some(Standing {
            number,
            content: self.current.units.hash().to_string(),
            state: state.map_or("trial", seawall_snapshot::State::name),
            since_unix_ms: super::unix_ms().saturating_sub(since),
        });
    }

    /// The change at hand, or one that waited, is over.
    pub(super) fn end(&mut self, ended: Ended) {
        self.at_hand = self.at_hand.take().filter(|(order, _)| *order != ended.order);
        self.status.lock().end(ended);
    }

    /// The change at hand is refused, before a visitor met it.
    pub(super) fn refuse(
        &mut self,
        order: u64,
        number: Option<u64>,
        reasons: Vec<String>,
        effects: Vec<String>,
        needs: Vec<Needed>,
    ) {
        let mut event = Event::new(Kind::ChangeRefused, "check", reasons.join("; "));
        if let Some(number) = number {
            event = event.snapshot(number);
        }
        self.tell(event);
        self.process.registry.shared().snapshots_refused.inc();
        self.end(Ended { reasons, effects, needs, ..Ended::new(order, number, Outcome::Refused) });
    }
}
