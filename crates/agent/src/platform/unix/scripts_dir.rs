//! A directory of working directories, opened by descriptor: never through a link, never across a
//! mount point.

use std::{
    collections::HashSet,
    ffi::{CString, OsStr, OsString},
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    time::Instant,
};

use runner::{UnixUser, User};
use rustix::{
    fs::{AtFlags, Dir, Gid, Mode, OFlags, RenameFlags, Uid, chownat, fchmod, mkdirat, open, renameat_with},
    io::Errno,
};

use super::{
    directory::{self, MountCheck},
    removal,
};
use crate::platform::Remains;

/// Mode of the directories above a working directory whose script runs as another user, who must
/// pass through and read nothing.
const PASSABLE: Mode = Mode::RWXU.union(Mode::XGRP).union(Mode::XOTH);

/// Directory of working directories.
#[derive(Debug)]
pub(crate) struct ScriptsDir(OwnedFd);

impl ScriptsDir {
    /// Opens the directory below a data directory.
    pub(crate) fn open(data_dir: &Path, name: &str) -> io::Result<Self> {
        Ok(Self(open_in(open_data_dir(data_dir)?.as_fd(), name)?))
    }

    /// Renames an entry; fails if there is one of the new name.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE)?)
    }

    /// Names of all entries.
    pub(crate) fn names(self) -> io::Result<Vec<OsString>> {
        let name = |entry: Result<rustix::fs::DirEntry, Errno>| {
            Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())
        };
        Dir::new(self.0)?.map(name).collect()
    }

    /// Removes an entry with everything below it, at most until the deadline. Blocks.
    pub(crate) fn remove(&self, name: &OsStr, deadline: Instant) -> io::Result<Remains> {
        let name = CString::new(name.as_bytes())?;
        let removal::Remains { reported, count } = removal::remove(self.0.as_fd(), &name, deadline);
        let reported = reported.into_iter().map(|(path, error)| (path, error.into())).collect();
        Ok(Remains { reported, count })
    }
}

/// Opens the data directory. The operator chooses its path, so links and mounts on the way are
/// allowed.
fn open_data_dir(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_in(data_dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    directory::open(data_dir, &name, MountCheck::Openat2)
}

/// Creates a working directory, and the directory above it where that is missing.
pub(crate) fn create_run_directory(
    data_dir: &Path,
    scripts: &str,
    name: &OsStr,
    owner: Option<&User>,
) -> io::Result<()> {
    let data_dir = open_data_dir(data_dir)?;
    let mut dir = open_in(data_dir.as_fd(), scripts);
    if dir.as_ref().err() == Some(&Errno::NOENT) {
        mkdirat(&data_dir, scripts, Mode::RWXU)?;
        dir = open_in(data_dir.as_fd(), scripts);
    }
    let dir = dir?;
    mkdirat(&dir, name, Mode::RWXU)?;
    match owner {
        Some(User::Unix(owner)) => Ok(give_to(data_dir.as_fd(), &dir, name, owner)?),
        _ => Ok(()),
    }
}

/// Gives a working directory to the user of its script. Everything else in the data directory stays
/// unreadable for that user.
fn give_to(data_dir: BorrowedFd<'_>, dir: &OwnedFd, name: &OsStr, owner: &UnixUser) -> Result<(), Errno> {
    fchmod(data_dir, PASSABLE)?;
    fchmod(dir, PASSABLE)?;
    let (user, group) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    chownat(dir, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
}

/// Whether another directory may work despite this error.
pub(crate) fn is_obstacle(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::ACCESS
                | Errno::EXIST
                | Errno::LOOP
                | Errno::NOTDIR
                | Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::ROFS
                | Errno::XDEV
        )
    )
}

/// Names of entries in a directory that contain the working directory of a process.
pub(crate) fn occupied(scripts_dir: &Path) -> HashSet<OsString> {
    let Ok(scripts_dir) = scripts_dir.canonicalize() else { return HashSet::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return HashSet::new() };
    let name_of = |cwd: PathBuf| {
        let below = cwd.strip_prefix(&scripts_dir).ok()?;
        below.components().next().map(|name| name.as_os_str().to_owned())
    };
    processes
        .flatten()
        .filter_map(|process| name_of(fs::read_link(process.path().join("cwd")).ok()?))
        .collect()
}
