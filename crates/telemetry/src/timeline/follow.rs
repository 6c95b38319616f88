//! Following the timeline as it is written.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::file::FILE;

/// Reads what is new in the file each time it is asked, over rotations.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    open: Option<File>,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
}

impl Follower {
    /// Follows the timeline of a data folder from its present end.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn new(data_dir: &Path) -> io::Result<Self> {
        let mut follower = Follower { path: data_dir.join(FILE), open: None, rest: Vec::new() };
        follower.more()?;
        Ok(follower)
    }

    /// What was written since the last time.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn more(&mut self) -> io::Result<Vec<Event>> {
        let mut events = self.rest_of_open()?;
        let there = match fs::metadata(&self.path) {
            Ok(there) => (there.dev(), there.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(events),
            Err(error) => return Err(error),
        };
        let ours = self.open.as_ref().and_then(|file| file.metadata().ok()).map(|m| (m.dev(), m.ino()));
        if ours != Some(there) {
            // Rotated: what came between the first look and the renaming is read to its end.
            events.extend(self.rest_of_open()?);
            self.rest.clear();
            self.open = Some(File::open(&self.path)?);
            events.extend(self.rest_of_open()?);
        }
        Ok(events)
    }

    fn rest_of_open(&mut self) -> io::Result<Vec<Event>> {
        let Some(file) = &mut self.open else { return Ok(Vec::new()) };
        file.read_to_end(&mut self.rest)?;
        let Some(end) = memchr::memrchr(b'\n', &self.rest) else { return Ok(Vec::new()) };
        let rest = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        Ok(lines.split(|byte| *byte == b'\n').filter_map(Event::of_line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::file::Tail;
    use crate::timeline::{Event, Kind};

    fn line(n: u64) -> String {
        Event::new(Kind::Stage, "test", "x").snapshot(n).at(n).to_line()
    }

    #[test]
    fn a_follower_sees_each_new_event_once_over_rotations_and_halves_of_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(folder.path()).rotating_at(300);
        tail.append(&line(0)).unwrap();
        let mut follower = Follower::new(folder.path()).unwrap();
        let mut seen = Vec::new();
        for n in 1..40 {
            if n % 7 == 0 {
                // Half a line now, the other half after a look.
                let path = folder.path().join(FILE);
                let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
                let whole = line(n);
                let (a, b) = whole.split_at(20);
                io::Write::write_all(&mut file, a.as_bytes()).unwrap();
                seen.extend(follower.more().unwrap());
                io::Write::write_all(&mut file, b.as_bytes()).unwrap();
            } else {
                tail.append(&line(n)).unwrap();
            }
            seen.extend(follower.more().unwrap());
        }
        let numbers: Vec<u64> = seen.iter().filter_map(|e| e.snapshot).collect();
        assert_eq!(numbers, (1..40).collect::<Vec<_>>());
    }

    #[test]
    fn a_follower_waits_for_a_file_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(folder.path()).unwrap();
        assert!(follower.more().unwrap().is_empty());
        Tail::new(folder.path()).append(&line(1)).unwrap();
        assert_eq!(follower.more().unwrap().len(), 1);
    }
}
