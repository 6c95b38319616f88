//! Metrics: cells written by one worker each, added up when asked for.
//!
//! A worker holds its [`Metrics`] and nobody else writes to it, so that counting is a load and a store without a lock
//! or a bus transaction. Labels are resolved to slots when a configuration is loaded, never per request. [`Registry`]
//! adds the workers up, as Prometheus text ([`Registry::expose`]) or as a [`Summary`] for `seawall top`.
//! [`METRICS`] is the one list of what there is.

pub mod cell;
mod cells;
mod process;
mod registry;
mod slots;
mod summary;
mod table;
mod view;

pub use cell::{
    BUCKETS, Counter, Gauge, Histogram, SharedCounter, SharedGauge, bucket_bound_us, quantile_us,
};
pub use cells::{Cells, ERROR_CODES, Metrics, OriginCells, ZoneCells};
pub use registry::{CONTENT_TYPE, Certificate, MAX_CERTIFICATES, OriginName, Registry, Shared};
pub use slots::{MAX_ORIGINS, MAX_ZONES, OriginSlot, ZoneSlot};
pub use summary::{Latency, ModuleSummary, OriginSummary, Summary, ZoneSummary};
pub use table::{Kind, METRICS, Metric};
