//! The repository keeps its own rules. Each test prints everything it found, one complaint a line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use seawall_tidy::{Repository, document, layers, licence, manifest, proof, source};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

static HERE: LazyLock<Repository> = LazyLock::new(|| Repository::here().expect("a checkout"));

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn each_rust_file(check: impl Fn(&Path, &str) -> Vec<String>) -> Vec<String> {
    HERE.with_extension("rs").flat_map(|file| check(file, &HERE.text(file).unwrap())).collect()
}

fn metadata(no_dependencies: bool) -> Metadata {
    let mut command = MetadataCommand::new();
    command.current_dir(HERE.root()).other_options(["--locked".to_owned()]);
    if no_dependencies {
        command.no_deps();
    }
    command.exec().expect("cargo metadata: is Cargo.lock up to date?")
}

/// What is built, on this machine, with every feature: `cargo tree` leaves out what only the lock file names.
fn tree(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(HERE.root()).args([
        "tree",
        "--locked",
        "--workspace",
        "--all-features",
        "--prefix",
        "none",
    ]);
    let output = command.args(arguments).output().expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn dependencies_point_down_the_layers() {
    let arrows = manifest::arrows(&metadata(true)).unwrap();
    assert!(arrows.len() >= 14, "cargo metadata shows only {} crates", arrows.len());
    none(layers::complaints(&arrows));
}

#[test]
fn pure_cores_have_no_clock_no_sockets_and_no_waiting() {
    let is_core = |name: &str| layers::layer(name) == Some(1);
    let mut found = each_rust_file(|file, text| {
        let mut parts = file.components().map(|part| part.as_os_str().to_str().unwrap_or(""));
        match (parts.next(), parts.next()) {
            (Some("crates"), Some(name)) if is_core(name) => source::impure(file, text),
            _ => Vec::new(),
        }
    });
    for package in metadata(true).workspace_packages() {
        let name = package.name.strip_prefix("seawall-").unwrap_or(&package.name).to_owned();
        let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        for dependency in normal.filter(|d| is_core(&name) && layers::IMPURE.contains(&d.name.as_str())) {
            found.push(format!("crates/{name} is a pure core and names {}", dependency.name));
        }
    }
    none(found);
}

#[test]
fn no_source_file_is_too_long() {
    let (complaints, long) = source::lengths(&HERE).unwrap();
    println!("{long} files are longer than {} lines", source::LINES_USUAL);
    none(complaints);
}

#[test]
fn no_file_is_too_large_for_git() {
    none(source::sizes(&HERE).unwrap());
}

#[test]
fn unsafe_code_stays_in_its_crate() {
    none(each_rust_file(source::unsafe_code));
}

#[test]
fn lints_against_panics_are_silenced_with_a_reason_or_not_at_all() {
    none(each_rust_file(source::silenced));
}

#[test]
fn no_notes_to_self_are_left() {
    let text = |file: &Path| std::fs::read_to_string(HERE.root().join(file)).unwrap_or_default();
    none(HERE.files().flat_map(|file| source::notes(file, &text(file))).collect());
}

#[test]
fn every_dependency_is_declared_once_with_a_reason_and_used() {
    none(manifest::complaints(&HERE).unwrap());
}

#[test]
fn every_dependency_has_a_licence_we_can_ship() {
    let packages = metadata(false).packages;
    assert!(packages.len() > 100, "cargo metadata shows only {} packages", packages.len());
    let bad = packages.iter().filter(|p| p.source.is_some());
    let bad = bad.filter(|p| !p.license.as_deref().is_some_and(licence::is_allowed));
    none(bad.map(|p| format!("{} {}: licence {:?}", p.name, p.version, p.license)).collect());
}

#[test]
fn our_own_crates_carry_our_licence() {
    let ours = metadata(true);
    let bad =
        ours.workspace_packages().into_iter().filter(|p| p.license.as_deref() != Some("MIT OR Apache-2.0"));
    none(bad.map(|p| format!("{}: license.workspace = true is missing", p.name)).collect());
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(HERE.root().join(file).is_file(), "{file} is missing");
    }
}

#[test]
fn neither_ring_nor_openssl_is_built() {
    let lines = tree(&["--edges", "normal,build,dev"]);
    let banned = ["ring", "openssl", "openssl-sys", "native-tls", "boring", "boring-sys"];
    let mut found: Vec<_> =
        lines.lines().filter(|l| l.split(' ').next().is_some_and(|n| banned.contains(&n))).collect();
    found.sort_unstable();
    found.dedup();
    assert!(lines.lines().any(|l| l.starts_with("aws-lc-rs ")), "cargo tree no longer shows what it should");
    none(
        found.iter().map(|l| format!("{l}: DESIGN §7 wants one TLS stack, rustls with aws-lc-rs")).collect(),
    );
}

#[test]
fn the_two_lists_of_licences_are_one() {
    let deny: toml::Table = HERE.text(Path::new("deny.toml")).unwrap().parse().unwrap();
    let listed = deny["licenses"]["allow"].as_array().unwrap().iter().map(|v| v.as_str().unwrap());
    assert_eq!(
        listed.collect::<Vec<_>>(),
        licence::ALLOWED,
        "deny.toml and crates/tidy/src/licence.rs differ"
    );
}

#[test]
fn crates_built_in_two_versions_are_counted() {
    let lines = tree(&["--duplicates", "--depth", "0", "--edges", "normal"]);
    let mut twice: Vec<_> =
        lines.lines().filter_map(|l| l.split(' ').next()).filter(|n| !n.is_empty()).collect();
    twice.sort_unstable();
    twice.dedup();
    println!("built in two versions: {}", twice.join(", "));
    // A report more than a rule; the rule is that it does not grow unnoticed.
    assert!(twice.len() <= 14, "more crates than before are built in two versions: {twice:?}");
}

#[test]
fn documents_are_there_and_their_links_lead_somewhere() {
    none(document::complaints(&HERE).unwrap());
}

#[test]
fn tests_that_documents_name_exist_where_they_are_said_to() {
    none(proof::tests(&HERE).unwrap());
}

#[test]
fn paths_that_documents_name_lead_somewhere() {
    none(proof::paths(&HERE).unwrap());
}

#[test]
fn scripts_are_executable_and_parse() {
    let is_script = |file: &Path| {
        let text = std::fs::read(HERE.root().join(file)).unwrap_or_default();
        text.starts_with(b"#!") && file.extension().is_none()
    };
    let mut found = Vec::new();
    let scripts: Vec<_> = HERE.files().filter(|file| is_script(file)).collect();
    assert!(scripts.contains(&Path::new(".ci/run")), "{scripts:?}");
    for script in scripts {
        let path = HERE.root().join(script);
        if std::fs::metadata(&path).unwrap().permissions().mode() & 0o111 == 0 {
            found.push(format!("{}: chmod +x", script.display()));
        }
        let first = std::fs::read_to_string(&path).unwrap();
        if first.lines().next().is_some_and(|line| line.ends_with("sh")) {
            let checked = Command::new("bash").arg("-n").arg(&path).output().unwrap();
            if !checked.status.success() {
                found.push(String::from_utf8_lossy(&checked.stderr).into_owned());
            }
        }
    }
    none(found);
}
