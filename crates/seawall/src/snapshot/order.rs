//! Orders to a running edge that make a new snapshot, and watching it through its stages.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::status::{Ended, Seen, Status};
use crate::admin::{self, AdminError};
use crate::exit::Exit;

/// How often the edge is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long an edge may be away (being restarted) before the watch is given up.
const AWAY_MAX: Duration = Duration::from_secs(15);
/// An edge that says nothing of the order for so long is asked whether it is still the one that took it.
const QUIET: Duration = Duration::from_secs(2);
/// An order of which nothing is seen for so long is given up: compiling 100,000 zones takes seconds.
const QUIET_MAX: Duration = Duration::from_secs(300);

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people, with the stages as they pass.
    Text,
    /// One JSON document when it is over.
    Json,
}

/// What follows from one look.
#[derive(Debug)]
enum Step {
    /// It is on its way; what to print now.
    Wait(String),
    /// Nothing is known of it yet, or any more.
    Unseen,
    /// It is over.
    Over(Box<Ended>),
    /// It is over, and a later one ended before we looked.
    Overtaken,
}

/// Follows one order from look to look.
#[derive(Debug, Default)]
struct Watch {
    order: u64,
    stage: Option<String>,
    seen: Seen,
    introduced: bool,
}

impl Watch {
    fn new(order: u64) -> Self {
        Watch { order, ..Watch::default() }
    }

    fn look(&mut self, status: &Status) -> Step {
        if let Some(candidate) = status.candidate.as_ref().filter(|candidate| candidate.order == self.order) {
            let mut text = String::new();
            if !self.introduced && candidate.number > 0 {
                self.introduced = true;
                text.push_str(&format!("snapshot {}\n", candidate.number));
                text.extend(candidate.effects.iter().map(|effect| format!("  {effect}\n")));
            }
            if self.stage.as_ref() != Some(&candidate.stage) {
                text.push_str(&self.end_of_stage());
                text.push_str(&format!("{:>9}", candidate.stage));
                self.stage = Some(candidate.stage.clone());
            }
            self.seen = candidate.requests;
            return Step::Wait(text);
        }
        let ended = || status.recent.iter().rev().chain(&status.last);
        if let Some(ended) = ended().find(|ended| ended.order == self.order) {
            return Step::Over(Box::new(ended.clone()));
        }
        match &status.last {
            _ if status.waiting.contains(&self.order) => Step::Wait(String::new()),
            Some(last) if last.order > self.order => Step::Overtaken,
            _ if status.queued => Step::Wait(String::new()),
            _ => Step::Unseen,
        }
    }

    /// What a stage is left with.
    fn end_of_stage(&mut self) -> String {
        let seen = std::mem::take(&mut self.seen);
        match self.stage.take() {
            None => String::new(),
            Some(_) if seen == Seen::default() => "\n".to_owned(),
            Some(_) => {
                format!("  {} requests under the candidate, {} beside it\n", seen.candidate, seen.current)
            }
        }
    }
}

/// Gives an order and watches it to its end.
pub fn carry_out(data_dir: &Path, path: &str, body: &Value, what: &str, output: Output) -> Exit {
    let began = began(data_dir);
    let order = match give(data_dir, path, body) {
        Ok(order) => order,
        Err(error) => return not_taken(&error),
    };
    if output == Output::Text {
        println!("order {order}: {what}");
    }
    match watch(data_dir, order, began, output) {
        Ok((ended, raw)) => tell(&ended, &raw, output),
        Err(message) => {
            eprintln!("seawall: {message}");
            Exit::Failure
        }
    }
}

/// An order that the edge did not take: nothing has changed.
pub fn not_taken(error: &AdminError) -> Exit {
    eprintln!("seawall: nothing was changed: {error}");
    match error {
        AdminError::Refused { status: 400..500, .. } => Exit::Refused,
        _ => Exit::Failure,
    }
}

fn give(data_dir: &Path, path: &str, body: &Value) -> Result<u64, AdminError> {
    #[derive(Deserialize)]
    struct Accepted {
        order: u64,
    }
    let bytes = admin::ask_blocking(data_dir, Method::POST, path, Some(body.to_string()))?;
    let accepted: Result<Accepted, _> = serde_json::from_slice(&bytes);
    accepted.map(|accepted| accepted.order).map_err(|error| AdminError::Broken(error.to_string()))
}

/// When the edge's process began, Unix milliseconds: another one knows nothing of our order.
fn began(data_dir: &Path) -> Option<u64> {
    #[derive(Deserialize)]
    struct Times {
        time_unix_ms: u64,
        uptime_ms: u64,
    }
    let bytes = admin::ask_blocking(data_dir, Method::GET, "/summary", None).ok()?;
    let times: Times = serde_json::from_slice(&bytes).ok()?;
    times.time_unix_ms.checked_sub(times.uptime_ms)
}

/// Watches an order. Returns how it ended, and that as the edge said it.
fn watch(data_dir: &Path, order: u64, began: Option<u64>, output: Output) -> Result<(Ended, Value), String> {
    let mut watch = Watch::new(order);
    let mut last_answer = Instant::now();
    let mut last_sight = Instant::now();
    loop {
        let step = match admin::ask_blocking(data_dir, Method::GET, "/snapshot", None) {
            Ok(bytes) => {
                last_answer = Instant::now();
                let (status, raw) = read(&bytes)?;
                (watch.look(&status), raw)
            }
            Err(error) if last_answer.elapsed() > AWAY_MAX => {
                return Err(format!("the edge went away while the change was on its way: {error}{SEE}"));
            }
            Err(_) => (Step::Unseen, Value::Null),
        };
        match step {
            (Step::Wait(text), _) => {
                last_sight = Instant::now();
                if output == Output::Text {
                    show(&text);
                }
            }
            (Step::Over(ended), raw) => {
                if is_another(data_dir, began) {
                    return Err(format!("the edge was started anew while the change was on its way{SEE}"));
                }
                if output == Output::Text {
                    show(&watch.end_of_stage());
                }
                return Ok((*ended, as_told(&raw, order)));
            }
            (Step::Overtaken, _) => {
                return Err(format!("another change followed before the end of order {order} was seen{SEE}"));
            }
            (Step::Unseen, _) if last_sight.elapsed() > QUIET_MAX => {
                return Err(format!("the edge says nothing of order {order}{SEE}"));
            }
            (Step::Unseen, _) if last_sight.elapsed() > QUIET && is_another(data_dir, began) => {
                return Err(format!("the edge was started anew while the change was on its way{SEE}"));
            }
            (Step::Unseen, _) => {}
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Where to look on.
const SEE: &str = "; `seawall timeline` and `seawall snapshot list` tell what became of it";

/// How an order ended, in the words of the edge.
fn as_told(raw: &Value, order: u64) -> Value {
    let recent = raw.get("recent").and_then(Value::as_array).into_iter().flatten().rev();
    let told =
        recent.chain(raw.get("last")).find(|ended| ended.get("order").and_then(Value::as_u64) == Some(order));
    told.cloned().unwrap_or(Value::Null)
}

fn is_another(data_dir: &Path, before: Option<u64>) -> bool {
    matches!((before, began(data_dir)), (Some(before), Some(now)) if before != now)
}

fn read(bytes: &Bytes) -> Result<(Status, Value), String> {
    let odd = |error: serde_json::Error| format!("the edge's answer cannot be understood: {error}");
    let raw: Value = serde_json::from_slice(bytes).map_err(odd)?;
    let status = Status::deserialize(&raw).map_err(odd)?;
    Ok((status, raw))
}

/// Prints at once: a stage's line is begun when it begins and ended when it ends.
fn show(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody reads any more; the change goes on all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How it ended.
fn tell(ended: &Ended, raw: &Value, output: Output) -> Exit {
    let (told, complaint, exit) = sentences(ended);
    match output {
        Output::Json => println!("{raw}"),
        Output::Text => print!("{told}"),
    }
    eprint!("{complaint}");
    exit
}

/// What goes to standard output, what to standard error, and the exit code.
fn sentences(ended: &Ended) -> (String, String, Exit) {
    let snapshot =
        ended.number.map_or_else(|| "the change".to_owned(), |number| format!("snapshot {number}"));
    let mut complaint = String::new();
    match ended.outcome.as_str() {
        "adopted" => {
            return (format!("{:>9}  {snapshot} serves every request\n", "100 %"), complaint, Exit::Ok);
        }
        "unchanged" => return ("nothing to do: what serves says the same\n".to_owned(), complaint, Exit::Ok),
        "superseded" => {
            complaint.push_str(&format!("seawall: {snapshot} made way for a later change\n"));
            return (String::new(), complaint, Exit::Failure);
        }
        "failed" => {
            complaint.push_str(&format!("seawall: {snapshot} was taken back; what served before serves on\n"))
        }
        "refused" => complaint.push_str(&format!("seawall: {snapshot} was refused; what serves stays\n")),
        other => complaint.push_str(&format!("seawall: {snapshot}: {other}\n")),
    }
    // What is to be acknowledged is told once, with the flag.
    let is_need =
        |reason: &&String| ended.needs.iter().any(|need| !need.why.is_empty() && reason.contains(&need.why));
    for reason in ended.verdict.iter().chain(&ended.reasons).filter(|reason| !is_need(reason)) {
        complaint.push_str(&format!("  {reason}\n"));
    }
    if !ended.needs.is_empty() {
        complaint.push_str("  If it is meant, say so with the numbers:\n");
        for need in &ended.needs {
            complaint.push_str(&format!("    --acknowledge {}={}   {}\n", need.what, need.count, need.why));
        }
    }
    (String::new(), complaint, Exit::Refused)
}

#[cfg(test)]
mod tests {
    use super::super::status::{Needed, Underway};
    use super::*;

    fn on_its_way(order: u64, stage: &str, current: u64, candidate: u64) -> Status {
        let underway = Underway {
            order,
            number: 8,
            stage: stage.into(),
            requests: Seen { current, candidate },
            effects: vec!["adds 1 zone".into()],
            ..Underway::default()
        };
        Status { candidate: Some(underway), ..Status::default() }
    }

    fn over(order: u64, outcome: &str) -> Status {
        let last = Ended { order, outcome: outcome.into(), number: Some(8), ..Ended::default() };
        Status { last: Some(last), ..Status::default() }
    }

    #[test]
    fn every_stage_is_one_line_with_the_requests_it_saw() {
        let mut watch = Watch::new(3);
        let mut text = String::new();
        for status in [
            Status { queued: true, ..on_its_way(2, "50 %", 9, 9) },
            on_its_way(3, "rehearsal", 0, 0),
            on_its_way(3, "1 %", 0, 0),
            on_its_way(3, "1 %", 990, 10),
            on_its_way(3, "10 %", 90, 10),
        ] {
            match watch.look(&status) {
                Step::Wait(more) => text.push_str(&more),
                other => panic!("{other:?}"),
            }
        }
        text.push_str(&watch.end_of_stage());
        assert_eq!(
            text,
            "snapshot 8\n  adds 1 zone\nrehearsal\n      1 %  10 requests under the candidate, 990 beside it\n     \
             10 %  10 requests under the candidate, 90 beside it\n"
        );
        assert!(matches!(watch.look(&over(3, "adopted")), Step::Over(_)));
    }

    #[test]
    fn the_end_of_another_order_is_not_ours() {
        let mut watch = Watch::new(3);
        assert!(matches!(watch.look(&over(2, "adopted")), Step::Unseen));
        assert!(matches!(watch.look(&over(4, "adopted")), Step::Overtaken));
        assert!(matches!(watch.look(&Status::default()), Step::Unseen));
        let waits = Status { waiting: vec![3], ..over(4, "adopted") };
        assert!(matches!(watch.look(&waits), Step::Wait(_)));
        let recent = vec![Ended { order: 3, outcome: "refused".into(), ..Ended::default() }];
        match watch.look(&Status { recent, ..over(4, "adopted") }) {
            Step::Over(ended) => assert_eq!(ended.outcome, "refused"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exit_codes_tell_adopted_from_refused() {
        for (outcome, exit) in [
            ("adopted", Exit::Ok),
            ("unchanged", Exit::Ok),
            ("refused", Exit::Refused),
            ("failed", Exit::Refused),
            ("superseded", Exit::Failure),
            ("from the future", Exit::Refused),
        ] {
            let ended = Ended { outcome: outcome.into(), ..Ended::default() };
            assert_eq!(sentences(&ended).2, exit, "{outcome}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_acknowledge() {
        let needs = vec![Needed { what: "removed_zones".into(), count: 12, why: "12 of 40 zones go".into() }];
        let ended = Ended {
            outcome: "refused".into(),
            reasons: vec!["too much goes".into()],
            needs,
            ..Ended::default()
        };
        let (told, complaint, _) = sentences(&ended);
        assert_eq!(told, "");
        assert!(
            complaint.contains("too much goes")
                && complaint.contains("--acknowledge removed_zones=12   12 of 40")
        );
    }
}
