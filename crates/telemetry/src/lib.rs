//! Metrics, access log and events of the edge.
//!
//! Ways of seeing, each with a budget (DESIGN R10):
//!
//! - [`access`]: one record per request, written by every worker into its own buffer and handed in batches to one
//!   thread through a bounded queue. A full queue or disk costs records, which are counted, never time.
//! - [`metrics`]: cells that one worker writes and every scrape adds up; Prometheus text and a summary for `seawall top`.
//! - [`events`]: what happens to the process itself, through `tracing`, off the calling thread and rate limited.
//! - [`timeline`]: every change and what came of it, in one file of the data folder and in memory.
//! - `otel` (feature): traces of a share of the requests to an OpenTelemetry collector.
//!
//! A request is described once, as a [`Record`]; `AccessLog::record` writes it and `Metrics::observe` counts it.

pub mod access;
pub mod docs;
pub mod events;
pub mod metrics;
pub mod names;
#[cfg(feature = "otel")]
pub mod otel;
pub mod timeline;

pub use access::{AccessLog, EdgeError, Layout, LogWriter, Origin, Output, Record, Security, Tls};
pub use metrics::{Metrics, OriginSlot, Registry, Summary, ZoneSlot};
pub use names::{CacheStatus, Cohort, ConnectionKind, HttpVersion, TlsVersion};
pub use timeline::Timeline;

/// `tracing`, for [`occasionally!`] in crates that use it.
#[doc(hidden)]
pub use tracing as __tracing;
