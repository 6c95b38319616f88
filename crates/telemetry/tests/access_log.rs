//! What is written for a request, and what becomes of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test may

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use seawall_telemetry::access::{FIELDS, LayoutError, Redaction, Security, Timestamps};
use seawall_telemetry::names::{Cohort, Module, ModuleFault, SecurityAction};
use seawall_telemetry::{
    AccessLog, CacheStatus, EdgeError, HttpVersion, Layout, LogWriter, Origin, Output, Record, Tls,
    TlsVersion,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

fn file(path: &Path) -> Output {
    Output::File { path: path.to_owned(), rotate_bytes: 0, keep: 0 }
}

/// Writes through the real writer and returns the file.
fn written(layout: Layout, records: &[Record<'_>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let writer = LogWriter::start(file(&path)).unwrap();
    let mut log = writer.worker(Some(Arc::new(layout)));
    for record in records {
        log.record(record);
    }
    drop(log);
    assert!(writer.close(PATIENCE));
    fs::read_to_string(&path).unwrap()
}

fn full<'a>() -> Record<'a> {
    Record {
        start_unix_ns: 1_763_465_732_250_000_000,
        duration_us: 1_750_900,
        first_byte_us: Some(12_345),
        client_ip: IpAddr::from([192, 0, 2, 7]),
        client_port: 50_123,
        country: "NL",
        tls: Some(Tls { version: TlsVersion::V13, cipher: 0x1302, server_name: "www.example.com" }),
        version: HttpVersion::H2,
        method: b"GET",
        host: b"www.example.com",
        target: b"/search?q=sea&token=s3cret",
        user_agent: b"Mozilla/5.0 \"quoted\"",
        referer: b"https://example.com/?session=s3cret",
        request_bytes: 321,
        status: 502,
        response_head_bytes: 200,
        response_body_bytes: 1000,
        uncompressed_bytes: Some(2345),
        content_type: b"text/html; charset=utf-8",
        ray: "8ec7b94c9b18a95c",
        node: "AMS",
        zone: "example.com",
        cache: CacheStatus::Miss,
        origin: Some(Origin {
            ip: Some(IpAddr::from([10, 0, 0, 1])),
            port: 3000,
            pool: "app",
            host: b"app.internal",
            tls: None,
            status: 503,
            bytes: 99,
            connect_us: Some(1500),
            first_byte_us: Some(9000),
            duration_us: Some(10_500),
            ..Origin::default()
        }),
        attempts: 2,
        error: Some(EdgeError { code: 502, detail: "origin closed" }),
        worker: 3,
        ..Record::default()
    }
}

/// The same in the days of a canary, with a module that failed and a rule that matched.
fn guarded<'a>() -> Record<'a> {
    Record {
        bot_score: Some(30),
        security: Some(Security { action: SecurityAction::Block, rule: "bad \"agents\"" }),
        snapshot: Some(12),
        cohort: Some(Cohort::Candidate),
        module_faults: &[(Module::Firewall, ModuleFault::Time), (Module::Bot, ModuleFault::Panic)],
        stands_for: 7,
        ..full()
    }
}

#[test]
fn a_record_has_the_names_and_values_logpush_readers_expect() {
    let line = written(Layout::json(Redaction::default()), &[full()]);
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        value,
        json!({
            "EdgeStartTimestamp": "2025-11-18T11:35:32.250Z",
            "EdgeEndTimestamp": "2025-11-18T11:35:34.000Z",
            "RayID": "8ec7b94c9b18a95c",
            "ZoneName": "example.com",
            "ClientIP": "192.0.2.7",
            "ClientSrcPort": 50123,
            "ClientCountry": "NL",
            "ClientRequestMethod": "GET",
            "ClientRequestScheme": "https",
            "ClientRequestHost": "www.example.com",
            "ClientRequestURI": "/search?q=sea&token=REDACTED",
            "ClientRequestProtocol": "HTTP/2",
            "ClientRequestReferer": "https://example.com/?session=REDACTED",
            "ClientRequestUserAgent": "Mozilla/5.0 \"quoted\"",
            "ClientRequestBytes": 321,
            "ClientSSLProtocol": "TLSv1.3",
            "ClientSSLCipher": "AEAD-AES256-GCM-SHA384",
            "CacheCacheStatus": "miss",
            "EdgeColoCode": "AMS",
            "EdgeResponseStatus": 502,
            "EdgeResponseBytes": 1200,
            "EdgeResponseBodyBytes": 1000,
            "EdgeResponseContentType": "text/html; charset=utf-8",
            "EdgeTimeToFirstByteMs": 12,
            "OriginIP": "10.0.0.1",
            "OriginResponseStatus": 503,
            "OriginTCPHandshakeDurationMs": 1,
            "OriginResponseHeaderReceiveDurationMs": 9,
            "OriginResponseDurationMs": 10,
            "SeawallErrorCode": 502,
            "SeawallErrorDetail": "origin closed",
            "SeawallDurationUs": 1_750_900,
            "SeawallOriginPort": 3000,
        })
    );
}

#[test]
fn every_field_has_the_type_the_table_says() {
    let names: Vec<&str> = FIELDS.iter().map(|f| f.name).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "a name is used twice");
    let record = Record {
        cache: CacheStatus::Hit,
        origin: Some(Origin { resolve_us: Some(1), tls_us: Some(1), ..full().origin.unwrap() }),
        ..guarded()
    };
    let layout = Layout::json_with(names.iter().copied(), Redaction::default()).unwrap();
    let line = written(layout, &[record]);
    let Value::Object(value) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
    for field in FIELDS {
        let fits = match (field.kind, &value[field.name]) {
            ("string", Value::String(_)) | ("bool", Value::Bool(_)) => true,
            ("int", Value::Number(n)) => n.is_u64(),
            ("float", Value::Number(n)) => n.is_f64(),
            _ => false,
        };
        assert!(fits, "{} is not {}: {}", field.name, field.kind, value[field.name]);
    }
    assert_eq!(value["EdgeResponseCompressionRatio"], json!(2.34));
}

#[test]
fn what_is_not_known_is_absent() {
    let line = written(Layout::json(Redaction::default()), &[Record::default()]);
    let value: Value = serde_json::from_str(&line).unwrap();
    for name in [
        "BotScore",
        "ZoneName",
        "ClientCountry",
        "OriginIP",
        "OriginResponseDurationMs",
        "SecurityAction",
        "SecurityRuleID",
        "SnapshotNumber",
        "Cohort",
        "ModuleFaults",
        "SeawallStandsFor",
        "SeawallErrorCode",
    ] {
        assert!(value.get(name).is_none(), "{name}");
    }
    assert_eq!(value["ClientSSLProtocol"], "none");
    assert_eq!(value["OriginResponseStatus"], 0, "Logpush's sign of no request to an origin");
}

#[test]
fn a_line_says_which_snapshot_ran_the_request_and_what_its_modules_did() {
    let names = [
        "SnapshotNumber",
        "Cohort",
        "SecurityAction",
        "SecurityRuleID",
        "ModuleFaults",
        "BotScore",
        "SeawallStandsFor",
    ];
    let layout = Layout::json_with(names, Redaction::default()).unwrap();
    assert_eq!(
        written(layout, &[guarded()]),
        "{\"SnapshotNumber\":12,\"Cohort\":\"candidate\",\"SecurityAction\":\"block\",\"SecurityRuleID\":\"bad \\\"agents\\\"\",\
         \"ModuleFaults\":\"firewall:time,bot:panic\",\"BotScore\":30,\"SeawallStandsFor\":7}\n"
    );
}

#[test]
fn what_the_edge_itself_failed_is_known_from_what_others_did() {
    let error = Some(EdgeError { code: 502, detail: "" });
    for (record, ours) in [
        (Record::default(), false),
        (Record { status: 200, ..Record::default() }, false),
        (Record { status: 503, ..Record::default() }, false), // the origin's
        (Record { status: 503, error, ..Record::default() }, true),
        (Record { status: 404, error, ..Record::default() }, false), // the client's
        (
            Record { status: 200, module_faults: &[(Module::Bot, ModuleFault::Panic)], ..Record::default() },
            true,
        ),
    ] {
        assert_eq!(record.is_our_failure(), ours, "{record:?}");
    }
}

#[test]
fn chosen_fields_come_in_the_order_chosen() {
    let layout = |names: &[&'static str]| Layout::json_with(names.iter().copied(), Redaction::default());
    let line = written(layout(&["RayID", "BotScore", "ClientIP", "RayID"]).unwrap(), &[full()]);
    assert_eq!(line, "{\"RayID\":\"8ec7b94c9b18a95c\",\"ClientIP\":\"192.0.2.7\"}\n");
    let line = written(layout(&["BotScore"]).unwrap(), &[full()]);
    assert_eq!(line, "{}\n", "all fields absent is still an object");
    assert_eq!(layout(&["Nope"]).unwrap_err(), LayoutError::UnknownField("Nope".into()));
    assert_eq!(layout(&[]).unwrap_err(), LayoutError::NoFields);
}

#[test]
fn timestamps_can_be_numbers() {
    for (form, expected) in [
        (Timestamps::Unix, "{\"EdgeStartTimestamp\":1763465732}\n"),
        (Timestamps::UnixNano, "{\"EdgeStartTimestamp\":1763465732250000000}\n"),
        (Timestamps::Rfc3339, "{\"EdgeStartTimestamp\":\"2025-11-18T11:35:32Z\"}\n"),
    ] {
        let layout =
            Layout::json_with(["EdgeStartTimestamp"], Redaction::default()).unwrap().with_timestamps(form);
        assert_eq!(written(layout, &[full()]), expected);
    }
}

#[test]
fn the_combined_format_is_what_its_readers_expect() {
    let lines = written(
        Layout::combined(Redaction::default()),
        &[full(), Record { version: HttpVersion::H10, ..Record::default() }],
    );
    assert_eq!(
        lines,
        "192.0.2.7 - - [18/Nov/2025:11:35:32 +0000] \"GET /search?q=sea&token=REDACTED HTTP/2\" 502 1000 \
         \"https://example.com/?session=REDACTED\" \"Mozilla/5.0 \\x22quoted\\x22\"\n\
         0.0.0.0 - - [01/Jan/1970:00:00:00 +0000] \"  HTTP/1.0\" 0 0 \"-\" \"-\"\n"
    );
}

#[test]
fn a_text_without_end_is_cut() {
    let target = [&b"/?token="[..], &vec![b'x'; 20_000]].concat();
    let agent = vec![b'y'; 20_000];
    let record = Record { target: &target, user_agent: &agent, ..Record::default() };
    let line = written(Layout::json(Redaction::default()), &[record]);
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["ClientRequestURI"], "/?token=REDACTED…");
    assert!(line.len() < 6000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_make_one_line_of_valid_json(
        target: Vec<u8>, host: Vec<u8>, agent: Vec<u8>, referer in "(https://)?[a-z@:/?#&=;%\"\\\\\u{0}-\u{1f}é]{0,40}",
        status: u16, numbers: (u64, u64, u64), ip: IpAddr,
    ) {
        let record = Record {
            target: &target, host: &host, user_agent: &agent, referer: referer.as_bytes(), status, client_ip: ip,
            start_unix_ns: numbers.0, duration_us: numbers.1, response_body_bytes: numbers.2, first_byte_us: Some(numbers.1),
            ..full()
        };
        let json_line = written(Layout::json(Redaction::default()), std::slice::from_ref(&record));
        prop_assert_eq!(json_line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&json_line).unwrap();
        prop_assert_eq!(&value["EdgeResponseStatus"], &json!(status));
        if let Ok(text) = std::str::from_utf8(&host) {
            prop_assert_eq!(&value["ClientRequestHost"], &json!(text));
        }
        let combined = written(Layout::combined(Redaction::default()), &[record]);
        prop_assert!(combined.is_ascii() && combined.matches('\n').count() == 1);
    }
}

fn lines(log: &mut AccessLog, from: u64, count: u64) {
    for n in from..from + count {
        log.record(&Record { response_body_bytes: n, ..Record::default() });
    }
}

#[test]
fn lines_of_many_workers_arrive_whole_and_none_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let writer = LogWriter::start(file(&path)).unwrap();
    let layout = Arc::new(Layout::json_with(["EdgeResponseBodyBytes"], Redaction::default()).unwrap());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let mut log = writer.worker(Some(Arc::clone(&layout)));
            scope.spawn(move || lines(&mut log, worker * 10_000, 10_000));
        }
    });
    let counts = writer.counts();
    assert!(writer.close(PATIENCE));
    assert_eq!((counts.written(), counts.lost()), (40_000, 0));
    let text = fs::read_to_string(&path).unwrap();
    let seen: HashSet<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["EdgeResponseBodyBytes"].as_u64().unwrap())
        .collect();
    assert_eq!(seen.len(), 40_000);
}

#[test]
fn files_are_rotated_by_size_and_no_line_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let writer = LogWriter::start(Output::File { path, rotate_bytes: 100_000, keep: 99 }).unwrap();
    let mut log = writer.worker(Some(Arc::new(Layout::combined(Redaction::default()))));
    lines(&mut log, 0, 10_000);
    drop(log);
    let counts = writer.counts();
    assert!(writer.close(PATIENCE));
    let mut total = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.len() <= 100_000 && text.ends_with('\n'));
        total += text.lines().count();
    }
    assert_eq!(total, 10_000);
    assert!(counts.rotations() > 3);
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn after_a_reopen_lines_go_to_the_path_and_not_to_the_moved_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("moved"));
    let writer = LogWriter::start(file(&path)).unwrap();
    let mut log = writer.worker(Some(Arc::new(Layout::combined(Redaction::default()))));
    let counts = writer.counts();
    lines(&mut log, 0, 1);
    log.tick();
    until("first line", || counts.written() == 1);
    fs::rename(&path, &moved).unwrap();
    writer.reopen();
    until("a new file", || path.exists());
    lines(&mut log, 0, 2);
    drop(log);
    assert!(writer.close(PATIENCE));
    let count = |p: &Path| fs::read_to_string(p).unwrap().lines().count();
    assert_eq!((count(&moved), count(&path)), (1, 2));
}

#[test]
fn an_output_that_cannot_be_written_costs_records_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let blocker = folder.path().join("log");
    fs::write(&blocker, "a file where the folder should be").unwrap();
    let path = blocker.join("access.log");
    let writer = LogWriter::start(file(&path)).unwrap();
    let mut log = writer.worker(Some(Arc::new(Layout::combined(Redaction::default()))));
    let counts = writer.counts();
    lines(&mut log, 0, 3);
    log.tick();
    until("lost records", || counts.lost() == 3);
    assert!(counts.write_errors() >= 2, "opening and writing");
    fs::remove_file(&blocker).unwrap();
    lines(&mut log, 0, 2);
    drop(log);
    assert!(writer.close(PATIENCE));
    assert_eq!((counts.written(), counts.lost()), (2, 3));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[test]
fn a_writer_that_is_stuck_holds_neither_workers_nor_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    // Opening a pipe nobody reads blocks for ever.
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = LogWriter::start(file(&pipe)).unwrap();
    let mut log = writer.worker(Some(Arc::new(Layout::combined(Redaction::default()))));
    for _ in 0..400 {
        lines(&mut log, 0, 1);
        log.tick();
    }
    assert_eq!(writer.counts().lost(), 400 - 256);
    drop(log);
    assert!(!writer.close(Duration::from_millis(50)));
}

#[test]
fn the_output_can_be_changed_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let writer = LogWriter::start(file(&first)).unwrap();
    let mut log = writer.worker(None);
    lines(&mut log, 0, 1);
    writer.set_output(file(&second));
    until("the second file", || second.exists());
    log.set_layout(Some(Arc::new(Layout::combined(Redaction::default()))));
    lines(&mut log, 0, 1);
    drop(log);
    assert!(writer.close(PATIENCE));
    let count = |p: &Path| fs::read_to_string(p).unwrap().lines().count();
    assert_eq!((count(&first), count(&second)), (0, 1));
}

/// Not a test of speed (machines differ); prints what a record costs. Meaningful with optimisation only.
#[test]
#[ignore = "prints a measurement"]
fn what_a_record_costs() {
    let writer = LogWriter::start(file(Path::new("/dev/null"))).unwrap();
    for (name, layout) in
        [("json", Layout::json(Redaction::default())), ("combined", Layout::combined(Redaction::default()))]
    {
        let mut log = writer.worker(Some(Arc::new(layout)));
        let mut record = full();
        record.error = None;
        let count = 1_000_000;
        let start = Instant::now();
        for n in 0..count {
            record.start_unix_ns += 1000 * n % 7;
            log.record(&record);
        }
        println!("{name}: {} ns a record", start.elapsed().as_nanos() / u128::from(count));
    }
    println!("lost {}", writer.counts().lost());
}
