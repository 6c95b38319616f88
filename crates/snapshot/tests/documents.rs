//! Every example of a configuration in the documents is one that `seawall check` accepts without a word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use std::path::{Path, PathBuf};

/// What stands between ```` ```toml ```` and ```` ``` ````, with the line it begins at.
fn examples(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match &mut open {
            Some(_) if line.trim() == "```" => found.extend(open.take()),
            Some((_, example)) => {
                example.push_str(line);
                example.push('\n');
            }
            None if line.trim() == "```toml" => open = Some((at + 2, String::new())),
            None => {}
        }
    }
    assert!(open.is_none(), "an example is not closed");
    found
}

#[test]
fn every_configuration_in_the_documents_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents: Vec<PathBuf> =
        std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path()).collect();
    documents.retain(|path| path.extension().is_some_and(|e| e == "md"));
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    let mut with_examples = Vec::new();
    for path in documents {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        for (line, example) in examples(&std::fs::read_to_string(&path).unwrap()) {
            let folder = tempfile::tempdir().unwrap();
            let parsed = seawall_snapshot::parse(&example, folder.path(), &[]);
            let told: String = parsed.problems.iter().map(ToString::to_string).collect();
            assert!(
                parsed.problems.is_empty() && parsed.site.is_some(),
                "{name}, example at line {line}:\n{told}"
            );
            with_examples.push(name.clone());
        }
    }
    for name in ["README.md", "configuration.md", "rules.md", "modules.md"] {
        assert!(with_examples.iter().any(|found| found == name), "{name} has no example: {with_examples:?}");
    }
}
