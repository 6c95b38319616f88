//! Connections to origins: a worker's own, kept for the next request.

use crate::live::{Origin, OriginId, milliseconds};
use crate::worker::Worker;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use seawall_balance as balance;
use seawall_http::Fault;
use seawall_net::body::BodyFault;
use seawall_net::io::{Io, Stream};
use seawall_net::tls::client::{OriginTls, OriginTlsError};
use seawall_telemetry::OriginSlot;
use seawall_telemetry::names as telemetry;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::TcpStream;

/// Idle connections a worker keeps to one origin, in number. More than any steady load leaves idle; a burst's surplus
/// is closed.
const IDLE_MAX: usize = 256;
/// HTTP/2 connections a worker opens to one origin before requests share streams beyond what it likes.
const H2_CONNECTIONS_MAX: usize = 4;

/// Why an origin gave no response; each stands for one error code of Cloudflare's.
#[derive(Debug, Error)]
pub(crate) enum OriginFault {
    #[error("{0}")]
    Dns(#[from] seawall_net::resolver::ResolveError),
    #[error("the origin refused the connection ({0})")]
    Refused(SocketAddr),
    #[error("no connection to the origin within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    #[error("the origin cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("no connection can be opened here: {0}")]
    Local(io::Error),
    #[error("{0}")]
    Tls(#[from] OriginTlsError),
    #[error("the origin closed the connection without a response")]
    Closed,
    #[error("the connection to the origin broke: {0}")]
    Broken(io::Error),
    #[error("the origin's response is malformed: {0}")]
    Malformed(Fault),
    #[error("the origin sent no response within {} ms", .0.as_millis())]
    ResponseTimeout(Duration),
    #[error("the origin's body broke off: {0}")]
    Body(BodyFault),
    #[error("HTTP/2 to the origin: {0}")]
    H2(h2::Error),
    #[error("the origin's answer to the WebSocket handshake is wrong")]
    WebSocket,
}

impl OriginFault {
    /// The status of the error page (Cloudflare's 5xx codes).
    pub(crate) fn code(&self) -> u16 {
        match self {
            OriginFault::Dns(_) => 1016,
            OriginFault::Refused(_) => 521,
            OriginFault::ConnectTimeout(_) => 522,
            OriginFault::Unreachable(_) => 523,
            OriginFault::Local(_) => 502,
            OriginFault::Tls(fault) => fault.status(),
            OriginFault::ResponseTimeout(_) => 524,
            OriginFault::Closed
            | OriginFault::Broken(_)
            | OriginFault::Malformed(_)
            | OriginFault::Body(_)
            | OriginFault::H2(_)
            | OriginFault::WebSocket => 520,
        }
    }

    /// What it says of the origin to its pool.
    pub(crate) fn outcome(&self) -> balance::Outcome {
        match self {
            OriginFault::Dns(_)
            | OriginFault::Refused(_)
            | OriginFault::ConnectTimeout(_)
            | OriginFault::Unreachable(_)
            | OriginFault::Tls(_) => balance::Outcome::ConnectFailed,
            OriginFault::Local(_) => balance::Outcome::ClientGone,
            OriginFault::ResponseTimeout(_) => balance::Outcome::Timeout,
            _ => balance::Outcome::BadResponse,
        }
    }

    /// The word it is counted under.
    pub(crate) fn kind(&self) -> telemetry::OriginFault {
        use telemetry::OriginFault as Kind;
        match self {
            OriginFault::Dns(_) => Kind::Resolve,
            OriginFault::Refused(_) | OriginFault::Unreachable(_) | OriginFault::Local(_) => Kind::Connect,
            OriginFault::ConnectTimeout(_) => Kind::ConnectTimeout,
            OriginFault::Tls(_) => Kind::Tls,
            OriginFault::ResponseTimeout(_) => Kind::ResponseTimeout,
            OriginFault::Malformed(_) | OriginFault::WebSocket => Kind::Malformed,
            OriginFault::Closed | OriginFault::Broken(_) | OriginFault::Body(_) | OriginFault::H2(_) => {
                Kind::Broken
            }
        }
    }

    /// Whether the request certainly did not reach the origin's application, so that any method may be sent again.
    pub(crate) fn is_before_request(&self) -> bool {
        matches!(
            self,
            OriginFault::Dns(_)
                | OriginFault::Refused(_)
                | OriginFault::ConnectTimeout(_)
                | OriginFault::Unreachable(_)
                | OriginFault::Local(_)
                | OriginFault::Tls(_)
        ) || matches!(self, OriginFault::H2(e) if e.reason() == Some(h2::Reason::REFUSED_STREAM))
    }
}

/// A connection speaking HTTP/1.
pub(crate) struct H1Origin {
    /// Counted, since a request's body may still be on its way while the response is read.
    pub io: Rc<Io>,
    pub buf: BytesMut,
    pub peer: SocketAddr,
    /// Whether it served a request before.
    pub reused: bool,
    counted: Counted,
}

/// A connection an exchange may use.
pub(crate) enum Connection {
    H1(Box<H1Origin>),
    H2 { send: SendRequest<Bytes>, peer: SocketAddr, reused: bool, lease: Lease },
}

/// Counts a connection against the origin's limit and in the metrics while it is open.
struct Counted {
    connection: balance::Connection,
    slot: OriginSlot,
    w: Weak<Worker>,
}

impl Counted {
    fn new(w: &Rc<Worker>, slot: OriginSlot, connection: balance::Connection) -> Counted {
        w.metrics.origin_connected(slot);
        Counted { connection, slot, w: Rc::downgrade(w) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(w) = self.w.upgrade() {
            w.metrics.origin_disconnected(self.slot);
        }
    }
}

/// A stream's share of an HTTP/2 connection to an origin.
pub(crate) struct Lease(Rc<Cell<usize>>);

impl Lease {
    fn new(streams: &Rc<Cell<usize>>) -> Lease {
        streams.set(streams.get() + 1);
        Lease(streams.clone())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// How long the parts of connecting took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectTimes {
    pub resolve_us: Option<u64>,
    pub connect_us: Option<u64>,
    pub tls_us: Option<u64>,
}

struct Idle {
    origin: Box<H1Origin>,
    until_ms: u64,
}

/// An HTTP/2 connection that requests share.
struct Shared {
    send: SendRequest<Bytes>,
    peer: SocketAddr,
    /// Open on it now.
    streams: Rc<Cell<usize>>,
    /// Cleared when the connection has ended.
    alive: Rc<Cell<bool>>,
    /// Without streams, it is kept until then.
    until_ms: u64,
}

/// A worker's connections to all origins.
#[derive(Default)]
pub(crate) struct Upstreams {
    idle: RefCell<HashMap<OriginId, Vec<Idle>, rapidhash::fast::RandomState>>,
    h2: RefCell<HashMap<OriginId, Vec<Shared>, rapidhash::fast::RandomState>>,
}

impl Upstreams {
    /// An idle connection that looks alive, the one used last.
    fn take(&self, id: OriginId) -> Option<Box<H1Origin>> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&id)?;
        while let Some(Idle { mut origin, .. }) = list.pop() {
            if !origin.io.is_stirring() {
                origin.reused = true;
                return Some(origin);
            }
        }
        None
    }

    /// Keeps a connection for later, if it is within limits.
    pub(crate) fn give(
        &self,
        w: &Worker,
        origin: &Origin,
        mut connection: Box<H1Origin>,
        idle_for: Duration,
    ) {
        if !connection.counted.connection.may_idle() || w.is_draining() {
            return;
        }
        connection.io.timer().clear();
        w.buffers.give_read(std::mem::take(&mut connection.buf));
        let until_ms = w.timers.now_ms() + milliseconds(idle_for);
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(origin.id).or_default();
        if list.len() < IDLE_MAX {
            list.push(Idle { origin: connection, until_ms });
        }
    }

    /// Closes what has been idle too long. Called about once a second.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|i| i.until_ms > now_ms);
            !list.is_empty()
        });
        self.h2.borrow_mut().retain(|_, list| {
            list.retain(|s| s.alive.get() && (s.streams.get() > 0 || s.until_ms > now_ms));
            !list.is_empty()
        });
    }

    /// A connection to the origin: a kept one, or a new one. `fresh` asks for a new one.
    pub(crate) async fn connect(
        &self,
        w: &Rc<Worker>,
        origin: &Origin,
        pool: &std::sync::Arc<balance::Pool>,
        member: usize,
        timeouts: &seawall_model::PoolTimeouts,
        fresh: bool,
        http2: bool,
    ) -> Result<(Connection, ConnectTimes), OriginFault> {
        let until_ms = w.timers.now_ms() + milliseconds(timeouts.idle);
        if !fresh {
            if http2
                && origin.doc.http2
                && let Some(shared) = self.take_h2(origin.id, until_ms)
            {
                return Ok((shared, ConnectTimes::default()));
            }
            if let Some(mut kept) = self.take(origin.id) {
                kept.buf = w.buffers.read();
                return Ok((Connection::H1(kept), ConnectTimes::default()));
            }
        }
        let counted = pool.connected(member);
        let mut times = ConnectTimes::default();
        let timer = w.timers.timer();
        let tls = if http2 { &origin.tls } else { &origin.tls_http1 };
        let opened = timer.limit(timeouts.connect, open(w, origin, tls, &mut times)).await;
        let (io, peer, http2) = opened.unwrap_or(Err(OriginFault::ConnectTimeout(timeouts.connect)))?;
        let counted = Counted::new(w, origin.slot, counted);
        if !http2 {
            let buf = w.buffers.read();
            return Ok((
                Connection::H1(Box::new(H1Origin { io: Rc::new(io), buf, peer, reused: false, counted })),
                times,
            ));
        }
        let opened = self.start_h2(origin.id, io, peer, counted, until_ms);
        let connection = timer.limit(timeouts.connect, opened).await;
        Ok((connection.unwrap_or(Err(OriginFault::ConnectTimeout(timeouts.connect)))?, times))
    }

    /// A shared connection with room for a stream; the one with the fewest if all that there may be are full.
    fn take_h2(&self, id: OriginId, until_ms: u64) -> Option<Connection> {
        let mut h2 = self.h2.borrow_mut();
        let list = h2.get_mut(&id)?;
        list.retain(|s| s.alive.get());
        let full = list.len() >= H2_CONNECTIONS_MAX;
        let least = list.iter_mut().min_by_key(|s| s.streams.get())?;
        if !full && least.streams.get() >= least.send.current_max_send_streams() {
            return None;
        }
        least.until_ms = until_ms;
        let (send, peer) = (least.send.clone(), least.peer);
        Some(Connection::H2 { send, peer, reused: true, lease: Lease::new(&least.streams) })
    }

    async fn start_h2(
        &self,
        id: OriginId,
        io: Io,
        peer: SocketAddr,
        counted: Counted,
        until_ms: u64,
    ) -> Result<Connection, OriginFault> {
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_header_list_size(64 * 1024)
            .handshake::<_, Bytes>(io)
            .await
            .map_err(OriginFault::H2)?;
        let alive = Rc::new(Cell::new(true));
        let streams = Rc::<Cell<usize>>::default();
        let lives = alive.clone();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
            lives.set(false);
            drop(counted);
        });
        let send = send.ready().await.map_err(OriginFault::H2)?;
        let lease = Lease::new(&streams);
        let shared = Shared { send: send.clone(), peer, streams, alive, until_ms };
        self.h2.borrow_mut().entry(id).or_default().push(shared);
        Ok(Connection::H2 { send, peer, reused: false, lease })
    }
}

/// Resolves, connects and encrypts.
async fn open(
    w: &Rc<Worker>,
    origin: &Origin,
    tls: &Option<OriginTls>,
    times: &mut ConnectTimes,
) -> Result<(Io, SocketAddr, bool), OriginFault> {
    let now = w.unix_ms();
    let addresses = match origin.address.known(now) {
        Some(known) => known,
        None => {
            let start = Instant::now();
            let found = origin.address.addresses(now).await?;
            times.resolve_us = Some(micros(start));
            found
        }
    };
    let start = Instant::now();
    let mut last = None;
    for ip in addresses.iter() {
        match dial(ip, origin.doc.url.port).await {
            Ok((tcp, peer)) => {
                times.connect_us = Some(micros(start));
                let Some(tls) = tls else {
                    return Ok((Io::new(Stream::Tcp(tcp), &w.timers), peer, false));
                };
                let start = Instant::now();
                let (stream, info) = tls.connect(tcp).await?;
                times.tls_us = Some(micros(start));
                return Ok((Io::new(Stream::TlsClient(Box::new(stream)), &w.timers), peer, info.http2));
            }
            Err(fault) => last = Some(fault),
        }
    }
    Err(last.unwrap_or_else(|| OriginFault::Unreachable(io::ErrorKind::AddrNotAvailable.into())))
}

async fn dial(ip: IpAddr, port: u16) -> Result<(TcpStream, SocketAddr), OriginFault> {
    let peer = SocketAddr::new(ip, port);
    match TcpStream::connect(peer).await {
        Ok(tcp) => {
            tcp.set_nodelay(true).map_err(OriginFault::Broken)?;
            Ok((tcp, peer))
        }
        Err(e) => Err(match e.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => OriginFault::Refused(peer),
            io::ErrorKind::TimedOut => OriginFault::ConnectTimeout(Duration::from_secs(0)),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => OriginFault::Unreachable(e),
            // No descriptors or ports left is our own trouble.
            _ if matches!(e.raw_os_error(), Some(23 | 24 | 99 | 12)) => OriginFault::Local(e),
            _ => OriginFault::Unreachable(e),
        }),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
