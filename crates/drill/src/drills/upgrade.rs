//! A new program, and a new program that crashes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::fault::Fault;
use crate::installation::Installation;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Class;
use crate::scene::Scene;
use crate::site::{Site, zone};
use crate::verdict::{Check, told};

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "upgrade",
    title: "A new version, and a new version that crashes",
    replays: Outage {
        whose: "anyone who has ever deployed on a Friday",
        when: "any Friday",
        story: "A new version is installed and the service restarted. For a moment nobody listens, and every visitor of that \
                moment is refused. Or the new version dies at its start, the old one is already gone, and the moment lasts \
                until somebody has found the old package.",
    },
    fault: "Under load the program file is replaced by another copy and upgraded to; then by one that crashes at its start.",
    load: "200 requests a second, half on kept connections, half on a new connection each.",
    observed: "Every connection and answer, process ids, the file that the supervisor runs, exit codes of `seawall upgrade`.",
    pass: "No connection is refused and no answer lost; the good program takes over, the bad one is reported and changes nothing.",
    guards: &[Guard {
        name: "handover",
        without: "the old way is taken: stop the old program, start the new one",
        with: &[],
        by_drill: true,
    }],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Requests per second of each of the two loads.
const PER_SECOND: f64 = 100.0;

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let site =
        Site::default().edge("drain = \"3s\"").zone(zone("a.test", &origin.url(), "cache = false", ""));
    let mut edge = scene.prepare(&site)?;
    edge.install_copy()?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let kept = scene.load(Visits::to(edge.http, &["a.test"], PER_SECOND));
    let fresh = scene.load(Visits::to(edge.http, &["a.test"], PER_SECOND).fresh());
    scene.pass(2_500).await;
    let (supervisor, before) = (edge.supervisor(), edge.edge());

    let good_at = scene.mark("fault", "another copy of the program is installed and upgraded to");
    let program = edge.install_copy()?;
    let (code, said) = replace(scene, &mut edge).await?;
    scene.pass(1_500).await;
    let after = edge.edge();
    let runs_new = edge.supervisor().is_some_and(|pid| runs(pid, &program))
        && after.is_some_and(|pid| runs(pid, &program));
    scene.check(Check::holds(
        "the good program takes over",
        "exit 0, another edge",
        code == 0 && before != after && runs_new,
        brief(code, &said),
    ));
    scene.check(Check::holds(
        "the supervisor keeps its process id",
        "the same",
        supervisor == edge.supervisor(),
        format!("{}, then {}", told(supervisor), told(edge.supervisor())),
    ));
    scene.pass(3_000).await;

    let bad_at = scene.mark("fault", "a program is installed that crashes at its start, and upgraded to");
    let serving = edge.edge();
    edge.install_script("#!/bin/sh\nsleep 0.2\nkill -SEGV $$\n")?;
    let (code, said) = replace(scene, &mut edge).await?;
    scene.pass(2_000).await;
    scene.check(Check::holds(
        "the upgrade to the crashing program is refused and says so",
        "exit not 0",
        code != 0,
        brief(code, &said),
    ));
    scene.check(Check::holds(
        "the edge that served goes on",
        "the same process",
        serving.is_some() && serving == edge.edge(),
        format!("{}, then {}", told(serving), told(edge.edge())),
    ));

    let retried = kept.retried();
    let odd: Vec<String> = kept.odd().into_iter().chain(fresh.odd()).collect();
    let (kept, fresh) = (kept.end().await, fresh.end().await);
    let readings = watch.end();
    scene.check(Check::none("new connections refused or cut", fresh.count(Class::Broken), fresh.len()).key());
    scene.check(Check::none("requests on kept connections lost", kept.count(Class::Broken), kept.len()));
    let errors = kept.count(Class::EdgeError) + fresh.count(Class::EdgeError);
    scene.check(Check::none("errors made by the edge", errors, kept.len() + fresh.len()));
    let during = |from: u64| fresh.between(from, from + 2_500).latency_ms(99.0);
    let worst = during(good_at).zip(during(bad_at)).map(|(a, b)| a.max(b));
    scene.check(Check::at_most("p99 of new connections while a new program starts", 500.0, worst, "ms"));
    scene.check(Check::at_most(
        "requests sent again because an idle connection was closed just then",
        20.0,
        Some(retried as f64),
        "",
    ));
    scene.keep_load("new connections", &fresh);
    scene.keep_load("kept connections", &kept);
    scene.chart_of_steps("Edge process", "", vec![("process id, from the first", pids(&readings))]);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

/// Upgrades; or, without the handover, stops and starts.
async fn replace(scene: &Scene, edge: &mut Installation) -> Result<(i32, String), Fault> {
    if !scene.is_without("handover") {
        let (code, out, err) = edge.command(&["upgrade"]).await?;
        return Ok((code, format!("{out}{err}")));
    }
    edge.signal(Signal::SIGTERM);
    let _ = scene.until(10_000, || edge.ended().is_some()).await;
    let started = edge.start().await;
    Ok((i32::from(started.is_err()), started.err().map_or_else(String::new, |fault| fault.to_string())))
}

/// Whether a process runs this very file, and not one of the same name that was there before.
fn runs(pid: u32, program: &Path) -> bool {
    let inode = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    let running = inode(Path::new(&format!("/proc/{pid}/exe")));
    running.is_some() && running == inode(program)
}

fn brief(code: i32, said: &str) -> String {
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(220).collect();
    format!("exit {code}: {said}")
}

/// Which edge it is: 1 for the first that was seen, 2 for the next.
fn pids(readings: &crate::watch::Readings) -> Vec<(u64, f64)> {
    let mut seen: Vec<u32> = Vec::new();
    let mut number = |reading: &crate::watch::Reading| {
        let pid = reading.edge?;
        let at = seen.iter().position(|known| *known == pid).unwrap_or_else(|| {
            seen.push(pid);
            seen.len() - 1
        });
        Some((reading.at_ms, (at + 1) as f64))
    };
    readings.all.iter().filter_map(&mut number).collect()
}
