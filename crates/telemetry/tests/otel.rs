//! Traces reach a collector.

#![cfg(feature = "otel")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test may

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use seawall_telemetry::access::Redaction;
use seawall_telemetry::otel::{QUEUE_SPANS, TraceConfig, TraceError, TraceExporter};
use seawall_telemetry::{EdgeError, Origin, Record, Registry};

const PATIENCE: Duration = Duration::from_secs(10);

fn config(endpoint: String) -> TraceConfig {
    TraceConfig {
        endpoint,
        service_name: "seawall-test".into(),
        sample_ratio: 1.0,
        follow_parent: false,
        timeout: Duration::from_secs(2),
    }
}

fn record<'a>() -> Record<'a> {
    Record {
        start_unix_ns: 1_763_465_732_000_000_000,
        duration_us: 100,
        method: b"GET",
        target: b"/page?token=s3cret",
        ray: "8ec7b94c9b18a95c",
        status: 502,
        error: Some(EdgeError { code: 502, detail: "connection reset" }),
        origin: Some(Origin { host: b"app.internal", ..Origin::default() }),
        ..Record::default()
    }
}

/// Takes one request and returns its head and body.
fn collector() -> (String, std::thread::JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let n = stream.read(&mut chunk).unwrap();
            bytes.extend_from_slice(&chunk[..n]);
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let length: usize =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
            if bytes.len() == end + 4 + length {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                return (head, bytes[end + 4..].to_vec());
            }
        }
    });
    (endpoint, thread)
}

#[test]
fn the_spans_of_a_request_reach_the_collector_without_its_secrets() {
    let (endpoint, collector) = collector();
    let exporter = TraceExporter::start(config(endpoint), Redaction::default()).unwrap();
    let registry = Registry::new("");
    exporter.watch(&registry);
    let mut tracer = exporter.worker();
    let context = tracer.begin(Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")).unwrap();
    assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    tracer.end(&context, &record());
    assert!(exporter.close(PATIENCE));
    let (head, body) = collector.join().unwrap();
    assert!(
        head.starts_with("post /v1/traces http/1.1") && head.contains("application/x-protobuf"),
        "{head}"
    );
    let has = |text: &[u8]| body.windows(text.len()).any(|w| w == text);
    for text in [
        "seawall-test",
        "http.request.method",
        "token=REDACTED",
        "8ec7b94c9b18a95c",
        "app.internal",
        "connection reset",
    ] {
        assert!(has(text.as_bytes()), "{text}");
    }
    assert!(has(&0x00f0_67aa_0ba9_02b7u64.to_be_bytes()), "the client's span is the parent");
    assert!(!has(b"s3cret"));
    assert!(registry.expose().contains("seawall_trace_spans_total{result=\"exported\"} 2"));
}

#[test]
fn a_collector_that_is_away_costs_spans_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    drop(listener);
    let exporter = TraceExporter::start(config(endpoint), Redaction::default()).unwrap();
    let registry = Registry::new("");
    exporter.watch(&registry);
    let mut tracer = exporter.worker();
    let context = tracer.begin(None).unwrap();
    for _ in 0..QUEUE_SPANS {
        tracer.end(&context, &record());
    }
    exporter.close(PATIENCE);
    let text = registry.expose();
    let dropped =
        text.lines().find_map(|l| l.strip_prefix("seawall_trace_spans_total{result=\"dropped\"} ")).unwrap();
    assert!(dropped.parse::<usize>().unwrap() > QUEUE_SPANS / 2, "{dropped}");
}

#[test]
fn an_endpoint_that_cannot_work_is_refused_at_the_start() {
    let start = |endpoint: &str| TraceExporter::start(config(endpoint.into()), Redaction::default());
    assert!(matches!(start("https://collector.test/v1/traces"), Err(TraceError::NotHttp(_))));
    assert!(start("http://").is_err());
}
