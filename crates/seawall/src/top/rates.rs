//! From two looks at an edge to what happened in between. Pure.

use seawall_telemetry::Summary;
use seawall_telemetry::metrics::{Latency, OriginSummary, ZoneSummary};

/// What one screen shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Of the edge as a whole, over the time between the looks.
    pub total: Rates,
    /// Duration of requests in that time.
    pub duration: Latency,
    /// Time until origins answered in that time.
    pub origin_first_byte: Latency,
    /// The zones.
    pub zones: Vec<ZoneRow>,
    /// The origins.
    pub origins: Vec<OriginRow>,
}

/// Rates; shares are `None` where nothing happened that they could be a share of (DESIGN R5).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    /// Requests per second.
    pub requests: f64,
    /// Share of responses 4xx, 0 to 1.
    pub client_errors: Option<f64>,
    /// Share of responses 5xx, 0 to 1.
    pub server_errors: Option<f64>,
    /// Share of requests served from the cache, 0 to 1.
    pub cache_hits: Option<f64>,
    /// Bytes sent to visitors per second.
    pub bytes_out: f64,
    /// Bytes received from visitors per second.
    pub bytes_in: f64,
}

/// One line of the zone table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ZoneRow {
    /// Its name.
    pub name: String,
    /// Its rates.
    pub rates: Rates,
    /// Error pages the edge itself made, per second.
    pub edge_errors: f64,
    /// Mean duration of a request, microseconds.
    pub mean_us: Option<f64>,
}

/// One line of the origin table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OriginRow {
    /// `pool/origin`, with the zone before it.
    pub name: String,
    /// What is known of its health.
    pub health: Health,
    /// Requests per second.
    pub requests: f64,
    /// Attempts without a response, per second.
    pub faults: f64,
    /// Share of responses 5xx, 0 to 1.
    pub server_errors: Option<f64>,
    /// Requests in flight now.
    pub outstanding: i64,
    /// Connections open now.
    pub connections: i64,
    /// Requests allowed at a time; `None` if not limited.
    pub limit: Option<i64>,
    /// Mean time to the response head, microseconds.
    pub mean_us: Option<f64>,
}

/// What is known of an origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// The monitor says so.
    Down,
    /// At least one worker has ejected it for its failures.
    Ejected,
    /// No monitor.
    #[default]
    Unwatched,
    /// The monitor says so.
    Up,
}

impl Health {
    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Unwatched => "-",
            Self::Up => "up",
        }
    }
}

/// What tables are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// Most requests first.
    #[default]
    Requests,
    /// Most errors first.
    Errors,
    /// Slowest first.
    Slowest,
    /// By name.
    Name,
}

impl Sort {
    /// The next one, round and round.
    pub const fn next(self) -> Self {
        match self {
            Self::Requests => Self::Errors,
            Self::Errors => Self::Slowest,
            Self::Slowest => Self::Name,
            Self::Name => Self::Requests,
        }
    }

    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Errors => "errors",
            Self::Slowest => "slowest",
            Self::Name => "name",
        }
    }
}

impl Frame {
    /// What happened from `earlier` to `now`. If the edge was restarted in between, what happened since then.
    pub fn between(earlier: &Summary, now: &Summary, sort: Sort) -> Self {
        let restarted = now.uptime_ms < earlier.uptime_ms || now.requests < earlier.requests;
        let nothing = Summary::default();
        let (earlier, elapsed_ms) =
            if restarted { (&nothing, now.uptime_ms) } else { (earlier, now.uptime_ms - earlier.uptime_ms) };
        #[allow(clippy::cast_precision_loss)] // for people
        let seconds = (elapsed_ms as f64 / 1000.0).max(0.001);
        let mut zones: Vec<ZoneRow> = now.zones.iter().map(|zone| zone_row(earlier, zone, seconds)).collect();
        let mut origins: Vec<OriginRow> =
            now.origins.iter().map(|o| origin_row(earlier, o, seconds)).collect();
        zones.sort_by(|a, b| {
            let by_name = || a.name.cmp(&b.name);
            let key = |row: &ZoneRow| match sort {
                Sort::Requests => row.rates.requests,
                Sort::Errors => row.rates.server_errors.unwrap_or(0.0) * row.rates.requests + row.edge_errors,
                Sort::Slowest => row.mean_us.unwrap_or(0.0),
                Sort::Name => 0.0,
            };
            key(b).total_cmp(&key(a)).then_with(by_name)
        });
        origins.sort_by(|a, b| {
            let by_name = || a.name.cmp(&b.name);
            let key = |row: &OriginRow| match sort {
                Sort::Requests => row.requests,
                Sort::Errors => row.server_errors.unwrap_or(0.0) * row.requests + row.faults,
                Sort::Slowest => row.mean_us.unwrap_or(0.0),
                Sort::Name => 0.0,
            };
            key(b).total_cmp(&key(a)).then_with(by_name)
        });
        let class = |s: &Summary, n: usize| s.responses_by_class.get(n).copied().unwrap_or(0);
        let requests = delta(now.requests, earlier.requests);
        let total = Rates {
            requests: requests / seconds,
            client_errors: share(delta(class(now, 3), class(earlier, 3)), requests),
            server_errors: share(delta(class(now, 4), class(earlier, 4)), requests),
            cache_hits: share(delta(now.cache_hits, earlier.cache_hits), requests),
            bytes_out: delta(now.response_bytes, earlier.response_bytes) / seconds,
            bytes_in: delta(now.request_bytes, earlier.request_bytes) / seconds,
        };
        Self {
            total,
            duration: now.duration.since(&earlier.duration),
            origin_first_byte: now.origin_first_byte.since(&earlier.origin_first_byte),
            zones,
            origins,
        }
    }
}

fn zone_row(earlier: &Summary, now: &ZoneSummary, seconds: f64) -> ZoneRow {
    let nothing = ZoneSummary::default();
    let then = earlier.zones.iter().find(|zone| zone.name == now.name).unwrap_or(&nothing);
    let requests = delta(now.requests, then.requests);
    ZoneRow {
        name: now.name.clone(),
        rates: Rates {
            requests: requests / seconds,
            client_errors: share(delta(now.client_errors, then.client_errors), requests),
            server_errors: share(delta(now.server_errors, then.server_errors), requests),
            cache_hits: share(delta(now.cache_hits, then.cache_hits), requests),
            bytes_out: delta(now.response_bytes, then.response_bytes) / seconds,
            bytes_in: delta(now.request_bytes, then.request_bytes) / seconds,
        },
        edge_errors: delta(now.edge_errors, then.edge_errors) / seconds,
        mean_us: share_of(delta(now.duration_us, then.duration_us), requests),
    }
}

fn origin_row(earlier: &Summary, now: &OriginSummary, seconds: f64) -> OriginRow {
    let nothing = OriginSummary::default();
    let same = |o: &&OriginSummary| o.zone == now.zone && o.pool == now.pool && o.name == now.name;
    let then = earlier.origins.iter().find(same).unwrap_or(&nothing);
    let requests = delta(now.requests, then.requests);
    OriginRow {
        name: format!("{} {}/{}", now.zone, now.pool, now.name),
        health: match now.healthy {
            Some(false) => Health::Down,
            _ if now.ejected_by > 0 => Health::Ejected,
            Some(true) => Health::Up,
            None => Health::Unwatched,
        },
        requests: requests / seconds,
        faults: delta(now.faults, then.faults) / seconds,
        server_errors: share(delta(now.server_errors, then.server_errors), requests),
        outstanding: now.outstanding,
        connections: now.connections,
        limit: Some(now.limit).filter(|limit| *limit > 0),
        mean_us: share_of(
            delta(now.first_byte_us_sum, then.first_byte_us_sum),
            delta(now.first_bytes, then.first_bytes),
        ),
    }
}

#[allow(clippy::cast_precision_loss)] // for people
fn delta(now: u64, then: u64) -> f64 {
    now.saturating_sub(then) as f64
}

fn share(part: f64, whole: f64) -> Option<f64> {
    share_of(part, whole).map(|share| share.min(1.0))
}

fn share_of(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(uptime_ms: u64, requests: u64) -> Summary {
        let zone = |name: &str, requests, server_errors| ZoneSummary {
            name: name.to_owned(),
            requests,
            server_errors,
            cache_hits: requests / 2,
            duration_us: requests * 1000,
            ..ZoneSummary::default()
        };
        Summary {
            uptime_ms,
            requests,
            cache_hits: requests / 4,
            responses_by_class: [0, requests, 0, 0, requests / 10],
            zones: vec![zone("b", requests, 0), zone("a", requests / 10, requests / 10)],
            origins: vec![OriginSummary {
                name: "o".into(),
                requests,
                ejected_by: 1,
                ..OriginSummary::default()
            }],
            ..Summary::default()
        }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let frame = Frame::between(&summary(1_000, 1_000), &summary(3_000, 3_000), Sort::Requests);
        assert_eq!(frame.total.requests, 1000.0);
        assert_eq!(frame.total.cache_hits, Some(0.25));
        assert_eq!(frame.total.server_errors, Some(0.1));
        assert_eq!(frame.zones[0].name, "b");
        assert_eq!(frame.zones[0].mean_us, Some(1000.0));
        assert_eq!(frame.origins[0].health, Health::Ejected);
    }

    #[test]
    fn a_quiet_edge_has_no_shares_rather_than_shares_of_zero() {
        let frame = Frame::between(&summary(1_000, 1_000), &summary(2_000, 1_000), Sort::Requests);
        assert_eq!(
            (frame.total.requests, frame.total.cache_hits, frame.total.server_errors),
            (0.0, None, None)
        );
    }

    #[test]
    fn a_restart_in_between_is_no_negative_rate() {
        let frame = Frame::between(&summary(100_000, 9_000), &summary(500, 100), Sort::Requests);
        assert_eq!(frame.total.requests, 200.0);
    }

    #[test]
    fn tables_sort_by_what_is_asked() {
        let first = |sort| Frame::between(&summary(0, 0), &summary(1_000, 1_000), sort).zones[0].name.clone();
        assert_eq!(first(Sort::Errors), "a");
        assert_eq!(first(Sort::Name), "a");
        assert_eq!(first(Sort::Requests), "b");
    }
}
