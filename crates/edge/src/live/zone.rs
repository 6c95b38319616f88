//! A zone as requests use it.

use crate::cohort::Cohort;
use seawall_balance as balance;
use seawall_httpcache as httpcache;
use seawall_model as model;
use seawall_net::resolver::Name;
use seawall_net::tls::client::OriginTls;
use seawall_telemetry::{OriginSlot, ZoneSlot};
use std::sync::Arc;

/// A zone, compiled.
pub(crate) struct Zone {
    /// Without its pools and routes: those stand below, each with its own document, and not twice.
    pub doc: model::Zone,
    /// Where it is counted.
    pub slot: ZoneSlot,
    pub routes: Vec<Route>,
    pub pools: Vec<Pool>,
    /// The guarded modules it uses.
    pub stages: crate::stages::Stages,
    /// First bytes of its unit's hash, never 0: what the crash recorder keeps of it.
    pub unit: u64,
}

/// A route, compiled.
pub(crate) struct Route {
    pub doc: model::Route,
    /// Index in the zone's pools.
    pub pool: usize,
    pub cache: httpcache::Policy,
    pub query: httpcache::QueryRule,
    pub compression: bool,
    /// Nothing to match but everything: the usual route of a small zone.
    pub is_plain: bool,
}

/// A pool, compiled.
pub(crate) struct Pool {
    /// Without its origins: they stand below.
    pub doc: model::Pool,
    pub balance: Arc<balance::Pool>,
    pub origins: Vec<Origin>,
    /// Indexes of pools to go on to, in order.
    pub fallback: Vec<usize>,
}

/// One origin of a pool.
pub(crate) struct Origin {
    /// Same as long as connections to it may be reused, over reloads too.
    pub id: OriginId,
    /// Where it is counted.
    pub slot: OriginSlot,
    pub doc: model::Origin,
    pub address: Name,
    pub tls: Option<OriginTls>,
    /// The same without HTTP/2, for WebSockets.
    pub tls_http1: Option<OriginTls>,
    /// Host to send instead of the client's.
    pub host: Option<Box<[u8]>>,
}

/// Says which connections an origin may use: half of a SHA-256 over all that a connection depends on. Being computed, it
/// needs no table of all origins; and nobody can make an origin that gets another's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OriginId(u128);

impl OriginId {
    pub(crate) fn of(doc: &model::Origin) -> OriginId {
        let text = format!("{} {:?} {} {:?} {}", doc.url, doc.tls, doc.server_name(), doc.ca, doc.http2);
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let half = hash.as_ref().first_chunk::<16>().copied().unwrap_or_default();
        OriginId(u128::from_le_bytes(half))
    }
}

impl Zone {
    /// The first route that fits.
    pub(crate) fn route(&self, host: &[u8], method: &[u8], path: &[u8]) -> Option<&Route> {
        self.routes.iter().find(|r| r.is_plain || r.doc.matches(host, method, path))
    }

    /// Whether a module is skipped here because it failed.
    pub(crate) fn is_open(&self, module: model::Module) -> bool {
        self.stages.part(module).is_some_and(|part| !part.breaker(Cohort::Current).is_closed())
    }
}
