//! Working directories: one for each script, removed when dropped.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{self, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::{Mode, mkdirat},
    io::Errno,
};
use tokio::sync::oneshot;

use super::{
    names::{Names, SCRIPTS_DIRS, open_data_dir, open_scripts_dir},
    remover::{Done, Remover, Sweep},
};
use crate::data_dir::make_usable;

#[cfg(test)]
#[path = "run_dir_tests.rs"]
mod tests;

/// Maximum number of names tried for a new working directory.
const MAX_NAMES: usize = 16;

/// Creates and removes working directories.
#[derive(Debug)]
pub(crate) struct Scratch {
    names: Names,
    next: AtomicU64,
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
pub(crate) struct RunDir {
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
        let names = Names { data_dir, prefix: format!("run-{:016x}-", rand::random::<u64>()) };
        let remover = Remover::new(names.clone());
        Arc::new(Self { names, next: AtomicU64::new(0), used: AtomicUsize::new(0), remover })
    }

    /// Removes leftovers of earlier agents in the background until the returned value is dropped.
    /// Working directories of this agent are not affected.
    pub(crate) fn remove_leftovers(&self) -> Sweep {
        self.remover.remove_leftovers()
    }

    /// Waits until no removal is queued or running.
    pub(crate) async fn idle(&self) {
        self.remover.idle().await;
    }

    /// Creates a working directory. Blocks.
    pub(crate) fn create(self: &Arc<Self>) -> io::Result<RunDir> {
        make_usable(&self.names.data_dir);
        let data_dir = open_data_dir(&self.names.data_dir)?;
        let mut last = Errno::NOENT;
        for (place, scripts) in SCRIPTS_DIRS.into_iter().enumerate() {
            match self.create_in(data_dir.as_fd(), scripts) {
                Ok(name) => {
                    if self.used.swap(place, Ordering::Relaxed) != place && place > 0 {
                        let path = self.names.data_dir.join(scripts);
                        tracing::warn!(
                            path = %path.display(), cause = %last,
                            "using an alternative scripts directory: an earlier one is unusable"
                        );
                    }
                    let path = self.names.data_dir.join(scripts).join(&name);
                    return Ok(RunDir {
                        scratch: Arc::clone(self),
                        scripts,
                        name,
                        path,
                        in_use: false,
                        done: None,
                    });
                }
                Err(error) if is_obstacle(error) => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    fn create_in(&self, data_dir: BorrowedFd<'_>, scripts: &str) -> Result<OsString, Errno> {
        let mut dir = open_scripts_dir(data_dir, scripts);
        if dir.as_ref().err() == Some(&Errno::NOENT) {
            mkdirat(data_dir, scripts, Mode::RWXU)?;
            dir = open_scripts_dir(data_dir, scripts);
        }
        let dir = dir?;
        for _ in 0..MAX_NAMES {
            let name = format!("{}{}", self.names.prefix, self.next.fetch_add(1, Ordering::Relaxed));
            match mkdirat(&dir, &name, Mode::RWXU) {
                Ok(()) => return Ok(name.into()),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EXIST)
    }
}

/// Whether another directory may work despite this error.
fn is_obstacle(error: Errno) -> bool {
    matches!(
        error,
        Errno::ACCESS
            | Errno::EXIST
            | Errno::LOOP
            | Errno::NOTDIR
            | Errno::OPNOTSUPP
            | Errno::PERM
            | Errno::ROFS
            | Errno::XDEV
    )
}

impl RunDir {
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

    /// Sets whether a process may run in the directory.
    pub(crate) fn set_in_use(&mut self, in_use: bool) {
        self.in_use = in_use;
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !self.in_use {
            self.scratch.remover.remove(self.scripts, std::mem::take(&mut self.name), self.done.take());
        }
    }
}
