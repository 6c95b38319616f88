//! Processor time of the calling thread.

use nix::sys::resource::{UsageWho, getrusage};

/// How long the calling thread has run on a processor, user and system, in nanoseconds; none where the kernel does not say.
/// One system call: for chores, not for each request. The kernel tells it to the microsecond.
#[must_use]
pub fn thread_cpu_ns() -> Option<u64> {
    let used = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    let ns = |time: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).ok()?.checked_mul(1_000_000_000)?;
        seconds.checked_add(u64::try_from(time.tv_usec()).ok()?.checked_mul(1_000)?)
    };
    ns(used.user_time())?.checked_add(ns(used.system_time())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    #[test]
    fn work_counts_and_sleep_does_not() {
        let begun = thread_cpu_ns().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let slept = thread_cpu_ns().unwrap() - begun;
        let patience = Instant::now();
        let mut worked = 0;
        while worked < 20_000_000 && patience.elapsed() < Duration::from_secs(20) {
            (0..10_000).for_each(|n: u64| {
                black_box(n);
            });
            worked = thread_cpu_ns().unwrap() - begun - slept;
        }
        assert!(slept < 40_000_000 && worked >= 20_000_000, "{slept} {worked}");
    }
}
