//! A configuration that kills minutes after it was taken.

use serde_json::{Value, json};

use crate::changes;
use crate::fault::Fault;
use crate::installation::Installation;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Class;
use crate::scene::{Pace, Scene};
use crate::site::{Rollout, Site, zone};
use crate::verdict::{Check, snapshot};
use crate::watch::Reading;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "late-poison",
    title: "The change that waits",
    replays: Outage {
        whose: "Microsoft (Azure Front Door)",
        when: "29 October 2025",
        story: "A configuration passed every health check, because what was wrong with it crashed the data plane only minutes later, \
                in work done on the side. By then it had been taken for good, spread everywhere, and saved as the last known good \
                version: going back meant going back to the poison.",
    },
    fault: "A change is adopted after its canary and crashes the process some seconds later, every time it is served that long.",
    load: "150 requests a second.",
    observed: "States of snapshots, restarts, the timeline, what serves afterwards, visitors.",
    pass: "The change is never marked good, after at most two crashes the older good one serves again, the history is intact, and \
           requests lost are those in flight at the crashes.",
    guards: &[
        Guard::of(
            "quarantine",
            "a snapshot that kills is started with again and again",
            &["zone-quarantine"],
        ),
        Guard::of("soak", "what is adopted is good at once", &["quarantine", "zone-quarantine"]),
    ],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let real = scene.pace() == Pace::Real;
    // After the whole rollout, well before the end of the soak.
    let (after_ms, soak_ms) = if real { (90_000, 600_000) } else { (4_500, 9_000) };
    let origin = Origin::start(Behaviour::default()).await?;
    let site = |rule: &str| {
        Site::default()
            .rollout(Rollout { hold_ms: 400, requests: 20, soak_ms })
            .zone(zone("a.test", &origin.url(), "cache = false", rule))
            .zone(zone("b.test", &origin.url(), "cache = false", ""))
    };
    let mut edge = scene.prepare(&site(""))?;
    edge.sabotage(
        &scene.sabotage(&[], json!([{ "rule": "poison", "after_ms": after_ms, "what": "abort" }])),
    )?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let load = scene.load(Visits::to(edge.http, &["a.test", "b.test"], 150.0));
    let good = wait_for_good(scene, &edge, soak_ms + 4_000).await;
    scene.check(Check::holds("the first snapshot after its soak", "good", good.is_some(), snapshot(good)));

    let at = scene.mark("fault", "a change is handed in that kills the process later");
    edge.write(&site("[[zone.rule]]\nname = \"poison\"\naction = \"log\"\npath = \"^/never$\""))?;
    let ended = changes::apply(scene, &edge, &[]).await?;
    scene.check(Check::holds("the change passes its canary", "adopted", ended.adopted(), ended.told()));
    let poison = ended.number;

    let settled = |events: &[crate::admin::Event]| {
        events.iter().any(|e| matches!(e.kind.as_str(), "quarantined" | "unit_quarantined"))
    };
    let _ = scene.until(after_ms * 3 + 5_000, || settled(&edge.timeline())).await;
    let settled_at = scene.now_ms();
    // Long enough for it to kill again, if it were still served.
    scene.pass(after_ms + 2_000).await;
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();
    let events = edge.timeline();
    let history = history(&edge).await;

    let called_good = readings.all.iter().any(|r| {
        let state = r.snapshot.as_ref().and_then(|s| s.pointer("/current/state")).and_then(Value::as_str);
        r.current().is_some() && r.current() == poison && state == Some("good")
    });
    let promoted = called_good
        || events.iter().any(|e| e.kind == "promoted_good" && e.snapshot.is_some() && e.snapshot == poison);
    scene.check(Check::holds(
        "the poisoned snapshot was marked good",
        "never",
        poison.is_some() && !promoted,
        if promoted { "it was" } else { "never" },
    ));
    let restarts = readings.largest(|r| r.metric("seawall_edge_restarts_total", ""));
    scene.check(Check::at_most("restarts", 2.0, restarts, "").key());
    let now = changes::current(&edge).await;
    let back = now.as_ref().is_some_and(|(number, ..)| Some(*number) != poison);
    scene.check(Check::holds(
        "what serves afterwards",
        "another snapshot than the poisoned",
        back,
        format!("{}; the poisoned was {}", snapshot(now.map(|(number, ..)| number)), snapshot(poison)),
    ));
    let state = |number: Option<u64>| {
        history.iter().find(|(n, _)| Some(*n) == number).map(|(_, state)| state.clone())
    };
    let told = events
        .iter()
        .find(|e| matches!(e.kind.as_str(), "quarantined" | "unit_quarantined"))
        .map_or_else(|| "no such event".to_owned(), |e| e.text.clone());
    scene.check(Check::holds("the poison", "in quarantine", settled(&events), told));
    scene.check(Check::holds(
        "history",
        "the good one still good, none missing",
        state(good) == Some("good".to_owned()) && poison.is_none_or(|p| state(Some(p)).is_some()),
        history.iter().map(|(number, state)| format!("{number} {state}")).collect::<Vec<_>>().join(", "),
    ));
    let lost = all.between(at, u64::MAX / 1000);
    let share = lost.edge_made() as f64 * 100.0 / lost.len().max(1) as f64;
    scene.check(Check::at_most("requests lost, from the change on", 2.0, Some(share), "%"));
    let after = all.between(settled_at + 1_000, u64::MAX / 1000);
    scene.check(Check::none(
        "requests not served, from a second after the quarantine",
        after.len() - after.count(Class::Ok),
        after.len(),
    ));
    scene.keep_load("visitors", &all);
    scene.chart_of_steps(
        "Snapshot that serves",
        "",
        vec![("number", readings.points(|r| r.current().map(|n| n as f64)))],
    );
    scene.chart_of_canary(&readings);
    scene.chart_of_steps(
        "Restarts",
        "",
        vec![(
            "since the supervisor began",
            readings.points(|r: &Reading| r.metric("seawall_edge_restarts_total", "")),
        )],
    );
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

/// Waits until what serves is good, and says its number.
pub(super) async fn wait_for_good(scene: &Scene, edge: &Installation, limit_ms: u64) -> Option<u64> {
    let until = scene.now_ms() + limit_ms;
    while scene.now_ms() < until {
        match changes::current(edge).await {
            Some((number, state, _)) if state == "good" => return Some(number),
            _ => scene.pass(100).await,
        }
    }
    None
}

/// Numbers and states of all snapshots, by the command line.
pub(super) async fn history(edge: &Installation) -> Vec<(u64, String)> {
    let Ok((_, out, _)) = edge.command(&["snapshot", "list", "--json"]).await else { return Vec::new() };
    let list: Value = serde_json::from_str(&out).unwrap_or_default();
    let entries = list.as_array().or_else(|| list.get("snapshots").and_then(Value::as_array));
    let of = |entry: &Value| Some((entry.get("number")?.as_u64()?, entry.get("state")?.as_str()?.to_owned()));
    entries.into_iter().flatten().filter_map(of).collect()
}
