//! `[[zone.rule]]` and `bans`.

use std::collections::HashSet;

use seawall_model::{Action, Bot, Module, Rule, When, limits};
use seawall_ruleset::limits as rule_limits;

use crate::context::short;
use crate::listen::range;
use crate::names::{method, plain_name, reported};
use crate::reader::Reader;
use crate::suggest::did_you_mean;
use crate::valid;

/// Modules that have done their work before the rules are tried: to skip them comes too late.
const BEFORE_RULES: [Module; 4] = [Module::Redirect, Module::Bans, Module::Bot, Module::Firewall];

/// Reads the rules of a zone.
pub(crate) fn rules(zone: &Reader<'_, '_>, bot: &Bot) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut names = HashSet::new();
    zone.tables("rule", rule_limits::RULES, |_, table| {
        let name = table.required("name").and_then(|text| plain_name(&table.spot_of("name"), text));
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            table.spot_of("name").error(
                format!("another rule of this zone is named `{}`", short(name)),
                "give each rule its own name".to_owned(),
            );
        }
        let name = name.unwrap_or_default();
        let mut enabled = true;
        table.flag("enabled", &mut enabled);
        let when = when(table, &name, bot);
        let action = action(table);
        rules.push(Rule { name, enabled, when, action });
    });
    rules
}

fn when(table: &Reader<'_, '_>, rule: &str, bot: &Bot) -> When {
    let errors = table.cx.errors();
    let mut when = When::default();
    table.texts("methods", limits::METHODS, |spot, text| when.methods.extend(method(spot, text)));
    when.path = pattern(table, "path");
    when.query = pattern(table, "query");
    when.user_agent = pattern(table, "user_agent");
    table.table("header", |t| {
        let name = t.required("name").map(str::to_owned);
        let name = name.filter(|name| reported(&t.spot_of("name"), valid::check_field(name)).is_some());
        if !t.has("matches") {
            t.missing("matches");
        }
        when.header = name.zip(pattern(t, "matches"));
    });
    table.texts("sources", limits::RULE_SOURCES, |spot, text| when.sources.extend(range(spot, text)));
    when.list = table.text("list").and_then(|text| plain_name(&table.spot_of("list"), text));
    if let Some(list) = &when.list
        && !table.cx.has_list(list)
    {
        let told = valid::names_no_list(rule, list);
        table.cx.no_list(&table.spot_of("list"), told, list);
    }
    if table.has("score_below") {
        let mut score = 0;
        table.count("score_below", &mut score);
        when.score_below = (score > 0).then_some(score);
        if !bot.score {
            table.spot_of("score_below").warn(
                "requests of this zone have no score, so the rule never matches",
                "set score = true in [zone.bot]".to_owned(),
            );
        }
    } else {
        table.count("score_below", &mut 0_u8);
    }
    // Where a condition is faulty that is told, and what is left of the rule says nothing.
    if when.is_empty() && table.cx.errors() == errors {
        reported::<()>(&table.spot(), Err(valid::nothing_asked()));
    }
    when
}

fn pattern(table: &Reader<'_, '_>, key: &'static str) -> Option<String> {
    let text = table.text(key)?;
    reported(&table.spot_of(key), valid::check_pattern(text)).map(|_| text.to_owned())
}

fn action(table: &Reader<'_, '_>) -> Action {
    if !table.has("action") {
        table.missing("action");
    }
    let word = table.choice("action");
    let mut skip: Vec<Module> = Vec::new();
    table.texts("skip", limits::METHODS, |spot, text| {
        let Some(module) = Module::of_name(text) else {
            let near = did_you_mean(text, Module::ALL.map(Module::name));
            let known = || format!("the modules are {}", Module::ALL.map(Module::name).join(", "));
            spot.error(format!("no module is named `{}`", short(text)), near.unwrap_or_else(known));
            return;
        };
        if skip.contains(&module) {
            spot.warn(format!("`{module}` stands here twice"), "remove one".to_owned());
            return;
        }
        if BEFORE_RULES.contains(&module) {
            spot.warn(
                format!("`{module}` has done its work before rules are tried"),
                "remove it; a skip keeps later rules from being tried as it is".to_owned(),
            );
        }
        skip.push(module);
    });
    if table.has("skip") && !matches!(word, Some("skip") | None) {
        table.spot_of("skip").warn(
            "`skip` does nothing without action = \"skip\"",
            "set action = \"skip\", or remove `skip`".to_owned(),
        );
    }
    match word {
        Some("block") => Action::Block,
        Some("skip") => Action::Skip(skip),
        _ => Action::Log,
    }
}

/// Reads `bans`: names of lists.
pub(crate) fn bans(table: &Reader<'_, '_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    table.texts("bans", limits::BANS, |spot, text| {
        let Some(name) = plain_name(spot, text) else { return };
        if !table.cx.has_list(&name) {
            let told = format!("`bans` names the list `{}`, and there is none", short(&name));
            table.cx.no_list(spot, told, &name);
        } else if names.contains(&name) {
            spot.warn(format!("`{}` stands here twice", short(&name)), "remove one".to_owned());
            return;
        }
        names.push(name);
    });
    names
}
