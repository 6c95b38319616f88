//! The disk tier: restarts, damage, bounds, failures.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use bytes::Bytes;
use seawall_cachestore::{Config, Join, Key, Labels, Meta, Object, Purge, SLICE, Store, Unstored};
use seawall_http::{Fields, Known};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(20);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn open(path: &Path, memory: u64, disk: u64) -> Store {
    let store = Store::open(&Config { memory, disk, path: path.to_path_buf(), ..Config::default() });
    let end = Instant::now() + WAIT;
    while !store.stats().disk_indexed {
        assert!(Instant::now() < end, "the scan does not end");
        std::thread::yield_now();
    }
    store
}

fn close(store: Store) {
    assert!(store.flush(WAIT));
}

fn meta(path: &str) -> Meta {
    let mut fields = Fields::new();
    fields.add(Known::ContentType, b"text/plain");
    fields.push(b"X-Odd", b"1");
    Meta {
        status: 203,
        fields,
        stored: Bytes::from_static(b"policy"),
        labels: Labels::new("z", b"h", path.as_bytes(), [&b"tag"[..]]),
        created_ms: 123,
        vary: Some(Bytes::from_static(b"accept")),
        extra: Bytes::from_static(b"more"),
        ..Meta::default()
    }
}

fn pattern(len: usize, seed: u32) -> Bytes {
    (0..len as u32).map(|i| (i ^ seed).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn put(store: &Store, key: u128, path: &str, body: &Bytes) -> Arc<Object> {
    let Join::Lead(mut fill) = store.join(&Key(key), None) else { panic!("someone leads or has {key}") };
    assert!(fill.head(meta(path)));
    for chunk in body.chunks(100_000) {
        fill.push(body.slice_ref(chunk));
    }
    fill.finish().unwrap()
}

async fn read(object: &Object) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for i in 0..object.body().slices() {
        all.extend_from_slice(&object.body().slice(i).await?);
    }
    Some(all)
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut list = Vec::new();
    for folder in fs::read_dir(path).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
        for sub in fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
            list.extend(fs::read_dir(sub).unwrap().flatten().map(|e| e.path()));
        }
    }
    list
}

#[test]
fn objects_small_and_sliced_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (pattern(5000, 1), pattern(3 * SLICE + 5, 2));
    let store = open(folder.path(), 64 << 20, 64 << 20);
    put(&store, 1, "/small", &small);
    put(&store, 2, "/large", &large);
    put(&store, 3, "/empty", &Bytes::new());
    let seq = store.seq();
    close(store);

    let store = open(folder.path(), 64 << 20, 64 << 20);
    assert!(store.memory(&Key(1)).is_none());
    block_on(async {
        let object = store.get(&Key(1)).await.unwrap();
        assert_eq!(object.meta, Meta { body_len: Some(5000), ..meta("/small") });
        assert_eq!(object.body().whole(), Some(&small));
        let object = store.get(&Key(2)).await.unwrap();
        assert_eq!(object.body().whole(), None);
        assert!(read(&object).await.unwrap() == large);
        assert!(object.body().slice(4).await.is_none());
        assert!(store.get(&Key(3)).await.unwrap().body().is_empty());
        assert!(store.get(&Key(4)).await.is_none());
    });
    assert!(store.memory(&Key(1)).is_some(), "what was read is in memory");
    assert!(store.seq() > seq, "sequences go on");
    let stats = store.stats();
    assert_eq!((stats.disk_hits, stats.disk_misses, stats.disk_entries), (3 + 4, 1, 3 + 4), "{stats:?}");
}

#[test]
fn purges_and_removals_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let body = pattern(100, 3);
    let store = open(folder.path(), 1 << 20, 64 << 20);
    for (key, path) in [(1, "/a/1"), (2, "/a/2"), (3, "/b/3"), (4, "/c/4"), (5, "/d/5")] {
        put(&store, key, path, &body);
    }
    store.purge(&Purge::Prefix { zone: "z", host: b"h", path: b"/a" });
    put(&store, 2, "/a/2", &body);
    store.remove(&Key(3));
    close(store);

    let store = open(folder.path(), 1 << 20, 64 << 20);
    let alive = |key| block_on(store.get(&Key(key))).is_some();
    assert_eq!([1, 2, 3, 4, 5].map(alive), [false, true, false, true, true]);
    store.purge(&Purge::Url { zone: "z", host: b"h", target: b"/c/4" });
    close(store);

    let store = open(folder.path(), 1 << 20, 64 << 20);
    let alive = |key| block_on(store.get(&Key(key))).is_some();
    assert_eq!([1, 2, 3, 4, 5].map(alive), [false, true, false, false, true]);
    store.purge(&Purge::Everything);
    close(store);
    let store = open(folder.path(), 1 << 20, 64 << 20);
    assert!((1..6).all(|key| block_on(store.get(&Key(key))).is_none()));
    assert_eq!(store.stats().purged, 2);
    assert!(files(folder.path()).len() < 5, "what was found dead is deleted");
}

#[test]
fn a_refreshed_head_outlives_a_restart_with_its_body() {
    let folder = tempfile::tempdir().unwrap();
    let body = pattern(2 * SLICE, 4);
    let store = open(folder.path(), 64 << 20, 64 << 20);
    let old = put(&store, 1, "/", &body);
    store.refresh(&old, Meta { created_ms: 999, ..meta("/") });
    drop(old);
    close(store);
    let store = open(folder.path(), 64 << 20, 64 << 20);
    block_on(async {
        let object = store.get(&Key(1)).await.unwrap();
        assert_eq!(object.meta.created_ms, 999);
        assert!(read(&object).await.unwrap() == body);
    });
}

#[test]
fn an_object_larger_than_memory_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let body = pattern(30 * SLICE + 1, 5);
    let store = open(folder.path(), 8 << 20, 128 << 20);
    let object = put(&store, 1, "/", &body);
    assert!(store.flush(WAIT));
    assert!(block_on(read(&object)).unwrap() == body);
    assert!(store.stats().memory_bytes <= 8 << 20);
    assert!(store.stats().disk_hits > 15);
}

#[test]
fn replacing_or_removing_an_object_deletes_its_slices_once_no_one_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 64 << 20, 64 << 20);
    let old = put(&store, 1, "/", &pattern(3 * SLICE, 6));
    store.remove(&Key(1));
    assert!(store.flush(WAIT));
    assert!(block_on(read(&old)).is_some(), "who reads it reads it to the end");
    assert_eq!(files(folder.path()).len(), 3);
    drop(old);
    assert!(store.flush(WAIT));
    assert_eq!(files(folder.path()).len(), 0);
    assert_eq!((store.stats().memory_entries, store.stats().disk_entries), (0, 0));

    let Join::Lead(mut fill) = store.join(&Key(2), None) else { panic!() };
    fill.head(meta("/"));
    fill.push(Bytes::from(vec![0; 4 * SLICE]));
    drop(fill);
    assert!(store.flush(WAIT));
    assert_eq!(files(folder.path()).len(), 0, "nor does a fetch that broke off leave any");
}

#[test]
fn damaged_files_are_misses_and_are_deleted_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let body = pattern(4000, 7);
    let store = open(folder.path(), 0, 64 << 20);
    for key in 0..6 {
        put(&store, key, "/", &body);
    }
    put(&store, 6, "/", &pattern(SLICE + 9, 8));
    close(store);
    let list = files(folder.path());
    let named = |key: u128| list.iter().find(|p| p.ends_with(format!("{key:032x}"))).unwrap();
    let damage = |key: u128, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(named(key)).unwrap();
        change(&mut bytes);
        fs::write(named(key), bytes).unwrap();
    };
    damage(0, &|b| *b.last_mut().unwrap() ^= 1);
    damage(1, &|b| b.truncate(70));
    damage(2, &|b| b.clear());
    damage(3, &|b| b[3] = b'x');
    damage(4, &|b| b.extend_from_slice(&[0; 100]));
    fs::copy(named(5), named(0)).unwrap();
    let slice = list.iter().find(|p| p.to_string_lossy().ends_with("-1")).unwrap();
    fs::write(slice, b"").unwrap();

    let store = open(folder.path(), 0, 64 << 20);
    block_on(async {
        for key in 0..5 {
            assert!(store.get(&Key(key)).await.is_none(), "{key}");
        }
        assert!(store.get(&Key(5)).await.is_some());
        let cut = store.get(&Key(6)).await.unwrap();
        assert!(cut.body().slice(0).await.is_some());
        assert!(cut.body().slice(1).await.is_none(), "a lost slice is for the caller to fetch again");
    });
    assert_eq!(store.stats().disk_corrupt, 6);
    assert!(store.flush(WAIT));
    assert_eq!(files(folder.path()).len(), 3);
}

#[test]
fn what_does_not_belong_in_the_folder_is_deleted_by_the_scan() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0, 64 << 20);
    put(&store, 1, "/", &pattern(10, 9));
    close(store);
    let good = files(folder.path()).remove(0);
    let sub = good.parent().unwrap();
    fs::write(sub.join("new-123-4"), b"left behind").unwrap();
    fs::write(sub.join("stray"), b"").unwrap();
    fs::write(sub.join(format!("{:032x}", 77)), vec![0; 4 << 20]).unwrap();
    let store = open(folder.path(), 0, 64 << 20);
    assert_eq!(files(folder.path()), [good]);
    assert!(block_on(store.get(&Key(1))).is_some());
}

#[test]
fn without_its_purge_marks_nothing_old_is_used() {
    for loss in [None, Some(&b"garbage that is longer than a header is......."[..]), Some(b"")] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 0, 64 << 20);
        put(&store, 1, "/", &pattern(10, 10));
        close(store);
        let log = folder.path().join("purges");
        match loss {
            None => fs::remove_file(&log).unwrap(),
            Some(bytes) => fs::write(&log, bytes).unwrap(),
        }
        let store = open(folder.path(), 0, 64 << 20);
        assert!(block_on(store.get(&Key(1))).is_none());
        put(&store, 1, "/", &pattern(10, 10));
        close(store);
        let store = open(folder.path(), 0, 64 << 20);
        assert!(block_on(store.get(&Key(1))).is_some(), "and from then on all is well");
    }
}

#[test]
fn a_folder_that_cannot_be_opened_leaves_memory_to_serve() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let store = Store::open(&Config { disk: 64 << 20, path: file.join("cache"), ..Config::default() });
    put(&store, 1, "/", &pattern(10, 11));
    assert!(block_on(store.get(&Key(1))).is_some());
    assert_eq!((store.stats().disk_errors, store.stats().disk_capacity), (1, 0));
    assert!(store.flush(WAIT));
}

#[test]
fn a_disk_that_fails_leaves_memory_to_serve_and_is_not_asked_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 64 << 20, 64 << 20);
    // As good as a full disk: no file can be made any more.
    let objects =
        fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir()).unwrap();
    fs::remove_dir_all(&objects).unwrap();
    fs::write(&objects, b"").unwrap();
    for key in 0..50 {
        put(&store, key, "/", &pattern(1000, 12));
        assert!(store.flush(WAIT));
    }
    assert!((0..50).all(|key| store.memory(&Key(key)).is_some()));
    let stats = store.stats();
    assert!(stats.disk_errors >= 1 && stats.disk_errors < 10 && stats.disk_busy > 40, "{stats:?}");
}

#[test]
fn an_object_neither_tier_could_keep_is_not_stored_with_holes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 8 << 20, 128 << 20);
    let objects =
        fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir()).unwrap();
    fs::remove_dir_all(&objects).unwrap();
    fs::write(&objects, b"").unwrap();
    let Join::Lead(mut fill) = store.join(&Key(1), None) else { panic!() };
    fill.head(meta("/"));
    for _ in 0..30 {
        fill.push(Bytes::from(vec![0; SLICE]));
        assert!(store.flush(WAIT));
    }
    assert_eq!(fill.finish().unwrap_err(), Unstored::Incomplete);
    assert!(block_on(store.get(&Key(1))).is_none());
}

#[test]
fn a_body_with_a_lost_slice_says_so_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0, 64 << 20);
    put(&store, 1, "/", &pattern(3 * SLICE, 14));
    assert!(block_on(store.get(&Key(1))).unwrap().body().is_complete());
    close(store);
    fs::remove_file(files(folder.path()).iter().find(|p| p.to_string_lossy().ends_with("-1")).unwrap())
        .unwrap();
    let store = open(folder.path(), 0, 64 << 20);
    assert!(!block_on(store.get(&Key(1))).unwrap().body().is_complete());
}

#[test]
fn the_disk_stays_within_its_bound_and_keeps_what_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0, 24 << 20);
    put(&store, 9999, "/", &pattern(300_000, 0));
    for key in 0..200 {
        put(&store, key, "/", &pattern(300_000, key as u32));
        assert!(block_on(store.get(&Key(9999))).is_some());
        assert!(store.stats().disk_bytes <= 24 << 20);
    }
    close(store);
    let used: u64 = files(folder.path()).iter().map(|p| p.metadata().unwrap().len()).sum();
    assert!(used <= 24 << 20 && used > 16 << 20, "{used}");

    let store = open(folder.path(), 0, 8 << 20);
    assert!(store.stats().disk_bytes <= 8 << 20);
    let used: u64 = files(folder.path()).iter().map(|p| p.metadata().unwrap().len()).sum();
    assert!(used <= 8 << 20, "a smaller bound holds from the start");
}

#[test]
fn many_readers_of_one_file_read_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 64 << 20, 64 << 20);
    put(&store, 1, "/", &pattern(500_000, 13));
    close(store);
    let store = open(folder.path(), 64 << 20, 64 << 20);
    block_on(async {
        let key = Key(1);
        let mut readers: Vec<_> = (0..100).map(|_| Box::pin(store.get(&key))).collect();
        let mut found = Vec::new();
        for reader in &mut readers {
            // Polled in turn: all of them ask before the first is answered, or find it in memory.
            found.push(reader.await.unwrap());
        }
        assert!(found.iter().all(|o| Arc::ptr_eq(o, &found[0])));
    });
}

#[test]
fn an_answer_is_never_older_than_the_last_write_or_removal_whatever_the_tier() {
    let folder = tempfile::tempdir().unwrap();
    for memory in [0, 200_000] {
        let store = open(folder.path(), memory, 64 << 20);
        let threads: Vec<_> = (0..4u128)
            .map(|thread| {
                let store = store.clone();
                std::thread::spawn(move || {
                    let mut random = 12_345u64 + thread as u64;
                    let mut next = move || {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (random >> 33) as u32
                    };
                    let mut last = [None::<u64>; 8];
                    block_on(async {
                        for round in 0..600u64 {
                            let slot = next() as usize % last.len();
                            let key = Key(thread * 100 + slot as u128);
                            match next() % 4 {
                                0 => {
                                    let meta = Meta { created_ms: round, ..meta("/") };
                                    let body = Bytes::from(vec![slot as u8; 20_000]);
                                    store.insert(&key, store.seq(), meta, body).unwrap();
                                    last[slot] = Some(round);
                                }
                                1 => {
                                    store.remove(&key);
                                    last[slot] = None;
                                }
                                _ => {
                                    // A full queue may lose the newest, never bring back an older.
                                    if let Some(found) = store.get(&key).await {
                                        assert_eq!(Some(found.meta.created_ms), last[slot]);
                                    }
                                }
                            }
                        }
                        last
                    })
                })
            })
            .collect();
        let last: Vec<[Option<u64>; 8]> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert!(store.stats().disk_hits > 0);
        close(store);
        let store = open(folder.path(), memory, 64 << 20);
        for (thread, slots) in last.iter().enumerate() {
            for (slot, want) in slots.iter().enumerate() {
                let key = Key((thread * 100 + slot) as u128);
                let found = block_on(store.get(&key)).map(|o| o.meta.created_ms);
                assert_eq!(found, *want);
                store.remove(&key);
            }
        }
        close(store);
    }
}

#[test]
fn a_removal_at_the_moment_a_write_is_done_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0, 64 << 20);
    block_on(async {
        for round in 0..10_000u64 {
            // A key anew each time: the index knows nothing of it until it is written.
            let key = Key(u128::from(round));
            store.insert(&key, store.seq(), meta("/"), Bytes::from_static(b"x")).unwrap();
            // From before the write is begun until after it is done.
            let (begun, wait) = (Instant::now(), Duration::from_nanos(round * 97 % 60_000));
            while begun.elapsed() < wait {
                std::hint::spin_loop();
            }
            store.remove(&key);
            assert!(store.get(&key).await.is_none(), "round {round}");
        }
    });
    assert!(store.flush(WAIT));
    assert!(files(folder.path()).is_empty());
}
