//! Names of working directories and of their parent directories.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::platform::ScriptsDir;

/// Directories below the data directory that may hold working directories. The first usable one is
/// taken: a script can put a file, a link or a mount in the place of any of them.
pub(crate) const SCRIPTS_DIRS: [&str; 8] =
    ["scripts", "scripts-1", "scripts-2", "scripts-3", "scripts-4", "scripts-5", "scripts-6", "scripts-7"];

/// Prefix of working directories.
const PREFIX: &str = "run-";
/// Prefix of working directories that could not be removed.
const UNREMOVABLE_PREFIX: &str = "unremovable-";

/// Names of working directories, and those that this agent uses.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) data_dir: PathBuf,
    used: Arc<Mutex<HashSet<OsString>>>,
}

impl Names {
    pub(super) fn new(data_dir: PathBuf) -> Self {
        Self { data_dir, used: Arc::default() }
    }

    /// Name of the working directory of a run.
    pub(super) fn of_run(id: &str) -> OsString {
        format!("{PREFIX}{id}").into()
    }

    /// Name of a working directory that could not be removed.
    pub(super) fn unremovable(name: &OsStr) -> OsString {
        let mut unremovable = OsString::from(UNREMOVABLE_PREFIX);
        unremovable.push(name);
        unremovable
    }

    fn used(&self) -> MutexGuard<'_, HashSet<OsString>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps sweeps away from a working directory.
    pub(super) fn use_name(&self, name: &OsStr) {
        self.used().insert(name.to_owned());
    }

    pub(super) fn release_name(&self, name: &OsStr) {
        self.used().remove(name);
    }

    pub(super) fn open_scripts_dir(&self, scripts: &str) -> io::Result<ScriptsDir> {
        ScriptsDir::open(&self.data_dir, scripts)
    }

    /// Whether an entry is a working directory that no script of this agent uses.
    pub(super) fn is_leftover(&self, name: &OsStr) -> bool {
        let bytes = name.as_encoded_bytes();
        let is_ours = bytes.starts_with(PREFIX.as_bytes()) || is_unremovable(name);
        is_ours && !self.used().contains(name)
    }
}

/// Whether a working directory could not be removed before.
pub(crate) fn is_unremovable(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UNREMOVABLE_PREFIX.as_bytes())
}
