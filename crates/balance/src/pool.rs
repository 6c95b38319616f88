//! A pool: members, their shared state, and what is counted for each request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::admission::{Connection, Load, Outcome, Refused, Ticket, Why, give, take};
use crate::budget::Budget;
use crate::concurrency::Limiter;
use crate::hash::{TokenText, mix, next_random, stable_hash};
use crate::health::{Change, Ejections, Probes, Standing};
use crate::queue::{Queue, Waiting, meet};
use crate::rotation::{Rotation, TIERS};
use crate::settings::{Member, Settings, SettingsError};
use crate::snapshot::{MemberSnapshot, PoolSnapshot};

/// The state of a member, which outlives the pools it is configured in.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) load: Load,
    pub(crate) limiter: Limiter,
    pub(crate) quiet: Quiet,
}

/// What is rarely written, apart from what every request writes.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Quiet {
    pub(crate) probes: Probes,
    pub(crate) queue: Queue,
}

/// What pools of one name have in common, however many of them there are at a time.
#[derive(Default)]
struct Common {
    budget: Budget,
    panic_picks: AtomicU64,
    /// Held while ejecting, so that two ejections at once cannot put more out than allowed.
    ejecting: Mutex<()>,
}

pub(crate) struct Entry {
    pub(crate) config: Member,
    pub(crate) name_hash: u64,
    pub(crate) token: u64,
    token_text: TokenText,
    pub(crate) ejections: Ejections,
    pub(crate) state: Arc<State>,
}

/// One group of origins, shared by all workers. Aligned so that counting references to it, which every request does,
/// leaves the cache lines of what every request reads alone. See the [crate] for the way of a request through it.
#[repr(align(128))]
pub struct Pool {
    pub(crate) settings: Settings,
    pub(crate) entries: Box<[Entry]>,
    /// Ordinary members and backups of weight above 0, as sets.
    pub(crate) tiers: [u64; TIERS],
    pub(crate) rotation: Rotation,
    common: Arc<Common>,
    /// Whether its settings rule what it shares with others; false while it is on trial.
    settled: AtomicBool,
}

impl Pool {
    /// Makes a pool whose members are all live.
    ///
    /// # Errors
    /// A fault in the configuration; see [`Settings::check`].
    pub fn new(settings: Settings, members: Vec<Member>) -> Result<Self, SettingsError> {
        settings.check(&members)?;
        let rotation = Rotation::new(&members);
        let salt = mix(settings.affinity_salt);
        let entries: Box<[Entry]> = members
            .into_iter()
            .map(|config| {
                let name_hash = stable_hash(config.name.as_bytes());
                let token = mix(name_hash ^ salt);
                Entry {
                    config,
                    name_hash,
                    token,
                    token_text: TokenText::of(token),
                    ejections: Ejections::default(),
                    state: Arc::default(),
                }
            })
            .collect();
        let mut tiers = [0; TIERS];
        for (index, entry) in entries.iter().enumerate() {
            if entry.config.weight > 0
                && let Some(tier) = tiers.get_mut(usize::from(entry.config.backup))
            {
                *tier |= 1 << index;
            }
        }
        let pool = Self {
            settings,
            entries,
            tiers,
            rotation,
            common: Arc::default(),
            settled: AtomicBool::new(true),
        };
        pool.bound_limits();
        Ok(pool)
    }

    /// Takes over from the pool this one is to replace: members of the same name share learned limits, counts, what
    /// probes said and requests in flight with it from now on, and begin with its ejections. To be called before the new
    /// pool is used.
    ///
    /// The new pool is *on trial* until it is [settled](Pool::settle): it goes by its own settings, and the other pool is
    /// none the worse for it, whether the new one is settled in the end or dropped.
    pub fn adopt(&mut self, old: &Self) {
        self.share(old);
        if self.settings.ejection.is_some() {
            for entry in &mut self.entries {
                if let Some(past) = old.namesake(entry) {
                    entry.ejections = past.ejections.copy();
                }
            }
        }
    }

    /// The same without the ejections: for a pool in force that is made after one on trial.
    pub fn share(&mut self, other: &Self) {
        self.common = Arc::clone(&other.common);
        for entry in &mut self.entries {
            if let Some(past) = other.namesake(entry) {
                entry.state = Arc::clone(&past.state);
            }
        }
        self.settled.store(false, Relaxed);
    }

    /// Puts a new pool on trial that has taken over from none.
    pub fn begin_trial(&mut self) {
        self.settled.store(false, Relaxed);
    }

    /// The pool is in force from now on, and its settings rule what it shares with others.
    pub fn settle(&self) {
        if self.settings.monitor.is_none() {
            self.entries.iter().for_each(|entry| entry.state.quiet.probes.forget());
        }
        self.bound_limits();
        self.settled.store(true, Relaxed);
    }

    /// Whether it is in force, and not on trial.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled.load(Relaxed)
    }

    fn namesake(&self, entry: &Entry) -> Option<&Entry> {
        self.entries.iter().find(|other| other.config.name == entry.config.name)
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never: a pool has at least one member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Settings as given.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Configuration of a member.
    #[must_use]
    pub fn member(&self, member: usize) -> Option<&Member> {
        self.entries.get(member).map(|entry| &entry.config)
    }

    /// Cookie value that ties a client to `member`: 16 hexadecimal digits which say nothing about the origin.
    #[must_use]
    pub fn affinity_token(&self, member: usize) -> &str {
        self.entries.get(member).map_or("", |entry| entry.token_text.as_str())
    }

    /// Admits a request to `member`, or refuses it at once. Counts as an attempt for the retry budget either way.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn begin(self: &Arc<Self>, member: usize, now_ms: u64) -> Result<Ticket, Refused> {
        self.common.budget.attempt(now_ms);
        let Some(entry) = self.entries.get(member) else {
            return Err(Refused { retry_after_s: 1, why: Why::NoSuchMember });
        };
        if entry.state.load.pending.load(Relaxed) > 0 && entry.state.quiet.queue.has_precedence(now_ms) {
            if entry.state.limiter.passed_over(self.settings.concurrency.as_ref(), now_ms) {
                entry.state.quiet.queue.call();
            }
            return Err(refuse(entry, Why::Pending));
        }
        self.admit(member, entry, now_ms).map_err(|why| refuse(entry, why))
    }

    fn admit(self: &Arc<Self>, member: usize, entry: &Entry, now_ms: u64) -> Result<Ticket, Why> {
        let load = &entry.state.load;
        if take(&load.outstanding, entry.config.max_connections).is_none() {
            return Err(Why::Connections);
        }
        if !entry.state.limiter.admit(self.settings.concurrency.as_ref(), now_ms) {
            give(&load.outstanding);
            return Err(Why::Concurrency);
        }
        Ok(Ticket::new(Arc::clone(self), member, now_ms))
    }

    /// Queues in turn for a place at `member`, after [`Pool::begin`] refused one. At most `max_pending` wait; where
    /// the adaptive limit knows the member's pace, no more than will be served in a moment. The caller gives up after
    /// [`MAX_WAIT_MS`](crate::MAX_WAIT_MS) or its own deadline.
    ///
    /// # Errors
    /// The queue is full, or too slow.
    pub fn wait(self: &Arc<Self>, member: usize) -> Result<Waiting, Refused> {
        let Some(entry) = self.entries.get(member) else {
            return Err(Refused { retry_after_s: 1, why: Why::NoSuchMember });
        };
        let bearable = match self.settings.concurrency {
            Some(_) => entry.state.limiter.bearable_queue(),
            None => u32::MAX,
        };
        if take(&entry.state.load.pending, entry.config.max_pending.min(bearable)).is_none() {
            return Err(refuse(entry, Why::Pending));
        }
        Ok(Waiting::enter(Arc::clone(self), member, &entry.state.quiet.queue))
    }

    /// Counts a new connection to `member`. Never refuses: [`Pool::begin`] has bounded what is in use, and
    /// [`Connection::may_idle`] bounds what is kept.
    pub fn connected(self: &Arc<Self>, member: usize) -> Connection {
        if let Some(entry) = self.entries.get(member) {
            entry.state.load.connections.fetch_add(1, Relaxed);
        }
        Connection::new(Arc::clone(self), member)
    }

    /// Takes one retry from the pool's budget; `false`: do not retry.
    #[must_use]
    pub fn may_retry(&self, now_ms: u64) -> bool {
        self.common.budget.withdraw(&self.settings.retry, now_ms)
    }

    /// Takes the right to send the next probe to `member`, if one is due. Any number of workers may ask as often as
    /// they like (once a second suffices); exactly one is told yes. `false` without a monitor.
    #[must_use]
    pub fn claim_probe(&self, member: usize, now_ms: u64, rnd: u64) -> bool {
        match (self.entries.get(member), &self.settings.monitor) {
            (Some(entry), Some(monitor)) => entry.state.quiet.probes.claim_probe(monitor, now_ms, rnd),
            _ => false,
        }
    }

    /// When the next probe of any member is due, for a timer; `None` without a monitor.
    #[must_use]
    pub fn next_probe_ms(&self) -> Option<u64> {
        self.settings.monitor.as_ref()?;
        self.entries.iter().map(|entry| entry.state.quiet.probes.next_probe_ms()).min()
    }

    /// Takes in the answer to a probe; no answer in time is `false`. Answers a change, to be logged.
    pub fn probe_result(&self, member: usize, ok: bool) -> Option<Change> {
        let entry = self.entries.get(member)?;
        entry.state.quiet.probes.probed(self.settings.monitor.as_ref()?, ok)
    }

    /// What `member` is good for.
    #[must_use]
    pub fn standing(&self, member: usize, now_ms: u64) -> Option<Standing> {
        Some(self.standing_of(self.entries.get(member)?, now_ms))
    }

    /// Whether nothing is lost with this pool but what was learned of its limits: no request, no connection, every member
    /// live.
    #[must_use]
    pub fn is_idle(&self, now_ms: u64) -> bool {
        self.entries.iter().all(|entry| {
            let load = &entry.state.load;
            let held = [&load.outstanding, &load.pending, &load.connections];
            held.iter().all(|count| count.load(Relaxed) == 0)
                && self.standing_of(entry, now_ms) == Standing::Live
        })
    }

    /// The state at this moment.
    #[must_use]
    pub fn snapshot(&self, now_ms: u64) -> PoolSnapshot {
        PoolSnapshot {
            members: self.entries.iter().map(|entry| self.member_snapshot(entry, now_ms)).collect(),
            retries_allowed: self.common.budget.allowed(),
            retries_denied: self.common.budget.denied(),
            panic_picks: self.common.panic_picks.load(Relaxed),
        }
    }

    fn member_snapshot(&self, entry: &Entry, now_ms: u64) -> MemberSnapshot {
        let State { load, limiter, quiet } = &*entry.state;
        let outcomes: [u64; 6] =
            std::array::from_fn(|index| load.outcomes.get(index).map_or(0, |count| count.load(Relaxed)));
        let outstanding = load.outstanding.load(Relaxed);
        let requests = outcomes.iter().sum::<u64>() + u64::from(outstanding);
        MemberSnapshot {
            name: entry.config.name.clone(),
            weight: entry.config.weight,
            backup: entry.config.backup,
            standing: self.standing_of(entry, now_ms),
            ejected_until_ms: entry.ejections.until_ms(),
            outstanding,
            awaiting: limiter.awaiting(),
            pending: load.pending.load(Relaxed),
            connections: load.connections.load(Relaxed),
            max_connections: entry.config.max_connections,
            limit: self.settings.concurrency.as_ref().map(|bounds| limiter.limit(bounds)),
            requests,
            refused: load.refused.load(Relaxed),
            outcomes,
            ejections: entry.ejections.count(),
            probes: quiet.probes.sent(),
        }
    }

    fn bound_limits(&self) {
        if let Some(concurrency) = &self.settings.concurrency {
            for entry in &self.entries {
                entry.state.limiter.bound(concurrency);
            }
        }
    }
}

/// What tickets, connections and picks tell the pool.
impl Pool {
    /// What a member is good for, by what this pool's settings look at.
    pub(crate) fn standing_of(&self, entry: &Entry, now_ms: u64) -> Standing {
        if self.settings.monitor.is_some() && entry.state.quiet.probes.is_down() {
            return Standing::Down;
        }
        entry.ejections.standing(now_ms)
    }

    pub(crate) fn answered(&self, member: usize, now_ms: u64, elapsed_us: u64, status: u16) {
        if let Some(entry) = self.entries.get(member) {
            let limiter = &entry.state.limiter;
            if status == 429 || (status >= 500 && status != 503) {
                limiter.leave();
            } else {
                limiter.answered(self.settings.concurrency.as_ref(), now_ms, elapsed_us, status == 503);
            }
            call_next(entry);
        }
    }

    pub(crate) fn unanswered(&self, member: usize, now_ms: u64, outcome: Outcome) {
        if let Some(entry) = self.entries.get(member) {
            // On trial the time limit may be what is wrong, and not the origin.
            if outcome == Outcome::Timeout && self.is_settled() {
                entry.state.limiter.answered(self.settings.concurrency.as_ref(), now_ms, 0, true);
            } else {
                entry.state.limiter.leave();
            }
        }
    }

    pub(crate) fn abandoned(&self, member: usize) {
        if let Some(entry) = self.entries.get(member) {
            entry.state.limiter.leave();
        }
    }

    pub(crate) fn finished(
        &self,
        member: usize,
        began_ms: u64,
        now_ms: u64,
        outcome: Outcome,
    ) -> Option<Change> {
        let entry = self.entries.get(member)?;
        entry.state.load.count(outcome);
        let settings = self.settings.ejection.as_ref()?;
        let failed = match outcome {
            Outcome::Ok => false,
            Outcome::ConnectFailed | Outcome::Timeout | Outcome::BadResponse => true,
            Outcome::Status5xx => settings.status_5xx,
            Outcome::ClientGone => return None,
        };
        if !failed {
            return entry.ejections.succeeded(began_ms, now_ms);
        }
        if entry.ejections.failed(settings, began_ms, now_ms) { self.eject(entry, now_ms) } else { None }
    }

    fn eject(&self, entry: &Entry, now_ms: u64) -> Option<Change> {
        let settings = self.settings.ejection.as_ref()?;
        let _one_at_a_time = self.common.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let others = self
            .entries
            .iter()
            .filter(|other| !Arc::ptr_eq(&other.state, &entry.state) && other.ejections.is_ejected());
        let out = others.count().saturating_add(1);
        if out * 100 > self.entries.len() * settings.max_percent as usize {
            return None;
        }
        if entry.ejections.standing(now_ms) == Standing::Ejected {
            return None; // another worker was first
        }
        Some(entry.ejections.eject(settings, now_ms))
    }

    /// A ticket is gone, and with it everything it held: whoever waits may have a place.
    pub(crate) fn left(&self, member: usize) {
        if let Some(entry) = self.entries.get(member) {
            give(&entry.state.load.outstanding);
            call_next(entry);
        }
    }

    pub(crate) fn queue(&self, member: usize) -> Option<&Queue> {
        Some(&self.entries.get(member)?.state.quiet.queue)
    }

    pub(crate) fn begin_waiting(self: &Arc<Self>, member: usize, now_ms: u64) -> Option<Ticket> {
        self.admit(member, self.entries.get(member)?, now_ms).ok()
    }

    pub(crate) fn stopped_waiting(&self, member: usize) {
        if let Some(entry) = self.entries.get(member) {
            give(&entry.state.load.pending);
            call_next(entry);
        }
    }

    pub(crate) fn disconnected(&self, member: usize) {
        if let Some(entry) = self.entries.get(member) {
            give(&entry.state.load.connections);
        }
    }

    pub(crate) fn may_idle(&self, member: usize) -> bool {
        self.entries
            .get(member)
            .is_some_and(|entry| entry.state.load.connections.load(Relaxed) <= entry.config.max_connections)
    }

    pub(crate) fn is_full(&self, member: usize) -> bool {
        self.entries.get(member).is_some_and(|entry| {
            self.outstanding(member) >= entry.config.max_connections
                || self
                    .settings
                    .concurrency
                    .as_ref()
                    .is_some_and(|bounds| entry.state.limiter.is_full(bounds))
        })
    }

    pub(crate) fn outstanding(&self, member: usize) -> u32 {
        self.entries.get(member).map_or(0, |entry| entry.state.load.outstanding.load(Relaxed))
    }

    pub(crate) fn weight(&self, member: usize) -> u64 {
        self.entries.get(member).map_or(0, |entry| u64::from(entry.config.weight))
    }

    pub(crate) fn count_panic(&self) {
        self.common.panic_picks.fetch_add(1, Relaxed);
    }
}

fn call_next(entry: &Entry) {
    meet();
    if entry.state.load.pending.load(Relaxed) > 0 {
        entry.state.quiet.queue.call();
    }
}

fn refuse(entry: &Entry, why: Why) -> Refused {
    let count = entry.state.load.refused.fetch_add(1, Relaxed);
    Refused { retry_after_s: entry.state.limiter.retry_after_s(next_random(count)), why }
}
