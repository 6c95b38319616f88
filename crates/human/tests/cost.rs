//! What scores cost; measurements, not tests: `cargo nextest run -p seawall-human --run-ignored only --no-capture cost`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use seawall_human::{
    DEFAULT, Extraction, FEATURES_MAX, Feature, FeatureFile, Model, PARAMETER_BYTES_MAX, Scratch, TREES_MAX,
    sample,
};
use std::time::Instant;

/// Nanoseconds that some work takes, the least of five rounds: others use the machine too.
fn least_ns(times: usize, mut work: impl FnMut()) -> usize {
    let round = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        (0..times).for_each(|_| work());
        began.elapsed().as_nanos() as usize / times
    };
    (0..5).map(|_| round(&mut work)).min().unwrap()
}

#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_a_score() {
    let file = FeatureFile::parse(DEFAULT).unwrap();
    let (model, extraction) = (Model::compile(&file).unwrap(), Extraction::of(&file.features));
    let (mut scratch, mut slots) = (Scratch::new(), [0.0; FEATURES_MAX]);
    let (features, trees, memory) = (model.features(), model.trees(), model.memory_bytes());
    println!("{features} features, {trees} trees, {memory} bytes of memory");
    let (mut all, mut all_measuring, mut heads) = (0, 0, 0);
    for head in sample::recorded() {
        let view = head.view();
        let score = least_ns(2_000, || assert!(model.score(&view, &mut scratch).is_ok()));
        let measuring = least_ns(2_000, || assert!(extraction.measure(&view, &mut slots).is_ok()));
        println!("{score:6} ns, {measuring:6} of them measuring: {}", head.name);
        (all, all_measuring, heads) = (all + score, all_measuring + measuring, heads + 1);
    }
    println!("{:6} ns, {:6} of them measuring: on average", all / heads, all_measuring / heads);
    let read = least_ns(20, || assert!(FeatureFile::parse(DEFAULT).is_ok()));
    let compile = least_ns(20, || assert!(Model::compile(&file).is_ok()));
    println!("{} us to read the file, {} to compile it", read / 1000, compile / 1000);
}

/// The largest file there may be, over the worst head a client can send.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_the_worst_score() {
    let mut file = FeatureFile::parse(DEFAULT).unwrap();
    let tree = file.trees[0].clone();
    file.trees.resize(TREES_MAX, tree);
    // Words that all end alike, so that each place of the user agent is the end of many.
    let before = file.features.len();
    for i in before..before + 2 * PARAMETER_BYTES_MAX {
        let (kind, parameter) = match i % 2 {
            0 => ("agent_text", "a".repeat((i - before) / 2 + 1)),
            _ => ("path_text", "a".repeat((i - before) / 2 + 1)),
        };
        file.features.push(Feature { name: format!("f{i}"), kind: kind.to_owned(), parameter });
    }
    let compile = least_ns(3, || assert!(Model::compile(&file).is_ok()));
    let (model, mut scratch) = (Model::compile(&file).unwrap(), Scratch::new());
    let mut head = sample::recorded().next().unwrap();
    head.head.target = format!("/{}", "a".repeat(15_000)).into();
    let long = "a".repeat(500);
    head.head.fields.remove_named(b"user-agent");
    head.head.fields.push(b"user-agent", "a".repeat(4_000).as_bytes());
    for i in 0..200 {
        head.head.fields.push(format!("x-{i}").as_bytes(), long.as_bytes());
    }
    let score = least_ns(200, || assert!(model.score(&head.view(), &mut scratch).is_ok()));
    let built_in = Model::compile(&FeatureFile::parse(DEFAULT).unwrap()).unwrap();
    let usual = least_ns(200, || assert!(built_in.score(&head.view(), &mut scratch).is_ok()));
    println!("{} us for that head with the built-in file", usual / 1000);
    let (ms, memory) = (compile / 1_000_000, model.memory_bytes());
    println!(
        "{} us the worst score, {ms} ms to compile the largest file, {memory} bytes of memory",
        score / 1000
    );
}
