//! Sockets, TLS, PROXY protocol, name resolution, upstream connections

pub mod client_addr;
pub mod listen;
pub mod proxy_protocol;
pub mod resolver;
pub mod tls;
