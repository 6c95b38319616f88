//! Content coding: negotiation and streaming encoders
