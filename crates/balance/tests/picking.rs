//! Choosing by policy, health and affinity.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests are not inside #[test]

use std::sync::Arc;

use proptest::prelude::*;
use seawall_balance::{
    Change, Ejection, Member, Monitor, Outcome, Pick, PickInput, Policy, Pool, Reason, Settings,
    SettingsError, Standing, Why, pick_in_order, stable_hash,
};

fn members(weights: &[u32]) -> Vec<Member> {
    weights
        .iter()
        .enumerate()
        .map(|(index, weight)| Member { weight: *weight, ..Member::new(format!("origin-{index}")) })
        .collect()
}

fn pool(policy: Policy, weights: &[u32]) -> Arc<Pool> {
    Arc::new(Pool::new(Settings { policy, ..Settings::default() }, members(weights)).unwrap())
}

fn quick_ejection() -> Ejection {
    Ejection { consecutive_failures: 3, base_ms: 1_000, max_ms: 8_000, max_percent: 50, status_5xx: true }
}

fn ejecting(count: usize) -> Arc<Pool> {
    let settings = Settings { ejection: Some(quick_ejection()), ..Settings::default() };
    Arc::new(Pool::new(settings, members(&vec![1; count])).unwrap())
}

fn at(now_ms: u64) -> PickInput<'static> {
    PickInput { now_ms, ..PickInput::default() }
}

fn run(pool: &Arc<Pool>, member: usize, now_ms: u64, outcome: Outcome) -> Option<Change> {
    pool.begin(member, now_ms).unwrap().finish(now_ms, outcome)
}

fn fail(pool: &Arc<Pool>, member: usize, now_ms: u64, times: u32) -> Option<Change> {
    (0..times)
        .map(|_| run(pool, member, now_ms, Outcome::ConnectFailed))
        .fold(None, |last, change| change.or(last))
}

fn counts(pool: &Pool, picks: u32, input: impl Fn(u32) -> PickInput<'static>) -> Vec<u32> {
    let mut counts = vec![0; pool.len()];
    for round in 0..picks {
        counts[pool.pick(&input(round)).unwrap().member] += 1;
    }
    counts
}

#[test]
fn weighted_round_robin_interleaves_and_is_exact_after_each_cycle() {
    let pool = pool(Policy::RoundRobin, &[5, 1, 1]);
    let order: Vec<usize> = (0..7).map(|_| pool.pick(&at(0)).unwrap().member).collect();
    assert_eq!(order, [0, 0, 0, 1, 2, 0, 0]);
    assert_eq!(counts(&pool, 700, |_| at(0)), [500, 100, 100]);
}

#[test]
fn a_member_that_returns_is_not_flooded_and_shares_stay_exact() {
    let settings = Settings {
        monitor: Some(Monitor { healthy: 1, unhealthy: 1, ..Monitor::default() }),
        ..Settings::default()
    };
    let pool = Pool::new(settings, members(&[2, 1, 1])).unwrap();
    assert_eq!(pool.probe_result(1, false), Some(Change::Down));
    assert_eq!(counts(&pool, 300, |_| at(0)), [200, 0, 100]);
    assert_eq!(pool.probe_result(1, true), Some(Change::Up));
    let after = counts(&pool, 400, |_| at(0));
    for (got, want) in after.iter().zip([200_u32, 100, 100]) {
        assert!(got.abs_diff(want) <= 1, "{after:?}");
    }
}

#[test]
fn a_member_left_out_by_retries_keeps_its_turn() {
    let pool = pool(Policy::RoundRobin, &[1, 1, 1]);
    let total = counts(&pool, 3_000, |round| PickInput { exclude: u64::from(round % 5 == 0), ..at(0) });
    assert_eq!(total, [1000, 1000, 1000]);
}

#[test]
fn least_outstanding_fills_in_proportion_to_weight() {
    let pool = pool(Policy::LeastOutstanding, &[3, 2, 1]);
    let tickets: Vec<_> =
        (0..60).map(|_| pool.begin(pool.pick(&at(0)).unwrap().member, 0).unwrap()).collect();
    let held: Vec<u32> = pool.snapshot(0).members.iter().map(|member| member.outstanding).collect();
    assert_eq!(held, [30, 20, 10]);
    drop(tickets);
    assert_eq!(counts(&pool, 600, |_| at(0)), [300, 200, 100], "idle members take turns by weight");
}

#[test]
fn two_choices_keep_a_large_pool_level() {
    let pool = pool(Policy::LeastOutstanding, &[1; 40]);
    let mut tickets = Vec::new();
    for rnd in 0..4_000_u64 {
        let input = PickInput { rnd: stable_hash(&rnd.to_le_bytes()), ..at(0) };
        tickets.push(pool.begin(pool.pick(&input).unwrap().member, 0).unwrap());
    }
    let held: Vec<u32> = pool.snapshot(0).members.iter().map(|member| member.outstanding).collect();
    assert!(held.iter().all(|count| (94..=106).contains(count)), "{held:?}");
}

#[test]
fn hashing_honours_weights_and_moves_only_the_keys_of_the_member_that_left() {
    let policy = Policy::Hash { max_load_percent: 0 };
    let keys = || (0..20_000_u64).map(|key| PickInput { hash: stable_hash(&key.to_le_bytes()), ..at(0) });
    let name = |pool: &Pool, input: &PickInput<'_>| {
        pool.member(pool.pick(input).unwrap().member).unwrap().name.clone()
    };
    let whole = pool(policy, &[1, 2, 3, 4]);
    let mut shares = [0_u32; 4];
    for key in keys() {
        shares[whole.pick(&key).unwrap().member] += 1;
    }
    for (share, weight) in shares.iter().zip([1_u32, 2, 3, 4]) {
        assert!(share.abs_diff(weight * 2_000) < 300, "{shares:?}");
    }
    let mut fewer = members(&[1, 2, 3, 4]);
    fewer.remove(2);
    let fewer = Pool::new(Settings { policy, ..Settings::default() }, fewer).unwrap();
    for key in keys() {
        let before = name(&whole, &key);
        if before != "origin-2" {
            assert_eq!(name(&fewer, &key), before);
        }
    }
}

#[test]
fn bounded_loads_spill_a_hot_key_and_spill_it_to_the_same_place() {
    let pool = pool(Policy::Hash { max_load_percent: 150 }, &[1; 4]);
    let mut tickets = Vec::new();
    for _ in 0..100 {
        tickets.push(pool.begin(pool.pick(&PickInput { hash: 7, ..at(0) }).unwrap().member, 0).unwrap());
    }
    let held: Vec<u32> = pool.snapshot(0).members.iter().map(|member| member.outstanding).collect();
    assert!(held.iter().all(|count| *count <= 38), "{held:?}");
    assert_eq!(held.iter().filter(|count| **count >= 36).count(), 2, "{held:?}");
}

#[test]
fn a_cookie_holds_while_its_member_lives_and_anything_else_gets_a_new_one() {
    let settings = Settings {
        affinity: true,
        affinity_salt: 9,
        ejection: Some(quick_ejection()),
        ..Settings::default()
    };
    let pool = Arc::new(Pool::new(settings, members(&[1, 1, 0])).unwrap());
    let with = |cookie: &str| {
        let cookie = cookie.to_owned();
        pool.pick(&PickInput { affinity: Some(cookie.as_bytes()), ..at(0) }).unwrap()
    };
    for member in 0..3 {
        let want = Pick { member, reason: Reason::Affinity, set_affinity: false };
        assert_eq!(with(pool.affinity_token(member)), want, "a drained member keeps its own");
    }
    for bad in ["", "origin-1", "0000000000000000", "\u{0}", &"9".repeat(10_000)] {
        assert!(with(bad).set_affinity, "{bad}");
    }
    fail(&pool, 1, 0, 3);
    let moved = with(pool.affinity_token(1));
    assert_eq!((moved.member, moved.reason, moved.set_affinity), (0, Reason::Policy, true));
    let excluded = PickInput { affinity: Some(pool.affinity_token(0).as_bytes()), exclude: 1, ..at(0) };
    assert_ne!(pool.pick(&excluded).unwrap().member, 0);
}

#[test]
fn failures_in_a_row_eject_for_a_doubling_time_and_one_success_restores() {
    let pool = ejecting(3);
    assert_eq!(fail(&pool, 0, 100, 2), None);
    assert_eq!(run(&pool, 0, 100, Outcome::Ok), None, "a success starts the row over");
    assert_eq!(run(&pool, 0, 100, Outcome::ClientGone), None);
    assert_eq!(fail(&pool, 0, 100, 3), Some(Change::Ejected { for_ms: 1_000 }));
    assert_eq!(pool.standing(0, 1_099), Some(Standing::Ejected));
    assert!((0..100).all(|_| pool.pick(&at(1_099)).unwrap().member != 0));
    for (now, for_ms) in [(1_100, 2_000), (3_100, 4_000), (7_100, 8_000), (15_100, 8_000)] {
        assert_eq!(
            pool.pick(&at(now)).unwrap(),
            Pick { member: 0, reason: Reason::Trial, set_affinity: false }
        );
        assert_ne!(pool.pick(&at(now)).unwrap().member, 0, "one trial at a time");
        assert_eq!(run(&pool, 0, now, Outcome::Timeout), Some(Change::Ejected { for_ms }));
    }
    assert_eq!(pool.pick(&at(23_100)).unwrap().reason, Reason::Trial);
    assert_eq!(run(&pool, 0, 23_100, Outcome::Ok), Some(Change::Restored));
    assert_eq!(pool.standing(0, 23_100), Some(Standing::Live));
    assert_eq!(
        fail(&pool, 0, 23_200, 3),
        Some(Change::Ejected { for_ms: 8_000 }),
        "a relapse is not forgiven"
    );
}

#[test]
fn a_straggler_that_succeeds_does_not_end_an_ejection() {
    let pool = ejecting(3);
    let early = pool.begin(0, 100).unwrap();
    fail(&pool, 0, 200, 3);
    assert_eq!(early.finish(300, Outcome::Ok), None);
    assert_eq!(pool.standing(0, 300), Some(Standing::Ejected));
}

#[test]
fn no_more_than_the_allowed_share_is_ejected_and_a_single_origin_never() {
    let pool = ejecting(4);
    assert!((0..4).filter(|member| fail(&pool, *member, 100, 9).is_some()).count() <= 2);
    let out = pool.snapshot(200).members.iter().filter(|member| member.standing == Standing::Ejected).count();
    assert_eq!(out, 2);
    let single = ejecting(1);
    assert_eq!(fail(&single, 0, 100, 50), None);
    assert_eq!(single.pick(&at(100)).unwrap().reason, Reason::Policy);
}

#[test]
fn when_nothing_is_live_the_least_bad_is_tried_and_counted() {
    let settings = Settings {
        ejection: Some(Ejection { max_percent: 100, ..quick_ejection() }),
        monitor: Some(Monitor::default()),
        ..Settings::default()
    };
    let pool = Arc::new(Pool::new(settings, members(&[1, 1])).unwrap());
    for _ in 0..3 {
        pool.probe_result(0, false);
    }
    fail(&pool, 1, 100, 3);
    assert!(!pool.is_live(100));
    assert_eq!(pool.pick_live(&at(100)), None);
    assert_eq!(pool.pick(&at(100)).unwrap(), Pick { member: 1, reason: Reason::Panic, set_affinity: false });
    assert_eq!(pool.pick(&PickInput { exclude: 2, ..at(100) }).unwrap().member, 0);
    assert_eq!(pool.pick(&PickInput { exclude: 3, ..at(100) }), None);
    assert_eq!(pool.snapshot(100).panic_picks, 2);
    assert_eq!(run(&pool, 1, 150, Outcome::Ok), Some(Change::Restored), "a success in panic counts");
}

#[test]
fn backups_serve_only_when_no_ordinary_member_is_live() {
    let mut list = members(&[1, 1]);
    list[1].backup = true;
    let settings = Settings { ejection: Some(quick_ejection()), ..Settings::default() };
    let pool = Arc::new(Pool::new(settings, list).unwrap());
    assert_eq!(counts(&pool, 10, |_| at(0)), [10, 0]);
    fail(&pool, 0, 100, 3);
    assert_eq!(pool.pick(&at(100)).unwrap(), Pick { member: 1, reason: Reason::Backup, set_affinity: false });
    assert_eq!(pool.pick(&at(1_100)).unwrap().reason, Reason::Trial);
}

#[test]
fn failover_walks_pools_in_order_and_panics_in_the_first() {
    let all = Ejection { max_percent: 100, ..quick_ejection() };
    let make = || {
        Arc::new(Pool::new(Settings { ejection: Some(all), ..Settings::default() }, members(&[1])).unwrap())
    };
    let pools = [make(), make()];
    let choose = |exclude: [u64; 2]| {
        pick_in_order(pools.iter(), &at(100), |index| exclude[index])
            .map(|(index, pick)| (index, pick.reason))
    };
    assert_eq!(choose([0, 0]), Some((0, Reason::Policy)));
    assert_eq!(choose([1, 0]), Some((1, Reason::Policy)));
    fail(&pools[0], 0, 100, 3);
    assert_eq!(choose([0, 0]), Some((1, Reason::Policy)));
    assert_eq!(choose([0, 1]), Some((0, Reason::Panic)));
    fail(&pools[1], 0, 100, 3);
    assert_eq!(choose([0, 0]), Some((0, Reason::Panic)));
    assert_eq!(choose([1, 1]), None);
}

#[test]
fn probes_change_a_verdict_only_in_a_row_and_are_claimed_by_one_worker_with_jitter() {
    let monitor = Monitor { interval_ms: 1_000, jitter_percent: 20, healthy: 2, unhealthy: 3 };
    let pool =
        Pool::new(Settings { monitor: Some(monitor), ..Settings::default() }, members(&[1, 1])).unwrap();
    let answers = [
        (false, None),
        (false, None),
        (true, None),
        (false, None),
        (false, None),
        (false, Some(Change::Down)),
        (false, None),
        (true, None),
        (false, None),
        (true, None),
        (true, Some(Change::Up)),
        (true, None),
    ];
    for (step, (ok, want)) in answers.into_iter().enumerate() {
        assert_eq!(pool.probe_result(0, ok), want, "step {step}");
    }
    let mut sent = Vec::new();
    for now_ms in 1..20_000 {
        for worker in 0..4_u64 {
            if pool.claim_probe(0, now_ms, stable_hash(&(now_ms * 4 + worker).to_le_bytes())) {
                sent.push(now_ms);
            }
        }
    }
    assert!(sent[0] <= 1_001, "{sent:?}");
    let gaps: Vec<u64> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (800..=1_200).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().max() > gaps.iter().min());
}

#[test]
fn a_full_member_passes_requests_on_and_refuses_when_asked_anyway() {
    let mut list = members(&[1, 1]);
    list[0].max_connections = 1;
    let pool = Arc::new(Pool::new(Settings::default(), list).unwrap());
    let held = pool.begin(0, 0).unwrap();
    assert_eq!(counts(&pool, 10, |_| at(0)), [0, 10]);
    let refused = pool.begin(0, 0).err().unwrap();
    assert_eq!(refused.why, Why::Connections);
    assert!((1..=60).contains(&refused.retry_after_s));
    drop(held);
    assert!(pool.begin(0, 0).is_ok());
    assert_eq!(pool.begin(9, 0).err().unwrap().why, Why::NoSuchMember);
}

#[test]
fn idle_connections_beyond_the_limit_are_to_be_closed() {
    let mut list = members(&[1]);
    list[0].max_connections = 2;
    let pool = Arc::new(Pool::new(Settings::default(), list).unwrap());
    let mut open: Vec<_> = (0..3).map(|_| pool.connected(0)).collect();
    assert!(!open[0].may_idle());
    open.pop();
    assert!(open[0].may_idle());
    drop(open);
    assert_eq!(pool.snapshot(0).members[0].connections, 0);
}

#[test]
fn retries_stay_within_the_share_of_the_window_and_the_constant() {
    let pool = pool(Policy::RoundRobin, &[1]);
    let attempt = |now_ms| drop(pool.begin(0, now_ms).unwrap());
    let taken = |now_ms: u64| {
        let retry = || pool.may_retry(now_ms).then(|| attempt(now_ms));
        (0..1_000).filter_map(|_| retry()).count()
    };
    assert_eq!(taken(1_000), 3, "a quiet pool may retry a little");
    assert_eq!(taken(2_000), 3, "each second");
    (0..100).for_each(|_| attempt(60_000));
    assert_eq!(taken(60_999), 20, "20 % of a hundred");
    assert_eq!(taken(61_000), 3, "then the constant");
    (0..100).for_each(|_| attempt(65_000));
    assert_eq!(taken(65_000), 17, "twice the requests, less what is spent");
    assert_eq!(taken(80_000), 3, "the window forgets");
    let snapshot = pool.snapshot(0);
    assert_eq!((snapshot.retries_allowed, snapshot.retries_denied), (49, 5_951));
}

#[test]
fn a_reload_keeps_health_counts_and_requests_in_flight_by_name() {
    let settings = Settings { ejection: Some(quick_ejection()), ..Settings::default() };
    let old = Arc::new(Pool::new(settings.clone(), members(&[1, 1, 1])).unwrap());
    fail(&old, 1, 100, 3);
    let flying = old.begin(2, 100).unwrap();
    let mut list = members(&[1, 1, 1, 1]);
    list.reverse();
    let mut new = Pool::new(settings.clone(), list).unwrap();
    new.adopt(&old);
    let new = Arc::new(new);
    assert_eq!(new.standing(2, 200), Some(Standing::Ejected));
    assert_eq!(new.snapshot(200).members[1].outstanding, 1);
    flying.finish(200, Outcome::Ok);
    assert_eq!(new.snapshot(200).members[1].outstanding, 0);
    let mut without = Pool::new(Settings { ejection: None, ..settings }, members(&[1, 1, 1])).unwrap();
    without.adopt(&new);
    assert_eq!(without.standing(1, 200), Some(Standing::Live));
}

#[test]
fn a_pool_that_cannot_work_is_an_error_that_names_the_fault() {
    let make = |list: Vec<Member>| Pool::new(Settings::default(), list).err();
    assert_eq!(make(Vec::new()), Some(SettingsError::Empty));
    assert_eq!(make(members(&[1; 65])), Some(SettingsError::TooMany(65)));
    assert_eq!(make(members(&[0, 0])), Some(SettingsError::NoWeight));
    assert_eq!(make(vec![Member::new("a"), Member::new("a")]), Some(SettingsError::Duplicate("a".into())));
    assert!(make(members(&[1; 64])).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_follow_weights_whatever_they_are(weights in proptest::collection::vec(1_u32..200, 1..20)) {
        let pool = pool(Policy::RoundRobin, &weights);
        let total: u32 = weights.iter().sum();
        let got = counts(&pool, total * 3, |_| at(0));
        for (count, weight) in got.iter().zip(&weights) {
            prop_assert!(count.abs_diff(weight * 3) <= 1, "{got:?} for {weights:?}");
        }
    }

    #[test]
    fn picks_never_name_an_excluded_or_dead_member_while_another_lives(
        steps in proptest::collection::vec((0_usize..6, 0_u8..8, 0_u64..3_000, any::<u64>()), 1..120),
        policy in prop_oneof![
            Just(Policy::RoundRobin), Just(Policy::LeastOutstanding), Just(Policy::Hash { max_load_percent: 0 }),
            Just(Policy::Hash { max_load_percent: 150 }),
        ],
    ) {
        let settings = Settings { policy, affinity: true, ejection: Some(quick_ejection()), monitor: Some(Monitor::default()), ..Settings::default() };
        let mut list = members(&[1, 2, 3, 1, 1, 0]);
        list[4].backup = true;
        let pool = Arc::new(Pool::new(settings, list).unwrap());
        let mut tickets = Vec::new();
        let mut now_ms = 1;
        for (member, step, wait_ms, rnd) in steps {
            now_ms += wait_ms;
            match step {
                0 => drop(pool.probe_result(member, rnd % 2 == 0)),
                1 | 2 => drop(fail(&pool, member, now_ms, 3)),
                3 => tickets.push(pool.begin(member, now_ms).unwrap()),
                4 => if let Some(ticket) = tickets.pop() {
                    ticket.finish(now_ms, Outcome::ALL[rnd as usize % Outcome::ALL.len()]);
                },
                5 => drop(tickets.pop()),
                _ => {}
            }
            let exclude = if step % 2 == 0 { rnd & 0b11_1111 } else { 0 };
            let input = PickInput { hash: rnd, rnd, now_ms, exclude, affinity: Some(pool.affinity_token(member).as_bytes()) };
            let live: u64 = (0..6).filter(|m| pool.standing(*m, now_ms) == Some(Standing::Live)).map(|m| 1 << m).sum();
            match pool.pick(&input) {
                None => prop_assert_eq!(0b01_1111 & !exclude, 0),
                Some(pick) => {
                    let bit = 1_u64 << pick.member;
                    prop_assert_eq!(bit & exclude, 0);
                    let fine = live & bit != 0 || pick.reason == Reason::Trial || pick.reason == Reason::Affinity;
                    prop_assert!(fine || live & 0b01_1111 & !exclude == 0, "{pick:?} live {live:b} exclude {exclude:b}");
                }
            }
        }
        drop(tickets);
        for member in pool.snapshot(now_ms).members {
            prop_assert_eq!((member.outstanding, member.awaiting), (0, 0));
            prop_assert_eq!(member.requests, member.outcomes.iter().sum::<u64>());
        }
    }
}

#[test]
fn many_threads_lose_no_count_and_keep_shares() {
    let pool = pool(Policy::RoundRobin, &[2, 1, 1]);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let pool = Arc::clone(&pool);
            scope.spawn(move || {
                for round in 0..10_000 {
                    let pick = pool.pick(&PickInput { rnd: thread ^ round, ..at(round) }).unwrap();
                    let mut ticket = pool.begin(pick.member, round).unwrap();
                    ticket.first_byte(round, 100, 200);
                    ticket.finish(round, Outcome::Ok);
                }
            });
        }
    });
    let members = pool.snapshot(0).members;
    assert!(members.iter().all(|member| member.outstanding == 0 && member.awaiting == 0));
    let shares: Vec<u64> = members.iter().map(|member| member.requests).collect();
    assert_eq!(shares.iter().sum::<u64>(), 40_000);
    for (share, want) in shares.iter().zip([20_000_u64, 10_000, 10_000]) {
        assert!(share.abs_diff(want) < 800, "{shares:?}");
    }
}
