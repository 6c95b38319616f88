//! `seawall snapshot`: the history of what was served, and the orders that change what is.
//!
//! `list`, `show`, `diff` and `delete` read and write the data folder and work with nothing running. `apply`, `rollback`
//! and `unpin` are orders to a running edge.

mod offline;
pub mod order;
pub mod status;

use hyper::Method;

use crate::admin;
use crate::cli::{ApplyArgs, SnapshotArgs, SnapshotCommand};
use crate::config;
use crate::exit::Exit;
use order::Output;

/// Does what is asked.
pub fn run(args: &SnapshotArgs) -> Exit {
    let data_dir = match config::data_dir(&args.place.of()) {
        Ok(dir) => dir,
        Err(refusal) => {
            refusal.messages().iter().for_each(|message| eprintln!("seawall: {message}"));
            return refusal.exit();
        }
    };
    let output = if args.place.json { Output::Json } else { Output::Text };
    match &args.command {
        SnapshotCommand::List => offline::list(&data_dir, output),
        SnapshotCommand::Show { number } => offline::show(&data_dir, *number, output),
        SnapshotCommand::Diff { before, after } => offline::diff(&data_dir, *before, *after, output),
        SnapshotCommand::Delete { number } => offline::delete(&data_dir, *number, output),
        SnapshotCommand::Apply(args) => apply(&data_dir, args, output),
        SnapshotCommand::Rollback { number, acknowledge } => {
            if let Err(exit) = are_acknowledgements(acknowledge) {
                return exit;
            }
            let body = serde_json::json!({ "to": number, "acknowledge": acknowledge });
            let what = match number {
                Some(number) => format!("back to snapshot {number}"),
                None => "back to the newest good snapshot before".to_owned(),
            };
            order::carry_out(&data_dir, "/snapshot/rollback", &body, &what, output)
        }
        SnapshotCommand::Unpin { artifact } => unpin(&data_dir, artifact, output),
    }
}

fn apply(data_dir: &std::path::Path, args: &ApplyArgs, output: Output) -> Exit {
    if let Err(exit) = are_acknowledgements(&args.acknowledge) {
        return exit;
    }
    let body = serde_json::json!({ "acknowledge": args.acknowledge, "base": args.base, "quick": args.quick });
    order::carry_out(data_dir, "/snapshot/apply", &body, "the configuration", output)
}

/// A slip is told before the edge is asked.
fn are_acknowledgements(texts: &[String]) -> Result<(), Exit> {
    for text in texts {
        let stated = text
            .split_once('=')
            .is_some_and(|(what, count)| !what.trim().is_empty() && count.trim().parse::<u64>().is_ok());
        if !stated {
            eprintln!(
                "seawall: --acknowledge {text}: write WHAT=COUNT with the number, as in removed_zones=12"
            );
            return Err(Exit::Usage);
        }
    }
    Ok(())
}

fn unpin(data_dir: &std::path::Path, artifact: &str, output: Output) -> Exit {
    let body = serde_json::json!({ "artifact": artifact }).to_string();
    match admin::ask_blocking(data_dir, Method::POST, "/snapshot/unpin", Some(body)) {
        Ok(_) => {
            match output {
                Output::Json => println!("{}", serde_json::json!({ "unpinned": artifact })),
                Output::Text => println!("{artifact} is followed again from its next version on"),
            }
            Exit::Ok
        }
        Err(error) => order::not_taken(&error),
    }
}
