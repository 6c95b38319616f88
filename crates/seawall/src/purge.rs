//! `seawall purge`: removes objects from the cache of a running edge.
//!
//! An empty filter is an error and never means everything (DESIGN R8): `seawall purge --host "$HOST"` with an empty
//! variable must not empty the cache.

use hyper::Method;
use serde::Serialize;

use crate::admin::{self, AdminError};
use crate::cli::PurgeArgs;
use crate::config;
use crate::exit::Exit;

/// Most entries in one call, as in Cloudflare's API for larger plans: each is one mark in memory.
const ENTRIES_MAX: usize = 500;

/// The body of `POST /purge`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Filter<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    files: &'a [String],
    hosts: &'a [String],
    prefixes: &'a [String],
    tags: &'a [String],
    purge_everything: bool,
}

/// Purges.
pub fn run(args: &PurgeArgs) -> Exit {
    let filter = match filter(args) {
        Ok(filter) => filter,
        Err(message) => {
            eprintln!("seawall: {message}");
            return Exit::Usage;
        }
    };
    let data_dir = match config::data_dir(&args.place) {
        Ok(dir) => dir,
        Err(refusal) => {
            refusal.messages().iter().for_each(|message| eprintln!("seawall: {message}"));
            return refusal.exit();
        }
    };
    let body = match serde_json::to_string(&filter) {
        Ok(body) => body,
        Err(error) => {
            eprintln!("seawall: {error}");
            return Exit::Failure;
        }
    };
    match admin::ask_blocking(&data_dir, Method::POST, "/purge", Some(body)) {
        Ok(_) => {
            println!("purged: {}", told(&filter));
            Exit::Ok
        }
        Err(error) => {
            eprintln!("seawall: nothing was purged: {error}");
            if matches!(error, AdminError::Refused { .. }) { Exit::Refused } else { Exit::Failure }
        }
    }
}

fn filter(args: &PurgeArgs) -> Result<Filter<'_>, String> {
    let lists =
        [("--url", &args.url), ("--host", &args.host), ("--prefix", &args.prefix), ("--tag", &args.tag)];
    for (flag, list) in lists {
        if list.iter().any(|entry| entry.trim().is_empty()) {
            return Err(format!("{flag} is empty, and that does not mean everything: name what to purge"));
        }
    }
    if args.zone.as_ref().is_some_and(|zone| zone.trim().is_empty()) {
        return Err("--zone is empty: name the zone".to_owned());
    }
    let count: usize = lists.iter().map(|(_, list)| list.len()).sum();
    if count == 0 && !args.everything {
        return Err(
            "say what to purge: --url, --host, --prefix or --tag, or --everything with --zone".to_owned()
        );
    }
    if count > ENTRIES_MAX {
        return Err(format!(
            "{count} entries are more than one call may have ({ENTRIES_MAX}): split them up"
        ));
    }
    Ok(Filter {
        zone: args.zone.as_deref(),
        files: &args.url,
        hosts: &args.host,
        prefixes: &args.prefix,
        tags: &args.tag,
        purge_everything: args.everything,
    })
}

fn told(filter: &Filter<'_>) -> String {
    if filter.purge_everything {
        return format!("everything in zone {}", filter.zone.unwrap_or_default());
    }
    let lists =
        [("URL", filter.files), ("host", filter.hosts), ("prefix", filter.prefixes), ("tag", filter.tags)];
    let some = lists.iter().filter(|(_, list)| !list.is_empty());
    some.map(|(noun, list)| format!("{noun} {}", list.join(" "))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn args(line: &[&str]) -> PurgeArgs {
        match Cli::try_parse_from(["seawall", "purge"].iter().chain(line)).unwrap().command {
            Command::Purge(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_empty_filter_is_an_error_and_never_everything() {
        for line in [
            &[][..],
            &["--zone", "a"],
            &["--host", ""],
            &["--tag", " "],
            &["--url", "http://a/", "--prefix", ""],
            &["--zone", "", "--everything"],
        ] {
            assert!(filter(&args(line)).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_filter_is_sent_in_the_words_of_the_api() {
        let args = args(&["--zone", "a.test", "--url", "http://a.test/x", "--tag", "t1", "--tag", "t2"]);
        let body = serde_json::to_value(filter(&args).unwrap()).unwrap();
        let expected = serde_json::json!({
            "zone": "a.test", "files": ["http://a.test/x"], "hosts": [], "prefixes": [], "tags": ["t1", "t2"],
            "purge_everything": false
        });
        assert_eq!(body, expected);
        assert_eq!(told(&filter(&args).unwrap()), "URL http://a.test/x, tag t1 t2");
    }

    #[test]
    fn a_call_is_bounded() {
        let many: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("t{n}")).collect();
        let mut args = args(&["--tag", "x"]);
        args.tag = many;
        assert!(filter(&args).is_err());
    }
}
