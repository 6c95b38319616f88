//! Configuration file to validated documents, every problem at once.
//!
//! [`parse`] reads the text of a `seawall.toml`, [`load`] a file, [`single`] what `--origin` says. All of them name every
//! problem they find, with its line, path and remedy. A zone with an error is left out and the others stand; only a text
//! that is no TOML, an error outside the zones, or a faulty environment variable leaves no [`Site`] at all.
//!
//! The table of keys in [`schema`] is the one source for what is known, its types and ranges, the environment variables,
//! and `docs/configuration.md` ([`document()`]). Time is linear in the text: 10,000 zones take well under a second.

mod blame;
mod change;
mod clock;
pub mod codec;
mod context;
mod disk;
mod document;
mod edge;
mod effects;
mod files;
mod gc;
mod history;
mod keys;
mod ledger;
mod list;
mod listen;
mod manifest;
mod modules;
mod names;
mod objects;
mod origin;
mod pack;
mod pool;
mod reader;
mod route;
mod rule;
pub mod schema;
mod start;
mod store;
mod store_fault;
mod strict;
mod suggest;
mod syntax;
mod tree;
mod unit;
mod unit_fault;
mod units;
mod valid;
mod zone;

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use seawall_model::{Problem, Severity, Site, Zone, limits};

use crate::context::{At, Context, Place, show_path};
use crate::reader::Reader;

pub use blame::{DEATHS, EARLY_MS, Verdict};
/// What the bytes of a unit are held in.
pub use bytes::Bytes;
pub use change::{ACKNOWLEDGED, Ack, AckFault, Needed, Review, SET_LEAST, SHARE_PERCENT, check, review};
pub use clock::SteadyClock;
pub use codec::{
    BOT_FEATURES, DataFiles, EDGE, check_edge_lists, check_lists, decode_edge, decode_list, decode_module,
    decode_zone, edge_of, encode_edge, encode_list, encode_module, encode_zone, list_of, module_of,
    modules_of, units_of, zone_of,
};
pub use document::document;
pub use effects::Effect;
pub use history::{
    Cause, Death, Entry, GOOD_LEAST, HISTORY_LEAST, History, Quarantine, Refused, State, Undeletable,
    UnitPrefix,
};
pub use manifest::Manifest;
pub use start::{Instead, Replaced, Start};
pub use store::Store;
pub use store_fault::StoreFault;
pub use unit::{
    Hash, LimitFault, Measured, UNIT_KINDS, Unit, UnitKind, UnitRules, WARN_PERCENT, units_document,
};
pub use unit_fault::UnitFault;
pub use units::{Change, Units};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The site, with the zones that have no error. `None` only when the file as a whole cannot be used.
    pub site: Option<Site>,
    /// Zones whose only errors are certificate files that are missing or unreadable, without these certificates. They are
    /// not in `site`: who has an older version of them in memory keeps it, and who has none (at the start) can serve these.
    pub degraded: Vec<Zone>,
    /// Lists with an error. They are not in `site`, and what names them is not at fault: who has an older version of them
    /// keeps it.
    pub refused_lists: Vec<String>,
    /// Files of lists, to be watched beside the configuration file.
    pub list_files: Vec<PathBuf>,
    /// Everything found, in the order of the file.
    pub problems: Vec<Problem>,
    /// Errors that concern neither a zone nor a list.
    general_errors: usize,
}

impl Parsed {
    /// Whether anything is wrong: `seawall check` fails.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// Whether something outside the zones and lists is wrong: a reload changes nothing. There may be a site even so, when only
    /// certificate files of `[edge.tls]` cannot be used: at the start it is better to serve without them.
    #[must_use]
    pub fn is_wholly_bad(&self) -> bool {
        self.site.is_none() || self.general_errors > 0
    }
}

/// Reads the text of a configuration file.
///
/// Relative paths in it start from `base_dir`. Variables named `SEAWALL_…` in `env` override `data_dir` and what stands
/// under `[edge]`; relative paths in them start from the working directory. Command-line flags can be given as such
/// variables: of several with one name the last counts.
#[must_use]
pub fn parse(text: &str, base_dir: &Path, env: &[(String, String)]) -> Parsed {
    let cx = Context::new(text, base_dir, env);
    if text.len() as u64 > limits::FILE_BYTES.value {
        let limit = limits::FILE_BYTES;
        return whole(
            format!(
                "the file has {} bytes, more than the limit of {}: {}",
                text.len(),
                limit.value,
                limit.reason
            ),
            None,
        );
    }
    let tree = match syntax::parse(text) {
        Ok(tree) => tree,
        Err(errors) => return Parsed { problems: syntax::problems(cx, &errors), ..Parsed::default() },
    };
    // A nested block, so that the reader lets go of the context before the problems are taken out of it.
    let (site, refused_lists, list_files, degraded) = {
        let root = Reader::new(
            &cx,
            &schema::ROOT,
            Some(&tree),
            Place::ROOT,
            At::Nowhere,
            Some("SEAWALL".to_owned()),
        );
        edge::check_environment(&cx);
        let lists = list::read(&root);
        let mut site = edge::read(&root);
        if cx.fatal_errors() == 0
            && let Err(fault) = valid::edge_with_modules(&site.edge)
        {
            let (path, message, fix) = fault.into_parts();
            root.spot().error(format!("edge.{path}: {message}"), fix);
        }
        codec::check_bytes(&root.spot(), UnitKind::Edge, EDGE, &site.edge);
        let usable = cx.fatal_errors() == 0 && !lists.unreadable;
        let zones = zone::read(&root);
        root.close();
        site.lists = lists.sound;
        site.zones = zones.sound;
        let degraded = zones.degraded;
        if usable && !zones.unreadable {
            (Some(site), lists.refused, lists.files, degraded)
        } else {
            (None, Vec::new(), lists.files, Vec::new())
        }
    };
    let general_errors = cx.general_errors();
    Parsed { site, degraded, refused_lists, list_files, problems: cx.into_problems(), general_errors }
}

/// Reads a configuration file; relative paths in it start from its folder. See [`parse`].
#[must_use]
pub fn load(path: &Path, env: &[(String, String)]) -> Parsed {
    match read(path) {
        Ok(text) => parse(&text, path.parent().unwrap_or(Path::new("")), env),
        Err(problem) => Parsed { problems: vec![*problem], ..Parsed::default() },
    }
}

/// The site of `--origin URL` without a file: the defaults, the overrides of `env`, and one zone for every host.
#[must_use]
pub fn single(origin: &str, base_dir: &Path, env: &[(String, String)]) -> Parsed {
    let mut parsed = parse("zone = []", base_dir, env);
    match (Zone::single(origin), &mut parsed.site) {
        (Ok(zone), Some(site)) => site.zones.push(zone),
        (Ok(_), None) => {}
        (Err(fault), _) => {
            parsed.site = None;
            parsed.problems.push(problem(
                format!("--origin: {fault}"),
                Some("write http:// or https://, a host, and a port: http://127.0.0.1:3000".to_owned()),
            ));
        }
    }
    parsed
}

/// The `SEAWALL_…` variables of this process; those that are no UTF-8 are passed over.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let pairs = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    pairs.filter(|(name, _)| name.starts_with("SEAWALL_")).collect()
}

/// The text of a file, or the problem that keeps it from being read.
fn read(path: &Path) -> Result<String, Box<Problem>> {
    let shown = show_path(path);
    let failed = |error: std::io::Error| {
        let suggestion = match error.kind() {
            ErrorKind::NotFound => "give the path of a seawall.toml, or start with --origin URL and no file",
            ErrorKind::PermissionDenied => "let the user that runs Seawall read it",
            _ => "give the path of a seawall.toml",
        };
        let why = match error.kind() {
            ErrorKind::NotFound => format!("there is no file {shown}"),
            _ => format!("{shown} cannot be read: {error}"),
        };
        Box::new(problem(why, Some(suggestion.to_owned())))
    };
    let limit = limits::FILE_BYTES.value;
    let mut bytes = Vec::new();
    // One byte more than allowed, to tell a file at the limit from one beyond.
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Box::new(problem(
            format!("{shown} is larger than {limit} bytes: {}", limits::FILE_BYTES.reason),
            None,
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.filter(|&&b| b == b'\n').count() + 1;
        let told = problem(format!("{shown} is not UTF-8"), Some("save it as UTF-8".to_owned()));
        Box::new(Problem { line: Some(line), ..told })
    })
}

fn whole(message: String, suggestion: Option<String>) -> Parsed {
    Parsed { problems: vec![problem(message, suggestion)], ..Parsed::default() }
}

fn problem(message: String, suggestion: Option<String>) -> Problem {
    Problem { zone: None, path: String::new(), line: None, message, suggestion, severity: Severity::Error }
}
