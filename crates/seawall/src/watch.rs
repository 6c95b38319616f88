//! Noticing that files have changed, by looking.
//!
//! Once a second two `stat` calls per file cost nothing, and unlike inotify they see every way of changing a file:
//! written in place, renamed over, a symbolic link switched (as Kubernetes does), a network file system.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What of a file changes when its content does: device, inode, size, modification and change time.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// Files looked at each time: some milliseconds. Of more, the first are, and the others in turn: with a certificate for each
/// of many zones a look at all of them would keep a core busy. (The edge itself looks at every certificate in use once a
/// minute, off this thread.)
const LOOK_MAX: usize = 1000;
/// Files that are looked at each time however many there are: the configuration and what it rests on.
const FIRST: usize = 16;

/// Files being watched, the most important first.
#[derive(Debug, Default)]
pub struct Watch {
    /// With what they were like; nothing for one that has not been looked at.
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// Those that changed at the last look.
    moved: Vec<usize>,
    /// Where the next turn begins.
    turn: usize,
    unsettled: bool,
}

impl Watch {
    /// Watches `files` as they are now.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let with_stamp = |(at, path): (usize, PathBuf)| {
            let known = (at < LOOK_MAX).then(|| stamp(&path));
            (path, known)
        };
        Self { files: files.into_iter().enumerate().map(with_stamp).collect(), ..Self::default() }
    }

    /// Whether a file has changed and then stayed the same for one more look. An editor that truncates and writes, or a
    /// tool that replaces certificate and key one after the other, is given that time to finish.
    pub fn changed(&mut self) -> bool {
        let mut looked = std::mem::take(&mut self.moved);
        let first = self.files.len().min(FIRST);
        let others = self.files.len() - first;
        looked.extend(0..first);
        looked.extend((0..others.min(LOOK_MAX - FIRST)).map(|n| first + (self.turn + n) % others));
        self.turn = (self.turn + LOOK_MAX - FIRST).checked_rem(others).unwrap_or(0);
        looked.sort_unstable();
        looked.dedup();
        for at in looked {
            let Some((path, known)) = self.files.get_mut(at) else { continue };
            let now = stamp(path);
            if known.replace(now).is_some_and(|before| before != now) {
                self.moved.push(at);
            }
        }
        if !self.moved.is_empty() {
            self.unsettled = true;
            return false;
        }
        std::mem::take(&mut self.unsettled)
    }
}

fn stamp(path: &std::path::Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_once_and_only_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, "1").unwrap();
        let mut watch = Watch::new(vec![path.clone(), dir.path().join("missing")]);
        assert!(!watch.changed());
        std::fs::write(&path, "22").unwrap();
        assert!(!watch.changed(), "seen, not settled");
        std::fs::write(&path, "333").unwrap();
        assert!(!watch.changed(), "still moving");
        assert!(watch.changed());
        assert!(!watch.changed());
    }

    #[test]
    fn replacing_removing_and_creating_a_file_are_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let mut watch = Watch::new(vec![path.clone()]);
        for step in 0..3 {
            match step {
                0 => std::fs::write(&path, "1").unwrap(),
                1 => {
                    std::fs::write(dir.path().join("b"), "1").unwrap();
                    std::fs::rename(dir.path().join("b"), &path).unwrap();
                }
                _ => std::fs::remove_file(&path).unwrap(),
            }
            assert!(!watch.changed());
            assert!(watch.changed(), "step {step}");
        }
    }

    #[test]
    fn of_very_many_files_each_has_its_turn_and_the_first_are_looked_at_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..3000).map(|n| dir.path().join(n.to_string())).collect();
        let mut watch = Watch::new(files.clone());
        (0..4).for_each(|_| assert!(!watch.changed()));
        std::fs::write(&files[0], "1").unwrap();
        assert!(!watch.changed());
        assert!(watch.changed(), "at once");
        std::fs::write(&files[2999], "1").unwrap();
        let noticed = (1..10).find(|_| watch.changed());
        assert!(noticed.is_some_and(|looks| (2..=5).contains(&looks)), "{noticed:?}");
        assert!((0..10).all(|_| !watch.changed()));
    }
}
