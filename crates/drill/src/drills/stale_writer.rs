//! A late publisher, and a cleaner.

use serde_json::json;

use crate::changes;
use crate::evidence::Table;
use crate::fault::Fault;
use crate::installation::Installation;
use crate::load::{Visits, once};
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Class;
use crate::scene::Scene;
use crate::site::{Site, zone};
use crate::verdict::{Check, told};

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "stale-writer",
    title: "A slow writer and a tidy one",
    replays: Outage {
        whose: "AWS (DynamoDB, us-east-1)",
        when: "20 October 2025",
        story: "Two workers wrote plans for the same DNS name. One was slow: it checked that its plan was the newest, was held up, \
                and then put its old plan over a newer one. The other had finished and cleaned up old plans, among them the \
                one that had just become active. The name was left without a single address, and nothing could repair it by itself.",
    },
    fault: "A change made from an older snapshot arrives late; a cleaner deletes every snapshot it can name, the active one too; an \
            empty configuration is handed in.",
    load: "100 requests a second.",
    observed: "What is answered to the writer and to the cleaner, what serves, what is left of the history.",
    pass: "The stale write is refused, the active snapshot and the newest good one cannot be deleted, the empty set is refused.",
    guards: &[Guard::of("stale-writer", "a change may be made from any snapshot", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let site = |plan: &str| {
        let route = format!("[[zone.route]]\nresponse_headers = {{ set = {{ X-Plan = \"{plan}\" }} }}");
        Site::default().zone(zone("a.test", &origin.url(), "cache = false", &route))
    };
    let edge = scene.install(&site("one")).await?;
    let load = scene.load(Visits::to(edge.http, &["a.test"], 100.0));
    let base = number(&edge).await;

    scene.mark("change", "plan two, made from plan one, is adopted");
    edge.write(&site("two"))?;
    let two =
        changes::order(scene, &edge, "/snapshot/apply", json!({ "acknowledge": [], "base": base })).await?;
    scene.check(Check::holds("the newer plan, made from the newest", "adopted", two.adopted(), two.told()));
    let newest = number(&edge).await;

    scene.mark("fault", "a slow writer hands in a plan made from plan one");
    edge.write(&site("late"))?;
    let late =
        changes::order(scene, &edge, "/snapshot/apply", json!({ "acknowledge": [], "base": base })).await?;
    scene.check(
        Check::holds(
            "the late plan, made from an older snapshot",
            "refused, naming both",
            late.turned_down() && names(&late.why, &[base, newest]),
            late.told(),
        )
        .key(),
    );
    let (code, out, err) = edge.command(&["snapshot", "apply", "--base", &base.to_string()]).await?;
    scene.check(Check::holds(
        "the same by the command line",
        "exit 4",
        code == 4,
        format!("exit {code}: {}", first(&format!("{err}{out}"))),
    ));
    let plan = once(edge.http, "a.test", "/", &[], std::time::Duration::from_secs(3))
        .await
        .ok()
        .and_then(|a| a.field("x-plan").map(str::to_owned));
    scene.check(Check::holds("the plan in force", "two", plan.as_deref() == Some("two"), told(plan)));
    // Before the file's own watcher comes to it: it knows no base, it is the file as it now stands.
    edge.write(&site("two"))?;

    scene.mark("fault", "a cleaner deletes every snapshot it can name");
    let good = newest_good(&edge).await;
    let mut rows = Vec::new();
    for at in 0..=newest + 1 {
        let (code, out, err) = edge.command(&["snapshot", "delete", &at.to_string()]).await?;
        let must_stay = at == newest || Some(at) == good;
        let right = if must_stay { code == 4 || code == 2 } else { code != 101 && code >= 0 };
        let what = if at == newest {
            "active"
        } else if Some(at) == good {
            "newest good"
        } else if at == 0 || at > newest {
            "does not exist"
        } else {
            "old"
        };
        rows.push((
            vec![format!("snapshot {at} ({what})"), format!("exit {code}"), first(&format!("{err}{out}"))],
            right,
        ));
    }
    let wrong = rows.iter().filter(|(_, right)| !right).count();
    scene.check(Check::none("deletions that hit what must stay, or ended oddly", wrong, rows.len()));
    scene.table(Table {
        title: "The cleaner".to_owned(),
        head: ["Delete", "Answer", "What it says"].map(str::to_owned).to_vec(),
        rows,
    });
    let (code, list, _) = edge.command(&["snapshot", "list", "--json"]).await?;
    scene.check(Check::holds(
        "the active snapshot after the cleaner",
        "in the history",
        code == 0 && list.contains(&newest.to_string()),
        format!("exit {code}, {} bytes", list.len()),
    ));

    scene.mark("fault", "an empty configuration is handed in");
    edge.write(&Site::default())?;
    let empty = changes::order(
        scene,
        &edge,
        "/snapshot/apply",
        json!({ "acknowledge": ["removed_zones=1"], "base": newest }),
    )
    .await?;
    scene.check(Check::holds("an empty set", "refused", empty.turned_down(), empty.told()));
    scene.pass(500).await;
    let odd = load.odd();
    let all = load.end().await;
    scene.check(Check::none("requests not served", all.len() - all.count(Class::Ok), all.len()));
    scene.keep_load("visitors", &all);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

async fn number(edge: &Installation) -> u64 {
    changes::current(edge).await.map_or(0, |(number, ..)| number)
}

async fn newest_good(edge: &Installation) -> Option<u64> {
    let (_, out, _) = edge.command(&["snapshot", "list", "--json"]).await.ok()?;
    let list: serde_json::Value = serde_json::from_str(&out).ok()?;
    let entries = list.as_array().or_else(|| list.get("snapshots")?.as_array())?;
    let of = |entry: &serde_json::Value| {
        (entry.get("state")?.as_str()? == "good").then(|| entry.get("number")?.as_u64()).flatten()
    };
    entries.iter().filter_map(of).max()
}

fn names(text: &str, numbers: &[u64]) -> bool {
    numbers.iter().all(|number| text.contains(&number.to_string()))
}

fn first(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().chars().take(220).collect()
}
