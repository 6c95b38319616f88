//! Routes: which requests go to which pool, and how they are treated on the way.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::host::HostPattern;
use crate::pattern::{NamePattern, PathPattern};
use crate::text::{self, as_word};

/// One `[[zone.route]]`. The first that matches wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Host it is for. Default `None`: every host of the zone.
    #[serde(default, deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPattern>,
    /// Paths it is for. Default `/*`.
    #[serde(default = "PathPattern::everything", skip_serializing_if = "is_everything")]
    pub path: PathPattern,
    /// Methods it is for, upper case. Empty (the default) means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Name of the pool; it stands in the same zone. Default the zone's only pool.
    pub pool: String,
    /// What the cache does. Default [`RouteCache::Default`].
    #[serde(default, skip_serializing_if = "text::plain")]
    pub cache: RouteCache,
    /// How long the edge keeps a response, whatever the origin says. Default `None`: as the origin says.
    #[serde(default, with = "text::some_duration", skip_serializing_if = "Option::is_none")]
    pub edge_ttl: Option<Duration>,
    /// How long browsers are told to keep it. Default `None`: as the origin says.
    #[serde(default, with = "text::some_duration", skip_serializing_if = "Option::is_none")]
    pub browser_ttl: Option<Duration>,
    /// Query keys that do not tell one cached object from another. Default none.
    #[serde(default, skip_serializing_if = "text::plain")]
    pub ignore_query: IgnoreQuery,
    /// Cookies whose presence takes a request past the cache. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bypass_cookie: Vec<NamePattern>,
    /// How long a stale response serves while a new one is fetched (RFC 5861 §3), where the origin does not say.
    /// Default `None`.
    #[serde(default, with = "text::some_duration", skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Duration>,
    /// How long a stale response serves when the origin fails (RFC 5861 §4), where the origin does not say. Default `None`.
    #[serde(default, with = "text::some_duration", skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Duration>,
    /// Changes to the request's header on its way to the origin.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    /// Changes to the response's header on its way to the visitor.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
    /// Whether responses are compressed. Default `None`: as the zone says.
    #[serde(default, deserialize_with = "text::some", skip_serializing_if = "Option::is_none")]
    pub compression: Option<bool>,
    /// Replaces the pool's `timeouts.response`. Default `None`.
    #[serde(default, with = "text::some_duration", skip_serializing_if = "Option::is_none")]
    pub timeout_response: Option<Duration>,
}

impl Route {
    /// A route of every request to `pool`, with the defaults.
    #[must_use]
    pub fn to(pool: impl Into<String>) -> Self {
        Route {
            host: None,
            path: PathPattern::everything(),
            methods: Vec::new(),
            pool: pool.into(),
            cache: RouteCache::Default,
            edge_ttl: None,
            browser_ttl: None,
            ignore_query: IgnoreQuery::None,
            bypass_cookie: Vec::new(),
            stale_while_revalidate: None,
            stale_if_error: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            compression: None,
            timeout_response: None,
        }
    }

    /// Whether the route is for this request: host without port, method, path without query.
    #[must_use]
    pub fn matches(&self, host: &[u8], method: &[u8], path: &[u8]) -> bool {
        self.path.matches(path)
            && self.host.as_ref().is_none_or(|pattern| pattern.matches(host))
            && (self.methods.is_empty() || self.methods.iter().any(|m| m.as_bytes() == method))
    }
}

fn is_everything(path: &PathPattern) -> bool {
    path.as_str() == "/*"
}

/// What the cache does with a route's responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteCache {
    /// `true`: what RFC 9111 and the origin's header say, and static extensions.
    #[default]
    Default,
    /// `false`: nothing is stored and nothing is served from store.
    Bypass,
    /// `"everything"`: every cacheable status is stored, whatever the extension.
    Everything,
}

as_word!(
    RouteCache,
    "\"default\", \"bypass\" or \"everything\"",
    Default = "default",
    Bypass = "bypass",
    Everything = "everything",
);

/// Query keys left out of the cache key.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum IgnoreQuery {
    /// `false`: the whole query counts.
    #[default]
    None,
    /// `true`: the query does not count.
    All,
    /// A list: keys that fit one of these do not count.
    Keys(Vec<NamePattern>),
}

impl Serialize for IgnoreQuery {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        match self {
            IgnoreQuery::None => into.serialize_bool(false),
            IgnoreQuery::All => into.serialize_bool(true),
            IgnoreQuery::Keys(keys) => into.collect_seq(keys),
        }
    }
}

impl<'de> Deserialize<'de> for IgnoreQuery {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyQuery)
    }
}

struct AnyQuery;

impl<'de> Visitor<'de> for AnyQuery {
    type Value = IgnoreQuery;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a list of patterns")
    }

    fn visit_bool<E: Error>(self, all: bool) -> Result<IgnoreQuery, E> {
        Ok(if all { IgnoreQuery::All } else { IgnoreQuery::None })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IgnoreQuery, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = items.next_element()? {
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(A::Error::custom("an empty list names nothing: write false"));
        }
        Ok(IgnoreQuery::Keys(keys))
    }
}

/// Changes to a header. Removals happen first, then `set` replaces or adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Fields to set, in the order of the file: valid names and values (RFC 9110 §5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Names of fields to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_asks_for_host_method_and_path_together() {
        let mut route = Route::to("app");
        assert!(route.matches(b"a.example", b"GET", b"/x"));
        route.host = Some(HostPattern::parse("*.example").unwrap());
        route.methods = vec!["GET".to_owned()];
        route.path = PathPattern::parse("/x*").unwrap();
        assert!(route.matches(b"a.example", b"GET", b"/x"));
        assert!(!route.matches(b"example", b"GET", b"/x"));
        assert!(!route.matches(b"a.example", b"get", b"/x"));
        assert!(!route.matches(b"a.example", b"GET", b"/y"));
    }
}
