//! Which descriptor is what: the text that goes with descriptors through `exec`.
//!
//! `SEAWALL_FDS=channel=5,http/0=8,http/1=9,https/0=10,metrics=12,admin=13`: a role and, for sockets of workers, the
//! worker's index. One worker has as many sockets of a kind as it has addresses.

use std::net::TcpListener;
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use seawall_sys::recorder::Recorder;

/// Where a child finds the text.
pub const VARIABLE: &str = "SEAWALL_FDS";
/// Where an edge finds how often an edge before it died.
pub const RESTARTS_VARIABLE: &str = "SEAWALL_RESTARTS";
/// Most descriptors in one hand-over: 1,024 workers on 16 addresses.
const DESCRIPTORS_MAX: usize = 16_384;

/// Writes the text.
#[derive(Debug, Default)]
pub struct Manifest(String);

impl Manifest {
    /// Adds a descriptor.
    pub fn add(&mut self, name: &str, fd: RawFd) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&format!("{name}={fd}"));
    }

    /// Adds a worker's socket.
    pub fn add_of_worker(&mut self, name: &str, worker: usize, fd: RawFd) {
        self.add(&format!("{name}/{worker}"), fd);
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What a child was given.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Per worker, a listener per address.
    pub http: Vec<Vec<TcpListener>>,
    /// Per worker, a listener per address.
    pub https: Vec<Vec<TcpListener>>,
    /// Metrics and health.
    pub metrics: Option<TcpListener>,
    /// The demo site's own.
    pub demo: Option<TcpListener>,
    /// `edge.sock`.
    pub admin: Option<UnixListener>,
    /// To the supervisor.
    pub channel: Option<UnixStream>,
    /// Memory of the supervisor, for what the workers have in hand.
    pub recorder: Option<Recorder>,
}

/// The text is not what this module writes, or a descriptor is not what it says. The starting program is to blame.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The text.
    #[error("{VARIABLE} cannot be understood at `{0}`")]
    Syntax(String),
    /// A descriptor.
    #[error("{VARIABLE}: {name}: {source}")]
    Descriptor {
        /// Its role.
        name: String,
        /// What is wrong with it.
        source: seawall_sys::ClaimError,
    },
}

/// Takes over everything the text names. Call it once.
///
/// # Errors
/// [`HandoverError`]; what was claimed before the fault is closed.
pub fn claim(text: &str) -> Result<Inherited, HandoverError> {
    let mut inherited = Inherited::default();
    for (name, worker, fd) in parse(text)? {
        let failed = |source| HandoverError::Descriptor { name: name.clone(), source };
        match name.as_str() {
            "http" => {
                place(&mut inherited.http, worker, seawall_sys::claim_tcp_listener(fd).map_err(failed)?)
            }
            "https" => {
                place(&mut inherited.https, worker, seawall_sys::claim_tcp_listener(fd).map_err(failed)?)
            }
            "metrics" => inherited.metrics = Some(seawall_sys::claim_tcp_listener(fd).map_err(failed)?),
            "demo" => inherited.demo = Some(seawall_sys::claim_tcp_listener(fd).map_err(failed)?),
            "admin" => inherited.admin = Some(seawall_sys::claim_unix_listener(fd).map_err(failed)?),
            // Of another version, say: an edge serves without.
            "recorder" => {
                inherited.recorder = Recorder::claim(fd)
                    .inspect_err(|error| tracing::warn!(%error, "what is in hand is not recorded"))
                    .ok();
            }
            "channel" => inherited.channel = Some(seawall_sys::claim_unix_stream(fd).map_err(failed)?),
            _ => drop(seawall_sys::claim(fd)), // of a newer supervisor: of no use here, so closed
        }
    }
    Ok(inherited)
}

fn parse(text: &str) -> Result<Vec<(String, usize, RawFd)>, HandoverError> {
    let entries = text.split(',').filter(|entry| !entry.is_empty());
    let parsed: Option<Vec<_>> = entries.clone().map(parse_entry).collect();
    match parsed {
        Some(list) if list.len() <= DESCRIPTORS_MAX => Ok(list),
        _ => {
            let first_bad = entries.into_iter().find(|e| parse_entry(e).is_none());
            Err(HandoverError::Syntax(first_bad.unwrap_or("too many descriptors").to_owned()))
        }
    }
}

fn parse_entry(entry: &str) -> Option<(String, usize, RawFd)> {
    let (name, fd) = entry.split_once('=')?;
    let (name, worker) = match name.split_once('/') {
        Some((name, worker)) => (name, worker.parse().ok().filter(|w| *w < DESCRIPTORS_MAX)?),
        None => (name, 0),
    };
    Some((name.to_owned(), worker, fd.parse().ok()?))
}

fn place(workers: &mut Vec<Vec<TcpListener>>, worker: usize, listener: TcpListener) {
    if workers.len() <= worker {
        workers.resize_with(worker + 1, Vec::new);
    }
    if let Some(own) = workers.get_mut(worker) {
        own.push(listener);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut manifest = Manifest::default();
        manifest.add("channel", 5);
        manifest.add_of_worker("http", 0, 8);
        manifest.add_of_worker("http", 1, 9);
        assert_eq!(manifest.text(), "channel=5,http/0=8,http/1=9");
        let parsed = parse(manifest.text()).unwrap();
        assert_eq!(parsed, [("channel".into(), 0, 5), ("http".into(), 0, 8), ("http".into(), 1, 9)]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn nonsense_is_an_error_that_names_the_place() {
        for (text, place) in [
            ("http", "http"),
            ("a=1,b=x", "b=x"),
            ("http/z=3", "http/z=3"),
            ("http/99999999=3", "http/99999999=3"),
        ] {
            assert!(matches!(parse(text), Err(HandoverError::Syntax(at)) if at == place), "{text}");
        }
        assert!(
            matches!(claim("http/0=1"), Err(HandoverError::Descriptor { .. })),
            "standard output is no listener"
        );
    }
}
