//! `docs/units.md` is what the table of kinds says.
#![allow(clippy::unwrap_used)]

#[test]
fn the_document_of_units_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/units.md");
    let wanted = seawall_snapshot::units_document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/units.md differs from UNIT_KINDS; run UPDATE_DOCS=1 cargo nextest run -p seawall-snapshot"
    );
}
