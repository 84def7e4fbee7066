//! Access rights, locks and replacements of files.

use std::{
    env,
    fs::{self, File, Metadata, TryLockError},
    io::{self, Write as _},
    os::windows::fs::OpenOptionsExt as _,
    path::{self, Path, PathBuf},
};

use runner::User;
use win32::access::Directory;

/// Sharing with readers and writers, not with a removal: `FILE_SHARE_READ` and `FILE_SHARE_WRITE`.
const SHARE_CONTENT: u32 = 1 | 2;

/// Creates a directory with those above it, for the system, administrators and the agent's user. An
/// existing one gets the same list. Every user may create directories and junctions in that of the
/// program data, so below it none of another user and no link is followed.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    let dir = &path::absolute(dir)?;
    for parent in untrusted_parents(dir, env::var_os("ProgramData").as_deref().map(Path::new)) {
        create_dir(&parent)?;
        Directory::open(&parent)?.check_owner()?;
    }
    fs::create_dir_all(dir)?;
    let directory = Directory::open(dir)?;
    directory.check_owner()?;
    directory.restrict()
}

/// Directories between that of the program data and this one, the topmost first.
fn untrusted_parents(dir: &Path, program_data: Option<&Path>) -> Vec<PathBuf> {
    let Some(program_data) = program_data else { return Vec::new() };
    let parts = |path: &Path| -> Vec<_> {
        path.components().map(|part| part.as_os_str().to_ascii_lowercase()).collect()
    };
    let (above, all) = (parts(program_data), parts(dir));
    if !all.starts_with(&above) {
        return Vec::new();
    }
    let between = all.len().saturating_sub(above.len() + 1);
    let mut parents: Vec<_> = dir.ancestors().skip(1).take(between).map(Path::to_owned).collect();
    parents.reverse();
    parents
}

fn create_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
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
    File::open(env::current_exe().unwrap()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_below_the_program_data_are_untrusted() {
        let parents = |dir: &str| untrusted_parents(Path::new(dir), Some(Path::new(r"C:\ProgramData")));
        assert_eq!(
            parents(r"c:\programdata\A\B\C"),
            [r"c:\programdata\A", r"c:\programdata\A\B"].map(PathBuf::from)
        );
        for trusted in [r"C:\ProgramData\A", r"C:\ProgramData", r"D:\ProgramData\A\B", r"C:\ProgramDataX\A\B"]
        {
            assert_eq!(parents(trusted), Vec::<PathBuf>::new(), "{trusted}");
        }
    }

    #[test]
    fn file_in_the_place_of_a_private_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        create_private_dir(&dir.path().join("file")).unwrap_err();
        create_private_dir(&dir.path().join("a/b")).unwrap();
        create_private_dir(&dir.path().join("a/b")).unwrap();
    }
}
