//! The adaptive limit against simulated origins, in virtual time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests are not inside #[test]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use seawall_balance::{Concurrency, MAX_WAIT_MS, Member, Outcome, Pool, Settings, Ticket, Waiting};

/// SplitMix64: the simulation is the same in every run.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// An origin: a first-in first-out queue before so many servers, and a client that asks at a rate.
struct World<'a> {
    servers: usize,
    /// Time of work for a request that starts at a time, both in milliseconds.
    service_ms: &'a dyn Fn(f64, &mut Random) -> f64,
    /// Requests per second at a time in milliseconds.
    rate: &'a dyn Fn(f64) -> f64,
    /// Requests that arrive together.
    burst: usize,
    /// What the origin answers when more than this many are in its queue: 503 at once.
    sheds_above: usize,
    /// Whether those refused wait in turn.
    waits: bool,
    seed: u64,
}

impl Default for World<'_> {
    fn default() -> Self {
        Self {
            servers: 8,
            service_ms: &|_, _| 10.0,
            rate: &|_| 100.0,
            burst: 1,
            sheds_above: usize::MAX,
            waits: false,
            seed: 7,
        }
    }
}

/// Numbers of those who wait and were called.
#[derive(Default)]
struct Called(Mutex<Vec<u64>>);

struct Bell(u64, Arc<Called>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.0.lock().unwrap().push(self.0);
    }
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    offered: u32,
    refused: u32,
    served: u32,
    /// Of work the servers had done, in milliseconds: goodput in time, comparable over mixes.
    worked_ms: f64,
    waited_ms: f64,
    limit: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Done(u64),
    GiveUp(u64),
}

impl World<'_> {
    fn run(&self, concurrency: Concurrency, seconds: usize) -> Vec<Second> {
        let settings = Settings { concurrency: Some(concurrency), ..Settings::default() };
        let member = Member { max_connections: 100_000, ..Member::new("origin") };
        let pool = Arc::new(Pool::new(settings, vec![member]).unwrap());
        let mut random = Random(self.seed);
        let mut log = vec![Second::default(); seconds];
        let mut events = BinaryHeap::from([Reverse((1_000_000_u64, Event::Arrive))]);
        let mut tickets = HashMap::new();
        let mut queue: VecDeque<u64> = VecDeque::new();
        let called = Arc::new(Called::default());
        let mut waiting: HashMap<u64, (Waiting, Waker)> = HashMap::new();
        let (mut working, mut number) = (0, 0_u64);
        while let Some(Reverse((now_us, event))) = events.pop() {
            let now_ms = now_us / 1_000;
            let second = (now_ms / 1_000) as usize - 1;
            if second >= seconds {
                break;
            }
            let mut begun = Vec::new();
            match event {
                Event::Arrive => {
                    for _ in 0..self.burst {
                        log[second].offered += 1;
                        number += 1;
                        match pool.begin(0, now_ms) {
                            Ok(ticket) => begun.push((number, ticket)),
                            Err(_) if self.waits => match pool.wait(0) {
                                Ok(mut place) => {
                                    let waker = Waker::from(Arc::new(Bell(number, Arc::clone(&called))));
                                    assert!(place.poll(&waker, now_ms).is_pending());
                                    waiting.insert(number, (place, waker));
                                    events
                                        .push(Reverse((now_us + MAX_WAIT_MS * 1_000, Event::GiveUp(number))));
                                }
                                Err(_) => log[second].refused += 1,
                            },
                            Err(_) => log[second].refused += 1,
                        }
                    }
                    let mean_ms = 1_000.0 * self.burst as f64 / (self.rate)(now_us as f64 / 1e3 - 1e3);
                    events.push(Reverse((
                        now_us + (random.exponential(mean_ms) * 1_000.0) as u64,
                        Event::Arrive,
                    )));
                }
                Event::GiveUp(number) => {
                    log[second].refused += u32::from(waiting.remove(&number).is_some());
                }
                Event::Done(done) => {
                    working -= 1;
                    let (mut ticket, began_us, work_ms): (Ticket, u64, f64) = tickets.remove(&done).unwrap();
                    ticket.first_byte(now_ms, now_us - began_us, 200);
                    ticket.finish(now_ms, Outcome::Ok);
                    log[second].served += 1;
                    log[second].worked_ms += work_ms;
                    log[second].waited_ms += (now_us - began_us) as f64 / 1e3 - work_ms;
                }
            }
            loop {
                let rung = std::mem::take(&mut *called.0.lock().unwrap());
                if rung.is_empty() {
                    break;
                }
                for number in rung {
                    let Some((place, waker)) = waiting.get_mut(&number) else { continue };
                    if let Poll::Ready(ticket) = place.poll(&waker.clone(), now_ms) {
                        begun.push((number, ticket.unwrap()));
                        waiting.remove(&number);
                    }
                }
            }
            for (number, mut ticket) in begun {
                if queue.len() >= self.sheds_above {
                    ticket.first_byte(now_ms, 1_000, 503);
                    ticket.finish(now_ms, Outcome::Status5xx);
                } else {
                    tickets.insert(number, (ticket, now_us, 0.0));
                    queue.push_back(number);
                }
            }
            while working < self.servers {
                let Some(next) = queue.pop_front() else { break };
                working += 1;
                let work_ms = (self.service_ms)(now_us as f64 / 1e3 - 1e3, &mut random);
                tickets.get_mut(&next).unwrap().2 = work_ms;
                events.push(Reverse((now_us + (work_ms * 1e3) as u64, Event::Done(next))));
            }
            log[second].limit = pool.snapshot(now_ms).members[0].limit.unwrap();
        }
        if std::env::var_os("SIMULATION_LOG").is_some() {
            for (second, entry) in log.iter().enumerate() {
                println!(
                    "{second:3} offered {:6} refused {:6} served {:5} busy {:5.2} waited {:6.1} limit {:4}",
                    entry.offered,
                    entry.refused,
                    entry.served,
                    entry.worked_ms / 1e3,
                    entry.waited_ms / f64::from(entry.served.max(1)),
                    entry.limit
                );
            }
        }
        log
    }
}

/// The same in every run, unless one asks for another.
fn seed() -> u64 {
    std::env::var("SIMULATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7)
}

/// The defaults, unless one asks for another floor.
fn bounds() -> Concurrency {
    let min = std::env::var("SIMULATION_MIN").ok().and_then(|min| min.parse().ok());
    Concurrency { min: min.unwrap_or(8), max: 1024 }
}

fn sum(log: &[Second]) -> Second {
    log.iter().fold(Second::default(), |sum, second| Second {
        offered: sum.offered + second.offered,
        refused: sum.refused + second.refused,
        served: sum.served + second.served,
        worked_ms: sum.worked_ms + second.worked_ms,
        waited_ms: sum.waited_ms + second.waited_ms,
        limit: second.limit,
    })
}

/// Share of the servers' time that was used.
fn used(log: &[Second], servers: usize) -> f64 {
    sum(log).worked_ms / (log.len() as f64 * servers as f64 * 1e3)
}

fn mean_wait_ms(log: &[Second]) -> f64 {
    let sum = sum(log);
    sum.waited_ms / f64::from(sum.served)
}

fn eight(
    rate: &dyn Fn(f64) -> f64,
    service_ms: &dyn Fn(f64, &mut Random) -> f64,
    seconds: usize,
) -> Vec<Second> {
    World { servers: 8, service_ms, rate, seed: seed(), ..World::default() }.run(bounds(), seconds)
}

#[test]
fn under_ten_times_the_load_the_origin_stays_busy_and_its_queue_short() {
    for min in [1, 8] {
        let world = World { rate: &|_| 8_000.0, seed: seed(), ..World::default() };
        let log = world.run(Concurrency { min, max: 1024 }, 40);
        assert!(used(&log[..5], 8) >= 0.9, "{}", used(&log[..5], 8));
        assert!(used(&log[5..], 8) >= 0.95, "{}", used(&log[5..], 8));
        assert!(mean_wait_ms(&log[5..]) < 6.0, "{}", mean_wait_ms(&log[5..]));
        assert!(log[5..].iter().all(|second| (3..=16).contains(&second.limit)), "{log:?}");
    }
}

#[test]
fn work_of_exponential_length_is_served_as_well() {
    let log = eight(&|_| 8_000.0, &|_, random| random.exponential(10.0), 40);
    assert!(used(&log[5..], 8) >= 0.9, "{}", used(&log[5..], 8));
    assert!(mean_wait_ms(&log[5..]) < 10.0, "{}", mean_wait_ms(&log[5..]));
}

#[test]
fn a_shift_of_latency_is_learned_anew() {
    let log = eight(&|_| 4_000.0, &|now_ms, _| if now_ms < 20e3 { 10.0 } else { 30.0 }, 60);
    assert!(used(&log[5..], 8) >= 0.9, "{}", used(&log[5..], 8));
    assert!(mean_wait_ms(&log[30..]) < 20.0, "{}", mean_wait_ms(&log[30..]));
    let log = eight(&|_| 4_000.0, &|now_ms, _| if now_ms < 20e3 { 30.0 } else { 10.0 }, 60);
    assert!(used(&log[5..], 8) >= 0.9, "{}", used(&log[5..], 8));
}

#[test]
fn capacity_that_grows_is_found() {
    // Four times the servers, seen from outside as a quarter of the time each request takes at eight.
    let log = World {
        servers: 64,
        service_ms: &|now_ms, _| if now_ms < 20e3 { 80.0 } else { 20.0 },
        rate: &|_| 10_000.0,
        seed: seed(),
        ..World::default()
    }
    .run(bounds(), 50);
    assert!(used(&log[8..20], 64) >= 0.9, "{}", used(&log[8..20], 64));
    assert!(used(&log[22..], 64) >= 0.9, "{}", used(&log[22..], 64));
}

#[test]
fn light_load_is_never_refused() {
    for (rate, service_ms) in [(10.0, 10.0), (400.0, 10.0), (20.0, 200.0)] {
        let log = eight(&|_| rate, &|_, _| service_ms, 40);
        assert_eq!(sum(&log).refused, 0, "{rate}/s at {service_ms} ms");
    }
    let log = eight(&|_| 300.0, &|now_ms, _| if now_ms < 20e3 { 5.0 } else { 15.0 }, 40);
    assert_eq!(sum(&log).refused, 0, "latency shifts under light load");
}

#[test]
fn a_slow_application_with_room_is_never_refused() {
    // 200 under way at once from the first moment, with nothing known and no answer for ten seconds.
    let world = World {
        servers: 10_000,
        service_ms: &|_, _| 10e3,
        rate: &|_| 40.0,
        seed: seed(),
        ..World::default()
    };
    let log = world.run(bounds(), 60);
    assert_eq!(sum(&log).refused, 0);
}

#[test]
fn a_fast_origin_is_not_held_back_when_a_crowd_comes() {
    let rate = |now_ms: f64| if now_ms < 10e3 { 200.0 } else { 10_000.0 };
    let world =
        World { servers: 1_000, service_ms: &|_, _| 40.0, rate: &rate, seed: seed(), ..World::default() };
    let log = world.run(bounds(), 20);
    let refused = sum(&log[10..]).refused;
    assert!(refused < 2_500, "{refused}");
    assert_eq!(sum(&log[12..]).refused, 0);
}

#[test]
fn widely_varying_latency_is_not_throttled_below_capacity() {
    let mixed = |_: f64, random: &mut Random| if random.unit() < 0.8 { 1.0 } else { 500.0 };
    let log = eight(&|_| 800.0, &mixed, 120);
    assert!(used(&log[10..], 8) >= 0.9, "{}", used(&log[10..], 8));
    let even = |_: f64, random: &mut Random| 1.0 + 499.0 * random.unit();
    let log = eight(&|_| 320.0, &even, 120);
    assert!(used(&log[10..], 8) >= 0.9, "{}", used(&log[10..], 8));
    let log = eight(&|_| 20.0, &even, 120);
    assert_eq!(sum(&log).refused, 0, "at 60 % of capacity");
}

#[test]
fn a_little_too_much_is_refused_a_little() {
    let log = eight(&|_| 880.0, &|_, _| 10.0, 60);
    let late = sum(&log[10..]);
    assert!(used(&log[10..], 8) >= 0.9, "{}", used(&log[10..], 8));
    assert!(f64::from(late.refused) < 0.2 * f64::from(late.offered), "{late:?}");
    assert!(mean_wait_ms(&log[20..]) < 30.0, "{}", mean_wait_ms(&log[20..]));
}

#[test]
fn after_an_overload_light_load_is_served_in_full_again() {
    let log = eight(
        &|now_ms| if now_ms < 20e3 { 8_000.0 } else { 400.0 },
        &|_, random| random.exponential(10.0),
        60,
    );
    let late = sum(&log[30..]);
    assert!(f64::from(late.refused) < 0.005 * f64::from(late.offered), "{late:?}");
}

#[test]
fn an_origin_that_sheds_load_itself_is_believed() {
    let world = World {
        servers: 8,
        service_ms: &|_, _| 10.0,
        rate: &|_| 4_000.0,
        sheds_above: 16,
        seed: seed(),
        ..World::default()
    };
    let log = world.run(bounds(), 40);
    let late = sum(&log[10..]);
    assert!(used(&log[10..], 8) >= 0.9, "{}", used(&log[10..], 8));
    let shed = (late.offered - late.refused).saturating_sub(late.served);
    assert!(f64::from(shed) < 0.1 * f64::from(late.served), "{shed} {late:?}");
}

#[test]
fn long_polls_that_fill_the_limit_do_not_shut_out_the_rest() {
    let mixed = |_: f64, random: &mut Random| if random.unit() < 0.1 { 20e3 } else { 5.0 };
    let world =
        World { servers: 10_000, service_ms: &mixed, rate: &|_| 200.0, seed: seed(), ..World::default() };
    let log = world.run(bounds(), 120);
    let late = sum(&log[40..]);
    assert!(f64::from(late.refused) < 0.05 * f64::from(late.offered), "{late:?}");
}

#[test]
fn bursts_at_light_load_wait_in_turn_and_are_not_refused() {
    // Pages that ask for a hundred things at once, at half of capacity.
    for service_ms in [1.0, 5.0] {
        let world = World {
            service_ms: &|_, _| service_ms,
            rate: &|_| 4_000.0 / service_ms,
            burst: 100,
            waits: true,
            seed: seed(),
            ..World::default()
        };
        let late = sum(&world.run(bounds(), 40)[5..]);
        assert!(f64::from(late.refused) < 0.01 * f64::from(late.offered), "{service_ms} ms: {late:?}");
    }
}

#[test]
fn waiting_in_turn_neither_starves_nor_floods_the_origin_under_overload() {
    let world = World { rate: &|_| 8_000.0, waits: true, seed: seed(), ..World::default() };
    let log = world.run(bounds(), 40);
    assert!(used(&log[5..], 8) >= 0.95, "{}", used(&log[5..], 8));
    assert!(mean_wait_ms(&log[5..]) < 10.0, "{}", mean_wait_ms(&log[5..]));
    let late = sum(&log[5..]);
    assert!(late.refused > late.offered / 2, "{late:?}");
}

#[test]
fn a_pause_of_the_origin_is_got_over() {
    // Nothing is answered for two seconds, as in a stop-the-world collection or a fail-over of its database.
    let pausing = |now_ms: f64, _: &mut Random| {
        if (20e3..22e3).contains(&now_ms) { 22e3 - now_ms + 10.0 } else { 10.0 }
    };
    let log = eight(&|_| 4_000.0, &pausing, 60);
    assert!(sum(&log[22..]).served >= 38 * 800 * 9 / 10, "{:?}", sum(&log[22..]));
    assert!(mean_wait_ms(&log[30..]) < 10.0, "{}", mean_wait_ms(&log[30..]));
}

#[test]
fn a_large_origin_is_used_in_full() {
    for (servers, service_ms) in [(100, 50.0), (400, 100.0)] {
        let world = World {
            servers,
            service_ms: &|_, random: &mut Random| service_ms * (0.5 + random.unit()),
            rate: &|_| 12_000.0,
            seed: seed(),
            ..World::default()
        };
        let log = world.run(bounds(), 30);
        assert!(used(&log[10..], servers) >= 0.9, "{servers}: {}", used(&log[10..], servers));
        assert!(mean_wait_ms(&log[10..]) < service_ms, "{servers}: {}", mean_wait_ms(&log[10..]));
    }
}
