//! What a hundred thousand zones cost. Figures, not pass or fail but for bounds that leave room for slow machines:
//!
//! ```text
//! cargo nextest run --release -p seawall-edge scale --run-ignored all --no-capture
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)] // a test may

use super::tests::means;
use super::*;
use seawall_model::HostPattern;
use seawall_snapshot::codec::encode_zone;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ZONES: usize = 100_000;

/// An ordinary small zone: two hosts, two origins, three routes.
fn zone(n: usize, port: u16) -> model::Zone {
    let name = format!("customer-{n}.example.com");
    let origin = |m: usize| {
        model::Origin::new(
            model::OriginUrl::parse(&format!("http://app-{m}.customer-{n}.internal:{port}")).unwrap(),
        )
    };
    let pool = model::Pool::new("origin", vec![origin(1), origin(2)]);
    let hosts = [&name, &format!("*.{name}")].map(|h| HostPattern::parse(h).unwrap()).to_vec();
    let mut zone = model::Zone::new(&name, hosts, vec![pool]);
    let mut assets = model::Route::to("origin");
    assets.path = model::PathPattern::parse("/static/*").unwrap();
    assets.edge_ttl = Some(Duration::from_secs(3600));
    let mut api = model::Route::to("origin");
    api.path = model::PathPattern::parse("/api/*").unwrap();
    api.cache = model::RouteCache::Bypass;
    zone.routes.splice(0..0, [assets, api]);
    zone
}

fn units(count: usize) -> Units {
    let mut units = codec::units_of(&model::Site::default(), &codec::DataFiles::new());
    for n in 0..count {
        let zone = zone(n, 80);
        units.insert(UnitKind::Zone, &zone.name, encode_zone(&zone));
    }
    units
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
#[ignore = "takes seconds, and measures"]
fn a_hundred_thousand_zones() {
    let means = means();
    let (warm, _) = Compiler { means: &means, old: None }.units(&units(100));
    let empty = resident();
    let units = units(ZONES);
    let held = resident() - empty;
    // Taken when they are read from disk: their hashes are checked there.
    let began = Instant::now();
    black_box(units.hash());
    eprintln!("hash of all units: {:?}", began.elapsed());
    let bytes = units.bytes() / ZONES as u64;
    let began = Instant::now();
    let (live, faults) = Compiler { means: &means, old: None }.units(&units);
    let start = began.elapsed();
    assert!(faults.is_empty());
    let whole = resident() - empty;
    eprintln!("units: {bytes} bytes of JSON a zone, {} bytes resident a zone", held / ZONES as u64);
    eprintln!("start: {start:?} for {ZONES} zones");
    eprintln!("memory: {} bytes an idle zone, unit included", whole / ZONES as u64);
    assert!(whole / (ZONES as u64) < 4096);

    let mut live = Arc::new(live);
    let (mut made, mut freed, mut changed) = (Vec::new(), Vec::new(), units.clone());
    for n in 0..50_u16 {
        let at = usize::from(n) * 1999 % ZONES;
        let zone = zone(at, 8000 + n);
        changed.insert(UnitKind::Zone, &zone.name, encode_zone(&zone));
        let began = Instant::now();
        let (next, faults) = Compiler { means: &means, old: Some(&live) }.units(&changed);
        next.settle();
        made.push(began.elapsed());
        assert!(faults.is_empty());
        let began = Instant::now();
        live = Arc::new(next);
        freed.push(began.elapsed());
    }
    made.sort_unstable();
    freed.sort_unstable();
    eprintln!("one change: median {:?}, worst {:?}", made[25], made[49]);
    eprintln!("freeing what it replaced: median {:?}, worst {:?}", freed[25], freed[49]);
    assert!(made[25] < Duration::from_millis(50));

    let began = Instant::now();
    let asked = 1000;
    for n in 0..asked {
        let slot = live.find(format!("www.customer-{}.example.com", n * 97 % ZONES).as_bytes()).unwrap();
        black_box(live.zone(slot).unwrap());
    }
    eprintln!("first use: {:?} a zone", began.elapsed() / asked as u32);
    let before = resident();
    for slot in 0..20_000 {
        black_box(live.zone(slot).unwrap());
    }
    eprintln!("memory: {} bytes more for a zone in use", (resident().saturating_sub(before)) / 20_000);
    let began = Instant::now();
    let rounds = 1_000_000_usize;
    let names: Vec<String> = (0..1000).map(|n| format!("customer-{}.example.com", n * 97 % ZONES)).collect();
    for n in 0..rounds {
        let slot = live.find(names[n % 1000].as_bytes()).unwrap();
        black_box(live.zone(slot).unwrap());
    }
    eprintln!("finding a zone: {:?}", began.elapsed() / rounds as u32);

    let mut half = changed.clone();
    for n in 0..ZONES / 10 {
        let zone = zone(n, 9000);
        half.insert(UnitKind::Zone, &zone.name, encode_zone(&zone));
    }
    let began = Instant::now();
    let (many, _) = Compiler { means: &means, old: Some(&live) }.units(&half);
    eprintln!("{} changes: {:?}", ZONES / 10, began.elapsed());
    drop(many);
    let began = Instant::now();
    drop(live);
    eprintln!("freeing all: {:?}", began.elapsed());
    drop(warm);
}

#[test]
#[ignore = "prints sizes"]
fn sizes() {
    use std::mem::size_of;
    eprintln!(
        "Entry {} Zone {} Route {} Pool {} Origin {}",
        size_of::<Entry>(),
        size_of::<Zone>(),
        size_of::<Route>(),
        size_of::<Pool>(),
        size_of::<Origin>()
    );
    eprintln!(
        "doc Zone {} Route {} Pool {} Origin {}",
        size_of::<model::Zone>(),
        size_of::<model::Route>(),
        size_of::<model::Pool>(),
        size_of::<model::Origin>()
    );
    eprintln!(
        "balance Pool {} policy {} stages {} tls {}",
        size_of::<seawall_balance::Pool>(),
        size_of::<seawall_httpcache::Policy>(),
        size_of::<crate::stages::Stages>(),
        size_of::<Option<seawall_net::tls::client::OriginTls>>()
    );
}
