//! Files under `/static/`.

use super::{Ask, Body, Reply};

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "site.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../../assets/demo/site.css"),
    },
    Asset {
        name: "site.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/demo/site.js"),
    },
    Asset {
        name: "mark.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../../assets/demo/mark.svg"),
    },
];

/// The file of that name, or 304 when the client has it.
pub(super) fn reply(ask: &Ask<'_>, name: &str) -> Option<Reply> {
    let asset = ASSETS.iter().find(|a| a.name == name)?;
    let tag = format!("\"{:016x}\"", fnv1a(asset.bytes));
    let known = ask.field("if-none-match").is_some_and(|v| {
        v.split(',').map(str::trim).any(|t| t == "*" || t.strip_prefix("W/").unwrap_or(t) == tag)
    });
    let (status, body) = if known { (304, &b""[..]) } else { (200, asset.bytes) };
    let reply = Reply::new(status, asset.content_type, "public, max-age=3600", Body::Whole(body.into()));
    Some(reply.with("ETag", tag))
}

/// A digest that changes with the file (FNV-1a); nobody gains by forging it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// The address of a file, with its digest, so that a new version is asked for although the old one may still be kept.
pub(super) fn href(name: &str) -> String {
    let digest = ASSETS.iter().find(|a| a.name == name).map_or(0, |a| fnv1a(a.bytes));
    format!("/static/{name}?v={:08x}", digest as u32)
}
