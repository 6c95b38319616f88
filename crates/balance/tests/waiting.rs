//! Waiting in turn for a place at a full member.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests are not inside #[test]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Poll, Wake, Waker};

use seawall_balance::{Concurrency, Member, Outcome, Pool, Settings, Ticket, Waiting, Why};

#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Guest {
    bell: Arc<Bell>,
    waiting: Waiting,
}

impl Guest {
    fn new(pool: &Arc<Pool>) -> Self {
        let mut guest = Self { bell: Arc::default(), waiting: pool.wait(0).unwrap() };
        assert!(guest.poll(0).is_none());
        guest
    }

    fn poll(&mut self, now_ms: u64) -> Option<Ticket> {
        match self.waiting.poll(&Waker::from(Arc::clone(&self.bell)), now_ms) {
            Poll::Ready(ticket) => Some(ticket.unwrap()),
            Poll::Pending => None,
        }
    }

    fn rung(&self) -> bool {
        self.bell.0.load(SeqCst) > 0
    }
}

fn pool(max_connections: u32, max_pending: u32, concurrency: Option<Concurrency>) -> Arc<Pool> {
    let member = Member { max_connections, max_pending, ..Member::new("origin") };
    Arc::new(Pool::new(Settings { concurrency, ..Settings::default() }, vec![member]).unwrap())
}

#[test]
fn places_go_to_those_who_wait_in_their_order() {
    let pool = pool(1, 2, None);
    let held = pool.begin(0, 0).unwrap();
    let mut first = Guest::new(&pool);
    let mut second = Guest::new(&pool);
    assert_eq!(pool.wait(0).err().unwrap().why, Why::Pending, "the queue is full");
    assert_eq!(pool.snapshot(0).members[0].pending, 2);
    drop(held);
    assert!(first.rung() && !second.rung());
    assert_eq!(pool.begin(0, 1).err().unwrap().why, Why::Pending, "nobody jumps the queue");
    assert!(second.poll(1).is_none());
    let ticket = first.poll(1).unwrap();
    drop(first);
    assert!(second.poll(1).is_none(), "no place yet");
    ticket.finish(2, Outcome::Ok);
    assert!(second.poll(2).is_some());
    drop(second);
    let member = &pool.snapshot(2).members[0];
    assert_eq!((member.pending, member.outstanding, member.requests), (0, 0, 3));
}

#[test]
fn one_who_leaves_calls_the_next_and_one_who_sleeps_is_passed_over() {
    let pool = pool(1, 5, None);
    let held = pool.begin(0, 0).unwrap();
    let sleeper = Guest::new(&pool);
    let mut next = Guest::new(&pool);
    drop(held);
    assert!(sleeper.rung());
    assert!(pool.begin(0, 10).is_err());
    assert!(pool.begin(0, 60).is_err());
    assert!(pool.begin(0, 200).is_ok(), "the place is not lost to a worker that hangs");
    drop(sleeper);
    assert!(next.rung());
    assert!(next.poll(200).is_some());
}

#[test]
fn the_first_byte_frees_a_place_under_the_adaptive_limit() {
    let pool = pool(100, 100, Some(Concurrency { min: 1, max: 1 }));
    let mut held = pool.begin(0, 0).unwrap();
    let mut guest = Guest::new(&pool);
    held.first_byte(5, 5_000, 200);
    assert!(guest.rung());
    assert!(guest.poll(5).is_some());
}

#[test]
fn threads_that_wait_are_all_served_and_none_is_forgotten() {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let pool = pool(2, 100, None);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let waker = Waker::from(Arc::new(Thread(std::thread::current())));
                for now_ms in 0..3_000 {
                    let ticket = pool.begin(0, now_ms).or_else(|_| {
                        let mut waiting = pool.wait(0).unwrap();
                        loop {
                            match waiting.poll(&waker, now_ms) {
                                Poll::Ready(ticket) => return ticket,
                                Poll::Pending => std::thread::park(),
                            }
                        }
                    });
                    ticket.unwrap().finish(now_ms, Outcome::Ok);
                }
            });
        }
    });
    let member = &pool.snapshot(0).members[0];
    assert_eq!((member.requests, member.pending, member.outstanding, member.awaiting), (18_000, 0, 0, 0));
}
