//! `seawall check`: every problem of a configuration at once.

use seawall_model::{Problem, Site};

use crate::cli::CheckArgs;
use crate::config;
use crate::exit::Exit;
use crate::supervisor::counted;

/// Checks a file and prints what was found.
pub fn run(args: &CheckArgs) -> Exit {
    let (site, problems) = match config::check(&args.file) {
        Ok(parsed) => (parsed.site, parsed.problems),
        Err(refusal) => {
            let message = refusal.messages().join("\n");
            if args.json {
                println!("{}", serde_json::json!({ "valid": false, "unreadable": message, "problems": [] }));
            } else {
                eprintln!("seawall: {message}");
            }
            return Exit::InvalidConfiguration;
        }
    };
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let valid = site.is_some() && errors == 0;
    if args.json {
        println!("{}", as_json(site.as_ref(), &problems, valid));
    } else {
        let file = args.file.display();
        for problem in &problems {
            println!("{problem}\n");
        }
        let warnings = problems.len() - errors;
        if valid {
            let more =
                if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
            println!("{file}: ok: {}{more}", site.as_ref().map(counts).unwrap_or_default());
        } else {
            let kept = site.as_ref().map(|site| site.zones.len()).unwrap_or_default();
            println!("{file}: {}, {}", counted(errors, "error"), counted(warnings, "warning"));
            if kept > 0 {
                println!("{} without errors would be served, the others left out", counted(kept, "zone"));
            }
        }
    }
    if valid { Exit::Ok } else { Exit::InvalidConfiguration }
}

fn counts(site: &Site) -> String {
    let zones = &site.zones;
    let routes: usize = zones.iter().map(|zone| zone.routes.len()).sum();
    let pools: usize = zones.iter().map(|zone| zone.pools.len()).sum();
    format!("{}, {}, {}", counted(zones.len(), "zone"), counted(routes, "route"), counted(pools, "pool"))
}

fn as_json(site: Option<&Site>, problems: &[Problem], valid: bool) -> serde_json::Value {
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| {
            serde_json::json!({
                "severity": problem.severity.as_str(),
                "zone": problem.zone,
                "path": problem.path,
                "line": problem.line,
                "message": problem.message,
                "suggestion": problem.suggestion,
            })
        })
        .collect();
    let zones = site.map(|site| site.zones.as_slice()).unwrap_or_default();
    serde_json::json!({
        "valid": valid,
        "zones": zones.len(),
        "routes": zones.iter().map(|zone| zone.routes.len()).sum::<usize>(),
        "pools": zones.iter().map(|zone| zone.pools.len()).sum::<usize>(),
        "problems": problems,
    })
}
