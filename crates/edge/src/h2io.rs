//! The bytes of an HTTP/2 connection, between the `h2` crate and the socket: floods are looked for on the way in, and
//! frames gather on the way out.

use crate::floods::Floods;
use crate::worker::Worker;
use seawall_net::io::Io;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes gathered before they are written whatever happens: about four TLS records.
const GATHER: usize = 64 * 1024;

/// A connection's bytes, which the `h2` crate and the connection's task both hold.
pub(crate) struct Shared {
    pub io: Io,
    pub flooded: Cell<bool>,
    floods: RefCell<Floods>,
    /// Frames not yet written. The `h2` crate flushes after each turn, which would be a system call and a TLS record for
    /// each of many responses that are ready together: while this is held it only thinks so.
    held: Cell<bool>,
    out: RefCell<Out>,
    w: Rc<Worker>,
}

#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    /// How much of it has gone.
    gone: usize,
}

impl Shared {
    pub(crate) fn new(io: Io, w: &Rc<Worker>) -> Rc<Shared> {
        Rc::new(Shared {
            io,
            flooded: Cell::new(false),
            floods: RefCell::new(Floods::new(w.timers.now_ms())),
            held: Cell::new(false),
            out: RefCell::default(),
            w: w.clone(),
        })
    }

    /// Says whether flushes wait. Whoever holds them drains before it waits for anything.
    pub(crate) fn hold(&self, held: bool) {
        self.held.set(held);
    }

    /// Writes what has gathered.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Out { bytes, gone } = &mut *self.out.borrow_mut();
        while let Some(rest) = bytes.get(*gone..).filter(|r| !r.is_empty()) {
            match ready!(self.io.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => {
                    *gone += n;
                    self.floods.borrow_mut().wrote(n);
                }
            }
        }
        *gone = 0;
        // An idle connection holds no buffer.
        self.w.buffers.give_write(std::mem::take(bytes));
        self.io.poll_flush(cx)
    }

    /// Makes room for more.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.borrow().bytes.len() >= GATHER {
            ready!(self.poll_drain(cx))?;
        }
        let bytes = &mut self.out.borrow_mut().bytes;
        if bytes.capacity() == 0 {
            *bytes = self.w.buffers.write();
        }
        Poll::Ready(Ok(()))
    }
}

/// What the `h2` crate reads and writes.
pub(crate) struct SharedIo(pub Rc<Shared>);

impl AsyncRead for SharedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Shared { io, floods, flooded, w, .. } = &*self.0;
        let before = buf.filled().len();
        let read = io.poll_read(cx, buf);
        let new = buf.filled().get(before..).unwrap_or(&[]);
        if flooded.get() || !(new.is_empty() || floods.borrow_mut().read(new, w.timers.now_ms())) {
            // Nothing more is taken in; the connection's task sees why.
            flooded.set(true);
            buf.set_filled(before);
            return Poll::Pending;
        }
        read
    }
}

impl AsyncWrite for SharedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.0.poll_room(cx))?;
        self.0.out.borrow_mut().bytes.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.0.poll_room(cx))?;
        let bytes = &mut self.0.out.borrow_mut().bytes;
        slices.iter().for_each(|s| bytes.extend_from_slice(s));
        Poll::Ready(Ok(slices.iter().map(|s| s.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.held.get() { Poll::Ready(Ok(())) } else { self.0.poll_drain(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_drain(cx))?;
        self.0.io.poll_shutdown(cx)
    }
}
