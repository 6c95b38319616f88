//! Many zones: linear time, and one bad zone among them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::path::Path;

use seawall_model::limits;
use seawall_snapshot::parse;

fn zones(count: usize, bad: Option<usize>) -> String {
    let mut text = String::new();
    for i in 0..count {
        let scheme = if bad == Some(i) { "htp" } else { "http" };
        let _ = write!(
            text,
            "[[zone]]\nname = \"site{i}.example\"\n\n[[zone.pool]]\nname = \"app\"\norigins = [{{ url = \"{scheme}://10.0.{}.{}:3000\" }}]\n\n\
             [[zone.route]]\npath = \"/static/*\"\npool = \"app\"\nedge_ttl = \"1h\"\n\n[[zone.route]]\npool = \"app\"\n\n",
            i / 250 % 250,
            i % 250
        );
    }
    text
}

#[test]
fn ten_thousand_zones_are_read_and_the_bad_one_is_named() {
    let text = zones(10_000, Some(7_000));
    let started = std::time::Instant::now();
    let parsed = parse(&text, Path::new("/etc/seawall"), &[]);
    println!("10,000 zones, {} KiB: {:?}", text.len() / 1024, started.elapsed());
    let site = parsed.site.unwrap();
    assert_eq!(site.zones.len(), 9_999);
    assert_eq!(site.zones[7_000].name, "site7001.example");
    assert_eq!(parsed.problems.len(), 1);
    let problem = &parsed.problems[0];
    assert_eq!(problem.zone.as_deref(), Some("site7000.example"));
    assert_eq!(problem.path, "zone[7000].pool[0].origins[0].url");
    assert_eq!(problem.line, Some(7_000 * 15 + 6));
}

/// Not run by itself: `cargo nextest run -p seawall-snapshot --run-ignored only`.
#[test]
#[ignore = "takes seconds without optimisation"]
fn a_hundred_thousand_zones_are_read() {
    let text = zones(100_000, None);
    assert!((text.len() as u64) < limits::FILE_BYTES.value);
    let started = std::time::Instant::now();
    let parsed = parse(&text, Path::new("/etc/seawall"), &[]);
    println!("100,000 zones, {} KiB: {:?}", text.len() / 1024, started.elapsed());
    assert_eq!(parsed.problems, []);
    assert_eq!(parsed.site.unwrap().zones.len(), 100_000);
}

#[test]
fn a_file_wrong_in_every_zone_gives_a_bounded_report() {
    let mut text = String::new();
    for i in 0..6_000 {
        let _ = write!(text, "[[zone]]\nnmae = \"a{i}\"\n");
    }
    let parsed = parse(&text, Path::new(""), &[]);
    assert!(parsed.site.unwrap().zones.is_empty());
    assert_eq!(parsed.problems.len() as u64, limits::PROBLEMS.value + 1);
    // Three for each zone: the unknown key, the missing name, the missing pool.
    assert_eq!(parsed.problems.last().unwrap().message, "8000 more problems are not listed");
}
