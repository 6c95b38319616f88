//! The fields of a JSON record: one table for the writer, the configuration and `docs/access-log.md`.

use thiserror::Error;

use super::clock::SecondText;
use super::record::{Origin, Record};
use super::redact::Redaction;
use super::text::{CUT, cut, push_int, push_ip, push_json, push_padded};
use crate::names::cipher_name;

/// A field of the JSON access log.
#[derive(Debug)]
pub struct Field {
    /// Name in the record. Those that begin with `Seawall` and those of snapshots and modules are ours, the others
    /// Logpush's `http_requests`.
    pub name: &'static str,
    /// JSON type.
    pub kind: &'static str,
    /// Whether it is written when configuration names no fields.
    pub standard: bool,
    /// What it holds, and when it is absent.
    pub doc: &'static str,
    /// Writes the value, or nothing if it is absent.
    write: fn(&mut Value<'_>, &Record<'_>),
}

/// How timestamps are written (Logpush `timestamp_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// `2026-11-21T20:50:01Z`
    Rfc3339,
    /// `2026-11-21T20:50:01.250Z`
    #[default]
    Rfc3339Ms,
    /// Seconds since 1970.
    Unix,
    /// Nanoseconds since 1970.
    UnixNano,
}

/// Why a layout cannot be made. The configuration is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// No field of that name.
    #[error("no access log field is named {0:?}; docs/access-log.md lists them")]
    UnknownField(String),
    /// A record with nothing in it.
    #[error("the access log has no fields; use access = \"off\" for no log")]
    NoFields,
}

/// What is written of each record and how: made once for a configuration, shared by the workers.
#[derive(Debug)]
pub struct Layout {
    /// The chosen fields. None: combined format.
    pub(crate) json: Option<Vec<Column>>,
    pub(crate) timestamps: Timestamps,
    pub(crate) redaction: Redaction,
}

impl Layout {
    /// JSON with the standard fields.
    #[must_use]
    pub fn json(redaction: Redaction) -> Self {
        Layout {
            json: Some(FIELDS.iter().filter(|f| f.standard).map(column).collect()),
            timestamps: Timestamps::default(),
            redaction,
        }
    }

    /// JSON with these fields, in this order; a name given twice counts once.
    ///
    /// # Errors
    /// A name that is not in [`FIELDS`], or no name at all.
    pub fn json_with<'n>(
        names: impl IntoIterator<Item = &'n str>,
        redaction: Redaction,
    ) -> Result<Self, LayoutError> {
        let mut chosen: Vec<&'static Field> = Vec::new();
        for name in names {
            let field = FIELDS
                .iter()
                .find(|f| f.name == name)
                .ok_or_else(|| LayoutError::UnknownField(name.to_owned()))?;
            if !chosen.iter().any(|f| f.name == name) {
                chosen.push(field);
            }
        }
        if chosen.is_empty() {
            return Err(LayoutError::NoFields);
        }
        let json = Some(chosen.into_iter().map(column).collect());
        Ok(Layout { json, timestamps: Timestamps::default(), redaction })
    }

    /// The combined format of Apache httpd and nginx.
    #[must_use]
    pub fn combined(redaction: Redaction) -> Self {
        Layout { json: None, timestamps: Timestamps::default(), redaction }
    }

    /// The same with another form of timestamps (JSON only).
    #[must_use]
    pub fn with_timestamps(mut self, timestamps: Timestamps) -> Self {
        self.timestamps = timestamps;
        self
    }
}

/// The clocks a worker keeps for [`write_json`]: start and end of a request are often in different seconds.
#[derive(Debug)]
pub(crate) struct Clocks {
    start: SecondText,
    end: SecondText,
}

impl Default for Clocks {
    fn default() -> Self {
        Clocks { start: SecondText::rfc3339(), end: SecondText::rfc3339() }
    }
}

/// A chosen field with what comes before its value ready to copy, so that each field costs one copy and its value.
#[derive(Debug)]
pub(crate) struct Column {
    /// `","Name":"`: without the first byte if no text is to be closed, without the last if the value is no text.
    key: Vec<u8>,
    field: &'static Field,
}

/// Appends a record as one line of JSON.
pub(crate) fn write_json(
    out: &mut Vec<u8>,
    columns: &[Column],
    layout: &Layout,
    clocks: &mut Clocks,
    record: &Record<'_>,
) {
    let start = out.len();
    let mut value = Value { out, layout, clocks, key: b"", in_text: false };
    for column in columns {
        value.key = &column.key;
        (column.field.write)(&mut value, record);
    }
    if value.in_text {
        value.out.push(b'"');
    }
    // Each key brings the comma before it; the first becomes the brace.
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.extend_from_slice(b"}\n");
}

fn column(field: &'static Field) -> Column {
    Column { key: format!("\",\"{}\":\"", field.name).into_bytes(), field }
}

/// Where a field writes its value. A field that calls none of these is absent from the record.
struct Value<'o> {
    out: &'o mut Vec<u8>,
    layout: &'o Layout,
    clocks: &'o mut Clocks,
    /// Of the field being written.
    key: &'o [u8],
    /// The field before was text and its closing quote is still owed.
    in_text: bool,
}

impl Value<'_> {
    fn begin_text(&mut self) {
        let key = self.key;
        self.out.extend_from_slice(if self.in_text { key } else { key.get(1..).unwrap_or_default() });
        self.in_text = true;
    }

    fn begin_plain(&mut self) {
        let key = self.key.split_last().map_or(&b""[..], |(_, rest)| rest);
        self.out.extend_from_slice(if self.in_text { key } else { key.get(1..).unwrap_or_default() });
        self.in_text = false;
    }

    fn int(&mut self, value: impl Into<u64>) {
        self.begin_plain();
        push_int(self.out, value.into());
    }

    fn opt_ms(&mut self, us: Option<u64>) {
        if let Some(us) = us {
            self.int(us / 1000);
        }
    }

    fn bool(&mut self, value: bool) {
        self.begin_plain();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A ratio with two digits after the point; `whole` must not be 0.
    fn ratio(&mut self, part: u64, whole: u64) {
        self.begin_plain();
        let hundredths = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
        push_int(self.out, hundredths / 100);
        self.out.push(b'.');
        push_padded(self.out, hundredths % 100, 2);
    }

    /// Text of our own making that needs no escape.
    fn word(&mut self, text: &'static str) {
        self.begin_text();
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.begin_text();
        let (text, was_cut) = cut(text);
        push_json(self.out, text);
        if was_cut {
            self.out.extend_from_slice(CUT.as_bytes());
        }
    }

    fn text_unless_empty(&mut self, text: &[u8]) {
        if !text.is_empty() {
            self.text(text);
        }
    }

    fn redacted(&mut self, text: &[u8]) {
        self.begin_text();
        let (text, was_cut) = cut(text);
        self.layout.redaction.pieces(text, |piece| push_json(self.out, piece));
        if was_cut {
            self.out.extend_from_slice(CUT.as_bytes());
        }
    }

    fn ip(&mut self, ip: std::net::IpAddr) {
        self.begin_text();
        push_ip(self.out, ip);
    }

    fn time(&mut self, unix_ns: u64, is_end: bool) {
        let second = unix_ns / 1_000_000_000;
        match self.layout.timestamps {
            Timestamps::Unix => return self.int(second),
            Timestamps::UnixNano => return self.int(unix_ns),
            Timestamps::Rfc3339 | Timestamps::Rfc3339Ms => self.begin_text(),
        }
        let clock = if is_end { &mut self.clocks.end } else { &mut self.clocks.start };
        self.out.extend_from_slice(clock.of(second));
        if self.layout.timestamps == Timestamps::Rfc3339Ms {
            self.out.push(b'.');
            push_padded(self.out, unix_ns / 1_000_000 % 1000, 3);
        }
        self.out.push(b'Z');
    }

    fn origin_ms(&mut self, record: &Record<'_>, of: fn(&Origin<'_>) -> Option<u64>) {
        self.opt_ms(record.origin.as_ref().and_then(of));
    }
}

/// Every field, in the order of a default record.
pub static FIELDS: &[Field] = &[
    Field {
        name: "EdgeStartTimestamp",
        kind: "string",
        standard: true,
        doc: "When the head of the request had been read.",
        write: |v, r| v.time(r.start_unix_ns, false),
    },
    Field {
        name: "EdgeEndTimestamp",
        kind: "string",
        standard: true,
        doc: "When the last byte of the response was handed to the client's connection.",
        write: |v, r| v.time(r.start_unix_ns.saturating_add(r.duration_us.saturating_mul(1000)), true),
    },
    Field {
        name: "RayID",
        kind: "string",
        standard: true,
        doc: "ID of the request: what `CF-Ray` says, without the node.",
        write: |v, r| v.text(r.ray.as_bytes()),
    },
    Field {
        name: "ZoneName",
        kind: "string",
        standard: true,
        doc: "Name of the zone; absent if no zone has the host.",
        write: |v, r| v.text_unless_empty(r.zone.as_bytes()),
    },
    Field {
        name: "ClientIP",
        kind: "string",
        standard: true,
        doc: "Address of the client, after PROXY protocol and trusted-proxy rules.",
        write: |v, r| v.ip(r.client_ip),
    },
    Field {
        name: "ClientSrcPort",
        kind: "int",
        standard: true,
        doc: "Source port of the client; absent if a proxy before Seawall did not tell it.",
        write: |v, r| {
            if r.client_port != 0 {
                v.int(r.client_port);
            }
        },
    },
    Field {
        name: "ClientCountry",
        kind: "string",
        standard: true,
        doc: "Two-letter country of the client; absent without a database.",
        write: |v, r| v.text_unless_empty(r.country.as_bytes()),
    },
    Field {
        name: "ClientRequestMethod",
        kind: "string",
        standard: true,
        doc: "Method of the request.",
        write: |v, r| v.text(r.method),
    },
    Field {
        name: "ClientRequestScheme",
        kind: "string",
        standard: true,
        doc: "`https` over TLS, else `http`.",
        write: |v, r| v.word(if r.tls.is_some() { "https" } else { "http" }),
    },
    Field {
        name: "ClientRequestHost",
        kind: "string",
        standard: true,
        doc: "Host the client asked for.",
        write: |v, r| v.text(r.host),
    },
    Field {
        name: "ClientRequestURI",
        kind: "string",
        standard: true,
        doc: "Path and query the client asked for, secrets redacted.",
        write: |v, r| v.redacted(r.target),
    },
    Field {
        name: "ClientRequestPath",
        kind: "string",
        standard: false,
        doc: "Path the client asked for, without the query.",
        write: |v, r| v.text(r.target.split(|b| *b == b'?').next().unwrap_or_default()),
    },
    Field {
        name: "ClientRequestProtocol",
        kind: "string",
        standard: true,
        doc: "HTTP version of the request: `HTTP/1.0`, `HTTP/1.1`, `HTTP/2`.",
        write: |v, r| v.word(r.version.name()),
    },
    Field {
        name: "ClientRequestReferer",
        kind: "string",
        standard: true,
        doc: "`Referer` of the request, secrets redacted; empty if there is none.",
        write: |v, r| v.redacted(r.referer),
    },
    Field {
        name: "ClientRequestUserAgent",
        kind: "string",
        standard: true,
        doc: "`User-Agent` of the request; empty if there is none.",
        write: |v, r| v.text(r.user_agent),
    },
    Field {
        name: "ClientRequestBytes",
        kind: "int",
        standard: true,
        doc: "Bytes of the request, head and body.",
        write: |v, r| v.int(r.request_bytes),
    },
    Field {
        name: "ClientSSLProtocol",
        kind: "string",
        standard: true,
        doc: "TLS version of the client's connection; `none` without TLS.",
        write: |v, r| v.word(r.tls.map_or("none", |t| t.version.name())),
    },
    Field {
        name: "ClientSSLCipher",
        kind: "string",
        standard: true,
        doc: "Cipher suite of the client's connection, by OpenSSL's name; `NONE` without TLS.",
        write: |v, r| v.word(r.tls.map_or("NONE", |t| cipher_name(t.cipher))),
    },
    Field {
        name: "CacheCacheStatus",
        kind: "string",
        standard: true,
        doc: "What the cache did: unknown, miss, expired, updating, stale, hit, ignored, bypass, revalidated, \
              dynamic or stream_hit.",
        write: |v, r| v.word(r.cache.name()),
    },
    Field {
        name: "CacheResponseBytes",
        kind: "int",
        standard: false,
        doc: "Bytes of body served from the cache; absent if the body came from elsewhere.",
        write: |v, r| {
            if r.cache.served_from_cache() {
                v.int(r.response_body_bytes);
            }
        },
    },
    Field {
        name: "EdgeColoCode",
        kind: "string",
        standard: true,
        doc: "Code of this node (`edge.node`).",
        write: |v, r| v.text_unless_empty(r.node.as_bytes()),
    },
    Field {
        name: "EdgeResponseStatus",
        kind: "int",
        standard: true,
        doc: "Status sent to the client; 0 if the connection ended before one was sent.",
        write: |v, r| v.int(r.status),
    },
    Field {
        name: "EdgeResponseBytes",
        kind: "int",
        standard: true,
        doc: "Bytes of the response, head and body, as sent.",
        write: |v, r| v.int(r.response_head_bytes.saturating_add(r.response_body_bytes)),
    },
    Field {
        name: "EdgeResponseBodyBytes",
        kind: "int",
        standard: true,
        doc: "Bytes of the response's body as sent.",
        write: |v, r| v.int(r.response_body_bytes),
    },
    Field {
        name: "EdgeResponseContentType",
        kind: "string",
        standard: true,
        doc: "`Content-Type` of the response; empty if there is none.",
        write: |v, r| v.text(r.content_type),
    },
    Field {
        name: "EdgeResponseCompressionRatio",
        kind: "float",
        standard: false,
        doc: "Size of the body before compression divided by its size after; absent if Seawall did not compress.",
        write: |v, r| {
            if let Some(before) = r.uncompressed_bytes
                && r.response_body_bytes > 0
            {
                v.ratio(before, r.response_body_bytes);
            }
        },
    },
    Field {
        name: "EdgeTimeToFirstByteMs",
        kind: "int",
        standard: true,
        doc: "From the request's head to the first byte of the response, milliseconds; absent if none was sent.",
        write: |v, r| v.opt_ms(r.first_byte_us),
    },
    Field {
        name: "EdgeRequestHost",
        kind: "string",
        standard: false,
        doc: "Host sent to the origin; absent if no origin was asked.",
        write: |v, r| {
            if let Some(o) = &r.origin {
                v.text(o.host);
            }
        },
    },
    Field {
        name: "OriginIP",
        kind: "string",
        standard: true,
        doc: "Address of the origin asked last; absent if none was.",
        write: |v, r| {
            if let Some(ip) = r.origin.as_ref().and_then(|o| o.ip) {
                v.ip(ip);
            }
        },
    },
    Field {
        name: "OriginResponseStatus",
        kind: "int",
        standard: true,
        doc: "Status of the origin's response; 0 if no origin was asked or it gave none.",
        write: |v, r| v.int(r.origin.as_ref().map_or(0, |o| o.status)),
    },
    Field {
        name: "OriginResponseBytes",
        kind: "int",
        standard: false,
        doc: "Bytes of body read from the origin; absent if no origin was asked.",
        write: |v, r| {
            if let Some(o) = &r.origin {
                v.int(o.bytes);
            }
        },
    },
    Field {
        name: "OriginDNSResponseTimeMs",
        kind: "int",
        standard: false,
        doc: "Time to resolve the origin's name, milliseconds; absent if it was known.",
        write: |v, r| v.origin_ms(r, |o| o.resolve_us),
    },
    Field {
        name: "OriginTCPHandshakeDurationMs",
        kind: "int",
        standard: true,
        doc: "Time to connect to the origin, milliseconds; absent on a kept connection.",
        write: |v, r| v.origin_ms(r, |o| o.connect_us),
    },
    Field {
        name: "OriginTLSHandshakeDurationMs",
        kind: "int",
        standard: true,
        doc: "Time of the TLS handshake with the origin, milliseconds; absent on a kept connection or without TLS.",
        write: |v, r| v.origin_ms(r, |o| o.tls_us),
    },
    Field {
        name: "OriginResponseHeaderReceiveDurationMs",
        kind: "int",
        standard: true,
        doc: "From the request being sent to the origin's head being read, milliseconds.",
        write: |v, r| v.origin_ms(r, |o| o.first_byte_us),
    },
    Field {
        name: "OriginResponseDurationMs",
        kind: "int",
        standard: true,
        doc: "From the choice of the origin to its head being read, connecting included, milliseconds.",
        write: |v, r| v.origin_ms(r, |o| o.duration_us),
    },
    Field {
        name: "OriginResponseTime",
        kind: "int",
        standard: false,
        doc: "The same in nanoseconds, for tools that know the older field.",
        write: |v, r| {
            if let Some(us) = r.origin.as_ref().and_then(|o| o.duration_us) {
                v.int(us.saturating_mul(1000));
            }
        },
    },
    Field {
        name: "OriginSSLProtocol",
        kind: "string",
        standard: false,
        doc: "TLS version to the origin; `none` without TLS; absent if no origin was asked.",
        write: |v, r| {
            if let Some(o) = &r.origin {
                v.word(o.tls.map_or("none", |t| t.name()));
            }
        },
    },
    Field {
        name: "BotScore",
        kind: "int",
        standard: true,
        doc: "1 (surely a program) to 99 (surely a person); absent if it was not computed.",
        write: |v, r| {
            if let Some(score) = r.bot_score {
                v.int(score);
            }
        },
    },
    Field {
        name: "SecurityAction",
        kind: "string",
        standard: true,
        doc: "What a security module did: block, challenge, log or skip; absent if no rule matched.",
        write: |v, r| {
            if let Some(security) = &r.security {
                v.word(security.action.name());
            }
        },
    },
    Field {
        name: "SecurityRuleID",
        kind: "string",
        standard: true,
        doc: "Name of the rule that said so, or `bans`; absent like the action.",
        write: |v, r| {
            if let Some(security) = &r.security {
                v.text(security.rule.as_bytes());
            }
        },
    },
    Field {
        name: "SnapshotNumber",
        kind: "int",
        standard: true,
        doc: "Number of the snapshot (`seawall snapshot list`) that ran the request; absent before there is one.",
        write: |v, r| {
            if let Some(number) = r.snapshot {
                v.int(number);
            }
        },
    },
    Field {
        name: "Cohort",
        kind: "string",
        standard: true,
        doc: "`current` or `candidate` while a new snapshot is compared with the one that serves; else absent.",
        write: |v, r| {
            if let Some(cohort) = r.cohort {
                v.word(cohort.name());
            }
        },
    },
    Field {
        name: "ModuleFaults",
        kind: "string",
        standard: true,
        doc: "Faults of modules that were contained, as `firewall:time,bot:panic`; absent without any.",
        write: |v, r| {
            for (position, (module, fault)) in r.module_faults.iter().enumerate() {
                if position == 0 {
                    v.begin_text();
                } else {
                    v.out.push(b',');
                }
                v.out.extend_from_slice(module.name().as_bytes());
                v.out.push(b':');
                v.out.extend_from_slice(fault.name().as_bytes());
            }
        },
    },
    Field {
        name: "SeawallStandsFor",
        kind: "int",
        standard: true,
        doc: "How many failing requests this line stands for, when so many failed that not each was written; absent if \
              it stands for itself.",
        write: |v, r| {
            if r.stands_for > 1 {
                v.int(r.stands_for);
            }
        },
    },
    Field {
        name: "SeawallErrorCode",
        kind: "int",
        standard: true,
        doc: "Code of the error page Seawall answered with; absent if the response is not ours.",
        write: |v, r| {
            if let Some(e) = &r.error {
                v.int(e.code);
            }
        },
    },
    Field {
        name: "SeawallErrorDetail",
        kind: "string",
        standard: true,
        doc: "What went wrong, for the operator; absent like the code.",
        write: |v, r| {
            if let Some(e) = &r.error {
                v.text(e.detail.as_bytes());
            }
        },
    },
    Field {
        name: "SeawallDurationUs",
        kind: "int",
        standard: true,
        doc: "From EdgeStartTimestamp to EdgeEndTimestamp, microseconds.",
        write: |v, r| v.int(r.duration_us),
    },
    Field {
        name: "SeawallPool",
        kind: "string",
        standard: false,
        doc: "Pool of the origin asked last; absent if none was.",
        write: |v, r| {
            if let Some(o) = &r.origin {
                v.text_unless_empty(o.pool.as_bytes());
            }
        },
    },
    Field {
        name: "SeawallOriginPort",
        kind: "int",
        standard: true,
        doc: "Port of the origin asked last; absent if none was.",
        write: |v, r| {
            if let Some(o) = &r.origin {
                v.int(o.port);
            }
        },
    },
    Field {
        name: "SeawallOriginReused",
        kind: "bool",
        standard: false,
        doc: "Whether the request went over a kept connection to the origin; absent if no origin was asked.",
        write: |v, r| {
            if let Some(o) = &r.origin {
                v.bool(o.reused);
            }
        },
    },
    Field {
        name: "SeawallAttempts",
        kind: "int",
        standard: false,
        doc: "Attempts at origins, retries included.",
        write: |v, r| v.int(r.attempts),
    },
    Field {
        name: "SeawallServerName",
        kind: "string",
        standard: false,
        doc: "Server name (SNI) of the TLS connection; absent without one.",
        write: |v, r| {
            if let Some(tls) = &r.tls {
                v.text_unless_empty(tls.server_name.as_bytes());
            }
        },
    },
    Field {
        name: "SeawallWorker",
        kind: "int",
        standard: false,
        doc: "Number of the worker thread that served the request.",
        write: |v, r| v.int(r.worker),
    },
];
