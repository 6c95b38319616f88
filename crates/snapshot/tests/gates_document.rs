//! `docs/gates.md` is what the tables of gates and of acknowledgements say. It is written here, in a test, since this is the
//! lowest crate that sees both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use std::fmt::Write as _;

use seawall_model::Rollout;
use seawall_rollout::{
    ALTERNATIONS_TO_PIN, CHANGED_MIN, CHANGED_SHARE, CONFIRM_MS, GATES, Objection, PERIODS_TO_UNPIN, Plan,
    SILENCE_MS, STAGE_HOLDS_MAX, STAGE_MAX_MS,
};
use seawall_snapshot::{ACKNOWLEDGED, SET_LEAST, SHARE_PERCENT};

#[test]
fn the_document_of_gates_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/gates.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/gates.md differs from the tables; run UPDATE_DOCS=1 cargo nextest run -p seawall-snapshot"
    );
}

fn document() -> String {
    let mut page = String::from(
        "# What a change must pass\n\n\
         <!-- Written from the tables in crates/rollout and crates/snapshot; change those and run\n     \
         UPDATE_DOCS=1 cargo nextest run -p seawall-snapshot document -->\n\n\
         Every change is a snapshot: an edit of the file, a new data file, a kill switch, a way back. It is reviewed, rehearsed\n\
         and tried on a share of the requests. What fails on the way changes nothing for good, and `seawall timeline` says why.\n",
    );
    review(&mut page);
    rehearsal(&mut page);
    stages(&mut page);
    gates(&mut page);
    after(&mut page);
    page
}

fn review(page: &mut String) {
    let _ = write!(
        page,
        "\n## Review\n\n\
         The change is compared with what serves. Some of it must be acknowledged, with its exact number:\n\n    \
         seawall snapshot apply --acknowledge removed_zones=12\n\n\
         | name | counts |\n|---|---|\n",
    );
    for (name, counts) in ACKNOWLEDGED {
        let _ = writeln!(page, "| `{name}` | {counts} |");
    }
    let _ = write!(
        page,
        "\nIt is asked for when more than {SHARE_PERCENT} % of a set comes or goes and the set had at least {SET_LEAST} rows, when\n\
         a set that had rows becomes empty, and when rows stand twice. The first snapshot has nothing to be compared with and\n\
         needs nothing. Content that is in quarantine is refused until its snapshot is deleted: `seawall snapshot delete N`.\n\n\
         A data file that would need it and has none stays out alone, with an alert: its last version serves, and the rest of the\n\
         change goes on. A change that leaves no zone at all is refused, whatever is acknowledged.\n\n\
         `seawall snapshot apply` tells what the change does, `seawall snapshot diff` what an earlier one did.\n",
    );
}

fn rehearsal(page: &mut String) {
    let (name, percent) = (Objection::CHANGED_VERDICTS, CHANGED_SHARE * 100.0);
    let _ = write!(
        page,
        "\n## Rehearsal\n\n\
         The edge keeps the heads of recent requests, without secrets. The modules of the new configuration run over them beside\n\
         those that serve, before any visitor meets it; zones that changed get a few made-up heads as well. It ends here if\n\n\
         - a module fails that does not fail now. This cannot be acknowledged.\n\
         - more than a few calls take more time or memory than modules may, and do not now. Nor can this.\n\
         - more than {percent} % of the requests, and at least {CHANGED_MIN}, end differently: blocked, let through, sent\n  \
         elsewhere. If that is meant: `--acknowledge {name}=N`.\n  \
         A quarter more than N is borne, since recent requests move on.\n",
    );
}

fn stages(page: &mut String) {
    let settings = Rollout::default();
    let (plan, quick) = (Plan::new(&settings), Plan::quick(&settings));
    let stages: Vec<String> = plan.stages.iter().map(|percent| format!("{percent} %")).collect();
    let _ = write!(
        page,
        "\n## Stages\n\n\
         | | ordinary | short |\n|---|---|---|\n\
         | for | files and data files | `seawall module`, `seawall snapshot rollback`, `apply --quick`, and changes of nothing but \
         lists and settings of modules |\n\
         | shares of the requests | {0} | {0} |\n\
         | a stage lasts at least | {1} s | {2} s |\n\
         | and has seen at least | {3} requests | {4} requests |\n\
\n\
         After the last stage the change has all requests. `[edge.rollout]` sets stages, times and numbers. Who runs under the\n\
         change is drawn by a hash of the visitor's address, host and path: the same visitor gets the same answer through all\n\
         stages, and each change has other visitors. A switch and a way back are there to change what becomes of requests, so that\n\
         blocked requests are not compared for them, nor is `changed_verdicts` asked for.\n\n\
         Where visitors are few, the edge runs recorded heads through both configurations (*synthetic* requests), evenly over\n\
         the stage. A stage that does not get its requests within {5} times its time, or {6} s if that is longer, fails. An order\n\
         with short stages does not wait for a change with long ones; that one goes back and follows.\n",
        stages.join(", "),
        plan.hold_ms / 1_000,
        quick.hold_ms / 1_000,
        plan.requests,
        quick.requests,
        STAGE_HOLDS_MAX,
        STAGE_MAX_MS / 1_000,
    );
}

fn gates(page: &mut String) {
    page.push_str(
        "\n## Gates\n\n\
         At every look each gate compares the requests under the change with those beside it, in this order. A difference must be\n\
         large, as the table says, and too large for chance besides. One that may be chance makes a stage last twice as long.\n\n\
         | gate | compares | fails when | from requests | counts | why |\n|---|---|---|---:|---|---|\n",
    );
    for gate in GATES {
        let counts = match (gate.distinct, gate.synthetic) {
            (true, true) => "distinct, synthetic",
            (true, false) => "distinct",
            (false, true) => "all, synthetic",
            (false, false) => "all",
        };
        let least = gate.least;
        let _ = writeln!(
            page,
            "| {} | {} | {} | {least} | {counts} | {} |",
            gate.name, gate.what, gate.fails, gate.why
        );
    }
    let _ = write!(
        page,
        "\n*Distinct*: of requests for the same page by the same visitor only the last counts. A monitor that asks for one page a\n\
         thousand times is one observation. *Synthetic*: requests run by the edge are compared as well, with each other.\n\n\
         A few failures under the change alone must stay alone for {} s before they count: what troubles both shows beside it\n\
         by then. Measurements that are missing for {} s fail the gate.\n",
        CONFIRM_MS / 1_000,
        SILENCE_MS / 1_000,
    );
}

fn after(page: &mut String) {
    let soak = Rollout::default().soak.as_secs() / 60;
    let keep = Rollout::default().keep;
    let _ = write!(
        page,
        "\n## Afterwards\n\n\
         A change that fails a gate is taken back at once. The verdict says what got worse, from what to what, at which stage,\n\
         and what the change did; it is in the timeline and in `seawall snapshot show`. The same content is not tried again\n\
         by itself; `seawall snapshot apply` orders it.\n\n\
         One that passes serves every request. It is on trial for {soak} minutes (`edge.rollout.soak`) and then *good*: a start\n\
         serves the newest good one. {keep} snapshots are kept (`edge.rollout.keep`). If the edge dies of a snapshot or of one\n\
         unit of it, that is quarantined and not served again.\n\n\
         A data file that turns from good to bad {ALTERNATIONS_TO_PIN} times is pinned to its last good version. It is followed\n\
         again after {PERIODS_TO_UNPIN} periods without a bad version, or by `seawall snapshot unpin`.\n",
    );
}
