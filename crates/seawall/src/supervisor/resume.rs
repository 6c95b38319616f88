//! What a supervisor hands to the newer program it becomes: its descriptors and its children.
//!
//! The process stays the same, so the children stay its children; only memory is lost. This is what of it matters.

use std::os::fd::RawFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::channel::RESUME_FORMAT;
use crate::config::Plan;

/// Where the next program finds it.
pub const VARIABLE: &str = "SEAWALL_RESUME";

/// The state, as JSON in [`VARIABLE`]. Adding a field needs `#[serde(default)]`; any other change needs the next
/// [`RESUME_FORMAT`], and programs of two formats do not become each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`RESUME_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// Version of that program.
    pub from: String,
    /// Where the program file is.
    pub program: PathBuf,
    /// Folder of lock and sockets.
    pub data_dir: PathBuf,
    /// The lock.
    pub lock: RawFd,
    /// `edge.sock`.
    pub admin: RawFd,
    /// `supervisor.sock`.
    pub control: RawFd,
    /// The demo site's listener.
    pub demo: Option<RawFd>,
    /// The listening sockets.
    pub groups: Vec<GroupState>,
    /// What they were bound for.
    pub plan: Plan,
    /// How long a leaving edge may take.
    pub drain_ms: u64,
    /// The children.
    pub children: Vec<ChildState>,
    /// The last generation given out.
    pub generation: u32,
    /// Restarts of the edge so far.
    pub restarts: u64,
    /// The configuration is to be loaded again.
    pub reload_again: bool,
}

/// Sockets of one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// `http`, `https`, `metrics`.
    pub service: String,
    /// As configured.
    pub wanted: std::net::SocketAddr,
    /// Whether systemd gave them.
    pub given: bool,
    /// The listeners.
    pub sockets: Vec<RawFd>,
}

/// A child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildState {
    /// Its number.
    pub generation: u32,
    /// Its role.
    pub part: String,
    /// Its process id.
    pub pid: i32,
    /// Its channel.
    pub channel: RawFd,
    /// For a leaving one: the time it still has.
    pub leaving_ms: Option<u64>,
    /// What it records into.
    #[serde(default)]
    pub recording: Option<RawFd>,
    /// The snapshots it said it runs.
    #[serde(default)]
    pub runs: (u64, u64),
}

/// Why a state cannot be taken over. The process has no other memory, so this ends it.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// Not what this module writes.
    #[error("{VARIABLE} cannot be understood: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Of another format.
    #[error("{VARIABLE} has format {0}, this program understands {RESUME_FORMAT}")]
    Format(u32),
    /// A descriptor is not what it should be.
    #[error("{VARIABLE}: {0}")]
    Descriptor(#[from] seawall_sys::ClaimError),
    /// A socket does not work.
    #[error("{VARIABLE}: {0}")]
    Socket(#[from] std::io::Error),
    /// A word this program does not know.
    #[error("{VARIABLE}: unknown {0}")]
    Unknown(String),
}

impl State {
    /// The text.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`ResumeError::Syntax`] and [`ResumeError::Format`].
    pub fn parse(text: &str) -> Result<Self, ResumeError> {
        let state: Self = serde_json::from_str(text)?;
        match state.format {
            RESUME_FORMAT => Ok(state),
            other => Err(ResumeError::Format(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_the_way_to_the_next_program() {
        let state = State {
            format: RESUME_FORMAT,
            from: "0.1.0".to_owned(),
            program: "/usr/bin/seawall".into(),
            data_dir: "/var/lib/seawall".into(),
            lock: 3,
            admin: 4,
            control: 5,
            demo: None,
            groups: vec![GroupState {
                service: "http".to_owned(),
                wanted: "[::]:8080".parse().unwrap(),
                given: false,
                sockets: vec![6, 7],
            }],
            plan: Plan { http: vec!["[::]:8080".parse().unwrap()], https: vec![], metrics: None, workers: 2 },
            drain_ms: 30_000,
            children: vec![ChildState {
                generation: 9,
                part: "edge".to_owned(),
                pid: 77,
                channel: 8,
                leaving_ms: Some(3),
                recording: Some(10),
                runs: (7, 0),
            }],
            generation: 9,
            restarts: 4,
            reload_again: false,
        };
        assert_eq!(State::parse(&state.text().unwrap()).unwrap(), state);
        let older = state.text().unwrap().replace(",\"recording\":10,\"runs\":[7,0]", "");
        assert_eq!(State::parse(&older).unwrap().children[0].recording, None, "of a program that knew less");
        let newer = state.text().unwrap().replace("\"format\":1", "\"format\":99");
        assert!(matches!(State::parse(&newer), Err(ResumeError::Format(99))));
        assert!(matches!(State::parse("{}"), Err(ResumeError::Syntax(_))));
    }
}
