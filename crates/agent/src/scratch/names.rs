//! Names of working directories and of their parent directories.

use std::{
    ffi::{CString, OsStr},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};

use super::directory::{self, MountCheck};

/// Directories below the data directory that may hold working directories. The first usable one is
/// taken: a script can put a file, a link or a mount in the place of any of them.
pub(super) const SCRIPTS_DIRS: [&str; 8] =
    ["scripts", "scripts-1", "scripts-2", "scripts-3", "scripts-4", "scripts-5", "scripts-6", "scripts-7"];

/// Names that one agent gives to working directories.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) data_dir: PathBuf,
    /// Prefix of this agent's working directories. It differs from one start to the next.
    pub(super) prefix: String,
}

impl Names {
    pub(super) fn open_scripts_dir(&self, scripts: &str) -> Result<OwnedFd, Errno> {
        open_scripts_dir(open_data_dir(&self.data_dir)?.as_fd(), scripts)
    }

    /// Whether an entry is the working directory of an earlier agent.
    pub(super) fn is_leftover(&self, name: &OsStr) -> bool {
        let name = name.as_bytes();
        name.starts_with(b"run-") && !name.starts_with(self.prefix.as_bytes())
    }
}

/// Opens the data directory. The operator chooses its path, so links and mounts on the way are
/// allowed.
pub(super) fn open_data_dir(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

pub(super) fn open_scripts_dir(data_dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    directory::open(data_dir, &name, MountCheck::Openat2)
}
