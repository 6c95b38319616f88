//! What is a sound feature file, and how the others are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use seawall_human::{
    Census, DEFAULT, FEATURES_MAX, FILE_BYTES_MAX, FeatureFault, FeatureFile, HEADERS_MAX, KINDS, Model,
    NODES_MAX, Node, Parameter, TREES_MAX, Wrong, generate,
};

const SMALL: &str = r#"{"version":1,"generated":"2026-11-18T11:20:00Z","features":[{"name":"curl","kind":"agent_text","parameter":"curl/"},{"name":"https","kind":"https"}],"base":0.5,"trees":[[{"feature":0,"threshold":0.5,"left":1,"right":2},{"leaf":1},{"leaf":-1}]]}"#;

fn told(text: &str) -> String {
    FeatureFile::parse(text.as_bytes()).map(|_| String::new()).unwrap_or_else(|fault| fault.to_string())
}

#[test]
fn every_fault_is_told_with_its_field_limit_and_value() {
    // What stands in the small file, what is put in its place, and what the refusal says.
    for (from, to, want) in [
        ("{\"version\"", "[\"version\"", "file: not JSON: "),
        ("\"version\":1", "\"version\":2", "version: 2 is not between 1 and 1"),
        ("\"version\":1", "\"version\":null", "version: null is no value"),
        ("\"version\":1", "\"version\":1.5", "version: must be a whole number, is a fraction"),
        ("\"version\":1,", "", "version: missing"),
        ("\"version\":1", "\"version\":1,\"version\":1", "version: stands here twice"),
        (
            "\"version\":1",
            "\"version\":1,\"note\":1",
            "note: unknown; known here: version, generated, features",
        ),
        ("2026-11-18T11:20:00Z", "yesterday", "generated: \"yesterday\": must be a time as"),
        ("\"2026-11-18T11:20:00Z\"", "5", "generated: must be a text, is a number"),
        ("\"base\":0.5", "\"base\":1e999", "file: not JSON: number out of range"),
        ("\"base\":0.5", "\"base\":1e300", "base: 1"),
        ("\"base\":0.5", "\"base\":11", "base: 11 is not between -10 and 10"),
        ("\"base\":0.5", "\"base\":\"0.5\"", "base: must be a number, is a text"),
        ("\"base\":0.5", "\"base\":true", "base: must be a number, is true or false"),
        ("\"curl\",", "\"\",", "features[0].name: empty"),
        ("\"curl\",", "null,", "features[0].name: null is no value"),
        ("\"curl\",", "\"Curl\",", "features[0].name: \"Curl\": must be lower-case letters"),
        ("\"name\":\"curl\",", "", "features[0].name: missing"),
        (
            "\"name\":\"curl\"",
            "\"name\":\"https\"",
            "features: 1 of the rows repeat an earlier one: https 2 times",
        ),
        ("{\"name\":\"https\",\"kind\":\"https\"}", "5", "features[1]: must be an object, is a number"),
        ("\"kind\":\"https\"", "\"kind\":\"ja5\"", "features[1].kind: no kind of feature is called \"ja5\""),
        ("\"kind\":\"https\"", "\"kind\":\"\"", "features[1].kind: no kind of feature is called \"\""),
        (
            "\"kind\":\"https\"",
            "\"kind\":\"https\",\"parameter\":\"x\"",
            "features[1].parameter: \"x\": this kind takes no",
        ),
        ("\"kind\":\"https\"", "\"kind\":\"https\",\"parameter\":\"\"", "features[1].parameter: empty"),
        (
            "\"kind\":\"https\"",
            "\"kind\":\"https\",\"weight\":1",
            "features[1].weight: unknown; known here: name, kind",
        ),
        (
            "\"kind\":\"https\"",
            "\"kind\":\"agent_text\",\"parameter\":\"curl/\"",
            "features[1]: measures the same as curl",
        ),
        (",\"parameter\":\"curl/\"", "", "features[0].parameter: missing"),
        (
            "\"curl/\"",
            "\"Curl\"",
            "features[0].parameter: \"Curl\": must be a text of printable ASCII in lower case",
        ),
        ("\"curl/\"", "\"a\\u0000b\"", "features[0].parameter: \"a\\0b\": must be a text of printable"),
        ("\"curl/\"", "[\"a\"]", "features[0].parameter: must be a text, is a list"),
        ("\"feature\":0", "\"feature\":2", "trees[0][0].feature: 2 is not between 0 and 1"),
        ("\"feature\":0", "\"feature\":-1", "trees[0][0].feature: -1 is not between 0 and 200"),
        ("\"threshold\":0.5", "\"threshold\":7", "trees[0][0].threshold: 7 is not between 0 and 1"),
        ("\"threshold\":0.5,", "", "trees[0][0].threshold: missing"),
        ("\"left\":1", "\"left\":0", "trees[0][0].left: leads back"),
        ("\"left\":1", "\"left\":2", "trees[0][0].right: leads to a node that has a parent already"),
        ("\"left\":1", "\"left\":9", "trees[0][0].left: leads to a node that does not exist"),
        ("\"left\":1", "\"left\":1e9", "trees[0][0].left: 1000000000 is not between 0 and 127"),
        ("{\"leaf\":1},", "{\"leaf\":1},{\"leaf\":1},{\"leaf\":1},", "trees[0][3]: no node leads here"),
        ("{\"leaf\":1}", "{\"leaf\":1,\"left\":1}", "trees[0][1].left: unknown; known here: leaf"),
        ("{\"leaf\":1}", "{\"leaf\":-10.5}", "trees[0][1].leaf: -10.5 is not between -10 and 10"),
        ("{\"leaf\":1}", "{\"leaf\":null}", "trees[0][1].leaf: null is no value"),
        ("{\"leaf\":1}", "{}", "trees[0][1].feature: missing"),
        ("{\"leaf\":1}", "null", "trees[0][1]: null is no value"),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from} does not stand in the file");
        let told = told(&text);
        assert!(told.starts_with(want), "{to}\n  says:  {told}\n  wants: {want}");
    }
    assert_eq!(told(SMALL), "");
}

#[test]
fn empty_sets_are_refused() {
    let empty = |key: &str| {
        let mut file = FeatureFile::parse(SMALL.as_bytes()).unwrap();
        match key {
            "features" => file.features.clear(),
            "trees" => file.trees.clear(),
            _ => file.trees[0].clear(),
        }
        file
    };
    for key in ["features", "trees", "trees[0]"] {
        let file = empty(key);
        assert_eq!(file.check().unwrap_err().to_string(), format!("{key}: empty"));
        assert_eq!(FeatureFile::parse(&file.to_json()), Err(file.check().unwrap_err()));
    }
    for nothing in ["", " ", "{}", "[]", "null", "5"] {
        assert!(FeatureFile::parse(nothing.as_bytes()).is_err(), "{nothing:?}");
    }
}

#[test]
fn the_file_of_18_november_is_refused_with_its_rows_its_limit_and_its_duplicates() {
    let bad = generate::bad(DEFAULT, "2026-11-18T11:20:00Z").unwrap();
    let fault = FeatureFile::parse(&bad).unwrap_err();
    let Wrong::TooMany { value, limit, repeated, .. } = &fault.wrong else { panic!("{fault}") };
    assert_eq!((*value, *limit, repeated.rows, repeated.names.len()), (260, FEATURES_MAX, 200, 60));
    assert_eq!(repeated.names.iter().map(|(_, times)| times).sum::<usize>(), 260);
    let told = fault.to_string();
    let want = "features: 260 rows, at most 200 are allowed; 200 of the rows repeat an earlier one: agent.length 5 times, ";
    assert!(told.starts_with(want) && told.len() < 300, "{told}");
    let census = Census::of(&bad).unwrap();
    assert_eq!((census.rows(), census.repeated.rows, census.trees), (260, 200, 48));
}

#[test]
fn duplicates_are_refused_even_where_there_is_room_for_them() {
    let doubled = generate::with_rows(DEFAULT, "2026-11-18T11:20:00Z", 120).unwrap();
    let fault = FeatureFile::parse(&doubled).unwrap_err();
    let Wrong::Repeats(repeated) = &fault.wrong else { panic!("{fault}") };
    assert_eq!((repeated.rows, repeated.names.len()), (60, 60));
    assert!(
        Model::compile(&FeatureFile::parse_unchecked(&doubled).unwrap()).is_err(),
        "compiling checks again"
    );
}

#[test]
fn limits_are_reached_and_not_passed() {
    let base = FeatureFile::parse(SMALL.as_bytes()).unwrap();
    let leaf = vec![Node::Leaf(0.5)];
    let rows = |n: usize| {
        let mut file = base.clone();
        let row = |i| seawall_human::Feature {
            name: format!("f{i}"),
            kind: "agent_text".to_owned(),
            parameter: format!("w{i}"),
        };
        file.features = (0..n).map(row).collect();
        file
    };
    let trees = |n: usize| FeatureFile { trees: vec![leaf.clone(); n], ..base.clone() };
    // A tree that leans to the right: the deepest for its nodes.
    let deep = |splits: u32| {
        let mut nodes = Vec::new();
        for i in 0..splits {
            nodes.push(Node::Split { feature: 0, threshold: 0.5, left: 2 * i + 1, right: 2 * i + 2 });
            nodes.push(Node::Leaf(0.0));
        }
        nodes.push(Node::Leaf(0.0));
        FeatureFile { trees: vec![nodes], ..base.clone() }
    };
    let headers = |n: usize| {
        let mut file = rows(n);
        for (i, row) in file.features.iter_mut().enumerate() {
            row.kind = "header_present".to_owned();
            row.parameter = format!("x-{i}");
        }
        FeatureFile { trees: vec![leaf.clone()], ..file }
    };
    let long = |bytes: usize| {
        let mut file = base.clone();
        file.features[1].name = "n".repeat(bytes);
        file
    };
    for (what, within, beyond) in [
        ("rows", rows(FEATURES_MAX), rows(FEATURES_MAX + 1)),
        ("trees", trees(TREES_MAX), trees(TREES_MAX + 1)),
        ("splits above each other", deep(6), deep(7)),
        ("header names", headers(HEADERS_MAX), headers(HEADERS_MAX + 1)),
        ("bytes", long(64), long(65)),
    ] {
        within.check().unwrap_or_else(|fault| panic!("{what}: {fault}"));
        Model::compile(&within).unwrap();
        assert_eq!(FeatureFile::parse(&within.to_json()).as_ref(), Ok(&within), "{what}");
        let FeatureFault { wrong: Wrong::TooMany { unit, value, limit, .. }, .. } =
            beyond.check().unwrap_err()
        else {
            panic!("{what}: {}", beyond.check().unwrap_err())
        };
        assert_eq!((unit, value), (what, limit + 1));
    }
    let crowded = FeatureFile { trees: vec![vec![Node::Leaf(0.0); NODES_MAX + 1]], ..base.clone() };
    assert_eq!(crowded.check().unwrap_err().to_string(), "trees[0]: 128 nodes, at most 127 are allowed");
    let huge = format!("{SMALL}{}", " ".repeat(FILE_BYTES_MAX));
    assert_eq!(
        told(&huge),
        format!("file: {} bytes, at most {FILE_BYTES_MAX} are allowed", SMALL.len() + FILE_BYTES_MAX)
    );
    assert_eq!(rows(159).warnings(), Vec::<String>::new());
    assert_eq!(rows(160).warnings(), ["features: 160 of at most 200"]);
}

#[test]
fn no_number_at_all_is_refused_wherever_it_may_stand() {
    let base = FeatureFile::parse(SMALL.as_bytes()).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(FeatureFile { base: bad, ..base.clone() }.check().is_err());
        assert!(FeatureFile { trees: vec![vec![Node::Leaf(bad)]], ..base.clone() }.check().is_err());
        let mut file = base.clone();
        if let Node::Split { threshold, .. } = &mut file.trees[0][0] {
            *threshold = bad;
        }
        assert!(file.check().is_err());
    }
}

#[test]
fn parameters_fit_their_kind_or_are_refused() {
    let fits = |kind: &str, parameter: &str| {
        let mut file = FeatureFile::parse(SMALL.as_bytes()).unwrap();
        file.features[1] = seawall_human::Feature {
            name: "probe".to_owned(),
            kind: kind.to_owned(),
            parameter: parameter.to_owned(),
        };
        file.check().is_ok()
    };
    let given = [
        "accept",
        "accept,host",
        "accept:text/html",
        "curl",
        "GET",
        "Accept",
        "accept,accept",
        "accept:",
        ":x",
        "a b",
    ];
    for kind in KINDS {
        let want: &[&str] = match kind.parameter {
            Parameter::None => &[],
            Parameter::Header => &["accept", "curl"],
            Parameter::Headers => &["accept,host"],
            Parameter::HeaderText => &["accept:text/html"],
            Parameter::Text => &[
                "accept",
                "accept,host",
                "accept:text/html",
                "curl",
                "accept,accept",
                "accept:",
                ":x",
                "a b",
            ],
            Parameter::Method => &["GET"],
        };
        let got: Vec<&str> = given.into_iter().filter(|given| fits(kind.name, given)).collect();
        assert_eq!(got, want, "{}", kind.name);
        assert_eq!(fits(kind.name, ""), kind.parameter == Parameter::None, "{}", kind.name);
    }
}

#[test]
fn a_regenerated_file_is_sound_and_says_when() {
    let again = generate::good(DEFAULT, "2026-11-18T11:25:00Z").unwrap();
    let (before, after) = (FeatureFile::parse(DEFAULT).unwrap(), FeatureFile::parse(&again).unwrap());
    assert_ne!(again, DEFAULT);
    assert_eq!(after.generated, "2026-11-18T11:25:00Z");
    assert_eq!((before.features, before.trees, before.base), (after.features, after.trees, after.base));
    assert!(before.version == 1 && Census::of(DEFAULT).unwrap().repeated.rows == 0);
}
