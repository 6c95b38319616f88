//! The document written from the tables is current.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use std::path::Path;

#[test]
fn the_docs_of_modules_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/modules.md");
    let expected = seawall_guard::docs::modules();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/modules.md is not current: run UPDATE_DOCS=1 cargo nextest run -p seawall-guard docs"
    );
}
