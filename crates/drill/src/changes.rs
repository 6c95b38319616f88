//! Changes, handed to a running edge as an operator hands them, and what became of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::installation::Installation;
use crate::scene::{Pace, Scene};

/// How a change ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// `adopted`, `refused`, `failed`, `superseded`, `unchanged`; `pending` if it had not ended in time.
    pub outcome: String,
    /// The number it had, if it came so far.
    pub number: Option<u64>,
    /// The gate's verdict and the reasons of a refusal, as one text.
    pub why: String,
    /// What must be acknowledged, with its number.
    pub needs: BTreeMap<String, u64>,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

impl Ended {
    /// Whether it serves now.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.outcome == "adopted"
    }

    /// Whether it was refused by a check, or sent back by a gate.
    #[must_use]
    pub fn turned_down(&self) -> bool {
        self.outcome == "refused" || self.outcome == "failed"
    }

    /// For people.
    #[must_use]
    pub fn told(&self) -> String {
        if self.why.is_empty() { self.outcome.clone() } else { format!("{}: {}", self.outcome, self.why) }
    }
}

/// Has the edge load the configuration file now, and waits for the end of it.
pub async fn apply(scene: &Scene, edge: &Installation, acknowledge: &[&str]) -> Result<Ended, Fault> {
    order(scene, edge, "/snapshot/apply", json!({ "acknowledge": acknowledge })).await
}

/// Applies as an operator who means it: what is asked to be acknowledged is.
pub async fn meaning_it(scene: &Scene, edge: &Installation, already: &[&str]) -> Result<Ended, Fault> {
    let mut acks: Vec<String> = already.iter().map(|ack| (*ack).to_owned()).collect();
    let mut ended = apply(scene, edge, already).await?;
    for _ in 0..3 {
        if ended.needs.is_empty() {
            break;
        }
        acks.extend(ended.needs.iter().map(|(what, count)| format!("{what}={count}")));
        let words: Vec<&str> = acks.iter().map(String::as_str).collect();
        ended = apply(scene, edge, &words).await?;
    }
    Ok(ended)
}

/// Hands in an order and waits for the end of it. An order that is not even taken is `refused`.
pub async fn order(scene: &Scene, edge: &Installation, path: &str, body: Value) -> Result<Ended, Fault> {
    let began = Instant::now();
    let took = |began: Instant| began.elapsed().as_millis() as u64;
    let asked = edge.ask(Method::POST, path, Some(&body)).await;
    let (status, answer) = asked.map_err(|text| Fault::Admin { what: format!("POST {path}"), text })?;
    let Some(number) = answer.get("order").and_then(Value::as_u64).filter(|_| status == 202) else {
        let why = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        return Ok(Ended { outcome: "refused".to_owned(), why, took_ms: took(began), ..Ended::default() });
    };
    let limit = if scene.pace() == Pace::Quick { Duration::from_secs(25) } else { Duration::from_secs(240) };
    loop {
        if let Ok((200, status)) = edge.ask(Method::GET, "/snapshot", None).await
            && let Some(last) =
                status.get("last").filter(|last| last.get("order").and_then(Value::as_u64) == Some(number))
        {
            return Ok(Ended { took_ms: took(began), ..read(last) });
        }
        if began.elapsed() > limit {
            return Ok(Ended { outcome: "pending".to_owned(), took_ms: took(began), ..Ended::default() });
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Number, state and content of what serves.
pub async fn current(edge: &Installation) -> Option<(u64, String, String)> {
    let (_, status) = edge.ask(Method::GET, "/snapshot", None).await.ok()?;
    let current = status.get("current")?;
    let text = |key: &str| Some(current.get(key)?.as_str()?.to_owned());
    Some((current.get("number")?.as_u64()?, text("state")?, text("content")?))
}

fn read(last: &Value) -> Ended {
    let text = |key: &str| last.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let reasons = last.get("reasons").and_then(Value::as_array).into_iter().flatten();
    // A verdict may be a sentence or a document with one.
    let verdict = match last.get("verdict") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let why: Vec<String> =
        verdict.into_iter().chain(reasons.filter_map(|reason| reason.as_str().map(str::to_owned))).collect();
    let needs = last.get("needs").and_then(Value::as_array).into_iter().flatten();
    let need = |need: &Value| Some((need.get("what")?.as_str()?.to_owned(), need.get("count")?.as_u64()?));
    Ended {
        outcome: text("outcome"),
        number: last.get("number").and_then(Value::as_u64),
        why: why.join("; "),
        needs: needs.filter_map(need).collect(),
        took_ms: 0,
    }
}
