//! Every fault has its own status, its page in the client's format, and says nothing about where the origin is.

use crate::common::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// A zone before one origin given by its URL; more keys of the origin, then of the pool.
fn before(url: &str, origin: &str, pool: &str) -> String {
    format!(
        "[[zone]]\nname = \"test\"\nhosts = [\"*\"]\ncache = false\n[[zone.pool]]\nname = \"app\"\nretries = 0\n{pool}\norigins = [{{ url = \"{url}\"{origin} }}]\n"
    )
}

/// Asks three times, as a browser, an API client and a plain one; answers what was said.
fn pages(seawall: &Seawall, status: u16, hidden: &[&str]) {
    for (accept, kind) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("*/*", "text/plain; charset=utf-8"),
    ] {
        let mut client = seawall.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nAccept: {accept}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.field("content-type"), Some(kind), "{}", answer.head);
        assert_eq!(answer.field("server"), Some("seawall"));
        let ray = answer.field("cf-ray").unwrap();
        let text = answer.text();
        assert!(text.contains(ray.split('-').next().unwrap()), "{text}");
        for word in hidden {
            assert!(!answer.head.contains(word) && !text.contains(word), "{word} in {kind}: {text}");
        }
    }
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_origin_that_refuses_is_521() {
    let addr = nobody();
    let seawall = Seawall::start(&before(&format!("http://{addr}"), "", ""));
    pages(&seawall, 521, &[&addr.port().to_string(), "127.0.0.1:", "test/app"]);
    assert_eq!(seawall.metric("seawall_origin_faults_total{fault=\"connect\"}"), 3.0);
    assert_eq!(seawall.metric("seawall_errors_total{code=\"521\"}"), 3.0);
}

#[test]
fn an_origin_that_does_not_pick_up_is_522() {
    // A backlog of one that nobody empties: further handshakes are ignored.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let held: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(300))
            })
        })
        .map(|t| t.join().unwrap())
        .collect();
    let seawall =
        Seawall::start(&before(&format!("http://{addr}"), "", "timeouts = { connect = \"300ms\" }"));
    pages(&seawall, 522, &[&addr.port().to_string()]);
    drop(held);
}

#[test]
fn an_origin_that_hangs_up_or_talks_nonsense_is_520() {
    for (name, says) in [
        ("nothing", String::new()),
        ("garbage", "SSH-2.0-OpenSSH_9.2p1 Debian\r\n".into()),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Le".into()),
        (
            "a head too large",
            format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("X: {}\r\n", "y".repeat(8000)).repeat(5)),
        ),
        ("too many fields", format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(300))),
        ("interim without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(50)),
    ] {
        let origin = Origin::serving(move |_, client| {
            client.send(&says);
            false
        });
        let seawall = Seawall::before(&origin);
        let answer = seawall.get("/");
        assert_eq!(answer.status, 520, "{name}: {answer:?}");
        pages(&seawall, 520, &[&origin.addr.port().to_string()]);
    }
}

#[test]
fn an_origin_that_resets_is_520() {
    let origin = Origin::raw(|tcp, _| {
        let mut head = [0; 16];
        let _ = (&tcp).read(&mut head);
        socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
    });
    assert_eq!(Seawall::before(&origin).get("/").status, 520);
}

#[test]
fn an_origin_nobody_has_a_way_to_is_523() {
    // An address of "this network" cannot be a destination (RFC 1122 §3.2.1.3): the system says so at once.
    let seawall =
        Seawall::start(&before("http://255.255.255.255:80", "", "timeouts = { connect = \"500ms\" }"));
    pages(&seawall, 523, &["255.255.255.255"]);
}

#[test]
fn an_origin_that_stays_silent_is_524() {
    let origin = Origin::serving(|_, client| {
        let _ = client.head();
        false
    });
    let zone =
        zone(&origin).replace("origins =", "retries = 0\ntimeouts = { response = \"300ms\" }\norigins =");
    let seawall = Seawall::start(&zone);
    let asked = Instant::now();
    pages(&seawall, 524, &[&origin.addr.port().to_string()]);
    assert!(asked.elapsed() < Duration::from_secs(3));
    assert_eq!(seawall.metric("seawall_origin_faults_total{fault=\"response_timeout\"}"), 3.0);
}

#[test]
fn a_route_may_have_less_patience_than_its_pool() {
    let origin = Origin::serving(|_, client| {
        let _ = client.head();
        false
    });
    let text =
        zone(&origin) + "[[zone.route]]\npath = \"/*\"\npool = \"app\"\ntimeout_response = \"200ms\"\n";
    let asked = Instant::now();
    assert_eq!(Seawall::start(&text).get("/").status, 524);
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_origin_that_cannot_speak_tls_is_525() {
    let plain = Origin::raw(|mut tcp, _| {
        let mut hello = [0; 512];
        let _ = tcp.read(&mut hello);
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let mute = Origin::raw(|tcp, _| drop(tcp.shutdown(Shutdown::Both)));
    for origin in [plain, mute] {
        for tls in ["full", "strict"] {
            let url = format!("https://{}", origin.addr);
            let seawall = Seawall::start(&before(&url, &format!(", tls = \"{tls}\", sni = \"o.test\""), ""));
            assert_eq!(seawall.get("/").status, 525);
        }
    }
}

#[test]
fn an_origin_with_a_bad_certificate_is_526_unless_any_will_do() {
    let ca = Authority::new();
    let other = Authority::new();
    for (name, signed, good) in [
        ("good", ca.sign("good", &["o.test"]), true),
        ("other name", ca.sign("other", &["p.test"]), false),
        ("expired", ca.sign_until("expired", &["o.test"], -3600), false),
        ("other issuer", other.sign("foreign", &["o.test"]), false),
    ] {
        let origin = Origin::over_tls(signed.server(&[]), |r, client| {
            client.send(ok(r.path()));
            true
        });
        let url = format!("https://{}", origin.addr);
        let strict = format!(", tls = \"strict\", sni = \"o.test\", ca = \"{}\"", ca.ca().display());
        let seawall = Seawall::start(&before(&url, &strict, ""));
        assert_eq!(seawall.get("/").status, if good { 200 } else { 526 }, "{name}");
        if !good {
            pages(&seawall, 526, &["o.test", "p.test", &origin.addr.port().to_string()]);
        }
        let full = Seawall::start(&before(&url, ", tls = \"full\", sni = \"o.test\"", ""));
        assert_eq!(full.get("/").text(), "/", "{name}");
    }
}

#[test]
fn an_origin_without_an_address_is_530_and_hurts_no_other_zone() {
    let origin = Origin::echoing();
    let dead = before("http://no-such-name.invalid:81", "", "").replace("\"*\"", "\"dead.test\"");
    let text = format!("{dead}{}", zone(&origin).replace("\"test\"", "\"well\""));
    let seawall = Seawall::start(&text);
    let mut client = seawall.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: dead.test\r\nAccept: application/json\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.status, 530, "{answer:?}");
        assert!(answer.text().contains("1016") && !answer.text().contains("no-such-name"), "{answer:?}");
        client.send("GET /well HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().text(), "/well");
    }
}

#[test]
fn a_slow_request_is_408_and_closed() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    for begun in [
        "GET / HTTP/1.1\r\nHost: a.te",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let said = seawall.says_to(begun);
        assert!(said.starts_with("HTTP/1.1 408 "), "{begun:?}: {said:?}");
        assert!(said.contains("\r\nConnection: close\r\n"), "{said:?}");
    }
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(seawall.metric("seawall_client_timeouts_total{phase=\"header\"}"), 1.0);
    assert_eq!(seawall.metric("seawall_client_timeouts_total{phase=\"body\"}"), 2.0);
}

#[test]
fn a_body_beyond_the_limit_is_413() {
    let origin = Origin::echoing();
    let seawall = Seawall::with(&zone(&origin), |site| site.edge.limits.body_bytes = Some(10));
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for request in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\n01234567890".to_owned(),
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        format!("{chunked}6\r\n012345\r\n5\r\n01234\r\n0\r\n\r\n"),
    ] {
        let said = seawall.says_to(&request);
        assert!(said.starts_with("HTTP/1.1 413 "), "{said:?}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said:?}");
    }
    assert_eq!(origin.seen().len(), 0);
    let mut client = seawall.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn hosts_that_no_zone_serves_are_421() {
    let origin = Origin::echoing();
    let seawall = Seawall::start(&zone(&origin).replace("[\"*\"]", "[\"a.test\", \"*.b.test\"]"));
    for (host, status) in [
        ("a.test", 200),
        ("A.TEST", 200),
        ("a.test:8080", 200),
        ("a.test.", 200),
        ("x.b.test", 200),
        ("y.x.b.test", 200),
        ("b.test", 421),
        ("x.a.test", 421),
        ("c.test", 421),
    ] {
        let mut client = seawall.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, status, "{host}");
    }
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\nHost: [::1]:80\r\nAccept: application/json\r\n\r\n");
    let answer = client.answer();
    assert!(answer.status == 403 && answer.text().contains("1003"), "{answer:?}");
}

#[test]
fn a_request_that_goes_in_circles_ends() {
    let own = "CDN-Loop: seawall, other; a=b\r\n";
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    for (times, status) in [(1, 200), (3, 200), (4, 403)] {
        let mut client = seawall.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", own.repeat(times)));
        assert_eq!(client.answer().status, status, "{times}");
    }
}

#[test]
fn an_error_page_tells_one_client_nothing_of_another() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send(
        "GET /hidden-path HTTP/1.1\r\nHost: secret-host.test\r\nAccept: text/html\r\nUser-Agent: x\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    for request in ["GET / HTTP/1.1\nHost: a\n\n", "nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let said = seawall.says_to(request);
        assert!(!said.contains("secret-host") && !said.contains("hidden-path"), "{said}");
    }
}

#[test]
fn what_breaks_off_at_the_origin_breaks_off_at_the_client() {
    for (name, says) in [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
        ("broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n"),
    ] {
        let origin = Origin::serving(move |_, client| {
            client.send(says);
            false
        });
        let seawall = Seawall::before(&origin);
        let said = seawall.says_to("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let is_error = said.starts_with("HTTP/1.1 520 ");
        assert!(is_error || (said.contains("short") && !said.ends_with("0\r\n\r\n")), "{name}: {said:?}");
    }
}

#[test]
fn a_body_that_stalls_at_the_origin_is_cut() {
    let origin = Origin::serving(|_, client| {
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
        let _ = client.head();
        false
    });
    let zone = zone(&origin).replace("origins =", "timeouts = { between_bytes = \"300ms\" }\norigins =");
    let seawall = Seawall::start(&zone);
    let asked = Instant::now();
    let said = seawall.says_to("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(said.ends_with("short"), "{said:?}");
    assert!(asked.elapsed() < Duration::from_secs(3));
}
