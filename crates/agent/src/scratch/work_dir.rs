//! Working directories: one for each script, removed when dropped.

use std::{
    ffi::OsString,
    io,
    path::{self, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use runner::User;
use tokio::sync::oneshot;

use super::{
    names::{Names, SCRIPTS_DIRS},
    remover::{Done, Remover, Sweep},
};
use crate::{data_dir::RUNS_DIR, platform};

#[cfg(test)]
#[cfg(unix)]
#[path = "work_dir_tests.rs"]
mod tests;

/// Creates and removes working directories.
#[derive(Debug)]
pub(crate) struct Scratch {
    names: Names,
    /// Index in `SCRIPTS_DIRS` of the last used directory.
    used: AtomicUsize,
    remover: Remover,
}

/// Working directory of one script.
///
/// When this is dropped, the directory is removed in the background: a script's outcome must not
/// wait for the removal of a million files. A directory in use is left for the next start, because
/// a script continues when the future that runs it is dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    scratch: Arc<Scratch>,
    scripts: &'static str,
    name: OsString,
    path: PathBuf,
    in_use: bool,
    done: Option<Done>,
}

impl Scratch {
    /// Uses the directories of this data directory. Nothing is created yet.
    pub(crate) fn new(data_dir: &Path) -> Arc<Self> {
        // A script's working directory differs from the agent's, so a relative path would be wrong
        // there.
        let data_dir = path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let names = Names::new(data_dir);
        let remover = Remover::new(names.clone());
        Arc::new(Self { names, used: AtomicUsize::new(0), remover })
    }

    /// Removes leftovers of earlier agents in the background until the returned value is dropped.
    /// Working directories that this agent created or opened are not affected.
    pub(crate) fn remove_leftovers(&self) -> Sweep {
        self.remover.remove_leftovers()
    }

    /// Waits until no removal is queued or running.
    pub(crate) async fn idle(&self) {
        self.remover.idle().await;
    }

    /// Keeps sweeps away from the working directory of a run.
    pub(crate) fn keep(&self, id: &str) {
        self.names.use_name(&Names::of_run(id));
    }

    /// Removes the directory of a finished run in the background.
    pub(crate) fn remove_run(&self, id: &str) {
        self.remover.remove(RUNS_DIR, id.into(), None);
    }

    /// Creates the working directory of a run, for this user if it differs from the agent's.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// Also if the run has a working directory.
    pub(crate) fn create(self: &Arc<Self>, id: &str, owner: Option<&User>) -> io::Result<WorkDir> {
        let data_dir = &self.names.data_dir;
        platform::make_usable(data_dir);
        let name = Names::of_run(id);
        self.names.use_name(&name);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for (place, scripts) in SCRIPTS_DIRS.into_iter().enumerate() {
            match platform::create_run_directory(data_dir, scripts, &name, owner) {
                Ok(()) => {
                    if self.used.swap(place, Ordering::Relaxed) != place && place > 0 {
                        let path = self.names.data_dir.join(scripts);
                        tracing::warn!(
                            path = %path.display(), cause = %last,
                            "using an alternative scripts directory: an earlier one is unusable"
                        );
                    }
                    return Ok(self.work_dir(scripts, name));
                }
                Err(error) if platform::is_obstacle(&error) => last = error,
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        self.names.release_name(&name);
        Err(last)
    }

    /// Opens the working directory that an earlier agent created for a run; `None` without one.
    pub(crate) fn open(self: &Arc<Self>, id: &str) -> Option<WorkDir> {
        let name = Names::of_run(id);
        let scripts = SCRIPTS_DIRS
            .into_iter()
            .find(|scripts| self.names.data_dir.join(scripts).join(&name).is_dir())?;
        self.names.use_name(&name);
        let mut work_dir = self.work_dir(scripts, name);
        work_dir.set_in_use(true);
        Some(work_dir)
    }

    fn work_dir(self: &Arc<Self>, scripts: &'static str, name: OsString) -> WorkDir {
        let path = self.names.data_dir.join(scripts).join(&name);
        WorkDir { scratch: Arc::clone(self), scripts, name, path, in_use: false, done: None }
    }
}

impl WorkDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the directory is removed, or left because it is in use. Only the last call
    /// counts.
    pub(crate) fn removed(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (done, removed) = oneshot::channel();
        self.done = Some(done);
        async {
            // Resolves with an error as soon as the sender is dropped.
            let Err(_) = removed.await;
        }
    }

    /// Renames the directory, so that its run may get another one.
    ///
    /// # Errors
    ///
    /// If the directory cannot be renamed.
    pub(crate) fn set_aside(&mut self) -> io::Result<()> {
        let mut aside = self.name.clone();
        aside.push(format!(".void-{:016x}", rand::random::<u64>()));
        let names = &self.scratch.names;
        let dir = names.open_scripts_dir(self.scripts)?;
        names.use_name(&aside);
        if let Err(error) = dir.rename(&self.name, &aside) {
            names.release_name(&aside);
            return Err(error);
        }
        names.release_name(&self.name);
        self.path.set_file_name(&aside);
        self.name = aside;
        Ok(())
    }

    /// Sets whether a process may run in the directory.
    pub(crate) fn set_in_use(&mut self, in_use: bool) {
        self.in_use = in_use;
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // A name in use stays reserved: no sweep of this agent removes the directory.
        if !self.in_use {
            self.scratch.names.release_name(&self.name);
            self.scratch.remover.remove(self.scripts, std::mem::take(&mut self.name), self.done.take());
        }
    }
}
