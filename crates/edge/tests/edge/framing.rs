//! What is ambiguous is refused, the connection closed, and the origin sees nothing of it.

use crate::common::*;
use std::sync::{Arc, Mutex};

/// Sends a request that must be refused, followed by one that must never be seen.
fn refused(seawall: &Seawall, origin: &Origin, name: &str, request: &[u8], status: u16) {
    let before = origin.seen().len();
    let connections = origin.connections();
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let said = seawall.says_to([request, smuggled].concat());
    assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {said:?}");
    assert!(said.contains("\r\nConnection: close\r\n"), "{name}: {said:?}");
    assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{name}: {said:?}");
    assert_eq!(origin.seen().len(), before, "{name}: {:?}", origin.seen().last());
    assert!(origin.connections() <= connections + 1, "{name}");
}

#[test]
fn ambiguous_or_malformed_heads_are_refused_and_nothing_is_forwarded() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let h = "Host: a.test\r\n";
    let cases: &[(&str, String, u16)] = &[
        // Lengths.
        (
            "cl.te",
            format!(
                "POST / HTTP/1.1\r\n{h}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX"
            ),
            400,
        ),
        (
            "te.cl",
            format!(
                "POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n\r\n"
            ),
            400,
        ),
        (
            "cl twice, same",
            format!("POST / HTTP/1.1\r\n{h}Content-Length: 1\r\nContent-Length: 1\r\n\r\nX"),
            400,
        ),
        (
            "cl twice, other",
            format!("POST / HTTP/1.1\r\n{h}Content-Length: 1\r\nContent-Length: 2\r\n\r\nX"),
            400,
        ),
        ("cl list", format!("POST / HTTP/1.1\r\n{h}Content-Length: 1, 1\r\n\r\nX"), 400),
        ("cl plus", format!("POST / HTTP/1.1\r\n{h}Content-Length: +1\r\n\r\nX"), 400),
        ("cl minus", format!("POST / HTTP/1.1\r\n{h}Content-Length: -1\r\n\r\nX"), 400),
        ("cl hex", format!("POST / HTTP/1.1\r\n{h}Content-Length: 0x1\r\n\r\nX"), 400),
        ("cl empty", format!("POST / HTTP/1.1\r\n{h}Content-Length: \r\n\r\nX"), 400),
        ("cl space within", format!("POST / HTTP/1.1\r\n{h}Content-Length: 1 1\r\n\r\nX"), 400),
        ("cl huge", format!("POST / HTTP/1.1\r\n{h}Content-Length: 99999999999999999999\r\n\r\nX"), 400),
        ("cl wraps", format!("POST / HTTP/1.1\r\n{h}Content-Length: 18446744073709551617\r\n\r\nX"), 400),
        (
            "cl on get and te",
            format!("GET / HTTP/1.1\r\n{h}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400,
        ),
        // Codings.
        (
            "te twice",
            format!(
                "POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        ("te identity", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: identity\r\n\r\n"), 400),
        ("te xchunked", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: xchunked\r\n\r\n"), 400),
        (
            "te chunked chunked",
            format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked, chunked\r\n\r\n"),
            400,
        ),
        (
            "te chunked then identity",
            format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked, identity\r\n\r\n"),
            400,
        ),
        ("te chunked, empty", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked,\r\n\r\n"), 400),
        ("te quoted", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: \"chunked\"\r\n\r\n"), 400),
        ("te parameter", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked;q=1\r\n\r\n"), 400),
        ("te vertical tab", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: \x0bchunked\r\n\r\n"), 400),
        ("te empty", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding:\r\n\r\n"), 400),
        ("te gzip first", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: gzip, chunked\r\n\r\n"), 501),
        ("te in 1.0", format!("POST / HTTP/1.0\r\n{h}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        // Lines and names.
        ("bare lf", "GET / HTTP/1.1\nHost: a.test\n\n".into(), 400),
        ("bare lf in a field", "GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n".into(), 400),
        ("bare cr in a value", format!("GET / HTTP/1.1\r\n{h}X: a\rb\r\n\r\n"), 400),
        ("bare cr for an end", format!("GET / HTTP/1.1\r\n{h}X: a\rTransfer-Encoding: chunked\r\n\r\n"), 400),
        ("lf cr", "GET / HTTP/1.1\n\rHost: a.test\n\r\n\r".into(), 400),
        ("nul in a value", format!("GET / HTTP/1.1\r\n{h}X: a\0b\r\n\r\n"), 400),
        ("nul in a name", format!("GET / HTTP/1.1\r\n{h}X\0Y: b\r\n\r\n"), 400),
        ("nul in the target", format!("GET /\0 HTTP/1.1\r\n{h}\r\n"), 400),
        ("folded", format!("GET / HTTP/1.1\r\n{h}X: a\r\n b\r\n\r\n"), 400),
        ("folded by tab", format!("GET / HTTP/1.1\r\n{h}X: a\r\n\tb\r\n\r\n"), 400),
        (
            "folded coding",
            format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        ("first line folded", "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n".to_owned(), 400),
        ("space before colon", format!("GET / HTTP/1.1\r\n{h}X : a\r\n\r\n"), 400),
        ("space before colon of cl", format!("POST / HTTP/1.1\r\n{h}Content-Length : 1\r\n\r\nX"), 400),
        ("tab before colon", format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding\t: chunked\r\n\r\n"), 400),
        ("no colon", format!("GET / HTTP/1.1\r\n{h}Nothing\r\n\r\n"), 400),
        ("no name", format!("GET / HTTP/1.1\r\n{h}: a\r\n\r\n"), 400),
        ("name in quotes", format!("GET / HTTP/1.1\r\n{h}\"X\": a\r\n\r\n"), 400),
        ("name beyond ascii", format!("GET / HTTP/1.1\r\n{h}Ünder: a\r\n\r\n"), 400),
        // Start lines.
        ("two spaces", format!("GET  / HTTP/1.1\r\n{h}\r\n"), 400),
        ("no version", format!("GET /\r\n{h}\r\n"), 400),
        ("space in the target", format!("GET /a b HTTP/1.1\r\n{h}\r\n"), 505),
        ("two versions", format!("GET / HTTP/1.1 HTTP/1.1\r\n{h}\r\n"), 400),
        ("method of no token", format!("G(T / HTTP/1.1\r\n{h}\r\n"), 400),
        ("fragment", format!("GET /#a HTTP/1.1\r\n{h}\r\n"), 400),
        ("no slash", format!("GET a HTTP/1.1\r\n{h}\r\n"), 400),
        ("star of get", format!("GET * HTTP/1.1\r\n{h}\r\n"), 400),
        ("garbage", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\r\n\r\n".to_owned(), 400),
        ("http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("version 1.2", format!("GET / HTTP/1.2\r\n{h}\r\n"), 505),
        ("version 2", format!("GET / HTTP/2\r\n{h}\r\n"), 505),
        ("version 0.9", format!("GET / HTTP/0.9\r\n{h}\r\n"), 505),
        ("version in lower case", format!("GET / http/1.1\r\n{h}\r\n"), 505),
        ("connect", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".into(), 501),
        // Hosts.
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("two hosts", format!("GET / HTTP/1.1\r\n{h}{h}\r\n"), 400),
        ("two hosts, other", format!("GET / HTTP/1.1\r\n{h}Host: b.test\r\n\r\n"), 400),
        ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n".into(), 400),
        ("host with user", "GET / HTTP/1.1\r\nHost: a@b.test\r\n\r\n".into(), 400),
        ("host with path", "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n".into(), 400),
        ("host with space", "GET / HTTP/1.1\r\nHost: a.test b.test\r\n\r\n".into(), 400),
        ("host list", "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n".into(), 400),
        ("host with odd port", "GET / HTTP/1.1\r\nHost: a.test:8x\r\n\r\n".into(), 400),
        ("host beyond ascii", "GET / HTTP/1.1\r\nHost: ä.test\r\n\r\n".into(), 400),
        ("host of half an address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n".into(), 400),
        ("absolute form disagrees", format!("GET http://b.test/ HTTP/1.1\r\n{h}\r\n"), 400),
        ("absolute form, other port", format!("GET http://a.test:81/ HTTP/1.1\r\n{h}\r\n"), 400),
        ("absolute form with user", format!("GET http://u@a.test/ HTTP/1.1\r\n{h}\r\n"), 400),
        ("absolute form, other scheme", format!("GET ftp://a.test/ HTTP/1.1\r\n{h}\r\n"), 400),
        ("expectation", format!("POST / HTTP/1.1\r\n{h}Expect: cake\r\nContent-Length: 1\r\n\r\nX"), 417),
    ];
    for (name, request, status) in cases {
        refused(&seawall, &origin, name, request.as_bytes(), *status);
    }
    assert_eq!(origin.connections(), 0);
    assert!(seawall.metric("seawall_refusals_total{reason=\"bad_request\"}") >= 60.0);
}

#[test]
fn heads_beyond_their_limits_are_refused_without_waiting_for_their_end() {
    let origin = Origin::echoing();
    let seawall = Seawall::with(&zone(&origin), |site| {
        site.edge.limits.header_count = 20;
        site.edge.limits.header_bytes = 4096;
        site.edge.limits.uri_bytes = 1024;
    });
    let long = "x".repeat(1100);
    let many: String = (0..21).map(|n| format!("X-{n}: y\r\n")).collect();
    let large: String = (0..5).map(|n| format!("X-{n}: {}\r\n", "y".repeat(1000))).collect();
    for (name, request, status) in [
        ("long target", format!("GET /{long} HTTP/1.1\r\nHost: a.test\r\n\r\n"), 414),
        ("long target without end", format!("GET /{long}"), 414),
        ("many fields", format!("GET / HTTP/1.1\r\nHost: a.test\r\n{many}\r\n"), 431),
        ("large head", format!("GET / HTTP/1.1\r\nHost: a.test\r\n{large}\r\n"), 431),
        ("large head without end", format!("GET / HTTP/1.1\r\nHost: a.test\r\n{large}"), 431),
    ] {
        let said = seawall.says_to(request);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {said:?}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(seawall.metric("seawall_refusals_total{reason=\"head_too_large\"}"), 5.0);
}

#[test]
fn broken_chunks_never_become_a_second_request() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    for (name, body) in [
        ("no size", "\r\nX\r\n0\r\n\r\n"),
        ("sign", "+1\r\nX\r\n0\r\n\r\n"),
        ("prefix", "0x1\r\nX\r\n0\r\n\r\n"),
        ("space before", " 1\r\nX\r\n0\r\n\r\n"),
        ("underscore", "1_0\r\nXXXXXXXXXXXXXXXX\r\n0\r\n\r\n"),
        ("too many digits", "00000000000000001\r\nX\r\n0\r\n\r\n"),
        ("overflow", "ffffffffffffffff\r\nX\r\n0\r\n\r\n"),
        ("bare lf after size", "1\nX\r\n0\r\n\r\n"),
        ("bare lf after data", "1\r\nX\n0\r\n\r\n"),
        ("bare cr after size", "1\rX\r\n0\r\n\r\n"),
        ("data too long", "1\r\nXY\r\n0\r\n\r\n"),
        ("data too short", "5\r\nX\r\n0\r\n\r\n/////"),
        ("lf in extension", "1;a\nb\r\nX\r\n0\r\n\r\n"),
        ("nul in extension", "1;a\0\r\nX\r\n0\r\n\r\n"),
        ("long extension", &format!("1;{}\r\nX\r\n0\r\n\r\n", "a".repeat(300))),
        ("bare lf in trailers", "0\r\nA: b\nC: d\r\n\r\n"),
        ("folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
        ("space in trailer name", "0\r\nA : b\r\n\r\n"),
        ("endless trailers", &format!("0\r\n{}\r\n", "A: b\r\n".repeat(2000))),
    ] {
        let before = origin.seen().len();
        let head = "POST /bad HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let said = seawall.says_to(format!("{head}{body}GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{name}: {said:?}");
        assert!(said.matches("HTTP/1.1 ").count() <= 1, "{name}: {said:?}");
        assert_eq!(origin.seen().len(), before, "{name}: {:?}", origin.seen().last());
    }
    assert_eq!(seawall.get("/after").status, 200);
    assert_eq!(origin.last().path(), "/after");
}

#[test]
fn what_the_rfc_allows_is_forwarded_in_canonical_form() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (name, request, line, body) in [
        ("plain", "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(), "GET /a HTTP/1.1", ""),
        ("empty line before", "\r\nGET /a HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), "GET /a HTTP/1.1", ""),
        (
            "absolute form",
            "GET http://A.test/a?b HTTP/1.1\r\nHost: a.test\r\n\r\n".into(),
            "GET /a?b HTTP/1.1",
            "",
        ),
        (
            "absolute form, no path",
            "GET http://a.test?b HTTP/1.1\r\nHost: a.test\r\n\r\n".into(),
            "GET /?b HTTP/1.1",
            "",
        ),
        ("star of options", "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), "OPTIONS * HTTP/1.1", ""),
        ("dot at the end", "GET / HTTP/1.1\r\nHost: A.test.\r\n\r\n".into(), "GET / HTTP/1.1", ""),
        ("beyond ascii", "GET /ä HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), "GET /%C3%A4 HTTP/1.1", ""),
        ("no space after colon", "GET / HTTP/1.1\r\nHost:a.test\r\n\r\n".into(), "GET / HTTP/1.1", ""),
        (
            "get with a body",
            "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc".into(),
            "GET / HTTP/1.1",
            "abc",
        ),
        (
            "zeroes before a length",
            "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 003\r\n\r\nabc".into(),
            "PUT / HTTP/1.1",
            "abc",
        ),
        (
            "chunks",
            format!("POST / HTTP/1.1\r\nHost: a.test\r\n{chunked}\r\n1\r\na\r\n02\r\nbc\r\n0\r\n\r\n"),
            "POST / HTTP/1.1",
            "abc",
        ),
        (
            "coding in capitals",
            "POST / HTTP/1.1\r\nHost: a.test\r\ntransfer-encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                .into(),
            "POST / HTTP/1.1",
            "abc",
        ),
        (
            "chunk extensions",
            format!("POST / HTTP/1.1\r\nHost: a.test\r\n{chunked}\r\n3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n"),
            "POST / HTTP/1.1",
            "abc",
        ),
        (
            "size in capitals",
            format!("POST / HTTP/1.1\r\nHost: a.test\r\n{chunked}\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            "POST / HTTP/1.1",
            "0123456789",
        ),
        ("unknown method", "PURR / HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), "PURR / HTTP/1.1", ""),
    ] {
        let mut client = seawall.client();
        client.send(&request);
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let seen = origin.last();
        assert_eq!((seen.line(), String::from_utf8_lossy(&seen.body).as_ref()), (line, body), "{name}");
        assert_eq!(seen.fields("host"), ["a.test"], "{name}");
        assert!(seen.fields("transfer-encoding").len() + seen.fields("content-length").len() <= 1, "{name}");
        // The connection is still in step.
        client.send("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().text(), "/next", "{name}");
    }
}

#[test]
fn trailers_go_on_without_what_must_not_stand_in_them() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\n\
         X-Sum: 1\r\nContent-Length: 5\r\nHost: b.test\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\n\
         CF-Connecting-IP: 1.2.3.4\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    assert_eq!(origin.last().trailers, "X-Sum: 1\r\n");
}

#[test]
fn pipelined_requests_are_answered_in_order_up_to_the_bad_one() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let good = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let said =
        seawall.says_to(format!("{}{}GET /x\0 HTTP/1.1\r\n\r\n{}", good("/1"), good("/2"), good("/3")));
    let statuses: Vec<&str> = said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{said}");
    assert_eq!(origin.seen().iter().map(|r| r.path().to_owned()).collect::<Vec<_>>(), ["/1", "/2"]);
}

#[test]
fn a_body_that_ends_early_reaches_no_origin_as_a_whole() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    for request in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let tcp = Client::socket(seawall.http);
        let mut client = Client::over(tcp.try_clone().unwrap());
        client.send(request);
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        let said = client.rest();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said:?}");
    }
    assert_eq!(seawall.get("/after").status, 200);
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn a_request_without_a_length_has_no_body_and_what_follows_is_the_next_request() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("POST /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((client.answer().text(), client.answer().text()), ("/1".into(), "/2".into()));
    let seen = origin.seen();
    assert_eq!(seen.len(), 2);
    // CL.0: an origin that ignores bodies must be told that there is none.
    assert_eq!(seen[0].field("content-length"), Some("0"));
    assert_eq!(seen[1].field("content-length"), None);
}

#[test]
fn an_origin_that_ignores_a_body_and_keeps_the_connection_is_not_used_again() {
    // Answers before it reads the body, and would take the rest of it for a request.
    let origin = Origin::raw(|tcp, _| {
        let mut client = Client::over(tcp);
        while client.head().is_some() {
            client.send(ok("early"));
        }
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nabc");
    assert_eq!(client.answer().text(), "early");
    drop(client);
    assert_eq!(seawall.get("/").text(), "early");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn origins_with_ambiguous_framing_are_not_believed() {
    let text = Arc::new(Mutex::new(String::new()));
    let says = text.clone();
    let origin = Origin::serving(move |_, client| {
        client.send(says.lock().unwrap().as_bytes());
        true
    });
    let seawall = Seawall::before(&origin);
    for (name, response) in [
        ("cl and te", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("lengths disagree", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ("odd length", "HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc"),
        ("odd coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nabc"),
        ("bare lf", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"),
        ("folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
        ("nul", "HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 0\r\n\r\n"),
        ("garbage", "SSH-2.0-OpenSSH_9.2p1\r\n\r\n"),
        ("status 99", "HTTP/1.1 099 Low\r\n\r\n"),
        ("status 600", "HTTP/1.1 600 High\r\n\r\n"),
        ("switches unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
    ] {
        *text.lock().unwrap() = response.to_owned();
        let answer = seawall.get("/");
        assert_eq!(answer.status, 520, "{name}: {answer:?}");
    }
}

#[test]
fn bytes_behind_a_response_are_nobodys_response() {
    let origin = Origin::serving(|r, client| {
        let mut both = ok(r.path());
        both.extend(ok("poison"));
        client.send(both);
        true
    });
    let seawall = Seawall::before(&origin);
    for n in 0..4 {
        let path = format!("/{n}");
        assert_eq!(seawall.get(&path).text(), path);
    }
    assert_eq!(origin.connections(), 4);
}
