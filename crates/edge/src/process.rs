//! What the workers of a process share.

use crate::live::{Live, Means, Retired};
use crate::recorder::Recorder;
use crate::seats::Seats;
use arc_swap::ArcSwap;
use seawall_balance::Change;
use seawall_cachestore::Store;
use seawall_httpcache::KeyMaker;
use seawall_net::tls::certs::CertStore;
use seawall_net::tls::server::Acceptor;
use seawall_net::tls::tickets::TicketKeys;
use seawall_telemetry::Registry;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Shared by all workers; what changes in it is swapped whole or counted.
pub(crate) struct Process {
    pub live: ArcSwap<Live>,
    /// Generation of `live`, for a cheap look whether it changed.
    pub generation: AtomicU64,
    pub draining: AtomicBool,
    /// Tells those who wait that the drain has begun, at whatever moment they begin to wait.
    pub drain_begun: tokio::sync::watch::Sender<bool>,
    /// Client connections open now.
    pub open: AtomicUsize,
    /// Most of them.
    pub connections_max: usize,
    pub start: Instant,
    pub store: Store,
    pub keys: KeyMaker,
    pub certs: Arc<CertStore>,
    pub tickets: Arc<TicketKeys>,
    pub acceptor: ArcSwap<Acceptor>,
    /// What zones are compiled with.
    pub means: Arc<Means>,
    /// Configurations that were in force before.
    pub retired: Retired,
    pub data_dir: PathBuf,
    pub registry: Arc<Registry>,
    /// The threads that serve.
    pub seats: Seats,
    /// What they have in hand, and which snapshots run.
    pub recorder: Recorder,
}

impl Process {
    /// Puts a new configuration in force.
    pub(crate) fn adopt(&self, live: Live) {
        let generation = live.generation;
        live.settle();
        self.retired.push(self.live.swap(Arc::new(live)));
        self.generation.store(generation, Ordering::Release);
    }

    /// Begins a drain: accepts nothing more, on any socket.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain_begun.send_replace(true);
    }

    /// Waits until a drain begins.
    pub(crate) async fn drained(&self) {
        // Fails only without a sender, and the sender is ours.
        let _ = self.drain_begun.subscribe().wait_for(|begun| *begun).await;
    }

    /// The thread of a seat says that it lives.
    pub(crate) fn beat(&self, seat: usize) {
        self.seats.beat(seat, self.elapsed_ms());
    }

    /// How long ago the slowest worker went round, in milliseconds.
    pub(crate) fn slowest_beat_ms(&self) -> u64 {
        self.seats.slowest_ms(self.elapsed_ms())
    }

    /// Whether it serves: a configuration is in force and it is not draining.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire) && self.live.load().zones.len() > 0
    }

    /// Whether a request for `host` may come over a connection made for `sni`: within one zone, or where the
    /// certificate shown covers both, as browsers assume when they reuse connections (RFC 9113 §9.1.1).
    pub(crate) fn may_serve_over(&self, live: &Live, sni: &str, host: &[u8]) -> bool {
        live.find(sni.as_bytes()) == live.find(host)
            || std::str::from_utf8(host).is_ok_and(|host| self.certs.covers(host))
    }

    /// The watchdog found a worker stuck. Called on its thread: must not wait.
    pub(crate) fn worker_stuck(&self, stuck: crate::watchdog::Stuck) {
        tracing::error!(?stuck, "a worker is stuck");
    }

    /// Notes that an origin's standing changed.
    pub(crate) fn note(&self, change: Option<Change>) {
        if let Some(change) = change {
            tracing::warn!(?change, "an origin's standing changed");
        }
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
