//! The seawall binary: command line and supervisor.

mod admin;
mod boot;
mod channel;
mod check;
mod cli;
mod config;
mod demo_role;
mod drill;
mod edge_role;
mod exit;
mod handover;
mod log;
mod module;
mod purge;
mod signals;
mod snapshot;
mod supervisor;
mod timeline;
mod told;
mod top;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use exit::Exit;

/// Per-thread heaps suit thread-per-core; counted, so that a module's memory can be held against its budget.
#[global_allocator]
static ALLOCATOR: seawall_sys::alloc::Counted<mimalloc::MiMalloc> =
    seawall_sys::alloc::Counted(mimalloc::MiMalloc);

fn main() -> ExitCode {
    let cli = Cli::parse(); // ends with 2 by itself when the command line makes no sense
    // Children are started as /proc/self/exe, and `ps` would call them that. Without /proc there is no such name.
    let _ = std::fs::write("/proc/self/comm", "seawall");
    let exit = match &cli.command {
        Command::Run(args) => supervisor::run(args),
        Command::Edge(args) => edge_role::run(args),
        Command::Check(args) => check::run(args),
        Command::Purge(args) => purge::run(args),
        Command::Snapshot(args) => snapshot::run(args),
        Command::Module(args) => module::run(args),
        Command::Timeline(args) => timeline::run(args),
        Command::Top(args) => top::run(args),
        Command::Upgrade(place) => supervisor::upgrade(place),
        Command::Drill(args) => drill::run(args),
        Command::DemoOrigin(args) => demo_role::run(args),
        Command::Version => {
            println!("seawall {}", env!("CARGO_PKG_VERSION"));
            Exit::Ok
        }
    };
    exit.into()
}
