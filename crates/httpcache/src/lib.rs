//! HTTP caching for a shared cache as a pure state machine: RFC 9111, with RFC 5861 (stale windows), RFC 9211
//! (Cache-Status) and RFC 9213 (targeted fields). No I/O, no clock, no lock; time comes in as unix milliseconds.
//!
//! The way of a request:
//!
//! 1. [`RequestFacts::of`] reads the request once; [`RequestFacts::admit`] says whether the cache takes part.
//! 2. [`KeyMaker::key`] makes the primary key. What is stored under it is a response, or the [`VarySpec`] that leads on
//!    to [`KeyMaker::variant`].
//! 3. [`decide`] tells whether the stored response answers now, and [`answer()`] in what form (whole, 304, 206, 416).
//! 4. Else the origin is asked: [`validation()`] or [`for_whole`] shapes the request; [`store`] judges a new response,
//!    [`freshen`] a 304, [`on_failure`] an error, [`invalidated`] names what an unsafe request made invalid.
//!
//! What the caller must add: strip hop-by-hop fields from what it forwards, write Age on everything served from the
//! cache, discard bodies that end early (§3.3), and drop *all* variants of a target that is invalidated (a variant's key
//! outlives the [`VarySpec`] that led to it). `examples/proxy.rs` puts the pieces together.
//!
//! # Conformance
//!
//! The npm suite `http-cache-tests` 0.4.5 through `examples/proxy.rs` (with `heuristic`): 159 of 165 required cases, 86
//! of 95 optimal ones; through the edge itself (`tests/http-cache-tests/run`, without `heuristic`) 158 and 77, the
//! seventh being a response whose framing is in doubt. The six, and why:
//!
//! - `stale-close-{must-revalidate,proxy-revalidate,no-cache,s-maxage=2}`: the test server hangs up, stale is forbidden,
//!   so the answer is our 502 (RFC 9111 §4.2.4); the suite wants a header only its server could have written.
//! - `age-parse-prefix` expects `Age: 0,7200` to be fresh and its neighbour `age-parse-dup-0` expects `Age: 0, 0` to be
//!   stale; here every Age but one integer is stale (§4.2.1).
//! - `304-etag-update-response-ETag` sends a 304 with another strong ETag than the one asked about, which "MUST NOT"
//!   update anything (§4.3.4); it is asked for again.
//!
//! Optimal ones left: stored POST and partial responses are not kept (§3, §3.3 "may"); languages keep their order and
//! are not chosen by weight (RFC 9110 §12.5.4); If-Modified-Since older than Date is answered whole (§4.3.2).
//!
//! Everything a hit needs is in [`Stored`], made when the response was stored: [`decide`] parses nothing.

pub mod dates;
pub mod glob;
pub mod tags;

mod answer;
mod dictionary;
mod directives;
mod etag;
mod facts;
mod invalidation;
mod key;
mod list;
mod policy;
mod reuse;
mod status;
mod stored;
mod storing;
mod validation;
mod vary;

pub use answer::{Answer, answer, not_modified, partial, unsatisfiable};
pub use directives::{Directives, LISTED_FIELDS_MAX, MAX_SECONDS, Seconds, Source};
pub use facts::{Bypass, RequestFacts};
pub use invalidation::{REFERENCE_MAX, Request as UnsafeRequest, invalidated};
pub use key::{Key, KeyMaker, QueryRule, Target};
pub use policy::{
    Heuristic, Mode, POLICY_SECONDS_MAX, Policy, STATIC_EXTENSIONS, SetCookie, default_ttl_s, is_static,
};
pub use reuse::{Failure, Verdict, Why, decide, on_failure};
pub use status::{CacheStatus, CfStatus, DETAIL_MAX, Forward, StatusText};
pub use stored::{DecodeError, Flags, STORED_LEN, Stored};
pub use storing::{Entry, Exchange, Refusal, store};
pub use validation::{Freshened, confirms, for_whole, freshen, freshen_by_head, merge, validation};
pub use vary::{Codings, VARY_NAME_LEN_MAX, VARY_NAMES_MAX, VaryError, VarySpec};
