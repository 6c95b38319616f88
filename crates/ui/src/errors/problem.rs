//! The problem document (RFC 9457).

use super::{Entry, ErrorFacts};
use crate::text::Utc;
use serde::Serialize;

/// Member names after the first five are those Cloudflare uses in its own problem documents, so that clients written for
/// one read the other; only `cloudflare_error` is `seawall_error`.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    error_code: u16,
    error_name: &'a str,
    error_category: &'a str,
    ray_id: &'a str,
    timestamp: String,
    zone: &'a str,
    client_ip: &'a str,
    node: &'a str,
    seawall_error: bool,
    failed: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    owner_action_required: bool,
    what_you_should_do: &'a str,
    what_the_owner_should_do: &'a [&'a str],
}

pub(super) fn document(entry: &Entry, facts: &ErrorFacts<'_>, retry_after: Option<u32>) -> String {
    let detail = match facts.detail {
        "" => entry.happened.to_owned(),
        detail => format!("{} Detail: {detail}", entry.happened),
    };
    let problem = Problem {
        r#type: format!("urn:seawall:error:{}", entry.code),
        title: format!("Error {}: {}", entry.code, entry.title),
        status: entry.status,
        detail,
        instance: facts.ray,
        error_code: entry.code,
        error_name: entry.name,
        error_category: entry.category(),
        ray_id: facts.ray,
        timestamp: Utc::of(facts.now).rfc3339(),
        zone: facts.host,
        client_ip: facts.client_ip,
        node: facts.node,
        seawall_error: true,
        failed: entry.failed.name(),
        retryable: entry.retryable,
        retry_after,
        owner_action_required: entry.owner_action,
        what_you_should_do: entry.visitor,
        what_the_owner_should_do: entry.owner,
    };
    // Only a map with odd keys or a failing writer can fail here, and there is neither.
    serde_json::to_string(&problem).unwrap_or_default()
}
