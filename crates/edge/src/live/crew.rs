//! Pieces of work shared out to threads. One that does not end is given up, with its thread, and the others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Pieces a thread does before it lets others have its core: about half a millisecond of compiling, which is what a
/// request may have to wait where workers serve on the same cores.
const LOT: usize = 8;
/// And how long it pauses then while something is being served.
const PAUSE: Duration = Duration::from_micros(100);
/// Threads that may be left to themselves. Where more hang, it is no single piece that is at fault.
const LOST_MAX: usize = 4;
/// How often it is looked whether one hangs.
const LOOK: Duration = Duration::from_millis(20);

/// What is to be done.
pub(super) struct Work<T> {
    pub pieces: usize,
    pub threads: usize,
    /// Longest that one piece may take.
    pub limit: Duration,
    /// Whether requests are being served meanwhile.
    pub serving: bool,
    /// Does the piece of this number. It does not panic.
    pub one: Box<dyn Fn(usize) -> T + Send + Sync>,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// It took too long.
    Hangs,
    /// Too many others did.
    Left,
}

/// What a thread has in hand.
#[derive(Default)]
struct Desk {
    /// The piece, counted from 1; 0 between pieces.
    piece: AtomicUsize,
    /// When it was begun, in milliseconds since the beginning of all.
    since_ms: AtomicU64,
    /// Nobody waits for this thread any more.
    lost: AtomicBool,
}

struct Crew<T> {
    work: Arc<Work<T>>,
    next: Arc<AtomicUsize>,
    began: Instant,
    desks: Vec<Arc<Desk>>,
    results: Receiver<(usize, T)>,
    sender: Sender<(usize, T)>,
}

impl<T: Send + 'static> Work<T> {
    /// Does it all; the results are in the order of the pieces.
    pub(super) fn run(self) -> Vec<Result<T, Undone>> {
        let mut results: Vec<Result<T, Undone>> = (0..self.pieces).map(|_| Err(Undone::Left)).collect();
        if self.pieces == 0 {
            return results;
        }
        let (sender, receiver) = channel();
        let threads = self.threads.clamp(1, self.pieces);
        let mut crew = Crew {
            work: Arc::new(self),
            next: Arc::default(),
            began: Instant::now(),
            desks: Vec::new(),
            results: receiver,
            sender,
        };
        (0..threads).for_each(|_| crew.hire());
        crew.wait(&mut results);
        results
    }

    /// What a thread does until nothing is left or it is given up.
    fn go_on(&self, next: &AtomicUsize, began: Instant, desk: &Desk, results: &Sender<(usize, T)>) {
        for count in 1_usize.. {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= self.pieces {
                return;
            }
            desk.since_ms.store(milliseconds(began.elapsed()), Ordering::Relaxed);
            desk.piece.store(piece + 1, Ordering::Release);
            let result = (self.one)(piece);
            desk.piece.store(0, Ordering::Release);
            if desk.lost.load(Ordering::Acquire) || results.send((piece, result)).is_err() {
                return;
            }
            if count.is_multiple_of(LOT) {
                if self.serving { std::thread::sleep(PAUSE) } else { std::thread::yield_now() }
            }
        }
    }
}

impl<T: Send + 'static> Crew<T> {
    /// Sets another thread to work. Where none can be started the others do it.
    fn hire(&mut self) {
        let desk = Arc::<Desk>::default();
        let (work, next, began) = (self.work.clone(), self.next.clone(), self.began);
        let (results, own) = (self.sender.clone(), desk.clone());
        let thread = move || work.go_on(&next, began, &own, &results);
        match std::thread::Builder::new().name("compile".to_owned()).spawn(thread) {
            Ok(_) => self.desks.push(desk),
            Err(fault) => tracing::error!(%fault, "no thread can be started to compile in"),
        }
    }

    fn wait(mut self, results: &mut [Result<T, Undone>]) {
        let (mut left, mut lost) = (results.len(), 0);
        while left > 0 && lost <= LOST_MAX && !self.desks.is_empty() {
            match self.results.recv_timeout(LOOK) {
                Ok((piece, result)) => {
                    if let Some(place) = results.get_mut(piece).filter(|r| matches!(r, Err(Undone::Left))) {
                        *place = Ok(result);
                        left -= 1;
                    }
                }
                // Cannot be while a sender is held here.
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    for piece in self.overdue() {
                        if let Some(place) = results.get_mut(piece) {
                            *place = Err(Undone::Hangs);
                            left -= 1;
                        }
                        lost += 1;
                        self.hire();
                    }
                }
            }
        }
        // Whoever is still at it need not finish.
        self.desks.iter().for_each(|desk| desk.lost.store(true, Ordering::Release));
        self.next.store(usize::MAX / 2, Ordering::Relaxed);
    }

    /// Pieces that hang. Their threads are given up.
    fn overdue(&mut self) -> Vec<usize> {
        let now_ms = milliseconds(self.began.elapsed());
        let limit_ms = milliseconds(self.work.limit);
        let mut overdue = Vec::new();
        self.desks.retain(|desk| {
            let piece = desk.piece.load(Ordering::Acquire);
            let took_ms = now_ms.saturating_sub(desk.since_ms.load(Ordering::Relaxed));
            let hangs = piece > 0 && took_ms > limit_ms;
            if hangs {
                desk.lost.store(true, Ordering::Release);
                overdue.push(piece - 1);
            }
            !hangs
        });
        overdue
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(
        pieces: usize,
        threads: usize,
        one: impl Fn(usize) -> usize + Send + Sync + 'static,
    ) -> Work<usize> {
        Work { pieces, threads, limit: Duration::from_millis(200), serving: false, one: Box::new(one) }
    }

    /// Until the test process ends.
    fn hang() -> ! {
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn results_come_in_the_order_of_the_pieces_whoever_does_them() {
        for (pieces, threads) in [(0, 3), (1, 3), (100, 1), (1000, 4)] {
            let results = work(pieces, threads, |n| n * 2).run();
            assert_eq!(results, (0..pieces).map(|n| Ok(n * 2)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_hangs_is_given_up_alone() {
        for threads in [1, 3] {
            let results = work(50, threads, |n| if n == 7 || n == 30 { hang() } else { n }).run();
            for (n, result) in results.into_iter().enumerate() {
                assert_eq!(result, if n == 7 || n == 30 { Err(Undone::Hangs) } else { Ok(n) });
            }
        }
    }

    #[test]
    fn where_much_hangs_all_is_given_up() {
        let results = work(100, 2, |n| if n > 20 { hang() } else { n }).run();
        assert!(results.iter().take(21).all(Result::is_ok));
        assert!(results.contains(&Err(Undone::Hangs)) && results.contains(&Err(Undone::Left)));
    }
}
