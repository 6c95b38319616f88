//! `docs/modules.md`, written from the tables. `tests/docs.rs` keeps it so.

use crate::{
    AT_ONCE, FAULT_WINDOW_MS, FAULTS_TO_OPEN, Fault, OVERRUN_WINDOW_MS, PROBE_DELAY_MAX_MS, PROBE_DELAY_MS,
    PROBES_TO_CLOSE, REMEMBER_MS,
};
use seawall_model::{FailMode, MODULES};
use std::fmt::Write as _;

/// The text of `docs/modules.md`.
#[must_use]
pub fn modules() -> String {
    let mut out = String::from(
        "# Modules\n\n\
         <!-- Written from the tables in crates/model and crates/guard; change those and run\n     \
         UPDATE_DOCS=1 cargo nextest run -p seawall-guard docs -->\n\n\
         A module is a guarded part of a request's way. What goes wrong in one stays in it: the edge contains panics and\n\
         errors, measures time and memory, and skips a module that keeps failing. A zone pays only for the modules it uses.\n\
         They run in this order:\n\n\
         | module | what it does | if it fails | why | time | memory |\n|---|---|---|---|---:|---:|\n",
    );
    for row in &MODULES {
        let (time, memory) = (row.budget.time_us / 1_000, row.budget.memory_bytes >> 20);
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {time} ms | {memory} MiB |",
            row.name, row.doc, row.mode, row.why
        );
    }
    out.push_str(
        "\nTime and memory are the most one call may take. A call that takes more counts as a fault.\n",
    );
    modes(&mut out);
    breakers(&mut out);
    switches(&mut out);
    out
}

fn modes(out: &mut String) {
    out.push_str(
        "\n## If it fails\n\n\
         The failure mode says what becomes of a request whose module failed or is being skipped:\n\n",
    );
    for mode in FailMode::ALL {
        let means = match mode {
            FailMode::Stale => {
                "The module works on with its last good data. Today only `bot` has such data: the feature\n  file before. \
                 Without it, as open."
            }
            FailMode::Open => "The request goes on as if the module were not there.",
            FailMode::Closed => {
                "The request is answered 503 with `Retry-After`, and the page names the module."
            }
        };
        let _ = writeln!(out, "- **{mode}**: {means}");
    }
    out.push_str(
        "\nA call that only took too long or too much memory has a result, and the result is used.\n\
         A request that `bot` could not score has no score, which is not a low score: no rule with `score_below` matches it.\n\n\
         Another mode is set in the configuration, for all zones or for one. The zone's word comes first.\n\n\
         ```toml\n\
         [edge.modules]\n\
         bans = \"open\"\n\n\
         [[zone]]\n\
         name = \"example.com\"\n\
         [[zone.pool]]\n\
         name = \"app\"\n\
         origins = [{ url = \"http://127.0.0.1:3000\" }]\n\
         [zone.modules]\n\
         firewall = \"closed\"\n\
         ```\n",
    );
}

fn breakers(out: &mut String) {
    let faults = Fault::NAMES.map(|name| format!("`{name}`")).join(", ");
    let _ = write!(
        out,
        "\n## Breakers\n\n\
         Each module of each zone has a breaker. While it is open the module is skipped there. A change on its way has breakers of\n\
         its own: what it breaks does not show beside it.\n\
         Faults are {faults}.\n\n\
         - It opens at {FAULTS_TO_OPEN} faults within {} s. Overruns of time must come within {} s, since a busy machine makes\n  \
         some. One overrun of {AT_ONCE} times the budget opens it at once.\n\
         - {} s later one request tries the module. If that fails, the time to the next try doubles, up to {} s. Each is\n  \
         up to a quarter shorter, so that breakers that opened together do not try together.\n\
         - {PROBES_TO_CLOSE} good tries in a row close it. One that opens again within {} s goes on doubling where it was.\n\
         - A worker that does not come out of a module for a quarter of a second opens it as well, and the first try is half a\n  \
         minute later. Another thread takes over the worker's sockets.\n\
         - A firewall rule that takes longer than the whole module may trips alone; the other rules go on.\n\n\
         `seawall timeline` shows `breaker_opened`, `breaker_closed`, `rule_tripped` and `worker_stuck`. In the access log\n\
         `ModuleFaults` names what failed for a request; [metrics](metrics.md) count it.\n",
        FAULT_WINDOW_MS / 1_000,
        OVERRUN_WINDOW_MS / 1_000,
        PROBE_DELAY_MS / 1_000,
        PROBE_DELAY_MAX_MS / 1_000,
        REMEMBER_MS / 1_000,
    );
}

fn switches(out: &mut String) {
    out.push_str(
        "\n## Switches\n\n    \
         seawall module list\n    \
         seawall module off firewall\n    \
         seawall module off firewall --zone example.com\n    \
         seawall module on firewall --zone example.com\n\n\
         A module that is off leaves every request as it is. The switch talks to the edge's own socket in the data folder; it\n\
         needs no network, no control plane and no configuration file. It is a snapshot that takes the short stages\n\
         (`edge.rollout.quick_hold`). It outlives restarts (`overlay.json` in the data folder) and lies over every\n\
         configuration that comes after, until it is switched back.\n\n\
         `firewall = \"off\"` under `[edge.modules]` or `[zone.modules]` does the same by configuration. What is off for the\n\
         edge is off for every zone. `seawall module on` does not undo what the configuration turned off.\n",
    );
}
