//! HTTP caching for a shared cache as a pure state machine: RFC 9111, with RFC 5861 (stale windows), RFC 9211
//! (Cache-Status) and RFC 9213 (targeted fields). No I/O, no clock, no lock; time comes in as unix milliseconds.
//!
//! The way of a request:
//!
//! 1. [`RequestFacts::of`] reads the request once; [`RequestFacts::admit`] says whether the cache takes part.
//! 2. [`KeyMaker::key`] makes the primary key. What is stored under it is a response, or the [`VarySpec`] that leads on
//!    to [`KeyMaker::variant`].
//! 3. [`decide`] tells whether the stored response answers now, and [`answer()`] in what form (whole, 304, 206, 416).
//! 4. Else the origin is asked: [`validation`] or [`for_whole`] shapes the request; [`store`] judges a new response,
//!    [`freshen`] a 304, [`on_failure`] an error, [`invalidated`] names what an unsafe request made invalid.
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
pub use status::{CacheStatus, CfStatus, DETAIL_MAX, Forward};
pub use stored::{DecodeError, Flags, STORED_LEN, Stored};
pub use storing::{Entry, Exchange, Refusal, store};
pub use validation::{Freshened, confirms, for_whole, freshen, freshen_by_head, merge, validation};
pub use vary::{Codings, VARY_NAME_LEN_MAX, VARY_NAMES_MAX, VaryError, VarySpec};
