//! Configurations that are wrong, and what is said about them.
//!
//! `bad.txt` holds the cases: a title, the text of a file, and after `=>` which zones are left and every problem as it is
//! printed. `UPDATE_CASES=1` rewrites what stands after the arrows; read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use seawall_model::{LIMITS, Severity};
use seawall_snapshot::{Parsed, load, parse};

#[test]
fn every_case_is_told_as_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad.txt");
    let recorded = std::fs::read_to_string(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("good.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("open.key", "-----BEGIN PRIVATE KEY-----\n"),
        ("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        ("text.pem", "hello"),
        ("nets.txt", "10.0.0.1\nexample.com # no\n::/0\n"),
        ("blank.txt", "# nothing yet\n\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let mut fresh = String::new();
    for case in recorded.split("\n### ") {
        let case = case.strip_prefix("### ").unwrap_or(case);
        let (title, rest) = case.split_once('\n').unwrap();
        let text = rest.split("\n=>").next().unwrap();
        let told = told(&parse(text, folder.path(), &[])).replace(folder.path().to_str().unwrap(), "…");
        if !fresh.is_empty() {
            fresh.push('\n');
        }
        fresh.push_str(&format!("### {title}\n{text}\n=>\n{told}"));
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    for (now, then) in fresh.split("\n### ").zip(recorded.split("\n### ")) {
        assert_eq!(now.trim_end(), then.trim_end());
    }
}

fn told(parsed: &Parsed) -> String {
    let mut out = match &parsed.site {
        None => "no site\n".to_owned(),
        Some(site) => {
            let names: Vec<&str> = site.zones.iter().map(|zone| zone.name.as_str()).collect();
            format!("zones: {}\n", names.join(" "))
        }
    };
    for list in &parsed.refused_lists {
        out.push_str(&format!("refused list: {list}\n"));
    }
    for zone in &parsed.degraded {
        out.push_str(&format!("degraded: {}\n", zone.name));
    }
    for problem in &parsed.problems {
        out.push_str(&format!("{problem}\n"));
    }
    out
}

const ZONE: &str =
    "[[zone]]\nname = \"a.example\"\n[[zone.pool]]\nname = \"app\"\norigins = [{ url = \"http://a\" }]\n";

#[test]
fn faulty_variables_of_the_environment_are_named() {
    let vars: Vec<(String, String)> = [
        ("SEAWALL_EDGE_WORKERS", "many"),
        ("SEAWALL_EDGE_TLS_SELF_SIGNED", "yes"),
        ("SEAWALL_EDGE_DRAIN", "soon"),
        ("SEAWALL_EDGE_HTTP", "localhost:80"),
        ("SEAWALL_EDGE_METRIC", "127.0.0.1:1"),
        ("SEAWALL_EDGE_SERVICE_HOST", "10.0.0.1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let parsed = parse(ZONE, Path::new(""), &vars);
    assert!(parsed.site.is_none() && parsed.is_wholly_bad());
    let mut told: Vec<String> =
        parsed.problems.iter().map(|p| format!("{} {} {}", p.severity.as_str(), p.path, p.message)).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "error SEAWALL_EDGE_DRAIN `soon` is no duration",
            "error SEAWALL_EDGE_HTTP `localhost:80` is no listen address",
            "error SEAWALL_EDGE_TLS_SELF_SIGNED `yes` is not true or false",
            "error SEAWALL_EDGE_WORKERS `many` is not a whole number",
            "warning SEAWALL_EDGE_METRIC the environment variable SEAWALL_EDGE_METRIC overrides nothing",
            "warning SEAWALL_EDGE_SERVICE_HOST the environment variable SEAWALL_EDGE_SERVICE_HOST overrides nothing",
        ]
    );
}

#[test]
fn files_that_cannot_be_read_are_a_problem_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load(&folder.path().join("none.toml"), &[]);
    assert!(missing.site.is_none());
    assert!(missing.problems[0].message.starts_with("there is no file"), "{}", missing.problems[0]);
    assert!(load(folder.path(), &[]).problems[0].message.contains("cannot be read"));

    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, b"a = 1\nb = \"\xff\"\n").unwrap();
    let told = load(&binary, &[]);
    assert_eq!((told.problems[0].line, told.problems.len()), (Some(2), 1));
    assert!(told.problems[0].message.ends_with("is not UTF-8"));
}

#[test]
fn a_password_in_a_url_is_never_repeated() {
    for url in [
        "http://u:hunter2@a",
        "http://u:hunter2@a/b?c",
        "ftp://u:hunter2@a",
        "u:hunter2@a",
        "https://u:hunter2@[::1",
    ] {
        let text = ZONE.replace("http://a", url);
        let parsed = parse(&text, Path::new(""), &[]);
        assert!(parsed.has_errors(), "{url}");
        assert!(!parsed.problems.iter().any(|p| p.to_string().contains("hunter2")), "{:?}", parsed.problems);
    }
}

#[test]
fn nothing_in_a_report_can_garble_a_terminal() {
    let evil = "\\u001b[31m\\u202ex\\u0085";
    for text in [
        ZONE.replace("http://a", &format!("http://{evil}")),
        ZONE.replace("a.example", evil),
        ZONE.replace("\"app\"", &format!("\"{evil}\"")),
        ZONE.replace("[[zone.pool", &format!("hosts = [\"{evil}\", \"\\u0085\"]\n[[zone.pool")),
        ZONE.replace(
            "[[zone.pool",
            &format!("certificates = [{{ cert = \"{evil}\", key = \"{evil}\" }}]\n[[zone.pool"),
        ),
        ZONE.replace("[[zone.pool", &format!("\"{evil}\" = 1\n[[zone.pool")),
        format!(
            "{ZONE}[[zone.route]]\npool = \"{evil}\"\npath = \"{evil}\"\nmethods = [\"{evil}\"]\nbypass_cookie = \"{evil}\"\n"
        ),
        format!(
            "{ZONE}[[zone.route]]\nrequest_headers = {{ set = {{ \"{evil}\" = \"{evil}\" }}, remove = [\"{evil}\"] }}\n"
        ),
        "a = \u{1b}[31m\u{202e}".to_owned(),
    ] {
        let parsed = parse(&text, Path::new("/nowhere"), &[]);
        assert!(parsed.has_errors(), "{text}");
        for problem in &parsed.problems {
            let shown = problem.to_string();
            assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
        }
    }
}

#[test]
fn counts_beyond_their_limit_are_refused_by_the_name_of_the_limit() {
    let many =
        |count: usize, each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<Vec<_>>().join(", ");
    let hosts = many(1001, &|i| format!("\"h{i}.example\""));
    let origins = many(65, &|i| format!("{{ url = \"http://10.0.0.1:{}\" }}", i + 1));
    let proxies = many(10_001, &|i| format!("\"10.0.{}.{}\"", i / 250, i % 250));
    for (text, limit) in [
        (
            format!(
                "[[zone]]\nname = \"a\"\nhosts = [{hosts}]\npool = [{{ name = \"p\", origins = [{{ url = \"http://a\" }}] }}]"
            ),
            "hosts",
        ),
        (format!("[[zone]]\nname = \"a\"\npool = [{{ name = \"p\", origins = [{origins}] }}]"), "origins"),
        (format!("[edge]\ntrusted_proxies = [{proxies}]\n{ZONE}"), "trusted_proxies"),
        (ZONE.replace("a.example", &"a".repeat(9000)), "text"),
    ] {
        let limit = LIMITS.iter().find(|l| l.name == limit).unwrap();
        let parsed = parse(&text, Path::new(""), &[]);
        let told = parsed.problems.iter().find(|p| p.is_error()).unwrap();
        assert!(told.message.contains(&format!("{} {}", limit.value, limit.unit)), "{told}");
        assert!(parsed.site.is_none_or(|site| site.zones.is_empty()));
    }
}

#[test]
fn a_count_near_its_limit_is_warned_about() {
    let hosts = (0..900).map(|i| format!("\"h{i}.example\"")).collect::<Vec<_>>().join(", ");
    let parsed = parse(
        &ZONE.replace("\n[[zone.pool", &format!("\nhosts = [{hosts}]\n[[zone.pool")),
        Path::new(""),
        &[],
    );
    assert_eq!(parsed.site.unwrap().zones.len(), 1);
    assert_eq!(parsed.problems.len(), 1);
    assert_eq!(parsed.problems[0].severity, Severity::Warning);
    assert!(parsed.problems[0].message.contains("900 is near the limit of 1000"), "{}", parsed.problems[0]);
}

#[test]
fn certificates_of_the_edge_that_cannot_be_read_stop_a_reload_but_not_a_start() {
    let text = format!("[edge.tls]\ncertificates = [{{ cert = \"no.pem\", key = \"no.key\" }}]\n{ZONE}");
    let parsed = parse(&text, Path::new("/nowhere"), &[]);
    assert!(parsed.has_errors() && parsed.is_wholly_bad());
    let site = parsed.site.unwrap();
    assert!(site.edge.tls.certificates.is_empty());
    assert_eq!(site.zones.len(), 1);
}
