//! What the kernel knows of this process, read at each scrape.

use std::fs;

/// Clock ticks a second in `/proc/self/stat`; Linux has shown 100 to programs on every architecture since 2.6.
const TICKS_PER_SECOND: u64 = 100;

/// Numbers of the process; those that could not be read are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Process {
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) cpu_ticks: Option<u64>,
    pub(crate) open_fds: Option<u64>,
    pub(crate) max_fds: Option<u64>,
}

impl Process {
    pub(crate) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Process {
            resident_bytes: line_number(&status, "VmRSS:").map(|kib| kib * 1024),
            threads: line_number(&status, "Threads:"),
            cpu_ticks: cpu_ticks(&stat),
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            max_fds: line_number(&limits, "Max open files"),
        }
    }

    pub(crate) fn cpu_ms(&self) -> Option<u64> {
        self.cpu_ticks.map(|ticks| ticks * 1000 / TICKS_PER_SECOND)
    }
}

fn line_number(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label))?.split_ascii_whitespace().next()?.parse().ok()
}

/// User and system time: fields 14 and 15, counted past the name in parentheses, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1024 * 1024);
        assert!(process.open_fds.unwrap() >= 3);
        assert!(process.max_fds.is_some() && process.threads.is_some() && process.cpu_ms().is_some());
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        assert_eq!(cpu_ticks("1 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0"), Some(42));
        assert_eq!(cpu_ticks(""), None);
    }
}
