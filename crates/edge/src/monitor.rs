//! Active monitors: asking origins whether they are well.

use crate::live::{Origin, Zone};
use crate::process::Process;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use seawall_balance::Standing;
use seawall_model::{Monitor, MonitorKind};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How often due probes are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// Probes under way at once.
const PROBES_MAX: usize = 256;
/// Bytes of a body searched for the expected text.
const BODY_MAX: usize = 64 * 1024;

/// Probes every monitored origin when it is due, until the process ends.
pub(crate) async fn run(process: Arc<Process>) {
    let places = Arc::new(tokio::sync::Semaphore::new(PROBES_MAX));
    let mut interval = tokio::time::interval(LOOK);
    // Of the process's own: many edges that started together must not probe in step (DESIGN R11).
    let mut random = RandomState::new().hash_one(std::process::id());
    loop {
        interval.tick().await;
        let live = process.live.load_full();
        let now_ms = u64::try_from(process.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        for zone in live.zones.monitored().filter_map(|(_, entry)| entry.compiled()) {
            for (p, pool) in zone.pools.iter().enumerate() {
                if pool.balance.next_probe_ms().is_none_or(|due| due > now_ms) {
                    continue;
                }
                for member in 0..pool.origins.len() {
                    // First the place, then the claim: what is claimed and not carried out is lost for an interval.
                    let Ok(place) = places.clone().try_acquire_owned() else { break };
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    if !pool.balance.claim_probe(member, now_ms, random) {
                        continue;
                    }
                    let (process, zone) = (process.clone(), zone.clone());
                    tokio::spawn(async move {
                        probe(&process, &zone, p, member).await;
                        drop(place);
                    });
                }
            }
        }
    }
}

async fn probe(process: &Process, zone: &Zone, pool: usize, member: usize) {
    let Some(pool) = zone.pools.get(pool) else { return };
    let (Some(origin), Some(monitor)) = (pool.origins.get(member), &pool.doc.monitor) else { return };
    let asked = tokio::time::timeout(monitor.timeout, ask(origin, monitor)).await;
    let verdict = asked.unwrap_or_else(|_| Err("no answer in time".into()));
    let change = pool.balance.probe_result(member, verdict.is_ok());
    let standing =
        pool.balance.standing(member, u64::try_from(process.start.elapsed().as_millis()).unwrap_or(0));
    process.registry.set_origin_health(origin.slot, standing != Some(Standing::Down));
    if let Some(change) = change {
        let why = verdict.err().unwrap_or_default();
        tracing::warn!(
            zone = zone.doc.name,
            pool = pool.doc.name,
            origin = origin.doc.name,
            ?change,
            why,
            "a monitor changed its mind"
        );
    }
}

async fn ask(origin: &Origin, monitor: &Monitor) -> Result<(), String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let found = origin.address.addresses(u64::try_from(now).unwrap_or(0)).await.map_err(|e| e.to_string())?;
    let ip = found.iter().next().ok_or("the name has no address")?;
    let peer = SocketAddr::new(ip, origin.doc.url.port);
    let tcp = TcpStream::connect(peer).await.map_err(|e| e.to_string())?;
    match (monitor.kind, &origin.tls) {
        (MonitorKind::Tcp, _) => Ok(()),
        (MonitorKind::Https, Some(tls)) => {
            // Asked in HTTP/1, whatever requests are sent in.
            let tls = origin.tls_http1.as_ref().unwrap_or(tls);
            let (stream, _) = tls.connect(tcp).await.map_err(|e| e.to_string())?;
            http(stream, origin, monitor).await
        }
        _ => http(tcp, origin, monitor).await,
    }
}

async fn http<IO>(stream: IO, origin: &Origin, monitor: &Monitor) -> Result<(), String>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let text = |e: hyper::Error| e.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let driver = tokio::spawn(connection);
    let host = monitor
        .host
        .clone()
        .or_else(|| origin.doc.host.clone())
        .unwrap_or_else(|| origin.doc.url.authority());
    let request = hyper::Request::builder()
        .method(monitor.method.as_str())
        .uri(&monitor.path)
        .header("Host", host)
        .header("User-Agent", concat!("seawall-monitor/", env!("CARGO_PKG_VERSION")))
        .header("Connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(text)?;
    let status = response.status().as_u16();
    let verdict = if !monitor.expects(status) {
        Err(format!("status {status}"))
    } else if let Some(wanted) = &monitor.expect_body {
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await.map_err(|e| e.to_string())?;
        match memchr::memmem::find(&body.to_bytes(), wanted.as_bytes()) {
            Some(_) => Ok(()),
            None => Err("the body lacks the expected text".into()),
        }
    } else {
        Ok(())
    };
    driver.abort();
    verdict
}
