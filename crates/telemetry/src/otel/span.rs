//! Records as spans, with the attributes of OpenTelemetry's semantic conventions for HTTP.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::context::TraceContext;
use crate::access::{MAX_TEXT_BYTES, Origin, Record, Redaction};

/// The span of the request, and that of the attempt at an origin if there was one.
pub(super) fn of(
    context: &TraceContext,
    record: &Record<'_>,
    redaction: &Redaction,
) -> impl Iterator<Item = SpanData> + use<> {
    let origin = record.origin.as_ref().map(|origin| attempt(context, record, origin));
    std::iter::once(request(context, record, redaction)).chain(origin)
}

fn request(context: &TraceContext, record: &Record<'_>, redaction: &Redaction) -> SpanData {
    let target = redaction.redacted(record.target);
    let mut halves = target.splitn(2, |b| *b == b'?');
    let mut attributes = vec![
        text("http.request.method", record.method),
        KeyValue::new("url.scheme", if record.tls.is_some() { "https" } else { "http" }),
        text("url.path", halves.next().unwrap_or_default()),
        text("server.address", record.host),
        KeyValue::new("client.address", record.client_ip.to_string()),
        KeyValue::new("network.protocol.version", record.version.name().trim_start_matches("HTTP/")),
        text("user_agent.original", record.user_agent),
        int("http.request.size", record.request_bytes),
        int("http.response.body.size", record.response_body_bytes),
        KeyValue::new("seawall.ray", record.ray.to_owned()),
        KeyValue::new("seawall.zone", record.zone.to_owned()),
        KeyValue::new("seawall.cache_status", record.cache.name()),
    ];
    if let Some(query) = halves.next() {
        attributes.push(text("url.query", query));
    }
    if record.status != 0 {
        attributes.push(int("http.response.status_code", record.status.into()));
    }
    if let Some(error) = &record.error {
        attributes.push(KeyValue::new("error.type", error.code.to_string()));
    }
    let status = match &record.error {
        Some(error) if error.code >= 500 => Status::error(error.detail.to_owned()),
        _ if record.status >= 500 => Status::error(""),
        _ => Status::Unset,
    };
    let span = Span { id: context.request, parent: context.parent, kind: SpanKind::Server };
    span.data(context, record, attributes, status, record.start_unix_ns, record.duration_us)
}

fn attempt(context: &TraceContext, record: &Record<'_>, origin: &Origin<'_>) -> SpanData {
    let mut attributes = vec![
        text("http.request.method", record.method),
        text("server.address", origin.host),
        int("server.port", origin.port.into()),
        KeyValue::new("seawall.pool", origin.pool.to_owned()),
        KeyValue::new("seawall.connection_reused", origin.reused),
    ];
    if let Some(ip) = origin.ip {
        attributes.push(KeyValue::new("network.peer.address", ip.to_string()));
    }
    if origin.status != 0 {
        attributes.push(int("http.response.status_code", origin.status.into()));
    }
    let status = match origin.status {
        0 => Status::error(record.error.map_or("no response", |e| e.detail).to_owned()),
        400.. => Status::error(""),
        _ => Status::Unset,
    };
    // A record tells how long the attempt took to its response head, which came just before the first byte went out.
    let duration_us = origin.duration_us.unwrap_or(0);
    let head_us = record.first_byte_us.unwrap_or(record.duration_us);
    let start = record.start_unix_ns.saturating_add(head_us.saturating_sub(duration_us).saturating_mul(1000));
    let span = Span { id: context.origin, parent: context.request, kind: SpanKind::Client };
    span.data(context, record, attributes, status, start, duration_us)
}

struct Span {
    id: u64,
    parent: u64,
    kind: SpanKind,
}

impl Span {
    fn data(
        self,
        context: &TraceContext,
        record: &Record<'_>,
        attributes: Vec<KeyValue>,
        status: Status,
        start_unix_ns: u64,
        duration_us: u64,
    ) -> SpanData {
        let trace = TraceId::from(context.trace);
        let start = time(start_unix_ns);
        SpanData {
            span_context: SpanContext::new(
                trace,
                SpanId::from(self.id),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: SpanId::from(self.parent),
            parent_span_is_remote: self.kind == SpanKind::Server && self.parent != 0,
            span_kind: self.kind,
            // The convention wants few distinct names: the method alone where no route is known.
            name: lossy(record.method).into(),
            start_time: start,
            end_time: start.checked_add(Duration::from_micros(duration_us)).unwrap_or(start),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("seawall").build(),
        }
    }
}

fn time(unix_ns: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_nanos(unix_ns)).unwrap_or(UNIX_EPOCH)
}

fn int(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}

fn text(name: &'static str, value: &[u8]) -> KeyValue {
    KeyValue::new(name, lossy(value))
}

fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value.get(..MAX_TEXT_BYTES).unwrap_or(value)).into_owned()
}
