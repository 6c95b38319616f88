//! The access log.

use seawall_telemetry::access::{MAX_TEXT_BYTES, Redaction};
use seawall_telemetry::{EdgeError, Layout, LogWriter, Origin, Output, Record};
use std::sync::Arc;
use std::time::Duration;

/// Texts of a record, apart by `|`: method, host, target, user agent, Referer, content type, and what the edge says.
pub fn access_log(data: &[u8]) {
    let mut texts = data.split(|b| *b == b'|');
    let mut next = || texts.next().unwrap_or(&[]);
    let (method, host, target, user_agent, referer, content_type) =
        (next(), next(), next(), next(), next(), next());
    let said = String::from_utf8_lossy(next()).into_owned();
    let record = Record {
        start_unix_ns: 1_795_000_000_123_456_789,
        duration_us: 1_500,
        method,
        host,
        target,
        user_agent,
        referer,
        content_type,
        ray: "8f1c2d3e4a5b6c7d",
        node: "DEV",
        zone: &said,
        status: 502,
        origin: Some(Origin { pool: &said, host, ..Origin::default() }),
        error: Some(EdgeError { code: 502, detail: &said }),
        ..Record::default()
    };
    let json = written(Layout::json(Redaction::default()), &record);
    for line in &json {
        assert!(!line.iter().any(|b| *b < b' '), "a control character in {}", String::from_utf8_lossy(line));
        let parsed: serde_json::Value = serde_json::from_slice(line).expect("no JSON");
        let agent = parsed.get("ClientRequestUserAgent").and_then(|v| v.as_str()).unwrap_or("");
        if let Ok(sent) = std::str::from_utf8(user_agent)
            && sent.len() <= MAX_TEXT_BYTES
        {
            assert_eq!(agent, sent, "the log says something else");
        }
    }
    let combined = written(Layout::combined(Redaction::default()), &record);
    for line in &combined {
        assert!(line.iter().all(|b| b.is_ascii_graphic() || *b == b' '), "{}", String::from_utf8_lossy(line));
        assert_eq!(line.iter().filter(|b| **b == b'"').count(), 6, "a quote got through");
    }
    assert_eq!((json.len(), combined.len()), (2, 2), "a record is not one line");
}

/// The lines of two such records, by way of a file.
fn written(layout: Layout, record: &Record<'_>) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let output = Output::File { path: path.clone(), rotate_bytes: 0, keep: 0 };
    let writer = LogWriter::start(output).expect("a thread");
    let mut log = writer.worker(Some(Arc::new(layout)));
    log.record(record);
    log.record(record);
    drop(log);
    assert!(writer.close(Duration::from_secs(10)));
    let bytes = std::fs::read(path).expect("a log");
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()), "the last line has no end");
    lines
}
