//! The drills, in the order in which `drill all` runs them.

mod bad_regex;
mod blank_fields;
mod cold_start;
mod empty_means_all;
mod error_storm;
mod feature_file;
mod flash_crowd;
mod kill_switch;
mod late_poison;
mod missing_metrics;
mod module_faults;
mod modules;
mod one_bad_zone;
mod sawtooth;
mod stale_writer;
mod upgrade;

use crate::manifest::Manifest;

/// Every drill.
pub const DRILLS: &[Manifest] = &[
    feature_file::MANIFEST,
    sawtooth::MANIFEST,
    module_faults::MANIFEST,
    kill_switch::MANIFEST,
    late_poison::MANIFEST,
    error_storm::MANIFEST,
    empty_means_all::MANIFEST,
    stale_writer::MANIFEST,
    one_bad_zone::MANIFEST,
    cold_start::MANIFEST,
    blank_fields::MANIFEST,
    bad_regex::MANIFEST,
    flash_crowd::MANIFEST,
    upgrade::MANIFEST,
    missing_metrics::MANIFEST,
];
