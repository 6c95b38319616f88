//! The listening sockets: bound once, kept by the supervisor, lent to one edge after another.
//!
//! A socket is never closed while its address is configured, whatever happens to the edge: connections made in the
//! meantime wait in its queue. When the number of workers falls, the surplus sockets go to the remaining workers,
//! because closing one would reset the connections that wait in it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use seawall_net::listen::{self, ListenError, Sharing};

use crate::config::Plan;
use crate::handover::{Inherited, Manifest};

/// How long an address that is in use is tried again: an edge whose supervisor was killed lets go within moments.
const RETRY: Duration = Duration::from_secs(3);
const RETRY_EVERY: Duration = Duration::from_millis(50);

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Clear text.
    Http,
    /// TLS.
    Https,
    /// Metrics and health.
    Metrics,
}

impl Service {
    /// Its name in a hand-over.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Metrics => "metrics",
        }
    }

    /// The service of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::Metrics].into_iter().find(|service| service.name() == name)
    }
}

/// The sockets of one address.
#[derive(Debug, Clone)]
pub struct Group {
    /// For what.
    pub service: Service,
    /// The address as configured, with port 0 if the kernel is to choose.
    pub wanted: SocketAddr,
    /// The address as bound.
    pub bound: SocketAddr,
    /// Given by systemd, as one socket for all workers: it may not be bound a second time.
    pub given: bool,
    /// One per worker, or more.
    pub sockets: Vec<Rc<TcpListener>>,
}

/// All sockets of one plan. A later plan shares those it has in common.
#[derive(Debug, Clone)]
pub struct Sockets {
    groups: Vec<Group>,
    plan: Plan,
}

impl Sockets {
    /// Binds what the plan wants. With `now`, sockets that are open already are shared and not bound anew.
    ///
    /// # Errors
    /// The first address that cannot be bound, with what to do; nothing new stays bound then.
    pub fn bind(plan: &Plan, now: Option<&Sockets>) -> Result<Self, ListenError> {
        let wanted = wanted(plan);
        let v4_any = |port| wanted.iter().any(|(_, a)| a.port() == port && a.ip() == IpAddr::from([0; 4]));
        let mut groups: Vec<Group> = Vec::new();
        for (service, address) in &wanted {
            if address.port() != 0 && groups.iter().any(|g| g.wanted == *address) {
                return Err(ListenError::Twice { address: *address });
            }
            let workers = if *service == Service::Metrics { 1 } else { plan.workers };
            let only_v6 = address.is_ipv6() && v4_any(address.port());
            let existing =
                now.and_then(|n| n.groups.iter().find(|g| g.service == *service && g.wanted == *address));
            if let Some(group) = existing {
                groups.push(extended(group, workers, only_v6)?);
                continue;
            }
            // At a reload nobody is about to let go of an address, and the supervisor has other things to do.
            let patience =
                if now.is_some_and(|n| n.groups.iter().any(|g| !g.given)) { Duration::ZERO } else { RETRY };
            match bind_fresh(*address, workers, only_v6, patience) {
                Ok(listeners) => groups.push(Group {
                    service: *service,
                    wanted: *address,
                    bound: listeners.address,
                    given: false,
                    sockets: listeners.sockets.into_iter().map(Rc::new).collect(),
                }),
                // The default listens on both families; a machine without IPv6 is served by the other half.
                Err(ListenError::NoFamily { .. }) if only_v6 => {
                    tracing::warn!(%address, "this machine has no IPv6: not listening there");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { groups, plan: plan.clone() })
    }

    /// Sockets that were handed over.
    pub fn from_groups(groups: Vec<Group>, plan: Plan) -> Self {
        Self { groups, plan }
    }

    /// The sockets systemd opened for us, as far as the plan wants them; to be passed to [`Sockets::bind`].
    ///
    /// # Errors
    /// A socket that no configured address matches.
    pub fn given(plan: &Plan) -> Result<Option<Self>, String> {
        let mut given = listenfd::ListenFd::from_env();
        let mut groups = Vec::new();
        for index in 0..given.len() {
            let listener = given
                .take_tcp_listener(index)
                .map_err(|error| format!("socket {index} from systemd: {error}"))?;
            let Some(listener) = listener else { continue };
            let address =
                listener.local_addr().map_err(|error| format!("socket {index} from systemd: {error}"))?;
            let Some((service, _)) = wanted(plan).into_iter().find(|(_, wanted)| *wanted == address) else {
                return Err(format!(
                    "systemd opened {address} for us, but no address of the configuration is that: add it to [edge] http \
                     or https, or remove it from the socket unit"
                ));
            };
            listener
                .set_nonblocking(true)
                .map_err(|error| format!("socket {index} from systemd: {error}"))?;
            let sockets = vec![Rc::new(listener)];
            groups.push(Group { service, wanted: address, bound: address, given: true, sockets });
        }
        Ok((!groups.is_empty()).then(|| Self { groups, plan: plan.clone() }))
    }

    /// The groups, in the order of the plan.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// What they are bound for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Adds every socket to a hand-over, and lends it.
    pub fn lend<'a>(&'a self, manifest: &mut Manifest, lent: &mut Vec<BorrowedFd<'a>>) {
        for (group, index, socket) in self.each() {
            match group.service {
                Service::Metrics => manifest.add(group.service.name(), socket.as_raw_fd()),
                _ => manifest.add_of_worker(
                    group.service.name(),
                    index % self.plan.workers.max(1),
                    socket.as_raw_fd(),
                ),
            }
            lent.push(socket.as_fd());
        }
    }

    /// The descriptors of one group.
    pub fn numbers(group: &Group) -> Vec<RawFd> {
        group.sockets.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// The sockets for an edge in this very process.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn into_inherited(self) -> io::Result<Inherited> {
        let mut inherited = Inherited::default();
        for workers in [&mut inherited.http, &mut inherited.https] {
            workers.resize_with(self.plan.workers, Vec::new);
        }
        for (group, index, socket) in self.each() {
            let socket = socket.try_clone()?;
            let workers = match group.service {
                Service::Http => &mut inherited.http,
                Service::Https => &mut inherited.https,
                Service::Metrics => {
                    inherited.metrics = Some(socket);
                    continue;
                }
            };
            if let Some(worker) = workers.get_mut(index % self.plan.workers.max(1)) {
                worker.push(socket);
            }
        }
        Ok(inherited)
    }

    /// One line per service for people: `http      127.0.0.1:8080`.
    pub fn describe(&self) -> Vec<String> {
        let line = |service: Service| {
            let addresses: Vec<String> =
                self.groups.iter().filter(|g| g.service == service).map(|g| g.bound.to_string()).collect();
            (!addresses.is_empty()).then(|| format!("{:<9}{}", service.name(), addresses.join("  ")))
        };
        [Service::Http, Service::Https, Service::Metrics].into_iter().filter_map(line).collect()
    }

    /// Addresses a browser on this machine can open.
    pub fn urls(&self) -> Vec<String> {
        let url = |group: &Group| {
            let ip = match group.bound.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
                IpAddr::V6(ip) if ip.is_unspecified() => return None, // the IPv4 one is shown
                IpAddr::V6(ip) => format!("[{ip}]"),
                IpAddr::V4(ip) => ip.to_string(),
            };
            (group.service != Service::Metrics)
                .then(|| format!("{}://{ip}:{}/", group.service.name(), group.bound.port()))
        };
        self.groups.iter().filter_map(url).collect()
    }

    fn each(&self) -> impl Iterator<Item = (&Group, usize, &Rc<TcpListener>)> {
        self.groups
            .iter()
            .flat_map(|g| g.sockets.iter().enumerate().map(move |(index, socket)| (g, index, socket)))
    }
}

fn wanted(plan: &Plan) -> Vec<(Service, SocketAddr)> {
    let http = plan.http.iter().map(|a| (Service::Http, *a));
    let https = plan.https.iter().map(|a| (Service::Https, *a));
    let metrics = plan.metrics.iter().map(|a| (Service::Metrics, *a));
    http.chain(https).chain(metrics).collect()
}

fn extended(group: &Group, workers: usize, only_v6: bool) -> Result<Group, ListenError> {
    let mut group = group.clone();
    if let Some(missing) = workers.checked_sub(group.sockets.len()).filter(|n| *n > 0) {
        if group.given {
            let clones =
                group.sockets.iter().cycle().take(missing).map(|socket| socket.try_clone().map(Rc::new));
            let clones: io::Result<Vec<_>> = clones.collect();
            group
                .sockets
                .extend(clones.map_err(|source| ListenError::Other { address: group.bound, source })?);
            return Ok(group);
        }
        let more = listen::bind(group.bound, missing, Sharing::Join, only_v6)?;
        group.sockets.extend(more.sockets.into_iter().map(Rc::new));
    }
    Ok(group)
}

fn bind_fresh(
    address: SocketAddr,
    workers: usize,
    only_v6: bool,
    patience: Duration,
) -> Result<listen::Listeners, ListenError> {
    let end = Instant::now() + patience;
    loop {
        match listen::bind(address, workers, Sharing::Exclusive, only_v6) {
            Err(ListenError::InUse { .. }) if Instant::now() < end => std::thread::sleep(RETRY_EVERY),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(http: &[&str], workers: usize) -> Plan {
        let http = http.iter().map(|a| a.parse().unwrap()).collect();
        Plan { http, https: vec![], metrics: Some("127.0.0.1:0".parse().unwrap()), workers }
    }

    fn numbers(sockets: &Sockets) -> Vec<RawFd> {
        sockets.groups().iter().flat_map(Sockets::numbers).collect()
    }

    #[test]
    fn every_worker_gets_a_socket_on_the_same_port() {
        let sockets = Sockets::bind(&plan(&["127.0.0.1:0"], 3), None).unwrap();
        let inherited = sockets.into_inherited().unwrap();
        assert_eq!(inherited.http.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        let ports: Vec<u16> =
            inherited.http.iter().flatten().map(|l| l.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|p| *p == ports[0]));
        assert!(inherited.metrics.is_some());
    }

    #[test]
    fn fewer_workers_keep_every_socket_and_more_workers_add_some() {
        let first = Sockets::bind(&plan(&["127.0.0.1:0"], 3), None).unwrap();
        let fewer = Sockets::bind(&plan(&["127.0.0.1:0"], 2), Some(&first)).unwrap();
        assert_eq!(numbers(&fewer), numbers(&first));
        let lent: Vec<usize> = fewer.clone().into_inherited().unwrap().http.iter().map(Vec::len).collect();
        assert_eq!(lent, [2, 1]);
        let more = Sockets::bind(&plan(&["127.0.0.1:0"], 4), Some(&fewer)).unwrap();
        assert_eq!(more.groups()[0].sockets.len(), 4);
        assert_eq!(more.groups()[0].bound, first.groups()[0].bound);
    }

    #[test]
    fn an_address_that_stays_keeps_its_sockets_and_one_that_goes_is_closed() {
        let first = Sockets::bind(&plan(&["127.0.0.1:0", "127.0.0.2:0"], 1), None).unwrap();
        let gone = first.groups()[1].bound;
        let second = Sockets::bind(&plan(&["127.0.0.1:0"], 1), Some(&first)).unwrap();
        assert_eq!(second.groups()[0].bound, first.groups()[0].bound);
        assert!(std::net::TcpStream::connect(gone).is_ok());
        drop(first);
        assert!(std::net::TcpStream::connect(gone).is_err());
        assert!(std::net::TcpStream::connect(second.groups()[0].bound).is_ok());
    }

    #[test]
    fn one_address_for_two_purposes_is_refused() {
        let mut both = plan(&["127.0.0.1:61999"], 1);
        both.https = both.http.clone();
        assert!(matches!(Sockets::bind(&both, None), Err(ListenError::Twice { .. })));
    }
}
