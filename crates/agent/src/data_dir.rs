//! The agent's data directory: its lock, and atomic file replacement.
//!
//! Scripts run as the agent's user and can damage every file in it. At a start the agent repairs
//! what would block it: permissions are restored, and an entry of the wrong kind is set aside.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use crate::{Error, platform};

#[cfg(test)]
#[path = "data_dir_tests.rs"]
mod tests;
#[cfg(test)]
#[cfg(unix)]
#[path = "data_dir_unix_tests.rs"]
mod unix_tests;

/// Directory of the run directories, below the data directory.
pub(crate) const RUNS_DIR: &str = "runs";

/// Number of numbered names for a set-aside entry or a new file version. Random names follow.
const MAX_NUMBERED: u32 = 16;
/// Maximum number of names tried.
const MAX_NAMES: u32 = MAX_NUMBERED + 4;

/// Lock of a data directory, held until this is dropped.
///
/// Both the directory and a file in it are locked. A script can replace the file, and some network
/// file systems cannot lock a directory.
#[derive(Debug)]
pub(crate) struct DirLock {
    dir: Option<File>,
    file: File,
}

impl DirLock {
    /// Creates the directory if it is missing, and locks it against a second agent.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::DataDir { path, source }
        };
        create_private_dir(dir).map_err(failed(dir))?;
        let locked_dir = platform::lock_directory(dir).map_err(|error| match error {
            TryLockError::WouldBlock => Error::Locked(dir.to_owned()),
            TryLockError::Error(source) => failed(dir)(source),
        })?;
        let path = dir.join("lock");
        let open = || {
            restore_own_file(&path)?;
            platform::open_lock_file(&path)
        };
        let file = open().map_err(failed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { dir: locked_dir, file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(&path)(source)),
        }
    }

    /// Duplicates the descriptors, like a fork.
    #[cfg(test)]
    pub(crate) fn try_clone(&self) -> io::Result<Vec<File>> {
        self.dir.iter().chain([&self.file]).map(File::try_clone).collect()
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between its fork and its exec has a copy of the
        // descriptor, and with it the lock.
        for locked in self.dir.iter().chain([&self.file]) {
            if let Err(error) = locked.unlock() {
                tracing::warn!(%error, "unlocking the data directory failed");
            }
        }
    }
}

/// Creates a directory for the agent's user only, and grants that user all permissions if it exists
/// without them.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    platform::create_private_dir(dir)?;
    platform::make_usable(dir);
    Ok(())
}

/// Follows links to an entry; `None` if the path does not exist. A broken link is set aside.
fn metadata_of(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        // After another error, such as EACCES or EIO, the link may lead to a valid file.
        Err(error) if platform::leads_nowhere(&error) && path.is_symlink() => set_aside(path).map(|()| None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a path free or a regular file that its owner can read and write, as far as possible.
pub(crate) fn restore_file(path: &Path) -> io::Result<()> {
    let Some(metadata) = metadata_of(path)? else { return Ok(()) };
    if !metadata.is_file() {
        // Opening a pipe would even block.
        return set_aside(path);
    }
    platform::add_permissions(path, &metadata);
    Ok(())
}

/// Like [`restore_file`], for a file that only the agent creates: a link in its place is set aside
/// if its target is unusable for any reason.
///
/// No leftover of a script keeps the agent from starting. The loss of a journal is detected and
/// costs the agent its id.
pub(crate) fn restore_own_file(path: &Path) -> io::Result<()> {
    match restore_file(path) {
        Err(_) if path.is_symlink() => set_aside(path),
        restored => restored,
    }
}

/// Makes a path free or a directory, and creates the directory.
pub(crate) fn restore_private_dir(path: &Path) -> io::Result<()> {
    if metadata_of(path)?.is_some_and(|metadata| !metadata.is_dir()) {
        set_aside(path)?;
    }
    create_private_dir(path)
}

/// Renames an entry that is in the way. It is not deleted, because it does not belong to the agent.
pub(crate) fn set_aside(path: &Path) -> io::Result<()> {
    let free = (0..MAX_NAMES)
        .map(|number| with_suffix(path, &format!(".unusable-{}", name_number(number))))
        .find(|aside| fs::symlink_metadata(aside).is_err())
        .ok_or_else(|| io::Error::new(ErrorKind::AlreadyExists, "too many set-aside entries"))?;
    fs::rename(path, &free)?;
    tracing::warn!(path = %path.display(), now = %free.display(), "unusable entry set aside");
    Ok(())
}

/// Number in the name of one attempt. A script can occupy all small numbers, but cannot guess a
/// random one.
fn name_number(attempt: u32) -> u64 {
    if attempt < MAX_NUMBERED { attempt.into() } else { rand::random() }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = OsString::from(path);
    text.push(suffix);
    text.into()
}

/// Replaces a file atomically and syncs it. Returns the new file, open for writing at its end.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let (new, mut file) = create_new_version(path)?;
    let replaced = (|| {
        file.write_all(bytes)?;
        file.sync_all()?;
        platform::replace_file(&new, path, &file, restore_file)
    })();
    if replaced.is_err() {
        drop(fs::remove_file(&new));
    }
    replaced.map(|()| file)
}

/// Creates the file that will replace `path`. An existing file is never opened: it may be a link or
/// a mount.
fn create_new_version(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut last = io::Error::from(ErrorKind::AlreadyExists);
    for attempt in 0..MAX_NAMES {
        let extension = if attempt == 0 { "new".to_owned() } else { format!("new-{}", name_number(attempt)) };
        let new = path.with_extension(extension);
        // Removes the file of an interrupted attempt, which may have another mode.
        drop(fs::remove_file(&new));
        match platform::new_private_file(&new) {
            Ok(file) => return Ok((new, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
