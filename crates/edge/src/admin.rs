//! Health, metrics and orders: HTTP/1 on addresses of their own, served by hyper off the workers' threads.

use crate::orders;
use crate::process::Process;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use seawall_cachestore::Purge;
use seawall_telemetry::metrics::CONTENT_TYPE;
use std::convert::Infallible;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest order, in bytes.
const ORDER_MAX: usize = 1024 * 1024;
/// Longest list in one purge order.
const PURGE_MAX: usize = 500;
/// How long a head may take to arrive here.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections served at once; more wait in the backlog.
const CONNECTIONS_MAX: usize = 64;
/// A worker that has not gone round for this long makes the edge unready, in milliseconds.
const PULSE_MAX_MS: u64 = 5_000;

/// Serves both sockets until a drain begins: they are shared with the edge that follows, whose turn it is then.
pub(crate) async fn run(process: Arc<Process>, metrics: Option<TcpListener>, admin: Option<UnixListener>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::join!(pages(process.clone(), metrics, places.clone()), orders(process, admin, places));
}

async fn pages(process: Arc<Process>, listener: Option<TcpListener>, places: Arc<Semaphore>) {
    let Some(listener) = listener.and_then(|l| {
        l.set_nonblocking(true).ok()?;
        tokio::net::TcpListener::from_std(l).ok()
    }) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = process.drained() => return,
            accepted = next(&places, listener.accept()) => accepted,
        };
        match accepted {
            Ok((place, (stream, _))) => {
                let process = process.clone();
                tokio::spawn(async move {
                    serve(stream, process, false).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn orders(process: Arc<Process>, listener: Option<UnixListener>, places: Arc<Semaphore>) {
    let Some(listener) = listener.and_then(|l| {
        l.set_nonblocking(true).ok()?;
        tokio::net::UnixListener::from_std(l).ok()
    }) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = process.drained() => return,
            accepted = next(&places, listener.accept()) => accepted,
        };
        match accepted {
            Ok((place, (stream, _))) => {
                let process = process.clone();
                tokio::spawn(async move {
                    serve(stream, process, true).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The next connection, once there is a place for it.
async fn next<T>(
    places: &Arc<Semaphore>,
    accept: impl Future<Output = std::io::Result<T>>,
) -> std::io::Result<(OwnedSemaphorePermit, T)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    Ok((place, accept.await?))
}

async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(stream: IO, process: Arc<Process>, may_order: bool) {
    let of_service = process.clone();
    let service = service_fn(move |request| {
        let process = of_service.clone();
        async move { Ok::<_, Infallible>(answer(request, &process, may_order).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = process.drained() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, process: &Process, may_order: bool) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => text(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => match unready(process) {
            None => text(StatusCode::OK, "ready\n"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        (&Method::GET, "/metrics") => {
            let mut page = text(StatusCode::OK, process.registry.expose());
            page.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
            page
        }
        (&Method::GET, "/summary") if may_order => match serde_json::to_string(&process.registry.summary()) {
            Ok(json) => text(StatusCode::OK, json),
            Err(fault) => text(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()),
        },
        (&Method::POST, "/purge") if may_order => purge(request, process).await,
        (&Method::GET | &Method::POST, _) if may_order => changes(request, process).await,
        _ => text(StatusCode::NOT_FOUND, "here are /livez, /readyz and /metrics\n"),
    }
}

/// Orders and questions about changes (`crate::orders`).
async fn changes(request: Request<Incoming>, process: &Process) -> Response<Full<Bytes>> {
    let Some(handle) = process.rollout.get() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the edge is still starting\n");
    };
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, ORDER_MAX).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the order is too long\n");
    };
    let body = body.to_bytes();
    let (status, answer) = match (head.method, head.uri.path()) {
        (Method::GET, "/snapshot") => orders::snapshot(handle),
        (Method::GET, "/modules") => orders::modules(process),
        (Method::GET, "/timeline") => orders::timeline(process, head.uri.query().unwrap_or("")),
        (Method::POST, "/snapshot/apply") => orders::apply(process, handle, &body),
        (Method::POST, "/snapshot/rollback") => orders::rollback(handle, &body),
        (Method::POST, "/snapshot/unpin") => orders::unpin(handle, &body),
        (Method::POST, "/module") => orders::switch(handle, &body),
        _ => return text(StatusCode::NOT_FOUND, "there is no such order\n"),
    };
    text(status, answer)
}

fn unready(process: &Process) -> Option<&'static str> {
    if process.slowest_beat_ms() > PULSE_MAX_MS {
        Some("a worker hangs\n")
    } else if process.is_ready() {
        None
    } else {
        Some("draining, or no zone is loaded\n")
    }
}

/// Purges what the order names. An empty order is an error, never everything (DESIGN R8).
async fn purge(request: Request<Incoming>, process: &Process) -> Response<Full<Bytes>> {
    let Ok(body) = Limited::new(request.into_body(), ORDER_MAX).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the order is too long\n");
    };
    let order: Order = match serde_json::from_slice(&body.to_bytes()) {
        Ok(order) => order,
        Err(fault) => return text(StatusCode::BAD_REQUEST, format!("the order cannot be read: {fault}\n")),
    };
    match order.carry_out(process) {
        Ok(count) => text(StatusCode::OK, format!("{{\"purged\":{count}}}\n")),
        Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    }
}

/// A purge, in the words of Cloudflare's API.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    zone: Option<String>,
    files: Vec<String>,
    hosts: Vec<String>,
    prefixes: Vec<String>,
    tags: Vec<String>,
    purge_everything: bool,
}

impl Order {
    fn carry_out(&self, process: &Process) -> Result<usize, String> {
        let lists = [&self.files, &self.hosts, &self.prefixes, &self.tags];
        let count: usize = lists.iter().map(|l| l.len()).sum();
        if lists.iter().any(|l| l.iter().any(|e| e.trim().is_empty())) {
            return Err("an entry is empty, and that does not mean everything".into());
        }
        if count > PURGE_MAX {
            return Err(format!("{count} entries in one order; the limit is {PURGE_MAX}"));
        }
        if count == 0 && !self.purge_everything {
            return Err("the order names nothing, and that does not mean everything".into());
        }
        if count > 0 && self.purge_everything {
            return Err("the order names some and everything: which?".into());
        }
        let live = process.live.load();
        let every_zone = self.zone.as_deref() == Some("*");
        let named = match &self.zone {
            Some(_) if every_zone && self.purge_everything => None,
            Some(name) => Some(live.named(name).ok_or("there is no such zone")?),
            None => None,
        };
        let store = &process.store;
        if self.purge_everything {
            match named {
                Some(zone) => store.purge(&Purge::Zone { zone: &zone.doc.name }),
                None if every_zone || live.zones.len() <= 1 => store.purge(&Purge::Everything),
                None => {
                    let count = live.zones.len();
                    return Err(format!(
                        "everything of which zone? There are {count}: name one, or \"*\" for all of them"
                    ));
                }
            }
            return Ok(1);
        }
        let zone_of = |host: &str| -> Result<String, String> {
            let zone = match named {
                Some(zone) => Some(zone),
                None => live.find(host.as_bytes()).and_then(|z| live.zone(z)),
            };
            zone.map(|z| z.doc.name.clone()).ok_or_else(|| format!("no zone serves {host}"))
        };
        // All are understood before the first is carried out.
        let mut urls = Vec::new();
        for entry in &self.files {
            let (host, target) = split(entry)?;
            urls.push((zone_of(&host)?, host, target));
        }
        let mut prefixes = Vec::new();
        for entry in &self.prefixes {
            let (host, path) = split(entry)?;
            prefixes.push((zone_of(&host)?, host, path));
        }
        let mut hosts = Vec::new();
        for entry in &self.hosts {
            // A port is passed over, as objects are known by the name alone; a path would purge more than was meant.
            let (host, target) = split(entry)?;
            if target != "/" {
                return Err(format!("{entry} is more than a host: purge it as a file or a prefix"));
            }
            hosts.push((zone_of(&host)?, host));
        }
        if !self.tags.is_empty() && named.is_none() && live.zones.len() != 1 {
            return Err("tags belong to a zone: name it".into());
        }
        let tagged = named.or_else(|| live.only());
        for (zone, host, target) in &urls {
            if let Some(zone) = live.named(zone) {
                crate::cached::purge_url(store, zone, host.as_bytes(), target.as_bytes());
            }
        }
        for (zone, host, path) in &prefixes {
            store.purge(&Purge::Prefix { zone, host: host.as_bytes(), path: path.as_bytes() });
        }
        for (zone, host) in &hosts {
            store.purge(&Purge::Host { zone, host: host.as_bytes() });
        }
        for tag in &self.tags {
            if let Some(zone) = tagged {
                store.purge(&Purge::Tag { zone: &zone.doc.name, tag: tag.trim().as_bytes() });
            }
        }
        Ok(count)
    }
}

/// A URL, with or without scheme, as host (lower case, without port) and path with query.
fn split(entry: &str) -> Result<(String, String), String> {
    let entry = entry.trim();
    let rest = entry.split_once("://").map_or(entry, |(_, rest)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).ok_or("cannot be split")?;
    let host = authority
        .rsplit_once(':')
        .filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit()))
        .map_or(authority, |(h, _)| h);
    if host.is_empty() {
        return Err(format!("{entry} names no host"));
    }
    let target = match target {
        "" => "/".to_owned(),
        t if t.starts_with('?') => format!("/{t}"),
        t => t.split('#').next().unwrap_or(t).to_owned(),
    };
    Ok((host.to_ascii_lowercase(), target))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_into_host_and_target() {
        for (entry, host, target) in [
            ("https://A.test/x?y#z", "a.test", "/x?y"),
            ("http://a.test:8080", "a.test", "/"),
            ("a.test/p/", "a.test", "/p/"),
            ("a.test?q", "a.test", "/?q"),
        ] {
            assert_eq!(split(entry), Ok((host.into(), target.into())), "{entry}");
        }
        assert!(split("/path").is_err() && split("https://").is_err());
    }
}
