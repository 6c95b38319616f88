//! What holds for every head and every file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use proptest::prelude::*;
use seawall_http::{Method, RequestHead, Version, View};
use seawall_human::{
    DEFAULT, Extraction, FEATURES_MAX, Feature, FeatureFile, KINDS, Model, Node, Parameter, Scratch, generate,
};
use std::net::IpAddr;

const NAMES: &[&str] = &[
    "Host",
    "User-Agent",
    "user-agent",
    "ACCEPT",
    "Accept",
    "accept-language",
    "Accept-Encoding",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "Sec-Fetch-Site",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Dest",
    "Sec-Fetch-User",
    "Cookie",
    "Referer",
    "Connection",
    "Origin",
    "X-Odd-NAME",
    "",
    "Priority",
];
const PIECES: &[&str] = &[
    "Mozilla/5.0 (",
    "Chrome/",
    "Firefox/",
    "131",
    "99999999999",
    "bot",
    "curl/",
    "HeadlessChrome/",
    "*/*",
    "text/html",
    "v=\"",
    "\"",
    "?1",
    "\"Windows\"",
    "navigate",
    "document",
    "none",
    "https://",
    "a.test",
    "[::1]:80",
    "@",
    ",",
    " ",
    "/",
    "?",
    "&",
    "%",
    "\u{fc}",
    "q=0.9",
    "gzip",
    "br",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let pieces =
        prop::collection::vec(prop::sample::select(PIECES), 0..12).prop_map(|p| p.concat().into_bytes());
    prop_oneof![6 => pieces, 2 => prop::collection::vec(any::<u8>(), 0..40), 1 => (0_usize..5000).prop_map(|n| vec![b'a'; n])]
}

fn head() -> impl Strategy<Value = (RequestHead, bool, bool)> {
    let version = prop::sample::select(vec![Version::H10, Version::H11, Version::H2]);
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "ODD", ""]);
    let fields = prop::collection::vec((prop::sample::select(NAMES), text()), 0..40);
    (version, method, text(), text(), fields, any::<bool>(), any::<bool>()).prop_map(
        |(version, method, target, authority, fields, https, v6)| {
            let mut head = RequestHead {
                version,
                method: Method::of(method.as_bytes()),
                method_text: method.into(),
                target,
                authority,
                ..RequestHead::default()
            };
            for (name, value) in fields {
                head.fields.push(name.as_bytes(), &value);
            }
            (head, https, v6)
        },
    )
}

fn view((head, https, v6): &(RequestHead, bool, bool)) -> View<'_> {
    let address: IpAddr = if *v6 { "2001:db8::1" } else { "192.0.2.1" }.parse().unwrap();
    View { head, address, https: *https }
}

/// A feature of every kind.
fn of_every_kind() -> Vec<Feature> {
    let parameter = |parameter| match parameter {
        Parameter::None => "",
        Parameter::Header => "accept-language",
        Parameter::Headers => "user-agent,accept",
        Parameter::HeaderText => "accept:text/html",
        Parameter::Text => "chrome/",
        Parameter::Method => "GET",
    };
    KINDS
        .iter()
        .map(|kind| Feature {
            name: kind.name.to_owned(),
            kind: kind.name.to_owned(),
            parameter: parameter(kind.parameter).to_owned(),
        })
        .collect()
}

fn node() -> impl Strategy<Value = Node> {
    let number = || prop_oneof![-12.0_f32..12.0, Just(f32::NAN), Just(f32::INFINITY), Just(f32::MAX)];
    let place = || prop_oneof![0_u32..12, Just(u32::MAX), 0_u32..400];
    prop_oneof![
        number().prop_map(Node::Leaf),
        (place(), number(), place(), place()).prop_map(|(feature, threshold, left, right)| Node::Split {
            feature,
            threshold,
            left,
            right
        }),
    ]
}

/// A sound tree, grown from choices.
fn tree() -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec((any::<bool>(), 0_u32..60, -1.0_f32..1.0), 1..40).prop_map(|choices| {
        fn grow(
            choices: &mut impl Iterator<Item = (bool, u32, f32)>,
            depth: usize,
            nodes: &mut Vec<Node>,
        ) -> u32 {
            let at = nodes.len();
            let (split, feature, number) = choices.next().unwrap_or((false, 0, 0.0));
            nodes.push(Node::Leaf(number));
            if split && depth < 6 {
                let (left, right) = (grow(choices, depth + 1, nodes), grow(choices, depth + 1, nodes));
                // Within the range of every kind but the version.
                let feature = if feature == 50 { 0 } else { feature };
                nodes[at] = Node::Split { feature, threshold: number.abs(), left, right };
            }
            at as u32
        }
        let mut nodes = Vec::new();
        grow(&mut choices.into_iter(), 0, &mut nodes);
        nodes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_value_lies_within_the_range_of_its_kind(head in head()) {
        let features = of_every_kind();
        let extraction = Extraction::of(&features);
        let mut slots = [f32::NAN; FEATURES_MAX];
        let values = extraction.measure(&view(&head), &mut slots).unwrap();
        prop_assert_eq!(values.len(), KINDS.len());
        for (value, kind) in values.iter().zip(KINDS) {
            prop_assert!((kind.least..=kind.most).contains(value), "{} measures {value}", kind.name);
        }
    }

    #[test]
    fn every_head_has_a_score_and_always_the_same(heads in prop::collection::vec(head(), 1..4)) {
        let model = Model::compile(&FeatureFile::parse(DEFAULT).unwrap()).unwrap();
        let mut used = Scratch::new();
        for head in heads.iter().chain(&heads) {
            let score = model.score(&view(head), &mut used).unwrap();
            prop_assert!((1..=99).contains(&score));
            prop_assert_eq!(model.score(&view(head), &mut Scratch::new()), Ok(score), "the slots remember");
        }
    }

    #[test]
    fn sound_files_are_read_as_they_were_written_and_score(trees in prop::collection::vec(tree(), 1..20), head in head()) {
        let file = FeatureFile { trees, ..FeatureFile::parse(DEFAULT).unwrap() };
        let again = FeatureFile::parse(&file.to_json());
        prop_assert_eq!(again.as_ref(), Ok(&file));
        let loosely = FeatureFile::parse_unchecked(&file.to_json());
        prop_assert_eq!(loosely.as_ref(), Ok(&file));
        prop_assert!(Model::compile(&file).unwrap().score(&view(&head), &mut Scratch::new()).is_ok());
    }

    #[test]
    fn broken_files_are_refused_or_score_and_never_panic(
        trees in prop::collection::vec(prop::collection::vec(node(), 0..12), 0..6),
        rows in prop::collection::vec((prop::sample::select(KINDS), ".{0,12}"), 0..300),
        head in head(),
    ) {
        let features = rows.into_iter().enumerate().map(|(i, (kind, parameter))| {
            let name = format!("f{}", i % 250);
            Feature { name, kind: kind.name.to_owned(), parameter }
        });
        let file = FeatureFile { features: features.collect(), trees, ..FeatureFile::parse(DEFAULT).unwrap() };
        let model = Model::compile_unchecked(&file);
        let score = model.score(&view(&head), &mut Scratch::new());
        if file.check().is_ok() {
            prop_assert!(score.is_ok(), "sound, yet {:?}", score);
        }
        if file.features.len() > FEATURES_MAX {
            prop_assert!(score.is_err() && file.check().is_err());
        }
        let _ = model.self_test();
    }

    #[test]
    fn files_cut_or_changed_anywhere_are_answered(at in 0_usize..40_000, byte in any::<u8>(), cut in any::<bool>(), head in head()) {
        let mut bytes = DEFAULT.to_vec();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(file) = FeatureFile::parse(&bytes) {
            prop_assert!(Model::compile(&file).unwrap().score(&view(&head), &mut Scratch::new()).is_ok());
        }
        if let Ok(file) = FeatureFile::parse_unchecked(&bytes) {
            let _ = Model::compile_unchecked(&file).score(&view(&head), &mut Scratch::new());
        }
    }

    #[test]
    fn repeated_rows_are_refused_however_many(rows in 61_usize..400, head in head()) {
        let bad = generate::with_rows(DEFAULT, "2026-11-18T11:20:00Z", rows).unwrap();
        let told = FeatureFile::parse(&bad).unwrap_err().to_string();
        let repeats = format!("{} of the rows repeat an earlier one", rows - 60);
        prop_assert!(told.contains(&repeats), "{}", told);
        let model = Model::compile_unchecked(&FeatureFile::parse_unchecked(&bad).unwrap());
        prop_assert_eq!(model.score(&view(&head), &mut Scratch::new()).is_err(), rows > FEATURES_MAX);
    }
}
