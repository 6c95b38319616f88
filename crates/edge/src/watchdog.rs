//! Looks after the workers: one that is stuck gets a stand-in, and what it is stuck in is told.
//!
//! A worker is one thread, and a stage that never returns takes all of its connections with it, also those that wait in
//! the backlog of its sockets. This thread looks every 50 ms at what each worker has in hand. Where the same module has
//! been at work for a quarter of a second it says so (the zone's breaker for that module opens, so that the others do not
//! follow) and starts another worker on copies of the same sockets, who takes over what waits there. If the stuck one
//! comes back, both serve. The supervisor hears of it and replaces the process in good order.
//!
//! What is held against a worker is time in which it ran or slept, not time in which it waited for a processor: on a
//! machine with too much to do nobody is stuck, all are slow.

use crate::process::Process;
use crate::recorder::Hand;
use crate::worker::Worker;
use crate::{accept, start};
use seawall_telemetry::access::LogWriter;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the workers are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// In one module for this long is stuck: fifty times a module's budget, and still within what a visitor takes for slow.
const STUCK_MS: u64 = 250;
/// Not going round for this long is stuck, whatever it does: ten beats missed.
const LOST_MS: u64 = 1_000;
/// Not going round for this long is worth asking the kernel about.
const SUSPECT_MS: u64 = 200;
/// The kernel counts processor time of a thread in hundredths of a second, on every architecture (`USER_HZ`).
const TICK_MS: u64 = 10;

/// A worker that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// The worker.
    pub worker: usize,
    /// The unit in its hand, by the first bytes of its hash; 0 if none.
    pub unit: u64,
    /// The module that does not return, by its index.
    pub module: Option<usize>,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// Whether a stand-in has taken over its sockets.
    pub stand_in: bool,
}

/// The sockets of one worker.
#[derive(Default)]
pub(crate) struct Sockets {
    pub plain: Vec<TcpListener>,
    pub secure: Vec<TcpListener>,
}

impl Sockets {
    /// The same sockets once more.
    pub(crate) fn again(&self) -> io::Result<Sockets> {
        let copies = |sockets: &[TcpListener]| {
            sockets.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()
        };
        Ok(Sockets { plain: copies(&self.plain)?, secure: copies(&self.secure)? })
    }
}

/// Where new workers get their end of the access log; none once the edge has closed it.
pub(crate) type Log = Arc<parking_lot::Mutex<Option<LogWriter>>>;

/// Starts a thread that serves as a worker: its first, or a stand-in.
pub(crate) fn seat_worker(
    process: &Arc<Process>,
    log: &Log,
    id: usize,
    seat: usize,
    sockets: Sockets,
) -> io::Result<()> {
    let layout = process.live.load().layout.clone();
    let access_log = match &*log.lock() {
        Some(log) => log.worker(layout),
        None => return Err(io::ErrorKind::NotConnected.into()), // the edge is going
    };
    let name = if id == seat { format!("worker-{id}") } else { format!("stand-in-{id}") };
    let process = process.clone();
    start::spawn(&name, move |runtime| {
        process.seats.sit(seat);
        let local = tokio::task::LocalSet::new();
        local.block_on(runtime, async move {
            let worker = Worker::new(id, seat, process, access_log);
            accept::work(worker, sockets.plain, sockets.secure).await;
        });
    })
}

/// Watches for as long as the process lives. `told` hears of every worker that gets stuck, on this thread: it must not wait.
pub(crate) fn run(process: &Arc<Process>, log: &Log, mut sockets: Vec<Sockets>, told: impl Fn(Stuck)) {
    let mut gazes: Vec<Gaze> = Vec::new();
    let mut looked = Instant::now();
    loop {
        std::thread::sleep(LOOK);
        if process.draining.load(Ordering::Acquire) {
            sockets.clear(); // takes nothing new: its sockets are to close, these copies included
        }
        let elapsed = looked.elapsed().min(LOOK * 2); // when this thread did not run, the others need not have
        looked = Instant::now();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(0);
        gazes.resize_with(process.seats.taken(), Gaze::default);
        for (seat, gaze) in gazes.iter_mut().enumerate() {
            let hand = process.recorder.look(seat);
            let beat_ms = process.seats.last_beat(seat);
            let kernel = || process.seats.stat(seat).and_then(Ran::of);
            match gaze.look(hand, beat_ms, elapsed_ms, kernel) {
                Finding::Nothing => {}
                Finding::Back => {
                    process.seats.set_stuck(seat, false);
                    tracing::warn!(worker = process.seats.duty(seat), "a stuck worker moves again");
                }
                Finding::Stuck { for_ms } => {
                    process.seats.set_stuck(seat, true);
                    let worker = process.seats.duty(seat);
                    // First this, so that the stand-in does not go the same way.
                    let stuck =
                        Stuck { worker, unit: hand.unit, module: hand.module, for_ms, stand_in: false };
                    let stand_in = stand_in(process, log, &sockets, worker);
                    if let Err(why) = &stand_in {
                        tracing::error!(worker, %why, "a stuck worker gets no stand-in");
                    }
                    told(Stuck { stand_in: stand_in.is_ok(), ..stuck });
                }
            }
        }
    }
}

fn stand_in(process: &Arc<Process>, log: &Log, sockets: &[Sockets], worker: usize) -> io::Result<()> {
    let drains = || io::Error::other("the edge finishes what it has and takes nothing new");
    let copies = sockets.get(worker).ok_or_else(drains)?.again()?;
    let taken = || io::Error::other("every stand-in is in use");
    let seat = process.seats.take(worker, process.elapsed_ms()).ok_or_else(taken)?;
    seat_worker(process, log, worker, seat, copies).inspect_err(|_| process.seats.give_back())
}

/// What the kernel says of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ran {
    /// It runs, or would if a processor were free.
    wants: bool,
    /// Processor time it had since it began.
    ms: u64,
}

impl Ran {
    fn of(stat: &File) -> Option<Ran> {
        let mut text = [0; 512];
        let read = stat.read_at(&mut text, 0).ok()?;
        Ran::parse(std::str::from_utf8(text.get(..read)?).ok()?)
    }

    /// The line of `/proc/…/stat` (proc_pid_stat(5)): the name in brackets may hold anything, what follows it does not.
    fn parse(text: &str) -> Option<Ran> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let wants = fields.next()? == "R";
        let user: u64 = fields.nth(10)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Ran { wants, ms: (user + system) * TICK_MS })
    }
}

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Nothing,
    Stuck { for_ms: u64 },
    Back,
}

/// What the watchdog remembers of one seat.
#[derive(Debug, Default)]
struct Gaze {
    turn: u64,
    beat_ms: u64,
    held_ms: u64,
    ran: Option<Ran>,
    stuck: bool,
}

impl Gaze {
    /// Looks again, `elapsed_ms` after the last time. A stage is one call: a worker that has gone round since is not in
    /// the one we saw, whatever its slot says.
    fn look(
        &mut self,
        hand: Hand,
        beat_ms: u64,
        elapsed_ms: u64,
        kernel: impl Fn() -> Option<Ran>,
    ) -> Finding {
        if (hand.turn, beat_ms) != (self.turn, self.beat_ms) {
            let was_stuck = self.stuck;
            // In a module the clock starts now; otherwise a look at the kernel's file would nearly always be in vain.
            let ran = hand.module.and_then(|_| kernel());
            *self = Gaze { turn: hand.turn, beat_ms, ran, ..Gaze::default() };
            return if was_stuck { Finding::Back } else { Finding::Nothing };
        }
        let limit_ms = if hand.module.is_some() { STUCK_MS } else { LOST_MS };
        let ran = if hand.module.is_some() || self.held_ms >= SUSPECT_MS { kernel() } else { None };
        self.held_ms += match (self.ran, ran) {
            (Some(before), Some(now)) if now.wants => now.ms.saturating_sub(before.ms),
            _ => elapsed_ms,
        };
        self.ran = ran;
        if self.stuck || self.held_ms < limit_ms {
            return Finding::Nothing;
        }
        self.stuck = true;
        Finding::Stuck { for_ms: self.held_ms }
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
