//! Every drill passes, and every drill without one of its guards does not: one that cannot fail proves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

use std::path::Path;

use seawall_drill::{DRILLS, Pace, Verdict, named, run};

/// Runs a drill against the program of this build.
fn verdict(name: &str, without: &[&str]) -> Verdict {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let without: Vec<String> = without.iter().map(|guard| (*guard).to_owned()).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_seawall"));
    let manifest = named(name).unwrap_or_else(|| panic!("there is no drill {name}"));
    runtime.block_on(run(manifest, program, Pace::Quick, &without)).unwrap().verdict
}

fn told(verdict: &Verdict) -> String {
    serde_json::to_string_pretty(verdict).unwrap()
}

macro_rules! drills {
    ($($passes:ident: $name:literal $(, $fails:ident: $guard:literal)*;)*) => {
        $(
            #[test]
            fn $passes() {
                let verdict = verdict($name, &[]);
                assert!(verdict.passed, "{}", told(&verdict));
            }

            $(
                #[test]
                fn $fails() {
                    let verdict = verdict($name, &[$guard]);
                    // A drill that could not even be carried out shows nothing of the guard.
                    assert!(!verdict.passed && verdict.checks.iter().any(|check| !check.pass), "{}", told(&verdict));
                }
            )*
        )*

        /// What stands above, to be compared with what there is.
        const TESTED: &[(&str, &[&str])] = &[$(($name, &[$($guard),*])),*];
    };
}

drills! {
    a_feature_file_of_260_rows_stays_small: "feature-file",
        a_feature_file_without_gates_does_not: "gate",
        a_feature_file_without_a_canary_does_not: "canary";
    a_file_that_alternates_is_pinned: "sawtooth",
        a_file_that_alternates_without_the_pin_is_not: "pin";
    broken_modules_stay_modules: "module-faults",
        broken_modules_without_containment_do_not: "containment",
        broken_modules_without_breakers_do_not: "breaker";
    what_is_switched_off_is_as_if_absent: "kill-switch",
        what_is_not_switched_off_is_not: "switch";
    late_poison_is_never_good: "late-poison",
        late_poison_without_quarantine_kills_again: "quarantine",
        late_poison_without_a_soak_is_good: "soak";
    an_error_storm_costs_little: "error-storm",
        an_error_storm_without_a_budget_costs_more: "telemetry-budget";
    an_empty_filter_is_not_everything: "empty-means-all",
        an_empty_filter_without_the_cap_is: "removal-cap";
    a_stale_writer_is_refused: "stale-writer",
        a_stale_writer_without_the_check_is_not: "stale-writer";
    one_bad_zone_falls_back_alone: "one-bad-zone",
        one_bad_zone_without_its_quarantine_does_not: "zone-quarantine";
    a_cold_start_needs_nothing: "cold-start",
        a_cold_start_without_history_fails: "last-good";
    blank_fields_are_refused: "blank-fields",
        blank_fields_without_checks_are_not: "validation";
    an_expensive_pattern_is_refused_or_linear: "bad-regex",
        an_expensive_pattern_without_limits_is_not: "pattern-limits";
    a_flash_crowd_is_served_at_capacity: "flash-crowd",
        a_flash_crowd_without_admission_is_not: "admission";
    an_upgrade_refuses_nobody: "upgrade",
        an_upgrade_by_restart_does: "handover";
    a_gate_that_cannot_measure_fails: "missing-metrics",
        a_gate_that_takes_silence_for_health_does_not: "gate-silence";
}

#[test]
fn every_drill_and_every_guard_is_tested() {
    let there: Vec<(&str, Vec<&str>)> = DRILLS
        .iter()
        .map(|manifest| (manifest.name, manifest.guards.iter().map(|guard| guard.name).collect()))
        .collect();
    let tested: Vec<(&str, Vec<&str>)> =
        TESTED.iter().map(|(name, guards)| (*name, guards.to_vec())).collect();
    let sorted = |mut list: Vec<(&'static str, Vec<&'static str>)>| {
        list.sort();
        list
    };
    assert_eq!(sorted(tested), sorted(there));
    assert!(DRILLS.iter().all(|manifest| !manifest.guards.is_empty()));
}
