//! Every module, broken in every way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::evidence::Table;
use crate::fault::Fault;
use crate::installation::Installation;
use crate::load::{Visits, once};
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::{Class, Samples};
use crate::scene::{Scene, unix_ms};
use crate::site::{Site, zone};
use crate::verdict::Check;
use crate::watch::{Reading, Readings};

use super::modules::{LIST, MODULES, Module};

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "module-faults",
    title: "Every module, broken in every way",
    replays: Outage {
        whose: "Cloudflare and others",
        when: "18 November 2025, 5 December 2025, 2 July 2019",
        story: "One part of the request path failed: it panicked on a file too large, raised an error in a script, span in a regular \
                expression. Visitors did not lose that part, they lost the page: nothing stood between a broken module and a \
                broken request.",
    },
    fault: "Each of the six modules panics, fails, asks for 256 MiB and hangs, each in a zone of its own, on every request.",
    load: "20 requests a second for each of 12 zones and a healthy one; then 100 a second for a healthy zone while one module after the other asks for too much, and hangs.",
    observed: "Answers zone by zone, breakers in the timeline, faults counted after the breaker opened, the healthy zone.",
    pass: "Requests go on by the mode the module declares (open and stale: served; closed: a 503 that names it), the breaker opens within \
           a second and the module is left alone, and no other zone notices.",
    guards: &[
        Guard::of("containment", "a panic of a module is nobody's to catch", &["zone-quarantine"]),
        Guard::of("breaker", "a module that fails is tried again on every request", &[]),
    ],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Ways to fail that take no time.
const WAYS: [&str; 2] = ["panic", "error"];
/// Of each, requests per second: three faults, which open a breaker, take a fraction of a second.
const PER_ZONE: f64 = 20.0;
/// From the first failing request to the breaker, milliseconds.
const BREAKER_MS: f64 = 1_000.0;

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    loudly(scene, &origin).await?;
    alone(scene, &origin).await
}

fn host(way: &str, module: &Module) -> String {
    format!("{way}-{}.test", module.name.replace('_', "-"))
}

/// Panics and errors, all at once.
async fn loudly(scene: &mut Scene, origin: &Origin) -> Result<(), Fault> {
    let cells: Vec<(&str, Module)> =
        WAYS.iter().flat_map(|way| MODULES.iter().map(move |module| (*way, *module))).collect();
    let mut site = Site::default().table(LIST).zone(zone("healthy.test", &origin.url(), "cache = false", ""));
    for (way, module) in &cells {
        site = site.zone(zone(
            &host(way, module),
            &origin.url(),
            &format!("cache = false\n{}", module.keys),
            module.tables,
        ));
    }
    let mut edge = scene.prepare(&site)?;
    let faults: Vec<Value> = cells
        .iter()
        .map(|(way, module)| json!({ "module": module.name, "zone": host(way, module), "what": way }))
        .collect();
    edge.sabotage(&scene.sabotage(&[], json!(faults)))?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let hosts: Vec<String> =
        cells.iter().map(|(way, module)| host(way, module)).chain(["healthy.test".to_owned()]).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    scene.mark("fault", "twelve zones are asked for, in each of which one module fails on every request");
    let load = scene.load(Visits::to(edge.http, &hosts, PER_ZONE * hosts.len() as f64));
    scene.pass(1_500).await;
    let calm_from = scene.now_ms();
    scene.pass(4_000).await;
    let calm_to = scene.now_ms();
    let mut names = Vec::new();
    for (way, module) in &cells {
        let answer = once(
            edge.http,
            &host(way, module),
            "/",
            &[("accept", "application/json")],
            Duration::from_secs(3),
        )
        .await;
        names.push(answer.is_ok_and(|answer| {
            answer.body.contains(module.name) || answer.body.contains(&module.name.replace('_', " "))
        }));
    }
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();
    judge(scene, &edge, &cells, &all, &names);

    let healthy = all.of_host(cells.len());
    scene.check(Check::none(
        "healthy zone: requests not served",
        healthy.len() - healthy.count(Class::Ok),
        healthy.len(),
    ));
    let faults = readings.growth(calm_from, calm_to, |r| r.metric("seawall_module_faults_total", ""));
    let asked = all.between(calm_from, calm_to).len() - healthy.between(calm_from, calm_to).len();
    scene.check(Check::at_most(
        "requests that still meet the fault once breakers are open",
        10.0,
        faults.map(|faults| faults * 100.0 / asked.max(1) as f64),
        "%",
    ));
    let restarts = readings.largest(|r| r.metric("seawall_edge_restarts_total", ""));
    scene.check(Check::at_most("restarts of the edge", 0.0, restarts, ""));
    charts(scene, &readings);
    scene.keep_load("twelve failing zones and a healthy one", &all);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

/// Zone by zone: how requests went on, and when the breaker opened.
fn judge(scene: &mut Scene, edge: &Installation, cells: &[(&str, Module)], all: &Samples, names: &[bool]) {
    let events = edge.timeline();
    let mut rows = Vec::new();
    let (mut not_by_mode, mut late, mut slowest) = (0, 0, 0_f64);
    for (at, (way, module)) in cells.iter().enumerate() {
        let seen = all.of_host(at);
        // Redirects that fail open are served in the clear; those that work answer by themselves, below 400.
        let as_declared = if module.closed { seen.with_status(503) } else { seen.count(Class::Ok) };
        // What is not a failure at all (an allocation that was large and yet gave a result) is fine as well.
        let fine =
            if *way == "allocate" { as_declared.max(seen.len() - seen.edge_made()) } else { as_declared };
        let named = names.get(at).copied().unwrap_or_default();
        let by_mode =
            fine == seen.len() && !seen.is_empty() && (!module.closed || *way == "allocate" || named);
        let zone = host(way, module);
        let opened = events.iter().find(|e| e.kind == "breaker_opened" && e.zone.as_deref() == Some(&zone));
        let first = seen.span_ms().map(|(first, _)| first);
        let took = opened
            .zip(first)
            .map(|(event, first)| scene.ms_of_unix(event.unix_ms).saturating_sub(first) as f64);
        not_by_mode += usize::from(!by_mode);
        late += usize::from(took.is_none_or(|took| took > BREAKER_MS));
        slowest = slowest.max(took.unwrap_or(f64::INFINITY));
        rows.push((
            vec![
                module.name.to_owned(),
                (*way).to_owned(),
                if module.closed { "closed: 503".to_owned() } else { "goes on".to_owned() },
                seen.statuses(),
                took.map_or_else(|| "not opened".to_owned(), |took| format!("{took:.0} ms")),
            ],
            by_mode && took.is_some_and(|took| took <= BREAKER_MS),
        ));
    }
    scene.check(
        Check::none("cases in which requests did not go on by the declared mode", not_by_mode, cells.len())
            .key(),
    );
    scene.check(Check::none("breakers not open within a second of the first request", late, cells.len()));
    scene.check(Check::at_most("slowest breaker", BREAKER_MS, slowest.is_finite().then_some(slowest), "ms"));
    scene.table(Table {
        title: "Module by module".to_owned(),
        head: ["Module", "Fails by", "Declares", "Answers", "Breaker open after"].map(str::to_owned).to_vec(),
        rows,
    });
}

/// One module after the other asks for too much memory, and holds a thread and does not come back; each in an installation
/// of its own, since a process with stuck workers is replaced, and the next replacement waits.
async fn alone(scene: &mut Scene, origin: &Origin) -> Result<(), Fault> {
    let (mut rows, mut wrong, mut all) = (Vec::new(), 0, Vec::new());
    for module in &MODULES {
        let site = Site::default()
            .edge("drain = \"1s\"")
            .table(LIST)
            .zone(zone("healthy.test", &origin.url(), "cache = false", ""))
            .zone(zone(
                &host("allocate", module),
                &origin.url(),
                &format!("cache = false\n{}", module.keys),
                module.tables,
            ))
            .zone(zone(
                &host("hang", module),
                &origin.url(),
                &format!("cache = false\n{}", module.keys),
                module.tables,
            ));
        let mut edge = scene.prepare(&site)?;
        let fault = |way: &str| json!({ "module": module.name, "zone": host(way, module), "what": way });
        edge.sabotage(&scene.sabotage(&[], json!([fault("allocate"), fault("hang")])))?;
        edge.start().await?;
        let mut visits = Visits::to(edge.http, &["healthy.test"], 100.0);
        visits.patience_ms = 2_000;
        let load = scene.load(visits.fresh());
        scene.pass(300).await;
        for way in ["allocate", "hang"] {
            let (row, right) = strike(scene, &edge, way, module).await;
            wrong += usize::from(!right);
            rows.push((row, right));
        }
        scene.pass(500).await;
        scene.keep_odd(load.odd());
        all.extend_from_slice(load.end().await.all());
        scene.keep_timeline(&edge);
    }
    let all = Samples::new(all);
    scene.check(Check::none(
        "modules too greedy or hanging, not noticed within a second or not gone on from by their mode",
        wrong,
        rows.len(),
    ));
    let lost = all.edge_made() as f64 * 100.0 / all.len().max(1) as f64;
    scene.check(Check::at_most("healthy zone: requests lost meanwhile", 1.0, Some(lost), "%"));
    // Connections that wait for a worker that is stuck wait until its stand-in takes them: a quarter of a second and a little.
    scene.check(Check::at_most("healthy zone: p99 meanwhile", 600.0, all.latency_ms(99.0), "ms"));
    scene.table(Table {
        title: "Too greedy, and hanging".to_owned(),
        head: ["Module", "Fails by", "Noticed after", "Next request"].map(str::to_owned).to_vec(),
        rows,
    });
    scene.keep_load("a healthy zone, while modules are greedy and hang", &all);
    Ok(())
}

async fn strike(
    scene: &mut Scene,
    edge: &Installation,
    way: &'static str,
    module: &Module,
) -> (Vec<String>, bool) {
    let zone = host(way, module);
    let since = unix_ms();
    scene.mark(
        "fault",
        format!("{} {}", module.name, if way == "hang" { "hangs" } else { "asks for 256 MiB" }),
    );
    let (http, stuck) = (edge.http, zone.clone());
    // The answer of one that hangs never comes; what matters is what happens around it.
    let asked = tokio::spawn(async move { drop(once(http, &stuck, "/", &[], Duration::from_secs(4)).await) });
    let noticed = || {
        let of = |event: &crate::admin::Event| {
            event.unix_ms >= since
                && (event.kind == "worker_stuck"
                    || event.kind == "breaker_opened" && event.zone.as_deref() == Some(&zone))
        };
        edge.timeline().into_iter().find(of).map(|event| event.unix_ms - since)
    };
    let _ = scene.until(2_500, || noticed().is_some()).await;
    let after = noticed();
    // A worker that is not stuck answers by the module's mode, and so does the stand-in of one that is.
    let next = once(edge.http, &zone, "/", &[], Duration::from_secs(2)).await;
    asked.abort();
    let by_mode = next
        .as_ref()
        .is_ok_and(|answer| (answer.status == 503) == module.closed && (module.closed || answer.of_origin));
    let right = after.is_some_and(|ms| ms as f64 <= BREAKER_MS) && by_mode;
    let row = vec![
        module.name.to_owned(),
        way.to_owned(),
        after.map_or_else(|| "not noticed".to_owned(), |ms| format!("{ms} ms")),
        next.map_or_else(|error| error, |answer| answer.status.to_string()),
    ];
    (row, right)
}

fn charts(scene: &mut Scene, readings: &Readings) {
    scene.chart(
        "Faults of modules",
        "per second",
        vec![("faults", readings.rates(|r: &Reading| r.metric("seawall_module_faults_total", "")))],
    );
}
