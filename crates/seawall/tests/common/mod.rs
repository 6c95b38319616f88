//! A running Seawall, an origin behind it and visitors in front of it, for tests on real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![allow(missing_docs, dead_code)] // each test binary uses a part

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_seawall"))
}

/// Runs a command to its end: exit code, standard output, standard error.
pub fn seawall(args: &[&str]) -> (i32, String, String) {
    seawall_in(Path::new("/"), args)
}

pub fn seawall_in(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(binary()).args(args).current_dir(dir).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "in vain waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An origin that answers every request with its name, after `?ms=N` milliseconds.
pub struct Origin {
    pub address: SocketAddr,
}

impl Origin {
    pub fn named(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream, name));
            }
        });
        Self { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(stream: TcpStream, name: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
        }
        if let Some(ms) = first.split("ms=").nth(1).and_then(|rest| rest.split(' ').next()) {
            std::thread::sleep(Duration::from_millis(ms.parse().unwrap()));
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: no-store\r\n";
        let text = format!("{head}content-length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// What a visitor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An answer: status and body.
    Answer(u16, String),
    /// No connection.
    Refused(String),
    /// A connection, but no whole answer.
    Broken(String),
}

pub fn get(address: SocketAddr, path: &str) -> Seen {
    get_from(address, "test", path)
}

/// Of another host than `test`.
pub fn get_from(address: SocketAddr, host: &str, path: &str) -> Seen {
    let mut stream = match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(stream) => stream,
        Err(error) => return Seen::Refused(error.to_string()),
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let mut text = String::new();
    let talked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
    if let Err(error) = talked {
        return Seen::Broken(error.to_string());
    }
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Seen::Broken(format!("cut off: {text:?}"));
    };
    let Some(status) = head.split(' ').nth(1).and_then(|s| s.parse().ok()) else { return Seen::Broken(text) };
    Seen::Answer(status, body.to_owned())
}

/// Visitors who come one after the other, several at a time, until told to stop.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    served: Arc<AtomicUsize>,
    visitors: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub fn gather(address: SocketAddr, visitors: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let served = Arc::new(AtomicUsize::new(0));
        let visitors = (0..visitors)
            .map(|_| {
                let (stop, seen, served) = (Arc::clone(&stop), Arc::clone(&seen), Arc::clone(&served));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        match get(address, "/") {
                            Seen::Answer(200, _) => drop(served.fetch_add(1, Ordering::SeqCst)),
                            other => seen.lock().unwrap().push(other),
                        }
                    }
                })
            })
            .collect();
        Self { stop, seen, served, visitors }
    }

    /// Waits until so many more have been served.
    pub fn wait_for(&self, more: usize) {
        let target = self.served.load(Ordering::SeqCst) + more;
        eventually("visitors being served", || self.served.load(Ordering::SeqCst) >= target);
    }

    /// Everything that was no answer with 200.
    pub fn go_home(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        for visitor in self.visitors {
            visitor.join().unwrap();
        }
        let seen = self.seen.lock().unwrap();
        seen.clone()
    }
}

/// A running `seawall run`, killed with everything it started when dropped.
pub struct Seawall {
    pub supervisor: Child,
    pub http: SocketAddr,
    pub data_dir: PathBuf,
    log: Arc<Mutex<String>>,
    _dir: Option<tempfile::TempDir>,
}

impl Seawall {
    /// With `--origin` and quick defaults.
    pub fn before(origin: &Origin) -> Self {
        Self::run(binary(), &["--origin", &origin.url(), "--http", "127.0.0.1:0"])
    }

    /// `seawall run` with these flags, without HTTPS and metrics, with two workers and a fresh data folder.
    pub fn run(program: &Path, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Self::run_in(program, dir.path(), args);
        running._dir = Some(dir);
        running
    }

    pub fn run_in(program: &Path, data_dir: &Path, args: &[&str]) -> Self {
        Self::run_with(program, data_dir, args, &[])
    }

    /// With more in its environment.
    pub fn run_with(program: &Path, data_dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut supervisor = Command::new(program)
            .arg("run")
            .args(args)
            .args(["--https", "off", "--metrics", "off", "--workers", "2", "--data-dir"])
            .arg(data_dir)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        for stream in [
            Box::new(supervisor.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(supervisor.stderr.take().unwrap()),
        ] {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    log.lock().unwrap().push_str(&format!("{line}\n"));
                }
            });
        }
        let mut running = Self {
            supervisor,
            http: "127.0.0.1:1".parse().unwrap(),
            data_dir: data_dir.to_owned(),
            log,
            _dir: None,
        };
        let mut address = None;
        eventually("seawall serving", || {
            let log = running.log();
            assert!(running.supervisor.try_wait().unwrap().is_none(), "it ended:\n{log}");
            let line = log.lines().find_map(|line| line.strip_prefix("  http ").map(str::to_owned));
            address = line.and_then(|line| line.split_whitespace().next().and_then(|a| a.parse().ok()));
            address.is_some() && log.contains("Ctrl-C")
        });
        running.http = address.unwrap();
        running
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log:\n{}", self.log()), || self.log().contains(text));
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.supervisor.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end of the supervisor.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the end", || {
            status = self.supervisor.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Process id of the edge that serves, waiting until there is one.
    pub fn edge(&self) -> Pid {
        let mut pid = None;
        eventually("an edge that serves", || {
            pid = self.status().and_then(|text| {
                text.split("edge ").nth(1)?.split(',').next()?.parse().ok().map(Pid::from_raw)
            });
            pid.is_some()
        });
        pid.unwrap()
    }

    fn status(&self) -> Option<String> {
        let mut stream = UnixStream::connect(self.data_dir.join("supervisor.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        writeln!(stream, "status").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    pub fn upgrade(&self) -> (i32, String, String) {
        seawall(&["upgrade", "--data-dir", self.data_dir.to_str().unwrap()])
    }

    /// The edge's metrics.
    pub fn metrics(&self) -> String {
        let Ok(mut stream) = UnixStream::connect(self.data_dir.join("edge.sock")) else {
            return String::new();
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let asked = write!(stream, "GET /metrics HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n");
        let mut text = String::new();
        // An edge that is killed meanwhile gives no answer.
        let _ = asked.and_then(|()| stream.read_to_string(&mut text));
        text
    }

    /// Process ids of the supervisor's children.
    pub fn children(&self) -> Vec<Pid> {
        let id = self.supervisor.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
    }
}

impl Drop for Seawall {
    fn drop(&mut self) {
        let children = self.children();
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
        }
        if std::thread::panicking() {
            eprintln!("--- log of seawall ---\n{}", self.log());
        }
    }
}

/// Whether a process is there and no corpse.
pub fn alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}
