//! Processor time of the calling thread.

use nix::sys::resource::{UsageWho, getrusage};

/// How long the calling thread has run on a processor, user and system, in nanoseconds; none where the kernel does not say.
/// One system call: for chores, not for each request. The kernel tells it to the microsecond.
#[must_use]
pub fn thread_cpu_ns() -> Option<u64> {
    thread_usage().map(|usage| usage.cpu_ns)
}

/// What the calling thread has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Time on a processor, nanoseconds.
    pub cpu_ns: u64,
    /// How often it went to sleep by itself. Where this has not grown, time that passed without a processor was spent
    /// waiting for one.
    pub slept: u64,
}

/// The use of the calling thread: one system call, a quarter of a microsecond.
#[must_use]
pub fn thread_usage() -> Option<Usage> {
    let used = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    let ns = |time: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).ok()?.checked_mul(1_000_000_000)?;
        seconds.checked_add(u64::try_from(time.tv_usec()).ok()?.checked_mul(1_000)?)
    };
    let cpu_ns = ns(used.user_time())?.checked_add(ns(used.system_time())?)?;
    Some(Usage { cpu_ns, slept: u64::try_from(used.voluntary_context_switches()).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    #[test]
    fn who_sleeps_is_seen_to_have_slept() {
        let before = thread_usage().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(thread_usage().unwrap().slept > before.slept);
    }

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
