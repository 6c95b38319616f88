//! Starting, telling, killing and burying child processes.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seawall_sys::Lineage;
use seawall_sys::recorder::{Reading, Recording, Runs};

use super::role::Generation;
use crate::channel::Channel;
use crate::exit::Exit;
use crate::handover::{self, Manifest};

/// What of our environment a child must not see: it would speak to systemd in our name, or claim our descriptors.
const NOT_FOR_CHILDREN: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    handover::VARIABLE,
    handover::RESTARTS_VARIABLE,
    super::resume::VARIABLE,
];

/// Which role a child plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The data plane.
    Edge,
    /// The built-in demo site.
    Demo,
}

impl Part {
    /// The word for it, in logs and in the state handed to a newer program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Demo => "demo",
        }
    }

    /// The part of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Edge, Self::Demo].into_iter().find(|part| part.name() == name)
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Demo => "demo-origin",
        }
    }
}

/// A child process that has not been buried yet. Its process id is therefore not reused, and safe to signal.
#[derive(Debug)]
pub struct Child {
    /// Its number.
    pub generation: Generation,
    /// Its role.
    pub part: Part,
    /// Its process id.
    pub pid: Pid,
    /// To it.
    pub channel: Channel,
    /// What it said of its program when it became ready: resume format and version.
    pub program: Option<(u32, String)>,
    /// What it records into, if it does.
    pub recording: Option<Recording>,
    /// The snapshots it last said it runs.
    pub runs: Runs,
    /// When it was started.
    pub started: Instant,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
    /// Somebody else buried it.
    Gone,
}

impl End {
    /// Whether it crashed or was killed. A program that ends with a code of its own has decided to, and said why; what
    /// serves with it is not to blame.
    pub fn is_crash(self) -> bool {
        match self {
            Self::Signal(_) => true,
            Self::Code(code) => !Exit::is_known(code),
            Self::Gone => false,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(0) => f.write_str("ended"),
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "was killed by {signal}"),
            Self::Gone => f.write_str("is not there any more"),
        }
    }
}

impl Child {
    /// Starts `program` in a role whose children died `restarts` times before. `lend` adds the descriptors that are to
    /// be open in it.
    ///
    /// # Errors
    /// No such program, no permission, no more processes or descriptors.
    pub fn start<'a>(
        generation: Generation,
        part: Part,
        program: &Path,
        arguments: &[OsString],
        restarts: u64,
        recording: Option<Recording>,
        lend: impl FnOnce(&mut Manifest, &mut Vec<BorrowedFd<'a>>),
    ) -> io::Result<Self> {
        let (channel, theirs) = Channel::pair()?;
        let mut manifest = Manifest::default();
        let mut lent = Vec::new();
        lend(&mut manifest, &mut lent);
        manifest.add("channel", theirs.as_fd().as_raw_fd());
        let mut keep: Vec<BorrowedFd<'_>> = lent.clone();
        keep.push(theirs.as_fd());
        if let Some(recording) = &recording {
            manifest.add("recorder", recording.as_fd().as_raw_fd());
            keep.push(recording.as_fd());
        }

        let mut command = Command::new(program);
        // What `ps` shows; the program may be called by a path that says nothing.
        command.arg0("seawall").arg(part.command()).args(arguments);
        for name in NOT_FOR_CHILDREN {
            command.env_remove(name);
        }
        command.env(handover::VARIABLE, manifest.text());
        command.env(handover::RESTARTS_VARIABLE, restarts.to_string());
        let child = seawall_sys::spawn(&mut command, &keep, Lineage::DiesWithParent)?;
        // `std::process::Child` neither kills nor waits when dropped; `bury` does the waiting.
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let (runs, started) = (Runs::default(), Instant::now());
        Ok(Self { generation, part, pid, channel, program: None, recording, runs, started })
    }

    /// SIGKILL.
    pub fn kill(&self) {
        if let Err(error) = kill(self.pid, Signal::SIGKILL) {
            tracing::warn!(pid = self.pid.as_raw(), %error, "cannot kill");
        }
    }

    /// How it ended, if it has.
    pub fn bury(&self) -> Option<End> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Some(End::Code(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Signal(signal)),
            Err(Errno::ECHILD) => Some(End::Gone),
            Ok(_) | Err(_) => None,
        }
    }

    /// What it has in hand, or had when it died; nothing where that is not known.
    pub fn reading(&self) -> Reading {
        let read = self.recording.as_ref().and_then(|recording| recording.read().ok());
        let mut reading = read.unwrap_or_default();
        if reading.runs == Runs::default() {
            reading.runs = self.runs;
        }
        reading
    }
}
