//! Deciding asks for no memory once a worker has its scratch.

use ipnet::IpNet;
use seawall_http::{Fields, RequestHead, View};
use seawall_model::{Action, Module, Rule, When};
use seawall_ruleset::{AddressSet, Ruleset};
use seawall_sys::alloc::{Counted, thread_allocated};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: Counted<std::alloc::System> = Counted(std::alloc::System);

#[test]
fn deciding_allocates_nothing() {
    let some = |text: &str| Some(text.to_owned());
    let rule =
        |name: &str, when: When, action: Action| Rule { name: name.to_owned(), enabled: true, when, action };
    let rules = [
        rule("log", When { path: some("(?i)ADMIN"), ..When::default() }, Action::Log),
        rule("agent", When { user_agent: some(r"curl/\d+\.9"), ..When::default() }, Action::Block),
        rule("query", When { query: some(r"union.*select"), ..When::default() }, Action::Block),
        rule("slow", When { query: some(r"[ab]*a[ab]{60}z"), ..When::default() }, Action::Block),
        rule("header", When { header: Some(("X-A".into(), "^b+$".into())), ..When::default() }, Action::Log),
        rule("list", When { list: some("bad"), score_below: Some(30), ..When::default() }, Action::Block),
        rule(
            "skip",
            When { methods: vec!["GET".into()], ..When::default() },
            Action::Skip(vec![Module::Bot]),
        ),
    ];
    let networks: Vec<IpNet> = vec!["192.0.2.0/24".parse().unwrap()];
    let list = Arc::new(AddressSet::new(&networks));
    let ruleset = Ruleset::compile(&rules, &|_| Some(list.clone())).unwrap();
    let mut fields = Fields::new();
    assert!(fields.push(b"User-Agent", b"curl/8.1") && fields.push(b"x-a", b"bbb"));
    let head = RequestHead {
        method_text: b"GET".into(),
        target: format!("/admin?{}", "ab".repeat(300)).into(),
        fields,
        ..RequestHead::default()
    };
    let view = View { head: &head, address: "192.0.2.7".parse().unwrap(), https: true };
    let mut tried = 0;
    let mut decide = || {
        let outcome = ruleset.decide(&view, Some(50), &mut |_| {
            tried += 1;
            true
        });
        assert_eq!(outcome.logged.as_slice(), [0, 4]);
        assert!(outcome.skip.contains(Module::Bot));
    };
    (0..50).for_each(|_| decide());
    let before = thread_allocated();
    (0..1_000).for_each(|_| decide());
    assert_eq!(thread_allocated() - before, 0);
    assert_eq!(tried, 7 * 1_050);
}
