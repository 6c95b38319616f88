//! Null, blank, missing, extra.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};

use crate::admin::Event;
use crate::changes;
use crate::evidence::Table;
use crate::fault::Fault;
use crate::features;
use crate::installation::Installation;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::scene::Scene;
use crate::verdict::Check;
use crate::watch::Reading;

use super::feature_file::site;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "blank-fields",
    title: "A field with nothing in it",
    replays: Outage {
        whose: "Google Cloud",
        when: "12 June 2025",
        story: "A policy with blank fields was written to a store that was copied to every region within seconds. New code that read \
                it had no check for a blank, dereferenced nothing, and crashed wherever the policy arrived, again after each \
                restart. Much of Google Cloud, and others that stood on it, was down for hours.",
    },
    fault: "Every field of every kind of document is in turn null, blank, missing, of another type, and accompanied by one that does \
            not exist: the configuration file, the feature file, orders to the admin socket.",
    load: "100 requests a second, each scored.",
    observed: "Exit codes and messages of `seawall check`, what the running edge refuses and how it says so, answers and scores.",
    pass: "Each is refused with the field named, or is a default of the right type; the edge neither crashes nor changes.",
    guards: &[Guard::of(
        "validation",
        "data files are taken as they come",
        &["build-validation", "load-validation", "rehearsal", "gate"],
    )],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// Every kind of document of the configuration, with its fields in use.
const DOCUMENTS: &str = include_str!("blank_fields.toml");
/// Runs of `seawall check` at the same time.
const AT_ONCE: usize = 3;

/// Feature files that were taken and should not have been, after which no more are tried.
const WRONG_ENOUGH: usize = 6;

/// A document with one thing wrong.
struct Broken {
    /// Where, as keys with dots.
    place: String,
    /// The last key of it, which a refusal must name.
    key: String,
    how: &'static str,
    document: Value,
}

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let mut edge = scene.prepare(&site(&origin.url()))?;
    edge.put("features.json", &features::good(1))?;
    edge.start().await?;
    let watch = scene.watch(&edge);
    let load = scene.load(Visits::to(edge.http, &["a.test"], 100.0));

    scene.mark("fault", "configurations with something wrong in each field, for `seawall check`");
    configurations(scene, &edge).await?;
    scene.mark("fault", "orders with something wrong in each field, to the running edge");
    orders(scene, &edge).await;
    scene.mark("fault", "feature files with something wrong in each field, to the running edge");
    data(scene, &edge).await?;

    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();
    scene.check(Check::none(
        "errors made by the edge, requests without an answer",
        all.edge_made(),
        all.len(),
    ));
    scene.check(Check::at_least("requests scored", 100.0, all.scored_percent(), "%"));
    let restarts = readings.largest(|r: &Reading| r.metric("seawall_edge_restarts_total", ""));
    scene.check(Check::at_most("restarts of the edge", 0.0, restarts, ""));
    let log = edge.log();
    let panics = log.lines().filter(|line| line.contains("panicked at")).count();
    scene.check(Check::holds("panics in the log", "0", panics == 0, panics.to_string()).key());
    scene.keep_load("visitors", &all);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

async fn configurations(scene: &mut Scene, edge: &Installation) -> Result<(), Fault> {
    let document: Value =
        toml::from_str(DOCUMENTS).map_err(|error| Fault::Usage(format!("blank_fields.toml: {error}")))?;
    let text = |value: &Value| toml::to_string(value).unwrap_or_default();
    edge.put("check-0.toml", text(&document).as_bytes())?;
    let (code, out, _) = edge.command(&["check", "--json", "check-0.toml"]).await?;
    scene.check(Check::holds(
        "the documents before anything is wrong with them",
        "exit 0",
        code == 0,
        format!("exit {code} {}", if code == 0 { "" } else { out.trim() }),
    ));
    let broken = broken(&document, false);
    let mut rows = Vec::new();
    for part in broken.chunks(AT_ONCE) {
        let mut runs = Vec::new();
        for (at, one) in part.iter().enumerate() {
            let name = format!("check-{at}.toml");
            edge.put(&name, text(&one.document).as_bytes())?;
            runs.push(name);
        }
        // Each is a process of its own; some at once make good use of two cores.
        let results = match runs.as_slice() {
            [a] => vec![check(edge, a).await?],
            [a, b] => tokio::try_join!(check(edge, a), check(edge, b)).map(|(a, b)| vec![a, b])?,
            [a, b, c] => tokio::try_join!(check(edge, a), check(edge, b), check(edge, c))
                .map(|(a, b, c)| vec![a, b, c])?,
            _ => Vec::new(),
        };
        rows.extend(part.iter().zip(results).map(|(one, (code, out))| judge(one, code, &out)));
    }
    conclude(scene, "fields of the configuration", rows);
    Ok(())
}

async fn check(edge: &Installation, name: &str) -> Result<(i32, String), Fault> {
    let (code, out, err) = edge.command(&["check", "--json", name]).await?;
    Ok((code, format!("{out}{err}")))
}

fn judge(one: &Broken, code: i32, out: &str) -> (Vec<String>, bool) {
    let refused = code == 3 && out.contains(&one.key);
    // What may be left out has a default; what is of no known name or type has none.
    let right = refused || (code == 0 && matches!(one.how, "blank" | "missing"));
    let answer = match code {
        0 => "taken: a default".to_owned(),
        3 if refused => "refused by name".to_owned(),
        3 => "refused, without its name".to_owned(),
        other => format!("exit {other}"),
    };
    (vec![one.place.clone(), one.how.to_owned(), answer], right)
}

fn conclude(scene: &mut Scene, what: &str, rows: Vec<(Vec<String>, bool)>) {
    let wrong: Vec<String> =
        rows.iter().filter(|(_, right)| !right).map(|(cells, _)| cells.join(" ")).collect();
    scene.check(Check::none(
        &format!("{what} neither refused by name nor a default"),
        wrong.len(),
        rows.len(),
    ));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (cells, right) in &rows {
        if let ([_, how, answer], true) = (cells.as_slice(), right) {
            *counts.entry((how.clone(), answer.clone())).or_default() += 1;
        }
    }
    let mut shown: Vec<(Vec<String>, bool)> = counts
        .into_iter()
        .map(|((how, answer), count)| (vec![format!("{count} fields"), how, answer], true))
        .collect();
    shown.extend(rows.into_iter().filter(|(_, right)| !right));
    scene.table(Table {
        title: format!("What became of {what}"),
        head: ["Where", "What was wrong", "Answer"].map(str::to_owned).to_vec(),
        rows: shown,
    });
}

async fn orders(scene: &mut Scene, edge: &Installation) {
    let good = [
        // Without a zone it means all of them, so it is switched to what it is.
        ("/module", json!({ "name": "firewall", "zone": "a.test", "state": "on" })),
        ("/snapshot/apply", json!({ "acknowledge": ["removed_zones=1"], "base": 1, "quick": false })),
        ("/snapshot/rollback", json!({ "to": 1 })),
        ("/snapshot/unpin", json!({ "artifact": "bot-features" })),
        (
            "/purge",
            json!({ "zone": "a.test", "files": [], "hosts": ["a.test"], "prefixes": [], "tags": [], "purge_everything": false }),
        ),
    ];
    let before = changes::current(edge).await;
    let mut rows = Vec::new();
    for (path, body) in good {
        for one in broken(&body, true) {
            let asked = edge.ask(Method::POST, path, Some(&one.document)).await;
            let (status, said) = match asked {
                Ok((status, answer)) => {
                    (status, answer.as_str().map_or_else(|| answer.to_string(), str::to_owned))
                }
                Err(error) => (0, error),
            };
            let refused = (400..500).contains(&status);
            let right =
                refused || (matches!(status, 200..300) && matches!(one.how, "blank" | "missing" | "null"));
            let answer = if refused {
                "refused".to_owned()
            } else {
                format!("{status} {}", said.chars().take(80).collect::<String>())
            };
            rows.push((
                vec![
                    format!("POST {path}: {}", one.place),
                    one.how.to_owned(),
                    if right && !refused { "taken: a default".to_owned() } else { answer },
                ],
                right,
            ));
        }
    }
    conclude(scene, "fields of orders", rows);
    // What was taken comes to an end before anything else is asked.
    scene.pass(1_500).await;
    let after = changes::current(edge).await;
    let same = before.as_ref().map(|b| &b.2) == after.as_ref().map(|a| &a.2);
    scene.check(Check::holds(
        "what serves after those orders",
        "what served before",
        same,
        if same { "the same content" } else { "other content" },
    ));
}

async fn data(scene: &mut Scene, edge: &Installation) -> Result<(), Fault> {
    let mut file = features::built_in();
    // One row and one tree stand for all: each is read by the same code.
    for key in ["features", "trees"] {
        if let Some(list) = file.get_mut(key).and_then(Value::as_array_mut) {
            list.truncate(if key == "features" { list.len() } else { 1 });
        }
    }
    let mut all = broken(&file, true);
    all.retain(|one| {
        let deep: Vec<&str> = one.place.split('.').collect();
        let first =
            |at: usize| deep.get(at).is_none_or(|part| *part == "0" || part.parse::<usize>().is_err());
        // The time of making is for people; blank it is still a time nobody knows.
        first(1) && first(2) && one.place != "generated"
    });
    for (how, document) in
        [("null", json!(null)), ("blank", json!("")), ("blank", json!([])), ("blank", json!({}))]
    {
        all.push(Broken { place: "the whole file".to_owned(), key: String::new(), how, document });
    }
    let before = changes::current(edge).await;
    let mut rows = Vec::new();
    for one in all {
        let since = edge.timeline().len();
        edge.put("features.json", one.document.to_string().as_bytes())?;
        let ended = changes::apply(scene, edge, &[]).await?;
        let told = |event: &Event| {
            matches!(event.kind.as_str(), "artifact_refused" | "unit_kept" | "change_refused")
        };
        let text = edge.timeline().into_iter().skip(since).find(told).map(|event| event.text);
        let named = text.as_ref().is_some_and(|text| text.contains(&one.key))
            || ended.why.contains(&one.key) && ended.turned_down();
        let right = !ended.adopted() && named;
        let answer = if right { "refused by name".to_owned() } else { text.unwrap_or_else(|| ended.told()) };
        rows.push((vec![one.place, one.how.to_owned(), answer], right));
        // Each that is taken goes through all stages; some are enough to say so.
        if rows.iter().filter(|(_, right)| !right).count() >= WRONG_ENOUGH {
            break;
        }
    }
    conclude(scene, "fields of the feature file", rows);
    let after = changes::current(edge).await;
    let same = before.is_some() && before.map(|b| (b.0, b.2)) == after.map(|a| (a.0, a.2));
    let found = if same { "the same snapshot" } else { "another snapshot" };
    scene.check(Check::holds("what serves after those files", "what served before", same, found));
    edge.put("features.json", &features::good(1)).map(drop)
}

/// The document with each field wrong in each way. `null` exists in JSON only.
fn broken(document: &Value, json: bool) -> Vec<Broken> {
    let mut places = Vec::new();
    visit(document, &mut Vec::new(), &mut places);
    let mut out = Vec::new();
    for place in places {
        let (Some(key), Some(value)) = (place.last().cloned(), at(document, &place)) else { continue };
        let blank = match value {
            Value::Object(_) => json!({}),
            Value::Array(_) => json!([]),
            _ => json!(""),
        };
        // A single string where a list of strings is wanted is a list of one, so an object is what no field takes.
        let other = match value {
            Value::Object(_) => json!(5),
            _ => json!({ "surprise": 1 }),
        };
        let mut add = |how: &'static str, change: &dyn Fn(&mut Value, &str)| {
            let mut changed = document.clone();
            let (parent, _) = place.split_at(place.len() - 1);
            if let Some(parent) = at_mut(&mut changed, parent) {
                change(parent, &key);
            }
            // An element of a list has no name; its list has.
            let named =
                place.iter().rev().find(|part| part.parse::<usize>().is_err()).cloned().unwrap_or_default();
            if changed != *document {
                out.push(Broken { place: place.join("."), key: named, how, document: changed });
            }
        };
        add("blank", &|parent, key| set(parent, key, blank.clone()));
        add("of another type", &|parent, key| set(parent, key, other.clone()));
        if key.parse::<usize>().is_err() {
            add("missing", &|parent, key| {
                if let Some(parent) = parent.as_object_mut() {
                    parent.remove(key);
                }
            });
        }
        if json {
            add("null", &|parent, key| set(parent, key, Value::Null));
        }
        if value.is_object() && value.get("surprise").is_none() {
            let mut changed = document.clone();
            if let Some(object) = at_mut(&mut changed, &place).and_then(Value::as_object_mut) {
                object.insert("surprise".to_owned(), json!(1));
            }
            out.push(Broken {
                place: format!("{}.surprise", place.join(".")),
                key: "surprise".to_owned(),
                how: "extra",
                document: changed,
            });
        }
    }
    if let Some(root) = document.as_object() {
        let mut changed = root.clone();
        changed.insert("surprise".to_owned(), json!(1));
        out.push(Broken {
            place: "surprise".to_owned(),
            key: "surprise".to_owned(),
            how: "extra",
            document: Value::Object(changed),
        });
    }
    out
}

/// Every place below a value, parents before children. Tables with names of the operator's own choice end there.
fn visit(value: &Value, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) if path.last().is_some_and(|key| key == "set") => {
            map.iter().take(0).map(|(k, v)| (k.clone(), v)).collect()
        }
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        // The first stands for all.
        Value::Array(list) => {
            list.iter().take(1).enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, child) in children {
        path.push(key);
        out.push(path.clone());
        visit(child, path, out);
        path.pop();
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    })
}

fn at_mut<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Array(list) => list.get_mut(key.parse::<usize>().ok()?),
        value => value.get_mut(key),
    })
}

fn set(parent: &mut Value, key: &str, to: Value) {
    match parent {
        Value::Object(map) => drop(map.insert(key.to_owned(), to)),
        Value::Array(list) => {
            if let Some(place) = key.parse::<usize>().ok().and_then(|at| list.get_mut(at)) {
                *place = to;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_broken_in_every_way() {
        let all = broken(&json!({ "a": [{ "b": 1 }], "c": "x" }), true);
        let seen: Vec<String> = all.iter().map(|one| format!("{} {}", one.place, one.how)).collect();
        for expected in [
            "a blank",
            "a missing",
            "a null",
            "a.0 null",
            "a.0.surprise extra",
            "a.0.b blank",
            "a.0.b of another type",
            "c missing",
            "surprise extra",
        ] {
            assert!(seen.iter().any(|one| one == expected), "{expected}: {seen:?}");
        }
        assert_eq!(
            all.iter().find(|one| one.place == "a.0.b" && one.how == "missing").unwrap().document,
            json!({ "a": [{}], "c": "x" })
        );
    }

    #[test]
    fn the_documents_can_be_read() {
        let document: Value = toml::from_str(DOCUMENTS).unwrap();
        assert!(broken(&document, false).len() > 150);
    }
}
