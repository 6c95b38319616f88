//! Describing errors costs more than serving.

use serde_json::json;

use crate::fault::Fault;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::scene::Scene;
use crate::site::{Site, zone};
use crate::verdict::Check;
use crate::watch::{Reading, Readings};

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "error-storm",
    title: "When describing errors costs more than serving",
    replays: Outage {
        whose: "Cloudflare",
        when: "18 November 2025",
        story: "Every failing request was described at length by debugging and observability code, which added context to each \
                uncaught error. With all requests failing, that took so much processor time that the content delivery network \
                became slow as well, for those requests too that would not have failed.",
    },
    fault: "After six calm seconds every request makes two modules fail, nothing skips them (the breaker is off for this drill), and \
            describing a failing request takes a millisecond.",
    load: "300 requests a second throughout.",
    observed: "Latency, processor time of the process by the kernel's account, time spent in telemetry by the edge's own.",
    pass: "Telemetry takes at most 5 % of the workers' time, p99 is at most 1.5 times what it was, every request is served.",
    guards: &[Guard::of("telemetry-budget", "every failing request is described in full", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Calm at first, milliseconds: the modules begin to fail so long after the configuration came into use.
const CALM_MS: u64 = 6_000;
/// What describing one failing request takes longer than it does with us, microseconds: a stack, a context, a report.
const DESCRIBE_US: u64 = 1_000;
/// Threads that serve.
const WORKERS: f64 = 2.0;
/// Storm, milliseconds.
const STORM_MS: u64 = 8_000;

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let tables = "[zone.bot]\nscore = true\n[zone.modules]\nbot = \"open\"\nfirewall = \"open\"\n[[zone.rule]]\nname = \"note\"\naction = \"log\"\npath = \"^/never$\"";
    let site = Site::default().zone(zone("a.test", &origin.url(), "cache = false", tables));
    let mut edge = scene.prepare(&site)?;
    let fail = |module: &str| json!({ "module": module, "after_ms": CALM_MS, "what": "error" });
    let mut sabotage = scene.sabotage(&["breaker"], json!([fail("bot"), fail("firewall")]));
    if let Some(fields) = sabotage.as_object_mut() {
        fields.insert("describe_us".to_owned(), DESCRIBE_US.into());
    }
    edge.sabotage(&sabotage)?;
    edge.start().await?;
    let began = scene.now_ms();
    let watch = scene.watch(&edge);
    let load = scene.load(Visits::to(edge.http, &["a.test"], 300.0));
    scene.pass(CALM_MS).await;
    let at = scene.mark("fault", "from about here on every request makes two modules fail");
    scene.pass(STORM_MS).await;
    let end = scene.now_ms();
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();

    let faults = readings.growth(at + 500, end, |r| r.metric("seawall_module_faults_total", ""));
    let requests = all.between(at + 500, end).len() as f64;
    let share = |from: u64, to: u64| {
        let told = readings.growth(from, to, |r| r.metric("seawall_telemetry_seconds_total", ""))?;
        Some(told * 1000.0 / (to - from) as f64 / WORKERS * 100.0)
    };
    scene.check(Check::at_least("faults per request in the storm", 1.8, faults.map(|f| f / requests), ""));
    scene.check(
        Check::at_most("telemetry in the storm, of the workers' time", 5.0, share(at + 1_000, end), "%")
            .key(),
    );
    let (calm, storm) = (all.between(began + 1_500, at - 500), all.between(at + 1_000, end));
    // Below this a p99 is the machine's own noise, not the edge's.
    let ratio = calm
        .typical_p99_ms()
        .zip(storm.typical_p99_ms())
        .map(|(before, during)| during.max(8.0) / before.max(8.0));
    scene.check(Check::at_most("p99 of a typical second in the storm, relative to before", 1.5, ratio, "×"));
    let per_request = |from: u64, to: u64, n: usize| {
        readings.growth(from, to, |r| r.cpu_seconds).map(|s| s / n.max(1) as f64)
    };
    let cost = per_request(began + 1_500, at - 500, calm.len())
        .zip(per_request(at + 1_000, end, storm.len()))
        .map(|(a, b)| b / a);
    scene.check(Check::at_most(
        "processor time per request in the storm, relative to before",
        1.5,
        cost,
        "×",
    ));
    scene.check(Check::none(
        "errors made by the edge, requests without an answer",
        all.edge_made(),
        all.len(),
    ));
    let counted = readings.largest(|r| r.metric("seawall_telemetry_suppressed_total", ""));
    scene.check(Check::at_least("failures counted and not described, as the budget wants", 1.0, counted, ""));
    scene.keep_load("visitors", &all);
    scene.chart(
        "Processor time of the edge, of one processor",
        "%",
        vec![
            ("all of it", percent(&readings, |r| r.cpu_seconds)),
            ("telemetry", percent(&readings, |r| r.metric("seawall_telemetry_seconds_total", ""))),
        ],
    );
    scene.chart(
        "Faults of modules",
        "per second",
        vec![("faults", readings.rates(|r| r.metric("seawall_module_faults_total", "")))],
    );
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

fn percent(readings: &Readings, of: impl Fn(&Reading) -> Option<f64>) -> Vec<(u64, f64)> {
    readings.rates(of).into_iter().map(|(at, rate)| (at, rate * 100.0)).collect()
}
