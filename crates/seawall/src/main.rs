//! The seawall binary: command line and supervisor.

mod channel;
mod check;
mod cli;
mod config;
mod demo_role;
mod demo_stub;
mod edge_role;
mod edge_stub;
mod exit;
mod handover;
mod signals;
mod supervisor;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use cli::{Cli, Command};
use exit::Exit;

/// Per-thread heaps suit thread-per-core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse(); // usage errors end with 2 here
    log_to_stderr();
    let exit = match &cli.command {
        Command::Run(args) => supervisor::run(args),
        Command::Edge(args) => edge_role::run(args),
        Command::Check(args) => check::run(args),
        Command::Upgrade(place) => supervisor::upgrade(place),
        Command::DemoOrigin(args) => demo_role::run(args),
        Command::Purge(_) | Command::Top(_) => Exit::Failure,
        Command::Version => {
            println!("seawall {}", env!("CARGO_PKG_VERSION"));
            Exit::Ok
        }
    };
    exit.into()
}

/// The log of Seawall's own life. `SEAWALL_LOG` filters it (`debug`, `warn,seawall_edge=debug`, …); `SEAWALL_LOG_FORMAT=json`
/// writes JSON. Requests go to the access log instead.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SEAWALL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_target(false);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some(); // the journal has its own clock
    if std::env::var("SEAWALL_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().with_timer(SystemTime).init();
    } else if journal {
        builder.without_time().init();
    } else {
        builder.with_timer(SystemTime).init();
    }
}
