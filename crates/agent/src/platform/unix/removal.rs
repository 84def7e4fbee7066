//! Removal of one directory tree with arbitrary content.
//!
//! The walk keeps a bounded number of descriptors and no path, so depth and name lengths do not
//! matter. It never crosses a mount point and never follows a symbolic link.

use std::{
    ffi::{CStr, CString, OsStr},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::PathBuf,
    time::Instant,
};

use rustix::{
    fs::{AtFlags, Dir, DirEntry, FileType, renameat, unlinkat},
    io::Errno,
};

use super::directory::{self, MountCheck};

#[cfg(test)]
#[path = "removal_tests.rs"]
mod tests;

/// Maximum number of open directories. A directory below the last level moves up to the first.
const MAX_OPEN: usize = 32;
/// Maximum number of passes over one directory: some file systems skip entries while others are
/// removed.
const MAX_PASSES: u32 = 8;
/// Maximum number of unremovable entries reported by name.
const MAX_REPORTED: usize = 8;
/// Maximum number of names tried for a directory that moves up.
const MAX_NAMES: usize = 64;

/// Entries that could not be removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Remains {
    /// First entries with their causes; each path begins with the name of the tree.
    pub(super) reported: Vec<(PathBuf, Errno)>,
    /// Number of all unremovable entries.
    pub(super) count: u64,
}

/// Removes the entry `name` of `parent` with everything below it. Stops at the deadline. Blocks.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &CStr, deadline: Instant) -> Remains {
    remove_with(parent, name, deadline, MountCheck::Openat2)
}

fn remove_with(parent: BorrowedFd<'_>, name: &CStr, deadline: Instant, check: MountCheck) -> Remains {
    let mut walk =
        Walk { parent, check, levels: Vec::new(), moved: 0, moved_removed: 0, remains: Remains::default() };
    match remove_or_open(parent, name, FileType::Unknown, check) {
        Ok(None) => {}
        Ok(Some(dir)) => walk.enter(dir, name),
        Err(error) => walk.report(name, error),
    }
    while let Some(level) = walk.levels.last_mut() {
        if Instant::now() >= deadline {
            walk.report(c"", Errno::TIMEDOUT);
            break;
        }
        match level.entries.read() {
            Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Some(Ok(entry)) => walk.remove_entry(&entry),
            Some(Err(error)) => {
                walk.report(c"", error);
                walk.leave();
            }
            None => walk.leave(),
        }
    }
    walk.remains
}

/// Removes an entry. Returns the opened directory if it is not empty.
fn remove_or_open(
    parent: BorrowedFd<'_>,
    name: &CStr,
    file_type: FileType,
    check: MountCheck,
) -> Result<Option<OwnedFd>, Errno> {
    if file_type != FileType::Directory {
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(None),
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error),
        }
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        // For a mount point the kernel returns EBUSY, whether or not it is empty.
        Err(Errno::NOTEMPTY | Errno::EXIST) => directory::open(parent, name, check).map(Some),
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Walk from the top of the tree to the current directory.
#[derive(Debug)]
struct Walk<'a> {
    /// Directory that holds the tree.
    parent: BorrowedFd<'a>,
    check: MountCheck,
    levels: Vec<Level>,
    /// Number of directories that moved up to the top of the tree, where the number is their name.
    moved: u64,
    /// Number of moved directories that were processed.
    moved_removed: u64,
    remains: Remains,
}

/// One level of the walk.
#[derive(Debug)]
struct Level {
    entries: Dir,
    name: CString,
    passes: u32,
    /// Whether an entry in it could not be removed.
    has_remains: bool,
}

fn moved_name(number: u64) -> CString {
    CString::new(format!(".graywave-{number}")).unwrap_or_default()
}

impl Walk<'_> {
    fn enter(&mut self, dir: OwnedFd, name: &CStr) {
        match Dir::new(dir) {
            Ok(entries) => {
                self.levels.push(Level { entries, name: name.to_owned(), passes: 0, has_remains: false });
            }
            Err(error) => self.report(name, error),
        }
    }

    /// Records an unremovable entry of the current directory; an empty name means the directory
    /// itself.
    fn report(&mut self, name: &CStr, error: Errno) {
        self.remains.count += 1;
        if let Some(level) = self.levels.last_mut() {
            level.has_remains = true;
        }
        if self.remains.reported.len() < MAX_REPORTED {
            let names = self.levels.iter().map(|level| level.name.as_c_str()).chain([name]);
            let names = names.filter(|name| !name.is_empty());
            let path = names.map(|name| OsStr::from_bytes(name.to_bytes())).collect();
            self.remains.reported.push((path, error));
        }
    }

    fn remove_entry(&mut self, entry: &DirEntry) {
        let name = entry.file_name();
        let is_deep = self.levels.len() >= MAX_OPEN;
        let Some(level) = self.levels.last() else { return };
        let removed =
            level.entries.fd().and_then(|dir| remove_or_open(dir, name, entry.file_type(), self.check));
        let result = match removed {
            Ok(None) => Ok(()),
            // The directory is closed again, and has the permissions that a move needs.
            Ok(Some(_)) if is_deep => self.move_up(name),
            Ok(Some(dir)) => {
                self.enter(dir, name);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.report(name, error);
        }
    }

    /// Moves a directory of the current level to the top of the tree, where it is removed later.
    fn move_up(&mut self, name: &CStr) -> Result<(), Errno> {
        let (Some(top), Some(level)) = (self.levels.first(), self.levels.last()) else { return Ok(()) };
        let (top, dir) = (top.entries.fd()?, level.entries.fd()?);
        for _ in 0..MAX_NAMES {
            let number = self.moved;
            self.moved += 1;
            match renameat(dir, name, top, moved_name(number)) {
                // The script has an entry with that name, which is removed later too.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => {}
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EXIST)
    }

    /// Ends the current directory, whose entries have all been processed.
    fn leave(&mut self) {
        if self.levels.len() == 1 && self.moved_removed < self.moved {
            return self.remove_moved();
        }
        let Some(mut level) = self.levels.pop() else { return };
        let parent = self.levels.last().map_or(Ok(self.parent), |parent| parent.entries.fd());
        match parent.and_then(|parent| unlinkat(parent, &level.name, AtFlags::REMOVEDIR)) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) if level.has_remains => {
                // Already reported.
                if let Some(parent) = self.levels.last_mut() {
                    parent.has_remains = true;
                }
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) if level.passes < MAX_PASSES => {
                level.passes += 1;
                level.entries.rewind();
                self.levels.push(level);
            }
            Err(error) => self.report(&level.name, error),
        }
    }

    /// Processes the next moved directory.
    fn remove_moved(&mut self) {
        let name = moved_name(self.moved_removed);
        self.moved_removed += 1;
        let Some(top) = self.levels.first() else { return };
        match top.entries.fd().and_then(|top| remove_or_open(top, &name, FileType::Unknown, self.check)) {
            Ok(None) => {}
            Ok(Some(dir)) => self.enter(dir, &name),
            Err(error) => self.report(&name, error),
        }
    }
}
