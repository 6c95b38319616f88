//! Events of the process's own life: starts, reloads, faults. Requests are not events; they are records.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Environment variable with the filter, as `info,seawall_net=debug`.
pub const FILTER_VARIABLE: &str = "SEAWALL_LOG";

/// The usual interval between warnings of one kind, seconds.
pub const WARN_INTERVAL_S: u64 = 60;

/// Lines that may wait for standard error; more are dropped and counted.
pub const QUEUE_LINES: usize = 1024;

/// How long the end of the process waits for lines to be written, when standard error is stuck.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why events could not be set up. All are faults of the start of the program.
#[derive(Debug, Error)]
pub enum EventsError {
    /// The filter in `SEAWALL_LOG` cannot be read.
    #[error("{FILTER_VARIABLE} holds no filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Events were set up before.
    #[error("events are set up already")]
    Again(#[from] tracing_subscriber::util::TryInitError),
    /// No thread for writing.
    #[error("cannot start the thread that writes events: {0}")]
    Thread(#[from] io::Error),
}

/// Keeps the writing of events alive; when dropped, what is queued is written.
#[derive(Debug)]
#[must_use = "events are lost once this is dropped"]
pub struct Events {
    queue: Queue,
    finished: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// Sets up `tracing` for the process: to standard error, from a thread of its own, so that a stuck terminal or pipe
/// never holds a worker. `SEAWALL_LOG` chooses what is written, by default `info`.
///
/// # Errors
/// See [`EventsError`].
pub fn init(format: Format) -> Result<Events, EventsError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(text)?,
        _ => EnvFilter::new("info"),
    };
    let events = Events::to(io::stderr)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(events.queue.clone());
    match format {
        Format::Text => {
            let terminal = io::IsTerminal::is_terminal(&io::stderr());
            builder.with_ansi(terminal).with_target(false).finish().try_init()?;
        }
        Format::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(events)
}

/// Lets something through once an interval and counts what it held back.
///
/// Intervals vary by a fifth, so that many processes with one fault do not speak in chorus (DESIGN R11).
#[derive(Debug)]
pub struct Occasional {
    interval_ms: u64,
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

impl Occasional {
    /// Lets through once every so many seconds; for a `static`.
    #[must_use]
    pub const fn every(seconds: u64) -> Self {
        Occasional {
            interval_ms: seconds.saturating_mul(1000),
            next_ms: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether it is time. If so, how many were held back since the last time.
    pub fn due(&self) -> Option<u64> {
        self.due_at(running_ms())
    }

    /// The same with the time given, in milliseconds of any steady clock.
    pub fn due_at(&self, now_ms: u64) -> Option<u64> {
        let next = self.next_ms.load(Ordering::Relaxed);
        let after = now_ms.saturating_add(self.jittered(now_ms)).max(1);
        // Only one of many threads that come at once may pass.
        if now_ms < next
            || self.next_ms.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }

    fn jittered(&self, now_ms: u64) -> u64 {
        let fifth = self.interval_ms / 5;
        // Process number and time are random enough to spread warnings.
        let mixed = (u64::from(std::process::id()) ^ now_ms).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        self.interval_ms - fifth + if fifth > 0 { mixed % (2 * fifth + 1) } else { 0 }
    }
}

/// An event at most once a minute from each place in the source, with the number held back as `suppressed`.
///
/// ```
/// # let (peer, error) = ("192.0.2.1", "no route");
/// seawall_telemetry::occasionally!(WARN, peer, error, "cannot reach the origin");
/// ```
#[macro_export]
macro_rules! occasionally {
    ($level:ident, $($event:tt)+) => {{
        static HERE: $crate::events::Occasional = $crate::events::Occasional::every($crate::events::WARN_INTERVAL_S);
        if let Some(suppressed) = HERE.due() {
            $crate::__tracing::event!($crate::__tracing::Level::$level, suppressed, $($event)+);
        }
    }};
}

impl Events {
    fn to<W: Write>(output: impl Fn() -> W + Send + 'static) -> Result<Self, EventsError> {
        let (lines, incoming) = bounded::<Line>(QUEUE_LINES);
        let (finishing, finished) = bounded(1);
        let lost = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&lost);
        let thread = std::thread::Builder::new().name("events".to_owned()).spawn(move || {
            let mut reported = 0;
            for line in incoming {
                let Line::Text(text) = line else { break };
                // Standard error that cannot be written leaves nowhere to say so.
                let _ = output().write_all(&text);
                let now = told.load(Ordering::Relaxed);
                if now > reported {
                    let _ = writeln!(
                        output(),
                        "{} events were dropped: standard error is too slow",
                        now - reported
                    );
                    reported = now;
                }
            }
            let _ = finishing.send(());
        })?;
        Ok(Events { queue: Queue { lines, lost }, finished, thread: Some(thread) })
    }

    /// Events lost because standard error did not keep up.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queue.lost.load(Ordering::Relaxed)
    }

    /// The same as a shared number, for the metrics.
    #[must_use]
    pub fn lost_count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.queue.lost)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.queue.lines.send_timeout(Line::End, CLOSE_PATIENCE);
        if self.finished.recv_timeout(CLOSE_PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

enum Line {
    Text(Vec<u8>),
    End,
}

#[derive(Clone, Debug)]
struct Queue {
    lines: Sender<Line>,
    lost: Arc<AtomicU64>,
}

/// Collects one event, and queues it when dropped.
struct Pending<'q> {
    queue: &'q Queue,
    text: Vec<u8>,
}

impl<'q> MakeWriter<'q> for Queue {
    type Writer = Pending<'q>;

    fn make_writer(&'q self) -> Pending<'q> {
        Pending { queue: self, text: Vec::new() }
    }
}

impl Write for Pending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() && self.queue.lines.try_send(Line::Text(text)).is_err() {
            self.queue.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn running_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[test]
    fn only_one_in_an_interval_passes_and_the_rest_are_counted() {
        let warning = Occasional::every(10);
        assert_eq!(warning.due_at(0), Some(0));
        for now in [1, 100, 7_999] {
            assert_eq!(warning.due_at(now), None);
        }
        assert_eq!(warning.due_at(12_001), Some(3));
        assert_eq!(warning.due_at(12_002), None);
    }

    #[test]
    fn of_many_threads_one_passes() {
        let warning = Occasional::every(60);
        let passed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if warning.due_at(5).is_some() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::Relaxed), 1);
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_are_written_before_the_guard_is_gone() {
        let output = Shared::default();
        let sink = output.clone();
        let events = Events::to(move || sink.clone()).unwrap();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(events.queue.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..3 {
                crate::occasionally!(WARN, n, "told once");
            }
        });
        drop(events);
        let text = String::from_utf8(output.0.lock().clone()).unwrap();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&event["message"], &event["n"], &event["suppressed"]),
            (&"told once".into(), &0.into(), &0.into())
        );
    }

    #[test]
    fn a_stuck_output_loses_events_and_holds_nobody() {
        let output = Shared::default();
        let stuck = output.0.clone();
        let sink = output.clone();
        let held = stuck.lock();
        let events = Events::to(move || sink.clone()).unwrap();
        for _ in 0..QUEUE_LINES + 10 {
            let _ = events.queue.make_writer().write(b"line\n");
        }
        assert!(events.lost() >= 9, "{}", events.lost());
        drop(held);
        drop(events);
        assert!(String::from_utf8(output.0.lock().clone()).unwrap().contains("events were dropped"));
    }
}
