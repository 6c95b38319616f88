//! Which origin is asked, when another is, and when nobody is.

use crate::common::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn named(name: &'static str) -> Origin {
    Origin::answering(move |_| ok(name))
}

/// A zone with one pool; `keys` of the pool, then its origins.
fn pool(keys: &str, origins: &[String]) -> String {
    format!(
        "[[zone]]\nname = \"test\"\nhosts = [\"*\"]\ncache = false\n[[zone.pool]]\nname = \"app\"\n{keys}\norigins = [{}]\n",
        origins.join(", ")
    )
}

fn at(origin: &Origin, keys: &str) -> String {
    format!("{{ url = \"http://{}\"{keys} }}", origin.addr)
}

fn nobody(keys: &str) -> String {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("{{ url = \"http://{addr}\"{keys} }}")
}

fn tally(seawall: &Seawall, times: usize, fields: &str) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..times {
        let mut client = seawall.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
        let answer = client.answer();
        *seen
            .entry(if answer.status == 200 { answer.text() } else { answer.status.to_string() })
            .or_default() += 1;
    }
    seen
}

#[test]
fn turns_are_taken_by_weight() {
    let (a, b) = (named("a"), named("b"));
    let seawall = Seawall::start(&pool("", &[at(&a, ", weight = 3"), at(&b, "")]));
    assert_eq!(tally(&seawall, 40, ""), [("a".to_owned(), 30), ("b".to_owned(), 10)].into());
}

#[test]
fn the_least_busy_is_asked() {
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let slow = Origin::answering(move |_| {
        while !is_over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        ok("slow")
    });
    let quick = named("quick");
    let seawall = Seawall::start(&pool("policy = \"least_outstanding\"", &[at(&slow, ""), at(&quick, "")]));
    let address = seawall.http;
    let held: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
                client.answer().text()
            })
        })
        .collect();
    eventually("the slow one is busy", || slow.seen().len() == 1);
    let rest = tally(&seawall, 20, "");
    assert_eq!(rest.get("quick"), Some(&20), "{rest:?}");
    over.store(true, Ordering::SeqCst);
    held.into_iter().for_each(|t| drop(t.join().unwrap()));
}

#[test]
fn a_hash_keeps_what_belongs_together_together() {
    let (a, b) = (named("a"), named("b"));
    let keys = "policy = \"hash\"\nhash_key = \"header:X-User\"";
    let seawall = Seawall::start(&pool(keys, &[at(&a, ""), at(&b, "")]));
    let mut used = BTreeMap::new();
    for user in 0..16 {
        let answers = tally(&seawall, 3, &format!("X-User: {user}\r\n"));
        assert_eq!(answers.len(), 1, "{user}: {answers:?}");
        *used.entry(answers.into_keys().next().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 2, "{used:?}");
}

#[test]
fn a_cookie_ties_a_client_to_its_origin() {
    let (a, b) = (named("a"), named("b"));
    let seawall =
        Seawall::start(&pool("affinity = { cookie = \"lb\", ttl = \"1h\" }", &[at(&a, ""), at(&b, "")]));
    for _ in 0..4 {
        let answer = seawall.get("/");
        let cookie = answer.field("set-cookie").unwrap().to_owned();
        assert!(cookie.starts_with("lb=") && cookie.contains("HttpOnly"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let again = tally(&seawall, 5, &format!("Cookie: x=y; {pair}\r\n"));
        assert_eq!(again, [(answer.text(), 5)].into());
    }
    assert_eq!(tally(&seawall, 2, "Cookie: lb=forged\r\n").values().sum::<usize>(), 2);
}

#[test]
fn what_cannot_be_reached_is_tried_elsewhere_and_then_left_out() {
    let well = named("well");
    let keys = "ejection = { consecutive_failures = 2, base = \"30s\" }";
    let seawall = Seawall::start(&pool(keys, &[nobody(", name = \"gone\""), at(&well, "")]));
    assert_eq!(tally(&seawall, 20, ""), [("well".to_owned(), 20)].into());
    assert!(seawall.metric("seawall_retries_total") >= 2.0);
    assert_eq!(seawall.metric("seawall_origin_faults_total{fault=\"connect\"}"), 2.0);
}

#[test]
fn when_all_fail_the_fault_is_told_and_not_that_nobody_is_left() {
    let seawall = Seawall::start(&pool("retries = 5", &[nobody(""), nobody("")]));
    assert_eq!(seawall.get("/").status, 521);
}

#[test]
fn only_what_may_be_repeated_is_sent_again() {
    let bad = || Origin::serving(|_, _| false);
    for (request, sends) in [
        ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 2),
        ("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n", 2),
        ("DELETE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n", 1),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx", 1),
        ("PATCH / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx", 1),
        ("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx", 1),
        ("PURR / HTTP/1.1\r\nHost: a.test\r\n\r\n", 1),
    ] {
        let (a, b) = (bad(), bad());
        let seawall = Seawall::start(&pool("retries = 1", &[at(&a, ""), at(&b, "")]));
        let mut client = seawall.client();
        client.send(request);
        assert_eq!(client.answer_to("HEAD").status, 520, "{request:?}");
        assert_eq!(a.seen().len() + b.seen().len(), sends, "{request:?}");
    }
    // Before a byte was sent, anything may go elsewhere.
    let well = named("well");
    let seawall = Seawall::start(&pool("retries = 1", &[nobody(""), at(&well, "")]));
    for _ in 0..2 {
        let mut client = seawall.client();
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.answer().text(), "well");
    }
    assert!(well.seen().iter().all(|r| r.body == b"x"));
}

#[test]
fn retries_stay_within_their_budget() {
    let (a, b) = (Origin::serving(|_, _| false), Origin::serving(|_, _| false));
    let keys = "retries = 1\nretry_budget_percent = 10\nejection = { consecutive_failures = 1000 }";
    let seawall = Seawall::start(&pool(keys, &[at(&a, ""), at(&b, "")]));
    tally(&seawall, 200, "");
    let sent = a.seen().len() + b.seen().len();
    assert!((200..300).contains(&sent), "{sent}");
    assert!(seawall.metric("seawall_retries_refused_total") > 100.0);
}

#[test]
fn a_full_origin_is_waited_for_a_moment_and_then_503_says_when_to_come_back() {
    let origin = Origin::serving(|r, client| {
        std::thread::sleep(Duration::from_millis(if r.path() == "/long" { 2500 } else { 100 }));
        client.send(ok(r.path()));
        true
    });
    let limits = ", max_connections = 1, max_pending = 2";
    let seawall = Seawall::start(&pool("concurrency = { adaptive = false }", &[at(&origin, limits)]));
    let address = seawall.http;
    let ask = move |path: &'static str| {
        std::thread::spawn(move || {
            let mut client = Client::connect(address);
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            client.answer()
        })
    };
    // Two find a place in the queue.
    let first = ask("/first");
    eventually("it is asked", || !origin.seen().is_empty());
    let second = ask("/second");
    assert_eq!((first.join().unwrap().status, second.join().unwrap().status), (200, 200));
    let long = ask("/long");
    eventually("it is asked", || origin.seen().len() == 3);
    let asked = Instant::now();
    let others: Vec<_> = (0..5).map(|_| ask("/other")).collect();
    for other in others {
        let answer = other.join().unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.field("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert_eq!(long.join().unwrap().status, 200);
    assert!(seawall.metric("seawall_origin_faults_total{fault=\"overload\"}") >= 5.0);
}

#[test]
fn monitors_take_an_origin_out_and_bring_it_back() {
    for kind in ["http", "tcp"] {
        let up = Arc::new(AtomicBool::new(true));
        let is_up = up.clone();
        let probed = Origin::answering(move |r| match (r.path(), is_up.load(Ordering::SeqCst)) {
            ("/health", false) => b"HTTP/1.1 500 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => ok("probed"),
        });
        let other = named("other");
        let monitor = format!(
            "monitor = {{ type = \"{kind}\", path = \"/health\", interval = \"200ms\", timeout = \"200ms\", healthy = 1, unhealthy = 1 }}"
        );
        let seawall = Seawall::start(&pool(&monitor, &[at(&probed, ""), at(&other, "")]));
        assert_eq!(tally(&seawall, 4, "").len(), 2, "{kind}");
        up.store(false, Ordering::SeqCst);
        if kind == "tcp" {
            continue;
        }
        eventually("it is out", || tally(&seawall, 4, "").get("other") == Some(&4));
        up.store(true, Ordering::SeqCst);
        eventually("it is back", || tally(&seawall, 4, "").len() == 2);
    }
}

#[test]
fn pools_stand_in_for_each_other_in_order() {
    let spare = named("spare");
    let text = format!(
        "[[zone]]\nname = \"test\"\nhosts = [\"*\"]\ncache = false\n\
         [[zone.pool]]\nname = \"app\"\nretries = 0\nfallback = [\"spare\"]\norigins = [{}]\n\
         monitor = {{ type = \"tcp\", interval = \"200ms\", timeout = \"200ms\", unhealthy = 1 }}\n\
         [[zone.pool]]\nname = \"spare\"\norigins = [{}]\n[[zone.route]]\npool = \"app\"\n",
        nobody(""),
        at(&spare, "")
    );
    let seawall = Seawall::start(&text);
    eventually("the spare stands in", || seawall.get("/").text() == "spare");
}

#[test]
fn how_origins_stand_is_in_the_metrics() {
    let origin = Origin::serving(|_, client| {
        let _ = client.head();
        false
    });
    let seawall = Seawall::start(&pool("retries = 0", &[at(&origin, ", name = \"o\"")]));
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let labels = "{zone=\"test\",pool=\"app\",origin=\"o\"}";
    eventually("one is outstanding", || {
        seawall.metric(&format!("seawall_origin_outstanding{labels}")) == 1.0
    });
    assert!(seawall.metric(&format!("seawall_origin_concurrency_limit{labels}")) >= 8.0);
}
