//! Heads, framing and the HTTP/1 codec, without I/O.
//!
//! One head type serves HTTP/1 and HTTP/2, so every stage sees one thing. One module, [`framing`], decides where a
//! message ends; nothing else in Seawall does.

pub mod authority;
pub mod fault;
pub mod fields;
pub mod framing;
pub mod h1;
pub mod head;
pub mod hop;
pub mod known;
mod view;

pub use fault::Fault;
pub use fields::Fields;
pub use framing::BodyLength;
pub use head::{Method, RequestHead, ResponseHead, Version};
pub use known::Known;
pub use view::View;
