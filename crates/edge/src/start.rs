//! Starting, reloading and draining an edge.

use crate::heads::Heads;
use crate::live::{Compiler, Live, Means, Retired, rest, retired};
use crate::orders::Apply;
use crate::process::{NOTES_MAX, Note, Process};
use crate::recorder::Recorder;
use crate::rollout::{Boot, Driver, Handle, Proposal};
use crate::seats::Seats;
use crate::watchdog::{self, Log, Sockets};
use crate::{admin, monitor};
use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam_channel::Sender;
use seawall_cachestore as cachestore;
use seawall_guard::Sabotage;
use seawall_httpcache::KeyMaker;
use seawall_model as model;
use seawall_net::resolver::{self, Resolver};
use seawall_net::tls::certs::{CertFiles, CertStore, Pair};
use seawall_net::tls::dev;
use seawall_net::tls::server::Acceptor;
use seawall_net::tls::tickets::TicketKeys;
use seawall_snapshot::codec;
use seawall_telemetry::access::{LogWriter, Output, Redaction};
use seawall_telemetry::metrics::Certificate;
use seawall_telemetry::timeline::{Event, Kind, Timeline};
use seawall_telemetry::{Layout, Registry};
use std::collections::HashSet;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a drain looks whether the last connection has gone.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long a drain waits for connections of workers that are stuck.
const STUCK_PATIENCE: Duration = Duration::from_secs(3);
/// How long the access log may take to write what is queued at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// Stack of a thread, in bytes of address space: room for the deep futures of unoptimised builds.
const STACK_BYTES: usize = 16 * 1024 * 1024;
/// How often certificates are looked at and ticket keys turned over.
const CHORES: Duration = Duration::from_secs(60);

/// What an edge starts with.
pub struct Start {
    /// The settings of the process, and without `boot` its zones.
    pub site: model::Site,
    /// Listeners for clear text, for each worker those of every address.
    pub http: Vec<Vec<TcpListener>>,
    /// Listeners for TLS, likewise.
    pub https: Vec<Vec<TcpListener>>,
    /// Where metrics and health are asked for.
    pub metrics: Option<TcpListener>,
    /// Where `seawall purge` and `seawall top` ask.
    pub admin: Option<UnixListener>,
    /// Where the configuration came from, for messages.
    pub config_path: Option<PathBuf>,
    /// What is served, and where snapshots are kept. Without it the site's zones are served, and nothing is kept.
    pub boot: Option<Boot>,
    /// What a drill wants broken.
    pub sabotage: Option<Arc<Sabotage>>,
    /// Memory of the supervisor for what the workers have in hand.
    pub recorder: Option<seawall_sys::recorder::Recorder>,
}

/// Why an edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread or a runtime.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The TLS settings.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A socket.
    #[error("cannot use a listening socket: {0}")]
    Socket(#[source] io::Error),
}

/// A running edge. Dropping it does not stop it: [`Edge::drain`] does.
pub struct Edge {
    process: Arc<Process>,
    log: Log,
}

impl Edge {
    /// Starts the workers. Zones that cannot be compiled are left out and reported in the log.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then but threads that end by themselves.
    pub fn start(start: Start) -> Result<Edge, StartError> {
        let Start { site, http, https, metrics, admin, config_path, recorder, boot, sabotage } = start;
        let workers = http.len().max(https.len()).max(1);
        let registry = Arc::new(Registry::new(env!("CARGO_PKG_VERSION")));
        let log = LogWriter::start(output(&site.edge.log)).map_err(StartError::Thread)?;
        registry.watch_log(&log);
        let boot = boot.unwrap_or_else(|| Boot {
            units: codec::units_of(&site, &codec::DataFiles::default()),
            number: 0,
            store: None,
            timeline: Timeline::open(&site.data_dir, "edge"),
        });
        let (notes, noted) = crossbeam_channel::bounded(NOTES_MAX);
        let timeline = boot.timeline.clone();
        timeline.watch(&registry);
        if sabotage.as_ref().is_some_and(|s| s.without(seawall_guard::Guard::PatternLimits)) {
            // The file's reader knows nothing of drills, and would refuse what is to get through.
            seawall_ruleset::Pattern::lift_limits();
        }
        let process = Arc::new(Process::open(&site, workers, registry, recorder, notes, timeline, sabotage)?);
        process.begin(&boot);
        let zones = process.live.load().zones.len();
        tracing::info!(
            zones,
            snapshot = boot.number,
            workers,
            config = %config_path.as_deref().unwrap_or(Path::new("(flags)")).display(),
            "the edge starts"
        );
        let log: Log = Arc::new(parking_lot::Mutex::new(Some(log)));
        let (mut http, mut https) = (http.into_iter(), https.into_iter());
        let mut copies = Vec::new();
        for id in 0..workers {
            let plain = nonblocking(http.next().unwrap_or_default())?;
            let secure = nonblocking(https.next().unwrap_or_default())?;
            let sockets = Sockets { plain, secure };
            copies.push(sockets.again().map_err(StartError::Socket)?);
            watchdog::seat_worker(&process, &log, id, id, sockets).map_err(StartError::Thread)?;
        }
        let (watched, watched_log) = (process.clone(), log.clone());
        let watch =
            move || watchdog::run(&watched, &watched_log, copies, |stuck| watched.worker_stuck(stuck));
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch).map_err(StartError::Thread)?;
        let (driver, handle) = Driver::new(process.clone(), log.clone(), boot, noted);
        let _ = process.rollout.set(handle);
        std::thread::Builder::new()
            .name("rollout".to_owned())
            .spawn(move || driver.run())
            .map_err(StartError::Thread)?;
        let house = process.clone();
        spawn("house", move |runtime| {
            runtime.block_on(async move {
                let monitors = monitor::run(house.clone());
                let chores = chores(house.clone());
                let pages = admin::run(house.clone(), metrics, admin);
                let retired = retired::run(house.clone());
                let rest = rest::run(house.clone());
                tokio::join!(monitors, chores, pages, retired, rest);
            });
        })
        .map_err(StartError::Thread)?;
        Ok(Edge { process, log })
    }

    /// Hands in a change, which then takes its way: checked, rehearsed, given a growing share of the requests.
    pub fn propose(&self, order: u64, proposal: Proposal) {
        let Some(rollout) = self.process.rollout.get() else { return };
        if let Err(why) = rollout.propose(order, proposal) {
            tracing::error!(why, "a change is dropped");
            rollout.refused(order, vec![why]);
        }
    }

    /// Notes that a change could not even be read.
    pub fn refused(&self, order: u64, reasons: Vec<String>) {
        if let Some(rollout) = self.process.rollout.get() {
            rollout.refused(order, reasons);
        }
    }

    /// Orders to load the configuration that have come in by the admin socket.
    #[must_use]
    pub fn orders(&self) -> Vec<Apply> {
        self.process.applies.lock().drain(..).collect()
    }

    /// An order nobody gave, for a file that changed by itself.
    #[must_use]
    pub fn own_order(&self) -> Apply {
        let order = self.process.rollout.get().map_or(0, Handle::next_order);
        Apply { order, acks: Vec::new(), base: None, quick: false }
    }

    /// Names of the zones that are served.
    #[must_use]
    pub fn zone_names(&self) -> Vec<String> {
        self.process.live.load().zones.iter().map(|(_, entry)| entry.name().to_owned()).collect()
    }

    /// Shows in the metrics what was found in the configuration in force: an error means that a part of it is not.
    pub fn note_problems(&self, problems: &[model::Problem]) {
        let shared = self.process.registry.shared();
        shared.config_problems.set(i64::try_from(problems.len()).unwrap_or(i64::MAX));
        if problems.iter().any(model::Problem::is_error) {
            shared.config_last_load_ok.set(0);
        }
    }

    /// Shows in the metrics how many edges died before this one.
    pub fn note_restarts(&self, restarts: u64) {
        self.process.registry.shared().edge_restarts.set(restarts);
    }

    /// Counts a configuration that could not be used at all; what serves goes on.
    pub fn reload_failed(&self) {
        let shared = self.process.registry.shared();
        shared.config_last_load_ok.set(0);
        shared.config_loads_failed.inc();
    }

    /// Closes and opens the access log again, for logrotate.
    pub fn reopen_log(&self) {
        if let Some(log) = &*self.log.lock() {
            log.reopen();
        }
    }

    /// Stops accepting, lets requests in flight end within `limit`, and returns how many connections were cut off.
    /// Blocks.
    pub fn drain(&self, limit: Duration) -> usize {
        let process = &self.process;
        process.begin_drain();
        process.registry.shared().draining.set(1);
        process.registry.shared().ready.set(0);
        let end = Instant::now() + limit;
        if let Some(rollout) = self.process.rollout.get() {
            rollout.end();
        }
        // Workers notice with their next sweep; until then their count of connections is not the last word.
        std::thread::sleep(seawall_net::deadline::SWEEP * 3);
        // What a stuck worker holds may come back soon, or is not finished by waiting for it.
        let patient = Instant::now() + STUCK_PATIENCE.min(limit);
        let open = || {
            let stuck = if Instant::now() < patient { 0 } else { process.seats.open_on_stuck() };
            process.open.load(Ordering::Acquire).saturating_sub(stuck)
        };
        while open() > 0 && Instant::now() < end {
            std::thread::sleep(DRAIN_LOOK);
        }
        let left = process.open.load(Ordering::Acquire);
        // The workers hand their last records over with a sweep.
        std::thread::sleep(seawall_net::deadline::SWEEP * 2);
        if let Some(log) = self.log.lock().take() {
            log.close(LOG_PATIENCE);
        }
        process.live.load().spans.close(LOG_PATIENCE);
        process.store.flush(LOG_PATIENCE);
        left
    }

    /// Whether it serves: started, and not draining.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.process.is_ready()
    }

    /// Workers that are stuck now. They may have stand-ins; a process with such a one is worth replacing.
    #[must_use]
    pub fn stuck_workers(&self) -> usize {
        self.process.seats.stuck()
    }

    /// Numbers of the snapshots that run, 0 for none: the one that serves and the one on trial beside it.
    #[must_use]
    pub fn running(&self) -> (u64, u64) {
        let runs = self.process.recorder.running();
        (runs.current, runs.candidate)
    }

    /// Hash of all units that serve now, of the configuration itself and not of what is told of it.
    #[must_use]
    pub fn content(&self) -> seawall_snapshot::Hash {
        self.process.live.load().units.hash()
    }

    /// How long ago the slowest worker went round, in milliseconds. Seconds mean that one hangs and has no stand-in.
    #[must_use]
    pub fn heartbeat_age_ms(&self) -> u64 {
        self.process.slowest_beat_ms()
    }

    /// The numbers of `seawall top`.
    #[must_use]
    pub fn summary(&self) -> seawall_telemetry::Summary {
        self.process.registry.summary()
    }
}

impl Process {
    fn open(
        site: &model::Site,
        workers: usize,
        registry: Arc<Registry>,
        recorder: Option<seawall_sys::recorder::Recorder>,
        notes: Sender<Note>,
        timeline: Timeline,
        sabotage: Option<Arc<Sabotage>>,
    ) -> Result<Process, StartError> {
        let now = unix_s();
        let tls_dir = site.data_dir.join("tls");
        let certs = CertStore::new(None);
        let (tickets, fault) = TicketKeys::open(&tls_dir.join("tickets"), u64::try_from(now).unwrap_or(0));
        if let Some(fault) = fault {
            tracing::warn!(%fault, "sessions cannot be resumed after a restart");
        }
        let acceptor = Acceptor::new(certs.clone(), tickets.clone(), site.edge.tls.min_version)?;
        let cache = &site.edge.cache;
        let store = cachestore::Store::open(&cachestore::Config {
            memory: cache.memory,
            disk: cache.disk,
            path: cache.path.clone(),
            max_object: cache.max_object,
            ..cachestore::Config::default()
        });
        let resolver = Resolver::system(resolver::Settings {
            ttl_ms: crate::live::milliseconds(site.edge.resolver.ttl),
            stale_ms: crate::live::milliseconds(site.edge.resolver.stale),
        });
        let recorder = Recorder::new(recorder, workers);
        let means = Arc::new(Means {
            resolver,
            configs: Default::default(),
            registry: registry.clone(),
            sabotage: sabotage.clone(),
            bench: recorder.bench(),
        });
        let empty = model::Site { zones: Vec::new(), ..site.clone() };
        let (live, _) = Compiler { means: &means, old: None }
            .units(&codec::units_of(&empty, &codec::DataFiles::default()));
        let process = Process {
            generation: AtomicU64::new(crate::live::next_generation()),
            live: ArcSwap::from_pointee(live),
            draining: AtomicBool::new(false),
            drain_begun: tokio::sync::watch::Sender::new(false),
            open: AtomicUsize::new(0),
            start: Instant::now(),
            store: store.clone(),
            keys: KeyMaker::new(seed(&site.data_dir, cache.disk > 0)),
            certs,
            tickets,
            acceptor: ArcSwap::from_pointee(acceptor),
            means,
            retired: Retired::default(),
            registry,
            data_dir: site.data_dir.clone(),
            connections_max: site.edge.limits.connections as usize,
            seats: Seats::new(workers),
            recorder,
            canary: ArcSwapOption::empty(),
            cohorts: parking_lot::Mutex::default(),
            heads: (0..workers).map(|_| Heads::default()).collect(),
            notes,
            sabotage,
            rollout: OnceLock::new(),
            applies: parking_lot::Mutex::default(),
            timeline,
            versions: AtomicU64::new(0),
        };
        process.registry.before_scrape(move |registry| {
            let (stats, shared) = (store.stats(), registry.shared());
            let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            shared.cache_memory_bytes.set(gauge(stats.memory_bytes));
            shared.cache_memory_objects.set(gauge(stats.memory_entries));
            shared.cache_disk_bytes.set(gauge(stats.disk_bytes));
            shared.cache_disk_objects.set(gauge(stats.disk_entries));
            shared.cache_evictions.set(stats.memory_evictions + stats.disk_evictions);
            shared.cache_disk_errors.set(stats.disk_errors + stats.disk_corrupt);
            shared.cache_purges.set(stats.purges);
        });
        Ok(process)
    }

    /// Puts in force what the process starts with; there is nothing to compare it with yet.
    fn begin(&self, boot: &Boot) {
        self.recorder.runs(boot.number, 0);
        let (mut live, faults) = self.compile(&boot.units);
        live.snapshot = boot.number;
        for fault in &faults {
            let unit = format!("{} {}", fault.kind.name(), fault.name);
            let text = format!("{unit} is left out: {}", fault.why);
            self.timeline.tell(Event::new(Kind::UnitKept, "start", text).unit(unit));
        }
        let live = Arc::new(live);
        self.prepare_certificates(&live, None);
        self.took_over(&live);
        if !faults.is_empty() {
            self.registry.shared().config_last_load_ok.set(0);
        }
        self.adopt(live);
    }

    /// Makes the certificates of a configuration those that clients are shown; and those of another beside it, for hosts
    /// that this one has none for.
    pub(crate) fn prepare_certificates(&self, live: &Live, beside: Option<&Live>) {
        let lives: Vec<&Live> = [live].into_iter().chain(beside).collect();
        let self_signed = lives.iter().any(|live| live.edge.tls.self_signed);
        let fallback = self_signed.then(|| self.self_signed(&lives)).flatten();
        let files: Vec<CertFiles> = lives.iter().flat_map(|live| live.cert_files()).collect();
        let report = self.certs.replace(&files, fallback, unix_s());
        self.report_certificates(&report);
    }

    fn self_signed(&self, lives: &[&Live]) -> Option<Arc<Pair>> {
        let mut names: Vec<String> = Vec::new();
        let mut known = HashSet::new();
        for host in lives.iter().flat_map(|live| live.zones.first_hosts()).map(ToString::to_string) {
            if known.insert(host.clone()) {
                names.push(host);
            }
        }
        match dev::self_signed(&self.data_dir.join("tls"), &names, unix_s()) {
            Ok(made) => {
                if let Some(fault) = made.unsaved {
                    tracing::warn!(%fault, "the self-signed certificate could not be saved; a restart makes another");
                }
                Some(made.pair)
            }
            Err(fault) => {
                tracing::error!(%fault, "TLS has no certificate for hosts without one of their own");
                None
            }
        }
    }

    fn report_certificates(&self, report: &seawall_net::tls::certs::Report) {
        for problem in &report.problems {
            tracing::error!(cert = %problem.cert.display(), fault = %problem.error, kept = problem.kept, "a certificate was not loaded");
        }
        for info in &report.expiring {
            tracing::warn!(names = ?info.names, not_after = info.not_after, "a certificate expires soon");
        }
        let shown = self.certs.certificates().into_iter().filter_map(|info| {
            let name = info.names.first()?.clone();
            Some(Certificate { name, not_after_unix_s: info.not_after })
        });
        self.registry.set_certificates(shown.collect());
    }
}

/// Once a minute: certificates that changed on disk, ticket keys.
async fn chores(process: Arc<Process>) {
    let mut interval = tokio::time::interval(CHORES);
    loop {
        interval.tick().await;
        let process = process.clone();
        // Reads files; this thread answers health checks meanwhile.
        let done = tokio::task::spawn_blocking(move || {
            let now = unix_s();
            if process.certs.changed() {
                let report = process.certs.reload(now);
                tracing::info!(loaded = report.loaded, "certificates reloaded");
                process.report_certificates(&report);
            }
            if let Err(fault) = process.tickets.rotate(u64::try_from(now).unwrap_or(0)) {
                tracing::warn!(%fault, "ticket keys are kept in memory only");
            }
        });
        let _ = done.await;
    }
}

/// What the access log looks like; none if it is off.
pub(crate) fn layout(settings: &model::LogSettings) -> Option<Arc<Layout>> {
    let redaction = || Redaction::of(settings.redact_query.iter().map(String::as_str));
    let layout = match settings.access {
        model::AccessFormat::Off => return None,
        model::AccessFormat::Combined => Layout::combined(redaction()),
        model::AccessFormat::Json if settings.fields.is_empty() => Layout::json(redaction()),
        model::AccessFormat::Json => {
            match Layout::json_with(settings.fields.iter().map(String::as_str), redaction()) {
                Ok(layout) => layout,
                Err(fault) => {
                    tracing::error!(%fault, "the access log has its standard fields instead");
                    Layout::json(redaction())
                }
            }
        }
    };
    Some(Arc::new(layout))
}

pub(crate) fn output(settings: &model::LogSettings) -> Output {
    match settings.path.to_str() {
        Some("-" | "/dev/stdout") => Output::Stdout,
        _ => Output::File { path: settings.path.clone(), rotate_bytes: settings.rotate, keep: settings.keep },
    }
}

/// The seed of cache keys: random, and the same after a restart if there is a disk tier to find things in.
fn seed(data_dir: &Path, lasting: bool) -> u128 {
    let path = data_dir.join("cache.seed");
    if lasting
        && let Ok(bytes) = std::fs::read(&path)
        && let Ok(bytes) = <[u8; 16]>::try_from(bytes.as_slice())
    {
        return u128::from_le_bytes(bytes);
    }
    let mut bytes = [0u8; 16];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::warn!("no entropy for the cache's seed");
    }
    if lasting && let Err(fault) = write_private(&path, &bytes) {
        tracing::warn!(%fault, "the cache's seed could not be saved; a restart begins with an empty cache");
    }
    u128::from_le_bytes(bytes)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// Starts a thread with a runtime of its own.
pub(crate) fn spawn(
    name: &str,
    body: impl FnOnce(&tokio::runtime::Runtime) + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || body(&runtime);
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(run)?;
    Ok(())
}

/// Makes listeners fit for a runtime.
fn nonblocking(listeners: Vec<TcpListener>) -> Result<Vec<TcpListener>, StartError> {
    for listener in &listeners {
        listener.set_nonblocking(true).map_err(StartError::Socket)?;
    }
    Ok(listeners)
}

pub(crate) fn unix_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
