//! Documents, identifiers and limits: the vocabulary of configuration.
//!
//! A [`Site`] is everything one edge serves, in plain structs with every default filled in: durations are
//! [`std::time::Duration`], sizes are bytes, texts that mean something are parsed ([`OriginUrl`], [`HostPattern`],
//! [`PathPattern`]). Nothing here reads a file or knows TOML; `seawall-snapshot` does, and is the only builder of a
//! `Site` besides [`Site::single`].

mod bot;
mod edge;
mod host;
pub mod limits;
mod list;
mod module;
mod pattern;
mod pool;
mod problem;
pub mod quantity;
mod rollout;
mod route;
mod rule;
mod text;
mod url;
mod zone;

pub use bot::Bot;
pub use edge::{
    AccessFormat, CacheSettings, Certificate, ClientIpHeader, Edge, Limits, LogSettings, ProxyProtocol,
    ResolverSettings, Timeouts, Tls, TlsVersion, TraceSettings,
};
pub use host::{HostFault, HostPattern, host_name};
pub use limits::{LIMITS, Limit};
pub use list::List;
pub use module::{Budget, FailMode, MODULES, Module, ModuleInfo, ModuleSetting, Modules, Settled};
pub use pattern::{NamePattern, PathPattern, PatternFault};
pub use pool::{
    Affinity, Concurrency, Ejection, HashKey, Monitor, MonitorKind, Origin, OriginTls, Policy, PolicyFault,
    Pool, PoolTimeouts, StatusFault, StatusRange, is_token,
};
pub use problem::{Problem, Severity};
pub use rollout::Rollout;
pub use route::{HeaderEdits, IgnoreQuery, Route, RouteCache};
pub use rule::{Action, Rule, When};
pub use url::{OriginUrl, Scheme, UrlFault};
pub use zone::{Site, Zone};
