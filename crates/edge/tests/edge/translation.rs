//! HTTP/2 requests of every shape become exactly one HTTP/1 request each: nothing is lost, added or left over.

use crate::common::*;
use bytes::Bytes;
use futures_util::future::try_join_all;
use h2::client::SendRequest;
use http::{HeaderName, HeaderValue, Request as Ask};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use seawall_http::h1::parse::{Limits, parse_request, parse_trailers};
use seawall_http::h1::{ChunkedDecoder, Piece};
use seawall_http::{BodyLength, Fields, RequestHead, Version};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

const CASES: u32 = 64;

/// Cases on one connection. The `h2` crate ends a connection with the hundred-and-first empty DATA frame that ends no
/// stream, however many streams and bytes were between them; a case has 15 at most, and mostly two.
const CASES_PER_CONNECTION: u32 = 6;

/// What tells the requests of a case apart.
const ID: &str = "x-id";

/// Fields that the edge adds itself, or that frame the message.
const OURS: [&str; 13] = [
    "host",
    "cookie",
    "te",
    "content-length",
    "transfer-encoding",
    "cf-connecting-ip",
    "cf-ray",
    "cf-visitor",
    "cf-ipcountry",
    "cdn-loop",
    "x-forwarded-for",
    "x-forwarded-proto",
    "surrogate-capability",
];

type List = Vec<(String, Vec<u8>)>;

/// A request as a client says it over HTTP/2.
#[derive(Clone, Debug)]
struct Said {
    method: String,
    authority: &'static str,
    target: String,
    fields: List,
    cookies: Vec<String>,
    takes_trailers: bool,
    body: Option<Body>,
}

#[derive(Clone, Debug)]
struct Body {
    /// The DATA frames.
    pieces: Vec<Vec<u8>>,
    is_sized: bool,
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    WithLastPiece,
    EmptyFrame,
    Trailers(List),
}

impl Body {
    fn whole(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let inner = prop_oneof![8 => 0x21u8..0x7f, 2 => Just(b' '), 1 => Just(b'\t'), 2 => 0x80u8..=0xff];
    vec(inner, 0..24).prop_map(|bytes| bytes.trim_ascii().to_vec())
}

fn field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let usual =
        vec!["accept", "user-agent", "referer", "authorization", "content-type", "x-a", "x-b", "priority"];
    let name = prop_oneof![
        4 => select(usual).prop_map(str::to_owned),
        2 => "q[-!#$%&'*+.^_`|~0-9a-z]{0,12}",
    ];
    (name, value())
}

/// Trailers, among them such as must not stand there.
fn trailer() -> impl Strategy<Value = (String, Vec<u8>)> {
    let forbidden = select(&FORBIDDEN[..]).prop_map(|name| (name.to_owned(), b"7".to_vec()));
    let allowed = (prop_oneof![Just("x-sum".to_owned()), "t[-!#$%&'*+.^_`|~0-9a-z]{0,8}"], value());
    prop_oneof![3 => allowed, 1 => forbidden]
}

const FORBIDDEN: [&str; 6] =
    ["content-length", "host", "cookie", "authorization", "cf-connecting-ip", "trailer"];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        3 => vec(any::<u8>(), 1..40),
        1 => Just(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec()),
        1 => (any::<u8>(), 1usize..20_000).prop_map(|(byte, n)| vec![byte; n]),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let end = prop_oneof![
        Just(End::WithLastPiece),
        Just(End::EmptyFrame),
        vec(trailer(), 1..5).prop_map(End::Trailers),
    ];
    (vec(piece(), 0..6), any::<bool>(), end).prop_map(|(pieces, is_sized, end)| Body {
        pieces,
        is_sized,
        end,
    })
}

fn said() -> impl Strategy<Value = Said> {
    let method = prop_oneof![
        4 => select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"]).prop_map(str::to_owned),
        1 => "M[-!#$%&'*+.^_`|~0-9a-zA-Z]{0,10}",
    ];
    let target = "/([-a-zA-Z0-9._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2}){0,30}(\\?([-a-zA-Z0-9._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2}){0,30})?";
    let authority = select(vec!["a.test", "b.a.test", "a.test:8443"]);
    let cookies = vec("[a-z]{1,4}=[-!#-+./0-9:<-\\[\\]-~]{0,8}", 0..4);
    (method, authority, target, vec(field(), 0..10), cookies, any::<bool>(), proptest::option::of(body()))
        .prop_map(|(method, authority, target, fields, cookies, takes_trailers, body)| Said {
            method,
            authority,
            target,
            fields,
            cookies,
            takes_trailers,
            body,
        })
}

/// A request as the origin parsed it.
#[derive(Debug)]
struct Arrived {
    head: RequestHead,
    framing: BodyLength,
    body: Vec<u8>,
    /// As they stood in the message.
    trailers: List,
}

impl Arrived {
    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        self.head.fields.all_named(name.as_bytes()).map(<[u8]>::to_vec).collect()
    }
}

type Log = Arc<Mutex<Vec<Result<Arrived, String>>>>;

/// Parses strictly what comes over a connection, and answers each request with its [`ID`].
fn record(mut tcp: TcpStream, log: &Log) {
    let mut buf = Vec::new();
    loop {
        match arrive(&mut tcp, &mut buf) {
            Ok(Some(arrived)) => {
                let id = arrived.all(ID).concat();
                let is_head = arrived.head.method_text == b"HEAD";
                // The edge does not pipeline: more than one message's bytes would be of somebody else's making.
                let over = if buf.is_empty() { Ok(arrived) } else { Err(format!("left over: {buf:?}")) };
                log.lock().unwrap().push(over);
                let id = String::from_utf8(id).unwrap();
                let length = format!("content-length: {}\r\n\r\n", id.len());
                let (framing, body) = match id.ends_with(['0', '2', '4', '6', '8']) {
                    true => (length, id.clone()),
                    false => {
                        let chunks = format!("{:x}\r\n{id}\r\n0\r\n\r\n", id.len());
                        ("transfer-encoding: chunked\r\n\r\n".to_owned(), chunks)
                    }
                };
                let body = if is_head { "" } else { &body };
                let answer = format!("HTTP/1.1 200 OK\r\n{ID}: {id}\r\n{framing}{body}");
                if tcp.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(fault) => return log.lock().unwrap().push(Err(fault)),
        }
    }
}

/// The next request; nothing if the connection ends before one.
fn arrive(tcp: &mut TcpStream, buf: &mut Vec<u8>) -> Result<Option<Arrived>, String> {
    let mut head = RequestHead::default();
    let mut scanned = 0;
    let parsed = loop {
        if buf.starts_with(b"\r\n") {
            return Err("an empty line before a request".to_owned());
        }
        let parsed = parse_request(buf, &mut scanned, &Limits::default(), &mut head);
        if let Some(parsed) =
            parsed.map_err(|fault| format!("{fault}: {:?}", String::from_utf8_lossy(buf)))?
        {
            break parsed;
        }
        if !more(tcp, buf) {
            return if buf.is_empty() { Ok(None) } else { Err(format!("broke off: {buf:?}")) };
        }
    };
    buf.drain(..parsed.len);
    if !parsed.keep_alive {
        return Err("the edge wants the connection closed".to_owned());
    }
    let mut arrived = Arrived { head, framing: parsed.body, body: Vec::new(), trailers: Vec::new() };
    match parsed.body {
        BodyLength::Exact(n) => {
            while buf.len() < n as usize {
                if !more(tcp, buf) {
                    return Err(format!("{} of {n} bytes", buf.len()));
                }
            }
            arrived.body = buf.drain(..n as usize).collect();
        }
        BodyLength::Chunked => {
            let mut decoder = ChunkedDecoder::default();
            loop {
                match decoder.next(buf).map_err(|fault| fault.to_string())? {
                    Piece::Skip(n) => drop(buf.drain(..n)),
                    Piece::Data(n) => arrived.body.extend(buf.drain(..n)),
                    Piece::Partial if more(tcp, buf) => {}
                    Piece::Partial => return Err("broke off in the body".to_owned()),
                    Piece::End(n) => {
                        // The decoder would leave out what is forbidden; here it must not have been sent at all.
                        let mut trailers = Fields::new();
                        let raw: Vec<u8> = buf.drain(..n).collect();
                        if raw != b"\r\n" {
                            parse_trailers(&raw, &mut trailers).map_err(|fault| fault.to_string())?;
                        }
                        arrived.trailers = lines(&trailers);
                        break;
                    }
                }
            }
        }
        _ => {}
    }
    Ok(Some(arrived))
}

fn lines(fields: &Fields) -> List {
    fields
        .iter()
        .map(|(_, name, value)| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec()))
        .collect()
}

fn more(tcp: &mut TcpStream, buf: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 16 * 1024];
    let n = tcp.read(&mut bytes).unwrap_or(0);
    buf.extend_from_slice(&bytes[..n]);
    n > 0
}

async fn connect(address: SocketAddr, ca: &Authority) -> SendRequest<Bytes> {
    let config = Arc::new(ca.client(&["h2"]));
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap();
    let (send, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    send
}

fn push(map: &mut http::HeaderMap, name: &str, value: &[u8]) {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    map.append(name, HeaderValue::from_bytes(value).unwrap());
}

async fn send_body(stream: &mut h2::SendStream<Bytes>, body: &Body) -> Result<(), h2::Error> {
    let last_piece = match body.end {
        End::WithLastPiece => body.pieces.len().checked_sub(1),
        _ => None,
    };
    for (n, piece) in body.pieces.iter().enumerate() {
        stream.send_data(Bytes::copy_from_slice(piece), Some(n) == last_piece)?;
        tokio::task::yield_now().await;
    }
    match &body.end {
        End::Trailers(list) => {
            let mut map = http::HeaderMap::new();
            list.iter().for_each(|(name, value)| push(&mut map, name, value));
            stream.send_trailers(map)
        }
        _ if last_piece.is_none() => stream.send_data(Bytes::new(), true),
        _ => Ok(()),
    }
}

/// Says a request and answers what came back on its stream: status, [`ID`], body.
async fn say(
    send: &SendRequest<Bytes>,
    said: &Said,
    id: &str,
) -> Result<(u16, Option<String>, Vec<u8>), h2::Error> {
    let uri = format!("https://{}{}", said.authority, said.target);
    let mut request = Ask::builder().method(said.method.as_str()).uri(uri).body(()).unwrap();
    let map = request.headers_mut();
    push(map, ID, id.as_bytes());
    for (name, value) in &said.fields {
        push(map, name, value);
    }
    for cookie in &said.cookies {
        push(map, "cookie", cookie.as_bytes());
    }
    if said.takes_trailers {
        push(map, "te", b"trailers");
    }
    if let Some(body) = said.body.as_ref().filter(|b| b.is_sized) {
        push(map, "content-length", body.whole().len().to_string().as_bytes());
    }
    let (answer, mut stream) = send.clone().ready().await?.send_request(request, said.body.is_none())?;
    if let Some(body) = &said.body
        && let Err(fault) = send_body(&mut stream, body).await
    {
        // With its length told, a body is whole before its stream ends. What comes after the answer then is not waited
        // for (RFC 9113 §8.1); the answer still counts.
        if !body.is_sized {
            return Err(fault);
        }
    }
    let (parts, mut body) = answer.await?.into_parts();
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    let id = parts.headers.get(ID).map(|id| id.to_str().unwrap().to_owned());
    Ok((parts.status.as_u16(), id, whole))
}

fn of_name(list: &List, name: &str) -> Vec<Vec<u8>> {
    list.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect()
}

/// That what arrived is what was said, and nothing else.
fn check(said: &Said, arrived: &Arrived) -> Result<(), TestCaseError> {
    let head = &arrived.head;
    prop_assert_eq!(head.version, Version::H11);
    prop_assert_eq!(String::from_utf8_lossy(&head.method_text), said.method.as_str());
    prop_assert_eq!(String::from_utf8_lossy(&head.target), said.target.as_str());
    prop_assert_eq!(arrived.all("host"), [said.authority.as_bytes()]);
    for (name, _) in &said.fields {
        prop_assert_eq!(arrived.all(name), of_name(&said.fields, name), "{}", name);
    }
    let cookies = said.cookies.join("; ").into_bytes();
    prop_assert_eq!(arrived.all("cookie"), if said.cookies.is_empty() { vec![] } else { vec![cookies] });
    let te = if said.takes_trailers { vec![b"trailers".to_vec()] } else { vec![] };
    prop_assert_eq!(arrived.all("te"), te);
    for (name, _) in lines(&head.fields) {
        let name = name.to_ascii_lowercase();
        let is_known = name == ID || OURS.contains(&&*name) || said.fields.iter().any(|(n, _)| *n == name);
        prop_assert!(is_known, "{} came out of nothing", name);
    }

    let body = said.body.as_ref().map(Body::whole).unwrap_or_default();
    let is_sized = said.body.as_ref().is_some_and(|b| b.is_sized);
    match &said.body {
        Some(_) if is_sized && !body.is_empty() => {
            prop_assert_eq!(arrived.framing, BodyLength::Exact(body.len() as u64));
        }
        Some(_) if !body.is_empty() => prop_assert_eq!(arrived.framing, BodyLength::Chunked),
        None => prop_assert_eq!(arrived.framing, BodyLength::None),
        Some(_) => {}
    }
    prop_assert_eq!(&arrived.body, &body);
    // HTTP/1 has trailers only after chunks.
    let trailers = match said.body.as_ref().map(|b| &b.end) {
        Some(End::Trailers(list)) if !is_sized => list.clone(),
        _ => Vec::new(),
    };
    let allowed: List = trailers.into_iter().filter(|(n, _)| !FORBIDDEN.contains(&n.as_str())).collect();
    prop_assert_eq!(arrived.trailers.len(), allowed.len(), "{:?}", arrived.trailers);
    for (name, _) in &allowed {
        prop_assert_eq!(of_name(&arrived.trailers, name), of_name(&allowed, name), "{}", name);
    }
    Ok(())
}

#[test]
fn what_is_said_over_http_2_is_what_arrives_over_http_1() {
    let log = Log::default();
    let noted = log.clone();
    let origin = Origin::raw(move |tcp, _| record(tcp, &noted));
    let ca = Authority::new();
    let entry = ca.sign("edge", &["a.test", "*.a.test"]).entry();
    let seawall = Seawall::start(&format!("[edge.tls]\ncertificates = [{entry}]\n{}", zone(&origin)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();

    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    // One connection for some; after a failure another, as the first may be gone.
    let connection = RefCell::new(None);
    let outcome = runner.run(&vec(said(), 1..4), |case| {
        let kept = connection.take();
        let (send, uses) = match kept {
            Some((send, uses)) if uses < CASES_PER_CONNECTION => (send, uses + 1),
            _ => (runtime.block_on(connect(seawall.https, &ca)), 1),
        };
        log.lock().unwrap().clear();
        let ids: Vec<String> = (0..case.len()).map(|n| format!("id-{n}")).collect();
        let all = try_join_all(case.iter().zip(&ids).map(|(said, id)| say(&send, said, id)));
        let answers = runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await });
        let answers = answers.map_err(|_| TestCaseError::fail("no answer in time"))?;
        let answers =
            answers.map_err(|fault| TestCaseError::fail(format!("{fault}: {:?}", log.lock().unwrap())))?;
        let log = std::mem::take(&mut *log.lock().unwrap());
        let arrived: Vec<Arrived> = log.into_iter().collect::<Result<_, _>>().map_err(TestCaseError::fail)?;
        prop_assert_eq!(arrived.len(), case.len());
        for ((said, id), (status, answered, body)) in case.iter().zip(&ids).zip(&answers) {
            prop_assert_eq!(
                (*status, answered.as_ref()),
                (200, Some(id)),
                "{}",
                String::from_utf8_lossy(body)
            );
            let echoed = if said.method == "HEAD" { "" } else { id };
            prop_assert_eq!(String::from_utf8_lossy(body), echoed);
            let mine: Vec<&Arrived> = arrived.iter().filter(|a| a.all(ID) == [id.as_bytes()]).collect();
            prop_assert_eq!(mine.len(), 1);
            check(said, mine[0])?;
        }
        connection.replace(Some((send, uses)));
        Ok(())
    });
    if let Err(fault) = outcome {
        panic!("{fault}");
    }
    // Nothing came after what was waited for.
    assert!(log.lock().unwrap().is_empty());
}
