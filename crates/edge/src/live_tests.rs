//! What `seawall check` accepts, the edge can serve.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use super::*;
use seawall_balance as balance;
use seawall_net::resolver;
use seawall_snapshot::schema::{Kind, ROOT, Table};
use std::path::Path;

thread_local! {
    // The system's authorities are read once.
    static MEANS: Arc<Means> = Arc::new(Means {
        resolver: resolver::Resolver::system(resolver::Settings::default()),
        configs: Default::default(),
        registry: Arc::new(seawall_telemetry::Registry::new("test")),
        sabotage: None,
        bench: crate::recorder::Slot::unseen(),
    });
}

pub(crate) fn means() -> Arc<Means> {
    MEANS.with(Arc::clone)
}

fn compile(site: &model::Site) -> (Live, Vec<UnitFault>) {
    Compiler { means: &means(), old: None }.site(site)
}

pub(crate) fn live(text: &str) -> Live {
    compile(&site(text)).0
}

fn site(text: &str) -> model::Site {
    let parsed = seawall_snapshot::parse(text, Path::new("/nowhere"), &[]);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    parsed.site.unwrap()
}

/// Numbers enough to choose by (an LCG's upper bits, Knuth).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[usize::try_from(self.below(texts.len() as u64)).unwrap()]
    }

    /// A number of a range: often an end of it, now and then outside.
    fn count(&mut self, low: u64, high: u64) -> u64 {
        match self.below(30) {
            0 => low.saturating_sub(1),
            1 => high + 1,
            2..=9 => low,
            10..=15 => high,
            _ => low + self.below((high - low).min(100_000) + 1),
        }
    }
}

/// A table with some of its keys, after the table of keys itself: a key that is added is tried as well.
fn table(dice: &mut Dice, of: &'static Table, fixed: &str) -> String {
    let mut entries: Vec<String> = fixed.split('\n').filter(|e| !e.is_empty()).map(str::to_owned).collect();
    for key in of.keys {
        let stands = entries.iter().any(|e| e.starts_with(&format!("{} ", key.name)));
        if stands || dice.below(4) > 0 {
            continue;
        }
        let value = match (key.name, key.kind) {
            ("hash_key", _) => {
                format!("{:?}", dice.of(&["ip", "path", "uri", "header:X-A", "cookie:c", "odd"]))
            }
            ("sni", _) => format!("{:?}", dice.of(&["tls.test", "10.0.0.1", "[::1]", "a_b.test", "*.test"])),
            ("host", _) => {
                format!("{:?}", dice.of(&["www.test", "www.test:81", "[::1]:81", "a_b.test", "10.1.1.1"]))
            }
            (_, Kind::Flag) => dice.of(&["true", "false"]).to_owned(),
            (_, Kind::Count(low, high)) => dice.count(low, high).to_string(),
            (_, Kind::Duration(low, high)) => format!("\"{}ms\"", dice.count(low, high)),
            (_, Kind::Choice(words)) => format!("{:?}", dice.of(words)),
            (_, Kind::Table(inner)) => table(dice, inner, ""),
            _ => continue,
        };
        entries.push(format!("{} = {value}", key.name));
    }
    format!("{{ {} }}", entries.join(", "))
}

fn inner(of: &'static Table, name: &str) -> &'static Table {
    match of.key(name).unwrap().kind {
        Kind::Table(inner) | Kind::Tables(inner) => inner,
        other => panic!("{name} is {other:?}"),
    }
}

fn pool(dice: &mut Dice) -> String {
    let of_pool = inner(inner(&ROOT, "zone"), "pool");
    let of_origin = inner(of_pool, "origins");
    let count = if dice.below(10) == 0 { dice.count(1, 64) } else { 1 + dice.below(3) };
    let origins: Vec<String> = (0..count)
        .map(|i| {
            let host = dice.of(&[
                "http://h#.test",
                "https://h#.test",
                "https://10.0.0.#:8443",
                "http://[::#]",
                "https://a_b#.test",
            ]);
            let mut fixed = format!("url = \"{}\"\n", host.replace('#', &i.to_string()));
            if dice.below(4) == 0 {
                fixed.push_str(&format!("name = \"n{}\"\n", i + dice.below(2)));
            }
            table(dice, of_origin, &fixed)
        })
        .collect();
    table(dice, of_pool, &format!("name = \"p\"\norigins = [{}]", origins.join(", ")))
}

#[test]
fn every_pool_that_the_check_accepts_can_be_served() {
    let mut accepted = 0;
    for seed in 0..3000 {
        let text = format!("zone = [{{ name = \"a.test\", pool = [{}] }}]", pool(&mut Dice(seed)));
        let parsed = seawall_snapshot::parse(&text, Path::new("/nowhere"), &[]);
        let Some(site) = parsed.site.filter(|site| !site.zones.is_empty()) else { continue };
        accepted += 1;
        let (live, faults) = compile(&site);
        assert!(faults.is_empty(), "{text}\n{faults:?}");
        assert_eq!(live.zones.len(), 1);
    }
    assert!(accepted > 500, "only {accepted} of the texts say anything");
}

#[test]
fn as_many_origins_as_the_check_allows_can_be_served() {
    let most = model::limits::ORIGINS.value;
    assert_eq!(most, balance::MAX_MEMBERS as u64);
    assert!(model::limits::WEIGHT.value <= u64::from(balance::MAX_WEIGHT));
    let origins: Vec<String> =
        (0..most).map(|i| format!("{{ url = \"http://h{i}.test\", weight = 10000 }}")).collect();
    let text = format!(
        "zone = [{{ name = \"a.test\", pool = [{{ name = \"p\", origins = [{}] }}] }}]",
        origins.join(", ")
    );
    let parsed = seawall_snapshot::parse(&text, Path::new("/nowhere"), &[]);
    assert!(!parsed.has_errors());
    assert!(compile(&parsed.site.unwrap()).1.is_empty());
}

#[test]
fn ejection_can_be_turned_off_and_the_limit_on_requests_held() {
    let text = "zone = [{ name = \"a.test\", pool = [{ name = \"p\", origins = [{ url = \"http://h.test\" }], \
                ejection = { consecutive_failures = 0 }, concurrency = { adaptive = false, max = 77 } }] }]";
    let (live, faults) = compile(&site(text));
    assert!(faults.is_empty());
    let pool = &live.only().unwrap().pools[0].balance;
    assert_eq!(pool.snapshot(0).members[0].limit, Some(77));
}
