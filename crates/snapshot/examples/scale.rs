//! Costs of many zones: `cargo run -p seawall-snapshot --example scale [ZONES]`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that fails is to end

use std::time::Instant;

use seawall_model::{HostPattern, Origin, OriginUrl, Pool, Zone};
use seawall_snapshot::{Bytes, Cause, Store, UnitKind, Units, encode_zone, review};

fn zone(i: usize) -> Bytes {
    let name = format!("site{i}.example");
    let origin =
        Origin::new(OriginUrl::parse(&format!("http://10.0.{}.{}:3000", i / 250 % 250, i % 250)).unwrap());
    let hosts = vec![HostPattern::parse(&name).unwrap(), HostPattern::parse(&format!("*.{name}")).unwrap()];
    encode_zone(&Zone::new(name, hosts, vec![Pool::new("app", vec![origin])]))
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    println!("{what:<58}{:>10.1} ms", began.elapsed().as_secs_f64() * 1000.0);
    result
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let cause = Cause::new("file", "a measurement");
    let bytes: Vec<Bytes> = timed("encode", || (0..count).map(zone).collect());
    let total: usize = bytes.iter().map(Bytes::len).sum();
    println!("{count} zones of {} bytes each", total / count);
    let before = resident_kib();
    let units = timed("put all in a set", || {
        let mut units = Units::new();
        for (i, bytes) in bytes.iter().enumerate() {
            units.insert(UnitKind::Zone, &format!("site{i}.example"), bytes.clone());
        }
        units
    });
    println!(
        "{:<58}{:>10} bytes",
        "memory of the set beside the bytes, a unit",
        (resident_kib() - before) * 1024 / count as u64
    );
    timed("hash, the first time", || units.hash());

    let store = Store::open(folder.path()).unwrap();
    timed("publish the first", || store.publish(&units, None, &cause).unwrap());
    store.update(|history| history.started(1, 0)).unwrap();
    let mut changed = units.clone();
    timed("change one", || {
        changed.insert(UnitKind::Zone, "site7.example", zone(8));
        changed.hash()
    });
    let changes = timed("changes() of one", || units.changes(&changed));
    assert_eq!(changes.len(), 1);
    let told = timed("review of one", || review(&units, &changed));
    println!("    {}", told.effects.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    timed("publish the one", || store.publish(&changed, Some(1), &cause).unwrap());

    let packs = std::fs::read_dir(store.folder().join("packs")).unwrap();
    let mut sizes: Vec<u64> = packs.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    sizes.sort_unstable();
    println!("{:<58}{sizes:>10?} bytes", "packs");

    let cold = Store::open(folder.path()).unwrap();
    let (_, loaded) = timed("load, another process", || cold.load(2).unwrap());
    assert_eq!(loaded.hash(), changed.hash());
    timed("load again, with most of it in memory", || cold.load(1).unwrap());
    timed("start(), another process", || Store::open(folder.path()).unwrap().start(false).unwrap());
    let other = Store::open(folder.path()).unwrap();
    let mut again = changed.clone();
    again.insert(UnitKind::Zone, "site8.example", zone(9));
    timed("publish one, another process that has nothing in mind", || {
        other.publish(&again, None, &cause).unwrap()
    });

    let mut anew: Units = Units::new();
    for (i, bytes) in bytes.iter().enumerate() {
        anew.insert(UnitKind::Zone, &format!("site{i}.example"), bytes.clone());
    }
    timed("changes() against a set built anew", || units.changes(&anew));
    timed("share() with a set built anew", || anew.share(&units));
    let mut fewer = units.clone();
    for i in 0..count / 3 {
        fewer.remove(UnitKind::Zone, &format!("site{i}.example"));
    }
    let told = timed("review of a third removed", || review(&units, &fewer));
    println!("    {}", told.needs.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    timed("update of the history", || other.update(|history| history.adopted(2, 9)).unwrap());
    timed("history()", || other.history().unwrap());
    timed("prune", || other.prune(10).unwrap());
}
