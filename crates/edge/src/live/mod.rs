//! The configuration as the workers use it: compiled off the request path, swapped whole, and made from the one before
//! by changing what has changed.
//!
//! A [`Live`] holds the settings of the edge and a [`Table`](table) of zones. Two of them share every zone that is the
//! same in both, so that another zone costs the same whether there are ten or a hundred thousand. An [`Entry`](entry) is
//! one version of a zone: its document always, and the compiled [`Zone`] once a request needs it.

mod compile;
mod entry;
pub(crate) mod retired;
pub(crate) mod sharded;
mod table;
mod zone;

pub(crate) use compile::{CompileError, Means, milliseconds};
pub(crate) use entry::Entry;
pub(crate) use retired::Retired;
pub(crate) use table::Table;
pub(crate) use zone::{Origin, OriginId, Pool, Route, Zone};

use seawall_http::h1::Limits;
use seawall_model as model;
use seawall_net::client_addr::Trust;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every worker serves by.
pub(crate) struct Live {
    pub generation: u64,
    pub zones: Table,
    means: Arc<Means>,
    pub head_limits: Limits,
    pub timeouts: model::Timeouts,
    pub body_bytes: Option<u64>,
    pub requests_per_connection: Option<u32>,
    pub h2_streams: u32,
    pub trust: Trust,
    pub proxy_protocol: model::ProxyProtocol,
    pub node: Box<str>,
    /// Of the access log.
    pub layout: Option<Arc<seawall_telemetry::Layout>>,
    /// Of traces.
    pub spans: crate::spans::Exporter,
}

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Makes one configuration from another.
pub(crate) struct Compiler<'a> {
    pub means: &'a Arc<Means>,
    pub old: Option<&'a Live>,
}

impl Compiler<'_> {
    /// Compiles a site. A zone that cannot be compiled keeps its last version, or is left out, and is reported.
    pub(crate) fn site(&self, site: &model::Site) -> (Live, Vec<(String, CompileError)>) {
        let mut zones = self.old.map(|old| old.zones.clone()).unwrap_or_default();
        let wanted: HashSet<&str> = site.zones.iter().map(|doc| doc.name.as_str()).collect();
        let gone: Vec<String> = zones
            .iter()
            .map(|(_, entry)| entry.name())
            .filter(|name| !wanted.contains(name))
            .map(str::to_owned)
            .collect();
        for name in gone {
            zones.remove(&name);
        }
        let mut faults = Vec::new();
        for doc in &site.zones {
            let slot = zones.named(&doc.name);
            let past = slot.and_then(|slot| zones.get(slot)).cloned();
            if let Some(same) = past.as_ref().filter(|past| past.is_of(doc)) {
                zones.put(same.clone(), false);
                continue;
            }
            let entry = Entry::new(self.means, Arc::new(doc.clone()), past.as_deref());
            match entry.check(self.means, true) {
                Ok(()) => zones.put(Arc::new(entry), false),
                Err(fault) => {
                    faults.push((doc.name.clone(), fault));
                    if let Some(past) = past {
                        zones.put(past, true);
                    }
                }
            }
        }
        (self.live(&site.edge, zones), faults)
    }

    fn live(&self, edge: &model::Edge, zones: Table) -> Live {
        Live {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            zones,
            means: self.means.clone(),
            head_limits: crate::h1::limits(&edge.limits),
            timeouts: edge.timeouts.clone(),
            body_bytes: edge.limits.body_bytes,
            requests_per_connection: edge.limits.requests_per_connection,
            h2_streams: edge.limits.h2_streams,
            trust: Trust::new(&edge.trusted_proxies, edge.client_ip_header),
            proxy_protocol: edge.proxy_protocol,
            node: edge.node.as_str().into(),
            layout: None,
            spans: Default::default(),
        }
    }
}

impl Live {
    /// Slot of the zone that serves a host (lower case, without port).
    #[inline]
    pub(crate) fn find(&self, host: &[u8]) -> Option<usize> {
        self.zones.find(host)
    }

    /// The zone in a slot, compiled now if this is its first use.
    #[inline]
    pub(crate) fn zone(&self, slot: usize) -> Option<&Arc<Zone>> {
        self.zones.get(slot)?.zone(&self.means)
    }

    /// The zone, if there is just one.
    pub(crate) fn only(&self) -> Option<&Arc<Zone>> {
        match self.zones.len() {
            1 => self.zone(self.zones.iter().next()?.0),
            _ => None,
        }
    }

    /// Says that this is the configuration in force now. A candidate is not settled until it is promoted.
    pub(crate) fn settle(&self) {
        for (_, entry) in self.zones.iter() {
            entry.settle();
        }
    }

    /// The zone of this name, likewise.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Zone>> {
        self.zone(self.zones.named(name)?)
    }
}

#[cfg(test)]
#[path = "../live_tests.rs"]
mod tests;
