//! What the supervisor does when the edge crashes or gets stuck: it knows what was in hand, blames what is to blame, and
//! replaces what hangs without losing a visitor.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Crowd, Origin, Seawall, Seen, alive, binary, eventually, get, get_from};
use nix::sys::signal::{Signal, kill};
use std::io::Write;

/// Zones `test` and `bad.test` before one origin; `rule` goes to the second. Everything that takes time takes little.
fn configuration(dir: &Path, origin: &Origin, rule: &str) -> String {
    let zone = |name: &str, rule: &str| {
        let url = origin.url();
        format!(
            "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}\"]\npool = [{{ name = \"app\", origins = [{{ url = \"{url}\" }}] }}]\n{rule}\n"
        )
    };
    let text = format!(
        "[edge]\nhttp = \"127.0.0.1:0\"\n[edge.rollout]\nhold = \"100ms\"\nquick_hold = \"100ms\"\nrequests = 10\nsoak = \"1s\"\n{}{}",
        zone("test", ""),
        zone("bad.test", rule)
    );
    let path = dir.join("seawall.toml");
    std::fs::write(dir.join("seawall.new"), text).unwrap();
    std::fs::rename(dir.join("seawall.new"), &path).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A rule that never fits: the zone has a firewall, and the fault something to be tied to.
const POISON: &str = "[[zone.rule]]\nname = \"poison\"\naction = \"log\"\npath = \"^/never$\"";

/// Starts with faults injected; see `seawall_guard::Sabotage`.
fn drill(dir: &Path, config: &str, faults: &str) -> Seawall {
    let sabotage = dir.join("sabotage.json");
    std::fs::write(&sabotage, format!("{{\"faults\":[{faults}]}}")).unwrap();
    let data = dir.join("data");
    let env = [("SEAWALL_DRILL", sabotage.to_str().unwrap())];
    Seawall::run_with(binary(), &data, &["--config", config], &env)
}

fn timeline(running: &Seawall) -> String {
    std::fs::read_to_string(running.data_dir.join("timeline.jsonl")).unwrap_or_default()
}

/// Lines of the timeline of one kind.
fn told(running: &Seawall, kind: &str) -> Vec<String> {
    let mark = format!("\"kind\":\"{kind}\"");
    timeline(running).lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
}

/// Shows the timeline of a test that failed.
struct Told<'a>(&'a Seawall);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- timeline ---\n{}", timeline(self.0));
        }
    }
}

#[test]
fn a_death_in_the_middle_of_a_request_names_what_was_in_hand() {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::named("one"));
    let config = configuration(dir.path(), &origin, POISON);
    let running =
        drill(dir.path(), &config, r#"{"module":"firewall","zone":"bad.test","what":"abort","every":1}"#);
    let _told = Told(&running);
    let edge = running.edge();
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    assert!(matches!(get_from(running.http, "bad.test", "/"), Seen::Broken(_)));
    eventually("another edge", || running.edge() != edge);
    eventually("the death on the timeline", || told(&running, "died").len() == 1);
    let died = &told(&running, "died")[0];
    assert!(died.contains("SIGABRT") && died.contains("in module firewall"), "{died}");
    assert!(died.contains("\"snapshot\":1"), "{died}");
    assert_eq!(told(&running, "restart").len(), 1);
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()), "and the others are served");
}

#[test]
fn what_was_in_hand_is_known_after_the_supervisor_became_a_newer_program_too() {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::named("one"));
    let config = configuration(dir.path(), &origin, POISON);
    let running =
        drill(dir.path(), &config, r#"{"module":"firewall","zone":"bad.test","what":"abort","every":1}"#);
    let _told = Told(&running);
    let (code, _, err) = running.upgrade();
    assert_eq!(code, 0, "{err}");
    running.wait_for_log("the supervisor is the new program now");
    eventually("the death on the timeline", || {
        // The edge before, which is leaving, may take the first of them: its death is nobody's business any more.
        let _ = get_from(running.http, "bad.test", "/");
        !told(&running, "died").is_empty()
    });
    let died = &told(&running, "died")[0];
    assert!(died.contains("in module firewall"), "{died}");
}

#[test]
fn a_stack_that_overflows_is_a_death_like_others() {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::named("one"));
    let config = configuration(dir.path(), &origin, POISON);
    let running = drill(dir.path(), &config, r#"{"zone":"bad.test","what":"overflow","every":1}"#);
    let _told = Told(&running);
    assert!(matches!(get_from(running.http, "bad.test", "/"), Seen::Broken(_)));
    eventually("the death on the timeline", || told(&running, "died").len() == 1);
    let died = &told(&running, "died")[0];
    assert!(died.contains("unit ") && died.contains("in hand"), "{died}");
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
}

#[test]
fn two_deaths_with_one_unit_in_hand_put_that_unit_aside_and_nothing_else() {
    // It crashes for visitors, who come to the candidate or to what was adopted.
    one_unit_is_put_aside(r#"{"zone":"bad.test","rule":"poison","what":"abort","every":1}"#);
}

#[test]
fn a_unit_that_crashes_the_rehearsal_is_put_aside_alone_too() {
    one_unit_is_put_aside(
        r#"{"module":"firewall","zone":"bad.test","rule":"poison","what":"abort","every":1}"#,
    );
}

fn one_unit_is_put_aside(fault: &str) {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::named("one"));
    let config = configuration(dir.path(), &origin, "");
    let running = drill(dir.path(), &config, fault);
    let _told = Told(&running);
    eventually("the first snapshot being good", || !told(&running, "promoted_good").is_empty());
    assert_eq!(get_from(running.http, "bad.test", "/"), Seen::Answer(200, "one".to_owned()));
    configuration(dir.path(), &origin, POISON);
    running.signal(Signal::SIGHUP);
    eventually("the second one", || timeline(&running).contains("\"snapshot\":2"));
    eventually("a quarantine", || {
        let _ = get_from(running.http, "bad.test", "/");
        !told(&running, "unit_quarantined").is_empty() || !told(&running, "quarantined").is_empty()
    });
    eventually("the zone in its earlier version", || {
        get_from(running.http, "bad.test", "/") == Seen::Answer(200, "one".to_owned())
    });
    for _ in 0..20 {
        assert_eq!(get_from(running.http, "bad.test", "/"), Seen::Answer(200, "one".to_owned()));
        assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    }
    assert_eq!(told(&running, "died").len(), 2, "and no more");
}

#[test]
fn two_deaths_of_a_snapshot_on_trial_put_it_in_quarantine() {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::named("one"));
    let config = configuration(dir.path(), &origin, "");
    let running = Seawall::run_with(binary(), &dir.path().join("data"), &["--config", &config], &[]);
    let _told = Told(&running);
    eventually("the first snapshot being good", || !told(&running, "promoted_good").is_empty());
    // It soaks for so long that it is on trial for the rest of this test.
    let text = std::fs::read_to_string(&config).unwrap().replace("soak = \"1s\"", "soak = \"1h\"");
    std::fs::write(&config, text).unwrap();
    running.signal(Signal::SIGHUP);
    eventually("the second one serving", || {
        told(&running, "adopted").iter().any(|line| line.contains("\"snapshot\":2"))
    });
    for deaths in 1..=2 {
        let edge = running.edge();
        kill(edge, Signal::SIGKILL).unwrap();
        eventually("the death told", || told(&running, "died").len() == deaths);
        eventually("another edge", || running.edge() != edge);
        assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    }
    eventually("a quarantine", || !told(&running, "quarantined").is_empty());
    let quarantined = &told(&running, "quarantined")[0];
    assert!(quarantined.contains("\"snapshot\":2"), "{quarantined}");
    let started = told(&running, "started");
    assert!(started.last().unwrap().contains("\"snapshot\":1"), "{started:?}");
}

#[test]
fn a_history_that_cannot_be_written_keeps_nobody_from_restarting_the_edge() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let _told = Told(&running);
    let snapshots = running.data_dir.join("snapshots");
    std::fs::rename(&snapshots, running.data_dir.join("gone")).unwrap();
    std::fs::write(&snapshots, "in the way").unwrap();
    for _ in 0..3 {
        let edge = running.edge();
        kill(edge, Signal::SIGKILL).unwrap();
        eventually("another edge", || running.edge() != edge);
        assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    }
}

#[test]
fn a_stuck_worker_is_stood_in_for_and_the_edge_replaced_without_a_refused_connection() {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::named("one"));
    let config = configuration(dir.path(), &origin, POISON);
    let running =
        drill(dir.path(), &config, r#"{"module":"firewall","zone":"bad.test","what":"hang","every":1}"#);
    let _told = Told(&running);
    let edge = running.edge();
    let crowd = Crowd::gather(running.http, 4);
    crowd.wait_for(50);
    let mut hanging = TcpStream::connect(running.http).unwrap();
    hanging.write_all(b"GET / HTTP/1.1\r\nhost: bad.test\r\n\r\n").unwrap();
    eventually("the worker known to be stuck", || !told(&running, "worker_stuck").is_empty());
    let stuck = &told(&running, "worker_stuck")[0];
    assert!(stuck.contains("firewall") && stuck.contains("stand-in serves"), "{stuck}");
    // The zone's breaker is open: its visitors are served as the firewall's failure mode says.
    assert_eq!(get_from(running.http, "bad.test", "/"), Seen::Answer(200, "one".to_owned()));
    eventually("another edge", || running.edge() != edge);
    crowd.wait_for(50);
    eventually("the stuck one gone", || !alive(edge));
    let troubles = crowd.go_home();
    let in_flight = troubles.iter().all(|seen| matches!(seen, Seen::Broken(_)));
    assert!(in_flight && troubles.len() <= 4, "only who was with the stuck worker noticed: {troubles:?}");
    let log = running.log();
    assert!(!log.contains("has stopped answering"), "it was replaced and not killed for silence");
    assert!(told(&running, "died").is_empty());
}

#[test]
fn visitors_in_the_backlog_of_a_stuck_worker_wait_less_than_a_second() {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::named("one"));
    let config = configuration(dir.path(), &origin, POISON);
    let running =
        drill(dir.path(), &config, r#"{"module":"firewall","zone":"bad.test","what":"hang","every":1}"#);
    let _told = Told(&running);
    let mut hanging = TcpStream::connect(running.http).unwrap();
    hanging.write_all(b"GET / HTTP/1.1\r\nhost: bad.test\r\n\r\n").unwrap();
    // What it accepts in the same turn goes down with it.
    std::thread::sleep(Duration::from_millis(100));
    // Enough of them that some come to the stuck worker's socket.
    let visitors: Vec<_> = (0..16).map(|_| std::thread::spawn(timed(running.http))).collect();
    let slowest = visitors.into_iter().map(|visitor| visitor.join().unwrap()).max().unwrap();
    // 0.3 s until it is found out, 50 ms for a look, and the rest for a busy machine.
    assert!(slowest < Duration::from_millis(1_500), "{slowest:?}");
}

fn timed(address: SocketAddr) -> impl FnOnce() -> Duration + Send + 'static {
    move || {
        let begun = Instant::now();
        assert_eq!(get(address, "/"), Seen::Answer(200, "one".to_owned()));
        begun.elapsed()
    }
}
