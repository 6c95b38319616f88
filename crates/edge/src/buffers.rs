//! Buffers a worker lends to connections while they are busy: an idle connection holds none.

use bytes::BytesMut;
use seawall_net::body::READ_SMALL;
use std::cell::RefCell;

/// Most buffers kept for later, in number.
const KEPT: usize = 256;
/// Largest buffer kept, in bytes; larger ones go back to the allocator.
const KEPT_BYTES: usize = 256 * 1024;

/// A worker's free buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    read: RefCell<Vec<BytesMut>>,
    write: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room for a usual read.
    pub(crate) fn read(&self) -> BytesMut {
        let mut buf = self.read.borrow_mut().pop().unwrap_or_default();
        buf.reserve(READ_SMALL);
        buf
    }

    /// Takes a read buffer back.
    pub(crate) fn give_read(&self, mut buf: BytesMut) {
        buf.clear();
        // A buffer that a piece still points into would be allocated anew, so it is not worth keeping.
        if buf.try_reclaim(READ_SMALL) && buf.capacity() <= KEPT_BYTES && self.read.borrow().len() < KEPT {
            self.read.borrow_mut().push(buf);
        }
    }

    /// An empty buffer to compose in.
    pub(crate) fn write(&self) -> Vec<u8> {
        self.write.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    /// Takes a compose buffer back.
    pub(crate) fn give_write(&self, mut buf: Vec<u8>) {
        buf.clear();
        if buf.capacity() <= KEPT_BYTES && self.write.borrow().len() < KEPT {
            self.write.borrow_mut().push(buf);
        }
    }
}
