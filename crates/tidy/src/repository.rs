//! The files of the repository: what git tracks, and what it would track if added.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold nothing of ours, for trees without git.
const NOT_OURS: &[&str] = &[".git", "target", "data", "node_modules", "__pycache__", "artifacts"];

/// A checkout.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl Repository {
    /// The checkout this crate lies in.
    ///
    /// # Errors
    /// When its files cannot be listed.
    pub fn here() -> Result<Repository> {
        Repository::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
    }

    /// The checkout at a folder.
    ///
    /// # Errors
    /// When its files cannot be listed.
    pub fn at(root: &Path) -> Result<Repository> {
        let root = root.canonicalize().with_context(|| format!("{} is no folder", root.display()))?;
        let mut files = match listed_by_git(&root) {
            Some(files) => files,
            None => {
                let mut found = Vec::new();
                walk(&root, Path::new(""), &mut found)?;
                found
            }
        };
        // Git lists deleted files until the deletion is committed.
        files.retain(|file| root.join(file).is_file());
        files.sort();
        Ok(Repository { root, files })
    }

    /// Its folder, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its files, relative to the root, sorted.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Its files whose names end in `.EXTENSION`.
    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a Path> {
        self.files().filter(move |file| file.extension().is_some_and(|e| e == extension))
    }

    /// The manifests of the workspace's crates: `crates/NAME/Cargo.toml`.
    pub fn manifests(&self) -> impl Iterator<Item = &Path> {
        self.files().filter(|file| {
            file.starts_with("crates") && file.ends_with("Cargo.toml") && file.components().count() == 3
        })
    }

    /// The text of a file.
    ///
    /// # Errors
    /// When it is gone or no UTF-8.
    pub fn text(&self, file: &Path) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("cannot read {}", file.display()))
    }

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// When it is gone.
    pub fn length(&self, file: &Path) -> Result<u64> {
        let known = fs::metadata(self.root.join(file));
        Ok(known.with_context(|| format!("cannot look at {}", file.display()))?.len())
    }
}

fn listed_by_git(root: &Path) -> Option<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().ok().filter(|output| output.status.success())?;
    let names = String::from_utf8(output.stdout).ok()?;
    let mut files: Vec<PathBuf> = names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect();
    files.dedup();
    Some(files)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = folder.join(&name);
        if entry.file_type()?.is_dir() {
            if !NOT_OURS.iter().any(|not| name == *not) {
                walk(root, &path, found)?;
            }
        } else {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_git_this_file_is_found() {
        let here = Repository::here().unwrap();
        let this = Path::new("crates/tidy/src/repository.rs");
        assert!(here.files().any(|file| file == this));
        let mut walked = Vec::new();
        walk(here.root(), Path::new(""), &mut walked).unwrap();
        assert!(walked.iter().any(|file| file == this));
        assert!(!walked.iter().any(|file| file.starts_with("target")));
    }
}
