//! What stands in source files: length, `unsafe`, silenced lints, notes to self, and the purity of layer 1.

use crate::repository::Repository;
use anyhow::Result;
use std::path::Path;

/// Lines from which a file is a design question (DESIGN §9).
pub const LINES_MAX: usize = 800;

/// Lines a file mostly stays under; more is counted, not refused.
pub const LINES_USUAL: usize = 300;

/// Files that may be longer, each with its reason. Tables, mostly.
pub const LONG: &[(&str, &str)] = &[];

/// Largest file git should hold, in bytes: a clone is forever.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Lints that keep panics out of the data plane (DESIGN R13); silencing one outside tests needs a reason beside it.
const NO_PANIC: &[&str] = &[
    "unwrap_used",
    "expect_used",
    "panic",
    "indexing_slicing",
    "string_slice",
    "unreachable",
    "todo",
    "unimplemented",
];

/// Notes to self, in pieces so that this file does not hold them.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Files in which people write.
const WRITTEN: &[&str] = &[
    "rs", "toml", "md", "js", "mjs", "py", "sh", "css", "html", "service", "yml", "yaml", "cfg", "vcl",
    "conf",
];

/// What a pure core does not touch. Addresses (`std::net::IpAddr`) are values and fine.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::thread",
    "std::process",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "Instant::now",
    "SystemTime",
    "async fn",
    ".await",
    "static mut",
    "println!",
    "tokio::",
];

/// Lengths of the Rust files: complaints, and how many are longer than usual.
///
/// # Errors
/// When a file cannot be read.
pub fn lengths(repository: &Repository) -> Result<(Vec<String>, usize)> {
    let (mut found, mut long) = (Vec::new(), 0);
    for file in repository.with_extension("rs") {
        let lines = repository.text(file)?.lines().count();
        long += usize::from(lines > LINES_USUAL);
        if lines > LINES_MAX && !LONG.iter().any(|(name, _)| file == Path::new(name)) {
            found.push(format!(
                "{} has {lines} lines, more than {LINES_MAX}: find the seam and split it, or list it in LONG with a reason",
                file.display()
            ));
        }
    }
    Ok((found, long))
}

/// Files too large for git.
///
/// # Errors
/// When a file cannot be looked at.
pub fn sizes(repository: &Repository) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in repository.files() {
        let bytes = repository.length(file)?;
        if bytes > FILE_BYTES_MAX {
            found.push(format!("{} has {bytes} bytes: make it at run time or shrink it", file.display()));
        }
    }
    Ok(found)
}

/// Unsafe code, and permission for it, outside the one crate that has it.
#[must_use]
pub fn unsafe_code(file: &Path, text: &str) -> Vec<String> {
    // This crate has bad examples to try its checks on.
    if file.starts_with("crates/sys") || file.starts_with("crates/tidy") {
        return Vec::new();
    }
    let opens = |rest: &str| {
        let rest = rest.trim_start();
        ["{", "fn ", "impl ", "impl<", "extern ", "trait ", "("].iter().any(|o| rest.starts_with(o))
    };
    numbered(text)
        .filter(|(_, line)| {
            let code = code_of(line);
            words(code, "unsafe").any(opens) || (silences(code) && code.contains("unsafe_code"))
        })
        .map(|(n, _)| format!("{}:{n}: unsafe code belongs in crates/sys (DESIGN R13)", file.display()))
        .collect()
}

/// Lints against panics silenced without a reason, outside tests.
#[must_use]
pub fn silenced(file: &Path, text: &str) -> Vec<String> {
    if is_test(file) {
        return Vec::new();
    }
    let lines: Vec<&str> = before_tests(text).collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let code = code_of(line);
        let named = NO_PANIC.iter().any(|lint| code.contains(&format!("clippy::{lint}")));
        let near = |at: Option<usize>| at.and_then(|at| lines.get(at)).is_some_and(|l| l.contains("//"));
        let reasoned = line.contains("//")
            || line.contains("reason =")
            || near(i.checked_sub(1))
            || near(Some(i + 1))
            || near(attribute_end(&lines, i));
        if named && !code.contains("cfg_attr(test") && !reasoned {
            found.push(format!(
                "{}:{}: a silenced lint needs a comment beside it that says why this cannot panic",
                file.display(),
                i + 1
            ));
        }
    }
    found
}

/// Notes to self: an issue is the place for them.
#[must_use]
pub fn notes(file: &Path, text: &str) -> Vec<String> {
    let written = file.extension().and_then(|e| e.to_str()).is_none_or(|e| WRITTEN.contains(&e));
    let noted = |line: &str| NOTES.iter().any(|note| words(line, note).next().is_some());
    numbered(text)
        .filter(|(_, line)| written && noted(line))
        .map(|(n, _)| format!("{}:{n}: do it, or open an issue", file.display()))
        .collect()
}

/// Clocks, sockets, files and waiting in a crate of layer 1, outside its tests.
#[must_use]
pub fn impure(file: &Path, text: &str) -> Vec<String> {
    if is_test(file) {
        return Vec::new();
    }
    let numbered = before_tests(text).enumerate();
    let whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let holds = |line: &str, word: &str| {
        line.match_indices(word)
            .any(|(at, _)| line.get(at + word.len()..).is_some_and(whole) || word.ends_with(':'))
    };
    let named = |line: &str| IMPURE.iter().copied().find(|word| holds(code_of(line), word));
    numbered
        .filter_map(|(i, line)| named(line).map(|word| (i + 1, word)))
        .map(|(n, word)| {
            format!(
                "{}:{n}: `{word}` in a pure core: take what it needs as an argument (DESIGN §6)",
                file.display()
            )
        })
        .collect()
}

/// Whether a file holds nothing but tests, examples or benchmarks.
#[must_use]
pub fn is_test(file: &Path) -> bool {
    let folder = |name: &str| file.components().any(|part| part.as_os_str() == name);
    let name = file.file_stem().and_then(|n| n.to_str()).unwrap_or("");
    folder("tests") || folder("examples") || folder("benches") || name == "tests" || name.ends_with("_tests")
}

/// The lines before the module of tests, which stands last (CONTRIBUTING).
fn before_tests(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]")
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line))
}

/// A line without its comment. A `//` within a text literal cuts as well: it hides code behind it, of which there is
/// none in practice.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

fn silences(code: &str) -> bool {
    ["allow(", "expect(", "warn("].iter().any(|word| code.contains(word))
}

/// The line where an attribute that spans lines ends, if one does.
fn attribute_end(lines: &[&str], from: usize) -> Option<usize> {
    let rest = lines.get(from..)?.iter().take(12);
    rest.enumerate().find(|(_, line)| line.contains(")]")).map(|(i, _)| from + i)
}

/// What follows each occurrence of a word that stands alone.
fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '\\';
    line.match_indices(word).filter_map(move |(at, _)| {
        let (before, from) = line.split_at_checked(at)?;
        let after = from.strip_prefix(word)?;
        (!before.ends_with(part) && !after.starts_with(part)).then_some(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_told_from_talk_about_it() {
        let at = Path::new("crates/net/src/a.rs");
        for (line, want) in [
            ("    unsafe { x() }", 1),
            ("unsafe fn f() {}", 1),
            ("#[unsafe(no_mangle)]", 1),
            ("#![allow(unsafe_code)]", 1),
            ("// unsafe { x() }", 0),
            ("fn after_unsafe(x: u8) {}", 0),
            ("let csp = \"'unsafe-inline'\";", 0),
        ] {
            assert_eq!(unsafe_code(at, line).len(), want, "{line}");
        }
        assert!(unsafe_code(Path::new("crates/sys/src/a.rs"), "unsafe { x() }").is_empty());
    }

    #[test]
    fn silenced_lints_need_a_reason_outside_tests() {
        let at = Path::new("crates/net/src/a.rs");
        for (text, want) in [
            ("#[allow(clippy::unwrap_used)]\nfn f() {}", 1),
            ("#[allow(clippy::unwrap_used)] // checked above\nfn f() {}", 0),
            ("// checked above\n#[allow(clippy::unwrap_used)]\nfn f() {}", 0),
            ("#[expect(clippy::panic, reason = \"const\")]\nfn f() {}", 0),
            ("#![allow(\n    clippy::panic,\n    clippy::unwrap_used\n)] // a bench\n", 0),
            ("#![cfg_attr(test, allow(clippy::unwrap_used))]", 0),
            ("fn f() {}\n#[cfg(test)]\nmod tests {\n#[allow(clippy::panic)]\n", 0),
            ("#[allow(clippy::too_many_arguments)]\nfn f() {}", 0),
        ] {
            assert_eq!(silenced(at, text).len(), want, "{text}");
        }
        assert!(silenced(Path::new("crates/net/tests/a.rs"), "#![allow(clippy::panic)]").is_empty());
    }

    #[test]
    fn notes_to_self_are_found_as_words() {
        let note = NOTES.concat();
        let at = Path::new("a.rs");
        assert_eq!(notes(at, &format!("// {}: later", NOTES[0])).len(), 1);
        assert!(notes(at, &note).is_empty() && notes(at, "todo!()").is_empty());
        assert!(notes(Path::new("a.bin"), &format!("{} ", NOTES[2])).is_empty());
    }

    #[test]
    fn clocks_and_sockets_are_found_before_the_tests_only() {
        let at = Path::new("crates/http/src/a.rs");
        assert_eq!(impure(at, "let t = std::time::Instant::now();").len(), 1);
        assert_eq!(impure(at, "x().await;\ntokio::spawn(x);").len(), 2);
        assert!(impure(at, "self.awaited = 1;").is_empty());
        assert!(impure(at, "use std::net::IpAddr;\n#[cfg(test)]\nmod tests { use std::fs; }").is_empty());
        assert!(impure(Path::new("crates/http/tests/a.rs"), "use std::fs;").is_empty());
    }
}
