//! Nothing half applied: after any sequence of changes, good ones and bad ones, what is told is what serves, and what
//! serves is what those that were taken add up to.

use crate::common::Origin;
use crate::stand::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use serde_json::json;
use std::collections::BTreeMap;

const ZONES: usize = 4;
/// As short as stages can be.
const SHORTEST: &str =
    "[edge.rollout]\nstages = [50]\nhold = \"10ms\"\nquick_hold = \"10ms\"\nrequests = 2\n";
/// The visitor that may be banned.
const BANNED: usize = 7;

/// What serves, as far as the test knows.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    /// Version of each zone; none is not there.
    zones: [Option<usize>; ZONES],
    /// Whether the list has the visitor on it.
    banned: bool,
    features: u32,
}

/// Switched off by hand: the firewall, for all and for each zone.
#[derive(Clone, Debug, Default, PartialEq)]
struct Off {
    all: bool,
    zones: [bool; ZONES],
}

/// What is wrong with a part of a change.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// A list that is not there.
    Bans,
    /// A pattern that is none.
    Pattern,
    /// A fault of a module, which a rehearsal finds.
    Poison,
}

#[derive(Clone, Debug)]
enum Step {
    /// Sets and removes zones; some of them are wrong, and so may be the list and the data file.
    Change {
        zones: Vec<(usize, Option<usize>, Option<Wrong>)>,
        list: Option<Result<bool, ()>>,
        features: Option<Result<u32, ()>>,
    },
    Switch {
        zone: Option<usize>,
        on: bool,
    },
    /// To one of the snapshots there were.
    Back(usize),
    /// From a snapshot that is long gone.
    Stale,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wrong = prop_oneof![
        8 => Just(None),
        1 => Just(Some(Wrong::Bans)),
        1 => Just(Some(Wrong::Pattern)),
        1 => Just(Some(Wrong::Poison)),
    ];
    let zone = (0..ZONES, prop_oneof![5 => (1..1_000usize).prop_map(Some), 1 => Just(None)], wrong);
    let list = prop::option::weighted(0.3, prop_oneof![3 => any::<bool>().prop_map(Ok), 1 => Just(Err(()))]);
    let features = prop::option::weighted(0.3, prop_oneof![2 => (0..60u32).prop_map(Ok), 1 => Just(Err(()))]);
    let change = (vec(zone, 0..3), list, features).prop_map(|(zones, list, features)| Step::Change {
        zones,
        list,
        features,
    });
    let switch = (prop::option::of(0..ZONES), any::<bool>()).prop_map(|(zone, on)| Step::Switch { zone, on });
    let step = prop_oneof![
        6 => change,
        2 => switch,
        1 => (0..20usize).prop_map(Step::Back),
        1 => Just(Step::Stale),
    ];
    vec(step, 3..12)
}

fn host(n: usize) -> String {
    format!("z{n}.test")
}

struct World {
    origin: Origin,
    stand: Stand,
    model: Model,
    off: Off,
    /// What was adopted, by number.
    kept: BTreeMap<u64, Model>,
}

impl World {
    fn new() -> World {
        let origin = scored();
        let model = Model { zones: [Some(0); ZONES], banned: false, features: 0 };
        let text = text(&origin, &model, &[], false);
        let sabotage = json!({ "faults": [{ "module": "response_headers", "rule": "poison", "what": "error" }], "without": ["pin"] });
        let stand = Stand::start(Setup::of(text).features(features(0)).sabotage(sabotage));
        let kept = BTreeMap::from([(1, model.clone())]);
        World { origin, stand, model, off: Off::default(), kept }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Change { zones, list, features: file } => {
                let mut wanted = self.model.clone();
                let mut wrong = Vec::new();
                for (n, version, is_wrong) in zones {
                    wanted.zones[*n] = *version;
                    wrong.retain(|(other, _)| other != n);
                    wrong.extend(version.and(*is_wrong).map(|is_wrong| (*n, is_wrong)));
                }
                if let Some(Ok(banned)) = list {
                    wanted.banned = *banned;
                }
                if let Some(Ok(run)) = file {
                    wanted.features = *run;
                }
                let text = text(&self.origin, &wanted, &wrong, matches!(list, Some(Err(()))));
                let bytes = match file {
                    Some(Err(())) => too_many_features(1),
                    _ => features(wanted.features),
                };
                let poisoned = wrong.iter().any(|(_, wrong)| matches!(wrong, Wrong::Poison));
                for (n, is_wrong) in wrong {
                    if !matches!(is_wrong, Wrong::Poison) {
                        // It keeps its version, or stays away.
                        wanted.zones[n] = self.model.zones[n];
                    }
                }
                let empty = wanted.zones.iter().all(Option::is_none);
                let ended = self.propose(Change::to(text).features(bytes));
                match ended.outcome() {
                    "adopted" => {
                        assert!(!poisoned && !empty, "{step:?}: {}", ended.said());
                        self.adopted(&ended, wanted);
                    }
                    "unchanged" => assert_eq!(wanted, self.model, "{step:?}"),
                    _ => {
                        let nothing_left = wanted == self.model;
                        assert!(poisoned || empty || nothing_left, "{step:?}: {}", ended.said());
                    }
                }
            }
            Step::Switch { zone, on } => {
                let name = zone.map(host);
                let body =
                    json!({ "name": "firewall", "zone": name, "state": if *on { "on" } else { "off" } });
                let ended = self.stand.carry_out("/module", &body);
                if ended.outcome() == "refused" {
                    let there = zone.is_none_or(|n| self.model.zones[n].is_some());
                    assert!(!there || *on && self.off.all, "{step:?}: {}", ended.said());
                    return;
                }
                match zone {
                    Some(n) => self.off.zones[*n] = !on,
                    None => self.off.all = !on,
                }
                if ended.outcome() == "adopted" {
                    self.adopted(&ended, self.model.clone());
                }
            }
            Step::Back(n) => {
                let (number, model) = self.kept.iter().nth(n % self.kept.len()).unwrap();
                let (number, model) = (*number, model.clone());
                let ended = self.stand.carry_out("/snapshot/rollback", &json!({ "to": number }));
                match ended.outcome() {
                    "adopted" => self.adopted(&ended, model),
                    "unchanged" => assert_eq!(model, self.model),
                    // Old ones are deleted after a while.
                    _ => assert!(ended.said().contains(&number.to_string()), "{}", ended.said()),
                }
            }
            Step::Stale => {
                let mut other = self.model.clone();
                other.banned = !other.banned;
                let text = text(&self.origin, &other, &[], false);
                let change =
                    Change { base: Some(1_000_000), ..Change::to(text).features(features(other.features)) };
                self.stand.change(change).is("refused");
            }
        }
    }

    /// Hands a change in, and says that it is meant where that is asked.
    fn propose(&self, change: Change) -> Ended {
        let (text, bytes) = (change.text.clone(), change.features.clone());
        let ended = self.stand.change(change);
        match ended.needs("changed_verdicts") {
            None => ended,
            Some(count) => {
                let again = Change { features: bytes, ..Change::to(text) };
                self.stand.change(again.ack(format!("changed_verdicts={}", count + 20)))
            }
        }
    }

    fn adopted(&mut self, ended: &Ended, model: Model) {
        assert_eq!(ended.number(), self.stand.current());
        self.kept.insert(ended.number(), model.clone());
        self.model = model;
    }

    /// What is told is what serves, and what serves is what requests show.
    fn check(&self) {
        self.stand.checked();
        assert_eq!(self.stand.status()["candidate"], json!(null));
        let mut visitor = self.stand.visitor();
        for (n, version) in self.model.zones.iter().enumerate() {
            let name = host(n);
            let Some(version) = version else {
                assert_eq!(self.stand.visit(&name, "/", 1).status, 421, "{name}");
                continue;
            };
            let answer = visitor.visit(&name, "/", 1);
            assert_eq!(
                (answer.status, version_of(&answer)),
                (200, Some(*version)),
                "{name} of {:?}",
                self.model
            );
            assert!(answer.text().parse::<u8>().is_ok(), "{name} is scored: {}", answer.text());
            let off = self.off.all || self.off.zones[n];
            assert_eq!(
                visitor.visit(&name, "/probe", 1).status,
                if off { 200 } else { 403 },
                "{name} {:?}",
                self.off
            );
            let banned = self.stand.visit(&name, "/", BANNED).status;
            assert_eq!(banned, if self.model.banned { 403 } else { 200 }, "{name} bans");
        }
        let (_, units) = self.stand.store().load(self.stand.current()).unwrap();
        let unit = units.get(seawall_snapshot::UnitKind::Data, seawall_edge::BOT_FEATURES).unwrap();
        assert_eq!(unit.bytes, features(self.model.features));
    }
}

fn text(origin: &Origin, model: &Model, wrong: &[(usize, Wrong)], bad_list: bool) -> String {
    let banned = if model.banned { format!(", \"{}\"", address(BANNED)) } else { String::new() };
    let bad = if bad_list { ", \"nowhere\"" } else { "" };
    let mut text = edge(SHORTEST)
        + &format!("[[list]]\nname = \"banned\"\naddresses = [\"192.0.2.0/24\"{banned}{bad}]\n");
    let rule = |name: &str, path: &str| {
        format!("[[zone.rule]]\nname = \"{name}\"\naction = \"block\"\npath = \"{path}\"\n")
    };
    for (n, version) in model.zones.iter().enumerate() {
        let Some(version) = version else { continue };
        let wrong = wrong.iter().find(|(at, _)| *at == n).map(|(_, wrong)| *wrong);
        let bans = if matches!(wrong, Some(Wrong::Bans)) { "nowhere" } else { "banned" };
        let more = match wrong {
            Some(Wrong::Pattern) => rule("broken", "((("),
            Some(Wrong::Poison) => rule("poison", "^/never$"),
            _ => String::new(),
        };
        let tables = format!(
            "{}{}{more}[zone.bot]\nscore = true\nheader = true\n",
            route(*version),
            rule("probe", "^/probe$")
        );
        text += &zone(&host(n), origin, &format!("bans = \"{bans}\""), &tables);
    }
    text
}

proptest! {
    #![proptest_config(Config {
        // Each case starts an edge, and its changes take their way.
        cases: 6,
        max_shrink_iters: 30,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    })]

    #[test]
    fn whatever_is_taken_and_refused_what_is_told_is_what_serves(steps in steps()) {
        let mut world = World::new();
        world.check();
        for step in &steps {
            world.take(step);
            world.check();
        }
        world.stand.stop();
    }
}
