//! The log of Seawall's own life, on standard error.

use seawall_telemetry::events::{self, Events, Format};

/// Starts it. `SEAWALL_LOG` filters (`debug`, `warn,seawall_edge=debug`, …); `SEAWALL_LOG_FORMAT=json` writes JSON.
/// What is queued is written when the result is dropped.
///
/// It starts a thread: a process that reads its signals from a descriptor blocks them first.
///
/// Panics are told here too, once a minute from any one place: those of stages are contained, and a hundred thousand a
/// second of them must not drown the log (DESIGN R10).
pub fn start() -> Option<Events> {
    std::panic::set_hook(Box::new(|panic| {
        seawall_telemetry::occasionally!(ERROR, thread = std::thread::current().name(), "{panic}");
    }));
    let json = std::env::var("SEAWALL_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    match events::init(if json { Format::Json } else { Format::Text }) {
        Ok(events) => Some(events),
        Err(error) => {
            // Serving without a log is better than not serving.
            eprintln!("seawall: no log: {error}");
            None
        }
    }
}
