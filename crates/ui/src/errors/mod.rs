//! Answers the edge gives in place of the origin's.
//!
//! [`table::ENTRIES`] is the single source: what each code means, which side failed, and what either side can do. The page
//! for people, the problem document for programs, the line of text for terminals and `docs/errors.md` are all made from it.
//! The codes and what they mean are those of Cloudflare's documentation; the words are ours.

mod accept;
mod docs;
mod html;
mod problem;
pub mod table;

pub use accept::Format;
pub use docs::reference;
pub use table::{ENTRIES, Entry, Party, entry};

use crate::text::clip;

/// Largest answer in any format, in bytes: it fits in the first round trip of a new connection.
pub const PAGE_MAX_BYTES: usize = 12 << 10;

/// Fields every error answer carries besides `Content-Type`, `Content-Length` and `Retry-After`.
///
/// Never stored by any cache, no script and nothing from elsewhere can run in it, and it names no page it came from.
pub const FIELDS: &[(&str, &str)] = &[
    ("Cache-Control", "private, no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    ),
];

/// What is known about one failed request.
///
/// Everything here may come from the client; it is clipped, and escaped for the format. `detail` is shown to anyone: it
/// must not name an origin's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorFacts<'a> {
    /// A code of [`table::ENTRIES`]; any other is shown as 500.
    pub code: u16,
    /// Ray ID, as in `CF-Ray`.
    pub ray: &'a str,
    /// Host the client asked for; empty when unknown.
    pub host: &'a str,
    /// Address of the client; empty when unknown.
    pub client_ip: &'a str,
    /// The edge's node code.
    pub node: &'a str,
    /// When it failed, unix milliseconds.
    pub now: u64,
    /// What exactly went wrong, in a few words; empty when there is nothing to add to the code.
    pub detail: &'a str,
    /// Seconds until another try makes sense, where that is known better than the table knows it.
    pub retry_after_secs: Option<u32>,
}

impl<'a> ErrorFacts<'a> {
    fn clipped(self) -> ErrorFacts<'a> {
        ErrorFacts {
            ray: clip(self.ray, 64),
            host: clip(self.host, 255),
            client_ip: clip(self.client_ip, 64),
            node: clip(self.node, 32),
            detail: clip(self.detail, 256),
            ..self
        }
    }
}

/// An error answer, ready to send with [`FIELDS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Value of `Retry-After`, in seconds.
    pub retry_after_secs: Option<u32>,
    /// The body, at most [`PAGE_MAX_BYTES`].
    pub body: Vec<u8>,
}

/// Makes the answer to a request that failed.
#[must_use]
pub fn error_page(facts: &ErrorFacts<'_>, format: Format) -> Page {
    let entry = entry(facts.code);
    let facts = facts.clipped();
    let retry_after_secs = facts.retry_after_secs.or(entry.retry_after_secs);
    let body = match format {
        Format::Html => html::page(entry, &facts),
        Format::Json => problem::document(entry, &facts, retry_after_secs),
        Format::Text => plain(entry, &facts),
    };
    Page {
        status: entry.status,
        content_type: format.content_type(),
        retry_after_secs,
        body: body.into_bytes(),
    }
}

/// For terminals: what a person needs, in a few lines.
fn plain(entry: &Entry, facts: &ErrorFacts<'_>) -> String {
    let Entry { code, title, happened, visitor, .. } = entry;
    let mut out = format!("Error {code}: {title}\n\n{happened}\n");
    if !facts.detail.is_empty() {
        out.extend(["Detail: ", &one_line(facts.detail), "\n"]);
    }
    out.extend(["Failed: ", entry.failed.name(), "\n", visitor, "\n"]);
    if !facts.ray.is_empty() {
        out.extend(["\nRay ID: ", &one_line(facts.ray), "\n"]);
    }
    out
}

/// Control characters could rewrite a terminal; they become spaces.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
