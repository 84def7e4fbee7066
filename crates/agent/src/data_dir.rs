//! The agent's data directory: its lock, and files that are replaced as a whole.
//!
//! Scripts run as the agent's user and can damage everything in it. A start repairs what keeps the agent from running:
//! permissions are restored, and an entry of the wrong kind is set aside.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::Error;

#[cfg(test)]
mod tests;

/// Names that are tried for an entry that is set aside, or for the new version of a file.
const MAX_NAMES: u32 = 16;

/// The lock of a data directory, until this is dropped.
#[derive(Debug)]
pub(crate) struct DirLock(File);

impl DirLock {
    /// Creates the directory if it is missing, and locks it against a second agent.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::DataDir { path, source }
        };
        create_private_dir(dir).map_err(failed(dir))?;
        let path = dir.join("lock");
        let open = || {
            restore_file(&path)?;
            File::options().create(true).truncate(false).write(true).open(&path)
        };
        let file = open().map_err(failed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(&path)(source)),
        }
    }

    #[cfg(test)]
    pub(crate) fn try_clone(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between its fork and its exec has a copy of the descriptor, and with it the
        // lock.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the data directory cannot be unlocked");
        }
    }
}

/// Creates a directory for the agent's user alone, and gives that user all permissions if it exists without them.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    make_usable(dir);
    Ok(())
}

/// Gives the owner of a directory all permissions. A failure shows at the next use of the directory.
pub(crate) fn make_usable(dir: &Path) {
    if let Ok(metadata) = fs::metadata(dir)
        && metadata.is_dir()
    {
        let mode = metadata.permissions().mode();
        if mode & 0o700 != 0o700
            && let Err(error) = fs::set_permissions(dir, Permissions::from_mode(mode | 0o700))
        {
            tracing::warn!(path = %dir.display(), %error, "the permissions of a directory cannot be restored");
        }
    }
}

/// Makes sure that a path is free, or a regular file that its owner can read and write.
pub(crate) fn restore_file(path: &Path) -> io::Result<()> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(_) if path.is_symlink() => return set_aside(path),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() {
        // A pipe would even block whoever opens it.
        return set_aside(path);
    }
    let mode = metadata.permissions().mode();
    if mode & 0o600 == 0o600 {
        Ok(())
    } else {
        fs::set_permissions(path, Permissions::from_mode(mode | 0o600))
    }
}

/// Makes sure that a path is free or a directory, and creates the directory.
pub(crate) fn restore_private_dir(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() && !path.is_dir() {
        set_aside(path)?;
    }
    create_private_dir(path)
}

/// Renames an entry that is in the way. Nothing is deleted: it is not the agent's.
pub(crate) fn set_aside(path: &Path) -> io::Result<()> {
    let free = (0..MAX_NAMES)
        .map(|number| with_suffix(path, &format!(".unusable-{number}")))
        .find(|aside| fs::symlink_metadata(aside).is_err())
        .ok_or_else(|| io::Error::new(ErrorKind::AlreadyExists, "too many entries are set aside already"))?;
    fs::rename(path, &free)?;
    tracing::warn!(path = %path.display(), now = %free.display(), "an entry that is not a usable file is set aside");
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = OsString::from(path);
    text.push(suffix);
    text.into()
}

/// Replaces a file as a whole, or not at all, and syncs it. Returns the new file, open for writing at its end.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let (new, mut file) = create_new_version(path)?;
    let replaced = (|| {
        file.write_all(bytes)?;
        file.sync_all()?;
        if fs::rename(&new, path).is_err() {
            restore_file(path)?;
            fs::rename(&new, path)?;
        }
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    })();
    if replaced.is_err() {
        drop(fs::remove_file(&new));
    }
    replaced.map(|()| file)
}

/// Creates the file that takes the place of `path`. An existing file is never opened: it may be a link or a mount.
fn create_new_version(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut last = io::Error::from(ErrorKind::AlreadyExists);
    for number in 0..MAX_NAMES {
        let extension = if number == 0 { "new".to_owned() } else { format!("new-{number}") };
        let new = path.with_extension(extension);
        // What an attempt left that died, which may have another mode.
        drop(fs::remove_file(&new));
        match File::options().write(true).create_new(true).mode(0o600).open(&new) {
            Ok(file) => return Ok((new, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
