//! A candidate's stages run over recent heads, beside those in force, before any visitor meets it.

use crate::heads::{Recorded, made_up};
use crate::live::Live;
use crate::recorder::Slot;
use crate::stages::{Host, StageFacts, Verdict, what};
use seawall_guard::{Fault, Sabotage};
use seawall_http::View;
use seawall_model::{HostPattern, Module};
use seawall_rollout::Rehearsal;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Longest a rehearsal may take. It is a few thousand runs of some microseconds.
const WITHIN: Duration = Duration::from_secs(10);
/// Zones that changed and have no recent request get made-up ones; more than this many are not rehearsed one by one.
const MADE_UP_MAX: usize = 256;

/// What becomes of a request, as far as stages and routes decide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    NoZone,
    NoRoute,
    Stage(Verdict),
    /// To this pool.
    Pool(String),
}

/// What one run over a head gave.
pub(crate) struct Run {
    pub fate: Fate,
    pub facts: StageFacts,
    pub overrun: bool,
}

/// Runs the heads, and a few made up for the zones named, through both.
///
/// # Errors
/// It did not end in time, or panicked outside of a stage; the sentence says what.
pub(crate) fn rehearse(
    current: &Arc<Live>,
    candidate: &Arc<Live>,
    mut heads: Vec<Recorded>,
    changed: &[String],
    sabotage: Option<&Arc<Sabotage>>,
    slot: Slot,
) -> Result<Rehearsal, String> {
    heads.extend(heads_for(candidate, changed));
    let (current, candidate) = (current.clone(), candidate.clone());
    let sabotage = sabotage.cloned();
    bounded("rehearsal", WITHIN, move || {
        let mut rehearsal = Rehearsal::default();
        for recorded in &heads {
            let before = run(&current, recorded, sabotage.as_deref(), &slot);
            let after = run(&candidate, recorded, sabotage.as_deref(), &slot);
            rehearsal.seen += 1;
            rehearsal.faults += after.facts.faults.len().saturating_sub(before.facts.faults.len()) as u64;
            rehearsal.overruns += u64::from(after.overrun && !before.overrun);
            rehearsal.changed += u64::from(after.fate != before.fate && before.fate != Fate::NoZone);
        }
        rehearsal
    })
}

/// Runs one head through the stages and routes of a configuration; `slot` says whose, should it be the last thing this
/// process does.
pub(crate) fn run(live: &Live, recorded: &Recorded, sabotage: Option<&Sabotage>, slot: &Slot) -> Run {
    let mut facts = StageFacts::default();
    let head = &recorded.head;
    let Some(zone) = live.find(head.host()).and_then(|slot| live.zone(slot)) else {
        return Run { fate: Fate::NoZone, facts, overrun: false };
    };
    let host = Host {
        shared: &live.shared,
        zone: &zone.doc.name,
        stages: &zone.stages,
        off: live.shared.off_for(&zone.doc.name),
        now_ms: 0,
        teller: None,
        sabotage,
        last: Cell::new(None),
    };
    let view = View { head, address: recorded.address, https: recorded.https };
    slot.enter(zone.unit);
    let verdict = zone.stages.decide(&host, &view, &mut facts);
    let fate = match verdict {
        Verdict::Go => match zone.route(head.host(), &head.method_text, head.path()) {
            None => Fate::NoRoute,
            Some(route) => {
                let mut fields = head.fields.clone();
                let edits = &route.doc.request_headers;
                match zone.stages.edit(Module::RequestHeaders, &host, edits, &mut fields, &mut facts) {
                    Ok(()) => Fate::Pool(route.doc.pool.clone()),
                    Err(module) => Fate::Stage(Verdict::Closed(module)),
                }
            }
        },
        stop => Fate::Stage(stop),
    };
    slot.leave();
    let overrun = matches!(host.last.get(), Some(Fault::Time { .. } | Fault::Memory { .. }));
    Run { fate, facts, overrun }
}

/// Heads for zones that changed, one for each of their first hosts and routes.
pub(crate) fn heads_for(live: &Live, zones: &[String]) -> Vec<Recorded> {
    let mut heads = Vec::new();
    for zone in zones.iter().take(MADE_UP_MAX).filter_map(|name| live.named(name)) {
        for host in zone.doc.hosts.iter().take(4) {
            let host = match host {
                HostPattern::Exact(name) => name.to_string(),
                HostPattern::Under(name) => format!("rehearsal.{name}"),
                HostPattern::Any => "rehearsal.invalid".to_owned(),
            };
            heads.push(made_up(&host, "/"));
            heads.push(made_up(&host, "/index.html?rehearsal=1"));
        }
    }
    heads
}

/// Heads for some zone, where nobody asked for anything lately and no zone changed.
pub(crate) fn heads_for_any(live: &Live) -> Vec<Recorded> {
    let names: Vec<String> = live.zones.iter().take(4).map(|(_, entry)| entry.name().to_owned()).collect();
    heads_for(live, &names)
}

/// Runs work on a thread of its own and waits only so long. Work that hangs is left behind: there is no way to end a
/// thread, and the process is replaced in due course.
pub(crate) fn bounded<T: Send + 'static>(
    name: &str,
    within: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (done, outcome) = crossbeam_channel::bounded(1);
    let body = move || {
        let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|fault| format!("no thread for the {name}: {fault}"))?;
    match outcome.recv_timeout(within) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(panic)) => Err(format!("the {name} panicked: {}", what(&*panic))),
        Err(_) => Err(format!("the {name} did not end within {} s", within.as_secs())),
    }
}
