//! Reloads and drains under load.

use crate::common::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn reloads_under_load_fail_no_request_and_break_no_download() {
    let (a, b) = (Origin::echoing(), Origin::echoing());
    let slow = Origin::serving(|_, client| {
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..12 {
            client.send("1000\r\n");
            client.send(vec![b'x'; 4096]);
            client.send("\r\n");
            std::thread::sleep(Duration::from_millis(100));
        }
        client.send("0\r\n\r\n");
        true
    });
    let text = |origin: &Origin| {
        zone(origin)
            + &format!(
                "[[zone.pool]]\nname = \"slow\"\norigins = [{{ url = \"http://{}\" }}]\n\
                 [[zone.route]]\npath = \"/slow\"\npool = \"slow\"\n[[zone.route]]\npool = \"app\"\n",
                slow.addr
            )
    };
    let seawall = Seawall::start(&text(&a));
    let mut download = seawall.client();
    download.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::<AtomicUsize>::default();
    let load: Vec<_> = (0..3)
        .map(|n| {
            let (over, served, address) = (over.clone(), served.clone(), seawall.http);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !over.load(Ordering::SeqCst) {
                    if n == 0 {
                        client = Client::connect(address);
                    }
                    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    assert_eq!(client.answer().text(), "/x");
                    served.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for n in 0..20 {
        seawall.reload(&text(if n % 2 == 0 { &b } else { &a }));
        let before = served.load(Ordering::SeqCst);
        eventually("requests go on", || served.load(Ordering::SeqCst) > before + 5);
    }
    over.store(true, Ordering::SeqCst);
    load.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(download.answer().body.len(), 12 * 4096);
    assert!(!a.seen().is_empty() && !b.seen().is_empty());
    assert_eq!(slow.connections(), 1);
}

#[test]
fn a_zone_that_cannot_be_used_keeps_its_last_version_while_others_change() {
    let (a, b) = (Origin::answering(|_| ok("a")), Origin::answering(|_| ok("b")));
    let two = |first: &str, second: &Origin| {
        format!(
            "[[zone]]\nname = \"one\"\nhosts = [\"one.test\"]\ncache = false\n[[zone.pool]]\nname = \"app\"\norigins = [{{ url = \"{first}\" }}]\n{}",
            zone(second).replace("\"*\"", "\"two.test\"")
        )
    };
    let seawall = Seawall::start(&two(&format!("http://{}", a.addr), &a));
    let ask = |host: &str| {
        let mut client = seawall.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.answer().text()
    };
    // Readable, but its certification authority is not there when it is compiled.
    let bad = two("https://127.0.0.1:1\", ca = \"/nowhere/ca.pem", &b);
    let (mut site, problems) = {
        let parsed = seawall_snapshot::parse(&bad, seawall.dir.path(), &[]);
        (parsed.site.unwrap(), parsed.problems)
    };
    site.data_dir = seawall.dir.path().to_owned();
    seawall.adopt(site, problems);
    assert_eq!((ask("one.test"), ask("two.test")), ("a".to_owned(), "b".to_owned()));
}

#[test]
fn a_drain_finishes_what_was_begun_and_takes_nothing_new() {
    let origin = Origin::serving(|r, client| {
        if r.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(800));
        }
        client.send(ok(r.path()));
        true
    });
    let seawall = Seawall::before(&origin);
    let mut idle = seawall.client();
    idle.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    let mut busy = seawall.client();
    busy.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the slow one is asked", || origin.seen().len() == 2);
    let edge = seawall.edge.clone();
    let drained = std::thread::spawn(move || edge.drain(Duration::from_secs(5)));
    let began = Instant::now();
    assert!(idle.is_closed());
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
    let answer = busy.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("/slow", Some("close")));
    assert!(busy.is_closed());
    assert_eq!(drained.join().unwrap(), 0);
    assert!(!seawall.edge.ready());
    // The listeners are gone, those for orders too.
    assert!(std::net::TcpStream::connect(seawall.http).is_err());
    assert!(std::net::TcpStream::connect(seawall.metrics).is_err());
    assert!(UnixStream::connect(&seawall.admin).is_err());
}

#[test]
fn a_drain_has_an_end() {
    let origin = Origin::serving(|_, client| {
        let _ = client.head();
        false
    });
    let seawall = Seawall::before(&origin);
    let mut stuck = seawall.client();
    stuck.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("it is asked", || origin.seen().len() == 1);
    let began = Instant::now();
    assert_eq!(seawall.edge.drain(Duration::from_millis(400)), 1);
    assert!(began.elapsed() < Duration::from_secs(3));
}

fn order(seawall: &Seawall, text: &str) -> String {
    let mut stream = UnixStream::connect(&seawall.admin).unwrap();
    let head = format!(
        "POST /purge HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all(format!("{head}{text}").as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn everything_is_purged_only_where_it_is_clear_what_that_is() {
    let origin = Origin::echoing();
    let one = Seawall::start(&zone(&origin));
    let two = Seawall::start(
        &(zone(&origin) + &zone(&origin).replace("\"*\"", "\"b.test\"").replace("\"test\"", "\"b\"")),
    );
    for (seawall, text, status) in [
        (&one, r#"{"purge_everything":true}"#, 200),
        (&two, r#"{"purge_everything":true}"#, 400),
        (&two, r#"{"purge_everything":true,"zone":"b"}"#, 200),
        (&two, r#"{"purge_everything":true,"zone":"*"}"#, 200),
        (&two, r#"{"purge_everything":true,"zone":"c"}"#, 400),
        (&two, r#"{"tags":["a"],"zone":"*"}"#, 400),
        (&two, r#"{"files":[]}"#, 400),
        (&two, r#"{"files":[""]}"#, 400),
        (&two, "{}", 400),
    ] {
        let said = order(seawall, text);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {said}");
    }
}
