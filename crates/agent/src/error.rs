//! Causes for which an agent cannot start.

use std::{io, path::PathBuf};

/// Cause for which an agent cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is invalid.
    #[error("configuration: {0}")]
    Config(String),
    /// A certificate file is missing or invalid.
    #[error("certificates")]
    Tls(#[from] mtls::Error),
    /// Another agent holds the lock of the data directory.
    #[error("another agent uses the data directory {}", .0.display())]
    Locked(PathBuf),
    /// The data directory cannot be read or written.
    #[error("data directory {}: {source}", .path.display())]
    DataDir {
        /// File or directory that failed.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Joins an error and its causes. tonic itself reports only "transport error".
pub(crate) fn whole_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
