//! Telling systemd (or whoever set `NOTIFY_SOCKET`) how things are. Without one, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// Serving, with a line for `systemctl status`.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Loading a configuration; followed by [`ready`] when that is over.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(at) => send(&[NotifyState::Reloading, at]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// Finishing requests.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// A line for `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// Alive, and so is the edge.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`watchdog`] is to be called: half of what systemd waits.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
