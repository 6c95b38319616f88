//! `seawall module`: what guards requests, and the switches to turn parts of it off. Works on the edge's own socket, with
//! everything else dead.

use std::path::Path;

use hyper::Method;
use serde::Deserialize;

use crate::admin::{self, AdminError};
use crate::cli::{ModuleArgs, ModuleCommand, SwitchArgs};
use crate::config;
use crate::exit::Exit;
use crate::snapshot::order::{self, Output};
use crate::told::Table;

/// `GET /modules`.
#[derive(Debug, Default, Deserialize)]
struct Modules {
    modules: Vec<Row>,
}

/// One of them. What an edge of another version does not send keeps its default.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    name: String,
    off: bool,
    off_by: Option<String>,
    off_for: Vec<String>,
    mode: String,
    faults: u64,
    skipped: u64,
    breakers_open: Vec<String>,
    doc: String,
}

/// Shows or switches.
pub fn run(args: &ModuleArgs) -> Exit {
    let data_dir = match config::data_dir(&args.place.of()) {
        Ok(dir) => dir,
        Err(refusal) => {
            refusal.messages().iter().for_each(|message| eprintln!("seawall: {message}"));
            return refusal.exit();
        }
    };
    let output = if args.place.json { Output::Json } else { Output::Text };
    match &args.command {
        ModuleCommand::List => list(&data_dir, output),
        ModuleCommand::On(which) => switch(&data_dir, which, true, output),
        ModuleCommand::Off(which) => switch(&data_dir, which, false, output),
    }
}

fn list(data_dir: &Path, output: Output) -> Exit {
    let bytes = match admin::ask_blocking(data_dir, Method::GET, "/modules", None) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("seawall: {error}");
            return if matches!(error, AdminError::Refused { .. }) { Exit::Refused } else { Exit::Failure };
        }
    };
    if output == Output::Json {
        println!("{}", String::from_utf8_lossy(&bytes).trim_end());
        return Exit::Ok;
    }
    match serde_json::from_slice::<Modules>(&bytes) {
        Ok(modules) => {
            print!("{}", table(&modules.modules));
            Exit::Ok
        }
        Err(error) => {
            eprintln!("seawall: the edge's answer cannot be understood: {error}");
            Exit::Failure
        }
    }
}

fn table(modules: &[Row]) -> String {
    let mut table =
        Table::new(&["module", "state", "if it fails", "faults#", "skipped#", "breakers open", "does"]);
    for module in modules {
        let state = match (&module.off_by, module.off) {
            (Some(by), true) => format!("off ({by})"),
            (None, true) => "off".to_owned(),
            (_, false) if module.off_for.is_empty() => "on".to_owned(),
            (_, false) => format!("on, off for {}", some(&module.off_for)),
        };
        let open = if module.breakers_open.is_empty() { "-".to_owned() } else { some(&module.breakers_open) };
        table.row(vec![
            module.name.clone(),
            state,
            module.mode.clone(),
            module.faults.to_string(),
            module.skipped.to_string(),
            open,
            module.doc.clone(),
        ]);
    }
    table.to_string()
}

/// The first few names, and how many more there are.
pub fn some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn switch(data_dir: &Path, which: &SwitchArgs, on: bool, output: Output) -> Exit {
    // An empty variable in a script must not switch it off everywhere (DESIGN R8).
    if which.zone.as_ref().is_some_and(|zone| zone.trim().is_empty()) {
        eprintln!(
            "seawall: --zone is empty, and that does not mean all zones: name the zone, or leave --zone out"
        );
        return Exit::Usage;
    }
    let state = if on { "on" } else { "off" };
    let body = serde_json::json!({ "name": which.name, "zone": which.zone, "state": state });
    let of = which.zone.as_ref().map_or_else(String::new, |zone| format!(" for {zone}"));
    order::carry_out(data_dir, "/module", &body, &format!("module {} {state}{of}", which.name), output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_counted_under_the_names_modules_have() {
        use seawall_telemetry::names::Module as Counted;
        let names: Vec<&str> = seawall_model::Module::ALL.iter().map(|module| module.name()).collect();
        let counted: Vec<&str> = Counted::ALL.iter().map(|module| module.name()).collect();
        assert_eq!(names, counted);
        assert!(seawall_model::Module::ALL.iter().enumerate().all(|(at, module)| module.index() == at));
    }

    #[test]
    fn the_table_says_who_switched_a_module_off_and_where_it_fails() {
        let modules: Modules = serde_json::from_str(
            r#"{"modules":[
                {"name":"redirect","off":false,"mode":"open","faults":0,"skipped":0,"breakers_open":[],"doc":"sends clients elsewhere"},
                {"name":"firewall","off":true,"off_by":"operator","mode":"open","faults":12,"skipped":345,
                 "breakers_open":["a.test","b.test","c.test","d.test"],"doc":"rules","from_the_future":1},
                {"name":"bot","off_for":["a.test"],"mode":"stale"}]}"#,
        )
        .unwrap();
        let text = table(&modules.modules);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("redirect  on ") && lines[1].ends_with("  sends clients elsewhere"),
            "{text}"
        );
        assert!(
            lines[2].contains("off (operator)") && lines[2].contains("a.test, b.test, c.test and 1 more"),
            "{text}"
        );
        assert!(lines[3].contains("on, off for a.test"), "{text}");
    }
}
