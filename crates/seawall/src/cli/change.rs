//! Flags of the commands about changes: snapshots, modules, the timeline.

use clap::{Args, Subcommand};

use super::WhereArgs;

/// `seawall snapshot`.
#[derive(Debug, Clone, Args)]
pub struct SnapshotArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SnapshotCommand,
    /// The Seawall.
    #[command(flatten)]
    pub place: Place,
}

/// What is common to these commands.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Its data folder.
    #[arg(long, value_name = "DIR", env = "SEAWALL_DATA_DIR", global = true)]
    pub data_dir: Option<std::path::PathBuf>,
    /// Its configuration file, which names the data folder.
    #[arg(long, short, value_name = "FILE", env = "SEAWALL_CONFIG", global = true)]
    pub config: Option<std::path::PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Place {
    /// As other commands have it.
    pub fn of(&self) -> WhereArgs {
        WhereArgs { data_dir: self.data_dir.clone(), config: self.config.clone() }
    }
}

/// The commands about snapshots.
#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotCommand {
    /// The snapshots on this disk, newest first, with their states. Works with nothing running.
    List,
    /// One snapshot: what it holds and what became of it. Works with nothing running.
    Show {
        /// Its number; the one that serves, or the newest, without one.
        number: Option<u64>,
    },
    /// What changes from one snapshot to another, in effects. Works with nothing running.
    Diff {
        /// From this one.
        before: u64,
        /// To this one; the one that serves, or the newest, without one.
        after: Option<u64>,
    },
    /// Load the configuration now, and watch it through the stages.
    Apply(ApplyArgs),
    /// Go back to an earlier snapshot, through the same stages, shortened.
    Rollback {
        /// To this one; the newest good one before the one that serves, without one.
        number: Option<u64>,
        /// Acknowledge what the review of the change asks for, with its number: removed_zones=12. May be repeated.
        #[arg(long, value_name = "WHAT=COUNT")]
        acknowledge: Vec<String>,
    },
    /// Delete a snapshot. Never one that serves, is on its way, or is needed for a start.
    Delete {
        /// Its number.
        number: u64,
    },
    /// Follow a generated file again that was pinned because it alternated between good and bad.
    Unpin {
        /// The artifact, as the timeline names it: bot-features
        artifact: String,
    },
}

/// `seawall snapshot apply`.
#[derive(Debug, Clone, Default, Args)]
pub struct ApplyArgs {
    /// Acknowledge what the review of the change asks for, with its number: removed_zones=12. May be repeated.
    #[arg(long, value_name = "WHAT=COUNT")]
    pub acknowledge: Vec<String>,
    /// Refuse unless this snapshot is still the newest: the change was made looking at it.
    #[arg(long, value_name = "N")]
    pub base: Option<u64>,
    /// Take the short stages, as kill switches and bans do.
    #[arg(long)]
    pub quick: bool,
}

/// `seawall module`.
#[derive(Debug, Clone, Args)]
pub struct ModuleArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ModuleCommand,
    /// The running Seawall.
    #[command(flatten)]
    pub place: Place,
}

/// The commands about modules.
#[derive(Debug, Clone, Subcommand)]
pub enum ModuleCommand {
    /// The modules: on or off, failure mode, faults, open breakers.
    List,
    /// Switch a module on again.
    On(SwitchArgs),
    /// Switch a module off: requests go on as if it had no rules.
    Off(SwitchArgs),
}

/// `seawall module on` and `off`.
#[derive(Debug, Clone, Args)]
pub struct SwitchArgs {
    /// The module, as `seawall module list` names it.
    pub name: String,
    /// Only for this zone; for all without it.
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
}

/// `seawall timeline`.
#[derive(Debug, Clone, Default, Args)]
pub struct TimelineArgs {
    /// The Seawall.
    #[command(flatten)]
    pub place: Place,
    /// Only what happened after this: 10m, 2h or 3d ago, a time as 2026-11-21T20:50:01Z, or Unix seconds.
    #[arg(long, value_name = "WHEN")]
    pub after: Option<String>,
    /// Only events of this kind (docs/timeline.md lists them). May be repeated.
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// Only events about this zone.
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// Only events about this module.
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// Only events about this snapshot.
    #[arg(long, value_name = "N")]
    pub snapshot: Option<u64>,
    /// At most this many, the newest.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
    /// Go on with what happens from now on, until interrupted.
    #[arg(long)]
    pub follow: bool,
}
