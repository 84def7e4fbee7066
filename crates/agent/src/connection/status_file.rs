//! Whether the agent is attached to a worker, as a file beside its journal: for what looks after its process and cannot ask it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::data_dir::{make_usable, set_aside};

const FILE: &str = "attached";

/// Keeps the file in place until this is dropped.
#[derive(Debug)]
pub(crate) struct Attached(PathBuf);

impl Attached {
    /// Creates the file. Without it the agent works all the same, so a failure is only logged.
    pub(crate) fn note(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        make_usable(data_dir);
        // An existing file is not opened: a script may have put a link there.
        let created = remove(&path).and_then(|()| File::options().write(true).create_new(true).open(&path));
        if let Err(error) = created {
            tracing::warn!(%error, path = %path.display(), "cannot be created; a health check will fail");
        }
        Self(path)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot be removed; a health check will succeed");
        }
    }
}

/// Removes the file of an earlier agent that was killed. A failure is only logged.
pub(crate) fn clear(data_dir: &Path) {
    let path = data_dir.join(FILE);
    if let Err(error) = remove(&path) {
        tracing::warn!(%error, path = %path.display(), "cannot be removed; a health check will succeed");
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A directory, for example.
        Err(_) => set_aside(path),
    }
}

/// Whether the agent of this data directory, if it runs, is attached to a worker.
pub fn is_attached(data_dir: &Path) -> bool {
    fs::symlink_metadata(data_dir.join(FILE)).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_while_the_connection_is() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path();
        clear(data_dir);
        assert!(!is_attached(data_dir));
        let attached = Attached::note(data_dir);
        assert!(is_attached(data_dir));
        drop(attached);
        assert!(!is_attached(data_dir));
        fs::create_dir_all(data_dir.join(FILE).join("of a script")).unwrap();
        assert!(!is_attached(data_dir));
        std::mem::forget(Attached::note(data_dir));
        clear(data_dir);
        assert!(!is_attached(data_dir));
    }
}
