//! Makes `src/default-features.json` and `tests/held-out-heads.txt`, the same from the same seed on every machine:
//!
//!     cargo run -p seawall-human --example train             writes both and says how well the model does
//!     cargo run -p seawall-human --example train -- check    only says whether the model that stands is what comes out
//!
//! Heads are made up by `people.rs` and `programs.rs`, with noise; nothing is recorded from anybody. They are measured
//! by the crate's own extractor, so that what is learned is what will be seen. Some kinds of client are never trained
//! with and only appear among the heads that are held out. Before a change is believed, look at the scores printed by
//! kind: a good area under the curve can hide a browser that scores as a bot.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a tool for developers may

mod boost;
mod draft;
mod features;
mod people;
mod programs;
mod random;

use draft::{Draft, weather};
use random::Random;
use seawall_human::{Extraction, FEATURES_MAX, FORMAT, FeatureFile, Model, Scratch, sample};
use std::collections::BTreeMap;
use std::path::Path;

/// What all comes from.
const SEED: u64 = 20_251_118;
/// Heads to learn from.
const TRAINING: usize = 9_000;
/// Heads to try the model on afterwards.
const TRIAL: usize = 4_000;
/// Heads to be recorded for the test.
const RECORDED: usize = 160;
/// Of a hundred heads, how many carry the wrong label: nobody who labels real traffic is always right.
const MISLABELLED: u64 = 2;
/// The time written into the built-in file. It is as old as the seed, not as the build.
const GENERATED: &str = "2025-11-18T11:05:00Z";

fn main() {
    let mut random = Random::new(SEED);
    let text: String = (0..TRAINING).map(|_| trained(&mut random)).collect();
    let rows = features::rows();
    let extraction = Extraction::of(&rows);
    let mut slots = [0.0; FEATURES_MAX];
    let samples: Vec<boost::Row> = sample::read(&text)
        .map(|head| {
            let values = extraction.measure(&head.view(), &mut slots).expect("a feature cannot be measured");
            (values.to_vec(), head.human != random.percent(MISLABELLED))
        })
        .collect();
    assert_eq!(samples.len(), TRAINING, "a head is not in the form of samples");
    let trees = boost::grow(&samples, &mut random);
    let file =
        FeatureFile { version: FORMAT, generated: GENERATED.to_owned(), features: rows, base: 0.0, trees };
    let model = Model::compile(&file).expect("the model is not sound");

    let mut others = Random::new(SEED + 1);
    let known: String = (0..TRIAL).map(|_| trained(&mut others)).collect();
    let unknown: String = (0..TRIAL).map(|_| held_out(&mut others)).collect();
    tell("kinds that were trained with", &model, &known);
    tell("kinds that were not", &model, &unknown);
    println!("self test: {:?}", model.self_test());
    println!("used: {} features of {}", used(&file), file.features.len());

    let mut recorded: String = (0..RECORDED / 2).map(|_| trained(&mut others)).collect();
    recorded.extend((0..RECORDED / 2).map(|_| held_out(&mut others)));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, bytes) in
        [("src/default-features.json", file.to_json()), ("tests/held-out-heads.txt", recorded.into_bytes())]
    {
        let path = here.join(name);
        let stands = std::fs::read(&path).is_ok_and(|found| found == bytes);
        match std::env::args().nth(1).as_deref() {
            Some("check") => assert!(stands, "{name} is not what comes out"),
            _ if stands => println!("{name} is as it was"),
            _ => {
                println!("{name}: {} bytes written", bytes.len());
                std::fs::write(path, bytes).expect("cannot write");
            }
        }
    }
}

/// A head of a kind to learn from.
fn trained(random: &mut Random) -> String {
    let draft = match random.range(0, 100) {
        0..13 => people::chromium("Chrome", "Google Chrome", "", random),
        13..17 => people::chromium("Edge", "Microsoft Edge", " Edg/#.0.0.0", random),
        17..19 => people::chromium("Opera", "Opera", " OPR/#.0.0.0", random),
        19..28 => people::firefox("Firefox", random),
        28..38 => people::safari(random),
        38..42 => people::in_app(random),
        42..47 => people::app(random),
        47..51 => people::old(random),
        51..57 => programs::tool(random),
        57..67 => programs::library(random),
        67..76 => programs::crawler(random),
        76..79 => programs::monitor(random),
        79..87 => programs::scanner(random),
        87..92 => programs::headless(random),
        92..99 => programs::impostor(random),
        _ => programs::perfect(random),
    };
    finish(draft, random)
}

/// A head of a kind that is never trained with: what the model has to judge by what it learned of others.
fn held_out(random: &mut Random) -> String {
    let draft = match random.range(0, 12) {
        0 => people::chromium("Vivaldi", "Vivaldi", "", random),
        1 => people::chromium("Samsung Internet", "Samsung Internet", "", random),
        2 => people::chromium("Yandex Browser", "YaBrowser", " YaBrowser/#.0.0.0 Yowser/2.5", random),
        3 | 4 => people::firefox("LibreWolf", random),
        5 => people::safari(random),
        6 => agent("aiohttp", "Python/3.11 aiohttp/3.9.5", "gzip, deflate", random),
        7 => {
            agent("DuckDuckBot", "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", "gzip", random)
        }
        8 => agent("Elasticsearch client", "elasticsearch-py/8.13.0 (Linux; urllib3)", "gzip", random),
        9 => agent(
            "PetalBot",
            "Mozilla/5.0 (compatible;PetalBot;+https://webmaster.petalsearch.com/site/petalbot)",
            "gzip, deflate",
            random,
        ),
        10 => agent("reqwest", "reqwest/0.12.5", "gzip, br", random),
        _ => programs::headless(random),
    };
    finish(draft, random)
}

/// A program that says no more than it must.
fn agent(name: &str, agent: &str, encoding: &str, random: &mut Random) -> Draft {
    let mut draft = Draft::new(name, false, random);
    draft.version = random.of(&[draft::H1, draft::H2]);
    draft.all(&[("Accept", "*/*"), ("Accept-Encoding", encoding), ("User-Agent", agent)]);
    draft
}

fn finish(mut draft: Draft, random: &mut Random) -> String {
    weather(&mut draft, random);
    draft.text()
}

/// How many features a tree looks at.
fn used(file: &FeatureFile) -> usize {
    let splits = file.trees.iter().flatten().filter_map(|node| match node {
        seawall_human::Node::Split { feature, .. } => Some(*feature),
        seawall_human::Node::Leaf(_) => None,
    });
    splits.collect::<std::collections::BTreeSet<_>>().len()
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
