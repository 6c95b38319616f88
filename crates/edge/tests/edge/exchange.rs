//! What a request and its response become on their way.

use crate::common::*;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[test]
fn the_origin_learns_who_asks_and_nobody_else_can_say_so() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send(
        "GET /a?b HTTP/1.1\r\nHost: a.test:8080\r\nCF-Connecting-IP: 6.6.6.6\r\ncf-connecting-ip: 7.7.7.7\r\n\
         True-Client-IP: 6.6.6.6\r\nCF-Ray: forged\r\nCF-IPCountry: ZZ\r\nCF-Visitor: {}\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nCDN-Loop: other\r\nX-Custom-CASE: Kept\r\n\r\n",
    );
    let answer = client.answer();
    let seen = origin.last();
    for (name, values) in [
        ("host", &["a.test:8080"][..]),
        ("cf-connecting-ip", &["127.0.0.1"]),
        ("true-client-ip", &[]),
        ("cf-ipcountry", &["XX"]),
        ("cf-visitor", &[r#"{"scheme":"http"}"#]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-for", &["1.1.1.1, 2.2.2.2, 127.0.0.1"]),
        ("cdn-loop", &["other, seawall"]),
        ("x-custom-case", &["Kept"]),
    ] {
        assert_eq!(seen.fields(name), values, "{name}");
    }
    assert_eq!(seen.fields("cf-ray"), answer.fields("cf-ray"));
    assert!(seen.head.contains("X-Custom-CASE: Kept"), "{}", seen.head);
    assert_eq!(answer.field("server"), Some("seawall"));
}

#[test]
fn fields_of_one_hop_stay_on_it() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
          Alt-Svc: h3=\":443\"\r\nServer: origin\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, X-Hop, Cookie, Host\r\nX-Hop: 1\r\nCookie: a=b\r\n\
         Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: x\r\nX-End: 1\r\n\r\n",
    );
    let answer = client.answer();
    let seen = origin.last();
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
    ] {
        assert!(seen.fields(name).is_empty(), "{name}: {}", seen.head);
    }
    assert_eq!((seen.fields("cookie"), seen.fields("x-end")), (vec!["a=b"], vec!["1"]));
    for name in ["connection", "x-own", "keep-alive", "proxy-connection", "alt-svc"] {
        assert!(answer.fields(name).is_empty(), "{name}: {}", answer.head);
    }
    assert_eq!((answer.fields("server"), answer.fields("x-end")), (vec!["seawall"], vec!["1"]));
}

#[test]
fn routes_choose_pools_and_edit_fields() {
    let (app, api) = (Origin::answering(|_| ok("app")), Origin::answering(|_| ok("api")));
    let text = format!(
        "[[zone]]\nname = \"test\"\nhosts = [\"*\"]\ncache = false\n\
         [[zone.pool]]\nname = \"app\"\norigins = [{{ url = \"http://{}\", host = \"inner.test\" }}]\n\
         [[zone.pool]]\nname = \"api\"\norigins = [{{ url = \"http://{}\" }}]\n\
         [[zone.route]]\npath = \"/api/*\"\nmethods = [\"GET\"]\npool = \"api\"\n\
         request_headers = {{ set = {{ X-Set = \"1\", CF-Connecting-IP = \"9.9.9.9\" }}, remove = [\"X-Gone\"] }}\n\
         response_headers = {{ set = {{ X-Frame-Options = \"DENY\" }}, remove = [\"Content-Type\"] }}\n\
         [[zone.route]]\nhost = \"app.test\"\npool = \"app\"\n",
        app.addr, api.addr
    );
    let seawall = Seawall::start(&text);
    let ask = |method: &str, host: &str, path: &str| {
        let mut client = seawall.client();
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Gone: 1\r\nX-Set: 0\r\n\r\n"));
        client.answer()
    };
    let answer = ask("GET", "x.test", "/api/1");
    assert_eq!(answer.text(), "api");
    assert_eq!((answer.field("x-frame-options"), answer.field("content-type")), (Some("DENY"), None));
    let seen = api.last();
    assert_eq!((seen.fields("x-set"), seen.fields("x-gone")), (vec!["1"], vec![]));
    assert_eq!(seen.fields("cf-connecting-ip"), ["127.0.0.1"]);
    assert_eq!(ask("DELETE", "app.test", "/api/1").text(), "app");
    assert_eq!((app.last().fields("host"), app.last().fields("x-gone")), (vec!["inner.test"], vec!["1"]));
    assert_eq!(ask("DELETE", "x.test", "/api/1").status, 404);
}

#[test]
fn a_client_that_waits_for_continue_is_told_once_and_the_origin_never() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 100);
    client.send("abc");
    assert_eq!(client.answer().text(), "/a");
    assert!(origin.last().field("expect").is_none());
    // It does not wait, so it need not be told.
    client.send("POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
    assert_eq!(client.answer().text(), "/b");
    // HTTP/1.0 knows no interim responses.
    client.send("POST /c HTTP/1.0\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
    assert_eq!(client.answer().text(), "/c");
}

#[test]
fn early_hints_go_to_those_who_know_them() {
    let origin = Origin::serving(|_, client| {
        client.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X\r\n\r\n");
        client.send("HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n");
        client.send(ok("done"));
        true
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    for link in ["</a.css>", "</b.css>"] {
        let hint = client.answer();
        assert_eq!((hint.status, hint.field("link"), hint.field("connection")), (103, Some(link), None));
    }
    assert_eq!(client.answer().text(), "done");
    let said = seawall.says_to("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

#[test]
fn statuses_without_a_body_and_head_keep_the_connection_in_step() {
    let origin = Origin::answering(|r| {
        let length = "Content-Length: 5\r\n";
        match (r.path(), r.line().starts_with("HEAD")) {
            ("/204", _) => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            ("/304", _) => format!("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n{length}\r\n").into_bytes(),
            ("/chunked", true) => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            (_, true) => format!("HTTP/1.1 200 OK\r\n{length}\r\n").into_bytes(),
            _ => ok("hello"),
        }
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    for (method, path, status, length) in [
        ("HEAD", "/", 200, Some("5")),
        ("HEAD", "/chunked", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("5")),
        ("GET", "/", 200, Some("5")),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let answer = client.answer_to(method);
        assert_eq!((answer.status, answer.field("content-length")), (status, length), "{method} {path}");
        assert!(answer.field("transfer-encoding").is_none(), "{method} {path}: {}", answer.head);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn clients_of_http_1_0_get_what_they_understand() {
    let chunked = |_: &Request| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()
    };
    let origin = Origin::answering(move |r| if r.path() == "/chunked" { chunked(r) } else { ok("hello") });
    let seawall = Seawall::before(&origin);
    let said = seawall.says_to("GET /chunked HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
    assert!(said.ends_with("\r\n\r\nhello") && !said.contains("chunked"), "{said}");
    let said = seawall.says_to("GET / HTTP/1.0\r\n\r\n");
    assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
    let mut client = seawall.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.text().as_str(), answer.field("connection")), ("hello", Some("keep-alive")));
    }
}

#[test]
fn connections_are_kept_on_both_sides_until_someone_says_close() {
    let origin = Origin::answering(|r| match r.path() {
        "/close" => b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
        path => ok(path),
    });
    let seawall = Seawall::with(&zone(&origin), |site| site.edge.limits.requests_per_connection = Some(4));
    let mut client = seawall.client();
    for (path, connections) in [("/1", 1), ("/close", 1), ("/2", 2)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(
            (client.answer().field("connection"), origin.connections()),
            (None, connections),
            "{path}"
        );
    }
    client.send("GET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().field("connection"), Some("close"));
    assert!(client.is_closed());
    let said = seawall.says_to("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
}

#[test]
fn ranges_and_conditions_pass_through() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/10\r\nContent-Length: 2\r\n\r\ncd".to_vec()
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nRange: bytes=2-3\r\nIf-Range: \"x\"\r\nIf-None-Match: \"y\"\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("content-range")), (206, Some("bytes 2-3/10")));
    let seen = origin.last();
    assert_eq!(
        (seen.field("range"), seen.field("if-range"), seen.field("if-none-match")),
        (Some("bytes=2-3"), Some("\"x\""), Some("\"y\""))
    );
}

#[test]
fn large_uploads_stream_in_little_memory() {
    const SIZE: u64 = 64 << 20;
    let read = Arc::<AtomicU64>::default();
    let count = read.clone();
    let origin = Origin::raw(move |mut tcp, _| {
        let mut bytes = vec![0; 256 * 1024];
        let n = tcp.read(&mut bytes).unwrap();
        let head = find(&bytes[..n], b"\r\n\r\n").unwrap() + 4;
        count.fetch_add((n - head) as u64, Ordering::Relaxed);
        while count.load(Ordering::Relaxed) < SIZE {
            let n = tcp.read(&mut bytes).unwrap();
            count.fetch_add(n as u64, Ordering::Relaxed);
        }
        tcp.write_all(&ok("taken")).unwrap();
    });
    let seawall = Seawall::before(&origin);
    let before = resident_kib();
    let mut client = seawall.client();
    client.send(format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n"));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        client.send(&piece);
    }
    assert_eq!(client.answer().text(), "taken");
    assert_eq!(read.load(Ordering::Relaxed), SIZE);
    assert!(resident_kib() < before + 16 * 1024, "{} KiB before, {} after", before, resident_kib());
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_answer_that_comes_before_the_upload_ends_is_passed_on() {
    let origin = Origin::raw(|tcp, _| {
        let mut client = Client::over(tcp.try_clone().unwrap());
        client.head();
        client.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig");
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n");
    client.send(vec![b'x'; 64 * 1024]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
    assert_eq!(answer.field("server"), Some("seawall"));
}

#[test]
fn a_request_and_its_response_may_stream_at_the_same_time() {
    let origin = Origin::raw(|tcp, _| {
        let mut client = Client::over(tcp);
        client.head();
        client.send(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-echo\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        loop {
            let chunk = client.chunk();
            client.send(format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(&chunk)));
            if chunk.is_empty() {
                return;
            }
        }
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200 "));
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len()));
        assert_eq!(client.chunk(), word.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert!(client.chunk().is_empty());
}

#[test]
fn events_arrive_as_they_are_sent_compressed_or_not() {
    let (tell, told) = mpsc::channel::<&'static str>();
    let told = Arc::new(std::sync::Mutex::new(told));
    let origin = Origin::serving(move |_, client| {
        client
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        let told = told.lock().unwrap();
        while let Ok(event) = told.recv_timeout(Duration::from_secs(5)) {
            client.send(format!("{:x}\r\n{event}\r\n", event.len()));
            if event.is_empty() {
                return true;
            }
        }
        false
    });
    let seawall = Seawall::before(&origin);
    for accept in ["", "Accept-Encoding: gzip\r\n"] {
        let mut client = seawall.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{accept}\r\n"));
        let head = client.head().unwrap();
        let gzip = head.to_ascii_lowercase().contains("content-encoding: gzip");
        let mut plain = Vec::new();
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            tell.send(event).unwrap();
            plain.clear();
            while plain != event.as_bytes() {
                let chunk = client.chunk();
                if gzip {
                    decoder.write_all(&chunk).unwrap();
                    decoder.flush().unwrap();
                    plain = decoder.get_ref().clone();
                    if plain.ends_with(event.as_bytes()) {
                        break;
                    }
                } else {
                    plain.extend(chunk);
                }
            }
        }
        tell.send("").unwrap();
        while !client.chunk().is_empty() {}
    }
}

#[test]
fn text_is_compressed_for_those_who_ask_and_counted() {
    let page = "<p>hello</p>".repeat(500);
    let body = page.clone();
    let origin = Origin::answering(move |_| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body.as_bytes()].concat()
    });
    let seawall = Seawall::before(&origin);
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.field("content-encoding"), answer.field("content-length")), (Some("gzip"), None));
    assert!(answer.field("vary").unwrap().to_ascii_lowercase().contains("accept-encoding"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, page);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.field("content-encoding"), answer.text()), (None, page));
    assert_eq!(seawall.metric("seawall_compressed_responses_total{coding=\"gzip\"}"), 1.0);
}

#[test]
fn trace_tells_what_the_edge_sees_and_asks_no_origin() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let answer = seawall.get("/cdn-cgi/trace");
    let text = answer.text();
    for line in ["h=a.test", "ip=127.0.0.1", "visit_scheme=http", "http=http/1.1", "tls=off", "colo=DEV"] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert_eq!(seawall.get("/cdn-cgi/other").status, 404);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn cleartext_is_sent_to_https_where_the_zone_says_so() {
    let origin = Origin::echoing();
    let seawall =
        Seawall::start(&zone(&origin).replace("cache = false", "cache = false\nalways_https = true"));
    let answer = seawall.get("/a?b");
    assert_eq!((answer.status, answer.field("location")), (301, Some("https://a.test/a?b")));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn forwarded_addresses_are_believed_from_trusted_peers_only() {
    let origin = Origin::echoing();
    for (trusted, address, proto) in
        [("127.0.0.0/8", "8.8.8.8", "https"), ("10.0.0.0/8", "127.0.0.1", "http")]
    {
        let seawall =
            Seawall::start(&format!("[edge]\ntrusted_proxies = [\"{trusted}\"]\n{}", zone(&origin)));
        let mut client = seawall.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8\r\nX-Forwarded-Proto: https\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        let seen = origin.last();
        assert_eq!(seen.fields("cf-connecting-ip"), [address], "{trusted}");
        assert_eq!(seen.fields("x-forwarded-for"), ["9.9.9.9, 8.8.8.8, 127.0.0.1"], "{trusted}");
        assert_eq!(seen.fields("x-forwarded-proto"), [proto], "{trusted}");
    }
}

#[test]
fn proxy_protocol_names_the_client_where_it_is_trusted() {
    let origin = Origin::echoing();
    let v2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x05\x06\x07\x08\x7f\0\0\x01\x10\x00\x00\x50";
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let v1: &[u8] = b"PROXY TCP4 5.6.7.8 127.0.0.1 4096 80\r\n";
    for (mode, trusted, header, client) in [
        ("optional", true, v1, Some("5.6.7.8")),
        ("optional", true, v2, Some("5.6.7.8")),
        ("optional", true, b"PROXY TCP6 2001:db8::7 ::1 4096 80\r\n", Some("2001:db8::7")),
        ("optional", true, b"PROXY UNKNOWN\r\n", Some("127.0.0.1")),
        ("optional", true, b"", Some("127.0.0.1")),
        ("optional", false, b"", Some("127.0.0.1")),
        ("optional", false, v1, None),
        ("required", true, v1, Some("5.6.7.8")),
        ("required", true, b"", None),
        ("required", false, v1, None),
        ("required", true, b"PROXY TCP4 5.6.7.8 nonsense\r\n", None),
        ("off", true, v1, None),
    ] {
        let peers = if trusted { "127.0.0.0/8" } else { "10.0.0.0/8" };
        let seawall = Seawall::start(&format!(
            "[edge]\ntrusted_proxies = [\"{peers}\"]\nproxy_protocol = \"{mode}\"\n{}",
            zone(&origin)
        ));
        let before = origin.seen().len();
        let mut connection = seawall.client();
        let _ = connection.stream.write_all(&[header, request].concat());
        let said = connection.rest();
        let name = format!("{mode}, trusted {trusted}, {:?}", String::from_utf8_lossy(header));
        match client {
            Some(address) => {
                assert!(said.starts_with("HTTP/1.1 200 "), "{name}: {said:?}");
                assert_eq!(origin.last().fields("cf-connecting-ip"), [address], "{name}");
            }
            None => {
                assert!(!said.starts_with("HTTP/1.1 200 "), "{name}: {said:?}");
                assert_eq!(origin.seen().len(), before, "{name}");
            }
        }
    }
}

#[test]
fn an_idle_connection_that_its_origin_closed_is_replaced_without_a_word() {
    let origin = Origin::serving(|r, client| {
        client.send(ok(r.path()));
        false
    });
    let seawall = Seawall::before(&origin);
    for n in 0..5 {
        let path = format!("/{n}");
        assert_eq!(seawall.get(&path).text(), path);
    }
}
