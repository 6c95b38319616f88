//! What a supervised child and its supervisor tell each other, over a socket pair.
//!
//! One message a line, words separated by spaces. The two ends may be of different versions (that is what an upgrade
//! is), so unknown messages and surplus words are ignored.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Longest line in bytes; more means that the other end is not speaking this protocol.
const LINE_MAX: usize = 1024;
/// Most bytes read in one turn, so that a child that floods its channel cannot keep the supervisor busy.
const TURN_MAX: usize = 16 * 1024;
/// Version of the state a supervisor hands to the next program at an upgrade (see `supervisor::resume`).
pub const RESUME_FORMAT: u32 = 1;

/// From the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It serves. Its program understands this resume format and has this version.
    Ready { resume: u32, version: String },
    /// It is alive; its slowest worker was last seen `age_ms` ago.
    Alive { age_ms: u64 },
    /// It stops accepting and finishes what it has.
    Draining,
    /// A file it watches has changed.
    Changed,
    /// It runs these snapshots, 0 for none: the one that serves and the one on trial beside it.
    Runs { current: u64, candidate: u64 },
    /// So many of its workers are stuck now; stand-ins serve for them. It is worth replacing, in good order.
    Stuck { workers: u64 },
}

/// From the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Load the configuration beside and swap.
    Reload,
    /// Finish and go, within this time if it is shorter than what the configuration gives.
    Drain { limit_ms: Option<u64> },
    /// Close the access log and open it again.
    Reopen,
    /// A new configuration could not be used, for a reason outside the edge: count it.
    Refused,
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready { resume, version } => write!(f, "READY {resume} {version}"),
            Self::Alive { age_ms } => write!(f, "ALIVE {age_ms}"),
            Self::Draining => f.write_str("DRAINING"),
            Self::Changed => f.write_str("CHANGED"),
            Self::Runs { current, candidate } => write!(f, "RUNS {current} {candidate}"),
            Self::Stuck { workers } => write!(f, "STUCK {workers}"),
        }
    }
}

impl Word {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(match words.next()? {
            "READY" => Self::Ready {
                resume: words.next().and_then(|n| n.parse().ok()).unwrap_or(0),
                version: words.next().unwrap_or("unknown").to_owned(),
            },
            "ALIVE" => Self::Alive { age_ms: words.next()?.parse().ok()? },
            "DRAINING" => Self::Draining,
            "CHANGED" => Self::Changed,
            "RUNS" => Self::Runs {
                current: words.next()?.parse().ok()?,
                candidate: words.next().and_then(|n| n.parse().ok()).unwrap_or(0),
            },
            "STUCK" => Self::Stuck { workers: words.next()?.parse().ok()? },
            _ => return None,
        })
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reload => f.write_str("RELOAD"),
            Self::Drain { limit_ms: None } => f.write_str("DRAIN"),
            Self::Drain { limit_ms: Some(limit_ms) } => write!(f, "DRAIN {limit_ms}"),
            Self::Reopen => f.write_str("REOPEN"),
            Self::Refused => f.write_str("REFUSED"),
        }
    }
}

impl Order {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        match words.next()? {
            "RELOAD" => Some(Self::Reload),
            "DRAIN" => Some(Self::Drain { limit_ms: words.next().and_then(|n| n.parse().ok()) }),
            "REOPEN" => Some(Self::Reopen),
            "REFUSED" => Some(Self::Refused),
            _ => None,
        }
    }
}

/// One end. Never blocks, in either direction.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    partial: Vec<u8>,
    ended: bool,
}

impl Channel {
    /// Two ends.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = UnixStream::pair()?;
        Ok((Self::new(a)?, Self::new(b)?))
    }

    /// An end that was handed over.
    ///
    /// # Errors
    /// What the kernel says about nonblocking mode.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, partial: Vec::new(), ended: false })
    }

    /// Sends one message. A peer that is gone or does not read loses it: the supervisor notices a dead child by
    /// other means, and a child must not wait for a stopped supervisor.
    pub fn send(&mut self, message: &impl std::fmt::Display) {
        let line = format!("{message}\n");
        let _ = self.stream.write(line.as_bytes()); // 1 KiB into a socket buffer of 200: whole or not at all
    }

    /// What the child said since the last call.
    pub fn words(&mut self) -> Vec<Word> {
        self.lines().iter().filter_map(|line| Word::parse(line)).collect()
    }

    /// What the supervisor ordered since the last call.
    pub fn orders(&mut self) -> Vec<Order> {
        self.lines().iter().filter_map(|line| Order::parse(line)).collect()
    }

    /// The other end is closed, or talks nonsense.
    pub fn ended(&self) -> bool {
        self.ended
    }

    fn lines(&mut self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let mut total = 0;
        while total < TURN_MAX && !self.ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    total += n;
                    self.partial.extend(buffer.iter().take(n));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.ended = true,
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if self.partial.len() > LINE_MAX {
            self.partial.clear();
            self.ended = true;
        }
        lines
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (mut supervisor, mut child) = Channel::pair().unwrap();
        let said = [
            Word::Ready { resume: 1, version: "0.1.0".to_owned() },
            Word::Alive { age_ms: 12 },
            Word::Draining,
            Word::Changed,
            Word::Runs { current: 7, candidate: 8 },
            Word::Stuck { workers: 2 },
        ];
        for word in &said {
            child.send(word);
        }
        assert_eq!(supervisor.words(), said);
        let orders = [
            Order::Reload,
            Order::Drain { limit_ms: None },
            Order::Drain { limit_ms: Some(10_000) },
            Order::Reopen,
            Order::Refused,
        ];
        for order in &orders {
            supervisor.send(order);
        }
        assert_eq!(child.orders(), orders);
    }

    #[test]
    fn unknown_and_broken_messages_are_ignored_and_more_words_do_no_harm() {
        let (mut supervisor, mut child) = Channel::pair().unwrap();
        for line in ["HELLO", "ALIVE", "ALIVE x", "RUNS", "STUCK", "", "ALIVE 5 more words", "READY"] {
            child.send(&line);
        }
        assert_eq!(
            supervisor.words(),
            [Word::Alive { age_ms: 5 }, Word::Ready { resume: 0, version: "unknown".to_owned() }]
        );
    }

    #[test]
    fn a_closed_or_babbling_end_is_noticed() {
        let (mut supervisor, child) = Channel::pair().unwrap();
        drop(child);
        assert!(supervisor.words().is_empty() && supervisor.ended());
        let (mut supervisor, mut child) = Channel::pair().unwrap();
        child.send(&"x".repeat(3 * LINE_MAX).as_str());
        supervisor.words();
        assert!(!supervisor.ended(), "a long line that ends is only an unknown message");
        let _ = child.stream.write(&[b'x'; 2 * LINE_MAX]);
        supervisor.words();
        assert!(supervisor.ended());
    }
}
