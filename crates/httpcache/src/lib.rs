//! RFC 9111 as a pure state machine
