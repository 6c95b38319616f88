//! Runs drills against any program file: `cargo run -p seawall-drill --example drill -- PROGRAM [NAME…] [--without G]
//! [--report FILE] [--json]`. For working on drills; people use `seawall drill`.

use seawall_drill::console::{End, Order, carry_out, list};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(program) = arguments.next() else {
        list(false);
        return ExitCode::from(2);
    };
    let mut order = Order {
        names: Vec::new(),
        program: program.into(),
        version: "(example)".to_owned(),
        pace: seawall_drill::Pace::Quick,
        without: Vec::new(),
        json: false,
        report: None,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--without" => order.without.extend(arguments.next()),
            "--report" => order.report = arguments.next().map(Into::into),
            "--json" => order.json = true,
            _ => order.names.push(argument),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map(|runtime| runtime.block_on(carry_out(&order))) {
        Ok(End::Passed) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
