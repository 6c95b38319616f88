//! Traces of requests reach an OpenTelemetry collector.
#![cfg(feature = "otel")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test may

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use seawall_edge::{Content, Edge, Proposal, Start};

const PATIENCE: Duration = Duration::from_secs(10);
/// Stages that are over in the blink of an eye.
const HASTY: &str = "[edge.rollout]\nstages = [50]\nhold = \"10ms\"\nquick_hold = \"10ms\"\nrequests = 2\n";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Takes one HTTP/1 message with a Content-Length or none.
fn message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = head_end {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head
                .to_lowercase()
                .lines()
                .find_map(|l| l.strip_prefix("content-length: ").map(str::to_owned));
            let length: usize = length.map_or(0, |l| l.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes[end + 4..].to_vec()));
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// Answers every request with 200 and tells what came.
fn server(body: &'static str) -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || {
                while let Some(came) = message(&mut stream) {
                    let _ = seen.send(came);
                    let length = body.len();
                    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
                }
            });
        }
    });
    (address, told)
}

fn edge(data_dir: &Path, settings: &str, origin: SocketAddr) -> (Edge, SocketAddr) {
    let text = format!(
        "data_dir = {data_dir:?}\n[edge.trace]\n{settings}\n{HASTY}[[zone]]\nname = \"site.test\"\nhosts = [\"*\"]\n\
         pool = [{{ name = \"app\", origins = [{{ url = \"http://{origin}\" }}] }}]\n"
    );
    let parsed = seawall_snapshot::parse(&text, Path::new(""), &[]);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = Start {
        site: parsed.site.unwrap(),
        http: vec![vec![listener]],
        https: vec![Vec::new()],
        metrics: None,
        admin: None,
        config_path: None,
        recorder: None,
        boot: None,
        sabotage: None,
    };
    (Edge::start(start).unwrap(), address)
}

/// Hands a configuration in and waits until it serves.
fn adopt(edge: &Edge, site: seawall_model::Site) {
    let content = Content::Site {
        site: Box::new(site),
        problems: Vec::new(),
        refused_lists: Vec::new(),
        artifacts: Vec::new(),
    };
    let cause = seawall_snapshot::Cause::new("operator", "a test");
    let before = edge.content();
    edge.propose(1, Proposal { content, cause, acks: Vec::new(), base: None, quick: true });
    let end = std::time::Instant::now() + PATIENCE;
    while edge.content() == before {
        assert!(std::time::Instant::now() < end, "it is not adopted");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn get(edge: SocketAddr, fields: &str) {
    let mut stream = TcpStream::connect(edge).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /page?token=s3cret&q=1 HTTP/1.1\r\nHost: site.test\r\n{fields}\r\n").unwrap();
    let (head, _) = message(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

fn traceparent(head: &str) -> Option<&str> {
    head.lines().find_map(|l| l.strip_prefix("traceparent: "))
}

/// The fields of a protobuf message: number, number or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let (number, length) = match tag & 7 {
            0 => {
                found.push((tag >> 3, varint(&mut bytes), &bytes[..0]));
                continue;
            }
            1 => (0, 8),
            2 => (0, usize::try_from(varint(&mut bytes)).unwrap()),
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        found.push((tag >> 3, number, value));
        bytes = rest;
    }
    found
}

fn inner(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter(move |(n, ..)| *n == number).map(|(_, _, value)| value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A span as the collector understands it (opentelemetry/proto/trace/v1/trace.proto).
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    kind: u64,
    attributes: HashMap<String, String>,
}

fn spans(request: &[u8]) -> Vec<Span> {
    let resources: Vec<&[u8]> = inner(request, 1).collect();
    let scopes: Vec<&[u8]> = resources.iter().flat_map(|r| inner(r, 2)).collect();
    let spans = scopes.iter().flat_map(|s| inner(s, 2));
    spans
        .map(|span| {
            let one = |number| inner(span, number).next().map(hex).unwrap_or_default();
            let kind = fields(span).iter().find(|(n, ..)| *n == 6).map_or(0, |(_, kind, _)| *kind);
            let attributes = inner(span, 9).map(|pair| {
                let key = String::from_utf8(inner(pair, 1).next().unwrap().to_vec()).unwrap();
                let value = fields(inner(pair, 2).next().unwrap())[0];
                match value {
                    (1, _, text) => (key, String::from_utf8(text.to_vec()).unwrap()),
                    (_, number, _) => (key, number.to_string()),
                }
            });
            Span { trace: one(1), id: one(2), parent: one(4), kind, attributes: attributes.collect() }
        })
        .collect()
}

#[test]
fn a_request_and_its_attempt_are_two_spans_of_the_visitors_trace() {
    let (origin, asked) = server("hello");
    let (collector, collected) = server("");
    let dir = tempfile::tempdir().unwrap();
    let settings = format!("endpoint = \"http://{collector}\"\nsample_percent = 100");
    let (edge, address) = edge(dir.path(), &settings, origin);
    get(address, &format!("traceparent: {PARENT}\r\n"));

    let (head, _) = asked.recv_timeout(PATIENCE).unwrap();
    let told = traceparent(&head).unwrap().to_owned();
    let (head, body) = collected.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(!body.windows(6).any(|w| w == b"s3cret"));
    let spans = spans(&body);
    let [request, attempt] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (&PARENT[3..35], &PARENT[36..52]));
    assert_eq!((&attempt.trace, &attempt.parent), (&request.trace, &request.id));
    assert_eq!((request.kind, attempt.kind), (2, 3), "server and client");
    assert_eq!(
        told,
        format!("00-{}-{}-01", attempt.trace, attempt.id),
        "the origin goes on from the attempt"
    );
    for (name, want) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/page"),
        ("url.query", "token=REDACTED&q=1"),
        ("server.address", "site.test"),
        ("client.address", "127.0.0.1"),
        ("seawall.zone", "site.test"),
        ("http.response.body.size", "5"),
    ] {
        assert_eq!(request.attributes.get(name).map(String::as_str), Some(want), "{name} of {request:?}");
    }
    assert_eq!(attempt.attributes["seawall.pool"], "app");
    assert_eq!(edge.drain(Duration::ZERO), 0);
}

#[test]
fn what_is_not_sampled_is_passed_on_unchanged_until_a_reload_asks_for_it() {
    let (origin, asked) = server("hello");
    let (collector, collected) = server("");
    let dir = tempfile::tempdir().unwrap();
    let (edge, address) = edge(dir.path(), "sample_percent = 100", origin);
    get(address, &format!("traceparent: {PARENT}\r\n"));
    assert_eq!(traceparent(&asked.recv_timeout(PATIENCE).unwrap().0), Some(PARENT));

    let text = format!(
        "data_dir = {:?}\n[edge.trace]\nendpoint = \"http://{collector}\"\nsample_percent = 0\nfollow_parent = true\n\
         {HASTY}[[zone]]\nname = \"site.test\"\nhosts = [\"*\"]\npool = [{{ name = \"app\", origins = [{{ url = \"http://{origin}\" }}] }}]\n",
        dir.path()
    );
    adopt(&edge, seawall_snapshot::parse(&text, Path::new(""), &[]).site.unwrap());
    get(address, "");
    assert_eq!(traceparent(&asked.recv_timeout(PATIENCE).unwrap().0), None);
    get(address, &format!("traceparent: {}1\r\n", &PARENT[..PARENT.len() - 1]));
    let told = asked.recv_timeout(PATIENCE).unwrap().0;
    assert_eq!(&traceparent(&told).unwrap()[..35], &PARENT[..35], "the trace goes on");
    assert_ne!(traceparent(&told).unwrap()[36..52], PARENT[36..52]);
    // Ending the edge sends what is queued without waiting for more.
    edge.drain(Duration::ZERO);
    assert_eq!(spans(&collected.recv_timeout(PATIENCE).unwrap().1).len(), 2);
}
