//! Kill switches: for one zone and for all, through whatever configuration comes after, and over restarts.

use crate::common::{Origin, eventually};
use crate::stand::*;
use serde_json::{Value, json};

fn text(origin: &Origin, n: usize, modules: &str) -> String {
    let probe = "[[zone.rule]]\nname = \"probe\"\naction = \"block\"\npath = \"^/probe$\"\n";
    let tables = format!("{}{probe}", route(n));
    edge(FAST) + modules + &zone("a.test", origin, "", &tables) + &zone("b.test", origin, "", &tables)
}

fn switch(name: &str, zone: Option<&str>, on: bool) -> Value {
    json!({ "name": name, "zone": zone, "state": if on { "on" } else { "off" } })
}

/// What the two zones answer to what their rule blocks.
fn probes(stand: &Stand) -> [u16; 2] {
    stand.checked();
    ["a.test", "b.test"].map(|host| stand.visit(host, "/probe", 1).status)
}

#[test]
fn a_module_is_switched_off_and_on_for_one_zone_and_for_all() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, 1, "")));
    assert_eq!(probes(&stand), [403, 403]);
    for (zone, on, expected, off_by, off_for) in [
        (Some("a.test"), false, [200, 403], json!(null), json!(["a.test"])),
        (None, false, [200, 200], json!("operator"), json!(["a.test"])),
        (None, true, [200, 403], json!(null), json!(["a.test"])),
        (Some("a.test"), true, [403, 403], json!(null), json!([])),
    ] {
        let ended = stand.carry_out("/module", &switch("firewall", zone, on));
        assert_eq!(probes(&stand), expected, "{zone:?} {on}");
        let row = stand.module("firewall");
        assert_eq!((&row["off_by"], &row["off_for"]), (&off_by, &off_for), "{zone:?} {on}");
        let what = if on { "turns the firewall on for " } else { "turns the firewall off for " };
        let whom = zone.unwrap_or("every zone");
        assert_eq!(ended.is("adopted").0["effects"], json!([format!("{what}{whom}")]));
    }
    stand.carry_out("/module", &switch("firewall", None, true)).is("unchanged");
    stand.in_time("module_off", 2);
    stand.in_time("module_on", 2);
    // Each by every stage.
    stand.in_time("stage", 8);
}

#[test]
fn every_module_that_is_switched_off_is_as_if_it_were_not_there() {
    let origin = scored();
    let list = "[[list]]\nname = \"neighbours\"\naddresses = [\"198.18.0.0/15\"]\n";
    let with = |name: &str, keys: &str, tables: &str| zone(name, &origin, keys, tables);
    let text = edge(FAST)
        + list
        + &with("redirect.test", "always_https = true", "")
        + &with("bans.test", "bans = \"neighbours\"", "")
        + &with("bot.test", "", "[zone.bot]\nscore = true\nheader = true\n")
        + &with("firewall.test", "", "[[zone.rule]]\nname = \"all\"\naction = \"block\"\npath = \".\"\n")
        + &with("response-headers.test", "", &route(1))
        + &with(
            "request-headers.test",
            "",
            "[[zone.route]]\nrequest_headers = { set = { X-Forwarded-Host = \"set\" } }\n",
        )
        + &with("plain.test", "", "");
    let stand = Stand::start(Setup::of(text));
    for module in ["redirect", "bans", "bot", "firewall", "request_headers", "response_headers"] {
        let host = format!("{}.test", module.replace('_', "-"));
        let seen = |host: &str| {
            let answer = stand.visit(host, "/", 1);
            let asked = origin.seen().pop().and_then(|r| r.field("x-forwarded-host").map(str::to_owned));
            let asked = if answer.status == 200 { asked } else { None };
            (answer.status, version_of(&answer), answer.text(), asked)
        };
        let plain = seen("plain.test");
        assert_ne!(seen(&host), plain, "{module} does something");
        stand.carry_out("/module", &switch(module, Some(&host), false)).is("adopted");
        assert_eq!(seen(&host), plain, "{module} off for its zone");
        stand.carry_out("/module", &switch(module, Some(&host), true)).is("adopted");
        assert_ne!(seen(&host), plain, "{module} on again");
        stand.carry_out("/module", &switch(module, None, false)).is("adopted");
        assert_eq!(seen(&host), plain, "{module} off for all");
    }
}

#[test]
fn a_switch_holds_through_every_configuration_and_every_return_to_an_older_one() {
    let origin = Origin::echoing();
    let stand = Stand::start(Setup::of(text(&origin, 1, "")));
    stand.carry_out("/module", &switch("firewall", None, false)).is("adopted");
    stand.change(Change::to(text(&origin, 2, ""))).is("adopted");
    assert_eq!(probes(&stand), [200, 200]);
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(2));
    // Snapshot 1 was made before the switch; what is off by hand stays off.
    stand.carry_out("/snapshot/rollback", &json!({ "to": 1 })).is("adopted");
    assert_eq!(probes(&stand), [200, 200]);
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(1));
    // And the other way round: snapshot 2 was made under the switch, which is undone meanwhile.
    stand.carry_out("/module", &switch("firewall", None, true)).is("adopted");
    stand.carry_out("/snapshot/rollback", &json!({ "to": 3 })).is("adopted");
    assert_eq!(probes(&stand), [403, 403]);
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(2));
}

#[test]
fn what_the_configuration_turns_off_is_turned_on_there() {
    let origin = Origin::echoing();
    let off = "[edge.modules]\nfirewall = \"off\"\n";
    let stand = Stand::start(Setup::of(text(&origin, 1, off)));
    assert_eq!(stand.module("firewall")["off_by"], "configuration");
    let ended = stand.carry_out("/module", &switch("firewall", None, true));
    assert!(ended.is("refused").said().contains("[edge.modules]"), "{}", ended.said());
    // Switched off by hand as well, it stays off when the configuration changes its mind.
    stand.carry_out("/module", &switch("firewall", None, false)).is("adopted");
    stand.change(Change::to(text(&origin, 1, ""))).is("adopted");
    assert_eq!(probes(&stand), [200, 200]);
    assert_eq!(stand.module("firewall")["off_by"], "operator");
    let ended = stand.carry_out("/module", &switch("firewall", Some("a.test"), true));
    assert!(ended.is("refused").said().contains("for every zone"), "{}", ended.said());
    stand.carry_out("/module", &switch("firewall", None, true)).is("adopted");
    assert_eq!(probes(&stand), [403, 403]);
}

#[test]
fn switches_outlive_a_restart_whichever_snapshot_it_begins_with() {
    let origin = Origin::echoing();
    let first = Stand::start(Setup::of(text(&origin, 1, "")));
    first.store().update(|history| history.soak(u64::MAX / 2, 0)).unwrap();
    first.carry_out("/module", &switch("firewall", None, false)).is("adopted");
    first.carry_out("/module", &switch("response_headers", Some("a.test"), false)).is("adopted");
    first.stop();
    // A first process begins with the newest good snapshot, which was made before the switches.
    let fresh = Stand::start(Setup::of(text(&origin, 1, "")).after(&first));
    assert!(fresh.store().manifest(1).is_ok());
    eventually("the switches are thrown again", || fresh.module("firewall")["off_by"] == "operator");
    eventually("the change is over", || fresh.status()["candidate"] == json!(null));
    assert_eq!(probes(&fresh), [200, 200]);
    assert_eq!(version_of(&fresh.visit("a.test", "/", 1)), None);
    fresh.stop();
    // One in the place of another begins with what served. Nothing is lost with the file.
    for damage in [Some("{\"off\": [\"fire"), None] {
        let file = fresh.dir.path().join("overlay.json");
        match damage {
            Some(damage) => std::fs::write(&file, damage).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let again = Stand::start(Setup { again: true, ..Setup::of(text(&origin, 1, "")).after(&fresh) });
        assert_eq!(probes(&again), [200, 200], "{damage:?}");
        assert_eq!(again.module("response_headers")["off_for"], json!(["a.test"]));
        // The configuration as it always was is no reason to switch anything on.
        again.change(Change::to(text(&origin, 1, "")).by("file")).is("unchanged");
        again.carry_out("/module", &switch("firewall", None, true)).is("adopted");
        assert_eq!(probes(&again), [403, 403], "{damage:?}");
        again.carry_out("/module", &switch("firewall", None, false)).is("adopted");
        again.stop();
    }
}
