//! `docs/access-log.md`, `docs/metrics.md` and `docs/timeline.md`, written from the tables. `tests/docs_current.rs` keeps them so:
//! `UPDATE_DOCS=1 cargo nextest run -p seawall-telemetry docs` writes them anew.

use std::fmt::Write as _;

use crate::access::redact::{DEFAULT_NAMES, REPLACEMENT};
use crate::access::{FIELDS, HANDOVER_BYTES, MAX_KEEP, MAX_TEXT_BYTES, QUEUE_BATCHES, TICK_MS};
use crate::metrics::{BUCKETS, MAX_CERTIFICATES, MAX_ORIGINS, MAX_ZONES, METRICS, bucket_bound_us};
use crate::timeline::{
    FILE, FLOOD_BURST, FLOOD_REFILL_MS, KINDS, LINE_MAX, QUEUE_EVENTS, RING_EVENTS, ROTATE_BYTES, Source,
};

/// The text of `docs/access-log.md`.
#[must_use]
pub fn access_log() -> String {
    let mut out = String::from(
        "# Access log\n\n\
         <!-- Written from the tables in crates/telemetry; change those and run\n     \
         UPDATE_DOCS=1 cargo nextest run -p seawall-telemetry docs -->\n\n\
         One line for each request, when its response has ended. `[edge.log]` chooses the form:\n\n\
         - `access = \"json\"`: one JSON object a line, with the field names of Cloudflare's Logpush dataset \
         `http_requests`, so that what reads those logs reads these. `SnapshotNumber`, `Cohort`, `ModuleFaults` and \
         fields whose names begin with `Seawall` are ours.\n\
         - `access = \"combined\"`: the combined format of Apache httpd and nginx.\n\
         - `access = \"off\"`: none.\n\n\
         A field whose value is not known is left out: missing is absent, never zero. Bytes that are not UTF-8 are \
         written as `\\u00XX`.\n\n",
    );
    let _ = writeln!(
        out,
        "Texts longer than {MAX_TEXT_BYTES} bytes are cut; in JSON the cut is marked with `…`. Timestamps are RFC 3339 \
         in UTC with milliseconds.\n\n\
         ## JSON fields\n\n\
         Those marked `yes` are written unless `fields` names others. The order is that of this table, or of \
         `fields`.\n\n\
         | Field | Type | Default | Meaning |\n|---|---|---|---|"
    );
    for field in FIELDS {
        let standard = if field.standard { "yes" } else { "" };
        let _ = writeln!(out, "| `{}` | {} | {standard} | {} |", field.name, field.kind, field.doc);
    }
    let replacement = String::from_utf8_lossy(REPLACEMENT);
    let _ = writeln!(
        out,
        "\n## Combined format\n\n\
         ```\nCLIENT_IP - - [21/Nov/2026:20:50:01 +0000] \"METHOD TARGET VERSION\" STATUS BODY_BYTES \"REFERER\" \
         \"USER_AGENT\"\n```\n\n\
         Quotes, backslashes and whatever is not printable ASCII are written as `\\xHH`.\n\n\
         ## Secrets\n\n\
         Cookies, `Authorization` and other fields of a request are never logged. In the target and the Referer, the \
         values of these query parameters are replaced by `{replacement}`, whatever their case and percent-encoding; \
         `redact_query` replaces the list. User information in a Referer is replaced too.\n"
    );
    let names: Vec<String> = DEFAULT_NAMES.iter().map(|n| format!("`{n}`")).collect();
    let _ = writeln!(
        out,
        "{}\n\n\
         ## The file\n\n\
         Lines are collected by each worker and handed over every {TICK_MS} ms or {} KiB to one thread that writes \
         them. At most {QUEUE_BATCHES} such batches wait. If the disk is full, too slow or not writable, records are \
         dropped and counted (`seawall_access_log_records_total{{result=\"dropped\"}}`, \
         `seawall_access_log_errors_total`), a warning is written at most once a minute, and requests go on as \
         before.\n\n\
         Before the file grows past `rotate` it becomes `access.log.1`, that becomes `access.log.2`, and so on; `keep` \
         of them stay (at most {MAX_KEEP}). With `rotate = \"0\"` logrotate can do it: a file that was moved or removed \
         is made anew within a second, or at once on SIGUSR1.",
        names.join(", "),
        HANDOVER_BYTES / 1024,
    );
    out
}

/// The text of `docs/metrics.md`.
#[must_use]
pub fn metrics() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         <!-- Written from the tables in crates/telemetry; change those and run\n     \
         UPDATE_DOCS=1 cargo nextest run -p seawall-telemetry docs -->\n\n\
         `GET /metrics` at the address of `edge.metrics` (by default `127.0.0.1:8091`) answers in OpenMetrics text, \
         which Prometheus and its kin read. Counts are since the process began.\n\n",
    );
    let _ = writeln!(
        out,
        "What grows with configuration is bounded: {MAX_ZONES} zones, {MAX_ORIGINS} origins and {MAX_CERTIFICATES} \
         certificates have series of their own; further zones and origins share the label `_other`. A zone or origin \
         keeps its counts over reloads and is no longer shown once it is removed.\n\n\
         | Metric | Kind | Labels | Meaning |\n|---|---|---|---|"
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        let (name, kind, labels) = (metric.name, metric.kind.name(), labels.join(", "));
        let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {} |", metric.help);
    }
    let bounds: Vec<String> = (0..BUCKETS).filter_map(bucket_bound_us).map(duration).collect();
    let _ = writeln!(
        out,
        "\nHistograms have buckets up to and including {}, and one for what is longer.",
        bounds.join(", ")
    );
    out
}

/// The text of `docs/timeline.md`.
#[must_use]
pub fn timeline() -> String {
    let mut out = String::from(
        "# Timeline\n\n\
         <!-- Written from the tables in crates/telemetry; change those and run\n     \
         UPDATE_DOCS=1 cargo nextest run -p seawall-telemetry docs -->\n\n\
         Every change, stage, gate, rollback, breaker, restart and quarantine is one event with its time and its cause, \
         so that \"what changed just before\" can be answered first. `seawall timeline` shows them, `seawall top` shows \
         the newest beside the errors, and each also appears among the process's own events on standard error.\n\n",
    );
    let _ = writeln!(
        out,
        "## The file\n\n\
         `{FILE}` in the data folder holds one JSON object a line. All processes of an installation append to it, each line \
         in one write of less than {LINE_MAX} bytes. Before it grows past {} MiB it becomes `{FILE}.1`, and that \
         `{FILE}.2`. With nothing running, `seawall timeline` reads it as well.\n\n\
         Telling waits for nothing: at most {QUEUE_EVENTS} events queue for the thread that writes, and more are dropped. \
         While the disk is full the newest {RING_EVENTS} are kept in memory, where `seawall timeline` still finds them. \
         Kinds marked *traffic* are told {FLOOD_BURST} at once and then one in {} ms; the next one told says how many were \
         not (`suppressed`). `seawall_timeline_events_total` counts what became of events.\n\n\
         | Field | Type | Meaning |\n|---|---|---|\n\
         | `unix_ms` | int | When, milliseconds since 1970. |\n\
         | `seq` | int | Number of the event in its process, from 1. |\n\
         | `role` | string | Which process: `edge`, `supervisor`, or `command` for one an operator ran. |\n\
         | `pid` | int | Its number. |\n\
         | `kind` | string | What happened; see below. |\n\
         | `snapshot` | int | Snapshot it is about; absent if about none. |\n\
         | `zone` | string | Zone it is about; absent if about none. |\n\
         | `module` | string | Module it is about; absent if about none. |\n\
         | `unit` | string | Unit it is about, as `zone a.test`; absent if about none. |\n\
         | `cause` | string | Who or what brought it about: `file`, `operator`, `gate`, a fault. |\n\
         | `text` | string | What happened, in a sentence. |\n\
         | `suppressed` | int | Events of this kind before it that were not told; absent if all were. |\n\n\
         ## Kinds\n\n\
         | Kind | Level | | Meaning |\n|---|---|---|---|",
        ROTATE_BYTES / (1024 * 1024),
        FLOOD_REFILL_MS,
    );
    for row in KINDS {
        let level = row.level.as_str().to_ascii_lowercase();
        let source = if row.source == Source::Traffic { "traffic" } else { "" };
        let _ = writeln!(out, "| `{}` | {level} | {source} | {} |", row.name, row.doc);
    }
    out
}

#[allow(clippy::cast_precision_loss)] // for reading
fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us as f64 / 1e3),
        _ => format!("{} s", us as f64 / 1e6),
    }
}
