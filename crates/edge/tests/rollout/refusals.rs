//! What is not taken: each refusal names the unit, the field, the limit and the value, and what runs stays.

use crate::common::{Origin, site};
use crate::stand::*;
use seawall_model::{Rule, When};
use serde_json::json;

/// What serves, by what is told, by what is on the disk and by what a visitor sees.
fn serves(stand: &Stand, host: &str, version: usize) {
    stand.checked();
    let answer = stand.visit(host, "/", 1);
    assert_eq!((answer.status, version_of(&answer)), (200, Some(version)), "{host}");
}

#[test]
fn a_zone_with_an_error_keeps_its_version_and_the_others_advance() {
    let origin = Origin::echoing();
    let text = |n: usize, keys: &str, tables: &str| {
        edge(FAST)
            + &zone("a.test", &origin, keys, &format!("{}{tables}", route(n)))
            + &version("b.test", &origin, n)
    };
    let rule = |lines: &str| format!("[[zone.rule]]\nname = \"odd\"\naction = \"block\"\n{lines}\n");
    let stand = Stand::start(Setup::of(text(1, "", "")));
    let cases = [
        ("bans = \"nowhere\"", String::new(), vec!["zone[0].bans", "`nowhere`"]),
        ("", rule("list = \"nowhere\""), vec!["rule `odd`", "`nowhere`"]),
        ("", rule("path = \"(((\""), vec!["zone[0].rule[0].path", "((("]),
        (
            "",
            rule("path = '''(?:(?:[a-z]{1,60}){1,60}){1,60}'''"),
            vec!["zone[0].rule[0].path", "32768 bytes"],
        ),
        (
            "",
            rule(&format!("path = \"{}\"", "a".repeat(2_000))),
            vec!["zone[0].rule[0].path", "1024", "2000"],
        ),
        ("", rule(""), vec!["zone[0].rule[0]", "never means everything"]),
        ("", rule("score_below = 200\npath = \"x\""), vec!["score_below", "200"]),
        ("", "[zone.modules]\nfirewall = \"perhaps\"".to_owned(), vec!["firewall", "perhaps"]),
    ];
    for (n, (keys, tables, names)) in cases.into_iter().enumerate() {
        let n = n + 2;
        let ended = stand.change(Change::to(text(n, keys, &tables)));
        let kept = ended.is("adopted").0["reasons"].to_string();
        for name in ["zone a.test keeps its last version"].iter().chain(&names) {
            assert!(kept.contains(name), "{name} in {kept}");
        }
        serves(&stand, "a.test", 1);
        serves(&stand, "b.test", n);
        assert_eq!(stand.metric("seawall_units_kept"), 1.0);
    }
    stand.in_time("unit_kept", 8);
    // Alone, an error is a refusal.
    let last = text(9, "bans = \"nowhere\"", "");
    let ended = stand.change(Change::to(last));
    assert!(ended.is("refused").said().contains("zone a.test keeps its last version"), "{}", ended.said());
    stand.change(Change::to(text(20, "", ""))).is("adopted");
    serves(&stand, "a.test", 20);
    assert_eq!(stand.metric("seawall_units_kept"), 0.0);
}

#[test]
fn what_got_past_the_reader_is_checked_again_before_it_is_compiled() {
    let origin = Origin::echoing();
    let text = |n| edge(FAST) + &version("a.test", &origin, n) + &version("b.test", &origin, n);
    let stand = Stand::start(Setup::of(text(1)));
    let path = Some("(?:(?:[a-z]{1,60}){1,60}){1,60}".to_owned());
    let rule = Rule {
        name: "giant".to_owned(),
        enabled: true,
        when: When { path, ..When::default() },
        action: seawall_model::Action::Block,
    };
    let (mut site, problems) = site(stand.dir.path(), &text(2));
    site.edge.log.access = seawall_model::AccessFormat::Off;
    site.zones[0].rules.push(rule);
    let order = stand.propose_site(site, problems, Change::to(text(2)));
    let kept = stand.ended(order).is("adopted").0["reasons"].to_string();
    for name in ["zone a.test", "rules", "path", "32768"] {
        assert!(kept.contains(name), "{name} in {kept}");
    }
    serves(&stand, "a.test", 1);
    serves(&stand, "b.test", 2);
}

#[test]
fn orders_that_make_no_sense_are_refused_in_words() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(edge(FAST) + &version("a.test", &origin, 1)));
    for (path, body, says) in [
        ("/module", json!({ "name": "nothing", "state": "off" }), "there is no module `nothing`"),
        ("/module", json!({ "name": "bot", "state": "off", "zone": " " }), "does not mean every zone"),
        ("/module", json!({ "name": "bot", "state": "perhaps" }), "perhaps"),
        ("/module", json!({ "name": "bot", "state": "off", "zones": [] }), "zones"),
        ("/module", json!({ "name": null, "state": "off" }), "null"),
        ("/snapshot/apply", json!({ "acknowledge": ["removed_zones"] }), "WHAT=COUNT"),
        ("/snapshot/apply", json!({ "base": -1 }), "-1"),
        ("/snapshot/rollback", json!({ "to": "the good one" }), "the good one"),
        ("/snapshot/unpin", json!({ "artifact": "bot-features" }), "is not pinned"),
        ("/snapshot/unpin", json!({}), "artifact"),
    ] {
        let (status, said) = stand.order(path, &body).unwrap_err();
        assert!(matches!(status, 400 | 404) && said.contains(says), "{path} {body}: {status} {said}");
    }
    for (path, body, says) in [
        ("/module", json!({ "name": "bot", "state": "off", "zone": "z.test" }), "there is no zone `z.test`"),
        ("/snapshot/rollback", json!({}), "no earlier good snapshot"),
        ("/snapshot/rollback", json!({ "to": 77 }), "77"),
    ] {
        let ended = stand.carry_out(path, &body);
        assert!(ended.is("refused").said().contains(says), "{path} {body}: {}", ended.said());
    }
    assert_eq!(stand.current(), 1);
}

#[test]
fn a_change_made_from_an_older_snapshot_is_refused() {
    let origin = Origin::echoing();
    let text = |n| edge(FAST) + &version("a.test", &origin, n);
    let from = |n, base| Change { base: Some(base), ..Change::to(text(n)) };
    let stand = Stand::start(Setup::of(text(1)));
    stand.change(from(2, 1)).is("adopted");
    let ended = stand.change(from(3, 1));
    assert!(
        ended.is("refused").said().contains("made from snapshot 1, but 2 serves now"),
        "{}",
        ended.said()
    );
    serves(&stand, "a.test", 2);
    stand.change(from(3, 2)).is("adopted");
    let stand = Stand::start(Setup::of(text(1)).sabotage(json!({ "without": ["stale-writer"] })));
    stand.change(from(2, 1)).is("adopted");
    stand.change(from(3, 1)).is("adopted");
}

#[test]
fn removals_need_the_number_and_nothing_is_never_everything() {
    let origin = Origin::echoing();
    let names: Vec<String> = (0..12).map(|n| format!("z{n}.test")).collect();
    let text =
        |names: &[String]| names.iter().fold(edge(FAST), |text, name| text + &version(name, &origin, 1));
    let stand = Stand::start(Setup::of(text(&names)));
    let ended = stand.change(Change::to(text(&names[..4])));
    assert_eq!(ended.is("refused").needs("removed_zones"), Some(8), "{}", ended.said());
    stand.change(Change::to(text(&names[..4])).ack("removed_zones=7")).is("refused");
    assert_eq!(stand.visit("z11.test", "/", 1).status, 200);
    let (mut empty, _) = site(stand.dir.path(), &text(&names));
    empty.zones.clear();
    let change = Change::to(text(&names)).ack("removed_zones=12").ack("removed_hosts=12");
    let order = stand.propose_site(empty, Vec::new(), change);
    assert!(stand.ended(order).is("refused").said().contains("not an order to remove everything"));
    stand.change(Change::to(text(&names[..4])).ack("removed_zones=8")).is("adopted");
    assert_eq!(stand.visit("z11.test", "/", 1).status, 421);
    assert!(stand.checked()["number"] == 2);
    let stand = Stand::start(Setup::of(text(&names)).sabotage(json!({ "without": ["removal-cap"] })));
    stand.change(Change::to(text(&names[..4]))).is("adopted");
}

#[test]
fn what_cannot_be_kept_is_not_served() {
    let origin = Origin::echoing();
    let text = |n| edge(FAST) + &version("a.test", &origin, n);
    let stand = Stand::start(Setup::of(text(1)));
    // As a disk that takes nothing any more; whoever runs this may be root, whom permissions do not stop.
    let packs = stand.dir.path().join("snapshots/packs");
    let aside = stand.dir.path().join("aside");
    std::fs::rename(&packs, &aside).unwrap();
    std::fs::write(&packs, b"in the way").unwrap();
    let ended = stand.change(Change::to(text(2)));
    assert!(ended.is("refused").said().contains("cannot be kept"), "{}", ended.said());
    let off = json!({ "name": "response_headers", "state": "off" });
    stand.carry_out("/module", &off).is("refused");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(1));
    std::fs::remove_file(&packs).unwrap();
    std::fs::rename(&aside, &packs).unwrap();
    serves(&stand, "a.test", 1);
    stand.change(Change::to(text(2))).is("adopted");
    serves(&stand, "a.test", 2);
}

#[test]
fn a_switch_that_cannot_be_kept_over_a_restart_is_not_thrown() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(edge(FAST) + &version("a.test", &origin, 1)));
    std::fs::create_dir(stand.dir.path().join("overlay.json.new")).unwrap();
    let off = json!({ "name": "response_headers", "state": "off" });
    let ended = stand.carry_out("/module", &off);
    assert!(ended.is("failed").said().contains("kept over a restart"), "{}", ended.said());
    serves(&stand, "a.test", 1);
    std::fs::remove_dir(stand.dir.path().join("overlay.json.new")).unwrap();
    stand.carry_out("/module", &off).is("adopted");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), None);
}

#[test]
fn what_was_taken_back_is_tried_again_by_order_and_not_because_its_file_is_still_there() {
    let origin = Origin::echoing();
    let poison = "[[zone.rule]]\nname = \"poison\"\naction = \"log\"\npath = \"^/never$\"\n";
    let text = |rule: &str| edge(FAST) + &zone("a.test", &origin, "", &format!("{}{rule}", route(1)));
    let sabotage = json!({
        "without": ["rehearsal"],
        "faults": [{ "module": "firewall", "rule": "poison", "what": "error" }],
    });
    let stand = Stand::start(Setup::of(text("")).sabotage(sabotage));
    stand.change(Change::to(text(poison)).by("file")).is("failed");
    let ended = stand.change(Change::to(text(poison)).by("file"));
    assert!(ended.is("refused").said().contains("turned down before, as snapshot 2"), "{}", ended.said());
    stand.change(Change::to(text(poison))).is("failed");
    serves(&stand, "a.test", 1);
}
