//! What an edge starts from: the newest snapshot it may trust, and only where there is none the configuration itself.
//!
//! Starting needs the data folder and nothing else: no network, no store of others, no valid configuration (DESIGN R6).
//! Whatever the configuration says that the snapshot does not goes through the stages of any change, once the edge serves.

use std::path::{Path, PathBuf};

use seawall_edge::{Artifact, BOT_FEATURES, Boot};
use seawall_guard::{Guard, Sabotage};
use seawall_model::{Edge, Site};
use seawall_snapshot::{Cause, Store, UnitKind, Units, codec};
use seawall_telemetry::timeline::{Event, Kind, Timeline};

use crate::cli::SiteArgs;
use crate::config::{self, Loaded, Moment, Refusal};

/// An edge about to start.
pub struct Ready {
    /// Settings of the process, and its data folder; the zones are in the units.
    pub site: Site,
    /// What it serves.
    pub boot: Boot,
    /// The configuration, where it had to be read for that.
    pub loaded: Option<Loaded>,
}

/// Chooses what to serve. `again`: in the place of an edge that ended, where what served goes on serving.
///
/// # Errors
/// There is no snapshot, and the configuration cannot be used.
pub fn boot(args: &SiteArgs, again: bool, sabotage: Option<&Sabotage>) -> Result<Ready, Refusal> {
    let mut loaded = None;
    let data_dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => loaded.insert(config::load(args, Moment::Start)?).site.data_dir.clone(),
    };
    let timeline = Timeline::open(&data_dir, "edge");
    let store = open(&data_dir);
    let newest = store.as_ref().and_then(|store| newest(store, &source(args), again, &timeline, sabotage));
    if let Some((number, units, edge)) = newest {
        if let Some(Err(fault)) =
            store.as_ref().map(|s| s.update(|history| history.started(number, unix_ms())))
        {
            tracing::warn!(%fault, "it is not noted on disk which snapshot serves");
        }
        let site = Site { data_dir, edge, ..Site::default() };
        let text = format!("started with snapshot {number}");
        let cause = if again { "restart" } else { "start" };
        timeline.tell(Event::new(Kind::Started, cause, text).snapshot(number));
        let boot = Boot { units, number, store, timeline };
        return Ok(Ready { site, boot, loaded: None });
    }
    let loaded = match loaded {
        Some(loaded) => loaded,
        None => config::load(args, Moment::Start)?,
    };
    let mut units = codec::units_of(&loaded.site, &codec::DataFiles::default());
    for artifact in artifacts(&loaded.site) {
        match artifact
            .content
            .and_then(|bytes| seawall_edge::check_artifact(artifact.name, &bytes).map(|()| bytes))
        {
            Ok(bytes) => drop(units.insert(UnitKind::Data, artifact.name, bytes)),
            Err(why) => {
                let text = format!("{why}; there is no earlier version, so the one that is built in serves");
                timeline.tell(
                    Event::new(Kind::ArtifactRefused, "check", text).unit(format!("data {}", artifact.name)),
                );
            }
        }
    }
    let number = store.as_ref().map_or(0, |store| first(store, &units, &source(args)));
    let text = match number {
        0 => "started from the configuration; no snapshot of it could be kept".to_owned(),
        _ => format!("started from the configuration, which is snapshot {number}"),
    };
    timeline.tell(Event::new(Kind::Started, "start", text).snapshot(number));
    Ok(Ready {
        site: loaded.site.clone(),
        boot: Boot { units, number, store, timeline },
        loaded: Some(loaded),
    })
}

/// Where to listen while the configuration cannot be read: as the snapshot says that the edge will start with. `None`: there
/// is none, or it is the command that is wrong.
pub fn settings_without(args: &SiteArgs, refusal: &Refusal) -> Option<Loaded> {
    let (path, messages) = match refusal {
        Refusal::Unreadable { path, .. } | Refusal::Invalid { path, .. } => {
            (path.clone(), refusal.messages())
        }
        Refusal::Nothing | Refusal::Usage(_) => return None,
    };
    let beside = path.parent().unwrap_or(Path::new("")).join(Site::default().data_dir);
    let data_dir = args.data_dir.clone().unwrap_or(beside);
    let store = Store::open(&data_dir).ok()?;
    let timeline = Timeline::open(&data_dir, "supervisor");
    let (number, _, edge) = newest(&store, &source(args), false, &timeline, None)?;
    messages.iter().for_each(|message| tracing::error!("{message}"));
    tracing::error!(number, "the configuration cannot be used: starting with the last snapshot that served");
    let site = Site { data_dir, edge, ..Site::default() };
    Some(Loaded {
        site,
        degraded: Vec::new(),
        refused_lists: Vec::new(),
        list_files: Vec::new(),
        problems: Vec::new(),
        file: Some((path, String::new())),
    })
}

/// The data files a site names, as they are now.
pub fn artifacts(site: &Site) -> Vec<Artifact> {
    let path = site.edge.bot_features.as_ref();
    path.map(|path| Artifact { name: BOT_FEATURES, content: read(path) }).into_iter().collect()
}

/// What a configuration comes from, in words: another source is another history.
pub fn source(args: &SiteArgs) -> String {
    let file = match (&args.config, &args.origin) {
        (Some(path), _) => path.clone(),
        (None, Some(origin)) => return format!("--origin {origin}"),
        (None, None) => PathBuf::from(config::DEFAULT_FILE),
    };
    let file = file.canonicalize().unwrap_or(file);
    file.display().to_string()
}

fn open(data_dir: &Path) -> Option<Store> {
    match Store::open(data_dir) {
        Ok(store) => Some(store),
        Err(fault) => {
            tracing::error!(%fault, "snapshots cannot be kept: a restart has nothing to go back to");
            None
        }
    }
}

/// The best snapshot that can be used. What was passed over or replaced on the way is told.
fn newest(
    store: &Store,
    source: &str,
    again: bool,
    timeline: &Timeline,
    sabotage: Option<&Sabotage>,
) -> Option<(u64, Units, Edge)> {
    let history = store.history().ok()?;
    if !again && history.source.as_deref().is_some_and(|of| of != source) {
        tracing::info!(
            now = source,
            "another configuration than the snapshots here were made of: starting from it"
        );
        return None;
    }
    let (number, units) = if sabotage.is_some_and(|s| s.without(Guard::LastGood)) {
        let number = history.newest()?.number;
        store.load(number).map(|(_, units)| (number, units)).ok()?
    } else {
        let start = store.start(!again).ok()?;
        for (number, why) in &start.passed_over {
            let text = format!("snapshot {number} cannot be used: {why}");
            timeline.tell(Event::new(Kind::Alert, "start", text).snapshot(*number));
        }
        for unit in &start.replaced {
            let text = format!(
                "{} {} serves in an earlier version or not at all: {}",
                unit.kind.name(),
                unit.name,
                unit.reason
            );
            timeline.tell(Event::new(Kind::UnitKept, "quarantine", text).unit(format!(
                "{} {}",
                unit.kind.name(),
                unit.name
            )));
        }
        (start.manifest.number, start.units)
    };
    let edge = codec::decode_edge(&units.get(UnitKind::Edge, codec::EDGE)?.bytes).ok()?;
    Some((number, units, edge))
}

/// Publishes the first snapshot of a configuration. 0 if that is not possible: serving goes on without.
fn first(store: &Store, units: &Units, source: &str) -> u64 {
    let cause = Cause::new("start", format!("the first start with {source}"));
    match store.publish(units, None, &cause) {
        Ok(manifest) => {
            let number = manifest.number;
            let noted = store.update(|history| {
                history.source = Some(source.to_owned());
                history.started(number, unix_ms());
            });
            if let Err(fault) = noted {
                tracing::warn!(%fault, "it is not noted on disk which snapshot serves");
            }
            number
        }
        Err(fault) => {
            tracing::error!(%fault, "the configuration is not kept as a snapshot: a restart has nothing to go back to");
            0
        }
    }
}

/// Reads a data file whole, within the limit of its kind.
fn read(path: &Path) -> Result<bytes::Bytes, String> {
    use std::io::Read as _;
    let limit = UnitKind::Data.rules().bytes;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() as u64 > limit {
        return Err(format!("{} has more than {limit} bytes, the limit of a data file", path.display()));
    }
    Ok(bytes.into())
}

fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
