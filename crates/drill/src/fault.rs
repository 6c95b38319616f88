//! Why a drill could not be carried out. A product that fails is no fault here but a red check.

use std::path::PathBuf;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The installation did not come up.
    #[error("the installation did not serve within {after_ms} ms; its last words:\n{log}")]
    NotServing {
        /// How long was waited.
        after_ms: u64,
        /// The end of its standard error.
        log: String,
    },
    /// It ended although nobody told it to.
    #[error("the installation ended by itself ({how}); its last words:\n{log}")]
    Ended {
        /// How.
        how: String,
        /// The end of its standard error.
        log: String,
    },
    /// A file of the drill's own could not be written or read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A process or socket of the drill's own.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: std::io::Error,
    },
    /// The admin socket said something the drill cannot use.
    #[error("{what}: {text}")]
    Admin {
        /// What was asked.
        what: String,
        /// What came.
        text: String,
    },
    /// The drill took longer than any drill may.
    #[error("not done within {limit_s} s")]
    TooLong {
        /// The limit.
        limit_s: u64,
    },
    /// There is no such drill, or the drill cannot be run without that guard.
    #[error("{0}")]
    Usage(String),
}

impl Fault {
    /// For `map_err`: a file that could not be used.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }

    /// For `map_err`: a system call that failed.
    pub fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}
