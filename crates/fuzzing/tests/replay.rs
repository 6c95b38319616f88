//! Every corpus file and seeded mutations of them through every target, on the stable compiler.
//!
//! `SEAWALL_FUZZ_SECONDS=60 cargo nextest run -p seawall-fuzzing replay` goes on for longer, with other seeds each run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use seawall_fuzzing::mutate::{Random, mutated};
use seawall_fuzzing::{TARGETS, Target};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Mutations of each corpus in a usual run.
const MUTATIONS: usize = 30_000;

/// How long one target may take in a usual run; slow machines get through fewer mutations, in the same order.
const TARGET_TIME: Duration = Duration::from_millis(600);

/// Longest mutated input, in bytes.
const INPUT_MAX: usize = 4_096;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|file| (name(file), fs::read(file).unwrap())).collect()
}

/// Runs a target on an input; on a panic tells which input it was.
fn run(target: &Target, origin: &str, input: &[u8]) -> Result<(), String> {
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    ran.map_err(|_| format!("{} on {origin}:\n    b\"{}\"", target.name, input.escape_ascii()))
}

#[test]
fn replay_of_every_corpus_and_mutations_of_it_finds_nothing() {
    let longer: Option<u64> = std::env::var("SEAWALL_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let (time, mutations, seed) = match longer {
        Some(seconds) => {
            let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
            (Duration::from_secs(seconds) / TARGETS.len() as u32, usize::MAX, seed)
        }
        None => (TARGET_TIME, MUTATIONS, 1),
    };
    let mut found = Vec::new();
    for target in TARGETS {
        let began = Instant::now();
        let files = corpus(target);
        found.extend(files.iter().filter_map(|(name, input)| run(target, name, input).err()));
        let seeds: Vec<Vec<u8>> = files.into_iter().map(|(_, input)| input).collect();
        let mut random = Random::new(seed);
        let mut tried = 0;
        while tried < mutations && began.elapsed() < time {
            tried += 1;
            let input = mutated(&seeds, &mut random, INPUT_MAX);
            if let Err(told) = run(target, &format!("mutation {tried} of seed {seed}"), &input) {
                found.push(told);
                break;
            }
        }
        println!(
            "{}: {} files, {tried} mutations, {} ms",
            target.name,
            seeds.len(),
            began.elapsed().as_millis()
        );
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_target_has_a_corpus_and_a_program_for_libfuzzer() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        assert!(corpus(target).len() >= 5, "fuzz/corpus/{name} has too few seeds");
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap_or_default();
        assert!(program.contains(&format!("seawall_fuzzing::{name}(data)")), "fuzz/fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml has no [[bin]] {name}");
    }
    let programs = fs::read_dir(fuzz().join("fuzz_targets")).unwrap().count();
    assert_eq!(programs, TARGETS.len(), "a program under fuzz/fuzz_targets is in no table");
    let corpora = fs::read_dir(fuzz().join("corpus")).unwrap().count();
    assert_eq!(corpora, TARGETS.len(), "a folder under fuzz/corpus is of no target");
}
