//! Starting a program, or becoming one, with chosen descriptors left open.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

/// How a child is tied to the process that starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage {
    /// The child gets SIGTERM when the **thread** that started it ends, by whatever death (`PR_SET_PDEATHSIG`).
    /// Start such a child from the main thread only.
    DiesWithParent,
    /// The child is left alone.
    Independent,
}

/// Starts `command` with the descriptors `keep` open in the child under the numbers they have here, in a process
/// group of its own (a Ctrl-C at the terminal reaches the supervisor, which decides), and with no signal blocked.
///
/// # Errors
/// What [`Command::spawn`] says: no such program, no permission, no more processes.
pub fn spawn(command: &mut Command, keep: &[BorrowedFd<'_>], lineage: Lineage) -> io::Result<Child> {
    let numbers: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    let parent = nix::unistd::getpid();
    command.process_group(0);
    let prepare = move || -> io::Result<()> {
        for fd in &numbers {
            // SAFETY: the caller of `spawn` holds a borrow of each descriptor until `spawn` returns, and `fork` has
            // duplicated it into this process under the same number.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            set_close_on_exec(fd, false)?;
        }
        // A blocked mask survives exec; the supervisor blocks what it reads through signalfd.
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        if lineage == Lineage::DiesWithParent {
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have died between fork and prctl, in which case no signal will ever come.
            if nix::unistd::getppid() != parent {
                return Err(io::ErrorKind::NotConnected.into());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure calls fcntl, sigprocmask,
    // prctl and getppid, which are bare system calls here; it iterates over a vector allocated before the fork and
    // neither allocates nor locks (`io::Error` from an errno or a kind holds no heap memory).
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Replaces this process by `program`, keeping `keep` open under their numbers. The process id, its children and
/// its blocked signals stay, so a signal that arrives meanwhile waits for the new program.
///
/// `args` includes the zeroth; `env` is the whole environment of the new program.
///
/// # Errors
/// Returns only if it failed, with every descriptor close-on-exec again: the caller goes on as before.
pub fn exec(
    program: &CString,
    args: &[CString],
    env: &[CString],
    keep: &[BorrowedFd<'_>],
) -> Result<Infallible, io::Error> {
    let failed = match keep.iter().try_for_each(|fd| set_close_on_exec(*fd, false)) {
        Ok(()) => match nix::unistd::execve(program, args, env) {
            Err(errno) => io::Error::from(errno),
            Ok(never) => match never {},
        },
        Err(error) => error,
    };
    for fd in keep {
        let _ = set_close_on_exec(*fd, true); // best effort: the fault being reported is the first one
    }
    Err(failed)
}

pub(crate) fn set_close_on_exec(fd: BorrowedFd<'_>, close: bool) -> io::Result<()> {
    let mut flags = FdFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFD)?);
    flags.set(FdFlag::FD_CLOEXEC, close);
    fcntl(fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;

    #[test]
    fn a_child_writes_to_a_descriptor_it_was_given_under_the_same_number() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("echo hello >&{}", theirs.as_raw_fd()));
        let mut child = spawn(&mut command, &[theirs.as_fd()], Lineage::DiesWithParent).unwrap();
        drop(theirs);
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello\n");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn what_is_not_handed_over_is_closed_in_the_child() {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("echo hello >&{}", theirs.as_raw_fd())).stderr(Stdio::null());
        let mut child = spawn(&mut command, &[], Lineage::Independent).unwrap();
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_and_not_a_child() {
        let mut command = Command::new("/nonexistent/seawall");
        assert_eq!(
            spawn(&mut command, &[], Lineage::Independent).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_failed_exec_leaves_this_process_as_it_was() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let program = CString::new("/nonexistent/seawall").unwrap();
        let error = exec(&program, std::slice::from_ref(&program), &[], &[ours.as_fd()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            crate::claim(ours.as_raw_fd()).unwrap_err(),
            crate::ClaimError::NotInherited(ours.as_raw_fd())
        );
    }
}
