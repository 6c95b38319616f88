//! Sockets, TLS, PROXY protocol, name resolution, upstream connections

pub mod body;
pub mod client_addr;
pub mod deadline;
pub mod io;
pub mod listen;
pub mod proxy_protocol;
pub mod resolver;
pub mod tls;
