//! Switching something off must be the same as its not being there.

use std::time::Duration;

use serde_json::json;

use crate::changes::{self, Ended};
use crate::evidence::Table;
use crate::fault::Fault;
use crate::installation::Installation;
use crate::load::{Visits, once};
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::scene::Scene;
use crate::site::{Site, zone};
use crate::verdict::Check;

use super::modules::{BANNED, LIST, MODULES};

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "kill-switch",
    title: "The switch that was never thrown before",
    replays: Outage {
        whose: "Cloudflare",
        when: "5 December 2025",
        story: "A rule was switched off by a kill switch that had been used many times, but never on a rule with this kind of action. \
                The code skipped the rule and then reached for the result that the rule would have had. More than a quarter of the \
                requests to that network answered 500 for 25 minutes. The kill switch itself went out everywhere at once.",
    },
    fault: "Every module setting and rule action that exists is switched off, disabled, pointed at something that does not exist, or \
            given a value of the wrong type; and a module that answers everything with 503 is switched off by hand.",
    load: "80 requests a second over all these zones.",
    observed: "Status, headers and score of four probes in each zone, compared with a zone that never had the thing.",
    pass: "Each zone answers exactly as one without the thing, and no error is made by the edge.",
    guards: &[Guard { name: "switch", without: "nobody throws the switch", with: &[], by_drill: true }],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// A zone: what it says at first and what after the switch.
struct Cell {
    name: String,
    what: String,
    /// Keys and tables.
    before: (String, String),
    after: (String, String),
}

const ACTIONS: [(&str, &str); 3] = [
    ("block", "action = \"block\""),
    ("log", "action = \"log\""),
    ("skip", "action = \"skip\"\nskip = [\"bot\", \"response_headers\"]"),
];

fn rule(lines: &str) -> String {
    format!("[[zone.rule]]\nname = \"switched\"\n{lines}")
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let none = || (String::new(), String::new());
    let mut add = |name: String, what: String, before: (String, String), after: (String, String)| {
        cells.push(Cell { name: format!("{}.test", name.replace('_', "-")), what, before, after });
    };
    for module in &MODULES {
        let (keys, tables) = (module.keys.to_owned(), module.tables.to_owned());
        let off = format!("{tables}\n[zone.modules]\n{} = \"off\"", module.name);
        add(
            format!("off-{}", module.name),
            format!("module {} off in the configuration", module.name),
            (keys.clone(), tables.clone()),
            (keys, off),
        );
        for (how, value) in
            [("number", "5"), ("word", "\"perhaps\""), ("list", "[\"off\"]"), ("blank", "\"\"")]
        {
            let wrong = format!("[zone.modules]\n{} = {value}", module.name);
            add(
                format!("wrong-{how}-{}", module.name),
                format!("module {} = {value}", module.name),
                none(),
                (String::new(), wrong),
            );
        }
    }
    for (name, action) in ACTIONS {
        let live = rule(&format!("{action}\npath = \"^/probe\""));
        let disabled = rule(&format!("{action}\npath = \"^/probe\"\nenabled = false"));
        add(
            format!("disabled-{name}"),
            format!("rule with {name}, enabled = false"),
            (String::new(), live.clone()),
            (String::new(), disabled),
        );
        add(format!("gone-{name}"), format!("rule with {name}, removed"), (String::new(), live), none());
        for (how, lines) in [
            ("list", "list = \"nowhere\""),
            ("empty", ""),
            ("blank", "path = \"\""),
            ("type", "path = 5"),
            ("enabled", "path = \"^/probe\"\nenabled = \"no\""),
        ] {
            let wrong = rule(&format!("{action}\n{lines}"));
            add(
                format!("{how}-{name}"),
                format!(
                    "rule with {name} and {}",
                    if lines.is_empty() { "no condition" } else { lines }.replace('\n', ", ")
                ),
                none(),
                (String::new(), wrong),
            );
        }
    }
    for (how, lines) in [
        ("execute", "action = \"execute\""),
        ("number", "action = 1"),
        ("absent", ""),
        ("blank", "action = \"\""),
        ("nothing", "action = \"skip\"\nskip = [\"nothing\"]"),
        ("word", "action = \"skip\"\nskip = 3"),
    ] {
        let wrong = rule(&format!("{lines}\npath = \"^/probe\""));
        add(
            format!("action-{how}"),
            format!("rule with {}", if lines.is_empty() { "no action" } else { lines }.replace('\n', ", ")),
            none(),
            (String::new(), wrong),
        );
    }
    add(
        "bans-nowhere".to_owned(),
        "bans by a list that does not exist".to_owned(),
        none(),
        ("bans = \"nowhere\"".to_owned(), String::new()),
    );
    cells
}

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let cells = cells();
    let mut site = [base(&origin.url()), base(&origin.url())];
    for cell in &cells {
        for (site, (keys, tables)) in site.iter_mut().zip([&cell.before, &cell.after]) {
            *site = std::mem::take(site).zone(zone(
                &cell.name,
                &origin.url(),
                &format!("cache = false\n{keys}"),
                tables,
            ));
        }
    }
    let [before, after] = site;
    let mut edge = scene.prepare(&before)?;
    edge.sabotage(
        &scene.sabotage(&[], json!([{ "module": "firewall", "zone": "broken.test", "what": "error" }])),
    )?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let hosts: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).chain(["plain.test"]).collect();
    let load = scene.load(Visits::to(edge.http, &hosts, 80.0));
    let plain = look(&edge, "plain.test").await;
    live_modules(scene, &edge, &plain).await;

    scene.mark("change", format!("{} zones switch something off, or get it wrong", cells.len()));
    edge.write(&after)?;
    let ended = changes::meaning_it(scene, &edge, &[]).await?;
    scene.check(Check::holds(
        "the change, with whatever it must acknowledge",
        "adopted",
        ended.adopted(),
        ended.told(),
    ));
    compare(scene, &edge, &cells, &plain).await;

    by_hand(scene, &edge, &plain).await?;
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();
    scene.check(Check::none(
        "errors made by the edge, requests without an answer",
        all.edge_made(),
        all.len(),
    ));
    scene.keep_load("visitors", &all);
    scene.chart_of_canary(&readings);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

/// A zone with nothing, one for each module with it live, and one whose firewall fails closed.
fn base(origin: &str) -> Site {
    let mut site = Site::default().table(LIST).zone(zone("plain.test", origin, "cache = false", ""));
    for module in &MODULES {
        let name = format!("live-{}.test", module.name.replace('_', "-"));
        site = site.zone(zone(&name, origin, &format!("cache = false\n{}", module.keys), module.tables));
    }
    let closed = "[[zone.rule]]\nname = \"broken\"\naction = \"log\"\npath = \"^/never$\"\n[zone.modules]\nfirewall = \"closed\"";
    site.zone(zone("broken.test", origin, "cache = false", closed))
}

/// That the modules do something, or nothing would be shown by switching them off.
async fn live_modules(scene: &mut Scene, edge: &Installation, plain: &[String]) {
    let mut idle = Vec::new();
    for module in &MODULES {
        let seen = look(edge, &format!("live-{}.test", module.name.replace('_', "-"))).await;
        if seen == plain {
            idle.push(module.name);
        }
    }
    scene.check(Check::holds(
        "modules that are seen to do something before",
        "all six",
        idle.is_empty(),
        if idle.is_empty() { "all six".to_owned() } else { format!("not {}", idle.join(", ")) },
    ));
}

async fn compare(scene: &mut Scene, edge: &Installation, cells: &[Cell], plain: &[String]) {
    let mut rows = Vec::new();
    for cell in cells {
        let seen = look(edge, &cell.name).await;
        let same = seen == plain;
        rows.push((
            vec![cell.what.clone(), if same { "as one without it".to_owned() } else { seen.join(" · ") }],
            same,
        ));
    }
    let wrong = rows.iter().filter(|(_, same)| !same).count();
    scene.check(Check::none("zones that do not answer as one without the thing", wrong, rows.len()).key());
    scene.table(Table {
        title: "Zone by zone".to_owned(),
        head: ["What was done", "Answers"].map(str::to_owned).to_vec(),
        rows,
    });
}

/// Modules switched by hand, as one does in an emergency.
async fn by_hand(scene: &mut Scene, edge: &Installation, plain: &[String]) -> Result<(), Fault> {
    let broken = look(edge, "broken.test").await;
    let fails = broken.iter().all(|seen| seen.starts_with("503"));
    scene.check(Check::holds("a firewall that fails and is closed", "503", fails, broken.join(" · ")));
    let mut rows = Vec::new();
    let mut slowest = 0;
    for (name, host, only) in MODULES
        .iter()
        .map(|m| (m.name, format!("live-{}.test", m.name.replace('_', "-")), None))
        .chain([("firewall", "broken.test".to_owned(), Some("broken.test"))])
    {
        scene.mark(
            "change",
            format!(
                "{name} is switched off by hand{}",
                only.map_or(String::new(), |zone| format!(" for {zone}"))
            ),
        );
        let ended = if scene.is_without("switch") {
            Ended::default()
        } else {
            changes::order(scene, edge, "/module", json!({ "name": name, "zone": only, "state": "off" }))
                .await?
        };
        slowest = slowest.max(ended.took_ms);
        let seen = look(edge, &host).await;
        let done = ended.adopted() || ended.outcome == "unchanged";
        let same = seen == plain;
        rows.push((
            vec![
                name.to_owned(),
                only.unwrap_or("all").to_owned(),
                ended.told(),
                if same { "as one without it".to_owned() } else { seen.join(" · ") },
            ],
            same && done,
        ));
    }
    let wrong = rows.iter().filter(|(_, right)| !right).count();
    scene.check(Check::none("modules switched off by hand that were not as if absent", wrong, rows.len()));
    scene.check(Check::at_most("slowest switch", 5_000.0, Some(slowest as f64), "ms"));
    scene.table(Table {
        title: "Switched by hand".to_owned(),
        head: ["Module", "Zone", "The order", "Answers"].map(str::to_owned).to_vec(),
        rows,
    });
    let on = changes::order(
        scene,
        edge,
        "/module",
        json!({ "name": "response_headers", "zone": null, "state": "on" }),
    )
    .await?;
    let seen = look(edge, "live-response-headers.test").await;
    scene.check(Check::holds(
        "switched on again",
        "it works again",
        on.adopted() && seen != plain,
        on.told(),
    ));
    Ok(())
}

/// What a zone answers to four probes, in a form that can be compared.
async fn look(edge: &Installation, host: &str) -> Vec<String> {
    let probes: [(&str, &[(&str, &str)]); 4] = [
        ("/", &[]),
        ("/probe", &[]),
        ("/probe?x=1", &[("user-agent", "curl/8.11.0")]),
        ("/", &[("x-forwarded-for", BANNED)]),
    ];
    let mut seen = Vec::new();
    for (path, fields) in probes {
        let answer = once(edge.http, host, path, fields, Duration::from_secs(3)).await;
        seen.push(answer.map_or_else(
            |error| error,
            |answer| {
                let of =
                    |name: &str, says: &str| answer.field(name).map_or(String::new(), |_| format!(" {says}"));
                let whose = if answer.of_origin { " origin" } else { "" };
                format!(
                    "{}{whose}{}{}{}",
                    answer.status,
                    of("x-drill-score", "scored"),
                    of("x-drill-asked-seen", "asked"),
                    of("x-drill-told", "told")
                )
            },
        ));
    }
    seen
}
