//! A generator that is right every other time.

use crate::admin::Event;
use crate::fault::Fault;
use crate::features;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::scene::Scene;
use crate::verdict::Check;
use crate::watch::Reading;

use super::feature_file::site;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "sawtooth",
    title: "Right every other time",
    replays: Outage {
        whose: "Cloudflare",
        when: "18 November 2025, the first hours",
        story: "Not every node of the database had the changed permissions yet. Every five minutes the file came out good or bad, \
                depending on which node had been asked. The network failed and recovered and failed, which looked like an \
                attack, and that is what people looked for.",
    },
    fault: "The feature file alternates between a good one and the one with 260 rows, each different from all before, every 3.2 seconds.",
    load: "100 requests a second, each scored.",
    observed: "Answers and scores, the timeline, what serves.",
    pass: "After two alternations the last good version is pinned; the finding names the artifact and its period, and later files \
           change nothing any more.",
    guards: &[Guard::of("pin", "an artifact that alternates is followed up and down", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Between two files: longer than the watcher of files waits for one to stand still.
const EVERY_MS: u64 = 3_200;
/// Files in all: bad, good, bad, good, bad, good.
const FILES: u32 = 6;
/// Files after which it must be pinned: good before, bad, good, bad are two alternations.
const ENOUGH: u64 = 4;

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let mut edge = scene.prepare(&site(&origin.url()))?;
    edge.put("features.json", &features::good(0))?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let load = scene.load(Visits::to(edge.http, &["a.test"], 100.0));
    scene.pass(1_500).await;
    let first_at = scene.now_ms();
    for run in 1..=FILES {
        let bad = run % 2 == 1;
        scene.mark("fault", format!("file {run}: {}", if bad { "bad, 260 rows" } else { "good" }));
        let file = if bad { features::repeated(260, run) } else { features::good(run) };
        edge.put("features.json", &file)?;
        scene.pass(EVERY_MS).await;
    }
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();
    let events = edge.timeline();
    let pinned = events.iter().find(|event| event.kind == "artifact_pinned");
    let pinned_at = pinned.map(|event| scene.ms_of_unix(event.unix_ms));

    scene.check(
        Check::at_most(
            "from the first bad file to pinned",
            (ENOUGH * EVERY_MS) as f64,
            pinned_at.map(|at| at.saturating_sub(first_at) as f64),
            "ms",
        )
        .key(),
    );
    let text = pinned.map_or_else(|| "no such event".to_owned(), |event| event.text.clone());
    let names = pinned.is_some_and(|event| {
        event.text.contains("bot-features")
            || event.unit.as_deref().is_some_and(|unit| unit.contains("bot-features"))
    });
    scene.check(Check::holds("the finding names the artifact", "bot-features", names, text.clone()));
    let period = EVERY_MS as f64 * 2.0 / 1000.0;
    let said = seconds_in(&text).into_iter().find(|said| (said / period - 1.0).abs() < 0.3);
    scene.check(Check::holds(
        "the finding names the period",
        &format!("about {period:.1} s"),
        said.is_some(),
        said.map_or(text, |s| format!("{s:.1} s")),
    ));
    let alerted = events
        .iter()
        .any(|event| event.kind == "alert" && Some(scene.ms_of_unix(event.unix_ms)) >= pinned_at);
    scene.check(Check::holds(
        "somebody is told",
        "an alert",
        alerted,
        if alerted { "an alert in the timeline" } else { "no alert" },
    ));
    let later = |event: &&Event| pinned_at.is_some_and(|at| scene.ms_of_unix(event.unix_ms) > at + 100);
    let moved = events
        .iter()
        .filter(later)
        .filter(|event| matches!(event.kind.as_str(), "adopted" | "change_proposed" | "stage"))
        .count();
    scene.check(Check::holds(
        "changes of what serves once it is pinned",
        "0",
        pinned.is_some() && moved == 0,
        moved.to_string(),
    ));
    scene.check(Check::none(
        "errors made by the edge, requests without an answer",
        all.edge_made(),
        all.len(),
    ));
    scene.check(Check::at_least("requests scored", 100.0, all.scored_percent(), "%"));
    scene.keep_load("visitors", &all);
    scene.chart_of_steps(
        "Snapshot that serves",
        "",
        vec![("number", readings.points(|r| r.current().map(|n| n as f64)))],
    );
    scene.chart_of_steps(
        "Share of requests under a candidate",
        "%",
        vec![("candidate", readings.points(Reading::percent))],
    );
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

/// Every time a text speaks of, seconds: `6.4 s`, `6400 ms`, `6 seconds`.
fn seconds_in(text: &str) -> Vec<f64> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | ':')).collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let digits: String = word.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let Ok(number) = digits.trim_end_matches('.').parse::<f64>() else { continue };
        let glued = word.get(digits.len()..).unwrap_or_default();
        let unit = if glued.is_empty() { words.get(at + 1).copied().unwrap_or_default() } else { glued };
        match unit.trim_end_matches('.') {
            "ms" | "milliseconds" => found.push(number / 1000.0),
            "s" | "seconds" | "second" => found.push(number),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_in_sentences() {
        assert_eq!(seconds_in("every 6.4 s, for 12 files; 300ms (2 seconds)."), [6.4, 0.3, 2.0]);
    }
}
