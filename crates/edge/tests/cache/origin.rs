//! An origin that does as it is told and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How many there were for this target before.
    pub nth: usize,
    pub method: String,
    pub target: String,
    fields: Vec<(String, String)>,
}

impl Asked {
    /// A field's value; empty without one.
    pub fn get(&self, name: &str) -> &str {
        find(&self.fields, name)
    }
}

/// What to answer.
pub struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Whole(Vec<u8>),
    /// Chunked, as it comes.
    Pieces(Receiver<Vec<u8>>),
    /// Ends before the length that was promised.
    Cut(Vec<u8>, usize),
    HangUp,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, fields: Vec::new(), body: Body::Whole(body.into()) }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer::new(200, body)
    }

    /// 200, fresh for a minute.
    pub fn fresh(body: impl Into<Vec<u8>>) -> Answer {
        Answer::ok(body).with("Cache-Control", "max-age=60")
    }

    /// 200, stored but stale on arrival.
    pub fn stale(body: impl Into<Vec<u8>>, more: &str) -> Answer {
        let cache_control = format!("max-age=10{more}");
        Answer::ok(body).with("Cache-Control", &cache_control).with("Age", "11").with("ETag", "\"v1\"")
    }

    pub fn hang_up() -> Answer {
        Answer { status: 0, fields: Vec::new(), body: Body::HangUp }
    }

    /// A chunked body whose pieces are sent through the other end; it ends when that is dropped.
    pub fn pieces() -> (Sender<Vec<u8>>, Answer) {
        let (sender, receiver) = channel();
        (sender, Answer { status: 200, fields: Vec::new(), body: Body::Pieces(receiver) })
    }

    pub fn cut(body: impl Into<Vec<u8>>, promised: usize) -> Answer {
        Answer { status: 200, fields: Vec::new(), body: Body::Cut(body.into(), promised) }
    }

    pub fn with(mut self, name: &str, value: &str) -> Answer {
        self.fields.push((name.into(), value.into()));
        self
    }
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A running origin.
#[derive(Clone)]
pub struct Origin {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    down: Arc<AtomicBool>,
}

impl Origin {
    pub fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Origin {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
            down: Arc::default(),
        };
        let (own, script): (Origin, Arc<Script>) = (origin.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, script) = (own.clone(), script.clone());
                std::thread::spawn(move || own.serve(stream, &*script));
            }
        });
        origin
    }

    /// From now on it closes every connection without a word.
    pub fn take_down(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub fn last(&self) -> Asked {
        self.asked.lock().unwrap().last().cloned().unwrap()
    }

    /// Waits until it was asked so often.
    pub fn wait_for(&self, count: usize) {
        super::until(|| self.count() >= count);
    }

    fn serve(&self, stream: TcpStream, script: &Script) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        stream.set_nodelay(true).ok()?;
        loop {
            let (line, fields) = read_head(&mut reader)?;
            let length: usize = find(&fields, "content-length").parse().unwrap_or(0);
            reader.read_exact(&mut vec![0; length]).ok()?;
            if self.down.load(Ordering::SeqCst) {
                return None;
            }
            let mut words = line.split(' ').map(str::to_owned);
            let (method, target) = (words.next()?, words.next()?);
            let mut list = self.asked.lock().unwrap();
            let nth = list.iter().filter(|a| a.target == target).count();
            let asked = Asked { nth, method, target, fields };
            list.push(asked.clone());
            drop(list);
            answer(&mut stream, &asked, script(&asked))?;
        }
    }
}

fn answer(stream: &mut TcpStream, asked: &Asked, answer: Answer) -> Option<()> {
    let Answer { status, fields, body } = answer;
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in &fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let bodiless = asked.method == "HEAD" || matches!(status, 204 | 304);
    match body {
        Body::HangUp => return None,
        Body::Whole(body) => {
            if !matches!(status, 204 | 304) {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            head.push_str("\r\n");
            stream.write_all(head.as_bytes()).ok()?;
            if !bodiless {
                stream.write_all(&body).ok()?;
            }
        }
        Body::Pieces(pieces) => {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).ok()?;
            for piece in pieces {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
                stream.write_all(&chunk).ok()?;
            }
            stream.write_all(b"0\r\n\r\n").ok()?;
        }
        Body::Cut(body, promised) => {
            head.push_str(&format!("Content-Length: {promised}\r\n\r\n"));
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&body).ok()?;
            return None;
        }
    }
    Some(())
}

/// Reads a start line and fields.
pub fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let start = lines.next()?;
    let fields = lines.filter_map(|l| l.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned())));
    Some((start, fields.collect()))
}

/// The first value of a field; empty without one.
pub fn find<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
}
