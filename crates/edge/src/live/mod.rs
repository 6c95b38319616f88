//! The configuration as the workers use it: compiled off the request path, swapped whole, and made from the one before
//! by changing what has changed.
//!
//! A [`Live`] holds the settings of the edge and a [`Table`] of zones. Two of them share every zone that is the same in
//! both, so that another zone costs the same whether there are ten or a hundred thousand. An [`Entry`] is one version of
//! a zone: its unit always, and the compiled [`Zone`] once a request needs it, for most of many zones are idle.
//!
//! A candidate is a `Live` beside the one in force. Its pools share limits, counts and what probes said with those in
//! force, and are *on trial* until [`Live::settle`] says that they are in force themselves; dropped before, they leave
//! nothing behind.

mod compile;
mod crew;
mod entry;
mod load;
pub(crate) mod rest;
pub(crate) mod retired;
pub(crate) mod sharded;
mod table;
mod zone;

pub(crate) use compile::{Means, milliseconds};
pub(crate) use entry::Entry;
pub(crate) use retired::Retired;
pub(crate) use table::Table;
pub(crate) use zone::{Origin, OriginId, Pool, Route, Zone};

use crate::cohort::Cohort;
use crate::stages::{Shared, UnitFault};
use entry::Home;
use load::{Job, Load};
use seawall_http::h1::Limits;
use seawall_model as model;
use seawall_net::client_addr::Trust;
use seawall_net::tls::certs::CertFiles;
use seawall_snapshot::{Change, Unit, UnitKind, Units, codec};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every worker serves by.
#[derive(Clone)]
pub(crate) struct Live {
    pub zones: Table,
    /// What it was made of: what runs is exactly this. Where a unit could not be used, its last version stands here.
    pub units: Units,
    /// What all zones share.
    pub shared: Arc<Shared>,
    pub edge: Arc<model::Edge>,
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
    means: Arc<Means>,
    /// Zones that are not those of the configuration it was made from.
    fresh: Vec<usize>,
    /// Another number whenever a zone with monitors is another.
    pub monitors: u64,
    /// Another number whenever other certificates are wanted.
    pub certificates: u64,
    pub rollout: model::Rollout,
    /// Number of the snapshot; 0 before there is one.
    pub snapshot: u64,
}

/// Numbers what is to be told apart: configurations, and parts of them.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// A number that there was not before.
pub(crate) fn next_generation() -> u64 {
    GENERATION.fetch_add(1, Ordering::Relaxed)
}

/// What of a table is not as it was.
#[derive(Default)]
struct Touched {
    /// Slots of new versions.
    fresh: Vec<usize>,
    monitors: bool,
    certificates: bool,
}

impl Touched {
    /// Notes that one version of a zone takes the place of another.
    fn note(&mut self, past: Option<&Entry>, new: Option<&Entry>) {
        let both = [past, new];
        self.monitors |= both.into_iter().flatten().any(Entry::is_monitored);
        let wanted =
            both.map(|e| e.filter(|e| !e.certificates().is_empty()).map(|e| (e.certificates(), e.hosts())));
        let [before, after] = wanted;
        self.certificates |= before != after;
    }
}

/// Makes one configuration from another.
pub(crate) struct Compiler<'a> {
    pub means: &'a Arc<Means>,
    pub old: Option<&'a Live>,
}

impl Compiler<'_> {
    /// Compiles the documents of a site.
    #[cfg(test)]
    pub(crate) fn site(&self, site: &model::Site) -> (Live, Vec<UnitFault>) {
        self.units(&codec::units_of(site, &codec::DataFiles::new()))
    }

    /// Makes what `units` say of the configuration before. A unit that cannot be used keeps its last version, or is left
    /// out where there is none, and is reported; the others advance.
    ///
    /// Takes as long as what has changed needs, and uses all cores for much: not for a worker's thread.
    pub(crate) fn units(&self, wanted: &Units) -> (Live, Vec<UnitFault>) {
        let mut units = wanted.clone();
        if let Some(old) = self.old {
            // What was read from a file anew is not held twice.
            units.share(&old.units);
        }
        let mut faults = Vec::new();
        let mut edge = self.edge(&mut units, &mut faults);
        let mut shared = Arc::new(self.shared(&edge, &mut units, &mut faults));
        if let Some(old) = self.old.filter(|_| faults.iter().any(|fault| fault.kind == UnitKind::Edge)) {
            // Its settings ask for what is not there, so those before stay: all of them, as its unit does.
            edge = old.edge.clone();
            shared =
                Arc::new(Shared::compile(&edge, &units, Some(&old.shared), self.means.sabotage.as_deref()).0);
        }
        let mut zones = self.old.map(|old| old.zones.clone()).unwrap_or_default();
        let touched = self.zones(&mut zones, &mut units, &shared, &mut faults);
        if self.keep_lists(&zones, &mut units) {
            shared = Arc::new(self.shared(&edge, &mut units, &mut faults));
        }
        let old = self.old.filter(|_| !touched.monitors);
        let monitors = old.map_or_else(next_generation, |old| old.monitors);
        let old = self.old.filter(|old| {
            !touched.certificates
                && Arc::ptr_eq(&edge, &old.edge)
                && (!edge.tls.self_signed || zones.first_hosts().eq(old.zones.first_hosts()))
        });
        let certificates = old.map_or_else(next_generation, |old| old.certificates);
        let live = Live {
            fresh: touched.fresh,
            monitors,
            certificates,
            rollout: edge.rollout.clone(),
            snapshot: 0,
            zones,
            units,
            shared,
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
            means: self.means.clone(),
            edge,
        };
        (live, faults)
    }

    /// The settings of the edge: those of `units`, else the ones before.
    fn edge(&self, units: &mut Units, faults: &mut Vec<UnitFault>) -> Arc<model::Edge> {
        let unit = units.get(UnitKind::Edge, codec::EDGE);
        let same =
            |old: &&Live| old.units.get(UnitKind::Edge, codec::EDGE).map(|u| u.hash) == unit.map(|u| u.hash);
        if let Some(old) = self.old.filter(same) {
            return old.edge.clone();
        }
        let why = match unit.map(|unit| codec::edge_of(unit)) {
            Some(Ok(edge)) => return Arc::new(edge),
            Some(Err(fault)) => fault.to_string(),
            None => "there are no settings of the edge".to_owned(),
        };
        faults.push(UnitFault { kind: UnitKind::Edge, name: codec::EDGE.to_owned(), why });
        self.keep(units, UnitKind::Edge, codec::EDGE);
        self.old.map(|old| old.edge.clone()).unwrap_or_default()
    }

    /// What is not a zone.
    fn shared(&self, edge: &model::Edge, units: &mut Units, faults: &mut Vec<UnitFault>) -> Shared {
        let old = self.old.map(|old| &*old.shared);
        let sabotage = self.means.sabotage.as_deref();
        let (shared, new_faults) = Shared::compile(edge, units, old, sabotage);
        if new_faults.is_empty() {
            return shared;
        }
        for fault in new_faults {
            self.keep(units, fault.kind, &fault.name);
            faults.push(fault);
        }
        // With what stood before in the place of what failed; what failed before too is reported already.
        Shared::compile(edge, units, old, sabotage).0
    }

    /// Puts back the lists that zones need which stand for a version that failed; answers whether there were any.
    fn keep_lists(&self, zones: &Table, units: &mut Units) -> bool {
        let names = zones.kept().flat_map(|(_, entry)| entry.lists());
        let missing: HashSet<&str> =
            names.map(|name| &**name).filter(|name| units.get(UnitKind::List, name).is_none()).collect();
        for name in &missing {
            self.keep(units, UnitKind::List, name);
        }
        !missing.is_empty()
    }

    /// Brings the table up to date, and answers which slots hold something new.
    fn zones(
        &self,
        table: &mut Table,
        units: &mut Units,
        shared: &Arc<Shared>,
        faults: &mut Vec<UnitFault>,
    ) -> Touched {
        let mut touched = Touched::default();
        let nothing = Units::new();
        let changes = self.old.map_or(&nothing, |old| &old.units).changes(units);
        let mut wanted = Vec::new();
        let mut listed = HashSet::new();
        for Change { kind, name, after, .. } in changes {
            match (kind, after) {
                (UnitKind::Zone, Some(unit)) => wanted.push(unit),
                (UnitKind::Zone, None) => touched.note(table.remove(&name).as_deref(), None),
                (UnitKind::List, _) => drop(listed.insert(name)),
                _ => {}
            }
        }
        // What a list says is compiled into the zones that name it.
        if !listed.is_empty() {
            let told =
                table.listed().filter(|(_, entry)| entry.lists().iter().any(|name| listed.contains(name)));
            let units: Vec<Arc<Unit>> = told.map(|(_, entry)| entry.unit().clone()).collect();
            let changed: HashSet<Box<str>> = wanted.iter().map(|unit| unit.name.clone()).collect();
            let more = units.into_iter().filter(|unit| !changed.contains(&unit.name));
            wanted.extend(more);
        }
        // Zones that stood for a version that failed and are wanted as they are now.
        let steady: Vec<Arc<Entry>> = table.kept().map(|(_, entry)| entry.clone()).collect();
        for entry in steady {
            if units.get(UnitKind::Zone, entry.name()).is_some_and(|unit| unit.hash == entry.unit().hash) {
                table.put(entry, false);
            }
        }
        let load = Load {
            means: self.means.clone(),
            shared: shared.clone(),
            count: units.count(UnitKind::Zone),
            serving: self.old.is_some_and(|old| old.zones.len() > 0),
        };
        // By name, for which zones are counted one by one in the metrics is decided in this order: another start must not
        // show others.
        wanted.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let jobs: Arc<[Job]> = wanted.into_iter().map(|unit| self.job(table, unit)).collect();
        for (job, outcome) in jobs.iter().zip(load.run(&jobs)) {
            match outcome {
                Ok(entry) => {
                    touched.note(job.past.as_deref(), Some(&entry));
                    touched.fresh.push(table.put(entry, false));
                }
                Err(fault) => {
                    let name = job.unit.name.to_string();
                    self.keep(units, UnitKind::Zone, &name);
                    if let Some(past) = &job.past {
                        table.put(past.clone(), true);
                    }
                    faults.push(UnitFault { kind: UnitKind::Zone, name, why: fault.to_string() });
                }
            }
        }
        touched
    }

    fn job(&self, table: &Table, unit: Arc<Unit>) -> Job {
        let past = table.named(&unit.name).and_then(|slot| table.get(slot)).cloned();
        let home = match &past {
            Some(past) => past.home().clone(),
            None => Arc::new(Home::new(self.means, &unit.name)),
        };
        Job { unit, home, past }
    }

    /// Puts back what serves in the place of a unit that cannot be used.
    fn keep(&self, units: &mut Units, kind: UnitKind, name: &str) {
        match self.old.and_then(|old| old.units.get(kind, name)) {
            Some(unit) => drop(units.put(unit.clone())),
            // Without settings there is no edge: what of them can be used is.
            None if kind == UnitKind::Edge => {}
            None => drop(units.remove(kind, name)),
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
        self.zones.get(slot)?.zone(&self.means, &self.shared)
    }

    /// The zone of this name, likewise.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Zone>> {
        self.zone(self.zones.named(name)?)
    }

    /// The zone in force whose unit's hash begins with this, if it is compiled. Looks at all of them.
    pub(crate) fn by_unit(&self, prefix: u64) -> Option<&Arc<Zone>> {
        self.zones.iter().find(|(_, entry)| entry.unit().hash.prefix() == prefix)?.1.compiled()
    }

    /// Zones in which a module is skipped because it failed. Looks at all of them.
    pub(crate) fn open_breakers(&self, module: model::Module) -> Vec<String> {
        let compiled = self.zones.iter().filter_map(|(_, entry)| entry.compiled());
        compiled.filter(|zone| zone.is_open(module)).map(|zone| zone.doc.name.clone()).collect()
    }

    /// Whether a module is skipped for a zone because it failed.
    pub(crate) fn is_open(&self, zone: &str, module: model::Module) -> bool {
        let entry = self.zones.named(zone).and_then(|slot| self.zones.get(slot));
        entry.and_then(|entry| entry.compiled()).is_some_and(|zone| zone.is_open(module))
    }

    /// Opens the breaker of a module that does not come back, for the zone of a unit.
    pub(crate) fn trip(&self, unit: u64, module: model::Module, now_ms: u64) {
        let Some(zone) = self.by_unit(unit) else { return };
        let Some(part) = zone.stages.part(module) else { return };
        for cohort in [Cohort::Current, Cohort::Candidate] {
            part.breaker(cohort).trip(now_ms);
        }
    }

    /// Forgets what requests under it went through while it was a candidate. Looks at all zones.
    pub(crate) fn forget_candidate(&self) {
        let compiled = self.zones.iter().filter_map(|(_, entry)| entry.compiled());
        compiled.for_each(|zone| zone.stages.forget_candidate());
    }

    /// Every pair of certificate and key that is wanted: those of the edge, then each zone's for its hosts.
    pub(crate) fn cert_files(&self) -> Vec<CertFiles> {
        let edge = self.edge.tls.certificates.iter().map(|c| CertFiles {
            cert: c.cert.clone(),
            key: c.key.clone(),
            hosts: Vec::new(),
            default: true,
        });
        let zones = self.zones.certified().flat_map(|(_, entry)| {
            entry.certificates().iter().map(|c| CertFiles {
                cert: c.cert.clone(),
                key: c.key.clone(),
                hosts: entry.hosts().iter().map(ToString::to_string).collect(),
                default: false,
            })
        });
        edge.chain(zones).collect()
    }

    /// The zone, if there is just one.
    pub(crate) fn only(&self) -> Option<&Arc<Zone>> {
        match self.zones.len() {
            1 => self.zone(self.zones.iter().next()?.0),
            _ => None,
        }
    }

    /// Says that this is the configuration in force now, and no candidate: the settings of its pools rule what they share
    /// with those before.
    pub(crate) fn settle(&self) {
        self.fresh.iter().filter_map(|slot| self.zones.get(*slot)).for_each(|entry| entry.settle());
    }
}

#[cfg(test)]
#[path = "../live_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
mod change_tests;

#[cfg(test)]
mod scale;
