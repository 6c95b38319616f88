//! The text of a `seawall.toml`.

use seawall_snapshot::{decode_edge, decode_list, decode_zone, encode_edge, encode_list, encode_zone, parse};
use std::path::Path;

/// A configuration file. Relative paths lead nowhere, so no certificate can be read.
pub fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parsed = parse(&text, Path::new("/nonexistent"), &[]);
    let lines = text.matches('\n').count() + 1;
    for problem in &parsed.problems {
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem}");
        let shown = problem.to_string();
        assert!(!problem.message.is_empty() && !shown.contains(['\u{1b}', '\0']), "{shown:?}");
    }
    let Some(site) = &parsed.site else {
        assert!(parsed.has_errors(), "a file is refused without a reason");
        return;
    };
    for zone in site.zones.iter().chain(&parsed.degraded) {
        assert!(!zone.hosts.is_empty() && !zone.pools.is_empty() && !zone.routes.is_empty(), "{zone:?}");
        assert!(zone.routes.iter().all(|route| zone.pool(&route.pool).is_some()), "{zone:?}");
        for pool in &zone.pools {
            assert!(!pool.origins.is_empty() && pool.fallback.iter().all(|name| zone.pool(name).is_some()));
        }
    }
    // What is taken here, every edge takes again from its unit.
    for zone in site.zones.iter().chain(&parsed.degraded) {
        assert_eq!(decode_zone(&encode_zone(zone)).as_ref(), Ok(zone));
    }
    for list in &site.lists {
        assert_eq!(decode_list(&encode_list(list)).as_ref(), Ok(list));
    }
    decode_edge(&encode_edge(&site.edge)).unwrap();
    // Reading is a function of the text.
    let again = parse(&text, Path::new("/nonexistent"), &[]);
    assert_eq!((again.site, again.problems.len()), (parsed.site, parsed.problems.len()));
}
