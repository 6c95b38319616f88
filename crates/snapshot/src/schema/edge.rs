//! Keys of `[edge]` and the tables in it.

use seawall_model::limits;

use super::Default::{Is, Required, Words};
use super::{DAY, HOUR, KIB, Kind, MINUTE, SECOND, Table, U32, key};

pub(crate) static EDGE: Table = Table {
    header: "[edge]",
    doc: "What concerns the edge as a whole: addresses, trust, shutdown.",
    keys: &[
        key(
            "http",
            Kind::Texts,
            Is(r#"["0.0.0.0:8080", "[::]:8080"]"#),
            "Addresses for cleartext HTTP/1, as `\"IP:port\"`. `\":8080\"` stands for that port on every IPv4 and IPv6 \
             address. An empty list, or `\"off\"`, listens on none.",
        ),
        key(
            "https",
            Kind::Texts,
            Is(r#"["0.0.0.0:8443", "[::]:8443"]"#),
            "Addresses for TLS with HTTP/1 and HTTP/2, written in the same way.",
        ),
        key(
            "metrics",
            Kind::Text,
            Is("\"127.0.0.1:8091\""),
            "Address of `/metrics`, `/livez` and `/readyz`, or `\"off\"`. They are for you, not for visitors: keep it on a \
             private address.",
        ),
        key(
            "workers",
            Kind::Count(0, limits::WORKERS.value),
            Is("0"),
            "Worker threads; 0 means one for each core.",
        ),
        key(
            "node",
            Kind::Text,
            Is("\"DEV\""),
            "Code of this node at the end of `CF-Ray` and in `/cdn-cgi/trace`: 1 to 8 letters or digits, by custom the code \
             of the nearest airport.",
        ),
        key(
            "trusted_proxies",
            Kind::Texts,
            Is("[]"),
            "Addresses and ranges (`10.0.0.0/8`) of proxies in front of this edge. Only from them are `client_ip_header` and \
             the PROXY protocol believed.",
        ),
        key(
            "client_ip_header",
            Kind::Choice(&[
                "X-Forwarded-For",
                "CF-Connecting-IP",
                "True-Client-IP",
                "X-Real-IP",
                "Forwarded",
            ]),
            Is("\"X-Forwarded-For\""),
            "The header in which trusted proxies name the visitor's address.",
        ),
        key(
            "proxy_protocol",
            Kind::Choice(&["off", "optional", "required"]),
            Is("\"off\""),
            "PROXY protocol (v1 or v2) from trusted proxies. With `\"required\"` every other peer is refused.",
        ),
        key(
            "drain",
            Kind::Duration(0, HOUR),
            Is("\"30s\""),
            "How long SIGTERM waits for requests in flight.",
        ),
        key("tls", Kind::Table(&TLS), Words("its defaults"), "TLS towards visitors."),
        key("limits", Kind::Table(&LIMITS), Words("its defaults"), "The most a visitor may send."),
        key("timeouts", Kind::Table(&TIMEOUTS), Words("its defaults"), "The longest a visitor may take."),
        key("cache", Kind::Table(&CACHE), Words("its defaults"), "The cache's two tiers."),
        key("log", Kind::Table(&LOG), Words("its defaults"), "The access log."),
        key("resolver", Kind::Table(&RESOLVER), Words("its defaults"), "Resolution of origin names."),
        key("trace", Kind::Table(&TRACE), Words("off"), "Traces of requests to an OpenTelemetry collector."),
        key("bans", Kind::Texts, Is("[]"), "Names of `[[list]]`s whose addresses are refused in every zone."),
        key(
            "modules",
            Kind::Table(&MODULES),
            Words("nothing"),
            "Turns modules off for every zone, or says what happens while they cannot work.",
        ),
        key("bot", Kind::Table(&BOT), Words("its defaults"), "The bot module."),
        key("rollout", Kind::Table(&ROLLOUT), Words("its defaults"), "How changes are brought in."),
    ],
};

pub(crate) static TLS: Table = Table {
    header: "[edge.tls]",
    doc: "TLS towards visitors. Certificates are chosen by the name the visitor asks for.",
    keys: &[
        key("min_version", Kind::Choice(&["1.2", "1.3"]), Is("\"1.2\""), "The lowest version of TLS spoken."),
        key(
            "self_signed",
            Kind::Flag,
            Is("true"),
            "Whether names without a certificate are served with a self-signed one, made at the start. Browsers warn about \
             it.",
        ),
        key(
            "certificates",
            Kind::Tables(&CERTIFICATE),
            Is("[]"),
            "Certificates for any name they carry, whatever the zone. Visitors who name none get the first.",
        ),
    ],
};

pub(crate) static CERTIFICATE: Table = Table {
    header: "certificates = [{ … }]",
    doc: "A certificate and its key, in PEM files. Relative paths start from the folder of the configuration file. The files \
          are read again when they change.",
    keys: &[
        key("cert", Kind::Path, Required, "The chain, leaf first."),
        key(
            "key",
            Kind::Path,
            Required,
            "The private key. Nobody but Seawall's user should be able to read it.",
        ),
    ],
};

pub(crate) static LIMITS: Table = Table {
    header: "[edge.limits]",
    doc: "The most a visitor may send. What is beyond is answered with the status named, and never reaches an origin.",
    keys: &[
        key("header_count", Kind::Count(1, 250), Is("100"), "Header fields of one request: 431 beyond."),
        key(
            "header_bytes",
            Kind::Size(KIB, 1024 * KIB),
            Is("\"32KiB\""),
            "One request's header section, the request line included: 431 beyond.",
        ),
        key("uri_bytes", Kind::Size(256, 1024 * KIB), Is("\"16KiB\""), "The request target: 414 beyond."),
        key(
            "connections",
            Kind::Count(1, limits::CONNECTIONS.value),
            Is("20000"),
            "Visitor connections at once, over all workers. More are closed as they come, and counted.",
        ),
        key(
            "requests_per_connection",
            Kind::Count(0, U32),
            Is("0"),
            "Requests on one connection before it is closed; 0 means no limit.",
        ),
        key("h2_streams", Kind::Count(1, 10_000), Is("128"), "Streams at once on one HTTP/2 connection."),
        key(
            "body_bytes",
            Kind::Size(0, limits::SIZE_BYTES.value),
            Is("\"0\""),
            "One request's body; 0 means no limit: 413 beyond.",
        ),
    ],
};

pub(crate) static TIMEOUTS: Table = Table {
    header: "[edge.timeouts]",
    doc: "The longest a visitor may take.",
    keys: &[
        key(
            "header",
            Kind::Duration(100, 10 * MINUTE),
            Is("\"10s\""),
            "From the first byte of a request to the end of its header section: 408 beyond.",
        ),
        key(
            "body",
            Kind::Duration(100, HOUR),
            Is("\"30s\""),
            "Between two reads of a request's body: 408 beyond.",
        ),
        key("idle", Kind::Duration(100, DAY), Is("\"75s\""), "Between two requests on a kept connection."),
        key(
            "write",
            Kind::Duration(100, HOUR),
            Is("\"30s\""),
            "Without a byte taken by the visitor while a response is being sent.",
        ),
        key("tls_handshake", Kind::Duration(100, 10 * MINUTE), Is("\"10s\""), "The TLS handshake."),
    ],
};

pub(crate) static CACHE: Table = Table {
    header: "[edge.cache]",
    doc: "The cache's two tiers, shared by all zones. Objects are stored in slices of 1 MiB.",
    keys: &[
        key(
            "memory",
            Kind::Size(0, limits::SIZE_BYTES.value),
            Is("\"256MiB\""),
            "The memory tier; 0 turns it off.",
        ),
        key("disk", Kind::Size(0, limits::SIZE_BYTES.value), Is("\"0\""), "The disk tier; 0 turns it off."),
        key("path", Kind::Path, Words("`cache` in `data_dir`"), "Folder of the disk tier."),
        key(
            "max_object",
            Kind::Size(KIB, limits::SIZE_BYTES.value),
            Is("\"512MiB\""),
            "The largest object stored; larger ones pass through.",
        ),
    ],
};

pub(crate) static LOG: Table = Table {
    header: "[edge.log]",
    doc: "The access log, one line a request. It never holds up a request: what cannot be written is counted and dropped.",
    keys: &[
        key(
            "access",
            Kind::Choice(&["json", "combined", "off"]),
            Is("\"json\""),
            "JSON with the field names of Cloudflare's Logpush `http_requests`, or the combined format of Apache and nginx.",
        ),
        key("path", Kind::Path, Words("`log/access.log` in `data_dir`"), "The file."),
        key(
            "rotate",
            Kind::Size(0, limits::SIZE_BYTES.value),
            Is("\"256MiB\""),
            "Size at which the file is renamed and a new one begun; 0 means never.",
        ),
        key("keep", Kind::Count(0, 10_000), Is("4"), "Renamed files kept; older ones are deleted."),
        key(
            "fields",
            Kind::Texts,
            Is("[]"),
            "Fields of the JSON format, by name; an empty list means the built-in selection.",
        ),
        key(
            "redact_query",
            Kind::Texts,
            Is(
                r#"["token", "access_token", "refresh_token", "id_token", "jwt", "key", "api_key", "apikey", "secret", "client_secret", "password", "passwd", "pwd", "pass", "signature", "sig", "code", "auth", "authorization", "session", "session_id", "sessionid", "sid", "otp", "x-amz-signature", "x-amz-security-token", "x-goog-signature"]"#,
            ),
            "Query keys whose values never reach the log.",
        ),
    ],
};

pub(crate) static RESOLVER: Table = Table {
    header: "[edge.resolver]",
    doc: "Resolution of origin names. A name is first asked when it is first needed; a dead one stops nothing else.",
    keys: &[
        key(
            "ttl",
            Kind::Duration(SECOND, DAY),
            Is("\"30s\""),
            "How long an answer is used before the name is asked again.",
        ),
        key(
            "stale",
            Kind::Duration(0, 7 * DAY),
            Is("\"1h\""),
            "How much longer an old answer serves while the name cannot be resolved.",
        ),
    ],
};

pub(crate) static TRACE: Table = Table {
    header: "[edge.trace]",
    doc: "Traces of a share of the requests, one span for each and one for its last attempt at an origin, sent to an \
          OpenTelemetry collector by OTLP over HTTP. Only in builds with the feature `otel` (`cargo build --features otel`); \
          others warn of this table and do nothing. A `traceparent` of the visitor is continued; origins of traced requests \
          get one of ours in its place.",
    keys: &[
        key(
            "endpoint",
            Kind::Text,
            Words("off"),
            "The collector: `\"http://127.0.0.1:4318\"`, to which `/v1/traces` is added unless a path stands there. Without \
             TLS: run a collector beside Seawall.",
        ),
        key("sample_percent", Kind::Percent, Is("1.0"), "Share of requests traced, chosen by the trace ID."),
        key(
            "follow_parent",
            Kind::Flag,
            Is("false"),
            "Whether requests that the visitor's `traceparent` says are sampled are traced whatever the share. Anyone can say \
             so.",
        ),
    ],
};

/// What may stand at a module.
const MODULE: Kind = Kind::Choice(&["off", "stale", "open", "closed"]);

pub(crate) static MODULES: Table = Table {
    header: "[edge.modules]` and `[zone.modules]",
    doc: "Modules are the guarded stages of a request: the edge contains what goes wrong in one, and after a few faults leaves it \
          out for a while. Meanwhile `\"open\"` lets requests go on as if it were not there, `\"closed\"` answers 503 with a page \
          that names it, and `\"stale\"` works on with its last good data. `\"off\"` turns it off by hand. What is off for \
          the edge is off everywhere; otherwise a zone's own setting comes first.",
    keys: &[
        key("redirect", MODULE, Words("`\"open\"`"), "Sends visitors from `http://` to `https://`."),
        key("bans", MODULE, Words("`\"closed\"`"), "Refuses the addresses of the lists in `bans`."),
        key("bot", MODULE, Words("`\"stale\"`"), "Scores requests by the feature file."),
        key("firewall", MODULE, Words("`\"open\"`"), "Tries the rules of the zone."),
        key(
            "request_headers",
            MODULE,
            Words("`\"closed\"`"),
            "Edits header fields on the way to the origin.",
        ),
        key(
            "response_headers",
            MODULE,
            Words("`\"closed\"`"),
            "Edits header fields on the way to the visitor.",
        ),
    ],
};

pub(crate) static BOT: Table = Table {
    header: "[edge.bot]",
    doc: "The bot module scores requests by a model over a file of features, which may be generated again every few minutes.",
    keys: &[key(
        "features",
        Kind::Path,
        Words("the one built in"),
        "The feature file, JSON. It is checked, rehearsed and rolled out as any change; one that does not pass leaves the last \
         good one in use.",
    )],
};

pub(crate) static ROLLOUT: Table = Table {
    header: "[edge.rollout]",
    doc: "How changes are brought in: every change to what is served runs beside what serves for a growing share of requests, \
          and goes back by itself when the share it had fares worse.",
    keys: &[
        key(
            "stages",
            Kind::Counts(1, 99),
            Is("[1, 10, 50]"),
            "Shares of requests that run under the change, stage by stage, in percent, each above the one before. All of them \
             come after the last.",
        ),
        key("hold", Kind::Duration(10, DAY), Is("\"8s\""), "The least time a stage lasts."),
        key(
            "requests",
            Kind::Count(1, 1_000_000),
            Is("50"),
            "The least number of requests a stage sees; requests made by the edge itself fill up where there is little traffic.",
        ),
        key(
            "soak",
            Kind::Duration(100, 30 * DAY),
            Is("\"10m\""),
            "How long a snapshot serves everything before it counts as good, which is what a restart after trouble goes back to.",
        ),
        key("keep", Kind::Count(10, 1_000), Is("20"), "Snapshots kept in the data folder."),
        key(
            "quick_hold",
            Kind::Duration(10, DAY),
            Is("\"1s\""),
            "The `hold` of what must be quick: turning a module off or on, and bans.",
        ),
    ],
};

pub(crate) static LIST: Table = Table {
    header: "[[list]]",
    doc: "A list of addresses that rules (`list`) and `bans` name. It may stand here, in a file, or both.",
    keys: &[
        key("name", Kind::Text, Required, "Its name, unique among the lists."),
        key(
            "addresses",
            Kind::Texts,
            Is("[]"),
            "Addresses and ranges: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`.",
        ),
        key(
            "file",
            Kind::Path,
            Words("none"),
            "A file with one address or range a line; `#` begins a comment. It is read again when it changes.",
        ),
    ],
};
