//! The command line.

mod change;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use change::{
    ApplyArgs, ModuleArgs, ModuleCommand, SnapshotArgs, SnapshotCommand, SwitchArgs, TimelineArgs,
};

/// An edge you own: reverse proxy and cache in front of any web application.
#[derive(Debug, Parser)]
#[command(name = "seawall", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 invalid configuration, 4 refused.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve: a supervisor that owns the sockets, with the edge as a child that can crash, drain and be replaced.
    Run(RunArgs),
    /// Serve in this one process, without a supervisor.
    Edge(EdgeArgs),
    /// Check a configuration file and report every problem at once.
    Check(CheckArgs),
    /// Remove objects from the cache of a running edge.
    Purge(PurgeArgs),
    /// The history of what was served: list, show, compare, apply, go back.
    Snapshot(SnapshotArgs),
    /// The guarded modules: list them, switch one off or on.
    Module(ModuleArgs),
    /// What happened, in order: changes, stages, gates, rollbacks, breakers, restarts.
    Timeline(TimelineArgs),
    /// A live view of requests, errors, cache and origins.
    Top(TopArgs),
    /// Replace a running edge by the program file that is on disk now, without refusing a connection.
    Upgrade(WhereArgs),
    /// Replay real outages against this program, on loopback, and see whether they stay small.
    Drill(DrillArgs),
    /// The built-in demo site alone, for trying an edge in front of something.
    DemoOrigin(DemoArgs),
    /// The version.
    Version,
}

/// Flags that describe a site. They override the configuration file.
#[derive(Debug, Clone, Default, Args)]
pub struct SiteArgs {
    /// Configuration file.
    #[arg(long, short, value_name = "FILE", env = "SEAWALL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Serve this origin for every host, instead of the zones of a file: http://127.0.0.1:3000
    #[arg(long, value_name = "URL", env = "SEAWALL_ORIGIN")]
    pub origin: Option<String>,
    /// Listen for HTTP here: ADDRESS:PORT, or :PORT for all addresses. May be repeated.
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub http: Vec<ListenArg>,
    /// Listen for HTTPS here. May be repeated; `off` for none.
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub https: Vec<ListenArg>,
    /// Serve metrics and health here; `off` for nowhere.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<ListenArg>,
    /// Folder for what the edge keeps.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Worker threads; 0 for one per core.
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
}

/// `seawall run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The site.
    #[command(flatten)]
    pub site: SiteArgs,
    /// Serve the built-in demo site, started beside the edge on a loopback port.
    #[arg(long, conflicts_with_all = ["origin", "config"])]
    pub demo: bool,
}

/// `seawall edge`.
#[derive(Debug, Clone, Args)]
pub struct EdgeArgs {
    /// The site.
    #[command(flatten)]
    pub site: SiteArgs,
    /// Takes the place of another edge: what has become invalid meanwhile is served as it was when it was last good.
    #[arg(long, hide = true)]
    pub again: bool,
}

/// `seawall check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The file.
    #[arg(value_name = "FILE", default_value = "seawall.toml")]
    pub file: PathBuf,
    /// Print one JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Which running Seawall is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct WhereArgs {
    /// Its data folder.
    #[arg(long, value_name = "DIR", env = "SEAWALL_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Its configuration file, which names the data folder.
    #[arg(long, short, value_name = "FILE", env = "SEAWALL_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `seawall purge`.
#[derive(Debug, Clone, Args)]
pub struct PurgeArgs {
    /// The running Seawall.
    #[command(flatten)]
    pub place: WhereArgs,
    /// Only in this zone.
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// A URL, all its variants. May be repeated.
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Everything under a host. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Everything that starts with HOST/PATH. May be repeated.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Vec<String>,
    /// Everything that carries a Cache-Tag. May be repeated.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Everything in the zone named by --zone.
    #[arg(long, requires = "zone", conflicts_with_all = ["url", "host", "prefix", "tag"])]
    pub everything: bool,
}

/// `seawall top`.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// The running Seawall.
    #[command(flatten)]
    pub place: WhereArgs,
    /// Print one frame as text and end.
    #[arg(long)]
    pub once: bool,
    /// Time between two looks, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub interval_ms: u64,
}

/// `seawall drill`.
#[derive(Debug, Clone, Args)]
pub struct DrillArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DrillCommand,
}

/// The commands of `seawall drill`.
#[derive(Debug, Clone, Subcommand)]
pub enum DrillCommand {
    /// The drills there are, what each replays, and the guards it can be run without.
    List {
        /// Print one JSON document instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Run some drills.
    Run {
        /// Their names.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// How.
        #[command(flatten)]
        options: DrillOptions,
    },
    /// Run every drill.
    All {
        /// How.
        #[command(flatten)]
        options: DrillOptions,
    },
}

/// How drills are run.
#[derive(Debug, Clone, Args)]
pub struct DrillOptions {
    /// Print one JSON document instead of text.
    #[arg(long)]
    pub json: bool,
    /// Write a self-contained page with charts here.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Turn off a guard of the product, to see the drill fail. May be repeated.
    #[arg(long, value_name = "GUARD")]
    pub without: Vec<String>,
    /// Short stages, or those of the product's defaults.
    #[arg(long, value_enum, default_value_t = PaceArg::Quick)]
    pub pace: PaceArg,
    /// The program to test, instead of this one.
    #[arg(long, value_name = "FILE", hide = true)]
    pub program: Option<PathBuf>,
}

/// How long stages take in a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PaceArg {
    /// About a second, so that a drill takes seconds.
    Quick,
    /// As by default.
    Real,
}

/// `seawall demo-origin`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Listen here.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
}

/// What a listen flag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenArg {
    /// Listen nowhere.
    Off,
    /// Listen here; `:PORT` means every IPv4 and IPv6 address.
    At(Vec<SocketAddr>),
}

impl ListenArg {
    /// The addresses; none for `off`.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        match self {
            Self::Off => [].iter(),
            Self::At(addresses) => addresses.iter(),
        }
        .copied()
    }
}

impl std::str::FromStr for ListenArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse::<u16>().map_err(|_| format!("`{port}` is not a port (0 to 65535)"))?;
            return Ok(Self::At(vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            ]));
        }
        let text = text
            .strip_prefix("localhost:")
            .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Self::At(vec![address])),
            Err(_) => {
                Err("write ADDRESS:PORT as in 127.0.0.1:8080 or [::1]:8080, :8080 for all addresses, or off"
                    .to_owned())
            }
        }
    }
}

impl std::fmt::Display for ListenArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(addresses) => {
                let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

impl SiteArgs {
    /// The same flags as arguments for a child process.
    pub fn to_arguments(&self) -> Vec<std::ffi::OsString> {
        let mut arguments: Vec<std::ffi::OsString> = Vec::new();
        let mut push = |name: &str, value: std::ffi::OsString| {
            arguments.push(name.into());
            arguments.push(value);
        };
        if let Some(config) = &self.config {
            push("--config", config.into());
        }
        if let Some(origin) = &self.origin {
            push("--origin", origin.into());
        }
        for listen in &self.http {
            push("--http", listen.to_string().into());
        }
        for listen in &self.https {
            push("--https", listen.to_string().into());
        }
        if let Some(listen) = &self.metrics {
            push("--metrics", listen.to_string().into());
        }
        if let Some(dir) = &self.data_dir {
            push("--data-dir", dir.into());
        }
        if let Some(workers) = self.workers {
            push("--workers", workers.to_string().into());
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn site_flags_survive_the_way_to_a_child() {
        let parse = |args: &[&str]| match Cli::try_parse_from(args).unwrap().command {
            Command::Run(run) => run.site,
            other => panic!("{other:?}"),
        };
        let line = [
            "seawall",
            "run",
            "--origin",
            "http://127.0.0.1:3000",
            "--http",
            ":8080",
            "--http",
            "127.0.0.1:81",
            "--https",
            "off",
            "--metrics",
            "[::1]:9",
            "--data-dir",
            "/tmp/x",
            "--workers",
            "3",
        ];
        let site = parse(&line);
        let mut again = vec!["seawall".into(), "run".into()];
        again.extend(site.to_arguments());
        let texts: Vec<&str> = again.iter().map(|a: &std::ffi::OsString| a.to_str().unwrap()).collect();
        let second = parse(&texts);
        assert_eq!(format!("{:?}", second.data_dir), format!("{:?}", site.data_dir));
        let flat = |list: &[ListenArg]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(flat(&second.http), flat(&site.http));
        assert_eq!(
            (flat(&second.https), second.metrics, second.workers),
            (flat(&site.https), site.metrics, site.workers)
        );
    }

    #[test]
    fn odd_addresses_are_refused_with_a_hint() {
        for bad in ["", "8080", "example.com:80", ":99999", "1.2.3.4"] {
            assert!(bad.parse::<ListenArg>().is_err(), "{bad}");
        }
        assert_eq!("localhost:8080".parse(), Ok(ListenArg::At(vec!["127.0.0.1:8080".parse().unwrap()])));
    }

    #[test]
    fn purging_everything_names_its_zone() {
        assert!(Cli::try_parse_from(["seawall", "purge", "--everything"]).is_err());
        assert!(Cli::try_parse_from(["seawall", "purge", "--everything", "--zone", "a"]).is_ok());
        assert!(
            Cli::try_parse_from(["seawall", "purge", "--everything", "--zone", "a", "--tag", "x"]).is_err()
        );
    }
}
