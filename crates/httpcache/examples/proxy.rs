//! The smallest proxy around the state machine: blocking, one thread a connection, one connection a request, everything
//! in memory. It shows how the pieces are put together and lets `http-cache-tests` run against this crate alone:
//! `cargo run -p seawall-httpcache --example proxy -- 127.0.0.1:8002 127.0.0.1:8000`. Not for use on a network.

use seawall_http::{Fields, Known, Method, RequestHead, ResponseHead};
use seawall_httpcache::*;
use std::collections::HashMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// What lies under a key: the Vary that leads on, or a response.
#[derive(Clone)]
enum Slot {
    Vary(VarySpec),
    Object(Arc<Object>),
}

struct Object {
    stored: Stored,
    fields: Fields,
    body: Vec<u8>,
    primary: Key,
}

struct Proxy {
    origin: String,
    policy: Policy,
    maker: KeyMaker,
    slots: Mutex<HashMap<Key, Slot>>,
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(origin)) = (args.next(), args.next()) else {
        return Err(Error::other("usage: proxy LISTEN ORIGIN"));
    };
    let mut policy = Policy::default();
    if args.next().as_deref() == Some("heuristic") {
        policy.heuristic = Some(Heuristic::default());
    }
    let proxy = Arc::new(Proxy { origin, policy, maker: KeyMaker::new(1), slots: Mutex::default() });
    for client in TcpListener::bind(listen)?.incoming().flatten() {
        let proxy = Arc::clone(&proxy);
        std::thread::spawn(move || proxy.serve(client));
    }
    Ok(())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

impl Proxy {
    fn serve(&self, mut client: TcpStream) -> Result<()> {
        client.set_read_timeout(Some(Duration::from_secs(20)))?;
        let (head, body) = read_request(&mut client)?;
        let facts = RequestFacts::of(&head);
        let (response, body) = match facts.admit(&self.policy) {
            Ok(()) => self.cached(&head, &facts)?,
            Err(_) => self.past(&head, &body)?,
        };
        let with_body = head.method != Method::Head && !matches!(response.status, 204 | 304);
        write_response(&mut client, &response, with_body.then_some(&body[..]), &body)
    }

    fn key(&self, head: &RequestHead, target: &[u8]) -> Key {
        let mut halves = target.splitn(2, |b| *b == b'?');
        let target = Target {
            scheme: b"http",
            host: &head.authority,
            zone: b"",
            path: halves.next().unwrap_or(&[]),
            query: halves.next(),
        };
        self.maker.key(&target, &QueryRule::Keep)
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn find(&self, primary: Key, request: &Fields) -> Option<Arc<Object>> {
        let slots = self.slots();
        match slots.get(&primary)? {
            Slot::Object(object) => Some(Arc::clone(object)),
            Slot::Vary(vary) => match slots.get(&self.maker.variant(primary, vary, request))? {
                Slot::Object(object) => Some(Arc::clone(object)),
                Slot::Vary(_) => None,
            },
        }
    }

    fn keep(&self, primary: Key, request: &Fields, entry: Entry, body: Vec<u8>) -> Arc<Object> {
        let Entry { stored, vary, fields } = entry;
        let object = Arc::new(Object { stored, fields, body, primary });
        let mut slots = self.slots();
        if !vary.is_empty() {
            slots.insert(primary, Slot::Vary(vary.clone()));
        }
        slots.insert(self.maker.variant(primary, &vary, request), Slot::Object(Arc::clone(&object)));
        object
    }

    /// Drops a response and all its variants.
    fn drop_all(&self, primary: Key) {
        self.slots().retain(|key, slot| match slot {
            Slot::Object(object) => object.primary != primary,
            Slot::Vary(_) => *key != primary,
        });
    }

    /// Requests the cache takes no part in, but for what they invalidate.
    fn past(&self, head: &RequestHead, body: &[u8]) -> Result<(ResponseHead, Vec<u8>)> {
        let (response, body) = self.ask(head, &head.fields, body)?;
        let request = UnsafeRequest {
            method: head.method,
            scheme: b"http",
            authority: &head.authority,
            target: &head.target,
        };
        for target in invalidated(&request, response.status, &response.fields) {
            self.drop_all(self.key(head, &target));
        }
        Ok((response, body))
    }

    fn cached(&self, head: &RequestHead, facts: &RequestFacts) -> Result<(ResponseHead, Vec<u8>)> {
        let primary = self.key(head, &head.target);
        let Some(object) = self.find(primary, &head.fields) else {
            if facts.unavailable_on_miss(&self.policy) {
                return Ok((ResponseHead::new(504), Vec::new()));
            }
            return self.fetch(head, facts, primary, None);
        };
        match decide(facts, &object.stored, now_ms(), &self.policy) {
            Verdict::Fresh { age_s } | Verdict::Stale { age_s } => Ok(self.send(head, facts, &object, age_s)),
            Verdict::Refresh { age_s } => {
                // A real edge does this in the background.
                let sent = self.send(head, facts, &object, age_s);
                let _ = self.fetch(head, facts, primary, Some(&object));
                Ok(sent)
            }
            Verdict::Unavailable => Ok((ResponseHead::new(504), Vec::new())),
            Verdict::Validate(_) => self.fetch(head, facts, primary, Some(&object)),
        }
    }

    /// Asks the origin, for a new response or to validate `object`.
    fn fetch(
        &self,
        head: &RequestHead,
        facts: &RequestFacts,
        primary: Key,
        object: Option<&Arc<Object>>,
    ) -> Result<(ResponseHead, Vec<u8>)> {
        let mut fields = head.fields.clone();
        match object {
            Some(object) => drop(validation(&object.fields, &mut fields)),
            None if facts.range => for_whole(&mut fields),
            None => {}
        }
        let request_time_ms = now_ms();
        let asked = self.ask(head, &fields, b"");
        let now_ms = now_ms();
        let failure = match &asked {
            Ok((response, _)) => Failure::Status(response.status),
            Err(_) => Failure::Unreachable,
        };
        if let Some(object) = object
            && let Some(age_s) = on_failure(&object.stored, failure, now_ms, &self.policy)
        {
            return Ok(self.send(head, facts, object, age_s));
        }
        let (response, body) = match asked {
            Ok(asked) => asked,
            Err(_) => return Ok((ResponseHead::new(502), Vec::new())),
        };
        let path = head.path();
        let exchange =
            Exchange { request: facts, path, response: &response, request_time_ms, response_time_ms: now_ms };
        if let Some(object) = object {
            let freshened = match (head.method, response.status) {
                (_, 304) => Some(freshen(&exchange, &object.stored, &object.fields, &self.policy)),
                (Method::Head, _) => freshen_by_head(&exchange, &object.stored, &object.fields, &self.policy),
                _ => None,
            };
            match freshened {
                Some(Freshened::Update(entry)) => {
                    let object = self.keep(primary, &head.fields, *entry, object.body.clone());
                    let age_s = object.stored.age_s(now_ms);
                    return Ok(self.send(head, facts, &object, age_s));
                }
                Some(Freshened::Last(_, fields)) => {
                    self.drop_all(primary);
                    let last =
                        Object { stored: object.stored, fields: *fields, body: object.body.clone(), primary };
                    return Ok(self.send(head, facts, &last, 0));
                }
                Some(Freshened::Once(fields)) => {
                    let once =
                        Object { stored: object.stored, fields: *fields, body: object.body.clone(), primary };
                    return Ok(self.send(head, facts, &once, 0));
                }
                Some(Freshened::Mismatch) => {
                    self.drop_all(primary);
                    if response.status == 304 {
                        return self.fetch(head, facts, primary, None);
                    }
                }
                None => {}
            }
        }
        match store(&exchange, &self.policy) {
            Ok(entry) => {
                let object = self.keep(primary, &head.fields, entry, body.clone());
                // Who asked gets the origin's own fields, unless a form other than the whole is wanted.
                let sent = self.send(head, facts, &object, object.stored.age_s(now_ms));
                Ok(if sent.0.status == response.status { (response, body) } else { sent })
            }
            Err(_) => Ok((response, body)),
        }
    }

    fn send(
        &self,
        head: &RequestHead,
        facts: &RequestFacts,
        object: &Object,
        age_s: u32,
    ) -> (ResponseHead, Vec<u8>) {
        let length = object.body.len() as u64;
        let form = answer(facts, &head.fields, &object.stored, &object.fields, Some(length), now_ms());
        let mut response = ResponseHead::new(object.stored.status);
        let body = match form {
            Answer::Whole => {
                response.fields = object.fields.clone();
                object.body.clone()
            }
            Answer::NotModified => {
                response.status = 304;
                not_modified(&object.fields, &mut response.fields);
                Vec::new()
            }
            Answer::Part { first, last } => {
                response.status = 206;
                partial(&object.fields, first, last, length, &mut response.fields);
                object.body.get(first as usize..=last as usize).unwrap_or(&[]).to_vec()
            }
            Answer::Unsatisfiable => {
                response.status = 416;
                unsatisfiable(length, &mut response.fields);
                Vec::new()
            }
        };
        response.fields.set(Known::Age, age_s.to_string().as_bytes());
        (response, body)
    }

    fn ask(&self, head: &RequestHead, fields: &Fields, body: &[u8]) -> Result<(ResponseHead, Vec<u8>)> {
        let mut origin = TcpStream::connect(&self.origin)?;
        origin.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut out = Vec::new();
        out.extend_from_slice(&head.method_text);
        out.push(b' ');
        out.extend_from_slice(&head.target);
        out.extend_from_slice(
            b" HTTP/1.1\r\nConnection: close\r\nSurrogate-Capability: seawall=\"Surrogate/1.0\"\r\n",
        );
        for (known, name, value) in fields.iter() {
            if !matches!(known, Known::Connection | Known::ContentLength | Known::TransferEncoding) {
                put_field(&mut out, name, value);
            }
        }
        if !body.is_empty() {
            put_field(&mut out, b"Content-Length", body.len().to_string().as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        origin.write_all(&out)?;
        read_response(&mut origin, head.method == Method::Head)
    }
}

fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for piece in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(piece);
    }
}

fn write_response(
    client: &mut TcpStream,
    head: &ResponseHead,
    body: Option<&[u8]>,
    whole: &[u8],
) -> Result<()> {
    let mut out = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", head.status).into_bytes();
    for (known, name, value) in head.fields.iter() {
        let framing = matches!(known, Known::ContentLength | Known::TransferEncoding | Known::KeepAlive);
        if !framing && known != Known::Connection {
            put_field(&mut out, name, value);
        }
    }
    if !matches!(head.status, 204 | 304) {
        put_field(&mut out, b"Content-Length", whole.len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.unwrap_or(&[]));
    client.write_all(&out)
}

/// Reads up to the blank line; the rest that came along is returned too.
fn read_head(stream: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(chunk.get(..n).unwrap_or(&[])),
        }
    }
}

fn split_head(bytes: &[u8]) -> (Vec<Vec<u8>>, Fields) {
    let mut lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let start = lines.next().unwrap_or(&[]).splitn(3, |b| *b == b' ').map(<[u8]>::to_vec).collect();
    let mut fields = Fields::new();
    for line in lines.filter(|l| !l.is_empty()) {
        let mut halves = line.splitn(2, |b| *b == b':');
        fields.push(halves.next().unwrap_or(&[]), halves.next().unwrap_or(&[]).trim_ascii());
    }
    (start, fields)
}

fn read_request(client: &mut TcpStream) -> Result<(RequestHead, Vec<u8>)> {
    let (bytes, rest) = read_head(client)?;
    let (start, fields) = split_head(&bytes);
    let mut start = start.into_iter();
    let method_text = start.next().unwrap_or_default();
    let head = RequestHead {
        method: Method::of(&method_text),
        method_text,
        target: start.next().unwrap_or_default(),
        authority: fields.get(Known::Host).unwrap_or(&[]).to_vec(),
        fields,
        ..RequestHead::default()
    };
    let body = read_body(client, &head.fields, rest, false)?;
    Ok((head, body))
}

fn read_response(origin: &mut TcpStream, headless: bool) -> Result<(ResponseHead, Vec<u8>)> {
    let (bytes, rest) = read_head(origin)?;
    let (start, fields) = split_head(&bytes);
    let text = start.get(1).map(|s| String::from_utf8_lossy(s).into_owned()).unwrap_or_default();
    let status = text.parse().map_err(|_| Error::other("no status"))?;
    let mut head = ResponseHead { fields, ..ResponseHead::new(status) };
    let empty = headless || matches!(status, 204 | 304);
    let body = if empty { Vec::new() } else { read_body(origin, &head.fields, rest, true)? };
    if head.fields.get(Known::TransferEncoding) == Some(b"chunked") {
        head.fields.remove(Known::TransferEncoding);
        return Ok((head, dechunk(&body)));
    }
    Ok((head, body))
}

/// By Content-Length, or (`to_end`) to the end of the connection, which all our requests ask to be closed.
fn read_body(stream: &mut TcpStream, fields: &Fields, mut body: Vec<u8>, to_end: bool) -> Result<Vec<u8>> {
    let length =
        fields.get(Known::ContentLength).and_then(|v| std::str::from_utf8(v).ok()?.parse::<usize>().ok());
    if to_end {
        let _ = stream.read_to_end(&mut body);
        body.truncate(length.unwrap_or(usize::MAX));
        return Ok(body);
    }
    let missing = length.unwrap_or(0).saturating_sub(body.len());
    let mut rest = vec![0; missing];
    stream.read_exact(&mut rest)?;
    body.append(&mut rest);
    Ok(body)
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") {
        let (size, rest) = bytes.split_at(end);
        let size = std::str::from_utf8(size).ok().and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
        let Some((data, rest)) =
            size.filter(|s| *s > 0).zip(rest.get(2..)).and_then(|(s, r)| r.split_at_checked(s))
        else {
            break;
        };
        body.extend_from_slice(data);
        bytes = rest.get(2..).unwrap_or(&[]);
    }
    body
}
