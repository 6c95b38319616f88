//! Faults that drills inject, and guards they switch off to show that a drill can fail.
//!
//! A JSON document; the binary reads it at its start from the file that `SEAWALL_DRILL` names and says so loudly. Without
//! it there is no `Sabotage` and nothing here runs. Anything unknown in it is an error: a drill that injects nothing
//! would pass.

use seawall_model::Module;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use thiserror::Error;

/// How long [`What::Slow`] holds a module, in milliseconds: over any budget, under what opens a breaker at once.
pub const SLOW_MS: u64 = 20;
/// How long [`What::Hang`] holds a module, in milliseconds: longer than any drill; a thread that sleeps can be left behind.
pub const HANG_MS: u64 = 3_600_000;
/// How much [`What::Allocate`] asks for, in bytes: many times any budget, and still there on a small machine.
pub const ALLOCATE_BYTES: u64 = 256 << 20;

macro_rules! guards {
    ($($guard:ident $name:literal $what:literal;)*) => {
        /// A guard that a drill can be run without.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Guard { $(#[doc = concat!("`", $name, "`: ", $what, ".")] #[serde(rename = $name)] $guard),* }

        /// Every guard: its name in `--without` and what it does.
        pub const GUARDS: &[(Guard, &str, &str)] = &[$((Guard::$guard, $name, $what)),*];
    };
}

guards! {
    Breaker "breaker" "skips a module after a few faults";
    Containment "containment" "catches panics, errors and overruns of a module";
    Validation "validation" "checks documents and data when they enter";
    BuildValidation "build-validation" "checks them again when a snapshot is built";
    LoadValidation "load-validation" "checks them again when the edge loads a snapshot";
    Gate "gate" "compares the candidate with what serves";
    Canary "canary" "gives the candidate a small share of requests first";
    Pin "pin" "keeps an artifact that alternates at its good version";
    Soak "soak" "calls a snapshot good only after a while";
    Quarantine "quarantine" "starts with another snapshot after two deaths";
    ZoneQuarantine "zone-quarantine" "takes back one zone where a fault is traced to it";
    TelemetryBudget "telemetry-budget" "bounds what describing errors may cost";
    RemovalCap "removal-cap" "asks for a number before much is removed";
    StaleWriter "stale-writer" "refuses a snapshot made from another than the newest";
    PatternLimits "pattern-limits" "refuses patterns that compile to too much";
    Admission "admission" "refuses at once what an origin cannot bear";
    GateSilence "gate-silence" "fails a gate whose measurements are missing";
    LastGood "last-good" "starts with the newest good snapshot";
    Rehearsal "rehearsal" "runs a candidate over recent requests first";
}

impl Guard {
    /// Its name in `--without`.
    #[must_use]
    pub fn name(self) -> &'static str {
        GUARDS.iter().find(|(guard, ..)| *guard == self).map_or("", |(_, name, _)| name)
    }

    /// The guard of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Guard> {
        GUARDS.iter().find(|(_, n, _)| *n == name).map(|(guard, ..)| *guard)
    }
}

/// What happens to a request that a fault hits. The host does it where the module would run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Panics.
    Panic,
    /// Says that it failed.
    Error,
    /// Takes [`SLOW_MS`].
    Slow,
    /// Does not come back: sleeps for [`HANG_MS`].
    Hang,
    /// Asks for [`ALLOCATE_BYTES`] and touches a part of them.
    Allocate,
    /// Ends the process.
    Abort,
    /// Runs out of stack, which ends the process.
    Overflow,
}

/// Faults to inject and guards to leave out.
#[derive(Debug, Default)]
pub struct Sabotage {
    without: Vec<Guard>,
    faults: Vec<Armed>,
    blind_gate: bool,
    describe_us: u64,
    rollout_fails: AtomicU64,
}

#[derive(Debug)]
struct Armed {
    fault: FaultDocument,
    module: Option<Module>,
    /// Requests it applied to so far, for `every`.
    seen: AtomicU64,
}

/// Why a sabotage document is refused.
#[derive(Debug, Error)]
pub enum SabotageFault {
    /// It is not of the form.
    #[error("the drill's document cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// A module that does not exist.
    #[error("faults[{at}].module: there is no module \"{name}\"; there are {known}")]
    Module {
        /// Which of the faults.
        at: usize,
        /// The name in the document.
        name: String,
        /// The names there are.
        known: String,
    },
    /// `every = 0`.
    #[error("faults[{at}].every: 0 would inject nothing; 1 is every request")]
    Every {
        /// Which of the faults.
        at: usize,
    },
}

impl Sabotage {
    /// Reads a document.
    ///
    /// # Errors
    /// [`SabotageFault`]: whatever is unknown in it.
    pub fn parse(text: &str) -> Result<Sabotage, SabotageFault> {
        let mut document: Document = serde_json::from_str(text)?;
        let faults = std::mem::take(&mut document.faults).into_iter().enumerate();
        let faults: Result<Vec<_>, _> = faults.map(|(at, fault)| Armed::new(at, fault)).collect();
        let Document { without, blind_gate, describe_us, rollout_fails, .. } = document;
        let rollout_fails = AtomicU64::new(rollout_fails);
        Ok(Sabotage { without, faults: faults?, blind_gate, describe_us, rollout_fails })
    }

    /// Whether this guard is to be left out.
    #[must_use]
    pub fn without(&self, guard: Guard) -> bool {
        self.without.contains(&guard)
    }

    /// The guards left out, for the loud line in the log.
    #[must_use]
    pub fn left_out(&self) -> &[Guard] {
        &self.without
    }

    /// Whether the gate's own measurements are to be missing.
    #[must_use]
    pub fn blind_gate(&self) -> bool {
        self.blind_gate
    }

    /// How much longer it takes to describe a request that failed, in microseconds: a description with a stack, a context and
    /// a report, as on 18 November 2025. Ours are too cheap to show what the budget is for.
    #[must_use]
    pub fn describe_us(&self) -> u64 {
        self.describe_us
    }

    /// Whether what carries out changes is to fail now, with a candidate beside what serves: as often as the document says.
    #[must_use]
    pub fn rollout_fails(&self) -> bool {
        self.rollout_fails.fetch_update(Relaxed, Relaxed, |times| times.checked_sub(1)).is_ok()
    }

    /// Whether there is any fault to inject, so that a host can skip asking per module.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// What is to happen to a request here and now. `module` is `None` for the exchange as a whole; `has_rule` says whether the
    /// zone's configuration holds a rule of this name; `since_ms` is how long the zone's configuration has been in use.
    pub fn fault(
        &self,
        module: Option<Module>,
        zone: &str,
        has_rule: impl Fn(&str) -> bool,
        since_ms: u64,
    ) -> Option<What> {
        let hit = self.faults.iter().find(|armed| {
            let fault = &armed.fault;
            armed.module == module
                && since_ms >= fault.after_ms
                && fault.zone.as_deref().is_none_or(|named| named == zone)
                && fault.rule.as_deref().is_none_or(&has_rule)
                && armed.seen.fetch_add(1, Relaxed).is_multiple_of(fault.every)
        });
        hit.map(|armed| armed.fault.what)
    }
}

impl Armed {
    fn new(at: usize, fault: FaultDocument) -> Result<Armed, SabotageFault> {
        if fault.every == 0 {
            return Err(SabotageFault::Every { at });
        }
        let module = match &fault.module {
            None => None,
            Some(name) => Some(Module::of_name(name).ok_or_else(|| SabotageFault::Module {
                at,
                name: name.clone(),
                known: Module::ALL.map(Module::name).join(", "),
            })?),
        };
        Ok(Armed { fault, module, seen: AtomicU64::new(0) })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    without: Vec<Guard>,
    #[serde(default)]
    faults: Vec<FaultDocument>,
    #[serde(default)]
    blind_gate: bool,
    #[serde(default)]
    describe_us: u64,
    /// How many times what carries out changes fails in the middle of one.
    #[serde(default)]
    rollout_fails: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultDocument {
    /// Where: none is the exchange as a whole.
    module: Option<String>,
    /// Only this zone.
    zone: Option<String>,
    /// Only zones whose configuration holds a rule of this name.
    rule: Option<String>,
    /// Only so long after the configuration came into use.
    #[serde(default)]
    after_ms: u64,
    what: What,
    /// One in how many of the requests it applies to.
    #[serde(default = "one")]
    every: u64,
}

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(
        sabotage: &Sabotage,
        module: Option<Module>,
        zone: &str,
        rules: &[&str],
        since_ms: u64,
    ) -> Option<What> {
        sabotage.fault(module, zone, |name| rules.contains(&name), since_ms)
    }

    #[test]
    fn a_fault_hits_where_all_that_it_names_holds() {
        let text = r#"{"faults":[{"module":"firewall","zone":"a.test","rule":"poison","after_ms":100,"what":"panic"}]}"#;
        let sabotage = Sabotage::parse(text).unwrap();
        let firewall = Some(Module::Firewall);
        assert_eq!(hit(&sabotage, firewall, "a.test", &["poison"], 100), Some(What::Panic));
        for (module, zone, rules, since_ms) in [
            (Some(Module::Bot), "a.test", &["poison"][..], 100),
            (None, "a.test", &["poison"], 100),
            (firewall, "b.test", &["poison"], 100),
            (firewall, "a.test", &["other"], 100),
            (firewall, "a.test", &["poison"], 99),
        ] {
            assert_eq!(
                hit(&sabotage, module, zone, rules, since_ms),
                None,
                "{module:?} {zone} {rules:?} {since_ms}"
            );
        }
    }

    #[test]
    fn one_in_so_many_is_counted_over_the_requests_it_applies_to() {
        let text = r#"{"faults":[{"what":"error","zone":"a.test","every":3}]}"#;
        let sabotage = Sabotage::parse(text).unwrap();
        let hits: Vec<bool> = (0..7)
            .map(|_| {
                assert_eq!(hit(&sabotage, None, "b.test", &[], 0), None);
                hit(&sabotage, None, "a.test", &[], 0).is_some()
            })
            .collect();
        assert_eq!(hits, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn the_first_fault_that_applies_is_the_one() {
        let text = r#"{"faults":[{"what":"slow","module":"bot"},{"what":"hang","module":"bot"}]}"#;
        assert_eq!(
            hit(&Sabotage::parse(text).unwrap(), Some(Module::Bot), "a.test", &[], 0),
            Some(What::Slow)
        );
    }

    #[test]
    fn guards_are_left_out_by_name() {
        let names: Vec<String> = GUARDS.iter().map(|(_, name, _)| format!("\"{name}\"")).collect();
        let all = Sabotage::parse(&format!("{{\"without\":[{}]}}", names.join(","))).unwrap();
        for (guard, name, _) in GUARDS {
            assert!(all.without(*guard), "{name}");
            assert_eq!((Guard::of_name(name), guard.name()), (Some(*guard), *name));
        }
        let one = Sabotage::parse(r#"{"without":["breaker"],"blind_gate":true}"#).unwrap();
        assert!(one.without(Guard::Breaker) && !one.without(Guard::Gate));
        assert!(one.blind_gate() && !one.has_faults() && !one.rollout_fails());
        let twice = Sabotage::parse(r#"{"rollout_fails":2}"#).unwrap();
        assert_eq!([(); 3].map(|()| twice.rollout_fails()), [true, true, false]);
    }

    #[test]
    fn whatever_is_unknown_is_refused_by_name() {
        for (text, says) in [
            ("", "cannot be read"),
            (r#"{"withuot":[]}"#, "withuot"),
            (r#"{"without":["braker"]}"#, "braker"),
            (r#"{"faults":[{"what":"explode"}]}"#, "explode"),
            (r#"{"faults":[{"what":"panic","zones":"a"}]}"#, "zones"),
            (
                r#"{"faults":[{"what":"panic","module":"wall"}]}"#,
                "there is no module \"wall\"; there are redirect, ",
            ),
            (r#"{"faults":[{"what":"panic","every":0}]}"#, "faults[0].every"),
        ] {
            let said = Sabotage::parse(text).unwrap_err().to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
