//! An empty filter is no order to take everything.

use std::fmt::Write;

use hyper::Method;
use serde_json::{Value, json};

use crate::changes;
use crate::evidence::Table;
use crate::fault::Fault;
use crate::installation::Installation;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::Class;
use crate::scene::Scene;
use crate::site::{Site, zone};
use crate::verdict::Check;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "empty-means-all",
    title: "Delete nothing in particular",
    replays: Outage {
        whose: "Cloudflare",
        when: "20 February 2026",
        story: "A clean-up job asked its API for the address ranges that were marked for deletion, with the mark left empty. The \
                API took that for no filter at all and returned every range. The job did what it was for, and customers' \
                networks were withdrawn from the Internet one after the other until somebody stopped it.",
    },
    fault: "Orders to purge, remove, delete and switch with an empty, blank or missing filter; a configuration that has lost most \
            zones, one that has lost all, a list that has lost all its rows.",
    load: "100 requests a second over twenty zones.",
    observed: "What each order is answered, whether every zone is still served and every object still cached, and what the refusal says.",
    pass: "Every such order is refused; removing most zones needs the number stated, and the right one; all zones are served throughout.",
    guards: &[Guard::of("removal-cap", "much may be removed without its number being stated", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Zones at first.
const ZONES: usize = 20;
/// Zones that a faulty generator leaves over.
const LEFT: usize = 5;

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let site = site(&origin.url(), ZONES, ROWS);
    let edge = scene.install(&site).await?;
    let watch = scene.watch(&edge);
    let names: Vec<String> = (0..ZONES).map(name).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let load = scene.load(Visits::to(edge.http, &hosts, 100.0));
    scene.pass(1_000).await;

    scene.mark("fault", "orders with empty filters");
    empty_orders(scene, &edge).await?;

    scene.mark("fault", "a configuration with 5 of 20 zones left, without a word about it");
    edge.write(&self::site(&origin.url(), LEFT, ROWS))?;
    let few = changes::apply(scene, &edge, &[]).await?;
    let removed = (ZONES - LEFT) as u64;
    let stated = few.needs.get("removed_zones").copied();
    scene.check(
        Check::holds("15 of 20 zones gone, not acknowledged", "refused", few.turned_down(), few.told()).key(),
    );
    scene.check(Check::holds(
        "the refusal states the number",
        &format!("removed_zones={removed}"),
        stated == Some(removed),
        if few.needs.is_empty() {
            "no number".to_owned()
        } else {
            few.needs.iter().map(|(what, count)| format!("{what}={count}")).collect::<Vec<_>>().join(", ")
        },
    ));
    let wrong = changes::apply(scene, &edge, &["removed_zones=3"]).await?;
    scene.check(Check::holds(
        "acknowledged with another number (3)",
        "refused",
        wrong.turned_down(),
        wrong.told(),
    ));

    scene.mark("fault", "a configuration with no zone at all");
    edge.write_text(&edge.text_of(&self::site(&origin.url(), 0, ROWS)))?;
    let none = changes::apply(scene, &edge, &["removed_zones=20"]).await?;
    scene.check(Check::holds(
        "no zone left, acknowledged",
        "refused all the same",
        none.turned_down(),
        none.told(),
    ));

    scene.mark("fault", "a list that has lost its rows");
    edge.write(&self::site(&origin.url(), ZONES, 0))?;
    let emptied = changes::apply(scene, &edge, &[]).await?;
    scene.check(Check::holds(
        "a list of 12 networks emptied, not acknowledged",
        "refused",
        emptied.turned_down(),
        emptied.told(),
    ));
    // The file watcher sees the file as well, and must come to the same.
    scene.pass(2_500).await;

    let odd = load.odd();
    let seen = load.end().await;
    scene.check(Check::none(
        "requests not served, over all zones and the whole time",
        seen.len() - seen.count(Class::Ok),
        seen.len(),
    ));
    let readings = watch.end();
    scene.chart_of_steps(
        "Zones served",
        "",
        vec![("zones", readings.points(|r| r.metric("seawall_zones", "")))],
    );

    scene.mark("fault", "the same removal, with the right number stated: now it is meant");
    edge.write(&self::site(&origin.url(), LEFT, ROWS))?;
    // That recent requests would end differently is then to be expected, and asked about in its turn.
    let meant = changes::meaning_it(scene, &edge, &[&format!("removed_zones={removed}")]).await?;
    scene.check(Check::holds(
        "15 zones removed, acknowledged as 15",
        "adopted",
        meant.adopted(),
        meant.told(),
    ));
    scene.keep_load("visitors", &seen);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

/// Networks on the list at first.
const ROWS: usize = 12;

fn name(at: usize) -> String {
    format!("z{at}.test")
}

fn site(origin: &str, zones: usize, rows: usize) -> Site {
    let mut list = "[[list]]\nname = \"bad-neighbours\"\naddresses = [".to_owned();
    for row in 0..rows {
        let _ = write!(list, "\"192.0.2.{}/32\", ", row + 1);
    }
    list.push(']');
    let site = Site::default().edge("bans = \"bad-neighbours\"").table(&list);
    (0..zones).fold(site, |site, at| site.zone(zone(&name(at), origin, "", "")))
}

/// Orders that name nothing.
async fn empty_orders(scene: &mut Scene, edge: &Installation) -> Result<(), Fault> {
    let commands: &[&[&str]] = &[
        &["purge"],
        &["purge", "--host", ""],
        &["purge", "--zone", "", "--everything"],
        &["purge", "--everything"],
        &["purge", "--tag", " "],
        &["purge", "--prefix", ""],
        &["snapshot", "delete"],
        &["snapshot", "delete", ""],
        &["module", "off"],
        &["module", "off", ""],
        &["module", "off", "firewall", "--zone", ""],
        &["snapshot", "unpin", ""],
        &["snapshot", "apply", "--acknowledge", ""],
        &["snapshot", "apply", "--acknowledge", "removed_zones="],
    ];
    let mut rows = Vec::new();
    for command in commands {
        let (code, out, err) = edge.command(command).await?;
        let refused = matches!(code, 2 | 4);
        let shown: Vec<String> = command
            .iter()
            .map(|word| if word.trim().is_empty() { format!("\"{word}\"") } else { (*word).to_owned() })
            .collect();
        let said = err
            .lines()
            .chain(out.lines())
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .to_owned();
        rows.push((vec![format!("seawall {}", shown.join(" ")), format!("exit {code}"), said], refused));
    }
    let orders: &[(&str, Value)] = &[
        ("/purge", json!({})),
        ("/purge", json!({ "hosts": [] })),
        ("/purge", json!({ "hosts": [""] })),
        ("/purge", json!({ "purge_everything": true })),
        ("/purge", json!({ "zone": "", "purge_everything": true })),
        ("/purge", json!({ "zone": null, "purge_everything": true })),
        ("/module", json!({})),
        ("/module", json!({ "name": "", "state": "off" })),
        ("/module", json!({ "name": null, "state": "off" })),
        ("/module", json!({ "name": "firewall", "zone": "", "state": "off" })),
        ("/snapshot/unpin", json!({})),
        ("/snapshot/unpin", json!({ "artifact": "" })),
    ];
    for (path, body) in orders {
        let asked = edge.ask(Method::POST, path, Some(body)).await;
        // An order that is taken may still be refused when it is looked at.
        let (refused, said) = match asked {
            Ok((202, answer)) => {
                let ended = wait(scene, edge, &answer).await;
                (
                    ended.as_ref().is_some_and(|e| e == "refused"),
                    format!("202, then {}", ended.unwrap_or_default()),
                )
            }
            Ok((status, answer)) => (
                (400..500).contains(&status),
                format!("{status} {}", answer.as_str().map_or_else(|| answer.to_string(), str::to_owned)),
            ),
            Err(error) => (false, error),
        };
        let mut words = said.splitn(2, ' ');
        let status = words.next().unwrap_or_default().to_owned();
        rows.push((
            vec![format!("POST {path} {body}"), status, words.next().unwrap_or_default().trim().to_owned()],
            refused,
        ));
    }
    let wrong = rows.iter().filter(|(_, right)| !right).count();
    scene.check(Check::none("orders that name nothing and were not refused", wrong, rows.len()));
    scene.table(Table {
        title: "Orders that name nothing".to_owned(),
        head: ["Order", "Answer", "What it says"].map(str::to_owned).to_vec(),
        rows,
    });
    Ok(())
}

async fn wait(scene: &Scene, edge: &Installation, answer: &Value) -> Option<String> {
    let order = answer.get("order")?.as_u64()?;
    for _ in 0..100 {
        scene.pass(50).await;
        let (_, status) = edge.ask(Method::GET, "/snapshot", None).await.ok()?;
        let last = status.get("last")?;
        if last.get("order").and_then(Value::as_u64) == Some(order) {
            return Some(last.get("outcome")?.as_str()?.to_owned());
        }
    }
    None
}
