//! An edge in this process, and a client that reads every byte itself.

use crate::origin::{Origin, find, read_head};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What differs from the usual site: TOML lines.
#[derive(Clone, Copy, Default)]
pub struct Setup<'a> {
    /// Under `[edge]`
    pub edge: &'a str,
    /// Under `[edge.cache]`
    pub cache: &'a str,
    /// Under the `[[zone]]`
    pub zone: &'a str,
    /// Routes, after the pool; `pool = "app"` is the only one.
    pub routes: &'a str,
    /// Whole zones after the usual one.
    pub zones: &'a str,
    /// One worker rather than two.
    pub alone: bool,
}

/// A running edge.
pub struct Edge {
    edge: seawall_edge::Edge,
    pub address: SocketAddr,
    admin: PathBuf,
    dir: Option<tempfile::TempDir>,
}

impl Edge {
    pub fn of(origin: &Origin) -> Edge {
        Edge::with(origin, Setup::default())
    }

    pub fn with(origin: &Origin, setup: Setup<'_>) -> Edge {
        let dir = tempfile::tempdir().unwrap();
        let mut edge = Edge::at(dir.path(), origin, setup);
        edge.dir = Some(dir);
        edge
    }

    /// With a data folder that outlives it.
    pub fn at(dir: &Path, origin: &Origin, setup: Setup<'_>) -> Edge {
        let port = origin.port;
        let Setup { edge, cache, zone, routes, zones, alone } = setup;
        let text = format!(
            r#"
data_dir = "{dir}"
[edge]
{edge}
[edge.tls]
self_signed = false
[edge.log]
access = "off"
[edge.cache]
{cache}
[[zone]]
name = "usual"
hosts = ["*"]
{zone}
[[zone.pool]]
name = "app"
retries = 0
origins = [{{ url = "http://127.0.0.1:{port}" }}]
concurrency = {{ adaptive = false }}
{routes}
{zones}
"#,
            dir = dir.display(),
            zones = zones.replace("ORIGIN", &format!("http://127.0.0.1:{port}")),
        );
        let parsed = seawall_snapshot::parse(&text, dir, &[]);
        assert!(!parsed.has_errors(), "{:#?}", parsed.problems);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Two workers take turns on one socket, so that every test crosses threads.
        let mut http = vec![vec![listener.try_clone().unwrap()], vec![listener]];
        http.truncate(if alone { 1 } else { 2 });
        let admin = dir.join(format!("admin-{}.sock", address.port()));
        let start = seawall_edge::Start {
            site: parsed.site.unwrap(),
            http,
            https: Vec::new(),
            metrics: None,
            admin: Some(UnixListener::bind(&admin).unwrap()),
            config_path: None,
            recorder: None,
            boot: None,
            sabotage: None,
        };
        Edge { edge: seawall_edge::Edge::start(start).unwrap(), address, admin, dir: None }
    }

    pub fn get(&self, target: &str) -> Got {
        self.ask("GET", target, &[])
    }

    pub fn get_with(&self, target: &str, name: &str, value: &str) -> Got {
        self.ask("GET", target, &[(name, value)])
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Got {
        self.open(method, target, fields).finish()
    }

    /// Sends a request and waits for the head of its response.
    pub fn open(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Reading {
        self.send(method, target, fields).head()
    }

    /// Sends a request and reads nothing.
    pub fn send(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Sent {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if find(&fields.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect::<Vec<_>>(), "host")
            .is_empty()
        {
            text.push_str("Host: a.test\r\n");
        }
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        Sent { stream, head_only: method == "HEAD" }
    }

    /// Sends an order to purge and returns the status and what was said.
    pub fn purge(&self, order: &str) -> (u16, String) {
        let mut socket = UnixStream::connect(&self.admin).unwrap();
        let length = order.len();
        write!(socket, "POST /purge HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{order}")
            .unwrap();
        let mut reader = BufReader::new(socket);
        let (line, _) = read_head(&mut reader).unwrap();
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        (line.split(' ').nth(1).unwrap().parse().unwrap(), said)
    }

    /// Ends it and waits until the disk has everything.
    pub fn stop(self) {
        assert_eq!(self.edge.drain(Duration::from_secs(5)), 0);
    }
}

/// A request on its way.
pub struct Sent {
    pub stream: TcpStream,
    head_only: bool,
}

impl Sent {
    pub fn head(self) -> Reading {
        let Sent { stream, head_only } = self;
        let mut reader = BufReader::new(stream);
        let (line, fields) = read_head(&mut reader).expect("no response");
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        Reading { status, fields, reader, head_only, raw: Vec::new() }
    }
}

/// A response whose head has come.
pub struct Reading {
    pub status: u16,
    fields: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    head_only: bool,
    raw: Vec<u8>,
}

impl Reading {
    /// Reads until these bytes have come, framing and all.
    pub fn wait_for(&mut self, bytes: &[u8]) {
        while !self.raw.windows(bytes.len()).any(|w| w == bytes) {
            let mut some = [0; 4096];
            let n = self.reader.read(&mut some).unwrap();
            assert_ne!(n, 0, "the response ended");
            self.raw.extend_from_slice(&some[..n]);
        }
    }

    /// Reads to the end.
    pub fn finish(mut self) -> Got {
        // A broken response may end in a reset.
        let _ = self.reader.read_to_end(&mut self.raw);
        let chunked = find(&self.fields, "transfer-encoding") == "chunked";
        let (body, whole) = if chunked {
            dechunk(&self.raw)
        } else {
            let length = find(&self.fields, "content-length").parse().unwrap_or(0);
            let whole = self.head_only || self.status == 304 || self.raw.len() == length;
            (self.raw, whole)
        };
        Got { status: self.status, fields: self.fields, body, whole }
    }
}

/// A response.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether it ended as it should.
    pub whole: bool,
}

impl Got {
    /// The first value of a field; empty without one.
    pub fn get(&self, name: &str) -> &str {
        find(&self.fields, name)
    }

    /// All values of a field, joined.
    pub fn all(&self, name: &str) -> String {
        let values =
            self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    pub fn cf(&self) -> &str {
        self.get("CF-Cache-Status")
    }

    pub fn told(&self) -> &str {
        self.get("Cache-Status")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Asserts a whole 200 with this body and CF-Cache-Status.
    #[track_caller]
    pub fn is(&self, cf: &str, body: &str) -> &Got {
        let body_got = String::from_utf8_lossy(&self.body);
        assert_eq!(
            (self.status, self.cf(), &*body_got, self.whole),
            (200, cf, body, true),
            "{:?}",
            self.fields
        );
        self
    }
}

fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        raw = &raw[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if raw.len() < size + 2 {
            body.extend_from_slice(&raw[..raw.len().min(size)]);
            return (body, false);
        }
        body.extend_from_slice(&raw[..size]);
        raw = &raw[size + 2..];
    }
    (body, false)
}
