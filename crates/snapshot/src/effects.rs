//! What a change does, in sentences about what people know: zones, hostnames, where requests go, what is on and off.

use std::collections::BTreeMap;
use std::fmt;

use seawall_model::{Edge, FailMode, Module, ModuleSetting, Pool, Route, Zone};
use serde::Serialize;

use crate::unit::UnitKind;
use crate::units::Change;

/// Names that a sentence lists before it says how many more there are.
const NAMED: usize = 2;

/// One thing a change does. Its display is a sentence without a final stop: "removes 12 hostnames: a.test, b.test and 10 more".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The sentence.
    pub text: String,
    /// Whether something goes, is turned off or is sent elsewhere.
    pub grave: bool,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What effects there are, in the order they are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    RemovesZones,
    RemovesHosts,
    TurnsOff(&'static str),
    RemovesRules,
    DisablesRules,
    Unbans(String),
    RemovesLists,
    RemovesData,
    Redirects,
    FailsAs(&'static str, Option<&'static str>),
    AddsZones,
    AddsHosts,
    TurnsOn(&'static str),
    AddsRules,
    EnablesRules,
    ChangesRules,
    Reorders,
    Bans(String),
    AddsLists,
    AddsData,
    Changes(&'static str),
    Unreadable(UnitKind),
}

impl Sort {
    fn is_grave(&self) -> bool {
        *self < Sort::FailsAs("", None)
    }

    /// The sentence about these names. `{}` stands where the zone, or how many there are, comes.
    fn sentence(&self, names: &[String]) -> String {
        let zones = |template: &str| match names {
            [] => template.replace("{}", "every zone"),
            [one] => template.replace("{}", one),
            many => {
                format!("{}: {}", template.replace("{}", &count(many.len() as u64, "zone")), first_of(many))
            }
        };
        let things = |verb: &str, what: &str| {
            format!("{verb} {}: {}", count(names.len() as u64, what), first_of(names))
        };
        match self {
            Sort::RemovesZones => things("removes", "zone"),
            Sort::AddsZones => things("adds", "zone"),
            Sort::RemovesHosts => things("removes", "hostname"),
            Sort::AddsHosts => things("adds", "hostname"),
            Sort::RemovesLists => things("removes", "list"),
            Sort::AddsLists => things("adds", "list"),
            Sort::RemovesData => things("removes", "data file"),
            Sort::AddsData => things("adds", "data file"),
            Sort::RemovesRules => things("removes", "firewall rule"),
            Sort::AddsRules => things("adds", "firewall rule"),
            Sort::ChangesRules => things("changes", "firewall rule"),
            Sort::DisablesRules => things("disables", "firewall rule"),
            Sort::EnablesRules => things("enables", "firewall rule"),
            Sort::Reorders => zones("changes the order of the firewall rules of {}"),
            Sort::TurnsOff(what) => zones(&format!("turns {what} off for {{}}")),
            Sort::TurnsOn(what) => zones(&format!("turns {what} on for {{}}")),
            Sort::Unbans(list) => zones(&format!("lets the addresses of list {list} in again at {{}}")),
            Sort::Bans(list) => zones(&format!("refuses the addresses of list {list} at {{}}")),
            Sort::Redirects => zones("changes where requests to {} go"),
            Sort::FailsAs(what, None) => zones(&format!("lets {what} fail as by default for {{}}")),
            Sort::FailsAs(what, Some(mode)) => zones(&format!("lets {what} fail {mode} for {{}}")),
            Sort::Changes(what) => zones(&format!("changes {what} of {{}}")),
            Sort::Unreadable(kind) => {
                format!("changes what cannot be compared: {kind} {}", first_of(names))
            }
        }
    }
}

/// Effects as they are found.
#[derive(Default)]
pub(crate) struct Effects {
    found: BTreeMap<Sort, Vec<String>>,
    /// Sentences that are about one thing, with whether they are grave.
    single: Vec<Effect>,
}

impl Effects {
    fn add(&mut self, sort: Sort, name: impl Into<String>) {
        self.found.entry(sort).or_default().push(name.into());
    }

    fn say(&mut self, grave: bool, text: String) {
        self.single.push(Effect { text, grave });
    }

    /// How much was found so far.
    pub(crate) fn total(&self) -> usize {
        self.found.values().map(Vec::len).sum::<usize>() + self.single.len()
    }

    /// A zone differs in something that has no sentence of its own.
    pub(crate) fn settings(&mut self, name: String) {
        self.add(Sort::Changes("settings"), name);
    }

    /// All of them, the grave ones first.
    pub(crate) fn told(mut self) -> Vec<Effect> {
        let mut told: Vec<Effect> = Vec::new();
        for (sort, mut names) in std::mem::take(&mut self.found) {
            names.sort_unstable();
            names.dedup();
            names.retain(|name| !name.is_empty());
            told.push(Effect { text: sort.sentence(&names), grave: sort.is_grave() });
        }
        told.append(&mut self.single);
        told.sort_by_key(|effect| !effect.grave);
        told
    }

    pub(crate) fn removed(&mut self, kind: UnitKind, name: String) {
        match kind {
            UnitKind::Zone => self.add(Sort::RemovesZones, name),
            UnitKind::List => self.add(Sort::RemovesLists, name),
            _ => self.add(Sort::RemovesData, name),
        }
    }

    pub(crate) fn added(&mut self, kind: UnitKind, name: String) {
        match kind {
            UnitKind::Zone => self.add(Sort::AddsZones, name),
            UnitKind::List => self.add(Sort::AddsLists, name),
            _ => self.add(Sort::AddsData, name),
        }
    }

    pub(crate) fn unreadable(&mut self, kind: UnitKind, name: String) {
        self.add(Sort::Unreadable(kind), name);
    }

    pub(crate) fn hosts(&mut self, removed: Vec<String>, added: Vec<String>) {
        removed.into_iter().for_each(|host| self.add(Sort::RemovesHosts, host));
        added.into_iter().for_each(|host| self.add(Sort::AddsHosts, host));
    }

    pub(crate) fn list(&mut self, change: &Change, removed: usize, added: usize, twice: u64) {
        let name = &change.name;
        match (&change.before, &change.after) {
            (None, _) => self.added(UnitKind::List, name.to_string()),
            (_, None) => self.removed(UnitKind::List, name.to_string()),
            _ => {
                if removed > 0 {
                    let rows = count(removed as u64, "network");
                    self.say(true, format!("removes {rows} from list {name}"));
                }
                if added > 0 {
                    self.say(false, format!("adds {} to list {name}", count(added as u64, "network")));
                }
                if removed == 0 && added == 0 && twice == 0 {
                    self.say(false, format!("changes the order of list {name}"));
                }
            }
        }
        if twice > 0 {
            self.say(true, format!("repeats {} in list {name}", count(twice, "network")));
        }
    }

    pub(crate) fn data(&mut self, change: &Change, before: usize, after: usize, twice: u64) {
        let name = &change.name;
        match (&change.before, &change.after) {
            (None, _) => self.added(UnitKind::Data, name.to_string()),
            (_, None) => self.removed(UnitKind::Data, name.to_string()),
            _ if before == after => self.say(false, format!("replaces data file {name}")),
            _ => self.say(after < before, format!("replaces data file {name}: {before} rows become {after}")),
        }
        if twice > 0 {
            self.say(true, format!("repeats {} in data file {name}", count(twice, "row")));
        }
    }

    pub(crate) fn zone(&mut self, old: &Zone, new: &Zone) {
        let name = &new.name;
        let switches = [
            ("compression", old.compression, new.compression),
            ("HTTP/2", old.http2, new.http2),
            ("WebSockets", old.websockets, new.websockets),
            ("the redirect to HTTPS", old.always_https, new.always_https),
            ("the cache", old.cache && !old.development_mode, new.cache && !new.development_mode),
            ("the bot score", old.bot.score, new.bot.score),
            ("the score header to origins", old.bot.header, new.bot.header),
        ];
        for (what, before, after) in switches {
            self.switch(what, before, after, name);
        }
        for module in Module::ALL {
            let setting = |zone: &Zone| zone.modules.get(module).unwrap_or_default();
            self.module(module, setting(old), setting(new), name);
        }
        if destinations(old) != destinations(new) {
            self.add(Sort::Redirects, name);
        }
        if old.pools.iter().map(care).ne(new.pools.iter().map(care)) && pool_names(old) == pool_names(new) {
            self.add(Sort::Changes("timeouts, checks or limits of the origins"), name);
        }
        // Routes are compared one with one as long as they are the same routes.
        if old.routes.len() == new.routes.len() {
            let pairs = || old.routes.iter().zip(&new.routes);
            if pairs().any(|(a, b)| caching(a) != caching(b)) {
                self.add(Sort::Changes("what is cached"), name);
            }
            if pairs().any(|(a, b)| {
                (&a.request_headers, &a.response_headers) != (&b.request_headers, &b.response_headers)
            }) {
                self.add(Sort::Changes("header fields"), name);
            }
            if pairs()
                .any(|(a, b)| (a.compression, a.timeout_response) != (b.compression, b.timeout_response))
            {
                self.add(Sort::Changes("compression or timeouts"), name);
            }
        }
        if old.certificates != new.certificates {
            self.add(Sort::Changes("the certificates"), name);
        }
        self.rules(old, new);
        self.bans(&old.bans, &new.bans, name);
    }

    fn switch(&mut self, what: &'static str, before: bool, after: bool, name: &str) {
        match (before, after) {
            (true, false) => self.add(Sort::TurnsOff(what), name),
            (false, true) => self.add(Sort::TurnsOn(what), name),
            _ => {}
        }
    }

    /// `name` is that of the zone, or empty for every zone.
    fn module(&mut self, module: Module, old: ModuleSetting, new: ModuleSetting, name: &str) {
        let what = called(module);
        self.switch(what, !old.off, !new.off, name);
        if old.mode != new.mode {
            self.add(Sort::FailsAs(what, new.mode.map(FailMode::name)), name);
        }
    }

    pub(crate) fn module_everywhere(&mut self, name: &str, old: ModuleSetting, new: ModuleSetting) {
        // An operator's switch names the zone before the module, or `*` for all of them.
        let (zone, module) = match name.rsplit_once('/') {
            Some(("*", module)) => ("", module),
            Some((zone, module)) => (zone, module),
            None => ("", name),
        };
        match Module::of_name(module) {
            Some(module) => self.module(module, old, new, zone),
            None => self.unreadable(UnitKind::Module, name.to_owned()),
        }
    }

    fn rules(&mut self, old: &Zone, new: &Zone) {
        let label = |rule: &str| format!("{rule} ({})", new.name);
        for before in &old.rules {
            match new.rules.iter().find(|after| after.name == before.name) {
                None => self.add(Sort::RemovesRules, label(&before.name)),
                Some(after) => {
                    match (before.enabled, after.enabled) {
                        (true, false) => self.add(Sort::DisablesRules, label(&before.name)),
                        (false, true) => self.add(Sort::EnablesRules, label(&before.name)),
                        _ => {}
                    }
                    if (&before.when, &before.action) != (&after.when, &after.action) {
                        self.add(Sort::ChangesRules, label(&before.name));
                    }
                }
            }
        }
        let is_in = |name: &str, rules: &[seawall_model::Rule]| rules.iter().any(|rule| rule.name == name);
        for after in new.rules.iter().filter(|after| !is_in(&after.name, &old.rules)) {
            self.add(Sort::AddsRules, label(&after.name));
        }
        let common = |these: &Zone, those: &Zone| {
            let names = these.rules.iter().filter(|rule| is_in(&rule.name, &those.rules));
            names.map(|rule| rule.name.clone()).collect::<Vec<_>>()
        };
        if common(old, new) != common(new, old) {
            self.add(Sort::Reorders, &new.name);
        }
    }

    fn bans(&mut self, old: &[String], new: &[String], name: &str) {
        for list in old.iter().filter(|list| !new.contains(list)) {
            self.add(Sort::Unbans(list.clone()), name);
        }
        for list in new.iter().filter(|list| !old.contains(list)) {
            self.add(Sort::Bans(list.clone()), name);
        }
    }

    pub(crate) fn edge(&mut self, old: &Edge, new: &Edge) {
        self.bans(&old.bans, &new.bans, "");
        let mut settings = settings(old, new);
        settings.retain(|setting| setting != "bans");
        if !settings.is_empty() {
            self.say(false, format!("changes settings of the edge: {}", settings.join(", ")));
        }
    }
}

/// The names of the settings that differ.
fn settings(old: &Edge, new: &Edge) -> Vec<String> {
    let value = |edge: &Edge| serde_json::to_value(edge).unwrap_or_default();
    let (old, new) = (value(old), value(new));
    let keys = |value: &serde_json::Value| {
        value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    };
    let mut names: Vec<String> =
        [keys(&old), keys(&new)].into_iter().flat_map(|keys: Vec<String>| keys).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| old.get(name) != new.get(name));
    names
}

/// What people call a module.
const fn called(module: Module) -> &'static str {
    match module {
        Module::Redirect => "redirects",
        Module::Bans => "bans",
        Module::Bot => "the bot check",
        Module::Firewall => "the firewall",
        Module::RequestHeaders => "edits of request headers",
        Module::ResponseHeaders => "edits of response headers",
    }
}

/// What decides where a request goes.
fn destinations(zone: &Zone) -> impl PartialEq + '_ {
    let routes: Vec<_> = zone.routes.iter().map(|r| (&r.host, &r.path, &r.methods, &r.pool)).collect();
    let pools: Vec<_> =
        zone.pools.iter().map(|p| (&p.name, &p.policy, &p.affinity, &p.fallback, &p.origins)).collect();
    (routes, pools)
}

fn pool_names(zone: &Zone) -> Vec<&str> {
    zone.pools.iter().map(|pool| pool.name.as_str()).collect()
}

/// How origins are treated, wherever requests go.
fn care(pool: &Pool) -> impl PartialEq + '_ {
    (
        (pool.retries, pool.retry_budget_percent),
        (&pool.timeouts, &pool.monitor, &pool.ejection, &pool.concurrency),
    )
}

fn caching(route: &Route) -> impl PartialEq + '_ {
    (
        (&route.cache, &route.edge_ttl, &route.browser_ttl, &route.ignore_query),
        (&route.bypass_cookie, &route.stale_while_revalidate, &route.stale_if_error),
    )
}

/// `1 zone`, `12 zones`, `100,000 zones`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let ending = if number == 1 { "" } else { "s" };
    format!("{text} {what}{ending}")
}

/// `a`, `a and b`, `a, b and c`, `a, b and 10 more`.
pub(crate) fn first_of(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        many => {
            let first: Vec<&str> = many.iter().take(NAMED).map(String::as_str).collect();
            format!("{} and {} more", first.join(", "), many.len() - first.len())
        }
    }
}
