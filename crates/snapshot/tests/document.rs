//! `docs/configuration.md` is what the table of keys says.
#![allow(clippy::unwrap_used)]

#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let wanted = seawall_snapshot::document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/configuration.md differs from the table of keys; run UPDATE_DOCS=1 cargo nextest run -p seawall-snapshot"
    );
}
