//! State of a data directory, for people.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    connection::is_attached,
    execution::Runs,
    scratch::{SCRIPTS_DIRS, is_unremovable},
};

/// State of an agent and of its data directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether the agent is attached to a worker.
    pub is_attached: bool,
    /// Ids of executions whose runner lives: running scripts, and ended ones with background
    /// processes that write output.
    pub running: Vec<String>,
    /// Working directories that could not be removed.
    pub unremovable: Vec<PathBuf>,
}

/// Reads the state of a data directory.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn status(data_dir: &Path) -> io::Result<Status> {
    fs::read_dir(data_dir)?;
    let runs = Runs::new(data_dir);
    let mut running: Vec<String> = runs.list().into_iter().filter(|id| runs.is_locked(id)).collect();
    running.sort_unstable();
    let mut unremovable: Vec<PathBuf> = SCRIPTS_DIRS
        .into_iter()
        .flat_map(|scripts| fs::read_dir(data_dir.join(scripts)).into_iter().flatten().flatten())
        .filter(|entry| is_unremovable(&entry.file_name()))
        .map(|entry| entry.path())
        .collect();
    unremovable.sort_unstable();
    Ok(Status { is_attached: is_attached(data_dir), running, unremovable })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Attached to a worker: {}", if self.is_attached { "yes" } else { "no" })?;
        writeln!(f, "Executions: {}", self.running.len())?;
        self.running.iter().try_for_each(|id| writeln!(f, "  {id}"))?;
        writeln!(f, "Directories that could not be removed: {}", self.unremovable.len())?;
        self.unremovable.iter().try_for_each(|path| writeln!(f, "  {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_runs_and_unremovable_directories_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["runs/b", "runs/a", "runs/ended", "scripts/run-x", "scripts-2/unremovable-run-y"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let runs = Runs::new(dir.path());
        let locks: Vec<_> = ["a", "b"].map(|id| runs.dir(id).try_lock().unwrap().unwrap()).into();
        let status = status(dir.path()).unwrap();
        drop(locks);
        assert_eq!(status.running, ["a", "b"]);
        assert_eq!(status.unremovable, [dir.path().join("scripts-2/unremovable-run-y")]);
        assert!(status.to_string().starts_with("Attached to a worker: no\nExecutions: 2\n  a\n  b\n"));
        assert!(super::status(&dir.path().join("missing")).is_err());
    }
}
