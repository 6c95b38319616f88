//! What panics outside of every guard: in a request, and in what carries out changes.

use crate::common::{Origin, eventually};
use crate::stand::*;
use serde_json::json;

const POISON: &str = "[[zone.rule]]\nname = \"poison\"\naction = \"log\"\npath = \"^/never$\"\n";

fn text(origin: &Origin, n: usize, poison: bool) -> String {
    let rule = if poison { POISON } else { "" };
    edge(FAST)
        + &zone("a.test", origin, "", &format!("{}{rule}", route(n)))
        + &version("b.test", origin, n)
        + &version("c.test", origin, n)
}

#[test]
fn a_zone_whose_requests_panic_falls_back_alone_after_three() {
    let origin = Origin::echoing();
    // The canary does not look, so that what serves is what panics.
    let sabotage =
        json!({ "without": ["gate", "canary"], "faults": [{ "rule": "poison", "what": "panic" }] });
    let stand = Stand::start(Setup::of(text(&origin, 1, false)).sabotage(sabotage));
    stand.change(Change::to(text(&origin, 2, true))).is("adopted");
    for _ in 0..3 {
        let answer = stand.visit("a.test", "/", 1);
        assert_eq!(answer.status, 500);
        assert!(answer.text().contains("failed inside Seawall"), "{}", answer.text());
        assert_eq!(version_of(&stand.visit("b.test", "/", 1)), Some(2));
    }
    eventually("the zone falls back", || version_of(&stand.visit("a.test", "/", 1)) == Some(1));
    for host in ["b.test", "c.test"] {
        assert_eq!(version_of(&stand.visit(host, "/", 1)), Some(2), "{host} stays as new as it was");
    }
    stand.in_time("rolled_back", 1);
    let current = stand.settled();
    assert_eq!(current["number"], 3, "what serves now is a snapshot of its own");
    assert_eq!(stand.in_time("unit_quarantined", 1)[0]["zone"], "a.test");
    // The same file again advances the others, and leaves that unit where it is.
    let ended = stand.change(Change::to(text(&origin, 2, true)));
    assert!(ended.is("refused").said().contains("quarantine"), "{}", ended.said());
    let mixed = edge(FAST)
        + &zone("a.test", &origin, "", &format!("{}{POISON}", route(2)))
        + &version("b.test", &origin, 5)
        + &version("c.test", &origin, 5);
    let ended = stand.change(Change::to(mixed));
    assert!(ended.is("adopted").0["reasons"].to_string().contains("zone a.test"), "{}", ended.said());
    assert_eq!(["a.test", "b.test"].map(|host| version_of(&stand.visit(host, "/", 1))), [Some(1), Some(5)]);
    stand.change(Change::to(text(&origin, 6, false))).is("adopted");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(6), "mended, it advances again");
}

#[test]
fn a_zone_whose_requests_panic_under_a_candidate_is_left_out_of_the_change() {
    let origin = Origin::echoing();
    let rollout = "[edge.rollout]\nstages = [50]\nhold = \"1s\"\nrequests = 5\n";
    let with = |n, poison| text(&origin, n, poison).replace(FAST, rollout);
    let sabotage = json!({ "faults": [{ "rule": "poison", "what": "panic" }] });
    let stand = Stand::start(Setup::of(with(1, false)).sabotage(sabotage));
    let order = stand.propose(Change::to(with(2, true)));
    let mut panicked = 0;
    eventually("the zone is left out", || {
        panicked += (0..20).filter(|n| stand.visit("a.test", "/", *n).status == 500).count();
        !stand.told("unit_quarantined").is_empty()
    });
    assert!((3..60).contains(&panicked), "{panicked}");
    let ended = stand.ended(order);
    assert!(ended.is("adopted").0["reasons"].to_string().contains("zone a.test keeps"), "{}", ended.said());
    assert_eq!(["a.test", "b.test"].map(|host| version_of(&stand.visit(host, "/", 1))), [Some(1), Some(2)]);
    stand.checked();
}

#[test]
fn a_process_that_begins_with_a_zone_that_panics_finds_its_way_back_too() {
    let origin = Origin::echoing();
    let first = Stand::start(Setup::of(text(&origin, 1, false)));
    first.change(Change::to(text(&origin, 2, true))).is("adopted");
    first.stop();
    let sabotage = json!({ "faults": [{ "rule": "poison", "what": "panic" }] });
    let setup = Setup::of(text(&origin, 2, true)).after(&first).sabotage(sabotage);
    let stand = Stand::start(Setup { again: true, ..setup });
    eventually("the zone falls back", || version_of(&stand.visit("a.test", "/", 1)) == Some(1));
    assert_eq!(version_of(&stand.visit("b.test", "/", 1)), Some(2));
    stand.settled();
    // And stays there, whatever begins next, with the file as it is.
    stand.stop();
    let setup = Setup::of(text(&origin, 2, true)).after(&stand);
    let next = Stand::start(Setup { again: true, ..setup });
    next.change(Change::to(text(&origin, 2, true)).by("file")).is("refused");
    assert_eq!(version_of(&next.visit("a.test", "/", 1)), Some(1));
    assert_eq!(version_of(&next.visit("b.test", "/", 1)), Some(2));
}

#[test]
fn without_its_guard_a_zone_that_panics_goes_on_panicking() {
    let origin = Origin::echoing();
    let sabotage = json!({
        "without": ["gate", "canary", "zone-quarantine"],
        "faults": [{ "rule": "poison", "what": "panic" }],
    });
    let stand = Stand::start(Setup::of(text(&origin, 1, false)).sabotage(sabotage));
    stand.change(Change::to(text(&origin, 2, true))).is("adopted");
    for n in 0..10 {
        assert_eq!(stand.visit("a.test", "/", n).status, 500);
    }
    assert_eq!(stand.current(), 2);
}

#[test]
fn a_fault_of_what_carries_out_changes_leaves_no_candidate_and_costs_one_change() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, 1, false)).sabotage(json!({ "rollout_fails": 2 })));
    for n in [2, 3] {
        let ended = stand.change(Change::to(text(&origin, n, false)));
        assert!(ended.is("failed").said().contains("failed inside Seawall"), "{}", ended.said());
        assert_eq!(stand.status()["candidate"], json!(null));
        assert_eq!(stand.checked()["number"], 1);
        assert_eq!(stand.edge.running(), (1, 0));
        assert_eq!(stand.store().history().unwrap().candidate, None);
        assert_eq!(stand.metric("seawall_canary_percent") + stand.metric("seawall_snapshot_candidate"), 0.0);
        assert!((0..50).all(|n| version_of(&stand.visit("a.test", "/", n)) == Some(1)));
    }
    stand.change(Change::to(text(&origin, 4, false))).is("adopted");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(4));
    stand.in_time("alert", 2);
}
