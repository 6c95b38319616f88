//! Signals as something to poll: blocked in every thread and read from a descriptor.
//!
//! Nothing runs inside a signal handler, and a signal that arrives while this process executes a newer program waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// An order to stop that follows another by less than this is the same order: a terminal, a wrapper and a service manager may
/// each pass on one wish. A person who presses the keys again takes longer.
pub const ECHO: Duration = Duration::from_millis(200);

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

/// What an order to stop means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOrder {
    /// Finish, and go.
    First,
    /// The same order once more.
    Echo,
    /// Go at once.
    Again,
}

/// Tells a second order to stop from the echo of the first.
#[derive(Debug, Clone, Copy, Default)]
pub struct StopOrders {
    first: Option<Instant>,
}

impl StopOrders {
    /// SIGTERM or SIGINT arrived.
    pub fn heard(&mut self, now: Instant) -> StopOrder {
        match self.first {
            None => {
                self.first = Some(now);
                StopOrder::First
            }
            Some(first) if now.saturating_duration_since(first) < ECHO => StopOrder::Echo,
            Some(_) => StopOrder::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_order_within_milliseconds_is_the_first_one_once_more() {
        let mut orders = StopOrders::default();
        let start = Instant::now();
        let heard = [0, 1, 50, 199, 200, 5_000].map(|ms| orders.heard(start + Duration::from_millis(ms)));
        use StopOrder::{Again, Echo, First};
        assert_eq!(heard, [First, Echo, Echo, Echo, Again, Again]);
    }

    #[test]
    fn a_signal_waits_until_it_is_read() {
        let signals = Signals::listen(&[Signal::SIGUSR2]).unwrap();
        assert!(signals.arrived().is_empty());
        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        assert_eq!(signals.arrived(), [Signal::SIGUSR2]);
        assert!(signals.arrived().is_empty());
    }
}
