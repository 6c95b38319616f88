//! A worker's connections from the first byte: accepting, PROXY protocol, TLS, and which protocol serves.

use crate::exchange::Client;
use crate::worker::Worker;
use crate::{h1, h2};
use futures_util::FutureExt;
use seawall_model::ProxyProtocol;
use seawall_net::deadline::SWEEP;
use seawall_net::io::{Io, Stream};
use seawall_net::proxy_protocol;
use seawall_net::tls::server::Alpn;
use seawall_telemetry::names::{ClientTimeout, ConnectionKind, Refusal, TlsVersion};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// How long accepting pauses when the process has no descriptor or memory left: connections wait in the backlog.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves the worker's listeners until the process ends.
pub(crate) async fn work(
    w: Rc<Worker>,
    plain: Vec<std::net::TcpListener>,
    secure: Vec<std::net::TcpListener>,
) {
    tokio::task::spawn_local(w.timers.clone().run());
    for (listeners, tls) in [(plain, false), (secure, true)] {
        for listener in listeners {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(tokio::task::spawn_local(accept(w.clone(), listener, tls))),
                Err(fault) => tracing::error!(%fault, "a listening socket cannot be used"),
            }
        }
    }
    let mut interval = tokio::time::interval(SWEEP);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        w.tick();
    }
}

async fn accept(w: Rc<Worker>, listener: TcpListener, tls: bool) {
    // Looked at each time round: what is notified while this task pauses is lost.
    while !w.is_draining() {
        let accepted = tokio::select! {
            biased;
            () = w.drained.notified() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let Some(open) = Open::new(&w) else {
                    w.metrics.refusals.inc(Refusal::ConnectionLimit);
                    continue;
                };
                let w = w.clone();
                tokio::task::spawn_local(async move {
                    let guarded =
                        AssertUnwindSafe(connection(w.clone(), tcp, peer, tls, open)).catch_unwind();
                    // The panic's own message has been printed; this connection ends and no other.
                    if guarded.await.is_err() {
                        w.metrics.panics.inc();
                        seawall_telemetry::occasionally!(ERROR, %peer, "a connection's task panicked and was contained");
                    }
                });
            }
            Err(fault) => {
                w.metrics.refusals.inc(Refusal::Accept);
                seawall_telemetry::occasionally!(WARN, %fault, "a connection could not be accepted; it waits");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A connection that counts.
struct Open(Rc<Worker>);

impl Open {
    /// `None` if there are too many.
    fn new(w: &Rc<Worker>) -> Option<Open> {
        let before = w.process.open.fetch_add(1, Ordering::AcqRel);
        w.process.seats.opened(w.seat);
        let open = Open(w.clone());
        (before < w.process.connections_max).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.process.seats.closed(self.0.seat);
        self.0.process.open.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn connection(w: Rc<Worker>, tcp: TcpStream, peer: SocketAddr, tls: bool, _open: Open) {
    let _ = tcp.set_nodelay(true);
    w.metrics.connection_accepted();
    let kind = Kind { w: w.clone(), now: std::cell::Cell::new(ConnectionKind::Opening) };
    let Some((peer, trusted)) = whose(&w, &tcp, peer).await else { return };
    if !tls {
        kind.becomes(ConnectionKind::Http1);
        let io = Io::new(Stream::Tcp(tcp), &w.timers);
        return h1::serve(w, io, Rc::new(Client::new(peer, trusted, None))).await;
    }
    let live = w.live();
    let acceptor = w.process.acceptor.load_full();
    let started = Instant::now();
    let speaks_h2 = |host: Option<&str>| {
        let zone = host.and_then(|h| live.find(h.as_bytes())).and_then(|z| live.zone(z));
        zone.is_none_or(|z| z.doc.http2)
    };
    let timer = w.timers.timer();
    let accepted =
        Box::pin(timer.limit(live.timeouts.tls_handshake, acceptor.handshake(tcp, speaks_h2))).await;
    drop((live, timer));
    let (stream, info) = match accepted {
        Some(Ok(accepted)) => accepted,
        None => return w.metrics.client_timeouts.inc(ClientTimeout::Handshake),
        Some(Err(_)) => return w.metrics.refusals.inc(Refusal::TlsHandshake),
    };
    let version = if info.version == TlsVersion::V12.name() { TlsVersion::V12 } else { TlsVersion::V13 };
    w.metrics.handshake(
        version,
        info.resumed,
        u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
    let alpn = info.alpn;
    let client = Rc::new(Client::new(peer, trusted, Some(info)));
    let io = Io::new(Stream::TlsServer(Box::new(stream)), &w.timers);
    match alpn {
        Alpn::Http2 => {
            kind.becomes(ConnectionKind::Http2);
            h2::serve(w, io, client).await;
        }
        Alpn::Http1 => {
            kind.becomes(ConnectionKind::Http1Tls);
            h1::serve(w, io, client).await;
        }
    }
}

/// Who is at the other end: the peer, or whom a trusted proxy names. `None` refuses the connection.
async fn whose(w: &Rc<Worker>, tcp: &TcpStream, peer: SocketAddr) -> Option<(SocketAddr, bool)> {
    let live = w.live();
    let trusted = live.trust.trusts(peer.ip());
    let required = match live.proxy_protocol {
        ProxyProtocol::Off => return Some((peer, trusted)),
        ProxyProtocol::Optional if !trusted => return Some((peer, trusted)),
        ProxyProtocol::Required if !trusted => {
            w.metrics.refusals.inc(Refusal::ProxyProtocol);
            return None;
        }
        ProxyProtocol::Optional => false,
        ProxyProtocol::Required => true,
    };
    let timer = w.timers.timer();
    let read = timer.limit(live.timeouts.header, proxy_protocol::read(tcp, required)).await;
    match read {
        Some(Ok(header)) => {
            let named = header.and_then(|h| h.source);
            Some(named.map_or((peer, trusted), |source| (source, live.trust.trusts(source.ip()))))
        }
        Some(Err(fault)) => {
            w.metrics.refusals.inc(Refusal::ProxyProtocol);
            tracing::debug!(%peer, %fault, "PROXY protocol");
            None
        }
        None => {
            w.metrics.client_timeouts.inc(ClientTimeout::Header);
            None
        }
    }
}

/// Counts a connection under what it is used for.
struct Kind {
    w: Rc<Worker>,
    now: std::cell::Cell<ConnectionKind>,
}

impl Kind {
    fn becomes(&self, kind: ConnectionKind) {
        self.w.metrics.connection_becomes(self.now.replace(kind), kind);
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        self.w.metrics.connection_closed(self.now.get());
    }
}
