//! Marker file beside the journal that exists while the agent is attached to a worker, for health
//! checks.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{data_dir::set_aside, platform::make_usable};

const FILE: &str = "attached";

/// Marker file; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Attached(PathBuf);

impl Attached {
    /// Creates the file. The agent works without it, so a failure is only logged.
    pub(crate) fn note(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        make_usable(data_dir);
        // An existing entry is never opened, because a script may have put a link there.
        let created = remove(&path).and_then(|()| File::options().write(true).create_new(true).open(&path));
        if let Err(error) = created {
            tracing::warn!(
                %error, path = %path.display(),
                "creating the file failed; health checks will fail"
            );
        }
        Self(path)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(
                %error, path = %self.0.display(),
                "removing the file failed; health checks will still succeed"
            );
        }
    }
}

/// Removes the marker of an earlier agent that was killed. A failure is only logged.
pub(crate) fn clear(data_dir: &Path) {
    let path = data_dir.join(FILE);
    if let Err(error) = remove(&path) {
        tracing::warn!(
            %error, path = %path.display(),
            "removing the file failed; health checks will still succeed"
        );
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // The entry may be a directory.
        Err(_) => set_aside(path),
    }
}

/// Whether the marker exists: the agent of this data directory, if it runs, is attached to a
/// worker.
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
