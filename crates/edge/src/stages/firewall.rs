//! The zone's rules. A rule that takes too long trips alone.

use super::{Host, Part, StageFacts, Verdict};
use crate::process::Note;
use seawall_guard::{Breaker, Fault, Pass};
use seawall_http::View;
use seawall_model::{Budget, Rule};
use seawall_ruleset::{AddressSet, RuleFault, Ruleset, Verdict as Said};
use seawall_telemetry::names::SecurityAction;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long each rule is timed by itself once the rules together took too long, in milliseconds: the clock is read for
/// every rule then, which is too much to do always.
const WATCH_MS: u64 = 60_000;

/// The rules of a zone, compiled.
pub(crate) struct Firewall {
    rules: Ruleset,
    names: Box<[Arc<str>]>,
    /// Of each rule. One that takes longer than the whole module may is skipped, and tried again now and then.
    breakers: Box<[Breaker]>,
    /// Until when each rule is timed, in steady milliseconds.
    watched_until_ms: AtomicU64,
}

impl Firewall {
    pub(super) fn compile(
        rules: &[Rule],
        seed: u32,
        limited: bool,
        list: &dyn Fn(&str) -> Option<Arc<AddressSet>>,
    ) -> Result<Firewall, RuleFault> {
        let compile = if limited { Ruleset::compile } else { Ruleset::compile_unbounded };
        Ok(Firewall {
            rules: compile(rules, list)?,
            names: rules.iter().map(|r| r.name.as_str().into()).collect(),
            breakers: rules.iter().map(|_| Breaker::new(seed)).collect(),
            watched_until_ms: AtomicU64::new(0),
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
    ) -> Option<Verdict> {
        let score = facts.score.flatten();
        let outcome = host.run(part, &mut facts.faults, || {
            let watch = Watch::begin(self, host, part.module.budget());
            let outcome = self.rules.decide(view, score, &mut |rule| watch.enter(rule as usize));
            watch.end();
            Ok(outcome)
        })?;
        if let Some(rule) = outcome.logged.last() {
            facts.note(self.name(*rule), SecurityAction::Log);
        }
        match outcome.verdict {
            Said::None => Some(Verdict::Go),
            Said::Skip { rule } => {
                facts.skip = outcome.skip;
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
}

/// Looks at the clock while the rules of one request are tried.
struct Watch<'a> {
    firewall: &'a Firewall,
    host: &'a Host<'a>,
    budget: Budget,
    began: Instant,
    /// The rule being timed, and since when.
    at: Cell<Option<(usize, Pass, Instant)>>,
    timed: Cell<bool>,
}

impl<'a> Watch<'a> {
    fn begin(firewall: &'a Firewall, host: &'a Host<'a>, budget: Budget) -> Watch<'a> {
        // A rehearsal trips no rules.
        let timed = host.teller.is_some() && host.now_ms < firewall.watched_until_ms.load(Ordering::Relaxed);
        let (began, at) = (Instant::now(), Cell::new(None));
        Watch { firewall, host, budget, began, at, timed: Cell::new(timed) }
    }

    /// Whether a rule is to be tried.
    fn enter(&self, rule: usize) -> bool {
        if self.timed.get() {
            self.leave();
        }
        let Some(breaker) = self.firewall.breakers.get(rule).filter(|_| self.host.teller.is_some()) else {
            return true;
        };
        let pass = breaker.allow(self.host.now_ms);
        if pass == Pass::Probe {
            self.timed.set(true);
        }
        if self.timed.get() && pass != Pass::Skip {
            self.at.set(Some((rule, pass, Instant::now())));
        }
        pass != Pass::Skip
    }

    /// The rule before is done. One that took longer than all of them may is held responsible alone.
    fn leave(&self) {
        let Some((rule, pass, since)) = self.at.take() else { return };
        let Some(breaker) = self.firewall.breakers.get(rule) else { return };
        let took = since.elapsed();
        let Some(fault) = self.overrun(took) else {
            breaker.ok(pass);
            return;
        };
        self.host.excused.set(self.host.excused.get() + took);
        if breaker.fault(pass, self.host.now_ms, fault)
            && let (Some(teller), Some(name)) = (self.host.teller, self.firewall.names.get(rule))
        {
            let (zone, rule) = (self.host.zone.to_owned(), name.to_string());
            teller.tell(Note::RuleTripped { zone, rule, fault });
        }
    }

    fn end(&self) {
        if self.timed.get() {
            self.leave();
            return;
        }
        let took = self.began.elapsed();
        if self.host.teller.is_some() && self.overrun(took).is_some() {
            // From now on it is known which rule it is; until then it is not held against all of them.
            self.firewall
                .watched_until_ms
                .store(self.host.now_ms.saturating_add(WATCH_MS), Ordering::Relaxed);
            self.host.excused.set(took);
        }
    }

    fn overrun(&self, took: Duration) -> Option<Fault> {
        let over = |took: Duration| {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            Fault::overrun(self.budget, took_us, 0)
        };
        over(took).and_then(|_| over(self.host.held(took)))
    }
}
