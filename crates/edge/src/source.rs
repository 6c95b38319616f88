//! Where the body of a response comes from.

use crate::live::Origin;
use crate::upstream::{H1Origin, Lease, OriginFault};
use crate::worker::Worker;
use bytes::Bytes;
use h2::RecvStream;
use seawall_http::Fields;
use seawall_net::body::BodyReader;
use seawall_net::deadline::Timer;
use std::time::Duration;

/// A response body at an origin.
pub(crate) struct Source {
    from: From,
    read: u64,
    failed: bool,
}

enum From {
    H1 { connection: Box<H1Origin>, reader: BodyReader, keep: bool },
    H2 { recv: Box<RecvStream>, timer: Timer, between: Duration, done: bool, _lease: Lease },
}

impl Source {
    pub(crate) fn h1(connection: Box<H1Origin>, reader: BodyReader, keep: bool) -> Source {
        Source { from: From::H1 { connection, reader, keep }, read: 0, failed: false }
    }

    pub(crate) fn h2(recv: RecvStream, timer: Timer, between: Duration, lease: Lease) -> Source {
        let done = recv.is_end_stream();
        let from = From::H2 { recv: Box::new(recv), timer, between, done, _lease: lease };
        Source { from, read: 0, failed: false }
    }

    /// A piece that is here already, without waiting.
    pub(crate) fn ready(&mut self) -> Result<Option<Bytes>, OriginFault> {
        let From::H1 { connection, reader, .. } = &mut self.from else { return Ok(None) };
        match reader.buffered(&mut connection.buf) {
            Ok(piece) => {
                self.read += piece.as_ref().map_or(0, |p| p.len() as u64);
                Ok(piece)
            }
            Err(fault) => {
                self.failed = true;
                Err(OriginFault::Malformed(fault))
            }
        }
    }

    /// Whether the next piece will come without waiting, as far as can be told.
    pub(crate) fn has_more(&self) -> bool {
        match &self.from {
            From::H1 { connection, reader, .. } => !connection.buf.is_empty() && !reader.is_done(),
            From::H2 { .. } => false,
        }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, OriginFault> {
        let piece = match &mut self.from {
            From::H1 { connection, reader, .. } => {
                let H1Origin { io, buf, .. } = &mut **connection;
                reader.next(io, buf).await.map_err(OriginFault::Body)
            }
            From::H2 { recv, timer, between, done, .. } => {
                let data = timer.limit(*between, recv.data()).await;
                match data {
                    None => Err(OriginFault::ResponseTimeout(*between)),
                    Some(None) => {
                        *done = true;
                        Ok(None)
                    }
                    Some(Some(Err(e))) => Err(OriginFault::H2(e)),
                    Some(Some(Ok(piece))) => {
                        // Handed on at once, so the window opens again at once.
                        let released = recv.flow_control().release_capacity(piece.len());
                        released.map(|()| Some(piece)).map_err(OriginFault::H2)
                    }
                }
            }
        };
        match &piece {
            Ok(Some(bytes)) => self.read += bytes.len() as u64,
            Ok(None) => {}
            Err(_) => self.failed = true,
        }
        piece
    }

    /// The trailer fields after the end.
    pub(crate) async fn trailers(&mut self) -> Option<Box<Fields>> {
        match &mut self.from {
            From::H1 { reader, .. } => reader.take_trailers(),
            From::H2 { recv, .. } => {
                let map = recv.trailers().await.ok()??;
                let mut fields = Fields::new();
                crate::h2map::copy(&map, &mut fields);
                fields.retain(|known, _, _| seawall_http::h1::chunked::may_trail(known));
                (!fields.is_empty()).then(|| Box::new(fields))
            }
        }
    }

    /// Whether the whole body was handed out.
    pub(crate) fn is_done(&self) -> bool {
        match &self.from {
            From::H1 { reader, .. } => reader.is_done(),
            From::H2 { done, recv, .. } => *done || recv.is_end_stream(),
        }
    }

    /// Whether the origin broke it off.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// Bytes read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Gives the connection back if it can be used again; `whole`: both messages ended well.
    pub(crate) fn give_back(self, w: &Worker, origin: &Origin, idle_for: Duration, whole: bool) {
        if let From::H1 { connection, keep, .. } = self.from
            && keep
            && whole
            && !self.failed
            && connection.buf.is_empty()
        {
            w.upstreams.give(w, origin, connection, idle_for);
        }
    }
}
