//! Filling the cache: a fetch goes on at its origin's pace, whatever becomes of the client that caused it.

use crate::cached::{self, Ask, Found, Question, slot};
use crate::exchange::{Exchange, Facts};
use crate::fetch::{self, Fetched, NoBody};
use crate::live::Zone;
use crate::message::{Reply, Sink};
use crate::upstream::OriginFault;
use crate::worker::Worker;
use bytes::Bytes;
use seawall_cachestore::{Fill, Follower, Object, Unstored};
use seawall_http::{Fields, ResponseHead};
use seawall_httpcache as httpcache;
use seawall_httpcache::{Forward, Freshened, RequestFacts};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// What a fill has come to when its head is out.
pub(crate) enum Filled {
    /// All of it was here already.
    Whole(Arc<Object>),
    /// The rest is on its way.
    Following(Follower),
    /// It broke off at once.
    Broken(OriginFault),
}

/// Fills from a response. What has come already is stored at once; a task of its own reads the rest.
pub(crate) fn fill(x: &Exchange<'_>, mut fill: Fill, mut fetched: Fetched<'_>, facts: &mut Facts) -> Filled {
    let own = fill.follow();
    loop {
        match fetched.source.ready() {
            Ok(Some(piece)) => {
                if !fill.push(piece) {
                    break;
                }
            }
            Ok(None) => break,
            Err(fault) => {
                fetched.finish(x, facts, false);
                return Filled::Broken(fault);
            }
        }
    }
    if fetched.source.is_done() {
        fetched.finish(x, facts, true);
        return match fill.finish() {
            Ok(object) => Filled::Whole(object),
            Err(Unstored::Length { .. }) => Filled::Broken(OriginFault::Closed),
            // Purged meanwhile, or too large to keep: the client still gets it.
            Err(_) => Filled::Following(own),
        };
    }
    // A request that may be cached has no body, so no upload is left behind here.
    let job = Job { w: x.w.clone(), zone: x.zone.clone(), pooled: fetched.detach() };
    tokio::task::spawn_local(job.run(fill));
    Filled::Following(own)
}

/// A fetch that has left its request.
struct Job {
    w: Rc<Worker>,
    zone: Arc<Zone>,
    pooled: fetch::Detached,
}

impl Job {
    async fn run(mut self, mut fill: Fill) {
        let whole = loop {
            match self.pooled.source.next().await {
                Ok(Some(piece)) => {
                    if !fill.push(piece) {
                        break false;
                    }
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        self.pooled.finish(&self.w, &self.zone);
        if whole && let Err(why) = fill.finish() {
            tracing::debug!(%why, "a response was not stored");
        }
    }
}

/// Validates what was just served stale, in the background and once for all (RFC 5861 §3).
pub(crate) fn refresh(x: &Exchange<'_>, q: &Question<'_>, key: httpcache::Key, found: &Found) {
    let Some(fill) = x.w.process.store.try_lead(&slot(key)) else { return };
    let (w, zone) = (x.w.clone(), x.zone.clone());
    let route = x.zone.routes.iter().position(|r| std::ptr::eq(r, x.route)).unwrap_or(0);
    let request = q.request.clone();
    let (primary, address, https, ray) = (q.primary, x.address, x.https, x.ray.to_owned());
    let (peer, score) = (x.client.peer, x.score);
    let found = Found { object: found.object.clone(), stored: found.stored };
    tokio::task::spawn_local(async move {
        let live = w.live();
        let Some(route) = zone.routes.get(route) else { return };
        let client = crate::exchange::Client::new(peer, false, None);
        let asked = Default::default();
        let x = Exchange {
            w: &w,
            live: &live,
            zone: &zone,
            route,
            client: &client,
            address,
            https,
            ray: &ray,
            asked,
            score,
        };
        let mut q = Question { request: &request, asked: RequestFacts::of(&request), primary };
        // The refresh is ours, not the client's: its conditions and wishes do not count.
        q.asked = RequestFacts {
            method: seawall_http::Method::Get,
            authorization: q.asked.authorization,
            ..RequestFacts::default()
        };
        let ask = Ask { key, found: Some(&found), why: Forward::Stale, plain: false };
        validate(&x, &q, ask, fill).await;
    });
}

async fn validate(x: &Exchange<'_>, q: &Question<'_>, ask: Ask<'_>, mut fill: Fill) {
    let Some(found) = ask.found else { return };
    let mut get = q.request.clone();
    get.method = seawall_http::Method::Get;
    get.method_text = b"GET".to_vec();
    let q = &Question { request: &get, asked: q.asked, primary: q.primary };
    let fields = cached::shape(q, Some(found));
    let (mut response, mut added, mut facts) = (ResponseHead::default(), Fields::new(), Facts::default());
    let request_time_ms = x.w.unix_ms();
    let seq = x.w.process.store.seq();
    let (mut nobody, mut nowhere) = (NoBody, Nowhere);
    let fetched =
        fetch::fetch(x, q.request, &fields, &mut response, &mut added, &mut nobody, &mut nowhere, &mut facts);
    // A failure leaves the stale one, which is served on within its window.
    let Ok(fetched) = fetched.await else { return };
    let exchange = httpcache::Exchange {
        request: &q.asked,
        path: q.request.path(),
        response: &response,
        request_time_ms,
        response_time_ms: x.w.unix_ms(),
    };
    if response.status == 304 {
        fetched.finish(x, &mut facts, true);
        match httpcache::freshen(&exchange, &found.stored, &found.object.meta.fields, &x.route.cache) {
            Freshened::Update(entry) => drop(cached::update(x, q, found, &entry, seq, Some(fill))),
            Freshened::Once(_) => {}
            Freshened::Last(..) | Freshened::Mismatch => drop(x.w.process.store.remove(&slot(ask.key))),
        }
        return;
    }
    if response.status >= 500 {
        return fetched.finish(x, &mut facts, false);
    }
    let entry = match httpcache::store(&exchange, &x.route.cache) {
        Ok(entry) => entry,
        Err(refusal) => {
            fill.refuse();
            if cached::replaces(response.status, refusal) {
                x.w.process.store.remove(&slot(ask.key));
            }
            return fetched.finish(x, &mut facts, false);
        }
    };
    cached::place(x, q, &entry, &mut fill, seq);
    let length = seawall_http::framing::length(&response.fields, true).ok().flatten();
    if fill.head(cached::meta(x, q, &entry, response.status, length)) {
        self::fill(x, fill, fetched, &mut facts);
    }
}

/// For responses nobody waits for.
pub(crate) struct Nowhere;

impl Sink for Nowhere {
    async fn head(&mut self, _: &Reply<'_>, _: Bytes, _: bool) -> io::Result<()> {
        Ok(())
    }
    async fn data(&mut self, _: Bytes) -> io::Result<()> {
        Ok(())
    }
    async fn end(&mut self, _: Option<&Fields>) -> io::Result<()> {
        Ok(())
    }
    async fn interim(&mut self, _: u16, _: &Fields) -> io::Result<()> {
        Ok(())
    }
    fn is_started(&self) -> bool {
        false
    }
    fn sent(&self) -> (u64, u64) {
        (0, 0)
    }
    fn close_after(&mut self) {}
}
