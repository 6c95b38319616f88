//! The history on disk: read, changed and written under a lock, and rebuilt where it is damaged.
//!
//! `history.json` has two lines: the history as JSON, and the SHA-256 of that line. The version before it is kept as
//! `history.old.json`. Where neither can be read, the manifests say which snapshots there are; all of them are on trial then.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::{Disk, beside};
use crate::history::History;
use crate::manifest::Manifest;
use crate::store_fault::{StoreFault, is_full};
use crate::unit::Hash;

/// How long a lock is waited for. Whoever holds it writes a few files; a process that died holds none.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How often a lock is tried.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// Bytes kept aside, so that a history can be written on a full disk: a quarantine must not be forgotten for lack of room.
const RESERVE_BYTES: usize = 256 * 1024;

/// Takes a lock on a file of this folder; it is let go when dropped.
pub(crate) fn lock(folder: &Path, name: &str, exclusive: bool) -> Result<File, StoreFault> {
    let path = folder.join(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreFault::io("cannot lock", &path))?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        let tried = if exclusive { file.try_lock() } else { file.try_lock_shared() };
        match tried {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => return Err(StoreFault::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(StoreFault::io("cannot lock", &path)(error)),
        }
    }
}

/// The two files of a history.
pub(crate) struct Ledger<'a> {
    folder: &'a Path,
    disk: &'a Disk,
}

impl<'a> Ledger<'a> {
    pub(crate) const fn new(folder: &'a Path, disk: &'a Disk) -> Self {
        Ledger { folder, disk }
    }

    /// What is known, and whether the file itself said so. `manifests` are those on disk.
    pub(crate) fn read(&self, manifests: &[Manifest], numbers: &[u64]) -> io::Result<(History, bool)> {
        let found = parse_file(&self.path())?;
        let intact = found.is_some();
        let mut history = match found {
            Some(history) => history,
            None => parse_file(&self.old())?.unwrap_or_default(),
        };
        reconcile(&mut history, manifests, numbers);
        Ok((history, intact))
    }

    /// Writes the history. `rotate`: the file that is there is worth keeping as the old one.
    pub(crate) fn write(&self, history: &History, rotate: bool) -> io::Result<()> {
        let mut file = serde_json::to_vec(history)?;
        let sum = Hash::of(&file).to_string();
        file.extend([b"\n", sum.as_bytes(), b"\n"].concat());
        let path = self.path();
        let write = || self.disk.beside(&path, 0o640, |out| out.write_all(&file));
        match write() {
            Err(error) if is_full(&error) && self.reserve().exists() => {
                self.disk.remove(&self.reserve())?;
                write()?;
            }
            other => other?,
        }
        if rotate && path.exists() {
            // By a second name and not by renaming: whoever reads without the lock finds the file at any time.
            self.disk.remove(&self.old())?;
            fs::hard_link(&path, self.old())?;
        }
        self.disk.rename(&beside(&path), &path)?;
        self.disk.sync_folder(&path)
    }

    /// Sets room aside, if there is any.
    pub(crate) fn set_aside(&self) {
        let path = self.reserve();
        if !path.exists() {
            // Not zeros, which some file systems keep no room for.
            let line = b"Room for the history on a full disk. Seawall removes and makes this file.\n";
            let filling = line.repeat(RESERVE_BYTES / line.len());
            let _ = self.disk.replace(&path, 0o640, |out| out.write_all(&filling));
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("history.json")
    }

    fn old(&self) -> PathBuf {
        self.folder.join("history.old.json")
    }

    fn reserve(&self) -> PathBuf {
        self.folder.join("reserve")
    }
}

/// The history in a file; `None` for one that is not there or is damaged.
fn parse_file(path: &Path) -> io::Result<Option<History>> {
    let file = match fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(parse(&file))
}

fn parse(file: &[u8]) -> Option<History> {
    let text = file.strip_suffix(b"\n")?;
    let (history, sum) = text.split_at(text.iter().position(|byte| *byte == b'\n')?);
    let sum = std::str::from_utf8(sum.get(1..)?).ok()?;
    (Hash::parse(sum)? == Hash::of(history)).then(|| serde_json::from_slice(history).ok()).flatten()
}

/// Brings a history in line with the manifests that are there: a crash between the two leaves one ahead of the other.
/// `numbers` are those of all manifest files, also of those that cannot be read; they keep their entries, so that it is seen
/// what is wrong with them.
fn reconcile(history: &mut History, manifests: &[Manifest], numbers: &[u64]) {
    for manifest in manifests {
        if history.entry(manifest.number).is_none_or(|entry| entry.content != manifest.content) {
            history.record(manifest.entry());
        }
    }
    history.entries.retain(|entry| numbers.contains(&entry.number));
    history.newest_number = history.newest_number.max(numbers.iter().copied().max().unwrap_or(0));
    for pointer in [&mut history.current, &mut history.candidate] {
        *pointer = pointer.filter(|number| numbers.contains(number));
    }
}
