//! Noticing that files have changed, by looking.
//!
//! Once a second two `stat` calls per file cost nothing, and unlike inotify they see every way of changing a file:
//! written in place, renamed over, a symbolic link switched (as Kubernetes does), a network file system.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What of a file changes when its content does: device, inode, size, modification and change time.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// Files being watched.
#[derive(Debug, Default)]
pub struct Watch {
    files: Vec<(PathBuf, Stamp)>,
    unsettled: bool,
}

impl Watch {
    /// Watches `files` as they are now.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let files = files.into_iter().map(|path| (path.clone(), stamp(&path))).collect();
        Self { files, unsettled: false }
    }

    /// Whether a file has changed and then stayed the same for one more look. An editor that truncates and writes, or a
    /// tool that replaces certificate and key one after the other, is given that time to finish.
    pub fn changed(&mut self) -> bool {
        let mut moved = false;
        for (path, known) in &mut self.files {
            let now = stamp(path);
            if now != *known {
                *known = now;
                moved = true;
            }
        }
        if moved {
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
}
