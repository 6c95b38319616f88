//! The commands about changes, against a scripted edge on a Unix socket, and with nothing running at all.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use common::{binary, eventually, seawall};
use seawall_snapshot::{Cause, Store, UnitKind, Units};
use seawall_telemetry::timeline::{Event, Kind, Timeline};
use serde_json::{Value, json};

/// What was asked: method, path, body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// An edge that answers by a script.
struct Edge {
    dir: tempfile::TempDir,
    asked: Asked,
}

impl Edge {
    fn new(mut answer: impl FnMut(&str, &str) -> (u16, Value) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("edge.sock")).unwrap();
        let asked = Asked::default();
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some((method, path, body)) = request(&stream) else { continue };
                let (status, body_out) = answer(&method, &path);
                noted.lock().unwrap().push((method, path, body));
                let text = match body_out {
                    Value::String(text) => text,
                    json => json.to_string(),
                };
                let mut stream = stream;
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                );
            }
        });
        Edge { dir, asked }
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        seawall(&[args, &["--data-dir", self.dir.path().to_str().unwrap()]].concat())
    }

    /// The orders, without the looks.
    fn orders(&self) -> Vec<(String, Value)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(method, ..)| method == "POST").map(|(_, p, b)| (p.clone(), b.clone())).collect()
    }
}

fn request(stream: &UnixStream) -> Option<(String, String, Value)> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let field = field.trim().to_ascii_lowercase();
        if field.is_empty() {
            break;
        }
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// Takes any order as number 5 and shows these one after the other, the last for ever.
fn going_through(looks: Vec<Value>) -> Edge {
    let mut looks = looks.into_iter().peekable();
    let mut last = json!({});
    Edge::new(move |method, path| match (method, path) {
        ("POST", _) => (202, json!({ "order": 5 })),
        (_, "/summary") => (200, json!({ "time_unix_ms": 1000, "uptime_ms": 400 })),
        (_, "/snapshot") => {
            last = looks.next().unwrap_or_else(|| last.clone());
            (200, last.clone())
        }
        _ => (404, json!("no")),
    })
}

fn stage(name: &str, current: u64, candidate: u64) -> Value {
    json!({ "candidate": {
        "order": 5, "number": 8, "stage": name, "requests": { "current": current, "candidate": candidate },
        "effects": ["adds the zone b.test"],
    }})
}

fn ended(outcome: &str, more: Value) -> Value {
    let mut last = json!({ "order": 5, "number": 8, "outcome": outcome });
    last.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "last": last })
}

#[test]
fn an_applied_change_is_shown_stage_by_stage() {
    let edge = going_through(vec![
        json!({ "last": { "order": 4, "outcome": "failed" }, "queued": true }),
        stage("rehearsal", 0, 0),
        stage("1 %", 99, 1),
        stage("50 %", 70, 71),
        ended("adopted", json!({})),
    ]);
    let (code, out, err) =
        edge.run(&["snapshot", "apply", "--acknowledge", "removed_zones=2", "--base", "7", "--quick"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let expected = "order 5: the configuration\nsnapshot 8\n  adds the zone b.test\nrehearsal\n      1 %  1 requests under \
                    the candidate, 99 beside it\n     50 %  71 requests under the candidate, 70 beside it\n    100 %  \
                    snapshot 8 serves every request\n";
    assert_eq!(out, expected);
    let body = json!({ "acknowledge": ["removed_zones=2"], "base": 7, "quick": true });
    assert_eq!(edge.orders(), [("/snapshot/apply".to_owned(), body)]);
}

#[test]
fn a_refused_change_ends_with_4_and_says_what_to_acknowledge() {
    let more = json!({
        "number": null,
        "reasons": ["12 of 40 zones are removed"],
        "needs": [{ "what": "removed_zones", "count": 12, "why": "12 of 40 zones are removed" }],
    });
    let edge = going_through(vec![ended("refused", more)]);
    let (code, out, err) = edge.run(&["snapshot", "apply"]);
    assert_eq!((code, out.as_str()), (4, "order 5: the configuration\n"));
    assert!(
        err.contains("the change was refused") && err.contains("--acknowledge removed_zones=12"),
        "{err}"
    );
}

#[test]
fn a_failed_gate_ends_with_4_and_json_is_what_the_edge_said() {
    let end = ended("failed", json!({ "verdict": "edge errors 12 % against 0 %" }));
    let edge = going_through(vec![stage("1 %", 9, 9), end.clone()]);
    let (code, out, err) = edge.run(&["snapshot", "rollback", "6", "--json"]);
    assert_eq!(code, 4);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), end["last"]);
    assert!(err.contains("edge errors 12 % against 0 %"), "{err}");
    assert_eq!(edge.orders()[0].1["to"], json!(6));
}

#[test]
fn a_stale_base_is_refused_with_4_and_an_absent_edge_is_1() {
    let edge = Edge::new(|_, _| (409, json!("made from snapshot 3, but the newest is 7\n")));
    let (code, _, err) = edge.run(&["snapshot", "apply", "--base", "3"]);
    assert_eq!(code, 4);
    assert!(err.contains("nothing was changed") && err.contains("newest is 7"), "{err}");

    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    for line in [
        &["snapshot", "apply"][..],
        &["snapshot", "rollback"],
        &["module", "off", "bot"],
        &["module", "list"],
    ] {
        let (code, out, err) = seawall(&[line, &["--data-dir", dir]].concat());
        assert_eq!((code, out.as_str()), (1, ""), "{line:?}");
        assert!(err.contains("edge.sock"), "{err}");
    }
}

#[test]
fn a_slip_on_the_command_line_is_told_before_the_edge_is_asked() {
    let edge = going_through(Vec::new());
    for line in [
        &["snapshot", "apply", "--acknowledge", "removed_zones"][..],
        &["snapshot", "apply", "--acknowledge", "removed_zones="],
        &["snapshot", "rollback", "--acknowledge", "=3"],
        &["module", "off", "firewall", "--zone", ""],
        &["timeline", "--kind", "nonsense"],
        &["timeline", "--after", "yesterday"],
        &["snapshot", "delete"],
    ] {
        assert_eq!(edge.run(line).0, 2, "{line:?}");
    }
    assert_eq!(edge.orders(), []);
}

#[test]
fn an_edge_that_was_started_anew_does_not_know_of_the_order_and_that_is_said() {
    let mut uptime = 5_000;
    let edge = Edge::new(move |method, path| match (method, path) {
        ("POST", _) => (202, json!({ "order": 1 })),
        (_, "/summary") => {
            let answer = json!({ "time_unix_ms": 10_000, "uptime_ms": uptime });
            uptime = 1_000;
            (200, answer)
        }
        // The number is in use again, for another change.
        _ => (200, json!({ "last": { "order": 1, "outcome": "adopted", "number": 9 } })),
    });
    let (code, _, err) = edge.run(&["snapshot", "apply"]);
    assert_eq!(code, 1);
    assert!(err.contains("started anew") && err.contains("seawall timeline"), "{err}");
}

#[test]
fn modules_are_listed_and_switched() {
    let edge = Edge::new(|method, path| match (method, path) {
        ("GET", "/modules") => (
            200,
            json!({ "modules": [
            { "name": "firewall", "off": true, "off_by": "operator", "mode": "open", "faults": 3, "skipped": 9,
              "breakers_open": ["a.test"], "doc": "firewall rules" }]}),
        ),
        ("POST", "/module") => (202, json!({ "order": 5 })),
        (_, "/snapshot") => (200, ended("adopted", json!({}))),
        _ => (200, json!({ "time_unix_ms": 1000, "uptime_ms": 400 })),
    });
    let (code, out, _) = edge.run(&["module", "list"]);
    assert_eq!(code, 0);
    assert!(out.contains("off (operator)") && out.contains("a.test"), "{out}");
    let (_, out, _) = edge.run(&["module", "list", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["modules"][0]["faults"], json!(3));
    let (code, out, err) = edge.run(&["module", "off", "firewall", "--zone", "a.test"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("module firewall off for a.test") && out.contains("serves every request"), "{out}");
    let body = json!({ "name": "firewall", "zone": "a.test", "state": "off" });
    assert_eq!(edge.orders(), [("/module".to_owned(), body)]);
}

fn units(zones: &[(&str, &str)]) -> Units {
    let mut units = Units::new();
    for (name, text) in zones {
        units.insert(UnitKind::Zone, name, text.as_bytes().to_vec().into());
    }
    units
}

/// A data folder with three snapshots: the first good, the second quarantined, the third serves.
fn a_history() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (n, zones) in
        [&[("a.test", "{}")][..], &[("a.test", "{\"x\":1}")], &[("a.test", "{}"), ("b.test", "{}")]]
            .into_iter()
            .enumerate()
    {
        let cause = Cause::new("file", format!("edit {}", n + 1));
        let number = store.publish(&units(zones), None, &cause).unwrap().number;
        store.update(|history| history.adopted(number, 1)).unwrap();
        if number == 1 {
            while store.update(|history| history.soak(u64::MAX, 0)).unwrap().is_some() {}
        }
    }
    dir
}

fn at(dir: &Path, args: &[&str]) -> (i32, String, String) {
    seawall(&[args, &["--data-dir", dir.to_str().unwrap()]].concat())
}

#[test]
fn the_history_is_told_with_nothing_running() {
    let dir = a_history();
    let (code, out, err) = at(dir.path(), &["snapshot", "list"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(lines[1].contains("serves") && lines[1].contains("edit 3"), "{out}");
    assert!(lines[3].contains("good"), "{out}");
    let (_, out, _) = at(dir.path(), &["snapshot", "list", "--json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((list["current"].as_u64(), list["snapshots"][2]["state"].as_str()), (Some(3), Some("good")));

    let (code, out, _) = at(dir.path(), &["snapshot", "show"]);
    assert!(code == 0 && out.contains("snapshot    3") && out.contains("2 zone"), "{out}");
    let (_, out, _) = at(dir.path(), &["snapshot", "show", "1", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["units"]["zone"], json!(1));
    let (code, _, err) = at(dir.path(), &["snapshot", "show", "99"]);
    assert!(code == 1 && err.contains("there is no snapshot 99"), "{err}");

    let (code, out, err) = at(dir.path(), &["snapshot", "diff", "1", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let diff: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((diff["before"].as_u64(), diff["after"].as_u64()), (Some(1), Some(3)));
    assert_eq!(diff["changes"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&diff["changes"][0]["name"], &diff["changes"][0]["change"]),
        (&json!("b.test"), &json!("added"))
    );
    let (code, out, _) = at(dir.path(), &["snapshot", "diff", "3", "3"]);
    assert!(code == 0 && out.contains("say the same"), "{out}");
}

#[test]
fn what_is_needed_is_not_deleted_and_what_is_deleted_is_on_the_timeline() {
    let dir = a_history();
    for (number, why) in [("3", "serves"), ("1", "newest good")] {
        let (code, _, err) = at(dir.path(), &["snapshot", "delete", number]);
        assert_eq!(code, 4);
        assert!(err.contains(why), "{err}");
    }
    assert_eq!(at(dir.path(), &["snapshot", "delete", "2"]).0, 0);
    let (_, out, _) = at(dir.path(), &["timeline", "--kind", "snapshot_deleted", "--json"]);
    let event: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((event["snapshot"].as_u64(), event["role"].as_str()), (Some(2), Some("command")));
}

#[test]
fn a_folder_without_snapshots_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = at(dir.path(), &["snapshot", "list"]);
    assert!(code == 1 && err.contains("holds no snapshots"), "{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_timeline_is_read_from_the_file_and_from_the_memory_of_an_edge() {
    let held = Event::of_line(
        br#"{"unix_ms":99999999999999,"seq":7,"role":"edge","pid":1,"kind":"alert","cause":"x","text":"only in memory"}"#,
    )
    .unwrap();
    let line = held.to_line();
    let edge = Edge::new(move |_, path| match path {
        "/timeline" => (200, Value::String(line.clone())),
        _ => (404, json!("no")),
    });
    let timeline = Timeline::open(edge.dir.path(), "edge");
    for n in 1..=3 {
        timeline.tell(Event::new(Kind::Stage, "gate", format!("{n} %")).snapshot(n));
    }
    assert!(timeline.flush(common::PATIENCE));
    let (code, out, err) = edge.run(&["timeline"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 4 && lines[3].contains("only in memory"), "{out}");
    let (_, out, _) = edge.run(&["timeline", "--snapshot", "2", "--json"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    let (_, out, _) = edge.run(&["timeline", "--limit", "1", "--kind", "stage"]);
    assert!(out.lines().count() == 1 && out.contains("3 %"), "{out}");
}

#[test]
fn what_happens_is_followed_as_it_happens() {
    let dir = tempfile::tempdir().unwrap();
    let timeline = Timeline::open(dir.path(), "edge");
    timeline.tell(Event::new(Kind::Started, "start", "before"));
    assert!(timeline.flush(common::PATIENCE));
    let mut following = Command::new(binary())
        .args(["timeline", "--follow", "--data-dir", dir.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&seen);
    let out = following.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            noted.lock().unwrap().push_str(&line);
        }
    });
    eventually("the first event", || seen.lock().unwrap().contains("before"));
    timeline.tell(Event::new(Kind::GateFailed, "gate", "afterwards"));
    eventually("the next event", || seen.lock().unwrap().contains("afterwards"));
    following.kill().unwrap();
    following.wait().unwrap();
    reading.join().unwrap();
    assert_eq!(seen.lock().unwrap().matches("before").count(), 1, "nothing is told twice");
}
