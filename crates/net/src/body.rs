//! Reading the body of an HTTP/1 message, whichever side it comes from.

use crate::io::Io;
use bytes::{Bytes, BytesMut};
use seawall_http::h1::{ChunkedDecoder, Piece};
use seawall_http::{BodyLength, Fault, Fields};
use std::io;
use thiserror::Error;

/// Smallest room offered to one read: one system call then takes most heads and small bodies whole.
pub const READ_SMALL: usize = 16 * 1024;
/// Largest room offered to one read: what keeps a fast sender's system calls few.
pub const READ_LARGE: usize = 128 * 1024;

/// Why a body could not be read to its end.
#[derive(Debug, Error)]
pub enum BodyFault {
    /// The bytes are not what the framing promised.
    #[error(transparent)]
    Framing(#[from] Fault),
    /// The connection ended before the body did.
    #[error("the connection closed before the end of the body")]
    Truncated,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl BodyFault {
    /// Whether the peer was too slow.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, BodyFault::Io(e) if e.kind() == io::ErrorKind::TimedOut)
    }
}

/// Where in a body the reading stands.
#[derive(Debug, Default)]
pub enum BodyReader {
    /// At its end.
    #[default]
    Done,
    /// That many bytes are left.
    Exact(u64),
    /// Within chunks.
    Chunked(ChunkedDecoder),
    /// Until the connection closes.
    UntilClose,
}

impl BodyReader {
    /// A reader at the start of a body.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::None | BodyLength::Exact(0) => BodyReader::Done,
            BodyLength::Exact(n) => BodyReader::Exact(n),
            BodyLength::Chunked => BodyReader::Chunked(ChunkedDecoder::default()),
            BodyLength::UntilClose => BodyReader::UntilClose,
        }
    }

    /// Whether the body has ended and all of it was handed out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, BodyReader::Done) || matches!(self, BodyReader::Chunked(d) if d.is_done())
    }

    /// The trailer fields of a body that has ended.
    pub fn take_trailers(&mut self) -> Option<Box<Fields>> {
        match self {
            BodyReader::Chunked(decoder) => decoder.take_trailers(),
            _ => None,
        }
    }

    /// The next piece, if it has been read already: `Ok(None)` when the body is done or more must be read.
    ///
    /// # Errors
    /// Broken chunks.
    pub fn buffered(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, Fault> {
        match self {
            BodyReader::Done => Ok(None),
            BodyReader::Exact(left) => {
                let n = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= n as u64;
                if *left == 0 {
                    *self = BodyReader::Done;
                }
                Ok((n > 0).then(|| buf.split_to(n).freeze()))
            }
            BodyReader::UntilClose => Ok((!buf.is_empty()).then(|| buf.split().freeze())),
            BodyReader::Chunked(decoder) => loop {
                match decoder.next(buf)? {
                    Piece::Skip(n) => drop(buf.split_to(n.min(buf.len()))),
                    Piece::Data(n) => return Ok(Some(buf.split_to(n.min(buf.len())).freeze())),
                    Piece::End(n) => {
                        drop(buf.split_to(n.min(buf.len())));
                        return Ok(None);
                    }
                    Piece::Partial => return Ok(None),
                }
            },
        }
    }

    /// The next piece; `None` at the end of the body.
    ///
    /// # Errors
    /// See [`BodyFault`].
    pub async fn next(&mut self, io: &Io, buf: &mut BytesMut) -> Result<Option<Bytes>, BodyFault> {
        loop {
            if let Some(piece) = self.buffered(buf)? {
                return Ok(Some(piece));
            }
            if self.is_done() {
                return Ok(None);
            }
            buf.reserve(self.room());
            if io.read(buf).await? == 0 {
                return match self {
                    BodyReader::UntilClose => {
                        *self = BodyReader::Done;
                        Ok(None)
                    }
                    _ => Err(BodyFault::Truncated),
                };
            }
        }
    }

    fn room(&self) -> usize {
        match self {
            BodyReader::Exact(left) => {
                usize::try_from(*left).unwrap_or(READ_LARGE).clamp(READ_SMALL, READ_LARGE)
            }
            BodyReader::Chunked(decoder) => {
                usize::try_from(decoder.ahead()).unwrap_or(READ_LARGE).clamp(READ_SMALL, READ_LARGE)
            }
            BodyReader::Done | BodyReader::UntilClose => READ_LARGE / 2,
        }
    }
}
