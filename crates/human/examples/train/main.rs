//! Makes `src/default-features.json` and `tests/held-out-heads.txt`, the same from the same seed on every machine, and says
//! how well the model does:
//!
//!     cargo run -p seawall-human --example train
//!
//! Heads are made up by `people.rs` and `programs.rs`, with noise; nothing is recorded from anybody. They are measured
//! by the crate's own extractor, so that what is learned is what will be seen. Some kinds of client are never trained
//! with and only appear among the heads that are held out. Before a change is believed, look at the scores printed by
//! kind: a good area under the curve can hide a browser that scores as a bot.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a tool for developers may

#[path = "made.rs"]
mod made;

use made::boost;
use seawall_human::{FeatureFile, Model, Node, Scratch, sample};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn main() {
    let made = made::make();
    let model = Model::compile(&made.file).expect("the model is not sound");
    tell("kinds that were trained with", &model, &made.known);
    tell("kinds that were not", &model, &made.unknown);
    println!("self test: {:?}", model.self_test());
    println!("{} features, {} of them in use", made.file.features.len(), used(&made.file));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, bytes) in [
        ("src/default-features.json", made.file.to_json()),
        ("tests/held-out-heads.txt", made.recorded.into_bytes()),
    ] {
        let path = here.join(name);
        if std::fs::read(&path).is_ok_and(|found| found == bytes) {
            println!("{name} is as it was");
            continue;
        }
        println!("{name}: {} bytes written", bytes.len());
        std::fs::write(path, bytes).expect("cannot write");
    }
}

/// How many features a tree looks at.
fn used(file: &FeatureFile) -> usize {
    let splits = file.trees.iter().flatten().filter_map(|node| match node {
        Node::Split { feature, .. } => Some(*feature),
        Node::Leaf(_) => None,
    });
    splits.collect::<BTreeSet<_>>().len()
}

fn tell(what: &str, model: &Model, text: &str) {
    let mut scratch = Scratch::new();
    let mut kinds: BTreeMap<(bool, &str), Vec<u8>> = BTreeMap::new();
    let mut scores = Vec::new();
    for head in sample::read(text) {
        let score = model.score(&head.view(), &mut scratch).expect("no score");
        scores.push((score, head.human));
        kinds.entry((!head.human, head.name)).or_default().push(score);
    }
    println!("{what}: area under the curve {:.4}", boost::auc(&scores));
    for ((bot, name), mut scores) in kinds {
        scores.sort_unstable();
        let at = |percent: usize| scores[(scores.len() - 1) * percent / 100];
        println!(
            "  {} {name}: {} heads, least {}, 5 % {}, middle {}, 95 % {}, most {}",
            if bot { "bot  " } else { "human" },
            scores.len(),
            at(0),
            at(5),
            at(50),
            at(95),
            at(100)
        );
    }
}
