//! What is said of changes, and what must be acknowledged.

use seawall_model::{Action, Bot, FailMode, HostPattern, Module, Origin, OriginUrl, Pool, Rule, When};

use super::*;
use crate::codec::{EDGE, encode_edge, encode_list, encode_module, encode_zone};

fn zone(name: &str) -> Zone {
    let origin = Origin::new(OriginUrl::parse("http://10.0.0.1:3000").unwrap());
    Zone::new(name, vec![HostPattern::parse(name).unwrap()], vec![Pool::new("app", vec![origin])])
}

fn rule(name: &str) -> Rule {
    let when = When { path: Some("^/admin".to_owned()), ..When::default() };
    Rule { name: name.to_owned(), enabled: true, when, action: Action::Block }
}

fn list(name: &str, rows: std::ops::Range<u32>) -> List {
    let row = |i: u32| format!("10.{}.{}.0/24", i / 256, i % 256).parse().unwrap();
    List { name: name.to_owned(), addresses: rows.map(row).collect() }
}

fn features(count: usize, repeat: usize) -> String {
    let rows: Vec<String> = (0..count)
        .chain((0..repeat).map(|i| i % count.max(1)))
        .map(|i| format!("{{\"name\":\"f{i}\",\"kind\":\"x\",\"parameter\":\"\"}}"))
        .collect();
    format!("{{\"version\":1,\"features\":[{}],\"base\":0,\"trees\":[[{{\"leaf\":1}}]]}}", rows.join(","))
}

struct Set(Units);

impl Set {
    fn new(zones: usize) -> Self {
        let mut set = Set(Units::new());
        set.0.insert(UnitKind::Edge, EDGE, encode_edge(&Edge::default()));
        for i in 0..zones {
            set = set.zone(&zone(&format!("site{i:02}.test")));
        }
        set
    }

    fn zone(mut self, zone: &Zone) -> Self {
        self.0.insert(UnitKind::Zone, &zone.name, encode_zone(zone));
        self
    }

    fn edit(self, name: &str, edit: impl FnOnce(&mut Zone)) -> Self {
        let mut zone = serde_json::from_slice(&self.0.get(UnitKind::Zone, name).unwrap().bytes).unwrap();
        edit(&mut zone);
        self.zone(&zone)
    }

    fn list(mut self, list: &List) -> Self {
        self.0.insert(UnitKind::List, &list.name, encode_list(list));
        self
    }

    fn data(mut self, text: &str) -> Self {
        self.0.insert(UnitKind::Data, "bot-features", text.to_owned().into());
        self
    }

    fn module(mut self, name: &str, setting: ModuleSetting) -> Self {
        self.0.insert(UnitKind::Module, name, encode_module(&setting));
        self
    }

    fn without(mut self, kind: UnitKind, name: &str) -> Self {
        assert!(self.0.remove(kind, name));
        self
    }
}

fn effects(before: &Set, after: &Set) -> Vec<String> {
    review(&before.0, &after.0).effects.iter().map(ToString::to_string).collect()
}

fn needs(before: &Set, after: &Set) -> Vec<String> {
    let review = review(&before.0, &after.0);
    let acks: Vec<Ack> =
        review.needs.iter().map(|n| format!("{}={}", n.what, n.count).parse().unwrap()).collect();
    assert_eq!(check(&review, &acks), Ok(()), "what is asked for is enough");
    for (at, ack) in acks.iter().enumerate() {
        let off = Ack { count: ack.count + 1, ..ack.clone() };
        let others: Vec<Ack> =
            acks.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, a)| a.clone()).collect();
        for wrong in [others.clone(), [others, vec![off]].concat()] {
            assert_eq!(
                check(&review, &wrong),
                Err(vec![review.needs[at].clone()]),
                "the exact number, and all of them"
            );
        }
    }
    acks.iter().map(ToString::to_string).collect()
}

#[test]
fn effects_are_told_in_plain_words() {
    let off = ModuleSetting { off: true, mode: None };
    let closed = ModuleSetting { off: false, mode: Some(FailMode::Closed) };
    let firewall = |setting| move |zone: &mut Zone| zone.modules.set(Module::Firewall, setting);
    let base = || Set::new(5).edit("site00.test", |zone| zone.rules = vec![rule("poison"), rule("other")]);
    let cases: Vec<(Set, Set, &[&str])> = vec![
        (
            base(),
            base().without(UnitKind::Zone, "site01.test"),
            &["removes 1 zone: site01.test", "removes 1 hostname: site01.test"],
        ),
        (base(), base().zone(&zone("new.test")), &["adds 1 zone: new.test", "adds 1 hostname: new.test"]),
        (
            base().edit("site01.test", |zone| {
                zone.hosts = (0..12).map(|i| HostPattern::parse(&format!("h{i:02}.test")).unwrap()).collect()
            }),
            base(),
            &["removes 12 hostnames: h00.test, h01.test and 10 more", "adds 1 hostname: site01.test"],
        ),
        (base(), base().edit("site02.test", firewall(off)), &["turns the firewall off for site02.test"]),
        (
            base(),
            base()
                .edit("site02.test", firewall(off))
                .edit("site03.test", firewall(off))
                .edit("site04.test", firewall(off)),
            &["turns the firewall off for 3 zones: site02.test, site03.test and site04.test"],
        ),
        (base().edit("site02.test", firewall(off)), base(), &["turns the firewall on for site02.test"]),
        (
            base(),
            base().edit("site02.test", firewall(closed)),
            &["lets the firewall fail closed for site02.test"],
        ),
        (base(), base().module("bot", off), &["turns the bot check off for every zone"]),
        (base(), base().module("*/firewall", off), &["turns the firewall off for every zone"]),
        (base(), base().module("site02.test/firewall", off), &["turns the firewall off for site02.test"]),
        // Switched by hand, for every zone and for one.
        (base(), base().module("*/bot", off), &["turns the bot check off for every zone"]),
        (base(), base().module("site00.test/bot", off), &["turns the bot check off for site00.test"]),
        (base().module("bans", off), base(), &["turns bans on for every zone"]),
        (
            base(),
            base().edit("site00.test", |zone| zone.pools[0].origins[0].weight = 5),
            &["changes where requests to site00.test go"],
        ),
        (
            base(),
            base().edit("site00.test", |zone| zone.pools[0].retries = 3),
            &["changes timeouts, checks or limits of the origins of site00.test"],
        ),
        (
            base(),
            base().edit("site00.test", |zone| {
                zone.routes[0].response_headers.remove = vec!["Server".to_owned()]
            }),
            &["changes header fields of site00.test"],
        ),
        (
            base(),
            base().edit("site00.test", |zone| zone.development_mode = true),
            &["turns the cache off for site00.test"],
        ),
        (
            base(),
            base().edit("site00.test", |zone| zone.bot = Bot { score: true, header: false }),
            &["turns the bot score on for site00.test"],
        ),
        (
            base(),
            base().edit("site00.test", |zone| zone.rules = vec![rule("new"), rule("poison")]),
            &["removes 1 firewall rule: other (site00.test)", "adds 1 firewall rule: new (site00.test)"],
        ),
        (
            base(),
            base().edit("site00.test", |zone| {
                zone.rules[0].enabled = false;
                zone.rules[1].action = Action::Log;
            }),
            &[
                "disables 1 firewall rule: poison (site00.test)",
                "changes 1 firewall rule: other (site00.test)",
            ],
        ),
        (
            base(),
            base().edit("site00.test", |zone| zone.rules.reverse()),
            &["changes the order of the firewall rules of site00.test"],
        ),
        (
            base(),
            base().edit("site00.test", |zone| zone.bans = vec!["bad".to_owned()]),
            &["refuses the addresses of list bad at site00.test"],
        ),
        (
            base().list(&list("bad", 0..20)),
            base().list(&list("bad", 2..23)),
            &["removes 2 networks from list bad", "adds 3 networks to list bad"],
        ),
        (base(), base().list(&list("bad", 0..2)), &["adds 1 list: bad"]),
        (
            base().data(&features(60, 0)),
            base().data(&features(62, 0)),
            &["replaces data file bot-features: 60 rows become 62"],
        ),
        (
            base().data(&features(60, 0)),
            base().data(&features(60, 200)),
            &[
                "repeats 200 rows in data file bot-features",
                "replaces data file bot-features: 60 rows become 260",
            ],
        ),
    ];
    for (before, after, wanted) in &cases {
        assert_eq!(effects(before, after), *wanted);
    }
    let mut edge = Edge::default();
    edge.limits.header_count = 7;
    edge.bans = vec!["bad".to_owned()];
    let mut after = base();
    after.0.insert(UnitKind::Edge, EDGE, encode_edge(&edge));
    assert_eq!(
        effects(&base(), &after),
        ["refuses the addresses of list bad at every zone", "changes settings of the edge: limits"]
    );
    assert_eq!(effects(&base(), &base()), Vec::<String>::new());
}

#[test]
fn every_setting_that_differs_has_an_effect() {
    let before = Set::new(1).edit("site00.test", |zone| zone.rules = vec![rule("one"), rule("two")]);
    let text =
        String::from_utf8(before.0.get(UnitKind::Zone, "site00.test").unwrap().bytes.to_vec()).unwrap();
    // Every number, word and switch of the document, changed in turn, as long as it is still a document.
    let mut tried = 0;
    for (from, to) in [
        ("true", "false"),
        ("false", "true"),
        ("3000", "3001"),
        ("admin", "login"),
        ("site00", "other"),
        (":1", ":2"),
    ] {
        for (at, _) in text.match_indices(from) {
            let (head, tail) = text.split_at(at);
            let changed = format!("{head}{to}{}", tail.strip_prefix(from).unwrap());
            if serde_json::from_str::<Zone>(&changed).is_ok() {
                let mut after = before.0.clone();
                after.insert(UnitKind::Zone, "site00.test", changed.clone().into());
                assert!(!review(&before.0, &after).effects.is_empty(), "{changed}");
                tried += 1;
            }
        }
    }
    assert!(tried > 3, "{tried} in {text}");
}

#[test]
fn small_changes_need_nothing() {
    let base = || Set::new(10).list(&list("bad", 0..10)).data(&features(60, 0));
    let cases = [
        (Set(Units::new()), base()),
        (
            base(),
            base()
                .without(UnitKind::Zone, "site00.test")
                .without(UnitKind::Zone, "site01.test")
                .without(UnitKind::Zone, "site02.test"),
        ),
        (base(), base().zone(&zone("a.test")).zone(&zone("b.test")).zone(&zone("c.test"))),
        (base(), base().list(&list("bad", 3..13))),
        (base(), base().data(&features(70, 0))),
        (base(), base().list(&list("new", 0..5_000))),
        // Small sets change by large shares.
        (Set::new(3), Set::new(7)),
        (Set::new(7), Set::new(1)),
        (base().list(&list("small", 0..7)), base().list(&list("small", 6..9))),
        (base(), base().edit("site00.test", |zone| zone.hosts = vec![HostPattern::parse("b.test").unwrap()])),
        (Set::new(1).edit("site00.test", |zone| zone.rules = vec![rule("one")]), Set::new(1)),
    ];
    for (before, after) in &cases {
        assert_eq!(needs(before, after), Vec::<String>::new(), "{:?}", effects(before, after));
    }
}

/// 20 February 2026: a clean-up with an empty filter asked for everything, and got it.
#[test]
fn what_removes_or_adds_much_needs_its_number() {
    let base = || Set::new(10).list(&list("bad", 0..10)).data(&features(60, 0));
    let hosts = |count: usize| {
        move |zone: &mut Zone| {
            zone.hosts =
                (0..count).map(|i| HostPattern::parse(&format!("h{i}.{}", zone.name)).unwrap()).collect();
        }
    };
    let everywhere = |count: usize| {
        (0..10).fold(Set::new(10), |set, i| set.edit(&format!("site{i:02}.test"), hosts(count)))
    };
    let rules = |count: usize| {
        Set::new(1).edit("site00.test", move |zone| {
            zone.rules = (0..count).map(|i| rule(&format!("r{i}"))).collect()
        })
    };
    let cases: Vec<(Set, Set, &[&str])> = vec![
        (
            base(),
            base()
                .without(UnitKind::Zone, "site00.test")
                .without(UnitKind::Zone, "site01.test")
                .without(UnitKind::Zone, "site02.test")
                .without(UnitKind::Zone, "site03.test"),
            &["removed_zones=4"],
        ),
        (Set::new(2), Set::new(0), &["removed_zones=2"]),
        (Set::new(10), Set::new(14), &["added_zones=4"]),
        (base(), base().list(&list("bad", 0..6)), &["removed_rows=4"]),
        (base(), base().list(&list("bad", 100..110)), &["removed_rows=10", "added_rows=10"]),
        (base(), base().list(&list("bad", 0..0)), &["removed_rows=10"]),
        (base().list(&list("small", 0..2)), base().list(&list("small", 0..0)), &["removed_rows=2"]),
        (base(), base().without(UnitKind::List, "bad"), &["removed_rows=10"]),
        (base(), base().data(&features(60, 1)), &["duplicate_features=1"]),
        (base(), base().data(&features(60, 200)), &["added_features=200", "duplicate_features=200"]),
        (base(), base().data(&features(30, 0)), &["removed_features=30"]),
        (base(), base().data(&features(0, 0)), &["removed_features=60"]),
        (base(), base().without(UnitKind::Data, "bot-features"), &["removed_features=60"]),
        // In one zone, and one from each of many.
        (
            Set::new(1).edit("site00.test", hosts(10)),
            Set::new(1).edit("site00.test", hosts(6)),
            &["removed_hosts=4"],
        ),
        (everywhere(2), everywhere(1), &["removed_hosts=10"]),
        (everywhere(2), everywhere(3), &["added_hosts=10"]),
        (rules(10), rules(5), &["removed_rules=5"]),
        (rules(8), rules(0), &["removed_rules=8"]),
    ];
    for (before, after, wanted) in &cases {
        assert_eq!(needs(before, after), *wanted, "{:?}", effects(before, after));
    }
    let twice = {
        let mut twice = list("bad", 0..10);
        twice.addresses.extend(list("bad", 0..2).addresses);
        twice
    };
    assert_eq!(needs(&base(), &base().list(&twice)), ["duplicate_rows=2"]);
    assert_eq!(needs(&base().list(&twice), &base().list(&twice).zone(&zone("a.test"))), Vec::<String>::new());
    let review = review(&base().0, &Set::new(2).0);
    let texts: Vec<String> = review.needs.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "8 of 10 zones go: site02.test, site03.test and 6 more; if that is meant, acknowledge removed_zones=8",
            "10 networks go in list bad; if that is meant, acknowledge removed_rows=10",
            "60 rows go in data file bot-features; if that is meant, acknowledge removed_features=60",
        ]
    );
}

#[test]
fn an_acknowledgement_is_what_and_how_many() {
    assert_eq!("removed_zones=12".parse(), Ok(Ack { what: "removed_zones".to_owned(), count: 12 }));
    for bad in [
        "",
        "removed_zones",
        "removed_zones=",
        "=12",
        "removed_zones=all",
        "removed_zones=-1",
        "removed_zones=+1",
        "Removed=1",
        "a b=1",
    ] {
        assert_eq!(bad.parse::<Ack>(), Err(AckFault), "{bad}");
    }
}

#[test]
fn what_is_near_a_limit_is_told() {
    let review = review(&Set::new(1).0, &Set::new(1).data(&features(170, 0)).0);
    assert_eq!(review.warnings.len(), 1);
    assert!(
        review.warnings[0].starts_with("near a limit: data \"bot-features\": rows is 170"),
        "{:?}",
        review.warnings
    );
}

#[test]
fn bytes_that_are_no_document_are_told_and_not_counted() {
    let mut after = Set::new(2).0;
    after.insert(UnitKind::Zone, "site00.test", "{".into());
    let review = review(&Set::new(2).0, &after);
    assert_eq!(review.effects[0].to_string(), "changes what cannot be compared: zone site00.test");
    assert_eq!((review.warnings.len(), review.needs.len()), (1, 0));
}

#[test]
fn whatever_is_asked_for_stands_in_the_table_that_documents_are_written_from() {
    let source = include_str!("change.rs");
    let (_, code) = source.split_once("fn needs(").unwrap();
    let asked = code.split('"').skip(1).step_by(2).filter(|word| {
        let prefix = ["removed_", "added_", "duplicate_"].into_iter().any(|prefix| word.starts_with(prefix));
        prefix && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    });
    let mut asked: Vec<&str> = asked.collect();
    asked.sort_unstable();
    asked.dedup();
    let mut known = ACKNOWLEDGED.map(|(what, _)| what);
    known.sort_unstable();
    assert_eq!(asked, known);
}
