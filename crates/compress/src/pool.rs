//! Encoders kept for the next body.

use crate::{Coding, EncodeError, Encoder};

/// Most idle encoders of one coding kept by one pool: at 1.4 MiB for zstd and 0.3 for gzip, 14 MiB at worst.
pub const POOL_MAX_IDLE: usize = 8;

/// Idle encoders of one worker.
///
/// Setting up an encoder means clearing hundreds of KiB; resetting one does not. Brotli's cannot be reset, so those
/// are made anew each time.
#[derive(Debug, Default)]
pub struct Pool {
    gzip: Vec<Encoder>,
    zstd: Vec<Encoder>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An encoder for one body, idle or new.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn take(&mut self, coding: Coding) -> Result<Encoder, EncodeError> {
        match self.idle(coding).and_then(Vec::pop) {
            Some(encoder) => Ok(encoder),
            None => Encoder::new(coding),
        }
    }

    /// Takes an encoder back, finished or broken off; drops it when enough are idle.
    pub fn put(&mut self, mut encoder: Encoder) {
        if let Some(idle) = self.idle(encoder.coding())
            && idle.len() < POOL_MAX_IDLE
            && encoder.reset()
        {
            idle.push(encoder);
        }
    }

    fn idle(&mut self, coding: Coding) -> Option<&mut Vec<Encoder>> {
        match coding {
            Coding::Gzip => Some(&mut self.gzip),
            Coding::Zstd => Some(&mut self.zstd),
            Coding::Brotli => None,
        }
    }
}
