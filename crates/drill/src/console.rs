//! `seawall drill`, but for its flags: runs, prints, writes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::manifest::Manifest;
use crate::report::{About, page};
use crate::scene::{Pace, unix_ms};
use crate::verdict::Verdict;
use crate::{DRILLS, Fault, Ran, named, run};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Order {
    /// Names of drills; none means all.
    pub names: Vec<String>,
    /// The program under test.
    pub program: PathBuf,
    /// Its version, for the report.
    pub version: String,
    /// How long stages take.
    pub pace: Pace,
    /// Guards to turn off.
    pub without: Vec<String>,
    /// Print one JSON document instead of text.
    pub json: bool,
    /// Write the page here.
    pub report: Option<PathBuf>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every drill passed.
    Passed,
    /// One did not.
    Failed,
    /// The order made no sense.
    Usage,
    /// Told to stop.
    Stopped,
}

/// Prints what there is.
pub fn list(json: bool) {
    if json {
        println!("{}", serde_json::to_string_pretty(DRILLS).unwrap_or_default());
        return;
    }
    for Manifest { name, title, replays, pass, guards, .. } in DRILLS {
        println!("{name}\n    {title}. Replays {}, {}.", replays.whose, replays.when);
        println!("    Passes when: {pass}");
        let names: Vec<&str> = guards.iter().map(|guard| guard.name).collect();
        println!(
            "    Can be run without: {}\n",
            if names.is_empty() { "-".to_owned() } else { names.join(", ") }
        );
    }
    println!("`seawall drill run NAME`, `seawall drill all`; `--without GUARD` shows that a drill can fail.");
}

/// Carries an order out. What is started is stopped, also on Ctrl-C and SIGTERM.
pub async fn carry_out(order: &Order) -> End {
    let drills = match chosen(&order.names) {
        Ok(drills) => drills,
        Err(fault) => {
            eprintln!("seawall: {fault}");
            return End::Usage;
        }
    };
    let began = Instant::now();
    let mut about = About {
        version: order.version.clone(),
        began_unix_ms: unix_ms(),
        took_ms: 0,
        real_pace: order.pace == Pace::Real,
    };
    let mut all = Vec::new();
    for manifest in drills {
        if !order.json {
            println!("{}: {}", manifest.name, manifest.title);
        }
        let ran = tokio::select! {
            ran = run(manifest, &order.program, order.pace, &order.without) => ran,
            // Dropping the drill ends everything it started.
            () = told_to_stop() => {
                eprintln!("seawall: stopped; what the drill had started is ended");
                return End::Stopped;
            }
        };
        match ran {
            Ok(ran) => {
                if !order.json {
                    print(&ran.verdict);
                }
                all.push(ran);
            }
            Err(fault) => {
                eprintln!("seawall: {fault}");
                return End::Usage;
            }
        }
    }
    about.took_ms = began.elapsed().as_millis() as u64;
    conclude(order, &all, &about)
}

fn conclude(order: &Order, all: &[Ran], about: &About) -> End {
    let passed = all.iter().filter(|ran| ran.verdict.passed).count();
    if order.json {
        let verdicts: Vec<&Verdict> = all.iter().map(|ran| &ran.verdict).collect();
        let document = json!({
            "version": about.version, "began_unix_ms": about.began_unix_ms, "took_ms": about.took_ms,
            "passed": passed == all.len(), "drills": verdicts,
        });
        println!("{}", serde_json::to_string_pretty(&document).unwrap_or_default());
    } else {
        println!("{passed} of {} drills passed in {:.1} s", all.len(), about.took_ms as f64 / 1000.0);
    }
    if let Some(path) = &order.report {
        if let Err(error) = write(path, &page(all, about)) {
            eprintln!("seawall: no report: {}: {error}", path.display());
            return End::Failed;
        }
        if !order.json {
            println!("report: {}", path.display());
        }
    }
    if passed == all.len() { End::Passed } else { End::Failed }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Manifest>, Fault> {
    if names.is_empty() {
        return Ok(DRILLS.iter().collect());
    }
    let find = |name: &String| {
        let all: Vec<&str> = DRILLS.iter().map(|manifest| manifest.name).collect();
        named(name)
            .ok_or_else(|| Fault::Usage(format!("there is no drill `{name}`; there are {}", all.join(", "))))
    };
    names.iter().map(find).collect()
}

fn print(verdict: &Verdict) {
    for check in &verdict.checks {
        let sign = if check.pass { "ok  " } else { "FAIL" };
        println!("  {sign} {}: {} (demanded: {})", check.what, check.measured, check.limit);
    }
    if let Some(fault) = &verdict.fault {
        println!("  FAIL could not be carried out: {fault}");
    }
    let word = if verdict.passed { "passed" } else { "FAILED" };
    let without = match verdict.without.as_slice() {
        [] => String::new(),
        guards => format!(" (without {})", guards.join(", ")),
    };
    println!("  {word}{without} in {:.1} s\n", verdict.took_ms as f64 / 1000.0);
}

async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
