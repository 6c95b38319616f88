//! Every metric there is: one table for the exposition and `docs/metrics.md`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::cell::{BUCKETS, Histogram, bucket_bound_us};
use super::summary::{error_label, is_shown};
use super::view::{OriginView, View};
use super::{OriginCells, ZoneCells};
use crate::names::Name;

/// A metric as Prometheus sees it.
#[derive(Debug)]
pub struct Metric {
    /// Full name as queried; counters end in `_total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence.
    pub help: &'static str,
    /// Emits its samples.
    collect: fn(&View, &mut Samples<'_, '_>),
}

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process begins anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The text of a scrape.
pub(crate) fn expose(view: View) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(view)));
    let mut out = String::with_capacity(64 * 1024);
    // Writing to a String cannot fail.
    let _ = text::encode(&mut out, &registry);
    out
}

#[derive(Debug)]
struct Scrape(View);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let (name, kind) = match metric.kind {
                // The encoder adds `_total` itself.
                Kind::Counter => (metric.name.trim_end_matches("_total"), MetricType::Counter),
                Kind::Gauge => (metric.name, MetricType::Gauge),
                Kind::Histogram => (metric.name, MetricType::Histogram),
            };
            let encoder = encoder.encode_descriptor(name, metric.help, None, kind)?;
            let mut samples = Samples { encoder, metric, result: Ok(()) };
            (metric.collect)(&self.0, &mut samples);
            samples.result?;
        }
        Ok(())
    }
}

/// Takes the samples of one metric. Values of labels come in the order of their names.
struct Samples<'e, 'm> {
    encoder: MetricEncoder<'e>,
    metric: &'m Metric,
    result: fmt::Result,
}

impl Samples<'_, '_> {
    fn count(&mut self, labels: &[&str], value: u64) {
        self.emit(labels, |encoder, kind| match kind {
            Kind::Counter => encoder.encode_counter::<[(&str, &str); 0], _, u64>(&value, None),
            _ => encoder.encode_gauge(&value),
        });
    }

    fn level(&mut self, labels: &[&str], value: i64) {
        self.emit(labels, |encoder, _| encoder.encode_gauge(&value));
    }

    /// A duration, in the unit of Prometheus.
    fn seconds(&mut self, labels: &[&str], us: u64) {
        let seconds = seconds(us);
        self.emit(labels, |encoder, kind| match kind {
            Kind::Counter => encoder.encode_counter::<[(&str, &str); 0], _, u64>(&seconds, None),
            _ => encoder.encode_gauge(&seconds),
        });
    }

    fn histogram(&mut self, histogram: &Histogram) {
        let counts = histogram.counts();
        let mut buckets = [(f64::INFINITY, 0); BUCKETS];
        for (bucket, ((bound, count), observed)) in buckets.iter_mut().zip(counts).enumerate() {
            *count = observed;
            if let Some(us) = bucket_bound_us(bucket) {
                *bound = seconds(us);
            }
        }
        let sum = seconds(histogram.sum_us());
        let total = counts.iter().sum();
        self.emit(&[], |encoder, _| {
            encoder.encode_histogram::<[(&str, &str); 0]>(sum, total, &buckets, None)
        });
    }

    fn counts<N: Name>(&mut self, cells: impl Iterator<Item = (N, u64)>) {
        for (name, value) in cells {
            self.count(&[name.name()], value);
        }
    }

    fn emit(&mut self, values: &[&str], write: impl FnOnce(&mut MetricEncoder<'_>, Kind) -> fmt::Result) {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        let kind = self.metric.kind;
        let result = if values.is_empty() {
            write(&mut self.encoder, kind)
        } else {
            let labels: Vec<(&str, &str)> =
                self.metric.labels.iter().copied().zip(values.iter().copied()).collect();
            self.encoder.encode_family(&labels).and_then(|mut encoder| write(&mut encoder, kind))
        };
        self.result = self.result.and(result);
    }
}

#[allow(clippy::cast_precision_loss)] // exact up to 285 years
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn zones(view: &View, samples: &mut Samples<'_, '_>, of: fn(&ZoneCells) -> u64) {
    for (name, cells) in view.zones.iter().filter(|(name, z)| is_shown(name, z.requests.get())) {
        samples.count(&[name], of(cells));
    }
}

fn each_origin(view: &View, mut each: impl FnMut(&OriginView, [&str; 3])) {
    for origin in view.origins.iter().filter(|o| is_shown(&o.name.origin, o.cells.requests.get())) {
        let name = &origin.name;
        each(origin, [&name.zone, &name.pool, &name.origin]);
    }
}

fn origins(view: &View, samples: &mut Samples<'_, '_>, of: fn(&OriginCells) -> u64) {
    each_origin(view, |origin, labels| samples.count(&labels, of(&origin.cells)));
}

fn origin_levels(view: &View, samples: &mut Samples<'_, '_>, of: fn(&OriginCells) -> i64) {
    each_origin(view, |origin, labels| samples.level(&labels, of(&origin.cells)));
}

/// Names of the five classes of status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Short form for the rows below.
const fn row(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    collect: fn(&View, &mut Samples<'_, '_>),
) -> Metric {
    Metric { name, kind, labels, help, collect }
}

/// A counter of the workers without labels.
macro_rules! worker_counter {
    ($name:literal, $help:literal, $field:ident) => {
        row($name, Kind::Counter, &[], $help, |v, s| s.count(&[], v.cells.$field.get()))
    };
}

/// A family of counters of the workers.
macro_rules! worker_family {
    ($name:literal, $label:literal, $help:literal, $field:ident) => {
        row($name, Kind::Counter, &[$label], $help, |v, s| {
            s.counts(v.cells.$field.iter().map(|(k, c)| (k, c.get())))
        })
    };
}

/// A histogram of the workers.
macro_rules! worker_histogram {
    ($name:literal, $help:literal, $field:ident) => {
        row($name, Kind::Histogram, &[], $help, |v, s| s.histogram(&v.cells.$field))
    };
}

/// A level of the process.
macro_rules! shared_gauge {
    ($name:literal, $help:literal, $field:ident) => {
        row($name, Kind::Gauge, &[], $help, |v, s| s.level(&[], v.shared.$field.get()))
    };
}

/// A counter of the process.
macro_rules! shared_counter {
    ($name:literal, $help:literal, $field:ident) => {
        row($name, Kind::Counter, &[], $help, |v, s| s.count(&[], v.shared.$field.get()))
    };
}

/// A counter of each zone.
macro_rules! zone_counter {
    ($name:literal, $help:literal, $field:ident) => {
        row($name, Kind::Counter, &["zone"], $help, |v, s| zones(v, s, |z| z.$field.get()))
    };
}

/// A counter of each origin.
macro_rules! origin_counter {
    ($name:literal, $help:literal, $field:ident) => {
        row($name, Kind::Counter, ORIGIN, $help, |v, s| origins(v, s, |o| o.$field.get()))
    };
}

/// A level of each origin.
macro_rules! origin_gauge {
    ($name:literal, $help:literal, $field:ident) => {
        row($name, Kind::Gauge, ORIGIN, $help, |v, s| origin_levels(v, s, |o| o.$field.get()))
    };
}

/// Labels of metrics of origins.
const ORIGIN: &[&str] = &["zone", "pool", "origin"];

/// A number of the process that may not be readable.
fn present(samples: &mut Samples<'_, '_>, value: Option<u64>) {
    if let Some(value) = value {
        samples.count(&[], value);
    }
}

/// A number that 0 says is not there.
fn number(samples: &mut Samples<'_, '_>, value: i64) {
    if value > 0 {
        samples.level(&[], value);
    }
}

/// Every metric, by what it is about.
pub static METRICS: &[Metric] = &[
    // -- requests
    worker_family!(
        "seawall_requests_total",
        "version",
        "Requests ended, by HTTP version of the client.",
        requests
    ),
    row(
        "seawall_responses_total",
        Kind::Counter,
        &["status"],
        "Responses by exact status; none for connections closed without one. Statuses that never occurred are absent.",
        |v, s| {
            for (status, count) in v.cells.responses.seen() {
                if status == 0 {
                    s.count(&["none"], count);
                } else {
                    s.count(&[&status.to_string()], count);
                }
            }
        },
    ),
    row(
        "seawall_responses_by_class_total",
        Kind::Counter,
        &["class"],
        "Responses by class of status; all five are always there.",
        |v, s| {
            for (class, count) in CLASSES.into_iter().zip(v.cells.responses.by_class()) {
                s.count(&[class], count);
            }
        },
    ),
    row(
        "seawall_errors_total",
        Kind::Counter,
        &["code"],
        "Error pages Seawall answered with, by code. Codes that never occurred are absent.",
        |v, s| {
            for (code, count) in v.cells.errors.seen() {
                s.count(&[&error_label(code)], count);
            }
        },
    ),
    worker_counter!(
        "seawall_request_bytes_total",
        "Bytes of requests read from clients, heads and bodies.",
        request_bytes
    ),
    worker_counter!(
        "seawall_response_bytes_total",
        "Bytes of responses sent to clients, heads and bodies.",
        response_bytes
    ),
    row("seawall_requests_in_flight", Kind::Gauge, &[], "Requests begun and not ended.", |v, s| {
        s.level(&[], v.cells.in_flight.get());
    }),
    worker_histogram!(
        "seawall_request_duration_seconds",
        "From the head of a request being read to the last byte of its response being handed to the connection.",
        request_duration
    ),
    worker_histogram!(
        "seawall_first_byte_seconds",
        "From the head of a request being read to the first byte of its response.",
        first_byte
    ),
    // -- connections
    worker_counter!("seawall_connections_accepted_total", "Connections accepted.", connections_accepted),
    row(
        "seawall_connections_open",
        Kind::Gauge,
        &["kind"],
        "Client connections open, by what they are used for.",
        |v, s| {
            for (kind, gauge) in v.cells.connections.iter() {
                s.level(&[kind.name()], gauge.get());
            }
        },
    ),
    worker_family!(
        "seawall_tls_handshakes_total",
        "version",
        "TLS handshakes with clients done, by version.",
        tls_handshakes
    ),
    worker_counter!(
        "seawall_tls_resumed_total",
        "TLS handshakes with clients that resumed a session.",
        tls_resumed
    ),
    worker_histogram!("seawall_tls_handshake_seconds", "Time of TLS handshakes with clients.", tls_handshake),
    worker_family!(
        "seawall_client_timeouts_total",
        "phase",
        "Clients that took longer than edge.timeouts allows, by phase; idle is no fault.",
        client_timeouts
    ),
    worker_family!(
        "seawall_refusals_total",
        "reason",
        "Connections and requests turned away before any zone saw them, by reason.",
        refusals
    ),
    // -- cache
    worker_family!("seawall_cache_requests_total", "status", "Requests by what the cache did.", cache),
    worker_counter!("seawall_cache_bytes_total", "Bytes of body sent from the cache.", cache_bytes),
    row("seawall_cache_stored_bytes", Kind::Gauge, &["tier"], "Bytes of objects stored, by tier.", |v, s| {
        s.level(&["memory"], v.shared.cache_memory_bytes.get());
        s.level(&["disk"], v.shared.cache_disk_bytes.get());
    }),
    row("seawall_cache_stored_objects", Kind::Gauge, &["tier"], "Objects stored, by tier.", |v, s| {
        s.level(&["memory"], v.shared.cache_memory_objects.get());
        s.level(&["disk"], v.shared.cache_disk_objects.get());
    }),
    shared_counter!(
        "seawall_cache_evictions_total",
        "Objects put out of the cache to make room.",
        cache_evictions
    ),
    shared_counter!(
        "seawall_cache_disk_errors_total",
        "Reads and writes of the disk tier that failed.",
        cache_disk_errors
    ),
    shared_counter!("seawall_cache_purges_total", "Purges taken.", cache_purges),
    // -- origins
    worker_counter!(
        "seawall_origin_attempts_total",
        "Attempts at origins, retries included.",
        origin_requests
    ),
    worker_family!(
        "seawall_origin_faults_total",
        "fault",
        "Attempts at origins that gave no response, by fault.",
        origin_faults
    ),
    worker_histogram!(
        "seawall_origin_first_byte_seconds",
        "From a request being sent to an origin to its response head being read.",
        origin_first_byte
    ),
    worker_counter!("seawall_origin_connects_total", "Connections made to origins.", origin_connects),
    worker_counter!(
        "seawall_origin_reuses_total",
        "Attempts at origins over kept connections.",
        origin_reuses
    ),
    worker_counter!("seawall_retries_total", "Requests tried again at an origin.", retries),
    worker_counter!("seawall_retries_refused_total", "Retries the budget forbade.", retries_refused),
    origin_counter!("seawall_origin_requests_total", "Attempts at each origin.", requests),
    origin_counter!(
        "seawall_origin_request_faults_total",
        "Attempts at each origin that gave no response.",
        faults
    ),
    origin_counter!(
        "seawall_origin_server_errors_total",
        "Responses 500 to 599 of each origin.",
        server_errors
    ),
    origin_counter!("seawall_origin_bytes_total", "Bytes of body read from each origin.", bytes),
    row(
        "seawall_origin_response_seconds_total",
        Kind::Counter,
        ORIGIN,
        "Sum of times to the response head of each origin; divided by its requests, the mean.",
        |v, s| each_origin(v, |o, labels| s.seconds(&labels, o.cells.first_byte_us.get())),
    ),
    origin_gauge!("seawall_origin_outstanding", "Attempts at each origin begun and not ended.", outstanding),
    origin_gauge!("seawall_origin_connections", "Connections open to each origin.", connections),
    origin_gauge!(
        "seawall_origin_concurrency_limit",
        "Requests each origin may have at once, all workers together; 0 if not limited.",
        limit
    ),
    origin_gauge!("seawall_origin_ejected", "Workers that have ejected each origin.", ejected),
    row(
        "seawall_origin_healthy",
        Kind::Gauge,
        ORIGIN,
        "1 if the monitor finds the origin healthy, else 0; absent without a monitor.",
        |v, s| {
            each_origin(v, |origin, labels| {
                if let Some(healthy) = origin.healthy {
                    s.level(&labels, i64::from(healthy));
                }
            });
        },
    ),
    // -- zones
    zone_counter!("seawall_zone_requests_total", "Requests ended, by zone.", requests),
    zone_counter!("seawall_zone_client_errors_total", "Responses 400 to 499, by zone.", client_errors),
    zone_counter!("seawall_zone_server_errors_total", "Responses 500 to 599, by zone.", server_errors),
    zone_counter!(
        "seawall_zone_edge_errors_total",
        "Error pages Seawall answered with, by zone.",
        edge_errors
    ),
    zone_counter!("seawall_zone_cache_hits_total", "Requests served from the cache, by zone.", cache_hits),
    zone_counter!("seawall_zone_request_bytes_total", "Bytes read from clients, by zone.", request_bytes),
    zone_counter!("seawall_zone_response_bytes_total", "Bytes sent to clients, by zone.", response_bytes),
    row(
        "seawall_zone_duration_seconds_total",
        Kind::Counter,
        &["zone"],
        "Sum of request durations, by zone; divided by its requests, the mean.",
        |v, s| {
            for (name, cells) in v.zones.iter().filter(|(name, z)| is_shown(name, z.requests.get())) {
                s.seconds(&[name], cells.duration_us.get());
            }
        },
    ),
    // -- compression
    worker_family!(
        "seawall_compressed_responses_total",
        "coding",
        "Responses compressed on the fly, by coding.",
        compressed
    ),
    worker_counter!(
        "seawall_compression_in_bytes_total",
        "Bytes of body before compression.",
        compression_in
    ),
    worker_counter!(
        "seawall_compression_out_bytes_total",
        "Bytes of body after compression.",
        compression_out
    ),
    // -- configuration
    shared_gauge!("seawall_config_version", "Number of the configuration in use.", config_version),
    shared_gauge!(
        "seawall_config_loaded_timestamp_seconds",
        "When it was adopted, Unix time.",
        config_loaded_unix_s
    ),
    shared_gauge!(
        "seawall_config_last_load_ok",
        "1 if the last load succeeded; 0 if it was refused, or a zone of it.",
        config_last_load_ok
    ),
    shared_gauge!("seawall_config_problems", "Problems the last load found.", config_problems),
    row(
        "seawall_config_loads_total",
        Kind::Counter,
        &["result"],
        "Loads of configuration, by result.",
        |v, s| {
            s.count(&["ok"], v.shared.config_loads_ok.get());
            s.count(&["failed"], v.shared.config_loads_failed.get());
        },
    ),
    shared_gauge!("seawall_zones", "Zones in use.", zones_loaded),
    row(
        "seawall_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        &["name"],
        "When each certificate served ends, Unix time.",
        |v, s| {
            for certificate in &v.certificates {
                s.level(&[&certificate.name], certificate.not_after_unix_s);
            }
        },
    ),
    // -- snapshots
    row(
        "seawall_snapshot_running",
        Kind::Gauge,
        &[],
        "Number of the snapshot that serves; absent before there is one.",
        |v, s| number(s, v.shared.snapshot_running.get()),
    ),
    row(
        "seawall_snapshot_candidate",
        Kind::Gauge,
        &[],
        "Number of the snapshot on its way through rehearsal and canary; absent without one.",
        |v, s| number(s, v.shared.snapshot_candidate.get()),
    ),
    shared_gauge!(
        "seawall_canary_percent",
        "Share of requests that run the candidate, percent; 0 without one.",
        canary_percent
    ),
    shared_gauge!(
        "seawall_change_compile_ms",
        "Milliseconds that compiling the last change took, beside what serves; 0 before the first change.",
        change_compile_ms
    ),
    shared_gauge!(
        "seawall_change_prepare_ms",
        "Milliseconds from the last change as read to a snapshot that may serve: review, compiling, and keeping it on disk.",
        change_prepare_ms
    ),
    shared_counter!(
        "seawall_gate_failures_total",
        "Candidates that a gate sent back: they did worse than what serves, or could not be measured.",
        gate_failures
    ),
    shared_counter!(
        "seawall_snapshots_refused_total",
        "Changes refused before they served a request: by a check, the review of the change, or the rehearsal.",
        snapshots_refused
    ),
    shared_counter!(
        "seawall_snapshots_quarantined_total",
        "Snapshots and units put under quarantine.",
        snapshots_quarantined
    ),
    shared_gauge!(
        "seawall_units_kept",
        "Units that serve an earlier version than the newest configuration holds, since theirs was refused.",
        units_kept
    ),
    row(
        "seawall_timeline_events_total",
        Kind::Counter,
        &["result"],
        "Events of the timeline by what became of them: told; summarised by a later one of their kind; in memory only, \
         since the file could not be written; dropped, since the queue was full.",
        |v, s| {
            if let Some(timeline) = &v.timeline {
                let written = timeline.told().saturating_sub(timeline.unwritten());
                s.count(&["told"], written);
                s.count(&["summarised"], timeline.suppressed());
                s.count(&["memory"], timeline.unwritten());
                s.count(&["dropped"], timeline.dropped());
            }
        },
    ),
    // -- modules
    row(
        "seawall_module_faults_total",
        Kind::Counter,
        &["module", "fault"],
        "Faults of modules, each contained, by module and fault.",
        |v, s| {
            for (module, faults) in v.cells.module_faults.iter() {
                for (fault, count) in faults.iter() {
                    s.count(&[module.name(), fault.name()], count.get());
                }
            }
        },
    ),
    worker_family!(
        "seawall_module_skipped_total",
        "module",
        "Requests that went on without a module: its breaker was open, or it failed open.",
        module_skipped
    ),
    row(
        "seawall_module_breakers_open",
        Kind::Gauge,
        &["module"],
        "Zones whose breaker of a module is open.",
        |v, s| {
            for (module, open) in v.shared.module_breakers_open.iter() {
                s.level(&[module.name()], open.get());
            }
        },
    ),
    worker_family!(
        "seawall_module_closed_responses_total",
        "module",
        "Requests answered with an error because a module failed closed; the page names it.",
        module_closed
    ),
    worker_family!(
        "seawall_bot_scores_total",
        "band",
        "Requests with a bot score, by tens of the score.",
        bot_scores
    ),
    worker_counter!(
        "seawall_bot_scores_absent_total",
        "Requests that were to have a bot score and have none, since it could not be computed.",
        bot_scores_absent
    ),
    worker_family!(
        "seawall_security_actions_total",
        "action",
        "Requests by what a security module did with them; none where no rule matched.",
        security_actions
    ),
    // -- telling
    row(
        "seawall_telemetry_seconds_total",
        Kind::Counter,
        &[],
        "Processor time the workers spent describing requests (access log, traces), estimated from samples.",
        |v, s| s.seconds(&[], v.cells.telemetry_ns.get() / 1000),
    ),
    worker_counter!(
        "seawall_telemetry_suppressed_total",
        "Failing requests that were counted but not described, since describing failures had taken its share of the \
         processor.",
        telemetry_suppressed
    ),
    // -- the process
    row(
        "seawall_access_log_records_total",
        Kind::Counter,
        &["result"],
        "Access log records by what became of them.",
        |v, s| {
            if let Some(log) = &v.log {
                s.count(&["written"], log.written);
                s.count(&["dropped"], log.lost);
            }
        },
    ),
    row(
        "seawall_access_log_queued_batches",
        Kind::Gauge,
        &[],
        "Batches of access log records waiting to be written; at 256 records are dropped.",
        |v, s| present(s, v.log.as_ref().map(|l| l.queued)),
    ),
    row(
        "seawall_access_log_errors_total",
        Kind::Counter,
        &[],
        "Failures to open, write or rotate the access log.",
        |v, s| {
            present(s, v.log.as_ref().map(|l| l.errors));
        },
    ),
    row("seawall_access_log_rotations_total", Kind::Counter, &[], "Access log files rotated.", |v, s| {
        present(s, v.log.as_ref().map(|l| l.rotations));
    }),
    row(
        "seawall_events_dropped_total",
        Kind::Counter,
        &[],
        "Events lost because standard error was too slow.",
        |v, s| {
            present(s, v.events_lost);
        },
    ),
    row(
        "seawall_trace_spans_total",
        Kind::Counter,
        &["result"],
        "Spans by what became of them; always 0 in builds without the feature otel.",
        |v, s| {
            s.count(&["exported"], v.shared.spans_exported.get());
            s.count(&["dropped"], v.shared.spans_dropped.get());
        },
    ),
    worker_counter!("seawall_panics_total", "Panics contained. Each is a bug; please report it.", panics),
    shared_counter!(
        "seawall_edge_restarts_total",
        "Edges started in the place of one that died, since the supervisor began; 0 without a supervisor.",
        edge_restarts
    ),
    shared_gauge!("seawall_ready", "1 while ready to serve.", ready),
    shared_gauge!("seawall_draining", "1 while draining.", draining),
    row("seawall_workers", Kind::Gauge, &[], "Worker threads.", |v, s| s.count(&[], v.workers as u64)),
    row("seawall_build_info", Kind::Gauge, &["version"], "Always 1; the label says what runs.", |v, s| {
        s.level(&[v.build], 1);
    }),
    row("seawall_uptime_seconds", Kind::Gauge, &[], "Time since the process began.", |v, s| {
        s.seconds(&[], v.uptime_ms().saturating_mul(1000));
    }),
    row(
        "seawall_process_cpu_seconds_total",
        Kind::Counter,
        &[],
        "Processor time used, user and system.",
        |v, s| {
            if let Some(ms) = v.process.cpu_ms() {
                s.seconds(&[], ms.saturating_mul(1000));
            }
        },
    ),
    row("seawall_process_resident_bytes", Kind::Gauge, &[], "Memory resident.", |v, s| {
        present(s, v.process.resident_bytes);
    }),
    row("seawall_process_threads", Kind::Gauge, &[], "Threads.", |v, s| present(s, v.process.threads)),
    row("seawall_process_open_fds", Kind::Gauge, &[], "File descriptors open.", |v, s| {
        present(s, v.process.open_fds)
    }),
    row("seawall_process_max_fds", Kind::Gauge, &[], "File descriptors allowed.", |v, s| {
        present(s, v.process.max_fds)
    }),
];
