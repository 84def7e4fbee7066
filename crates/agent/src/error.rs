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
    Tls(#[from] mtls::Error),
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

/// tonic says only "transport error"; the cause is in the chain.
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
