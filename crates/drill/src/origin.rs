//! Stub origins, in this process: known capacity, known latency.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::fault::Fault;

/// A field that only origins send, by which an answer is known to be theirs.
pub const MARK: &str = "x-drill-origin";

/// How an origin behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Requests it works on at once; more wait in turn, without bound, as they do in most applications.
    pub places: usize,
    /// Time it works on each, milliseconds.
    pub work_ms: u64,
}

impl Default for Behaviour {
    /// Able to do anything a drill asks of it.
    fn default() -> Self {
        Self { places: 10_000, work_ms: 2 }
    }
}

impl Behaviour {
    /// Requests per second it can answer.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.places as f64 * 1000.0 / self.work_ms.max(1) as f64
    }
}

/// A running origin. It ends when dropped.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    places: Semaphore,
    work_ms: u64,
    present: AtomicUsize,
    peak: AtomicUsize,
}

impl Origin {
    /// Starts one on a free loopback port.
    pub async fn start(behaviour: Behaviour) -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Fault::system("origin socket"))?;
        let address = listener.local_addr().map_err(Fault::system("origin socket"))?;
        let state = Arc::new(State {
            places: Semaphore::new(behaviour.places),
            work_ms: behaviour.work_ms,
            present: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { address, state, accepting })
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Most requests it had at once since last asked.
    #[must_use]
    pub fn take_peak(&self) -> usize {
        self.state.peak.swap(self.state.present.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Connections end with this task, so that a dropped origin is gone at once.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(answer(request, &state).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Counts a request as gone when dropped, also when its connection ends before its answer.
struct Present<'a>(&'a State);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let present = state.present.fetch_add(1, Ordering::Relaxed) + 1;
    state.peak.fetch_max(present, Ordering::Relaxed);
    let _present = Present(state);
    let place = state.places.acquire().await;
    tokio::time::sleep(Duration::from_millis(state.work_ms)).await;
    drop(place);
    let mut response = Response::new(Full::new(Bytes::from_static(b"a page of the origin\n")));
    let fields = response.headers_mut();
    fields.insert(MARK, hyper::header::HeaderValue::from_static("1"));
    fields.insert("content-type", hyper::header::HeaderValue::from_static("text/plain"));
    fields.insert("cache-control", hyper::header::HeaderValue::from_static("no-store"));
    if request.headers().contains_key("x-drill-asked") {
        fields.insert("x-drill-asked-seen", hyper::header::HeaderValue::from_static("1"));
    }
    // What the origin is told is repeated, so that a visitor of a drill can see it.
    if let Some(score) = request.headers().get("cf-bot-score") {
        fields.insert("x-drill-score", score.clone());
    }
    response
}
