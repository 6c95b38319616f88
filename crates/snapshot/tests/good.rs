//! Configurations that are right, and what they mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Duration;

use seawall_model::*;
use seawall_snapshot::schema::{Default as KeyDefault, Kind, ROOT, Table};
use seawall_snapshot::{Parsed, load, parse, single};

const SMALLEST: &str = r#"
[[zone]]
name = "example.com"
[[zone.pool]]
name = "app"
origins = [{ url = "http://127.0.0.1:3000" }]
"#;

fn sound(parsed: Parsed) -> Site {
    assert_eq!(
        parsed.problems,
        [],
        "{}",
        parsed.problems.iter().map(ToString::to_string).collect::<String>()
    );
    parsed.site.unwrap()
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_smallest_file_has_every_default() {
    let site = sound(parse(SMALLEST, Path::new("/etc/seawall"), &[]));
    assert_eq!(site.data_dir, Path::new("/etc/seawall/data"));
    assert_eq!(site.edge, Edge::under(Path::new("/etc/seawall/data")));
    let origin = Origin::new(OriginUrl::parse("http://127.0.0.1:3000").unwrap());
    let hosts =
        vec![HostPattern::parse("example.com").unwrap(), HostPattern::parse("*.example.com").unwrap()];
    assert_eq!(site.zones, [Zone::new("example.com", hosts, vec![Pool::new("app", vec![origin])])]);
    assert_eq!(site.zones[0].routes, [Route::to("app")]);
}

#[test]
fn the_full_file_is_read_to_the_last_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::fs::write(folder.path().join("a.key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    private(&folder.path().join("a.key"));
    std::fs::write(folder.path().join("bad.txt"), "# bad people\n198.51.100.7 # one\n\n2001:db8:1::/48\r\n")
        .unwrap();
    std::fs::write(folder.path().join("seawall.toml"), include_str!("full.toml")).unwrap();
    let parsed = load(&folder.path().join("seawall.toml"), &[]);
    assert_eq!(parsed.list_files, [folder.path().join("bad.txt")]);
    let site = sound(parsed);

    let edge = &site.edge;
    assert_eq!(site.data_dir, Path::new("/var/lib/seawall"));
    assert_eq!(edge.http.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0.0.0.0:80", "[::]:80"]);
    assert_eq!(
        edge.https.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.1:443", "[2001:db8::1]:443"]
    );
    assert_eq!(edge.metrics, None);
    assert_eq!((edge.workers, edge.node.as_str()), (4, "FRA"));
    assert_eq!(
        edge.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "::1/128"]
    );
    assert_eq!(edge.client_ip_header, ClientIpHeader::Forwarded);
    assert_eq!(edge.proxy_protocol, ProxyProtocol::Required);
    assert_eq!(edge.drain, Duration::from_secs(60));
    let certificate = Certificate { cert: folder.path().join("a.pem"), key: folder.path().join("a.key") };
    assert_eq!(
        edge.tls,
        Tls { min_version: TlsVersion::Tls13, self_signed: false, certificates: vec![certificate.clone()] }
    );
    assert_eq!(
        edge.limits,
        Limits {
            header_count: 50,
            header_bytes: 16 << 10,
            uri_bytes: 8 << 10,
            connections: 1000,
            requests_per_connection: Some(100),
            h2_streams: 64,
            body_bytes: Some(10_000_000),
        }
    );
    assert_eq!(
        edge.timeouts,
        Timeouts {
            header: Duration::from_secs(5),
            body: Duration::from_secs(6),
            idle: Duration::from_secs(7),
            write: Duration::from_millis(800),
            tls_handshake: Duration::from_secs(9),
        }
    );
    assert_eq!(
        edge.cache,
        CacheSettings {
            memory: 1 << 30,
            disk: 10 << 30,
            path: "/var/cache/seawall".into(),
            max_object: 1 << 30
        }
    );
    assert_eq!(
        edge.log,
        LogSettings {
            access: AccessFormat::Combined,
            path: "/var/log/seawall.log".into(),
            rotate: 1 << 20,
            keep: 9,
            fields: vec!["ClientIP".to_owned(), "RayID".to_owned()],
            redact_query: vec!["key".to_owned()],
        }
    );
    assert_eq!(
        edge.resolver,
        ResolverSettings { ttl: Duration::from_secs(10), stale: Duration::from_secs(600) }
    );
    assert_eq!(
        edge.trace,
        TraceSettings {
            endpoint: Some("http://127.0.0.1:4318".to_owned()),
            sample_percent: 12.5,
            follow_parent: true,
        }
    );

    assert_eq!(edge.bans, ["bad"]);
    let modules = |settings: &[(Module, bool, Option<FailMode>)]| {
        Modules(settings.iter().map(|&(module, off, mode)| (module, ModuleSetting { off, mode })).collect())
    };
    let (open, closed, stale) = (Some(FailMode::Open), Some(FailMode::Closed), Some(FailMode::Stale));
    assert_eq!(edge.modules, modules(&[(Module::Firewall, false, closed), (Module::Bot, true, None)]));
    assert_eq!(edge.bot_features, Some(folder.path().join("features.json")));
    assert_eq!(
        edge.rollout,
        Rollout {
            stages: vec![5, 25],
            hold: Duration::from_secs(2),
            requests: 7,
            soak: Duration::from_secs(3600),
            keep: 30,
            quick_hold: Duration::from_millis(300),
        }
    );
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        site.lists,
        [
            List {
                name: "bad".to_owned(),
                addresses: nets(&["192.0.2.0/24", "198.51.100.7/32", "2001:db8:1::/48"]),
            },
            List { name: "office".to_owned(), addresses: nets(&["2001:db8::1/128"]) },
        ]
    );

    let zone = &site.zones[0];
    assert_eq!(zone.name, "example.com");
    assert_eq!(
        (zone.bans.as_slice(), zone.bot),
        (&["office".to_owned()][..], Bot { score: true, header: true })
    );
    assert_eq!(
        zone.modules,
        modules(&[
            (Module::Redirect, false, stale),
            (Module::Bans, false, open),
            (Module::Bot, true, None),
            (Module::Firewall, false, closed),
            (Module::RequestHeaders, false, open),
            (Module::ResponseHeaders, true, None),
        ])
    );
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        zone.rules,
        [
            Rule {
                name: "admin".to_owned(),
                enabled: true,
                when: When {
                    methods: vec!["POST".to_owned(), "PUT".to_owned()],
                    path: text("^/wp-(admin|login)"),
                    query: text("debug=1"),
                    user_agent: text("(?i)sqlmap"),
                    header: text("X-Test").zip(text("^yes$")),
                    sources: nets(&["192.0.2.1/32", "2001:db8::/32"]),
                    list: text("bad"),
                    score_below: Some(30),
                },
                action: Action::Block,
            },
            Rule {
                name: "watch".to_owned(),
                enabled: false,
                when: When { path: text("/x"), ..When::default() },
                action: Action::Log,
            },
            Rule {
                name: "office".to_owned(),
                enabled: true,
                when: When { list: text("office"), ..When::default() },
                action: Action::Skip(vec![Module::RequestHeaders, Module::ResponseHeaders]),
            },
        ]
    );
    assert_eq!(
        zone.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["example.com", "*.example.com"]
    );
    assert_eq!(zone.certificates, [certificate]);
    assert!(zone.development_mode && zone.always_https);
    assert!(!zone.compression && !zone.http2 && !zone.websockets && !zone.cache);

    let pool = &zone.pools[0];
    assert_eq!(pool.policy, Policy::Hash(HashKey::Cookie("session".to_owned())));
    assert_eq!(pool.affinity, Some(Affinity { cookie: "stick".to_owned(), ttl: Duration::from_secs(7200) }));
    assert_eq!(pool.fallback, ["spare"]);
    assert_eq!((pool.retries, pool.retry_budget_percent), (2, 10));
    let origin = &pool.origins[0];
    assert_eq!(origin.url.to_string(), "https://app.internal:8443");
    assert_eq!((origin.name.as_str(), origin.weight), ("a", 5));
    assert_eq!(
        (origin.host.as_deref(), origin.sni.as_deref()),
        (Some("app.example:8443"), Some("tls.example"))
    );
    assert_eq!((origin.ca.as_deref(), origin.tls), (Some(&*folder.path().join("a.pem")), OriginTls::Strict));
    assert!(origin.http2 && !origin.backup && pool.origins[1].backup);
    assert_eq!((origin.max_connections, origin.max_pending), (10, 0));
    assert_eq!(pool.origins[1].tls, OriginTls::Full);
    assert_eq!(
        pool.timeouts,
        PoolTimeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(2),
            idle: Duration::from_secs(3),
            between_bytes: Duration::from_secs(4),
        }
    );
    assert_eq!(
        pool.monitor,
        Some(Monitor {
            kind: MonitorKind::Https,
            path: "/healthz?deep=1".to_owned(),
            method: "POST".to_owned(),
            host: Some("health.example".to_owned()),
            expect_status: vec![StatusRange { from: 200, to: 299 }, StatusRange { from: 301, to: 301 }],
            expect_body: Some("ok".to_owned()),
            interval: Duration::from_secs(20),
            timeout: Duration::from_secs(4),
            healthy: 1,
            unhealthy: 5,
            jitter_percent: 0,
        })
    );
    assert_eq!(
        pool.ejection,
        Ejection {
            consecutive_failures: 0,
            base: Duration::from_secs(1),
            max: Duration::from_secs(60),
            max_percent: 100,
        }
    );
    assert_eq!(pool.concurrency, Concurrency { adaptive: false, min: 1, max: 99 });
    assert_eq!(zone.pools[1].policy, Policy::LeastOutstanding);
    assert_eq!(zone.pools[1].monitor, Some(Monitor::default()));
    assert_eq!(zone.pools[1].affinity, Some(Affinity::default()));

    let route = &zone.routes[0];
    assert_eq!(route.host, Some(HostPattern::parse("api.example.com").unwrap()));
    assert_eq!(route.path.as_str(), "/static/*");
    assert_eq!(route.methods, ["GET", "HEAD"]);
    assert_eq!((route.pool.as_str(), route.cache), ("app", RouteCache::Everything));
    assert_eq!(
        (route.edge_ttl, route.browser_ttl),
        (Some(Duration::from_secs(3600)), Some(Duration::from_secs(300)))
    );
    assert_eq!(
        route.ignore_query,
        IgnoreQuery::Keys(vec![NamePattern::parse("utm_*").unwrap(), NamePattern::parse("fbclid").unwrap()])
    );
    assert_eq!(route.bypass_cookie, [NamePattern::parse("session*").unwrap()]);
    assert_eq!(route.stale_while_revalidate, Some(Duration::from_secs(30)));
    assert_eq!(route.stale_if_error, Some(Duration::from_secs(3600)));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(route.request_headers.set, [pair("X-Zone", "b"), pair("X-Alpha", "ü")]);
    assert_eq!(route.request_headers.remove, ["Cookie"]);
    assert_eq!(route.response_headers.set, [pair("X-Frame-Options", "DENY")]);
    assert_eq!(route.response_headers.remove, ["Server", "X-Powered-By"]);
    assert_eq!((route.compression, route.timeout_response), (Some(false), Some(Duration::from_secs(30))));
    assert_eq!(zone.routes[1].cache, RouteCache::Bypass);
    assert_eq!(zone.routes[1].ignore_query, IgnoreQuery::All);
    assert_eq!((zone.routes[2].cache, zone.routes[2].pool.as_str()), (RouteCache::Default, "spare"));
}

#[cfg(unix)]
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every key of `table` with its default, as TOML.
fn written_out(table: &Table, name: &str, out: &mut String, skip: &[&str]) {
    if !name.is_empty() {
        out.push_str(&format!("[{name}]\n"));
    }
    for key in table.keys {
        if let KeyDefault::Is(value) = key.default
            && !skip.contains(&key.name)
        {
            out.push_str(&format!("{} = {value}\n", key.name));
        }
    }
    for key in table.keys {
        if let Kind::Table(inner) = key.kind
            && !matches!(key.name, "errors" | "affinity" | "monitor")
        {
            written_out(inner, format!("{name}.{}", key.name).trim_start_matches('.'), out, skip);
        }
    }
}

fn table_at(path: &[&str]) -> &'static Table {
    path.iter().fold(&ROOT, |table, name| match table.key(name).unwrap().kind {
        Kind::Table(inner) | Kind::Tables(inner) => inner,
        _ => panic!("{name} is no table"),
    })
}

#[test]
fn the_defaults_in_the_table_of_keys_are_those_of_the_model() {
    let mut edge = String::new();
    written_out(&ROOT, "", &mut edge, &["zone"]);
    let base = Path::new("/b");
    assert!(edge.contains("[edge.resolver]") && edge.contains("header_count = 100"), "{edge}");
    let with = parse(&format!("{edge}\n{SMALLEST}"), base, &[]);
    assert_eq!(sound(with), sound(parse(SMALLEST, base, &[])));

    // In the zone: `hash_key` warns without its policy, and the optional tables are compared with their own defaults.
    let mut zone = String::from("[[zone]]\nname = \"example.com\"\n");
    for key in table_at(&["zone"]).keys {
        if let KeyDefault::Is(value) = key.default {
            zone.push_str(&format!("{} = {value}\n", key.name));
        }
    }
    zone.push_str("[[zone.pool]]\nname = \"app\"\norigins = [{ url = \"http://127.0.0.1:3000\"");
    for key in table_at(&["zone", "pool", "origins"]).keys {
        if let KeyDefault::Is(value) = key.default {
            zone.push_str(&format!(", {} = {value}", key.name));
        }
    }
    zone.push_str(" }]\n");
    let mut pool = String::new();
    written_out(table_at(&["zone", "pool"]), "", &mut pool, &["hash_key", "name"]);
    zone.push_str(&pool.replace('[', "[zone.pool.").replace("= [zone.pool.", "= ["));
    let mut route = String::from("[[zone.route]]\n");
    for key in table_at(&["zone", "route"]).keys {
        if let KeyDefault::Is(value) = key.default {
            route.push_str(&format!("{} = {value}\n", key.name));
        }
    }
    assert!(zone.contains("[zone.pool.ejection]") && zone.contains("http2 = true"), "{zone}");
    assert_eq!(sound(parse(&format!("{zone}{route}"), base, &[])), sound(parse(SMALLEST, base, &[])));

    for (name, want) in
        [("affinity", Pool::new("app", Vec::new())), ("monitor", Pool::new("app", Vec::new()))]
    {
        let mut inner = String::new();
        for key in table_at(&["zone", "pool", name]).keys {
            if let KeyDefault::Is(value) = key.default {
                inner.push_str(&format!("{} = {value}\n", key.name));
            }
        }
        let site = sound(parse(&format!("{SMALLEST}[zone.pool.{name}]\n{inner}"), base, &[]));
        let pool = &site.zones[0].pools[0];
        match name {
            "affinity" => assert_eq!(pool.affinity, Some(Affinity::default())),
            _ => assert_eq!(pool.monitor, Some(Monitor::default())),
        }
        assert_eq!(pool.retries, want.retries);
    }
}

#[test]
fn the_environment_overrides_the_edge() {
    let vars = env(&[
        ("SEAWALL_DATA_DIR", "here"),
        ("SEAWALL_EDGE_HTTP", "127.0.0.1:1, [::1]:2"),
        ("SEAWALL_EDGE_HTTPS", ""),
        ("SEAWALL_EDGE_METRICS", "127.0.0.1:0"),
        ("SEAWALL_EDGE_WORKERS", "2"),
        ("SEAWALL_EDGE_TLS_SELF_SIGNED", "false"),
        ("SEAWALL_EDGE_LIMITS_BODY_BYTES", "1MiB"),
        ("SEAWALL_EDGE_TIMEOUTS_IDLE", "5"),
        ("SEAWALL_EDGE_LOG_ACCESS", "off"),
        ("SEAWALL_EDGE_TRACE_SAMPLE_PERCENT", "0.25"),
        ("SEAWALL_EDGE_ROLLOUT_HOLD", "50ms"),
        ("SEAWALL_EDGE_ROLLOUT_STAGES", "2, 20"),
        ("SEAWALL_EDGE_MODULES_BOT", "off"),
        ("SEAWALL_EDGE_BOT_FEATURES", "f.json"),
        ("SEAWALL_LOG", "debug"),
    ]);
    let file = format!("[edge]\nhttp = \":9\"\nworkers = 1\n{SMALLEST}");
    let site = sound(parse(&file, Path::new("/b"), &vars));
    assert_eq!(site.data_dir, Path::new("here"));
    assert_eq!(site.edge.log.path, Path::new("here/log/access.log"));
    assert_eq!(
        site.edge.http.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:1", "[::1]:2"]
    );
    assert!(site.edge.https.is_empty() && !site.edge.tls.self_signed);
    assert_eq!(site.edge.trace, TraceSettings { sample_percent: 0.25, ..TraceSettings::default() });
    assert_eq!(site.edge.metrics.unwrap().port(), 0);
    assert_eq!((site.edge.workers, site.edge.limits.body_bytes), (2, Some(1 << 20)));
    assert_eq!(site.edge.timeouts.idle, Duration::from_secs(5));
    assert_eq!(site.edge.log.access, AccessFormat::Off);
    assert_eq!((site.edge.rollout.hold, site.edge.rollout.stages), (Duration::from_millis(50), vec![2, 20]));
    assert!(site.edge.modules.is_off(Module::Bot));
    assert_eq!(site.edge.bot_features.as_deref(), Some(Path::new("f.json")));
}

#[test]
fn one_origin_without_a_file_is_a_site() {
    let site = sound(single("http://127.0.0.1:3000", Path::new(""), &env(&[("SEAWALL_EDGE_NODE", "ams")])));
    assert_eq!((site.data_dir.as_path(), site.edge.node.as_str()), (Path::new("data"), "AMS"));
    assert_eq!(site.zones, Site::single("http://127.0.0.1:3000").unwrap().zones);

    let bad = single("127.0.0.1:3000", Path::new(""), &[]);
    assert!(bad.site.is_none() && bad.has_errors());
}

#[test]
fn a_byte_order_mark_and_windows_lines_do_no_harm() {
    let text = format!("\u{feff}{}", SMALLEST.replace('\n', "\r\n"));
    assert_eq!(sound(parse(&text, Path::new(""), &[])).zones.len(), 1);
}
