//! What the built-in model says of heads, and what happens where no score can be had.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use seawall_human::{
    DEFAULT, FEATURES_MAX, Feature, FeatureFile, Model, Node, ScoreFault, Scratch, SelfTestFault, generate,
    sample,
};

fn model() -> Model {
    Model::compile(&FeatureFile::parse(DEFAULT).unwrap()).unwrap()
}

#[test]
fn typical_heads_score_as_one_would_expect() {
    let (model, mut scratch) = (model(), Scratch::new());
    let mut seen = 0;
    for head in sample::recorded() {
        let score = model.score(&head.view(), &mut scratch).unwrap();
        assert!(if head.human { score >= 70 } else { score <= 30 }, "{} scores {score}", head.name);
        seen += 1;
    }
    assert_eq!(seen, include_str!("../src/self-test-heads.txt").matches("## ").count());
    for name in ["Chrome", "Firefox", "Safari", "curl", "python-requests", "Googlebot"] {
        assert!(sample::recorded().any(|head| head.name.contains(name)), "{name}");
    }
    let test = model.self_test().unwrap();
    assert!(test.heads == seen && test.browsers >= 80 && test.tools <= 10, "{test:?}");
}

#[test]
fn held_out_heads_are_told_apart() {
    let (model, mut scratch) = (model(), Scratch::new());
    let scores: Vec<(u8, bool)> = sample::read(include_str!("held-out-heads.txt"))
        .map(|head| (model.score(&head.view(), &mut scratch).unwrap(), head.human))
        .collect();
    let of = |human: bool| scores.iter().filter(move |(_, is)| *is == human).map(|(score, _)| *score);
    let wins = |human: u8| {
        of(false)
            .map(|bot| f64::from(u8::from(human > bot)) + 0.5 * f64::from(u8::from(human == bot)))
            .sum::<f64>()
    };
    let pairs = of(true).count() * of(false).count();
    let auc = of(true).map(wins).sum::<f64>() / pairs as f64;
    assert!(scores.len() == 160 && auc >= 0.95, "{auc}");
}

#[test]
fn the_file_of_18_november_gives_each_request_no_score_and_no_panic() {
    let bad = generate::bad(DEFAULT, "2026-11-18T11:20:00Z").unwrap();
    let file = FeatureFile::parse_unchecked(&bad).unwrap();
    assert!(Model::compile(&file).is_err());
    let broken = Model::compile_unchecked(&file);
    let mut scratch = Scratch::new();
    let fault = ScoreFault::TooManyFeatures { features: 260, slots: FEATURES_MAX };
    for head in sample::recorded() {
        assert_eq!(broken.score(&head.view(), &mut scratch), Err(fault), "{}", head.name);
    }
    assert!(matches!(broken.self_test(), Err(SelfTestFault::NoScore { fault: found, .. }) if found == fault));
    // The slots are as good as before for the model that stays.
    let good = model();
    let scores = |scratch: &mut Scratch| -> Vec<u8> {
        sample::recorded().map(|head| good.score(&head.view(), scratch).unwrap()).collect()
    };
    assert_eq!(scores(&mut scratch), scores(&mut Scratch::new()));
}

#[test]
fn what_is_broken_in_other_ways_gives_no_score_either() {
    let good = FeatureFile::parse(DEFAULT).unwrap();
    let split = |left, right| Node::Split { feature: 0, threshold: 0.0, left, right };
    let trees = |trees: Vec<Vec<Node>>| FeatureFile { trees, ..good.clone() };
    let feature = |kind: &str, parameter: &str| FeatureFile {
        features: vec![Feature {
            name: String::new(),
            kind: kind.to_owned(),
            parameter: parameter.to_owned(),
        }],
        ..good.clone()
    };
    let head = sample::recorded().next().unwrap();
    for (file, want) in [
        (trees(vec![]), ScoreFault::NoTrees),
        (trees(vec![vec![Node::Leaf(0.0)], vec![]]), ScoreFault::Tree(1)),
        (trees(vec![vec![split(0, 0)]]), ScoreFault::Tree(0)),
        (trees(vec![vec![split(1, 1), split(0, 0)]]), ScoreFault::Tree(0)),
        (trees(vec![vec![split(9, 9)], vec![Node::Leaf(1.0); 20]]), ScoreFault::Tree(0)),
        (trees(vec![vec![split(u32::MAX, u32::MAX)]]), ScoreFault::Tree(0)),
        (
            trees(vec![vec![
                Node::Split { feature: 60, threshold: 0.0, left: 1, right: 1 },
                Node::Leaf(1.0),
            ]]),
            ScoreFault::Tree(0),
        ),
        (
            trees(vec![vec![
                Node::Split { feature: u32::MAX, threshold: 0.0, left: 1, right: 1 },
                Node::Leaf(1.0),
            ]]),
            ScoreFault::Tree(0),
        ),
        (trees(vec![vec![Node::Leaf(f32::INFINITY)]]), ScoreFault::NoNumber),
        (trees(vec![vec![Node::Leaf(f32::NAN)]]), ScoreFault::NoNumber),
        (trees(vec![vec![Node::Leaf(0.0)]; 65]), ScoreFault::TooManyTrees { trees: 65, most: 64 }),
        (feature("agent_text", &"a".repeat(65)), ScoreFault::Feature(0)),
        (feature("ja5", ""), ScoreFault::Feature(0)),
        (feature("", ""), ScoreFault::Feature(0)),
        (feature("agent_text", ""), ScoreFault::Feature(0)),
        (feature("header_before", "accept"), ScoreFault::Feature(0)),
        (feature("header_contains", "accept"), ScoreFault::Feature(0)),
    ] {
        let model = Model::compile_unchecked(&file);
        assert_eq!(model.score(&head.view(), &mut Scratch::new()), Err(want));
        assert!(model.self_test().is_err() && Model::compile(&file).is_err(), "{want}");
    }
}

#[test]
fn a_model_that_tells_nothing_apart_or_all_the_wrong_way_fails_its_own_test() {
    let good = FeatureFile::parse(DEFAULT).unwrap();
    let flat = FeatureFile { trees: vec![vec![Node::Leaf(0.1)]], ..good.clone() };
    assert_eq!(Model::compile(&flat).unwrap().self_test(), Err(SelfTestFault::AllAlike(52)));
    let mut turned = good;
    for node in turned.trees.iter_mut().flatten() {
        if let Node::Leaf(leaf) = node {
            *leaf = -*leaf;
        }
    }
    assert!(matches!(Model::compile(&turned).unwrap().self_test(), Err(SelfTestFault::UpsideDown { .. })));
}
