//! A score asks for no memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use seawall_human::{
    DEFAULT, FEATURES_MAX, FILE_BYTES_MAX, Feature, FeatureFile, Model, NODES_MAX, Node, Scratch, TREES_MAX,
    generate, sample,
};
use seawall_sys::alloc::{Counted, thread_allocated};
use std::alloc::System;

#[global_allocator]
static COUNTED: Counted<System> = Counted(System);

#[test]
fn a_score_allocates_nothing_and_neither_does_its_absence() {
    let heads: Vec<_> = sample::recorded().collect();
    let sound = Model::compile(&FeatureFile::parse(DEFAULT).unwrap()).unwrap();
    let bad = generate::bad(DEFAULT, "2026-11-18T11:20:00Z").unwrap();
    let broken = Model::compile_unchecked(&FeatureFile::parse_unchecked(&bad).unwrap());
    let mut scratch = Scratch::new();
    for (model, is_sound) in [(&sound, true), (&broken, false)] {
        let before = thread_allocated();
        let scored = heads.iter().filter(|head| model.score(&head.view(), &mut scratch).is_ok()).count();
        assert_eq!(thread_allocated() - before, 0);
        assert_eq!(scored, if is_sound { heads.len() } else { 0 });
    }
    assert!(thread_allocated() > 0, "nothing is counted");
}

#[test]
fn the_largest_file_stays_within_the_memory_of_its_module() {
    /// What the module may hold, in bytes.
    const HELD: usize = 16 << 20;
    /// What reading and compiling may ask for in all, in bytes: the limit of a data unit.
    const ASKED: u64 = 64 << 20;
    let mut largest = FeatureFile::parse(DEFAULT).unwrap();
    largest.trees.clear();
    largest.trees.resize(TREES_MAX, full_tree());
    // Words that share nothing need the most room.
    largest.features = (0..FEATURES_MAX)
        .map(|i| Feature {
            name: format!("f{i:063}"),
            kind: "agent_text".to_owned(),
            parameter: (0..64).map(|j| char::from(b'!' + (scattered(i * 64 + j) % 32) as u8)).collect(),
        })
        .collect();
    let bytes = largest.to_json();
    assert!(bytes.len() <= FILE_BYTES_MAX, "{} bytes", bytes.len());
    for (file, held, asked) in [(DEFAULT, HELD / 16, ASKED / 16), (&bytes, HELD, ASKED)] {
        let before = thread_allocated();
        let model = Model::compile(&FeatureFile::parse(file).unwrap()).unwrap();
        let now = thread_allocated() - before;
        println!("{} bytes: {} held, {now} asked for", file.len(), model.memory_bytes());
        assert!(model.memory_bytes() < held && now < asked, "{} held, {now} asked for", model.memory_bytes());
    }
}

/// A number that shows no pattern (the end of SplitMix64).
fn scattered(i: usize) -> u64 {
    let z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
}

/// A tree with all the nodes it may have.
fn full_tree() -> Vec<Node> {
    let splits = NODES_MAX as u32 / 2;
    let split = |i| Node::Split { feature: i, threshold: 0.123_456_7, left: 2 * i + 1, right: 2 * i + 2 };
    (0..splits).map(split).chain((splits..NODES_MAX as u32).map(|_| Node::Leaf(-0.123_456_7))).collect()
}
