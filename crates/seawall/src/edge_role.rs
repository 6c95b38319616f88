//! `seawall edge`: the data plane as a process, alone or under the supervisor.
//!
//! This thread does no serving. It looks at signals, at the supervisor's channel and at files, once a second says that
//! the workers are alive, and leaves loading and draining to threads of their own so that it never stops saying so.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use seawall_model::Site;

use crate::boot::{self, Ready};
use crate::channel::{Channel, Order, RESUME_FORMAT, Word};
use crate::cli::{EdgeArgs, SiteArgs};
use crate::config::{self, Loaded, Moment, Plan, Refusal};
use crate::exit::Exit;
use crate::handover::{self, Inherited};
use crate::signals::{Signals, StopOrder, StopOrders};
use crate::supervisor::{ADMIN_SOCKET, DataDir, Sockets, bind_private};
use crate::watch::Watch;
use seawall_edge::{Apply, Content, Edge, Proposal, Start};
use seawall_guard::Sabotage;
use seawall_snapshot::Cause;

/// How often the workers' pulse is reported and files are looked at.
const PULSE: Duration = Duration::from_secs(1);
/// How often it is looked whether an operator ordered something.
const ORDERS: Duration = Duration::from_millis(200);
/// Names the file of a drill's sabotage.
const SABOTAGE_VARIABLE: &str = "SEAWALL_DRILL";
/// How often a start or a drain that is under way is looked at.
const WAITING: Duration = Duration::from_millis(20);

/// Serves until told to stop.
pub fn run(args: &EdgeArgs) -> Exit {
    let wanted = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];
    let signals = match Signals::listen(&wanted) {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("cannot listen for signals: {error}")),
    };
    let _events = crate::log::start(); // after the signals are blocked: it has a thread
    let inherited = match std::env::var(handover::VARIABLE).map(|text| handover::claim(&text)) {
        Ok(Ok(inherited)) => Some(inherited),
        Ok(Err(error)) => return failed(&error.to_string()),
        Err(_) => None,
    };
    let sabotage = match sabotage() {
        Ok(sabotage) => sabotage,
        Err(message) => return failed(&message),
    };
    let ready = match boot::boot(&args.site, args.again, sabotage.as_deref()) {
        Ok(ready) => ready,
        Err(refusal) => {
            refusal.messages().iter().for_each(|message| eprintln!("seawall: {message}"));
            return refusal.exit();
        }
    };
    match Process::start(args, signals, inherited, ready, sabotage) {
        Ok(process) => process.serve(),
        Err(message) => failed(&message),
    }
}

/// Logs problems that do not keep the site from being served.
pub fn report_problems(loaded: &Loaded) {
    let file = loaded.file.as_ref().map(|(path, _)| path.display().to_string()).unwrap_or_default();
    for problem in &loaded.problems {
        if problem.is_error() {
            tracing::error!("{file}: {problem:#}");
        } else {
            tracing::warn!("{file}: {problem:#}");
        }
    }
}

/// What a drill wants broken in this process; nothing anywhere else.
pub fn sabotage() -> Result<Option<Arc<Sabotage>>, String> {
    let Some(path) = std::env::var_os(SABOTAGE_VARIABLE) else { return Ok(None) };
    let path = PathBuf::from(path);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let sabotage = Sabotage::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    tracing::error!(
        path = %path.display(),
        without = ?sabotage.left_out(),
        faults = sabotage.has_faults(),
        "this is a drill: faults are injected and guards may be off ({SABOTAGE_VARIABLE} is set)"
    );
    Ok(Some(Arc::new(sabotage)))
}

/// Loads without leaving the data folder: half of what it holds could not move.
fn load_within(data_dir: &Path, args: SiteArgs) -> Result<Loaded, Refusal> {
    let loaded = config::load(&args, Moment::Reload)?;
    if loaded.site.data_dir == data_dir {
        return Ok(loaded);
    }
    config::warn_of_other_folder(&loaded.site.data_dir, data_dir);
    config::load(&SiteArgs { data_dir: Some(data_dir.to_owned()), ..args }, Moment::Reload)
}

fn failed(message: &str) -> Exit {
    tracing::error!("{message}");
    Exit::Failure
}

/// A drain under way.
enum Draining {
    Thread(JoinHandle<usize>),
    /// No thread could be started, so it was done in the main one; this many requests were cut off.
    Done(usize),
}

impl Draining {
    fn is_finished(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.is_finished(),
            Self::Done(_) => true,
        }
    }
}

struct Process {
    edge: Arc<Edge>,
    args: SiteArgs,
    data_dir: PathBuf,
    /// Held while this process lives, if no supervisor holds it.
    _lock: Option<DataDir>,
    plan: Plan,
    drain: Duration,
    signals: Signals,
    channel: Option<Channel>,
    watch: Watch,
    loading: Option<JoinHandle<Option<Loaded>>>,
    /// Loads by order of an operator, to be done one after the other.
    orders: Vec<Apply>,
    load_again: bool,
    draining: Option<Draining>,
    announced: bool,
    /// Draining because the supervisor is gone, of which a SIGTERM is still to tell.
    orphan_told: bool,
    pulse_at: Instant,
    stop_orders: StopOrders,
    /// Which snapshots run, as the supervisor was told.
    told_runs: (u64, u64),
}

impl Process {
    fn start(
        args: &EdgeArgs,
        signals: Signals,
        inherited: Option<Inherited>,
        ready: Ready,
        sabotage: Option<Arc<Sabotage>>,
    ) -> Result<Self, String> {
        let Ready { site, boot, loaded } = ready;
        let plan = Plan::of(&site);
        let mut lock = None;
        let sockets = match inherited {
            Some(inherited) => inherited,
            None => {
                lock = Some(DataDir::lock(&site.data_dir).map_err(|error| error.to_string())?);
                bind_alone(&plan, &site.data_dir)?
            }
        };
        let channel = sockets.channel.map(Channel::new).transpose().map_err(|error| error.to_string())?;
        let (data_dir, drain) = (site.data_dir.clone(), site.edge.drain);
        let edge = Edge::start(Start {
            site,
            boot: Some(boot),
            sabotage,
            http: sockets.http,
            https: sockets.https,
            metrics: sockets.metrics,
            admin: sockets.admin,
            config_path: args.site.config.clone(),
            recorder: sockets.recorder,
        })
        .map_err(|error| format!("the edge cannot start: {error}"))?;
        edge.note_restarts(restarts());
        // What a snapshot was not made of yet goes through the stages, like every change after it.
        let mut watch = Watch::new(args.site.config.iter().cloned().collect());
        let mut load_again = true;
        if let Some(loaded) = loaded {
            report_problems(&loaded);
            edge.note_problems(&loaded.problems);
            watch = Watch::new(watched(&loaded));
            load_again = false;
        }
        Ok(Self {
            edge: Arc::new(edge),
            args: args.site.clone(),
            data_dir,
            _lock: lock,
            plan,
            drain,
            signals,
            channel,
            watch,
            loading: None,
            orders: Vec::new(),
            load_again,
            draining: None,
            announced: false,
            orphan_told: false,
            pulse_at: Instant::now(),
            stop_orders: StopOrders::default(),
            told_runs: (0, 0),
        })
    }

    fn serve(mut self) -> Exit {
        loop {
            self.wait();
            for signal in self.signals.arrived() {
                match signal {
                    // The kernel says in its own time that the supervisor died: no one asked twice.
                    Signal::SIGTERM if std::mem::take(&mut self.orphan_told) => {}
                    Signal::SIGTERM | Signal::SIGINT => match self.stop_orders.heard(Instant::now()) {
                        StopOrder::Echo => {}
                        StopOrder::First => self.begin_drain(),
                        StopOrder::Again => {
                            tracing::warn!("told to stop a second time: stopping at once");
                            return Exit::Ok;
                        }
                    },
                    Signal::SIGHUP => self.begin_load(),
                    Signal::SIGUSR1 => self.edge.reopen_log(),
                    _ => {}
                }
            }
            self.obey();
            self.announce();
            self.tell_runs();
            self.finish_load();
            if self.draining.as_ref().is_some_and(Draining::is_finished) {
                return self.finish_drain();
            }
            if Instant::now() >= self.pulse_at {
                self.pulse();
            }
        }
    }

    fn wait(&self) {
        let busy = !self.announced || self.loading.is_some() || self.draining.is_some();
        let until_pulse = self.pulse_at.saturating_duration_since(Instant::now());
        let limit = if busy { WAITING } else { ORDERS }.min(until_pulse);
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(channel) = self.channel.as_ref().filter(|c| !c.ended()) {
            fds.push(PollFd::new(channel.as_fd(), PollFlags::POLLIN));
        }
        // An interrupted wait is a short one.
        let _ = poll(
            &mut fds,
            PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO),
        );
    }

    fn obey(&mut self) {
        let Some(channel) = self.channel.as_mut().filter(|c| !c.ended()) else { return };
        let orders = channel.orders();
        let orphaned = channel.ended();
        for order in orders {
            match order {
                Order::Reload => self.begin_load(),
                Order::Drain { limit_ms } => {
                    if let Some(limit_ms) = limit_ms {
                        self.drain = self.drain.min(Duration::from_millis(limit_ms));
                    }
                    self.begin_drain();
                }
                Order::Reopen => self.edge.reopen_log(),
                Order::Refused => self.edge.reload_failed(),
            }
        }
        if orphaned && self.draining.is_none() {
            // The next supervisor wants to bind these addresses.
            tracing::error!("the supervisor is gone: finishing requests and stopping");
            self.orphan_told = true;
            self.begin_drain();
        }
    }

    fn announce(&mut self) {
        if self.announced || !self.edge.ready() {
            return;
        }
        self.announced = true;
        match &mut self.channel {
            Some(channel) => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                channel.send(&Word::Ready { resume: RESUME_FORMAT, version });
            }
            None => {
                tracing::info!("serving");
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]); // without systemd: nothing to tell
            }
        }
    }

    /// The recorder says it at once and without this thread; this is for a supervisor that lent none.
    fn tell_runs(&mut self) {
        let runs = self.edge.running();
        if runs != self.told_runs
            && let Some(channel) = &mut self.channel
        {
            self.told_runs = runs;
            channel.send(&Word::Runs { current: runs.0, candidate: runs.1 });
        }
    }

    fn pulse(&mut self) {
        self.pulse_at = Instant::now() + PULSE;
        let age_ms = self.edge.heartbeat_age_ms();
        match &mut self.channel {
            Some(channel) => {
                channel.send(&Word::Alive { age_ms });
                let workers = u64::try_from(self.edge.stuck_workers()).unwrap_or(u64::MAX);
                // Once it drains it is being replaced already.
                if workers > 0 && self.draining.is_none() {
                    channel.send(&Word::Stuck { workers });
                }
            }
            None if age_ms < crate::supervisor::SILENCE_MS => {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            None => tracing::error!(age_ms, "a worker does not answer"),
        }
        if self.draining.is_none() && self.watch.changed() {
            match &mut self.channel {
                // The supervisor decides: other addresses need other sockets.
                Some(channel) => channel.send(&Word::Changed),
                None => self.begin_load(),
            }
        }
    }

    fn begin_load(&mut self) {
        self.load(None);
    }

    /// Reads the configuration beside what serves, and hands it to the edge as a change.
    fn load(&mut self, order: Option<Apply>) {
        if self.draining.is_some() {
            return;
        }
        if self.loading.is_some() {
            match order {
                Some(order) => self.orders.push(order),
                None => self.load_again = true,
            }
            return;
        }
        let (args, edge, data_dir) = (self.args.clone(), Arc::clone(&self.edge), self.data_dir.clone());
        let load = move || {
            let cause = match &order {
                Some(_) => Cause::new("operator", "told to load the configuration"),
                None => Cause::new("file", boot::source(&args)),
            };
            let order = order.unwrap_or_else(|| edge.own_order());
            match load_within(&data_dir, args) {
                Ok(mut loaded) => {
                    loaded.admit_degraded(&edge.zone_names());
                    report_problems(&loaded);
                    let content = Content::Site {
                        artifacts: boot::artifacts(&loaded.site),
                        site: Box::new(loaded.site.clone()),
                        problems: loaded.problems.clone(),
                        refused_lists: loaded.refused_lists.clone(),
                    };
                    let Apply { order, acks, base, quick } = order;
                    edge.propose(order, Proposal { content, cause, acks, base, quick });
                    Some(loaded)
                }
                Err(refusal) => {
                    refusal.messages().iter().for_each(|message| tracing::error!("{message}"));
                    tracing::error!("the new configuration is invalid; the one being served stays");
                    edge.reload_failed();
                    edge.refused(order.order, refusal.messages());
                    None
                }
            }
        };
        match std::thread::Builder::new().name("load".to_owned()).spawn(load) {
            Ok(thread) => self.loading = Some(thread),
            Err(error) => {
                tracing::error!(%error, "cannot load the configuration; the one being served stays")
            }
        }
    }

    fn finish_load(&mut self) {
        if let Some(thread) = self.loading.take_if(|thread| thread.is_finished()) {
            match thread.join() {
                Ok(Some(loaded)) => {
                    tracing::info!(zones = loaded.site.zones.len(), "configuration read");
                    self.drain = loaded.site.edge.drain;
                    self.watch = Watch::new(watched(&loaded));
                    if self.channel.is_none() && Plan::of(&loaded.site) != self.plan {
                        tracing::warn!(
                            "other listen addresses or workers take effect when this process is restarted"
                        );
                    }
                }
                Ok(None) => {}
                Err(_) => {
                    tracing::error!("loading the configuration failed badly; the one being served stays")
                }
            }
        }
        self.orders.extend(self.edge.orders());
        if !self.announced || self.loading.is_some() {
            return;
        }
        if !self.orders.is_empty() {
            let order = self.orders.remove(0);
            self.load(Some(order));
        } else if std::mem::take(&mut self.load_again) {
            self.begin_load();
        }
    }

    fn begin_drain(&mut self) {
        if self.draining.is_some() {
            return;
        }
        // Of whom ever the order came: a service manager tells the supervisor and the edge in the same moment.
        self.stop_orders.heard(Instant::now());
        tracing::info!(limit_s = self.drain.as_secs(), "draining");
        if let Some(channel) = &mut self.channel {
            channel.send(&Word::Draining);
        } else {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        }
        let (edge, limit) = (Arc::clone(&self.edge), self.drain);
        let thread = std::thread::Builder::new().name("drain".to_owned()).spawn(move || edge.drain(limit));
        self.draining = Some(match thread {
            Ok(thread) => Draining::Thread(thread),
            Err(_) => Draining::Done(self.edge.drain(self.drain)),
        });
    }

    fn finish_drain(self) -> Exit {
        let cut_off = match self.draining {
            Some(Draining::Thread(thread)) => match thread.join() {
                Ok(cut_off) => cut_off,
                Err(_) => return failed("draining failed badly"),
            },
            Some(Draining::Done(cut_off)) => cut_off,
            None => 0,
        };
        match cut_off {
            0 => tracing::info!("every request was finished"),
            _ => tracing::warn!(cut_off, "the drain time is over; requests were cut off"),
        }
        Exit::Ok
    }
}

/// How often the supervisor has started an edge in the place of one that died.
fn restarts() -> u64 {
    std::env::var(handover::RESTARTS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The files whose change means a reload.
fn watched(loaded: &Loaded) -> Vec<PathBuf> {
    let site: &Site = &loaded.site;
    let certificates =
        site.edge.tls.certificates.iter().chain(site.zones.iter().flat_map(|zone| &zone.certificates));
    let mut files: Vec<PathBuf> = loaded.file.iter().map(|(path, _)| path.clone()).collect();
    files.extend(site.edge.bot_features.clone());
    files.extend(loaded.list_files.iter().cloned());
    files.extend(certificates.flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
    // The first are the most important, and of very many they are looked at most often.
    let mut known = std::collections::HashSet::new();
    files.retain(|file| known.insert(file.clone()));
    files
}

/// Sockets of an edge without a supervisor.
fn bind_alone(plan: &Plan, data_dir: &Path) -> Result<Inherited, String> {
    crate::supervisor::raise_descriptor_limit();
    let sockets = Sockets::bind(plan, None).map_err(|error| error.to_string())?;
    for line in sockets.describe() {
        tracing::info!("{line}");
    }
    let mut inherited = sockets.into_inherited().map_err(|error| error.to_string())?;
    inherited.admin = Some(bind_private(&data_dir.join(ADMIN_SOCKET)).map_err(|error| error.to_string())?);
    Ok(inherited)
}
