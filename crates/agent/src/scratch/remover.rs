//! Removal of working directories in the background.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    ffi::{OsStr, OsString},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::names::{Names, SCRIPTS_DIRS, is_unremovable};
use crate::{
    data_dir::RUNS_DIR,
    platform::{Remains, occupied},
};

/// Maximum number of concurrent removals, each on its own thread. They are not runtime threads,
/// because a runtime waits for its blocking work at shutdown.
const MAX_REMOVALS: usize = 2;
/// Time limit of one removal. A leftover process that keeps adding entries could prolong it
/// forever.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Removes working directories one after the other. Queued ones are removed even after this is
/// dropped, while the process lives.
#[derive(Debug)]
pub(super) struct Remover(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    names: Names,
    state: Mutex<State>,
    /// Number of queued and running jobs.
    pending: watch::Sender<usize>,
}

/// Permits the removal of leftovers until it is dropped.
///
/// The lock of the data directory must outlive it: the next agent's working directories look like
/// leftovers.
#[must_use]
#[derive(Debug)]
pub(crate) struct Sweep(CancellationToken);

/// Ends the wait for a removal when it is dropped.
pub(super) type Done = oneshot::Sender<Infallible>;

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
}

#[derive(Debug)]
enum Job {
    /// One working directory.
    Run { scripts: &'static str, name: OsString, done: Option<Done> },
    /// All working directories of earlier agents, until the token is cancelled.
    Leftovers(CancellationToken),
    /// Occupies a thread until a message is sent; panics if the sender is dropped.
    #[cfg(test)]
    #[cfg(unix)]
    Hold(std::sync::mpsc::Receiver<()>),
}

impl Remover {
    pub(super) fn new(names: Names) -> Self {
        Self(Arc::new(Queue { names, state: Mutex::default(), pending: watch::Sender::new(0) }))
    }

    /// Queues the removal of a working directory, and drops `done` afterwards.
    pub(super) fn remove(&self, scripts: &'static str, name: OsString, done: Option<Done>) {
        self.push(Job::Run { scripts, name, done });
    }

    /// Queues the removal of all leftovers of earlier agents.
    pub(super) fn remove_leftovers(&self) -> Sweep {
        let closed = CancellationToken::new();
        self.push(Job::Leftovers(closed.clone()));
        Sweep(closed)
    }

    /// Waits until the queue is empty.
    pub(super) async fn idle(&self) {
        // Fails only if the sender is dropped, and `self` keeps it.
        drop(self.0.pending.subscribe().wait_for(|pending| *pending == 0).await);
    }

    /// Occupies a thread until a message is sent; its job panics if the sender is dropped.
    #[cfg(test)]
    #[cfg(unix)]
    pub(super) fn hold(&self) -> std::sync::mpsc::Sender<()> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.push(Job::Hold(receiver));
        sender
    }

    fn push(&self, job: Job) {
        self.0.pending.send_modify(|pending| *pending += 1);
        let mut state = self.0.state();
        state.waiting.push_back(job);
        if state.threads == MAX_REMOVALS {
            return;
        }
        let queue = Arc::clone(&self.0);
        match thread::Builder::new().name("removal".to_owned()).spawn(move || queue.work()) {
            Ok(_) => state.threads += 1,
            // The job waits for the next push, or for the next start.
            Err(error) => tracing::warn!(%error, "starting a removal thread failed"),
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic must not end the thread: its slot would stay occupied.
            if catch_unwind(AssertUnwindSafe(|| self.perform(job))).is_err() {
                tracing::error!("removing a working directory panicked");
            }
            self.pending.send_modify(|pending| *pending -= 1);
        }
    }

    fn perform(&self, job: Job) {
        match job {
            Job::Run { scripts, name, done } => {
                self.remove(scripts, &name);
                drop(done);
            }
            Job::Leftovers(closed) => self.remove_leftovers(&closed),
            #[cfg(test)]
            #[cfg(unix)]
            Job::Hold(released) => released.recv().unwrap(),
        }
    }

    /// Next job; without one the thread ends.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        let job = state.waiting.pop_front();
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    fn remove(&self, scripts: &'static str, name: &OsStr) {
        let dir = self.names.open_scripts_dir(scripts);
        let removed = dir.and_then(|dir| dir.remove(name, Instant::now() + REMOVAL_TIMEOUT));
        let scripts_dir = self.names.data_dir.join(scripts);
        match removed {
            Ok(remains) => {
                report(&scripts_dir, name, &remains);
                if remains.count > 0 {
                    self.set_aside(scripts, name);
                }
            }
            // The script has removed the parent directory itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let path = scripts_dir.join(name);
                tracing::warn!(path = %path.display(), %error, "removing a working directory failed");
            }
        }
    }

    /// Renames a working directory with remains, so that the next sweep and `status` find it. A
    /// failure leaves the name, which the next start sweeps again.
    fn set_aside(&self, scripts: &str, name: &OsStr) {
        if scripts == RUNS_DIR || is_unremovable(name) {
            return;
        }
        let dir = self.names.open_scripts_dir(scripts);
        if let Err(error) = dir.and_then(|dir| dir.rename(name, &Names::unremovable(name))) {
            tracing::debug!(%error, name = %name.display(), "renaming a working directory failed");
        }
    }

    fn remove_leftovers(&self, closed: &CancellationToken) {
        for scripts in SCRIPTS_DIRS {
            if closed.is_cancelled() {
                return;
            }
            let path = self.names.data_dir.join(scripts);
            let leftovers = match self.leftovers(scripts) {
                Ok(leftovers) => leftovers,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(
                        path = %path.display(), %error,
                        "removing the leftovers in this directory failed"
                    );
                    continue;
                }
            };
            let occupied = if leftovers.is_empty() { HashSet::new() } else { occupied(&path) };
            for name in leftovers {
                // Checked after the listing too: after the close, the directory may hold entries of
                // the next agent.
                if closed.is_cancelled() {
                    return;
                }
                if occupied.contains(&name) {
                    let path = path.join(&name);
                    tracing::info!(
                        path = %path.display(),
                        "leftover kept: a script of an earlier agent still runs in it"
                    );
                } else {
                    self.remove(scripts, &name);
                }
            }
        }
    }

    /// Names of the working directories that earlier agents left.
    fn leftovers(&self, scripts: &'static str) -> io::Result<Vec<OsString>> {
        let mut names = self.names.open_scripts_dir(scripts)?.names()?;
        names.retain(|name| self.names.is_leftover(name));
        Ok(names)
    }
}

/// Logs entries that could not be removed.
fn report(scripts_dir: &Path, name: &OsStr, remains: &Remains) {
    for (path, error) in &remains.reported {
        let path = scripts_dir.join(path);
        tracing::warn!(path = %path.display(), %error, "removing an entry of a working directory failed");
    }
    if remains.count > remains.reported.len() as u64 {
        let path = scripts_dir.join(name);
        tracing::warn!(
            path = %path.display(), entries = remains.count,
            "removing a working directory failed"
        );
    }
}
