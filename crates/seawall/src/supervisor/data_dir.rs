//! The data folder: one Seawall at a time, its sockets, and the limit on open files.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Socket of the edge for `seawall purge` and `seawall top`, under the data folder.
pub const ADMIN_SOCKET: &str = "edge.sock";
/// Socket of the supervisor for `seawall upgrade`, under the data folder.
pub const CONTROL_SOCKET: &str = "supervisor.sock";
/// Lock and process id, under the data folder.
const LOCK_FILE: &str = "seawall.pid";
/// Longest path of a Unix socket in bytes (`sun_path` is 108 with its end).
const SOCKET_PATH_MAX: usize = 107;

/// A data folder that is ours for as long as this value lives, across `exec` too.
#[derive(Debug)]
pub struct DataDir {
    file: File,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another Seawall has it.
    #[error(
        "another seawall{} uses the data folder {}: stop that one, or give this one its own with --data-dir",
        .pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default(), .path.display()
    )]
    Taken {
        /// The folder.
        path: PathBuf,
        /// The other's process id, if it wrote one.
        pid: Option<String>,
    },
    /// It cannot be made or written.
    #[error("the data folder {} cannot be used: {source}; choose another with --data-dir", .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

impl DataDir {
    /// Makes the folder if it is missing, locks it and writes the process id.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(unusable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path.join(LOCK_FILE))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = (&file).take(32).read_to_string(&mut text); // only for the message
                let pid = Some(text.trim().to_owned()).filter(|t| !t.is_empty());
                return Err(DataDirError::Taken { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // The lock is what counts. A full disk takes no number, and is no reason not to serve (DESIGN R6).
        let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = noted {
            tracing::warn!(%error, "the process id is not noted in the data folder");
        }
        Ok(Self { file })
    }

    /// A lock that the program before this one held.
    pub fn resumed(file: File) -> Self {
        Self { file }
    }
}

impl AsFd for DataDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Listens on a Unix socket that only this user may connect to, in the place of one left behind. The caller holds the
/// lock of the folder, so nobody lives behind the old one.
///
/// # Errors
/// What the kernel says, with the path; a path that is too long for a socket names the limit.
pub fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        let text =
            format!("longer than the {SOCKET_PATH_MAX} bytes a socket may have; use a shorter --data-dir");
        return Err(named(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
        _ => {}
    }
    // The mask makes the socket private from its first moment; the only other thread so far writes
    // the log and makes no files.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    bound.map_err(named)
}

/// Raises the soft limit on open files to the hard one. A proxy needs two per request; the soft default of 1,024 is
/// there for programs that use `select`.
pub fn raise_descriptor_limit() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(soft, hard, %error, "cannot raise the limit on open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_data_folder_has_one_user_and_the_second_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = DataDir::lock(&path).unwrap();
        let error = DataDir::lock(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        assert!(DataDir::lock(&path).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = DataDir::lock(Path::new("/proc/nonexistent/x")).unwrap_err();
        assert!(error.to_string().contains("/proc/nonexistent/x"));
    }

    #[test]
    fn a_private_socket_replaces_a_stale_one_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ADMIN_SOCKET);
        drop(bind_private(&path).unwrap());
        let _second = bind_private(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(bind_private(&dir.path().join("x".repeat(120))).is_err());
    }
}
