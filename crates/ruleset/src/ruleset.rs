//! The rules of one zone, ready to run.

use crate::address::AddressSet;
use crate::fault::RuleFault;
use crate::limits;
use crate::pattern::Pattern;
use seawall_http::{Known, View};
use seawall_model::{Action, Module, Rule, When};
use smallvec::SmallVec;
use std::sync::Arc;

/// Rules that only take note, by index, in order. More than a few are rare, so they are kept in place.
pub type Logged = SmallVec<[u32; 4]>;

/// The rules of one zone. Rules that are off are not in it at all: an off rule is the same as none.
#[derive(Debug, Default)]
pub struct Ruleset {
    rules: Box<[Compiled]>,
    uses_score: bool,
}

/// What the rules say of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Modules that leave it alone.
    pub skip: ModuleSet,
    /// The rules that asked to be noted, by index, in order.
    pub logged: Logged,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it goes on.
    #[default]
    None,
    /// It is answered 403.
    Block {
        /// The rule that says so, by its index in the document.
        rule: u32,
    },
    /// It goes on past [`Outcome::skip`], and no later rule was tried.
    Skip {
        /// The rule that says so.
        rule: u32,
    },
}

/// A set of modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleSet(u16);

impl ModuleSet {
    /// Whether a module is in it.
    #[must_use]
    #[inline]
    pub fn contains(self, module: Module) -> bool {
        self.0 & 1 << module.index() != 0
    }

    /// Puts a module in.
    pub fn insert(&mut self, module: Module) {
        self.0 |= 1 << module.index();
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Module> for ModuleSet {
    fn from_iter<I: IntoIterator<Item = Module>>(modules: I) -> Self {
        let mut set = ModuleSet::default();
        modules.into_iter().for_each(|module| set.insert(module));
        set
    }
}

impl Ruleset {
    /// Compiles the rules of a zone. `list` finds a list by name. Rules that are off are passed over unseen, whatever
    /// they hold: switching a rule off must always work.
    ///
    /// # Errors
    /// [`RuleFault`] naming the rule, the field, the limit and the value.
    pub fn compile(
        rules: &[Rule],
        list: &dyn Fn(&str) -> Option<Arc<AddressSet>>,
    ) -> Result<Ruleset, RuleFault> {
        Self::compile_with(rules, list, &Pattern::compile)
    }

    /// Compiles without limits on patterns: only for the drill that shows what they are for.
    ///
    /// # Errors
    /// As [`Ruleset::compile`].
    pub fn compile_unbounded(
        rules: &[Rule],
        list: &dyn Fn(&str) -> Option<Arc<AddressSet>>,
    ) -> Result<Ruleset, RuleFault> {
        Self::compile_with(rules, list, &Pattern::compile_unbounded)
    }

    fn compile_with(
        rules: &[Rule],
        list: &dyn Fn(&str) -> Option<Arc<AddressSet>>,
        pattern: &dyn Fn(&str) -> Result<Pattern, crate::PatternFault>,
    ) -> Result<Ruleset, RuleFault> {
        if rules.len() as u64 > limits::RULES.value {
            return Err(RuleFault::Many { count: rules.len(), limit: limits::RULES.value });
        }
        let mut bytes = 0;
        let mut compiled = Vec::new();
        for (index, rule) in (0u32..).zip(rules).filter(|(_, rule)| rule.enabled) {
            let tests = Tests::compile(rule, list, pattern)?;
            bytes += tests.pattern_bytes();
            if bytes > limits::RULESET_BYTES.value && !Pattern::limits_lifted() {
                let limit = limits::RULESET_BYTES.value;
                return Err(RuleFault::Bytes { rule: rule.name.clone(), bytes, limit });
            }
            let does = match &rule.action {
                Action::Block => Does::Block,
                Action::Log => Does::Log,
                Action::Skip(modules) => Does::Skip(modules.iter().copied().collect()),
            };
            compiled.push(Compiled { index, name: rule.name.as_str().into(), tests, does });
        }
        let uses_score = compiled.iter().any(|rule| rule.tests.score_below.is_some());
        Ok(Ruleset { rules: compiled.into_boxed_slice(), uses_score })
    }

    /// What the rules say of a request. Allocates nothing (a search pattern's scratch is made once a worker).
    ///
    /// `score` is absent where it could not be computed, and then no rule with `score_below` matches (DESIGN R5).
    /// `spend` is called with a rule's index before that rule is tried; where it says false the rule is passed over.
    /// The time between two calls is what the first rule took.
    #[must_use]
    pub fn decide(&self, view: &View<'_>, score: Option<u8>, spend: &mut dyn FnMut(u32) -> bool) -> Outcome {
        let mut outcome = Outcome::default();
        let path = view.path();
        for rule in &self.rules {
            if !spend(rule.index) || !rule.tests.hold(view, &path, score) {
                continue;
            }
            let index = rule.index;
            match rule.does {
                Does::Log => outcome.logged.push(index),
                Does::Block => {
                    outcome.verdict = Verdict::Block { rule: index };
                    break;
                }
                Does::Skip(modules) => {
                    outcome.verdict = Verdict::Skip { rule: index };
                    outcome.skip = modules;
                    break;
                }
            }
        }
        outcome
    }

    /// Whether there is nothing to try.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Number of rules that are on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether any rule looks at the score; if none does, it need not be known here.
    #[must_use]
    pub fn uses_score(&self) -> bool {
        self.uses_score
    }

    /// The name of a rule by its index in the document; none for rules that are off.
    #[must_use]
    pub fn name(&self, rule: u32) -> Option<&str> {
        let at = self.rules.binary_search_by_key(&rule, |r| r.index).ok()?;
        self.rules.get(at).map(|r| &*r.name)
    }

    /// Whether a rule of this name is on.
    #[must_use]
    pub fn has_rule(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| &*rule.name == name)
    }

    /// Memory it holds, in bytes, without lists, which are shared, and without the scratch of workers.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        let of = |rule: &Compiled| size_of::<Compiled>() + rule.name.len() + rule.tests.heap_size();
        self.rules.iter().map(of).sum()
    }
}

#[derive(Debug)]
struct Compiled {
    index: u32,
    name: Box<str>,
    tests: Tests,
    does: Does,
}

#[derive(Clone, Copy, Debug)]
enum Does {
    Block,
    Log,
    Skip(ModuleSet),
}

/// What a request must be like, the cheap first.
#[derive(Debug)]
struct Tests {
    score_below: Option<u8>,
    methods: Box<[Box<[u8]>]>,
    sources: Option<AddressSet>,
    list: Option<Arc<AddressSet>>,
    path: Option<Pattern>,
    query: Option<Pattern>,
    user_agent: Option<Pattern>,
    header: Option<(Known, Box<[u8]>, Pattern)>,
}

impl Tests {
    fn compile(
        rule: &Rule,
        list: &dyn Fn(&str) -> Option<Arc<AddressSet>>,
        pattern: &dyn Fn(&str) -> Result<Pattern, crate::PatternFault>,
    ) -> Result<Tests, RuleFault> {
        let When { methods, path, query, user_agent, header, sources, list: list_name, score_below } =
            &rule.when;
        if rule.when == When::default() {
            return Err(RuleFault::Nothing { rule: rule.name.clone() });
        }
        let one = |field, text: &str| {
            pattern(text).map_err(|fault| RuleFault::Pattern {
                rule: rule.name.clone(),
                field,
                value: text.to_owned(),
                fault,
            })
        };
        let some = |field, text: &Option<String>| text.as_deref().map(|text| one(field, text)).transpose();
        let header = match header {
            None => None,
            Some((name, _)) if !is_field_name(name) => {
                return Err(RuleFault::HeaderName { rule: rule.name.clone(), name: name.clone() });
            }
            Some((name, text)) => {
                let name = name.as_bytes();
                Some((Known::of(name), name.into(), one("header", text)?))
            }
        };
        let missing = |name: &String| RuleFault::List { rule: rule.name.clone(), list: name.clone() };
        Ok(Tests {
            score_below: *score_below,
            methods: methods.iter().map(|method| method.as_bytes().into()).collect(),
            sources: (!sources.is_empty()).then(|| AddressSet::new(sources)),
            list: list_name.as_ref().map(|name| list(name).ok_or_else(|| missing(name))).transpose()?,
            path: some("path", path)?,
            query: some("query", query)?,
            user_agent: some("user_agent", user_agent)?,
            header,
        })
    }

    /// Whether all that is set holds. What is absent in the request matches no pattern, not even one that matches nothing.
    #[inline]
    fn hold(&self, view: &View<'_>, path: &[u8], score: Option<u8>) -> bool {
        let head = view.head;
        self.score_below.is_none_or(|below| score.is_some_and(|score| score < below))
            && (self.methods.is_empty() || self.methods.iter().any(|method| **method == *head.method_text))
            && self.sources.as_ref().is_none_or(|set| set.contains(view.address))
            && self.list.as_ref().is_none_or(|set| set.contains(view.address))
            && self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
            && self.query.as_ref().is_none_or(|pattern| head.query().is_some_and(|q| pattern.matches(q)))
            && self
                .user_agent
                .as_ref()
                .is_none_or(|pattern| head.fields.all(Known::UserAgent).any(|value| pattern.matches(value)))
            && self.header.as_ref().is_none_or(|(known, name, pattern)| match known {
                Known::Other => head.fields.all_named(name).any(|value| pattern.matches(value)),
                known => head.fields.all(*known).any(|value| pattern.matches(value)),
            })
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let header = self.header.as_ref().map(|(_, _, pattern)| pattern);
        [self.path.as_ref(), self.query.as_ref(), self.user_agent.as_ref(), header].into_iter().flatten()
    }

    fn pattern_bytes(&self) -> u64 {
        self.patterns().map(|pattern| pattern.heap_size() as u64).sum()
    }

    fn heap_size(&self) -> usize {
        let patterns: usize = self.patterns().map(Pattern::heap_size).sum();
        let methods: usize = self.methods.iter().map(|method| size_of_val(method) + method.len()).sum();
        patterns
            + methods
            + self.sources.as_ref().map_or(0, AddressSet::heap_size)
            + self.header.as_ref().map_or(0, |(_, name, _)| name.len())
    }
}

/// Whether a text can be the name of a header field: a token (RFC 9110 §5.6.2).
fn is_field_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
#[path = "ruleset_tests.rs"]
mod tests;
