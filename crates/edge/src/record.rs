//! One record per request, to the access log and the metrics.

use crate::cohort::Cohort;
use crate::exchange::{Client, Facts, OriginFacts, Scratch};
use crate::live::Live;
use crate::worker::{LiveRef, Worker};
use seawall_http::{Known, Version};
use seawall_telemetry as telemetry;
use seawall_telemetry::names::{CacheStatus, HttpVersion, TlsVersion};
use std::net::{IpAddr, Ipv4Addr};

/// Writes down how a request went.
pub(crate) fn write(
    w: &Worker,
    live: &LiveRef,
    client: &Client,
    scratch: &Scratch,
    facts: &Facts,
    (head_bytes, body_bytes): (u64, u64),
) {
    let now_ns = w.now_ns();
    let request = &scratch.request;
    let zone = facts.zone.and_then(|z| live.zone(z));
    let field = |name| request.fields.get(name).unwrap_or(b"");
    let since = |ns: u64| ns.saturating_sub(facts.begun_ns) / 1000;
    let mut record = telemetry::Record {
        start_unix_ns: w.unix_ns_of(facts.begun_ns),
        duration_us: since(now_ns),
        first_byte_us: facts.first_byte_ns.map(since),
        client_ip: facts.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        client_port: client.peer.port(),
        tls: client.tls.as_ref().map(|t| telemetry::Tls {
            version: tls_version(t.version),
            cipher: t.cipher_id,
            server_name: t.sni.as_deref().unwrap_or(""),
        }),
        version: match request.version {
            Version::H10 => HttpVersion::H10,
            Version::H11 => HttpVersion::H11,
            Version::H2 => HttpVersion::H2,
        },
        method: &request.method_text,
        host: request.host(),
        target: &request.target,
        user_agent: field(Known::UserAgent),
        referer: field(Known::Referer),
        request_bytes: facts.request_bytes,
        status: facts.status,
        response_head_bytes: head_bytes,
        response_body_bytes: body_bytes,
        uncompressed_bytes: facts.uncompressed,
        content_type: scratch.response.fields.get(Known::ContentType).unwrap_or(b""),
        ray: scratch.ray.split('-').next().unwrap_or(""),
        node: &live.node,
        zone: zone.map_or("", |z| &z.doc.name),
        zone_slot: zone.map_or(telemetry::ZoneSlot::OTHER, |z| z.slot),
        cache: facts.cache.unwrap_or(CacheStatus::Unknown),
        origin: facts.origin.as_ref().map(|o| origin(live, facts, o, request.authority.as_slice())),
        attempts: facts.attempts,
        error: facts.error.as_ref().map(|(code, detail)| telemetry::EdgeError { code: *code, detail }),
        bot_score: facts.stages.score.flatten(),
        bot_score_missing: facts.stages.score == Some(None),
        security: facts
            .stages
            .action
            .map(|action| telemetry::Security { action, rule: facts.stages.rule.as_deref().unwrap_or("") }),
        snapshot: (live.snapshot > 0).then_some(live.snapshot),
        cohort: facts.lot.map(|_| match live.cohort {
            Cohort::Current => telemetry::names::Cohort::Current,
            Cohort::Candidate => telemetry::names::Cohort::Candidate,
        }),
        module_faults: &facts.stages.faults,
        worker: u16::try_from(w.id).unwrap_or(u16::MAX),
        ..telemetry::Record::default()
    };
    if let Some(lot) = facts.lot {
        let latency_us = record.first_byte_us.unwrap_or(record.duration_us);
        let [current, candidate] = &*w.cohorts;
        match live.cohort {
            Cohort::Current => current.count(facts, lot, latency_us),
            Cohort::Candidate => candidate.count(facts, lot, latency_us),
        }
    } else {
        let [current, _] = &*w.cohorts;
        current.count_calm(facts);
    }
    w.metrics.in_flight.dec();
    w.metrics.observe(&record);
    if let Some(before) = facts.uncompressed {
        w.metrics.compression_in.add(before);
        w.metrics.compression_out.add(body_bytes);
    }
    w.telling.tell(
        &w.metrics,
        || w.now_ns(),
        &mut record,
        |record| {
            if let Some(sabotage) = w.process.sabotage.as_deref().filter(|_| record.is_our_failure()) {
                crate::stages::dawdle(sabotage);
            }
            w.log.borrow_mut().record(record);
            w.tracer.end(&facts.span, record);
        },
    );
}

fn origin<'a>(live: &'a Live, facts: &Facts, o: &OriginFacts, authority: &'a [u8]) -> telemetry::Origin<'a> {
    let zone = facts.zone.and_then(|z| live.zone(z));
    let pool = zone.and_then(|z| z.pools.get(o.pool));
    let origin = pool.and_then(|p| p.origins.get(o.member));
    telemetry::Origin {
        ip: o.peer.map(|p| p.ip()),
        port: o.peer.map_or(0, |p| p.port()),
        slot: origin.map_or(telemetry::OriginSlot::OTHER, |o| o.slot),
        pool: pool.map_or("", |p| &p.doc.name),
        host: origin.and_then(|o| o.host.as_deref()).unwrap_or(authority),
        tls: None,
        reused: o.reused,
        status: o.status,
        bytes: o.bytes,
        resolve_us: o.connect.resolve_us,
        connect_us: o.connect.connect_us,
        tls_us: o.connect.tls_us,
        first_byte_us: o.first_byte_us,
        duration_us: o.duration_us,
    }
}

fn tls_version(name: &str) -> TlsVersion {
    if name == TlsVersion::V12.name() { TlsVersion::V12 } else { TlsVersion::V13 }
}
