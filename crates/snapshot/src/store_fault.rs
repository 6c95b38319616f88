//! What goes wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::history::Undeletable;
use crate::unit::LimitFault;

/// Why the store did not do what was asked. Whatever it is, what was there before is there still.
#[derive(Debug, Error)]
pub enum StoreFault {
    /// The disk refused. Whether a retry may help depends on it.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process holds the lock for too long. A retry may help.
    #[error("another process works on {} and does not get done", .0.display())]
    Busy(PathBuf),
    /// There is no such snapshot.
    #[error("there is no snapshot {0}")]
    NoSuch(u64),
    /// A snapshot that cannot be used as it is on the disk. Others can.
    #[error("snapshot {number} cannot be used: {what}")]
    Damaged {
        /// Its number.
        number: u64,
        /// What is wrong.
        what: String,
    },
    /// A snapshot without units, or without a zone where there were zones.
    #[error("a snapshot of nothing is refused: it would end everything that is served")]
    Empty,
    /// Made from a snapshot that is not the newest any more: somebody else was faster.
    #[error(
        "made from snapshot {base}, but the newest is {}: make the change anew from that one",
        head.map_or_else(|| "none".to_owned(), |head| head.to_string())
    )]
    StaleBase {
        /// What it was made from.
        base: u64,
        /// What it would have had to be made from.
        head: Option<u64>,
    },
    /// A unit beyond a limit.
    #[error(transparent)]
    Limit(#[from] LimitFault),
    /// The content was found to break the edge.
    #[error(
        "this content is that of snapshot {number}, which is quarantined: {reason}; delete that snapshot to have it tried again"
    )]
    Quarantined {
        /// The number it had.
        number: u64,
        /// Why.
        reason: String,
    },
    /// A snapshot that is needed.
    #[error("not deleted: {0}")]
    Needed(#[from] Undeletable),
    /// There is no snapshot an edge could start with. Each that was tried is listed with what was wrong.
    #[error("there is no snapshot to start with{}", listed(.0))]
    Nothing(Vec<(u64, String)>),
}

impl StoreFault {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| StoreFault::Io { what, path: path.to_owned(), error }
    }

    /// Whether the disk has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, StoreFault::Io { error, .. } if is_full(error))
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn listed(tried: &[(u64, String)]) -> String {
    tried.iter().map(|(number, what)| format!("; {number}: {what}")).collect()
}
