//! Counting and limits under arbitrary use.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests are not inside #[test]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Poll, Waker};

use proptest::prelude::*;
use seawall_balance::{
    Concurrency, Ejection, Member, MemberSnapshot, Outcome, PickInput, Pool, Settings, Ticket, Waiting, Why,
};

fn settings(min: u32, max: u32) -> Settings {
    Settings {
        concurrency: Some(Concurrency { min, max }),
        ejection: Some(Ejection::default()),
        ..Settings::default()
    }
}

fn pool(min: u32, max: u32) -> Arc<Pool> {
    Arc::new(
        Pool::new(settings(min, max), vec![Member { max_connections: 10_000, ..Member::new("origin") }])
            .unwrap(),
    )
}

fn only(pool: &Pool) -> MemberSnapshot {
    pool.snapshot(0).members.remove(0)
}

#[test]
fn streams_that_began_to_answer_leave_the_adaptive_limit_to_others() {
    let pool = pool(1, 4);
    let mut streams: Vec<Ticket> = Vec::new();
    for now_ms in 0..500 {
        let mut stream = pool.begin(0, now_ms).unwrap();
        stream.first_byte(now_ms, 1_000, 101);
        stream.first_byte(now_ms, 9_999_999, 200);
        streams.push(stream);
    }
    assert_eq!((only(&pool).outstanding, only(&pool).awaiting), (500, 0));
    drop(streams);
    assert_eq!((only(&pool).outstanding, only(&pool).awaiting), (0, 0));
}

#[test]
fn retry_after_grows_with_demand_and_is_spread() {
    let pool = pool(4, 4);
    let mut held: Vec<Ticket> = (0..4).map(|_| pool.begin(0, 0).unwrap()).collect();
    let mut seen = BTreeSet::new();
    for now_ms in 1..2_000 {
        for _ in 0..10 {
            let refused = pool.begin(0, now_ms).err().unwrap();
            assert_eq!(refused.why, Why::Concurrency);
            seen.insert(refused.retry_after_s);
        }
        held.remove(0).first_byte(now_ms, 4_000, 200);
        held.push(pool.begin(0, now_ms).unwrap());
    }
    assert_eq!(seen.first(), Some(&1));
    assert_eq!(seen.last(), Some(&22), "ten are refused for each that is served: 11 s, spread to 22");
}

#[test]
fn a_learned_limit_outlives_a_reload_and_obeys_the_new_bounds() {
    let old = pool(8, 16);
    assert_eq!(only(&old).limit, Some(16));
    for (bounds, want) in [((8, 1024), Some(16)), ((32, 64), Some(32)), ((1, 5), Some(5))] {
        let mut new = Pool::new(settings(bounds.0, bounds.1), vec![Member::new("origin")]).unwrap();
        new.adopt(&old);
        assert_eq!(only(&new).limit, want);
        let mut back = Pool::new(settings(16, 16), vec![Member::new("origin")]).unwrap();
        back.adopt(&new);
    }
    let mut without = Pool::new(Settings::default(), vec![Member::new("origin")]).unwrap();
    without.adopt(&old);
    assert_eq!(only(&without).limit, None);
}

#[test]
fn many_threads_under_a_moving_limit_lose_no_count() {
    let pool = pool(2, 8);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let pool = &pool;
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0..20_000_u64 {
                    let now_ms = round / 10;
                    match pool.begin(0, now_ms) {
                        Ok(ticket) => held.push(ticket),
                        Err(_) => held.truncate(1),
                    }
                    if (round + thread) % 3 == 0
                        && let Some(mut ticket) = held.pop()
                    {
                        ticket.first_byte(
                            now_ms,
                            500 + 97 * (round % 50),
                            if round % 40 == 0 { 503 } else { 200 },
                        );
                        ticket.finish(now_ms, Outcome::Ok);
                    }
                }
            });
        }
    });
    let member = only(&pool);
    assert_eq!((member.outstanding, member.awaiting, member.pending), (0, 0, 0));
    assert!((2..=8).contains(&member.limit.unwrap()));
    assert!(pool.begin(0, 3_000).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_leaks_a_place_or_leaves_the_bounds(
        steps in proptest::collection::vec((0_u8..10, 0_u64..400, any::<u64>()), 1..400),
        min in 1_u32..6,
        spread in 0_u32..20,
    ) {
        let max = min + spread;
        let member = Member { max_connections: 12, max_pending: 6, ..Member::new("origin") };
        let mut pool = Arc::new(Pool::new(settings(min, max), vec![member.clone()]).unwrap());
        let mut tickets: Vec<Ticket> = Vec::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut now_ms = 1;
        for (step, wait_ms, rnd) in steps {
            now_ms += wait_ms * wait_ms / 400;
            let any = |length: usize| if length == 0 { 0 } else { rnd as usize % length };
            match step {
                0..=3 => match pool.begin(0, now_ms) {
                    Ok(ticket) => tickets.push(ticket),
                    Err(refused) => {
                        prop_assert!((1..=60).contains(&refused.retry_after_s));
                        waiting.extend(pool.wait(0));
                    }
                },
                4 => if !tickets.is_empty() {
                    let at = any(tickets.len());
                    tickets[at].first_byte(now_ms, rnd % 2_000_000, if rnd % 7 == 0 { 503 } else { 200 });
                },
                5 => if !tickets.is_empty() {
                    let ticket = tickets.swap_remove(any(tickets.len()));
                    ticket.finish(now_ms, Outcome::ALL[rnd as usize % 6]);
                },
                6 => if !tickets.is_empty() { drop(tickets.swap_remove(any(tickets.len()))); },
                7 => if !waiting.is_empty() { drop(waiting.swap_remove(any(waiting.len()))); },
                8 => {
                    let poll = |place: &mut Waiting| place.poll(Waker::noop(), now_ms);
                    let mut index = 0;
                    while index < waiting.len() {
                        match poll(&mut waiting[index]) {
                            Poll::Ready(ticket) => { tickets.push(ticket.unwrap()); drop(waiting.remove(index)); }
                            Poll::Pending => index += 1,
                        }
                    }
                }
                _ if rnd % 10 == 0 => {
                    let mut new = Pool::new(settings(min, max), vec![member.clone()]).unwrap();
                    new.adopt(&pool);
                    pool = Arc::new(new);
                }
                _ => {
                    let picked = pool.pick(&PickInput { now_ms, rnd, ..PickInput::default() });
                    prop_assert!(picked.is_some());
                }
            }
            let state = only(&pool);
            prop_assert!((min..=max).contains(&state.limit.unwrap()));
            prop_assert!(state.outstanding <= 12 && state.pending <= 6 && state.awaiting <= max);
            prop_assert_eq!(state.outstanding as usize, tickets.len());
            prop_assert_eq!(state.pending as usize, waiting.len());
        }
        drop(tickets);
        drop(waiting);
        let state = only(&pool);
        prop_assert_eq!((state.outstanding, state.awaiting, state.pending), (0, 0, 0));
        prop_assert!(pool.begin(0, now_ms).is_ok());
    }
}
