//! A site and its zones.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bot::Bot;
use crate::edge::{Certificate, Edge};
use crate::host::HostPattern;
use crate::list::List;
use crate::module::Modules;
use crate::pool::{Origin, Pool};
use crate::route::Route;
use crate::rule::Rule;
use crate::text;
use crate::url::{OriginUrl, UrlFault};

/// Everything one edge serves: the whole of a `seawall.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Folder for what the edge keeps. Default `data`, beside the configuration file or in the working directory.
    #[serde(with = "text::path")]
    pub data_dir: PathBuf,
    /// What concerns the edge as a whole.
    pub edge: Edge,
    /// Lists that rules and bans name, in the order of the file. Names are unique. Default none.
    #[serde(default)]
    pub lists: Vec<List>,
    /// The zones, in the order of the file. Names are unique, and no host stands in two of them.
    #[serde(default)]
    pub zones: Vec<Zone>,
}

impl Default for Site {
    /// No zone, and the defaults.
    fn default() -> Self {
        Site { data_dir: PathBuf::from("data"), edge: Edge::default(), lists: Vec::new(), zones: Vec::new() }
    }
}

impl Site {
    /// The site of `--origin URL`: one zone `default` for every host, with one pool `origin`.
    ///
    /// # Errors
    /// [`UrlFault`] when the address is not one.
    pub fn single(origin: &str) -> Result<Self, UrlFault> {
        Ok(Site { zones: vec![Zone::single(origin)?], ..Site::default() })
    }
}

/// One `[[zone]]`: the hosts of one site and how they are served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name, unique: by custom the domain.
    pub name: String,
    /// Hosts it answers for; never empty. Default its name and everything below it.
    pub hosts: Vec<HostPattern>,
    /// Certificates for its hosts. Default none: those of the edge serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Whether the cache is left aside for now. Default false.
    #[serde(default, skip_serializing_if = "text::is_no")]
    pub development_mode: bool,
    /// Whether text is compressed on the fly. Default true.
    #[serde(default = "text::yes", skip_serializing_if = "text::is_yes")]
    pub compression: bool,
    /// Whether HTTP/2 is offered to visitors. Default true.
    #[serde(default = "text::yes", skip_serializing_if = "text::is_yes")]
    pub http2: bool,
    /// Whether WebSocket and other upgrades are let through. Default true.
    #[serde(default = "text::yes", skip_serializing_if = "text::is_yes")]
    pub websockets: bool,
    /// Whether `http://` is answered with a redirect to `https://`. Default false.
    #[serde(default, skip_serializing_if = "text::is_no")]
    pub always_https: bool,
    /// Whether the cache is used at all. Default true.
    #[serde(default = "text::yes", skip_serializing_if = "text::is_yes")]
    pub cache: bool,
    /// The pools; never empty.
    pub pools: Vec<Pool>,
    /// The routes, first match wins; never empty. Default one of everything to the zone's only pool.
    pub routes: Vec<Route>,
    /// Firewall rules, tried in this order. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Names of lists whose addresses are refused, beside those of the edge. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bans: Vec<String>,
    /// The bot module.
    #[serde(default, skip_serializing_if = "text::plain")]
    pub bot: Bot,
    /// Settings of modules for this zone: see [`Module::settle`](crate::Module::settle). Default none.
    #[serde(default, skip_serializing_if = "Modules::is_empty")]
    pub modules: Modules,
}

impl Zone {
    /// A zone with the defaults that sends everything to the first of `pools`.
    #[must_use]
    pub fn new(name: impl Into<String>, hosts: Vec<HostPattern>, pools: Vec<Pool>) -> Self {
        Zone {
            name: name.into(),
            hosts,
            certificates: Vec::new(),
            development_mode: false,
            compression: true,
            http2: true,
            websockets: true,
            always_https: false,
            cache: true,
            routes: pools.first().map(|pool| Route::to(&pool.name)).into_iter().collect(),
            pools,
            rules: Vec::new(),
            bans: Vec::new(),
            bot: Bot::default(),
            modules: Modules::default(),
        }
    }

    /// The zone of `--origin URL`.
    ///
    /// # Errors
    /// [`UrlFault`] when the address is not one.
    pub fn single(origin: &str) -> Result<Self, UrlFault> {
        let pool = Pool::new("origin", vec![Origin::new(OriginUrl::parse(origin)?)]);
        Ok(Zone::new("default", vec![HostPattern::Any], vec![pool]))
    }

    /// The pool of that name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_makes_a_whole_site() {
        let site = Site::single("http://127.0.0.1:3000").unwrap();
        let zone = site.zones.first().unwrap();
        assert_eq!((zone.name.as_str(), zone.hosts.as_slice()), ("default", &[HostPattern::Any][..]));
        assert_eq!(zone.routes.first().unwrap().pool, "origin");
        assert_eq!(zone.pool("origin").unwrap().origins.first().unwrap().name, "127.0.0.1:3000");
        assert!(zone.pool("other").is_none());
        assert_eq!(Site::single("127.0.0.1:3000"), Err(UrlFault::NoScheme));
    }
}
