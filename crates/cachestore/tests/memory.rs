//! The memory tier: bounds, eviction, what a burst does to it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use bytes::Bytes;
use seawall_cachestore::{Config, Key, Meta, SLICE, Store};

fn put(store: &Store, key: u128, len: usize) -> bool {
    let meta = Meta { status: 200, ..Meta::default() };
    store.insert(&Key(key), store.seq(), meta, Bytes::from(vec![0; len])).is_some()
}

#[test]
fn memory_stays_within_its_bound_whatever_the_sizes() {
    let store = Store::open(&Config { memory: 24 << 20, ..Config::default() });
    for i in 0..3000u128 {
        let len = (i as usize).wrapping_mul(7919) % SLICE;
        put(&store, i, if i % 3 == 0 { len } else { len % 5000 });
        assert!(store.stats().memory_bytes <= 24 << 20);
    }
    let stats = store.stats();
    assert!(stats.memory_evictions > 0 && stats.memory_bytes > 12 << 20, "{stats:?}");
}

#[test]
fn a_burst_of_one_hit_wonders_does_not_flush_the_hot_set() {
    let store = Store::open(&Config { memory: 32 << 20, ..Config::default() });
    let hot = 0..200u128;
    for key in hot.clone() {
        put(&store, key, 50_000);
    }
    for _ in 0..3 {
        hot.clone().for_each(|key| drop(store.memory(&Key(key))));
    }
    // Ten times what memory holds, each asked for once; now and then the hot ones.
    for key in 1000..7400u128 {
        put(&store, key, 50_000);
        if key % 16 == 0 {
            let _ = store.memory(&Key((key / 16) % 200));
        }
    }
    let left = hot.filter(|key| store.memory(&Key(*key)).is_some()).count();
    assert!(left >= 190, "{left} of 200 left");
}

#[test]
fn a_huge_object_does_not_flush_the_hot_set() {
    let store = Store::open(&Config { memory: 64 << 20, ..Config::default() });
    for key in 0..100u128 {
        put(&store, key, 100_000);
    }
    for _ in 0..3 {
        (0..100).for_each(|key| drop(store.memory(&Key(key))));
    }
    for key in 1000..1500u128 {
        put(&store, key, SLICE - 4096);
    }
    let left = (0..100).filter(|key| store.memory(&Key(*key)).is_some()).count();
    assert!(left >= 90, "{left} of 100 left");
}

#[test]
fn without_memory_nothing_is_kept_and_nothing_breaks() {
    let store = Store::open(&Config { memory: 0, ..Config::default() });
    assert_eq!(store.max_object(), 0);
    assert!(!put(&store, 1, 10));
    assert!(store.memory(&Key(1)).is_none());
    assert_eq!(store.stats().memory_bytes, 0);
}

#[test]
fn replacing_and_removing_give_the_bytes_back() {
    let store = Store::open(&Config::default());
    put(&store, 1, 100_000);
    put(&store, 1, 10);
    assert!(store.stats().memory_bytes < 2000);
    assert!(store.remove(&Key(1)) && !store.remove(&Key(1)));
    assert_eq!((store.stats().memory_bytes, store.stats().memory_entries), (0, 0));
}

#[test]
fn without_a_disk_no_thread_is_started() {
    let store = Store::open(&Config::default());
    put(&store, 1, 10);
    let names = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = names.filter_map(|t| std::fs::read_to_string(t.path().join("comm")).ok());
    assert_eq!(names.filter(|n| n.starts_with("seawall-")).count(), 0);
    assert!(store.flush(std::time::Duration::ZERO));
}
