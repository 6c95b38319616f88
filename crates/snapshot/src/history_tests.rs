//! The rules of a history: single stories first, then whatever sequences there are.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::history::{Cause, HISTORY_LEAST, Undeletable};

/// Soak of these tests, in milliseconds: ten minutes.
const SOAK: u64 = 600_000;
const MINUTE: u64 = 60_000;

fn content(of: u8) -> Hash {
    Hash::of(&[of])
}

/// A history in which `good` snapshots soaked one after the other. Time stands at `good` hours.
fn history(good: u64) -> History {
    let mut history = History::default();
    for number in 1..=good {
        publish(&mut history, number as u8, "file");
        history.adopted(number, number * 3_600_000 - SOAK);
        assert_eq!(history.soak(number * 3_600_000, SOAK), Some(number));
    }
    history
}

fn publish(history: &mut History, of: u8, who: &str) -> u64 {
    let number = history.newest_number + 1;
    history.record(Entry::new(number, content(of), number, Cause::new(who, "")));
    number
}

fn state(history: &History, number: u64) -> State {
    history.entry(number).unwrap().state
}

#[test]
fn a_first_process_starts_with_the_newest_good_one_and_a_restarted_one_goes_on() {
    let mut history = history(2);
    let trial = publish(&mut history, 9, "file");
    history.adopted(trial, 0);
    assert_eq!(history.start_with(true), Some(2));
    assert_eq!(history.start_with(false), Some(trial));
    assert_eq!(history.start_order(false), [3, 2, 1]);
}

#[test]
fn where_nothing_is_good_the_newest_that_served_starts() {
    let mut history = History::default();
    assert_eq!(history.start_with(true), None);
    for of in 0..3 {
        publish(&mut history, of, "file");
    }
    history.adopted(1, 5);
    history.adopted(2, 9);
    assert_eq!(history.start_order(true), [2, 1, 3]);
}

#[test]
fn a_snapshot_is_good_after_its_soak_and_not_before() {
    let mut history = history(1);
    let trial = publish(&mut history, 9, "file");
    assert_eq!(history.soak(u64::MAX, SOAK), None, "it does not serve yet");
    history.adopted(trial, 7_000_000);
    assert_eq!(history.soak(7_000_000 + SOAK - 1, SOAK), None);
    assert_eq!(history.soak(7_000_000 + SOAK, SOAK), Some(trial));
    assert_eq!(history.soak(7_000_000 + SOAK, SOAK), None);
}

#[test]
fn two_early_deaths_go_back_to_the_newest_good_one() {
    let mut history = history(2);
    let bad = publish(&mut history, 9, "file");
    history.adopted(bad, 8_000_000);
    assert_eq!(history.died(5_000_000, 8_003_000, &[]), Verdict::Counted { number: bad, deaths: 1 });
    assert_eq!(history.start_with(false), Some(bad), "once may be chance");
    history.started(bad, 8_003_100);
    let verdict = history.died(2_000, 8_005_100, &[]);
    assert!(matches!(verdict, Verdict::Snapshot { number: 3, next: 2, .. }), "{verdict}");
    assert_eq!((history.start_with(false), history.start_with(true)), (Some(2), Some(2)));
    assert!(history.is_quarantined_content(&content(9)));
    assert!(!history.is_quarantined_content(&content(2)));
}

/// Azure, October 2025: the process crashed minutes after it had taken the configuration, when it had long been called good.
#[test]
fn late_deaths_during_the_soak_count_too_however_far_apart() {
    let mut history = history(2);
    let bad = publish(&mut history, 9, "file");
    history.adopted(bad, 8_000_000);
    let mut now = 8_000_000 + 8 * MINUTE;
    assert!(matches!(history.died(8 * MINUTE, now, &[]), Verdict::Counted { .. }));
    assert_eq!(history.soak(now + SOAK - 1, SOAK), None, "the soak began anew");
    history.started(bad, now);
    now += 9 * MINUTE;
    assert!(matches!(history.died(9 * MINUTE, now, &[]), Verdict::Snapshot { number: 3, next: 2, .. }));
    assert_eq!(history.soak(now + 100 * SOAK, SOAK), None);
    assert_eq!((state(&history, bad), state(&history, 2)), (State::Quarantined, State::Good));
}

#[test]
fn the_candidate_is_blamed_and_what_serves_goes_on() {
    let mut history = history(2);
    let bad = publish(&mut history, 9, "file");
    for round in 0..2 {
        assert!(history.proposed(bad));
        let verdict = history.died(9_000_000, 8_000_000 + round, &[]);
        match round {
            0 => assert_eq!(verdict, Verdict::Counted { number: bad, deaths: 1 }),
            _ => assert!(matches!(verdict, Verdict::Snapshot { number: 3, next: 2, .. }), "{verdict}"),
        }
        assert_eq!((history.current, history.candidate), (Some(2), None));
    }
    assert!(!history.proposed(bad), "not again");
    assert_eq!(history.start_with(false), Some(2));
}

#[test]
fn the_same_content_under_another_number_does_not_begin_without_its_deaths() {
    let mut history = history(1);
    let first = publish(&mut history, 9, "file");
    assert!(history.proposed(first));
    history.died(1, 1, &[]);
    let again = publish(&mut history, 9, "file");
    assert!(history.proposed(again));
    assert!(matches!(history.died(1, 2, &[]), Verdict::Snapshot { number, .. } if number == again));
}

#[test]
fn the_last_one_that_could_be_served_is_kept() {
    let mut history = history(1);
    for round in 0..10 {
        history.started(1, 8_000_000 + round);
        let verdict = history.died(1, 8_000_001 + round, &[]);
        match round {
            0 => assert!(matches!(verdict, Verdict::Counted { .. })),
            _ => assert!(matches!(verdict, Verdict::Kept { number: 1, .. }), "{verdict}"),
        }
        assert_eq!(history.start_with(false), Some(1));
    }
    assert!(!history.quarantine(1, "by order"));
    // The first snapshot ever, on trial.
    let mut history = History::default();
    publish(&mut history, 1, "file");
    for round in 0..5 {
        history.started(1, round);
        history.died(1, round, &[]);
        assert_eq!(history.start_with(true), Some(1));
    }
}

#[test]
fn where_nothing_is_good_yet_the_one_that_served_before_is_gone_back_to() {
    let mut history = History::default();
    publish(&mut history, 1, "file");
    history.adopted(1, 0);
    publish(&mut history, 2, "file");
    history.adopted(2, 6 * MINUTE);
    history.died(6 * MINUTE, 7 * MINUTE, &[]);
    assert!(matches!(history.died(10, 7 * MINUTE, &[]), Verdict::Snapshot { number: 2, next: 1, .. }));
}

#[test]
fn a_good_one_is_not_blamed_for_deaths_that_are_neither_early_nor_close() {
    let mut history = history(2);
    for hour in 10..20 {
        let now = hour * 3_600_000;
        history.started(2, now - 30 * MINUTE);
        assert!(matches!(history.died(30 * MINUTE, now, &[]), Verdict::Counted { .. }));
    }
    // Two early ones with a soak between them.
    for hour in 20..24 {
        let now = hour * 3_600_000;
        history.started(2, now);
        assert!(!matches!(history.died(10, now + 10, &[]), Verdict::Snapshot { .. }));
        history.started(2, now + 20);
        assert_eq!(history.soak(now + 20 + SOAK, SOAK), None);
        assert!(history.entry(2).unwrap().deaths.is_empty());
    }
}

#[test]
fn a_machine_that_kills_every_process_does_not_walk_back_to_the_oldest_configuration() {
    let mut history = history(8);
    let mut now = 100_000_000;
    let mut last = Verdict::Nothing;
    for _ in 0..40 {
        let number = history.start_with(false).unwrap();
        history.started(number, now);
        now += 1_000;
        last = history.died(1_000, now, &[]);
    }
    assert!(matches!(last, Verdict::Kept { number: 8, .. }), "{last}");
    assert_eq!(history.start_with(false), Some(8));
    assert!((1..=8).all(|number| state(&history, number) == State::Good));
    // Once a process has lived, a snapshot that kills is blamed again.
    history.started(8, now);
    assert_eq!(history.soak(now + SOAK, SOAK), None);
    for _ in 0..2 {
        history.started(8, now + SOAK);
        last = history.died(1_000, now + SOAK, &[]);
    }
    assert!(matches!(last, Verdict::Snapshot { number: 8, next: 7, .. }), "{last}");
}

#[test]
fn one_unit_in_hand_at_two_deaths_is_put_aside_alone() {
    let mut history = history(2);
    let number = publish(&mut history, 9, "file");
    history.adopted(number, 0);
    assert!(matches!(history.died(5, 5, &[11, 12, 13]), Verdict::Counted { .. }));
    history.started(number, 6);
    let verdict = history.died(5, 11, &[13, 14, 0]);
    assert!(matches!(verdict, Verdict::Unit { number: 3, unit: UnitPrefix(13), .. }), "{verdict}");
    assert_eq!(state(&history, number), State::Trial, "the snapshot is not blamed");
    assert_eq!(history.start_with(false), Some(number), "and starts without the unit");
    assert!(history.entry(number).unwrap().deaths.is_empty());
    history.started(number, 12);
    assert_eq!(history.soak(12 + SOAK, SOAK), None, "but as it is it does not become good");
    assert_eq!(state(&history, number), State::Trial);
    assert!(history.release_unit(UnitPrefix(13)) && !history.release_unit(UnitPrefix(13)));
}

#[test]
fn two_units_in_common_or_none_blame_the_snapshot() {
    for (first, second) in [(&[11, 12][..], &[11, 12][..]), (&[11], &[12]), (&[], &[])] {
        let mut history = history(2);
        let number = publish(&mut history, 9, "file");
        history.adopted(number, 0);
        history.died(5, 5, first);
        history.started(number, 6);
        let verdict = history.died(5, 11, second);
        assert!(matches!(verdict, Verdict::Snapshot { number: 3, .. }), "{first:?} {second:?}: {verdict}");
        assert!(history.quarantined_units.is_empty());
    }
}

/// With one busy zone that zone is in hand at every death. What is new is the better suspect.
#[test]
fn a_unit_that_did_not_come_with_the_snapshot_on_trial_is_not_blamed_for_it() {
    let mut history = history(2);
    let number = publish(&mut history, 9, "file");
    history.entry_mut(number).unwrap().changed = vec![UnitPrefix(77)];
    history.adopted(number, 0);
    history.died(5, 5, &[11]);
    history.started(number, 6);
    assert!(matches!(history.died(5, 11, &[11]), Verdict::Snapshot { number: 3, next: 2, .. }));
    // If it goes on without the change, it was the unit.
    history.started(2, 12);
    assert!(matches!(history.died(5, 17, &[11]), Verdict::Unit { unit: UnitPrefix(11), .. }));
}

#[test]
fn changes_that_come_faster_than_a_soak_still_leave_good_ones_behind() {
    let mut history = history(1);
    let mut now = 10_000_000;
    let mut good = Vec::new();
    for of in 10..30 {
        let number = publish(&mut history, of, "file");
        history.adopted(number, now);
        now += 4 * MINUTE; // a data file made anew every few minutes
        while let Some(number) = history.soak(now, SOAK) {
            good.push(number);
        }
    }
    assert_eq!(good.first(), Some(&2));
    assert_eq!(good.len(), 18, "all but those that have not soaked yet");
    // A death ends the soak of what does not serve any more, and begins that of what serves anew.
    history.died(20 * MINUTE, now, &[]);
    assert_eq!(history.soak(now + SOAK, SOAK), Some(21));
    assert_eq!(history.soak(now + SOAK, SOAK), None);
    assert_eq!(state(&history, 20), State::Trial);
}

#[test]
fn going_back_leads_to_what_was_good_and_away_from_what_was_left() {
    let mut history = history(3);
    assert_eq!(history.rollback_target(), Some(2));
    let back = publish(&mut history, 2, Cause::ROLLBACK);
    assert!(history.proposed(back));
    history.adopted(back, 20_000_000);
    assert_eq!(state(&history, back), State::Good, "this content has soaked");
    assert_eq!(history.start_with(true), Some(back));
    assert_eq!(history.rollback_target(), Some(1), "neither what was left nor the same again");
    // From one on trial, back to one on trial: what was left does not soak on.
    let mut history = self::history(1);
    let left = publish(&mut history, 8, "file");
    history.adopted(left, 10_000_000);
    let back = publish(&mut history, 7, Cause::ROLLBACK);
    history.adopted(back, 10_000_001);
    assert_eq!(history.soak(20_000_000, SOAK), Some(back));
    assert_eq!(state(&history, left), State::Trial);
}

#[test]
fn what_is_refused_stays_refused_when_its_snapshot_is_pruned() {
    let mut history = history(1);
    let bad = publish(&mut history, 9, "file");
    assert!(history.quarantine(bad, "it hurts"));
    history.pruned(bad);
    assert_eq!(history.refusal(&content(9)), Some((bad, "it hurts")));
    // By order it is let go.
    let bad = publish(&mut history, 8, "file");
    assert!(history.quarantine(bad, "it hurts"));
    history.deleted(bad);
    assert_eq!(history.refusal(&content(8)), None);
    let bad = publish(&mut history, 7, "file");
    assert!(history.quarantine(bad, "it hurts") && history.release(bad));
    assert_eq!((state(&history, bad), history.refusal(&content(7))), (State::Trial, None));
    // By content, wherever it is noted.
    assert!(history.release_content(&content(9)) && !history.release_content(&content(9)));
    assert_eq!(history.refusal(&content(9)), None);
    assert!(history.quarantine(bad, "it hurts") && history.release_content(&content(7)));
    assert_eq!((state(&history, bad), history.refusal(&content(7))), (State::Trial, None));
}

#[test]
fn at_least_ten_are_kept_and_old_good_ones_among_trials() {
    let mut history = history(5);
    for of in 10..60 {
        publish(&mut history, of, "file");
    }
    let kept = |history: &History, keep| {
        let excess = history.excess(keep);
        history.entries.iter().map(|entry| entry.number).filter(|n| !excess.contains(n)).collect::<Vec<_>>()
    };
    let newest: Vec<u64> = (46..=55).rev().collect();
    assert_eq!(kept(&history, 0), [newest, vec![5, 4, 3]].concat());
    assert_eq!(kept(&history, 20).len(), 23);
    history.started(1, 0);
    assert!(kept(&history, 0).contains(&1), "what serves stays");
}

#[test]
fn only_what_nobody_needs_may_be_deleted() {
    let mut history = history(3);
    let candidate = publish(&mut history, 9, "file");
    assert!(history.proposed(candidate));
    history.started(2, 0);
    assert!(history.proposed(candidate));
    assert_eq!(history.may_delete(1), Ok(()));
    assert_eq!(history.may_delete(2), Err(Undeletable::Current(2)));
    assert_eq!(history.may_delete(3), Err(Undeletable::NewestGood(3)));
    assert_eq!(history.may_delete(4), Err(Undeletable::Candidate(4)));
    assert_eq!(history.may_delete(5), Err(Undeletable::NoSuch(5)));
    let mut history = History::default();
    publish(&mut history, 1, "file");
    assert_eq!(history.may_delete(1), Err(Undeletable::Last(1)));
}

#[test]
fn a_history_is_read_as_it_is_written() {
    let mut history = history(3);
    history.quarantine_unit(UnitPrefix(0xab), "it hurts", 7);
    history.died(5, 5, &[11, 12]);
    history.quarantine(2, "by order");
    history.pruned(2);
    let text = serde_json::to_string(&history).unwrap();
    assert!(text.contains("\"00000000000000ab\""), "{text}");
    assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
    assert_eq!(serde_json::from_str::<History>("{}").unwrap(), History::default());
}

/// What may happen to a history, with the choice of a snapshot as a number to be reduced to one that is there.
#[derive(Clone, Debug)]
enum Step {
    Publish {
        of: u8,
        rollback: bool,
    },
    Propose(usize),
    Fail,
    Adopt,
    /// A process dies after so long with these units in hand, and another starts.
    Die {
        after: u64,
        suspects: Vec<u64>,
    },
    Restart {
        fresh: bool,
    },
    Soak,
    Wait(u64),
    Quarantine(usize),
    Release(usize),
    Delete(usize),
    Prune(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let time = prop_oneof![0..2_000_u64, 0..120_000_u64, 0..1_500_000_u64];
    let step = prop_oneof![
        6 => (0..12_u8, any::<bool>()).prop_map(|(of, rollback)| Step::Publish { of, rollback }),
        6 => (0..3_usize).prop_map(Step::Propose),
        1 => Just(Step::Fail),
        6 => Just(Step::Adopt),
        6 => (time.clone(), prop::collection::vec(0..6_u64, 0..3))
            .prop_map(|(after, suspects)| Step::Die { after, suspects }),
        2 => any::<bool>().prop_map(|fresh| Step::Restart { fresh }),
        6 => Just(Step::Soak),
        6 => time.prop_map(Step::Wait),
        1 => (0..30_usize).prop_map(Step::Quarantine),
        1 => (0..30_usize).prop_map(Step::Release),
        2 => (0..30_usize).prop_map(Step::Delete),
        2 => (0..30_usize).prop_map(Step::Prune),
    ];
    prop::collection::vec(step, 0..150)
}

/// What the test keeps beside the history.
#[derive(Default)]
struct Witness {
    now: u64,
    process_began: u64,
    /// When each snapshot last began to serve or had to begin anew.
    began: BTreeMap<u64, u64>,
    /// Contents that were good once.
    soaked: BTreeSet<Hash>,
    ever_good: bool,
    highest: u64,
}

fn apply(step: &Step, history: &mut History, w: &mut Witness) {
    let nth = |history: &History, at: usize| history.entries.get(at).map(|entry| entry.number);
    match step {
        Step::Publish { of, rollback } => {
            // As the store does: refused content does not get in.
            if !history.is_quarantined_content(&content(*of)) {
                let number = publish(history, *of, if *rollback { Cause::ROLLBACK } else { "file" });
                assert!(number > w.highest, "numbers are not given twice");
                w.highest = number;
            }
        }
        Step::Propose(at) => {
            if let Some(number) = nth(history, *at) {
                history.proposed(number);
            }
        }
        Step::Fail => {
            if let Some(number) = history.candidate {
                history.failed(number, "worse");
            }
        }
        Step::Adopt => {
            if let Some(number) = history.candidate {
                history.adopted(number, w.now);
                w.began.insert(number, w.now);
            }
        }
        Step::Die { after, suspects } => {
            w.now += after;
            let verdict = history.died(w.now - w.process_began, w.now, suspects);
            w.began.clear();
            if let Verdict::Snapshot { number, next, .. } = verdict {
                assert_eq!(state(history, number), State::Quarantined);
                assert_ne!(state(history, next), State::Quarantined);
            }
            restart(history, w, false);
        }
        Step::Restart { fresh } => restart(history, w, *fresh),
        Step::Soak => {
            while let Some(number) = history.soak(w.now, SOAK) {
                let began = w.began.get(&number).copied();
                assert!(
                    began.is_some_and(|began| w.now - began >= SOAK),
                    "{number} since {began:?}, {}",
                    w.now
                );
                let entry = history.entry(number).unwrap();
                assert!(!entry.spoiled && entry.deaths.is_empty());
                w.soaked.insert(entry.content);
            }
        }
        Step::Wait(time) => w.now += time,
        Step::Quarantine(at) => {
            if let Some(number) = nth(history, *at) {
                let others = history.start_order(true).iter().any(|other| *other != number);
                let done = history.quarantine(number, "by order");
                assert_eq!(done, others || state(history, number) == State::Quarantined);
            }
        }
        Step::Release(at) => {
            if let Some(number) = nth(history, *at) {
                history.release(number);
            }
        }
        Step::Delete(at) => {
            if let Some(number) = nth(history, *at)
                && history.may_delete(number).is_ok()
            {
                assert_ne!(history.newest_good(), Some(number));
                history.deleted(number);
            }
        }
        Step::Prune(keep) => {
            let before = history.entries.len();
            for number in history.excess(*keep) {
                history.pruned(number);
            }
            assert!(history.entries.len() >= before.min(HISTORY_LEAST));
            assert!(history.entries.len() <= keep.max(&HISTORY_LEAST) + 3 + 2, "bounded");
        }
    }
}

fn restart(history: &mut History, w: &mut Witness, fresh: bool) {
    w.process_began = w.now;
    w.began.clear();
    if let Some(number) = history.start_with(fresh) {
        history.started(number, w.now);
        w.began.insert(number, w.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_there_is_something_to_start_with_and_good_means_good(steps in steps()) {
        let mut history = History::default();
        let mut w = Witness { now: 1_000_000, ..Witness::default() };
        for step in &steps {
            apply(step, &mut history, &mut w);
            w.ever_good |= history.entries.iter().any(|entry| entry.state == State::Good);
            // Something to start with.
            for fresh in [true, false] {
                let order = history.start_order(fresh);
                prop_assert!(!w.ever_good || !order.is_empty());
                prop_assert!(order.iter().all(|number| state(&history, *number) != State::Quarantined));
            }
            // What serves and what is on its way is there and fit.
            for number in [history.current, history.candidate].into_iter().flatten() {
                prop_assert!(history.entry(number).is_some());
                prop_assert_ne!(state(&history, number), State::Quarantined);
            }
            // Good means that this content has soaked.
            for entry in history.entries.iter().filter(|entry| entry.state == State::Good) {
                prop_assert!(w.soaked.contains(&entry.content), "{entry:?}");
            }
            // Newest first, no number twice.
            prop_assert!(history.entries.is_sorted_by(|a, b| a.number > b.number));
            // Written and read it is the same.
            let text = serde_json::to_vec(&history).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<History>(&text).unwrap(), &history);
        }
    }
}
