//! What can go wrong with a private cluster.

use std::{io, path::PathBuf};

/// A private cluster could not be made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server binaries on this machine.
    #[error(
        "Postgres is not installed: no initdb in PATH, /usr/lib/postgresql/*/bin or /usr/pgsql-*/bin; install it, \
         for example with `apt-get install postgresql`"
    )]
    NotInstalled,
    /// The caller is root and there is nobody else to run the server as.
    #[error("Postgres does not run as root, and neither user `postgres` nor `nobody` exists on this machine")]
    NoOrdinaryUser,
    /// A directory above the cluster's keeps the ordinary user out.
    #[error(
        "Postgres does not run as root, and the user it runs as cannot pass through {path}: choose a directory that \
         every user can come to, for example below /var/lib or /tmp"
    )]
    NoPassage {
        /// Which one.
        path: PathBuf,
    },
    /// A program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: String,
        /// What it said.
        output: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
