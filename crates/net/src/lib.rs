//! Sockets, TLS, PROXY protocol, name resolution, upstream connections
