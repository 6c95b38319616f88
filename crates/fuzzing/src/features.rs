//! The bot module: feature files, and heads that are measured and scored.

use seawall_http::h1::{Limits, parse_request};
use seawall_http::{RequestHead, View};
use seawall_human::{
    Census, DEFAULT, Extraction, FEATURES_MAX, Feature, FeatureFile, KINDS, Model, Parameter, Scratch, sample,
};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

/// A feature file. What is sound is written and read again unchanged, compiles and scores every head; what is not is
/// refused, and scoring with it all the same ends in a fault.
pub fn feature_file(data: &[u8]) {
    let parsed = FeatureFile::parse(data);
    let Ok(loose) = FeatureFile::parse_unchecked(data) else {
        assert!(parsed.is_err(), "sound and yet no JSON");
        return;
    };
    let census = Census::of(data).expect("it is JSON");
    let scored = |model: &Model| {
        let mut scratch = Scratch::new();
        sample::recorded().take(4).all(|head| match model.score(&head.view(), &mut scratch) {
            Ok(score) => {
                assert!((1..=99).contains(&score), "{score}");
                true
            }
            Err(_) => false,
        })
    };
    match parsed {
        Ok(file) => {
            assert_eq!(file, loose, "the two ways to read a file differ");
            assert_eq!(
                FeatureFile::parse(&file.to_json()).as_ref(),
                Ok(&file),
                "written, it reads otherwise"
            );
            assert!(census.rows() <= FEATURES_MAX && census.repeated.rows == 0, "{census:?}");
            let model = Model::compile(&file).expect("sound, and yet refused by the compiler");
            assert!(scored(&model), "sound, and yet no score");
        }
        Err(fault) => {
            assert!(!fault.field.is_empty() && fault.to_string().len() < 2_048, "{fault}");
            let scored = scored(&Model::compile_unchecked(&loose));
            assert!(!scored || census.rows() <= FEATURES_MAX, "more features than slots, and yet a score");
        }
    }
}

/// A request head: every feature within the range of its kind, a score, and the same score again.
pub fn bot_score(data: &[u8]) {
    let mut head = RequestHead::default();
    if !matches!(parse_request(data, &mut 0, &Limits::default(), &mut head), Ok(Some(_))) {
        return;
    }
    for (address, https) in [(Ipv4Addr::LOCALHOST, true), (Ipv4Addr::UNSPECIFIED, false)] {
        let view = View { head: &head, address: IpAddr::V4(address), https };
        let mut slots = [f32::NAN; FEATURES_MAX];
        let values = every_kind().measure(&view, &mut slots).expect("a kind that cannot be measured");
        for (value, kind) in values.iter().zip(KINDS) {
            assert!((kind.least..=kind.most).contains(value), "{} measures {value}", kind.name);
        }
        let mut scratch = Scratch::new();
        let score = built_in().score(&view, &mut scratch).expect("no score");
        assert!((1..=99).contains(&score), "{score}");
        assert_eq!(built_in().score(&view, &mut scratch), Ok(score));
    }
}

fn built_in() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| Model::compile(&FeatureFile::parse(DEFAULT).expect("sound")).expect("sound"))
}

/// A feature of each kind, in their order.
fn every_kind() -> &'static Extraction {
    static EXTRACTION: OnceLock<Extraction> = OnceLock::new();
    EXTRACTION.get_or_init(|| {
        let features = KINDS.iter().map(|kind| Feature {
            name: kind.name.to_owned(),
            kind: kind.name.to_owned(),
            parameter: match kind.parameter {
                Parameter::Header => "referer",
                Parameter::Headers => "host,user-agent",
                Parameter::HeaderText => "accept:text/html",
                Parameter::Text => "chrome/",
                Parameter::Method => "GET",
                _ => "",
            }
            .to_owned(),
        });
        Extraction::of(&features.collect::<Vec<_>>())
    })
}
