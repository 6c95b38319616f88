//! TLS from clients, and WebSockets over every way in.

use crate::common::*;
use futures_util::{SinkExt, StreamExt};
use std::io::{Read, Write};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Message;

#[test]
fn versions_protocols_and_certificates_are_chosen_by_what_the_client_says() {
    let ca = Authority::new();
    let (a, b) = (ca.sign("a", &["a.test"]), ca.sign("b", &["b.test", "*.b.test"]));
    let origin = Origin::echoing();
    let both = zone(&origin)
        .replace("\"test\"", "\"a\"")
        .replace("[\"*\"]", &format!("[\"a.test\"]\ncertificates = [{}]", a.entry()))
        + &zone(&origin).replace("\"test\"", "\"b\"").replace(
            "[\"*\"]",
            &format!("[\"b.test\", \"*.b.test\"]\nhttp2 = false\ncertificates = [{}]", b.entry()),
        );
    let seawall = Seawall::start(&both);
    for (host, alpn, versions, protocol, version) in [
        ("a.test", &["h2", "http/1.1"][..], rustls::ALL_VERSIONS, Some("h2"), "TLSv1_3"),
        ("a.test", &["http/1.1"], rustls::ALL_VERSIONS, Some("http/1.1"), "TLSv1_3"),
        ("a.test", &[], rustls::ALL_VERSIONS, None, "TLSv1_3"),
        ("a.test", &["http/1.1"], &[&rustls::version::TLS12], Some("http/1.1"), "TLSv1_2"),
        ("b.test", &["h2", "http/1.1"], rustls::ALL_VERSIONS, Some("http/1.1"), "TLSv1_3"),
        ("x.b.test", &["http/1.1"], rustls::ALL_VERSIONS, Some("http/1.1"), "TLSv1_3"),
    ] {
        let stream = tls(seawall.https, host, &Arc::new(ca.client_of(alpn, versions))).unwrap();
        let got = stream.conn.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned());
        assert_eq!(got.as_deref(), protocol, "{host} {alpn:?}");
        assert_eq!(format!("{:?}", stream.conn.protocol_version().unwrap()), version, "{host}");
        if version == "TLSv1_3" {
            let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(group, rustls::NamedGroup::X25519MLKEM768, "{host}");
        }
        if protocol != Some("h2") {
            let mut client = Client::over(stream);
            client.send(format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(client.answer().text(), "/x");
            assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
        }
    }
    // A host without a certificate of its own gets the self-signed one, which nobody trusts.
    assert!(tls(seawall.https, "c.test", &Arc::new(ca.client(&[]))).is_err());
    // A connection made for one zone is not for another whose certificate it does not carry.
    let config = Arc::new(ca.client(&[]));
    let mut client = Client::over(tls(seawall.https, "a.test", &config).unwrap());
    client.send("GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n");
    assert_eq!(client.answer().status, 421);
}

#[test]
fn sessions_are_resumed_and_old_versions_refused() {
    let ca = Authority::new();
    let entry = ca.sign("a", &["a.test"]).entry();
    let origin = Origin::echoing();
    let text = format!("[edge.tls]\nmin_version = \"1.3\"\ncertificates = [{entry}]\n{}", zone(&origin));
    let seawall = Seawall::start(&text);
    let config = Arc::new(ca.client(&["http/1.1"]));
    for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let mut client = tls(seawall.https, "a.test", &config).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(client.conn.handshake_kind(), Some(kind), "{said}");
    }
    let old = Arc::new(ca.client_of(&[], &[&rustls::version::TLS12]));
    assert!(tls(seawall.https, "a.test", &old).is_err());
    let mut plain = Client::connect(seawall.https);
    plain.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    plain.rest();
    eventually("both are counted", || {
        seawall.metric("seawall_refusals_total{reason=\"tls_handshake\"}") == 2.0
    });
    let mut silent = Client::connect(seawall.https);
    assert!(silent.is_closed());
    let series = "seawall_client_timeouts_total{phase=\"tls_handshake\"}";
    eventually("it is counted", || seawall.metric(series) == 1.0);
}

#[test]
fn certificates_change_with_a_reload_and_connections_stay() {
    let ca = Authority::new();
    let entry = ca.sign("a", &["a.test"]).entry();
    let origin = Origin::echoing();
    let text = format!("[edge.tls]\ncertificates = [{entry}]\n{}", zone(&origin));
    let seawall = Seawall::start(&text);
    let config = Arc::new(ca.client(&["http/1.1"]));
    let mut early = Client::over(tls(seawall.https, "a.test", &config).unwrap());
    let shown = |host| {
        let stream = tls(seawall.https, host, &Arc::new(ca.client(&[]))).ok()?;
        Some(stream.conn.peer_certificates()?.first()?.as_ref().to_vec())
    };
    let before = shown("a.test").unwrap();
    ca.sign("a", &["a.test", "new.test"]);
    seawall.reload(&text);
    eventually("the new certificate is shown", || shown("a.test").is_some_and(|now| now != before));
    assert!(shown("new.test").is_some());
    early.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(early.answer().text(), "/x");
}

/// An origin that accepts WebSockets and says everything back.
async fn echo() -> Origin {
    Origin::raw(|tcp, _| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            tcp.set_nonblocking(true).unwrap();
            let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
            let Ok(mut socket) = tokio_tungstenite::accept_async(tcp).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() || socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_go_both_ways_in_clear_and_over_tls_and_outlive_a_reload() {
    let origin = echo().await;
    let ca = Authority::new();
    let entry = ca.sign("a", &["a.test"]).entry();
    let text = format!("[edge.tls]\ncertificates = [{entry}]\n{}", zone(&origin));
    let seawall = Seawall::start(&text);
    let tcp = tokio::net::TcpStream::connect(seawall.http).await.unwrap();
    let (mut plain, answer) = tokio_tungstenite::client_async("ws://a.test/chat", tcp).await.unwrap();
    assert_eq!(answer.status(), 101);
    let tcp = tokio::net::TcpStream::connect(seawall.https).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let config = Arc::new(ca.client(&["http/1.1"]));
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap();
    let (mut secure, _) = tokio_tungstenite::client_async("wss://a.test/chat", stream).await.unwrap();
    for round in 0..3 {
        for size in [1, 1000, 200_000] {
            let message = Message::binary(vec![7; size]);
            plain.send(message.clone()).await.unwrap();
            secure.send(message.clone()).await.unwrap();
            assert_eq!(plain.next().await.unwrap().unwrap(), message, "{round}");
            assert_eq!(secure.next().await.unwrap().unwrap(), message, "{round}");
        }
        seawall.reload(&text);
    }
    plain.close(None).await.unwrap();
    while let Some(Ok(_)) = plain.next().await {}
    assert_eq!(origin.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_over_http_2_by_extended_connect() {
    let origin = echo().await;
    let ca = Authority::new();
    let entry = ca.sign("a", &["a.test"]).entry();
    let seawall = Seawall::start(&format!("[edge.tls]\ncertificates = [{entry}]\n{}", zone(&origin)));
    let tcp = tokio::net::TcpStream::connect(seawall.https).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let config = Arc::new(ca.client(&["h2"]));
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    while !send.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let request = http::Request::builder()
        .method("CONNECT")
        .uri("https://a.test/chat")
        .version(http::Version::HTTP_2)
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    let (answer, mut up): (_, h2::SendStream<bytes::Bytes>) = send.send_request(request, false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut down = answer.into_body();
    for word in [b"one", b"two"] {
        // A masked text frame; the mask of zeroes leaves it readable.
        up.send_data([&[0x81, 0x83, 0, 0, 0, 0][..], word].concat().into(), false).unwrap();
        let mut got = Vec::new();
        while got.len() < 5 {
            got.extend_from_slice(&down.data().await.unwrap().unwrap());
        }
        assert_eq!(got, [&[0x81, 0x03][..], word].concat());
    }
    // A close frame ends it: the origin hangs up, and so does the stream.
    up.send_data(bytes::Bytes::from_static(&[0x88, 0x80, 0, 0, 0, 0]), false).unwrap();
    while let Some(Ok(_)) = down.data().await {}
}

#[test]
fn a_websocket_an_origin_refuses_is_an_ordinary_answer() {
    let origin = Origin::answering(|r| {
        match r.path() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/odd" => b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec(),
    }
    });
    let seawall = Seawall::before(&origin);
    let ask = |seawall: &Seawall, path: &str| {
        let mut client = seawall.client();
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        client.answer()
    };
    let answer = ask(&seawall, "/");
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    let seen = origin.last();
    assert_eq!((seen.field("connection"), seen.field("upgrade")), (Some("Upgrade"), Some("websocket")));
    assert_eq!(seen.fields("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    let answer = ask(&seawall, "/204");
    assert_eq!((answer.status, answer.field("transfer-encoding")), (204, None));
    assert_eq!(ask(&seawall, "/odd").status, 520);
    let off = Seawall::start(&zone(&origin).replace("cache = false", "cache = false\nwebsockets = false"));
    let before = origin.seen().len();
    assert_eq!(ask(&off, "/").status, 403);
    assert_eq!(origin.seen().len(), before);
}
