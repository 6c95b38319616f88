//! The drills, in the order in which `drill all` runs them.

mod flash_crowd;
mod upgrade;

use crate::manifest::Manifest;

/// Every drill.
pub const DRILLS: &[Manifest] = &[flash_crowd::MANIFEST, upgrade::MANIFEST];
