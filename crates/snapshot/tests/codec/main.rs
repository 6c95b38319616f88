//! Documents to units and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod documents;
mod mutated;

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use seawall_model::*;
use seawall_snapshot::*;

/// The site of `full.toml`, in which every key has a value.
fn full() -> Site {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("a.key", "-----BEGIN PRIVATE KEY-----\n"),
        ("bad.txt", "198.51.100.7\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    parse(include_str!("../full.toml"), folder.path(), &[]).site.unwrap()
}

proptest! {
    /// What is written is read, is the same, and is written the same again.
    #[test]
    fn any_site_is_read_as_it_is_written(site in documents::site()) {
        for zone in &site.zones {
            let bytes = encode_zone(zone);
            let read = decode_zone(&bytes).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
            prop_assert_eq!(&read, zone);
            prop_assert_eq!(encode_zone(&read), bytes);
            prop_assert_eq!(check_lists(zone, |name| site.lists.iter().any(|list| list.name == name)), Ok(()));
        }
        for list in &site.lists {
            let bytes = encode_list(list);
            prop_assert_eq!(&decode_list(&bytes).unwrap(), list);
        }
        let bytes = encode_edge(&site.edge);
        let read = decode_edge(&bytes).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert_eq!(encode_edge(&read), bytes);
        prop_assert_eq!(Edge { modules: site.edge.modules.clone(), ..read }, site.edge);
    }

    /// The units of a site hold all of it but the folder it lives in.
    #[test]
    fn units_hold_the_whole_site(site in documents::site(), data in any::<Vec<u8>>()) {
        let files = DataFiles::from([(BOT_FEATURES.to_owned(), Bytes::from(data.clone()))]);
        let units = units_of(&site, &files);
        let mut edge = edge_of(units.get(UnitKind::Edge, EDGE).unwrap()).unwrap();
        edge.modules = modules_of(&units).unwrap();
        prop_assert_eq!(&edge, &site.edge);
        for zone in &site.zones {
            prop_assert_eq!(&zone_of(units.get(UnitKind::Zone, &zone.name).unwrap()).unwrap(), zone);
        }
        for list in &site.lists {
            prop_assert_eq!(&list_of(units.get(UnitKind::List, &list.name).unwrap()).unwrap(), list);
        }
        prop_assert_eq!(units.count(UnitKind::Module), site.edge.modules.0.len());
        prop_assert_eq!(&units.get(UnitKind::Data, BOT_FEATURES).unwrap().bytes[..], &data[..]);
        prop_assert_eq!(units.len(), 2 + site.zones.len() + site.lists.len() + site.edge.modules.0.len());
        prop_assert_eq!(units_of(&site, &files).hash(), units.hash());
    }

    #[test]
    fn any_bytes_are_answered(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}:,\"a-z0-9 ]{0,80}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            prop_assert!(decode_zone(bytes).is_err());
            prop_assert!(decode_edge(bytes).is_err());
            prop_assert!(decode_list(bytes).is_err());
            let _ = decode_module(bytes);
        }
    }
}

#[test]
fn what_the_file_says_is_what_the_units_say() {
    let site = full();
    let units = units_of(&site, &DataFiles::new());
    for zone in &site.zones {
        assert_eq!(&zone_of(units.get(UnitKind::Zone, &zone.name).unwrap()).unwrap(), zone);
    }
    assert_eq!(modules_of(&units).unwrap(), site.edge.modules);
}

/// A stored zone of few words is as short as it was: a field added later must leave the bytes, and so the hash, of what
/// does not use it alone. Change this text only together with a change of form that is meant.
#[test]
fn a_plain_zone_has_the_bytes_it_always_had() {
    let site = parse(
        "[[zone]]\nname = \"example.com\"\n[[zone.pool]]\nname = \"app\"\norigins = [{ url = \"http://127.0.0.1:3000\" }]\n",
        Path::new(""),
        &[],
    );
    let bytes = encode_zone(&site.site.unwrap().zones[0]);
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        r#"{"name":"example.com","hosts":["example.com","*.example.com"],"pools":[{"name":"app","origins":[{"url":"http://127.0.0.1:3000","name":"127.0.0.1:3000","tls":"off"}]}],"routes":[{"pool":"app"}]}"#
    );
    assert_eq!(encode_module(&ModuleSetting { off: true, mode: None }), r#"{"off":true}"#);
}

const ORIGINS: &str = r#""origins":[{"url":"http://a","name":"a","tls":"off"}]"#;

fn refused(text: &str) -> String {
    decode_zone(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn a_refusal_names_unit_field_limit_and_value() {
    let zone = |pool: &str, more: &str| {
        format!(
            r#"{{"name":"a.test","hosts":["a.test"],"pools":[{{"name":"p",{pool}}}],"routes":[{{"pool":"p"}}]{more}}}"#
        )
    };
    let cases = [
        (
            zone(&format!("{ORIGINS},\"retries\":11"), ""),
            "zone \"a.test\", pools[0].retries: 11 lies outside 0 to 10",
        ),
        (
            zone(&format!("{ORIGINS},\"timeouts\":{{\"connect\":\"1h\"}}"), ""),
            "zone \"a.test\", pools[0].timeouts.connect: 1h lies outside 10ms to 10m",
        ),
        (
            zone(r#""origins":[]"#, ""),
            "zone \"a.test\", pools[0].origins: the pool has no origin; add one with a url",
        ),
        (
            zone(&format!("{ORIGINS},\"retries\":null"), ""),
            "zone \"a.test\", pools[0].retries: null stands for nothing here: leave the field out",
        ),
        (
            zone(&format!("{ORIGINS},\"retries\":\"1\""), ""),
            "zone \"a.test\", pools[0].retries: invalid type: string \"1\", expected u32",
        ),
        (
            zone(&format!("{ORIGINS},\"retry\":1"), ""),
            "zone \"a.test\", pools[0].retry: unknown field `retry`, expected one of `name`, `policy`, `affinity`, `fallback`, `retries`, `retry_budget_percent`, `origins`, `timeouts`, `monitor`, `ejection`, `concurrency`",
        ),
        (
            zone(ORIGINS, r#","rules":[{"name":"r","when":{},"action":"block"}]"#),
            "zone \"a.test\", rules[0].when: the rule asks for nothing, and that never means everything; name at least one of path, query, user_agent, header, methods, sources, list, score_below",
        ),
        (
            zone(ORIGINS, r#","rules":[{"name":"r","when":{"path":"("},"action":"block"}]"#),
            "zone \"a.test\", rules[0].when.path: `(`: the pattern cannot be read at byte 0: unclosed group",
        ),
        (
            zone(ORIGINS, r#","rules":[{"name":"r","when":{"score_below":100},"action":"block"}]"#),
            "zone \"a.test\", rules[0].when.score_below: 100 lies outside 2 to 99",
        ),
        (
            zone(ORIGINS, r#","cache":"false""#),
            "zone \"a.test\", cache: invalid type: string \"false\", expected a boolean",
        ),
        (zone(ORIGINS, r#","cache":false,"cache":false"#), "zone \"a.test\": duplicate field `cache`"),
        (
            zone(r#""origins":[{"url":"http://u:hunter2@a","name":"a","tls":"off"}]"#, ""),
            "zone \"a.test\", pools[0].origins[0].url: the address holds a user name or password, which Seawall does not send",
        ),
        (
            zone(&format!("{ORIGINS},\"retries\":\"http://u:hunter2@a\""), ""),
            "zone \"a.test\", pools[0].retries: invalid type: string \"http://…",
        ),
        (
            zone(r#""origins":[{"url":"http://a","name":"a","tls":"full"}]"#, ""),
            "zone \"a.test\", pools[0].origins[0].tls: `tls` is set for an http:// origin, which is spoken to in cleartext; write https://, or tls off",
        ),
        (
            zone(&format!("{ORIGINS},\"fallback\":[\"p\"]"), ""),
            "zone \"a.test\", pools[0].fallback: the fallbacks go in a circle among p; let the last pool fall back on none of the others",
        ),
        (
            zone(&format!("{ORIGINS},\"fallback\":[\"q\"]"), ""),
            "zone \"a.test\", pools[0].fallback[0]: no pool of this zone is named `q`",
        ),
        (
            "{\"name\":\"a.test\"".to_owned(),
            "zone \"\": this is not JSON: EOF while parsing an object, at byte 16",
        ),
        (String::new(), "zone \"\": this is not JSON: EOF while parsing a value, at byte 0"),
        ("[]".to_owned(), "zone \"\": invalid type: sequence, expected struct Zone"),
        ("null".to_owned(), "zone \"\": invalid type: null, expected struct Zone"),
        (
            r#"{"name":"A.test","hosts":["a"],"pools":[],"routes":[]}"#.to_owned(),
            "zone \"A.test\", name: `A.test` is not in lower case; write \"a.test\"",
        ),
        (
            r#"{"name":"a.test","hosts":["a","a"],"pools":[],"routes":[]}"#.to_owned(),
            "zone \"a.test\", hosts[1]: the host `a` stands here twice; remove one",
        ),
        (
            r#"{"name":"a.test","hosts":[],"pools":[],"routes":[]}"#.to_owned(),
            "zone \"a.test\", hosts: the zone has no host; name the hosts it answers for",
        ),
    ];
    for (text, want) in cases {
        assert_eq!(refused(&text), want, "{text}");
    }
    let fault = decode_zone(zone(&format!("{ORIGINS},\"retries\":11"), "").as_bytes()).unwrap_err();
    assert_eq!((&*fault.field, fault.limit, fault.value), ("pools[0].retries", Some(10), Some(11)));
}

#[test]
fn a_zone_larger_than_its_unit_may_be_is_told_when_the_file_is_read() {
    let long = "x".repeat(8_000);
    let mut text =
        "[[zone]]\nname = \"a.test\"\npool = [{ name = \"app\", origins = [{ url = \"http://a\" }] }]\n"
            .to_owned();
    let route = |index: usize| {
        format!("[[zone.route]]\npath = \"/{index}\"\nrequest_headers = {{ set = {{ X-A = \"{long}\" }} }}\n")
    };
    (0..450).for_each(|index| text.push_str(&route(index)));
    let near = parse(&text, Path::new(""), &[]);
    assert!(
        !near.has_errors()
            && near
                .problems
                .iter()
                .any(|problem| problem.message.contains("as a unit, near the limit of 4194304"))
    );
    (450..600).for_each(|index| text.push_str(&route(index)));
    let beyond = parse(&text, Path::new(""), &[]);
    assert!(beyond.site.unwrap().zones.is_empty());
    assert!(
        beyond
            .problems
            .iter()
            .any(|problem| problem.message.contains("as a unit, more than the limit of 4194304"))
    );
}

#[test]
fn a_struct_written_as_a_list_is_refused() {
    for text in [
        r#"["a.test",["a"],[["p","round_robin"]],[["p"]]]"#.to_owned(),
        format!(
            r#"{{"name":"a","hosts":["a"],"pools":[{{"name":"p",{ORIGINS},"timeouts":[]}}],"routes":[{{"pool":"p"}}]}}"#
        ),
        format!(
            r#"{{"name":"a","hosts":["a"],"pools":[{{"name":"p",{ORIGINS},"monitor":[]}}],"routes":[{{"pool":"p"}}]}}"#
        ),
        format!(
            r#"{{"name":"a","hosts":["a"],"pools":[{{"name":"p",{ORIGINS}}}],"routes":[{{"pool":"p"}}],"bot":[true]}}"#
        ),
    ] {
        assert!(refused(&text).contains("sequence"), "{text}: {}", refused(&text));
    }
    assert!(decode_module(b"[]").is_err() && decode_module(b"[true]").is_err());
}

#[test]
fn a_unit_bears_the_name_and_kind_of_its_document() {
    let zone = Zone::single("http://127.0.0.1:1").unwrap();
    let bytes = encode_zone(&zone);
    assert!(zone_of(&Unit::new(UnitKind::Zone, "default", bytes.clone())).is_ok());
    for (unit, want) in [
        (
            Unit::new(UnitKind::Zone, "other", bytes.clone()),
            "zone \"other\": the document is named `default`, and the unit `other`",
        ),
        (Unit::new(UnitKind::List, "default", bytes.clone()), "list \"default\": this is no zone"),
        (
            Unit::new(UnitKind::Zone, "x", "{".into()),
            "zone \"x\": this is not JSON: EOF while parsing an object, at byte 1",
        ),
    ] {
        assert_eq!(zone_of(&unit).unwrap_err().to_string(), want);
    }
    let module = |name: &str, text: &'static str| module_of(&Unit::new(UnitKind::Module, name, text.into()));
    assert_eq!(module("bot", "{}").unwrap(), (Module::Bot, ModuleSetting::default()));
    assert!(module("waf", "{}").unwrap_err().to_string().contains("no module is named `waf`"));
    assert_eq!(
        module("bot", r#"{"on":true}"#).unwrap_err().to_string(),
        "module \"bot\", on: unknown field `on`, expected `off` or `mode`"
    );
}

#[test]
fn what_names_a_list_that_is_not_there_is_named_with_it() {
    let mut zone = Zone::single("http://127.0.0.1:1").unwrap();
    zone.bans = vec!["bad".to_owned()];
    assert_eq!(
        check_lists(&zone, |_| false).unwrap_err().to_string(),
        "zone \"default\", bans[0]: there is no list `bad`; add it, or name another"
    );
    let when = When { list: Some("office".to_owned()), ..When::default() };
    zone.rules = vec![Rule { name: "in".to_owned(), enabled: true, when, action: Action::Block }];
    assert_eq!(
        check_lists(&zone, |name| name == "bad").unwrap_err().to_string(),
        "zone \"default\", rules[0].when.list: rule `in` names the list `office`, and there is none; add it, or name another"
    );
    assert!(check_lists(&zone, |_| true).is_ok());
    let edge = Edge { bans: vec!["bad".to_owned()], ..Edge::default() };
    assert!(
        check_edge_lists(&edge, |_| false).unwrap_err().to_string().starts_with("edge \"edge\", bans[0]")
    );
}

#[test]
fn a_unit_beyond_the_bytes_of_its_kind_is_refused_unread() {
    let limit = UnitKind::Zone.rules().bytes;
    let text = format!("{{\"name\":\"{}\"}}", "a".repeat(usize::try_from(limit).unwrap()));
    let fault = decode_zone(text.as_bytes()).unwrap_err();
    assert_eq!((fault.limit, fault.value), (Some(limit), Some(text.len() as u64)));
}

#[test]
fn deep_and_long_texts_are_answered() {
    for text in [
        "[".repeat(1 << 20),
        "{\"a\":".repeat(1 << 18),
        "9".repeat(1 << 20),
        format!("\"{}\"", "\\u0000".repeat(1 << 16)),
    ] {
        assert!(decode_zone(text.as_bytes()).is_err());
        assert!(decode_edge(text.as_bytes()).is_err());
    }
    let fault =
        decode_zone(format!("{{\"{}\":1}}", "k\u{1b}[31m".repeat(1_000)).as_bytes()).unwrap_err().to_string();
    assert!(fault.len() < 1_000 && !fault.contains('\u{1b}'), "{fault}");
}

/// Not run by itself, and only of use with optimisation.
#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_zones_are_decoded() {
    let units: Vec<Bytes> = (0..100_000)
        .map(|i| {
            let origin = Origin::new(
                OriginUrl::parse(&format!("http://10.0.{}.{}:3000", i / 250 % 250, i % 250)).unwrap(),
            );
            let hosts = [format!("site{i}.example"), format!("*.site{i}.example")];
            let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
            let mut zone = Zone::new(format!("site{i}.example"), hosts, vec![Pool::new("app", vec![origin])]);
            let when = When { path: Some("^/wp-(admin|login)".to_owned()), ..When::default() };
            zone.rules.push(Rule { name: "wp".to_owned(), enabled: true, when, action: Action::Block });
            let mut fixed = Route::to("app");
            fixed.path = PathPattern::parse("/static/*").unwrap();
            fixed.edge_ttl = Some(std::time::Duration::from_secs(3600));
            zone.routes.insert(0, fixed);
            encode_zone(&zone)
        })
        .collect();
    let bytes: usize = units.iter().map(Bytes::len).sum();
    let started = std::time::Instant::now();
    let decoded = units.iter().filter(|bytes| decode_zone(bytes).is_ok()).count();
    println!("100,000 zones, {} KiB: {:?}", bytes / 1024, started.elapsed());
    assert_eq!(decoded, 100_000);
}
