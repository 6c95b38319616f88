//! From flags and file to a site: the only place of this crate that knows where configuration comes from.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use seawall_model::{Problem, Site};

use crate::cli::{ListenArg, SiteArgs, WhereArgs};

/// Looked for in the working directory when no flag says what to serve.
pub const DEFAULT_FILE: &str = "seawall.toml";
/// Largest configuration file in bytes. 10,000 zones of a dozen lines are 5 MB; beyond this it is some other file.
pub const FILE_MAX: u64 = 64 * 1024 * 1024;
/// Copy of the last file that was served, under the data folder (see [`load_last_good`]).
const LAST_GOOD: &str = "last-good.toml";

/// A site that can be served.
#[derive(Debug)]
pub struct Loaded {
    /// The site, with the flags applied.
    pub site: Site,
    /// What is wrong with parts of it: zones with errors are left out of the site.
    pub problems: Vec<Problem>,
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

/// Reads and checks everything the flags name.
///
/// # Errors
/// [`Refusal`]: nothing can be served.
pub fn load(args: &SiteArgs) -> Result<Loaded, Refusal> {
    let file = match (&args.config, &args.origin) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    let mut loaded = match (file, &args.origin) {
        (Some(path), _) => load_file(&path)?,
        (None, Some(_)) => Loaded { site: Site::default(), problems: Vec::new(), file: None },
        (None, None) => return Err(Refusal::Nothing),
    };
    if let Some(origin) = &args.origin {
        let single =
            Site::single(origin).map_err(|fault| Refusal::Usage(format!("--origin {origin}: {fault}")))?;
        loaded.site.zones = single.zones;
    }
    apply(args, &mut loaded.site);
    Ok(loaded)
}

/// The site this data folder served last, for a process that is started again after a death while the file is broken:
/// an edit that was refused must not become an outage when the edge next restarts.
pub fn load_last_good(args: &SiteArgs, data_dir: &Path) -> Option<Loaded> {
    let text = read_bounded(&data_dir.join(LAST_GOOD)).ok()?;
    let path = args.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let mut loaded = from_text(&path, text).ok()?;
    apply(args, &mut loaded.site);
    Some(loaded)
}

/// Keeps what is being served now for [`load_last_good`]. Best effort: a full disk does not stop serving.
pub fn keep_last_good(loaded: &Loaded) {
    let Some((_, text)) = &loaded.file else { return };
    let path = loaded.site.data_dir.join(LAST_GOOD);
    let beside = path.with_extension("toml.new");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "cannot keep a copy of the configuration; serving goes on");
    }
}

/// Reads and checks one file, without flags.
///
/// # Errors
/// [`Refusal`]: nothing in it can be served.
pub fn load_file(path: &Path) -> Result<Loaded, Refusal> {
    let text = read_bounded(path).map_err(|why| Refusal::Unreadable { path: path.to_owned(), why })?;
    from_text(path, text)
}

/// The data folder of a running Seawall, for commands that talk to one.
///
/// # Errors
/// [`Refusal`] of the configuration file.
pub fn data_dir(place: &WhereArgs) -> Result<PathBuf, Refusal> {
    if let Some(dir) = &place.data_dir {
        return Ok(dir.clone());
    }
    let default = Path::new(DEFAULT_FILE);
    match &place.config {
        Some(path) => load_file(path).map(|loaded| loaded.site.data_dir),
        None if default.exists() => load_file(default).map(|loaded| loaded.site.data_dir),
        None => Ok(Site::default().data_dir),
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

fn from_text(path: &Path, text: String) -> Result<Loaded, Refusal> {
    let base = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parsed = crate::snapshot_stub::parse(&text, base);
    match parsed.site {
        // Every zone at fault leaves nothing to serve: that is a broken file, not an order to remove all (DESIGN R8).
        Some(site) if !site.zones.is_empty() || !parsed.problems.iter().any(Problem::is_error) => {
            Ok(Loaded { site, problems: parsed.problems, file: Some((path.to_owned(), text)) })
        }
        _ => Err(Refusal::Invalid { path: path.to_owned(), problems: parsed.problems }),
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if meta.len() > FILE_MAX {
        return Err(format!("{} bytes are more than a configuration may have ({FILE_MAX})", meta.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

/// Flags override the file.
fn apply(args: &SiteArgs, site: &mut Site) {
    if let Some(dir) = &args.data_dir {
        // What stands under the data folder by default moves with it; what was placed elsewhere stays.
        for path in [&mut site.edge.cache.path, &mut site.edge.log.path] {
            if let Ok(rest) = path.strip_prefix(&site.data_dir) {
                *path = dir.join(rest);
            }
        }
        site.data_dir.clone_from(dir);
    }
    for (flags, addresses) in [(&args.http, &mut site.edge.http), (&args.https, &mut site.edge.https)] {
        if !flags.is_empty() {
            *addresses = flags.iter().flat_map(ListenArg::addresses).collect();
        }
    }
    if let Some(metrics) = &args.metrics {
        site.edge.metrics = metrics.addresses().next();
    }
    if let Some(workers) = args.workers {
        site.edge.workers = workers;
    }
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
        let site = load(&args).unwrap().site;
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
        assert!(matches!(load(&args(Some("127.0.0.1:3000"), None)), Err(Refusal::Usage(_))));
        assert!(matches!(load(&args(None, Some("/nonexistent.toml"))), Err(Refusal::Unreadable { .. })));
        let refusal = load(&args(None, None)).unwrap_err();
        assert!(refusal.messages()[0].contains("--demo"));
    }
}
