//! The zone's rules. A rule that takes too long trips alone.

use super::{Host, Part, StageFacts, Verdict};
use crate::process::Note;
use seawall_http::View;
use seawall_model::Rule;
use seawall_ruleset::{AddressSet, ModuleSet, RuleFault, Ruleset, Verdict as Said};
use seawall_telemetry::names::SecurityAction;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The rules of a zone, compiled.
pub(crate) struct Firewall {
    rules: Ruleset,
    names: Box<[Arc<str>]>,
    /// Rules that are skipped because they took too long.
    tripped: Box<[AtomicBool]>,
    /// Set once the rules together took too long: from then on each is timed.
    watched: AtomicBool,
}

impl Firewall {
    pub(super) fn compile(
        rules: &[Rule],
        list: &dyn Fn(&str) -> Option<Arc<AddressSet>>,
        limited: bool,
    ) -> Result<Firewall, RuleFault> {
        Ok(Firewall {
            rules: if limited {
                Ruleset::compile(rules, list)?
            } else {
                Ruleset::compile_unbounded(rules, list)?
            },
            names: rules.iter().map(|r| r.name.as_str().into()).collect(),
            tripped: rules.iter().map(|_| AtomicBool::new(false)).collect(),
            watched: AtomicBool::new(false),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn uses_score(&self) -> bool {
        self.rules.uses_score()
    }

    pub(super) fn stage(
        &self,
        part: &Part,
        host: &Host<'_>,
        view: &View<'_>,
        facts: &mut StageFacts,
        skip: &mut ModuleSet,
    ) -> Option<Verdict> {
        let score = facts.score.flatten();
        let budget_us = u128::from(part.module.budget().time_us);
        let began = Instant::now();
        let clock = Clock { last: Cell::new((None, began)), watched: self.watched.load(Ordering::Relaxed) };
        let outcome = host.run(part, &mut facts.faults, || {
            let mut enter = |rule: u32| {
                let rule = rule as usize;
                if clock.watched {
                    self.clock(&clock, Some(rule), budget_us, host);
                }
                !self.tripped.get(rule).is_some_and(|t| t.load(Ordering::Relaxed))
            };
            let outcome = self.rules.decide(view, score, &mut enter);
            if clock.watched {
                self.clock(&clock, None, budget_us, host);
            }
            Ok(outcome)
        })?;
        if !clock.watched && began.elapsed().as_micros() > budget_us {
            self.watched.store(true, Ordering::Relaxed);
        }
        if let Some(rule) = outcome.logged.last() {
            facts.note(self.name(*rule), SecurityAction::Log);
        }
        match outcome.verdict {
            Said::None => Some(Verdict::Go),
            Said::Skip { rule } => {
                *skip = outcome.skip;
                facts.note(self.name(rule), SecurityAction::Skip);
                Some(Verdict::Go)
            }
            Said::Block { rule } => {
                facts.note(self.name(rule), SecurityAction::Block);
                Some(Verdict::Blocked { rule })
            }
        }
    }

    fn name(&self, rule: u32) -> Option<Arc<str>> {
        self.names.get(rule as usize).cloned()
    }

    /// Notes how long the rule before took, and trips it if that was more than the whole module may.
    fn clock(&self, clock: &Clock, next: Option<usize>, budget_us: u128, host: &Host<'_>) {
        let now = Instant::now();
        let (before, since) = clock.last.replace((next, now));
        let Some(rule) = before.filter(|_| now.duration_since(since).as_micros() > budget_us) else { return };
        let first = self.tripped.get(rule).is_some_and(|t| !t.swap(true, Ordering::Relaxed));
        if let (true, Some(teller), Some(name)) = (first, host.teller, self.names.get(rule)) {
            let zone = host.zone.to_owned();
            let _ = teller.notes.try_send(Note::RuleTripped { zone, rule: name.to_string() });
        }
    }
}

struct Clock {
    last: Cell<(Option<usize>, Instant)>,
    watched: bool,
}
