//! The documents: those that must be there, and links that lead somewhere.

use crate::repository::Repository;
use anyhow::Result;
use std::path::{Component, Path, PathBuf};

/// Documents written from tables; tests beside those tables keep them current. The README must lead to each.
pub const WRITTEN_FROM_TABLES: &[&str] = &[
    "docs/metrics.md",
    "docs/configuration.md",
    "docs/access-log.md",
    "docs/errors.md",
    "docs/bot-features.md",
    "docs/units.md",
    "docs/timeline.md",
    "docs/modules.md",
    "docs/gates.md",
    "docs/drills.md",
];

/// What is missing, and links that lead nowhere.
///
/// # Errors
/// When a document cannot be read.
pub fn complaints(repository: &Repository) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let exists = |path: &Path| repository.root().join(path).exists();
    for document in WRITTEN_FROM_TABLES {
        if !exists(Path::new(document)) {
            found.push(format!(
                "{document} is missing: UPDATE_DOCS=1 cargo nextest run --workspace docs document"
            ));
        }
    }
    let readme = Path::new("README.md");
    if exists(readme) {
        let text = repository.text(readme)?;
        let linked: Vec<PathBuf> = links(&text).into_iter().map(|link| resolve(readme, link)).collect();
        let whole_folder = linked.iter().any(|l| l == Path::new("docs"));
        for document in WRITTEN_FROM_TABLES {
            if !whole_folder && !linked.iter().any(|l| l == Path::new(document)) {
                found.push(format!("README.md does not lead to {document}: link it"));
            }
        }
    }
    for file in repository.with_extension("md") {
        let text = repository.text(file)?;
        for link in links(&text) {
            let target = resolve(file, link);
            if !exists(&target) {
                found.push(format!("{}: the link to {link} leads to no file", file.display()));
            }
        }
    }
    Ok(found)
}

/// The relative links of a document, outside code. Images are links too.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        // Every second piece between backticks is code.
        for plain in line.split('`').step_by(2) {
            let targets = plain.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            found.extend(targets.filter(|t| !t.is_empty() && !t.starts_with('#') && !t.contains(':')));
        }
    }
    found
}

/// Where a link in a document leads, from the root, without its fragment.
fn resolve(document: &Path, link: &str) -> PathBuf {
    let path = link.split('#').next().unwrap_or(link);
    let mut resolved = document.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code_only() {
        let text = "[a](b.md) and ![p](../c.png \"t\") [w](https://x.test) [here](#x)\n```\n[no](d.md)\n```\n`[no](e.md)` [f](f/)";
        assert_eq!(links(text), ["b.md", "../c.png", "f/"]);
    }

    #[test]
    fn links_start_from_their_document() {
        let at = Path::new("docs/a/b.md");
        assert_eq!(resolve(at, "../c.md#d"), Path::new("docs/c.md"));
        assert_eq!(resolve(at, "d/"), Path::new("docs/a/d"));
        assert_eq!(resolve(Path::new("README.md"), "./docs"), Path::new("docs"));
    }
}
