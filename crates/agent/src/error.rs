//! Why an agent cannot start.

use std::{io, path::PathBuf};

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot work.
    #[error("configuration: {0}")]
    Config(String),
    /// The certificates cannot be used.
    #[error("certificates")]
    Tls(#[from] identity::Error),
    /// Another agent uses the data directory.
    #[error("another agent uses the data directory {}", .0.display())]
    Locked(PathBuf),
    /// The data directory cannot be used.
    #[error("data directory {}: {source}", .path.display())]
    DataDir {
        /// What could not be read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
