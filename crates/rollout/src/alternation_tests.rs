use super::*;

const MINUTE: u64 = 60_000;

/// Feeds good and bad versions, each another, every five minutes. Returns the findings by position.
fn run(alternation: &mut Alternation, start_ms: u64, outcomes: &[bool]) -> Vec<(usize, Finding)> {
    let feed = |(n, ok): (usize, &bool)| {
        let now_ms = start_ms + n as u64 * 5 * MINUTE;
        alternation.feed("bot-features", now_ms, now_ms, *ok).map(|finding| (n, finding))
    };
    outcomes.iter().enumerate().filter_map(feed).collect()
}

const G: bool = true;
const B: bool = false;

#[test]
fn two_alternations_pin_and_name_artifact_and_period() {
    let mut alternation = Alternation::default();
    let found = run(&mut alternation, 0, &[G, B, G, B, G, B]);
    let finding = Finding { artifact: "bot-features".into(), period_ms: 10 * MINUTE, alternations: 2 };
    assert_eq!(found, [(3, finding)]);
    assert_eq!(alternation.pinned().collect::<Vec<_>>(), ["bot-features"]);
    let later = alternation.finding("bot-features").unwrap();
    assert_eq!((later.alternations, later.period_ms), (3, 10 * MINUTE), "the finding is kept up to date");
    let said = later.to_string();
    assert!(said.contains("bot-features alternates between good and bad about every 10 min"), "{said}");
}

#[test]
fn what_does_not_alternate_is_not_pinned() {
    for outcomes in
        [&[][..], &[G, G, G, G], &[B, B, B, B], &[G, B, B, B, B], &[B, G, G], &[G, B, G, G, G], &[B, G, B, G]]
    {
        let mut alternation = Alternation::default();
        assert_eq!(run(&mut alternation, 0, outcomes), [], "{outcomes:?}");
        assert_eq!(alternation.pinned().count(), 0);
    }
}

#[test]
fn several_bad_ones_in_a_row_are_one_turn() {
    let mut alternation = Alternation::default();
    let found = run(&mut alternation, 0, &[G, B, B, G, G, B]);
    assert_eq!((found[0].0, found[0].1.period_ms), (5, 20 * MINUTE));
}

#[test]
fn two_mistakes_a_day_are_no_pattern() {
    let mut alternation = Alternation::default();
    for day in 0..5 {
        for half in [0, MEMORY_MS + 1] {
            let at = day * 4 * MEMORY_MS + half;
            assert_eq!(alternation.feed("a", at, at, true), None);
            assert_eq!(alternation.feed("a", at + 1, at + 1, false), None);
        }
    }
}

#[test]
fn what_was_taken_for_good_and_turned_out_bad_counts_as_bad() {
    let mut alternation = Alternation::default();
    let mut found = Vec::new();
    for n in 0..4 {
        let at = n * 5 * MINUTE;
        found.extend(alternation.feed("a", at, n, true));
        if n % 2 == 1 {
            found.extend(alternation.feed("a", at + 500, n, false));
        }
    }
    assert_eq!(found, [Finding { artifact: "a".into(), period_ms: 10 * MINUTE, alternations: 2 }]);
}

#[test]
fn a_bad_version_that_is_taken_for_good_again_is_remembered() {
    // Validation is bypassed: the same two files come in turn, and each bad one is found out only in the canary. The
    // first time. After that its hash is known.
    let mut alternation = Alternation::default();
    alternation.feed("a", 0, 1, true);
    alternation.feed("a", 1_000, 2, true);
    assert_eq!(alternation.feed("a", 1_500, 2, false), None);
    alternation.feed("a", 2_000, 1, true);
    let found = alternation.feed("a", 3_000, 2, true).expect("the second turn, known by its hash");
    assert_eq!((found.alternations, found.period_ms), (2, 1_500));
}

#[test]
fn versions_that_all_turn_out_bad_do_not_alternate() {
    let mut alternation = Alternation::default();
    for n in 0..10 {
        assert_eq!(alternation.feed("a", n * MINUTE, n, true), None);
        assert_eq!(alternation.feed("a", n * MINUTE + 1, n, false), None);
        assert_eq!(alternation.feed("a", n * MINUTE + 2, n, false), None);
    }
}

#[test]
fn somebody_can_unpin_and_it_starts_over() {
    let mut alternation = Alternation::default();
    assert!(!alternation.unpin("bot-features"));
    run(&mut alternation, 0, &[G, B, G, B]);
    assert!(alternation.unpin("bot-features"));
    assert_eq!(alternation.finding("bot-features"), None);
    assert_eq!(run(&mut alternation, 100 * MINUTE, &[G, B, G]), []);
    assert_eq!(run(&mut alternation, 120 * MINUTE, &[G, B]).len(), 1);
}

#[test]
fn three_periods_of_calm_unpin_and_one_more_turn_pins_again() {
    let mut alternation = Alternation::default();
    run(&mut alternation, 0, &[G, B, G, B]); // pinned at 15 min, period 10 min
    assert_eq!(alternation.settle(16 * MINUTE), [""; 0]);
    alternation.feed("bot-features", 20 * MINUTE, 77, true);
    assert_eq!(alternation.settle(44 * MINUTE), [""; 0]);
    assert_eq!(alternation.settle(45 * MINUTE), ["bot-features"]);
    assert_eq!(alternation.settle(46 * MINUTE), [""; 0]);
    assert_eq!(alternation.finding("bot-features"), None);
    assert!(alternation.feed("bot-features", 50 * MINUTE, 78, false).is_some());
}

#[test]
fn it_does_not_settle_while_it_is_bad() {
    let mut alternation = Alternation::default();
    run(&mut alternation, 0, &[G, B, G, B]);
    assert_eq!(alternation.settle(1_000 * MINUTE), [""; 0]);
}

#[test]
fn a_fast_flipper_must_be_good_for_a_minute() {
    let mut alternation = Alternation::default();
    for n in 0..4 {
        alternation.feed("a", n * 100, n, n % 2 == 0);
    }
    assert_eq!(alternation.finding("a").map(|f| f.period_ms), Some(200));
    alternation.feed("a", 400, 9, true);
    assert_eq!(alternation.settle(59_000), [""; 0]);
    assert_eq!(alternation.settle(61_000), ["a"]);
}

#[test]
fn artifacts_are_followed_apart_and_up_to_a_bound() {
    let mut alternation = Alternation::default();
    for n in 0..4 {
        let names = (0..ARTIFACTS_MAX + 10).map(|a| format!("artifact {a}"));
        names.for_each(|name| drop(alternation.feed(&name, n * MINUTE, n, n % 2 == 0)));
    }
    assert_eq!(alternation.pinned().count(), ARTIFACTS_MAX);
    for n in 4..10_000u64 {
        alternation.feed("artifact 1", n * MINUTE, n, n % 2 == 0);
    }
    assert!(alternation.tracks["artifact 1"].turns.len() <= TURNS_MAX);
}
