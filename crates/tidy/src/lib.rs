//! Repository checks a compiler cannot make.
//!
//! Each check is a function from what is in the repository to a list of complaints, so that it can be tried on bad
//! examples beside it; `tests/tidy.rs` runs them all on the repository itself. A complaint says where, what, and what
//! to do.

pub mod document;
pub mod layers;
pub mod licence;
pub mod manifest;
pub mod proof;
pub mod repository;
pub mod source;

pub use repository::Repository;
