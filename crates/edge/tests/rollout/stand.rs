//! An edge with a store and, where wanted, something broken in it; and who gives it orders.

use crate::common::{Answer, Client, Origin, Seawall, eventually, ok, site};
use seawall_edge::{Artifact, BOT_FEATURES, Boot, Content, Edge, Proposal, Start};
use seawall_guard::Sabotage;
use seawall_model::{Problem, Site};
use seawall_snapshot::{Ack, Bytes, Cause, Store, UnitKind, codec};
use seawall_telemetry::timeline::Timeline;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Stages of a change that is over in the blink of an eye.
pub const FAST: &str =
    "[edge.rollout]\nstages = [10, 50]\nhold = \"30ms\"\nquick_hold = \"20ms\"\nrequests = 5\n";

/// How an edge is started.
pub struct Setup {
    pub text: String,
    pub sabotage: Value,
    pub features: Option<Bytes>,
    pub workers: usize,
    /// Another edge's, to go on from.
    pub dir: Option<Arc<tempfile::TempDir>>,
    /// In the place of one that died, rather than as a first one.
    pub again: bool,
}

impl Setup {
    pub fn of(text: impl Into<String>) -> Setup {
        let text = text.into();
        Setup { text, sabotage: json!({}), features: None, workers: 1, dir: None, again: false }
    }

    pub fn sabotage(self, sabotage: Value) -> Setup {
        Setup { sabotage, ..self }
    }

    pub fn features(self, features: impl Into<Bytes>) -> Setup {
        Setup { features: Some(features.into()), ..self }
    }

    pub fn after(self, stand: &Stand) -> Setup {
        Setup { dir: Some(stand.seawall.dir.clone()), ..self }
    }
}

/// An edge, its sockets and its store.
pub struct Stand {
    pub seawall: Seawall,
}

impl std::ops::Deref for Stand {
    type Target = Seawall;
    fn deref(&self) -> &Seawall {
        &self.seawall
    }
}

/// A change to be handed in.
pub struct Change {
    pub text: String,
    pub acks: Vec<String>,
    pub base: Option<u64>,
    pub quick: bool,
    pub who: &'static str,
    pub features: Option<Result<Bytes, String>>,
}

impl Change {
    pub fn to(text: impl Into<String>) -> Change {
        let text = text.into();
        Change { text, acks: Vec::new(), base: None, quick: false, who: "operator", features: None }
    }

    pub fn ack(mut self, ack: impl Into<String>) -> Change {
        self.acks.push(ack.into());
        self
    }

    pub fn features(self, bytes: impl Into<Bytes>) -> Change {
        Change { features: Some(Ok(bytes.into())), ..self }
    }

    pub fn by(self, who: &'static str) -> Change {
        Change { who, ..self }
    }
}

impl Stand {
    pub fn start(setup: Setup) -> Stand {
        let dir = setup.dir.unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let (site, problems) = quiet(site(dir.path(), &setup.text));
        assert!(problems.is_empty(), "{problems:?}");
        let mut sockets = (0..setup.workers.max(1)).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let http = sockets.next().unwrap();
        let (https, metrics) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let admin = dir.path().join("edge.sock");
        let _ = std::fs::remove_file(&admin);
        let addresses = [&http, &https, &metrics].map(|l| l.local_addr().unwrap());
        let boot = boot(&site, dir.path(), setup.features, setup.again);
        let edge = Edge::start(Start {
            site,
            http: (0..setup.workers).map(|_| vec![http.try_clone().unwrap()]).collect(),
            https: vec![vec![https]],
            metrics: Some(metrics),
            admin: Some(UnixListener::bind(&admin).unwrap()),
            config_path: None,
            recorder: None,
            boot: Some(boot),
            sabotage: Some(Arc::new(Sabotage::parse(&setup.sabotage.to_string()).unwrap())),
        });
        let [http, https, metrics] = addresses;
        let stand =
            Stand { seawall: Seawall { http, https, metrics, admin, edge: Arc::new(edge.unwrap()), dir } };
        eventually("the edge is ready", || stand.edge.ready());
        stand
    }

    /// Hands a change in; its order.
    pub fn propose(&self, change: Change) -> u64 {
        let (site, problems) = quiet(site(self.dir.path(), &change.text));
        self.propose_site(site, problems, change)
    }

    /// The same with documents of one's own making.
    pub fn propose_site(&self, site: Site, problems: Vec<Problem>, change: Change) -> u64 {
        let order = self.edge.own_order().order;
        let refused_lists = seawall_snapshot::parse(&change.text, self.dir.path(), &[]).refused_lists;
        let artifacts = change.features.map(|content| Artifact { name: BOT_FEATURES, content });
        let content = Content::Site {
            site: Box::new(site),
            problems,
            refused_lists,
            artifacts: artifacts.into_iter().collect(),
        };
        let acks: Vec<Ack> = change.acks.iter().map(|ack| ack.parse().unwrap()).collect();
        let cause = Cause::new(change.who, "a test");
        self.edge.propose(order, Proposal { content, cause, acks, base: change.base, quick: change.quick });
        order
    }

    /// Hands a change in and waits for its end.
    pub fn change(&self, change: Change) -> Ended {
        let order = self.propose(change);
        self.ended(order)
    }

    /// Gives an order on the admin socket: its number, or why it was not taken.
    pub fn order(&self, path: &str, body: &Value) -> Result<u64, (u16, String)> {
        let (status, said) = self.ask("POST", path, &body.to_string());
        if status != 202 {
            return Err((status, said));
        }
        let answer: Value = serde_json::from_str(&said).unwrap();
        Ok(answer["order"].as_u64().unwrap_or(0))
    }

    /// Gives an order and waits for its end.
    pub fn carry_out(&self, path: &str, body: &Value) -> Ended {
        let order = self.order(path, body).unwrap();
        self.ended(order)
    }

    /// Waits for the end of an order.
    pub fn ended(&self, order: u64) -> Ended {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let status = self.status();
            let recent = status["recent"].as_array().unwrap();
            if let Some(ended) = recent.iter().find(|ended| ended["order"] == order) {
                return Ended(ended.clone());
            }
            assert!(Instant::now() < end, "order {order} does not end: {status:#}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/snapshot", "").1).unwrap()
    }

    /// The row of a module.
    pub fn module(&self, name: &str) -> Value {
        let rows: Value = serde_json::from_str(&self.ask("GET", "/modules", "").1).unwrap();
        rows["modules"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
    }

    /// Events of a kind, as told.
    pub fn told(&self, kind: &str) -> Vec<Value> {
        let lines = self.ask("GET", "/timeline", "").1;
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["kind"] == kind).collect()
    }

    /// The same, once there are so many: what is told is written by another thread.
    pub fn in_time(&self, kind: &str, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        eventually(&format!("{kind} is told"), || {
            events = self.told(kind);
            events.len() >= count
        });
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }

    /// Number of the snapshot that serves; what is told of it must be what serves.
    pub fn current(&self) -> u64 {
        self.checked()["number"].as_u64().unwrap()
    }

    /// The same, where what serves changes by itself.
    pub fn settled(&self) -> Value {
        let told = || self.status()["current"]["content"] == self.edge.content().to_string();
        eventually("what serves is told", told);
        self.checked()
    }

    /// What serves, compared with what is told and with what was kept on the disk.
    pub fn checked(&self) -> Value {
        let current = self.status()["current"].clone();
        assert_eq!(current["content"], self.edge.content().to_string(), "{current}");
        let number = current["number"].as_u64().unwrap();
        let kept = self.store().load(number).unwrap().1;
        assert_eq!(kept.hash(), self.edge.content(), "snapshot {number} on the disk");
        current
    }

    pub fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(&self.admin).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The answer to a visitor, told apart by the address it says it has.
    pub fn visit(&self, host: &str, path: &str, visitor: usize) -> Answer {
        self.visitor().visit(host, path, visitor)
    }

    /// A connection for many visits.
    pub fn visitor(&self) -> Visitor {
        Visitor(Client::connect(self.http))
    }

    pub fn stop(&self) {
        self.edge.drain(Duration::from_millis(100));
    }
}

/// A connection through which many visitors come, as through a proxy that is believed.
pub struct Visitor(Client);

impl Visitor {
    pub fn visit(&mut self, host: &str, path: &str, visitor: usize) -> Answer {
        self.visit_with(host, path, visitor, "")
    }

    /// With more lines of the head.
    pub fn visit_with(&mut self, host: &str, path: &str, visitor: usize, lines: &str) -> Answer {
        let address = address(visitor);
        self.0.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {address}\r\n{AGENT}{lines}\r\n"
        ));
        self.0.answer()
    }
}

/// What ordinary visitors say of themselves.
const AGENT: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36\r\nAccept: text/html\r\n";

/// The address of a visitor.
pub fn address(visitor: usize) -> String {
    format!("198.18.{}.{}", visitor / 250 % 250, visitor % 250 + 1)
}

/// How an order ended.
#[derive(Clone, Debug)]
pub struct Ended(pub Value);

impl Ended {
    pub fn outcome(&self) -> &str {
        self.0["outcome"].as_str().unwrap()
    }

    #[track_caller]
    pub fn is(&self, outcome: &str) -> &Ended {
        assert_eq!(self.outcome(), outcome, "{:#}", self.0);
        self
    }

    /// All that is said of it.
    pub fn said(&self) -> String {
        self.0.to_string()
    }

    pub fn number(&self) -> u64 {
        self.0["number"].as_u64().unwrap()
    }

    /// What is to be acknowledged, by name.
    pub fn needs(&self, what: &str) -> Option<u64> {
        let needs = self.0["needs"].as_array().unwrap();
        needs.iter().find(|need| need["what"] == what)?["count"].as_u64()
    }
}

/// What an edge starts from, as the program chooses it.
fn boot(site: &Site, dir: &std::path::Path, features: Option<Bytes>, again: bool) -> Boot {
    let store = Store::open(dir).unwrap();
    let timeline = Timeline::open(dir, "edge");
    let (number, units) = match store.start(!again) {
        Ok(start) => (start.manifest.number, start.units),
        Err(_) => {
            let mut units = codec(site);
            if let Some(features) = features {
                units.insert(UnitKind::Data, BOT_FEATURES, features);
            }
            (store.publish(&units, None, &Cause::new("start", "first")).unwrap().number, units)
        }
    };
    store.update(|history| history.started(number, now())).unwrap();
    Boot { units, number, store: Some(store), timeline }
}

fn codec(site: &Site) -> seawall_snapshot::Units {
    codec::units_of(site, &codec::DataFiles::default())
}

fn now() -> u64 {
    seawall_snapshot::SteadyClock::start().now_unix_ms()
}

/// Without an access log, which nobody reads here.
fn quiet((mut site, problems): (Site, Vec<Problem>)) -> (Site, Vec<Problem>) {
    site.edge.log.access = seawall_model::AccessFormat::Off;
    (site, problems)
}

/// What every configuration here begins with.
pub fn edge(rollout: &str) -> String {
    format!("[edge]\ntrusted_proxies = \"127.0.0.0/8\"\n{rollout}")
}

/// A zone of one host, its name, before an origin. `keys` stand under `[[zone]]`, `tables` after the pool.
pub fn zone(name: &str, origin: &Origin, keys: &str, tables: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}\"]\ncache = false\n{keys}\n[[zone.pool]]\nname = \"app\"\norigins = [{{ url = \"http://{}\" }}]\n{tables}\n",
        origin.addr
    )
}

/// A zone whose answers say which version of it made them.
pub fn version(name: &str, origin: &Origin, version: usize) -> String {
    zone(name, origin, "", &route(version))
}

/// The route of [`version`].
pub fn route(version: usize) -> String {
    format!("[[zone.route]]\nresponse_headers = {{ set = {{ X-Version = \"{version}\" }} }}\n")
}

/// Which version of its zone made an answer.
pub fn version_of(answer: &Answer) -> Option<usize> {
    answer.field("x-version")?.parse().ok()
}

/// An origin that says what score it was told.
pub fn scored() -> Origin {
    Origin::answering(|request| match request.fields("cf-bot-score").as_slice() {
        [] => ok("none"),
        scores => ok(scores.join(",")),
    })
}

/// The feature file that is built in, another one each time.
pub fn features(run: u32) -> Bytes {
    let mut file: Value = serde_json::from_slice(seawall_human::DEFAULT).unwrap();
    file["generated"] = format!("2026-11-18T11:{:02}:00Z", run % 60).into();
    serde_json::to_vec(&file).unwrap().into()
}

/// The same with its rows repeated until there are 260, as on 18 November 2025.
pub fn too_many_features(run: u32) -> Bytes {
    let mut file: Value = serde_json::from_slice(&features(run)).unwrap();
    let rows = file["features"].as_array().unwrap().clone();
    file["features"] = rows.iter().cycle().take(260).cloned().collect::<Vec<_>>().into();
    serde_json::to_vec(&file).unwrap().into()
}
