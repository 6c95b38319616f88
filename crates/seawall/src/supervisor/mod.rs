//! `seawall run`: the process that owns the sockets and outlives the edge.
//!
//! Small and boring on purpose: one thread, one `poll` loop ([`life`]), no async, nothing of HTTP. What is to be done
//! when something dies, hangs or is replaced is decided by a state machine without processes or clock ([`role`]).

mod backoff;
mod child;
mod clerk;
mod control;
mod data_dir;
mod life;
mod notify;
mod resume;
mod role;
mod sockets;
mod takeover;

use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::boot;
use crate::cli::{RunArgs, WhereArgs};
use crate::config::{self, Loaded, Moment, Plan};
use crate::exit::Exit;
use crate::signals::Signals;

pub use data_dir::{ADMIN_SOCKET, DataDir, bind_private, raise_descriptor_limit};
pub use role::SILENCE_MS;
pub use sockets::Sockets;

use life::{Demo, Supervisor};

/// What the supervisor listens to.
const SIGNALS: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGCHLD];

/// Supervises until told to stop.
pub fn run(args: &RunArgs) -> Exit {
    // Before anything else: a signal that arrives from now on waits until it can be dealt with.
    let signals = match Signals::listen(&SIGNALS) {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("cannot listen for signals: {error}")),
    };
    let _events = crate::log::start();
    if let Ok(state) = std::env::var(resume::VARIABLE) {
        return match takeover::resume(&state, args, signals) {
            Ok(supervisor) => supervisor.live(),
            Err(error) => failed(&format!("cannot take over from the earlier program: {error}")),
        };
    }
    match begin(args, signals) {
        Ok(supervisor) => supervisor.live(),
        Err(exit) => exit,
    }
}

/// `seawall upgrade`.
pub fn upgrade(place: &WhereArgs) -> Exit {
    match config::data_dir(place) {
        Ok(dir) => control::upgrade(&dir),
        Err(refusal) => refused(&refusal),
    }
}

fn begin(args: &RunArgs, signals: Signals) -> Result<Supervisor, Exit> {
    let mut site_args = args.site.clone();
    let demo = if args.demo {
        Some(Demo::bind().map_err(|e| failed(&format!("the demo site: {e}")))?)
    } else {
        None
    };
    if let Some(demo) = &demo {
        site_args.origin = Some(demo.url());
    }
    let loaded = match config::load(&site_args, Moment::Start) {
        Ok(loaded) => loaded,
        // What served last time serves again; the edge says what is wrong with the configuration now.
        Err(refusal) => match boot::settings_without(&site_args, &refusal) {
            Some(loaded) => loaded,
            None => return Err(refused(&refusal)),
        },
    };
    crate::edge_role::report_problems(&loaded);

    // Children are told exactly what was found here, not to look for themselves.
    site_args.config = loaded.file.as_ref().map(|(path, _)| path.clone());
    site_args.data_dir = Some(loaded.site.data_dir.clone());
    let data_dir = loaded.site.data_dir.clone();
    let lock = DataDir::lock(&data_dir).map_err(|error| failed(&error.to_string()))?;
    let private = |name: &str| bind_private(&data_dir.join(name)).map_err(|error| failed(&error.to_string()));
    let admin = private(ADMIN_SOCKET)?;
    let control =
        control::Control::new(private(data_dir::CONTROL_SOCKET)?).map_err(|e| failed(&e.to_string()))?;
    raise_descriptor_limit();

    let plan = Plan::of(&loaded.site);
    let given = Sockets::given(&plan).map_err(|message| failed(&message))?;
    let sockets = Sockets::bind(&plan, given.as_ref()).map_err(|error| failed(&error.to_string()))?;
    if sockets.groups().is_empty() {
        return Err(failed("every listener is off: there is nothing to serve on"));
    }
    let parts = life::Parts {
        program: program_path(),
        site_args,
        data_dir,
        wanted_dir: args.site.data_dir.clone(),
        lock,
        admin,
        control,
        signals,
        sockets,
        demo,
        drain_ms: drain_ms(&loaded),
        welcome: Some(welcome(&loaded)),
    };
    Ok(Supervisor::new(parts))
}

/// Where the program file is, also after it has been replaced (Linux then appends a word to the link).
fn program_path() -> PathBuf {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

fn drain_ms(loaded: &Loaded) -> u64 {
    u64::try_from(loaded.site.edge.drain.as_millis()).unwrap_or(u64::MAX / 4)
}

/// What `run` says of its configuration once it serves.
fn welcome(loaded: &Loaded) -> Vec<String> {
    let zones = &loaded.site.zones;
    let routes: usize = zones.iter().map(|zone| zone.routes.len()).sum();
    let origins: Vec<String> = zones
        .iter()
        .flat_map(|zone| &zone.pools)
        .flat_map(|pool| &pool.origins)
        .map(|origin| origin.url.to_string())
        .collect();
    let mut lines = Vec::new();
    match &loaded.file {
        Some((path, _)) => lines.push(format!(
            "{:<9}{} ({}, {}, {})",
            "config",
            path.display(),
            counted(zones.len(), "zone"),
            counted(routes, "route"),
            counted(origins.len(), "origin")
        )),
        None => lines.push(format!("{:<9}{}", "origin", origins.join("  "))),
    }
    lines.push(format!("{:<9}{}", "data", loaded.site.data_dir.display()));
    lines
}

/// `1 zone`, `2 zones`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn failed(message: &str) -> Exit {
    eprintln!("seawall: {message}");
    Exit::Failure
}

fn refused(refusal: &config::Refusal) -> Exit {
    for message in refusal.messages() {
        eprintln!("seawall: {message}");
    }
    refusal.exit()
}
