//! An expensive pattern.

use std::time::Duration;

use crate::changes;
use crate::fault::Fault;
use crate::load::{Visits, once};
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Class;
use crate::scene::Scene;
use crate::site::{Site, zone};
use crate::verdict::{Check, told};
use crate::watch::Reading;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "bad-regex",
    title: "The expression that ate every processor",
    replays: Outage {
        whose: "Cloudflare",
        when: "2 July 2019",
        story: "A firewall rule went out everywhere at once, by the quick way that rules had. One of its regular expressions could \
                match in so many ways that an ordinary request kept a processor busy for minutes. Every processor of every \
                machine was busy within seconds, and visitors got 502 for half an hour.",
    },
    fault: "That very expression in a rule, then one that compiles to megabytes, while visitors send queries made to be expensive.",
    load: "120 requests a second, a third of them with 3,000 bytes of the text that the expression is slow on.",
    observed: "How each change ends and what is said, latency of visitors who have nothing to do with it, processor time, other rules.",
    pass: "The first runs in linear time or trips alone; the second is refused by name of rule, field, limit and value; other rules go on.",
    guards: &[Guard::of("pattern-limits", "patterns may compile to anything", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// The expression of that day (from the public report), with its catastrophic part `.*(?:.*=.*)`.
const THAT_DAY: &str = r#"(?:(?:"|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)|`|-|\+)+[)]*;?((?:\s|-|~|!|\{\}|\|\||\+)*.*(?:.*=.*)))"#;
/// Small to write, megabytes when compiled: every level multiplies. One level more would be a hundred.
const GIANT: &str = r"(?:(?:[a-z0-9]{1,30}\.){1,30}){1,30}$";

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let rules = |more: &str| {
        Site::default()
            .zone(zone("a.test", &origin.url(), "cache = false", &format!("{more}\n{PROBE}")))
            .zone(zone("b.test", &origin.url(), "cache = false", PROBE))
    };
    let edge = scene.install(&rules("")).await?;
    let watch = scene.watch(&edge);
    let hostile = format!("/?x={}", "x=".repeat(1_500));
    let visits = Visits::to(edge.http, &["b.test", "a.test"], 120.0).paths(&["/", "/articles/{n}", &hostile]);
    let load = scene.load(visits);
    scene.pass(3_000).await;
    let calm_from = 1_000;
    let calm_to = scene.now_ms();

    scene.mark("fault", "the expression of 2 July 2019 in a rule of a.test");
    edge.write(&rules(&rule("that-day", "log", THAT_DAY)))?;
    let that_day = changes::apply(scene, &edge, &[]).await?;
    let in_force = scene.now_ms();
    scene.pass(4_000).await;
    let spent_to = scene.now_ms();
    scene.check(Check::holds(
        "the expression of that day",
        "taken, or refused by a check",
        that_day.adopted() || that_day.turned_down(),
        that_day.told(),
    ));

    let (blocked, other) = (probe(&edge, "a.test").await, probe(&edge, "b.test").await);
    scene.check(Check::holds(
        "another rule of the same zone",
        "still blocks (403)",
        blocked == Some(403),
        told(blocked),
    ));
    scene.check(Check::holds(
        "the same rule of another zone",
        "still blocks (403)",
        other == Some(403),
        told(other),
    ));

    scene.mark("fault", "an expression that compiles to megabytes in a rule of a.test");
    edge.write(&rules(&rule("giant", "block", GIANT)))?;
    let (code, said, _) = edge.command(&["check", "--json", "seawall.toml"]).await?;
    let giant_from = scene.now_ms();
    let giant = changes::apply(scene, &edge, &[]).await?;
    scene.pass(500).await;
    let giant_to = scene.now_ms();
    // The rule by its name or its place, the field, the limit.
    let names_it = |text: &str| {
        (text.contains("giant") || text.contains("rule[0]"))
            && text.contains("path")
            && text.contains("bytes")
    };
    let kept = edge
        .timeline()
        .into_iter()
        .filter(|event| matches!(event.kind.as_str(), "unit_kept" | "change_refused"))
        .map(|event| event.text);
    let told: Vec<String> = kept.chain([giant.told()]).filter(|text| names_it(text)).collect();
    scene.check(Check::holds(
        "`seawall check` on the giant",
        "exit 3, naming rule, field and limit",
        code == 3 && names_it(&said),
        format!("exit {code}: {}", brief(&said)),
    ));
    scene.check(Check::holds(
        "the giant in the running edge",
        "refused, naming rule, field and limit",
        !giant.adopted() && !told.is_empty(),
        brief(&told.first().cloned().unwrap_or_else(|| giant.told())),
    ));

    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();
    let calm = all.between(calm_from, calm_to);
    let after = all.between(in_force, spent_to);
    let ratio = |host: usize| {
        let (before, after) = (calm.of_host(host).typical_p99_ms()?, after.of_host(host).typical_p99_ms()?);
        // Below this both are noise of the machine.
        Some(after.max(20.0) / before.max(20.0))
    };
    scene.check(Check::at_most(
        "p99 of a typical second, zone beside, relative to before",
        1.5,
        ratio(0),
        "×",
    ));
    scene.check(Check::at_most(
        "p99 of a typical second, zone with the rule, relative to before",
        3.0,
        ratio(1),
        "×",
    ));
    let busy = |from: u64, to: u64| {
        Some(readings.growth(from, to, |r| r.cpu_seconds)? * 1000.0 / (to - from) as f64 * 100.0)
    };
    let more = busy(in_force, spent_to).zip(busy(calm_from, calm_to)).map(|(after, before)| after - before);
    scene
        .check(Check::at_most("processor time the expression adds, of one processor", 25.0, more, "%").key());
    let during = all.between(giant_from, giant_to);
    scene.check(Check::at_most("p99 while the giant is looked at", 250.0, during.typical_p99_ms(), "ms"));
    let grown = readings.largest(|r| r.resident_bytes.map(|b| b as f64 / 1048576.0));
    scene.check(Check::at_most("memory of the edge at its most", 400.0, grown, "MiB"));
    scene.check(Check::none("requests not served", all.len() - all.count(Class::Ok), all.len()));

    let tripped: Vec<String> = edge
        .timeline()
        .into_iter()
        .filter(|event| event.kind == "rule_tripped")
        .map(|event| event.text)
        .collect();
    let others = tripped.iter().filter(|text| !text.contains("that-day")).count();
    scene.check(Check::holds(
        "rules tripped",
        "none, or that one alone",
        others == 0,
        if tripped.is_empty() { "none: it ran in linear time".to_owned() } else { tripped.join("; ") },
    ));
    scene.keep_load("visitors", &all);
    scene.chart(
        "Processor time of the edge, of one processor",
        "%",
        vec![(
            "edge",
            readings
                .rates(|r: &Reading| r.cpu_seconds)
                .into_iter()
                .map(|(at, rate)| (at, rate * 100.0))
                .collect(),
        )],
    );
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

/// A rule that each zone has all the time.
const PROBE: &str = "[[zone.rule]]\nname = \"probe\"\naction = \"block\"\npath = \"^/probe$\"";

fn rule(name: &str, action: &str, pattern: &str) -> String {
    let key = if name == "giant" { "path" } else { "query" };
    format!("[[zone.rule]]\nname = \"{name}\"\naction = \"{action}\"\n{key} = '''{pattern}'''\n")
}

async fn probe(edge: &crate::installation::Installation, host: &str) -> Option<u16> {
    once(edge.http, host, "/probe", &[], Duration::from_secs(3)).await.ok().map(|answer| answer.status)
}

fn brief(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(260).collect()
}
