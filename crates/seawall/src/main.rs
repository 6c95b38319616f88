//! The seawall binary: command line and supervisor
fn main() {}
