//! A site and its zones.

use std::path::PathBuf;

use crate::edge::{Certificate, Edge};
use crate::host::HostPattern;
use crate::pool::{Origin, Pool};
use crate::route::Route;
use crate::url::{OriginUrl, UrlFault};

/// Everything one edge serves: the whole of a `seawall.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Folder for what the edge keeps. Default `data`, beside the configuration file or in the working directory.
    pub data_dir: PathBuf,
    /// What concerns the edge as a whole.
    pub edge: Edge,
    /// The zones, in the order of the file. Names are unique, and no host stands in two of them.
    pub zones: Vec<Zone>,
}

impl Default for Site {
    /// No zone, and the defaults.
    fn default() -> Self {
        Site { data_dir: PathBuf::from("data"), edge: Edge::default(), zones: Vec::new() }
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
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Its name, unique: by custom the domain.
    pub name: String,
    /// Hosts it answers for; never empty. Default its name and everything below it.
    pub hosts: Vec<HostPattern>,
    /// Certificates for its hosts. Default none: those of the edge serve.
    pub certificates: Vec<Certificate>,
    /// Whether the cache is left aside for now. Default false.
    pub development_mode: bool,
    /// Whether text is compressed on the fly. Default true.
    pub compression: bool,
    /// Whether HTTP/2 is offered to visitors. Default true.
    pub http2: bool,
    /// Whether WebSocket and other upgrades are let through. Default true.
    pub websockets: bool,
    /// Whether `http://` is answered with a redirect to `https://`. Default false.
    pub always_https: bool,
    /// Whether the cache is used at all. Default true.
    pub cache: bool,
    /// The pools; never empty.
    pub pools: Vec<Pool>,
    /// The routes, first match wins; never empty. Default one of everything to the zone's only pool.
    pub routes: Vec<Route>,
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
