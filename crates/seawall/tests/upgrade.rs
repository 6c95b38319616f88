//! A new binary takes over without refusing one connection; a bad one changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use common::{Crowd, Origin, Seawall, Seen, alive, binary, eventually, get};
use nix::sys::signal::Signal;

/// A program file of its own, which can be replaced.
fn installed(dir: &Path) -> PathBuf {
    let path = dir.join("seawall");
    std::fs::copy(binary(), &path).unwrap();
    path
}

/// As a package manager does it: a new file renamed over the old one.
fn replace(path: &Path, write: impl FnOnce(&Path)) {
    let beside = path.with_extension("new");
    write(&beside);
    std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

fn program_of(pid: u32) -> u64 {
    std::fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino()
}

#[test]
fn a_new_binary_takes_over_with_no_request_refused_or_failed() {
    let origin = Origin::named("one");
    let dir = tempfile::tempdir().unwrap();
    let program = installed(dir.path());
    let mut running = Seawall::run(&program, &["--origin", &origin.url(), "--http", "127.0.0.1:0"]);
    let crowd = Crowd::gather(running.http, 8);
    crowd.wait_for(50);
    for _ in 0..2 {
        let edge = running.edge();
        replace(&program, |path| _ = std::fs::copy(binary(), path).unwrap());
        let (code, out, err) = running.upgrade();
        assert_eq!(code, 0, "{out}{err}");
        assert_ne!(running.edge(), edge);
        crowd.wait_for(50);
        let new = std::fs::metadata(&program).unwrap().ino();
        eventually("the supervisor being the new program", || program_of(running.supervisor.id()) == new);
        assert_eq!(program_of(u32::try_from(running.edge().as_raw()).unwrap()), new);
        eventually("the earlier edge leaving", || !alive(edge));
    }
    assert_eq!(crowd.go_home(), []);

    // The supervisor that took over still does its work.
    let edge = running.edge();
    nix::sys::signal::kill(edge, Signal::SIGKILL).unwrap();
    eventually("another edge", || running.edge() != edge);
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0));
}

#[test]
fn a_binary_that_fails_at_the_start_changes_nothing_and_is_reported() {
    let origin = Origin::named("one");
    let dir = tempfile::tempdir().unwrap();
    let program = installed(dir.path());
    let running = Seawall::run(&program, &["--origin", &origin.url(), "--http", "127.0.0.1:0"]);
    let crowd = Crowd::gather(running.http, 4);
    let edge = running.edge();
    for bad in ["#!/bin/sh\nexit 1\n", "this is no program\n"] {
        replace(&program, |path| std::fs::write(path, bad).unwrap());
        let (code, _, err) = running.upgrade();
        assert_eq!(code, 4, "{err}");
        assert!(err.contains("goes on serving"), "{err}");
        assert_eq!(running.edge(), edge);
    }
    // What dies now is restarted as what it was, not as what is on disk.
    nix::sys::signal::kill(edge, Signal::SIGKILL).unwrap();
    eventually("another edge", || running.edge() != edge);
    crowd.wait_for(20);
    let broken = crowd.go_home();
    assert!(broken.iter().all(|seen| matches!(seen, Seen::Broken(_))), "{broken:?}");
}

#[test]
fn sigusr2_upgrades_too() {
    let origin = Origin::named("one");
    let running = Seawall::before(&origin);
    let edge = running.edge();
    running.signal(Signal::SIGUSR2);
    eventually("another edge", || running.edge() != edge);
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
}

#[test]
fn an_upgrade_lets_a_slow_request_finish() {
    let origin = Origin::named("slow");
    let running = Seawall::before(&origin);
    let address = running.http;
    let visitor = std::thread::spawn(move || get(address, "/?ms=1500"));
    std::thread::sleep(std::time::Duration::from_millis(400)); // the request is with the origin now
    assert_eq!(running.upgrade().0, 0);
    assert_eq!(visitor.join().unwrap(), Seen::Answer(200, "slow".to_owned()));
}
