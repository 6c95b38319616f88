//! Fetches shared by waiters.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use seawall_cachestore::{
    Config, Fill, Followed, Follower, Join, Key, Labels, Lost, Meta, Purge, SLICE, Store, Unstored,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn meta(path: &str) -> Meta {
    Meta { status: 200, labels: Labels::new("z", b"h", path.as_bytes(), []), ..Meta::default() }
}

fn lead(store: &Store, key: u128) -> Fill {
    match store.join(&Key(key), None) {
        Join::Lead(fill) => fill,
        other => panic!("expected to lead, got {other:?}"),
    }
}

fn follow(store: &Store, key: u128) -> Follower {
    match store.join(&Key(key), None) {
        Join::Follow(follower) => follower,
        other => panic!("expected to follow, got {other:?}"),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

async fn drain(follower: &mut Follower) -> Result<Vec<u8>, Lost> {
    let mut all = Vec::new();
    while let Some(chunk) = follower.next().await {
        let chunk = chunk?;
        assert!(!chunk.is_empty() && chunk.len() <= SLICE);
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

#[test]
fn a_thousand_waiters_on_four_threads_stream_one_fetch() {
    let store = Store::open(&Config::default());
    let body = Arc::new(pattern(3 * SLICE + 17));
    let (leads, started) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let first = lead(&store, 1);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (store, leads, started, body) = (store.clone(), leads.clone(), started.clone(), body.clone());
            thread::spawn(move || {
                let local = tokio::task::LocalSet::new();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                local.block_on(&runtime, async {
                    let tasks: Vec<_> = (0..250)
                        .map(|_| {
                            let (store, leads, body) = (store.clone(), leads.clone(), body.clone());
                            started.fetch_add(1, Ordering::SeqCst);
                            tokio::task::spawn_local(async move {
                                let Join::Follow(mut follower) = store.join(&Key(1), None) else {
                                    leads.fetch_add(1, Ordering::SeqCst);
                                    return;
                                };
                                assert!(
                                    matches!(follower.head().await, Followed::Head(m) if m.status == 200)
                                );
                                let mut read = 0;
                                while let Some(chunk) = follower.next().await {
                                    let chunk = chunk.unwrap();
                                    assert!(chunk == body[read..read + chunk.len()]);
                                    read += chunk.len();
                                }
                                assert_eq!(read, body.len());
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            })
        })
        .collect();
    let mut fill = first;
    while fill.followers() < 1000 {
        thread::yield_now();
    }
    assert!(fill.head(meta("/")));
    for chunk in body.chunks(60_000) {
        assert!(fill.push(Bytes::copy_from_slice(chunk)));
        thread::yield_now();
    }
    let object = fill.finish().unwrap();
    assert_eq!(object.body().len(), body.len() as u64);
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(leads.load(Ordering::SeqCst), 0);
    let stats = store.stats();
    assert_eq!((stats.fills, stats.followed, stats.admitted, stats.fills_now), (1, 1000, 1, 0));
    assert_eq!(stats.fill_bytes, 0, "the fill's memory is given back");
}

#[test]
fn followers_read_while_the_leader_still_pushes() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    let mut follower = follow(&store, 1);
    fill.head(meta("/"));
    block_on(async {
        assert!(matches!(follower.head().await, Followed::Head(_)));
        fill.push(Bytes::from_static(b"one"));
        assert_eq!(follower.next().await, Some(Ok(Bytes::from_static(b"one"))));
        fill.push(Bytes::from_static(b"two"));
        let mut late = follow(&store, 1);
        assert_eq!(follower.next().await, Some(Ok(Bytes::from_static(b"two"))));
        fill.finish().unwrap();
        assert_eq!(follower.next().await, None);
        assert_eq!(drain(&mut late).await.unwrap(), b"onetwo");
    });
    assert_eq!(store.memory(&Key(1)).unwrap().body().whole().unwrap(), &Bytes::from_static(b"onetwo"));
}

#[test]
fn giving_up_makes_waiters_retry_and_readers_fail() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    let (mut waiting, mut reading) = (follow(&store, 1), follow(&store, 1));
    block_on(async {
        drop(lead(&store, 2));
        fill.head(meta("/"));
        fill.push(Bytes::from_static(b"half"));
        assert!(matches!(reading.head().await, Followed::Head(_)));
        drop(fill);
        assert_eq!(reading.next().await, Some(Ok(Bytes::from_static(b"half"))));
        assert_eq!(reading.next().await, Some(Err(Lost::Aborted)));
        assert!(matches!(waiting.head().await, Followed::Retry));
    });
    assert!(store.memory(&Key(1)).is_none());
    assert_eq!(store.stats().aborted, 2);
    drop((waiting, reading));
    assert_eq!(store.stats().fill_bytes, 0);
    drop(lead(&store, 1));
}

#[test]
fn refusing_sends_followers_their_own_way() {
    let store = Store::open(&Config::default());
    let fill = lead(&store, 1);
    let mut follower = follow(&store, 1);
    fill.refuse();
    assert!(matches!(block_on(follower.head()), Followed::Refused));
}

#[test]
fn a_body_of_the_wrong_length_is_not_stored() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    let mut follower = follow(&store, 1);
    fill.head(Meta { body_len: Some(5), ..meta("/") });
    fill.push(Bytes::from_static(b"four"));
    assert_eq!(fill.finish().unwrap_err(), Unstored::Length { want: 5, got: 4 });
    assert!(store.memory(&Key(1)).is_none());
    block_on(async {
        assert!(matches!(follower.next().await, Some(Ok(_))));
        assert_eq!(follower.next().await, Some(Err(Lost::Aborted)));
    });
}

#[test]
fn objects_above_the_limit_are_refused_by_head_or_cut_off_by_length() {
    let store = Store::open(&Config { max_object: 2 << 20, ..Config::default() });
    let mut fill = lead(&store, 1);
    let mut follower = follow(&store, 1);
    assert!(!fill.head(Meta { body_len: Some(3 << 20), ..meta("/") }));
    assert!(matches!(block_on(follower.head()), Followed::Refused));

    let mut fill = lead(&store, 2);
    let mut follower = follow(&store, 2);
    assert!(fill.head(meta("/")));
    let body = pattern(3 << 20);
    for chunk in body.chunks(1 << 18) {
        assert!(fill.push(Bytes::copy_from_slice(chunk)));
    }
    assert!(matches!(store.join(&Key(2), None), Join::Lead(_)), "no one new follows what will not be kept");
    assert!(matches!(fill.finish(), Err(Unstored::TooLarge { .. })));
    assert!(block_on(drain(&mut follower)).unwrap() == body, "those who followed have it all the same");
    assert!(store.memory(&Key(2)).is_none());
}

#[test]
fn a_slow_follower_reads_from_the_tiers_and_costs_no_memory() {
    let store = Store::open(&Config { memory: 256 << 20, ..Config::default() });
    let mut fill = lead(&store, 1);
    let mut slow = follow(&store, 1);
    fill.head(meta("/"));
    let chunk = Bytes::from(pattern(1 << 18));
    for _ in 0..4 * 40 {
        fill.push(chunk.clone());
        assert!(store.stats().fill_bytes <= 10 << 20);
    }
    assert!(matches!(block_on(slow.next()), Some(Ok(_))));
    fill.finish().unwrap();
    assert_eq!(block_on(drain(&mut slow)).map(|b| b.len()), Ok(39 << 20));
}

#[test]
fn a_follower_too_slow_for_a_small_cache_is_cut_off_and_the_leader_goes_on() {
    let store = Store::open(&Config { memory: 48 << 20, ..Config::default() });
    let mut fill = lead(&store, 1);
    let mut slow = follow(&store, 1);
    fill.head(meta("/"));
    // Other objects come and go while the follower sleeps, until what it has not read is gone.
    for i in 0..20 {
        fill.push(Bytes::from(vec![i; SLICE]));
    }
    for i in 100..400 {
        store.insert(&Key(i), store.seq(), meta("/x"), Bytes::from(vec![0; SLICE - 4096]));
        let _ = store.memory(&Key(i));
        let _ = store.memory(&Key(i));
    }
    assert_eq!(block_on(drain(&mut slow)), Err(Lost::Behind));
    assert_eq!(store.stats().lost, 1);
    assert_eq!(fill.finish().unwrap_err(), Unstored::Incomplete, "what is full of holes is not stored");
}

#[test]
fn fills_set_memory_aside_at_the_head_and_without_it_are_refused() {
    let store = Store::open(&Config { fill_memory: 4 << 20, ..Config::default() });
    let known = Meta { body_len: Some(SLICE as u64), ..meta("/") };
    let mut fills: Vec<Fill> = (0..6).map(|i| lead(&store, i)).collect();
    let mut waiting = follow(&store, 5);
    let begun: Vec<bool> = fills.iter_mut().map(|f| f.head(known.clone())).collect();
    assert_eq!(begun, [true, true, true, true, false, false]);
    assert!(matches!(block_on(waiting.head()), Followed::Refused));
    for fill in fills.iter_mut().take(4) {
        for _ in 0..16 {
            assert!(fill.push(Bytes::from(vec![0; 1 << 16])));
        }
    }
    assert_eq!(store.stats().fill_bytes, 4 << 20);
    assert_eq!(fills.into_iter().filter_map(|f| f.finish().ok()).count(), 4);
    assert_eq!(store.stats().fill_bytes, 0);
}

#[test]
fn bodies_of_unknown_length_cannot_take_more_than_twice_the_memory_for_fills() {
    let store = Store::open(&Config { fill_memory: 4 << 20, ..Config::default() });
    let mut fills: Vec<Fill> = (0..16).map(|i| lead(&store, i)).collect();
    fills.iter_mut().for_each(|f| assert!(f.head(meta("/"))));
    let followers: Vec<Follower> = fills.iter().take(8).map(Fill::follow).collect();
    for _ in 0..16 {
        for fill in &mut fills {
            fill.push(Bytes::from(vec![0; 60_000]));
        }
        assert!(store.stats().fill_bytes <= (8 << 20) + 60_000);
    }
    let ends: Vec<bool> = fills.into_iter().map(|f| f.finish().is_ok()).collect();
    assert!(ends.iter().take(8).all(|ok| *ok), "those someone waits for go on: {ends:?}");
    assert!(ends.iter().any(|ok| !*ok));
    drop(followers);
}

#[test]
fn the_leader_follows_itself_to_the_end_of_what_is_not_stored() {
    let store = Store::open(&Config::default());
    for spoil in ["purge", "remove"] {
        let mut fill = lead(&store, 1);
        fill.head(meta("/"));
        let mut own = fill.follow();
        fill.push(Bytes::from_static(b"all of it"));
        match spoil {
            "purge" => store.purge(&Purge::Everything),
            _ => drop(store.remove(&Key(1))),
        }
        assert_eq!(fill.finish().unwrap_err(), Unstored::Purged);
        assert_eq!(block_on(drain(&mut own)).unwrap(), b"all of it");
    }
}

#[test]
fn single_bytes_do_not_cost_a_buffer_each() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    let mut follower = follow(&store, 1);
    fill.head(meta("/"));
    let body = pattern(20_000);
    body.iter().for_each(|b| assert!(fill.push(Bytes::copy_from_slice(&[*b]))));
    fill.finish().unwrap();
    assert!(block_on(drain(&mut follower)).unwrap() == body);
}

#[test]
fn whoever_comes_late_is_given_what_was_stored_meanwhile_but_not_what_it_has_seen() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    fill.head(meta("/"));
    let object = fill.finish().unwrap();
    assert!(matches!(store.join(&Key(1), None), Join::Stored(o) if Arc::ptr_eq(&o, &object)));
    assert!(matches!(store.join(&Key(1), Some(&object)), Join::Lead(_)));
}

#[test]
fn one_refresh_at_a_time_and_its_followers_get_the_refreshed_object() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    fill.head(meta("/"));
    fill.push(Bytes::from_static(b"body"));
    let old = fill.finish().unwrap();
    let refresh = store.try_lead(&Key(1)).unwrap();
    assert!(store.try_lead(&Key(1)).is_none());
    let Join::Follow(mut follower) = store.join(&Key(1), Some(&old)) else { panic!() };
    let new = refresh.refresh(&old, Meta { created_ms: 7, ..meta("/") });
    assert!(matches!(block_on(follower.head()), Followed::Head(m) if m.created_ms == 7));
    assert_eq!(block_on(drain(&mut follower)).unwrap(), b"body");
    assert!(Arc::ptr_eq(&store.memory(&Key(1)).unwrap(), &new));
    assert!(store.try_lead(&Key(1)).is_some());
}

#[test]
fn a_refresh_does_not_bring_back_what_was_removed_replaced_or_purged() {
    let store = Store::open(&Config::default());
    let put = |key: u128| {
        let mut fill = lead(&store, key);
        fill.head(meta("/p"));
        fill.finish().unwrap()
    };
    let removed = put(1);
    store.remove(&Key(1));
    store.refresh(&removed, meta("/p"));
    assert!(store.memory(&Key(1)).is_none());

    let replaced = put(2);
    let newer = store.insert(&Key(2), store.seq(), meta("/p"), Bytes::new()).unwrap();
    store.refresh(&replaced, meta("/p"));
    assert!(Arc::ptr_eq(&store.memory(&Key(2)).unwrap(), &newer));

    let purged = put(3);
    store.purge(&Purge::Prefix { zone: "z", host: b"h", path: b"/p" });
    store.refresh(&purged, meta("/q"));
    assert!(store.memory(&Key(3)).is_none());
}

#[test]
fn a_purge_during_a_fetch_keeps_its_result_out_and_newcomers_ask_anew() {
    let store = Store::open(&Config::default());
    let purge = Purge::Url { zone: "z", host: b"h", target: b"/" };
    // Without a head no one knows whether the purge hits it.
    let mut before = lead(&store, 1);
    store.purge(&purge);
    let mut after = lead(&store, 1);
    assert!(matches!(store.join(&Key(1), None), Join::Follow(_)));
    assert!(before.head(meta("/")));
    assert_eq!(before.finish().unwrap_err(), Unstored::Purged);
    assert!(store.try_lead(&Key(1)).is_none(), "the old fill does not take the new one off the list");
    // With a head it is known.
    after.head(meta("/"));
    store.purge(&Purge::Url { zone: "z", host: b"h", target: b"/other" });
    assert!(matches!(store.join(&Key(1), None), Join::Follow(_)));
    after.finish().unwrap();
    assert!(store.memory(&Key(1)).is_some());
}

#[test]
fn a_removal_during_a_fetch_keeps_its_result_out() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    fill.head(meta("/"));
    store.remove(&Key(1));
    assert!(matches!(store.join(&Key(1), None), Join::Lead(_)));
    assert_eq!(fill.finish().unwrap_err(), Unstored::Purged);
    assert!(store.memory(&Key(1)).is_none());
}

#[test]
fn a_variant_is_stored_and_followed_under_its_own_key() {
    let store = Store::open(&Config::default());
    let mut fill = lead(&store, 1);
    fill.vary_to(Key(100));
    fill.head(meta("/"));
    let mut follower = follow(&store, 100);
    let _primary = follow(&store, 1);
    let body = pattern(SLICE + 1);
    fill.push(Bytes::from(body.clone()));
    fill.finish().unwrap();
    assert!(store.memory(&Key(1)).is_none());
    assert_eq!(store.memory(&Key(100)).unwrap().key(), Key(100));
    assert!(block_on(drain(&mut follower)).unwrap() == body);
    assert_eq!(store.stats().fills_now, 0);
}

#[test]
fn leaders_and_followers_racing_on_many_keys_always_end_well() {
    let store = Store::open(&Config { memory: 32 << 20, ..Config::default() });
    let threads: Vec<_> = (0..6)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || {
                block_on(async move {
                    for round in 0..400u32 {
                        let key = Key(u128::from((round * 7 + thread) % 13));
                        let body = Bytes::from(vec![key.0 as u8; 1000 * (1 + key.0 as usize)]);
                        match store.join(&key, None) {
                            Join::Lead(mut fill) => {
                                fill.head(meta("/"));
                                tokio::task::yield_now().await;
                                let half = body.len() / 2;
                                fill.push(body.slice(..half));
                                if round % 11 != 0 {
                                    fill.push(body.slice(half..));
                                    let _ = fill.finish();
                                }
                            }
                            Join::Follow(mut follower) => {
                                if let Followed::Head(_) = follower.head().await
                                    && let Ok(all) = drain(&mut follower).await
                                {
                                    assert_eq!(all, body);
                                }
                            }
                            Join::Stored(object) => assert_eq!(object.body().whole(), Some(&body)),
                        }
                        if round % 5 == 0 {
                            store.remove(&key);
                        }
                        if round % 50 == 0 {
                            store.purge(&Purge::Everything);
                        }
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let stats = store.stats();
    assert_eq!((stats.fills_now, stats.fill_bytes), (0, 0));
}
