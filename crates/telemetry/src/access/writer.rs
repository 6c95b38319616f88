//! The thread that owns the access log's file.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased, tick};

use super::fields::Layout;
use super::file::{Output, Target};
use super::log::{AccessLog, emptied};
use crate::events::{Occasional, WARN_INTERVAL_S};

/// Batches that may wait for the writer: 16 MiB at 64 KiB each, several seconds of a slow disk under full load.
pub const QUEUE_BATCHES: usize = 256;

/// Empty buffers kept for the workers.
const MAX_EMPTIES: usize = 64;

/// Pause after each round of writing. While batches keep coming the writer is never parked, so that handing one over
/// needs no system call to wake it; a queue of this time's batches is far from full.
const PAUSE: Duration = Duration::from_millis(4);

/// Rounds of writing before orders are looked at: a fifth of a second.
const ROUNDS: u32 = 50;

/// How often the writer looks whether its file was moved.
const MOVE_CHECK: Duration = Duration::from_secs(1);

/// Wait after a failed rotation before the next try.
const ROTATE_RETRY: Duration = Duration::from_secs(60);

/// Lines of one worker on their way to the file.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u64,
}

/// What became of the records, for the metrics.
#[derive(Debug)]
pub struct LogCounts {
    queued: AtomicUsize,
    queue_warning: Occasional,
    written: AtomicU64,
    dropped: AtomicU64,
    write_errors: AtomicU64,
    rotations: AtomicU64,
}

impl Default for LogCounts {
    fn default() -> Self {
        LogCounts {
            queued: AtomicUsize::new(0),
            queue_warning: Occasional::every(WARN_INTERVAL_S),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            write_errors: AtomicU64::new(0),
            rotations: AtomicU64::new(0),
        }
    }
}

impl LogCounts {
    /// Batches waiting for the writer, of [`QUEUE_BATCHES`].
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Records written to the output.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records lost because the queue was full or the output failed.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes, openings and rotations that failed.
    #[must_use]
    pub fn write_errors(&self) -> u64 {
        self.write_errors.load(Ordering::Relaxed)
    }

    /// Files rotated.
    #[must_use]
    pub fn rotations(&self) -> u64 {
        self.rotations.load(Ordering::Relaxed)
    }

    /// Notes how many batches wait, and warns before there is room for no more (DESIGN R10).
    pub(crate) fn note_queued(&self, batches: usize) {
        self.queued.store(batches, Ordering::Relaxed);
        if batches >= QUEUE_BATCHES / 5 * 4
            && let Some(suppressed) = self.queue_warning.due()
        {
            tracing::warn!(
                batches,
                limit = QUEUE_BATCHES,
                suppressed,
                "the access log is written more slowly than requests end; records will be dropped"
            );
        }
    }

    pub(crate) fn dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Command {
    Reopen,
    Output(Output),
    Close,
}

/// The access log of the process: starts the writer thread and makes an [`AccessLog`] for each worker.
#[derive(Debug)]
pub struct LogWriter {
    batches: Sender<Batch>,
    empties: Receiver<Vec<u8>>,
    commands: Sender<Command>,
    finished: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<LogCounts>,
}

impl LogWriter {
    /// Starts the writer. An output that cannot be opened is no error: it is warned about, counted and tried again.
    ///
    /// # Errors
    /// Only if no thread can be started.
    pub fn start(output: Output) -> io::Result<Self> {
        let (batches, incoming) = bounded(QUEUE_BATCHES);
        let (outgoing, empties) = bounded(MAX_EMPTIES);
        let (commands, orders) = bounded(16);
        let (finishing, finished) = bounded(1);
        let counts = Arc::new(LogCounts::default());
        let mut desk = Desk {
            target: Target::new(output),
            empties: outgoing,
            counts: Arc::clone(&counts),
            no_rotation_until: None,
            warning: Occasional::every(WARN_INTERVAL_S),
        };
        let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            desk.run(&incoming, &orders);
            let _ = finishing.send(());
        })?;
        Ok(LogWriter { batches, empties, commands, finished, thread: Some(thread), counts })
    }

    /// The log of one worker; without a layout nothing is written until one is set.
    #[must_use]
    pub fn worker(&self, layout: Option<Arc<Layout>>) -> AccessLog {
        AccessLog::new(layout, self.batches.clone(), self.empties.clone(), Arc::clone(&self.counts))
    }

    /// Counts for the metrics.
    #[must_use]
    pub fn counts(&self) -> Arc<LogCounts> {
        Arc::clone(&self.counts)
    }

    /// Closes the file and opens its path again: for logrotate, on SIGUSR1 or SIGHUP.
    pub fn reopen(&self) {
        let _ = self.commands.try_send(Command::Reopen);
    }

    /// Goes on at another output; batches already queued go there too.
    pub fn set_output(&self, output: Output) {
        let _ = self.commands.try_send(Command::Output(output));
    }

    /// Writes what is queued and ends the thread. Workers' logs should be dropped before; what they hand over later is
    /// counted as dropped. Gives up after `patience` (standard output may block for ever). Says whether all was written.
    pub fn close(mut self, patience: Duration) -> bool {
        let _ = self.commands.send_timeout(Command::Close, patience);
        let done = self.finished.recv_timeout(patience).is_ok();
        if let Some(thread) = self.thread.take()
            && done
        {
            let _ = thread.join();
        }
        done
    }
}

/// What the thread works with.
struct Desk {
    target: Target,
    empties: Sender<Vec<u8>>,
    counts: Arc<LogCounts>,
    no_rotation_until: Option<Instant>,
    warning: Occasional,
}

impl Desk {
    fn run(&mut self, incoming: &Receiver<Batch>, orders: &Receiver<Command>) {
        let checks = tick(MOVE_CHECK);
        self.try_open();
        loop {
            select_biased! {
                recv(orders) -> order => match order {
                    Ok(Command::Reopen) => {
                        self.target.close();
                        self.try_open();
                    }
                    Ok(Command::Output(output)) => {
                        self.target = Target::new(output);
                        self.no_rotation_until = None;
                        self.try_open();
                    }
                    Ok(Command::Close) | Err(_) => break,
                },
                recv(incoming) -> batch => match batch {
                    Ok(batch) => self.write_all(batch, incoming),
                    Err(_) => break,
                },
                recv(checks) -> _ => self.target.notice_move(),
            }
        }
        for batch in incoming.try_iter() {
            self.write(batch);
        }
    }

    /// Writes batches as long as they keep coming, a round's worth at most before orders are looked at again.
    fn write_all(&mut self, first: Batch, incoming: &Receiver<Batch>) {
        self.write(first);
        for _ in 0..ROUNDS {
            std::thread::sleep(PAUSE);
            if incoming.is_empty() {
                return self.counts.note_queued(0);
            }
            for batch in incoming.try_iter().take(QUEUE_BATCHES) {
                self.write(batch);
            }
            self.counts.note_queued(incoming.len());
        }
    }

    fn write(&mut self, batch: Batch) {
        if self.target.is_full_for(batch.bytes.len())
            && self.no_rotation_until.is_none_or(|t| Instant::now() >= t)
        {
            self.rotate();
        }
        match self.target.write(&batch.bytes) {
            Ok(()) => {
                self.counts.written.fetch_add(batch.records, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.dropped(batch.records);
                self.failed("cannot write the access log", &error);
            }
        }
        if let Some(empty) = emptied(batch.bytes) {
            let _ = self.empties.try_send(empty);
        }
    }

    fn rotate(&mut self) {
        match self.target.rotate() {
            Ok(()) => {
                self.counts.rotations.fetch_add(1, Ordering::Relaxed);
                self.no_rotation_until = None;
            }
            Err(error) => {
                self.no_rotation_until = Instant::now().checked_add(ROTATE_RETRY);
                self.failed("cannot rotate the access log; writing on", &error);
            }
        }
    }

    fn try_open(&mut self) {
        if let Err(error) = self.target.open() {
            self.failed("cannot open the access log", &error);
        }
    }

    fn failed(&self, what: &str, error: &io::Error) {
        self.counts.write_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = self.warning.due() {
            tracing::warn!(
                output = self.target.name(),
                %error,
                lost = self.counts.lost(),
                suppressed,
                "{what}"
            );
        }
    }
}
