//! What a stage sees of a request: its head and who sent it. Stages are functions of this, so that they can be run
//! again over recorded heads.

use crate::RequestHead;
use std::net::IpAddr;

/// A request as the stages see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The head, as it came in.
    pub head: &'a RequestHead,
    /// The client's address, by the trusted-proxy rules.
    pub address: IpAddr,
    /// Whether the client spoke TLS.
    pub https: bool,
}
