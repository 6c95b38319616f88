//! An eye on a running installation: what its metrics, its admin socket and the kernel say, several times a second.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::admin;
use crate::installation::Installation;
use crate::load::lock;
use crate::proc;

/// Between two looks at what serves: stages of a drill take some hundreds.
const INTERVAL: Duration = Duration::from_millis(100);
/// Metrics are scraped at one look in so many.
const SCRAPE_EVERY: u64 = 3;
/// Most looks kept: twenty minutes.
const READINGS_MAX: usize = 12_000;

/// Shortest time a rate is taken over, milliseconds: the kernel counts processor time in hundredths of a second.
const RATE_MS: u64 = 500;

/// One look.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// When, milliseconds since the drill began.
    pub at_ms: u64,
    /// Process id of the edge.
    pub edge: Option<u32>,
    /// Processor time of that process so far, seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory of that process, bytes.
    pub resident_bytes: Option<u64>,
    /// A scrape; empty if there was none.
    pub metrics: Vec<(String, f64)>,
    /// `GET /snapshot`.
    pub snapshot: Option<Value>,
}

impl Reading {
    /// Sum of a metric's series whose labels contain `label`.
    #[must_use]
    pub fn metric(&self, name: &str, label: &str) -> Option<f64> {
        admin::sum(&self.metrics, name, label)
    }

    /// Number of the snapshot that serves wholly.
    #[must_use]
    pub fn current(&self) -> Option<u64> {
        self.snapshot.as_ref()?.pointer("/current/number")?.as_u64()
    }

    /// Share of requests under a candidate, per cent; 0 while there is none, `None` while nothing is known.
    #[must_use]
    pub fn percent(&self) -> Option<f64> {
        let snapshot = self.snapshot.as_ref()?;
        match snapshot.get("candidate")? {
            Value::Null => Some(0.0),
            candidate => candidate.get("percent")?.as_f64(),
        }
    }
}

/// All looks, in order.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// The looks.
    pub all: Vec<Reading>,
}

impl Readings {
    /// Something of each look that has it, with its time.
    #[must_use]
    pub fn points(&self, of: impl Fn(&Reading) -> Option<f64>) -> Vec<(u64, f64)> {
        self.all.iter().filter_map(|reading| Some((reading.at_ms, of(reading)?))).collect()
    }

    /// The largest of something.
    #[must_use]
    pub fn largest(&self, of: impl Fn(&Reading) -> Option<f64>) -> Option<f64> {
        self.all.iter().filter_map(of).reduce(f64::max)
    }

    /// How fast something that only grows has grown between two looks, per second. A process that was replaced begins anew.
    #[must_use]
    pub fn rates(&self, of: impl Fn(&Reading) -> Option<f64>) -> Vec<(u64, f64)> {
        let mut out = Vec::new();
        let mut last: Option<(&Reading, f64)> = None;
        for after in &self.all {
            let Some(b) = of(after) else { continue };
            let Some((before, a)) = last.filter(|(before, _)| before.edge == after.edge) else {
                last = Some((after, b));
                continue;
            };
            let ms = after.at_ms.saturating_sub(before.at_ms);
            if ms >= RATE_MS {
                out.push((after.at_ms, (b - a).max(0.0) * 1000.0 / ms as f64));
                last = Some((after, b));
            }
        }
        out
    }

    /// How much something has grown in a time, from the first to the last look within it.
    #[must_use]
    pub fn growth(&self, from_ms: u64, to_ms: u64, of: impl Fn(&Reading) -> Option<f64>) -> Option<f64> {
        let inside = || self.all.iter().filter(|r| (from_ms..=to_ms).contains(&r.at_ms));
        let first = inside().find_map(&of)?;
        let last = inside().rev().find_map(&of)?;
        Some(last - first)
    }
}

/// A watch under way. It ends when dropped.
#[derive(Debug)]
pub struct Watch {
    readings: Arc<Mutex<Readings>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins.
    #[must_use]
    pub fn begin(installation: &Installation, began: Instant) -> Self {
        let readings: Arc<Mutex<Readings>> = Arc::default();
        let task = tokio::spawn(look_on(
            installation.data_dir.clone(),
            installation.supervisor().unwrap_or_default(),
            began,
            readings.clone(),
        ));
        Self { readings, task }
    }

    /// What was seen so far.
    #[must_use]
    pub fn so_far(&self) -> Readings {
        lock(&self.readings).clone()
    }

    /// Ends it.
    #[must_use]
    pub fn end(self) -> Readings {
        self.task.abort();
        let mut readings = lock(&self.readings);
        std::mem::take(&mut *readings)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look_on(data_dir: PathBuf, supervisor: u32, began: Instant, readings: Arc<Mutex<Readings>>) {
    for number in 0_u64.. {
        let reading = look(&data_dir, supervisor, began, number.is_multiple_of(SCRAPE_EVERY)).await;
        keep(&readings, reading);
        tokio::time::sleep(INTERVAL).await;
    }
}

fn keep(readings: &Mutex<Readings>, reading: Reading) {
    let mut readings = lock(readings);
    if readings.all.len() < READINGS_MAX {
        readings.all.push(reading);
    }
}

async fn look(data_dir: &std::path::Path, supervisor: u32, began: Instant, scrape: bool) -> Reading {
    let edge = proc::edge_of(supervisor);
    let metrics = if scrape {
        admin::ask(data_dir, Method::GET, "/metrics", None).await
    } else {
        Ok((0, String::new()))
    };
    let snapshot = admin::ask(data_dir, Method::GET, "/snapshot", None).await;
    Reading {
        at_ms: began.elapsed().as_millis() as u64,
        edge,
        cpu_seconds: edge.and_then(proc::cpu_seconds),
        resident_bytes: edge.and_then(proc::resident_bytes),
        metrics: metrics.map(|(_, text)| admin::metrics(&text)).unwrap_or_default(),
        snapshot: snapshot
            .ok()
            .filter(|(status, _)| *status == 200)
            .and_then(|(_, t)| serde_json::from_str(&t).ok()),
    }
}
