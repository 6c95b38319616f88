//! `docs/drills.md` is what the manifests say, and README.md has a row for each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use std::fmt::Write as _;
use std::path::Path;

use seawall_drill::DRILLS;

/// Longest line of prose, in characters.
const WIDTH: usize = 120;

/// Breaks a text into lines; those after the first begin with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let chars = word.chars().count();
        if length > 0 && length + 1 + chars > WIDTH {
            let _ = write!(out, "\n{indent}");
            length = indent.len();
        } else if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += chars;
    }
    out
}

fn document() -> String {
    let mut page = String::from(
        "# Drills\n\n\
         <!-- Written from the manifests in crates/drill/src/drills; change those and run\n     \
         UPDATE_DOCS=1 cargo nextest run -p seawall-drill docs -->\n\n\
         A drill replays a real outage against this program. It starts its own installation on loopback (stub origins, an edge\n\
         with its supervisor, visitors who do not slow down when answers are late), breaks something on purpose, and measures\n\
         from outside: answers, metrics, the timeline, processor time. It needs nothing and touches no other Seawall.\n\n    \
         seawall drill list\n    \
         seawall drill run feature-file --report feature-file.html\n    \
         seawall drill all --json\n\n\
         `--pace real` takes the stages of the product's defaults instead of short ones. `--without GUARD` turns a guard off;\n\
         the drill must then fail, or it would prove nothing. Tests in crates/seawall/tests/drills.rs run each drill both ways.\n\n\
         Drills break things by a file that the variable `SEAWALL_DRILL` names. The edge reads it at its start only, and says so\n\
         in its log and in the timeline. Do not set it where real visitors are served.\n",
    );
    for drill in DRILLS {
        let (whose, when) = (drill.replays.whose, drill.replays.when);
        let story = wrapped(&format!("{whose}, {when}. {}", drill.replays.story), "");
        let _ = write!(page, "\n## `{}`: {}\n\n{story}\n\n", drill.name, drill.title);
        let points = [
            ("Fault", drill.fault),
            ("Load", drill.load),
            ("Observed", drill.observed),
            ("Passes if", drill.pass),
        ];
        for (name, text) in points {
            let _ = writeln!(page, "{}", wrapped(&format!("- **{name}**: {text}"), "  "));
        }
        for guard in drill.guards {
            let _ = writeln!(page, "- **Without** `{}`: {}.", guard.name, guard.without);
        }
    }
    page
}

#[test]
fn the_docs_of_the_drills_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/drills.md");
    let expected = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/drills.md is not current: run UPDATE_DOCS=1 cargo nextest run -p seawall-drill docs"
    );
}

#[test]
fn the_docs_for_everybody_name_every_drill() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let under = readme.split_once("## It fails small").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = under.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut named: Vec<&str> = rows.map(|(name, _)| name).filter(|name| !name.contains(' ')).collect();
    let mut there: Vec<&str> = DRILLS.iter().map(|drill| drill.name).collect();
    named.sort_unstable();
    there.sort_unstable();
    assert_eq!(named, there);
}
