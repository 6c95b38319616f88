//! The guarded stages of a request: redirect, bans, bot score, firewall rules, header edits.
//!
//! A stage is a function of the request, the compiled zone and the time; what contains its faults is [`host`]. A zone
//! is compiled to the stages it uses, and one that uses none pays nothing. Stages wait for nothing and change nothing
//! but the request they are handed, so a candidate's can be run over recorded heads (see `rollout/rehearsal.rs`).

mod bot;
mod firewall;
pub(crate) mod host;
mod sabotage;
mod shared;

pub(crate) use bot::Bot;
pub(crate) use host::{Host, StageError, Teller, what};
pub(crate) use sabotage::{dawdle, strike};
pub(crate) use shared::{Shared, UnitFault};

use crate::cohort::Cohort;
use firewall::Firewall;
use seawall_guard::Breaker;
use seawall_http::{Fields, View};
use seawall_model::{self as model, FailMode, Module};
use seawall_ruleset::{AddressSet, ModuleSet};
use seawall_telemetry::names;
use std::sync::Arc;

/// What the log calls the rule by which an address is banned.
const BANS: &str = "bans";

/// A zone's stages, in the order they run.
#[derive(Default)]
pub(crate) struct Stages {
    parts: Box<[Part]>,
    /// Nothing but bans, and no list of its own for them.
    idle: bool,
    /// Of the names of its rules, for faults that drills tie to one.
    rules: Box<[Box<str>]>,
}

/// One stage of one zone.
pub(crate) struct Part {
    pub module: Module,
    /// What the zone wants instead of the edge's or the module's own mode.
    mode: Option<FailMode>,
    /// One for each cohort: a zone that did not change is the same in both, and what a candidate breaks around it must not
    /// show beside the candidate.
    breakers: [Breaker; 2],
    work: Work,
}

/// What a stage does.
enum Work {
    Redirect,
    Bans(Box<[Arc<AddressSet>]>),
    Bot,
    Firewall(Box<Firewall>),
    /// What a route says is edited.
    Headers,
}

/// Why a zone's stages cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileStages {
    /// A rule.
    #[error("{0}")]
    Rule(#[from] seawall_ruleset::RuleFault),
    /// A list that is not there.
    #[error("`bans` names the list `{0}`, which does not exist")]
    NoList(String),
}

/// What the stages want done with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    #[default]
    Go,
    Redirect,
    Banned,
    /// By the rule with this index.
    Blocked {
        rule: u32,
    },
    /// A module that fails, and is set to stop requests then.
    Closed(Module),
}

/// Modules and how they failed.
pub(crate) type Faults = smallvec::SmallVec<[(names::Module, names::ModuleFault); 2]>;

/// What is found out on the way, for the log, the gates and the origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageFacts {
    /// What failed, at most one for each stage.
    pub faults: Faults,
    /// By a rule or a ban.
    pub blocked: bool,
    /// Modules that a rule says leave this request alone.
    pub skip: ModuleSet,
    /// `Some(None)`: it was to be computed and could not be.
    pub score: Option<Option<u8>>,
    /// The rule that decided, and the last one that only noted.
    pub rule: Option<Arc<str>>,
    pub action: Option<names::SecurityAction>,
}

impl StageFacts {
    fn note(&mut self, rule: Option<Arc<str>>, action: names::SecurityAction) {
        self.rule = rule;
        self.action = Some(action);
    }
}

/// Compiles what a zone asks for. `seed` spreads the probes of its breakers from those of others; patterns are
/// unlimited only in the drill that shows what the limits are for.
///
/// # Errors
/// See [`CompileStages`]: the zone keeps its last version then.
pub(crate) fn compile(
    zone: &model::Zone,
    seed: u32,
    limited: bool,
    list: &dyn Fn(&str) -> Option<Arc<AddressSet>>,
) -> Result<Stages, CompileStages> {
    let mut parts = Vec::new();
    let mut add = |module: Module, work: Work| {
        let setting = zone.modules.get(module).unwrap_or_default();
        if !setting.off {
            parts.push(Part::new(module, setting.mode, seed, work));
        }
    };
    if zone.always_https {
        add(Module::Redirect, Work::Redirect);
    }
    // Also without lists of its own: the edge's are looked into here.
    let find = |name: &String| list(name).ok_or_else(|| CompileStages::NoList(name.clone()));
    add(Module::Bans, Work::Bans(zone.bans.iter().map(find).collect::<Result<_, _>>()?));
    let firewall = Firewall::compile(&zone.rules, seed, limited, list)?;
    if zone.bot.score || firewall.uses_score() {
        add(Module::Bot, Work::Bot);
    }
    if !firewall.is_empty() {
        add(Module::Firewall, Work::Firewall(Box::new(firewall)));
    }
    if zone.routes.iter().any(|r| !r.request_headers.is_empty()) {
        add(Module::RequestHeaders, Work::Headers);
    }
    if zone.routes.iter().any(|r| !r.response_headers.is_empty()) {
        add(Module::ResponseHeaders, Work::Headers);
    }
    let idle = parts.iter().all(|part| matches!(&part.work, Work::Bans(lists) if lists.is_empty()));
    Ok(Stages {
        parts: parts.into(),
        idle,
        rules: zone.rules.iter().map(|r| r.name.as_str().into()).collect(),
    })
}

impl Stages {
    /// Whether there is nothing to run.
    #[inline]
    pub(crate) fn is_idle(&self, shared: &Shared) -> bool {
        self.idle && shared.banned.is_empty()
    }

    /// Forgets what stages did to a candidate: the next one begins with a clean slate.
    pub(crate) fn forget_candidate(&self) {
        self.parts.iter().for_each(|part| part.breaker(Cohort::Candidate).reset());
    }

    /// The stage of a module, if the zone has it.
    pub(crate) fn part(&self, module: Module) -> Option<&Part> {
        self.parts.iter().find(|p| p.module == module)
    }

    pub(crate) fn has_rule(&self, name: &str) -> bool {
        self.rules.iter().any(|r| &**r == name)
    }

    /// Runs the stages that come before the route is known.
    pub(crate) fn decide(&self, host: &Host<'_>, view: &View<'_>, facts: &mut StageFacts) -> Verdict {
        for part in &self.parts {
            if matches!(part.work, Work::Headers) {
                continue;
            }
            match part.decide(host, view, facts) {
                Verdict::Go => {}
                stop => {
                    facts.blocked = matches!(stop, Verdict::Banned | Verdict::Blocked { .. });
                    if stop == Verdict::Banned {
                        facts.note(Some(BANS.into()), names::SecurityAction::Block);
                    }
                    return stop;
                }
            }
        }
        Verdict::Go
    }

    /// Edits the fields of a request or a response by the route's words.
    ///
    /// # Errors
    /// The module failed and is closed.
    pub(crate) fn edit(
        &self,
        module: Module,
        host: &Host<'_>,
        edits: &model::HeaderEdits,
        fields: &mut Fields,
        facts: &mut StageFacts,
    ) -> Result<(), Module> {
        let runs = !host.is_off(module) && !facts.skip.contains(module);
        let Some(part) = self.part(module).filter(|_| runs) else { return Ok(()) };
        let done = host.run(part, &mut facts.faults, || {
            for name in &edits.remove {
                fields.remove_named(name.as_bytes());
            }
            for (name, value) in &edits.set {
                fields.set_named(name.as_bytes(), value.as_bytes());
            }
            Ok(())
        });
        match done {
            None if host.mode(part) == FailMode::Closed => Err(module),
            _ => Ok(()),
        }
    }
}

impl Part {
    fn new(module: Module, mode: Option<FailMode>, seed: u32, work: Work) -> Part {
        Part { module, mode, breakers: [Breaker::new(seed), Breaker::new(seed)], work }
    }

    /// What skips this stage while it fails.
    #[inline]
    pub(crate) fn breaker(&self, cohort: Cohort) -> &Breaker {
        let [current, candidate] = &self.breakers;
        match cohort {
            Cohort::Current => current,
            Cohort::Candidate => candidate,
        }
    }

    fn decide(&self, host: &Host<'_>, view: &View<'_>, facts: &mut StageFacts) -> Verdict {
        if host.is_off(self.module) {
            return Verdict::Go;
        }
        let verdict = match &self.work {
            Work::Redirect => host.run(self, &mut facts.faults, || {
                Ok(if view.https { Verdict::Go } else { Verdict::Redirect })
            }),
            Work::Bans(lists) if lists.is_empty() && host.shared.banned.is_empty() => return Verdict::Go,
            Work::Bans(lists) => host.run(self, &mut facts.faults, || {
                let banned = host.shared.banned.iter().chain(lists).any(|l| l.contains(view.address));
                Ok(if banned { Verdict::Banned } else { Verdict::Go })
            }),
            Work::Bot => return bot::stage(self, host, view, facts),
            Work::Firewall(firewall) => firewall.stage(self, host, view, facts),
            Work::Headers => Some(Verdict::Go),
        };
        match verdict {
            Some(verdict) => verdict,
            None if host.mode(self) == FailMode::Closed => Verdict::Closed(self.module),
            None => Verdict::Go,
        }
    }
}

/// The name of a module in metrics and logs.
pub(crate) fn told(module: Module) -> names::Module {
    names::Module::ALL.get(module.index()).copied().unwrap_or(names::Module::Redirect)
}
