//! Commands that need no running edge: exit codes and what they print.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Origin, Seawall, binary, seawall, seawall_in};

const GOOD: &str = r#"
[edge]
http = "127.0.0.1:0"

[[zone]]
name = "example.com"
pool = [{ name = "app", origins = [{ url = "http://127.0.0.1:3000" }] }]

[[zone]]
name = "example.org"
pool = [
  { name = "app", origins = [{ url = "http://127.0.0.1:3000" }] },
  { name = "static", origins = [{ url = "http://127.0.0.1:3001" }] },
]
route = [{ path = "/static/*", pool = "static" }, { pool = "app" }]
"#;

fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seawall.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn the_version_is_printed_and_nonsense_is_a_usage_error() {
    let (code, out, _) = seawall(&["version"]);
    assert_eq!((code, out.starts_with("seawall ")), (0, true));
    for line in [
        &["fly"][..],
        &["run", "--wings"],
        &["run", "--http", "nowhere"],
        &["run", "--demo", "--origin", "http://a"],
    ] {
        assert_eq!(seawall(line).0, 2, "{line:?}");
    }
}

#[test]
fn a_good_file_is_ok_with_its_counts() {
    let (_dir, path) = file(GOOD);
    let (code, out, err) = seawall(&["check", &path]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("2 zones, 3 routes, 3 pools"), "{out}");
    let (code, out, _) = seawall(&["check", "--json", &path]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["valid"].as_bool(), json["zones"].as_u64()), (0, Some(true), Some(2)));
}

#[test]
fn every_problem_of_a_file_is_named_with_its_place_and_exit_3() {
    let bad = GOOD
        .replace("http://127.0.0.1:3001", "gopher://x")
        .replace("name = \"example.com\"", "nam = \"example.com\"");
    let (_dir, path) = file(&bad);
    let (code, out, _) = seawall(&["check", &path]);
    assert_eq!(code, 3, "{out}");
    for part in ["nam", "the scheme is neither", "line ", "fix: ", "error"] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
    let (code, out, _) = seawall(&["check", "--json", &path]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["valid"].as_bool()), (3, Some(false)));
    assert!(json["problems"].as_array().unwrap().len() >= 2, "{out}");
    assert!(json["problems"][0]["line"].as_u64().is_some(), "{out}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_exit_3() {
    assert_eq!(seawall(&["check", "/nonexistent.toml"]).0, 3);
    let (_dir, path) = file("[[zone");
    assert_eq!(seawall(&["check", &path]).0, 3);
    assert_eq!(seawall(&["run", "--config", &path]).0, 3);
    assert_eq!(seawall(&["edge", "--config", &path]).0, 3);
}

#[test]
fn run_without_anything_to_serve_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = seawall_in(dir.path(), &["run"]);
    assert_eq!(code, 2);
    assert!(err.contains("--origin") && err.contains("--demo") && err.contains("--config"), "{err}");
}

#[test]
fn run_finds_the_file_beside_it_and_names_it() {
    let origin = Origin::named("one");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seawall.toml");
    std::fs::write(&path, GOOD.replace("http://127.0.0.1:3000", &origin.url())).unwrap();
    let running = Seawall::run(binary(), &["--config", path.to_str().unwrap()]);
    let log = running.log();
    assert!(log.contains("seawall.toml (2 zones, 3 routes, 3 origins)") && log.contains("open"), "{log}");
}

#[test]
fn purging_with_an_empty_filter_is_refused_and_never_means_everything() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    for line in [
        &["purge"][..],
        &["purge", "--zone", "example.com"],
        &["purge", "--host", ""],
        &["purge", "--everything"],
        &["purge", "--everything", "--zone", ""],
    ] {
        let mut line = line.to_vec();
        line.extend(["--data-dir", place]);
        let (code, _, err) = seawall(&line);
        assert_eq!(code, 2, "{line:?}: {err}");
    }
}

#[test]
fn commands_for_a_running_edge_say_kindly_that_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    for line in [&["purge", "--tag", "a"][..], &["top", "--once"], &["upgrade"]] {
        let mut line = line.to_vec();
        line.extend(["--data-dir", place]);
        let (code, _, err) = seawall(&line);
        assert_eq!((code, err.contains("seawall run")), (1, true), "{line:?}: {err}");
    }
}
