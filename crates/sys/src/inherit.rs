//! Taking ownership of descriptors that another program left open for this one.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

/// Why a descriptor number could not be taken over. The fault is with whoever started this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimError {
    /// Standard input, output and error (0 to 2) belong to `std`, and negative numbers to nobody.
    Reserved(RawFd),
    /// No descriptor with this number is open.
    NotOpen(RawFd),
    /// The number belongs to this process already: opened here, or claimed before.
    NotInherited(RawFd),
    /// Open, but of another kind than asked for.
    WrongKind {
        /// The number asked for.
        fd: RawFd,
        /// What it should have been.
        wanted: &'static str,
    },
    /// The kernel refused an inspection.
    System {
        /// The number asked for.
        fd: RawFd,
        /// What the kernel said.
        errno: Errno,
    },
}

impl std::fmt::Display for ClaimError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reserved(fd) => write!(f, "descriptor {fd} is reserved and cannot be handed over"),
            Self::NotOpen(fd) => write!(f, "descriptor {fd} is not open"),
            Self::NotInherited(fd) => write!(f, "descriptor {fd} was not inherited, or is claimed already"),
            Self::WrongKind { fd, wanted } => write!(f, "descriptor {fd} is not {wanted}"),
            Self::System { fd, errno } => write!(f, "descriptor {fd} cannot be inspected: {errno}"),
        }
    }
}

impl std::error::Error for ClaimError {}

/// Takes ownership of an inherited descriptor of any kind, once.
///
/// # Errors
/// Reserved or closed numbers, and descriptors that this process opened or claimed itself.
pub fn claim(fd: RawFd) -> Result<OwnedFd, ClaimError> {
    if fd <= 2 {
        return Err(ClaimError::Reserved(fd));
    }
    // Two threads claiming one number at the same moment must not both find the mark clear.
    static CLAIMING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = CLAIMING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);

    // SAFETY: the borrow ends with this function and is used for F_GETFD and F_SETFD only; -1 is excluded above. If
    // the number is not open both calls answer EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = match fcntl(borrowed, FcntlArg::F_GETFD) {
        Ok(bits) => FdFlag::from_bits_truncate(bits),
        Err(Errno::EBADF) => return Err(ClaimError::NotOpen(fd)),
        Err(errno) => return Err(ClaimError::System { fd, errno }),
    };
    if flags.contains(FdFlag::FD_CLOEXEC) {
        return Err(ClaimError::NotInherited(fd));
    }
    fcntl(borrowed, FcntlArg::F_SETFD(flags | FdFlag::FD_CLOEXEC))
        .map_err(|errno| ClaimError::System { fd, errno })?;
    // SAFETY: the number is open, and without close-on-exec until a moment ago, so it came through exec and no safe
    // Rust value owns it (std opens everything close-on-exec, and `exec` in this crate restores the mark when it
    // fails). The mark is set now and stays, so no second owner can be made by this function.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a listening TCP socket.
///
/// # Errors
/// As [`claim`], and [`ClaimError::WrongKind`] for anything but a listening IPv4 or IPv6 stream socket; the
/// descriptor is closed then.
pub fn claim_tcp_listener(fd: RawFd) -> Result<TcpListener, ClaimError> {
    let wanted = "a listening TCP socket";
    let owned = claim(fd)?;
    let inet = matches!(family(&owned), Some(AddressFamily::Inet | AddressFamily::Inet6));
    if inet && is_stream(&owned) && is_listening(&owned) {
        Ok(TcpListener::from(owned))
    } else {
        Err(ClaimError::WrongKind { fd, wanted })
    }
}

/// Takes over a listening Unix socket.
///
/// # Errors
/// As [`claim`], and [`ClaimError::WrongKind`] for anything else.
pub fn claim_unix_listener(fd: RawFd) -> Result<UnixListener, ClaimError> {
    let owned = claim(fd)?;
    if family(&owned) == Some(AddressFamily::Unix) && is_stream(&owned) && is_listening(&owned) {
        Ok(UnixListener::from(owned))
    } else {
        Err(ClaimError::WrongKind { fd, wanted: "a listening Unix socket" })
    }
}

/// Takes over one end of a connected Unix stream, such as a socket pair.
///
/// # Errors
/// As [`claim`], and [`ClaimError::WrongKind`] for anything else.
pub fn claim_unix_stream(fd: RawFd) -> Result<UnixStream, ClaimError> {
    let owned = claim(fd)?;
    if family(&owned) == Some(AddressFamily::Unix) && is_stream(&owned) && !is_listening(&owned) {
        Ok(UnixStream::from(owned))
    } else {
        Err(ClaimError::WrongKind { fd, wanted: "a connected Unix stream" })
    }
}

/// Takes over a regular file, such as a lock file whose lock lives as long as the open file.
///
/// # Errors
/// As [`claim`], and [`ClaimError::WrongKind`] for anything but a regular file.
pub fn claim_file(fd: RawFd) -> Result<File, ClaimError> {
    let file = File::from(claim(fd)?);
    match file.metadata() {
        Ok(meta) if meta.is_file() => Ok(file),
        _ => Err(ClaimError::WrongKind { fd, wanted: "a regular file" }),
    }
}

fn family(fd: &OwnedFd) -> Option<AddressFamily> {
    use std::os::fd::AsRawFd;
    getsockname::<SockaddrStorage>(fd.as_raw_fd()).ok().and_then(|address| address.family())
}

fn is_stream(fd: &impl AsFd) -> bool {
    matches!(getsockopt(fd, sockopt::SockType), Ok(SockType::Stream))
}

fn is_listening(fd: &impl AsFd) -> bool {
    matches!(getsockopt(fd, sockopt::AcceptConn), Ok(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::set_close_on_exec;
    use std::os::fd::{AsRawFd, IntoRawFd};

    /// What a parent leaves behind: open, no owner in this process, not close-on-exec.
    fn left_open(fd: impl Into<OwnedFd>) -> RawFd {
        let owned: OwnedFd = fd.into();
        set_close_on_exec(owned.as_fd(), false).unwrap();
        owned.into_raw_fd()
    }

    #[test]
    fn an_inherited_listener_is_taken_over_exactly_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fd = left_open(listener);
        let taken = claim_tcp_listener(fd).unwrap();
        assert_eq!(taken.local_addr().unwrap(), address);
        assert_eq!(claim_tcp_listener(fd).unwrap_err(), ClaimError::NotInherited(fd));
    }

    #[test]
    fn what_this_process_opened_itself_is_not_up_for_claiming() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = listener.as_raw_fd();
        assert_eq!(claim(fd).unwrap_err(), ClaimError::NotInherited(fd));
        assert!(listener.local_addr().is_ok(), "and stays open");
    }

    #[test]
    fn standard_streams_closed_and_negative_numbers_are_refused() {
        for fd in [-1, 0, 1, 2] {
            assert_eq!(claim(fd).unwrap_err(), ClaimError::Reserved(fd));
        }
        assert_eq!(claim(1_000_000).unwrap_err(), ClaimError::NotOpen(1_000_000));
    }

    #[test]
    fn a_descriptor_of_another_kind_is_refused() {
        let (a, b) = UnixStream::pair().unwrap();
        let connected = left_open(a);
        assert!(matches!(claim_tcp_listener(connected), Err(ClaimError::WrongKind { .. })));
        let connected = left_open(b);
        assert!(matches!(claim_unix_listener(connected), Err(ClaimError::WrongKind { .. })));
        let file = left_open(std::fs::File::open("/proc/self/exe").unwrap());
        assert!(claim_file(file).is_ok());
        let (c, _d) = UnixStream::pair().unwrap();
        assert!(claim_unix_stream(left_open(c)).is_ok());
    }
}
