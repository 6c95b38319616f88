//! Writing so that a crash or a full disk at any byte leaves what was there before.
//!
//! A file is written beside, brought to the disk, renamed into place, and the folder brought to the disk. Tests let any of
//! these steps fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Where all writing goes through.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) failing: tests::Failing,
}

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// End of the names of files that are not finished.
pub(crate) const UNFINISHED: &str = ".tmp";

impl Disk {
    /// Writes a file whole, or leaves the one that is there.
    pub(crate) fn replace(
        &self,
        path: &Path,
        mode: u32,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.beside(path, mode, write)?;
        self.rename(&beside(path), path)?;
        self.sync_folder(path)
    }

    /// Writes the file that [`Disk::replace`] would rename, and brings it to the disk.
    pub(crate) fn beside(
        &self,
        path: &Path,
        mode: u32,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let unfinished = beside(path);
        let written = (|| {
            self.step(1)?;
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, Tap { disk: self, file: &file });
            write(&mut out)?;
            out.flush()?;
            drop(out);
            self.sync(&file)
        })();
        if written.is_err() {
            let _ = self.remove(&unfinished);
        }
        written
    }

    /// Renames the file that [`Disk::beside`] wrote.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(1)?;
        fs::rename(from, to)
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(0)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Brings the folder of a file to the disk: names are kept there.
    pub(crate) fn sync_folder(&self, of: &Path) -> io::Result<()> {
        match of.parent() {
            Some(folder) => self.sync(&File::open(folder)?),
            None => Ok(()),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step(1)?;
        // A test that tries every step of thousands does not wait for the disk at each.
        #[cfg(test)]
        if self.failing.0.lock().is_ok_and(|plan| plan.is_some()) {
            return Ok(());
        }
        file.sync_all()
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)] // tests have something to ask of it
    const fn step(&self, _cost: u64) -> io::Result<()> {
        Ok(())
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    const fn room(&self, wanted: usize) -> usize {
        wanted
    }
}

/// Where a file stands until it is finished.
pub(crate) fn beside(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

struct Tap<'a> {
    disk: &'a Disk,
    file: &'a File,
}

impl Write for Tap<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.get(..self.disk.room(bytes.len())) {
            Some([]) | None if !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
            Some(fits) => self.file.write(fits),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// When writing begins to fail.
    #[derive(Debug, Default)]
    pub(crate) struct Failing(pub(crate) Mutex<Option<Plan>>);

    #[derive(Clone, Debug)]
    pub(crate) struct Plan {
        /// Bytes and steps until it does.
        pub(crate) left: u64,
        /// Whether then everything fails, as in a process that is dead, and not only what takes room.
        pub(crate) dead: bool,
        /// A file that takes all the room while it is there.
        pub(crate) hog: Option<std::path::PathBuf>,
    }

    impl Disk {
        pub(crate) fn fail_after(&self, left: u64, dead: bool) {
            *self.failing.0.lock().unwrap() = Some(Plan { left, dead, hog: None });
        }

        pub(crate) fn full_while(&self, hog: &Path) {
            let plan = Plan { left: u64::MAX, dead: false, hog: Some(hog.to_owned()) };
            *self.failing.0.lock().unwrap() = Some(plan);
        }

        pub(crate) fn heal(&self) -> u64 {
            self.failing.0.lock().unwrap().take().map_or(0, |plan| plan.left)
        }

        pub(crate) fn step(&self, cost: u64) -> io::Result<()> {
            let mut plan = self.failing.0.lock().unwrap();
            let Some(plan) = plan.as_mut() else { return Ok(()) };
            if plan.left == 0 && (plan.dead || cost > 0) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            plan.left = plan.left.saturating_sub(cost);
            Ok(())
        }

        pub(crate) fn room(&self, wanted: usize) -> usize {
            let mut plan = self.failing.0.lock().unwrap();
            let Some(plan) = plan.as_mut() else { return wanted };
            if plan.hog.as_ref().is_some_and(|hog| hog.exists()) {
                return 0;
            }
            let fits = wanted.min(usize::try_from(plan.left).unwrap());
            plan.left -= fits as u64;
            fits
        }
    }

    #[test]
    fn a_file_is_the_old_or_the_new_one_wherever_writing_stops() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for dead in [false, true] {
            for left in 0..12 {
                let disk = Disk::default();
                disk.replace(&path, 0o600, |out| out.write_all(b"old")).unwrap();
                disk.fail_after(left, dead);
                let done = disk.replace(&path, 0o600, |out| out.write_all(b"newer"));
                let found = fs::read(&path).unwrap();
                match done {
                    Ok(()) => assert_eq!(found, b"newer"),
                    Err(_) => assert!(found == b"old" || found == b"newer", "{left}: {found:?}"),
                }
                disk.heal();
            }
        }
    }
}
