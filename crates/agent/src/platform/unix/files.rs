//! Permissions, locks and replacements of files.

use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::Path,
};

use runner::User;
use rustix::io::Errno;

/// Creates a directory with those above it, for the agent's user only. An existing one stays.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Creates a new directory for the agent's user only.
pub(crate) fn create_private_subdirectory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)
}

/// Grants the owner of a directory all permissions. A failure shows at the next use of the
/// directory.
pub(crate) fn make_usable(dir: &Path) {
    if let Ok(metadata) = fs::metadata(dir)
        && metadata.is_dir()
    {
        add(dir, &metadata, 0o700);
    }
}

/// Grants the owner of a file the permissions to read and write it; a failure is only logged.
pub(crate) fn add_permissions(path: &Path, metadata: &Metadata) {
    add(path, metadata, 0o600);
}

fn add(path: &Path, metadata: &Metadata, wanted: u32) {
    let mode = metadata.permissions().mode();
    if mode & wanted != wanted
        && let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode | wanted))
    {
        // An entry of another owner, or on a read-only mount, may still be usable.
        tracing::warn!(path = %path.display(), %error, "restoring permissions failed");
    }
}

/// Whether a link with this error leads to nothing.
pub(crate) fn leads_nowhere(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Locks a directory. `None` if its file system cannot.
pub(crate) fn lock_directory(dir: &Path) -> Result<Option<File>, TryLockError> {
    let opened = File::open(dir).map_err(TryLockError::Error)?;
    match opened.try_lock() {
        Ok(()) => Ok(Some(opened)),
        Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "this file system cannot lock a directory; using the lock file alone");
            Ok(None)
        }
    }
}

/// Opens or creates the file that an agent locks.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
}

/// Creates a file for the agent's user only.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Renames a file into the place of another one, durably. `free` makes the place free if it is
/// occupied by something else.
pub(crate) fn replace_file(
    from: &Path,
    to: &Path,
    _file: &File,
    free: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    if fs::rename(from, to).is_err() {
        free(to)?;
        fs::rename(from, to)?;
    }
    to.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Writes a file that its owner may execute: a script may run `exec "$0"`.
pub(crate) fn write_script(path: &Path, content: &[u8], owner: Option<&User>) -> io::Result<()> {
    let mut file = File::options().create_new(true).write(true).mode(0o700).open(path)?;
    // Independent of the umask.
    file.set_permissions(Permissions::from_mode(0o700))?;
    file.write_all(content)?;
    match owner {
        Some(User::Unix(user)) => chown(path, Some(user.uid), Some(user.gid)),
        _ => Ok(()),
    }
}

/// File that refuses every write, like one on a full disk.
#[cfg(test)]
pub(crate) fn full_disk() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}
