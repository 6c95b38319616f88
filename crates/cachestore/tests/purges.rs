//! Purges, against a model that does scan.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use seawall_cachestore::{Config, Key, Labels, MARKS_MAX, Meta, Purge, Store};
use std::collections::HashMap;

const ZONES: [&str; 2] = ["za", "zb"];
const HOSTS: [&str; 2] = ["a.test", "b.test"];
const TARGETS: [&str; 8] = ["/", "/a", "/a/", "/a/b", "/a/b/c?q=1", "/ab", "/a?x=/y", "/b/c"];
const TAGS: [&str; 3] = ["red", "Green", "BLUE"];

#[derive(Clone, Debug)]
struct Place {
    zone: usize,
    host: usize,
    target: usize,
    tags: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Place),
    Url(Place),
    Host(Place),
    Prefix(Place),
    Tag(usize, usize),
    Zone(usize),
    Everything,
    Remove(u8),
    Look(u8),
}

fn places() -> impl Strategy<Value = Place> {
    let tags = proptest::collection::vec(0..TAGS.len(), 0..3);
    (0..2usize, 0..2usize, 0..TARGETS.len(), tags).prop_map(|(zone, host, target, tags)| Place {
        zone,
        host,
        target,
        tags,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..24u8, places()).prop_map(|(k, p)| Step::Put(k, p)),
        2 => places().prop_map(Step::Url),
        1 => places().prop_map(Step::Host),
        2 => places().prop_map(Step::Prefix),
        2 => (0..2usize, 0..TAGS.len()).prop_map(|(z, t)| Step::Tag(z, t)),
        1 => (0..2usize).prop_map(Step::Zone),
        1 => Just(Step::Everything),
        1 => (0..24u8).prop_map(Step::Remove),
        6 => (0..24u8).prop_map(Step::Look),
    ]
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap().trim_end_matches('/')
}

fn purge<'a>(step: &'a Step) -> Option<Purge<'a>> {
    let host = |p: &Place| HOSTS[p.host].as_bytes();
    Some(match step {
        Step::Url(p) => {
            Purge::Url { zone: ZONES[p.zone], host: host(p), target: TARGETS[p.target].as_bytes() }
        }
        Step::Host(p) => Purge::Host { zone: ZONES[p.zone], host: host(p) },
        Step::Prefix(p) => {
            Purge::Prefix { zone: ZONES[p.zone], host: host(p), path: TARGETS[p.target].as_bytes() }
        }
        Step::Tag(z, t) => Purge::Tag { zone: ZONES[*z], tag: TAGS[*t].as_bytes() },
        Step::Zone(z) => Purge::Zone { zone: ZONES[*z] },
        Step::Everything => Purge::Everything,
        _ => return None,
    })
}

fn hit(step: &Step, at: &Place) -> bool {
    let host = |p: &Place| p.zone == at.zone && p.host == at.host;
    match step {
        Step::Url(p) => host(p) && p.target == at.target,
        Step::Host(p) => host(p),
        Step::Prefix(p) => {
            let (prefix, whole) = (path(TARGETS[p.target]), path(TARGETS[at.target]));
            host(p)
                && (whole == prefix || whole.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')))
        }
        Step::Tag(z, t) => *z == at.zone && at.tags.contains(t),
        Step::Zone(z) => *z == at.zone,
        Step::Everything => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn purges_kill_what_a_scan_would_kill_and_nothing_else(list in proptest::collection::vec(steps(), 1..80)) {
        let store = Store::open(&Config::default());
        let mut model: HashMap<u8, (Place, u64)> = HashMap::new();
        for (at, step) in list.iter().enumerate() {
            match step {
                Step::Put(key, place) => {
                    let tags = place.tags.iter().map(|t| TAGS[*t].as_bytes());
                    let host = HOSTS[place.host].as_bytes();
                    let labels = Labels::new(ZONES[place.zone], host, TARGETS[place.target].as_bytes(), tags);
                    let meta = Meta { labels, created_ms: at as u64, ..Meta::default() };
                    store.insert(&Key((*key).into()), store.seq(), meta, Bytes::new()).unwrap();
                    model.insert(*key, (place.clone(), at as u64));
                }
                Step::Remove(key) => {
                    store.remove(&Key((*key).into()));
                    model.remove(key);
                }
                Step::Look(key) => {
                    let found = store.memory(&Key((*key).into())).map(|o| o.meta.created_ms);
                    prop_assert_eq!(found, model.get(key).map(|(_, at)| *at));
                }
                step => {
                    store.purge(&purge(step).unwrap());
                    model.retain(|_, (place, _)| !hit(step, place));
                }
            }
        }
        for key in 0..24u8 {
            let found = store.memory(&Key(key.into())).map(|o| o.meta.created_ms);
            prop_assert_eq!(found, model.get(&key).map(|(_, at)| *at));
        }
    }
}

fn put(store: &Store, key: u128, zone: &str, tag: &str) {
    let labels = Labels::new(zone, b"h", b"/", [tag.as_bytes()]);
    let meta = Meta { labels, ..Meta::default() };
    store.insert(&Key(key), store.seq(), meta, Bytes::new()).unwrap();
}

#[test]
fn too_many_marks_become_marks_of_whole_zones_for_what_is_old_and_spare_other_zones() {
    let store = Store::open(&Config::default());
    put(&store, 1, "small", "kept");
    put(&store, 2, "small", "purged");
    put(&store, 3, "large", "t5");
    put(&store, 4, "large", "never named");
    store.purge(&Purge::Tag { zone: "small", tag: b"purged" });
    for i in 0..MARKS_MAX + 10 {
        if i == MARKS_MAX - 1000 {
            put(&store, 5, "large", "never named, but new");
            put(&store, 6, "large", &format!("t{MARKS_MAX}"));
        }
        store.purge(&Purge::Tag { zone: "large", tag: format!("t{i}").as_bytes() });
    }
    let alive = [1, 2, 3, 4, 5, 6].map(|k| store.memory(&Key(k)).is_some());
    assert_eq!(alive, [true, false, false, false, true, false]);
    let stats = store.stats();
    assert!(stats.marks < 60_000 && stats.marks_collapsed == 1, "{stats:?}");
}

#[test]
fn marks_of_too_many_zones_become_one_of_everything_old() {
    let store = Store::open(&Config::default());
    put(&store, 1, "bystander", "x");
    for i in 0..MARKS_MAX + 10 {
        if i == MARKS_MAX - 1000 {
            put(&store, 2, "bystander", "x");
            put(&store, 3, &format!("z{MARKS_MAX}"), "x");
        }
        store.purge(&Purge::Zone { zone: &format!("z{i}") });
    }
    assert_eq!([1, 2, 3].map(|k| store.memory(&Key(k)).is_some()), [false, true, false]);
    assert!(store.stats().marks <= MARKS_MAX as u64);
}

#[test]
fn purges_and_lookups_racing_never_show_an_object_fetched_before_its_purge_returned() {
    let store = Store::open(&Config::default());
    let threads: Vec<_> = (0..4u32)
        .map(|t| {
            let store = store.clone();
            std::thread::spawn(move || {
                let tag = format!("t{t}");
                for i in 0..3000u128 {
                    let key = u128::from(t) * 10_000 + i % 7;
                    put(&store, key, "z", &tag);
                    assert!(store.memory(&Key(key)).is_some());
                    store.purge(&Purge::Tag { zone: "z", tag: tag.as_bytes() });
                    assert!(store.memory(&Key(key)).is_none());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

#[test]
fn invalidating_a_url_marks_only_what_may_be_stored() {
    let store = Store::open(&Config::default());
    let meta = || Meta { labels: Labels::new("z", b"h", b"/stored", []), ..Meta::default() };
    store.insert(&Key(1), store.seq(), meta(), Bytes::new()).unwrap();
    for n in 0..100u32 {
        let target = format!("/other/{n}");
        store.invalidate(
            &Key(1000 + u128::from(n)),
            &Purge::Url { zone: "z", host: b"h", target: target.as_bytes() },
        );
    }
    assert!(store.stats().marks < 5 && store.memory(&Key(1)).is_some());
    store.invalidate(&Key(1), &Purge::Url { zone: "z", host: b"h", target: b"/stored" });
    assert!(store.memory(&Key(1)).is_none());
}

#[test]
fn invalidating_a_url_keeps_out_what_is_fetched_for_it() {
    use seawall_cachestore::Join;
    let store = Store::open(&Config::default());
    let url = Purge::Url { zone: "z", host: b"h", target: b"/new" };
    let meta = || Meta { labels: Labels::new("z", b"h", b"/new", []), ..Meta::default() };
    for headed in [false, true] {
        let Join::Lead(mut fill) = store.join(&Key(1), None) else { panic!() };
        if headed {
            fill.head(meta());
        }
        store.invalidate(&Key(1), &url);
        // Whoever comes after it asks anew.
        assert!(matches!(store.join(&Key(1), None), Join::Lead(_)));
        if !headed {
            fill.head(meta());
        }
        assert!(fill.finish().is_err(), "{headed}");
        assert!(store.memory(&Key(1)).is_none());
    }
}
