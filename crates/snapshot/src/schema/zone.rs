//! Keys of `[[zone]]` and the tables in it.

use seawall_model::limits;

use super::Default::{Is, Required, Words};
use super::edge::{CERTIFICATE, MODULES};
use super::{DAY, HOUR, Kind, MINUTE, SECOND, Table, key};

/// Longest lifetime of anything cached or remembered.
const TTL: u64 = limits::DURATION_MS.value;

pub(crate) static ZONE: Table = Table {
    header: "[[zone]]",
    doc: "One site: its hosts and how they are served. A zone with an error is left out; the others are served.",
    keys: &[
        key("name", Kind::Text, Required, "Its name, unique in the file: by custom the domain."),
        key(
            "hosts",
            Kind::Texts,
            Words("the name and everything below it"),
            "Hosts it answers for: `example.com`, `*.example.com` (every name below, at any depth), or `*` for every host that \
             no other zone claims. An exact host wins over a star, and a longer star over a shorter.",
        ),
        key(
            "certificates",
            Kind::Tables(&CERTIFICATE),
            Is("[]"),
            "Certificates for its hosts, beside those of the edge.",
        ),
        key("development_mode", Kind::Flag, Is("false"), "Leaves the cache aside for now."),
        key(
            "compression",
            Kind::Flag,
            Is("true"),
            "Compresses text on the fly with Brotli, Zstandard or gzip.",
        ),
        key("http2", Kind::Flag, Is("true"), "Offers HTTP/2 to visitors."),
        key("websockets", Kind::Flag, Is("true"), "Lets WebSockets through; other upgrades never pass."),
        key("always_https", Kind::Flag, Is("false"), "Answers `http://` with a redirect to `https://`."),
        key("cache", Kind::Flag, Is("true"), "Uses the cache at all."),
        key("errors", Kind::Table(&ERRORS), Words("nothing"), "Reserved for the zone's own error pages."),
        key("pool", Kind::Tables(&POOL), Required, "One or more pools of origins."),
        key(
            "route",
            Kind::Tables(&ROUTE),
            Words("everything to the zone's only pool"),
            "Which requests go where; the first that matches wins.",
        ),
        key(
            "rule",
            Kind::Tables(&RULE),
            Words("none"),
            "Firewall rules, tried in this order; the first that blocks or skips ends the trying.",
        ),
        key(
            "bans",
            Kind::Texts,
            Is("[]"),
            "Names of `[[list]]`s whose addresses are refused, beside those of the edge.",
        ),
        key("bot", Kind::Table(&BOT), Words("its defaults"), "The bot module."),
        key(
            "modules",
            Kind::Table(&MODULES),
            Words("as the edge has them"),
            "Turns modules off for this zone, or says what happens while they cannot work: see `[edge.modules]`.",
        ),
    ],
};

pub(crate) static ERRORS: Table =
    Table { header: "[zone.errors]", doc: "Reserved for the zone's own error pages: no key yet.", keys: &[] };

pub(crate) static POOL: Table = Table {
    header: "[[zone.pool]]",
    doc: "Origins that serve the same thing.",
    keys: &[
        key("name", Kind::Text, Required, "Its name, unique in the zone."),
        key("origins", Kind::Tables(&ORIGIN), Required, "The origins, at least one."),
        key(
            "policy",
            Kind::Choice(&["round_robin", "least_outstanding", "hash"]),
            Is("\"round_robin\""),
            "How an origin is chosen among the healthy: in turn by weight, the one with the fewest requests in flight for its \
             weight, or a consistent hash of `hash_key`.",
        ),
        key(
            "hash_key",
            Kind::Text,
            Is("\"ip\""),
            "What `policy = \"hash\"` hashes: `ip`, `path`, `uri`, `header:NAME` or `cookie:NAME`.",
        ),
        key("affinity", Kind::Table(&AFFINITY), Words("none"), "Keeps a visitor on one origin by a cookie."),
        key(
            "fallback",
            Kind::Texts,
            Is("[]"),
            "Pools of the same zone to use, in this order, when every origin of this one is out.",
        ),
        key(
            "retries",
            Kind::Count(0, limits::RETRIES.value),
            Is("1"),
            "Further tries of a request that may safely be repeated.",
        ),
        key(
            "retry_budget_percent",
            Kind::Count(0, 100),
            Is("20"),
            "Most retries, as a share of the pool's requests.",
        ),
        key(
            "timeouts",
            Kind::Table(&POOL_TIMEOUTS),
            Words("its defaults"),
            "The longest an origin may take.",
        ),
        key("monitor", Kind::Table(&MONITOR), Words("none"), "Active health checks."),
        key(
            "ejection",
            Kind::Table(&EJECTION),
            Words("its defaults"),
            "Origins that fail live requests sit out.",
        ),
        key(
            "concurrency",
            Kind::Table(&CONCURRENCY),
            Words("its defaults"),
            "The limit on requests at once.",
        ),
    ],
};

pub(crate) static ORIGIN: Table = Table {
    header: "origins = [{ … }]",
    doc: "One origin.",
    keys: &[
        key(
            "url",
            Kind::Text,
            Required,
            "`http://` or `https://`, host, and port unless it is 80 or 443. No path: each request keeps its own.",
        ),
        key(
            "name",
            Kind::Text,
            Words("`host:port` of the url"),
            "Name in logs and metrics, unique in the pool.",
        ),
        key(
            "weight",
            Kind::Count(1, limits::WEIGHT.value),
            Is("1"),
            "Its share of requests relative to the others.",
        ),
        key("host", Kind::Text, Words("the visitor's"), "`Host` header sent to it."),
        key(
            "sni",
            Kind::Text,
            Words("`host`, else the host of the url"),
            "Name sent in TLS, which its certificate must carry.",
        ),
        key(
            "ca",
            Kind::Path,
            Words("the system's"),
            "PEM file of the authorities that may sign its certificate.",
        ),
        key(
            "tls",
            Kind::Choice(&["off", "full", "strict"]),
            Words("`\"strict\"` for `https://`, `\"off\"` for `http://`"),
            "`\"full\"` takes any certificate, `\"strict\"` only a valid one.",
        ),
        key("http2", Kind::Flag, Is("false"), "Speaks HTTP/2 with it."),
        key(
            "max_connections",
            Kind::Count(1, limits::CONNECTIONS.value),
            Is("512"),
            "Connections to it at once, over all workers.",
        ),
        key(
            "max_pending",
            Kind::Count(0, limits::CONNECTIONS.value),
            Is("1024"),
            "Requests that may wait for a connection, over all workers; more are answered 503.",
        ),
        key("backup", Kind::Flag, Is("false"), "Uses it only when no other origin of the pool is healthy."),
    ],
};

pub(crate) static AFFINITY: Table = Table {
    header: "affinity = { … }",
    doc: "A cookie that keeps a visitor on one origin while it is healthy. `affinity = {}` takes the defaults.",
    keys: &[
        key("cookie", Kind::Text, Is("\"__seawall_lb\""), "Its name."),
        key("ttl", Kind::Duration(SECOND, TTL), Is("\"1h\""), "How long the browser keeps it."),
    ],
};

pub(crate) static POOL_TIMEOUTS: Table = Table {
    header: "[zone.pool.timeouts]",
    doc: "The longest an origin may take.",
    keys: &[
        key(
            "connect",
            Kind::Duration(10, 10 * MINUTE),
            Is("\"5s\""),
            "To connect, TLS included: 522 beyond.",
        ),
        key(
            "response",
            Kind::Duration(10, DAY),
            Is("\"100s\""),
            "From the request sent to the first byte of the response: 524 beyond.",
        ),
        key("idle", Kind::Duration(100, DAY), Is("\"60s\""), "Without use of a kept connection."),
        key(
            "between_bytes",
            Kind::Duration(10, DAY),
            Is("\"100s\""),
            "Between two reads of a response's body.",
        ),
    ],
};

pub(crate) static MONITOR: Table = Table {
    header: "[zone.pool.monitor]",
    doc: "Active health checks of each origin. `[zone.pool.monitor]` alone takes the defaults.",
    keys: &[
        key(
            "type",
            Kind::Choice(&["http", "https", "tcp"]),
            Is("\"http\""),
            "A request, one over TLS, or a connection only.",
        ),
        key("path", Kind::Text, Is("\"/\""), "What the request asks for; a query may follow."),
        key("method", Kind::Text, Is("\"GET\""), "Its method."),
        key("host", Kind::Text, Words("the origin's `host`, else that of the url"), "Its `Host` header."),
        key(
            "expect_status",
            Kind::Texts,
            Is("[\"2xx\"]"),
            "Statuses that count as healthy: `\"204\"`, `\"2xx\"`, `\"200-399\"`.",
        ),
        key(
            "expect_body",
            Kind::Text,
            Words("anything"),
            "Text that must stand in the first 64 KiB of the body.",
        ),
        key("interval", Kind::Duration(100, DAY), Is("\"10s\""), "Between two checks."),
        key(
            "timeout",
            Kind::Duration(10, HOUR),
            Is("\"3s\""),
            "The longest a check may take, at most `interval`.",
        ),
        key(
            "healthy",
            Kind::Count(1, 100),
            Is("2"),
            "Checks in a row that must pass before an origin comes back.",
        ),
        key(
            "unhealthy",
            Kind::Count(1, 100),
            Is("3"),
            "Checks in a row that must fail before it is taken out.",
        ),
        key("jitter_percent", Kind::Count(0, 100), Is("20"), "Random spread of the interval to either side."),
    ],
};

pub(crate) static EJECTION: Table = Table {
    header: "[zone.pool.ejection]",
    doc: "Origins that fail live requests sit out for a while.",
    keys: &[
        key(
            "consecutive_failures",
            Kind::Count(0, 10_000),
            Is("5"),
            "Failures in a row that eject an origin; 0 turns this off.",
        ),
        key(
            "base",
            Kind::Duration(100, DAY),
            Is("\"10s\""),
            "The first time out, doubled with each further one.",
        ),
        key("max", Kind::Duration(100, DAY), Is("\"5m\""), "The longest time out, at least `base`."),
        key(
            "max_percent",
            Kind::Count(0, 100),
            Is("50"),
            "Most of the pool's origins that may be out at once.",
        ),
    ],
};

pub(crate) static CONCURRENCY: Table = Table {
    header: "[zone.pool.concurrency]",
    doc: "Requests in flight to each origin. Beyond the limit visitors get a quick 503 with `Retry-After`.",
    keys: &[
        key(
            "adaptive",
            Kind::Flag,
            Is("true"),
            "Follows what the origin can serve; `false` holds the limit at `max`.",
        ),
        key("min", Kind::Count(1, 1_000_000), Is("8"), "The lowest the limit goes."),
        key("max", Kind::Count(1, 1_000_000), Is("1024"), "The highest the limit goes, at least `min`."),
    ],
};

pub(crate) static ROUTE: Table = Table {
    header: "[[zone.route]]",
    doc: "Which requests go to which pool, and how they are treated on the way. The first that matches wins.",
    keys: &[
        key("host", Kind::Text, Words("every host of the zone"), "Host it is for, or `*.name`."),
        key(
            "path",
            Kind::Text,
            Is("\"/*\""),
            "Paths it is for, without the query. `*` stands for any run of characters, slashes too; without a star the whole \
             path must match.",
        ),
        key("methods", Kind::Texts, Words("all"), "Methods it is for."),
        key("pool", Kind::Text, Words("the zone's only pool"), "Name of the pool."),
        key(
            "cache",
            Kind::FlagOr(&["everything"]),
            Is("true"),
            "`false` goes past the cache; `\"everything\"` stores every cacheable response, whatever the extension.",
        ),
        key(
            "edge_ttl",
            Kind::Duration(0, TTL),
            Words("as the origin says"),
            "How long the edge keeps a response, whatever the origin says.",
        ),
        key(
            "browser_ttl",
            Kind::Duration(0, TTL),
            Words("as the origin says"),
            "How long browsers are told to keep a response.",
        ),
        key(
            "ignore_query",
            Kind::FlagOrTexts,
            Is("false"),
            "Query keys that do not tell one cached object from another: `true` for all, or a list such as `[\"utm_*\"]`.",
        ),
        key(
            "bypass_cookie",
            Kind::Texts,
            Is("[]"),
            "Cookies, `*` allowed, whose presence takes a request past the cache.",
        ),
        key(
            "stale_while_revalidate",
            Kind::Duration(0, TTL),
            Words("as the origin says"),
            "How long a stale response serves while a new one is fetched, where the origin does not say (RFC 5861).",
        ),
        key(
            "stale_if_error",
            Kind::Duration(0, TTL),
            Words("as the origin says"),
            "How long a stale response serves when the origin fails, where the origin does not say (RFC 5861).",
        ),
        key(
            "request_headers",
            Kind::Table(&HEADERS),
            Words("no change"),
            "Changes to the request on its way to the origin.",
        ),
        key(
            "response_headers",
            Kind::Table(&HEADERS),
            Words("no change"),
            "Changes to the response on its way to the visitor.",
        ),
        key("compression", Kind::Flag, Words("as the zone says"), "Compresses text on the fly."),
        key(
            "timeout_response",
            Kind::Duration(10, DAY),
            Words("the pool's `timeouts.response`"),
            "From the request sent to the first byte of the response.",
        ),
    ],
};

pub(crate) static HEADERS: Table = Table {
    header: "request_headers = { … }` and `response_headers = { … }",
    doc: "Changes to a header: first the removals, then `set` replaces or adds. Fields that frame the message are Seawall's \
          own and cannot be changed.",
    keys: &[
        key("set", Kind::Map, Is("{}"), "Values by name: `set = { X-Frame-Options = \"DENY\" }`."),
        key("remove", Kind::Texts, Is("[]"), "Names to remove."),
    ],
};

pub(crate) static RULE: Table = Table {
    header: "[[zone.rule]]",
    doc: "A firewall rule. All conditions that stand must hold, and at least one must stand: a rule without any is an error. \
          Patterns are regular expressions found anywhere in the text (`^` and `$` bind them to its ends), without \
          back-references and look-around, so that they take linear time.",
    keys: &[
        key("name", Kind::Text, Required, "Its name, unique in the zone: what the log says."),
        key("enabled", Kind::Flag, Is("true"), "Whether it is tried at all."),
        key("methods", Kind::Texts, Words("any"), "Methods."),
        key("path", Kind::Text, Words("any"), "Pattern for the path, without the query."),
        key("query", Kind::Text, Words("any"), "Pattern for the query, without the question mark."),
        key("user_agent", Kind::Text, Words("any"), "Pattern for `User-Agent`."),
        key(
            "header",
            Kind::Table(&RULE_HEADER),
            Words("any"),
            "A header field and a pattern for a value of it.",
        ),
        key("sources", Kind::Texts, Words("any"), "Addresses and ranges of visitors."),
        key("list", Kind::Text, Words("none"), "Name of a `[[list]]` that holds the visitor's address."),
        key(
            "score_below",
            Kind::Count(2, 99),
            Words("any"),
            "Bot scores below this; needs `score = true` in `[zone.bot]`. A request that has no score never matches.",
        ),
        key(
            "action",
            Kind::Choice(&["block", "log", "skip"]),
            Required,
            "`\"block\"` answers 403, `\"log\"` notes it and goes on, `\"skip\"` tries no later rule and lets the request past the \
             modules of `skip`.",
        ),
        key("skip", Kind::Texts, Is("[]"), "Modules that `action = \"skip\"` lets the request past."),
    ],
};

pub(crate) static RULE_HEADER: Table = Table {
    header: "header = { … }",
    doc: "A header field and a pattern for a value of it.",
    keys: &[
        key("name", Kind::Text, Required, "Name of the field."),
        key("matches", Kind::Text, Required, "The pattern."),
    ],
};

pub(crate) static BOT: Table = Table {
    header: "[zone.bot]",
    doc: "Scores of requests: 1 is certainly a program, 99 certainly a person.",
    keys: &[
        key("score", Kind::Flag, Is("false"), "Scores requests, for rules with `score_below` and the log."),
        key(
            "header",
            Kind::Flag,
            Is("false"),
            "Sends the score to the origin in `CF-Bot-Score`; needs `score`. A request without a score goes without it.",
        ),
    ],
};
