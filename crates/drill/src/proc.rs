//! What the kernel says of processes.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Ticks per second in `/proc`, which Linux shows as 100 whatever its own clock is (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Raises this process's limit on open files as far as it goes: visitors and origins need a few thousand.
pub fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Children of a process, by its main thread.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The arguments of a process.
#[must_use]
pub fn arguments(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// Processor time a process has used, user and system, seconds.
#[must_use]
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which is in brackets and may hold anything: state is the first field, utime the twelfth.
    let mut rest = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = rest.next()?.parse().ok()?;
    let system: f64 = rest.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Memory resident, bytes.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Sends a signal; a process that is gone is fine.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid)
        && pid > 1
    {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Kills a supervisor and everything it started, leaving it no time to start anything more.
pub fn kill_tree(supervisor: u32) {
    signal(supervisor, Signal::SIGSTOP);
    let children = children(supervisor);
    signal(supervisor, Signal::SIGKILL);
    for child in children {
        signal(child, Signal::SIGKILL);
    }
}

/// The edge among a supervisor's children that was started last.
#[must_use]
pub fn edge_of(supervisor: u32) -> Option<u32> {
    children(supervisor).into_iter().rfind(|pid| arguments(*pid).get(1).is_some_and(|arg| arg == "edge"))
}
