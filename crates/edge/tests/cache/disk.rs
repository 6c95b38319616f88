//! The disk tier under the edge: restarts, damage, folders that cannot be used.

use crate::edge::{Edge, Setup};
use crate::origin::{Answer, Origin};
use std::path::{Path, PathBuf};

const DISK: Setup<'_> =
    Setup { edge: "", cache: "disk = \"64MiB\"", zone: "", routes: "", zones: "", alone: false };

fn pages() -> Origin {
    Origin::start(|a| {
        let answer = Answer::fresh(format!("{} {}", a.target, a.nth)).with("Cache-Tag", "t");
        match a.target.as_str() {
            "/varies" => answer.with("Vary", "X-Kind"),
            "/big" => Answer::fresh(vec![b'x'; 3 << 20]),
            _ => answer,
        }
    })
}

#[test]
fn what_was_stored_is_hit_after_a_restart_and_what_was_purged_is_not() {
    let (origin, dir) = (pages(), tempfile::tempdir().unwrap());
    let edge = Edge::at(dir.path(), &origin, DISK);
    edge.get("/a").is("MISS", "/a 0");
    edge.get("/purged").is("MISS", "/purged 0");
    edge.get_with("/varies", "X-Kind", "1").is("MISS", "/varies 0");
    assert_eq!(edge.get("/big").body.len(), 3 << 20);
    edge.purge(r#"{"files":["a.test/purged"]}"#);
    edge.stop();

    let edge = Edge::at(dir.path(), &origin, DISK);
    edge.get("/a").is("HIT", "/a 0");
    edge.get_with("/varies", "X-Kind", "1").is("HIT", "/varies 0");
    edge.get("/purged").is("MISS", "/purged 1");
    let big = edge.get("/big");
    assert_eq!((big.cf(), big.body.len(), big.whole), ("HIT", 3 << 20, true));
    // And a purge reaches what an earlier process stored.
    edge.purge(r#"{"tags":["t"]}"#);
    edge.get("/a").is("MISS", "/a 1");
    edge.stop();
}

#[test]
fn damaged_files_are_fetched_again_and_nothing_else_happens() {
    let (origin, dir) = (pages(), tempfile::tempdir().unwrap());
    let edge = Edge::at(dir.path(), &origin, DISK);
    edge.get("/a").is("MISS", "/a 0");
    assert_eq!(edge.get("/big").cf(), "MISS");
    edge.stop();
    for (n, file) in files(&dir.path().join("cache")).iter().enumerate() {
        let mut bytes = std::fs::read(file).unwrap();
        match n % 3 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.iter_mut().for_each(|b| *b ^= 0x55),
            _ => bytes.clear(),
        }
        std::fs::write(file, bytes).unwrap();
    }
    let edge = Edge::at(dir.path(), &origin, DISK);
    edge.get("/a").is("MISS", "/a 1");
    edge.get("/a").is("HIT", "/a 1");
    let big = edge.get("/big");
    assert_eq!((big.body.len(), big.whole), (3 << 20, true));
    edge.stop();
}

#[test]
fn a_folder_that_cannot_be_used_leaves_the_cache_in_memory() {
    let (origin, dir) = (pages(), tempfile::tempdir().unwrap());
    // A file where the folder should be: nothing can be made in it, not even by root.
    std::fs::write(dir.path().join("cache"), "in the way").unwrap();
    let edge = Edge::at(dir.path(), &origin, DISK);
    edge.get("/a").is("MISS", "/a 0");
    edge.get("/a").is("HIT", "/a 0");
    edge.stop();
}

#[test]
fn a_folder_that_goes_away_while_serving_costs_no_request() {
    let (origin, dir) = (pages(), tempfile::tempdir().unwrap());
    let edge = Edge::at(dir.path(), &origin, DISK);
    edge.get("/a").is("MISS", "/a 0");
    std::fs::remove_dir_all(dir.path().join("cache")).unwrap();
    std::fs::write(dir.path().join("cache"), "in the way").unwrap();
    edge.get("/b").is("MISS", "/b 0");
    edge.get("/b").is("HIT", "/b 0");
    edge.get("/a").is("HIT", "/a 0");
    edge.stop();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => all.extend(files(&path)),
            path => all.push(path),
        }
    }
    all
}
