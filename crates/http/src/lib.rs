//! Heads, framing and the HTTP/1 codec, without I/O.
//!
//! One head type serves HTTP/1 and HTTP/2, so every stage sees one thing. One module, [`framing`], decides where a
//! message ends; nothing else in Seawall does.

pub mod fields;
pub mod head;
pub mod known;

pub use fields::Fields;
pub use head::{Method, RequestHead, ResponseHead, Version};
pub use known::Known;
