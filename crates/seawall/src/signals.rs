//! Signals as something to poll: blocked in every thread and read from a descriptor.
//!
//! Nothing runs inside a signal handler, and a signal that arrives while this process executes a newer program waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals of one process.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks `wanted` in this thread, and in those it starts from now on. Call it before the first thread starts: a
    /// thread without the block would take the signal's default action, which for most is death.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn listen(wanted: &[Signal]) -> io::Result<Self> {
        let mask: SigSet = wanted.iter().copied().collect();
        mask.thread_block()?;
        let fd = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// The signals that arrived since the last call. Several of one kind count once if they came close together.
    pub fn arrived(&self) -> Vec<Signal> {
        let mut signals = Vec::new();
        while let Ok(Some(info)) = self.fd.read_signal() {
            signals.extend(i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok()));
        }
        signals
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_waits_until_it_is_read() {
        let signals = Signals::listen(&[Signal::SIGUSR2]).unwrap();
        assert!(signals.arrived().is_empty());
        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        assert_eq!(signals.arrived(), [Signal::SIGUSR2]);
        assert!(signals.arrived().is_empty());
    }
}
