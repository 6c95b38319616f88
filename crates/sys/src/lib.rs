//! The one crate with unsafe code: file descriptors across exec, parent-death signals
