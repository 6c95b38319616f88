//! One customer's valid setting.

use std::time::Duration;

use serde_json::json;

use crate::changes;
use crate::fault::Fault;
use crate::load::{Visits, once};
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Class;
use crate::scene::Scene;
use crate::site::{Rollout, Site, zone};
use crate::verdict::{Check, snapshot};
use crate::watch::Reading;

use super::late_poison::wait_for_good;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "one-bad-zone",
    title: "One customer's valid setting",
    replays: Outage {
        whose: "Fastly",
        when: "8 June 2021",
        story: "A version of the software had carried a bug for weeks that nobody had met. Then one customer made a perfectly valid \
                change of their own settings, which met it, and most of the network answered errors to everyone.",
    },
    fault: "Five of ten zones change in one valid snapshot; the settings of one make the process crash whenever that zone is asked for.",
    load: "150 requests a second over ten zones, the bad one among them.",
    observed: "Restarts, which zones run their new version and which their old, answers of each zone.",
    pass: "That zone alone falls back to its earlier version, after at most two restarts; the other four changes of the same snapshot stay in force.",
    guards: &[Guard::of("zone-quarantine", "a fault is blamed on the snapshot as a whole", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Zones; the first half changes.
const ZONES: usize = 10;
/// The one whose change is bad.
const BAD: usize = 2;
/// Between a configuration coming into use and the first crash: after the whole rollout. Latent, as the real one was,
/// but not for longer than the soak: what outlives that is good.
const LATENT_MS: u64 = 2_800;

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let rollout = Rollout { hold_ms: 300, requests: 20, soak_ms: 5_500 };
    let first = (0..ZONES).fold(Site::default().rollout(rollout.clone()), |site, at| {
        site.zone(one(at, &origin.url(), "1", ""))
    });
    let second = (0..ZONES).fold(Site::default().rollout(rollout), |site, at| {
        let rule = if at == BAD {
            "[[zone.rule]]\nname = \"poison\"\naction = \"log\"\npath = \"^/never$\""
        } else {
            ""
        };
        site.zone(one(at, &origin.url(), if at < ZONES / 2 { "2" } else { "1" }, rule))
    });
    let mut edge = scene.prepare(&first)?;
    edge.sabotage(&scene.sabotage(
        &[],
        json!([{ "zone": name(BAD), "rule": "poison", "after_ms": LATENT_MS, "what": "abort" }]),
    ))?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let names: Vec<String> = (0..ZONES).map(name).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let load = scene.load(Visits::to(edge.http, &hosts, 150.0));
    let good = wait_for_good(scene, &edge, 12_000).await;
    scene.check(Check::holds("the first snapshot after its soak", "good", good.is_some(), snapshot(good)));

    let at = scene.mark("fault", format!("five zones change; what {} says is valid and deadly", name(BAD)));
    edge.write(&second)?;
    let ended = changes::apply(scene, &edge, &[]).await?;
    scene.check(Check::holds("the change passes its canary", "adopted", ended.adopted(), ended.told()));
    let settled =
        || edge.timeline().iter().any(|e| matches!(e.kind.as_str(), "quarantined" | "unit_quarantined"));
    let _ = scene.until(30_000, settled).await;
    let settled_at = scene.now_ms();
    scene.pass(LATENT_MS + 2_500).await;
    let mut generations = Vec::new();
    for at in 0..ZONES {
        let answer = once(edge.http, &name(at), "/", &[], Duration::from_secs(3)).await;
        generations.push(answer.ok().and_then(|answer| answer.field("x-generation").map(str::to_owned)));
    }
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();

    let restarts = readings.largest(|r| r.metric("seawall_edge_restarts_total", ""));
    scene.check(Check::at_most("restarts", 2.0, restarts, ""));
    let right = |at: usize| {
        generations.get(at).and_then(Option::as_deref)
            == Some(if at < ZONES / 2 && at != BAD { "2" } else { "1" })
    };
    let bad = generations.get(BAD).and_then(Option::as_deref).unwrap_or("none");
    scene.check(Check::holds(
        "the bad zone",
        "serves its earlier version (1)",
        bad == "1",
        format!("serves version {bad}"),
    ));
    let others = (0..ZONES).filter(|at| *at != BAD && !right(*at)).count();
    scene.check(
        Check::none("other zones that are not in the version they should be", others, ZONES - 1).key(),
    );
    let events = edge.timeline();
    let quarantined = events.iter().any(|e| e.kind == "unit_quarantined");
    let event = events.iter().find(|e| {
        matches!(e.kind.as_str(), "unit_quarantined" | "unit_kept")
            && (e.text.contains(&name(BAD)) || e.zone.as_deref() == Some(&name(BAD)))
    });
    scene.check(Check::holds(
        "the timeline tells of the quarantine and names the zone",
        &name(BAD),
        quarantined && event.is_some(),
        event.map_or_else(|| "no such event".to_owned(), |e| e.text.clone()),
    ));
    let since = all.between(at, u64::MAX / 1000);
    let share = since.edge_made() as f64 * 100.0 / since.len().max(1) as f64;
    scene.check(Check::at_most("requests lost, from the change on", 2.0, Some(share), "%"));
    let after = all.between(settled_at + 1_000, u64::MAX / 1000);
    scene.check(Check::none(
        "requests not served, from a second after the quarantine",
        after.len() - after.count(Class::Ok),
        after.len(),
    ));
    scene.keep_load("visitors", &all);
    scene.chart_of_steps(
        "Restarts",
        "",
        vec![(
            "since the supervisor began",
            readings.points(|r: &Reading| r.metric("seawall_edge_restarts_total", "")),
        )],
    );
    scene.chart_of_canary(&readings);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

fn name(at: usize) -> String {
    format!("z{at}.test")
}

fn one(at: usize, origin: &str, generation: &str, rule: &str) -> String {
    let route = format!(
        "{rule}\n[[zone.route]]\nresponse_headers = {{ set = {{ X-Generation = \"{generation}\" }} }}"
    );
    zone(&name(at), origin, "cache = false", &route)
}
