//! A pool on trial beside the one in force.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use std::sync::Arc;

use seawall_balance::{
    Concurrency, Ejection, Member, Monitor, Outcome, PickInput, Pool, Settings, Standing, Why,
};

fn settings() -> Settings {
    Settings {
        ejection: Some(Ejection { consecutive_failures: 3, max_percent: 100, ..Ejection::default() }),
        concurrency: Some(Concurrency { min: 4, max: 64 }),
        ..Settings::default()
    }
}

fn in_force(settings: Settings) -> Arc<Pool> {
    Arc::new(Pool::new(settings, vec![Member::new("a"), Member::new("b")]).unwrap())
}

fn on_trial(settings: Settings, beside: &Pool) -> Arc<Pool> {
    let mut pool = Pool::new(settings, vec![Member::new("a"), Member::new("b")]).unwrap();
    pool.adopt(beside);
    Arc::new(pool)
}

fn fail(pool: &Arc<Pool>, member: usize, times: usize) {
    for _ in 0..times {
        let _ = pool.begin(member, 100).unwrap().finish(100, Outcome::ConnectFailed);
    }
}

#[test]
fn both_share_one_set_of_limits_and_one_count() {
    let stable = in_force(settings());
    let trial = on_trial(settings(), &stable);
    let mut held = Vec::new();
    for n in 0..64 {
        let pool = if n % 2 == 0 { &stable } else { &trial };
        held.push(pool.begin(0, 100).unwrap());
    }
    assert_eq!(trial.begin(0, 100).err().unwrap().why, Why::Concurrency);
    assert_eq!(stable.begin(0, 100).err().unwrap().why, Why::Concurrency);
    assert_eq!(stable.snapshot(100).members[0].outstanding, 64);
    // The candidate is dropped while its requests are under way: their places come back all the same.
    drop(trial);
    drop(held);
    assert_eq!(stable.snapshot(100).members[0].outstanding, 0);
}

#[test]
fn what_fails_under_a_candidate_puts_no_origin_out_for_the_other() {
    let stable = in_force(settings());
    fail(&stable, 1, 3);
    let trial = on_trial(settings(), &stable);
    assert_eq!(trial.standing(1, 200), Some(Standing::Ejected), "what was known before holds for both");
    fail(&trial, 0, 3);
    assert_eq!(
        (trial.standing(0, 200), stable.standing(0, 200)),
        (Some(Standing::Ejected), Some(Standing::Live))
    );
    drop(trial);
    assert_eq!(stable.pick(&PickInput { now_ms: 200, ..PickInput::default() }).unwrap().member, 0);
}

#[test]
fn a_candidate_without_monitor_or_with_other_bounds_changes_them_for_itself_alone_until_it_is_settled() {
    let monitored = Settings { monitor: Some(Monitor { unhealthy: 1, ..Monitor::default() }), ..settings() };
    let stable = in_force(monitored);
    stable.probe_result(0, false);
    let trial =
        on_trial(Settings { concurrency: Some(Concurrency { min: 1, max: 2 }), ..settings() }, &stable);
    assert_eq!((stable.standing(0, 0), trial.standing(0, 0)), (Some(Standing::Down), Some(Standing::Live)));
    let limit = |pool: &Pool| pool.snapshot(0).members[1].limit;
    assert_eq!((limit(&stable), limit(&trial)), (Some(64), Some(2)));
    let held: Vec<_> = (0..3).map(|_| stable.begin(1, 0).unwrap()).collect();
    assert!(trial.begin(1, 0).is_err(), "what would be too much for it is too much on trial");
    drop(held);
    assert!(!trial.is_settled());
    trial.settle();
    assert!(trial.is_settled());
    assert_eq!(
        (limit(&stable), limit(&trial)),
        (Some(4), Some(2)),
        "its bounds hold, within the other's own"
    );
    assert_eq!(stable.standing(0, 0), Some(Standing::Live), "without a monitor nothing is known to be down");
}

#[test]
fn a_time_limit_on_trial_is_no_sign_of_overload() {
    let stable = in_force(settings());
    let trial = on_trial(settings(), &stable);
    let time_out = |pool: &Arc<Pool>| {
        for n in 0..200 {
            let _ = pool.begin(0, 1000 + n * 100).unwrap().finish(1000 + n * 100, Outcome::Timeout);
        }
        stable.snapshot(30_000).members[0].limit.unwrap()
    };
    assert_eq!(time_out(&trial), 64);
    assert!(time_out(&stable) < 64, "of the pool in force it is");
}

#[test]
fn a_pool_in_force_made_after_one_on_trial_takes_its_counts_and_not_its_ejections() {
    let mut first = Pool::new(settings(), vec![Member::new("a")]).unwrap();
    first.begin_trial();
    let first = Arc::new(first);
    fail(&first, 0, 3);
    let held = first.begin(0, 100).unwrap();
    let mut second = Pool::new(settings(), vec![Member::new("a")]).unwrap();
    second.share(&first);
    second.settle();
    assert_eq!(second.standing(0, 200), Some(Standing::Live));
    assert_eq!(second.snapshot(200).members[0].outstanding, 1);
    drop(held);
    assert_eq!(second.snapshot(200).members[0].outstanding, 0);
}
