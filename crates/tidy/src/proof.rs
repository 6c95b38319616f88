//! What documents say of the code is there: the tests that prove a claim, and the files where something is found.

use crate::repository::Repository;
use anyhow::Result;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Documents that name tests, each with the heading of the table whose last column does.
pub const TABLES: &[(&str, &str)] =
    &[("README.md", "## Claims and their proof"), ("ARCHITECTURE.md", "## Invariants")];

/// Documents whose paths are looked up.
const WITH_PATHS: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "bench/README.md"];

/// Folders at the top whose files are named in full.
const TOP: &[&str] = &["crates", "tests", "fuzz", "docs", "bench", "packaging", "scripts"];

/// Names of tests have at least this many underscores: they are sentences. Lints and fuzz targets have fewer.
const UNDERSCORES: usize = 2;

/// The functions of each Rust file.
struct Functions(BTreeMap<PathBuf, HashSet<String>>);

impl Functions {
    fn of(repository: &Repository) -> Result<Functions> {
        let mut all = BTreeMap::new();
        for file in repository.with_extension("rs") {
            all.insert(file.to_path_buf(), functions(&repository.text(file)?));
        }
        Ok(Functions(all))
    }

    /// Whether a file, a file under a folder, or any file where none is named, has a function.
    fn has(&self, place: Option<&Path>, name: &str) -> bool {
        let here = |file: &Path| place.is_none_or(|place| file.starts_with(place));
        self.0.iter().any(|(file, names)| here(file) && names.contains(name))
    }
}

/// Names of functions; where a macro makes tests (`fn $name`), what stands before a text is a name too.
fn functions(text: &str) -> HashSet<String> {
    let made = text.contains("fn $").then(|| text.lines().filter_map(|line| line.split_once(": \"")));
    let made = made.into_iter().flatten().map(|(name, _)| name.trim());
    let after = text.split("fn ").skip(1).chain(made);
    let name = |rest: &str| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        rest.split_at(end).0.to_owned()
    };
    after.map(name).filter(|name| !name.is_empty()).collect()
}

/// Tests that are named and do not exist, or not where they are said to be.
///
/// # Errors
/// When a file cannot be read.
pub fn tests(repository: &Repository) -> Result<Vec<String>> {
    let functions = Functions::of(repository)?;
    let mut found = Vec::new();
    for (document, heading) in TABLES {
        let text = repository.text(Path::new(document))?;
        let cells: Vec<&str> = last_column(&text, heading).collect();
        if cells.is_empty() {
            found.push(format!("{document}: there is no table under `{heading}`"));
        }
        let mut last: Option<&str> = None;
        for cell in cells {
            let named = named(cell, &mut last);
            if named.is_empty() && !cell.contains("tests/") {
                found.push(format!("{document}: `{cell}` names no test"));
            }
            for (name, place) in named {
                if !functions.has(place.map(Path::new), name) {
                    let place = place.unwrap_or("the tree");
                    found.push(format!("{document}: there is no test `{name}` in {place}"));
                }
            }
        }
    }
    Ok(found)
}

/// The last cells of the rows of the first table under a heading.
fn last_column<'a>(text: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let under = text.split_once(heading).map_or("", |(_, under)| under);
    let rows =
        under.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).filter_map(|row| row.trim_end_matches([' ', '|']).rsplit(" | ").next())
}

/// The tests a cell names, each with the path that follows it: `a`, `b` in PATH; "same file" is the path before.
fn named<'a>(cell: &'a str, last: &mut Option<&'a str>) -> Vec<(&'a str, Option<&'a str>)> {
    let mut found = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    for (at, piece) in cell.split('`').enumerate() {
        if at % 2 == 1 {
            let is_test = piece.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                && piece.matches('_').count() >= UNDERSCORES;
            open.extend(is_test.then_some(piece));
            continue;
        }
        let word = |word: &'a str| word.trim_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '/'));
        let path = piece.split_whitespace().map(word).find(|word| word.starts_with("crates/"));
        let place = path.or(piece.contains("same file").then_some(*last).flatten());
        if let Some(place) = place {
            found.extend(open.drain(..).map(|name| (name, Some(place))));
            *last = Some(place);
        }
    }
    found.extend(open.into_iter().map(|name| (name, None)));
    found
}

/// Paths that lead nowhere: in code, `edge/h1.rs` for `crates/edge/src/h1.rs`, and what stands in full.
///
/// # Errors
/// When a document cannot be read.
pub fn paths(repository: &Repository) -> Result<Vec<String>> {
    let files: Vec<&str> = repository.files().filter_map(Path::to_str).collect();
    let mut found = Vec::new();
    for document in WITH_PATHS {
        let text = repository.text(Path::new(document))?;
        for path in paths_in(&text) {
            if !leads_somewhere(&files, path) {
                found.push(format!("{document}: there is no {path}"));
            }
        }
    }
    found.dedup();
    Ok(found)
}

/// What looks like a path to a source: in backticks, or in full.
fn paths_in(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let outside_code = text.split("```").step_by(2);
    for (at, piece) in outside_code.flat_map(|text| text.split('`').enumerate()) {
        for word in piece.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';' | '[' | ']'))
        {
            let word = word.trim_end_matches(['.', ':']);
            let first = word.split('/').next().unwrap_or("");
            let is_full = word.contains('/') && TOP.contains(&first);
            let is_short = at % 2 == 1 && (word.ends_with(".rs") || word.ends_with('/'));
            let is_pattern = word.contains(['*', '<', '{', '$', '\\'])
                || word.split('/').any(|part| part.len() > 1 && part.bytes().all(|b| b.is_ascii_uppercase()));
            if (is_full || is_short) && !is_pattern && !word.starts_with(['/', '.', '-']) {
                found.push(word.split('#').next().unwrap_or(word));
            }
        }
    }
    found
}

fn leads_somewhere(files: &[&str], path: &str) -> bool {
    let is_folder = path.ends_with('/');
    let (first, rest) = path.split_once('/').unwrap_or(("", path));
    let under = |folder: &str| {
        let folder = folder.trim_end_matches('/');
        files.iter().any(|file| {
            file.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let is_crate = !first.is_empty() && under(&format!("crates/{first}/src"));
    if TOP.contains(&first) && under(path) {
        return true;
    }
    if is_crate {
        return under(&format!("crates/{first}/src/{rest}")) || under(&format!("crates/{first}/{rest}"));
    }
    // A folder at run time, such as `cache/`; or a file named by its end, where the sentence says of which crate.
    is_folder && !TOP.contains(&first) || files.iter().any(|file| file.ends_with(&format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_named_with_the_place_that_follows_them() {
        let mut last = None;
        let cell =
            "`a_b_c`, `d_e_f` in crates/x/tests/y.rs; `g_h_i`, same file, lint `unsafe_code`, `j_k_l` (x)";
        let y = Some("crates/x/tests/y.rs");
        assert_eq!(named(cell, &mut last), [("a_b_c", y), ("d_e_f", y), ("g_h_i", y), ("j_k_l", None)]);
        assert_eq!(named("`m_n_o`, same file", &mut last), [("m_n_o", y)]);
    }

    #[test]
    fn the_last_column_of_the_table_under_the_heading_is_read() {
        let text =
            "# A\n| x | no |\n## B\n\nwords\n\n| a | b |\n|---|---|\n| x | `y` |\n| z | w |\n\n| no | no |\n";
        assert_eq!(last_column(text, "## B").collect::<Vec<_>>(), ["`y`", "w"]);
    }

    #[test]
    fn paths_are_found_in_code_and_in_full() {
        let text =
            "see `edge/h1.rs`, `life.rs` (crates/x/y.rs), docs/a.md. and/or `tests/NAME/run` `cache/` `a/b`";
        assert_eq!(paths_in(text), ["edge/h1.rs", "life.rs", "crates/x/y.rs", "docs/a.md", "cache/"]);
    }

    #[test]
    fn short_paths_lead_into_the_source_of_their_crate() {
        let files = [
            "crates/edge/src/h1.rs",
            "crates/edge/src/live/mod.rs",
            "docs/a.md",
            "crates/seawall/src/supervisor/life.rs",
        ];
        for path in [
            "edge/h1.rs",
            "edge/live/",
            "life.rs",
            "supervisor/life.rs",
            "docs/",
            "docs/a.md",
            "crates/edge",
            "cache/",
        ] {
            assert!(leads_somewhere(&files, path), "{path}");
        }
        for path in ["edge/h9.rs", "edge/gone/", "gone.rs", "docs/b.md", "crates/gone/src", "tests/gone/"] {
            assert!(!leads_somewhere(&files, path), "{path}");
        }
    }
}
