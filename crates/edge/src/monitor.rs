//! Active monitors: asking origins whether they are well.

use crate::live::{Live, Origin, Zone};
use crate::process::Process;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use seawall_balance::{Change, Standing};
use seawall_model::{Monitor, MonitorKind};
use seawall_telemetry::timeline::{Event, Kind};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
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

/// Probes every monitored origin when it is due, until the process ends. A candidate's monitors begin when it is
/// adopted: what they find is shared, and would be found by settings that are on trial.
pub(crate) async fn run(process: Arc<Process>) {
    let places = Arc::new(tokio::sync::Semaphore::new(PROBES_MAX));
    let mut interval = tokio::time::interval(LOOK);
    let mut schedule = Schedule::default();
    // Of the process's own: many edges that started together must not probe in step (DESIGN R11).
    let mut random = RandomState::new().hash_one(std::process::id());
    loop {
        interval.tick().await;
        schedule.follow(&process.live.load());
        let now_ms = u64::try_from(process.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        while let Some((zone, p)) = schedule.due(now_ms) {
            let Some(pool) = zone.pools.get(p) else { continue };
            for member in 0..pool.origins.len() {
                // First the place, then the claim: what is claimed and not carried out is lost for an interval.
                let Ok(place) = places.clone().try_acquire_owned() else { break };
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
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

/// Monitored pools in the order in which they are due, so that a look costs what is due and not what there is.
#[derive(Default)]
struct Schedule {
    /// [`Live::monitors`] of the configuration they are from.
    of: u64,
    pools: Vec<(Arc<Zone>, usize)>,
    /// When each is due, with its place in `pools`; the earliest first.
    queue: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Schedule {
    /// Takes over the monitors of a configuration, if they are others.
    fn follow(&mut self, live: &Live) {
        if self.of == live.monitors {
            return;
        }
        self.of = live.monitors;
        let zones = live.zones.monitored().filter_map(|(_, entry)| entry.compiled());
        let pools = zones.flat_map(|zone| {
            let monitored = zone.pools.iter().enumerate().filter(|(_, pool)| pool.doc.monitor.is_some());
            monitored.map(|(p, _)| (zone.clone(), p))
        });
        self.pools = pools.collect();
        let due = |(at, (zone, p)): (usize, &(Arc<Zone>, usize))| {
            let due_ms = zone.pools.get(*p).and_then(|pool| pool.balance.next_probe_ms()).unwrap_or(0);
            Reverse((due_ms, at))
        };
        self.queue = self.pools.iter().enumerate().map(due).collect();
    }

    /// A pool that is due. Each comes once for a time.
    fn due(&mut self, now_ms: u64) -> Option<(Arc<Zone>, usize)> {
        let mut first = self.queue.peek_mut()?;
        let Reverse((due_ms, at)) = *first;
        if due_ms > now_ms {
            return None;
        }
        let (zone, p) = self.pools.get(at)?;
        // Looked at again when its next probe is due, which is known once this one is claimed: at the next look.
        let next_ms = zone.pools.get(*p).and_then(|pool| pool.balance.next_probe_ms()).unwrap_or(0);
        let look_ms = now_ms + u64::try_from(LOOK.as_millis()).unwrap_or(0);
        *first = Reverse((next_ms.max(look_ms), at));
        Some((zone.clone(), *p))
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
        let (name, is_up) = (format!("{}/{}", pool.doc.name, origin.doc.name), change == Change::Up);
        let text = if is_up {
            format!("the monitor finds origin {name} well again")
        } else {
            format!("the monitor finds origin {name} unwell: {why}")
        };
        let kind = if is_up { Kind::OriginUp } else { Kind::OriginDown };
        process.timeline.tell(Event::new(kind, "monitor", text).zone(zone.doc.name.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_monitored_pool_comes_when_it_is_due_and_once_for_a_time() {
        let text = "zone = [{ name = \"a.test\", pool = [
            { name = \"p\", origins = [{ url = \"http://h.test\" }], monitor = { interval = \"10s\" } },
            { name = \"q\", origins = [{ url = \"http://i.test\" }] } ],
            route = [{ path = \"/q\", pool = \"q\" }, { pool = \"p\" }] }]";
        let live = crate::live::tests::live(text);
        let mut schedule = Schedule::default();
        schedule.follow(&live);
        let due = |schedule: &mut Schedule, now_ms: u64| -> Vec<usize> {
            std::iter::from_fn(|| schedule.due(now_ms).map(|(_, p)| p)).collect()
        };
        assert_eq!(due(&mut schedule, 1000), [0], "nobody has asked yet, and the other has no monitor");
        let pool = live.only().unwrap().pools[0].balance.clone();
        assert!(!pool.claim_probe(0, 1000, 5), "the first falls somewhere in the first interval");
        let next_ms = pool.next_probe_ms().unwrap();
        assert!(due(&mut schedule, 1000).is_empty());
        due(&mut schedule, 1250);
        let early_ms = next_ms - 1;
        assert!(due(&mut schedule, early_ms.max(1250)).is_empty(), "not before {next_ms}");
        assert_eq!(due(&mut schedule, next_ms.max(1500)), [0]);
    }
}
