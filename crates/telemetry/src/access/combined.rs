//! The combined log format, as Apache httpd and nginx write it.

use super::clock::SecondText;
use super::record::Record;
use super::redact::Redaction;
use super::text::{cut, push_combined, push_int, push_ip};

/// Appends `ip - - [time] "METHOD target VERSION" status body_bytes "referer" "user agent"`.
pub(crate) fn write_combined(
    out: &mut Vec<u8>,
    redaction: &Redaction,
    clock: &mut SecondText,
    record: &Record<'_>,
) {
    push_ip(out, record.client_ip);
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(clock.of(record.start_unix_ns / 1_000_000_000));
    out.extend_from_slice(b"] \"");
    push_combined(out, cut(record.method).0);
    out.push(b' ');
    redaction.pieces(cut(record.target).0, |piece| push_combined(out, piece));
    out.push(b' ');
    out.extend_from_slice(record.version.name().as_bytes());
    out.extend_from_slice(b"\" ");
    push_int(out, u64::from(record.status));
    out.push(b' ');
    push_int(out, record.response_body_bytes);
    out.extend_from_slice(b" \"");
    if record.referer.is_empty() {
        out.push(b'-');
    }
    redaction.pieces(cut(record.referer).0, |piece| push_combined(out, piece));
    out.extend_from_slice(b"\" \"");
    push_combined(out, if record.user_agent.is_empty() { b"-" } else { cut(record.user_agent).0 });
    out.extend_from_slice(b"\"\n");
}
