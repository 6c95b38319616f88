use super::*;
use crate::Histogram;

const MEMORY: Option<u64> = Some(100 << 20);

fn plan() -> Plan {
    Plan {
        stages: vec![1, 10, 50],
        hold_ms: 8_000,
        requests: 50,
        expected_change: 0.0,
        silence_ms: Some(SILENCE_MS),
        gates: true,
    }
}

/// Requests that are all well.
fn well(requests: u64) -> Sample {
    let mut latency = Histogram::default();
    latency.add(13, requests);
    Sample { requests, latency, memory_bytes: MEMORY, ..Sample::default() }
}

fn look(progress: &mut Progress, now_ms: u64, stable: &Sample, candidate: &Sample) -> Step {
    progress.observe(now_ms, Some(stable), Some(candidate), None, None)
}

fn failed(step: Step) -> Verdict {
    match step {
        Step::Fail(verdict) => verdict,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_healthy_candidate_passes_every_stage_and_none_is_skipped() {
    let mut progress = Progress::new(plan(), 1_000);
    assert_eq!(progress.percent(), 1);
    let mut seen = Vec::new();
    for now_ms in (1_000..).step_by(100) {
        match look(&mut progress, now_ms, &well(500), &well(60)) {
            Step::Wait => {}
            step => seen.push((now_ms, step.clone())),
        }
        if seen.last().is_some_and(|(_, step)| *step == Step::Done) {
            break;
        }
    }
    let want = [
        (9_000, Step::Advance { percent: 10 }),
        (17_000, Step::Advance { percent: 50 }),
        (25_000, Step::Done),
    ];
    assert_eq!(seen, want);
    assert_eq!(progress.percent(), 100);
}

#[test]
fn neither_time_nor_requests_alone_are_enough() {
    let mut progress = Progress::new(plan(), 0);
    assert_eq!(look(&mut progress, 7_999, &well(9_000), &well(9_000)), Step::Wait);
    assert_eq!(look(&mut progress, 20_000, &well(9_000), &well(49)), Step::Wait);
    assert_eq!(look(&mut progress, 20_100, &well(9_000), &well(50)), Step::Advance { percent: 10 });
}

#[test]
fn synthetic_requests_fill_up_and_are_asked_for_in_time() {
    let mut progress = Progress::new(plan(), 0);
    assert_eq!(progress.wants_synthetic(0), 0);
    assert_eq!(progress.wants_synthetic(4_000), 25);
    assert_eq!(look(&mut progress, 4_000, &well(100), &well(10)), Step::Wait);
    assert_eq!(
        (progress.seen(), progress.wants_synthetic(4_000), progress.wants_synthetic(8_000)),
        (10, 25, 50)
    );
    let made = Sample { requests: 40, ..Sample::default() };
    let step = progress.observe(8_000, Some(&well(100)), Some(&well(10)), Some(&made), Some(&made));
    assert_eq!(step, Step::Advance { percent: 10 });
    assert_eq!((progress.wants_synthetic(8_000), progress.seen_synthetic()), (0, 0));
}

#[test]
fn a_verdict_is_a_sentence_that_says_what_got_worse_by_how_much_and_when() {
    let mut progress = Progress::new(plan(), 0);
    assert_eq!(look(&mut progress, 8_000, &well(800), &well(50)), Step::Advance { percent: 10 });
    let bad = Sample { module_faults: 88, ..well(90) };
    let verdict = failed(look(&mut progress, 9_200, &well(812), &bad));
    assert_eq!(verdict.to_string(), "stage 10 %: module faults rose from 0 of 812 requests to 88 of 90");
    assert_eq!(verdict.by_how_much(), "+97.8 points");
    assert_eq!((verdict.after_ms, verdict.requests, verdict.stage_percent), (1_200, 90, 10));
    let json = serde_json::to_string(&verdict).unwrap();
    assert!(json.contains(r#""metric":"module_faults""#), "{json}");
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
}

#[test]
fn every_kind_of_verdict_reads_well() {
    let share = |count, of| Value::Share { count, of };
    let some = |text: &str| Some(text.to_owned());
    for (metric, detail, counted, stable, candidate, says, how_much) in [
        (
            Metric::EdgeErrors,
            None,
            Counted::Synthetic,
            share(0, 50),
            share(50, 50),
            "errors made by the edge rose from 0 of 50 synthetic requests to 50 of 50",
            "+100.0 points",
        ),
        (
            Metric::CacheHits,
            None,
            Counted::Requests,
            share(800, 1_000),
            share(1, 100),
            "cache hits fell from 800 of 1000 requests to 1 of 100",
            "-79.0 points",
        ),
        (
            Metric::Scores,
            some("scores 0–9"),
            Counted::Requests,
            share(1, 100),
            share(99, 100),
            "distribution of scores (scores 0–9) rose from 1 of 100 requests to 99 of 100",
            "+98.0 points",
        ),
        (
            Metric::Latency,
            None,
            Counted::Requests,
            Value::TimeUs(3_072),
            Value::TimeUs(49_152),
            "median latency rose from about 3.1 ms to about 49 ms",
            "16 times",
        ),
        (
            Metric::Memory,
            None,
            Counted::Requests,
            Value::Bytes(300 << 20),
            Value::Bytes(900 << 20),
            "memory rose from 300 MiB to 900 MiB",
            "+600 MiB",
        ),
        (
            Metric::Memory,
            None,
            Counted::Requests,
            share(0, 9),
            Value::Missing,
            "memory of the candidate could not be measured",
            "not to be measured",
        ),
        (
            Metric::Requests,
            None,
            Counted::Requests,
            Value::Missing,
            share(0, 9),
            "requests beside the candidate could not be measured",
            "not to be measured",
        ),
    ] {
        let verdict = Verdict {
            metric,
            detail,
            stage_percent: 50,
            after_ms: 1,
            requests: 9,
            counted,
            stable,
            candidate,
        };
        assert_eq!(verdict.to_string(), format!("stage 50 %: {says}"));
        assert_eq!(verdict.by_how_much(), how_much, "{says}");
    }
}

#[test]
fn one_loud_visitor_is_not_a_thousand() {
    use crate::{Vote, Votes};
    let vote = |blocked| Vote { latency_us: 9_000, blocked, ..Vote::default() };
    let votes = |loud: bool, others: bool| {
        let mut votes = Votes::default();
        (0..120).for_each(|part| votes.cast(part * 2, vote(others).pack(9)));
        votes.cast(0, vote(loud).pack(1));
        votes
    };
    let stable = Sample { blocked: 50, votes: votes(false, false), ..well(5_000) };
    // A scanner is blocked, asks all the time, and happens to be in the candidate's share.
    let scanned = Sample { blocked: 900, votes: votes(true, false), ..well(1_000) };
    assert_eq!(look(&mut Progress::new(plan(), 0), 100, &stable, &scanned), Step::Wait);
    // The same from everybody is another matter.
    let blocked = Sample { blocked: 900, votes: votes(true, true), ..well(1_000) };
    let verdict = failed(look(&mut Progress::new(plan(), 0), 100, &stable, &blocked));
    let says = "blocked and challenged requests rose from 0 of 120 distinct requests to 120 of 120";
    assert_eq!(verdict.to_string(), format!("stage 1 %: {says}"));
    // Where nobody votes, requests count for what their spread is worth.
    let mut alike = Sample { blocked: 900, ..well(1_000) };
    alike.spread.add(3, 1_000);
    let stable = Sample { blocked: 50, ..well(5_000) };
    assert_eq!(look(&mut Progress::new(plan(), 0), 100, &stable, &alike), Step::Wait);
}

#[test]
fn a_measurement_that_is_missing_fails_after_its_grace_and_is_named() {
    let (good, unmeasured) = (well(60), Sample { memory_bytes: None, ..well(60) });
    let no_latency = Sample { latency: Histogram::default(), ..well(60) };
    for (stable, candidate, metric, says) in [
        (None, Some(&good), Metric::Requests, "requests beside the candidate could not be measured"),
        (Some(&good), None, Metric::Requests, "requests of the candidate could not be measured"),
        (None, None, Metric::Requests, "could not be measured"),
        (Some(&good), Some(&unmeasured), Metric::Memory, "memory of the candidate"),
        (Some(&unmeasured), Some(&good), Metric::Memory, "memory beside the candidate"),
        (Some(&good), Some(&no_latency), Metric::Latency, "median latency of the candidate"),
    ] {
        let mut progress = Progress::new(plan(), 0);
        assert_eq!(look(&mut progress, 100, &good, &good), Step::Wait);
        for now_ms in (200..2_200).step_by(100) {
            assert_eq!(
                progress.observe(now_ms, stable, candidate, None, None),
                Step::Wait,
                "{says} {now_ms}"
            );
        }
        let verdict = failed(progress.observe(2_200, stable, candidate, None, None));
        assert_eq!(verdict.metric, metric);
        assert!(verdict.to_string().contains(says), "{verdict}");
    }
}

#[test]
fn a_stage_does_not_pass_while_something_is_missing() {
    let mut progress = Progress::new(plan(), 0);
    let made = well(60);
    let step = progress.observe(8_500, Some(&made), None, Some(&made), Some(&made));
    assert_eq!(step, Step::Wait);
    assert_eq!(look(&mut progress, 9_000, &well(60), &well(60)), Step::Advance { percent: 10 });
}

#[test]
fn what_is_missing_for_a_moment_is_forgiven() {
    let mut progress = Progress::new(plan(), 0);
    for round in 0..4 {
        let at = round * 1_900;
        assert_eq!(progress.observe(at, Some(&well(9)), None, None, None), Step::Wait);
        assert_eq!(progress.observe(at + 1_800, Some(&well(9)), None, None, None), Step::Wait);
        assert_eq!(look(&mut progress, at + 1_850, &well(9), &well(1)), Step::Wait);
    }
}

#[test]
fn a_stage_that_gets_no_requests_fails_in_the_end() {
    let mut progress = Progress::new(plan(), 0);
    assert_eq!(look(&mut progress, 79_999, &well(100), &well(3)), Step::Wait);
    let verdict = failed(look(&mut progress, 80_000, &well(100), &well(3)));
    assert_eq!(verdict.metric, Metric::Requests);
    assert!(verdict.to_string().contains("(3 of 50 in 80 s)"), "{verdict}");
    let quick = Plan { hold_ms: 50, ..plan() };
    let mut progress = Progress::new(quick, 0);
    assert_eq!(look(&mut progress, STAGE_MAX_MS - 1, &well(0), &well(0)), Step::Wait);
    failed(look(&mut progress, STAGE_MAX_MS, &well(0), &well(0)));
}

#[test]
fn without_the_guard_against_silence_nobody_notices() {
    let deaf = Plan { silence_ms: None, ..plan() };
    let mut progress = Progress::new(deaf, 0);
    assert_eq!(progress.observe(5_000, None, None, None, None), Step::Wait);
    for percent in [10, 50] {
        let now_ms = progress.began_ms + 8_000;
        assert_eq!(progress.observe(now_ms, None, None, None, None), Step::Advance { percent });
    }
    assert_eq!(progress.observe(24_000, None, None, None, None), Step::Done);
}

#[test]
fn without_gates_a_disaster_goes_through() {
    let mut progress = Progress::new(Plan { gates: false, ..plan() }, 0);
    let disaster = Sample { edge_errors: 60, module_faults: 60, ..well(60) };
    assert_eq!(look(&mut progress, 8_000, &well(900), &disaster), Step::Advance { percent: 10 });
}

#[test]
fn a_lone_error_counts_once_it_stayed_alone_for_two_seconds() {
    let bad = Sample { edge_errors: 1, ..well(20) };
    let mut progress = Progress::new(plan(), 0);
    assert_eq!(look(&mut progress, 500, &well(200), &bad), Step::Wait);
    assert_eq!(look(&mut progress, 2_400, &well(220), &bad), Step::Wait);
    let verdict = failed(look(&mut progress, 2_500, &well(220), &bad));
    assert_eq!(
        verdict.to_string(),
        "stage 1 %: errors made by the edge rose from 0 of 220 requests to 1 of 20"
    );
    // The same trouble shows beside it in time.
    let mut progress = Progress::new(plan(), 0);
    assert_eq!(look(&mut progress, 500, &well(200), &bad), Step::Wait);
    let troubled = Sample { edge_errors: 3, ..well(240) };
    assert_eq!(look(&mut progress, 1_000, &troubled, &bad), Step::Wait);
    assert_eq!(look(&mut progress, 3_000, &troubled, &bad), Step::Wait);
}

#[test]
fn a_short_stage_waits_for_a_lone_error_to_be_confirmed() {
    let mut progress = Progress::new(Plan { hold_ms: 50, ..plan() }, 0);
    let bad = Sample { edge_errors: 1, ..well(50) };
    assert_eq!(look(&mut progress, 60, &well(200), &bad), Step::Wait);
    assert_eq!(look(&mut progress, 2_000, &well(200), &bad), Step::Wait);
    failed(look(&mut progress, 2_060, &well(200), &bad));
}

#[test]
fn an_error_that_was_normal_before_the_rollout_is_normal() {
    let history = Sample { edge_errors: 40, ..well(20_000) };
    let bad = Sample { edge_errors: 1, ..well(20) };
    let mut progress = Progress::new(plan(), 0).after(&history);
    for now_ms in (0..7_000).step_by(100) {
        assert_eq!(look(&mut progress, now_ms, &well(200), &bad), Step::Wait);
    }
    // And what an earlier stage showed is remembered by the next.
    let mut progress = Progress::new(plan(), 0);
    let troubled = Sample { edge_errors: 5, ..well(800) };
    assert_eq!(look(&mut progress, 8_000, &troubled, &well(50)), Step::Advance { percent: 10 });
    assert_eq!(look(&mut progress, 10_000, &well(200), &bad), Step::Wait);
    assert_eq!(look(&mut progress, 12_000, &well(200), &bad), Step::Wait);
}

#[test]
fn a_suspicion_holds_a_stage_once_more_and_no_longer() {
    let mut progress = Progress::new(plan(), 0);
    let (stable, candidate) =
        (Sample { edge_errors: 1, ..well(900) }, Sample { edge_errors: 4, ..well(100) });
    assert_eq!(look(&mut progress, 8_000, &stable, &candidate), Step::Wait);
    assert_eq!(look(&mut progress, 15_999, &stable, &candidate), Step::Wait);
    assert_eq!(look(&mut progress, 16_000, &stable, &candidate), Step::Advance { percent: 10 });
}

#[test]
fn synthetic_requests_count_for_faults_verdicts_and_scores_but_not_for_latency_or_cache() {
    let count = |change: fn(&mut Sample)| {
        let mut made = Sample { requests: 60, scores: [6; 10], cacheable: 60, cache_hits: 60, ..well(60) };
        let before = made.clone();
        change(&mut made);
        let mut progress = Progress::new(plan(), 0);
        progress.observe(1_000, Some(&well(800)), Some(&well(8)), Some(&before), Some(&made)) != Step::Wait
    };
    assert!(count(|s| s.module_faults = 2));
    assert!(count(|s| s.edge_errors = 2));
    assert!(count(|s| s.blocked = 60));
    assert!(count(|s| (s.scores, s.unscored) = ([0; 10], 60)));
    assert!(count(|s| s.scores = [60, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert!(!count(|s| s.latency = {
        let mut slow = Histogram::default();
        slow.add(25, 60);
        slow
    }));
    assert!(!count(|s| s.cache_hits = 0));
    assert!(!count(|s| s.origin_errors = 60));
}

#[test]
fn memory_is_compared_with_what_it_was_when_the_rollout_began() {
    let with = |mib: u64| Sample { memory_bytes: Some(mib << 20), ..well(60) };
    let mut progress = Progress::new(plan(), 0);
    assert_eq!(look(&mut progress, 0, &with(300), &with(300)), Step::Wait);
    assert_eq!(look(&mut progress, 8_000, &with(500), &with(500)), Step::Advance { percent: 10 });
    let verdict = failed(look(&mut progress, 8_100, &with(600), &with(600)));
    assert_eq!(verdict.to_string(), "stage 10 %: memory rose from 300 MiB to 600 MiB");
    let mut progress = Progress::new(plan(), 0).after(&with(200));
    failed(look(&mut progress, 100, &with(500), &with(500)));
}

mod whatever_is_shown {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> impl Strategy<Value = Sample> {
        // Counters that contradict each other too: more errors than requests, hits without requests.
        let counts = prop::collection::vec(prop_oneof![Just(0u64), 0u64..100, 0u64..1_000_000_000_000], 12);
        (counts, prop::option::of(0u64..1 << 40), any::<[u8; 3]>()).prop_map(|(n, memory_bytes, parts)| {
            let mut sample = Sample {
                requests: n[0],
                edge_errors: n[1],
                module_faults: n[2],
                overruns: n[3],
                origin_errors: n[4],
                blocked: n[5],
                cacheable: n[6],
                cache_hits: n[7],
                unscored: n[8],
                memory_bytes,
                ..Sample::default()
            };
            sample.scores[3] = n[9];
            sample.latency.add(7, n[10]);
            sample.latency.add(25, n[11]);
            parts.into_iter().for_each(|part| sample.votes.cast(part.into(), u32::from(part) << 3));
            sample.spread.add(parts[0].into(), n[0]);
            sample
        })
    }

    proptest! {
        #[test]
        fn it_answers_and_no_stage_is_skipped(
            shown in prop::collection::vec((0u64..20_000, prop::array::uniform4(prop::option::of(sample()))), 1..20),
        ) {
            let mut progress = Progress::new(plan(), 0);
            let (mut now_ms, mut began_ms, mut percent) = (0, 0, 1);
            for (step_ms, [stable, candidate, made_stable, made]) in shown {
                now_ms += step_ms;
                let answer = progress.observe(
                    now_ms, stable.as_ref(), candidate.as_ref(), made_stable.as_ref(), made.as_ref());
                match answer {
                    Step::Wait => prop_assert_eq!(progress.percent(), percent),
                    Step::Fail(verdict) => {
                        prop_assert_eq!(verdict.stage_percent, percent);
                        prop_assert!(!verdict.to_string().is_empty() && !verdict.by_how_much().is_empty());
                        break;
                    }
                    next => {
                        let want = match percent { 1 => 10, 10 => 50, _ => 100 };
                        let due = if want == 100 { Step::Done } else { Step::Advance { percent: want } };
                        prop_assert_eq!(next, due);
                        prop_assert!(now_ms - began_ms >= 8_000 && stable.is_some() && candidate.is_some());
                        (began_ms, percent) = (now_ms, want);
                        if want == 100 {
                            break;
                        }
                    }
                }
            }
        }
    }
}
