//! The documents written from tables are current.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)] // a test may

use std::path::Path;

use seawall_telemetry::docs;

fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{name} is not current: run UPDATE_DOCS=1 cargo nextest run -p seawall-telemetry docs"
    );
}

#[test]
fn the_docs_of_the_access_log_are_current() {
    check("access-log.md", &docs::access_log());
}

#[test]
fn the_docs_of_the_metrics_are_current() {
    check("metrics.md", &docs::metrics());
}

#[test]
fn the_docs_of_the_timeline_are_current() {
    check("timeline.md", &docs::timeline());
}
