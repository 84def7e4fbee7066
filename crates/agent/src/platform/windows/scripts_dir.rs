//! A directory of working directories.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, ErrorKind},
    os::windows::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use runner::User;
use win32::{
    access::Directory,
    file::{self, Entry},
};

use crate::platform::Remains;

/// Maximum number of unremovable entries reported by name.
const MAX_REPORTED: usize = 8;
/// Right to remove: `DELETE`.
const DELETE: u32 = 0x0001_0000;
/// Permits to open a directory: `FILE_FLAG_BACKUP_SEMANTICS`.
const OPEN_DIRECTORY: u32 = 0x0200_0000;
/// Error of a path that another process uses: `ERROR_SHARING_VIOLATION`.
const IN_USE: i32 = 32;

/// Directory of working directories.
#[derive(Debug)]
pub(crate) struct ScriptsDir(PathBuf);

impl ScriptsDir {
    /// Opens the directory below a data directory. A link or a mount in its place is
    /// an error, and so is a directory of another user.
    pub(crate) fn open(data_dir: &Path, name: &str) -> io::Result<Self> {
        let path = data_dir.join(name);
        Directory::open(&path)?.check_owner()?;
        Ok(Self(path))
    }

    /// Renames an entry; fails if there is one of the new name.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let to = self.0.join(to);
        if fs::symlink_metadata(&to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.0.join(from), to)
    }

    /// Names of all entries.
    pub(crate) fn names(self) -> io::Result<Vec<OsString>> {
        fs::read_dir(self.0)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// Removes an entry with everything below it, at most until the deadline. Blocks.
    pub(crate) fn remove(&self, name: &OsStr, deadline: Instant) -> io::Result<Remains> {
        let root = file::final_path_of(&self.0)?;
        let directory = root.join(name);
        let mut removal = Removal { root, directory, remains: Remains::default() };
        removal.run(PathBuf::from(name), deadline);
        Ok(removal.remains)
    }
}

/// Removal of a working directory. Its user may swap a directory for a link at any time, so only
/// what the system finds inside is removed.
struct Removal {
    /// Final path of the directory above.
    root: PathBuf,
    /// Final path of the working directory.
    directory: PathBuf,
    remains: Remains,
}

/// Directory whose entries are removed. `below` is its path from the root.
struct Level {
    below: PathBuf,
    entries: fs::ReadDir,
    /// Number of entries that remained before this directory.
    remains: u64,
}

impl Removal {
    /// Removes an entry and what is below it, and goes on after a failure.
    fn run(&mut self, name: PathBuf, deadline: Instant) {
        let mut levels: Vec<Level> = self.begin(name).into_iter().collect();
        while let Some(level) = levels.last_mut() {
            let next =
                level.entries.next().map(|entry| entry.map(|entry| level.below.join(entry.file_name())));
            match next {
                Some(_) if Instant::now() >= deadline => {
                    let below = level.below.clone();
                    return self.report(below, ErrorKind::TimedOut.into());
                }
                Some(Ok(below)) => levels.extend(self.begin(below)),
                Some(Err(error)) => {
                    let below = level.below.clone();
                    self.report(below, error);
                    levels.pop();
                }
                None => {
                    // An open list of entries would keep the directory.
                    let emptied = levels.pop().map(|level| (level.below, level.remains));
                    if let Some((below, _)) = emptied.filter(|(_, before)| *before == self.remains.count) {
                        let removed = self.open(&below).and_then(Entry::remove);
                        self.note(below, removed);
                    }
                }
            }
        }
    }

    /// Removes an entry that is no directory; the entries of one come first.
    fn begin(&mut self, below: PathBuf) -> Option<Level> {
        match self.open(&below).and_then(|entry| self.remove_or_list(entry, &below)) {
            Ok(Some(entries)) => Some(Level { below, entries, remains: self.remains.count }),
            ended => {
                self.note(below, ended.map(drop));
                None
            }
        }
    }

    fn remove_or_list(&self, entry: Entry, below: &Path) -> io::Result<Option<fs::ReadDir>> {
        if entry.is_directory()? {
            // Its handle would keep others from opening the directory.
            drop(entry);
            return fs::read_dir(self.root.join(below)).map(Some);
        }
        entry.remove().map(|()| None)
    }

    fn open(&self, below: &Path) -> io::Result<Entry> {
        Entry::open(&self.root.join(below), &self.directory)
    }

    fn note(&mut self, below: PathBuf, removed: io::Result<()>) {
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => self.report(below, error),
            _ => {}
        }
    }

    fn report(&mut self, below: PathBuf, error: io::Error) {
        self.remains.count += 1;
        if self.remains.reported.len() < MAX_REPORTED {
            self.remains.reported.push((below, error));
        }
    }
}

/// Creates a working directory, and the directory above it where that is missing. Another user gets
/// the rights of this directory alone: the system lets every user pass through those above.
pub(crate) fn create_run_directory(
    data_dir: &Path,
    scripts: &str,
    name: &OsStr,
    owner: Option<&User>,
) -> io::Result<()> {
    let dir = match ScriptsDir::open(data_dir, scripts) {
        Err(error) if error.kind() == ErrorKind::NotFound && data_dir.is_dir() => {
            fs::create_dir(data_dir.join(scripts))?;
            ScriptsDir::open(data_dir, scripts)?
        }
        opened => opened?,
    };
    let path = dir.0.join(name);
    fs::create_dir(&path)?;
    match owner {
        Some(User::Session(user)) => Directory::open(&path)?.share(&user.sid),
        _ => Ok(()),
    }
}

/// Whether another directory may work despite this error.
pub(crate) fn is_obstacle(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::PermissionDenied)
}

/// Names of entries in a directory in which a process works: the system does not let them be
/// removed.
pub(crate) fn occupied(scripts_dir: &Path) -> HashSet<OsString> {
    let is_occupied = |path: &Path| {
        let opened = File::options().access_mode(DELETE).custom_flags(OPEN_DIRECTORY).open(path);
        opened.is_err_and(|error| error.raw_os_error() == Some(IN_USE))
    };
    let entries = fs::read_dir(scripts_dir).into_iter().flatten().flatten();
    entries.filter(|entry| is_occupied(&entry.path())).map(|entry| entry.file_name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_a_directory_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("scripts/run-x/a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        let mut permissions = fs::metadata(deep.join("file")).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(deep.join("file"), permissions).unwrap();
        let scripts = ScriptsDir::open(dir.path(), "scripts").unwrap();
        let later = Instant::now() + std::time::Duration::from_secs(60);
        let remains = scripts.remove(OsStr::new("run-x"), later).unwrap();
        assert_eq!(remains.count, 0, "{remains:?}");
        assert_eq!(scripts.names().unwrap(), Vec::<OsString>::new());
    }

    #[test]
    fn removal_ends_at_its_deadline() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("scripts/run-x/a")).unwrap();
        let scripts = ScriptsDir::open(dir.path(), "scripts").unwrap();
        let remains = scripts.remove(OsStr::new("run-x"), Instant::now()).unwrap();
        let (path, error) = &remains.reported[0];
        assert_eq!((path.as_path(), error.kind()), (Path::new("run-x"), ErrorKind::TimedOut));
        assert!(dir.path().join("scripts/run-x/a").exists());
    }

    #[test]
    fn file_in_use_remains_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("scripts/run-x")).unwrap();
        let path = dir.path().join("scripts/run-x/used");
        let used = File::options().create_new(true).write(true).share_mode(0).open(&path).unwrap();
        let scripts = ScriptsDir::open(dir.path(), "scripts").unwrap();
        let later = Instant::now() + std::time::Duration::from_secs(60);
        let remains = scripts.remove(OsStr::new("run-x"), later).unwrap();
        assert_eq!(remains.reported[0].0, Path::new("run-x").join("used"));
        assert_eq!(remains.count, 1);
        drop(used);
        assert_eq!(scripts.remove(OsStr::new("run-x"), later).unwrap().count, 0);
    }
}
