//! A candidate's stages run over recent heads, beside those in force, before any visitor meets it; and later on, where
//! visitors are few, to fill a stage up.

use crate::heads::{NOBODY, Recorded, SOMEBODY, made_up};
use crate::live::Live;
use crate::recorder::Slot;
use crate::stages::{Host, StageFacts, Verdict, what};
use seawall_guard::Sabotage;
use seawall_http::View;
use seawall_model::{HostPattern, Module};
use seawall_rollout::{Rehearsal, Sample};
use seawall_telemetry::names::ModuleFault;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Longest a rehearsal may take. It is a few thousand runs of some microseconds.
const REHEARSE_WITHIN: Duration = Duration::from_secs(10);
/// Longest a few synthetic requests may take: a failed gate is to be over in five seconds, this included.
const FILL_WITHIN: Duration = Duration::from_secs(2);
/// Zones that changed get made-up heads; more than this many are not rehearsed one by one.
const MADE_UP_MAX: usize = 256;
/// Hosts of one zone that get them.
const MADE_UP_HOSTS: usize = 4;
/// Zones that get them where none changed, or all that did are gone.
const ANY_ZONES: usize = 4;

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
}

impl Run {
    /// Faults and overruns of time.
    fn troubles(&self) -> [u64; 2] {
        let late = |(_, fault): &&(_, ModuleFault)| *fault == ModuleFault::Time;
        let overruns = self.facts.faults.iter().filter(late).count();
        [(self.facts.faults.len() - overruns) as u64, overruns as u64]
    }
}

/// What a candidate is tried on.
#[derive(Clone, Default)]
pub(crate) struct Heads {
    /// Of visitors, some time ago.
    pub recent: Arc<[Recorded]>,
    /// For what changed, whether anybody asks for it or not. What becomes of them is nobody's loss.
    pub made_up: Arc<[Recorded]>,
}

/// The two configurations, and where they are tried.
#[derive(Clone)]
pub(crate) struct Bench {
    pub current: Arc<Live>,
    pub candidate: Arc<Live>,
    pub sabotage: Option<Arc<Sabotage>>,
}

impl Bench {
    /// Runs the heads through both. The second count is that of made-up heads: whether they end differently is not
    /// counted.
    ///
    /// # Errors
    /// It did not end in time, or panicked outside of a stage; the sentence says what.
    pub(crate) fn rehearse(&self, heads: &Heads, slot: Slot) -> Result<[Rehearsal; 2], String> {
        let (bench, heads) = (self.clone(), heads.clone());
        bounded("rehearsal", REHEARSE_WITHIN, move || {
            [(&heads.recent, true), (&heads.made_up, false)].map(|(heads, by_visitors)| {
                let mut rehearsal = Rehearsal::default();
                for recorded in heads.iter() {
                    let [before, after] = bench.both(recorded, &slot);
                    let ([faults, overruns], [new_faults, new_overruns]) =
                        (before.troubles(), after.troubles());
                    rehearsal.seen += 1;
                    rehearsal.faults += new_faults.saturating_sub(faults);
                    rehearsal.overruns += u64::from(new_overruns > overruns);
                    rehearsal.changed +=
                        u64::from(by_visitors && after.fate != before.fate && before.fate != Fate::NoZone);
                }
                rehearsal
            })
        })
    }

    /// Runs so many heads through both, going on after the first `done`.
    ///
    /// # Errors
    /// They did not come back, or panicked outside of a stage.
    pub(crate) fn fill(
        &self,
        heads: &Heads,
        done: u64,
        wanted: usize,
        slot: Slot,
    ) -> Result<[Sample; 2], String> {
        let all = heads.recent.len() + heads.made_up.len();
        let at = usize::try_from(done).unwrap_or(0).checked_rem(all).unwrap_or(0);
        let (bench, heads) = (self.clone(), heads.clone());
        let wanted = if all == 0 { 0 } else { wanted };
        bounded("synthetic requests", FILL_WITHIN, move || {
            let mut samples = [Sample::default(), Sample::default()];
            let of_visitors = heads.recent.iter().map(|head| (head, true));
            let heads = of_visitors.chain(heads.made_up.iter().map(|head| (head, false)));
            for (recorded, by_visitors) in heads.cycle().skip(at).take(wanted) {
                for (run, sample) in bench.both(recorded, &slot).iter().zip(&mut samples) {
                    count(run, by_visitors, sample);
                }
            }
            samples
        })
    }

    fn both(&self, recorded: &Recorded, slot: &Slot) -> [Run; 2] {
        [&self.current, &self.candidate].map(|live| run(live, recorded, self.sabotage.as_deref(), slot))
    }
}

fn count(run: &Run, by_visitors: bool, sample: &mut Sample) {
    let [faults, overruns] = run.troubles();
    sample.requests += 1;
    sample.module_faults += faults;
    sample.overruns += overruns;
    sample.blocked += u64::from(by_visitors && run.facts.blocked);
    match run.facts.score {
        Some(Some(score)) => {
            if let Some(band) = sample.scores.get_mut(usize::from(score.min(99)) / 10) {
                *band += 1;
            }
        }
        Some(None) => sample.unscored += 1,
        None => {}
    }
}

/// Runs one head through the stages and routes of a configuration; `slot` says whose, should it be the last thing this
/// process does.
pub(crate) fn run(live: &Live, recorded: &Recorded, sabotage: Option<&Sabotage>, slot: &Slot) -> Run {
    let mut facts = StageFacts::default();
    let head = &recorded.head;
    let Some(zone) = live.find(head.host()).and_then(|slot| live.zone(slot)) else {
        return Run { fate: Fate::NoZone, facts };
    };
    let host = Host {
        shared: &live.shared,
        zone: &zone.doc.name,
        stages: &zone.stages,
        off: live.shared.off_for(&zone.doc.name),
        now_ms: 0,
        slot: Some(slot),
        teller: None,
        sabotage,
        usage: seawall_sys::thread_usage(),
        excused: Cell::default(),
    };
    let view = View { head, address: recorded.address, https: recorded.https };
    slot.enter(zone.unit);
    let verdict = zone.stages.decide(&host, &view, &mut facts);
    let fate = match verdict {
        Verdict::Go => match zone.route(head.host(), &head.method_text, head.path()) {
            None => Fate::NoRoute,
            Some(route) => {
                let mut fields = head.fields.clone();
                let edits = [
                    (Module::RequestHeaders, &route.doc.request_headers),
                    (Module::ResponseHeaders, &route.doc.response_headers),
                ];
                let mut failed = None;
                for (module, edits) in edits {
                    if failed.is_none() && !edits.is_empty() {
                        failed = zone.stages.edit(module, &host, edits, &mut fields, &mut facts).err();
                    }
                }
                match failed {
                    None => Fate::Pool(route.doc.pool.clone()),
                    Some(module) => Fate::Stage(Verdict::Closed(module)),
                }
            }
        },
        stop => Fate::Stage(stop),
    };
    slot.leave();
    Run { fate, facts }
}

/// Heads for zones that changed, some for each of their first hosts; where none is left to ask, for any zones.
pub(crate) fn heads_for(live: &Live, changed: &[String]) -> Arc<[Recorded]> {
    let changed = heads_of(live, changed.iter().map(String::as_str));
    if !changed.is_empty() {
        return changed.into();
    }
    heads_of(live, live.zones.iter().take(ANY_ZONES).map(|(_, entry)| entry.name())).into()
}

fn heads_of<'z>(live: &Live, zones: impl Iterator<Item = &'z str>) -> Vec<Recorded> {
    let mut heads = Vec::new();
    for zone in zones.filter_map(|name| live.named(name)).take(MADE_UP_MAX) {
        for host in zone.doc.hosts.iter().take(MADE_UP_HOSTS) {
            let host = match host {
                HostPattern::Exact(name) => name.to_string(),
                HostPattern::Under(name) => format!("rehearsal.{name}"),
                HostPattern::Any => "rehearsal.invalid".to_owned(),
            };
            heads.push(made_up(&host, "/", SOMEBODY));
            heads.push(made_up(&host, "/index.html?rehearsal=1", NOBODY));
        }
    }
    heads
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
