//! What the workers of a process share.

use crate::live::Live;
use arc_swap::ArcSwap;
use seawall_balance::Change;
use seawall_cachestore::Store;
use seawall_httpcache::KeyMaker;
use seawall_net::resolver::Resolver;
use seawall_net::tls::certs::CertStore;
use seawall_net::tls::client::OriginConfigs;
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
    pub resolver: Resolver,
    pub configs: parking_lot::Mutex<OriginConfigs>,
    pub data_dir: PathBuf,
    pub registry: Arc<Registry>,
    /// When each worker last went round, milliseconds since start.
    pub beats: Box<[AtomicU64]>,
}

impl Process {
    /// Puts a new configuration in force.
    pub(crate) fn adopt(&self, live: Live) {
        let generation = live.generation;
        self.live.store(Arc::new(live));
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

    /// A worker says that it lives.
    pub(crate) fn beat(&self, worker: usize) {
        if let Some(beat) = self.beats.get(worker) {
            beat.store(self.elapsed_ms(), Ordering::Relaxed);
        }
    }

    /// How long ago the slowest worker went round, in milliseconds.
    pub(crate) fn slowest_beat_ms(&self) -> u64 {
        let now = self.elapsed_ms();
        self.beats.iter().map(|b| now.saturating_sub(b.load(Ordering::Relaxed))).max().unwrap_or(0)
    }

    /// Whether it serves: a configuration is in force and it is not draining.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire) && !self.live.load().zones.is_empty()
    }

    /// Whether a request for `host` may come over a connection made for `sni`: within one zone, or where the
    /// certificate shown covers both, as browsers assume when they reuse connections (RFC 9113 §9.1.1).
    pub(crate) fn may_serve_over(&self, live: &Live, sni: &str, host: &[u8]) -> bool {
        live.find(sni.as_bytes()) == live.find(host)
            || std::str::from_utf8(host).is_ok_and(|host| self.certs.covers(host))
    }

    /// Notes that an origin's standing changed.
    pub(crate) fn note(&self, change: Option<Change>) {
        if let Some(change) = change {
            tracing::warn!(?change, "an origin's standing changed");
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
