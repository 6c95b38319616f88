//! What a change does to the process: units compiled beside what serves, certificates, metrics.

use crate::live::{Compiler, Live};
use crate::process::Process;
use crate::stages::UnitFault;
use crate::start::{layout, unix_s};
use seawall_net::tls::server::Acceptor;
use seawall_snapshot::Units;
use std::sync::Arc;

impl Process {
    /// Compiles units beside what serves; nothing is swapped. What cannot be compiled is reported, and in the result it is
    /// as it was before, or absent: `Live::units` says what the result really is.
    pub(crate) fn compile(&self, units: &Units) -> (Live, Vec<UnitFault>) {
        let old = self.live.load_full();
        let (mut live, faults) = Compiler { means: &self.means, old: Some(&old) }.units(units);
        live.layout = layout(&live.edge.log);
        live.spans = crate::spans::Exporter::of(&live.edge, &old.spans, &self.registry);
        (live, faults)
    }

    /// What follows from a configuration that now serves every request.
    pub(crate) fn took_over(&self, live: &Live) {
        let least = live.edge.tls.min_version;
        if let Ok(acceptor) = Acceptor::new(self.certs.clone(), self.tickets.clone(), least) {
            self.acceptor.store(Arc::new(acceptor));
        }
        let shared = self.registry.shared();
        shared.config_version.set(i64::try_from(self.config_versions()).unwrap_or(i64::MAX));
        shared.config_loaded_unix_s.set(unix_s());
        shared.config_last_load_ok.set(1);
        shared.config_loads_ok.inc();
        shared.zones_loaded.set(i64::try_from(live.zones.len()).unwrap_or(i64::MAX));
        shared.ready.set(1);
    }
}
