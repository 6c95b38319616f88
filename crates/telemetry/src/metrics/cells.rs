//! What one worker counts.

use std::marker::PhantomData;
use std::sync::Arc;

use super::cell::{Counter, Family, Gauge, Histogram, Merge};
use super::slots::{MAX_ORIGINS, MAX_ZONES, OriginSlot, ZoneSlot};
use crate::access::Record;
use crate::names::{
    CacheStatus, ClientTimeout, Coding, ConnectionKind, HttpVersion, Module, ModuleFault, OriginFault,
    Refusal, ScoreBand, SecurityAction, TlsVersion,
};

/// Error codes the edge counts one by one, ascending; any other is counted as `other`.
pub const ERROR_CODES: [u16; 37] = [
    400, 403, 404, 405, 408, 411, 413, 414, 415, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505, 508, 520,
    521, 522, 523, 524, 525, 526, 530, 1000, 1001, 1003, 1013, 1015, 1016, 1020, 1033, 1101,
];

/// Declares a struct of cells that can be added up.
macro_rules! cells {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl Merge for $name {
            fn merge_into(&self, sum: &Self) {
                $(self.$field.merge_into(&sum.$field);)+
            }
        }
    };
}

cells! {
    /// Numbers of one worker. Only its own thread writes; each field is documented where `METRICS` names it.
    Cells {
        /// Requests ended, by version.
        requests: Family<HttpVersion, Counter, { HttpVersion::COUNT }>,
        /// Responses by status.
        responses: Statuses,
        /// Requests by what the cache did.
        cache: Family<CacheStatus, Counter, { CacheStatus::COUNT }>,
        /// Errors the edge answered with, by code.
        errors: ErrorCodes,
        /// Bytes read from clients.
        request_bytes: Counter,
        /// Bytes sent to clients.
        response_bytes: Counter,
        /// Bytes of body sent from the cache.
        cache_bytes: Counter,
        /// Requests begun and not ended.
        in_flight: Gauge,
        /// From request head to last byte.
        request_duration: Histogram,
        /// From request head to first byte of the response.
        first_byte: Histogram,
        /// Connections accepted.
        connections_accepted: Counter,
        /// Connections open, by use.
        connections: Family<ConnectionKind, Gauge, { ConnectionKind::COUNT }>,
        /// Handshakes done.
        tls_handshakes: Family<TlsVersion, Counter, { TlsVersion::COUNT }>,
        /// Handshakes that resumed a session.
        tls_resumed: Counter,
        /// Time of handshakes.
        tls_handshake: Histogram,
        /// Clients too slow.
        client_timeouts: Family<ClientTimeout, Counter, { ClientTimeout::COUNT }>,
        /// Connections and requests turned away.
        refusals: Family<Refusal, Counter, { Refusal::COUNT }>,
        /// Attempts at origins.
        origin_requests: Counter,
        /// Attempts without a response.
        origin_faults: Family<OriginFault, Counter, { OriginFault::COUNT }>,
        /// From request sent to response head.
        origin_first_byte: Histogram,
        /// Connections made to origins.
        origin_connects: Counter,
        /// Attempts over kept connections.
        origin_reuses: Counter,
        /// Requests tried again.
        retries: Counter,
        /// Retries the budget forbade.
        retries_refused: Counter,
        /// Responses compressed.
        compressed: Family<Coding, Counter, { Coding::COUNT }>,
        /// Bytes into compression.
        compression_in: Counter,
        /// Bytes out of it.
        compression_out: Counter,
        /// Panics contained.
        panics: Counter,
        /// Faults of modules, contained.
        module_faults: Family<Module, Family<ModuleFault, Counter, { ModuleFault::COUNT }>, { Module::COUNT }>,
        /// Requests that passed by a module whose breaker was open, or which failed open.
        module_skipped: Family<Module, Counter, { Module::COUNT }>,
        /// Responses made because a module failed closed.
        module_closed: Family<Module, Counter, { Module::COUNT }>,
        /// Requests scored, by band.
        bot_scores: Family<ScoreBand, Counter, { ScoreBand::COUNT }>,
        /// Requests whose score could not be computed.
        bot_scores_absent: Counter,
        /// Requests by what a security module did.
        security_actions: Family<SecurityAction, Counter, { SecurityAction::COUNT }>,
        /// Time spent describing requests, nanoseconds, estimated from samples.
        telemetry_ns: Counter,
        /// Failing requests that were counted but not described.
        telemetry_suppressed: Counter,
        /// By zone.
        zones: Slotted<ZoneCells, { MAX_ZONES + 1 }>,
        /// By origin.
        origins: Slotted<OriginCells, { MAX_ORIGINS + 1 }>,
    }
}

cells! {
    /// Numbers of one zone.
    ZoneCells {
        /// Requests ended.
        requests: Counter,
        /// Responses 400–499.
        client_errors: Counter,
        /// Responses 500–599.
        server_errors: Counter,
        /// Responses that are error pages of the edge.
        edge_errors: Counter,
        /// Requests served from the cache.
        cache_hits: Counter,
        /// Bytes read from clients.
        request_bytes: Counter,
        /// Bytes sent to clients.
        response_bytes: Counter,
        /// Sum of request durations, microseconds.
        duration_us: Counter,
    }
}

cells! {
    /// Numbers of one origin. The gauges are the worker's share: pools belong to workers.
    OriginCells {
        /// Attempts.
        requests: Counter,
        /// Attempts without a response.
        faults: Counter,
        /// Responses 500–599.
        server_errors: Counter,
        /// Connections made.
        connects: Counter,
        /// Sum of times to the response head, microseconds.
        first_byte_us: Counter,
        /// Responses in that sum.
        first_bytes: Counter,
        /// Bytes of body read.
        bytes: Counter,
        /// Attempts begun and not ended.
        outstanding: Gauge,
        /// Connections open.
        connections: Gauge,
        /// Concurrency allowed now.
        limit: Gauge,
        /// 1 while ejected.
        ejected: Gauge,
    }
}

/// A worker's counters: the only way to write them. Made by `Registry::worker`; may move to the worker's thread but is
/// not shared between threads, which would lose counts:
///
/// ```compile_fail,E0277
/// let registry = seawall_telemetry::Registry::new("");
/// let metrics = registry.worker();
/// std::thread::scope(|scope| {
///     scope.spawn(|| metrics.panics.inc());
/// });
/// ```
#[derive(Debug)]
pub struct Metrics {
    cells: Arc<Padded>,
    one_thread: PhantomData<std::cell::Cell<()>>,
}

impl Metrics {
    pub(crate) fn new(cells: Arc<Padded>) -> Self {
        Metrics { cells, one_thread: PhantomData }
    }

    /// Counts a request that has ended: status, cache, version, bytes (the origin's too), durations, zone, error, bot
    /// score, security action and faults of modules.
    /// [`Cells::in_flight`], connections, handshakes and attempts at origins are counted where they happen.
    pub fn observe(&self, record: &Record<'_>) {
        let cells = &**self;
        let sent = record.response_head_bytes.saturating_add(record.response_body_bytes);
        cells.requests.inc(record.version);
        cells.responses.inc(record.status);
        cells.cache.inc(record.cache);
        cells.request_bytes.add(record.request_bytes);
        cells.response_bytes.add(sent);
        cells.request_duration.observe_us(record.duration_us);
        if let Some(us) = record.first_byte_us {
            cells.first_byte.observe_us(us);
        }
        let hit = record.cache.served_from_cache();
        if hit {
            cells.cache_bytes.add(record.response_body_bytes);
        }
        if let Some(origin) = &record.origin {
            cells.origin(origin.slot).bytes.add(origin.bytes);
        }
        if let Some(error) = &record.error {
            cells.errors.inc(error.code);
        }
        match record.bot_score.and_then(ScoreBand::of) {
            Some(band) => cells.bot_scores.inc(band),
            None => cells.bot_scores_absent.add(u64::from(record.bot_score_missing)),
        }
        if let Some(security) = &record.security {
            cells.security_actions.inc(security.action);
        }
        for (module, fault) in record.module_faults {
            cells.module_faults.inc_pair(*module, *fault);
        }
        let zone = cells.zone(record.zone_slot);
        zone.requests.inc();
        match record.status {
            400..=499 => zone.client_errors.inc(),
            500..=599 => zone.server_errors.inc(),
            _ => {}
        }
        zone.edge_errors.add(u64::from(record.error.is_some()));
        zone.cache_hits.add(u64::from(hit));
        zone.request_bytes.add(record.request_bytes);
        zone.response_bytes.add(sent);
        zone.duration_us.add(record.duration_us);
    }

    /// Counts an attempt at an origin that gave a response head; `first_byte_us` from the request being sent.
    pub fn origin_answered(&self, slot: OriginSlot, status: u16, reused: bool, first_byte_us: u64) {
        self.origin_requests.inc();
        self.origin_first_byte.observe_us(first_byte_us);
        self.origin_reuses.add(u64::from(reused));
        let origin = self.origin(slot);
        origin.requests.inc();
        origin.first_byte_us.add(first_byte_us);
        origin.first_bytes.inc();
        origin.server_errors.add(u64::from((500..=599).contains(&status)));
    }

    /// Counts an attempt at an origin that gave none.
    pub fn origin_failed(&self, slot: OriginSlot, fault: OriginFault) {
        self.origin_requests.inc();
        self.origin_faults.inc(fault);
        let origin = self.origin(slot);
        origin.requests.inc();
        origin.faults.inc();
    }

    /// Counts a connection made to an origin.
    pub fn origin_connected(&self, slot: OriginSlot) {
        self.origin_connects.inc();
        let origin = self.origin(slot);
        origin.connects.inc();
        origin.connections.inc();
    }

    /// Counts a connection to an origin that has ended.
    pub fn origin_disconnected(&self, slot: OriginSlot) {
        self.origin(slot).connections.dec();
    }

    /// Counts a connection accepted, as [`ConnectionKind::Opening`].
    pub fn connection_accepted(&self) {
        self.connections_accepted.inc();
        self.connections.add(ConnectionKind::Opening, 1);
    }

    /// A connection is used for something else from now on.
    pub fn connection_becomes(&self, from: ConnectionKind, to: ConnectionKind) {
        self.connections.add(from, -1);
        self.connections.add(to, 1);
    }

    /// A connection has ended.
    pub fn connection_closed(&self, kind: ConnectionKind) {
        self.connections.add(kind, -1);
    }

    /// Counts a TLS handshake done.
    pub fn handshake(&self, version: TlsVersion, resumed: bool, us: u64) {
        self.tls_handshakes.inc(version);
        self.tls_resumed.add(u64::from(resumed));
        self.tls_handshake.observe_us(us);
    }
}

impl std::ops::Deref for Metrics {
    type Target = Cells;

    fn deref(&self) -> &Cells {
        &self.cells.0
    }
}

impl Drop for Metrics {
    /// The worker is gone and with it what was open; its counts stay.
    fn drop(&mut self) {
        self.in_flight.set(0);
        for (_, open) in self.connections.iter() {
            open.set(0);
        }
        for origin in self.origins.cells.iter() {
            for gauge in [&origin.outstanding, &origin.connections, &origin.limit, &origin.ejected] {
                gauge.set(0);
            }
        }
    }
}

/// On cache lines of its own, two at a time as the prefetcher takes them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded(pub(crate) Cells);

impl Cells {
    /// The numbers of a zone.
    #[must_use]
    pub fn zone(&self, slot: ZoneSlot) -> &ZoneCells {
        self.zones.get(slot.0)
    }

    /// The numbers of an origin.
    #[must_use]
    pub fn origin(&self, slot: OriginSlot) -> &OriginCells {
        self.origins.get(slot.0)
    }
}

impl ZoneCells {
    /// Takes off what another zone counted here before.
    pub(crate) fn less(&self, before: &ZoneCells) {
        for (now, then) in [
            (&self.requests, &before.requests),
            (&self.client_errors, &before.client_errors),
            (&self.server_errors, &before.server_errors),
            (&self.edge_errors, &before.edge_errors),
            (&self.cache_hits, &before.cache_hits),
            (&self.request_bytes, &before.request_bytes),
            (&self.response_bytes, &before.response_bytes),
            (&self.duration_us, &before.duration_us),
        ] {
            now.less(then.get());
        }
    }
}

impl OriginCells {
    /// Takes off what another origin counted here before; gauges are of the moment and stay.
    pub(crate) fn less(&self, before: &OriginCells) {
        for (now, then) in [
            (&self.requests, &before.requests),
            (&self.faults, &before.faults),
            (&self.server_errors, &before.server_errors),
            (&self.connects, &before.connects),
            (&self.first_byte_us, &before.first_byte_us),
            (&self.first_bytes, &before.first_bytes),
            (&self.bytes, &before.bytes),
        ] {
            now.less(then.get());
        }
    }
}

/// Cells by slot. Slot 0 is kept apart so that there is always one.
#[derive(Debug)]
pub struct Slotted<C, const COUNT: usize> {
    other: C,
    cells: Box<[C]>,
}

impl<C, const COUNT: usize> Slotted<C, COUNT> {
    pub(crate) fn get(&self, slot: u16) -> &C {
        match usize::from(slot).checked_sub(1).and_then(|i| self.cells.get(i)) {
            Some(cell) => cell,
            None => &self.other,
        }
    }
}

impl<C: Default, const COUNT: usize> Default for Slotted<C, COUNT> {
    fn default() -> Self {
        Slotted { other: C::default(), cells: (1..COUNT).map(|_| C::default()).collect() }
    }
}

impl<C: Merge, const COUNT: usize> Merge for Slotted<C, COUNT> {
    fn merge_into(&self, sum: &Self) {
        self.other.merge_into(&sum.other);
        self.cells.merge_into(&sum.cells);
    }
}

/// Counts by status 100–599; anything else, such as no status at all, is 0.
#[derive(Debug)]
pub struct Statuses {
    cells: [Counter; 500],
    none: Counter,
}

impl Statuses {
    #[inline]
    fn inc(&self, status: u16) {
        let cell = usize::from(status).checked_sub(100).and_then(|i| self.cells.get(i));
        cell.unwrap_or(&self.none).inc();
    }

    /// Statuses that occurred, ascending, with their counts; 0 stands for none.
    pub fn seen(&self) -> impl Iterator<Item = (u16, u64)> {
        let statuses = (100..).zip(self.cells.iter());
        std::iter::once((0, &self.none)).chain(statuses).map(|(s, c)| (s, c.get())).filter(|(_, n)| *n > 0)
    }

    /// Counts of 1xx, 2xx, 3xx, 4xx and 5xx.
    #[must_use]
    pub fn by_class(&self) -> [u64; 5] {
        let mut classes = self.cells.chunks(100).map(|class| class.iter().map(Counter::get).sum());
        std::array::from_fn(|_| classes.next().unwrap_or(0))
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Statuses { cells: std::array::from_fn(|_| Counter::default()), none: Counter::default() }
    }
}

impl Merge for Statuses {
    fn merge_into(&self, sum: &Self) {
        self.cells.merge_into(&sum.cells);
        self.none.merge_into(&sum.none);
    }
}

/// Counts by [`ERROR_CODES`].
#[derive(Debug)]
pub struct ErrorCodes {
    cells: [Counter; ERROR_CODES.len()],
    other: Counter,
}

impl ErrorCodes {
    fn inc(&self, code: u16) {
        let cell = ERROR_CODES.binary_search(&code).ok().and_then(|i| self.cells.get(i));
        cell.unwrap_or(&self.other).inc();
    }

    /// Codes that occurred with their counts; none stands for a code that is not listed.
    pub fn seen(&self) -> impl Iterator<Item = (Option<u16>, u64)> {
        let listed = ERROR_CODES.iter().map(|c| Some(*c)).zip(self.cells.iter());
        listed.chain([(None, &self.other)]).map(|(c, n)| (c, n.get())).filter(|(_, n)| *n > 0)
    }
}

impl Default for ErrorCodes {
    fn default() -> Self {
        ErrorCodes { cells: std::array::from_fn(|_| Counter::default()), other: Counter::default() }
    }
}

impl Merge for ErrorCodes {
    fn merge_into(&self, sum: &Self) {
        self.cells.merge_into(&sum.cells);
        self.other.merge_into(&sum.other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_counted_exactly_and_by_class() {
        let statuses = Statuses::default();
        for status in [100, 200, 200, 404, 599, 0, 99, 600] {
            statuses.inc(status);
        }
        assert_eq!(statuses.seen().collect::<Vec<_>>(), [(0, 3), (100, 1), (200, 2), (404, 1), (599, 1)]);
        assert_eq!(statuses.by_class(), [1, 2, 0, 1, 1]);
    }

    #[test]
    fn error_codes_are_ascending_so_that_they_can_be_searched() {
        assert!(ERROR_CODES.is_sorted());
        let errors = ErrorCodes::default();
        for code in [502, 502, 1016, 499] {
            errors.inc(code);
        }
        assert_eq!(errors.seen().collect::<Vec<_>>(), [(Some(502), 2), (Some(1016), 1), (None, 1)]);
    }
}
