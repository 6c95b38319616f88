//! Zones that nobody asks for give back what they were compiled to. A visitor that walks through every zone of a hundred
//! thousand, as crawlers do, must not leave a gigabyte behind.
//!
//! What rests is its entry, in a configuration that is otherwise the same and takes the place of the one in force; so a
//! request that holds a zone keeps it to its end, and nothing on its way looks whether a zone is there.

use super::load::ALL_KEPT;
use super::{Entry, Live, next_generation};
use crate::process::Process;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it is looked who rests.
const ROUND: Duration = Duration::from_secs(300);
/// Rounds without a request after which a zone rests: an hour. By then the addresses of its origins are too old to be used
/// as well, so nothing is lost.
const ROUNDS: u8 = 12;
/// Zones awake above which one round is enough, in number: about a hundred MiB.
const AWAKE_MAX: usize = 10_000;
/// Most zones put to rest at a time; the others have another turn.
const LOT: usize = 10_000;

impl Live {
    /// The same with those zones at rest that have not been asked for in a while. To be called once a round. Nothing if
    /// there are none.
    pub(super) fn rested(&self, now_ms: u64) -> Option<Live> {
        let awake = || self.zones.iter().filter(|(_, entry)| entry.compiled().is_some());
        let rounds = if awake().count() > AWAKE_MAX { 1 } else { ROUNDS };
        let tired: Vec<(usize, &Arc<Entry>)> =
            awake().filter(|(_, entry)| entry.is_tired(rounds, now_ms)).take(LOT).collect();
        if tired.is_empty() {
            return None;
        }
        let mut zones = self.zones.clone();
        for (slot, entry) in &tired {
            zones.put(Arc::new(entry.at_rest()), self.zones.is_kept(*slot));
        }
        Some(Live { zones, fresh: Vec::new(), ..self.clone() })
    }
}

impl Process {
    /// Lets zones rest. Not for a worker's thread.
    fn rest(&self) {
        let live = self.live.load_full();
        if live.zones.len() <= ALL_KEPT {
            return;
        }
        let Some(rested) = live.rested(self.elapsed_ms()) else { return };
        // Another configuration that came meanwhile has the right of way.
        let before = self.live.compare_and_swap(&live, Arc::new(rested));
        if Arc::ptr_eq(&before, &live) {
            self.retired.push(live);
            self.generation.store(next_generation(), Ordering::Release);
        }
    }
}

/// Lets zones rest, until the process ends.
pub(crate) async fn run(process: Arc<Process>) {
    let mut interval = tokio::time::interval(ROUND);
    loop {
        interval.tick().await;
        let process = process.clone();
        let _ = tokio::task::spawn_blocking(move || process.rest()).await;
    }
}
