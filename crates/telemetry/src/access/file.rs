//! The file behind the access log: appended to, rotated by size, opened again when it was moved.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Most rotated files kept; each rotation renames them all.
pub const MAX_KEEP: u32 = 99;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file, made with mode 0640 in a folder made if missing.
    File {
        /// Its path; rotated files are `path.1` (newest) to `path.KEEP`.
        path: PathBuf,
        /// Rotate before the file grows beyond this many bytes; 0 never rotates (logrotate does).
        rotate_bytes: u64,
        /// Rotated files kept, at most [`MAX_KEEP`]; 0 keeps none.
        keep: u32,
    },
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// An output being written to.
#[derive(Debug)]
pub(crate) struct Target {
    output: Output,
    file: Option<Open>,
    /// A line was cut by a failed write and could not be taken back; the next write begins with a newline.
    torn: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    device: u64,
    inode: u64,
    /// A regular file. Pipes and devices are neither rotated nor cut: `/dev/null` is to stay where it is.
    regular: bool,
}

impl Target {
    pub(crate) fn new(output: Output) -> Self {
        Target { output, file: None, torn: false }
    }

    /// Where this writes, for messages.
    pub(crate) fn name(&self) -> String {
        match &self.output {
            Output::File { path, .. } => path.display().to_string(),
            Output::Stdout => "standard output".to_owned(),
            Output::Stderr => "standard error".to_owned(),
        }
    }

    /// Closes the file, so that the next write opens the path anew.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Opens the file if it is not open, so that a missing folder or right shows before the first record.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        let Output::File { path, .. } = &self.output else { return Ok(()) };
        if self.file.is_none() {
            self.file = Some(open(path)?);
        }
        Ok(())
    }

    /// Closes the file if its path now leads elsewhere: someone moved or removed it without telling us.
    pub(crate) fn notice_move(&mut self) {
        let (Output::File { path, .. }, Some(open)) = (&self.output, &self.file) else { return };
        let same = fs::metadata(path).is_ok_and(|m| m.dev() == open.device && m.ino() == open.inode);
        if !same {
            self.file = None;
        }
    }

    /// Whether this many bytes more would pass the size to rotate at.
    pub(crate) fn is_full_for(&self, more: usize) -> bool {
        match (&self.output, &self.file) {
            (Output::File { rotate_bytes, .. }, Some(open)) => {
                *rotate_bytes > 0
                    && open.regular
                    && open.bytes > 0
                    && open.bytes.saturating_add(more as u64) > *rotate_bytes
            }
            _ => false,
        }
    }

    /// Moves `path` to `path.1`, `path.1` to `path.2` and so on, dropping the oldest. The next write opens a new file.
    /// On failure the open file is kept and written on.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        let Output::File { path, keep, .. } = &self.output else { return Ok(()) };
        let keep = (*keep).min(MAX_KEEP);
        if keep == 0 {
            fs::remove_file(path)?;
        }
        for age in (1..=keep).rev() {
            let from = if age == 1 { path.clone() } else { aged(path, age - 1) };
            match fs::rename(&from, aged(path, age)) {
                Err(e) if age > 1 && e.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        self.file = None;
        Ok(())
    }

    /// Appends whole lines. If the disk fills up midway, the part written is taken back where that is possible.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.open()?;
        if self.torn {
            self.write_through(b"\n").0?;
            self.torn = false;
        }
        let (result, written) = self.write_through(lines);
        if result.is_err() {
            if written > 0 {
                self.torn = !self.take_back(written);
            }
            // A file that failed once is opened anew: the disk may be mounted again, the folder made again.
            self.file = None;
        }
        result
    }

    fn write_through(&mut self, bytes: &[u8]) -> (io::Result<()>, u64) {
        match (&self.output, &mut self.file) {
            (Output::File { .. }, Some(open)) => {
                let outcome = write_counted(&mut open.file, bytes);
                open.bytes = open.bytes.saturating_add(outcome.1);
                outcome
            }
            (Output::File { .. }, None) => (Err(io::ErrorKind::NotFound.into()), 0),
            (Output::Stdout, _) => {
                let mut out = io::stdout().lock();
                let (result, written) = write_counted(&mut out, bytes);
                (result.and_then(|()| out.flush()), written)
            }
            (Output::Stderr, _) => write_counted(&mut io::stderr().lock(), bytes),
        }
    }

    fn take_back(&mut self, written: u64) -> bool {
        let Some(open) = &mut self.file else { return false };
        let length = open.bytes.saturating_sub(written);
        // Another process may append to the same file while it takes over from us; its lines must stay.
        let ours_alone = open.regular && open.file.metadata().is_ok_and(|m| m.len() == open.bytes);
        ours_alone && open.file.set_len(length).is_ok()
    }
}

fn open(path: &Path) -> io::Result<Open> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let found = file.metadata()?;
    Ok(Open { bytes: found.len(), device: found.dev(), inode: found.ino(), regular: found.is_file(), file })
}

fn aged(path: &Path, age: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

fn write_counted(to: &mut impl Write, mut bytes: &[u8]) -> (io::Result<()>, u64) {
    let mut written = 0;
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), written),
            Ok(n) => {
                written += n as u64;
                bytes = bytes.get(n..).unwrap_or_default();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (Err(e), written),
        }
    }
    (Ok(()), written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn rotation_keeps_the_number_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/access.log");
        let mut target = Target::new(Output::File { path: path.clone(), rotate_bytes: 10, keep: 2 });
        for line in ["one\n", "two\n", "three\n", "four4\n", "five5\n", "six666\n"] {
            if target.is_full_for(line.len()) {
                target.rotate().unwrap();
            }
            target.write(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "six666\n");
        assert_eq!(read(&aged(&path, 1)), "five5\n");
        assert_eq!(read(&aged(&path, 2)), "four4\n");
        assert!(!aged(&path, 3).exists());
    }

    #[test]
    fn keeping_none_starts_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut target = Target::new(Output::File { path: path.clone(), rotate_bytes: 4, keep: 0 });
        target.write(b"one\n").unwrap();
        assert!(target.is_full_for(1));
        target.rotate().unwrap();
        target.write(b"two\n").unwrap();
        assert_eq!(read(&path), "two\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_moved_by_someone_else_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut target = Target::new(Output::File { path: path.clone(), rotate_bytes: 0, keep: 0 });
        target.write(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        target.notice_move();
        target.write(b"two\n").unwrap();
        assert_eq!((read(&folder.path().join("moved")), read(&path)), ("one\n".into(), "two\n".into()));
    }

    #[test]
    fn a_file_from_before_is_appended_to_and_counts_for_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "12345678\n").unwrap();
        let mut target = Target::new(Output::File { path: path.clone(), rotate_bytes: 10, keep: 1 });
        target.open().unwrap();
        assert!(target.is_full_for(4));
        target.rotate().unwrap();
        target.write(b"new\n").unwrap();
        assert_eq!((read(&path), read(&aged(&path, 1))), ("new\n".into(), "12345678\n".into()));
    }

    #[test]
    fn a_device_is_never_moved_away() {
        let mut target = Target::new(Output::File { path: "/dev/null".into(), rotate_bytes: 1, keep: 1 });
        target.write(b"one\n").unwrap();
        assert!(!target.is_full_for(10));
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_the_end() {
        let mut target = Target::new(Output::File { path: "/dev/full".into(), rotate_bytes: 0, keep: 0 });
        assert_eq!(target.write(b"x\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(target.write(b"x\n").is_err());
    }
}
