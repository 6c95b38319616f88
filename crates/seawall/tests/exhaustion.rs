//! The edge when the machine has no more of something: no descriptor, no room for the access log, no folder for the cache.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Seen, binary, eventually, get};

/// Descriptors the edge may have: more than it starts with, far fewer than the clients that come.
const DESCRIPTORS: usize = 48;
/// Clients that hold their connections at the same time.
const CLIENTS: usize = 80;

/// Bytes of what is under `/large/`.
const LARGE: usize = 100_000;

/// An edge without a supervisor, killed when dropped.
struct Edge {
    process: Child,
    http: SocketAddr,
    metrics: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Edge {
    /// Starts what the shell makes of `limits` and the edge, with a file that says `text` besides addresses and folder.
    /// `{dir}` in it is the folder.
    fn start(limits: &str, text: &str) -> Edge {
        let dir = tempfile::tempdir().unwrap();
        let (http, metrics) = (free(), free());
        let place = dir.path().to_str().unwrap();
        let file = dir.path().join("seawall.toml");
        let head = format!(
            "data_dir = \"{place}/data\"\n[edge]\nhttp = \"{http}\"\nhttps = []\nmetrics = \"{metrics}\"\nworkers = 2\n"
        );
        std::fs::write(&file, head + &text.replace("{dir}", place)).unwrap();
        let process = Command::new("/bin/bash")
            .args(["-c", &format!("{limits} exec \"$@\""), "bash"])
            .arg(binary())
            .args(["edge", "--config"])
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut edge = Edge { process, http, metrics, _dir: dir };
        eventually("the edge answers", || {
            edge.assert_alive();
            matches!(get(http, "/ready"), Seen::Answer(200, body) if body == "/ready")
        });
        edge
    }

    fn assert_alive(&mut self) {
        assert_eq!(self.process.try_wait().unwrap(), None, "the edge ended");
    }

    fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// The value of a metric; nothing if it cannot be asked for.
    fn metric(&self, series: &str) -> Option<f64> {
        let Seen::Answer(200, page) = get(self.metrics, "/metrics") else { return None };
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// An origin that answers with the target it was asked for, which may be kept for a minute.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&stream));
        }
    });
    address
}

fn serve(mut stream: &TcpStream) {
    let mut target = String::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if target.is_empty() {
            target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        if line.is_empty() {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=60\r\n";
            if target.starts_with("/large/") {
                target.extend(std::iter::repeat_n('.', LARGE - target.len()));
            }
            let answer = format!("{head}content-length: {}\r\n\r\n{target}", target.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            target.clear();
        }
    }
}

fn zone(origin: SocketAddr, cache: bool) -> String {
    format!(
        "[[zone]]\nname = \"all\"\nhosts = [\"*\"]\ncache = {cache}\n[[zone.pool]]\nname = \"app\"\n\
         origins = [{{ url = \"http://{origin}\" }}]\n[[zone.route]]\npool = \"app\"\ncache = {}\n",
        if cache { "\"everything\"" } else { "false" }
    )
}

/// A client that asks once and then holds its connection.
struct Holding {
    stream: TcpStream,
    path: String,
}

impl Holding {
    fn ask(edge: SocketAddr, number: usize) -> Holding {
        let mut stream = TcpStream::connect(edge).unwrap();
        let path = format!("/client/{number}");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        Holding { stream, path }
    }

    /// The status of the answer, if there is one by then; wrong ones fail the test.
    fn status(&mut self, within: Duration) -> Option<u16> {
        self.stream.set_read_timeout(Some(within)).unwrap();
        let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            match self.stream.read(&mut bytes) {
                Ok(n) if n > 0 => text.extend_from_slice(&bytes[..n]),
                _ => break,
            }
            let said = String::from_utf8_lossy(&text).into_owned();
            let Some((head, body)) = said.split_once("\r\n\r\n") else { continue };
            if head.starts_with("HTTP/1.1 200 ") && body.len() >= self.path.len() {
                assert_eq!(body, self.path, "somebody else's answer, or more than one");
                return Some(200);
            }
        }
        let said = String::from_utf8_lossy(&text);
        let status = said.split(' ').nth(1).and_then(|status| status.parse().ok());
        let is_refusal = status.is_some_and(|status| status >= 500);
        assert!(said.is_empty() || is_refusal, "{} got {said:?}", self.path);
        status
    }
}

#[test]
fn without_descriptors_clients_wait_and_are_served_once_there_are_some() {
    let mut edge = Edge::start(&format!("ulimit -n {DESCRIPTORS};"), &zone(echo(), false));
    let mut holding = Vec::new();
    let mut served = 0;
    for number in 0..CLIENTS {
        let mut client = Holding::ask(edge.http, number);
        // Until the first that waits; those after it are in the queue with it.
        if served == number && client.status(Duration::from_millis(500)) == Some(200) {
            served += 1;
        }
        holding.push(client);
    }
    assert!((1..DESCRIPTORS).contains(&served), "{served} of {CLIENTS} were served");
    edge.assert_alive();
    let held = edge.open_descriptors();
    assert!(held >= DESCRIPTORS - 2, "only {held} descriptors are in use");

    // One that leaves makes room for one that waits, which gets its own answer.
    let (leaving, waiting) = holding.split_at_mut(served);
    for client in leaving.iter().take(8) {
        client.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
    eventually("one that waited is served", || {
        waiting.iter_mut().any(|client| client.status(Duration::from_millis(20)) == Some(200))
    });
    for client in waiting {
        client.status(Duration::from_millis(5));
    }

    drop(holding);
    let closed = Instant::now();
    eventually("requests work again", || get(edge.http, "/after") == Seen::Answer(200, "/after".to_owned()));
    assert!(closed.elapsed() < Duration::from_secs(2), "after {:?}", closed.elapsed());
    edge.assert_alive();
    let refusals = edge.metric("seawall_refusals_total{reason=\"accept\"}");
    assert!(refusals.is_some_and(|n| n >= 1.0), "{refusals:?}");
    for number in 0..20 {
        let path = format!("/again/{number}");
        assert_eq!(get(edge.http, &path), Seen::Answer(200, path));
    }
}

#[test]
fn without_room_for_the_log_or_a_folder_for_the_cache_the_edge_serves_and_counts() {
    assert!(Path::new("/dev/full").exists());
    let text = format!(
        "[edge.log]\npath = \"/dev/full\"\n[edge.cache]\nmemory = \"16MiB\"\ndisk = \"64MiB\"\npath = \"/dev/null/cache\"\n{}",
        zone(echo(), true)
    );
    let mut edge = Edge::start("", &text);
    for number in 0..40 {
        let path = format!("/page/{}", number % 20);
        assert_eq!(get(edge.http, &path), Seen::Answer(200, path));
    }
    let counted = |series: &str| edge.metric(series).is_some_and(|n| n >= 1.0);
    eventually("a failed write of the log is counted", || counted("seawall_access_log_errors_total"));
    eventually("a failed disk tier is counted", || counted("seawall_cache_disk_errors_total"));
    assert!(counted("seawall_cache_requests_total{status=\"hit\"}"), "the cache is in memory alone");
    assert_eq!(get(edge.http, "/after"), Seen::Answer(200, "/after".to_owned()));
    edge.assert_alive();
}

/// What a full disk does to writes, a limit on the size of files does too, of which the signal is ignored.
#[test]
fn objects_that_the_disk_has_no_room_for_are_served_and_the_failures_counted() {
    let text = format!(
        "[edge.log]\naccess = \"off\"\n[edge.cache]\nmemory = \"1MiB\"\ndisk = \"64MiB\"\npath = \"{{dir}}/cache\"\n{}",
        zone(echo(), true)
    );
    let mut edge = Edge::start("trap '' XFSZ; ulimit -f 16;", &text);
    for round in 0..2 {
        for number in 0..60 {
            let path = format!("/large/{number}");
            let Seen::Answer(200, body) = get(edge.http, &path) else { panic!("{path} in round {round}") };
            assert!(body.starts_with(&path) && body.len() == LARGE, "{path} in round {round}");
        }
    }
    eventually("a failed write is counted", || {
        edge.metric("seawall_cache_disk_errors_total").is_some_and(|n| n >= 1.0)
    });
    assert_eq!(get(edge.http, "/after"), Seen::Answer(200, "/after".to_owned()));
    edge.assert_alive();
}
