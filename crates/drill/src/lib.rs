//! Drills: real outages, replayed on loopback against the real program and measured from outside.
//!
//! A drill starts a small installation of its own (stub origins, an edge or several, visitors in an open loop), breaks
//! something on purpose, and says with figures whether that stayed small. Each is a [`Manifest`] in `drills/`; each can be
//! run without a guard of the product, and must then fail: a drill that cannot fail proves nothing.
//!
//! Nothing here names a crate of the edge; of `human` it takes the built-in feature file, which it breaks. What a drill knows it has read off sockets, files and `/proc`, as an operator would.

mod admin;
mod changes;
pub mod console;
mod drills;
mod evidence;
mod fault;
mod features;
mod installation;
mod load;
mod manifest;
mod origin;
mod proc;
mod report;
mod samples;
mod scene;
mod site;
mod verdict;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

pub use drills::DRILLS;
pub use evidence::Evidence;
pub use fault::Fault;
pub use manifest::{Guard, Manifest, Outage};
pub use report::{About, page};
pub use scene::Pace;
pub use verdict::{Check, Verdict};

use scene::Scene;

/// Longest a drill may take at the quick pace, seconds; at the real pace ten times as long.
const DRILL_MAX_S: u64 = 120;

/// One drill's verdict and what it rests on.
#[derive(Debug)]
pub struct Ran {
    /// The drill.
    pub manifest: &'static Manifest,
    /// The verdict.
    pub verdict: Verdict,
    /// What the report draws.
    pub evidence: Evidence,
}

/// The drill of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Manifest> {
    DRILLS.iter().find(|manifest| manifest.name == name)
}

/// Runs one drill against a program. `without` names guards of the product to turn off.
///
/// # Errors
/// If the drill cannot be run without one of them. All that goes wrong later is part of the verdict.
pub async fn run(
    manifest: &'static Manifest,
    program: &Path,
    pace: Pace,
    without: &[String],
) -> Result<Ran, Fault> {
    let mut off: Vec<String> = Vec::new();
    let mut own: Vec<String> = Vec::new();
    for name in without {
        let guard = manifest.guard(name).ok_or_else(|| {
            let names: Vec<&str> = manifest.guards.iter().map(|guard| guard.name).collect();
            Fault::Usage(format!(
                "{} cannot be run without `{name}`, but without: {}",
                manifest.name,
                names.join(", ")
            ))
        })?;
        off.extend(std::iter::once(guard.name).chain(guard.with.iter().copied()).map(str::to_owned));
        if guard.by_drill {
            own.push(guard.name.to_owned());
        }
    }
    proc::raise_open_files();
    let began = Instant::now();
    let mut scene = Scene::new(program, pace, off, own);
    let limit_s = if pace == Pace::Quick { DRILL_MAX_S } else { DRILL_MAX_S * 10 };
    let outcome = tokio::time::timeout(Duration::from_secs(limit_s), (manifest.run)(&mut scene)).await;
    let fault = outcome.unwrap_or(Err(Fault::TooLong { limit_s })).err().map(|fault| fault.to_string());
    let checks = std::mem::take(&mut scene.checks);
    let mut evidence = std::mem::take(&mut scene.evidence);
    evidence.marks.sort_by_key(|mark| mark.at_ms);
    let verdict = Verdict {
        drill: manifest.name,
        passed: fault.is_none() && !checks.is_empty() && checks.iter().all(|check| check.pass),
        without: without.to_vec(),
        checks,
        fault,
        took_ms: began.elapsed().as_millis() as u64,
    };
    Ok(Ran { manifest, verdict, evidence })
}
