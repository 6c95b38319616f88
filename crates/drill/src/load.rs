//! Visitors: an open loop. Requests are sent when they are due, however late earlier answers are, and latency counts
//! from when they were due, so that a server that stalls cannot hide it by being asked less.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::origin::MARK;
use crate::samples::{Class, SAMPLES_MAX, Sample, Samples};

/// Connections one load has open at once at most; a request that finds none is broken.
const CONNECTIONS_MAX: usize = 4_000;
/// How long a visitor waits, milliseconds.
pub const PATIENCE_MS: u64 = 6_000;
/// Largest body read, bytes.
const BODY_MAX: usize = 1 << 20;
/// Answers in error of which the body is kept, to say what they were.
const ODD_MAX: usize = 12;
/// Of each, bytes.
const ODD_BYTES: usize = 400;

/// What visitors ask for.
#[derive(Clone, Debug)]
pub struct Visits {
    /// Where the edge listens.
    pub target: SocketAddr,
    /// Hosts, in turn.
    pub hosts: Vec<String>,
    /// Paths, in turn; `{n}` is the number of the request.
    pub paths: Vec<String>,
    /// User agents, in turn. A few are browsers and a few are not, so that scores have a spread.
    pub agents: Vec<String>,
    /// Different visitors, by an address in `X-Forwarded-For`.
    pub visitors: u32,
    /// Requests per second at the start.
    pub per_second: f64,
    /// How long each waits, milliseconds.
    pub patience_ms: u64,
    /// Whether connections are kept and used again.
    pub keep: bool,
}

/// User agents of an ordinary day.
pub const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "python-requests/2.32.3",
    "curl/8.11.0",
];

impl Visits {
    /// Ordinary visitors of some hosts.
    #[must_use]
    pub fn to(target: SocketAddr, hosts: &[&str], per_second: f64) -> Self {
        Self {
            target,
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            paths: ["/", "/articles/{n}", "/search?q={n}", "/api/items/{n}"].map(str::to_owned).to_vec(),
            agents: AGENTS.map(str::to_owned).to_vec(),
            visitors: 4_000,
            per_second,
            patience_ms: PATIENCE_MS,
            keep: true,
        }
    }

    /// The same, each request on a connection of its own.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.keep = false;
        self
    }

    /// The same, for these paths.
    #[must_use]
    pub fn paths(mut self, paths: &[&str]) -> Self {
        self.paths = paths.iter().map(|p| (*p).to_owned()).collect();
        self
    }
}

/// A load under way. It ends when dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    schedule: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    visits: Visits,
    began: Instant,
    /// Requests per second, as bits of an `f64`.
    rate: AtomicU64,
    stop: AtomicBool,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
    open: Arc<AtomicUsize>,
    under_way: AtomicUsize,
    samples: Mutex<Vec<Sample>>,
    odd: Mutex<Vec<String>>,
    retried: AtomicUsize,
}

impl Load {
    /// Begins. Times are counted from `began`, the beginning of the drill.
    #[must_use]
    pub fn begin(visits: Visits, began: Instant) -> Self {
        let shared = Arc::new(Shared {
            rate: AtomicU64::new(visits.per_second.to_bits()),
            visits,
            began,
            stop: AtomicBool::new(false),
            idle: Mutex::default(),
            open: Arc::default(),
            under_way: AtomicUsize::new(0),
            samples: Mutex::default(),
            odd: Mutex::default(),
            retried: AtomicUsize::new(0),
        });
        let schedule = tokio::spawn(schedule(shared.clone()));
        Self { shared, schedule }
    }

    /// From now on so many requests per second.
    pub fn set_rate(&self, per_second: f64) {
        self.shared.rate.store(per_second.to_bits(), Ordering::Relaxed);
    }

    /// Requests answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        lock(&self.shared.samples).len()
    }

    /// What was seen so far.
    #[must_use]
    pub fn so_far(&self) -> Samples {
        Samples::new(lock(&self.shared.samples).clone())
    }

    /// Some answers in error, for people.
    #[must_use]
    pub fn odd(&self) -> Vec<String> {
        lock(&self.shared.odd).clone()
    }

    /// Requests sent again because the edge had closed an idle connection at that moment, as browsers do.
    #[must_use]
    pub fn retried(&self) -> usize {
        self.shared.retried.load(Ordering::Relaxed)
    }

    /// Sends no more, waits for what is under way, and says what was seen.
    pub async fn end(self) -> Samples {
        self.shared.stop.store(true, Ordering::SeqCst);
        let limit = Instant::now() + Duration::from_millis(self.shared.visits.patience_ms + 500);
        while self.shared.under_way.load(Ordering::SeqCst) > 0 && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let samples = std::mem::take(&mut *lock(&self.shared.samples));
        Samples::new(samples)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.schedule.abort();
        lock(&self.shared.idle).clear();
    }
}

/// Sends what is due. The timer of the runtime is a millisecond coarse: what has become due meanwhile is sent at once
/// and counts from when it was due.
async fn schedule(shared: Arc<Shared>) {
    let mut due = Instant::now();
    let mut number = 0_u64;
    while !shared.stop.load(Ordering::SeqCst) {
        let rate = f64::from_bits(shared.rate.load(Ordering::Relaxed));
        if rate <= 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            due = Instant::now();
            continue;
        }
        let now = Instant::now();
        if due > now {
            // Not beyond a change of the rate.
            tokio::time::sleep((due - now).min(Duration::from_millis(20))).await;
            continue;
        }
        shared.under_way.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(visit(shared.clone(), number, due));
        number += 1;
        due += Duration::from_secs_f64(1.0 / rate);
    }
}

async fn visit(shared: Arc<Shared>, number: u64, due: Instant) {
    let pick = |list: &[String]| -> (usize, String) {
        let at = (number % list.len().max(1) as u64) as usize;
        (at, list.get(at).cloned().unwrap_or_default())
    };
    let (host_at, host) = pick(&shared.visits.hosts);
    let path = pick(&shared.visits.paths).1.replace("{n}", &number.to_string());
    let agent = pick(&shared.visits.agents).1;
    // Spread by a multiplicative hash, so that neighbours in time are no neighbours in address.
    let visitor = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as u32 % shared.visits.visitors.max(1);
    let address = format!("10.{}.{}.{}", visitor >> 16 & 255, visitor >> 8 & 255, visitor & 255);
    let request = || {
        Request::builder()
            .uri(path.as_str())
            .header("host", &host)
            .header("user-agent", &agent)
            .header("accept", "text/html,application/json;q=0.9")
            .header("accept-language", "en")
            .header("x-forwarded-for", &address)
            .body(Empty::<Bytes>::new())
    };
    let until = tokio::time::Instant::from_std(due + Duration::from_millis(shared.visits.patience_ms));
    let seen = match request() {
        Ok(first) => tokio::time::timeout_at(until, ask(&shared, first, request)).await,
        Err(_) => Ok(Err("the drill made a request that is none".to_owned())),
    };
    let mut score = None;
    let (status, class, odd) = match seen {
        Ok(Ok(answer)) => {
            score = answer.field("x-drill-score").and_then(|text| text.parse().ok());
            let class = classify(&answer);
            let bad = matches!(class, Class::EdgeError | Class::OriginError);
            (answer.status, class, bad.then(|| format!("{} {host}{path}: {}", answer.status, answer.body)))
        }
        Ok(Err(error)) => (0, Class::Broken, Some(format!("{host}{path}: {error}"))),
        Err(_) => {
            (0, Class::Broken, Some(format!("{host}{path}: no answer in {} ms", shared.visits.patience_ms)))
        }
    };
    let sample = Sample {
        at_us: micros(due.saturating_duration_since(shared.began)),
        latency_us: micros(due.elapsed()),
        status,
        class,
        host: u16::try_from(host_at).unwrap_or(u16::MAX),
        score,
    };
    let mut samples = lock(&shared.samples);
    if samples.len() < SAMPLES_MAX {
        samples.push(sample);
    }
    drop(samples);
    if let Some(text) = odd {
        let mut odd = lock(&shared.odd);
        if odd.len() < ODD_MAX {
            odd.push(format!("{} ms: {text}", sample.at_us / 1000));
        }
    }
    shared.under_way.fetch_sub(1, Ordering::SeqCst);
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Whether the origin's mark is on it.
    pub of_origin: bool,
    /// Whether it says when to come again.
    pub retry_after: bool,
    /// The beginning of its body.
    pub body: String,
    /// Fields by lower-case name.
    pub fields: Vec<(String, String)>,
}

impl Answer {
    /// A field's first value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Whose answer it is, and of what kind.
#[must_use]
pub fn classify(answer: &Answer) -> Class {
    match (answer.of_origin, answer.status) {
        (true, ..500) => Class::Ok,
        (true, _) => Class::OriginError,
        (false, ..500) => Class::Edge,
        (false, 503) if answer.retry_after => Class::Shed,
        (false, _) => Class::EdgeError,
    }
}

async fn ask<E>(
    shared: &Shared,
    first: Request<Empty<Bytes>>,
    again: impl Fn() -> Result<Request<Empty<Bytes>>, E>,
) -> Result<Answer, String> {
    let kept = kept(shared);
    let reused = kept.is_some();
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(shared).await?,
    };
    match exchange(&mut sender, first).await {
        Ok(answer) => {
            give_back(shared, sender);
            Ok(answer)
        }
        // The edge may close a kept connection at the moment a request is sent on it; RFC 9112 §9.3.1 has clients
        // send such a request again, once.
        Err(Lost { before_any_byte: true, .. }) if reused => {
            shared.retried.fetch_add(1, Ordering::Relaxed);
            let request = again().map_err(|_| "no request".to_owned())?;
            let mut sender = connect(shared).await?;
            let answer = exchange(&mut sender, request).await.map_err(|lost| lost.text)?;
            give_back(shared, sender);
            Ok(answer)
        }
        Err(lost) => Err(lost.text),
    }
}

struct Lost {
    text: String,
    before_any_byte: bool,
}

async fn exchange(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, Lost> {
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| Lost { text: told(&error), before_any_byte: !error.is_parse() })?;
    read(response).await.map_err(|text| Lost { text, before_any_byte: false })
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, String> {
    let status = response.status().as_u16();
    let fields: Vec<(String, String)> = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let of_origin = response.headers().contains_key(MARK);
    let retry_after = response.headers().contains_key("retry-after");
    let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
    let bytes = body.map_err(|error| format!("cut off: {error}"))?.to_bytes();
    let shown = bytes.get(..bytes.len().min(ODD_BYTES)).unwrap_or_default();
    Ok(Answer { status, of_origin, retry_after, body: String::from_utf8_lossy(shown).into_owned(), fields })
}

fn kept(shared: &Shared) -> Option<SendRequest<Empty<Bytes>>> {
    let mut idle = lock(&shared.idle);
    while let Some(sender) = idle.pop() {
        if sender.is_ready() {
            return Some(sender);
        }
    }
    None
}

fn give_back(shared: &Shared, sender: SendRequest<Empty<Bytes>>) {
    if shared.visits.keep && !sender.is_closed() && !shared.stop.load(Ordering::SeqCst) {
        lock(&shared.idle).push(sender);
    }
}

async fn connect(shared: &Shared) -> Result<SendRequest<Empty<Bytes>>, String> {
    if shared.open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
        return Err(format!("the drill has {CONNECTIONS_MAX} connections open and no answer on any"));
    }
    let stream =
        TcpStream::connect(shared.visits.target).await.map_err(|error| format!("refused: {error}"))?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    // The count goes down when the connection's task ends, which it does once its sender is dropped.
    shared.open.fetch_add(1, Ordering::Relaxed);
    let open = OpenCount(shared.open.clone());
    tokio::spawn(async move {
        let _open = open;
        let _ = connection.await;
    });
    Ok(sender)
}

/// Counts a connection as closed when dropped.
struct OpenCount(Arc<AtomicUsize>);

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request on a connection of its own.
pub async fn once(
    target: SocketAddr,
    host: &str,
    path: &str,
    fields: &[(&str, &str)],
    patience: Duration,
) -> Result<Answer, String> {
    let asked = async {
        let stream = TcpStream::connect(target).await.map_err(|error| format!("refused: {error}"))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().uri(path).header("host", host);
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            request = request.header("user-agent", AGENTS.first().copied().unwrap_or_default());
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = exchange(&mut sender, request).await.map_err(|lost| lost.text);
        connection.abort();
        answer
    };
    tokio::time::timeout(patience, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer in {} ms", patience.as_millis())))
}

fn told(error: &hyper::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
