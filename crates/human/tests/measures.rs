//! What each kind of feature measures of a head.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use seawall_human::{Extraction, FEATURES_MAX, Feature, KINDS, sample};

/// A browser over HTTP/2, a script over HTTP/1.1 without TLS, and a head with next to nothing.
const HEADS: &str = r#"## human browser
GET /a/b1.php?x=1&y=2 HTTP/2
:authority: www.a.test
sec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24"
sec-ch-ua-mobile: ?1
sec-ch-ua-platform: "Android"
user-agent: Mozilla/5.0 (Linux; Android 10; K) Chrome/131.0.0.0 Mobile Safari/537.36
accept: text/html,*/*
sec-fetch-site: none
sec-fetch-mode: navigate
sec-fetch-dest: document
accept-encoding: gzip, deflate, br
accept-language: en-GB,en;q=0.9
referer: https://www.a.test/
origin: https://b.test

## bot !script
POST /%41%42 HTTP/1.1
HOST: 192.0.2.7:80
Accept: */*
user-agent: python/3
Accept: text/html
Connection: close

## bot !nothing
GET /? HTTP/1.0

"#;

#[test]
fn every_kind_measures_what_its_document_says() {
    // Kind, parameter, then the values of the three heads.
    let cases: &[(&str, &str, [f32; 3])] = &[
        ("header_present", "accept", [1.0, 1.0, 0.0]),
        ("header_length", "accept", [13.0, 3.0, -1.0]),
        ("header_items", "accept-encoding", [3.0, -1.0, -1.0]),
        ("header_position", "accept", [4.0, 1.0, -1.0]),
        ("header_before", "user-agent,accept", [1.0, 0.0, -1.0]),
        ("header_contains", "accept:text/html", [1.0, 0.0, -1.0]),
        ("header_equals", "accept:*/*", [0.0, 1.0, -1.0]),
        ("header_same_host", "referer", [1.0, -1.0, -1.0]),
        ("header_same_host", "origin", [0.0, -1.0, -1.0]),
        ("header_count", "", [12.0, 5.0, 0.0]),
        ("header_bytes", "", [364.0, 73.0, 0.0]),
        ("names_lower", "", [-1.0, 0.2, 0.0]),
        ("names_odd", "", [-1.0, 1.0, 0.0]),
        ("names_repeated", "", [0.0, 1.0, 0.0]),
        ("agent_text", "android", [1.0, 0.0, 0.0]),
        ("agent_text", "python", [0.0, 1.0, 0.0]),
        ("agent_version", "chrome/", [131.0, -1.0, -1.0]),
        ("agent_version", "python/", [-1.0, 3.0, -1.0]),
        ("agent_words", "", [8.0, 1.0, -1.0]),
        ("path_text", ".php", [1.0, 0.0, 0.0]),
        ("path_length", "", [9.0, 7.0, 1.0]),
        ("path_depth", "", [2.0, 1.0, 1.0]),
        ("path_entropy", "", [2.725_480_6, 2.235_926_4, 0.0]),
        ("path_digits", "", [1.0 / 9.0, 4.0 / 7.0, 0.0]),
        ("path_encoded", "", [0.0, 2.0, 0.0]),
        ("query_keys", "", [2.0, -1.0, 0.0]),
        ("query_length", "", [7.0, -1.0, 0.0]),
        ("method", "POST", [0.0, 1.0, 0.0]),
        ("version", "", [20.0, 11.0, 10.0]),
        ("https", "", [1.0, 0.0, 0.0]),
        ("host_is_address", "", [0.0, 1.0, 0.0]),
        ("address_is_v6", "", [0.0, 0.0, 0.0]),
        ("hints_agree", "", [2.0, -1.0, -1.0]),
        ("platform_agrees", "", [1.0, -1.0, -1.0]),
        ("mobile_agrees", "", [1.0, -1.0, -1.0]),
        ("fetch_agrees", "", [1.0, -1.0, -1.0]),
    ];
    let features: Vec<Feature> = cases
        .iter()
        .map(|(kind, parameter, _)| Feature {
            name: format!("{kind} {parameter}"),
            kind: (*kind).to_owned(),
            parameter: (*parameter).to_owned(),
        })
        .collect();
    let extraction = Extraction::of(&features);
    for (i, head) in sample::read(HEADS).enumerate() {
        let mut slots = [f32::NAN; FEATURES_MAX];
        let values = extraction.measure(&head.view(), &mut slots).unwrap();
        for (value, (kind, parameter, want)) in values.iter().zip(cases) {
            assert!(
                (value - want[i]).abs() < 1e-4,
                "{kind} {parameter} of {}: {value}, not {}",
                head.name,
                want[i]
            );
        }
    }
    assert_eq!(sample::read(HEADS).count(), 3);
    for kind in KINDS {
        assert!(cases.iter().any(|(name, ..)| *name == kind.name), "{} has no case", kind.name);
    }
}
