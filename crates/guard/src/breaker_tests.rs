use super::*;
use proptest::prelude::*;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

const SOFT: Fault = Fault::Time { spent_us: 6_000, budget_us: 5_000 };
const HARD: Fault = Fault::Time { spent_us: 50_000, budget_us: 5_000 };

/// A breaker that opened at `now_ms`.
fn opened(now_ms: u64) -> Breaker {
    let breaker = Breaker::new(7);
    assert!(breaker.fault(Pass::Closed, now_ms, HARD));
    breaker
}

/// When the next probe is let through, from `now_ms` on; it is taken.
fn next_probe(breaker: &Breaker, mut now_ms: u64) -> u64 {
    while breaker.allow(now_ms) != Pass::Probe {
        now_ms += 1;
        assert!(now_ms < 10_000_000, "no probe comes");
    }
    now_ms
}

#[test]
fn it_is_small_enough_to_stand_in_every_zone() {
    assert!(size_of::<Breaker>() <= 32, "{}", size_of::<Breaker>());
}

#[test]
fn three_faults_within_ten_seconds_open_it() {
    for (times, fault, opens) in [
        (&[0, 1, 2][..], Fault::Panic, true),
        (&[0, 5_000, 9_999], Fault::Error, true),
        (&[0, 5_000, 10_000], Fault::Error, false),
        (&[0, 9_000, 18_000, 27_000], Fault::Panic, false),
        (&[0, 9_000, 9_001, 9_002], Fault::Panic, true),
        (&[50, 51], Fault::Panic, false),
        (&[7, 7, 7], Fault::Memory { asked_bytes: 2, budget_bytes: 1 }, true),
        // Overruns of time: within one second.
        (&[0, 500, 999], SOFT, true),
        (&[0, 500, 1_000], SOFT, false),
        (&[0, 600, 1_200, 1_800, 2_400], SOFT, false),
    ] {
        let breaker = Breaker::new(1);
        let opened = times.iter().map(|at| breaker.fault(Pass::Closed, 1_000_000 + at, fault));
        assert_eq!(opened.filter(|opened| *opened).count(), usize::from(opens), "{times:?} {fault}");
        assert_eq!(breaker.is_closed(), !opens, "{times:?} {fault}");
    }
}

#[test]
fn one_overrun_of_ten_times_the_budget_opens_it() {
    let breaker = Breaker::default();
    assert!(breaker.fault(Pass::Closed, 5, HARD));
    assert_eq!((breaker.allow(6), breaker.times_opened()), (Pass::Skip, 1));
    let memory = Breaker::default();
    assert!(memory.fault(Pass::Closed, 5, Fault::Memory { asked_bytes: 1_000, budget_bytes: 100 }));
}

#[test]
fn constant_faults_open_it_within_a_second() {
    for per_second in [5, 10, 100, 10_000u64] {
        for fault in [Fault::Panic, Fault::Error, SOFT] {
            let breaker = Breaker::new(3);
            let opened = (0..per_second).find(|n| breaker.fault(Pass::Closed, n * 1_000 / per_second, fault));
            assert!(opened.is_some_and(|n| n * 1_000 / per_second < 1_000), "{per_second} {fault}");
        }
    }
}

#[test]
fn one_probe_at_a_time_and_two_good_ones_close_it() {
    let breaker = opened(100);
    let at = next_probe(&breaker, 100);
    assert!((850..=1_100).contains(&at), "{at}");
    assert_eq!(breaker.allow(at), Pass::Skip);
    assert!(!breaker.ok(Pass::Probe));
    assert_eq!(breaker.allow(at), Pass::Probe, "after a good one the next request probes at once");
    assert_eq!(breaker.allow(at), Pass::Skip);
    assert!(breaker.ok(Pass::Probe));
    assert_eq!(breaker.allow(at), Pass::Closed);
}

#[test]
fn failed_probes_double_the_delay_up_to_a_minute() {
    let breaker = opened(0);
    let mut since = 0;
    for whole_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000] {
        let at = next_probe(&breaker, since);
        let waited = at - since;
        assert!((whole_ms * 3 / 4..=whole_ms).contains(&waited), "{waited} of {whole_ms}");
        assert!(!breaker.fault(Pass::Probe, at, Fault::Panic), "it was open already");
        since = at;
    }
    assert_eq!(breaker.times_opened(), 1);
}

#[test]
fn a_bad_probe_after_a_good_one_starts_over() {
    let breaker = opened(0);
    let at = next_probe(&breaker, 0);
    breaker.ok(Pass::Probe);
    assert_eq!(breaker.allow(at), Pass::Probe);
    breaker.fault(Pass::Probe, at, Fault::Error);
    let again = next_probe(&breaker, at);
    assert!(again - at >= 1_500);
    breaker.ok(Pass::Probe);
    assert!(!breaker.is_closed(), "the good one before the bad one does not count");
}

#[test]
fn a_probe_that_never_reports_is_followed_by_another() {
    let breaker = opened(0);
    let at = next_probe(&breaker, 0);
    assert_eq!(breaker.allow(at + PROBE_LEASE_MS - 1), Pass::Skip);
    assert_eq!(breaker.allow(at + PROBE_LEASE_MS), Pass::Probe);
    assert_eq!(breaker.allow(at + PROBE_LEASE_MS), Pass::Skip);
}

#[test]
fn what_began_before_it_opened_neither_closes_nor_opens_it() {
    let breaker = opened(0);
    for _ in 0..10 {
        assert!(!breaker.ok(Pass::Closed));
        assert!(!breaker.fault(Pass::Closed, 5, HARD));
    }
    let at = next_probe(&breaker, 5);
    assert!(!breaker.fault(Pass::Closed, at, HARD) && !breaker.ok(Pass::Closed));
    breaker.ok(Pass::Probe);
    assert_eq!(breaker.allow(at), Pass::Probe);
    breaker.ok(Pass::Probe);
    assert!(breaker.is_closed(), "faults of others did not spoil the probe");
    assert!(!breaker.fault(Pass::Closed, at, Fault::Panic), "and are forgotten");
}

#[test]
fn soon_after_it_closed_the_delay_goes_on_doubling_and_long_after_it_starts_anew() {
    for (later_ms, least_ms, most_ms) in [(1_000, 1_500, 2_000), (REMEMBER_MS + 5_000, 750, 1_000)] {
        let breaker = opened(0);
        let at = next_probe(&breaker, 0);
        breaker.ok(Pass::Probe);
        assert_eq!(breaker.allow(at), Pass::Probe);
        assert!(breaker.ok(Pass::Probe));
        let reopened = at + later_ms;
        assert!(breaker.fault(Pass::Closed, reopened, HARD));
        let waited = next_probe(&breaker, reopened) - reopened;
        assert!((least_ms..=most_ms).contains(&waited), "{later_ms}: {waited}");
        assert_eq!(breaker.times_opened(), 2);
    }
}

#[test]
fn tripping_opens_at_once_and_for_half_a_minute_and_counts_as_a_failed_probe() {
    let breaker = Breaker::new(1);
    assert!(breaker.trip(0) && !breaker.trip(0));
    let at = next_probe(&breaker, 0);
    assert!(!breaker.trip(at), "it was open");
    assert!((24_000..=32_000).contains(&at), "a probe may cost a thread: {at}");
    assert!(next_probe(&breaker, at) - at >= 45_000);
    breaker.reset();
    assert_eq!(breaker.allow(at), Pass::Closed);
}

#[test]
fn breakers_that_open_together_probe_apart() {
    let at = |seed| {
        let breaker = Breaker::new(seed);
        breaker.trip(0);
        next_probe(&breaker, 0)
    };
    let mut times: Vec<u64> = (0..100).map(at).collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 50 && times.iter().all(|at| (24_000..=32_000).contains(at)), "{times:?}");
}

#[test]
fn among_many_threads_exactly_one_opens_it_and_exactly_one_probes() {
    for round in 0..50 {
        let breaker = Breaker::new(round);
        let (opened, probes, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..50 {
                        opened.fetch_add(usize::from(breaker.fault(Pass::Closed, 10, Fault::Panic)), Relaxed);
                    }
                    start.wait();
                    for _ in 0..50 {
                        probes.fetch_add(usize::from(breaker.allow(2_000) == Pass::Probe), Relaxed);
                    }
                });
            }
        });
        assert_eq!((opened.into_inner(), probes.into_inner()), (1, 1));
    }
}

#[derive(Clone, Debug)]
enum Event {
    Request,
    Good,
    Bad(u8),
    Late(u8),
    Trip,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Request),
        3 => Just(Event::Good),
        2 => (0u8..4).prop_map(Event::Bad),
        2 => (0u8..4).prop_map(Event::Late),
        1 => Just(Event::Trip),
    ]
}

fn fault(kind: u8) -> Fault {
    match kind {
        0 => Fault::Panic,
        1 => Fault::Error,
        2 => SOFT,
        _ => HARD,
    }
}

proptest! {
    #[test]
    fn whatever_happens_probes_are_single_spaced_and_it_can_always_close(
        events in prop::collection::vec((0u64..3_000, event()), 0..200), seed: u32,
    ) {
        let breaker = Breaker::new(seed);
        let (mut now, mut probing, mut refused_until) = (1_000u64, None::<u64>, 0u64);
        for (step, event) in events {
            now += step;
            let was_closed = breaker.is_closed();
            match event {
                Event::Request => match breaker.allow(now) {
                    Pass::Closed => prop_assert!(was_closed),
                    Pass::Skip => prop_assert!(!was_closed),
                    Pass::Probe => {
                        prop_assert!(!was_closed && now >= refused_until);
                        prop_assert!(probing.is_none_or(|since| now >= since + PROBE_LEASE_MS));
                        probing = Some(now);
                    }
                },
                Event::Good if probing.take().is_some() => {
                    breaker.ok(Pass::Probe);
                }
                Event::Bad(kind) if probing.take().is_some() => {
                    prop_assert!(!breaker.fault(Pass::Probe, now, fault(kind)));
                    refused_until = now + PROBE_DELAY_MS * 3 / 4;
                    prop_assert_eq!(breaker.allow(now), Pass::Skip);
                }
                Event::Late(kind) => {
                    let opened = breaker.fault(Pass::Closed, now, fault(kind));
                    prop_assert_eq!(opened, was_closed && !breaker.is_closed());
                    if opened {
                        refused_until = now + PROBE_DELAY_MS * 3 / 4;
                    }
                }
                Event::Trip => {
                    prop_assert_eq!(breaker.trip(now), was_closed);
                    prop_assert!(!breaker.is_closed());
                    if was_closed || probing.take().is_some() {
                        refused_until = now + PROBE_DELAY_MS * 3 / 4;
                    }
                }
                Event::Good | Event::Bad(_) => {}
            }
            if breaker.is_closed() {
                probing = None;
            }
        }
        // From wherever it is, two good probes within two longest delays close it.
        let mut probes = 0;
        let end = now + PROBE_LEASE_MS + 2 * PROBE_DELAY_MAX_MS;
        while !breaker.is_closed() {
            now += 100;
            prop_assert!(now < end);
            if breaker.allow(now) == Pass::Probe {
                breaker.ok(Pass::Probe);
                probes += 1;
            }
        }
        prop_assert!(probes <= 2);
    }
}
