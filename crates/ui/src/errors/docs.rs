//! `docs/errors.md`, made from the table.

use super::{ENTRIES, Entry, Party};
use std::fmt::Write as _;

/// The reference of every error the edge gives, as Markdown. The file `docs/errors.md` is this text; a test compares them.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Errors the edge gives\n\n\
         <!-- Made from crates/ui/src/errors/table.rs: edit there, then `UPDATE_DOCS=1 cargo nextest run -p seawall-ui`. -->\n\n\
         When Seawall answers in place of the origin, the answer says which side failed and carries the ray ID, which the\n\
         access log has too. Browsers get a page, clients that ask for JSON get `application/problem+json` (RFC 9457), all\n\
         others a few lines of text. Codes below 1000 are the HTTP status itself. Codes from 1000 are more exact and come\n\
         with the status beside them. They mean what they mean in Cloudflare's documentation; codes from 9000 are Seawall's own.\n\n\
         | code | status | title | who failed | try again |\n|---|---|---|---|---|\n",
    );
    for e in ENTRIES {
        let again = match (e.retryable, e.retry_after_secs) {
            (true, Some(secs)) => format!("after {secs} s"),
            (true, None) => "yes".into(),
            (false, _) => "no".into(),
        };
        let _ = writeln!(
            out,
            "| [{0}](#{0}) | {1} | {2} | {3} | {again} |",
            e.code,
            e.status,
            e.title,
            e.failed.name()
        );
    }
    for e in ENTRIES {
        section(&mut out, e);
    }
    out
}

fn section(out: &mut String, e: &Entry) {
    let who = match e.failed {
        Party::Visitor => "The visitor's request",
        Party::Edge => "The edge",
        Party::Origin => "The origin",
    };
    let _ = write!(
        out,
        "\n## {}\n\n**{}** (`{}`, HTTP status {}). {who} is what failed.\n\n{}\n\n- Visitors: {}\n",
        e.code, e.title, e.name, e.status, e.happened, e.visitor
    );
    for line in e.owner {
        let _ = writeln!(out, "- Owners: {line}");
    }
}
