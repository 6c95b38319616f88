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

use crate::channel::{Channel, Order, RESUME_FORMAT, Word};
use crate::cli::{EdgeArgs, SiteArgs};
use crate::config::{self, Loaded, Moment, Plan, Refusal};
use crate::exit::Exit;
use crate::handover::{self, Inherited};
use crate::signals::Signals;
use crate::supervisor::{ADMIN_SOCKET, DataDir, Sockets, bind_private};
use crate::watch::Watch;
use seawall_edge::{Edge, Start};

/// How often the workers' pulse is reported and files are looked at.
const PULSE: Duration = Duration::from_secs(1);
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
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(refusal) => {
            refusal.messages().iter().for_each(|message| eprintln!("seawall: {message}"));
            return refusal.exit();
        }
    };
    match Process::start(args, signals, inherited, &loaded) {
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

fn load(args: &EdgeArgs) -> Result<Loaded, Refusal> {
    if args.again { config::load_again(&args.site) } else { config::load(&args.site, Moment::Start) }
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
    /// Names of the zones that are served, in whatever version.
    served: Vec<String>,
    signals: Signals,
    channel: Option<Channel>,
    watch: Watch,
    loading: Option<JoinHandle<Option<Loaded>>>,
    load_again: bool,
    draining: Option<Draining>,
    announced: bool,
    /// Draining because the supervisor is gone, of which a SIGTERM is still to tell.
    orphan_told: bool,
    pulse_at: Instant,
}

impl Process {
    fn start(
        args: &EdgeArgs,
        signals: Signals,
        inherited: Option<Inherited>,
        loaded: &Loaded,
    ) -> Result<Self, String> {
        let plan = Plan::of(&loaded.site);
        let mut lock = None;
        let sockets = match inherited {
            Some(inherited) => inherited,
            None => {
                lock = Some(DataDir::lock(&loaded.site.data_dir).map_err(|error| error.to_string())?);
                bind_alone(&plan, &loaded.site.data_dir)?
            }
        };
        let channel = sockets.channel.map(Channel::new).transpose().map_err(|error| error.to_string())?;
        report_problems(loaded);
        let edge = Edge::start(Start {
            site: loaded.site.clone(),
            http: sockets.http,
            https: sockets.https,
            metrics: sockets.metrics,
            admin: sockets.admin,
            config_path: loaded.file.as_ref().map(|(path, _)| path.clone()),
            recorder: None,
        })
        .map_err(|error| format!("the edge cannot start: {error}"))?;
        edge.note_problems(&loaded.problems);
        if loaded.is_earlier {
            edge.reload_failed();
        }
        edge.note_restarts(restarts());
        config::keep_last_good(loaded);
        Ok(Self {
            edge: Arc::new(edge),
            args: args.site.clone(),
            data_dir: loaded.site.data_dir.clone(),
            _lock: lock,
            plan,
            drain: loaded.site.edge.drain,
            served: names(&loaded.site).collect(),
            signals,
            channel,
            watch: Watch::new(watched(loaded)),
            loading: None,
            load_again: false,
            draining: None,
            announced: false,
            orphan_told: false,
            pulse_at: Instant::now(),
        })
    }

    fn serve(mut self) -> Exit {
        loop {
            self.wait();
            for signal in self.signals.arrived() {
                match signal {
                    // The kernel says in its own time that the supervisor died: no one asked twice.
                    Signal::SIGTERM if std::mem::take(&mut self.orphan_told) => {}
                    Signal::SIGTERM | Signal::SIGINT if self.draining.is_some() => {
                        tracing::warn!("told to stop a second time: stopping at once");
                        return Exit::Ok;
                    }
                    Signal::SIGTERM | Signal::SIGINT => self.begin_drain(),
                    Signal::SIGHUP => self.begin_load(),
                    Signal::SIGUSR1 => self.edge.reopen_log(),
                    _ => {}
                }
            }
            self.obey();
            self.announce();
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
        let limit = if busy { WAITING.min(until_pulse) } else { until_pulse };
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
                Order::Drain => self.begin_drain(),
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

    fn pulse(&mut self) {
        self.pulse_at = Instant::now() + PULSE;
        let age_ms = self.edge.heartbeat_age_ms();
        match &mut self.channel {
            Some(channel) => channel.send(&Word::Alive { age_ms }),
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
        if self.draining.is_some() {
            return;
        }
        if self.loading.is_some() {
            self.load_again = true;
            return;
        }
        let (args, edge, served) = (self.args.clone(), Arc::clone(&self.edge), self.served.clone());
        let data_dir = self.data_dir.clone();
        let load = move || match load_within(&data_dir, args) {
            Ok(mut loaded) => {
                loaded.admit_degraded(&served);
                report_problems(&loaded);
                edge.reload(loaded.site.clone(), loaded.problems.clone());
                config::keep_last_good(&loaded);
                Some(loaded)
            }
            Err(refusal) => {
                refusal.messages().iter().for_each(|message| tracing::error!("{message}"));
                tracing::error!("the new configuration is invalid; the one being served stays");
                edge.reload_failed();
                None
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
        let Some(thread) = self.loading.take_if(|thread| thread.is_finished()) else { return };
        match thread.join() {
            Ok(Some(loaded)) => {
                tracing::info!(zones = loaded.site.zones.len(), "configuration reloaded");
                self.drain = loaded.site.edge.drain;
                // A zone with errors is still served in its earlier version.
                let faulty = loaded.problems.iter().filter(|p| p.is_error()).filter_map(|p| p.zone.as_ref());
                let kept: Vec<String> = faulty.filter(|zone| self.served.contains(zone)).cloned().collect();
                self.served = names(&loaded.site).chain(kept).collect();
                self.watch = Watch::new(watched(&loaded));
                if self.channel.is_none() && Plan::of(&loaded.site) != self.plan {
                    tracing::warn!(
                        "other listen addresses or workers take effect when this process is restarted"
                    );
                }
            }
            Ok(None) => {}
            Err(_) => tracing::error!("loading the configuration failed badly; the one being served stays"),
        }
        if std::mem::take(&mut self.load_again) {
            self.begin_load();
        }
    }

    fn begin_drain(&mut self) {
        if self.draining.is_some() {
            return;
        }
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

fn names(site: &Site) -> impl Iterator<Item = String> + '_ {
    site.zones.iter().map(|zone| zone.name.clone())
}

/// The files whose change means a reload.
fn watched(loaded: &Loaded) -> Vec<PathBuf> {
    let site: &Site = &loaded.site;
    let certificates =
        site.edge.tls.certificates.iter().chain(site.zones.iter().flat_map(|zone| &zone.certificates));
    let mut files: Vec<PathBuf> = loaded.file.iter().map(|(path, _)| path.clone()).collect();
    files.extend(certificates.flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
    files.sort();
    files.dedup();
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
