//! Lists of addresses, which rules and bans name.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::text;

/// One `[[list]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Its name, unique among the lists.
    pub name: String,
    /// Networks, each without bits beyond its prefix: those of `addresses`, then those of `file`, in their order. One that
    /// stands twice is kept twice, so that the change against the version before shows it.
    #[serde(with = "text::nets")]
    pub addresses: Vec<IpNet>,
}
