//! The store on real folders: what is written is read, and whatever is cut off, torn or refused harms nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::start::Instead;
use crate::unit::Hash;

pub(crate) fn set(zones: &[(&str, &str)]) -> Units {
    let mut units = Units::new();
    units.insert(UnitKind::Edge, "edge", Bytes::from_static(b"{}"));
    for (name, text) in zones {
        units.insert(UnitKind::Zone, name, Bytes::copy_from_slice(text.as_bytes()));
    }
    units
}

fn many(count: usize) -> Units {
    let mut units = set(&[]);
    for i in 0..count {
        let text = format!("{{\"name\":\"site{i}.test\",\"hosts\":[\"site{i}.test\"],\"n\":{i}}}");
        units.insert(UnitKind::Zone, &format!("site{i}.test"), text.into());
    }
    units
}

fn changed(units: &Units, name: &str, text: &str) -> Units {
    let mut units = units.clone();
    units.insert(UnitKind::Zone, name, Bytes::copy_from_slice(text.as_bytes()));
    units
}

fn cause() -> Cause {
    Cause::new("file", "changed")
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// A store that does not wait for the disk.
fn quick() -> (TempDir, Store) {
    let (folder, store) = store();
    store.disk.fail_after(u64::MAX, true);
    (folder, store)
}

/// Publishes and lets it serve and soak.
fn good(store: &Store, units: &Units) -> u64 {
    let number = store.publish(units, None, &cause()).unwrap().number;
    store
        .update(|history| {
            history.adopted(number, 1_000);
            assert_eq!(history.soak(2_000, 1_000), Some(number));
        })
        .unwrap();
    number
}

fn pack_of(store: &Store, number: u64) -> PathBuf {
    store.pack_folder().join(format!("{number:010}.pack"))
}

fn pack_bytes(store: &Store) -> u64 {
    store.packs().unwrap().values().sum()
}

#[test]
fn what_is_published_is_loaded_by_another_process_and_is_on_trial() {
    let (folder, store) = store();
    let units = many(500);
    let manifest = store.publish(&units, None, &cause()).unwrap();
    assert_eq!((manifest.number, manifest.content, manifest.count(UnitKind::Zone)), (1, units.hash(), 500));
    let other = Store::open(folder.path()).unwrap();
    let (loaded, found) = other.load(1).unwrap();
    assert_eq!((loaded, found.hash(), found.len()), (manifest, units.hash(), 501));
    assert!(units.changes(&found).is_empty());
    let history = other.history().unwrap();
    assert_eq!(history.entry(1).unwrap().state, State::Trial);
    assert_eq!(history.start_with(true), Some(1));
    assert!(matches!(other.load(2), Err(StoreFault::NoSuch(2))));
}

#[test]
fn a_change_of_one_zone_writes_that_zone_and_little_else() {
    let (_folder, store) = store();
    let units = many(5_000);
    store.publish(&units, None, &cause()).unwrap();
    let before = pack_bytes(&store);
    let after = changed(&units, "site7.test", "{\"n\":8}");
    let manifest = store.publish(&after, Some(1), &cause()).unwrap();
    let written = pack_bytes(&store) - before;
    assert!(written < 6_000, "{written}");
    assert!(fs::metadata(store.manifest_path(2)).unwrap().len() < 1_000);
    assert_eq!(manifest.changed.len(), 1);
    // The same by a process that has nothing in mind.
    let cold = Store { root: store.root.clone(), disk: Disk::default(), known: Mutex::new(None) };
    let before = pack_bytes(&store);
    cold.publish(&changed(&after, "site8.test", "{}"), Some(2), &cause()).unwrap();
    assert!(pack_bytes(&store) - before < 6_000);
    for (number, wanted) in [(1, units.hash()), (2, after.hash())] {
        assert_eq!(cold.load(number).unwrap().1.hash(), wanted);
    }
}

#[test]
fn versions_share_in_memory_what_is_equal() {
    let (_folder, store) = store();
    let units = many(2_000);
    store.publish(&units, None, &cause()).unwrap();
    store.publish(&changed(&units, "site7.test", "{}"), None, &cause()).unwrap();
    let (_, old) = store.load(1).unwrap();
    let (_, new) = store.load(2).unwrap();
    let pairs = old.of_kind(UnitKind::Zone).zip(new.of_kind(UnitKind::Zone));
    assert_eq!(pairs.filter(|(a, b)| !std::sync::Arc::ptr_eq(a, b)).count(), 1);
}

#[test]
fn the_same_content_again_is_no_new_snapshot() {
    let (_folder, store) = store();
    store.publish(&many(3), None, &cause()).unwrap();
    assert_eq!(store.publish(&many(3), Some(1), &cause()).unwrap().number, 1);
    assert_eq!(store.history().unwrap().entries.len(), 1);
}

#[test]
fn nothing_at_all_is_refused() {
    let (_folder, store) = store();
    assert!(matches!(store.publish(&Units::new(), None, &cause()), Err(StoreFault::Empty)));
}

#[test]
fn a_writer_whose_base_is_not_in_force_any_more_is_refused() {
    let (_folder, store) = store();
    let units = many(3);
    good(&store, &units);
    good(&store, &changed(&units, "a.test", "{}"));
    let late = changed(&units, "b.test", "{}");
    let refused = store.publish(&late, Some(1), &cause());
    assert!(matches!(refused, Err(StoreFault::StaleBase { base: 1, head: Some(2) })), "{refused:?}");
    assert_eq!(store.history().unwrap().newest_number, 2);
    // While another change is on its way, too.
    let third = store.publish(&changed(&units, "c.test", "{}"), Some(2), &cause()).unwrap().number;
    store.update(|history| assert!(history.proposed(third))).unwrap();
    assert!(matches!(store.publish(&late, Some(2), &cause()), Err(StoreFault::StaleBase { .. })));
    // When that one has failed, what serves is what to start from, and so is the newest.
    store.update(|history| history.failed(third, "errors")).unwrap();
    assert_eq!(store.publish(&late, Some(2), &cause()).unwrap().number, 4);
}

#[test]
fn a_unit_beyond_its_limit_is_refused_by_name() {
    let (_folder, store) = store();
    let mut units = many(3);
    units.insert(UnitKind::Module, "bot", vec![b' '; 5_000].into());
    let fault = store.publish(&units, None, &cause()).unwrap_err();
    assert!(fault.to_string().starts_with("module \"bot\": bytes is 5000, and the limit is 4096"), "{fault}");
    assert!(store.history().unwrap().entries.is_empty());
}

#[test]
fn quarantined_content_is_refused_until_its_snapshot_is_deleted() {
    let (_folder, store) = store();
    let units = many(3);
    good(&store, &units);
    let bad = changed(&units, "a.test", "{}");
    let number = store.publish(&bad, None, &cause()).unwrap().number;
    store.update(|history| assert!(history.quarantine(number, "it hurts"))).unwrap();
    let fault = store.publish(&bad, None, &cause()).unwrap_err();
    assert!(fault.to_string().contains("snapshot 2, which is quarantined: it hurts"), "{fault}");
    assert_eq!(store.publish(&units, None, &cause()).unwrap().number, 3, "good content again");
    store.delete(number).unwrap();
    assert_eq!(store.publish(&bad, None, &cause()).unwrap().number, 4);
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let (_folder, store) = store();
    let units = many(3);
    let first = good(&store, &units);
    let second = store.publish(&changed(&units, "a.test", "1"), None, &cause()).unwrap().number;
    let third = store.publish(&changed(&units, "a.test", "2"), None, &cause()).unwrap().number;
    let fourth = store.publish(&changed(&units, "a.test", "3"), None, &cause()).unwrap().number;
    store.update(|history| history.adopted(second, 3_000)).unwrap();
    store.update(|history| assert!(history.proposed(third))).unwrap();
    for (number, why) in
        [(first, "newest good"), (second, "serves"), (third, "on its way"), (9, "no snapshot 9")]
    {
        let fault = store.delete(number).unwrap_err();
        assert!(fault.to_string().contains(why), "{fault}");
    }
    store.delete(fourth).unwrap();
    assert!(store.load(fourth).is_err());
    assert_eq!(
        store.publish(&changed(&units, "a.test", "3"), None, &cause()).unwrap().number,
        5,
        "never 4 again"
    );
}

/// Runs `change` on copies of a folder with writing stopped after each possible step or byte, and gives each to `check`.
fn stop_everywhere(
    stride: u64,
    make: impl Fn(&Store),
    change: impl Fn(&Store) -> Result<(), StoreFault>,
    check: impl Fn(&Store, bool, &str),
) {
    let (template, made) = store();
    made.disk.fail_after(u64::MAX, true); // nothing fails, and nothing is waited for
    make(&made);
    for dead in [true, false] {
        let mut left = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            copy(template.path(), folder.path());
            let store = Store::open(folder.path()).unwrap();
            store.disk.fail_after(left, dead);
            let done = change(&store);
            let unspent = store.disk.heal();
            let after = Store::open(folder.path()).unwrap();
            after.disk.fail_after(u64::MAX, true);
            check(&after, done.is_ok(), &format!("{left} dead={dead}"));
            if unspent > 0 {
                assert!(done.is_ok());
                break;
            }
            left += if left > 40 { stride } else { 1 }; // every step at first, then strides that hit every file
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => fs::copy(entry.path(), target).map(|_| ()).unwrap(),
        }
    }
}

#[test]
fn a_publication_that_stops_anywhere_leaves_what_was_there() {
    let before = set(&[("a.test", "1"), ("b.test", "1")]);
    let after = changed(&before, "a.test", "2");
    stop_everywhere(
        37,
        |store| {
            good(store, &before);
        },
        |store| store.publish(&after, Some(1), &cause()).map(|_| ()),
        |store, done, place| {
            assert_eq!(store.load(1).unwrap().1.hash(), before.hash(), "{place}");
            let history = store.history().unwrap();
            assert_eq!((history.current, history.start_with(true)), (Some(1), Some(1)), "{place}");
            assert_eq!(history.entry(1).unwrap().state, State::Good, "{place}");
            assert_eq!(store.start(true).unwrap().units.hash(), before.hash(), "{place}");
            match store.load(2) {
                Ok((_, units)) => assert_eq!(units.hash(), after.hash(), "{place}"),
                Err(fault) => assert!(!done && matches!(fault, StoreFault::NoSuch(2)), "{place}: {fault}"),
            }
            // And it goes on from there.
            let number = store.publish(&after, None, &cause()).unwrap().number;
            assert_eq!(store.load(number).unwrap().1.hash(), after.hash(), "{place}");
        },
    );
}

#[test]
fn an_update_that_stops_anywhere_leaves_the_old_history_or_the_new() {
    let units = set(&[("a.test", "1")]);
    stop_everywhere(
        37,
        |store| {
            good(store, &units);
            store.publish(&changed(&units, "a.test", "2"), None, &cause()).unwrap();
        },
        |store| store.update(|history| history.adopted(2, 5_000)),
        |store, done, place| {
            let history = store.history().unwrap();
            let current = history.current;
            assert!(
                if done { current == Some(2) } else { current == Some(1) || current == Some(2) },
                "{place}"
            );
            assert_eq!(history.entries.len(), 2, "{place}");
            assert_eq!(history.entry(1).unwrap().state, State::Good, "{place}");
        },
    );
}

#[test]
fn pruning_that_stops_anywhere_leaves_every_snapshot_whole_or_gone() {
    let units = many(60);
    let text = |round: u32| format!("{{\"round\":{round}}}");
    stop_everywhere(
        1_009,
        |store| {
            good(store, &units);
            for round in 0..13 {
                store.publish(&changed(&units, "site7.test", &text(round)), None, &cause()).unwrap();
            }
        },
        |store| {
            store.prune(10)?;
            let _lock = lock(&store.root, "store.lock", true)?;
            store.collect(true)
        },
        |store, done, place| {
            let numbers: Vec<u64> =
                store.history().unwrap().entries.iter().map(|entry| entry.number).collect();
            assert!(numbers.len() >= 11 && numbers.contains(&1), "{place}: {numbers:?}");
            assert!(!done || numbers.len() == 11, "{place}: {numbers:?}");
            for number in numbers {
                store.load(number).unwrap_or_else(|fault| panic!("{place}: {fault}"));
            }
        },
    );
}

#[test]
fn a_newest_snapshot_cut_off_at_any_byte_is_told_and_the_one_before_starts() {
    let (folder, store) = store();
    let before = set(&[("a.test", "1"), ("b.test", "1")]);
    good(&store, &before);
    let after = changed(&before, "a.test", "2");
    let newest = good(&store, &after);
    let fresh = || Store::open(folder.path()).unwrap();
    for path in [pack_of(&store, newest), store.manifest_path(newest)] {
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let fault = fresh().load(newest).unwrap_err();
            assert!(matches!(fault, StoreFault::Damaged { .. }), "{length} of {}: {fault}", path.display());
            let start = fresh().start(true).unwrap();
            assert_eq!((start.manifest.number, start.units.hash()), (1, before.hash()));
            assert_eq!(start.passed_over.len(), 1);
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(fresh().start(true).unwrap().units.hash(), after.hash());
    }
}

#[test]
fn a_byte_that_changed_anywhere_is_never_taken_for_the_content() {
    let (folder, store) = store();
    let before = set(&[("a.test", "1"), ("b.test", "1")]);
    good(&store, &before);
    let after = changed(&before, "a.test", "2");
    let newest = good(&store, &after);
    for path in [pack_of(&store, 1), pack_of(&store, newest), store.manifest_path(newest)] {
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1 << (at % 8);
            fs::write(&path, &torn).unwrap();
            let store = Store::open(folder.path()).unwrap();
            for (number, wanted) in [(1, &before), (newest, &after)] {
                if let Ok((_, units)) = store.load(number) {
                    assert_eq!(units.hash(), wanted.hash(), "{at} of {}", path.display());
                    assert_eq!(
                        units
                            .iter()
                            .map(|unit| Hash::of_unit(unit.kind, &unit.name, &unit.bytes))
                            .collect::<Vec<_>>(),
                        units.iter().map(|unit| unit.hash).collect::<Vec<_>>()
                    );
                }
            }
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_history_cut_off_at_any_byte_is_made_up_for() {
    let (folder, store) = store();
    let units = set(&[("a.test", "1")]);
    good(&store, &units);
    good(&store, &changed(&units, "a.test", "2"));
    let path = store.root.join("history.json");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let history = Store::open(folder.path()).unwrap().history().unwrap();
        assert_eq!(history.entries.len(), 2);
        assert_eq!(history.entry(1).unwrap().state, State::Good, "from the version before");
        assert_eq!(history.newest_number, 2);
    }
    // Without the one before it too: what manifests say.
    fs::remove_file(store.root.join("history.old.json")).unwrap();
    let history = store.history().unwrap();
    assert_eq!(history.entries.iter().map(|entry| entry.state).collect::<Vec<_>>(), [State::Trial; 2]);
    assert_eq!((history.start_with(true), history.newest_number), (Some(2), 2));
    // The next update mends the file.
    store.update(|_| ()).unwrap();
    assert_eq!(store.history().unwrap(), history);
    assert!(fs::read(&path).unwrap().len() > 100);
}

#[test]
fn a_zone_that_is_damaged_in_every_snapshot_is_left_out_and_the_others_are_served() {
    let (folder, store) = store();
    let units = set(&[("a.test", "{\"a\":\"here\"}"), ("b.test", "{}")]);
    good(&store, &units);
    let path = pack_of(&store, 1);
    let mut pack = fs::read(&path).unwrap();
    let at = pack.windows(4).position(|four| four == b"here").unwrap();
    pack[at] = b'H';
    fs::write(&path, pack).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let fault = store.load(1).unwrap_err();
    assert!(fault.to_string().contains("zone \"a.test\" is damaged"), "{fault}");
    let start = store.start(true).unwrap();
    assert_eq!(start.units.count(UnitKind::Zone), 1);
    assert_eq!((&*start.replaced[0].name, start.replaced[0].with), ("a.test", Instead::Nothing));
    assert_eq!((start.manifest.number, start.manifest.content), (2, start.units.hash()));
    assert_eq!(store.load(2).unwrap().1.hash(), start.units.hash());
}

#[test]
fn a_unit_in_quarantine_is_replaced_by_its_newest_other_version_or_left_out() {
    let (folder, store) = store();
    let units = set(&[("a.test", "1"), ("b.test", "1")]);
    good(&store, &units);
    let mut worse = changed(&units, "a.test", "2");
    worse.insert(UnitKind::Zone, "new.test", Bytes::from_static(b"new"));
    worse.insert(UnitKind::List, "bad", Bytes::from_static(b"list"));
    let number = good(&store, &worse);
    store
        .update(|history| {
            for unit in [
                worse.get(UnitKind::Zone, "a.test"),
                worse.get(UnitKind::Zone, "new.test"),
                worse.get(UnitKind::List, "bad"),
            ] {
                history.quarantine_unit(UnitPrefix(unit.unwrap().hash.prefix()), "it hurts", 9_000);
            }
        })
        .unwrap();
    let (_, effective, replaced) = store.effective(number).unwrap();
    assert_eq!(replaced.len(), 3);
    let with = |name: &str| replaced.iter().find(|replaced| &*replaced.name == name).unwrap().with;
    let old = units.get(UnitKind::Zone, "a.test").unwrap().hash;
    assert_eq!(with("a.test"), Instead::Version { hash: old, from: 1 });
    assert_eq!(with("new.test"), Instead::Nothing);
    assert_eq!(with("bad"), Instead::Itself, "zones may name it");
    assert_eq!(&effective.get(UnitKind::Zone, "a.test").unwrap().bytes[..], b"1");
    // What starts is a snapshot of its own, by which it is known what runs, and starting again makes no further one.
    for _ in 0..2 {
        let start = Store::open(folder.path()).unwrap().start(true).unwrap();
        assert_eq!((start.manifest.number, start.manifest.content), (3, effective.hash()));
        assert_eq!(start.units.hash(), effective.hash());
        assert_eq!(start.manifest.cause.who, "quarantine");
    }
    let named = store.history().unwrap().quarantined_units;
    let unit = UnitPrefix(worse.get(UnitKind::Zone, "new.test").unwrap().hash.prefix());
    assert_eq!(named[&unit].unit, Some((UnitKind::Zone, "new.test".to_owned())));
    // The last zone there is stays, ill or not.
    let only = set(&[("a.test", "2")]);
    let last = store.publish(&only, None, &cause()).unwrap().number;
    fs::remove_file(store.manifest_path(1)).unwrap();
    fs::remove_file(store.manifest_path(3)).unwrap();
    let (_, units, replaced) = store.effective(last).unwrap();
    assert_eq!((units.count(UnitKind::Zone), replaced[0].with), (1, Instead::Itself));
}

#[test]
fn the_disk_holds_what_is_named_and_not_much_more() {
    let (_folder, store) = quick();
    let units = many(300);
    let first = good(&store, &units);
    let mut last = units.clone();
    for round in 0..200 {
        last = changed(&last, &format!("site{}.test", round % 300), &format!("{{\"round\":{round}}}"));
        let number = store.publish(&last, None, &cause()).unwrap().number;
        store.update(|history| history.adopted(number, 5_000)).unwrap();
        store.prune(12).unwrap();
        assert!(store.packs().unwrap().len() <= crate::gc::PACKS_MAX + 1);
    }
    let history = store.history().unwrap();
    assert_eq!(history.entries.len(), 13, "twelve and the newest good one");
    for entry in &history.entries {
        assert_eq!(store.load(entry.number).unwrap().1.hash(), entry.content);
    }
    assert!(history.entry(first).is_some());
    let lock = lock(&store.root, "store.lock", true).unwrap();
    store.collect(true).unwrap();
    drop(lock);
    assert!(pack_bytes(&store) < 3 * last.bytes() + 100_000, "{}", pack_bytes(&store));
    assert_eq!(store.packs().unwrap().len(), 1);
    assert_eq!(store.load(history.newest_number).unwrap().1.hash(), last.hash());
    // After packs were put together a change is still a small one, and whole.
    let before = pack_bytes(&store);
    let next = changed(&last, "site3.test", "{\"next\":1}");
    let number = store.publish(&next, None, &cause()).unwrap().number;
    assert!(pack_bytes(&store) - before < 6_000);
    assert_eq!(
        Store::open(store.root.parent().unwrap()).unwrap().load(number).unwrap().1.hash(),
        next.hash()
    );
}

#[test]
fn packs_that_others_took_away_are_noticed_at_the_next_publication() {
    let (folder, store) = store();
    let units = many(100);
    store.publish(&units, None, &cause()).unwrap();
    fs::remove_file(pack_of(&store, 1)).unwrap();
    let next = changed(&units, "site7.test", "{}");
    let number = store.publish(&next, None, &cause()).unwrap().number;
    assert_eq!(Store::open(folder.path()).unwrap().load(number).unwrap().1.hash(), next.hash());
}

#[test]
fn many_threads_of_several_stores_lose_nothing() {
    let (folder, store) = store();
    good(&store, &many(50));
    let path = folder.path().to_owned();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let path = path.clone();
            std::thread::spawn(move || {
                let store = Store::open(&path).unwrap();
                for round in 0..8 {
                    let units = changed(&many(50), "site7.test", &format!("{thread} {round}"));
                    let number = store.publish(&units, None, &Cause::new("file", "x")).unwrap().number;
                    store
                        .update(|history| {
                            let text = history.source.take().unwrap_or_default();
                            history.source = Some(format!("{text}{number} "));
                        })
                        .unwrap();
                    assert_eq!(store.load(number).unwrap().1.hash(), units.hash());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let history = store.history().unwrap();
    assert_eq!(history.entries.len(), 33);
    let told: BTreeSet<u64> =
        history.source.unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(told, (2..=33).collect());
}

#[test]
fn keys_are_private_and_a_lost_one_takes_no_snapshot_with_it() {
    let (folder, store) = store();
    let units = many(3);
    good(&store, &units);
    let mode = |name: &str| fs::metadata(store.root.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("snapshot.key"), mode("snapshot.pub")), (0o600, 0o644));
    let text = fs::read_to_string(store.root.join("snapshot.key")).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "PEM");
    for lost in ["snapshot.key", "snapshot.pub"] {
        fs::write(store.root.join(lost), "").unwrap();
        let other = Store::open(folder.path()).unwrap();
        assert_eq!(other.load(1).unwrap().1.hash(), units.hash());
        let next = other.publish(&changed(&units, "a.test", lost), None, &cause()).unwrap().number;
        assert_eq!(other.load(next).unwrap().0.number, next);
        assert_eq!(other.load(1).unwrap().1.hash(), units.hash());
    }
    assert_eq!(fs::read_to_string(store.root.join("snapshot.pub")).unwrap().lines().count(), 3, "two keys");
}

#[test]
fn a_manifest_of_a_stranger_is_refused_until_its_key_is_trusted() {
    let (_folder, ours) = store();
    let (_other, theirs) = store();
    let units = many(3);
    good(&ours, &units);
    theirs.publish(&many(4), None, &cause()).unwrap();
    theirs.publish(&many(5), None, &cause()).unwrap();
    fs::copy(theirs.manifest_path(2), ours.manifest_path(2)).unwrap();
    for number in [1, 2] {
        fs::copy(pack_of(&theirs, number), ours.pack_folder().join(format!("{number:010}-9.pack"))).unwrap();
    }
    let fault = ours.load(2).unwrap_err();
    assert!(fault.to_string().contains("not signed by a key that is trusted here"), "{fault}");
    assert_eq!(ours.start(true).unwrap().manifest.number, 1);
    let key = fs::read_to_string(theirs.root.join("snapshot.pub")).unwrap();
    let list = ours.root.join("snapshot.pub");
    fs::write(&list, fs::read_to_string(&list).unwrap() + &key).unwrap();
    assert_eq!(ours.load(2).unwrap().1.hash(), many(5).hash());
    // A manifest under another number is not that number's.
    fs::copy(ours.manifest_path(1), ours.manifest_path(7)).unwrap();
    assert!(ours.load(7).unwrap_err().to_string().contains("that of snapshot 1"));
}

#[test]
fn a_full_disk_forgets_no_quarantine() {
    let (_folder, store) = store();
    let units = many(3);
    good(&store, &units);
    let number = store.publish(&changed(&units, "a.test", "{}"), None, &cause()).unwrap().number;
    let reserve = store.root.join("reserve");
    assert!(fs::metadata(&reserve).unwrap().len() > 200_000);
    let history = store.history().unwrap();
    let ledger = Ledger::new(&store.root, &store.disk);
    // No room until the reserve is gone.
    store.disk.full_while(&reserve);
    let mut changed = history;
    assert!(changed.quarantine(number, "it hurts"));
    ledger.write(&changed, true).unwrap();
    store.disk.heal();
    assert!(!reserve.exists());
    assert_eq!(store.history().unwrap().entry(number).unwrap().state, State::Quarantined);
    store.publish(&many(4), None, &cause()).unwrap();
    assert!(reserve.exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_read() {
    let (folder, store) = store();
    let units = many(30);
    good(&store, &units);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    store.disk.fail_after(0, true);
    let start = store.start(true).unwrap();
    assert_eq!((start.manifest.number, start.units.hash()), (1, units.hash()));
    assert!(store.publish(&many(31), None, &cause()).unwrap_err().is_full());
    assert!(store.update(|history| history.adopted(1, 9)).unwrap_err().is_full());
}

#[test]
fn what_a_dead_writer_left_is_swept_away() {
    let (_folder, store) = store();
    let left = [store.pack_folder().join("0000000009.pack.tmp"), store.root.join("0000000009.json.tmp")];
    for path in &left {
        fs::write(path, "half").unwrap();
    }
    store.publish(&many(2), None, &cause()).unwrap();
    assert!(left.iter().all(|path| !path.exists()));
}
