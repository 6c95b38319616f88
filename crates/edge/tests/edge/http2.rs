//! HTTP/2 from clients and to origins, by the `h2` crate and frame by frame.

use crate::common::*;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request as Ask, Response};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// An edge with TLS for `a.test` before an origin, and the authority that signed for it.
struct Secure {
    seawall: Seawall,
    ca: Authority,
}

impl Secure {
    fn before(origin: &Origin) -> Secure {
        Secure::start(&zone(origin), |_| {})
    }

    fn start(text: &str, change: impl FnOnce(&mut seawall_model::Site)) -> Secure {
        let ca = Authority::new();
        let entry = ca.sign("edge", &["a.test", "*.a.test"]).entry();
        let text = format!("[edge.tls]\ncertificates = [{entry}]\n{text}");
        Secure { seawall: Seawall::with(&text, change), ca }
    }

    async fn connect(&self) -> SendRequest<Bytes> {
        self.connection().await.0
    }

    async fn connection(&self) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
        let config = Arc::new(self.ca.client(&["h2"]));
        let tcp = TcpStream::connect(self.seawall.https).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
        let tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap();
        let (send, connection) = h2::client::handshake(tls).await.unwrap();
        (send, tokio::spawn(connection))
    }

    /// A connection on which frames are written by hand, past the preface and our settings.
    fn frames(&self) -> Frames {
        let config = Arc::new(self.ca.client(&["h2"]));
        let mut stream = tls(self.seawall.https, "a.test", &config).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut frames = Frames { stream: Box::new(stream) };
        frames.send(4, 0, 0, b"");
        frames
    }
}

struct Frames {
    stream: Box<dyn Duplex>,
}

/// The fields of a GET for `https://a.test/`, as HPACK without table or Huffman.
fn get_block(more: &[(&str, &str)]) -> Vec<u8> {
    block("GET", "a.test", more)
}

fn block(method: &str, authority: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let pseudo = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", "/")];
    for (name, value) in pseudo.iter().chain(more) {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

impl Frames {
    fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let n = payload.len();
        let mut frame = vec![(n >> 16) as u8, (n >> 8) as u8, n as u8, kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.try_send(kind, flags, stream, payload).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next frame: type, flags, stream, payload. Nothing at the end.
    fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut header = [0; 9];
        self.stream.read_exact(&mut header).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        Some((header[3], header[4], stream, payload))
    }

    /// Reads until the connection ends; answers the reason of the last GOAWAY.
    fn goaway(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some((kind, _, _, payload)) = self.next() {
            if kind == 7 {
                reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        reason
    }

    /// How the stream ends: reset with a reason, or status line of HPACK and end of stream.
    fn reset(&mut self, id: u32) -> Option<u32> {
        loop {
            let (kind, flags, stream, payload) = self.next()?;
            match kind {
                3 if stream == id => return Some(u32::from_be_bytes(payload[..4].try_into().unwrap())),
                7 => return Some(1000 + u32::from_be_bytes(payload[4..8].try_into().unwrap())),
                0 | 1 if stream == id && flags & 1 == 1 => return None,
                _ => {}
            }
        }
    }
}

async fn ask(
    send: &SendRequest<Bytes>,
    request: Ask<()>,
    body: &[u8],
) -> Result<(Response<()>, Vec<u8>), h2::Error> {
    let mut send = send.clone().ready().await?;
    let (answer, mut stream) = send.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body), true)?;
    }
    let (parts, body) = answer.await?.into_parts();
    Ok((Response::from_parts(parts, ()), read(body).await?.0))
}

async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok((whole, body.trailers().await?))
}

fn get(path: &str) -> Ask<()> {
    Ask::get(format!("https://a.test{path}")).body(()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_become_http_1_in_canonical_form() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    let send = secure.connect().await;
    let mut request = get("/a?b");
    for (name, value) in [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("host", "A.test")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let (answer, body) = ask(&send, request, b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), &body[..]), (200, &b"/a?b"[..]));
    assert!(answer.headers().contains_key("cf-ray") && !answer.headers().contains_key("connection"));
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /a?b HTTP/1.1");
    for (name, value) in [
        ("host", "a.test"),
        ("cookie", "a=1; b=2"),
        ("te", "trailers"),
        ("x-forwarded-proto", "https"),
        ("cf-visitor", r#"{"scheme":"https"}"#),
    ] {
        assert_eq!(seen.fields(name), [value], "{name}");
    }
    let post = || Ask::post("https://a.test/p").body(()).unwrap();
    ask(&send, post(), b"abc").await.unwrap();
    assert_eq!(
        (origin.last().field("transfer-encoding"), &origin.last().body[..]),
        (Some("chunked"), &b"abc"[..])
    );
    let mut sized = post();
    sized.headers_mut().insert("content-length", "3".parse().unwrap());
    ask(&send, sized, b"abc").await.unwrap();
    assert_eq!((origin.last().field("content-length"), &origin.last().body[..]), (Some("3"), &b"abc"[..]));
    let (_, trace) = ask(&send, get("/cdn-cgi/trace"), b"").await.unwrap();
    assert!(find(&trace, b"http=http/2\n").is_some());
    assert_eq!(origin.connections(), 1);
}

#[test]
fn what_could_split_a_request_downstream_is_reset_and_never_forwarded() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    for (name, block) in [
        ("crlf in a value", get_block(&[("x", "a\r\nHost: b.test")])),
        ("lf in a value", get_block(&[("x", "a\nb")])),
        ("nul in a value", get_block(&[("x", "a\0b")])),
        ("colon in a name", get_block(&[("x: y", "z")])),
        ("crlf in a name", get_block(&[("x: y\r\nz", "z")])),
        ("space in a name", get_block(&[("x y", "z")])),
        ("capitals in a name", get_block(&[("X", "z")])),
        ("empty name", get_block(&[("", "z")])),
        ("transfer-encoding", get_block(&[("transfer-encoding", "chunked")])),
        ("connection", get_block(&[("connection", "close")])),
        ("upgrade", get_block(&[("upgrade", "h2c")])),
        ("te gzip", get_block(&[("te", "gzip")])),
        ("length without body", get_block(&[("content-length", "5")])),
        ("odd length", get_block(&[("content-length", "x")])),
        ("pseudo-field after others", get_block(&[("x", "y"), (":path", "/b")])),
        ("unknown pseudo-field", get_block(&[(":x", "y")])),
        ("two paths", get_block(&[(":path", "/b")])),
        ("method with a space", block("GET /x", "a.test", &[])),
        ("method with crlf", block("GET\r\n", "a.test", &[])),
        ("authority with crlf", block("GET", "a.test\r\nX: y", &[])),
        (
            "path with crlf",
            get_block(&[])
                .split_last()
                .map(|(_, b)| [&b[..b.len() - 1], b"\x0a/ HTTP/1.1\r"].concat())
                .unwrap(),
        ),
    ] {
        let mut frames = secure.frames();
        frames.send(1, 5, 1, &block);
        assert!(frames.reset(1).is_some(), "{name}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_disagree_are_refused() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    let send = secure.connect().await;
    let mut request = get("/");
    request.headers_mut().insert("host", "b.test".parse().unwrap());
    assert_eq!(ask(&send, request, b"").await.unwrap().0.status(), 400);
    let mut request = get("/");
    request.headers_mut().insert("expect", "cake".parse().unwrap());
    assert_eq!(ask(&send, request, b"").await.unwrap().0.status(), 417);
    let connect = Ask::connect("a.test:443").body(()).unwrap();
    assert_eq!(ask(&send, connect, b"").await.unwrap().0.status(), 501);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_body_that_is_not_as_long_as_told_is_never_whole_at_the_origin() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    for (told, data) in [("5", &b"abc"[..]), ("2", b"abc")] {
        let mut frames = secure.frames();
        frames.send(1, 4, 1, &block("POST", "a.test", &[("content-length", told)]));
        frames.send(0, 1, 1, data);
        assert!(frames.reset(1).is_some(), "{told}");
    }
    assert_eq!(secure.seawall.get("/after").text(), "/after");
    let lines: Vec<String> = origin.seen().iter().map(|r| r.line().to_owned()).collect();
    assert_eq!(lines, ["GET /after HTTP/1.1"]);
}

#[test]
fn empty_data_frames_end_no_chunked_body_early() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    let mut frames = secure.frames();
    frames.send(1, 4, 1, &block("POST", "a.test", &[]));
    for piece in [&b""[..], b"ab", b"", b"c", b""] {
        frames.send(0, 0, 1, piece);
    }
    frames.send(0, 1, 1, b"");
    assert_eq!(frames.reset(1), None);
    assert_eq!(origin.last().body, b"abc");
    // Trailers end it too; those that must not stand there are left out.
    frames.send(1, 4, 3, &block("POST", "a.test", &[]));
    frames.send(0, 0, 3, b"abc");
    let trailers = block("POST", "a.test", &[("x-sum", "1"), ("content-length", "9"), ("host", "b.test")]);
    let pseudo = block("POST", "a.test", &[]).len();
    frames.send(1, 5, 3, &trailers[pseudo..]);
    assert_eq!(frames.reset(3), None);
    assert_eq!((origin.last().trailers.as_str(), &origin.last().body[..]), ("x-sum: 1\r\n", &b"abc"[..]));
}

/// An origin over TLS that speaks HTTP/2, each request answered by `serve`.
async fn h2_origin<F, R>(ca: &Authority, serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(Ask<RecvStream>, h2::server::SendResponse<Bytes>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let config = ca.sign("h2-origin", &["o.test"]).server(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::<AtomicUsize>::default();
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let (acceptor, serve) = (tokio_rustls::TlsAcceptor::from(config.clone()), serve.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let Ok(mut connection) = h2::server::handshake(tls).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(serve(request, respond));
                }
            });
        }
    });
    (addr, connections)
}

fn h2_zone(addr: SocketAddr, ca: &Authority) -> String {
    format!(
        "[[zone]]\nname = \"test\"\nhosts = [\"*\"]\ncache = false\n[[zone.pool]]\nname = \"app\"\ntimeouts = {{ response = \"2s\" }}\n\
         origins = [{{ url = \"https://{addr}\", tls = \"strict\", sni = \"o.test\", ca = \"{}\", http2 = true }}]\n",
        ca.ca().display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_goes_through_with_its_trailers() {
    let origins = Authority::new();
    let (addr, connections) = h2_origin(&origins, |request, mut respond| async move {
        assert_eq!(request.headers().get("te").unwrap(), "trailers");
        let (body, trailers) = read(request.into_body()).await.unwrap();
        assert_eq!(trailers.unwrap().get("x-sum").unwrap(), "1");
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data(body.into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    })
    .await;
    let secure = Secure::start(&h2_zone(addr, &origins), |_| {});
    let send = secure.connect().await;
    for _ in 0..3 {
        let request = Ask::post("https://a.test/pkg.Service/Call")
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let (answer, mut stream) = send.clone().ready().await.unwrap().send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"\0\0\0\0\x05hello"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/grpc");
        let (body, trailers) = read(answer.into_body()).await.unwrap();
        assert_eq!(body, b"\0\0\0\0\x05hello");
        assert_eq!(trailers.unwrap().get("grpc-status").unwrap(), "0");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_of_a_call_stream_at_once_and_longer_than_a_response_may_take() {
    let origins = Authority::new();
    let (addr, _) = h2_origin(&origins, |request, mut respond| async move {
        let mut body = request.into_body();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(piece)) = body.data().await {
            body.flow_control().release_capacity(piece.len()).unwrap();
            stream.send_data(piece, false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    })
    .await;
    let text = h2_zone(addr, &origins).replace("2s", "300ms");
    let secure = Secure::start(&text, |_| {});
    let send = secure.connect().await;
    let request = Ask::post("https://a.test/").body(()).unwrap();
    let (answer, mut stream) = send.clone().ready().await.unwrap().send_request(request, false).unwrap();
    let mut body = answer.await.unwrap().into_body();
    for word in ["one", "two", "three", "four"] {
        stream.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), word);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none_or(|last| last.unwrap().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_an_origin_that_ended_is_replaced() {
    let origins = Authority::new();
    let config = origins.sign("goaway", &["o.test"]).server(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    // Answers one request a connection and leaves.
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
            tokio::spawn(async move {
                let mut connection =
                    h2::server::handshake(acceptor.accept(tcp).await.unwrap()).await.unwrap();
                let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                respond.send_response(Response::new(()), true).unwrap();
                connection.graceful_shutdown();
                while connection.accept().await.is_some() {}
            });
        }
    });
    let secure = Secure::start(&h2_zone(addr, &origins), |_| {});
    let send = secure.connect().await;
    for n in 0..6 {
        assert_eq!(ask(&send, get("/"), b"").await.unwrap().0.status(), 200, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_the_client_resets_ends_its_request_to_the_origin() {
    let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::serving(move |_, client| {
        let _ = client.head();
        ended.send(()).unwrap();
        false
    });
    let secure = Secure::before(&origin);
    let send = secure.connect().await;
    let (answer, mut stream) = send.clone().ready().await.unwrap().send_request(get("/"), true).unwrap();
    while origin.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    tokio::time::timeout(PATIENCE, has_ended.recv()).await.unwrap().unwrap();
}

/// A good client is answered while `abuse` goes on.
fn stays_well(seawall: &Seawall) {
    let asked = Instant::now();
    assert_eq!(seawall.get("/good").text(), "/good");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[test]
fn floods_end_the_connection_that_sends_them() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    const CALM: u32 = 11;
    for (name, kind, flags, stream, payload) in [
        ("ping", 6, 0, 0, &[0; 8][..]),
        ("ping answers", 6, 1, 0, &[0; 8]),
        ("settings", 4, 0, 0, &[0, 3, 0, 0, 0, 100]),
        ("empty settings", 4, 0, 0, &[]),
        ("priority", 2, 0, 1, &[0, 0, 0, 0, 1]),
        ("unknown", 77, 0, 0, &[]),
    ] {
        let mut frames = secure.frames();
        let sent = (0..20_000).take_while(|_| frames.try_send(kind, flags, stream, payload).is_ok()).count();
        stays_well(&secure.seawall);
        let reason = frames.goaway();
        assert!(reason == Some(CALM) || reason.is_none() && sent < 20_000, "{name}: {reason:?} after {sent}");
    }
    assert!(secure.seawall.metric("seawall_refusals_total{reason=\"http2_abuse\"}") >= 6.0);
}

#[test]
fn rapid_resets_end_the_connection() {
    let origin = Origin::serving(|_, client| {
        let _ = client.head();
        false
    });
    let secure = Secure::before(&origin);
    let mut frames = secure.frames();
    let block = get_block(&[]);
    let mut sent = 0;
    for n in 0..5_000u32 {
        let id = 2 * n + 1;
        if frames.try_send(1, 5, id, &block).is_err() || frames.try_send(3, 0, id, &[0, 0, 0, 8]).is_err() {
            break;
        }
        sent = n;
    }
    let reason = frames.goaway();
    assert!(reason == Some(11) || sent < 4_000, "{reason:?} after {sent}");
    assert!(origin.connections() < 600, "{}", origin.connections());
}

#[test]
fn heads_without_end_end_the_connection() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    let mut frames = secure.frames();
    frames.send(1, 0, 1, &get_block(&[]));
    let more = block("GET", "a.test", &[("x", "y")]);
    let pseudo = get_block(&[]).len();
    let sent = (0..50_000).take_while(|_| frames.try_send(9, 0, 1, &more[pseudo..]).is_ok()).count();
    stays_well(&secure.seawall);
    let reason = frames.goaway();
    assert!(reason.is_some() || sent < 50_000, "{sent}");
}

#[test]
fn a_client_that_opens_no_window_holds_nothing_up_and_is_let_go() {
    let origin =
        Origin::answering(|r| if r.path() == "/good" { ok("/good") } else { ok(vec![b'x'; 1 << 20]) });
    let secure = Secure::before(&origin);
    let mut frames = secure.frames();
    frames.send(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for n in 0..20u32 {
        frames.send(1, 5, 2 * n + 1, &get_block(&[]));
    }
    stays_well(&secure.seawall);
    let began = Instant::now();
    frames.goaway();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn an_idle_connection_is_told_and_closed() {
    let origin = Origin::echoing();
    let secure = Secure::before(&origin);
    let mut frames = secure.frames();
    frames.send(1, 5, 1, &get_block(&[]));
    assert_eq!(frames.reset(1), None);
    let began = Instant::now();
    assert_eq!(frames.goaway(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_allowed_wait_or_are_refused() {
    let origin = Origin::echoing();
    let secure = Secure::start(&zone(&origin), |site| site.edge.limits.h2_streams = 4);
    let send = secure.connect().await;
    let asked = (0..40).map(|n| {
        let send = send.clone();
        async move { ask(&send, get(&format!("/{n}")), b"").await }
    });
    for (n, answer) in futures_util::future::join_all(asked).await.into_iter().enumerate() {
        match answer {
            Ok((_, body)) => assert_eq!(body, format!("/{n}").as_bytes()),
            Err(e) => assert_eq!(e.reason(), Some(Reason::REFUSED_STREAM), "{e}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_says_goaway_and_finishes_what_it_began() {
    let origin = Origin::serving(|r, client| {
        if r.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(800));
        }
        client.send(ok(r.path()));
        true
    });
    let secure = Secure::before(&origin);
    let (send, connection) = secure.connection().await;
    let (idle, idle_connection) = secure.connection().await;
    ask(&idle, get("/"), b"").await.unwrap();
    let slow = tokio::spawn(async move { ask(&send, get("/slow"), b"").await });
    while origin.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let edge = secure.seawall.edge.clone();
    let drained = tokio::task::spawn_blocking(move || edge.drain(Duration::from_secs(5)));
    let began = Instant::now();
    idle_connection.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(slow.await.unwrap().unwrap().1, b"/slow");
    connection.await.unwrap().unwrap();
    assert_eq!(drained.await.unwrap(), 0);
    drop(idle);
}
