//! What can be wrong with a message, and the status that says so.

use thiserror::Error;

/// A fault of framing or syntax. In a request it is the client's, in a response the origin's; never retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// A line ended in LF without CR (RFC 9112 §2.2 allows refusing it).
    #[error("a line ends in LF without CR")]
    BareLineFeed,
    /// The start line is not one.
    #[error("the start line is malformed")]
    StartLine,
    /// The request target fits none of the forms of RFC 9112 §3.2, or holds a fragment.
    #[error("the request target is malformed")]
    Target,
    /// The request target is longer than allowed.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// A field name is empty, has a character outside tokens, is folded, or is followed by a space.
    #[error("a field name is malformed")]
    FieldName,
    /// A field value has a control character.
    #[error("a field value has a forbidden character")]
    FieldValue,
    /// More fields than allowed.
    #[error("too many fields")]
    TooManyFields,
    /// The head is larger than allowed.
    #[error("the head is too large")]
    HeadTooLarge,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    #[error("Host is missing")]
    HostMissing,
    /// More than one Host.
    #[error("Host is given more than once")]
    HostRepeated,
    /// Host is not a name or address with an optional port.
    #[error("Host is malformed")]
    Host,
    /// The absolute form of the target and Host name different hosts.
    #[error("the request target and Host disagree")]
    HostDisagrees,
    /// Content-Length together with Transfer-Encoding (RFC 9112 §6.1): the mark of request smuggling.
    #[error("Content-Length and Transfer-Encoding are both given")]
    LengthAndCoding,
    /// Content-Length is not a plain number below 2^63.
    #[error("Content-Length is malformed")]
    Length,
    /// Content-Length is given more than once.
    #[error("Content-Length is given more than once")]
    LengthRepeated,
    /// Transfer-Encoding is malformed, repeated, or sent by HTTP/1.0.
    #[error("Transfer-Encoding is malformed")]
    Coding,
    /// A transfer coding other than chunked.
    #[error("a transfer coding other than chunked is not supported")]
    CodingUnknown,
    /// A chunk's size line or its end is malformed.
    #[error("a chunk is malformed")]
    Chunk,
    /// The trailer section is malformed or too large.
    #[error("the trailer section is malformed or too large")]
    Trailer,
    /// Expect asks for something other than 100-continue.
    #[error("the expectation cannot be met")]
    Expectation,
    /// CONNECT and the like.
    #[error("the method is not supported")]
    Method,
    /// The status code is not between 100 and 599.
    #[error("the status code is malformed")]
    Status,
}

impl Fault {
    /// The status a client is answered with when the fault is in its request.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Fault::TargetTooLong => 414,
            Fault::Expectation => 417,
            Fault::TooManyFields | Fault::HeadTooLarge => 431,
            Fault::Method | Fault::CodingUnknown => 501,
            Fault::Version => 505,
            _ => 400,
        }
    }
}
