//! A data file as something else generates it: checked more than once, kept at its good version, pinned when it alternates.

use crate::common::{Origin, eventually};
use crate::stand::*;
use serde_json::json;

const BOT: &str = "[zone.bot]\nscore = true\nheader = true\n";

fn text(origin: &Origin) -> String {
    edge(FAST) + &zone("a.test", origin, "", BOT)
}

/// The score is still told, and what is told of what serves is so.
fn scores(stand: &Stand) -> String {
    stand.checked();
    let told = stand.visit("a.test", "/", 1).text();
    assert!(told.parse::<u8>().is_ok_and(|score| (1..=99).contains(&score)), "{told}");
    told
}

#[test]
fn a_file_of_too_many_rows_is_stopped_by_each_check_in_turn() {
    let origin = scored();
    let layers = [
        (vec![], "refused", "artifact_refused"),
        (vec!["validation"], "refused", "unit_kept"),
        (vec!["validation", "build-validation"], "refused", "unit_kept"),
        (vec!["validation", "build-validation", "load-validation"], "refused", "change_refused"),
        (vec!["validation", "build-validation", "load-validation", "rehearsal"], "failed", "gate_failed"),
    ];
    for (mut without, outcome, event) in layers {
        if without.len() > 1 {
            // It stands before the others, and asks for a number.
            without.push("removal-cap");
        }
        let setup = Setup::of(text(&origin)).features(features(1));
        let stand = Stand::start(setup.sabotage(json!({ "without": without })));
        let before = scores(&stand);
        let ended = stand.change(Change::to(text(&origin)).features(too_many_features(2)));
        ended.is(outcome);
        eventually(event, || !stand.told(event).is_empty());
        if without.len() < 4 {
            for name in ["bot-features", "features", "200", "260"] {
                assert!(ended.said().contains(name), "{name} without {without:?}: {}", ended.said());
            }
        }
        assert_eq!((scores(&stand), stand.current()), (before, 1));
        eventually("somebody is told", || {
            !stand.told("alert").is_empty() || outcome == "refused" && without.len() > 3
        });
    }
}

#[test]
fn a_good_file_goes_its_way_and_the_zone_beside_it_does_not_wait_for_a_bad_one() {
    let origin = scored();
    let with = |n| text(&origin) + &version("b.test", &origin, n);
    let stand = Stand::start(Setup::of(with(1)).features(features(1)));
    stand.change(Change::to(with(1)).features(features(2))).is("adopted");
    let ended = stand.change(Change::to(with(2)).features(too_many_features(3)));
    assert!(ended.is("adopted").0["reasons"].to_string().contains("260"), "{}", ended.said());
    assert_eq!(version_of(&stand.visit("b.test", "/", 1)), Some(2));
    let unreadable =
        Change { features: Some(Err("features.json: no such file".to_owned())), ..Change::to(with(2)) };
    let ended = stand.change(unreadable);
    assert!(ended.is("refused").said().contains("no such file"), "{}", ended.said());
    scores(&stand);
}

#[test]
fn a_file_that_waits_for_an_acknowledgement_is_in_the_change_when_it_comes() {
    let origin = scored();
    let names: Vec<String> = (0..10).map(|n| format!("z{n}.test")).collect();
    let with =
        |names: &[String]| names.iter().fold(text(&origin), |all, name| all + &version(name, &origin, 1));
    let stand = Stand::start(Setup::of(with(&names)).features(features(1)));
    let change = || Change::to(with(&names[..3])).features(features(2));
    let number = stand.change(change()).is("refused").needs("removed_zones").unwrap();
    stand.change(change().ack(format!("removed_zones={number}"))).is("adopted");
    let (_, units) = stand.store().load(stand.current()).unwrap();
    let unit = units.get(seawall_snapshot::UnitKind::Data, seawall_edge::BOT_FEATURES).unwrap();
    assert_eq!(unit.bytes, features(2));
}

#[test]
fn a_file_that_alternates_is_pinned_until_somebody_says_so_and_then_followed_at_once() {
    let origin = scored();
    let change = |bytes| Change::to(text(&origin)).features(bytes).by("file");
    let stand = Stand::start(Setup::of(text(&origin)).features(features(0)));
    stand.change(change(too_many_features(1))).is("refused");
    stand.change(change(features(2))).is("adopted");
    stand.change(change(too_many_features(3)));
    assert_eq!(stand.status()["pinned"], json!(["bot-features"]));
    let found = stand.in_time("artifact_pinned", 1);
    let said = found[0]["text"].as_str().unwrap();
    assert!(said.contains("bot-features alternates") && said.contains("about every"), "{said}");
    stand.change(change(features(4))).is("unchanged");
    stand.change(change(features(5))).is("unchanged");
    let pinned = stand.current();
    assert_eq!(stand.order("/snapshot/unpin", &json!({ "artifact": "bot-features" })), Ok(0));
    eventually("it is followed", || stand.status()["current"]["number"] != pinned);
    let (_, units) = stand.store().load(stand.current()).unwrap();
    let unit = units.get(seawall_snapshot::UnitKind::Data, seawall_edge::BOT_FEATURES).unwrap();
    assert_eq!(unit.bytes, features(5), "the last one, which nobody hands in a second time");
    assert_eq!(stand.status()["pinned"], json!([]));
    scores(&stand);

    let without = Setup::of(text(&origin)).features(features(0)).sabotage(json!({ "without": ["pin"] }));
    let stand = Stand::start(without);
    for n in [1, 3, 5] {
        stand.change(change(too_many_features(n))).is("refused");
        stand.change(change(features(n + 1))).is("adopted");
    }
    assert_eq!(stand.told("artifact_pinned").len(), 0);
}

#[test]
fn a_file_that_a_gate_sent_back_is_not_tried_again() {
    let origin = scored();
    let without = json!(["validation", "build-validation", "load-validation", "rehearsal", "removal-cap"]);
    let setup = Setup::of(text(&origin)).features(features(1)).sabotage(json!({ "without": without }));
    let stand = Stand::start(setup);
    let change = |n: u32| Change::to(text(&origin)).features(too_many_features(n));
    stand.change(change(2)).is("failed");
    let ended = stand.change(change(2));
    assert!(ended.is("refused").said().contains("taken back before"), "{}", ended.said());
    // Another one is another try, and three in a row are no alternation.
    stand.change(change(3)).is("failed");
    stand.change(change(4)).is("failed");
    assert_eq!(stand.status()["pinned"], json!([]));
    stand.change(Change::to(text(&origin)).features(features(5))).is("adopted");
    stand.change(change(6)).is("failed");
    assert_eq!(stand.status()["pinned"], json!(["bot-features"]), "good, bad, good, bad");
}
