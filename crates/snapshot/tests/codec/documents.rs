//! Any right document, for properties.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use seawall_model::*;

/// Any right site whose zones name only lists that are there.
pub fn site() -> impl Strategy<Value = Site> {
    let zones = prop::collection::vec(zone(), 0..4);
    (edge(), prop::collection::vec(nets(0..6), 2), zones).prop_map(|(edge, lists, mut zones)| {
        for (index, zone) in zones.iter_mut().enumerate() {
            zone.name = format!("z{index}.{}", zone.name);
        }
        let lists = ["bad", "office"].into_iter().zip(lists);
        let lists = lists.map(|(name, addresses)| List { name: name.to_owned(), addresses }).collect();
        Site { data_dir: PathBuf::from("data"), edge, lists, zones }
    })
}

pub fn edge() -> impl Strategy<Value = Edge> {
    let listen = || prop::collection::btree_set(1..60_000_u16, 0..4);
    let basic = (listen(), listen(), any::<bool>(), 0..=1_024_u32, "[A-Z0-9]{1,8}", nets(1..5));
    let choices = (select(ClientIpHeader::ALL.to_vec()), 0..3_u8, any::<bool>(), any::<bool>());
    let numbers = (1..=250_u32, 256..=1024_u64, of(1..u32::MAX), of(1..1_u64 << 40), ms(0, 3_600_000));
    let rest =
        (rollout(), modules(), lists(), of(path()), 0.0..=100.0_f64, of(Just("http://127.0.0.1:4318")));
    (basic, choices, numbers, rest, certificates()).prop_map(
        |(basic, choices, numbers, rest, certificates)| {
            let mut edge = Edge::default();
            let (http, https, metrics, workers, node, trusted) = basic;
            let at = |base: u16, port: u16| format!("127.0.0.{base}:{port}").parse().unwrap();
            edge.http = http.into_iter().map(|port| at(1, port)).collect();
            edge.https = https.into_iter().map(|port| at(2, port)).collect();
            edge.metrics = metrics.then(|| at(3, 8091));
            (edge.workers, edge.node, edge.trusted_proxies) = (workers, node, trusted);
            let (header, proxy, tls13, self_signed) = choices;
            edge.client_ip_header = header;
            edge.proxy_protocol = match proxy {
                0 => ProxyProtocol::Off,
                1 => ProxyProtocol::Optional,
                _ => ProxyProtocol::Required,
            };
            let min_version = if tls13 { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
            edge.tls = Tls { min_version, self_signed, certificates };
            let (header_count, uri_bytes, requests, body_bytes, drain) = numbers;
            edge.limits.header_count = header_count;
            edge.limits.uri_bytes = uri_bytes;
            edge.limits.requests_per_connection = requests;
            edge.limits.body_bytes = body_bytes;
            edge.drain = drain;
            let (rollout, modules, bans, features, sample_percent, endpoint) = rest;
            (edge.rollout, edge.modules, edge.bans, edge.bot_features) = (rollout, modules, bans, features);
            edge.trace.sample_percent = sample_percent;
            edge.trace.endpoint = endpoint.map(str::to_owned);
            edge
        },
    )
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let stages = prop::collection::btree_set(1..=99_u8, 1..=10);
    (stages, ms(10, 60_000), 1..1_000_000_u32, ms(100, 1 << 31), 10..=1_000_u32, ms(10, 60_000)).prop_map(
        |(stages, hold, requests, soak, keep, quick_hold)| Rollout {
            stages: stages.into_iter().collect(),
            hold,
            requests,
            soak,
            keep,
            quick_hold,
        },
    )
}

/// Any right zone; it may name the lists `bad` and `office`.
pub fn zone() -> impl Strategy<Value = Zone> {
    let flags = prop::collection::vec(any::<bool>(), 8);
    let pools = prop::collection::vec(pool(), 1..4);
    let routes = prop::collection::vec((route(), any::<prop::sample::Index>()), 1..4);
    let rules = prop::collection::vec(rule(), 0..4);
    let names = ("[a-z0-9][a-z0-9-]{0,8}\\.test", hosts(), certificates(), lists());
    (names, flags, pools, routes, rules, modules()).prop_map(
        |(names, flags, pools, routes, rules, modules)| {
            let (name, hosts, certificates, bans) = names;
            let mut zone = Zone::new(name, hosts, Vec::new());
            zone.certificates = certificates;
            zone.bans = bans;
            zone.modules = modules;
            let mut flags = flags.into_iter();
            let mut flag = || flags.next().unwrap();
            zone.development_mode = flag();
            zone.compression = flag();
            zone.http2 = flag();
            zone.websockets = flag();
            zone.always_https = flag();
            zone.cache = flag();
            zone.bot = Bot { score: flag(), header: flag() };
            let count = pools.len();
            for (index, (mut pool, falls)) in pools.into_iter().enumerate() {
                pool.name = format!("pool{index}");
                // Back on later pools only, so that there is no circle.
                if falls {
                    pool.fallback = (index + 1..count).map(|later| format!("pool{later}")).collect();
                }
                zone.pools.push(pool);
            }
            for (mut route, at) in routes {
                route.pool = at.get(&zone.pools).name.clone();
                zone.routes.push(route);
            }
            for (index, mut rule) in rules.into_iter().enumerate() {
                rule.name = format!("{}{index}", rule.name);
                zone.rules.push(rule);
            }
            zone
        },
    )
}

fn hosts() -> impl Strategy<Value = Vec<HostPattern>> {
    let host = prop_oneof![
        Just("*".to_owned()),
        "(\\*\\.)?[a-z0-9_]{1,8}\\.[a-z]{2,5}",
        Just("[::1]".to_owned()),
        Just("10.0.0.1".to_owned()),
    ];
    prop::collection::btree_set(host, 1..12)
        .prop_map(|hosts| hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect())
}

fn pool() -> impl Strategy<Value = (Pool, bool)> {
    let policy = prop_oneof![
        Just(Policy::RoundRobin),
        Just(Policy::LeastOutstanding),
        select(vec![HashKey::Ip, HashKey::Path, HashKey::Uri]).prop_map(Policy::Hash),
        token().prop_map(|name| Policy::Hash(HashKey::Header(name))),
        token().prop_map(|name| Policy::Hash(HashKey::Cookie(name))),
    ];
    let affinity = of((token(), ms(1_000, 1 << 33)).prop_map(|(cookie, ttl)| Affinity { cookie, ttl }));
    let timeouts = (ms(10, 600_000), ms(10, 1 << 26), ms(100, 1 << 26), ms(10, 1 << 26)).prop_map(
        |(connect, response, idle, between_bytes)| PoolTimeouts { connect, response, idle, between_bytes },
    );
    let ejection = (0..=10_000_u32, ms(100, 1 << 20), ms(1 << 20, 1 << 26), 0..=100_u32).prop_map(
        |(consecutive_failures, base, max, max_percent)| Ejection {
            consecutive_failures,
            base,
            max,
            max_percent,
        },
    );
    let concurrency = (any::<bool>(), 1..=1_000_u32, 1_000..=1_000_000_u32)
        .prop_map(|(adaptive, min, max)| Concurrency { adaptive, min, max });
    let origins = prop::collection::vec(origin(), 1..4);
    let numbers = (0..=10_u32, 0..=100_u32, any::<bool>());
    (policy, affinity, of(timeouts), of(monitor()), of(ejection), of(concurrency), origins, numbers).prop_map(
        |(policy, affinity, timeouts, monitor, ejection, concurrency, origins, (retries, budget, falls))| {
            let mut pool = Pool::new("pool", origins);
            for (index, origin) in pool.origins.iter_mut().enumerate() {
                origin.name = format!("{}-{index}", origin.name);
            }
            (pool.policy, pool.affinity, pool.monitor) = (policy, affinity, monitor);
            (pool.retries, pool.retry_budget_percent) = (retries, budget);
            pool.timeouts = timeouts.unwrap_or_default();
            pool.ejection = ejection.unwrap_or_default();
            pool.concurrency = concurrency.unwrap_or_default();
            (pool, falls)
        },
    )
}

fn origin() -> impl Strategy<Value = Origin> {
    let url = ("https?", "([a-z0-9]{1,8}\\.[a-z]{2,4}|10\\.0\\.0\\.[1-9]|\\[2001:db8::1\\])", 1..=u16::MAX)
        .prop_map(|(scheme, host, port)| OriginUrl::parse(&format!("{scheme}://{host}:{port}")).unwrap());
    let names = (of("[a-z]{1,8}\\.test(:[1-9][0-9]{0,3})?"), of("[a-z]{1,8}\\.test"), of(path()));
    (url, names, 1..=10_000_u32, any::<(bool, bool, bool)>(), 1..=10_000_000_u32, 0..=10_000_000_u32)
        .prop_map(|(url, (host, sni, ca), weight, (full, http2, backup), max_connections, max_pending)| {
            let mut origin = Origin::new(url);
            if full && origin.tls == OriginTls::Strict {
                origin.tls = OriginTls::Full;
            }
            Origin { host, sni, ca, weight, http2, backup, max_connections, max_pending, ..origin }
        })
}

fn monitor() -> impl Strategy<Value = Monitor> {
    let kind = select(vec![MonitorKind::Http, MonitorKind::Https, MonitorKind::Tcp]);
    let statuses = prop::collection::vec((100..=350_u16, 350..=599_u16), 1..4);
    let texts = ("/[!-\"$-~]{0,12}", "[A-Z]{3,7}", of("[a-z.]{1,4}x"), of("\\PC{1,12}"));
    (kind, texts, statuses, ms(10, 1_000), ms(1_000, 1 << 26), 1..=100_u32, 0..=100_u32).prop_map(
        |(kind, (path, method, host, body), statuses, timeout, interval, count, jitter_percent)| Monitor {
            kind,
            path,
            expect_body: body.filter(|_| kind != MonitorKind::Tcp && method != "HEAD"),
            method,
            host: host.filter(|host| HostPattern::parse(host).is_ok()),
            expect_status: statuses.into_iter().map(|(from, to)| StatusRange { from, to }).collect(),
            interval,
            timeout,
            healthy: count,
            unhealthy: 101 - count,
            jitter_percent,
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    let host = of(Just(HostPattern::parse("*.a.test").unwrap()));
    let path = "[/*][a-z*/.]{0,10}".prop_map(|text| PathPattern::parse(&text).unwrap());
    let names = || prop::collection::vec("[a-z_*]{1,8}", 0..3);
    let cache = select(vec![RouteCache::Default, RouteCache::Bypass, RouteCache::Everything]);
    let query = prop_oneof![
        Just(IgnoreQuery::None),
        Just(IgnoreQuery::All),
        prop::collection::vec("[a-z_*]{1,8}", 1..3).prop_map(|names| IgnoreQuery::Keys(patterns(names))),
    ];
    let times = (ttl(), ttl(), ttl(), ttl(), of(ms(10, 1 << 26)));
    (host, path, methods(), cache, query, names(), times, edits(), edits(), of(any::<bool>())).prop_map(
        |(host, path, methods, cache, ignore_query, cookies, times, request, response, compression)| {
            let mut route = Route::to("pool");
            (route.host, route.path, route.methods, route.cache) = (host, path, methods, cache);
            (route.ignore_query, route.bypass_cookie) = (ignore_query, patterns(cookies));
            (route.edge_ttl, route.browser_ttl, route.stale_while_revalidate) = (times.0, times.1, times.2);
            (route.stale_if_error, route.timeout_response) = (times.3, times.4);
            (route.request_headers, route.response_headers) = (request, response);
            route.compression = compression;
            route
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let pattern = || of(select(vec!["^/a", "(?i)b+$", "\\.php", "[\"\\\\]", "ü"]).prop_map(str::to_owned));
    let when = (
        methods(),
        pattern(),
        pattern(),
        pattern(),
        of((token(), Just("x".to_owned()))),
        nets(0..4),
        of(select(vec!["bad", "office"]).prop_map(str::to_owned)),
        of(2..=99_u8),
    );
    let action = prop_oneof![
        Just(Action::Block),
        Just(Action::Log),
        subsequence(Module::ALL.to_vec(), 0..=6).prop_map(Action::Skip),
    ];
    ("[a-z]{1,8}", any::<bool>(), when, action).prop_map(|(name, enabled, when, action)| {
        let (methods, path, query, user_agent, header, sources, list, score_below) = when;
        let mut when = When { methods, path, query, user_agent, header, sources, list, score_below };
        if when.is_empty() {
            when.path = Some("/".to_owned());
        }
        Rule { name, enabled, when, action }
    })
}

fn edits() -> impl Strategy<Value = HeaderEdits> {
    let set = prop::collection::btree_map("X-[a-z]{1,6}", "([!-~ü]([ -~]{0,8}[!-~])?)?", 0..3);
    (set, prop::collection::vec("X-[a-z]{1,6}", 0..3))
        .prop_map(|(set, remove)| HeaderEdits { set: set.into_iter().collect(), remove })
}

fn modules() -> impl Strategy<Value = Modules> {
    let setting = (any::<bool>(), of(select(FailMode::ALL.to_vec())));
    let setting = setting.prop_map(|(off, mode)| ModuleSetting { off, mode });
    prop::collection::btree_map(select(Module::ALL.to_vec()), setting, 0..=6).prop_map(Modules)
}

pub fn nets(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<IpNet>> {
    let four = (any::<[u8; 4]>(), 1..=32_u8).prop_map(|(address, length)| IpNet::new(address.into(), length));
    let six =
        (any::<[u8; 16]>(), 1..=128_u8).prop_map(|(address, length)| IpNet::new(address.into(), length));
    prop::collection::vec(prop_oneof![four, six].prop_map(|net| net.unwrap().trunc()), count)
}

fn lists() -> impl Strategy<Value = Vec<String>> {
    subsequence(vec!["bad".to_owned(), "office".to_owned()], 0..=2)
}

fn certificates() -> impl Strategy<Value = Vec<Certificate>> {
    prop::collection::vec((path(), path()).prop_map(|(cert, key)| Certificate { cert, key }), 0..3)
}

fn path() -> impl Strategy<Value = PathBuf> {
    "/?[a-zü \"]{1,8}(/[a-z.]{1,8})?".prop_map(PathBuf::from)
}

fn methods() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[A-Z][A-Z-]{0,6}", 0..3)
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.~!#$%&'*+^`|-]{1,10}"
}

fn patterns(names: Vec<String>) -> Vec<NamePattern> {
    names.iter().map(|name| NamePattern::parse(name).unwrap()).collect()
}

fn ttl() -> impl Strategy<Value = Option<Duration>> {
    of(ms(0, 31_622_400_000))
}

fn ms(low: u64, high: u64) -> impl Strategy<Value = Duration> {
    (low..=high).prop_map(Duration::from_millis)
}
