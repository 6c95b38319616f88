//! Faults on purpose, for drills. Nothing of this happens in a process that was not started by one.

use super::StageError;
use crate::live::{Live, Zone};
use seawall_guard::{Sabotage, What, sabotage};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Does to a request as a whole what a drill wants done to it.
pub(crate) fn strike(sabotage: &Sabotage, live: &Live, zone: &Zone) -> Result<(), StageError> {
    if !sabotage.has_faults() {
        return Ok(());
    }
    let age_ms = live.shared.age_ms();
    let what = sabotage.fault(None, &zone.doc.name, |rule| zone.stages.has_rule(rule), age_ms);
    what.map_or(Ok(()), inflict)
}

/// Makes describing a failure as dear as a drill wants it.
pub(crate) fn dawdle(sabotage: &Sabotage) {
    let (began, long) = (Instant::now(), Duration::from_micros(sabotage.describe_us()));
    while began.elapsed() < long {
        std::hint::spin_loop();
    }
}

/// Does to this thread what a drill wants done to it.
#[allow(clippy::panic)] // that is what was asked for
pub(crate) fn inflict(what: What) -> Result<(), StageError> {
    match what {
        What::Panic => panic!("sabotage: a panic"),
        What::Error => return Err(StageError("sabotage: an error".to_owned())),
        What::Slow => {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(sabotage::SLOW_MS) {
                std::hint::spin_loop();
            }
        }
        What::Hang => std::thread::sleep(Duration::from_millis(sabotage::HANG_MS)),
        What::Allocate => {
            // Asked for is what counts. Touching it all would make this a hang on machines whose memory is slow to come.
            let bytes = usize::try_from(sabotage::ALLOCATE_BYTES).unwrap_or(usize::MAX);
            let asked = black_box(Vec::<u8>::with_capacity(bytes));
            drop(black_box(vec![1u8; bytes / 16]));
            drop(asked);
        }
        What::Abort => std::process::abort(),
        What::Overflow => {
            black_box(deeper(1));
        }
    }
    Ok(())
}

/// Recurses until the stack ends, in steps the compiler cannot fold.
#[allow(unconditional_recursion)]
fn deeper(n: u64) -> u64 {
    let room = black_box([n; 512]);
    deeper(black_box(n + 1)) + room.first().copied().unwrap_or(0)
}
