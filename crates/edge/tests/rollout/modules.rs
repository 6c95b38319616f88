//! Guarded modules: what a fault of one means for a request, for the module, and for those beside it.

use crate::common::{Origin, eventually};
use crate::stand::*;
use serde_json::json;
use std::time::{Duration, Instant};

/// Every module with what makes a zone use it: keys and tables.
const MODULES: [(&str, &str, &str); 6] = [
    ("redirect", "always_https = true", ""),
    ("bans", "bans = \"neighbours\"", ""),
    ("bot", "", "[zone.bot]\nscore = true\nheader = true"),
    ("firewall", "", "[[zone.rule]]\nname = \"probe\"\naction = \"block\"\npath = \"^/probe$\""),
    ("request_headers", "", "[[zone.route]]\nrequest_headers = { set = { X-Asked = \"1\" } }"),
    ("response_headers", "", "[[zone.route]]\nresponse_headers = { set = { X-Told = \"1\" } }"),
];
const MODES: [&str; 3] = ["stale", "open", "closed"];
const LIST: &str = "[[list]]\nname = \"neighbours\"\naddresses = [\"192.0.2.0/24\"]\n";

fn host(module: &str, fault: &str, mode: &str) -> String {
    format!("{}-{fault}-{mode}.test", module.replace('_', "-"))
}

/// A zone for each module and mode, and the faults that meet it.
fn cells(origin: &Origin, fault: &str) -> (String, Vec<serde_json::Value>) {
    let (mut text, mut faults) = (edge(FAST) + LIST, Vec::new());
    for (module, keys, tables) in MODULES {
        for mode in MODES {
            let name = host(module, fault, mode);
            let tables = format!("{tables}\n[zone.modules]\n{module} = \"{mode}\"");
            text += &zone(&name, origin, keys, &tables);
            faults.push(json!({ "module": module, "zone": name, "what": fault }));
        }
    }
    text += &zone("well.test", origin, "", "");
    (text, faults)
}

/// Each module, failing in one way in each mode, in one edge.
fn every_module_failing_by(fault: &str, loses_its_result: bool) {
    let origin = Origin::echoing();
    let (text, faults) = cells(&origin, fault);
    let stand = Stand::start(Setup::of(text).sabotage(json!({ "faults": faults })));
    let mut visitor = stand.visitor();
    for (module, ..) in MODULES {
        for mode in MODES {
            let name = host(module, fault, mode);
            let began = Instant::now();
            let mut answers = Vec::new();
            // What overruns its budget has done its work all the same, until it is skipped.
            while !stand.module(module)["breakers_open"].as_array().unwrap().iter().any(|z| *z == *name) {
                assert!(began.elapsed() < Duration::from_secs(1), "{name}: the breaker does not open");
                answers.push(visitor.visit(&name, "/page", 1));
            }
            let skipped = visitor.visit(&name, "/page", 1);
            let expected = if mode == "closed" { 503 } else { 200 };
            assert_eq!(skipped.status, expected, "{name} skipped: {}", skipped.text());
            if loses_its_result {
                assert!(answers.iter().all(|a| a.status == expected), "{name} failing: {answers:?}");
            }
            if mode == "closed" {
                let page = skipped.text();
                assert!(page.contains(&format!("`{module}`")), "{name}: {page}");
                assert!(skipped.field("retry-after").is_some(), "{name}");
            }
            assert_eq!(visitor.visit("well.test", "/", 1).status, 200, "{name}: another zone");
        }
    }
    for (module, ..) in MODULES {
        let counted = |what: &str| stand.metric(&format!("seawall_module_{what}{{module=\"{module}\"}}"));
        assert!(counted("closed_responses_total") >= 1.0, "{module}");
        assert!(counted("skipped_total") >= 2.0, "{module}");
        let opened = || stand.told("breaker_opened").iter().filter(|e| e["module"] == module).count();
        eventually("each is told once", || opened() == 3);
        eventually("the gauge follows", || counted("breakers_open") >= 3.0);
    }
    assert_eq!(stand.metric("seawall_panics_total"), 0.0);
}

#[test]
fn a_module_that_panics_gives_what_its_mode_declares_and_is_skipped_within_a_second() {
    every_module_failing_by("panic", true);
}

#[test]
fn a_module_that_fails_gives_what_its_mode_declares_and_is_skipped_within_a_second() {
    every_module_failing_by("error", true);
}

#[test]
fn a_slow_module_is_skipped_within_a_second_by_its_mode() {
    every_module_failing_by("slow", false);
}

#[test]
fn a_greedy_module_is_skipped_within_a_second_by_its_mode() {
    every_module_failing_by("allocate", false);
}

#[test]
fn a_module_that_is_well_again_is_found_out_by_probes() {
    let origin = Origin::echoing();
    let text = edge(FAST)
        + &zone("a.test", &origin, "always_https = true", "[zone.modules]\nredirect = \"closed\"\n");
    // Runs 0, 3 and 6 fail: three within ten seconds open the breaker, and runs 7 and 8 are the probes.
    let fault = json!({ "module": "redirect", "zone": "a.test", "what": "error", "every": 3 });
    let stand = Stand::start(Setup::of(text).sabotage(json!({ "faults": [fault] })));
    let mut visitor = stand.visitor();
    let open = |stand: &Stand| !stand.module("redirect")["breakers_open"].as_array().unwrap().is_empty();
    let statuses: Vec<u16> = (0..7).map(|_| visitor.visit("a.test", "/", 1).status).collect();
    assert_eq!(statuses, [503, 301, 301, 503, 301, 301, 503]);
    assert!(open(&stand));
    eventually("the probes close it", || {
        visitor.visit("a.test", "/", 1);
        !open(&stand)
    });
    assert_eq!(visitor.visit("a.test", "/", 1).status, 503, "a single fault is one request's");
    assert_eq!(visitor.visit("a.test", "/", 1).status, 301);
    eventually("it is told", || stand.told("breaker_closed").len() == 1);
    let gauge = "seawall_module_breakers_open{module=\"redirect\"}";
    eventually("the gauge follows", || stand.metric(gauge) == 0.0);
}

#[test]
fn a_score_that_cannot_be_computed_is_absent_and_no_rule_on_it_matches() {
    let origin = scored();
    let bot = "[zone.bot]\nscore = true\nheader = true\n";
    let rules = "[[zone.rule]]\nname = \"programs\"\naction = \"block\"\nscore_below = 99\npath = \"^/low$\"\n\
                 [[zone.rule]]\nname = \"all\"\naction = \"block\"\nscore_below = 99\nheader = { name = \"X-Program\", matches = \".\" }\n";
    let open = "[zone.modules]\nbot = \"open\"\n";
    let text = edge(FAST)
        + &zone("well.test", &origin, "", &format!("{bot}{rules}"))
        + &zone("ill.test", &origin, "", &format!("{bot}{rules}{open}"))
        + &zone("off.test", &origin, "", &format!("{bot}{rules}[zone.modules]\nbot = \"off\"\n"))
        + &zone("secret.test", &origin, "", "[zone.bot]\nscore = true\n");
    let faults = json!([{ "module": "bot", "zone": "ill.test", "what": "error" }]);
    let stand = Stand::start(Setup::of(text).sabotage(json!({ "faults": faults })));
    let mut visitor = stand.visitor();
    let told = visitor.visit("well.test", "/", 1).text();
    let score: u8 = told.parse().unwrap_or_else(|_| panic!("{told}"));
    assert!((1..=99).contains(&score));
    // A program by its looks: its score is low enough for the rule wherever there is a score.
    let program = "User-Agent: python-requests/2.31\r\nX-Program: 1\r\n";
    assert_eq!(visitor.visit_with("well.test", "/", 1, program).status, 403);
    for host in ["ill.test", "off.test"] {
        for _ in 0..5 {
            let answer = visitor.visit_with(host, "/low", 1, program);
            assert_eq!((answer.status, answer.text().as_str()), (200, "none"), "{host}");
        }
    }
    // Whatever the visitor says of itself, the origin hears it from nobody but us.
    for (host, heard) in [("well.test", told.as_str()), ("ill.test", "none"), ("secret.test", "none")] {
        let answer = visitor.visit_with(host, "/", 1, "CF-Bot-Score: 98\r\ncf_bot_score: 97\r\n");
        assert_eq!(answer.text(), heard, "{host}");
    }
    assert!(stand.metric("seawall_bot_scores_absent_total") >= 5.0);
}

#[test]
fn a_stale_module_scores_by_the_file_before() {
    let origin = scored();
    let text = |rule: &str| {
        edge(FAST) + &zone("a.test", &origin, "", &format!("[zone.bot]\nscore = true\nheader = true\n{rule}"))
    };
    let poison = "[[zone.rule]]\nname = \"poison\"\naction = \"log\"\npath = \"^/never$\"\n";
    let setup = Setup::of(text("")).features(features(1)).sabotage(json!({
        "without": ["gate", "rehearsal"],
        "faults": [{ "module": "bot", "rule": "poison", "what": "panic" }],
    }));
    let stand = Stand::start(setup);
    let told = stand.visit("a.test", "/", 1).text();
    stand.change(Change::to(text("")).features(features(2))).is("adopted");
    stand.change(Change::to(text(poison)).features(features(2))).is("adopted");
    for _ in 0..6 {
        let answer = stand.visit("a.test", "/", 1);
        assert_eq!((answer.status, answer.text()), (200, told.clone()));
    }
    assert_eq!(stand.module("bot")["breakers_open"], json!(["a.test"]));
}

#[test]
fn a_rule_that_takes_too_long_trips_alone() {
    let origin = Origin::echoing();
    // Within the limits of patterns, and about as slow as they allow on what does not repeat itself.
    let slow = "[[zone.rule]]\nname = \"slow\"\naction = \"log\"\nquery = \"a[ab]{300}[^ab]\"\n";
    let probe = "[[zone.rule]]\nname = \"probe\"\naction = \"block\"\npath = \"^/probe$\"\n";
    let text = edge(FAST) + &zone("a.test", &origin, "", &format!("{slow}{probe}"));
    let stand = Stand::start(Setup::of(text));
    let mut random = 1u64;
    let mut letter = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if random >> 40 & 1 == 1 { 'a' } else { 'b' }
    };
    let query: String = (0..15_000).map(|_| letter()).collect();
    let mut visitor = stand.visitor();
    let took = (0..12).map(|n| {
        let began = Instant::now();
        assert_eq!(visitor.visit("a.test", &format!("/{n}?{query}"), 1).status, 200);
        began.elapsed()
    });
    let took: Vec<Duration> = took.collect();
    eventually("the rule trips", || !stand.told("rule_tripped").is_empty());
    let tripped = stand.told("rule_tripped");
    assert!(tripped.iter().all(|event| event["text"].as_str().unwrap().contains("`slow`")), "{tripped:?}");
    assert_eq!(visitor.visit("a.test", "/probe", 1).status, 403, "the other rules go on");
    assert_eq!(stand.module("firewall")["breakers_open"], json!([]), "and so does the module: {took:?}");
    assert!(took.last() < took.first(), "{took:?}");
}

#[test]
fn a_websocket_meets_the_same_modules_before_it_and_behind_it() {
    // The key and its answer are those of RFC 6455 §1.3.
    let origin = Origin::serving(|request, client| {
        assert_eq!(request.field("x-asked"), Some("1"));
        let score = request.field("cf-bot-score").unwrap_or("none");
        client.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Heard: {score}\r\n\r\n"
        ));
        true
    });
    let tables = |rule: &str| {
        format!(
            "[zone.bot]\nscore = true\nheader = true\n{rule}[[zone.route]]\nrequest_headers = {{ set = {{ X-Asked = \"1\" }} }}\n\
             response_headers = {{ set = {{ X-Told = \"1\" }} }}\n"
        )
    };
    let block = "[[zone.rule]]\nname = \"all\"\naction = \"block\"\npath = \".\"\n";
    let text = edge(FAST)
        + &zone("well.test", &origin, "", &tables(""))
        + &zone("blocked.test", &origin, "", &tables(block))
        + &zone("before.test", &origin, "", &tables(""))
        + &zone("behind.test", &origin, "", &tables(""));
    let faults = json!([
        { "module": "request_headers", "zone": "before.test", "what": "panic" },
        { "module": "response_headers", "zone": "behind.test", "what": "error" },
    ]);
    let stand = Stand::start(Setup::of(text).sabotage(json!({ "faults": faults })));
    let asks = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCF-Bot-Score: 98\r\n";
    let open = |host: &str| stand.visitor().visit_with(host, "/socket", 1, asks);
    let opened = open("well.test");
    assert_eq!((opened.status, opened.field("x-told")), (101, Some("1")), "{}", opened.head);
    assert!(opened.field("x-heard").unwrap().parse::<u8>().is_ok_and(|score| score != 98));
    assert_eq!(open("blocked.test").status, 403);
    for (host, module) in [("before.test", "request_headers"), ("behind.test", "response_headers")] {
        for _ in 0..5 {
            let refused = open(host);
            assert_eq!(refused.status, 503, "{host}: {}", refused.head);
            assert!(refused.text().contains(&format!("`{module}`")), "{host}: {}", refused.text());
        }
    }
}

#[test]
fn nothing_goes_before_a_response_whose_fields_are_edited() {
    let origin = Origin::serving(|request, client| {
        client.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Secret: 1\r\n\r\n");
        client.send(crate::common::ok(request.path()));
        true
    });
    let edits = "[[zone.route]]\nresponse_headers = { remove = [\"X-Secret\"] }\n";
    let text = edge(FAST) + &zone("plain.test", &origin, "", "") + &zone("edited.test", &origin, "", edits);
    let stand = Stand::start(Setup::of(text));
    assert_eq!(stand.visit("plain.test", "/", 1).status, 103);
    assert_eq!(stand.visit("edited.test", "/", 1).status, 200);
}

#[test]
fn a_rule_that_skips_modules_skips_those_that_come_after_it() {
    let origin = Origin::echoing();
    let tables = "[[zone.rule]]\nname = \"past\"\naction = \"skip\"\nskip = [\"request_headers\", \"response_headers\"]\npath = \"^/past\"\n\
                  [[zone.route]]\nrequest_headers = { set = { X-Asked = \"1\" } }\nresponse_headers = { set = { X-Told = \"1\" } }\n";
    let stand = Stand::start(Setup::of(edge(FAST) + &zone("a.test", &origin, "", tables)));
    let mut visitor = stand.visitor();
    for (path, all) in [("/", true), ("/past", false)] {
        let answer = visitor.visit("a.test", path, 1);
        assert_eq!(answer.field("x-told").is_some(), all, "{path}");
        assert_eq!(origin.last().field("x-asked").is_some(), all, "{path}");
    }
}

#[test]
fn without_containment_a_fault_ends_the_request_and_without_a_breaker_every_request_meets_it() {
    let origin = Origin::echoing();
    let text = edge(FAST) + &zone("a.test", &origin, "always_https = true", "");
    for what in ["panic", "error"] {
        for (guard, status) in [("containment", 500), ("breaker", 200)] {
            let fault = json!({ "module": "redirect", "zone": "a.test", "what": what });
            let sabotage = json!({ "without": [guard, "zone-quarantine"], "faults": [fault] });
            let stand = Stand::start(Setup::of(text.clone()).sabotage(sabotage));
            let mut visitor = stand.visitor();
            for _ in 0..6 {
                assert_eq!(visitor.visit("a.test", "/", 1).status, status, "{what} without {guard}");
            }
            let expected = if guard == "breaker" { 6 } else { 0 };
            eventually("each is counted", || stand.module("redirect")["faults"] == expected);
        }
    }
}
