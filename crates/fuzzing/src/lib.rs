//! Bodies of the fuzz targets: one function each, from bytes to nothing, that panics when something is wrong.
//!
//! [`TARGETS`] is the one list. `fuzz/fuzz_targets/NAME.rs` hands libFuzzer's bytes to the function of that name;
//! `tests/replay.rs` runs every file of `fuzz/corpus/NAME` and seeded mutations of them on the stable compiler, in
//! every test run. A target checks more than "no panic": it compares with a reference written another way, with another
//! parser, or with what writing and reading again must give.
//!
//! An input that once broke something goes to the corpus under a name that says what it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a panic is how a target speaks

mod access;
mod addresses;
mod authority;
mod caching;
mod choices;
mod chunks;
mod configuration;
mod features;
mod files;
mod framing;
mod heads;
mod input;
pub mod mutate;
mod units;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of the target, its file under `fuzz/fuzz_targets` and its folder under `fuzz/corpus`.
    pub name: &'static str,
    /// What it checks.
    pub about: &'static str,
    /// The check. Panics when something is wrong.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($module:ident :: $name:ident = $about:literal),+ $(,)?) => {
        $(pub use $module::$name;)+

        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), about: $about, run: $name }),+];
    };
}

targets! {
    heads::request_head = "HTTP/1 request heads: steps, httparse's view, a sloppy reader's view, canonical form",
    heads::response_head = "HTTP/1 response heads: the same",
    chunks::chunked_body = "chunked bodies: steps, a reference decoder, encoding again",
    framing::framing = "message length from fields, against the RFC written down another way",
    authority::authority = "Host, :authority and request targets: one form, read again unchanged",
    addresses::proxy_header = "PROXY protocol v1 and v2: verdicts stand, headers written again read the same",
    addresses::client_address = "the client's address from forwarding fields: only trusted peers move it",
    configuration::configuration = "seawall.toml: every problem in place, what is left holds together",
    units::units = "units of a snapshot: what is taken is whole and has one form, what is not is told",
    caching::cache_directives = "Cache-Control and its kin, dates, tags, Accept-Encoding as variants",
    caching::cache_exchange = "storing, reusing, validating and answering from heads of any kind",
    caching::cache_records = "policy records and Vary specifications read back from disk",
    files::cache_files = "entries and purge logs of the disk tier",
    access::access_log = "access log lines: valid JSON, one line each, whatever a client sends",
    choices::accept_encoding = "content coding, against the RFC written down another way",
    choices::path_pattern = "patterns of routes and names, against a slow matcher",
    features::feature_file = "feature files: what is sound scores, what is not is refused and harms nothing",
    features::bot_score = "request heads measured and scored: in range, always the same",
}

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
