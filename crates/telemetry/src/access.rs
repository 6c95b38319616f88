//! The access log: one line per request, as JSON with Cloudflare's Logpush names or in the combined format.
//!
//! A worker formats each [`Record`] into its own buffer ([`AccessLog`]) and hands full buffers to the one thread that
//! owns the file ([`LogWriter`]). Cookies and authorization are never part of a record; secrets in query strings are
//! replaced by [`redact`].

mod clock;
mod combined;
pub mod fields;
mod file;
mod log;
mod record;
pub mod redact;
mod text;
mod writer;

pub use fields::{FIELDS, Field, Layout, LayoutError, Timestamps};
pub use file::{MAX_KEEP, Output};
pub use log::{AccessLog, HANDOVER_BYTES, TICK_MS};
pub use record::{EdgeError, Origin, Record, Security, Tls};
pub use redact::Redaction;
pub use text::MAX_TEXT_BYTES;
pub use writer::{LogCounts, LogWriter, QUEUE_BATCHES};
