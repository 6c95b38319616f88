//! All numbers at one moment.

use super::cells::{Cells, OriginCells, ZoneCells};
use super::process::Process;
use super::registry::{Certificate, OriginName, Shared};
use crate::timeline::{Counts, Event};
use std::sync::Arc;

/// What a scrape and a summary are made from.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) cells: Cells,
    pub(crate) workers: usize,
    /// By name; `_other` last.
    pub(crate) zones: Vec<(String, ZoneCells)>,
    /// By name; `_other` last.
    pub(crate) origins: Vec<OriginView>,
    pub(crate) shared: Shared,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) process: Process,
    pub(crate) log: Option<LogNumbers>,
    pub(crate) timeline: Option<Arc<Counts>>,
    /// Of this process, oldest first.
    pub(crate) newest_events: Vec<Arc<Event>>,
    pub(crate) events_lost: Option<u64>,
    pub(crate) now_unix_ms: u64,
    pub(crate) started_unix_ms: u64,
    pub(crate) build: &'static str,
}

#[derive(Debug)]
pub(crate) struct OriginView {
    pub(crate) name: OriginName,
    pub(crate) cells: OriginCells,
    pub(crate) healthy: Option<bool>,
}

#[derive(Debug)]
pub(crate) struct LogNumbers {
    pub(crate) queued: u64,
    pub(crate) written: u64,
    pub(crate) lost: u64,
    pub(crate) errors: u64,
    pub(crate) rotations: u64,
}

impl View {
    pub(crate) fn uptime_ms(&self) -> u64 {
        self.now_unix_ms.saturating_sub(self.started_unix_ms)
    }
}
