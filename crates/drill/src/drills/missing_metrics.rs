//! The gate cannot see.

use crate::changes;
use crate::fault::Fault;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Class;
use crate::scene::{Pace, Scene};
use crate::site::{Site, zone};
use crate::verdict::Check;
use crate::watch::Reading;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "missing-metrics",
    title: "No news is not good news",
    replays: Outage {
        whose: "many, most of whom found it out later",
        when: "again and again",
        story: "A health check compares the new version with the old and stops a rollout that makes things worse. One day its \
                measurements do not arrive, the new version shows no errors because it shows nothing, and the rollout goes on \
                to the last machine.",
    },
    fault: "The gate's own measurements fail while a change is on its way.",
    load: "150 requests a second.",
    observed: "How far the change gets, how it ends, what the verdict says, and what serves afterwards.",
    pass: "The gate fails for want of measurements, the change never goes beyond its first stage and is taken back in at most five seconds.",
    guards: &[Guard::of("gate-silence", "a measurement that is missing counts as fine", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let site = |value: &str| {
        let route =
            format!("[[zone.route]]\nresponse_headers = {{ set = {{ X-Generation = \"{value}\" }} }}");
        Site::default().zone(zone("a.test", &origin.url(), "cache = false", &route))
    };
    let mut edge = scene.prepare(&site("1"))?;
    let mut sabotage = scene.sabotage(&[], serde_json::json!([]));
    if let Some(fields) = sabotage.as_object_mut() {
        fields.insert("blind_gate".to_owned(), true.into());
    }
    edge.sabotage(&sabotage)?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let load = scene.load(Visits::to(edge.http, &["a.test"], 150.0));
    scene.pass(1_500).await;
    let before = changes::current(&edge).await;

    scene.mark("fault", "a harmless change is handed in; the gate cannot measure");
    edge.write(&site("2"))?;
    let ended = changes::apply(scene, &edge, &[]).await?;
    let after = changes::current(&edge).await;
    scene.pass(1_000).await;
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();

    scene.check(Check::holds("the change", "failed by the gate", ended.outcome == "failed", ended.told()));
    let why = ended.why.to_lowercase();
    let says = ["missing", "measure", "silen", "absent"].iter().any(|word| why.contains(word));
    scene.check(Check::holds(
        "the verdict says that a measurement is missing",
        "in words",
        says,
        ended.why.clone(),
    ));
    let share = readings.largest(Reading::percent);
    scene.check(Check::at_most("largest share under the candidate", 1.0, share, "%").key());
    let limit = if scene.pace() == Pace::Quick { 10_000.0 } else { 60_000.0 };
    scene.check(Check::at_most("from handed in to taken back", limit, Some(ended.took_ms as f64), "ms"));
    let same = before.as_ref().zip(after.as_ref()).is_some_and(|(b, a)| b.0 == a.0 && b.2 == a.2);
    let number = |standing: &Option<(u64, String, String)>| {
        standing.as_ref().map_or("nothing".to_owned(), |s| format!("snapshot {}", s.0))
    };
    scene.check(Check::holds(
        "what serves afterwards",
        "the snapshot before",
        same,
        format!("{}, then {}", number(&before), number(&after)),
    ));
    let event = edge.timeline().into_iter().find(|event| event.kind == "gate_failed");
    scene.check(Check::holds(
        "the timeline has it",
        "gate_failed",
        event.is_some(),
        event.map_or_else(|| "no such event".to_owned(), |e| e.text),
    ));
    scene.check(Check::none("requests not served", all.len() - all.count(Class::Ok), all.len()));
    scene.keep_load("visitors", &all);
    scene.chart_of_canary(&readings);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}
