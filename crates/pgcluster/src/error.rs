//! Errors of a private cluster.

use std::{io, path::PathBuf};

/// Cause for which a private cluster could not be created, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine has no server binaries.
    #[error(
        "Postgres is not installed: no initdb in PATH, /usr/lib/postgresql/*/bin or /usr/pgsql-*/bin; install it, \
         for example with `apt-get install postgresql`"
    )]
    NotInstalled,
    /// The caller is root, and no ordinary user exists to run the server.
    #[error("Postgres does not run as root, and neither user `postgres` nor `nobody` exists on this machine")]
    NoOrdinaryUser,
    /// The ordinary user cannot search a parent directory of the cluster.
    #[error(
        "Postgres does not run as root, and its user cannot enter {path}: choose a directory that \
         every user can reach, for example below /var/lib or /tmp"
    )]
    NoPassage {
        /// Parent directory without the permission.
        path: PathBuf,
    },
    /// A program exited with an error.
    #[error("{program} failed: {output}")]
    Program {
        /// Name of the program.
        program: String,
        /// Output of the program.
        output: String,
    },
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
