//! Configurations that are no longer in force: kept until nobody uses them, and freed where that holds up no request.

use super::Live;
use crate::process::Process;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether one can be freed.
const LOOK: Duration = Duration::from_millis(500);

/// What has left service. Without this, the last worker to let go of a configuration would free it, a hundred thousand
/// zones in the worst case, in the middle of a request.
#[derive(Default)]
pub(crate) struct Retired(Mutex<Vec<Arc<Live>>>);

impl Retired {
    /// Takes one that is in force no more, or soon.
    pub(crate) fn push(&self, live: Arc<Live>) {
        let mut retired = self.0.lock();
        // A candidate that was adopted comes twice, and two references of ours would keep it for ever.
        if !retired.iter().any(|other| Arc::ptr_eq(other, &live)) {
            retired.push(live);
        }
    }

    /// How many are not freed yet.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Frees those that nobody uses; answers how many. Takes milliseconds for many changes: not for a worker's thread.
    pub(crate) fn free(&self) -> usize {
        let mut unused = Vec::new();
        // Out of force nothing gives out new references, so a count of one stays one.
        self.0.lock().retain(|live| {
            let used = Arc::strong_count(live) > 1;
            if !used {
                unused.push(live.clone());
            }
            used
        });
        unused.len()
    }
}

/// Frees them as they fall free, until the process ends.
pub(crate) async fn run(process: Arc<Process>) {
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        if process.retired.len() > 0 {
            let process = process.clone();
            let _ = tokio::task::spawn_blocking(move || process.retired.free()).await;
        }
    }
}
