//! Errors of a private cluster.

use std::{io, path::PathBuf};

use crate::installation::{ARCHIVE_VARIABLE, Binaries, OLDEST_MAJOR};

/// Cause for which a private cluster could not be created, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine has no server binaries that fit.
    #[error("{}", not_installed(.found, *.wanted))]
    NotInstalled {
        /// Installed binaries that do not fit.
        found: Vec<Binaries>,
        /// Major version of the existing cluster, if there is one.
        wanted: Option<u32>,
    },
    /// The directory that the user named has no server binaries.
    #[error(
        "{directory} does not contain initdb, pg_ctl and postgres: name the bin directory of a Postgres server"
    )]
    Incomplete {
        /// Directory that the user named.
        directory: PathBuf,
    },
    /// No archive with binaries exists for this platform.
    #[error(
        "no Postgres to download for {} on {}: install Postgres {OLDEST_MAJOR} or newer",
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    NoArchive,
    /// The user has no cache directory.
    #[error("no cache directory for Postgres: set HOME or XDG_CACHE_HOME")]
    NoCache,
    /// The archive could not be downloaded.
    #[error(
        "cannot download Postgres from {address}: {cause}; install Postgres {OLDEST_MAJOR} or newer, or set {} to a \
         mirror or a file",
        ARCHIVE_VARIABLE
    )]
    Download {
        /// URL of the archive.
        address: String,
        /// Error of the last attempt.
        cause: Box<ureq::Error>,
    },
    /// The archive is not the pinned one.
    #[error("{address} is not the expected archive: SHA-256 {found}, expected {expected}")]
    OtherArchive {
        /// URL or path of the archive.
        address: String,
        /// SHA-256 of the content.
        found: String,
        /// Pinned SHA-256.
        expected: String,
    },
    /// The archive cannot be read.
    #[error("cannot read the archive of Postgres: {cause}")]
    Archive {
        /// Error of the zip reader.
        cause: zip::result::ZipError,
    },
    /// A name in the archive leaves the directory.
    #[error("the archive of Postgres contains the unsafe name {name:?}")]
    UnsafeEntry {
        /// Name of the entry.
        name: String,
    },
    /// The archive is larger than any real one.
    #[error("the archive of Postgres has more than {limit_bytes} bytes unpacked")]
    ArchiveTooLarge {
        /// Maximum size of all files.
        limit_bytes: u64,
    },
    /// The caller is root, and no ordinary user exists to run the server.
    #[error("Postgres does not run as root, and neither user `postgres` nor `nobody` exists on this machine")]
    NoOrdinaryUser,
    /// The ordinary user cannot search a parent directory of the cluster.
    #[error(
        "Postgres does not run as root, and its user cannot enter {path}: choose a directory that \
         every user can enter, for example `--data-dir /var/lib/graywave-dev`"
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
    #[error("{path}: {cause}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Error of the operating system.
        cause: io::Error,
    },
}

/// Describes the places that were searched and the versions that do not fit.
fn not_installed(found: &[Binaries], wanted: Option<u32>) -> String {
    let needed = wanted.map_or_else(
        || format!("Postgres {OLDEST_MAJOR} or newer"),
        |major| format!("Postgres {major}, which wrote the existing database,"),
    );
    let unfit: Vec<String> =
        found.iter().map(|it| format!("Postgres {} in {}", it.major, it.directory.display())).collect();
    let found = match unfit.as_slice() {
        [] => "none in PATH, /usr/lib/postgresql/*/bin or /usr/pgsql-*/bin".to_owned(),
        unfit => format!("found {}", unfit.join(", ")),
    };
    let fix = if wanted.is_some() {
        "install that version, name its bin directory with --postgres-bin, or choose another data directory"
    } else {
        "install it, for example with `apt-get install postgresql`"
    };
    format!("{needed} is not installed ({found}): {fix}")
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { path, cause }
    }
}
