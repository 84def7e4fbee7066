//! Access rights, locks and replacements of files.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io::{self, Write as _},
    os::windows::fs::OpenOptionsExt as _,
    path::Path,
};

use runner::User;
use win32::access;

/// Sharing with readers and writers, not with a removal: `FILE_SHARE_READ` and `FILE_SHARE_WRITE`.
const SHARE_CONTENT: u32 = 1 | 2;

/// Creates a directory with those above it, for the system, administrators and the agent's user. An
/// existing one gets the same list, unless it belongs to another user: every user may create
/// directories in that of the program data.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    access::check_owner(dir)?;
    access::restrict_directory(dir)
}

/// Creates a new directory, which inherits the access rights of the one above.
pub(crate) fn create_private_subdirectory(dir: &Path) -> io::Result<()> {
    fs::create_dir(dir)
}

/// Changes nothing: the list of the data directory gives its user all rights.
pub(crate) fn make_usable(_dir: &Path) {}

/// Makes a read-only file writable; a failure is only logged.
pub(crate) fn add_permissions(path: &Path, metadata: &Metadata) {
    let mut permissions = metadata.permissions();
    if permissions.readonly() {
        #[expect(clippy::permissions_set_readonly_false, reason = "an attribute on Windows, no mode")]
        permissions.set_readonly(false);
        if let Err(error) = fs::set_permissions(path, permissions) {
            tracing::warn!(path = %path.display(), %error, "making a file writable failed");
        }
    }
}

/// Whether a link with this error leads to nothing.
pub(crate) fn leads_nowhere(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Locks nothing: the lock file cannot be replaced while it is open.
pub(crate) fn lock_directory(_dir: &Path) -> Result<Option<File>, TryLockError> {
    Ok(None)
}

/// Opens or creates the file that an agent locks. It cannot be removed or renamed meanwhile.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).share_mode(SHARE_CONTENT).open(path)
}

/// Creates a file, which inherits the access rights of its directory.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// Renames a file into the place of another one, durably. `free` makes the place free if it is
/// occupied by something else.
pub(crate) fn replace_file(
    from: &Path,
    to: &Path,
    file: &File,
    free: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    if fs::rename(from, to).is_err() {
        free(to)?;
        fs::rename(from, to)?;
    }
    // No directory can be synced. This writes the file's changes of the file system's own log,
    // which has the rename.
    file.sync_all()
}

/// Writes a file of a working directory, which gives it the access rights of its user.
pub(crate) fn write_script(path: &Path, content: &[u8], _owner: Option<&User>) -> io::Result<()> {
    File::create_new(path)?.write_all(content)
}

/// File that refuses every write, as one on a full disk does.
#[cfg(test)]
pub(crate) fn full_disk() -> File {
    File::open(std::env::current_exe().unwrap()).unwrap()
}
