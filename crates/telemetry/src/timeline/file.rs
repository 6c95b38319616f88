//! `timeline.jsonl`: appended to by every process of an installation, rotated by whichever finds it full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the file in the data folder; older ones have `.1` and `.2` after it.
pub const FILE: &str = "timeline.jsonl";

/// The file is rotated before it grows past this, bytes: about 20,000 events, weeks of an ordinary life.
pub const ROTATE_BYTES: u64 = 4 * 1024 * 1024;

/// Rotated files kept.
pub const KEEP: u32 = 2;

/// Held while files are renamed, so that two processes do not both do it.
const LOCK: &str = "timeline.lock";

/// The end of the file, for one process.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    open: Option<File>,
    rotate_bytes: u64,
    /// A line was cut by a failed write; the next begins on a line of its own.
    torn: bool,
}

impl Tail {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Tail { path: data_dir.join(FILE), open: None, rotate_bytes: ROTATE_BYTES, torn: false }
    }

    #[cfg(test)]
    pub(crate) fn rotating_at(mut self, bytes: u64) -> Self {
        self.rotate_bytes = bytes;
        self
    }

    /// Appends one line in one write.
    pub(crate) fn append(&mut self, line: &str) -> io::Result<()> {
        let bytes = self.follow_path()?;
        if bytes > 0 && bytes.saturating_add(line.len() as u64) > self.rotate_bytes {
            // Failing to rotate is no reason to lose the line; the next append tries again.
            if self.rotate().is_ok() {
                self.open = None;
            }
        }
        let file = match &mut self.open {
            Some(file) => file,
            none => none.insert(open(&self.path)?),
        };
        if self.torn {
            file.write_all(b"\n")?;
            self.torn = false;
        }
        match file.write(line.as_bytes()) {
            Ok(written) if written == line.len() => Ok(()),
            Ok(_) => {
                self.torn = true;
                Err(io::ErrorKind::StorageFull.into())
            }
            Err(error) => {
                self.open = None;
                Err(error)
            }
        }
    }

    /// Closes the file if its path leads elsewhere by now, since another process rotated. Returns the size of the file
    /// at the path.
    fn follow_path(&mut self) -> io::Result<u64> {
        let there = match fs::metadata(&self.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let ours = self.open.as_ref().and_then(|file| file.metadata().ok());
        let same = matches!((&there, &ours), (Some(a), Some(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()));
        if !same {
            self.open = None;
        }
        Ok(there.map_or(0, |there| there.len()))
    }

    fn rotate(&self) -> io::Result<()> {
        let lock = open(&self.path.with_file_name(LOCK))?;
        if lock.try_lock().is_err() {
            return Err(io::ErrorKind::WouldBlock.into()); // another process is at it
        }
        // Another may have done it between our look and the lock.
        if fs::metadata(&self.path)?.len() < self.rotate_bytes / 2 {
            return Ok(());
        }
        for age in (1..=KEEP).rev() {
            let from = aged(&self.path, age - 1);
            match fs::rename(&from, aged(&self.path, age)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }
}

/// The file of an age; 0 is the one being written.
pub(crate) fn aged(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

/// Opens for appending; made with mode 0640, as what it says is for whoever may read the logs.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: usize) -> String {
        format!("{{\"n\":{n:05}}}\n")
    }

    #[test]
    fn a_full_file_is_rotated_and_two_older_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(folder.path()).rotating_at(120);
        for n in 0..50 {
            tail.append(&line(n)).unwrap();
        }
        let path = folder.path().join(FILE);
        let texts: Vec<String> =
            (0..=KEEP).map(|age| fs::read_to_string(aged(&path, age)).unwrap()).collect();
        assert!(texts.iter().all(|t| t.len() <= 120), "{texts:?}");
        assert!(texts[0].ends_with(&line(49)));
        assert!(!aged(&path, KEEP + 1).exists());
    }

    #[test]
    fn processes_that_share_the_file_lose_no_line_to_each_others_rotation() {
        let folder = tempfile::tempdir().unwrap();
        // Three files of this size hold all lines, so that none is dropped for age.
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let dir = folder.path();
                scope.spawn(move || {
                    let mut tail = Tail::new(dir).rotating_at(6000);
                    for n in 0..200 {
                        tail.append(&line(writer * 1000 + n)).unwrap();
                    }
                });
            }
        });
        let path = folder.path().join(FILE);
        let mut all: Vec<String> = (0..=KEEP)
            .filter_map(|age| fs::read_to_string(aged(&path, age)).ok())
            .flat_map(|t| t.lines().map(|l| format!("{l}\n")).collect::<Vec<_>>())
            .collect();
        all.sort();
        let expected: Vec<String> = (0..4).flat_map(|w| (0..200).map(move |n| line(w * 1000 + n))).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_file_that_was_removed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(folder.path());
        tail.append(&line(1)).unwrap();
        fs::remove_file(folder.path().join(FILE)).unwrap();
        tail.append(&line(2)).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), line(2));
    }
}
