//! `seawall drill`: real outages, replayed against this very program.

use std::path::PathBuf;

use seawall_drill::Pace;
use seawall_drill::console::{End, Order, carry_out, list};

use crate::cli::{DrillArgs, DrillCommand, DrillOptions, PaceArg};
use crate::exit::Exit;

/// Threads for visitors, origins and the drill itself. The edge under test has two more.
const THREADS: usize = 2;

/// Lists drills or runs them.
pub fn run(args: &DrillArgs) -> Exit {
    let (names, options) = match &args.command {
        DrillCommand::List { json } => {
            list(*json);
            return Exit::Ok;
        }
        DrillCommand::Run { names, options } => (names.clone(), options),
        DrillCommand::All { options } => (Vec::new(), options),
    };
    let program = match options.program.clone().map_or_else(std::env::current_exe, Ok) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("seawall: cannot find its own program file: {error}");
            return Exit::Failure;
        }
    };
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("seawall: cannot start: {error}");
                return Exit::Failure;
            }
        };
    match runtime.block_on(carry_out(&order(names, options, program))) {
        End::Passed => Exit::Ok,
        End::Failed | End::Stopped => Exit::Failure,
        End::Usage => Exit::Usage,
    }
}

fn order(names: Vec<String>, options: &DrillOptions, program: PathBuf) -> Order {
    Order {
        names,
        program,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pace: match options.pace {
            PaceArg::Quick => Pace::Quick,
            PaceArg::Real => Pace::Real,
        },
        without: options.without.clone(),
        json: options.json,
        report: options.report.clone(),
    }
}
