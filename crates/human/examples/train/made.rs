//! The built-in file and the heads held out from it, from a seed. `main.rs` writes them, and a test of the crate looks
//! whether what stands is what comes out.

#[path = "boost.rs"]
pub mod boost;
#[path = "draft.rs"]
mod draft;
#[path = "features.rs"]
mod features;
#[path = "people.rs"]
mod people;
#[path = "programs.rs"]
mod programs;
#[path = "random.rs"]
mod random;

use draft::{Draft, weather};
use random::Random;
use seawall_human::{Extraction, FEATURES_MAX, FORMAT, FeatureFile, sample};

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

/// What comes out.
pub struct Made {
    /// The file.
    pub file: FeatureFile,
    /// Heads to try it on, of kinds that were trained with.
    pub known: String,
    /// Of kinds that were not.
    pub unknown: String,
    /// A few of both, to be recorded.
    pub recorded: String,
}

/// Makes all of it.
pub fn make() -> Made {
    let mut random = Random::new(SEED);
    let text: String = (0..TRAINING).map(|_| trained(&mut random)).collect();
    let features = features::rows();
    let extraction = Extraction::of(&features);
    let mut slots = [0.0; FEATURES_MAX];
    let samples: Vec<boost::Row> = sample::read(&text)
        .map(|head| {
            let values = extraction.measure(&head.view(), &mut slots).expect("a feature cannot be measured");
            (values.to_vec(), head.human != random.percent(MISLABELLED))
        })
        .collect();
    assert_eq!(samples.len(), TRAINING, "a head is not in the form of samples");
    let trees = boost::grow(&samples, &mut random);
    let file = FeatureFile { version: FORMAT, generated: GENERATED.to_owned(), features, base: 0.0, trees };
    let mut others = Random::new(SEED + 1);
    let known = (0..TRIAL).map(|_| trained(&mut others)).collect();
    let unknown = (0..TRIAL).map(|_| held_out(&mut others)).collect();
    let mut recorded: String = (0..RECORDED / 2).map(|_| trained(&mut others)).collect();
    recorded.extend((0..RECORDED / 2).map(|_| held_out(&mut others)));
    Made { file, known, unknown, recorded }
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
