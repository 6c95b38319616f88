//! Firewall rules and address lists, compiled and bounded.
