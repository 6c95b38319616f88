//! Rehearsals: a candidate runs over what visitors asked lately, and somebody must have meant what becomes of it.

use crate::common::{Origin, eventually};
use crate::stand::*;

fn text(origin: &Origin, rule: &str) -> String {
    edge(FAST) + &zone("a.test", origin, "", rule) + &zone("idle.test", origin, "", rule)
}

/// Visits until some of them are kept for rehearsals: a few of each tenth of a second are.
fn visit_for_a_while(stand: &Stand) {
    let mut visitor = stand.visitor();
    let began = std::time::Instant::now();
    let mut n = 0;
    while began.elapsed() < std::time::Duration::from_millis(700) {
        let path = if n % 4 == 0 { "/shop/cart" } else { "/" };
        assert_eq!(visitor.visit("a.test", path, n).status, 200);
        n += 1;
    }
}

#[test]
fn a_surprising_share_of_other_endings_must_be_acknowledged_by_its_number() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, "")));
    visit_for_a_while(&stand);
    let block = "[[zone.rule]]\nname = \"shop\"\naction = \"block\"\npath = \"^/shop/\"\n";
    let ended = stand.change(Change::to(text(&origin, block)));
    let count = ended.is("refused").needs("changed_verdicts").unwrap();
    assert!((3..30).contains(&count), "{}", ended.said());
    assert!(ended.said().contains(&format!("{count} of ")), "{}", ended.said());
    assert!(ended.said().contains("recent requests would end differently"), "{}", ended.said());
    assert_eq!(stand.current(), 1);
    assert_eq!(stand.visit("a.test", "/shop/cart", 1).status, 200);
    assert_eq!(stand.store().history().unwrap().candidate, None);
    // A number that is far off is another number.
    stand.change(Change::to(text(&origin, block)).ack("changed_verdicts=0")).is("refused");
    let ack = format!("changed_verdicts={count}");
    stand.change(Change::to(text(&origin, block)).ack(ack)).is("adopted");
    assert_eq!(stand.visit("a.test", "/shop/cart", 1).status, 403);
    stand.in_time("acknowledged", 2);
    stand.in_time("rehearsed", 3);
}

#[test]
fn a_quick_order_is_asked_the_same_and_a_kill_switch_is_not() {
    let origin = Origin::echoing();
    let block = "[[zone.rule]]\nname = \"shop\"\naction = \"block\"\npath = \"^/shop/\"\n";
    let stand = Stand::start(Setup::of(text(&origin, "")));
    visit_for_a_while(&stand);
    let quick = || Change { quick: true, ..Change::to(text(&origin, block)) };
    let count = stand.change(quick()).is("refused").needs("changed_verdicts").unwrap();
    stand.change(quick().ack(format!("changed_verdicts={count}"))).is("adopted");
    let off = serde_json::json!({ "name": "firewall", "state": "off" });
    stand.carry_out("/module", &off).is("adopted");
    assert_eq!(stand.visit("a.test", "/shop/cart", 1).status, 200);
}

#[test]
fn nobody_is_asked_about_zones_that_nobody_visits() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, "")));
    let block = "[[zone.rule]]\nname = \"all\"\naction = \"block\"\npath = \".\"\n";
    stand.change(Change::to(text(&origin, block))).is("adopted");
    assert_eq!(stand.visit("idle.test", "/", 1).status, 403);
}

#[test]
fn a_ban_of_many_visitors_is_as_surprising_as_a_rule_though_its_stages_are_short() {
    let origin = Origin::echoing();
    let rollout = "[edge.rollout]\nstages = [50]\nhold = \"20s\"\nquick_hold = \"50ms\"\nrequests = 5\n";
    let text = |addresses: &str| {
        let list = format!("[[list]]\nname = \"banned\"\naddresses = [{addresses}]\n");
        edge(rollout) + &list + &zone("a.test", &origin, "bans = \"banned\"", "")
    };
    let stand = Stand::start(Setup::of(text("\"192.0.2.0/24\"")));
    visit_for_a_while(&stand);
    let all = text("\"192.0.2.0/24\", \"198.18.0.0/15\"");
    let count = stand.change(Change::to(all.clone())).is("refused").needs("changed_verdicts").unwrap();
    // One visitor is no surprise; and no ban waits for 20 s.
    let began = std::time::Instant::now();
    let one = format!("\"192.0.2.0/24\", \"{}/32\"", address(100_000));
    stand.change(Change::to(text(&one))).is("adopted");
    stand.change(Change::to(all).ack(format!("changed_verdicts={count}"))).is("adopted");
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    eventually("all are banned", || stand.visit("a.test", "/", 1).status == 403);
}
