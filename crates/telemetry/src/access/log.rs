//! The worker's end of the access log.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::clock::SecondText;
use super::combined::write_combined;
use super::fields::{Clocks, Layout, write_json};
use super::record::Record;
use super::writer::{Batch, LogCounts};

/// Bytes a worker collects before it hands them over. One write call for about a hundred records, and small enough to
/// stay in the second-level cache of a core.
pub const HANDOVER_BYTES: usize = 64 * 1024;

/// How often a worker should call [`AccessLog::tick`], milliseconds: a quiet site's lines are seen at once by a person,
/// and five wake-ups a second cost nothing.
pub const TICK_MS: u64 = 200;

/// A buffer that grew past this is freed rather than used again, bytes.
const MAX_KEPT_BYTES: usize = 4 * HANDOVER_BYTES;

/// Formats records into a buffer of its own and hands it over in batches; made by `LogWriter::worker`.
///
/// Never blocks: if the queue is full the batch is dropped and its records are counted
/// (`seawall_access_log_dropped_total`).
#[derive(Debug)]
pub struct AccessLog {
    layout: Option<Arc<Layout>>,
    buffer: Vec<u8>,
    records: u64,
    clocks: Clocks,
    common_clock: SecondText,
    batches: Sender<Batch>,
    empties: Receiver<Vec<u8>>,
    counts: Arc<LogCounts>,
}

impl AccessLog {
    pub(crate) fn new(
        layout: Option<Arc<Layout>>,
        batches: Sender<Batch>,
        empties: Receiver<Vec<u8>>,
        counts: Arc<LogCounts>,
    ) -> Self {
        AccessLog {
            layout,
            buffer: Vec::new(),
            records: 0,
            clocks: Clocks::default(),
            common_clock: SecondText::common(),
            batches,
            empties,
            counts,
        }
    }

    /// Writes one record. No allocation once the buffer has its size, no lock, no system call.
    pub fn record(&mut self, record: &Record<'_>) {
        let Some(layout) = &self.layout else { return };
        match &layout.json {
            Some(fields) => write_json(&mut self.buffer, fields, layout, &mut self.clocks, record),
            None => write_combined(&mut self.buffer, &layout.redaction, &mut self.common_clock, record),
        }
        self.records += 1;
        if self.buffer.len() >= HANDOVER_BYTES {
            self.tick();
        }
    }

    /// Hands over what has been collected; to be called every [`TICK_MS`] and before the worker ends.
    pub fn tick(&mut self) {
        if self.records == 0 {
            return;
        }
        let next = self.empties.try_recv().unwrap_or_default();
        let bytes = std::mem::replace(&mut self.buffer, next);
        let records = std::mem::take(&mut self.records);
        match self.batches.try_send(Batch { bytes, records }) {
            Ok(()) => self.counts.note_queued(self.batches.len()),
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                self.counts.dropped(batch.records);
                // The buffer goes back to where it came from.
                self.buffer = batch.bytes;
                self.buffer.clear();
                if self.buffer.capacity() > MAX_KEPT_BYTES {
                    self.buffer = Vec::new();
                }
            }
        }
    }

    /// Whether records have been written that are not yet handed over.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.records > 0
    }

    /// Whether records are written at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.layout.is_some()
    }

    /// Uses another layout from the next record on; none turns the log off.
    pub fn set_layout(&mut self, layout: Option<Arc<Layout>>) {
        self.layout = layout;
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.tick();
    }
}

/// Readies a written buffer for use again; none if it is too large to keep.
pub(crate) fn emptied(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    bytes.clear();
    (bytes.capacity() <= MAX_KEPT_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Redaction;
    use crossbeam_channel::bounded;

    #[test]
    fn a_full_queue_drops_batches_counts_their_records_and_never_blocks() {
        let (batches, queue) = bounded(2);
        let (_returns, empties) = bounded(1);
        let counts = Arc::new(LogCounts::default());
        let layout = Arc::new(Layout::json(Redaction::default()));
        let mut log = AccessLog::new(Some(layout), batches, empties, Arc::clone(&counts));
        let record = Record { target: b"/", ..Record::default() };
        for _ in 0..5 {
            log.record(&record);
            log.record(&record);
            log.tick();
            log.tick();
        }
        assert_eq!((queue.len(), counts.lost()), (2, 6));
        assert!(!log.is_pending());
        drop(queue);
        log.record(&record);
        drop(log);
        assert_eq!(counts.lost(), 7, "a writer that is gone");
    }

    #[test]
    fn a_full_buffer_is_handed_over_without_a_tick_and_buffers_come_back() {
        let (batches, queue) = bounded(16);
        let (returns, empties) = bounded(1);
        let layout = Arc::new(Layout::combined(Redaction::default()));
        let mut log = AccessLog::new(Some(layout), batches, empties, Arc::default());
        let agent = [b'a'; 1000];
        let record = Record { user_agent: &agent, ..Record::default() };
        while queue.is_empty() {
            log.record(&record);
        }
        let batch = queue.recv().unwrap();
        assert!(batch.bytes.len() >= HANDOVER_BYTES && batch.bytes.len() < HANDOVER_BYTES + 2000);
        assert_eq!(batch.records, batch.bytes.iter().filter(|b| **b == b'\n').count() as u64);
        let capacity = batch.bytes.capacity();
        returns.send(emptied(batch.bytes).unwrap()).unwrap();
        while queue.is_empty() {
            log.record(&record);
        }
        assert_eq!(log.buffer.capacity(), capacity, "the returned buffer is the next one");
    }

    #[test]
    fn without_a_layout_nothing_is_written() {
        let (batches, queue) = bounded(1);
        let mut log = AccessLog::new(None, batches, bounded(1).1, Arc::default());
        log.record(&Record::default());
        log.tick();
        assert!(queue.is_empty() && !log.is_on());
    }
}
