//! What a service manager sees: notifications, the watchdog, sockets it opened; and the commands for a running edge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Origin, PATIENCE, Seen, binary, eventually, get, seawall};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Kills a process when dropped.
struct Service(std::process::Child);

impl Service {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill(); // the edge follows its supervisor
        let _ = self.0.wait();
    }
}

fn flags(origin: &Origin, http: &str, data_dir: &std::path::Path) -> Vec<String> {
    let url = origin.url();
    let dir = data_dir.to_str().unwrap();
    let line = [
        "run",
        "--origin",
        &url,
        "--http",
        http,
        "--https",
        "off",
        "--metrics",
        "off",
        "--workers",
        "2",
        "--data-dir",
        dir,
    ];
    line.map(str::to_owned).to_vec()
}

#[test]
fn a_service_manager_is_told_of_every_change_and_the_watchdog_follows_the_edge() {
    let origin = Origin::named("one");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 1024];
        let n = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    let wait_for = |word: &str| {
        let end = Instant::now() + PATIENCE;
        while !heard().contains(word) {
            assert!(Instant::now() < end, "never heard {word}");
        }
    };
    let child = Command::new(binary())
        .args(flags(&origin, "127.0.0.1:0", &dir.path().join("data")))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "600000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let service = Service(child);
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    service.signal(Signal::SIGHUP);
    wait_for("RELOADING=1");
    wait_for("READY=1");
    service.signal(Signal::SIGUSR2);
    wait_for("READY=1"); // the new edge, or the new supervisor: it goes on either way
    wait_for("WATCHDOG=1");
    service.signal(Signal::SIGTERM);
    wait_for("STOPPING=1");
}

#[test]
fn sockets_opened_by_systemd_are_used_and_shared_by_the_workers() {
    let origin = Origin::named("one");
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    fcntl(listener.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).unwrap(); // the shell is to inherit it
    let script = format!("exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", listener.as_raw_fd());
    let start = |http: &str| {
        Command::new("/bin/sh")
            .args(["-c", &script, "sh"])
            .arg(binary())
            .args(flags(&origin, http, dir.path()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut other = start("127.0.0.1:0");
    let mut said = String::new();
    other.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(other.wait().unwrap().code(), Some(1));
    assert!(said.contains(&address.to_string()), "a socket nobody asked for is named: {said}");

    let service = Service(start(&address.to_string()));
    drop(listener);
    for _ in 0..20 {
        assert_eq!(get(address, "/"), Seen::Answer(200, "one".to_owned()));
    }
    drop(service);
}

#[test]
fn purge_and_top_talk_to_the_running_edge() {
    let origin = Origin::named("one");
    let running = common::Seawall::before(&origin);
    let place = running.data_dir.to_str().unwrap();
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    let (code, out, err) = seawall(&["purge", "--tag", "news", "--data-dir", place]);
    assert_eq!((code, out.contains("news")), (0, true), "{out}{err}");
    let (code, out, err) = seawall(&["top", "--once", "--interval-ms", "100", "--data-dir", place]);
    assert_eq!(code, 0, "{err}");
    for part in ["seawall", "requests", "zones", "origins", "p99"] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
}

/// While an earlier edge finishes slow requests, two edges hold the admin socket.
#[test]
fn orders_go_to_the_edge_that_serves_and_not_to_one_that_drains() {
    let origin = Origin::named("slow");
    let running = common::Seawall::before(&origin);
    let address = running.http;
    let visitor = std::thread::spawn(move || get(address, "/?ms=4000"));
    std::thread::sleep(std::time::Duration::from_millis(400)); // the request is with the origin now
    assert_eq!(running.upgrade().0, 0);
    std::thread::sleep(std::time::Duration::from_millis(500)); // the earlier edge has noticed
    let place = running.data_dir.to_str().unwrap();
    for _ in 0..6 {
        let (_, out, _) = seawall(&["top", "--once", "--interval-ms", "100", "--data-dir", place]);
        assert!(!out.contains("draining"), "{out}");
    }
    assert_eq!(visitor.join().unwrap(), Seen::Answer(200, "slow".to_owned()));
}

/// A connection may be made a moment before its edge is told to go, and its request be still on the way.
#[test]
fn a_connection_made_before_an_upgrade_gets_its_first_request_answered() {
    let origin = Origin::named("one");
    let running = common::Seawall::before(&origin);
    let mut early = std::net::TcpStream::connect(running.http).unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200)); // it is accepted
    assert_eq!(running.upgrade().0, 0);
    std::thread::sleep(std::time::Duration::from_millis(300)); // the earlier edge has noticed
    early.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    early.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("one"), "{text:?}");
}

#[test]
fn what_the_edge_refuses_to_purge_is_exit_4_in_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("edge.sock")).unwrap();
    let edge = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let mut asked = String::new();
        while !asked.contains("purge_everything") {
            let n = stream.read(&mut buffer).unwrap();
            asked.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        let body = r#"{"success":false,"errors":[{"code":1,"message":"no zone is named nowhere"}]}"#;
        let head = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        asked
    });
    let place = dir.path().to_str().unwrap();
    let (code, _, err) = seawall(&["purge", "--everything", "--zone", "nowhere", "--data-dir", place]);
    assert_eq!((code, err.contains("no zone is named nowhere")), (4, true), "{err}");
    let asked = edge.join().unwrap();
    assert!(
        asked.starts_with("POST /purge HTTP/1.1\r\n") && asked.contains(r#""purge_everything":true"#),
        "{asked}"
    );
}

#[test]
fn an_edge_alone_serves_and_leaves_too() {
    let origin = Origin::named("one");
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // closed again here
    let mut line = flags(&origin, &free.to_string(), dir.path());
    line[0] = "edge".to_owned();
    let child =
        Command::new(binary()).args(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut service = Service(child);
    eventually("an answer", || get(free, "/") == Seen::Answer(200, "one".to_owned()));
    service.signal(Signal::SIGTERM);
    let mut status = None;
    eventually("the end", || {
        status = service.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
}
