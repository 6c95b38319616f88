//! Our reading of HTTP/1 requests beside hyper's: what we accept hyper must read the same way, and what hyper accepts and
//! we refuse must be refused on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use seawall_fuzzing::mutate::{Random, mutated};
use seawall_http::h1::{Limits, parse_request};
use seawall_http::{BodyLength, Fault, RequestHead};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;

/// What hyper accepts and we refuse, and why.
const STRICTER: &[(Fault, &str)] = &[
    (
        Fault::BareLineFeed,
        "RFC 9112 §2.2 lets a recipient take a bare LF for a line end; those who do not see other lines",
    ),
    (
        Fault::LengthAndCoding,
        "§6.1: hyper drops the length and goes on; behind us might stand one that drops the coding",
    ),
    (
        Fault::LengthRepeated,
        "§6.3: repeated equal lengths may be taken for one; a client that sends them is broken or worse",
    ),
    (Fault::Length, "hyper takes numbers up to 2^64 − 3; ours end at 18 digits so that sums cannot overflow"),
    (Fault::Coding, "codings other than one `chunked`: hyper looks at the last one only"),
    (Fault::CodingUnknown, "501: we cannot undo it, and an origin may not expect it"),
    (Fault::HostMissing, "§3.2: a MUST that hyper leaves to its user"),
    (Fault::HostRepeated, "§3.2: the same"),
    (Fault::Host, "§3.2: the same; a name nobody can route by"),
    (
        Fault::HostDisagrees,
        "§3.2.2 has Host ignored for the absolute form; caches and origins are known to disagree",
    ),
    (
        Fault::Target,
        "fragments, `*` for other methods than OPTIONS, schemes other than http and https, bare words",
    ),
    (Fault::Expectation, "417 (RFC 9110 §10.1.1); hyper ignores what it does not know"),
    (Fault::Method, "CONNECT would make us an open proxy"),
    (Fault::TargetTooLong, "our limit is smaller"),
    (Fault::HeadTooLarge, "our limit is smaller"),
    (Fault::TooManyFields, "our limit is smaller"),
    (Fault::StartLine, "§2.2: an empty line before a request is forgiven, three are not"),
];

/// Characters of a target that we pass on and hyper refuses (`"` in queries only). RFC 3986 wants them escaped; browsers
/// and old links do not always do so, origins behind other proxies get them, and nothing is cut at them.
const KINDER: &[u8] = b"`<>\"";

const LIMITS: Limits = Limits { head_bytes: 4096, target_bytes: 1024, fields: 40 };

#[derive(Debug, PartialEq)]
struct Seen {
    method: String,
    target: Vec<u8>,
    fields: BTreeMap<String, Vec<Vec<u8>>>,
    body: BodyLength,
}

fn ours(head: &[u8]) -> Result<Option<Seen>, Fault> {
    let mut read = RequestHead::default();
    let Some(parsed) = parse_request(head, &mut 0, &LIMITS, &mut read)? else { return Ok(None) };
    let mut fields: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (_, name, value) in read.fields.iter() {
        let name = String::from_utf8(name.to_ascii_lowercase()).unwrap();
        fields.entry(name).or_default().push(value.to_vec());
    }
    let method = String::from_utf8(read.method_text).unwrap();
    Ok(Some(Seen { method, target: read.target, fields, body: parsed.body }))
}

async fn hypers(head: &[u8]) -> Option<Seen> {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    client.write_all(head).await.unwrap();
    client.shutdown().await.unwrap();
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        note.lock().unwrap().get_or_insert_with(|| read(&request));
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(server), service).await;
    let mut seen = seen.lock().unwrap();
    seen.take()
}

fn read(request: &Request<Incoming>) -> Seen {
    let mut fields: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (name, value) in request.headers() {
        fields.entry(name.as_str().to_owned()).or_default().push(value.as_bytes().to_vec());
    }
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let mut target = Vec::new();
    if !path.starts_with(['/', '*']) {
        target.push(b'/');
    }
    for byte in path.bytes() {
        match byte.is_ascii() {
            true => target.push(byte),
            false => target.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    let body = match request.body().size_hint().exact() {
        Some(0) => BodyLength::None,
        Some(n) => BodyLength::Exact(n),
        None => BodyLength::Chunked,
    };
    Seen { method: request.method().to_string(), target, fields, body }
}

/// The corpus and mutations of it.
fn heads(mutations: usize) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/request_head");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut heads: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let seeds = heads.clone();
    let mut random = Random::new(9);
    heads.extend((0..mutations).map(|_| mutated(&seeds, &mut random, 8000)));
    heads
}

#[tokio::test(flavor = "current_thread")]
async fn what_we_accept_hyper_reads_alike_and_what_only_hyper_accepts_we_refuse_on_purpose() {
    let (mut wrong, mut stricter, mut both, mut kinder) =
        (Vec::new(), vec![0; STRICTER.len()], 0, vec![0; KINDER.len()]);
    for head in heads(100_000) {
        let shown = || format!("b\"{}\"", head.escape_ascii());
        match (ours(&head), hypers(&head).await) {
            (Ok(Some(ours)), Some(hypers)) if ours == hypers => both += 1,
            (Ok(Some(ours)), Some(hypers)) => {
                wrong.push(format!("{}\n  we:    {ours:?}\n  hyper: {hypers:?}", shown()))
            }
            (Ok(Some(ours)), None) => match KINDER.iter().position(|b| ours.target.contains(b)) {
                Some(row) => kinder[row] += 1,
                None => wrong.push(format!("{}\n  only we accept it", shown())),
            },
            (Err(fault), Some(_)) => match STRICTER.iter().position(|(known, _)| *known == fault) {
                Some(row) => stricter[row] += 1,
                None => wrong.push(format!("{}\n  only hyper accepts it: {fault:?}", shown())),
            },
            (Ok(None), Some(hypers)) => wrong.push(format!("{}\n  hyper sees an end: {hypers:?}", shown())),
            (Err(_) | Ok(None), None) => {}
        }
    }
    println!("both read {both} heads alike");
    for ((fault, why), count) in STRICTER.iter().zip(&stricter) {
        println!("{count:6} refused by us alone: {fault:?}: {why}");
    }
    wrong.truncate(20);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(both > 3_000, "only {both} heads were read by both");
    let idle: Vec<_> =
        STRICTER.iter().zip(&stricter).filter(|(_, n)| **n == 0).map(|((f, _), _)| f).collect();
    assert!(idle.is_empty(), "no head shows that we are stricter about {idle:?}: take it out of the table");
    assert!(kinder.iter().all(|n| *n > 0), "no head shows a row of KINDER: {kinder:?}");
}
