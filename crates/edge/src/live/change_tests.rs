//! Configurations made from one another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use super::tests::means;
use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use seawall_model::HostPattern;
use seawall_snapshot::codec::{encode_list, encode_zone};
use std::collections::BTreeMap;

const HOSTS: [&str; 7] = ["a.test", "b.test", "*.a.test", "x.a.test", "*.x.a.test", "*", "c.test"];
const ASKED: [&str; 8] =
    ["a.test", "b.test", "x.a.test", "y.a.test", "z.x.a.test", "c.test", "d.test", "q.b.test"];
const LISTS: [&str; 2] = ["l0", "l1"];

/// A zone as the test thinks of it.
#[derive(Clone, Debug)]
struct Draft {
    hosts: Vec<usize>,
    list: Option<usize>,
    monitored: bool,
    port: u16,
    broken: bool,
}

fn doc(name: &str, draft: &Draft) -> model::Zone {
    let url = model::OriginUrl::parse(&format!("http://127.0.0.1:{}", draft.port)).unwrap();
    let mut pool = model::Pool::new("p", vec![model::Origin::new(url)]);
    pool.monitor = draft.monitored.then(model::Monitor::default);
    let hosts = draft.hosts.iter().map(|h| HostPattern::parse(HOSTS[*h]).unwrap()).collect();
    let mut zone = model::Zone::new(name, hosts, vec![pool]);
    zone.bans = draft.list.iter().map(|l| LISTS[*l].to_owned()).collect();
    zone
}

fn put(units: &mut Units, name: &str, draft: &Draft) {
    let bytes = if draft.broken {
        Bytes::from(format!("{{\"name\":{}}}", draft.port))
    } else {
        encode_zone(&doc(name, draft))
    };
    units.insert(UnitKind::Zone, name, bytes);
}

fn list(units: &mut Units, name: &str, last: u8) {
    let addresses = vec![format!("10.0.0.{last}/32").parse().unwrap()];
    units.insert(UnitKind::List, name, encode_list(&model::List { name: name.to_owned(), addresses }));
}

fn base() -> Units {
    codec::units_of(&model::Site::default(), &codec::DataFiles::new())
}

fn compile(units: &Units, old: Option<&Live>) -> (Live, Vec<UnitFault>) {
    Compiler { means: &means(), old }.units(units)
}

fn draft(hosts: &[usize]) -> Draft {
    Draft { hosts: hosts.to_vec(), list: None, monitored: false, port: 1, broken: false }
}

/// Zones by name, with all that a table says of them.
fn told(live: &Live) -> BTreeMap<String, (seawall_snapshot::Hash, String, bool, bool)> {
    let set =
        |zones: Vec<(usize, &Arc<Entry>)>| zones.into_iter().map(|(slot, _)| slot).collect::<HashSet<_>>();
    let (monitored, listed) = (set(live.zones.monitored().collect()), set(live.zones.listed().collect()));
    let told = live.zones.iter().map(|(slot, entry)| {
        let doc = format!("{:?}", live.zone(slot).map(|z| (&z.doc, z.unit, z.pools.len(), z.routes.len())));
        let about = (entry.unit().hash, doc, monitored.contains(&slot), listed.contains(&slot));
        (entry.name().to_owned(), about)
    });
    told.collect()
}

/// Who should serve a host, found by looking at every zone.
fn wanted<'l>(live: &'l Live, host: &str) -> Option<&'l str> {
    let rank = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(_) => 0,
        HostPattern::Under(name) => 1000 - name.len(),
        HostPattern::Any => 2000,
    };
    let claims = live.zones.iter().flat_map(|(slot, entry)| {
        let doc = codec::zone_of(entry.unit()).unwrap();
        let best = doc.hosts.iter().filter(|h| h.matches(host.as_bytes())).map(rank).min();
        best.map(|rank| (rank, live.zones.is_kept(slot), entry.name()))
    });
    claims.min().map(|(.., name)| name)
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Draft),
    Remove(usize),
    List(usize, u8),
    RemoveList(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let draft = (
        proptest::collection::vec(0..HOSTS.len(), 1..4),
        proptest::option::weighted(0.3, 0..LISTS.len()),
        any::<bool>(),
        1_u16..4,
        proptest::bool::weighted(0.15),
    );
    let draft = draft.prop_map(|(mut hosts, list, monitored, port, broken)| {
        hosts.sort_unstable();
        hosts.dedup();
        Draft { hosts, list, monitored, port, broken }
    });
    prop_oneof![
        6 => (0..6_usize, draft).prop_map(|(zone, draft)| Step::Put(zone, draft)),
        2 => (0..6_usize).prop_map(Step::Remove),
        2 => (0..LISTS.len(), 1_u8..3).prop_map(|(list, last)| Step::List(list, last)),
        1 => (0..LISTS.len()).prop_map(Step::RemoveList),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_sequence_of_changes_gives_what_building_from_scratch_gives(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..30),
    ) {
        let mut wants = base();
        let (empty, _) = compile(&wants, None);
        let (mut live, _) = compile(&wants, Some(&empty));
        for (step, drop_it) in steps {
            match &step {
                Step::Put(zone, draft) => put(&mut wants, &format!("zone{zone}"), draft),
                Step::Remove(zone) => drop(wants.remove(UnitKind::Zone, &format!("zone{zone}"))),
                Step::List(at, last) => list(&mut wants, LISTS[*at], *last),
                Step::RemoveList(at) => drop(wants.remove(UnitKind::List, LISTS[*at])),
            }
            let (next, faults) = compile(&wants, Some(&live));
            // What runs is what it says that runs: what was wanted, but for what is reported.
            for change in wants.changes(&next.units) {
                prop_assert!(faults.iter().any(|f| f.kind == change.kind && f.name == *change.name) || change.kind == UnitKind::List, "{change:?}");
            }
            prop_assert_eq!(next.zones.len(), next.units.count(UnitKind::Zone));
            for (_, entry) in next.zones.iter() {
                let unit = next.units.get(UnitKind::Zone, entry.name());
                prop_assert_eq!(unit.map(|u| u.hash), Some(entry.unit().hash));
            }
            // From scratch it is the same. (From no zone, rather: the model of the bot module is large.)
            let (scratch, none) = compile(&next.units, Some(&empty));
            prop_assert_eq!(none, Vec::new());
            prop_assert_eq!(told(&next), told(&scratch));
            for host in ASKED {
                for live in [&next, &scratch] {
                    let name = live.find(host.as_bytes()).map(|slot| live.zones.get(slot).unwrap().name());
                    prop_assert_eq!(name, wanted(live, host), "{}", host);
                }
            }
            // Unchanged zones are the same objects.
            let lists: HashSet<Box<str>> = live.units.changes(&next.units).into_iter().filter(|c| c.kind == UnitKind::List).map(|c| c.name).collect();
            for (slot, entry) in live.zones.iter() {
                let same = next.units.get(UnitKind::Zone, entry.name()).is_some_and(|u| u.hash == entry.unit().hash);
                if same && !entry.lists().iter().any(|l| lists.contains(l)) {
                    prop_assert!(next.zones.get(slot).is_some_and(|other| Arc::ptr_eq(other, entry)));
                }
            }
            // A candidate that is dropped leaves nothing behind.
            if !drop_it {
                next.settle();
                live = next;
            }
        }
    }
}

#[test]
fn a_bad_unit_keeps_its_old_version_is_named_and_the_others_advance() {
    let mut units = base();
    put(&mut units, "one", &draft(&[0]));
    put(&mut units, "two", &draft(&[1]));
    let (live, _) = compile(&units, None);
    let before = live.zones.get(live.zones.named("one").unwrap()).unwrap().clone();
    put(&mut units, "one", &Draft { broken: true, ..draft(&[0]) });
    put(&mut units, "two", &Draft { port: 2, ..draft(&[1]) });
    put(&mut units, "three", &Draft { broken: true, ..draft(&[6]) });
    let (next, faults) = compile(&units, Some(&live));
    let mut names: Vec<&str> = faults.iter().map(|f| f.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "three"]);
    assert!(faults.iter().all(|f| f.kind == UnitKind::Zone && !f.why.is_empty()));
    assert!(Arc::ptr_eq(next.zones.get(next.zones.named("one").unwrap()).unwrap(), &before));
    assert_eq!(next.named("two").unwrap().pools[0].origins[0].doc.url.port, 2);
    assert!(next.named("three").is_none());
    assert_eq!(next.units.count(UnitKind::Zone), 2);
}

#[test]
fn a_zone_that_stands_for_a_failed_version_yields_its_hosts_to_others() {
    let mut units = base();
    put(&mut units, "a-kept", &draft(&[0]));
    let (live, _) = compile(&units, None);
    put(&mut units, "a-kept", &Draft { broken: true, ..draft(&[0]) });
    put(&mut units, "b-new", &draft(&[0]));
    let (next, _) = compile(&units, Some(&live));
    assert_eq!(next.find(b"a.test"), next.zones.named("b-new"));
    put(&mut units, "a-kept", &draft(&[0]));
    let (again, faults) = compile(&units, Some(&next));
    assert!(faults.is_empty());
    assert_eq!(
        again.find(b"a.test"),
        again.zones.named("a-kept"),
        "both are as they should be: the first by name"
    );
}

#[test]
fn a_list_that_changes_renews_the_zones_that_name_it_and_no_others() {
    let mut units = base();
    list(&mut units, "l0", 1);
    list(&mut units, "l1", 1);
    put(&mut units, "one", &Draft { list: Some(0), ..draft(&[0]) });
    put(&mut units, "two", &Draft { list: Some(1), ..draft(&[1]) });
    let (live, _) = compile(&units, None);
    list(&mut units, "l0", 2);
    let (next, faults) = compile(&units, Some(&live));
    assert!(faults.is_empty());
    let same = |name: &str| {
        let entry = |live: &Live| live.zones.get(live.zones.named(name).unwrap()).unwrap().clone();
        Arc::ptr_eq(&entry(&live), &entry(&next))
    };
    assert_eq!((same("one"), same("two")), (false, true));
    // A list that is gone is missed by the zone that names it, which keeps what it had.
    units.remove(UnitKind::List, "l0");
    let (kept, faults) = compile(&units, Some(&next));
    assert_eq!(faults.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["one"]);
    assert!(kept.shared.list("l0").is_some() && kept.units.get(UnitKind::List, "l0").is_some());
}

#[test]
fn requests_under_a_candidate_count_once_and_its_end_harms_nothing() {
    let mut units = base();
    put(&mut units, "one", &draft(&[0]));
    let (live, _) = compile(&units, None);
    live.settle();
    let stable = live.named("one").unwrap().pools[0].balance.clone();
    let held = stable.begin(0, 1).unwrap();
    let mut doc = doc("one", &draft(&[0]));
    doc.always_https = true;
    units.insert(UnitKind::Zone, "one", encode_zone(&doc));
    let (candidate, _) = compile(&units, Some(&live));
    let trial = candidate.named("one").unwrap().pools[0].balance.clone();
    let tried = trial.begin(0, 1).unwrap();
    let outstanding = |pool: &seawall_balance::Pool| pool.snapshot(1).members[0].outstanding;
    assert_eq!((outstanding(&stable), outstanding(&trial), trial.is_settled()), (2, 2, false));
    drop((candidate, trial));
    assert_eq!(outstanding(&stable), 2, "its request is still under way");
    drop(tried);
    assert_eq!(outstanding(&stable), 1);
    drop(held);
    assert_eq!((outstanding(&stable), stable.is_settled()), (0, true));
    // And adopted, its settings rule.
    let (next, _) = compile(&units, Some(&live));
    next.settle();
    assert!(next.named("one").unwrap().pools[0].balance.is_settled());
}

#[test]
fn connections_to_an_origin_may_be_used_again_after_a_change_that_does_not_concern_it() {
    let mut units = base();
    put(&mut units, "one", &draft(&[0]));
    let id = |live: &Live| live.named("one").unwrap().pools[0].origins[0].id;
    let (live, _) = compile(&units, None);
    let mut doc = doc("one", &draft(&[0]));
    doc.cache = false;
    doc.pools[0].origins[0].weight = 7;
    units.insert(UnitKind::Zone, "one", encode_zone(&doc));
    let (next, _) = compile(&units, Some(&live));
    assert_eq!(id(&live), id(&next));
    put(&mut units, "one", &Draft { port: 2, ..draft(&[0]) });
    let (other, _) = compile(&units, Some(&next));
    assert_ne!(id(&next), id(&other));
}

#[test]
fn certificates_and_monitors_are_looked_at_again_only_when_theirs_have_changed() {
    let mut site = model::Site::default();
    site.edge.tls.self_signed = false;
    let mut units = codec::units_of(&site, &codec::DataFiles::new());
    put(&mut units, "one", &Draft { monitored: true, ..draft(&[0]) });
    put(&mut units, "two", &draft(&[1]));
    let (live, _) = compile(&units, None);
    put(&mut units, "two", &Draft { port: 2, ..draft(&[1]) });
    let (next, _) = compile(&units, Some(&live));
    assert_eq!((live.certificates, live.monitors), (next.certificates, next.monitors));
    put(&mut units, "one", &Draft { monitored: true, port: 2, ..draft(&[0]) });
    let (monitored, _) = compile(&units, Some(&next));
    assert!(monitored.monitors != next.monitors && monitored.certificates == next.certificates);
    units.remove(UnitKind::Zone, "one");
    let (gone, _) = compile(&units, Some(&monitored));
    assert_ne!(gone.monitors, monitored.monitors);
    let mut doc = doc("two", &draft(&[1]));
    doc.certificates = vec![model::Certificate { cert: "/c.pem".into(), key: "/k.pem".into() }];
    units.insert(UnitKind::Zone, "two", encode_zone(&doc));
    let (certified, _) = compile(&units, Some(&gone));
    assert!(certified.certificates != gone.certificates && certified.monitors == gone.monitors);
    assert_eq!(certified.cert_files().iter().map(|f| f.hosts.clone()).collect::<Vec<_>>(), [["b.test"]]);
}

#[test]
fn what_leaves_service_is_freed_when_nobody_uses_it_and_its_places_in_the_metrics_with_it() {
    let means = means();
    let mut units = base();
    put(&mut units, "gone", &draft(&[0]));
    let (live, _) = Compiler { means: &means, old: None }.units(&units);
    assert_eq!(means.registry.claim_zone("gone"), live.named("gone").unwrap().slot);
    means.registry.release_zone("gone", live.named("gone").unwrap().slot);
    let retired = Retired::default();
    let live = Arc::new(live);
    let used = live.clone();
    retired.push(live);
    assert_eq!((retired.free(), retired.len()), (0, 1));
    let slot = used.named("gone").unwrap().slot;
    drop(used);
    assert_eq!((retired.free(), retired.len()), (1, 0));
    // The slot is free: another zone gets it once the fresh ones are used up, and meanwhile its name is not shown.
    // Threads that compiled it may still be about to let go of it.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while means.registry.expose().contains("\"gone\"") {
        assert!(std::time::Instant::now() < end, "{slot:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_zone_that_nobody_asks_for_rests_after_some_rounds_and_is_there_again_when_asked_for() {
    let mut units = base();
    put(&mut units, "idle", &draft(&[0]));
    put(&mut units, "busy", &draft(&[1]));
    put(&mut units, "held", &draft(&[6]));
    put(&mut units, "monitored", &Draft { monitored: true, ..draft(&[5]) });
    let (mut live, _) = compile(&units, None);
    live.settle();
    let pool = live.named("held").unwrap().pools[0].balance.clone();
    let ticket = pool.begin(0, 1).unwrap();
    let awake = |live: &Live| -> Vec<String> {
        let awake = live.zones.iter().filter(|(_, entry)| entry.compiled().is_some());
        let mut names: Vec<String> = awake.map(|(_, entry)| entry.name().to_owned()).collect();
        names.sort_unstable();
        names
    };
    let mut rounds = 0;
    while awake(&live).len() == 4 {
        live.named("busy").unwrap();
        live = live.rested(1).unwrap_or(live);
        rounds += 1;
    }
    assert_eq!((rounds, awake(&live)), (12, vec!["busy".into(), "held".into(), "monitored".into()]));
    drop(ticket);
    live.named("busy").unwrap();
    live = live.rested(1).unwrap();
    assert_eq!(awake(&live), ["busy", "monitored"]);
    let slot = live.find(b"a.test").unwrap();
    assert!(live.zone(slot).unwrap().pools[0].balance.is_settled(), "it was in force, and is again");
    assert_eq!(awake(&live), ["busy", "idle", "monitored"]);
    let (next, faults) = compile(&units, Some(&live));
    assert!(faults.is_empty() && next.fresh.is_empty(), "it is still made of the same");
}

#[test]
fn of_more_zones_than_are_counted_one_by_one_the_first_by_name_are() {
    let means = Arc::new(Means {
        resolver: seawall_net::resolver::Resolver::system(seawall_net::resolver::Settings::default()),
        configs: Default::default(),
        registry: Arc::new(seawall_telemetry::Registry::new("test")),
        sabotage: None,
        bench: crate::recorder::Slot::unseen(),
    });
    let mut units = base();
    for n in 0..1200 {
        put(&mut units, &format!("zone{n:04}"), &draft(&[6]));
    }
    let (live, _) = Compiler { means: &means, old: None }.units(&units);
    let slot = |live: &Live, name: &str| {
        let zone = live.named(name).unwrap();
        (
            zone.slot != seawall_telemetry::ZoneSlot::OTHER,
            zone.pools[0].origins[0].slot != seawall_telemetry::OriginSlot::OTHER,
        )
    };
    assert_eq!([slot(&live, "zone0000"), slot(&live, "zone0999")], [(true, true); 2]);
    assert_eq!([slot(&live, "zone1000"), slot(&live, "zone1199")], [(false, false); 2]);
    assert_eq!(live.zones.counted().count(), 1000);
    // Who has a place keeps it, and who comes gets one that has become free.
    units.remove(UnitKind::Zone, "zone0005");
    let (next, _) = Compiler { means: &means, old: Some(&live) }.units(&units);
    drop(live);
    put(&mut units, "zone0005b", &draft(&[6]));
    let (again, _) = Compiler { means: &means, old: Some(&next) }.units(&units);
    assert_eq!(slot(&again, "zone0005b"), (true, true));
    assert_eq!(slot(&again, "zone1000"), (false, false));
}

#[test]
fn a_configuration_that_was_read_anew_shares_memory_with_the_one_in_force() {
    let mut units = base();
    (0..50).for_each(|n| put(&mut units, &format!("zone{n}"), &draft(&[n % 7])));
    let (live, _) = compile(&units, None);
    let mut anew = base();
    (0..50).for_each(|n| put(&mut anew, &format!("zone{n}"), &draft(&[n % 7])));
    put(&mut anew, "zone7", &Draft { port: 9, ..draft(&[0]) });
    let (next, _) = compile(&anew, Some(&live));
    let shared = next
        .units
        .of_kind(UnitKind::Zone)
        .filter(|unit| live.units.get(UnitKind::Zone, &unit.name).is_some_and(|old| Arc::ptr_eq(old, unit)));
    assert_eq!((shared.count(), next.fresh.len()), (49, 1));
}
