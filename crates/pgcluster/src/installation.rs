//! Installed binaries, and the variables that name other ones.

use std::path::PathBuf;

/// Oldest supported major version of Postgres.
pub const OLDEST_MAJOR: u32 = 15;

/// Variable with the directory of the binaries; it precedes all other places.
pub const BINARIES_VARIABLE: &str = "GRAYWAVE_POSTGRES_BIN";

/// Variable with another address of the downloaded archive: a mirror, or the path of a file. The
/// SHA-256 stays the same.
pub const ARCHIVE_VARIABLE: &str = "GRAYWAVE_POSTGRES_ARCHIVE";

/// Server binaries of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Directory with initdb, pg_ctl and postgres.
    pub directory: PathBuf,
    /// Major version, like 15.
    pub major: u32,
}
