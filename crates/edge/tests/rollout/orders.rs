//! Orders among each other: what waits, what goes first, what makes what pointless, and how each of them ends.

use crate::common::{Origin, eventually};
use crate::stand::*;
use serde_json::json;
use std::time::{Duration, Instant};

/// Long stages for changes, short ones for orders.
const LONG: &str = "[edge.rollout]\nstages = [50]\nhold = \"1500ms\"\nquick_hold = \"30ms\"\nrequests = 5\nsoak = \"600ms\"\n";

fn text(origin: &Origin, rollout: &str, n: usize) -> String {
    edge(rollout) + &version("a.test", origin, n)
}

fn off() -> serde_json::Value {
    json!({ "name": "response_headers", "state": "off" })
}

fn on_its_way(stand: &Stand, order: u64) {
    eventually("it is on its way", || {
        let candidate = &stand.status()["candidate"];
        candidate["order"] == order && candidate["percent"] != 0
    });
}

#[test]
fn a_kill_switch_takes_the_place_of_a_long_rollout_which_follows_after() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, LONG, 1)));
    let long = stand.propose(Change::to(text(&origin, LONG, 2)));
    on_its_way(&stand, long);
    let began = Instant::now();
    let quick = stand.order("/module", &off()).unwrap();
    stand.ended(quick).is("adopted");
    assert!(began.elapsed() < Duration::from_millis(1_200), "{:?}", began.elapsed());
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), None);
    assert_eq!(stand.ended(long).is("adopted").0["order"], long);
    // Both are in force.
    stand.checked();
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), None);
    stand.carry_out("/module", &json!({ "name": "response_headers", "state": "on" })).is("adopted");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(2));
    stand.in_time("superseded", 1);
}

#[test]
fn of_configurations_that_wait_the_newest_counts() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, LONG, 1)));
    let mut orders = vec![stand.propose(Change::to(text(&origin, LONG, 2)))];
    on_its_way(&stand, orders[0]);
    orders.extend([3, 4].map(|n| stand.propose(Change::to(text(&origin, LONG, n)))));
    eventually("the newest waits", || stand.status()["waiting"] == json!([orders[2]]));
    assert_eq!(stand.status()["queued"], true);
    stand.ended(orders[1]).is("superseded");
    stand.ended(orders[0]).is("adopted");
    stand.ended(orders[2]).is("adopted");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(4));
    assert_eq!(stand.status()["queued"], false);
}

#[test]
fn a_change_that_is_on_its_way_and_handed_in_again_changes_nothing_more() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, FAST, 1)));
    let twice = [0; 2].map(|_| stand.propose(Change::to(text(&origin, FAST, 2))));
    // The first may still wait when the second comes, and is superseded then.
    let first = stand.ended(twice[0]);
    let second = stand.ended(twice[1]);
    assert!(matches!(
        (first.outcome(), second.outcome()),
        ("adopted", "unchanged") | ("superseded", "adopted")
    ));
    assert_eq!(stand.current(), 2);
}

#[test]
fn going_back_drops_the_change_on_its_way_and_those_that_wait() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, LONG, 1)));
    stand.change(Change { quick: true, ..Change::to(text(&origin, LONG, 2)) }).is("adopted");
    eventually("it is good", || stand.status()["current"]["state"] == "good");
    stand.change(Change { quick: true, ..Change::to(text(&origin, LONG, 3)) }).is("adopted");
    let [on, waits] = [4, 5].map(|n| {
        let order = stand.propose(Change::to(text(&origin, LONG, n)));
        if n == 4 {
            on_its_way(&stand, order);
        }
        order
    });
    let back = stand.order("/snapshot/rollback", &json!({})).unwrap();
    stand.ended(back).is("adopted");
    stand.ended(on).is("superseded");
    stand.ended(waits).is("superseded");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(2));
    assert_eq!(stand.status()["waiting"], json!([]));
    stand.checked();
    // What was good once is good again.
    assert_eq!(stand.status()["current"]["state"], "good");
    stand.in_time("rolled_back", 1);
}

#[test]
fn snapshots_soak_on_while_newer_ones_serve() {
    let origin = Origin::echoing();
    let rollout = "[edge.rollout]\nstages = [50]\nhold = \"30ms\"\nrequests = 5\nsoak = \"1s\"\n";
    let stand = Stand::start(Setup::of(text(&origin, rollout, 1)));
    let began = Instant::now();
    let mut n = 1;
    // No snapshot serves for as long as a soak lasts.
    while stand.told("promoted_good").is_empty() {
        assert!(began.elapsed() < Duration::from_secs(8), "nothing becomes good");
        n += 1;
        stand.change(Change::to(text(&origin, rollout, n))).is("adopted");
    }
    let current = stand.current();
    let promoted = stand.told("promoted_good")[0]["snapshot"].as_u64().unwrap();
    assert!(promoted < current, "{promoted} of {current}");
}

#[test]
fn the_end_of_an_order_is_found_after_others_have_ended() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, FAST, 1)));
    let refused = stand.propose(Change { base: Some(99), ..Change::to(text(&origin, FAST, 2)) });
    stand.ended(refused);
    for _ in 0..5 {
        stand.change(Change::to(text(&origin, FAST, 1))).is("unchanged");
    }
    stand.ended(refused).is("refused");
    stand.edge.refused(1_000, vec!["it cannot be read".to_owned()]);
    assert!(stand.ended(1_000).is("refused").said().contains("cannot be read"));
}

#[test]
fn an_order_to_apply_reaches_whoever_runs_the_edge() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, FAST, 1)));
    let body = json!({ "acknowledge": ["removed_zones=3"], "base": 1, "quick": true });
    let order = stand.order("/snapshot/apply", &body).unwrap();
    let [apply] = stand.edge.orders().try_into().unwrap();
    assert_eq!((apply.order, apply.base, apply.quick), (order, Some(1), true));
    assert_eq!(apply.acks[0].to_string(), "removed_zones=3");
    for _ in 0..16 {
        stand.order("/snapshot/apply", &json!({})).unwrap();
    }
    assert_eq!(stand.order("/snapshot/apply", &json!({})).unwrap_err().0, 503, "what waits is bounded");
}
