//! Listening sockets: one per worker and address, sharing the port by `SO_REUSEPORT`.
//!
//! Options that accepted connections inherit on Linux (no delay, keep-alive) are set once on the listener, which saves
//! two system calls per connection.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait in one listener's queue to be accepted.
///
/// A restarted edge leaves them waiting for a second or so; at 4,000 new connections per second and worker nothing is
/// lost. The kernel caps it by `net.core.somaxconn` (4096 since Linux 5.4), so more would say nothing.
pub const BACKLOG: i32 = 4096;

/// Most listeners for one address: one per worker, and no machine has more cores than this.
pub const WORKERS_MAX: usize = 1024;

/// Idle time before the kernel probes a silent peer. Clients that vanished behind a NAT are found after
/// [`KEEPALIVE_IDLE`] + [`KEEPALIVE_PROBES`] × [`KEEPALIVE_INTERVAL`] at the latest, whatever the HTTP timeouts say.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between two probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Probes without an answer until the connection is given up.
pub const KEEPALIVE_PROBES: u32 = 4;

/// Ports below this need a privilege on Linux (`net.ipv4.ip_unprivileged_port_start`).
const PRIVILEGED_BELOW: u16 = 1024;

/// Whether another process may already listen on the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The address must be free. `SO_REUSEPORT` alone would silently share it with an earlier Seawall of the same user,
    /// which then answers half of the requests.
    Exclusive,
    /// Join those who listen already: a new binary takes over before the old one stops.
    Join,
}

/// The listeners of one address.
#[derive(Debug)]
pub struct Listeners {
    /// The address as bound: with the port the kernel chose if 0 was asked for.
    pub address: SocketAddr,
    /// One nonblocking socket per worker.
    pub sockets: Vec<TcpListener>,
}

/// Why an address cannot be listened on. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("{address} is in use: stop the program that listens there (`ss -ltnp 'sport = :{}'` names it), or choose another port", .address.port())]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// A privileged port without the privilege.
    #[error(
        "no permission to listen on {address}: ports below 1024 need `setcap cap_net_bind_service=+ep` on the binary, AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd, or a port of 1024 and up behind a redirect"
    )]
    Privileged {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Refused for another reason of policy (SELinux, seccomp, a container's network rules).
    #[error(
        "no permission to listen on {address}: a security policy of this machine or container forbids it ({source})"
    )]
    Forbidden {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// No interface has the address.
    #[error(
        "{address} is not an address of this machine: use one that `ip address` shows, or 0.0.0.0 or [::] for all"
    )]
    NotOurs {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The kernel lacks the address family, as machines with IPv6 turned off do.
    #[error("this machine has no {}: remove {address} from the configuration", if .address.is_ipv6() { "IPv6" } else { "IPv4" })]
    NoFamily {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The process may not open more files.
    #[error("no file descriptor left for {address}: raise LimitNOFILE in systemd or `ulimit -n`")]
    NoDescriptors {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The same address twice in the list.
    #[error("{address} is listed twice")]
    Twice {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What an error of `accept` means for the loop that accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFault {
    /// The one connection is gone (reset in the queue, a network error on its way): accept the next at once.
    Connection,
    /// The process or machine has no descriptor or memory left: wait [`ACCEPT_PAUSE`], warn once, count. Accepting at
    /// once would spin, as the connection stays in the queue.
    Exhausted,
    /// The listener itself is unusable.
    Listener,
}

/// How long to leave the queue alone after [`AcceptFault::Exhausted`]: long enough for requests to end and free a
/// descriptor, short enough that nobody in the queue gives up.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl AcceptFault {
    /// Tells the errors of `accept(2)` apart. Those of the network stack under a new connection come up through it.
    #[must_use]
    pub fn of(error: &io::Error) -> AcceptFault {
        use nix::errno::Errno;
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => AcceptFault::Exhausted,
            Some(Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP) => AcceptFault::Listener,
            _ => AcceptFault::Connection,
        }
    }
}

/// Binds every address for `workers` workers, each with its own socket, in the order given.
///
/// `[::]` takes IPv4 as well unless `0.0.0.0` with the same port is in the list too. Port 0 lets the kernel choose; all
/// workers then share the chosen port. `workers` counts from 1 to [`WORKERS_MAX`] and is clamped to that.
///
/// # Errors
/// The first address that cannot be bound; nothing stays bound then.
pub fn bind_all(
    addresses: &[SocketAddr],
    workers: usize,
    sharing: Sharing,
) -> Result<Vec<Listeners>, ListenError> {
    let mut seen = HashSet::new();
    for address in addresses.iter().filter(|a| a.port() != 0) {
        if !seen.insert(*address) {
            return Err(ListenError::Twice { address: *address });
        }
    }
    let v4_any = |port| addresses.iter().any(|a| a.port() == port && a.ip() == IpAddr::from([0; 4]));
    addresses.iter().map(|a| bind(*a, workers, sharing, a.is_ipv6() && v4_any(a.port()))).collect()
}

/// Binds one address for `workers` workers. With `only_v6` an IPv6 address leaves IPv4 to others.
///
/// # Errors
/// Says what stands in the way and what to do.
pub fn bind(
    address: SocketAddr,
    workers: usize,
    sharing: Sharing,
    only_v6: bool,
) -> Result<Listeners, ListenError> {
    if sharing == Sharing::Exclusive && address.port() != 0 {
        // A socket without SO_REUSEPORT is refused by every other listener on the port; it is closed at once.
        open(address, false, only_v6).map_err(|e| classify(address, e))?;
    }
    let mut bound = address;
    let mut sockets = Vec::new();
    for _ in 0..workers.clamp(1, WORKERS_MAX) {
        let socket = open(bound, true, only_v6).map_err(|e| classify(address, e))?;
        let listener = TcpListener::from(socket);
        if bound.port() == 0 {
            bound = listener.local_addr().map_err(|e| classify(address, e))?;
        }
        sockets.push(listener);
    }
    // Listening starts only when every socket is bound: a failure half way has accepted nobody.
    for listener in &sockets {
        SockRef::from(listener).listen(BACKLOG).map_err(|e| classify(address, e))?;
    }
    Ok(Listeners { address: bound, sockets })
}

fn open(address: SocketAddr, reuse_port: bool, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Connections of an earlier process in TIME_WAIT must not stop the start.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    if address.is_ipv6() {
        let unspecified = address.ip().is_unspecified();
        socket.set_only_v6(only_v6 || !unspecified)?;
    }
    // Responses are written whole; waiting for more (Nagle) only adds delay.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn classify(address: SocketAddr, source: io::Error) -> ListenError {
    use nix::errno::Errno;
    if source.kind() == io::ErrorKind::PermissionDenied && address.port() < PRIVILEGED_BELOW {
        return ListenError::Privileged { address };
    }
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => ListenError::InUse { address },
        Some(Errno::EACCES | Errno::EPERM) => ListenError::Forbidden { address, source },
        // Every machine has the wildcard of a family it speaks at all.
        Some(Errno::EADDRNOTAVAIL) if !address.ip().is_unspecified() => ListenError::NotOurs { address },
        Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT | Errno::EPFNOSUPPORT) => {
            ListenError::NoFamily { address }
        }
        Some(Errno::EMFILE | Errno::ENFILE) => ListenError::NoDescriptors { address },
        _ => ListenError::Other { address, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn local() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn every_worker_gets_a_socket_on_the_port_the_kernel_chose() {
        let mut all = bind_all(&[local(), local()], 3, Sharing::Exclusive).unwrap();
        assert_eq!(all.len(), 2);
        let first = all.remove(0);
        assert_ne!(first.address.port(), 0);
        assert_eq!(first.sockets.len(), 3);
        for socket in &first.sockets {
            assert_eq!(socket.local_addr().unwrap(), first.address);
            assert_eq!(socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn connections_spread_and_inherit_the_options() {
        let bound = bind(local(), 2, Sharing::Exclusive, false).unwrap();
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(bound.address).unwrap()).collect();
        let mut counts = [0; 2];
        for (socket, count) in bound.sockets.iter().zip(&mut counts) {
            while let Ok((stream, _)) = socket.accept() {
                let stream = SockRef::from(&stream);
                assert!(stream.tcp_nodelay().unwrap() && stream.keepalive().unwrap());
                *count += 1;
            }
        }
        assert_eq!(counts.iter().sum::<i32>(), clients.len() as i32);
        assert!(counts.iter().all(|n| *n > 0), "{counts:?}");
    }

    #[test]
    fn a_taken_address_is_refused_unless_joining_is_asked_for() {
        let first = bind(local(), 1, Sharing::Exclusive, false).unwrap();
        let again = bind(first.address, 1, Sharing::Exclusive, false).unwrap_err();
        assert!(matches!(again, ListenError::InUse { .. }), "{again}");
        let text = again.to_string();
        assert!(text.contains(&first.address.to_string()) && text.contains("another port"), "{text}");
        assert_eq!(bind(first.address, 2, Sharing::Join, false).unwrap().sockets.len(), 2);
    }

    #[test]
    fn a_strangers_listener_is_in_use_even_when_joining() {
        let stranger = TcpListener::bind(local()).unwrap();
        let address = stranger.local_addr().unwrap();
        assert!(matches!(bind(address, 1, Sharing::Join, false), Err(ListenError::InUse { .. })));
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let address = "192.0.2.1:8080".parse().unwrap();
        let error = bind(address, 1, Sharing::Exclusive, false).unwrap_err();
        assert!(matches!(error, ListenError::NotOurs { .. }), "{error}");
        assert!(error.to_string().contains("192.0.2.1:8080"));
    }

    #[test]
    fn errors_of_the_kernel_become_advice() {
        use nix::errno::Errno;
        let low: SocketAddr = "0.0.0.0:443".parse().unwrap();
        let high: SocketAddr = "[::]:8443".parse().unwrap();
        for (address, errno, want) in [
            (low, Errno::EACCES, "ports below 1024"),
            (high, Errno::EACCES, "security policy"),
            (high, Errno::EAFNOSUPPORT, "no IPv6"),
            (high, Errno::EADDRNOTAVAIL, "no IPv6"),
            (low, Errno::EMFILE, "LimitNOFILE"),
            (high, Errno::EIO, "cannot listen on [::]:8443"),
        ] {
            let text = classify(address, io::Error::from_raw_os_error(errno as i32)).to_string();
            assert!(text.contains(want), "{text}");
        }
    }

    #[test]
    fn errors_of_accept_are_told_apart() {
        use nix::errno::Errno;
        for (errno, want) in [
            (Errno::ECONNABORTED, AcceptFault::Connection),
            (Errno::EPROTO, AcceptFault::Connection),
            (Errno::EMFILE, AcceptFault::Exhausted),
            (Errno::ENFILE, AcceptFault::Exhausted),
            (Errno::EBADF, AcceptFault::Listener),
        ] {
            assert_eq!(AcceptFault::of(&io::Error::from_raw_os_error(errno as i32)), want, "{errno}");
        }
    }

    #[test]
    fn twice_the_same_address_is_an_error() {
        let a: SocketAddr = "127.0.0.1:18080".parse().unwrap();
        assert!(matches!(bind_all(&[a, a], 1, Sharing::Join), Err(ListenError::Twice { .. })));
    }

    #[test]
    fn any_v6_takes_ipv4_too_unless_any_v4_stands_beside_it() {
        let Ok(dual) = bind("[::]:0".parse().unwrap(), 1, Sharing::Exclusive, false) else {
            return; // no IPv6 on this machine
        };
        assert!(TcpStream::connect(("127.0.0.1", dual.address.port())).is_ok());
        let port = dual.address.port();
        drop(dual);
        let both = [SocketAddr::from(([0, 0, 0, 0], port)), format!("[::]:{port}").parse().unwrap()];
        let all = bind_all(&both, 2, Sharing::Exclusive).unwrap();
        assert!(all.iter().all(|l| l.address.port() == port));
        assert!(TcpStream::connect(("::1", port)).is_ok());
    }
}
