//! Content coding (RFC 9110 §8.4): which coding a client gets, what changes in the head, and the encoders.
//!
//! Nothing here waits, reads a clock or touches a socket. The way of a response through this crate:
//!
//! 1. [`eligible()`]: may this response be encoded at all? If so it varies by `Accept-Encoding` ([`add_vary`]), even when
//!    this client gets it as it is.
//! 2. [`negotiate()`]: which coding does the client want most, and among equals which do we? [`choose`] does both.
//! 3. [`apply_headers`]: the head of the encoded response.
//! 4. [`Encoder`] for a body on its way through, taken from a [`Pool`]; [`compress_whole`] for one that will be kept.
//!
//! When to flush: an encoder holds bytes back until it has enough of them to be worth a block. Whoever feeds it calls
//! [`Encoder::flush`] when the origin has nothing more to give at the moment, and after every chunk when
//! [`flushes_each_chunk`] says so; then a page that is sent in pieces arrives in pieces.

mod eligible;
mod encoder;
mod head;
mod negotiate;
mod pool;

pub use eligible::{LISTED_TYPES, MORE_TYPES, choose, eligible, flushes_each_chunk};
pub use encoder::{EncodeError, Encoder, WHOLE_MAX_BYTES, compress_whole};
pub use head::{add_vary, apply_headers};
pub use negotiate::negotiate;
pub use pool::{POOL_MAX_IDLE, Pool};

/// A content coding the edge can produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    /// `gzip` (RFC 1952), understood by everything.
    Gzip,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
}

impl Coding {
    /// Every coding, in the order preferred for bodies encoded on their way through, when a client likes several equally.
    ///
    /// Measured on real pages, scripts and style sheets of 10 to 100 KB (`examples/cost.rs`): zstd 3 from a pool costs
    /// 1–2.4 ns a byte, gzip 5 5–6 and Brotli 4 8–12, all within two percent of the size of the body from each other.
    /// So zstd leads, and Brotli on the way is for those who read nothing else.
    pub const DYNAMIC: &'static [Coding] = &[Coding::Zstd, Coding::Gzip, Coding::Brotli];

    /// Every coding, in the order preferred for bodies encoded once and served many times ([`compress_whole`]): smallest
    /// first. On the same files Brotli comes out 5–8 % smaller than the other two.
    pub const STATIC: &'static [Coding] = &[Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// What long-lived streams get: their encoders stay for hours, so memory counts (gzip holds 0.3 MiB, zstd 1.4).
    pub const STREAM: &'static [Coding] = &[Coding::Gzip];

    /// The name in `Content-Encoding` and `Accept-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// Recognises a name without regard to case, `x-gzip` included (RFC 9110 §8.4.1.3).
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Coding> {
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"br") => Some(Coding::Brotli),
            4 if name.eq_ignore_ascii_case(b"gzip") => Some(Coding::Gzip),
            4 if name.eq_ignore_ascii_case(b"zstd") => Some(Coding::Zstd),
            6 if name.eq_ignore_ascii_case(b"x-gzip") => Some(Coding::Gzip),
            _ => None,
        }
    }

    /// Shortest body worth encoding, in bytes (Cloudflare, "Content compression": 48 for gzip, 50 for the others).
    #[must_use]
    pub const fn min_body_bytes(self) -> u64 {
        match self {
            Coding::Gzip => 48,
            Coding::Brotli | Coding::Zstd => 50,
        }
    }
}
