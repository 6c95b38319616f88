//! No text makes the reader panic, and what it says fits the text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::string_slice)]

use std::path::Path;

use proptest::prelude::*;
use seawall_model::{Edge, Modules};
use seawall_snapshot::schema::{Kind, ROOT, Table};
use seawall_snapshot::{
    Parsed, check_lists, decode_edge, decode_list, decode_zone, encode_edge, encode_list, encode_zone, parse,
};

const FULL: &str = include_str!("full.toml");

fn check(text: &str, parsed: &Parsed) {
    let lines = text.matches('\n').count() + 1;
    for problem in &parsed.problems {
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem}");
        assert!(!problem.message.is_empty());
        let shown = problem.to_string();
        assert!(shown.len() < 2_000 && !shown.contains('\u{1b}'), "{shown:?}");
    }
    match &parsed.site {
        None => assert!(parsed.has_errors() && parsed.is_wholly_bad()),
        Some(site) => {
            // What the reader of the file takes, the reader of units takes, and it is the same.
            let modules = site.edge.modules.clone();
            let edge = Edge { modules: Modules::default(), ..site.edge.clone() };
            assert_eq!(decode_edge(&encode_edge(&Edge { modules, ..edge.clone() })), Ok(edge));
            for list in &site.lists {
                assert_eq!(decode_list(&encode_list(list)).as_ref(), Ok(list));
            }
            let refused = |name: &str| parsed.refused_lists.iter().any(|list| list == name);
            let has_list = |name: &str| site.lists.iter().any(|list| list.name == name) || refused(name);
            let nameless = parsed.problems.iter().any(|problem| problem.path.starts_with("list["));
            for zone in site.zones.iter().chain(&parsed.degraded) {
                assert_eq!(decode_zone(&encode_zone(zone)).as_ref(), Ok(zone));
                assert!(nameless || check_lists(zone, has_list).is_ok(), "{zone:?}");
                assert!(
                    !zone.hosts.is_empty() && !zone.pools.is_empty() && !zone.routes.is_empty(),
                    "{zone:?}"
                );
                for route in &zone.routes {
                    assert!(zone.pool(&route.pool).is_some(), "{route:?}");
                }
                for pool in &zone.pools {
                    assert!(!pool.origins.is_empty());
                    assert!(pool.fallback.iter().all(|name| zone.pool(name).is_some()));
                }
            }
        }
    }
}

fn run(text: &str) {
    check(text, &parse(text, Path::new("/nowhere"), &[]));
}

/// Some value, mostly of the wrong kind.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just("-1".to_owned()),
        Just("0x10".to_owned()),
        Just("1.5".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("[[1], {}]".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"*\"".to_owned()),
        Just("\"app\"".to_owned()),
        Just("[\"a\", \"b\", \"a\"]".to_owned()),
        Just("{ set = { \"\" = \"\" }, name = \"x\", url = \"http://a\" }".to_owned()),
        Just("[{ url = \"http://a\" }, { url = \"http://a\" }, { name = \"q\" }]".to_owned()),
        "[ -~]{0,20}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,10}".prop_map(|text| format!("{text:?}")),
        "[0-9]{1,25}(ms|s|m|h|d|KiB|TiB|)".prop_map(|text| format!("\"{text}\"")),
    ]
}

/// Every key of the schema as a dotted path with `[[…]]` lists written as inline tables.
fn keys(table: &'static Table, out: &mut Vec<(&'static str, &'static str)>) {
    for key in table.keys {
        match key.kind {
            Kind::Table(inner) | Kind::Tables(inner) => keys(inner, out),
            _ => {}
        }
        out.push((table.header, key.name));
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        run(&text);
    }

    #[test]
    fn any_text_of_toml_characters_is_answered(text in "[\\[\\]{}=.,\"'#a-c0-9 \\n_:-]{0,120}") {
        run(&text);
    }

    #[test]
    fn a_good_file_with_a_piece_cut_out_or_moved_is_answered(
        from in 0usize..FULL.len(), length in 0usize..200, to in 0usize..FULL.len(), keep in any::<bool>(),
    ) {
        // The file has one letter beyond ASCII.
        let at = |mut n: usize| { while !FULL.is_char_boundary(n) { n += 1; } n };
        let (from, end) = (at(from), at((from + length).min(FULL.len())));
        let mut text = FULL.to_owned();
        let piece = text[from..end].to_owned();
        text.replace_range(from..end, "");
        if keep {
            let mut to = to.min(text.len());
            while !text.is_char_boundary(to) { to -= 1; }
            text.insert_str(to, &piece);
        }
        run(&text);
    }

    #[test]
    fn lines_of_a_good_file_in_any_order_are_answered(
        lines in prop::collection::vec(prop::sample::select(FULL.lines().collect::<Vec<_>>()), 0..40),
    ) {
        run(&lines.join("\n"));
    }

    #[test]
    fn any_key_may_hold_any_value(index in any::<prop::sample::Index>(), value in value(), other in value()) {
        let mut all = Vec::new();
        keys(&ROOT, &mut all);
        let (_, name) = *index.get(&all);
        // Put the value in place of the key's own in the full file, wherever that name stands.
        let mut text = String::new();
        for line in FULL.lines() {
            match line.split_once(" = ") {
                Some((key, _)) if key == name => text.push_str(&format!("{key} = {value}")),
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        run(&text);
        run(&format!("{name} = {value}\n[edge]\n{name} = {other}\n[[zone]]\n{name} = {value}\n[[zone.pool]]\n{name} = {other}\n[[zone.route]]\n{name} = {value}\n[[zone.rule]]\n{name} = {other}\n[[list]]\n{name} = {value}\n"));
    }

    #[test]
    fn any_environment_is_answered(name in "SEAWALL_(EDGE_)?[A-Z_]{0,20}", value in "\\PC{0,30}") {
        let vars = ["SEAWALL_EDGE_HTTP", "SEAWALL_EDGE_WORKERS", "SEAWALL_EDGE_DRAIN", "SEAWALL_EDGE_NODE", "SEAWALL_EDGE_LOG_REDACT_QUERY", "SEAWALL_EDGE_ROLLOUT_STAGES", "SEAWALL_EDGE_MODULES_BOT", "SEAWALL_DATA_DIR"];
        let vars: Vec<(String, String)> = vars.iter().map(|n| ((*n).to_owned(), value.clone())).chain([(name, value.clone())]).collect();
        check(FULL, &parse(FULL, Path::new("/nowhere"), &vars));
    }
}

#[test]
fn deep_and_long_texts_are_answered() {
    run(&"[".repeat(100_000));
    run(&format!("a = {}", "[".repeat(100_000)));
    run(&format!("a = {}", "{a=".repeat(100_000)));
    run(&format!("[{}]", "a.".repeat(100_000)));
    run(&format!("{} = 1", "a.".repeat(10_000) + "a"));
    run(&format!("[edge]\n{} = 1", "k".repeat(1 << 20)));
    run(&"=\n".repeat(200_000));
    run(&"[[zone]]\n".repeat(20_000));
    run(&"\u{0}".repeat(1000));
}
