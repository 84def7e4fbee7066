//! Whether the agent is attached to a worker, as a file beside its journal: for what looks after its process and cannot ask it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

const FILE: &str = "attached";

/// While it lives, the file is there.
#[derive(Debug)]
pub(crate) struct Attached(PathBuf);

impl Attached {
    pub(crate) fn note(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        File::create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Err(error) = forget(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot be removed: this agent will seem to be attached");
        }
    }
}

/// Removes what an agent left that was killed.
pub(crate) fn clear(data_dir: &Path) -> io::Result<()> {
    forget(&data_dir.join(FILE))
}

fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the agent of this data directory, if it runs, is attached to a worker.
pub fn is_attached(data_dir: &Path) -> bool {
    data_dir.join(FILE).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_while_the_connection_is() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path();
        clear(data_dir).unwrap();
        assert!(!is_attached(data_dir));
        let attached = Attached::note(data_dir).unwrap();
        assert!(is_attached(data_dir));
        drop(attached);
        assert!(!is_attached(data_dir));
        std::mem::forget(Attached::note(data_dir).unwrap());
        clear(data_dir).unwrap();
        assert!(!is_attached(data_dir));
    }
}
