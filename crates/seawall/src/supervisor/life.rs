//! The loop: hears of signals, children and questions, lets the roles decide, and does what they say.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::child::{Child, End, Part};
use super::clerk::{Clerk, Death};
use super::control::{Command, Control, Question};
use super::data_dir::DataDir;
use super::notify;
use super::role::{Action, Generation, Purpose, Report, Role, Standing};
use super::sockets::Sockets;
use crate::channel::{Order, RESUME_FORMAT, Word};
use crate::cli::SiteArgs;
use crate::config::{self, Moment, Plan};
use crate::exit::Exit;
use crate::signals::{Signals, StopOrder, StopOrders};
use seawall_sys::recorder::{Recording, Runs};
use seawall_telemetry::timeline::{Event, Kind, Timeline};

/// The longest wait of the loop, so that a lost signal costs a second at most.
const TURN: Duration = Duration::from_secs(1);
/// How long the demo site may take to go.
const DEMO_DRAIN_MS: u64 = 1_000;
/// The program that runs here, even when its file has been replaced: what dies is restarted as what it was, and
/// only an upgrade brings in something new.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The demo site's listener.
#[derive(Debug)]
pub struct Demo {
    /// On a loopback port.
    pub listener: TcpListener,
}

impl Demo {
    /// Binds a free loopback port.
    ///
    /// # Errors
    /// No port or descriptor left.
    pub fn bind() -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0")? })
    }

    /// Where the edge finds it.
    pub fn url(&self) -> String {
        self.listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default()
    }
}

/// What a supervisor is made of.
#[derive(Debug)]
pub struct Parts {
    /// The program file.
    pub program: PathBuf,
    /// Flags for the children.
    pub site_args: SiteArgs,
    /// Folder of lock and sockets.
    pub data_dir: PathBuf,
    /// The folder a flag names, if one does; otherwise the file or the default says it.
    pub wanted_dir: Option<PathBuf>,
    /// The lock.
    pub lock: DataDir,
    /// `edge.sock`, lent to the edge.
    pub admin: UnixListener,
    /// `supervisor.sock`.
    pub control: Control,
    /// Signals.
    pub signals: Signals,
    /// Listening sockets, lent to the edge.
    pub sockets: Sockets,
    /// With `--demo`.
    pub demo: Option<Demo>,
    /// How long a leaving edge may take.
    pub drain_ms: u64,
    /// What to print when the edge serves for the first time.
    pub welcome: Option<Vec<String>>,
}

/// The supervisor.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) parts: Parts,
    /// Sockets of a candidate that is to serve other addresses.
    pending: Option<Sockets>,
    pub(super) edge: Role,
    pub(super) demo: Role,
    pub(super) children: Vec<Child>,
    pub(super) generation: Generation,
    question: Option<Question>,
    pub(super) reload_again: bool,
    stopping: bool,
    /// An upgraded edge serves: become its program.
    succeeded: Option<Generation>,
    /// What a child that died is restarted from.
    restart_from: PathBuf,
    started: Instant,
    watchdog: Option<(Duration, Instant)>,
    stop_orders: StopOrders,
    pub(super) timeline: Timeline,
    clerk: Clerk,
}

impl Supervisor {
    /// A supervisor that has not started anything.
    pub fn new(parts: Parts) -> Self {
        let seed = u64::from(std::process::id());
        let this = PathBuf::from(THIS_PROGRAM);
        let restart_from = if this.exists() { this } else { parts.program.clone() }; // no /proc in some jails
        let timeline = Timeline::open(&parts.data_dir, "supervisor");
        // One that cannot be read ends the edge, which says why.
        let sabotage = crate::edge_role::sabotage().unwrap_or_default();
        Self {
            clerk: Clerk::start(&parts.data_dir, timeline.clone(), sabotage),
            timeline,
            parts,
            pending: None,
            edge: Role::new(seed),
            demo: Role::new(seed.rotate_left(17)),
            children: Vec::new(),
            generation: 0,
            question: None,
            reload_again: false,
            stopping: false,
            succeeded: None,
            restart_from,
            started: Instant::now(),
            watchdog: notify::watchdog_interval().map(|interval| (interval, Instant::now())),
            stop_orders: StopOrders::default(),
        }
    }

    /// Starts what is not running, and supervises until told to stop.
    pub fn live(mut self) -> Exit {
        let now = self.now();
        if std::mem::take(&mut self.reload_again) {
            self.reload();
        }
        if self.generation == 0 {
            if self.parts.demo.is_some() {
                let actions = self.demo.begin(now, &mut self.generation);
                self.act(Part::Demo, actions);
            }
            let actions = self.edge.begin(now, &mut self.generation);
            self.act(Part::Edge, actions);
        }
        loop {
            self.wait();
            self.heed_signals();
            while let Some(question) = self.parts.control.question() {
                self.consider(question);
            }
            self.hear();
            self.bury();
            self.tick();
            if let Some(generation) = self.succeeded.take() {
                self.become_program_of(generation);
            }
            if self.stopping && self.edge.is_empty() {
                if self.demo.is_empty() {
                    tracing::info!("stopped");
                    return Exit::Ok;
                }
                if self.demo.serving().is_some() || self.demo.next_deadline().is_none() {
                    let actions = self.demo.stop(self.now(), DEMO_DRAIN_MS);
                    self.act(Part::Demo, actions);
                }
            }
        }
    }

    /// Monotonic milliseconds.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn wait(&self) {
        let now = self.now();
        let deadline = self.edge.next_deadline().into_iter().chain(self.demo.next_deadline()).min();
        let mut limit = deadline.map_or(TURN, |at| Duration::from_millis(at.saturating_sub(now)).min(TURN));
        if let Some((_, at)) = self.watchdog {
            limit = limit.min(at.saturating_duration_since(Instant::now()));
        }
        let mut fds = vec![
            PollFd::new(self.parts.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.parts.control.as_fd(), PollFlags::POLLIN),
        ];
        let open = self.children.iter().filter(|child| !child.channel.ended());
        fds.extend(open.map(|child| PollFd::new(child.channel.as_fd(), PollFlags::POLLIN)));
        // One millisecond more, so that what is due is due when we look. An interrupted wait is a short one.
        let limit = limit + Duration::from_millis(1);
        let _ = poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO));
    }

    fn heed_signals(&mut self) {
        for signal in self.parts.signals.arrived() {
            match signal {
                Signal::SIGTERM | Signal::SIGINT => match self.stop_orders.heard(Instant::now()) {
                    StopOrder::First => self.stop(),
                    StopOrder::Echo => {}
                    StopOrder::Again => self.stop_now(),
                },
                Signal::SIGHUP => self.reload(),
                Signal::SIGUSR1 => self.order_reopen(),
                Signal::SIGUSR2 => self.upgrade(None),
                _ => {} // SIGCHLD: `bury` looks in every turn
            }
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        notify::stopping();
        let limit_s = self.parts.drain_ms / 1000;
        tracing::info!(
            limit_s,
            "stopping: requests in flight are finished first; a second signal stops at once"
        );
        if let Some(question) = self.question.take() {
            question.answer(false, "the supervisor is stopping");
        }
        self.pending = None;
        let actions = self.edge.stop(self.now(), self.parts.drain_ms);
        self.act(Part::Edge, actions);
    }

    fn stop_now(&mut self) {
        tracing::warn!("told to stop a second time: stopping at once");
        let now = self.now();
        for part in [Part::Edge, Part::Demo] {
            let actions = self.role(part).stop_now(now);
            self.act(part, actions);
        }
    }

    fn consider(&mut self, question: Question) {
        match question.command.clone() {
            Command::Upgrade => self.upgrade(Some(question)),
            Command::Status => {
                let now = self.now();
                let text = format!(
                    "supervisor {} version {}, edge {}, leaving {}, restarts {}",
                    std::process::id(),
                    env!("CARGO_PKG_VERSION"),
                    self.edge
                        .serving()
                        .and_then(|g| self.pid(g))
                        .map_or("not ready".to_owned(), |p| p.to_string()),
                    self.edge.leaving(now).len(),
                    self.edge.restarts(),
                );
                question.answer(true, &text);
            }
            Command::Unknown(command) => question.answer(false, &format!("unknown command `{command}`")),
        }
    }

    /// Starts an edge from the program file; the answer follows when it serves, or does not.
    fn upgrade(&mut self, question: Option<Question>) {
        tracing::info!(program = %self.parts.program.display(), "upgrade: starting an edge from the program on disk");
        let now = self.now();
        match self.edge.replace(now, &mut self.generation, Purpose::Upgrade) {
            Ok(actions) => {
                self.question = question;
                self.act(Part::Edge, actions);
            }
            Err(busy) => {
                tracing::warn!("no upgrade now: {busy}");
                if let Some(question) = question {
                    question.answer(false, &busy.to_string());
                }
            }
        }
    }

    /// Reads the configuration again. Other sockets or workers need another edge; anything else the edge swaps itself.
    fn reload(&mut self) {
        if self.stopping {
            return;
        }
        if self.succeeded.is_some() {
            self.reload_again = true; // first this process becomes the new program
            return;
        }
        notify::reloading();
        let outcome = self.try_reload();
        notify::ready(outcome);
    }

    fn try_reload(&mut self) -> &'static str {
        // Without the folder children are told, so that another one in the file is noticed.
        let args = SiteArgs { data_dir: self.parts.wanted_dir.clone(), ..self.parts.site_args.clone() };
        let loaded = match config::load(&args, Moment::Reload) {
            Ok(loaded) => loaded,
            Err(_) => {
                tracing::error!("the new configuration is invalid; the one being served stays");
                self.order(Order::Reload); // the edge comes to the same conclusion, and names every problem
                return "serving; the new configuration is invalid and not used";
            }
        };
        config::warn_of_other_folder(&loaded.site.data_dir, &self.parts.data_dir);
        let plan = Plan::of(&loaded.site);
        if plan == *self.parts.sockets.plan() {
            self.parts.drain_ms = super::drain_ms(&loaded);
            self.order(Order::Reload);
            return "serving";
        }
        if self.edge.candidate().is_some() {
            self.reload_again = true;
            return "serving; a replacement is under way";
        }
        let sockets = match Sockets::bind(&plan, Some(&self.parts.sockets)) {
            Ok(sockets) => sockets,
            Err(error) => {
                tracing::error!("{error}; the configuration being served stays");
                self.order(Order::Refused);
                return "serving; the new configuration cannot be used";
            }
        };
        tracing::info!("other listen addresses or workers: starting another edge");
        self.parts.drain_ms = super::drain_ms(&loaded);
        self.pending = Some(sockets);
        let now = self.now();
        match self.edge.replace(now, &mut self.generation, Purpose::Rebind) {
            Ok(actions) => self.act(Part::Edge, actions),
            Err(busy) => {
                self.pending = None;
                tracing::error!("{busy}; the configuration being served stays; try again");
            }
        }
        "serving"
    }

    /// Tells the edge that serves.
    fn order(&mut self, order: Order) {
        let serving = self.edge.serving();
        if let Some(child) = self.children.iter_mut().find(|child| Some(child.generation) == serving) {
            child.channel.send(&order);
        }
    }

    /// Tells every edge: one that is leaving writes to the same file.
    fn order_reopen(&mut self) {
        tracing::info!("opening the access log again");
        for child in self.children.iter_mut().filter(|child| child.part == Part::Edge) {
            child.channel.send(&Order::Reopen);
        }
    }

    fn hear(&mut self) {
        let mut heard = Vec::new();
        for child in &mut self.children {
            for word in child.channel.words() {
                match &word {
                    Word::Ready { resume, version } => child.program = Some((*resume, version.clone())),
                    Word::Runs { current, candidate } => {
                        child.runs = Runs { current: *current, candidate: *candidate };
                    }
                    _ => {}
                }
                heard.push((child.part, child.generation, word));
            }
        }
        for (part, generation, word) in heard {
            let (now, drain_ms) = (self.now(), self.drain_ms(part));
            let mut next = self.generation;
            let role = self.role(part);
            let actions = match word {
                Word::Ready { .. } => role.ready(now, generation, drain_ms),
                Word::Alive { age_ms } => {
                    role.alive(now, generation, age_ms);
                    Vec::new()
                }
                Word::Stuck { workers } => role.stuck(now, &mut next, generation, workers),
                Word::Runs { .. } => continue,
                Word::Draining => role.draining(now, &mut next, generation, drain_ms),
                Word::Changed => {
                    if role.serving() == Some(generation) {
                        tracing::info!("a configuration or certificate file has changed");
                        self.reload();
                    }
                    continue;
                }
            };
            self.generation = next;
            self.act(part, actions);
        }
    }

    fn bury(&mut self) {
        let mut dead = Vec::new();
        self.children.retain(|child| match child.bury() {
            Some(end) => {
                let ran_ms = u64::try_from(child.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let death = Death { how: end.to_string(), ran_ms, reading: child.reading() };
                dead.push((child.part, child.generation, end, death));
                false
            }
            None => true,
        });
        for (part, generation, end, death) in dead {
            let now = self.now();
            if part == Part::Edge {
                self.edge_ended(generation, end, &death);
            }
            let actions = self.role(part).exited(now, generation, &death.how);
            self.act(part, actions);
        }
    }

    /// Tells of an edge that died, and lets what it ran answer for it. One that was to take over, or was leaving, was on
    /// trial as a program and not for what it ran.
    fn edge_ended(&mut self, generation: Generation, end: End, death: &Death) {
        if self.stopping || self.edge.standing(generation) != Some(Standing::Serving) {
            return;
        }
        let runs = death.reading.runs;
        let text = format!("the edge {} after {} ms, with {}", death.how, death.ran_ms, death.in_hand());
        let event = Event::new(Kind::Died, "supervisor", text);
        self.timeline.tell(if runs.current == 0 { event } else { event.snapshot(runs.current) });
        if !end.is_crash() {
            return;
        }
        if let Some(verdict) = self.clerk.enter(death.clone()) {
            tracing::error!("the edge died with {}: {verdict}", death.in_hand());
        }
    }

    fn tick(&mut self) {
        for part in [Part::Edge, Part::Demo] {
            let now = self.now();
            let mut next = self.generation;
            let actions = self.role(part).tick(now, &mut next);
            self.generation = next;
            self.act(part, actions);
        }
        if let Some((interval, at)) = &mut self.watchdog
            && Instant::now() >= *at
        {
            *at = Instant::now() + *interval;
            // A draining edge is a working one; a missing one is what the watchdog is for.
            if self.edge.serving().is_some() || self.stopping {
                notify::watchdog();
            }
        }
    }

    fn act(&mut self, part: Part, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { generation, purpose } => self.start(part, generation, purpose),
                Action::Drain { generation, limit_ms } => {
                    if let Some(child) = self.children.iter_mut().find(|c| c.generation == generation) {
                        child.channel.send(&Order::Drain { limit_ms });
                    }
                }
                Action::Kill { generation } => {
                    if let Some(child) = self.children.iter().find(|c| c.generation == generation) {
                        child.kill();
                    }
                }
                Action::Report(report) => self.report(part, report),
            }
        }
    }

    fn start(&mut self, part: Part, generation: Generation, purpose: Purpose) {
        let restarts = self.role(part).restarts();
        let program = if purpose == Purpose::Upgrade { &self.parts.program } else { &self.restart_from };
        let started = match part {
            Part::Edge => {
                let mut arguments = self.parts.site_args.to_arguments();
                if purpose != Purpose::First {
                    arguments.push("--again".into());
                }
                let sockets = match &self.pending {
                    Some(pending) if purpose == Purpose::Rebind => pending,
                    _ => &self.parts.sockets,
                };
                let admin = &self.parts.admin;
                let recording = recording(sockets.plan().workers);
                Child::start(generation, part, program, &arguments, restarts, recording, |manifest, lent| {
                    sockets.lend(manifest, lent);
                    manifest.add("admin", admin.as_raw_fd());
                    lent.push(admin.as_fd());
                })
            }
            Part::Demo => {
                let demo = self.parts.demo.as_ref();
                Child::start(generation, part, program, &[], restarts, None, |manifest, lent| {
                    if let Some(demo) = demo {
                        manifest.add("demo", demo.listener.as_raw_fd());
                        lent.push(demo.listener.as_fd());
                    }
                })
            }
        };
        match started {
            Ok(child) => {
                tracing::debug!(role = part.name(), pid = child.pid.as_raw(), ?purpose, "started");
                self.children.push(child);
            }
            Err(error) => {
                let now = self.now();
                let actions =
                    self.role(part).exited(now, generation, &format!("could not be started: {error}"));
                self.act(part, actions);
            }
        }
    }

    fn report(&mut self, part: Part, report: Report) {
        let role = part.name();
        match report {
            Report::Serving { generation, purpose, after_ms } => {
                let pid = self.pid(generation);
                tracing::info!(role, pid, after_ms, "serving");
                if part == Part::Edge {
                    self.edge_serves(generation, purpose);
                }
            }
            Report::Died { how, restart_in_ms, in_a_row, .. } => {
                tracing::error!(role, restart_in_ms, in_a_row, "{role} {how}; starting it again");
                if part == Part::Edge {
                    let text = format!("starting an edge in {restart_in_ms} ms, restart {in_a_row} in a row");
                    self.timeline.tell(Event::new(Kind::Restart, format!("the edge {how}"), text));
                    notify::status("the edge died and is being started again");
                }
            }
            Report::LeavesByItself { .. } => {
                tracing::warn!(role, "{role} was told to stop; starting the next one")
            }
            Report::Stuck { workers, .. } => {
                tracing::error!(
                    role,
                    workers,
                    "workers are stuck; starting another {role} beside, and then this one goes"
                );
                let text =
                    "starting another edge beside the one with stuck workers, which then finishes and goes";
                self.timeline.tell(Event::new(Kind::Restart, format!("{workers} stuck"), text));
            }
            Report::Hung { silent_ms, .. } => {
                tracing::error!(role, silent_ms, "{role} has stopped answering; killing it");
            }
            Report::NeverReady { .. } => tracing::error!(role, "{role} was not ready in time; killing it"),
            Report::CandidateFailed { purpose, why, .. } => self.candidate_failed(purpose, &why),
            Report::Left { how, .. } => tracing::info!(role, "the earlier {role} {how}"),
            Report::Overdue { .. } => {
                tracing::warn!(role, "the earlier {role} takes too long to finish; killing it")
            }
        }
    }

    fn edge_serves(&mut self, generation: Generation, purpose: Purpose) {
        if let Some(lines) = self.parts.welcome.take() {
            print_welcome(&self.parts.sockets, &lines, &self.parts.data_dir);
        }
        match purpose {
            Purpose::Upgrade => self.succeeded = Some(generation),
            Purpose::Rebind => {
                if let Some(sockets) = self.pending.take() {
                    self.parts.sockets = sockets;
                    for line in self.parts.sockets.describe() {
                        tracing::info!("now listening: {line}");
                    }
                }
            }
            Purpose::First | Purpose::Restart | Purpose::Unstick => {}
        }
        notify::ready("serving");
        if self.succeeded.is_none() && std::mem::take(&mut self.reload_again) {
            self.reload();
        }
    }

    fn candidate_failed(&mut self, purpose: Purpose, why: &str) {
        match purpose {
            Purpose::Upgrade => {
                tracing::error!("the upgrade failed: {why}; the earlier edge goes on serving");
                if let Some(question) = self.question.take() {
                    question.answer(
                        false,
                        &format!("the new edge failed: {why}; the earlier one goes on serving"),
                    );
                }
            }
            _ => {
                tracing::error!("the new edge failed: {why}; the earlier one goes on serving as before");
                self.pending = None;
            }
        }
        if std::mem::take(&mut self.reload_again) {
            self.reload();
        }
    }

    /// After an upgrade: answers whoever asked for it, and executes the new program in the place of this one.
    fn become_program_of(&mut self, generation: Generation) {
        let (format, version) = self
            .children
            .iter()
            .find(|c| c.generation == generation)
            .and_then(|c| c.program.clone())
            .unwrap_or_default();
        if let Some(question) = self.question.take() {
            let pid = self.pid(generation).unwrap_or_default();
            question.answer(true, &format!("upgraded: process {pid}, version {version}, now serves"));
        }
        self.restart_from.clone_from(&self.parts.program);
        if format != RESUME_FORMAT {
            tracing::warn!(format, "the new program keeps other state: this supervisor goes on as it is");
        } else {
            let error = super::takeover::execute(self);
            tracing::warn!(%error, "cannot become the new program: this supervisor goes on as it is");
        }
        if std::mem::take(&mut self.reload_again) {
            self.reload();
        }
    }

    fn role(&mut self, part: Part) -> &mut Role {
        match part {
            Part::Edge => &mut self.edge,
            Part::Demo => &mut self.demo,
        }
    }

    fn drain_ms(&self, part: Part) -> u64 {
        match part {
            Part::Edge => self.parts.drain_ms,
            Part::Demo => DEMO_DRAIN_MS,
        }
    }

    fn pid(&self, generation: Generation) -> Option<i32> {
        self.children.iter().find(|c| c.generation == generation).map(|c| c.pid.as_raw())
    }
}

/// Where an edge of so many workers notes what it has in hand. Without it supervising goes on, and knows less.
fn recording(workers: usize) -> Option<Recording> {
    Recording::create(seawall_edge::slots_for(workers))
        .inspect_err(|error| tracing::warn!(%error, "what the edge has in hand is not recorded"))
        .ok()
}

fn print_welcome(sockets: &Sockets, lines: &[String], data_dir: &std::path::Path) {
    use std::io::Write;
    let mut text = format!("Seawall {} is serving.\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9}{value}\n"));
    line("open", &sockets.urls().join("  "));
    for described in sockets.describe().iter().chain(lines) {
        line("", described);
    }
    text = text.replace("\n           ", "\n  ");
    text.push_str(&format!(
        "Ctrl-C finishes requests and stops; `seawall top --data-dir {}` shows the traffic.\n",
        data_dir.display()
    ));
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush()); // nobody may be reading
}
