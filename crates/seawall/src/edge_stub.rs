//! A stand-in for `seawall_edge` until that crate serves, with its agreed interface. **To be deleted by the lead.**
//!
//! It forwards requests to the first origin of the first zone through hyper, with no header handling, cache, TLS or
//! limits; without an origin that answers it says 502. `https` sockets are accepted as clear text.

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use seawall_model::{Problem, Site};

/// What an edge starts with.
#[allow(dead_code)]
pub struct Start {
    pub site: Site,
    pub http: Vec<Vec<TcpListener>>,
    pub https: Vec<Vec<TcpListener>>,
    pub metrics: Option<TcpListener>,
    pub admin: Option<UnixListener>,
    pub config_path: Option<PathBuf>,
}

/// Why it could not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(#[from] std::io::Error);

struct Shared {
    origin: Mutex<String>,
    draining: AtomicBool,
    active: AtomicUsize,
    beats: Mutex<HashMap<usize, Instant>>,
    requests: AtomicU64,
}

/// A running edge.
pub struct Edge {
    shared: Arc<Shared>,
}

impl Edge {
    pub fn start(start: Start) -> Result<Self, StartError> {
        let shared = Arc::new(Shared {
            origin: Mutex::new(origin_of(&start.site)),
            draining: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            beats: Mutex::default(),
            requests: AtomicU64::new(0),
        });
        let mut all = start.http;
        for (worker, listeners) in start.https.into_iter().enumerate() {
            match all.get_mut(worker) {
                Some(own) => own.extend(listeners),
                None => all.push(listeners),
            }
        }
        let mut metrics = start.metrics;
        let mut admin = start.admin;
        for (worker, mut listeners) in all.into_iter().enumerate() {
            listeners.extend(metrics.take());
            let admin = admin.take();
            let shared = Arc::clone(&shared);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || runtime.block_on(work(worker, listeners, admin, shared)))?;
        }
        Ok(Self { shared })
    }

    pub fn reload(&self, site: Site, _problems: Vec<Problem>) {
        if let Ok(mut origin) = self.shared.origin.lock() {
            *origin = origin_of(&site);
        }
    }

    pub fn drain(&self, limit: Duration) -> usize {
        self.shared.draining.store(true, Ordering::SeqCst);
        let end = Instant::now() + limit;
        std::thread::sleep(Duration::from_millis(100));
        while self.shared.active.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.shared.active.load(Ordering::SeqCst)
    }

    pub fn ready(&self) -> bool {
        !self.shared.draining.load(Ordering::SeqCst)
    }

    pub fn heartbeat_age_ms(&self) -> u64 {
        let Ok(beats) = self.shared.beats.lock() else { return 0 };
        beats
            .values()
            .map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))
            .max()
            .unwrap_or(0)
    }
}

fn origin_of(site: &Site) -> String {
    let origin = site.zones.iter().flat_map(|z| &z.pools).flat_map(|p| &p.origins).next();
    origin.map_or_else(String::new, |o| format!("{}:{}", o.url.host, o.url.port))
}

async fn work(worker: usize, listeners: Vec<TcpListener>, admin: Option<UnixListener>, shared: Arc<Shared>) {
    for listener in listeners {
        let _ = listener.set_nonblocking(true);
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            while !shared.draining.load(Ordering::SeqCst) {
                let accepted = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
                let Ok(Ok((stream, _))) = accepted else { continue };
                tokio::spawn(serve(TokioIo::new(stream), Arc::clone(&shared)));
            }
        });
    }
    if let Some(admin) = admin {
        let _ = admin.set_nonblocking(true);
        if let Ok(admin) = tokio::net::UnixListener::from_std(admin) {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                while !shared.draining.load(Ordering::SeqCst) {
                    let accepted = tokio::time::timeout(Duration::from_millis(20), admin.accept()).await;
                    let Ok(Ok((stream, _))) = accepted else { continue };
                    tokio::spawn(serve(TokioIo::new(stream), Arc::clone(&shared)));
                }
            });
        }
    }
    loop {
        if let Ok(mut beats) = shared.beats.lock() {
            beats.insert(worker, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn serve<I>(io: I, shared: Arc<Shared>)
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let watched = Arc::clone(&shared);
    watched.active.fetch_add(1, Ordering::SeqCst);
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let service = hyper::service::service_fn(move |request| {
        let (shared, counted) = (Arc::clone(&shared), Arc::clone(&counted));
        async move {
            shared.requests.fetch_add(1, Ordering::Relaxed);
            let response = answer(request, &shared).await;
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let mut told = false;
    let mut drained_for = 0;
    loop {
        tokio::select! {
            _ = connection.as_mut() => {
                watched.active.fetch_sub(1, Ordering::SeqCst);
                return;
            }
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                drained_for += usize::from(watched.draining.load(Ordering::SeqCst));
                // A connection accepted a moment ago has a request on its way.
                if !told && drained_for > 0 && (served.load(Ordering::SeqCst) > 0 || drained_for > 25) {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

async fn answer(request: Request<Incoming>, shared: &Shared) -> Answer {
    match request.uri().path() {
        "/summary" => {
            return plain(200, format!(r#"{{"requests":{}}}"#, shared.requests.load(Ordering::Relaxed)));
        }
        "/purge" => return plain(200, r#"{"success":true}"#.to_owned()),
        "/cdn-cgi/pid" => return plain(200, std::process::id().to_string()),
        "/cdn-cgi/hang" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        "/readyz" | "/livez" => return plain(200, "ok\n".to_owned()),
        _ => {}
    }
    let origin = shared.origin.lock().map(|o| o.clone()).unwrap_or_default();
    match forward(request, &origin).await {
        Ok(response) => response,
        Err(error) => plain(502, format!("stub: {origin}: {error}\n")),
    }
}

async fn forward(request: Request<Incoming>, origin: &str) -> anyhow::Result<Answer> {
    let stream = tokio::net::TcpStream::connect(origin).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(BodyExt::boxed))
}

fn plain(status: u16, text: String) -> Answer {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
