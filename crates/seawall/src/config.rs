//! From flags and file to a site: the only place of this crate that knows where configuration comes from.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use seawall_model::{Problem, Severity, Site, Zone, limits};
use seawall_snapshot::Parsed;

use crate::cli::{ListenArg, SiteArgs, WhereArgs};

/// Looked for in the working directory when no flag says what to serve.
pub const DEFAULT_FILE: &str = "seawall.toml";

/// A site that can be served.
#[derive(Debug)]
pub struct Loaded {
    /// The site, with the flags applied.
    pub site: Site,
    /// Zones that are sound but for unreadable certificates. They are in no site yet: who serves an earlier version of
    /// one keeps that.
    pub degraded: Vec<Zone>,
    /// What is wrong with parts of it: zones with errors are left out of the site.
    pub problems: Vec<Problem>,
    /// Lists with errors, left out of the site as well.
    pub refused_lists: Vec<String>,
    /// Files that lists are read from.
    pub list_files: Vec<PathBuf>,
    /// The file it came from, and its text.
    pub file: Option<(PathBuf, String)>,
}

/// Why nothing can be served.
#[derive(Debug)]
pub enum Refusal {
    /// No flag and no file says what to serve.
    Nothing,
    /// The flags make no sense.
    Usage(String),
    /// The file cannot be read.
    Unreadable { path: PathBuf, why: String },
    /// The file makes no sense: nothing in it can be served.
    Invalid { path: PathBuf, problems: Vec<Problem> },
}

/// When a configuration is loaded, which decides how much of it must be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing is served yet: what can be served is better than nothing.
    Start,
    /// Something is served: an error outside the zones changes nothing.
    Reload,
}

impl Refusal {
    /// The texts to print or log, one per problem.
    pub fn messages(&self) -> Vec<String> {
        match self {
            Self::Nothing => vec![format!(
                "nothing to serve: there is no ./{DEFAULT_FILE} here. Say what to put Seawall in front of:\n  \
                 seawall run --origin http://127.0.0.1:3000   one web application\n  \
                 seawall run --config FILE                    zones, routes and pools from a file\n  \
                 seawall run --demo                           the built-in demo site, to look around"
            )],
            Self::Usage(message) => vec![message.clone()],
            Self::Unreadable { path, why } => vec![format!("{} cannot be read: {why}", path.display())],
            Self::Invalid { path, problems } => {
                problems.iter().map(|problem| format!("{}: {problem:#}", path.display())).collect()
            }
        }
    }

    /// The exit code it stands for.
    pub fn exit(&self) -> crate::exit::Exit {
        match self {
            Self::Nothing | Self::Usage(_) => crate::exit::Exit::Usage,
            Self::Unreadable { .. } | Self::Invalid { .. } => crate::exit::Exit::InvalidConfiguration,
        }
    }
}

impl Loaded {
    /// Takes the degraded zones into the site, except those `served` already in an earlier version.
    pub fn admit_degraded(&mut self, served: &[String]) {
        let degraded = std::mem::take(&mut self.degraded);
        self.site.zones.extend(degraded.into_iter().filter(|zone| !served.contains(&zone.name)));
    }
}

/// Reads and checks everything the flags and the environment name. Flags override the environment, which overrides the
/// file.
///
/// # Errors
/// [`Refusal`]: nothing can be served, or for a reload, nothing is to be changed.
pub fn load(args: &SiteArgs, moment: Moment) -> Result<Loaded, Refusal> {
    let file = match (&args.config, &args.origin) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    let overrides = overrides(args);
    let single = args.origin.as_deref().map(|origin| Site::single(origin).map_err(|fault| (origin, fault)));
    let single = single
        .transpose()
        .map_err(|(origin, fault)| Refusal::Usage(format!("--origin {origin}: {fault}")))?;
    let mut loaded = match (file, &args.origin) {
        (Some(path), _) => from_text(&path, read_bounded(&path)?, &overrides, moment)?,
        (None, Some(origin)) => {
            let parsed = by_this_build(seawall_snapshot::single(origin, Path::new(""), &overrides));
            usable(Path::new("flags"), parsed, None, moment)?
        }
        (None, None) => return Err(Refusal::Nothing),
    };
    if let Some(single) = single {
        loaded.site.zones = single.zones;
        loaded.degraded.clear();
    }
    if moment == Moment::Start {
        loaded.admit_degraded(&[]);
    }
    Ok(loaded)
}

/// Says that another data folder is not moved to: its lock, sockets and cache are in use.
pub fn warn_of_other_folder(wanted: &Path, used: &Path) {
    if wanted != used {
        tracing::warn!(
            wanted = %wanted.display(),
            used = %used.display(),
            "another data_dir takes effect when seawall is stopped and started"
        );
    }
}

/// Reads one file as it is, for `seawall check`.
///
/// # Errors
/// [`Refusal::Unreadable`].
pub fn check(path: &Path) -> Result<Parsed, Refusal> {
    let text = read_bounded(path)?;
    Ok(by_this_build(seawall_snapshot::parse(&text, folder(path), &seawall_snapshot::environment())))
}

/// The data folder of a running Seawall, for commands that talk to one.
///
/// # Errors
/// [`Refusal`] of the configuration file.
pub fn data_dir(place: &WhereArgs) -> Result<PathBuf, Refusal> {
    if let Some(dir) = &place.data_dir {
        return Ok(dir.clone());
    }
    let args = SiteArgs { config: place.config.clone(), ..SiteArgs::default() };
    match load(&args, Moment::Start) {
        Ok(loaded) => Ok(loaded.site.data_dir),
        Err(Refusal::Nothing) => Ok(Site::default().data_dir),
        Err(refusal) => Err(refusal),
    }
}

/// What of a site decides over sockets and processes. A change of it needs new ones; a change of anything else is
/// swapped inside the edge.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// As configured: port 0 stays 0.
    pub http: Vec<SocketAddr>,
    /// As configured.
    pub https: Vec<SocketAddr>,
    /// As configured.
    pub metrics: Option<SocketAddr>,
    /// Never 0.
    pub workers: usize,
}

impl Plan {
    /// The plan of a site.
    pub fn of(site: &Site) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = match usize::try_from(site.edge.workers) {
            Ok(0) | Err(_) => cores,
            Ok(n) => n,
        };
        Self {
            http: site.edge.http.clone(),
            https: site.edge.https.clone(),
            metrics: site.edge.metrics,
            workers: workers.clamp(1, seawall_net::listen::WORKERS_MAX),
        }
    }
}

fn from_text(
    path: &Path,
    text: String,
    overrides: &[(String, String)],
    moment: Moment,
) -> Result<Loaded, Refusal> {
    let parsed = by_this_build(seawall_snapshot::parse(&text, folder(path), overrides));
    usable(path, parsed, Some((path.to_owned(), text)), moment)
}

fn usable(
    path: &Path,
    parsed: Parsed,
    file: Option<(PathBuf, String)>,
    moment: Moment,
) -> Result<Loaded, Refusal> {
    let wholly_bad = moment == Moment::Reload && parsed.is_wholly_bad();
    match parsed.site {
        // Every zone at fault leaves nothing to serve: that is a broken file, not an order to remove all (DESIGN R8).
        Some(ref site) if site.zones.is_empty() && parsed.degraded.is_empty() && parsed.has_errors() => {
            Err(Refusal::Invalid { path: path.to_owned(), problems: parsed.problems })
        }
        Some(site) if !wholly_bad => Ok(Loaded {
            site,
            degraded: parsed.degraded,
            refused_lists: parsed.refused_lists,
            list_files: parsed.list_files,
            problems: parsed.problems,
            file,
        }),
        _ => Err(Refusal::Invalid { path: path.to_owned(), problems: parsed.problems }),
    }
}

/// Warns of what this program was built without.
fn by_this_build(mut parsed: Parsed) -> Parsed {
    let is_traced = parsed.site.as_ref().is_some_and(|site| site.edge.trace.endpoint.is_some());
    if is_traced && !cfg!(feature = "otel") {
        parsed.problems.push(Problem {
            zone: None,
            path: "edge.trace".to_owned(),
            line: None,
            message: "this seawall was built without traces, so nothing is sent to the collector".to_owned(),
            suggestion: Some("build it with `cargo build --release --features otel`".to_owned()),
            severity: Severity::Warning,
        });
    }
    parsed
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn read_bounded(path: &Path) -> Result<String, Refusal> {
    let unreadable = |why: String| Refusal::Unreadable { path: path.to_owned(), why };
    let meta = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    let limit = limits::FILE_BYTES;
    if meta.len() > limit.value {
        return Err(unreadable(format!("it is larger than {} bytes: {}", limit.value, limit.reason)));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes)
        .map_err(|error| unreadable(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())))
}

/// The environment, and the flags as if they had been set there: of several with one name the last counts.
fn overrides(args: &SiteArgs) -> Vec<(String, String)> {
    let mut pairs = seawall_snapshot::environment();
    let mut set = |name: &str, value: String| pairs.push((name.to_owned(), value));
    if let Some(dir) = args.data_dir.as_ref().and_then(|dir| dir.to_str()) {
        set("SEAWALL_DATA_DIR", dir.to_owned());
    }
    for (name, listen) in [("SEAWALL_EDGE_HTTP", &args.http), ("SEAWALL_EDGE_HTTPS", &args.https)] {
        if !listen.is_empty() {
            let texts: Vec<String> = listen.iter().map(ToString::to_string).collect();
            set(name, texts.join(","));
        }
    }
    match &args.metrics {
        Some(ListenArg::Off) => set("SEAWALL_EDGE_METRICS", "off".to_owned()),
        Some(listen) => {
            set("SEAWALL_EDGE_METRICS", listen.addresses().next().map(|a| a.to_string()).unwrap_or_default());
        }
        None => {}
    }
    if let Some(workers) = args.workers {
        set("SEAWALL_EDGE_WORKERS", workers.to_string());
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_alone_make_a_site() {
        let args = SiteArgs {
            origin: Some("http://127.0.0.1:3000".to_owned()),
            http: vec!["127.0.0.1:0".parse().unwrap()],
            https: vec![ListenArg::Off],
            metrics: Some(ListenArg::Off),
            data_dir: Some("/tmp/elsewhere".into()),
            workers: Some(3),
            ..SiteArgs::default()
        };
        let site = load(&args, Moment::Start).unwrap().site;
        assert_eq!(
            Plan::of(&site),
            Plan { http: vec!["127.0.0.1:0".parse().unwrap()], https: vec![], metrics: None, workers: 3 }
        );
        assert_eq!(site.edge.cache.path, Path::new("/tmp/elsewhere/cache"));
        assert_eq!(site.zones.len(), 1);
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let args = |origin: Option<&str>, config: Option<&str>| SiteArgs {
            origin: origin.map(str::to_owned),
            config: config.map(PathBuf::from),
            ..SiteArgs::default()
        };
        assert!(matches!(load(&args(Some("127.0.0.1:3000"), None), Moment::Start), Err(Refusal::Usage(_))));
        assert!(matches!(
            load(&args(None, Some("/nonexistent.toml")), Moment::Start),
            Err(Refusal::Unreadable { .. })
        ));
        let refusal = load(&args(None, None), Moment::Start).unwrap_err();
        assert!(refusal.messages()[0].contains("--demo"));
    }

    #[test]
    fn traces_are_warned_about_where_they_are_not_built_in() {
        let (_dir, args) = place(&format!("[edge.trace]\nendpoint = \"http://127.0.0.1:4318\"\n{GOOD}"));
        let loaded = load(&args, Moment::Start).unwrap();
        let warned = loaded.problems.iter().any(|p| p.path == "edge.trace" && !p.is_error());
        assert_eq!(warned, !cfg!(feature = "otel"), "{:?}", loaded.problems);
        assert_eq!(check(&args.config.unwrap()).unwrap().problems, loaded.problems);
    }

    const GOOD: &str = r#"
        [[zone]]
        name = "a.test"
        pool = [{ name = "p", origins = [{ url = "http://127.0.0.1:1" }] }]
        [[zone]]
        name = "b.test"
        pool = [{ name = "p", origins = [{ url = "http://127.0.0.1:2" }] }]
    "#;

    fn place(text: &str) -> (tempfile::TempDir, SiteArgs) {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("seawall.toml");
        std::fs::write(&config, text).unwrap();
        let data_dir = Some(dir.path().to_owned());
        (dir, SiteArgs { config: Some(config), data_dir, ..SiteArgs::default() })
    }

    fn zones(loaded: &Loaded) -> Vec<&str> {
        loaded.site.zones.iter().map(|zone| zone.name.as_str()).collect()
    }

    #[test]
    fn a_file_whose_every_zone_is_wrong_is_refused() {
        let (_dir, args) = place(&GOOD.replace("http://", "gopher://"));
        assert!(matches!(load(&args, Moment::Start), Err(Refusal::Invalid { .. })));
    }

    #[test]
    fn flags_override_the_file() {
        let (_dir, mut args) = place(&format!("[edge]\nhttp = \"127.0.0.1:1234\"\nworkers = 7\n{GOOD}"));
        args.workers = Some(2);
        let plan = Plan::of(&load(&args, Moment::Start).unwrap().site);
        assert_eq!((plan.http, plan.workers), (vec!["127.0.0.1:1234".parse().unwrap()], 2));
        args.http = vec!["127.0.0.1:99".parse().unwrap()];
        args.origin = Some("http://127.0.0.1:3".to_owned());
        let loaded = load(&args, Moment::Start).unwrap();
        assert_eq!(
            (zones(&loaded), &loaded.site.edge.http),
            (vec!["default"], &vec!["127.0.0.1:99".parse().unwrap()])
        );
    }
}
