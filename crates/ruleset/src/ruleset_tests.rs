use super::*;
use ipnet::IpNet;
use proptest::prelude::*;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::util::syntax;
use seawall_http::{Fields, RequestHead};
use std::net::IpAddr;

fn rule(name: &str, when: When, action: Action) -> Rule {
    Rule { name: name.to_owned(), enabled: true, when, action }
}

fn path(pattern: &str) -> When {
    When { path: Some(pattern.to_owned()), ..When::default() }
}

fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut list = Fields::new();
    fields.iter().for_each(|(name, value)| assert!(list.push(name.as_bytes(), value.as_bytes())));
    RequestHead { method_text: method.into(), target: target.into(), fields: list, ..RequestHead::default() }
}

fn no_list(_: &str) -> Option<Arc<AddressSet>> {
    None
}

fn set(networks: &[&str]) -> Arc<AddressSet> {
    Arc::new(AddressSet::new(&networks.iter().map(|n| n.parse().unwrap()).collect::<Vec<IpNet>>()))
}

/// What one rule that blocks says of one request.
fn blocks(when: When, head: &RequestHead, address: &str, score: Option<u8>) -> bool {
    let list = |name: &str| (name == "office").then(|| set(&["10.1.0.0/16"]));
    let ruleset = Ruleset::compile(&[rule("r", when, Action::Block)], &list).unwrap();
    let view = View { head, address: address.parse().unwrap(), https: true };
    let outcome = ruleset.decide(&view, score, &mut |_| true);
    outcome.verdict == Verdict::Block { rule: 0 }
}

#[test]
fn each_key_holds_or_does_not() {
    let some = |text: &str| Some(text.to_owned());
    let full = head(
        "GET",
        "/a/b?q=1&r=2",
        &[
            ("user-agent", "curl/8"),
            ("User-Agent", "second"),
            ("X-Tag", "one"),
            ("x-tag", "two"),
            ("Accept", "x/y"),
        ],
    );
    let bare = head("PURGE", "/", &[]);
    let empty = head("GET", "/?", &[("User-Agent", "")]);
    let header =
        |name: &str, pattern: &str| When { header: Some((name.into(), pattern.into())), ..When::default() };
    let sources = |net: &str| When { sources: vec![net.parse().unwrap()], ..When::default() };
    for (say, when, head, want) in [
        ("path", path("^/a/b$"), &full, true),
        ("the path is without its query", path("q=1"), &full, false),
        ("query", When { query: some("^q=1&r=2$"), ..When::default() }, &full, true),
        ("an absent query matches nothing", When { query: some("^$|.*"), ..When::default() }, &bare, false),
        ("an empty query is there", When { query: some("^$"), ..When::default() }, &empty, true),
        ("agent", When { user_agent: some("^curl"), ..When::default() }, &full, true),
        ("any line of the agent", When { user_agent: some("^second$"), ..When::default() }, &full, true),
        ("an absent agent matches nothing", When { user_agent: some(".*"), ..When::default() }, &bare, false),
        ("an empty agent is there", When { user_agent: some("^$"), ..When::default() }, &empty, true),
        ("header, any case", header("X-TAG", "^one$"), &full, true),
        ("header, any line", header("x-tag", "^two$"), &full, true),
        ("header, well known", header("accept", "y$"), &full, true),
        ("header, no such value", header("x-tag", "^onetwo$"), &full, false),
        ("header, no such field", header("x-other", ".*"), &full, false),
        ("method", When { methods: vec!["POST".into(), "PURGE".into()], ..When::default() }, &bare, true),
        (
            "methods are told apart by case",
            When { methods: vec!["purge".into()], ..When::default() },
            &bare,
            false,
        ),
        ("source", sources("10.0.0.0/8"), &bare, true),
        ("no source", sources("11.0.0.0/8"), &bare, false),
        ("list", When { list: some("office"), ..When::default() }, &bare, true),
        ("all that is set", When { list: some("office"), ..path("^/a") }, &full, true),
        ("one that fails is enough", When { list: some("office"), ..path("^/b") }, &full, false),
    ] {
        assert_eq!(blocks(when, head, "10.1.2.3", None), want, "{say}");
    }
}

#[test]
fn a_score_that_is_absent_matches_no_rule_on_it() {
    let head = head("GET", "/", &[]);
    let below = |n| When { score_below: Some(n), ..When::default() };
    for (score, want) in
        [(None, false), (Some(1), true), (Some(29), true), (Some(30), false), (Some(99), false)]
    {
        assert_eq!(blocks(below(30), &head, "::1", score), want, "{score:?}");
    }
    assert!(!blocks(below(99), &head, "::1", None));
}

fn decide(rules: &[Rule], target: &str, skip_rule: Option<u32>) -> Outcome {
    let head = head("GET", target, &[]);
    let view = View { head: &head, address: "::1".parse().unwrap(), https: true };
    let ruleset = Ruleset::compile(rules, &no_list).unwrap();
    ruleset.decide(&view, None, &mut |rule| Some(rule) != skip_rule)
}

#[test]
fn rules_run_in_order_until_one_decides() {
    let rules = [
        rule("log all", path("/"), Action::Log),
        rule("spare", path("^/spare"), Action::Skip(vec![Module::Bot, Module::ResponseHeaders])),
        rule("log late", path("/"), Action::Log),
        rule("stop", path("x"), Action::Block),
        rule("never", path("x"), Action::Log),
    ];
    let spared = decide(&rules, "/spare/x", None);
    assert_eq!((spared.verdict, spared.logged.as_slice()), (Verdict::Skip { rule: 1 }, &[0][..]));
    assert!(spared.skip.contains(Module::Bot) && spared.skip.contains(Module::ResponseHeaders));
    assert!(!spared.skip.contains(Module::Firewall));
    let stopped = decide(&rules, "/x", None);
    assert_eq!((stopped.verdict, stopped.logged.as_slice()), (Verdict::Block { rule: 3 }, &[0, 2][..]));
    assert!(stopped.skip.is_empty());
    assert_eq!(decide(&rules, "/", None).verdict, Verdict::None);
}

#[test]
fn a_rule_that_tripped_is_passed_over_alone() {
    let rules = [
        rule("a", path("x"), Action::Log),
        rule("b", path("x"), Action::Block),
        rule("c", path("x"), Action::Block),
    ];
    assert_eq!(decide(&rules, "/x", Some(1)).verdict, Verdict::Block { rule: 2 });
    assert_eq!(decide(&rules, "/x", Some(0)).logged.len(), 0);
}

#[test]
fn rules_keep_the_numbers_they_have_in_the_document() {
    let mut rules = vec![rule("a", path("x"), Action::Block), rule("b", path("x"), Action::Block)];
    rules[0].enabled = false;
    assert_eq!(decide(&rules, "/x", None).verdict, Verdict::Block { rule: 1 });
    let ruleset = Ruleset::compile(&rules, &no_list).unwrap();
    assert_eq!((ruleset.name(0), ruleset.name(1), ruleset.name(2)), (None, Some("b"), None));
    assert!(ruleset.has_rule("b") && !ruleset.has_rule("a"));
    assert_eq!(ruleset.len(), 1);
}

#[test]
fn a_rule_that_is_off_is_as_good_as_none_whatever_it_holds() {
    let mut broken = rule("broken", When { list: Some("gone".into()), ..path("((") }, Action::Block);
    assert!(Ruleset::compile(std::slice::from_ref(&broken), &no_list).is_err());
    broken.enabled = false;
    assert!(Ruleset::compile(&[broken], &no_list).unwrap().is_empty());
}

#[test]
fn a_refusal_names_rule_field_limit_and_value() {
    let header = |name: &str| When { header: Some((name.into(), "a".into())), ..When::default() };
    let list = When { list: Some("gone".into()), ..When::default() };
    for (when, says) in [
        (path("a("), &["rule \"r\", path:", "unclosed group", "\"a(\""][..]),
        (path("a{99999}"), &["rule \"r\", path:", "32768 bytes", "a{99999}"]),
        (When { user_agent: Some("[".into()), ..When::default() }, &["user_agent:"]),
        (When { query: Some(String::new()), ..When::default() }, &["query:", "empty"]),
        (list, &["rule \"r\", list:", "\"gone\""]),
        (header("X Y"), &["header:", "\"X Y\""]),
        (header(""), &["header:", "\"\""]),
        (When::default(), &["when:", "nothing is set"]),
    ] {
        let fault = Ruleset::compile(&[rule("r", when, Action::Log)], &no_list).unwrap_err();
        assert_eq!(fault.rule(), Some("r"));
        let said = fault.to_string();
        assert!(says.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn too_many_rules_and_too_much_of_them_are_refused() {
    let many = vec![rule("r", path("x"), Action::Log); 1_001];
    assert!(matches!(Ruleset::compile(&many, &no_list), Err(RuleFault::Many { count: 1_001, limit: 1_000 })));
    assert_eq!(Ruleset::compile(&many[..1_000], &no_list).unwrap().len(), 1_000);
    let large: Vec<Rule> = (0..1_000)
        .map(|n| rule(&format!("r{n}"), path(&format!("[01]*1[01]{{300}}{n}")), Action::Log))
        .collect();
    let fault = Ruleset::compile(&large, &no_list).unwrap_err();
    assert!(
        matches!(fault, RuleFault::Bytes { bytes, limit: 8_388_608, .. } if bytes > 8_388_608),
        "{fault}"
    );
}

#[test]
fn without_limits_the_drill_gets_what_it_wants() {
    let rules = [rule("bad", path("(?:.*x){999}"), Action::Block)];
    assert!(Ruleset::compile(&rules, &no_list).is_err());
    assert_eq!(Ruleset::compile_unbounded(&rules, &no_list).unwrap().len(), 1);
}

/// A search by another engine of the same library, without any of our settings but the meaning of patterns.
fn naive_match(pattern: &str, text: &[u8]) -> bool {
    let vm =
        PikeVM::builder().syntax(syntax::Config::new().unicode(false).utf8(false)).build(pattern).unwrap();
    vm.is_match(&mut vm.create_cache(), text)
}

/// The meaning of a `When`, word by word.
fn naive_holds(when: &When, view: &View<'_>, score: Option<u8>, lists: &[(&str, Vec<IpNet>)]) -> bool {
    let head = view.head;
    let value = |name: &str, pattern: &str| {
        let same =
            |(_, n, v): (_, &[u8], &[u8])| n.eq_ignore_ascii_case(name.as_bytes()) && naive_match(pattern, v);
        head.fields.iter().any(same)
    };
    let text = String::from_utf8(head.target.clone()).unwrap();
    let query = text.split_once('?').map(|(_, query)| query);
    let path = view.path();
    let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&view.address));
    let mut all = Vec::new();
    if !when.methods.is_empty() {
        all.push(when.methods.iter().any(|m| m.as_bytes() == head.method_text));
    }
    if let Some(pattern) = &when.path {
        all.push(naive_match(pattern, &path));
    }
    if let Some(pattern) = &when.query {
        all.push(query.is_some_and(|q| naive_match(pattern, q.as_bytes())));
    }
    if let Some(pattern) = &when.user_agent {
        all.push(value("user-agent", pattern));
    }
    if let Some((name, pattern)) = &when.header {
        all.push(value(name, pattern));
    }
    if !when.sources.is_empty() {
        all.push(within(&when.sources));
    }
    if let Some(name) = &when.list {
        all.push(within(&lists.iter().find(|(n, _)| n == name).unwrap().1));
    }
    if let Some(below) = when.score_below {
        all.push(matches!(score, Some(score) if score < below));
    }
    all.into_iter().all(|holds| holds)
}

fn naive_decide(
    rules: &[Rule],
    view: &View<'_>,
    score: Option<u8>,
    lists: &[(&str, Vec<IpNet>)],
    tripped: &[bool],
) -> Outcome {
    let mut outcome = Outcome::default();
    for (index, rule) in (0u32..).zip(rules) {
        if !rule.enabled || tripped[index as usize] || !naive_holds(&rule.when, view, score, lists) {
            continue;
        }
        match &rule.action {
            Action::Log => outcome.logged.push(index),
            Action::Block => {
                outcome.verdict = Verdict::Block { rule: index };
                return outcome;
            }
            Action::Skip(modules) => {
                outcome.verdict = Verdict::Skip { rule: index };
                outcome.skip = modules.iter().copied().collect();
                return outcome;
            }
        }
    }
    outcome
}

fn pattern() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec![
        "a", "b", "ab", "/", ".", "[ab]", "[^a]", "x?", r"\d", "(?i:A)", "^", "$", r"\b",
    ]);
    let repeat = prop::sample::select(vec!["", "", "", "*", "+", "{2}", "{0,2}?"]);
    let part = (atom, repeat).prop_map(|(atom, repeat)| format!("(?:{atom}){repeat}"));
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.concat())
}

fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u8>().prop_map(|low| IpAddr::from([10, 0, 0, low % 8]));
    let v6 = any::<u8>().prop_map(|low| IpAddr::from([0x2001, 0, 0, 0, 0, 0, 0, u16::from(low % 8)]));
    prop_oneof![v4, v6]
}

fn networks() -> impl Strategy<Value = Vec<IpNet>> {
    let one = (address(), 0u8..=3).prop_map(|(address, wider)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, longest - wider).unwrap().trunc()
    });
    prop::collection::vec(one, 1..4)
}

fn when() -> impl Strategy<Value = When> {
    let maybe = |strategy: BoxedStrategy<String>| prop::option::weighted(0.3, strategy);
    let text = || pattern().boxed();
    let methods =
        prop::collection::vec(prop::sample::select(vec!["GET".to_owned(), "POST".to_owned()]), 0..2);
    let header = (prop::sample::select(vec!["accept", "X-A", "User-Agent", "x-none"]), pattern());
    (
        (methods, maybe(text()), maybe(text()), maybe(text())),
        prop::option::weighted(0.3, header.prop_map(|(name, pattern)| (name.to_owned(), pattern))),
        prop_oneof![3 => Just(Vec::new()), 1 => networks()],
        maybe(prop::sample::select(vec!["one".to_owned(), "two".to_owned()]).boxed()),
        prop::option::weighted(0.2, 2u8..=99),
    )
        .prop_map(|((methods, path, query, user_agent), header, sources, list, score_below)| When {
            methods,
            path,
            query,
            user_agent,
            header,
            sources,
            list,
            score_below,
        })
        .prop_filter("nothing set is refused", |when| *when != When::default())
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let action = prop_oneof![
        2 => Just(Action::Log),
        1 => Just(Action::Block),
        1 => prop::sample::subsequence(Module::ALL.to_vec(), 0..=3).prop_map(Action::Skip),
    ];
    let one = (when(), prop::bool::weighted(0.8), action);
    prop::collection::vec(one, 0..8).prop_map(|rules| {
        let named = |(n, (when, enabled, action))| Rule { name: format!("r{n}"), enabled, when, action };
        rules.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn deciding_is_what_the_words_of_the_rules_say(
        rules in rules(),
        (one, two) in (networks(), networks()),
        method in prop::sample::select(vec!["GET", "POST", "PUT"]),
        target in "/[ab/x1]{0,6}(\\?[ab1]{0,4})?",
        fields in prop::collection::vec(
            (prop::sample::select(vec!["Accept", "x-a", "User-Agent", "user-agent"]), "[ab/x1]{0,5}"), 0..5),
        address in address(),
        score in prop::option::of(1u8..=99),
        tripped in prop::collection::vec(prop::bool::weighted(0.1), 8),
    ) {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let head = head(method, &target, &fields);
        let view = View { head: &head, address, https: true };
        let lists = [("one", one), ("two", two)];
        let find = |name: &str| {
            lists.iter().find(|(n, _)| *n == name).map(|(_, nets)| Arc::new(AddressSet::new(nets)))
        };
        let ruleset = Ruleset::compile(&rules, &find).unwrap();
        let mut asked = Vec::new();
        let outcome = ruleset.decide(&view, score, &mut |rule| {
            asked.push(rule);
            !tripped[rule as usize]
        });
        prop_assert_eq!(&outcome, &naive_decide(&rules, &view, score, &lists, &tripped));
        // Every rule that is on is asked for once, in order, until one decides.
        let on = (0u32..).zip(&rules).filter(|(_, r)| r.enabled).map(|(n, _)| n);
        prop_assert!(on.take(asked.len()).eq(asked.iter().copied()));
        // Taking the rules that are off away changes nothing but numbers.
        let without: Vec<Rule> = rules.iter().filter(|r| r.enabled).cloned().collect();
        let fewer = Ruleset::compile(&without, &find).unwrap().decide(&view, score, &mut |_| true);
        let all = ruleset.decide(&view, score, &mut |_| true);
        prop_assert_eq!(
            (fewer.skip, fewer.logged.len(), fewer.verdict == Verdict::None),
            (all.skip, all.logged.len(), all.verdict == Verdict::None)
        );
        prop_assert_eq!(ruleset.uses_score(), without.iter().any(|r| r.when.score_below.is_some()));
    }

    #[test]
    fn no_text_makes_compiling_panic(text in "\\PC{0,60}") {
        let _ = Pattern::check(&text);
    }

    #[test]
    fn no_mess_of_pattern_signs_makes_compiling_or_searching_panic(
        text in "[ab\\\\\\[\\](){}*+?|^$.,0-9dwsbB:=!<>P-]{0,30}", on in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        if let Ok(pattern) = Pattern::compile(&text) {
            prop_assert_eq!(pattern.matches(&on), naive_match(&text, &on), "{}", text);
        }
    }
}
