//! Manifests: one place for dependencies, each with its why, each in use.

use crate::repository::Repository;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// The tables of a manifest that name dependencies.
const TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Dependencies that are named for what they do, not used by name, each with the reason.
const UNNAMED: &[(&str, &str)] = &[];

/// What each crate says of itself and names.
///
/// # Errors
/// When a manifest cannot be read.
pub fn complaints(repository: &Repository) -> Result<Vec<String>> {
    let root = repository.text(Path::new("Cargo.toml"))?;
    let mut found = uncommented(&root);
    let mut used = BTreeSet::new();
    for manifest in repository.manifests() {
        let text = repository.text(manifest)?;
        let parsed: toml::Table =
            text.parse().with_context(|| format!("{} is no TOML", manifest.display()))?;
        let folder = manifest.parent().unwrap_or(manifest);
        found.extend(of_crate(folder, &parsed));
        let sources = sources(repository, folder)?;
        for (_, name, _) in dependencies(&parsed) {
            used.insert(name.to_owned());
            let word = name.replace('-', "_");
            if !UNNAMED.iter().any(|(n, _)| *n == name) && !sources.iter().any(|text| text.contains(&word)) {
                found.push(format!(
                    "{}: `{name}` is named here and in no source of the crate: leave it out",
                    manifest.display()
                ));
            }
        }
    }
    for name in declared(&root)?.difference(&used) {
        found.push(format!("Cargo.toml: no crate uses `{name}`: take it out of [workspace.dependencies]"));
    }
    Ok(found)
}

/// The crates and which crates of ours they name, tests included, by folder name.
///
/// # Errors
/// When `cargo metadata` fails.
pub fn arrows(metadata: &cargo_metadata::Metadata) -> Result<crate::layers::Arrows> {
    let mut arrows = crate::layers::Arrows::new();
    let short = |name: &str| name.strip_prefix("seawall-").unwrap_or(name).to_owned();
    for package in metadata.workspace_packages() {
        let own = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        let targets = own.map(|dependency| short(&dependency.name)).collect();
        let folder = package
            .manifest_path
            .parent()
            .and_then(|p| p.file_name())
            .context("a package without a folder")?;
        arrows.insert(folder.to_owned(), targets);
    }
    Ok(arrows)
}

/// Dependencies of the workspace without a comment. Those of ours need none: DESIGN §6 says why they are there.
fn uncommented(root: &str) -> Vec<String> {
    let lines = root.lines().enumerate();
    let section = lines.skip_while(|(_, l)| l.trim() != "[workspace.dependencies]").skip(1);
    section
        .take_while(|(_, l)| !l.starts_with('['))
        .filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#') && !l.starts_with("seawall-"))
        .filter(|(_, l)| l.split_once('#').is_none_or(|(_, why)| why.trim().len() < 3))
        .map(|(i, l)| {
            let name = l.split(['=', ' ']).next().unwrap_or(l);
            format!("Cargo.toml:{}: why `{name}`? Say it in a comment on the same line", i + 1)
        })
        .collect()
}

fn declared(root: &str) -> Result<BTreeSet<String>> {
    let parsed: toml::Table = root.parse().context("Cargo.toml is no TOML")?;
    let table = parsed.get("workspace").and_then(|w| w.get("dependencies")).and_then(toml::Value::as_table);
    Ok(table.context("Cargo.toml has no [workspace.dependencies]")?.keys().cloned().collect())
}

fn of_crate(folder: &Path, manifest: &toml::Table) -> Vec<String> {
    let mut found = Vec::new();
    let at = folder.display();
    let inherits = |table: Option<&toml::Value>| {
        table.and_then(|t| t.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    if !inherits(manifest.get("lints")) {
        found.push(format!("{at}/Cargo.toml: add [lints] with workspace = true"));
    }
    let package = manifest.get("package");
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        if !inherits(package.and_then(|p| p.get(key))) {
            found.push(format!("{at}/Cargo.toml: write `{key}.workspace = true`"));
        }
    }
    if package.and_then(|p| p.get("description")).and_then(toml::Value::as_str).is_none_or(str::is_empty) {
        found.push(format!("{at}/Cargo.toml: say in `description` what the crate is"));
    }
    for (table, name, value) in dependencies(manifest) {
        if !inherits(Some(value)) {
            found.push(format!("{at}/Cargo.toml: [{table}] {name}: write `{name}.workspace = true`"));
        } else if value.get("features").is_some() || value.get("default-features").is_some() {
            found.push(format!(
                "{at}/Cargo.toml: [{table}] {name}: features belong in the root Cargo.toml, or things are built twice"
            ));
        }
    }
    found
}

fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = (&str, &str, &toml::Value)> {
    TABLES.iter().flat_map(move |table| {
        let named = manifest.get(*table).and_then(toml::Value::as_table).into_iter().flatten();
        named.map(move |(name, value)| (*table, name.as_str(), value))
    })
}

fn sources(repository: &Repository, folder: &Path) -> Result<Vec<String>> {
    repository.with_extension("rs").filter(|f| f.starts_with(folder)).map(|f| repository.text(f)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_why_is_told() {
        let root = "[workspace]\n[workspace.dependencies]\n# group\nseawall-a = { path = \"a\" }\n\nb = \"1\" # for this\nc = \"1\"\n[profile.dev]\nd = 1\n";
        let found = uncommented(root);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("`c`"), "{found:?}");
    }

    #[test]
    fn a_crate_that_goes_its_own_way_is_told() {
        let manifest: toml::Table = "[package]\nname = \"x\"\nversion = \"1.0.0\"\nedition.workspace = true\n[dependencies]\na = \"1\"\nb = { workspace = true, features = [\"f\"] }\nc.workspace = true\nd = { workspace = true, optional = true }\n".parse().unwrap();
        let found = of_crate(Path::new("crates/x"), &manifest).join("\n");
        for hint in [
            "[lints]",
            "`version.workspace",
            "`license.workspace",
            "description",
            "a.workspace",
            "b: features",
        ] {
            assert!(found.contains(hint), "{hint}: {found}");
        }
        assert!(
            !found.contains("edition") && !found.contains("c.workspace") && !found.contains("d:"),
            "{found}"
        );
    }
}
