//! The HTTP/1 codec, without I/O (RFC 9112).

pub mod chunked;
pub mod encode;
pub mod parse;

pub use chunked::{ChunkedDecoder, Piece};
pub use parse::{Limits, ParsedRequest, ParsedResponse, parse_request, parse_response};
