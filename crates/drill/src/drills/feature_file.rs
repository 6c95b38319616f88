//! The file that stopped a fifth of the web.

use serde_json::json;

use crate::admin::Event;
use crate::fault::Fault;
use crate::features;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Samples;
use crate::scene::Scene;
use crate::site::{Site, zone};
use crate::verdict::Check;
use crate::watch::{Reading, Readings};

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "feature-file",
    title: "Sixty features become two hundred and sixty",
    replays: Outage {
        whose: "Cloudflare",
        when: "18 November 2025",
        story: "A change of permissions in a database made a query return every row more than once. The feature file of the bot \
                module, generated from it every five minutes and sent to every machine, grew from about sixty rows beyond the \
                two hundred that the proxy had room for. The proxy took the error for impossible and panicked on every request \
                that the module scored. About a fifth of the web answered 500 for hours.",
    },
    fault: "The feature file is replaced by one whose 60 rows are 260 by repetition. Then the same with the first checks bypassed, \
            with the comparison bypassed too, and with every check and the rehearsal bypassed, so that only the canary is left.",
    load: "200 requests a second, each scored; the origin repeats the score it is told.",
    observed: "Answers, scores, the share under a candidate, the timeline.",
    pass: "No error made by the edge, every request still scored by the last good file, never beyond the canary's first stage, event \
           and alert within ten seconds.",
    guards: &[
        Guard::of("gate", "nothing compares a candidate with what serves", &[]),
        Guard::of("canary", "a candidate that is rehearsed gets every request at once", &["gate"]),
    ],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Rows of the faulty file.
const ROWS: usize = 260;
/// From the file being written to an alert, milliseconds.
const ALERT_MS: f64 = 10_000.0;

/// A layer of the defence: what it is called, which guards are bypassed before it, and events that say that it held.
struct Layer {
    name: &'static str,
    bypassed: &'static [&'static str],
    held: &'static [&'static str],
}

const LAYERS: [Layer; 4] = [
    Layer { name: "every check in place", bypassed: &[], held: &["artifact_refused"] },
    Layer {
        name: "the first checks bypassed",
        bypassed: &["validation", "build-validation"],
        held: &["artifact_refused", "unit_kept", "change_refused"],
    },
    Layer {
        name: "the comparison with the last version bypassed too",
        bypassed: &["validation", "build-validation", "removal-cap"],
        held: &["unit_kept", "change_refused"],
    },
    Layer {
        name: "every check and the rehearsal bypassed",
        bypassed: &["validation", "build-validation", "removal-cap", "load-validation", "rehearsal"],
        held: &["gate_failed"],
    },
];

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let mut share = Vec::new();
    for layer in &LAYERS {
        share.extend(play_layer(scene, &origin, layer).await?);
    }
    scene.chart_of_steps("Share of requests under the candidate", "%", vec![("candidate", share)]);
    Ok(())
}

async fn play_layer(scene: &mut Scene, origin: &Origin, layer: &Layer) -> Result<Vec<(u64, f64)>, Fault> {
    let mut edge = scene.prepare(&site(&origin.url()))?;
    edge.put("features.json", &features::good(1))?;
    edge.sabotage(&scene.sabotage(layer.bypassed, json!([])))?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let load = scene.load(Visits::to(edge.http, &["a.test"], 200.0));
    scene.pass(1_500).await;
    let before_to = scene.now_ms();

    let at = scene.mark("fault", format!("the faulty file comes, with {}", layer.name));
    edge.put("features.json", &features::repeated(ROWS, 2))?;
    let held = |event: &Event| layer.held.contains(&event.kind.as_str());
    let since = crate::scene::unix_ms();
    let found = scene
        .until(ALERT_MS as u64 + 2_000, || {
            edge.timeline().iter().any(|event| event.unix_ms >= since && held(event))
        })
        .await;
    let _ = scene
        .until(2_000, || edge.timeline().iter().any(|event| event.unix_ms >= since && alert(event)))
        .await;
    scene.pass(1_000).await;
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();
    let events: Vec<Event> = edge.timeline().into_iter().filter(|event| event.unix_ms >= since).collect();
    let after = |event: Option<&Event>| event.map(|event| event.unix_ms.saturating_sub(since) as f64);

    let what = |text: &str| format!("{}: {text}", layer.name);
    scene.check(Check::none(
        &what("errors made by the edge, requests without an answer"),
        all.edge_made(),
        all.len(),
    ));
    scores(scene, &what, &all.between(0, before_to), &all.between(at, u64::MAX / 1000));
    // The timeline has every stage, also one too short to be seen by looking.
    let staged = events
        .iter()
        .filter(|event| event.kind == "stage")
        .filter_map(|event| event.text.split(' ').next()?.parse().ok());
    let largest = staged.chain(readings.largest(Reading::percent)).reduce(f64::max);
    scene.check(Check::at_most(&what("largest share under the candidate"), 1.0, largest, "%"));
    let event = events.iter().find(|event| held(event));
    scene.check(Check::at_most(&what("event in the timeline"), ALERT_MS, found.and(after(event)), "ms"));
    let text = event.map_or_else(|| "no such event".to_owned(), |event| event.text.clone());
    let named = text.contains("260") || text.contains("bot") || text.contains("feature");
    scene.check(Check::holds(
        &what("the event says what is wrong"),
        "in words",
        event.is_some() && named,
        text,
    ));
    scene.check(Check::at_most(
        &what("alert"),
        ALERT_MS,
        after(events.iter().find(|event| alert(event))),
        "ms",
    ));
    scene.keep_load(layer.name, &all);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(shares(&readings))
}

fn alert(event: &Event) -> bool {
    event.kind == "alert"
}

fn shares(readings: &Readings) -> Vec<(u64, f64)> {
    readings.points(Reading::percent)
}

/// Scores go on, and are what they were.
fn scores(scene: &mut Scene, what: &dyn Fn(&str) -> String, before: &Samples, after: &Samples) {
    scene.check(Check::at_least(&what("requests scored before"), 100.0, before.scored_percent(), "%"));
    scene.check(Check::at_least(&what("requests scored after"), 100.0, after.scored_percent(), "%"));
    let change = before.mean_score().zip(after.mean_score()).map(|(a, b)| (a - b).abs());
    scene.check(Check::at_most(&what("change of the mean score (1 to 99)"), 3.0, change, ""));
}

/// A site whose zone is scored, by a file beside the configuration.
pub(super) fn site(origin: &str) -> Site {
    let bot = "[zone.bot]\nscore = true\nheader = true";
    Site::default().table("[edge.bot]\nfeatures = \"features.json\"").zone(zone(
        "a.test",
        origin,
        "cache = false",
        bot,
    ))
}
