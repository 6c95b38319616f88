//! What workers count is added up and exposed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test may

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use seawall_telemetry::metrics::{Certificate, METRICS, OriginName};
use seawall_telemetry::names::{Module, ModuleFault, OriginFault, Refusal, SecurityAction};
use seawall_telemetry::timeline::{Event, Kind, Timeline};
use seawall_telemetry::{
    CacheStatus, ConnectionKind, EdgeError, Origin, OriginSlot, Record, Registry, Security, Summary,
    TlsVersion, ZoneSlot,
};

type Labels = Vec<(String, String)>;

/// Reads OpenMetrics text strictly and returns samples by name and labels.
fn parse(text: &str) -> HashMap<(String, Labels), f64> {
    let (mut samples, mut types) = (HashMap::new(), HashMap::new());
    let mut family = String::new();
    let body = text.strip_suffix("# EOF\n").expect("ends with EOF");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && !types.contains_key(name), "{line}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            types.insert(name.to_owned(), kind.to_owned());
        } else {
            let (name, labels, value) = sample(line);
            let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} under {family}"));
            let fits = match types[&family].as_str() {
                "counter" => suffix == "_total",
                "gauge" => suffix.is_empty(),
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                other => panic!("{other}"),
            };
            assert!(fits, "{line}");
            assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
        }
    }
    samples
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{line}");
    let mut labels = Vec::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (key, after) = inside.split_once("=\"").unwrap();
            let (mut value, mut chars) = (String::new(), after.char_indices());
            let close = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        c => panic!("escape {c}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((key.to_owned(), value));
            inside = &after[close + 1..];
            match inside.strip_prefix(',') {
                Some(more) => inside = more,
                None => break,
            }
        }
        rest = inside.strip_prefix('}').unwrap();
    }
    (name.to_owned(), labels, rest.strip_prefix(' ').unwrap().parse().unwrap())
}

fn value(samples: &HashMap<(String, Labels), f64>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    samples.get(&(name.to_owned(), labels)).copied()
}

fn origin(name: &str) -> OriginName {
    OriginName { zone: "a.test".into(), pool: "app".into(), origin: name.into() }
}

#[test]
fn every_metric_is_exposed_under_the_name_and_labels_the_table_says() {
    let registry = Registry::new("1.2.3");
    let text = registry.expose();
    parse(&text);
    let mut names = HashSet::new();
    for metric in METRICS {
        let family = metric.name.trim_end_matches("_total");
        assert!(names.insert(family), "{} twice", metric.name);
        assert!(metric.name.starts_with("seawall_"), "{}", metric.name);
        assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
        assert!(text.contains(&format!("# TYPE {family} {}\n", metric.kind.name())), "{}", metric.name);
        assert_eq!(metric.name.ends_with("_total"), metric.kind.name() == "counter", "{}", metric.name);
    }
    assert_eq!(text.matches("# TYPE ").count(), METRICS.len());
}

#[test]
fn one_record_is_counted_everywhere_it_belongs() {
    let registry = Registry::new("1.2.3");
    let zone = registry.assign_zones(["a.test"])[0];
    let slot = registry.assign_origins(&[origin("o1")])[0];
    let worker = registry.worker();
    worker.in_flight.inc();
    worker.connection_accepted();
    worker.connection_becomes(ConnectionKind::Opening, ConnectionKind::Http2);
    worker.handshake(TlsVersion::V13, true, 240);
    worker.refusals.inc(Refusal::BadRequest);
    worker.origin_connected(slot);
    worker.origin_answered(slot, 503, true, 1500);
    worker.origin_failed(slot, OriginFault::ConnectTimeout);
    worker.observe(&Record {
        zone_slot: zone,
        status: 502,
        request_bytes: 10,
        response_head_bytes: 20,
        response_body_bytes: 30,
        duration_us: 2_000_000,
        first_byte_us: Some(100),
        cache: CacheStatus::Stale,
        error: Some(EdgeError { code: 502, detail: "" }),
        origin: Some(Origin { slot, bytes: 77, ..Origin::default() }),
        bot_score: Some(35),
        security: Some(Security { action: SecurityAction::Log, rule: "r" }),
        module_faults: &[(Module::Firewall, ModuleFault::Time), (Module::Firewall, ModuleFault::Time)],
        ..Record::default()
    });
    worker.observe(&Record { bot_score_missing: true, ..Record::default() });
    worker.module_skipped.inc(Module::Bot);
    worker.module_closed.inc(Module::Bans);
    worker.telemetry_ns.add(1_500_000);
    worker.telemetry_suppressed.add(4);
    registry.shared().snapshot_running.set(12);
    registry.shared().canary_percent.set(10);
    registry.shared().module_breakers_open.set(Module::Bot, 3);
    registry.set_origin_health(slot, false);
    registry.shared().config_version.set(7);
    registry.set_certificates(vec![
        Certificate { name: "a.test".into(), not_after_unix_s: 200 },
        Certificate { name: "a.test".into(), not_after_unix_s: 100 },
    ]);
    registry.before_scrape(|r| r.shared().cache_memory_bytes.set(4096));

    let samples = parse(&registry.expose());
    let at_origin = [("zone", "a.test"), ("pool", "app"), ("origin", "o1")];
    for (name, labels, expected) in [
        ("seawall_requests_total", &[("version", "HTTP/1.1")][..], 2.0),
        ("seawall_bot_scores_total", &[("band", "30-39")], 1.0),
        ("seawall_bot_scores_total", &[("band", "1-9")], 0.0),
        ("seawall_bot_scores_absent_total", &[], 1.0),
        ("seawall_security_actions_total", &[("action", "log")], 1.0),
        ("seawall_module_faults_total", &[("module", "firewall"), ("fault", "time")], 2.0),
        ("seawall_module_faults_total", &[("module", "bot"), ("fault", "panic")], 0.0),
        ("seawall_module_skipped_total", &[("module", "bot")], 1.0),
        ("seawall_module_closed_responses_total", &[("module", "bans")], 1.0),
        ("seawall_module_breakers_open", &[("module", "bot")], 3.0),
        ("seawall_telemetry_seconds_total", &[], 0.0015),
        ("seawall_telemetry_suppressed_total", &[], 4.0),
        ("seawall_snapshot_running", &[], 12.0),
        ("seawall_canary_percent", &[], 10.0),
        ("seawall_responses_total", &[("status", "502")], 1.0),
        ("seawall_responses_by_class_total", &[("class", "5xx")], 1.0),
        ("seawall_responses_by_class_total", &[("class", "2xx")], 0.0),
        ("seawall_errors_total", &[("code", "502")], 1.0),
        ("seawall_cache_requests_total", &[("status", "stale")], 1.0),
        ("seawall_cache_bytes_total", &[], 30.0),
        ("seawall_request_bytes_total", &[], 10.0),
        ("seawall_response_bytes_total", &[], 50.0),
        ("seawall_requests_in_flight", &[], 1.0),
        ("seawall_request_duration_seconds_count", &[], 2.0),
        ("seawall_request_duration_seconds_sum", &[], 2.0),
        ("seawall_first_byte_seconds_bucket", &[("le", "0.0001")], 1.0),
        ("seawall_first_byte_seconds_bucket", &[("le", "0.00005")], 0.0),
        ("seawall_first_byte_seconds_bucket", &[("le", "+Inf")], 1.0),
        ("seawall_connections_accepted_total", &[], 1.0),
        ("seawall_connections_open", &[("kind", "opening")], 0.0),
        ("seawall_connections_open", &[("kind", "http2")], 1.0),
        ("seawall_tls_handshakes_total", &[("version", "TLSv1.3")], 1.0),
        ("seawall_tls_resumed_total", &[], 1.0),
        ("seawall_refusals_total", &[("reason", "bad_request")], 1.0),
        ("seawall_zone_requests_total", &[("zone", "a.test")], 1.0),
        ("seawall_zone_edge_errors_total", &[("zone", "a.test")], 1.0),
        ("seawall_zone_cache_hits_total", &[("zone", "a.test")], 1.0),
        ("seawall_zone_duration_seconds_total", &[("zone", "a.test")], 2.0),
        ("seawall_origin_attempts_total", &[], 2.0),
        ("seawall_origin_faults_total", &[("fault", "connect_timeout")], 1.0),
        ("seawall_origin_reuses_total", &[], 1.0),
        ("seawall_origin_requests_total", &at_origin, 2.0),
        ("seawall_origin_request_faults_total", &at_origin, 1.0),
        ("seawall_origin_server_errors_total", &at_origin, 1.0),
        ("seawall_origin_response_seconds_total", &at_origin, 0.0015),
        ("seawall_origin_bytes_total", &at_origin, 77.0),
        ("seawall_origin_connections", &at_origin, 1.0),
        ("seawall_origin_healthy", &at_origin, 0.0),
        ("seawall_config_version", &[], 7.0),
        ("seawall_certificate_expiry_timestamp_seconds", &[("name", "a.test")], 100.0),
        ("seawall_cache_stored_bytes", &[("tier", "memory")], 4096.0),
        ("seawall_build_info", &[("version", "1.2.3")], 1.0),
        ("seawall_workers", &[], 1.0),
    ] {
        assert_eq!(value(&samples, name, labels), Some(expected), "{name} {labels:?}");
    }
    let summary = registry.summary();
    assert_eq!((summary.snapshot_running, summary.snapshot_candidate), (Some(12), None));
    let modules: Vec<_> =
        summary.modules.iter().map(|m| (m.name.as_str(), m.faults, m.skipped, m.breakers_open)).collect();
    assert_eq!(modules, [("bans", 0, 0, 0), ("bot", 0, 1, 3), ("firewall", 2, 0, 0)]);
    assert_eq!(value(&samples, "seawall_snapshot_candidate", &[]), None, "missing is absent, never zero");
    assert!(value(&samples, "seawall_process_open_fds", &[]).unwrap() > 2.0);
}

#[test]
fn workers_are_added_up_while_they_count() {
    const EACH: u64 = 20_000;
    let registry = Registry::new("");
    let zone = registry.assign_zones(["a.test"])[0];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let worker = registry.worker();
            scope.spawn(move || {
                for n in 0..EACH {
                    worker.observe(&Record {
                        zone_slot: zone,
                        status: 200,
                        duration_us: n,
                        ..Record::default()
                    });
                }
            });
        }
        let mut before = 0;
        for _ in 0..20 {
            let now = registry.summary().requests;
            assert!(now >= before, "a count went down");
            before = now;
        }
    });
    let summary = registry.summary();
    assert_eq!((summary.requests, summary.responses_by_class[1]), (4 * EACH, 4 * EACH));
    assert_eq!((summary.duration.count, summary.zones[0].requests), (4 * EACH, 4 * EACH));
    assert_eq!(summary.duration.sum_us, 4 * (EACH * (EACH - 1) / 2));
    assert_eq!(summary.top_statuses, [(200, 4 * EACH)]);
}

#[test]
fn a_worker_that_ends_leaves_its_counts_and_takes_its_levels() {
    let registry = Registry::new("");
    let worker = registry.worker();
    worker.in_flight.inc();
    worker.connection_accepted();
    worker.origin_connected(OriginSlot::OTHER);
    drop(worker);
    let summary = registry.summary();
    assert_eq!((summary.in_flight, summary.connections["opening"], summary.connections_accepted), (0, 0, 1));
}

#[test]
fn zones_beyond_the_limit_are_counted_together_and_a_slot_begins_at_zero_for_its_next_name() {
    let registry = Registry::new("");
    let names: Vec<String> = (0..1002).map(|n| format!("z{n}.test")).collect();
    let slots = registry.assign_zones(names.iter().map(String::as_str));
    assert_eq!(slots[1000..], [ZoneSlot::OTHER, ZoneSlot::OTHER]);
    let worker = registry.worker();
    for slot in [slots[0], slots[0], slots[1], slots[1001]] {
        worker.observe(&Record { zone_slot: slot, ..Record::default() });
    }
    let requests = |name: &str| registry.summary().zones.iter().find(|z| z.name == name).map(|z| z.requests);
    assert_eq!((requests("z0.test"), requests("_other")), (Some(2), Some(1)));

    // The first zone goes, another comes.
    let next = registry.assign_zones(names[1..1000].iter().map(String::as_str).chain(["new.test"]));
    assert_eq!((next[0], next[999]), (slots[1], slots[0]));
    assert_eq!((requests("z0.test"), requests("z1.test"), requests("new.test")), (None, Some(1), Some(0)));
    worker.observe(&Record { zone_slot: next[999], ..Record::default() });
    assert_eq!(requests("new.test"), Some(1));
}

#[test]
fn a_summary_survives_its_way_to_the_terminal() {
    let registry = Registry::new("1.2.3");
    let worker = registry.worker();
    worker.observe(&Record { status: 404, duration_us: 123, ..Record::default() });
    let summary = registry.summary();
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_name_of_a_zone_can_be_exposed(name in "[^\u{0}]{1,30}") {
        let registry = Registry::new("");
        registry.assign_zones([name.as_str()]);
        let samples = parse(&registry.expose());
        prop_assert_eq!(value(&samples, "seawall_zone_requests_total", &[("zone", &name)]), Some(0.0));
    }
}

#[test]
fn the_timeline_is_counted_and_its_newest_events_are_in_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new("");
    let timeline = Timeline::open(folder.path(), "edge");
    timeline.watch(&registry);
    for n in 1..=30 {
        timeline.tell(Event::new(Kind::Stage, "test", "10 %").snapshot(n));
    }
    assert!(timeline.flush(std::time::Duration::from_secs(10)));
    let samples = parse(&registry.expose());
    let count = |result| value(&samples, "seawall_timeline_events_total", &[("result", result)]);
    assert_eq!((count("told"), count("dropped"), count("memory")), (Some(30.0), Some(0.0), Some(0.0)));
    let newest: Vec<u64> = registry.summary().timeline.iter().filter_map(|e| e.snapshot).collect();
    assert_eq!(newest, (11..=30).collect::<Vec<_>>());
    let text = serde_json::to_string(&registry.summary()).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap().timeline.len(), 20);
}
