//! An operator's day with a real installation: changes applied, refused, taken back, modules switched, and the timeline
//! that tells of it all.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{Origin, Seawall, Seen, binary, eventually, get_from, seawall};
use nix::sys::signal::{Signal, kill};
use seawall_telemetry::timeline::{self, Event, Filter, Kind};
use serde_json::Value;

/// An installation whose stages take little time.
struct Installation {
    running: Seawall,
    config: PathBuf,
    origin: Origin,
    _dir: tempfile::TempDir,
}

impl Installation {
    fn with_zones(zones: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin::named("one");
        let config = dir.path().join("seawall.toml");
        write(&config, &origin, zones);
        let data = dir.path().join("data");
        let running = Seawall::run_in(binary(), &data, &["--config", config.to_str().unwrap()]);
        Installation { running, config, origin, _dir: dir }
    }

    fn change(&self, zones: &[&str]) {
        write(&self.config, &self.origin, zones);
    }

    fn order(&self, args: &[&str]) -> (i32, String, String) {
        seawall(&[args, &["--data-dir", self.running.data_dir.to_str().unwrap()]].concat())
    }

    fn json(&self, args: &[&str]) -> Value {
        let (_, out, err) = self.order(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}: {out}{err}"))
    }

    fn events(&self, kind: Kind) -> Vec<Event> {
        let filter = Filter { kinds: vec![kind], ..Filter::default() };
        timeline::read(&self.running.data_dir, &filter).unwrap().events
    }

    fn serves(&self, host: &str) -> bool {
        get_from(self.running.http, host, "/") == Seen::Answer(200, "one".to_owned())
    }
}

fn write(path: &Path, origin: &Origin, zones: &[&str]) {
    let mut text =
        "[edge]\nhttp = \"127.0.0.1:0\"\n[edge.rollout]\nhold = \"50ms\"\nquick_hold = \"50ms\"\nrequests = \
                    10\nsoak = \"500ms\"\n"
            .to_owned();
    for zone in zones {
        text.push_str(&format!(
            "[[zone]]\nname = \"{zone}\"\npool = [{{ name = \"app\", origins = [{{ url = \"{}\" }}] }}]\n",
            origin.url()
        ));
    }
    std::fs::write(path.with_extension("new"), text).unwrap();
    std::fs::rename(path.with_extension("new"), path).unwrap();
}

#[test]
fn a_change_is_applied_listed_and_taken_back() {
    let here = Installation::with_zones(&["a.test"]);
    eventually("the first snapshot to be good", || {
        here.json(&["snapshot", "list"])["snapshots"][0]["state"] == "good"
    });
    here.change(&["a.test", "b.test"]);
    let (code, out, err) = here.order(&["snapshot", "apply"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(here.serves("b.test"));
    let list = here.json(&["snapshot", "list"]);
    assert_eq!(list["current"], 2);
    let diff = here.json(&["snapshot", "diff", "1"]);
    assert_eq!(
        (&diff["changes"][0]["name"], &diff["changes"][0]["change"]),
        (&"b.test".into(), &"added".into())
    );
    let told: Vec<Kind> = [Kind::ChangeProposed, Kind::Rehearsed, Kind::Stage, Kind::Adopted]
        .into_iter()
        .filter(|kind| here.events(*kind).iter().any(|event| event.snapshot == Some(2)))
        .collect();
    assert_eq!(told.len(), 4, "{told:?}");

    let (code, out, err) = here.order(&["snapshot", "rollback"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(here.serves("a.test") && !here.serves("b.test"));
    let (code, _, err) = here.order(&["snapshot", "rollback", "99"]);
    assert_eq!(code, 4, "{err}");
}

#[test]
fn a_mass_removal_is_refused_until_its_number_is_stated() {
    let all: Vec<String> = (0..12).map(|n| format!("z{n}.test")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let here = Installation::with_zones(&all);
    here.change(&["z0.test"]);
    let (code, _, err) = here.order(&["snapshot", "apply"]);
    assert_eq!(code, 4);
    assert!(err.contains("--acknowledge removed_zones=11"), "{err}");
    assert!(here.serves("z5.test"), "nothing was applied");
    let (code, _, err) = here.order(&["snapshot", "apply", "--acknowledge", "removed_zones=10"]);
    assert_eq!(code, 4, "another number: {err}");
    // All that is asked for, as it was asked for.
    let asked: Vec<&str> = err.split_whitespace().filter(|word| word.contains('=')).collect();
    let mut order = vec!["snapshot", "apply"];
    for ack in asked.iter().filter(|ack| ack.split_once('=').is_some_and(|(_, n)| n.parse::<u64>().is_ok())) {
        order.extend(["--acknowledge", ack]);
    }
    let (code, out, err) = here.order(&order);
    assert_eq!(code, 0, "{order:?} {out}{err}");
    eventually("the zone to be gone", || !here.serves("z5.test"));
    assert!(here.serves("z0.test"));
    assert!(!here.events(Kind::ChangeRefused).is_empty());
}

#[test]
fn a_module_is_switched_off_and_on_and_stays_off_over_a_crash() {
    let here = Installation::with_zones(&["a.test"]);
    let firewall = |here: &Installation| {
        let modules = here.json(&["module", "list"]);
        let all = modules["modules"].as_array().unwrap().clone();
        all.into_iter().find(|module| module["name"] == "firewall").unwrap()["off"] == true
    };
    assert!(!firewall(&here));
    let (code, out, err) = here.order(&["module", "off", "firewall"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(firewall(&here) && here.serves("a.test"));
    kill(here.running.edge(), Signal::SIGKILL).unwrap();
    eventually("a new edge with the module off", || {
        here.order(&["module", "list"]).0 == 0 && firewall(&here) && here.serves("a.test")
    });
    let (code, out, err) = here.order(&["module", "on", "firewall"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(!firewall(&here));
    let (code, _, err) = here.order(&["module", "off", "firewal"]);
    assert!(code == 4 && err.contains("request_headers"), "{err}");

    let roles: Vec<String> = {
        let reading = timeline::read(&here.running.data_dir, &Filter::default()).unwrap();
        assert_eq!(reading.damaged_lines, 0);
        reading
            .events
            .into_iter()
            .filter(|e| matches!(e.kind, Kind::Died | Kind::Restart))
            .map(|e| e.role)
            .collect()
    };
    assert_eq!(roles, ["supervisor", "supervisor"], "edge and supervisor share the timeline");
}
