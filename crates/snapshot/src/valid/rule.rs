//! Firewall rules, and the lists that rules and bans name.

use std::cell::RefCell;
use std::collections::HashMap;

use seawall_model::{Action, Rule, When, Zone, is_token, limits};
use seawall_ruleset::{Pattern, limits as rule_limits};

use super::{count, nothing_twice};
use crate::context::short;
use crate::names::check_plain_name;
use crate::schema;
use crate::unit_fault::{At as _, Checked, Fault, text, within};

/// Patterns remembered by a thread as good, with the bytes they compile to: zones of one hoster share their rules, and a
/// pattern takes as long to compile as the rest of a zone to read.
const REMEMBERED: usize = 1_024;

thread_local! {
    static GOOD: RefCell<HashMap<Box<str>, u64>> = RefCell::default();
}

/// Whether the rules of a zone could be used.
pub(super) fn rules(rules: &[Rule]) -> Checked {
    within(rules.len(), rule_limits::RULES).at("rules")?;
    let mut compiled = 0;
    for (index, each) in rules.iter().enumerate() {
        rule(each, &mut compiled).at_item("rules", index)?;
    }
    nothing_twice(rules.iter().map(|rule| &rule.name), "name").at("rules")
}

fn rule(rule: &Rule, compiled: &mut u64) -> Checked {
    check_plain_name(&rule.name).at("name")?;
    when(&rule.when, rule.enabled, compiled).at("when")?;
    match &rule.action {
        Action::Skip(modules) => nothing_twice(modules, "module").at("action"),
        Action::Block | Action::Log => Ok(()),
    }
}

fn when(when: &When, enabled: bool, compiled: &mut u64) -> Checked {
    if when.is_empty() {
        return Err(nothing_asked());
    }
    super::route::methods(&when.methods)?;
    for (key, text) in when.patterns() {
        let bytes = check_pattern(text).at(key)?;
        *compiled += if enabled { bytes } else { 0 };
        if *compiled > rule_limits::RULESET_BYTES.value && !Pattern::limits_lifted() {
            let bytes = usize::try_from(*compiled).unwrap_or(usize::MAX);
            return within(bytes, rule_limits::RULESET_BYTES).at(key);
        }
    }
    if let Some((name, _)) = &when.header {
        check_field(name).at("header")?;
    }
    within(when.sources.len(), limits::RULE_SOURCES).at("sources")?;
    if let Some(list) = &when.list {
        check_plain_name(list).at("list")?;
    }
    when.score_below.map_or(Ok(()), |score| count(&schema::RULE, "score_below", score))
}

/// What is wrong with a rule that asks for nothing.
pub(crate) fn nothing_asked() -> Box<Fault> {
    Fault::new(
        "the rule asks for nothing, and that never means everything",
        "name at least one of path, query, user_agent, header, methods, sources, list, score_below"
            .to_owned(),
    )
}

/// Whether a rule can look at this field.
pub(crate) fn check_field(name: &str) -> Checked {
    text(name)?;
    if is_token(name) {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no name of a header field", short(name)),
        "write letters, digits and hyphens only".to_owned(),
    ))
}

/// Whether a text is a pattern within its limits; how many bytes it compiles to.
pub(crate) fn check_pattern(text: &str) -> Checked<u64> {
    if let Some(bytes) = GOOD.with_borrow(|good| good.get(text).copied()) {
        return Ok(bytes);
    }
    match Pattern::compile(text) {
        Ok(pattern) => {
            let bytes = pattern.heap_size() as u64;
            GOOD.with_borrow_mut(|good| {
                if good.len() >= REMEMBERED {
                    good.clear();
                }
                good.insert(text.into(), bytes);
            });
            Ok(bytes)
        }
        Err(fault) => {
            let quoted = if text.is_empty() { String::new() } else { format!("`{}`: ", short(text)) };
            let told = Fault::new(format!("{quoted}{fault}"), None);
            Err(match fault.limit() {
                Some((_, limit)) => told.beyond(limit, text.len() as u64),
                None => told,
            })
        }
    }
}

/// Whether the names of lists in `bans` are names.
pub(super) fn ban_names(names: &[String]) -> Checked {
    within(names.len(), limits::BANS).at("bans")?;
    for (index, name) in names.iter().enumerate() {
        check_plain_name(name).at_item("bans", index)?;
    }
    nothing_twice(names, "list").at("bans")
}

/// Whether the lists named in `bans` are there.
pub(crate) fn bans(names: &[String], has_list: &dyn Fn(&str) -> bool) -> Checked {
    for (index, name) in names.iter().enumerate() {
        if !has_list(name) {
            return Err(no_list(name)).at_item("bans", index);
        }
    }
    Ok(())
}

/// Whether every list that a zone names is there.
pub(crate) fn lists_of_zone(zone: &Zone, has_list: &dyn Fn(&str) -> bool) -> Checked {
    bans(&zone.bans, has_list)?;
    for (index, rule) in zone.rules.iter().enumerate() {
        if let Some(list) = &rule.when.list
            && !has_list(list)
        {
            let fault = Fault::new(names_no_list(&rule.name, list), "add it, or name another".to_owned());
            return Err(fault).at("list").at("when").at_item("rules", index);
        }
    }
    Ok(())
}

/// What is wrong with a rule that names a list that is not there.
pub(crate) fn names_no_list(rule: &str, list: &str) -> String {
    match rule {
        "" => format!("the rule names the list `{}`, and there is none", short(list)),
        _ => format!("rule `{}` names the list `{}`, and there is none", short(rule), short(list)),
    }
}

fn no_list(name: &str) -> Box<Fault> {
    Fault::new(format!("there is no list `{}`", short(name)), "add it, or name another".to_owned())
}
