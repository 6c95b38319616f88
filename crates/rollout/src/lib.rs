//! Stages and gates of a change.
