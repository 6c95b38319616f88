//! Traces of a share of the requests, sent to an OpenTelemetry collector by OTLP over HTTP.
//!
//! A worker's [`RequestTracer`] decides at the head of a request whether it is traced ([`RequestTracer::begin`]); of
//! those only, spans are made from the [`Record`] when it has ended ([`RequestTracer::end`]): one for the request and
//! one for the attempt at an origin. They go through a bounded queue to one thread, which sends them in batches. A full
//! queue or a collector that does not answer costs spans, which are counted, never time. A request that is not traced
//! costs one comparison.
//!
//! The collector is reached without TLS: run one beside Seawall and let it take care of the way out.

mod context;
mod span;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use thiserror::Error;

pub use context::TraceContext;

use crate::access::{Record, Redaction};
use crate::events::{Occasional, WARN_INTERVAL_S};
use crate::metrics::{Registry, SharedCounter};
use context::Ids;

/// Spans that may wait: a few megabytes, and several batches.
pub const QUEUE_SPANS: usize = 4096;

/// Most spans sent at once (the default of OpenTelemetry's SDKs).
const BATCH_SPANS: usize = 512;

/// Longest a span waits for others.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// Where traces go and which.
#[derive(Clone, Debug)]
pub struct TraceConfig {
    /// Address of the collector with path, as `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Share of requests traced, 0 to 1. Chosen by the trace ID, so that nodes with the same share agree.
    pub sample_ratio: f64,
    /// Trace what the client says is traced (`traceparent`), whatever the share. Anyone can say so: only where clients
    /// are known.
    pub follow_parent: bool,
    /// How long the collector may take for a batch.
    pub timeout: Duration,
}

/// Why tracing cannot start.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The endpoint is not understood; the configuration is to blame.
    #[error("cannot trace to the collector: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// TLS was asked for.
    #[error("{0:?}: traces are sent over http:// only; run a collector beside Seawall")]
    NotHttp(String),
    /// No thread or event loop.
    #[error("cannot start the thread that sends traces: {0}")]
    Thread(#[from] std::io::Error),
}

/// Sends spans; makes a [`RequestTracer`] for each worker.
#[derive(Debug)]
pub struct TraceExporter {
    spans: Sender<Option<SpanData>>,
    finished: Receiver<()>,
    counts: Arc<Counts>,
    config: TraceConfig,
    redaction: Arc<Redaction>,
}

/// A worker's end.
#[derive(Debug)]
pub struct RequestTracer {
    spans: Sender<Option<SpanData>>,
    counts: Arc<Counts>,
    redaction: Arc<Redaction>,
    ids: Ids,
    follow_parent: bool,
}

#[derive(Debug, Default)]
struct Counts {
    exported: SharedCounter,
    dropped: SharedCounter,
}

impl TraceExporter {
    /// Starts the thread that sends. A collector that cannot be reached is no error: it is warned about and counted.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn start(config: TraceConfig, redaction: Redaction) -> Result<Self, TraceError> {
        if !config.endpoint.starts_with("http://") {
            return Err(TraceError::NotHttp(config.endpoint));
        }
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&config.endpoint)
            .with_timeout(config.timeout)
            // While it tries again the queue fills; a collector that is away longer than that costs spans.
            .with_retry_policy(RetryPolicy::recommended().with_max_retries(1))
            .build()?;
        exporter.set_resource(&Resource::builder().with_service_name(config.service_name.clone()).build());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (spans, incoming) = bounded(QUEUE_SPANS);
        let (finishing, finished) = bounded(1);
        let counts = Arc::new(Counts::default());
        let told = Arc::clone(&counts);
        std::thread::Builder::new().name("traces".to_owned()).spawn(move || {
            let warning = Occasional::every(WARN_INTERVAL_S);
            let mut open = true;
            while open {
                let batch;
                (batch, open) = collect(&incoming);
                let size = batch.len() as u64;
                if size == 0 {
                    continue;
                }
                match runtime.block_on(exporter.export(batch)) {
                    Ok(()) => told.exported.add(size),
                    Err(error) => {
                        told.dropped.add(size);
                        if let Some(suppressed) = warning.due() {
                            tracing::warn!(%error, spans = size, suppressed, "the collector does not take traces");
                        }
                    }
                }
            }
            let _ = finishing.send(());
        })?;
        let redaction = Arc::new(redaction);
        Ok(TraceExporter { spans, finished, counts, config, redaction })
    }

    /// The tracer of one worker.
    #[must_use]
    pub fn worker(&self) -> RequestTracer {
        RequestTracer {
            spans: self.spans.clone(),
            counts: Arc::clone(&self.counts),
            redaction: Arc::clone(&self.redaction),
            ids: Ids::new(self.config.sample_ratio),
            follow_parent: self.config.follow_parent,
        }
    }

    /// Shows in the metrics what became of spans.
    pub fn watch(&self, registry: &Registry) {
        let counts = Arc::clone(&self.counts);
        registry.before_scrape(move |registry| {
            registry.shared().spans_exported.set(counts.exported.get());
            registry.shared().spans_dropped.set(counts.dropped.get());
        });
    }

    /// Sends what is queued and ends the thread, waiting at most `patience`. Says whether it ended. What comes after is
    /// dropped. Without this the thread ends when the exporter and all its tracers are gone.
    pub fn close(&self, patience: Duration) -> bool {
        let _ = self.spans.send_timeout(None, patience);
        self.finished.recv_timeout(patience).is_ok()
    }
}

impl RequestTracer {
    /// Whether this request is traced, given the client's `traceparent`. If it is, the origin gets
    /// [`TraceContext::traceparent`] instead of the client's; if not, the client's passes unchanged.
    pub fn begin(&mut self, traceparent: Option<&[u8]>) -> Option<TraceContext> {
        let parent = traceparent.and_then(context::parse);
        let asked = self.follow_parent && parent.is_some_and(|p| p.sampled);
        self.ids.begin(parent, asked)
    }

    /// Makes the spans of a traced request that has ended.
    pub fn end(&self, context: &TraceContext, record: &Record<'_>) {
        for span in span::of(context, record, &self.redaction) {
            if self.spans.try_send(Some(span)).is_err() {
                self.counts.dropped.inc();
            }
        }
    }
}

/// Waits for spans and gathers those that come soon after. Says whether more may come.
fn collect(incoming: &Receiver<Option<SpanData>>) -> (Vec<SpanData>, bool) {
    let Ok(Some(first)) = incoming.recv() else { return (Vec::new(), false) };
    let mut batch = vec![first];
    let Some(deadline) = Instant::now().checked_add(BATCH_WAIT) else { return (batch, true) };
    while batch.len() < BATCH_SPANS {
        match incoming.recv_deadline(deadline) {
            Ok(Some(span)) => batch.push(span),
            Ok(None) => return (batch, false),
            Err(e) => return (batch, e.is_timeout()),
        }
    }
    (batch, true)
}
