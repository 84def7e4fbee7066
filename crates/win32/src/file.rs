//! Files and directories by handle: a link on the way to a path cannot lead elsewhere.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::windows::{
        ffi::OsStringExt as _,
        fs::OpenOptionsExt as _,
        io::{AsRawHandle as _, RawHandle},
    },
    path::{Path, PathBuf},
};

use windows_sys::Win32::{
    Foundation::{ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED},
    Storage::FileSystem::{
        DELETE, FILE_DISPOSITION_FLAG_DELETE, FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE,
        FILE_DISPOSITION_FLAG_POSIX_SEMANTICS, FILE_DISPOSITION_INFO, FILE_DISPOSITION_INFO_EX,
        FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_INFO_BY_HANDLE_CLASS,
        FILE_WRITE_ATTRIBUTES, FileDispositionInfo, FileDispositionInfoEx, GetFinalPathNameByHandleW,
        SetFileInformationByHandle,
    },
};

use crate::{check, length};

/// Maximum length of a path, in UTF-16 units.
const MAX_PATH_UNITS: usize = 32_768;
/// Errors of a system or file system that cannot remove a file that is in use or read-only.
const NOT_SUPPORTED: [u32; 3] = [ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED];

/// Opened file, directory or link below a directory, to be removed.
#[derive(Debug)]
pub struct Entry {
    handle: File,
    path: PathBuf,
    directory: PathBuf,
}

impl Entry {
    /// Opens an entry. `directory` is the final path of itself or of a directory above it.
    ///
    /// # Errors
    ///
    /// Of the kind `PermissionDenied` if a link has led out of the directory. Also if another
    /// process uses the entry.
    pub fn open(path: &Path, directory: &Path) -> io::Result<Self> {
        let handle = open_inside(path, directory, DELETE)?;
        Ok(Self { handle, path: path.to_owned(), directory: directory.to_owned() })
    }

    /// Whether this is a directory, and no link to one.
    ///
    /// # Errors
    ///
    /// If the file system fails.
    pub fn is_directory(&self) -> io::Result<bool> {
        Ok(self.handle.metadata()?.is_dir())
    }

    /// Removes the entry, also if it is read-only. A link is removed, not followed.
    ///
    /// # Errors
    ///
    /// If a directory is not empty, or another process uses the entry.
    pub fn remove(self) -> io::Result<()> {
        let raw = self.handle.as_raw_handle();
        let flags = FILE_DISPOSITION_FLAG_DELETE
            | FILE_DISPOSITION_FLAG_POSIX_SEMANTICS
            | FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE;
        match set(raw, FileDispositionInfoEx, &FILE_DISPOSITION_INFO_EX { Flags: flags }) {
            Err(error) if is_unsupported(&error) => {}
            removed => return removed,
        }
        let mut permissions = self.handle.metadata()?.permissions();
        if permissions.readonly() {
            #[expect(clippy::permissions_set_readonly_false, reason = "an attribute on Windows, no mode")]
            permissions.set_readonly(false);
            let attributes = open_inside(&self.path, &self.directory, FILE_WRITE_ATTRIBUTES)?;
            attributes.set_permissions(permissions)?;
        }
        set(raw, FileDispositionInfo, &FILE_DISPOSITION_INFO { DeleteFile: true })
    }
}

/// Path of a directory without links, with the prefix of long paths. The last part of `path` is not
/// followed if it is a link.
///
/// # Errors
///
/// If the directory does not exist, or its drive has no name.
pub fn final_path_of(path: &Path) -> io::Result<PathBuf> {
    final_path(&options(0).open(path)?)
}

fn options(access: u32) -> OpenOptions {
    let mut options = File::options();
    options.access_mode(access);
    options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
    options
}

fn open_inside(path: &Path, directory: &Path, access: u32) -> io::Result<File> {
    let file = options(access).open(path)?;
    let found = final_path(&file)?;
    if found.starts_with(directory) {
        return Ok(file);
    }
    let message = format!("a link leads to {}, out of {}", found.display(), directory.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn final_path(file: &File) -> io::Result<PathBuf> {
    let mut units = vec![0; MAX_PATH_UNITS];
    // SAFETY: the handle is open, and the buffer has this length.
    let count = unsafe {
        GetFinalPathNameByHandleW(file.as_raw_handle(), units.as_mut_ptr(), length(units.len()), 0)
    };
    match usize::try_from(count).ok().and_then(|count| units.get(..count)) {
        Some([]) => Err(io::Error::last_os_error()),
        Some(path) => Ok(OsString::from_wide(path).into()),
        None => Err(io::ErrorKind::InvalidFilename.into()),
    }
}

fn set<T>(handle: RawHandle, class: FILE_INFO_BY_HANDLE_CLASS, value: &T) -> io::Result<()> {
    let size = length(size_of::<T>());
    // SAFETY: the handle is open, and the value has this size.
    check(unsafe { SetFileInformationByHandle(handle, class, (&raw const *value).cast(), size) })
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| NOT_SUPPORTED.contains(&code.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    #[test]
    fn entry_outside_the_directory_is_not_removed() {
        let parent = env::temp_dir().join(format!("graywave-file-{}", std::process::id()));
        fs::create_dir_all(parent.join("inside")).unwrap();
        for name in ["outside", "inside/file"] {
            fs::write(parent.join(name), "").unwrap();
        }
        let inside = final_path_of(&parent.join("inside")).unwrap();
        let error = Entry::open(&parent.join("outside"), &inside).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        Entry::open(&parent.join("inside"), &inside).unwrap().remove().unwrap_err();
        let file = Entry::open(&inside.join("file"), &inside).unwrap();
        assert!(!file.is_directory().unwrap());
        file.remove().unwrap();
        let directory = Entry::open(&inside, &inside).unwrap();
        assert!(directory.is_directory().unwrap());
        directory.remove().unwrap();
        assert!(parent.join("outside").exists() && !inside.exists());
        fs::remove_dir_all(&parent).unwrap();
    }
}
