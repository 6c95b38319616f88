//! How commands end (DESIGN §8).

use std::process::ExitCode;

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// Something failed; the message says what.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The configuration is invalid; every problem was printed.
    InvalidConfiguration = 3,
    /// A running Seawall refused, or a health gate did.
    Refused = 4,
}

impl Exit {
    /// Whether a program ends with this code by its own decision. A panic of the main thread is 101.
    pub fn is_known(code: i32) -> bool {
        (0..=Self::Refused as i32).contains(&code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
