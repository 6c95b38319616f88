//! A score asks for no memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use seawall_human::{DEFAULT, FeatureFile, Model, Scratch, generate, sample};
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
fn a_file_and_its_model_stay_well_within_the_memory_of_the_module() {
    /// What reading and compiling may ask for in all, in bytes: half of the module's budget of 16 MiB.
    const MOST: u64 = 8 << 20;
    let before = thread_allocated();
    let model = Model::compile(&FeatureFile::parse(DEFAULT).unwrap()).unwrap();
    let asked = thread_allocated() - before;
    assert!(asked < MOST, "{asked} bytes asked for");
    assert!(model.memory_bytes() < 1 << 20, "{} bytes held", model.memory_bytes());
}
