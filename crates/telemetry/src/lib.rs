//! Metrics, access log and events of the edge
