//! The built-in file is what training makes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

#[path = "../examples/train/made.rs"]
mod made;

use seawall_human::{DEFAULT, Model, Scratch, sample};

#[test]
fn training_makes_the_built_in_file_and_the_recorded_heads_to_the_last_byte() {
    let made = made::make();
    let hint = "run: cargo run -p seawall-human --example train";
    assert!(made.file.to_json() == DEFAULT, "src/default-features.json is not what training makes; {hint}");
    assert!(made.recorded == include_str!("held-out-heads.txt"), "tests/held-out-heads.txt is not; {hint}");
    let model = Model::compile(&made.file).unwrap();
    let mut scratch = Scratch::new();
    for (what, text) in [("known", &made.known), ("unknown", &made.unknown)] {
        let scores: Vec<(u8, bool)> = sample::read(text)
            .map(|head| (model.score(&head.view(), &mut scratch).unwrap(), head.human))
            .collect();
        let auc = made::boost::auc(&scores);
        assert!(auc >= 0.95, "{what} kinds of clients: {auc}");
    }
}
