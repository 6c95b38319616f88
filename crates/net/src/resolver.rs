//! Names of origins to addresses: asked lazily, answered from memory, kept when the name server fails.
//!
//! Nothing is asked at the start, so a dead name or name server never delays it. Each name is asked once at a time in
//! the whole process. An answer past its time is used on while a new one is fetched in the background, and for
//! [`Settings::stale_ms`] if none comes. Time is passed in as Unix milliseconds.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use seawall_model::ResolverSettings;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// Most addresses kept of one answer. Larger answers are load balancing by name, which needs no more.
pub const ADDRESSES_MAX: usize = 32;

/// Most questions under way at once. Each holds a thread of the runtime's blocking pool for as long as the system's
/// resolver waits (30 s with the usual settings).
pub const LOOKUPS_MAX: usize = 64;

/// After this long those who wait are told that the name failed; the question itself runs on and its answer is kept.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// A failed name is not asked again for this long, in milliseconds; doubled at each further failure…
pub const RETRY_MIN_MS: u64 = 1_000;
/// …up to this.
pub const RETRY_MAX_MS: u64 = 30_000;

/// Parts of the table of names. A part that grows is gone through once, and somebody waits for it: of a hundred thousand
/// names it has some thousand.
const SHARDS: usize = 64;

/// How long answers hold. The system's resolver does not tell the records' own times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// An answer is fresh for this long, in milliseconds.
    pub ttl_ms: u64,
    /// After that it is used for this much longer while no new one can be had, in milliseconds.
    pub stale_ms: u64,
}

impl Default for Settings {
    /// 30 s fresh, 1 h stale.
    fn default() -> Self {
        Settings { ttl_ms: 30_000, stale_ms: 3_600_000 }
    }
}

impl From<&ResolverSettings> for Settings {
    fn from(settings: &ResolverSettings) -> Settings {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Settings { ttl_ms: ms(settings.ttl), stale_ms: ms(settings.stale) }
    }
}

/// A question under way.
pub type Answering = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
/// Asks for the addresses of a host.
pub type Ask = Arc<dyn Fn(&str) -> Answering + Send + Sync>;

/// A name without an address: status 530 (error 1016) for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the origin's name {host} cannot be resolved: {why}")]
pub struct ResolveError {
    /// The name.
    pub host: Arc<str>,
    /// What the system's resolver said.
    pub why: Arc<str>,
}

/// The process's resolver, shared by all workers.
pub struct Resolver {
    shared: Arc<Shared>,
    names: [Mutex<HashMap<Arc<str>, Weak<Entry>>>; SHARDS],
    hasher: RandomState,
}

/// One name, held by whoever connects to it. Clones share the answer; forgotten when the last is dropped.
#[derive(Clone)]
pub struct Name(Arc<Entry>);

/// Addresses to try, in order.
#[derive(Clone, Debug)]
pub struct Addresses {
    answer: Arc<Answer>,
    turn: usize,
    /// Whether the answer is past its time.
    pub stale: bool,
}

struct Shared {
    settings: Settings,
    ask: Ask,
    permits: Semaphore,
    /// [`LOOKUP_TIMEOUT`], shorter in tests.
    patience: Duration,
}

struct Entry {
    host: Arc<str>,
    answer: ArcSwapOption<Answer>,
    turn: AtomicUsize,
    flight: Mutex<Flight>,
    /// Counts finished questions.
    done: watch::Sender<u64>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Answer {
    /// Those of the family the system prefers first.
    addresses: Box<[IpAddr]>,
    preferred: usize,
    fresh_until: u64,
    stale_until: u64,
}

#[derive(Default)]
struct Flight {
    running: bool,
    failures: u32,
    retry_at: u64,
    error: Option<ResolveError>,
}

impl Resolver {
    /// Asks the system (`getaddrinfo`: hosts file, DNS, whatever `nsswitch.conf` says).
    #[must_use]
    pub fn system(settings: Settings) -> Resolver {
        Resolver::with(
            settings,
            Arc::new(|host| {
                let host = host.to_owned();
                Box::pin(async move {
                    Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.map(|a| a.ip()).collect())
                })
            }),
        )
    }

    /// Asks `ask` instead.
    #[must_use]
    pub fn with(settings: Settings, ask: Ask) -> Resolver {
        Resolver::patient(settings, ask, LOOKUP_TIMEOUT)
    }

    fn patient(settings: Settings, ask: Ask, patience: Duration) -> Resolver {
        let shared = Shared { settings, ask, permits: Semaphore::new(LOOKUPS_MAX), patience };
        Resolver {
            shared: Arc::new(shared),
            names: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// A handle for a host name or an address (IPv6 with or without brackets). Asks nothing yet.
    #[must_use]
    pub fn name(&self, host: &str) -> Name {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let entry = Entry::new(bare.into(), &self.shared);
            entry.answer.store(Some(Arc::new(Answer::new(vec![ip], u64::MAX, u64::MAX))));
            return Name(Arc::new(entry));
        }
        let host: Arc<str> = host.to_ascii_lowercase().into();
        let mut names = self.shard(&host).lock();
        if let Some(entry) = names.get(&host).and_then(Weak::upgrade) {
            return Name(entry);
        }
        // Names that left the configuration go when a new one comes: the table is never more than twice what is held.
        if names.len() == names.capacity() {
            names.retain(|_, entry| entry.strong_count() > 0);
        }
        let entry = Arc::new(Entry::new(Arc::clone(&host), &self.shared));
        names.insert(host, Arc::downgrade(&entry));
        Name(entry)
    }
}

impl Resolver {
    fn shard(&self, host: &str) -> &Mutex<HashMap<Arc<str>, Weak<Entry>>> {
        let [first, ..] = &self.names;
        let at = self.hasher.hash_one(host) as usize % SHARDS;
        self.names.get(at).unwrap_or(first)
    }

    /// Gives back the memory of names that nobody holds any more. Otherwise they go when new ones need their place.
    pub fn forget_unused(&self) {
        for shard in &self.names {
            let mut names = shard.lock();
            names.retain(|_, entry| entry.strong_count() > 0);
            names.shrink_to_fit();
        }
    }
}

impl Name {
    /// The host asked for.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The addresses known, or nothing if they must be waited for with [`Name::addresses`]. No lock, no allocation;
    /// starts a refresh in the background when they are past their time. Call it inside a tokio runtime.
    #[must_use]
    pub fn known(&self, now: u64) -> Option<Addresses> {
        let answer = self.0.answer.load_full()?;
        let stale = now >= answer.fresh_until;
        if stale {
            if now >= answer.stale_until {
                return None;
            }
            // Refused just after a failure; the old answer serves on either way.
            let _ = self.0.start(now);
        }
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        Some(Addresses { answer, turn, stale })
    }

    /// The addresses, asking for them if none are known. Takes [`LOOKUP_TIMEOUT`] at most; may be dropped at any point,
    /// the question goes on for others.
    ///
    /// # Errors
    /// The name failed now, or failed a moment ago and is not asked again yet.
    pub async fn addresses(&self, now: u64) -> Result<Addresses, ResolveError> {
        let entry = &self.0;
        let mut done = entry.done.subscribe();
        loop {
            if let Some(known) = self.known(now) {
                return Ok(known);
            }
            let before = entry.answer.load_full();
            done.borrow_and_update();
            entry.start(now)?;
            // Cannot fail: the sender lives in the entry this handle holds.
            let _ = done.changed().await;
            match entry.answer.load_full() {
                Some(answer) if before.is_none_or(|old| !Arc::ptr_eq(&old, &answer)) => {
                    let turn = entry.turn.fetch_add(1, Ordering::Relaxed);
                    return Ok(Addresses { answer, turn, stale: false });
                }
                _ => {}
            }
            if let Some(error) = entry.flight.lock().error.clone() {
                return Err(error);
            }
            // The worker that asked was stopped before an answer came: ask again from here.
        }
    }
}

impl Addresses {
    /// The addresses, each once: those of the preferred family in turn, then the others.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let (first, rest) = self.answer.addresses.split_at_checked(self.answer.preferred).unwrap_or_default();
        let turn = self.turn.checked_rem(first.len()).unwrap_or(0);
        first.iter().cycle().skip(turn).take(first.len()).chain(rest).copied()
    }
}

impl Answer {
    fn new(found: Vec<IpAddr>, fresh_until: u64, stale_until: u64) -> Answer {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for ip in found.into_iter().map(|ip| ip.to_canonical()) {
            if !addresses.contains(&ip) && addresses.len() < ADDRESSES_MAX {
                addresses.push(ip);
            }
        }
        let v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
        addresses.sort_by_key(|ip| ip.is_ipv6() != v6);
        let preferred = addresses.iter().filter(|ip| ip.is_ipv6() == v6).count();
        Answer { addresses: addresses.into(), preferred, fresh_until, stale_until }
    }
}

impl Entry {
    fn new(host: Arc<str>, shared: &Arc<Shared>) -> Entry {
        Entry {
            host,
            answer: ArcSwapOption::empty(),
            turn: AtomicUsize::new(0),
            flight: Mutex::default(),
            done: watch::Sender::new(0),
            shared: Arc::clone(shared),
        }
    }

    /// Asks, unless that is under way. An error if the name failed and it is too early to ask again.
    fn start(self: &Arc<Self>, now: u64) -> Result<(), ResolveError> {
        {
            let mut flight = self.flight.lock();
            match &flight.error {
                Some(error) if flight.running || now < flight.retry_at => return Err(error.clone()),
                _ if flight.running => return Ok(()),
                _ => {}
            }
            flight.running = true;
            flight.error = None;
        }
        tokio::spawn(Arc::clone(self).ask(now));
        Ok(())
    }

    async fn ask(self: Arc<Self>, now: u64) {
        let landing = Landing(Arc::clone(&self));
        let started = Instant::now();
        let asking = async {
            let _permit = self.shared.permits.acquire().await;
            (self.shared.ask)(&self.host).await
        };
        tokio::pin!(asking);
        let result = match timeout(self.shared.patience, &mut asking).await {
            Ok(result) => result,
            Err(_) => {
                // Those who wait are told; the answer may still come and the thread it holds counts until it does.
                self.fail("no answer in time", now + elapsed_ms(started));
                self.done.send_modify(|n| *n += 1);
                asking.await
            }
        };
        let now = now + elapsed_ms(started);
        match result {
            Ok(found) if found.is_empty() => self.fail("it has no address", now),
            Ok(found) => {
                let fresh_until = now.saturating_add(self.shared.settings.ttl_ms);
                let stale_until = fresh_until.saturating_add(self.shared.settings.stale_ms);
                self.answer.store(Some(Arc::new(Answer::new(found, fresh_until, stale_until))));
                let mut flight = self.flight.lock();
                *flight = Flight { running: true, ..Flight::default() };
            }
            Err(error) => self.fail(&error.to_string(), now),
        }
        drop(landing);
    }

    fn fail(&self, why: &str, now: u64) {
        let mut flight = self.flight.lock();
        let wait = RETRY_MIN_MS.saturating_mul(1 << flight.failures.min(16)).min(RETRY_MAX_MS);
        flight.failures = flight.failures.saturating_add(1);
        flight.retry_at = now.saturating_add(wait);
        flight.error = Some(ResolveError { host: Arc::clone(&self.host), why: why.into() });
    }
}

/// Ends a question, also when its runtime is shut down in the middle of it.
struct Landing(Arc<Entry>);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.flight.lock().running = false;
        self.0.done.send_modify(|n| *n += 1);
    }
}

fn elapsed_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::task::Poll;

    type Script = Arc<Mutex<VecDeque<io::Result<Vec<IpAddr>>>>>;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A resolver that gives these answers in turn, each a few turns later, and counts the questions.
    fn scripted(answers: Vec<io::Result<Vec<IpAddr>>>) -> (Resolver, Arc<AtomicUsize>, Script) {
        let script: Script = Arc::new(Mutex::new(answers.into()));
        let count = Arc::new(AtomicUsize::new(0));
        let (asked, rest) = (count.clone(), script.clone());
        let ask: Ask = Arc::new(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            let next = rest.lock().pop_front();
            Box::pin(async move {
                settle(10).await;
                next.unwrap_or_else(|| Err(io::Error::other("the script is over")))
            })
        });
        (Resolver::with(Settings { ttl_ms: 1000, stale_ms: 60_000 }, ask), count, script)
    }

    fn list(addresses: &Addresses) -> Vec<IpAddr> {
        addresses.iter().collect()
    }

    /// Lets other tasks run this many times.
    async fn settle(turns: usize) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn addresses_need_no_question() {
        let (resolver, count, _) = scripted(vec![]);
        for (text, want) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("::ffff:10.0.0.1", "10.0.0.1")] {
            assert_eq!(list(&resolver.name(text).known(u64::MAX - 1).unwrap()), [ip(want)]);
        }
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn many_who_wait_ask_once_and_the_answer_is_fresh_for_its_time() {
        let (resolver, count, _) = scripted(vec![Ok(vec![ip("10.0.0.1")])]);
        let name = resolver.name("Origin.Test");
        assert_eq!(count.load(Ordering::SeqCst), 0, "nothing is asked before it is needed");
        let other = resolver.name("origin.test");
        let (a, b) = tokio::join!(name.addresses(0), other.addresses(0));
        assert_eq!((list(&a.unwrap()), list(&b.unwrap())), (vec![ip("10.0.0.1")], vec![ip("10.0.0.1")]));
        assert!(!name.known(999).unwrap().stale);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_stale_answer_serves_while_a_new_one_is_fetched() {
        let (resolver, count, _) = scripted(vec![Ok(vec![ip("10.0.0.1")]), Ok(vec![ip("10.0.0.2")])]);
        let name = resolver.name("a.test");
        name.addresses(0).await.unwrap();
        for _ in 0..5 {
            let old = name.known(2000).unwrap();
            assert!(old.stale && list(&old) == [ip("10.0.0.1")]);
        }
        settle(50).await;
        assert_eq!(count.load(Ordering::SeqCst), 2);
        assert_eq!(list(&name.known(2010).unwrap()), [ip("10.0.0.2")]);
    }

    #[tokio::test]
    async fn a_dead_name_server_leaves_the_stale_answer_until_its_end() {
        let (resolver, count, _) = scripted(vec![Ok(vec![ip("10.0.0.1")])]);
        let name = resolver.name("a.test");
        name.addresses(0).await.unwrap();
        for now in (2_000..61_000).step_by(1000) {
            assert_eq!(list(&name.addresses(now).await.unwrap()), [ip("10.0.0.1")], "at {now}");
            settle(50).await;
        }
        let asked = count.load(Ordering::SeqCst);
        assert!((5..=9).contains(&asked), "the pause between questions grows: {asked} questions");
        let error = name.addresses(62_000).await.unwrap_err();
        assert_eq!(error.to_string(), "the origin's name a.test cannot be resolved: the script is over");
    }

    #[tokio::test]
    async fn a_failure_is_remembered_for_a_short_growing_time() {
        let (resolver, count, script) = scripted(vec![]);
        let name = resolver.name("a.test");
        let asked = || count.load(Ordering::SeqCst);
        assert!(name.addresses(0).await.is_err());
        assert!(name.addresses(500).await.is_err());
        assert_eq!(asked(), 1, "half a second later it is not asked again");
        assert!(name.addresses(1_100).await.is_err());
        assert!(name.addresses(2_500).await.is_err());
        assert_eq!(asked(), 2, "the second pause is two seconds");
        script.lock().push_back(Ok(vec![]));
        assert!(name.addresses(4_000).await.unwrap_err().why.contains("no address"));
        script.lock().push_back(Ok(vec![ip("10.0.0.9")]));
        assert_eq!(list(&name.addresses(9_000).await.unwrap()), [ip("10.0.0.9")]);
        assert_eq!(asked(), 4);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_and_a_late_answer_is_kept() {
        let gate = Arc::new(Semaphore::new(0));
        let inner = gate.clone();
        let ask: Ask = Arc::new(move |_| {
            let gate = inner.clone();
            Box::pin(async move {
                let _permit = gate.acquire().await;
                Ok(vec![IpAddr::from([10, 0, 0, 1])])
            })
        });
        let resolver = Resolver::patient(Settings::default(), ask, Duration::from_millis(20));
        let name = resolver.name("slow.test");
        assert_eq!(&*name.addresses(0).await.unwrap_err().why, "no answer in time");
        assert!(name.addresses(15_000).await.is_err(), "the question still runs, nobody waits for it again");
        gate.add_permits(1);
        settle(50).await;
        assert_eq!(list(&name.known(15_000).unwrap()), [ip("10.0.0.1")]);
    }

    #[tokio::test]
    async fn several_addresses_take_turns_within_the_preferred_family() {
        let all = ["::1", "10.0.0.1", "::2", "::1", "::ffff:10.0.0.1"].map(ip).to_vec();
        let (resolver, ..) = scripted(vec![Ok(all)]);
        let name = resolver.name("a.test");
        name.addresses(0).await.unwrap();
        let turns: Vec<_> = (0..3).map(|_| list(&name.known(1).unwrap())).collect();
        let (one, two) = (["::1", "::2", "10.0.0.1"].map(ip), ["::2", "::1", "10.0.0.1"].map(ip));
        assert!(turns == [one, two, one] || turns == [two, one, two], "{turns:?}");
    }

    #[test]
    fn a_worker_that_stops_in_the_middle_of_a_question_leaves_nobody_waiting() {
        let (resolver, ..) = scripted(vec![Ok(vec![ip("10.0.0.1")]), Ok(vec![ip("10.0.0.2")])]);
        let name = resolver.name("a.test");
        let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = build();
        first.block_on(async {
            let mut asking = Box::pin(name.addresses(0));
            let waits = std::future::poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_pending()));
            assert!(waits.await);
            settle(3).await;
        });
        drop(first);
        assert_eq!(list(&build().block_on(name.addresses(0)).unwrap()), [ip("10.0.0.2")]);
    }

    #[tokio::test]
    async fn names_that_nobody_holds_are_forgotten() {
        let (resolver, ..) = scripted(vec![]);
        for n in 0..20_000 {
            drop(resolver.name(&format!("{n}.test")));
        }
        let held: usize = resolver.names.iter().map(|shard| shard.lock().len()).sum();
        assert!(held < 10 * SHARDS);
    }

    #[test]
    fn the_configurations_defaults_are_ours() {
        assert_eq!(Settings::from(&ResolverSettings::default()), Settings::default());
    }

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let name = Resolver::system(Settings::default()).name("localhost");
        assert!(list(&name.addresses(0).await.unwrap()).iter().all(IpAddr::is_loopback));
    }
}
