//! The supervisor and its edge: death, hanging, draining, one at a time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{Crowd, Origin, Seawall, Seen, alive, binary, eventually, get, seawall};
use nix::sys::signal::{Signal, kill};

#[test]
fn run_serves_its_origin_and_sigterm_ends_it_with_0() {
    let origin = Origin::named("one");
    let mut running = Seawall::before(&origin);
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0));
    assert!(matches!(get(running.http, "/"), Seen::Refused(_)));
}

#[test]
fn the_demo_needs_no_other_program() {
    let running = Seawall::run(binary(), &["--demo", "--http", "127.0.0.1:0"]);
    let Seen::Answer(200, page) = get(running.http, "/") else { panic!("no page") };
    assert!(!page.is_empty());
}

#[test]
fn killing_the_edge_under_load_refuses_no_connection() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let crowd = Crowd::gather(running.http, 8);
    crowd.wait_for(100);
    for _ in 0..3 {
        let edge = running.edge();
        kill(edge, Signal::SIGKILL).unwrap();
        eventually("another edge", || running.edge() != edge);
        crowd.wait_for(50);
    }
    let troubles = crowd.go_home();
    let refused: Vec<&Seen> = troubles.iter().filter(|seen| !matches!(seen, Seen::Broken(_))).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(troubles.len() <= 3 * 8, "only what was in flight: {troubles:?}");
}

#[test]
fn an_edge_that_hangs_is_replaced() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let edge = running.edge();
    kill(edge, Signal::SIGSTOP).unwrap();
    running.wait_for_log("has stopped answering");
    eventually("another edge", || running.edge() != edge);
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
}

#[test]
fn sigterm_waits_for_a_slow_request_in_flight() {
    let origin = Origin::named("slow");
    let mut running = Seawall::before(&origin);
    let address = running.http;
    let visitor = std::thread::spawn(move || get(address, "/?ms=1500"));
    std::thread::sleep(Duration::from_millis(400)); // the request is with the origin now
    let asked = Instant::now();
    running.signal(Signal::SIGTERM);
    assert_eq!(visitor.join().unwrap(), Seen::Answer(200, "slow".to_owned()));
    assert_eq!(running.ended().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let origin = Origin::named("slow");
    let mut running = Seawall::before(&origin);
    let address = running.http;
    let visitor = std::thread::spawn(move || get(address, "/?ms=15000"));
    std::thread::sleep(Duration::from_millis(400));
    running.signal(Signal::SIGTERM);
    running.wait_for_log("stopping: requests in flight");
    std::thread::sleep(Duration::from_millis(250)); // closer together they are one order
    running.signal(Signal::SIGTERM);
    let asked = Instant::now();
    assert_eq!(running.ended().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert!(matches!(visitor.join().unwrap(), Seen::Broken(_)));
}

/// A terminal and a wrapper script, or a service manager, may each pass on the same wish.
#[test]
fn two_sigterms_in_one_moment_are_one() {
    let origin = Origin::named("slow");
    let mut running = Seawall::before(&origin);
    let (address, edge) = (running.http, running.edge());
    let visitor = std::thread::spawn(move || get(address, "/?ms=1500"));
    std::thread::sleep(Duration::from_millis(400));
    running.signal(Signal::SIGTERM);
    kill(edge, Signal::SIGTERM).unwrap();
    running.wait_for_log("stopping: requests in flight");
    running.signal(Signal::SIGTERM);
    kill(edge, Signal::SIGTERM).unwrap();
    assert_eq!(visitor.join().unwrap(), Seen::Answer(200, "slow".to_owned()));
    assert_eq!(running.ended().code(), Some(0));
}

#[test]
fn two_supervisors_on_one_data_folder_are_refused() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let place = running.data_dir.to_str().unwrap();
    for command in ["run", "edge"] {
        let url = origin.url();
        let line = [
            command,
            "--origin",
            &url,
            "--http",
            "127.0.0.1:0",
            "--https",
            "off",
            "--metrics",
            "off",
            "--data-dir",
            place,
        ];
        let (code, _, err) = seawall(&line);
        assert_eq!(code, 1, "{err}");
        assert!(
            err.contains("another seawall") && err.contains(&running.supervisor.id().to_string()),
            "{err}"
        );
    }
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
}

#[test]
fn an_address_in_use_is_named() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let dir = tempfile::tempdir().unwrap();
    let (url, http) = (origin.url(), running.http.to_string());
    let (code, _, err) = seawall(&[
        "run",
        "--origin",
        &url,
        "--http",
        &http,
        "--https",
        "off",
        "--metrics",
        "off",
        "--data-dir",
        dir.path().to_str().unwrap(),
    ]);
    assert_eq!(code, 1);
    assert!(err.contains(&http) && err.contains("in use"), "{err}");
}

#[test]
fn when_the_supervisor_is_killed_the_edge_leaves_and_the_next_supervisor_can_start() {
    let origin = Origin::named("one");
    let mut running = Seawall::before(&origin);
    let edge = running.edge();
    running.supervisor.kill().unwrap();
    running.ended();
    let http = running.http.to_string();
    let url = origin.url();
    let again = Seawall::run_in(binary(), &running.data_dir, &["--origin", &url, "--http", &http]);
    assert_eq!(get(again.http, "/"), Seen::Answer(200, "one".to_owned()));
    eventually("the orphan leaving", || !alive(edge));
}

#[test]
fn an_edge_told_to_leave_behind_the_supervisors_back_is_followed_at_once() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let edge = running.edge();
    let crowd = Crowd::gather(running.http, 4);
    crowd.wait_for(20);
    kill(edge, Signal::SIGTERM).unwrap();
    eventually("another edge", || running.edge() != edge);
    crowd.wait_for(20);
    assert_eq!(crowd.go_home(), []);
    eventually("the first one leaving", || !alive(edge));
}

#[test]
fn sigusr1_opens_the_access_log_again_and_ps_shows_the_name() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let log = running.data_dir.join("log/access.log");
    get(running.http, "/before");
    eventually("a line in the log", || std::fs::read_to_string(&log).is_ok_and(|t| t.contains("/before")));
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    running.signal(Signal::SIGUSR1);
    eventually("another file", || log.exists());
    get(running.http, "/after");
    eventually("a line in it", || std::fs::read_to_string(&log).is_ok_and(|t| t.contains("/after")));

    let edge = running.edge();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{edge}/{file}")).unwrap();
    assert!(read("cmdline").starts_with("seawall\0edge\0"), "{}", read("cmdline"));
    assert_eq!(read("comm"), "seawall\n");
}
