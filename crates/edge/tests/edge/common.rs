//! An edge in this process, clients and origins to put around it.

use seawall_edge::{Content, Edge, Proposal, Start};
use seawall_model::{Problem, Site};
use seawall_snapshot::Cause;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything here takes; what is waited for beyond it has failed.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// A running edge.
pub struct Seawall {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub metrics: SocketAddr,
    pub admin: PathBuf,
    pub edge: Arc<Edge>,
    pub dir: Arc<tempfile::TempDir>,
}

impl Seawall {
    /// With a configuration, as in the file.
    pub fn start(text: &str) -> Seawall {
        Seawall::with(text, |_| {})
    }

    /// With one zone for every host before one origin, and without a cache.
    pub fn before(origin: &Origin) -> Seawall {
        Seawall::start(&zone(origin))
    }

    /// With a configuration, changed; timeouts are those of a test.
    pub fn with(text: &str, change: impl FnOnce(&mut Site)) -> Seawall {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let (mut site, problems) = site(dir.path(), text);
        assert!(problems.is_empty(), "{problems:?}");
        site.edge.rollout = hasty();
        change(&mut site);
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (http, https, metrics) = (listener(), listener(), listener());
        let admin = dir.path().join("edge.sock");
        let seawall = Seawall {
            http: http.local_addr().unwrap(),
            https: https.local_addr().unwrap(),
            metrics: metrics.local_addr().unwrap(),
            admin: admin.clone(),
            edge: Arc::new(
                Edge::start(Start {
                    site,
                    http: vec![vec![http]],
                    https: vec![vec![https]],
                    metrics: Some(metrics),
                    admin: Some(UnixListener::bind(admin).unwrap()),
                    config_path: None,
                    recorder: None,
                    boot: None,
                    sabotage: None,
                })
                .unwrap(),
            ),
            dir,
        };
        eventually("the edge is ready", || seawall.edge.ready());
        seawall
    }

    pub fn client(&self) -> Client {
        Client::connect(self.http)
    }

    /// The answer to a GET on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        let mut client = self.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        client.answer()
    }

    /// Everything the edge says to these bytes until it closes the connection, which it must.
    pub fn says_to(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.client();
        client.send(bytes);
        client.rest()
    }

    /// The value of a metric, by the start of its line.
    pub fn metric(&self, series: &str) -> f64 {
        let mut client = Client::connect(self.metrics);
        client.send("GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n");
        let page = client.answer().text();
        let values = page.lines().filter_map(|l| l.strip_prefix(series)?.trim().parse::<f64>().ok());
        values.sum()
    }

    /// Puts another configuration in force.
    pub fn reload(&self, text: &str) {
        let (mut site, problems) = site(self.dir.path(), text);
        site.edge.log.access = seawall_model::AccessFormat::Off;
        self.adopt(site, problems);
    }

    /// The same with documents of one's own: through every stage, the shortest there are.
    pub fn adopt(&self, mut site: Site, problems: Vec<Problem>) {
        site.edge.rollout = hasty();
        let order = self.edge.own_order().order;
        let content = Content::Site {
            site: Box::new(site),
            problems,
            refused_lists: Vec::new(),
            artifacts: Vec::new(),
        };
        let cause = Cause::new("operator", "a test");
        self.edge.propose(order, Proposal { content, cause, acks: Vec::new(), base: None, quick: true });
        let mut ended = serde_json::Value::Null;
        eventually("the change is over", || {
            let mut stream = std::os::unix::net::UnixStream::connect(&self.admin).unwrap();
            stream.write_all(b"GET /snapshot HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n").unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            let status: serde_json::Value =
                serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
            ended = status["recent"].as_array().unwrap().iter().find(|e| e["order"] == order).cloned().into();
            !ended.is_null()
        });
        assert!(ended["outcome"] == "adopted" || ended["outcome"] == "unchanged", "{ended:#}");
    }
}

/// Stages that are over in the blink of an eye.
fn hasty() -> seawall_model::Rollout {
    let short = Duration::from_millis(10);
    seawall_model::Rollout {
        stages: vec![50],
        hold: short,
        quick_hold: short,
        requests: 2,
        ..Default::default()
    }
}

/// What a configuration says, with the timeouts of a test.
pub fn site(dir: &Path, text: &str) -> (Site, Vec<Problem>) {
    let parsed = seawall_snapshot::parse(text, dir, &[]);
    let mut site = parsed.site.unwrap_or_else(|| panic!("{:?}", parsed.problems));
    site.data_dir = dir.to_owned();
    let edge = &mut site.edge;
    edge.log.path = dir.join("access.log");
    edge.limits.connections = 500;
    edge.timeouts.header = Duration::from_millis(600);
    edge.timeouts.body = Duration::from_millis(600);
    edge.timeouts.idle = Duration::from_secs(1);
    edge.timeouts.write = Duration::from_secs(1);
    edge.timeouts.tls_handshake = Duration::from_secs(1);
    (site, parsed.problems)
}

/// One zone for every host before one origin, and without a cache. Lines for the pool may follow.
pub fn zone(origin: &Origin) -> String {
    format!(
        "[[zone]]\nname = \"test\"\nhosts = [\"*\"]\ncache = false\n[[zone.pool]]\nname = \"app\"\norigins = [{{ url = \"http://{}\" }}]\n",
        origin.addr
    )
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes both ways.
pub trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// A client that says exactly what it is told to.
pub struct Client {
    pub stream: Box<dyn Duplex>,
    buf: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The trailer section, raw.
    pub trailers: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::over(Client::socket(address))
    }

    pub fn socket(address: SocketAddr) -> TcpStream {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    pub fn over(stream: impl Duplex + 'static) -> Client {
        Client { stream: Box::new(stream), buf: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next response to a GET.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The next response, interim ones included.
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.head().expect("a response");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), trailers: String::new() };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return answer;
        }
        if answer.field("transfer-encoding").is_some() {
            (answer.body, answer.trailers) = self.chunked();
        } else if let Some(n) = answer.field("content-length") {
            answer.body = self.exact(n.parse().unwrap());
        } else {
            answer.body = self.rest().into_bytes();
        }
        answer
    }

    /// A head up to its empty line; nothing if the connection ended before it began.
    pub fn head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = find(&self.buf, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                assert!(self.buf.is_empty(), "broke off: {:?}", String::from_utf8_lossy(&self.buf));
                return None;
            }
        };
        Some(String::from_utf8_lossy(&self.buf.drain(..end).collect::<Vec<u8>>()).into_owned())
    }

    pub fn exact(&mut self, n: usize) -> Vec<u8> {
        while self.buf.len() < n {
            assert!(self.more(), "{} of {n} bytes", self.buf.len());
        }
        self.buf.drain(..n).collect()
    }

    /// One line, with its end.
    pub fn line(&mut self) -> String {
        let end = loop {
            if let Some(at) = find(&self.buf, b"\r\n") {
                break at + 2;
            }
            assert!(self.more(), "a line");
        };
        String::from_utf8(self.buf.drain(..end).collect()).unwrap()
    }

    /// The data of the next chunk; empty for the last.
    pub fn chunk(&mut self) -> Vec<u8> {
        let line = self.line();
        let size = usize::from_str_radix(line.trim_end().split(';').next().unwrap(), 16).unwrap();
        if size == 0 {
            return Vec::new();
        }
        let data = self.exact(size);
        assert_eq!(self.line(), "\r\n");
        data
    }

    fn chunked(&mut self) -> (Vec<u8>, String) {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk();
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        let mut trailers = String::new();
        loop {
            let line = self.line();
            if line == "\r\n" {
                return (body, trailers);
            }
            trailers.push_str(&line);
        }
    }

    /// Everything until the end.
    pub fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buf)).into_owned()
    }

    /// Whether the other side has ended the connection, nothing more being said.
    pub fn is_closed(&mut self) -> bool {
        self.buf.is_empty() && !self.more()
    }

    /// Reads what there is; whether there was anything. A reset is an end.
    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(n) => {
                self.buf.extend_from_slice(&bytes[..n]);
                n > 0
            }
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => false,
            Err(e) => panic!("{e}; so far {:?}", String::from_utf8_lossy(&self.buf)),
        }
    }
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let pairs = head.lines().skip(1).filter_map(|l| l.split_once(": "));
    pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    fields(head, name).first().copied()
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// An origin that writes down what it was asked.
pub struct Origin {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

/// A request as an origin saw it.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: String,
}

impl Request {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }
}

/// A response with a length.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

impl Origin {
    /// Answers every request with what `answer` makes of it, and keeps connections.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Origin {
        Origin::serving(move |request, client| {
            client.send(answer(request));
            true
        })
    }

    /// Answers every request with its path.
    pub fn echoing() -> Origin {
        Origin::answering(|r| ok(r.path()))
    }

    /// Reads requests whole and lets `serve` do the rest; `false` closes the connection.
    pub fn serving(serve: impl Fn(&Request, &mut Client) -> bool + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Origin::on(listener, |tcp| Some(Box::new(tcp)), serve)
    }

    /// The same over TLS. What fails to shake hands is dropped.
    pub fn over_tls(
        config: Arc<rustls::ServerConfig>,
        serve: impl Fn(&Request, &mut Client) -> bool + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wrap = move |mut tcp: TcpStream| -> Option<Box<dyn Duplex>> {
            let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
            tls.complete_io(&mut tcp).ok()?;
            Some(Box::new(rustls::StreamOwned::new(tls, tcp)))
        };
        Origin::on(listener, wrap, serve)
    }

    pub fn on(
        listener: TcpListener,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Duplex>> + Send + Sync + 'static,
        serve: impl Fn(&Request, &mut Client) -> bool + Send + Sync + 'static,
    ) -> Origin {
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let noted = seen.clone();
        let (wrap, serve) = (Arc::new(wrap), Arc::new(serve));
        Origin::accepting(listener, seen, move |tcp, _| {
            let Some(stream) = wrap(tcp) else { return };
            let mut client = Client { stream, buf: Vec::new() };
            while let Some(request) = request(&mut client) {
                noted.lock().unwrap().push(request.clone());
                if !serve(&request, &mut client) {
                    return;
                }
            }
        })
    }

    /// Hands every connection over as it is.
    pub fn raw(script: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Origin {
        Origin::accepting(TcpListener::bind("127.0.0.1:0").unwrap(), Arc::default(), script)
    }

    fn accepting(
        listener: TcpListener,
        seen: Arc<Mutex<Vec<Request>>>,
        script: impl Fn(TcpStream, usize) + Send + Sync + 'static,
    ) -> Origin {
        let addr = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let (script, count) = (Arc::new(script), connections.clone());
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                tcp.set_nodelay(true).unwrap();
                tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let nth = count.fetch_add(1, Ordering::SeqCst) + 1;
                let script = script.clone();
                std::thread::spawn(move || script(tcp, nth));
            }
        });
        Origin { addr, seen, connections }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The last request.
    pub fn last(&self) -> Request {
        self.seen().pop().expect("a request")
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads a request whole; nothing at the end of the connection, or if it breaks off.
fn request(client: &mut Client) -> Option<Request> {
    while find(&client.buf, b"\r\n\r\n").is_none() {
        let mut bytes = [0; 16 * 1024];
        match client.stream.read(&mut bytes) {
            Ok(n) if n > 0 => client.buf.extend_from_slice(&bytes[..n]),
            _ => return None,
        }
    }
    let head = client.head()?;
    let mut request = Request { head, body: Vec::new(), trailers: String::new() };
    if request.field("transfer-encoding").is_some() {
        (request.body, request.trailers) = client.chunked();
    } else if let Some(n) = request.field("content-length") {
        request.body = client.exact(n.parse().unwrap());
    }
    Some(request)
}

/// A certification authority in a folder.
pub struct Authority {
    pub folder: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

/// A certificate and its key, in files.
pub struct Signed {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Signed {
    /// As written in the configuration.
    pub fn entry(&self) -> String {
        format!("{{ cert = \"{}\", key = \"{}\" }}", self.cert.display(), self.key.display())
    }

    /// For a server of one's own.
    pub fn server(&self, alpn: &[&str]) -> Arc<rustls::ServerConfig> {
        use rustls::pki_types::pem::PemObject;
        let chain = rustls::pki_types::CertificateDer::pem_file_iter(&self.cert).unwrap().flatten().collect();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(seawall_net::tls::provider().clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Authority {
    pub fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).unwrap();
        Authority { issuer: rcgen::Issuer::new(params, key), folder }
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn sign(&self, file: &str, names: &[&str]) -> Signed {
        self.sign_until(file, names, 90 * 86_400)
    }

    /// Valid until that many seconds from now.
    pub fn sign_until(&self, file: &str, names: &[&str], ends_in: i64) -> Signed {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let end = Duration::from_secs(now.checked_add_signed(ends_in).unwrap());
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + end;
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let signed = Signed { cert: path("pem"), key: path("key") };
        std::fs::write(&signed.cert, cert.pem()).unwrap();
        std::fs::write(&signed.key, key.serialize_pem()).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&signed.key, private).unwrap();
        signed
    }

    /// Settings of a client that trusts this authority.
    pub fn client(&self, alpn: &[&str]) -> rustls::ClientConfig {
        self.client_of(alpn, rustls::DEFAULT_VERSIONS)
    }

    pub fn client_of(
        &self,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ClientConfig {
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(seawall_net::tls::provider().clone())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        config
    }
}

/// A TLS connection to `host` at the address, its handshake done.
pub fn tls(
    address: SocketAddr,
    host: &str,
    config: &Arc<rustls::ClientConfig>,
) -> Result<rustls::StreamOwned<rustls::ClientConnection, TcpStream>, rustls::Error> {
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(config.clone(), name).unwrap();
    let mut tcp = Client::socket(address);
    while connection.is_handshaking() {
        if let Err(e) = connection.complete_io(&mut tcp) {
            return Err(e
                .get_ref()
                .and_then(|e| e.downcast_ref::<rustls::Error>())
                .cloned()
                .unwrap_or(rustls::Error::General(e.to_string())));
        }
    }
    Ok(rustls::StreamOwned::new(connection, tcp))
}
