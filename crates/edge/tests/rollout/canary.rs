//! A candidate beside what serves: who meets it, what sends it back, and what of it is left then.

use crate::common::{Authority, Client, Origin, eventually, tls};
use crate::stand::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Waits until a candidate has this share.
fn at_percent(stand: &Stand, percent: u64) {
    eventually("the stage begins", || stand.status()["candidate"]["percent"] == percent);
}

#[test]
fn a_candidate_gets_about_its_share_and_a_visitor_the_same_answer_through_all_stages() {
    let origin = Origin::echoing();
    let rollout = "[edge.rollout]\nstages = [20, 60]\nhold = \"1500ms\"\nrequests = 5\n";
    let text = |n| edge(rollout) + &version("a.test", &origin, n);
    let stand = Stand::start(Setup { workers: 2, ..Setup::of(text(1)) });
    let order = stand.propose(Change::to(text(2)));
    let mut new = Vec::new();
    for percent in [20, 60] {
        at_percent(&stand, percent);
        let mut visitors = [stand.visitor(), stand.visitor()];
        let mut met: Vec<bool> = Vec::new();
        for n in 0..400 {
            // Twice each, by both workers in turn.
            let answers = visitors.each_mut().map(|visitor| version_of(&visitor.visit("a.test", "/", n)));
            assert_eq!(answers[0], answers[1], "visitor {n}");
            met.push(answers[0] == Some(2));
        }
        assert_eq!(
            stand.status()["candidate"]["percent"],
            percent,
            "the stage was over before the visitors were"
        );
        let share = met.iter().filter(|met| **met).count() as u64 * 100 / 400;
        assert!(share.abs_diff(percent) <= 8, "{share} % met it at {percent} %");
        new.push(met);
    }
    assert!(
        new[0].iter().zip(&new[1]).all(|(earlier, later)| !earlier || *later),
        "a wider stage keeps who was in"
    );
    stand.ended(order).is("adopted");
    assert!((0..50).all(|n| version_of(&stand.visit("a.test", "/", n)) == Some(2)));
    assert_eq!(stand.checked()["number"], 2);
    let stages: Vec<_> =
        stand.in_time("stage", 2).iter().map(|e| e["text"].as_str().unwrap().to_owned()).collect();
    assert!(stages[0].starts_with("20 %") && stages[1].starts_with("60 %"), "{stages:?}");
}

/// What a crowd met, while something went on.
struct Met {
    statuses: Vec<(Instant, u16, Option<usize>)>,
}

/// Visitors who come and go until told to stop.
fn crowd<T>(stand: &Stand, host: &'static str, meanwhile: impl FnOnce() -> T) -> (T, Met) {
    let stop = Arc::new(AtomicBool::new(false));
    let (mut visitor, stopped) = (stand.visitor(), stop.clone());
    let thread = std::thread::spawn(move || {
        let mut statuses = Vec::new();
        for n in 0.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let answer = visitor.visit(host, "/", n % 2_000);
            statuses.push((Instant::now(), answer.status, version_of(&answer)));
        }
        statuses
    });
    let done = meanwhile();
    stop.store(true, Ordering::Relaxed);
    (done, Met { statuses: thread.join().unwrap() })
}

/// One zone whose second version carries a rule that drills tie faults to.
fn poisoned(rollout: &str, origin: &Origin, n: usize) -> String {
    let poison = "[[zone.rule]]\nname = \"poison\"\naction = \"log\"\npath = \"^/never$\"\n";
    let rule = if n == 1 { "" } else { poison };
    edge(rollout)
        + &zone("a.test", origin, "", &format!("{}{rule}", route(n)))
        + &zone("b.test", origin, "", "")
}

#[test]
fn errors_under_a_candidate_take_it_back_within_seconds_and_only_its_share_met_them() {
    let origin = Origin::echoing();
    let rollout = "[edge.rollout]\nstages = [10, 50]\nhold = \"6s\"\nrequests = 5\n";
    let sabotage = json!({ "faults": [{ "rule": "poison", "what": "error" }] });
    let stand = Stand::start(Setup::of(poisoned(rollout, &origin, 1)).sabotage(sabotage));
    let before = stand.checked();
    let (ended, met) = crowd(&stand, "a.test", || stand.change(Change::to(poisoned(rollout, &origin, 2))));
    ended.is("failed");
    let verdict = ended.0["verdict"].as_str().unwrap();
    assert!(verdict.contains("errors made by the edge rose from 0 of"), "{verdict}");
    assert!(
        verdict.contains("stage 10 %") && verdict.contains("poison") && verdict.contains("points"),
        "{verdict}"
    );
    let failed: Vec<Instant> = met.statuses.iter().filter(|m| m.1 == 500).map(|m| m.0).collect();
    assert!(met.statuses.iter().all(|m| matches!(m.1, 200 | 500)));
    assert!(!failed.is_empty());
    let lasted = *failed.last().unwrap() - failed[0];
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
    let during = met.statuses.iter().filter(|m| m.0 >= failed[0] && m.0 <= *failed.last().unwrap()).count();
    // As many as chance gives of a tenth, and no more: four deviations, and the two ends, which failed by definition.
    let chance = 0.1 * during as f64 + 4.0 * (0.09 * during as f64).sqrt() + 2.0;
    assert!((failed.len() as f64) <= chance, "{} of {during} at 10 %", failed.len());
    // And nothing of it is left.
    assert_eq!(stand.checked()["number"], before["number"]);
    assert_eq!(stand.status()["candidate"], json!(null));
    assert!((0..200).all(|n| stand.visit("a.test", "/", n).status == 200));
    assert_eq!(stand.metric("seawall_canary_percent"), 0.0);
    assert_eq!(stand.metric("seawall_gate_failures_total"), 1.0);
    let history = stand.store().history().unwrap();
    assert_eq!((history.candidate, history.current), (None, before["number"].as_u64()));
    assert!(history.newest().unwrap().reason.as_ref().unwrap().contains("errors made by the edge"));
    for kind in ["gate_failed", "rolled_back", "alert"] {
        stand.in_time(kind, 1);
    }
}

#[test]
fn faults_of_modules_are_found_on_requests_nobody_made_before_a_visitor_meets_them() {
    let origin = Origin::echoing();
    let rollout = "[edge.rollout]\nstages = [1, 50]\nhold = \"200ms\"\nrequests = 20\n";
    for (what, without) in [("error", json!([])), ("panic", json!(["rehearsal"]))] {
        let fault = json!({ "module": "firewall", "rule": "poison", "what": what });
        let sabotage = json!({ "without": without, "faults": [fault] });
        let stand = Stand::start(Setup::of(poisoned(rollout, &origin, 1)).sabotage(sabotage));
        let ended = stand.change(Change::to(poisoned(rollout, &origin, 2)));
        if what == "error" {
            assert!(ended.is("refused").said().contains("rehearsal: modules failed"), "{}", ended.said());
        } else {
            assert!(ended.is("failed").said().contains("module faults rose from 0 of"), "{}", ended.said());
        }
        assert_eq!(stand.current(), 1);
        assert_eq!(stand.module("firewall")["faults"], 0, "no visitor met one");
    }
}

#[test]
fn what_hangs_in_a_rehearsal_is_left_behind_and_refused() {
    let origin = Origin::echoing();
    // Rehearsals have ten seconds; synthetic requests, which come later, two.
    let sabotage = json!({
        "without": ["rehearsal"],
        "faults": [{ "module": "firewall", "rule": "poison", "what": "hang" }],
    });
    let stand = Stand::start(Setup::of(poisoned(FAST, &origin, 1)).sabotage(sabotage));
    let began = Instant::now();
    let ended = stand.change(Change::to(poisoned(FAST, &origin, 2)));
    assert!(ended.is("failed").said().contains("did not end within 2 s"), "{}", ended.said());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(stand.status()["candidate"], json!(null));
    // Whoever carries out changes is alive.
    stand
        .change(Change::to(poisoned(FAST, &origin, 1).replace("X-Version = \"1\"", "X-Version = \"3\"")))
        .is("adopted");
    assert_eq!(version_of(&stand.visit("a.test", "/", 1)), Some(3));
}

#[test]
fn what_a_candidate_breaks_does_not_show_beside_it() {
    let origin = scored();
    let rollout = "[edge.rollout]\nstages = [50]\nhold = \"1s\"\nrequests = 5\n";
    let bot = "[zone.bot]\nscore = true\nheader = true\n[zone.modules]\nbot = \"closed\"\n";
    let text = edge(rollout) + &zone("a.test", &origin, "", bot);
    // Nothing keeps the file out and no gate looks: the zone is the same in both cohorts, and half of the visitors meet it.
    let without =
        json!(["validation", "build-validation", "load-validation", "rehearsal", "gate", "removal-cap"]);
    let setup = Setup::of(text.clone()).features(features(1)).sabotage(json!({ "without": without }));
    let stand = Stand::start(setup);
    let mut visitor = stand.visitor();
    let told: Vec<String> = (0..100).map(|n| visitor.visit("a.test", "/", n).text()).collect();
    let order = stand.propose(Change::to(text).features(too_many_features(2)));
    at_percent(&stand, 50);
    let mut shut = [0; 100];
    while stand.status()["candidate"] != json!(null) {
        for n in 0..100 {
            let answer = visitor.visit("a.test", "/", n);
            match answer.status {
                503 => shut[n] += 1,
                _ => assert_eq!(answer.text(), told[n], "visitor {n}"),
            }
        }
        if shut.iter().any(|n| *n > 3) {
            break;
        }
    }
    let met = shut.iter().filter(|n| **n > 0).count();
    assert!((30..70).contains(&met), "{met} of 100 met it at 50 %");
    assert_eq!(stand.module("bot")["breakers_open"], json!([]), "what serves has a breaker of its own");
    stand.ended(order);
}

#[test]
fn what_a_candidate_fetches_is_kept_from_those_beside_it() {
    let cacheable = |body: &'static str| {
        Origin::answering(move |_| {
            let length = body.len();
            format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {length}\r\n\r\n{body}")
                .into()
        })
    };
    let (right, wrong) = (cacheable("right"), cacheable("wrong"));
    let rollout = "[edge.rollout]\nstages = [50]\nhold = \"1500ms\"\nquick_hold = \"20ms\"\nrequests = 5\n";
    let everything = "[[zone.route]]\ncache = \"everything\"\n";
    let text = |origin: &Origin| {
        edge(rollout) + &zone("a.test", origin, "", everything).replace("cache = false", "cache = true")
    };
    let stand = Stand::start(Setup { workers: 2, ..Setup::of(text(&right)) });
    assert_eq!(stand.visit("a.test", "/known", 1).text(), "right");
    let order = stand.propose(Change::to(text(&wrong)));
    at_percent(&stand, 50);
    let mut visitor = stand.visitor();
    // Which visitors meet it, each by a page of their own.
    let mut pages: Vec<(String, String)> = Vec::new();
    for n in 0..60 {
        let path = format!("/page/{}", n % 20);
        pages.push((path.clone(), visitor.visit("a.test", &path, n).text()));
        assert_eq!(visitor.visit("a.test", &path, n).text(), pages[n].1, "the same visitor, the same answer");
    }
    for body in ["right", "wrong"] {
        assert!(pages.iter().any(|(_, met)| met == body), "{body}");
    }
    let both = |path: &str| {
        let met = |body: &str| pages.iter().any(|(p, met)| p == path && met == body);
        met("right") && met("wrong")
    };
    assert!(
        pages.iter().any(|(path, _)| both(path)),
        "nobody got what the other group had fetched: {pages:?}"
    );
    let told = (0..40).map(|n| visitor.visit("a.test", "/known", n).text()).collect::<Vec<_>>();
    assert!(told.iter().all(|body| body == "right"), "what is there is good enough for both: {told:?}");
    // An operator sees it and goes back: nobody meets it any more.
    stand.carry_out("/snapshot/rollback", &json!({ "to": 1 })).is("unchanged");
    stand.ended(order).is("superseded");
    let mut visitor = stand.visitor();
    for (n, (path, _)) in pages.iter().enumerate() {
        assert_eq!(visitor.visit("a.test", path, n).text(), "right", "{path}");
    }
}

#[test]
fn a_gate_that_is_blind_lets_nothing_pass() {
    let origin = Origin::echoing();
    let text = |n| edge(FAST) + &version("a.test", &origin, n);
    let stand = Stand::start(Setup::of(text(1)).sabotage(json!({ "blind_gate": true })));
    let ended = stand.change(Change::to(text(2)));
    assert!(ended.is("failed").said().contains("could not be measured"), "{}", ended.said());
    let silent = json!({ "blind_gate": true, "without": ["gate-silence"] });
    let stand = Stand::start(Setup::of(text(1)).sabotage(silent));
    stand.change(Change::to(text(2))).is("adopted");
}

#[test]
fn without_a_canary_all_meet_it_at_once_and_without_a_gate_nothing_sends_it_back() {
    let origin = Origin::echoing();
    for (guards, stages) in [(json!(["canary", "gate"]), 0), (json!(["gate"]), 2)] {
        let sabotage = json!({ "without": guards, "faults": [{ "rule": "poison", "what": "error" }] });
        let stand = Stand::start(Setup::of(poisoned(FAST, &origin, 1)).sabotage(sabotage));
        stand.change(Change::to(poisoned(FAST, &origin, 2))).is("adopted");
        stand.in_time("stage", stages);
        assert_eq!(stand.visit("a.test", "/", 1).status, 500);
    }
}

#[test]
fn visitors_find_certificates_of_both_while_a_change_is_on_its_way() {
    let ca = Authority::new();
    let origin = Origin::echoing();
    let rollout = "[edge.rollout]\nstages = [50]\nhold = \"1s\"\nrequests = 5\n";
    let signed = |name: &str| ca.sign(name, &[&format!("{name}.test")]);
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let keys = format!("certificates = [{}]", signed(name).entry());
        zone(&format!("{name}.test"), &origin, &keys, "")
    });
    let stand = Stand::start(Setup::of(edge(rollout) + &a + &b));
    // Each time as somebody who was never here: a session that is resumed shows no certificate.
    let config = || Arc::new(ca.client(&[]));
    let shows = |host: &str| tls(stand.https, host, &config()).is_ok();
    assert_eq!(["a.test", "b.test", "c.test"].map(shows), [true, true, false]);
    let order = stand.propose(Change::to(edge(rollout) + &b + &c));
    at_percent(&stand, 50);
    assert_eq!(["a.test", "b.test", "c.test"].map(shows), [true, true, true]);
    let mut statuses: Vec<u16> = (0..40)
        .map(|n| {
            let mut client = Client::over(tls(stand.https, "a.test", &config()).unwrap());
            client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {}\r\n\r\n", address(n)));
            client.answer().status
        })
        .collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [200, 421], "some are served as before");
    stand.ended(order).is("adopted");
    assert_eq!(["a.test", "b.test", "c.test"].map(shows), [false, true, true]);
}
