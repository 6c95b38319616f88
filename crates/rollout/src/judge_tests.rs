use super::*;

fn sample(requests: u64) -> Sample {
    Sample { requests, ..Sample::default() }
}

fn verdict_of(metric: Metric, stable: &Sample, candidate: &Sample, beside: Beside) -> Finding {
    let gate = metric.gate().unwrap();
    let pair = Pair { stable, candidate, counted: Counted::Requests };
    judge(gate, pair, &beside)
}

fn is_worse(finding: &Finding) -> bool {
    matches!(finding, Finding::Worse { .. } | Finding::Lone { .. })
}

fn fails(metric: Metric, stable: &Sample, candidate: &Sample) -> bool {
    is_worse(&verdict_of(metric, stable, candidate, Beside::default()))
}

#[test]
fn one_error_among_few_is_enough_where_there_was_none() {
    for ((errors, of), (beside, of_beside), want) in [
        ((1, 20), (0, 100), true),
        ((1, 20), (0, 20), true),
        ((1, 50), (0, 800), true),
        ((1, 51), (0, 800), false),
        ((1, 1), (0, 1), true),
        ((1, 20), (0, 5), false), // nothing to compare with
        ((1, 20), (1, 100), false),
        ((1, 1_000), (0, 1_000), false),
        ((5, 1_000), (0, 1_000), false),
        ((20, 1_000), (0, 1_000), true),
        ((88, 90), (0, 812), true),
        ((88, 90), (400, 812), true),
        ((45, 90), (400, 812), false),
        ((60, 10_000), (100, 100_000), true),
        ((13, 10_000), (100, 100_000), false),
        ((11_000, 1_000_000), (10_000, 1_000_000), false), // certain, and too little to stop a change
        ((20, 20), (0, 0), true),
        ((10, 20), (0, 0), false),
        ((0, 1_000_000), (0, 0), false),
    ] {
        for metric in [Metric::EdgeErrors, Metric::ModuleFaults] {
            let with = |errors, requests| match metric {
                Metric::EdgeErrors => Sample { edge_errors: errors, ..sample(requests) },
                _ => Sample { module_faults: errors, ..sample(requests) },
            };
            let got = fails(metric, &with(beside, of_beside), &with(errors, of));
            assert_eq!(got, want, "{errors} of {of} beside {beside} of {of_beside}");
        }
    }
}

#[test]
fn errors_that_were_normal_before_the_stage_make_one_error_normal() {
    let candidate = Sample { edge_errors: 1, ..sample(20) };
    let beside = |edge_errors| Beside { requests: 100_000, edge_errors, ..Beside::default() };
    let gate = |beside| verdict_of(Metric::EdgeErrors, &sample(400), &candidate, beside);
    assert!(is_worse(&gate(beside(0))));
    assert_eq!(gate(beside(100)), Finding::Fine);
    // Before the stage nothing was seen beside the candidate but much before it.
    assert!(is_worse(&verdict_of(Metric::EdgeErrors, &sample(0), &candidate, beside(0))));
}

#[test]
fn few_failures_of_visitors_are_looked_at_twice_and_many_or_synthetic_ones_are_not() {
    let gate = Metric::ModuleFaults.gate().unwrap();
    let (stable, lone) = (sample(90), Sample { module_faults: 1, ..sample(10) });
    let of = |candidate: &Sample, counted| {
        judge(gate, Pair { stable: &stable, candidate, counted }, &Beside::default())
    };
    assert!(matches!(of(&lone, Counted::Requests), Finding::Lone { .. }));
    assert!(matches!(of(&lone, Counted::Synthetic), Finding::Worse { .. }));
    assert!(matches!(
        of(&Sample { module_faults: 10, ..sample(10) }, Counted::Requests),
        Finding::Worse { .. }
    ));
}

#[test]
fn what_may_be_chance_is_a_suspicion() {
    let (stable, candidate) =
        (Sample { edge_errors: 1, ..sample(900) }, Sample { edge_errors: 4, ..sample(100) });
    assert_eq!(verdict_of(Metric::EdgeErrors, &stable, &candidate, Beside::default()), Finding::Suspicious);
}

#[test]
fn more_faults_than_requests_are_as_many() {
    let finding = verdict_of(
        Metric::ModuleFaults,
        &sample(100),
        &Sample { module_faults: 300, ..sample(90) },
        Beside::default(),
    );
    let Finding::Worse { candidate, .. } = finding else { panic!() };
    assert_eq!(candidate, Value::Share { count: 90, of: 90 });
}

#[test]
fn a_small_overrun_now_and_then_is_no_fault() {
    let with = |overruns, requests| Sample { overruns, ..sample(requests) };
    assert!(!fails(Metric::Overruns, &with(0, 800), &with(1, 10)));
    assert!(!fails(Metric::Overruns, &with(0, 800), &with(3, 50)));
    assert!(fails(Metric::Overruns, &with(0, 800), &with(30, 50)));
    assert!(fails(Metric::Overruns, &with(0, 50), &with(50, 50)));
}

#[test]
fn scores_that_vanish_fail() {
    let scored = |bands: [u64; 10], unscored| Sample {
        scores: bands,
        unscored,
        ..sample(bands.iter().sum::<u64>() + unscored)
    };
    let people = scored([40, 10, 10, 10, 10, 10, 30, 80, 300, 500], 0);
    let all_gone = scored([0; 10], 50);
    let half_gone = scored([2, 0, 0, 0, 0, 0, 1, 4, 20, 30], 50);
    let zeroes = scored([50, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0);
    assert!(fails(Metric::ScoresAbsent, &people, &all_gone));
    assert!(fails(Metric::ScoresAbsent, &people, &half_gone));
    assert!(fails(Metric::Scores, &people, &zeroes));
    let finding = verdict_of(Metric::Scores, &people, &zeroes, Beside::default());
    let Finding::Worse { detail, candidate, .. } = finding else { panic!() };
    assert_eq!((detail.as_deref(), candidate), (Some("scores 0–9"), Value::Share { count: 50, of: 50 }));
    let gone = verdict_of(Metric::Scores, &people, &all_gone, Beside::default());
    assert!(matches!(gone, Finding::Worse { detail: Some(d), .. } if d == "without a score"));
    // The same shape at another size; a little moved; nobody asks for scores any more.
    let fewer = scored([4, 1, 1, 1, 1, 1, 3, 8, 30, 50], 0);
    let trained_anew = scored([45, 15, 10, 10, 10, 10, 40, 100, 310, 450], 1);
    for other in [&people, &fewer, &trained_anew, &sample(500)] {
        assert!(!fails(Metric::ScoresAbsent, &people, other) && !fails(Metric::Scores, &people, other));
    }
}

#[test]
fn blocks_that_multiply_or_vanish_fail_unless_they_are_meant() {
    let with = |blocked, requests| Sample { blocked, ..sample(requests) };
    let cases = [
        ((20, 1_000), (90, 100), true),
        ((20, 1_000), (8, 100), false),
        ((300, 1_000), (0, 100), true),
        ((0, 1_000), (5, 100), false),
        ((0, 1_000), (20, 39), false), // too few to tell
        ((0, 100), (50, 50), true),
    ];
    for ((a, of_a), (b, of_b), want) in cases {
        let (stable, candidate) = (with(a, of_a), with(b, of_b));
        assert_eq!(fails(Metric::Verdicts, &stable, &candidate), want, "{a}/{of_a} {b}/{of_b}");
        let meant = Beside { expected_change: 1.0, ..Beside::default() };
        assert_eq!(verdict_of(Metric::Verdicts, &stable, &candidate, meant), Finding::Fine);
    }
    let half = Beside { expected_change: 0.5, ..Beside::default() };
    assert_eq!(verdict_of(Metric::Verdicts, &with(0, 1_000), &with(55, 100), half), Finding::Fine);
    assert_ne!(verdict_of(Metric::Verdicts, &with(0, 1_000), &with(99, 100), half), Finding::Fine);
}

#[test]
fn challenges_count_as_blocks_do() {
    assert!(fails(Metric::Verdicts, &sample(500), &Sample { challenged: 100, ..sample(200) }));
}

fn latencies(parts: &[(u64, u64)]) -> Sample {
    let mut sample = Sample::default();
    for (us, count) in parts {
        sample.latency.add(Histogram::bucket(*us), *count);
        sample.requests += count;
    }
    sample
}

#[test]
fn latency_fails_when_it_is_several_times_as_long_and_to_be_noticed() {
    let usual = latencies(&[(2_000, 500), (9_000, 450), (40_000, 50)]);
    for (say, candidate, median, slow) in [
        ("the same", latencies(&[(2_000, 50), (9_000, 45), (40_000, 5)]), false, false),
        ("twice", latencies(&[(4_000, 50), (18_000, 45), (80_000, 5)]), false, false),
        ("eight times", latencies(&[(16_000, 50), (72_000, 40), (320_000, 10)]), true, true),
        ("a twentieth waits", latencies(&[(2_000, 90), (9_000, 75), (1_000_000, 20)]), false, true),
        ("one waits", latencies(&[(2_000, 90), (9_000, 75), (60_000_000, 1)]), false, false),
        ("few", latencies(&[(800_000, 5)]), false, false),
        ("quicker", latencies(&[(100, 200)]), false, false),
    ] {
        assert_eq!(fails(Metric::Latency, &usual, &candidate), median, "{say}");
        assert_eq!(fails(Metric::SlowRequests, &usual, &candidate), slow, "{say}");
    }
    let hits = latencies(&[(60, 1_000)]);
    assert!(!fails(Metric::Latency, &hits, &latencies(&[(2_000, 1_000)])), "nobody notices");
    assert!(fails(Metric::Latency, &hits, &latencies(&[(5_000, 1_000)])));
    assert!(!fails(Metric::Latency, &Sample::default(), &latencies(&[(5_000, 1_000)])));
}

#[test]
fn cache_hits_that_vanish_and_origins_that_fail_are_seen() {
    let cached = |hits, of| Sample { cacheable: of, cache_hits: hits, ..sample(of) };
    assert!(fails(Metric::CacheHits, &cached(800, 1_000), &cached(10, 150)));
    assert!(!fails(Metric::CacheHits, &cached(800, 1_000), &cached(100, 150)));
    assert!(!fails(Metric::CacheHits, &cached(100, 1_000), &cached(150, 150)));
    let failing = |errors, of| Sample { origin_errors: errors, ..sample(of) };
    assert!(fails(Metric::OriginErrors, &failing(10, 1_000), &failing(40, 60)));
    assert!(
        !fails(Metric::OriginErrors, &failing(600, 1_000), &failing(40, 60)),
        "the origin is ill for both"
    );
}

#[test]
fn memory_may_grow_for_the_candidate_and_no_further() {
    let with = |mib: u64| Sample { memory_bytes: Some(mib << 20), ..Sample::default() };
    assert!(!fails(Metric::Memory, &with(100), &with(350)));
    assert!(!fails(Metric::Memory, &with(4_000), &with(5_900)));
    assert!(fails(Metric::Memory, &with(100), &with(356)));
    assert!(fails(Metric::Memory, &with(4_000), &with(6_001)));
}
