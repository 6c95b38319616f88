//! The life of one role (edge, demo site): a state machine without processes or clock.
//!
//! At any time a role has at most one *serving* child, one *candidate* that is to take its place, and some *leaving*
//! children that finish their requests. The machine is told what happened and when; it answers with what to do. All
//! times are monotonic milliseconds.

use super::backoff::Backoff;

/// A child's number, never used twice by one supervisor.
pub type Generation = u32;

/// A child that has not reported itself alive for this long is hung (a worker may be in an endless loop) and killed.
pub const SILENCE_MS: u64 = 5_000;
/// The longest a child may take from its start to READY: loading a large configuration and opening the cache included.
pub const START_MS: u64 = 30_000;
/// What a draining child gets on top of its drain time before it is killed.
pub const DRAIN_GRACE_MS: u64 = 3_000;
/// When the supervisor itself did not run for longer than this (a suspended machine, a stopped process), silence
/// of the children in that time proves nothing.
pub const OWN_PAUSE_MS: u64 = 2_500;
/// The longest a child with stuck workers may finish its requests in: what is stuck burns a processor meanwhile.
pub const UNSTICK_DRAIN_MS: u64 = 10_000;
/// The wait between two replacements for stuck workers; it doubles from there. The first is immediate. What got stuck
/// gets stuck again, and a process with stand-ins serves better than one that is always being replaced.
pub const UNSTICK_MS: u64 = 10_000;
/// The longest such wait.
pub const UNSTICK_LONGEST_MS: u64 = 300_000;
/// Children of one role that may be leaving at once. Each holds memory; more replacements than this wait.
pub const LEAVING_MAX: usize = 4;

/// Why a child is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first of its role.
    First,
    /// In the place of one that died.
    Restart,
    /// To replace the serving one: the program file was replaced.
    Upgrade,
    /// To replace the serving one: other sockets or workers are wanted.
    Rebind,
    /// To replace the serving one: workers of it are stuck.
    Unstick,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a child; answer with [`Role::exited`] if that fails at once.
    Start { generation: Generation, purpose: Purpose },
    /// Tell the child to finish what it has and go, within this time if that is shorter than its own.
    Drain { generation: Generation, limit_ms: Option<u64> },
    /// SIGKILL.
    Kill { generation: Generation },
    /// A life event, to be logged and acted on.
    Report(Report),
}

/// Life events, one line in the log each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A child serves, `after_ms` from its start.
    Serving { generation: Generation, purpose: Purpose, after_ms: u64 },
    /// The serving child is gone; the next one starts in `restart_in_ms`.
    Died { generation: Generation, how: String, restart_in_ms: u64, in_a_row: u32 },
    /// The serving child leaves without being asked to; the next one starts at once.
    LeavesByItself { generation: Generation },
    /// Workers of the serving child are stuck; its successor starts beside it.
    Stuck { generation: Generation, workers: u64 },
    /// A child was silent too long.
    Hung { generation: Generation, silent_ms: u64 },
    /// A child was not ready in time.
    NeverReady { generation: Generation },
    /// A candidate failed; the serving child stays.
    CandidateFailed { generation: Generation, purpose: Purpose, why: String },
    /// A leaving child has gone.
    Left { generation: Generation, how: String },
    /// A leaving child took too long.
    Overdue { generation: Generation },
}

/// Why a replacement cannot begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// One replacement is under way.
    #[error("another replacement is under way")]
    Replacing,
    /// Too many earlier children still drain.
    #[error("too many earlier processes are still finishing their requests")]
    Leaving,
    /// The supervisor is going down.
    #[error("the supervisor is stopping")]
    Stopping,
}

/// What a child is to its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It serves, or is to as soon as it is ready.
    Serving,
    /// It is to take over.
    Candidate,
    /// It finishes its requests.
    Leaving,
}

#[derive(Debug, Clone)]
struct Living {
    generation: Generation,
    purpose: Purpose,
    started_at: u64,
    ready_at: Option<u64>,
    alive_at: u64,
    /// Told to die already; its exit is awaited.
    killed: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Leaving {
    generation: Generation,
    kill_at: u64,
    killed: bool,
}

/// One role.
#[derive(Debug)]
pub struct Role {
    serving: Option<Living>,
    candidate: Option<Living>,
    leaving: Vec<Leaving>,
    restart_at: Option<u64>,
    backoff: Backoff,
    restarts: u64,
    stopping: bool,
    last_tick: Option<u64>,
    /// When the next replacement for stuck workers may begin, and how long the wait before it was.
    unstick_at: u64,
    unstick_wait_ms: u64,
}

impl Role {
    /// A role without a child; call [`Role::begin`].
    pub fn new(seed: u64) -> Self {
        Self {
            serving: None,
            candidate: None,
            leaving: Vec::new(),
            restart_at: None,
            backoff: Backoff::new(seed),
            restarts: 0,
            stopping: false,
            last_tick: None,
            unstick_at: 0,
            unstick_wait_ms: 0,
        }
    }

    /// A role whose children were started by this process before it executed a newer program.
    pub fn resumed(
        seed: u64,
        now: u64,
        serving: Option<Generation>,
        leaving: &[(Generation, u64)],
        restarts: u64,
    ) -> Self {
        let living = |generation| Living {
            generation,
            purpose: Purpose::Upgrade,
            started_at: now,
            ready_at: Some(now),
            alive_at: now,
            killed: None,
        };
        let mut role = Self::new(seed);
        role.serving = serving.map(living);
        role.restarts = restarts;
        role.restart_at = serving.is_none().then_some(now);
        role.leaving = leaving
            .iter()
            .map(|(generation, remaining_ms)| Leaving {
                generation: *generation,
                kill_at: now + remaining_ms,
                killed: false,
            })
            .collect();
        role
    }

    /// Starts the first child.
    pub fn begin(&mut self, now: u64, next: &mut Generation) -> Vec<Action> {
        vec![self.start_serving(now, next, Purpose::First)]
    }

    /// Starts a candidate that takes over when it is ready.
    ///
    /// # Errors
    /// [`Busy`], and nothing was started.
    pub fn replace(
        &mut self,
        now: u64,
        next: &mut Generation,
        purpose: Purpose,
    ) -> Result<Vec<Action>, Busy> {
        if self.stopping {
            return Err(Busy::Stopping);
        }
        if self.candidate.is_some() {
            return Err(Busy::Replacing);
        }
        if self.leaving.len() >= LEAVING_MAX {
            return Err(Busy::Leaving);
        }
        let generation = take(next);
        self.candidate = Some(Living::new(generation, purpose, now));
        Ok(vec![Action::Start { generation, purpose }])
    }

    /// A child serves.
    pub fn ready(&mut self, now: u64, generation: Generation, drain_ms: u64) -> Vec<Action> {
        if let Some(child) = self.serving.as_mut().filter(|c| c.generation == generation) {
            child.alive_at = now;
            if child.ready_at.replace(now).is_some() {
                return Vec::new();
            }
            let after_ms = now.saturating_sub(child.started_at);
            return vec![Action::Report(Report::Serving { generation, purpose: child.purpose, after_ms })];
        }
        let Some(mut child) = self.candidate.take_if(|c| c.generation == generation && c.killed.is_none())
        else {
            return Vec::new();
        };
        child.alive_at = now;
        child.ready_at = Some(now);
        let after_ms = now.saturating_sub(child.started_at);
        let purpose = child.purpose;
        let mut actions = vec![Action::Report(Report::Serving { generation, purpose, after_ms })];
        self.restart_at = None;
        if let Some(old) = self.serving.replace(child) {
            let limit_ms = (purpose == Purpose::Unstick).then_some(UNSTICK_DRAIN_MS);
            actions.extend(self.let_go(now, old, drain_ms, limit_ms));
        }
        actions
    }

    /// A child says it is alive, or was `age_ms` ago (its slowest worker counts).
    pub fn alive(&mut self, now: u64, generation: Generation, age_ms: u64) {
        let since = now.saturating_sub(age_ms);
        for child in self.serving.iter_mut().chain(self.candidate.iter_mut()) {
            if child.generation == generation {
                child.alive_at = child.alive_at.max(since);
            }
        }
    }

    /// A child says that so many of its workers are stuck; it says so again while that is so. Others serve for them, so
    /// there is time to do it in order: its successor starts beside it, and then it drains.
    pub fn stuck(
        &mut self,
        now: u64,
        next: &mut Generation,
        generation: Generation,
        workers: u64,
    ) -> Vec<Action> {
        if workers == 0 || self.serving() != Some(generation) || now < self.unstick_at {
            return Vec::new();
        }
        let Ok(mut actions) = self.replace(now, next, Purpose::Unstick) else { return Vec::new() };
        let calm = now >= self.unstick_at + UNSTICK_LONGEST_MS;
        let wait_ms = if calm { UNSTICK_MS } else { self.unstick_wait_ms * 2 };
        self.unstick_wait_ms = wait_ms.clamp(UNSTICK_MS, UNSTICK_LONGEST_MS);
        self.unstick_at = now + self.unstick_wait_ms;
        actions.insert(0, Action::Report(Report::Stuck { generation, workers }));
        actions
    }

    /// A child says that it drains. If nobody asked it to, its successor starts now, not when it has gone.
    pub fn draining(
        &mut self,
        now: u64,
        next: &mut Generation,
        generation: Generation,
        drain_ms: u64,
    ) -> Vec<Action> {
        let Some(child) = self.serving.take_if(|c| c.generation == generation) else { return Vec::new() };
        self.leaving.push(Leaving {
            generation: child.generation,
            kill_at: now + drain_ms + DRAIN_GRACE_MS,
            killed: false,
        });
        let mut actions = vec![Action::Report(Report::LeavesByItself { generation })];
        if !self.stopping {
            self.restarts += 1;
            actions.push(self.start_serving(now, next, Purpose::Restart));
        }
        actions
    }

    /// A child has ended, or could not be started. `how` is for the log.
    pub fn exited(&mut self, now: u64, generation: Generation, how: &str) -> Vec<Action> {
        if let Some(child) = self.serving.take_if(|c| c.generation == generation) {
            if self.stopping {
                return vec![Action::Report(Report::Left { generation, how: how.to_owned() })];
            }
            let served_ms = child.ready_at.map_or(0, |at| now.saturating_sub(at));
            let restart_in_ms = self.backoff.delay_ms(served_ms);
            self.restart_at = Some(now + restart_in_ms);
            self.restarts += 1;
            let in_a_row = self.backoff.failures();
            return vec![Action::Report(Report::Died {
                generation,
                how: how.to_owned(),
                restart_in_ms,
                in_a_row,
            })];
        }
        if let Some(child) = self.candidate.take_if(|c| c.generation == generation) {
            let why = child.killed.map_or_else(|| format!("it {how}"), str::to_owned);
            return vec![Action::Report(Report::CandidateFailed { generation, purpose: child.purpose, why })];
        }
        let before = self.leaving.len();
        self.leaving.retain(|c| c.generation != generation);
        if self.leaving.len() < before {
            return vec![Action::Report(Report::Left { generation, how: how.to_owned() })];
        }
        Vec::new()
    }

    /// Time has passed. Call after everything that was received has been told, so that a report that waited in a
    /// buffer counts.
    pub fn tick(&mut self, now: u64, next: &mut Generation) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(last) = self.last_tick.replace(now) {
            let pause = now.saturating_sub(last);
            if pause > OWN_PAUSE_MS {
                for child in self.serving.iter_mut().chain(self.candidate.iter_mut()) {
                    child.alive_at += pause;
                    child.started_at += pause;
                }
            }
        }
        for child in self.serving.iter_mut().chain(self.candidate.iter_mut()) {
            actions.extend(child.overdue(now));
        }
        for child in self.leaving.iter_mut().filter(|c| !c.killed && now >= c.kill_at) {
            child.killed = true;
            actions.push(Action::Report(Report::Overdue { generation: child.generation }));
            actions.push(Action::Kill { generation: child.generation });
        }
        if !self.stopping && self.serving.is_none() && self.restart_at.is_some_and(|at| now >= at) {
            actions.push(self.start_serving(now, next, Purpose::Restart));
        }
        actions
    }

    /// When [`Role::tick`] has something to do at the latest.
    pub fn next_deadline(&self) -> Option<u64> {
        let living =
            self.serving.iter().chain(&self.candidate).filter(|c| c.killed.is_none()).map(Living::deadline);
        let leaving = self.leaving.iter().filter(|c| !c.killed).map(|c| c.kill_at);
        living.chain(leaving).chain(self.restart_at).min()
    }

    /// Everybody finishes and goes; nobody is started again.
    pub fn stop(&mut self, now: u64, drain_ms: u64) -> Vec<Action> {
        self.stopping = true;
        self.restart_at = None;
        let mut actions = Vec::new();
        if let Some(child) = self.candidate.take() {
            actions.push(Action::Kill { generation: child.generation });
            self.leaving.push(Leaving { generation: child.generation, kill_at: now, killed: true });
        }
        if let Some(child) = self.serving.take() {
            actions.extend(self.let_go(now, child, drain_ms, None));
        }
        actions
    }

    /// Everybody goes at once.
    pub fn stop_now(&mut self, now: u64) -> Vec<Action> {
        let mut actions = self.stop(now, 0);
        for child in self.leaving.iter_mut().filter(|c| !c.killed) {
            child.killed = true;
            actions.push(Action::Kill { generation: child.generation });
        }
        actions
    }

    /// No child is left.
    pub fn is_empty(&self) -> bool {
        self.serving.is_none() && self.candidate.is_none() && self.leaving.is_empty()
    }

    /// The child that serves, once it is ready.
    pub fn serving(&self) -> Option<Generation> {
        self.serving.as_ref().filter(|c| c.ready_at.is_some() && c.killed.is_none()).map(|c| c.generation)
    }

    /// What a child is to this role, if it is of it.
    pub fn standing(&self, generation: Generation) -> Option<Standing> {
        let is = |child: &Option<Living>| child.as_ref().is_some_and(|c| c.generation == generation);
        if is(&self.serving) {
            Some(Standing::Serving)
        } else if is(&self.candidate) {
            Some(Standing::Candidate)
        } else {
            self.leaving.iter().any(|c| c.generation == generation).then_some(Standing::Leaving)
        }
    }

    /// The candidate, if a replacement is under way.
    pub fn candidate(&self) -> Option<Generation> {
        self.candidate.as_ref().map(|c| c.generation)
    }

    /// Children that finish their requests, with the time they still have.
    pub fn leaving(&self, now: u64) -> Vec<(Generation, u64)> {
        self.leaving.iter().map(|c| (c.generation, c.kill_at.saturating_sub(now))).collect()
    }

    /// Children started in the place of one that died, since the supervisor began.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    fn start_serving(&mut self, now: u64, next: &mut Generation, purpose: Purpose) -> Action {
        let generation = take(next);
        self.restart_at = None;
        self.serving = Some(Living::new(generation, purpose, now));
        Action::Start { generation, purpose }
    }

    /// A child that never became ready has nothing to finish.
    fn let_go(&mut self, now: u64, child: Living, drain_ms: u64, limit_ms: Option<u64>) -> Vec<Action> {
        let generation = child.generation;
        let ready = child.ready_at.is_some() && child.killed.is_none();
        let drain_ms = limit_ms.map_or(drain_ms, |limit_ms| limit_ms.min(drain_ms));
        let kill_at = if ready { now + drain_ms + DRAIN_GRACE_MS } else { now };
        self.leaving.push(Leaving { generation, kill_at, killed: !ready });
        vec![if ready { Action::Drain { generation, limit_ms } } else { Action::Kill { generation } }]
    }
}

impl Living {
    fn new(generation: Generation, purpose: Purpose, now: u64) -> Self {
        Self { generation, purpose, started_at: now, ready_at: None, alive_at: now, killed: None }
    }

    fn deadline(&self) -> u64 {
        match self.ready_at {
            Some(_) => self.alive_at + SILENCE_MS,
            None => self.started_at + START_MS,
        }
    }

    fn overdue(&mut self, now: u64) -> Vec<Action> {
        if self.killed.is_some() || now < self.deadline() {
            return Vec::new();
        }
        let generation = self.generation;
        let report = if self.ready_at.is_some() {
            self.killed = Some("it stopped answering");
            Report::Hung { generation, silent_ms: now.saturating_sub(self.alive_at) }
        } else {
            self.killed = Some("it was not ready in time");
            Report::NeverReady { generation }
        };
        vec![Action::Report(report), Action::Kill { generation }]
    }
}

fn take(next: &mut Generation) -> Generation {
    *next = next.wrapping_add(1);
    *next
}

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
