//! Orders and questions about changes, on the admin socket: what serves, apply, go back, modules, the timeline.
//!
//! Nothing here needs anything but this process and its data folder: modules can be switched off while all else is
//! dead.

use crate::process::Process;
use crate::rollout::{Content, Handle, Overlay, Proposal};
use hyper::StatusCode;
use seawall_model::{MODULES, Module};
use seawall_snapshot::{Ack, Cause};
use seawall_telemetry::timeline::Filter;
use serde::{Deserialize, Serialize};

/// Configurations that may wait to be loaded by order.
const APPLIES_MAX: usize = 16;
/// Events told at once.
const EVENTS_MAX: usize = 1000;
/// Words of a cause.
const ACKS_MAX: usize = 100;

/// An order to load the configuration now.
#[derive(Debug)]
pub struct Apply {
    /// Its number, which the change carries on.
    pub order: u64,
    /// What the operator acknowledges.
    pub acks: Vec<Ack>,
    /// The snapshot the operator looked at.
    pub base: Option<u64>,
    /// By the short stages.
    pub quick: bool,
}

/// An answer: status and JSON.
pub(crate) type Answer = (StatusCode, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyOrder {
    #[serde(default)]
    acknowledge: Vec<String>,
    base: Option<u64>,
    #[serde(default)]
    quick: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackOrder {
    to: Option<u64>,
    #[serde(default)]
    acknowledge: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnpinOrder {
    artifact: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchOrder {
    name: String,
    zone: Option<String>,
    state: State,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum State {
    On,
    Off,
}

/// `GET /snapshot`.
pub(crate) fn snapshot(handle: &Handle) -> Answer {
    json(StatusCode::OK, &handle.status())
}

/// `POST /snapshot/apply`: the configuration is loaded by whoever runs this edge.
pub(crate) fn apply(process: &Process, handle: &Handle, body: &[u8]) -> Answer {
    let wanted: ApplyOrder = match read(body) {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let acks = match acks(&wanted.acknowledge) {
        Ok(acks) => acks,
        Err(answer) => return answer,
    };
    let order = handle.next_order();
    let mut waiting = process.applies.lock();
    if waiting.len() >= APPLIES_MAX {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many orders are waiting already");
    }
    waiting.push_back(Apply { order, acks, base: wanted.base, quick: wanted.quick });
    accepted(order)
}

/// `POST /snapshot/rollback`.
pub(crate) fn rollback(handle: &Handle, body: &[u8]) -> Answer {
    let wanted: RollbackOrder = match read(body) {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let acks = match acks(&wanted.acknowledge) {
        Ok(acks) => acks,
        Err(answer) => return answer,
    };
    let why = match wanted.to {
        Some(number) => format!("back to snapshot {number}"),
        None => "back to the good snapshot before".to_owned(),
    };
    propose(
        handle,
        Proposal {
            content: Content::Snapshot(wanted.to),
            cause: Cause { who: "rollback".to_owned(), why },
            acks,
            base: None,
            quick: true,
        },
    )
}

/// `POST /snapshot/unpin`.
pub(crate) fn unpin(handle: &Handle, body: &[u8]) -> Answer {
    let wanted: UnpinOrder = match read(body) {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    if !handle.status().pinned.contains(&wanted.artifact) {
        return refusal(StatusCode::NOT_FOUND, &format!("`{}` is not pinned", wanted.artifact));
    }
    match handle.unpin(&wanted.artifact) {
        Ok(()) => (StatusCode::ACCEPTED, "{}\n".to_owned()),
        Err(why) => refusal(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// `POST /module`: a kill switch, or its end.
pub(crate) fn switch(handle: &Handle, body: &[u8]) -> Answer {
    let wanted: SwitchOrder = match read(body) {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let Some(module) = Module::of_name(&wanted.name) else {
        let names: Vec<&str> = Module::ALL.iter().map(|m| m.name()).collect();
        let why = format!("there is no module `{}`; there are {}", wanted.name, names.join(", "));
        return refusal(StatusCode::BAD_REQUEST, &why);
    };
    // An empty name is a slip, never "every zone" (DESIGN R8).
    if wanted.zone.as_deref().is_some_and(|z| z.trim().is_empty()) {
        return refusal(
            StatusCode::BAD_REQUEST,
            "the zone's name is empty, and that does not mean every zone",
        );
    }
    let on = wanted.state == State::On;
    let of = wanted.zone.as_ref().map_or_else(String::new, |z| format!(" for {z}"));
    let why = format!("{} {}{of}", module.name(), if on { "on" } else { "off" });
    propose(
        handle,
        Proposal {
            content: Content::Switch { module, zone: wanted.zone, on },
            cause: Cause { who: "operator".to_owned(), why },
            acks: Vec::new(),
            base: None,
            quick: true,
        },
    )
}

/// `GET /modules`.
pub(crate) fn modules(process: &Process) -> Answer {
    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        off: bool,
        off_by: Option<&'static str>,
        off_for: Vec<String>,
        mode: &'static str,
        faults: u64,
        skipped: u64,
        breakers_open: Vec<String>,
        doc: &'static str,
    }
    #[derive(Serialize)]
    struct Rows {
        modules: Vec<Row>,
    }
    let live = process.live.load_full();
    let switches = Overlay::of(&live.units);
    let now = process.registry.summary();
    let rows = MODULES.iter().map(|info| {
        let module = info.module;
        let off = live.shared.off.contains(module);
        let by = if switches.is_off(module) { "operator" } else { "configuration" };
        let counted = now.modules.iter().find(|m| m.name == info.name);
        Row {
            name: info.name,
            off,
            off_by: off.then_some(by),
            off_for: switches.zones(module).map(str::to_owned).collect(),
            mode: live.shared.mode(module).name(),
            faults: counted.map_or(0, |m| m.faults),
            skipped: counted.map_or(0, |m| m.skipped),
            breakers_open: live.open_breakers(module),
            doc: info.doc,
        }
    });
    json(StatusCode::OK, &Rows { modules: rows.collect() })
}

/// `GET /timeline?after=UNIX_MS&limit=N`.
pub(crate) fn timeline(process: &Process, query: &str) -> Answer {
    let mut filter = Filter { limit: Some(EVENTS_MAX), ..Filter::default() };
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Ok(number) = value.parse::<u64>() else {
            return refusal(StatusCode::BAD_REQUEST, &format!("`{key}` is to be a number, not `{value}`"));
        };
        match key {
            "after" => filter.after_unix_ms = Some(number),
            "limit" => filter.limit = Some(usize::try_from(number).unwrap_or(EVENTS_MAX).min(EVENTS_MAX)),
            _ => {
                return refusal(
                    StatusCode::BAD_REQUEST,
                    &format!("there is no `{key}`; there are after and limit"),
                );
            }
        }
    }
    let reading = process.timeline.read(&filter);
    (StatusCode::OK, reading.events.iter().map(|event| event.to_line()).collect())
}

fn propose(handle: &Handle, proposal: Proposal) -> Answer {
    let order = handle.next_order();
    match handle.propose(order, proposal) {
        Ok(()) => accepted(order),
        Err(why) => refusal(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

fn acks(texts: &[String]) -> Result<Vec<Ack>, Answer> {
    if texts.len() > ACKS_MAX {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            &format!("at most {ACKS_MAX} acknowledgements in one order"),
        ));
    }
    let parsed = texts.iter().map(|text| text.parse().map_err(|fault| format!("`{text}`: {fault}")));
    parsed.collect::<Result<_, String>>().map_err(|why| refusal(StatusCode::BAD_REQUEST, &why))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Answer> {
    serde_json::from_slice(body)
        .map_err(|fault| refusal(StatusCode::BAD_REQUEST, &format!("the order cannot be read: {fault}")))
}

fn accepted(order: u64) -> Answer {
    (StatusCode::ACCEPTED, format!("{{\"order\":{order}}}\n"))
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    (status, format!("{why}\n"))
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(text) => (status, text + "\n"),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{fault}\n")),
    }
}
