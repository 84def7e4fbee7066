//! The removal of working directories in the background.

use std::{
    collections::{HashSet, VecDeque},
    ffi::{CString, OsStr, OsString},
    fs,
    os::{fd::AsFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{fs::Dir, io::Errno};

use super::{Names, directory::MountCheck, open_data_dir, removal};

/// Removals at the same time, each on a thread of its own. They are threads of no runtime, because a runtime waits for
/// its blocking work when it shuts down.
const MAX_REMOVALS: usize = 2;
/// Longest removal. A script that left a process which adds entries could keep one going for ever.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Removes working directories one after the other. Those that wait are removed even after this is dropped, as long as
/// the process lives.
#[derive(Debug)]
pub(super) struct Remover(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    names: Names,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
}

#[derive(Debug)]
enum Job {
    /// One working directory.
    Run { scripts: &'static str, name: OsString },
    /// All working directories of earlier agents.
    Leftovers,
}

impl Remover {
    pub(super) fn new(names: Names) -> Self {
        Self(Arc::new(Queue { names, state: Mutex::default() }))
    }

    /// Removes a working directory soon.
    pub(super) fn remove(&self, scripts: &'static str, name: OsString) {
        self.push(Job::Run { scripts, name });
    }

    /// Removes soon whatever earlier agents left.
    pub(super) fn remove_leftovers(&self) {
        self.push(Job::Leftovers);
    }

    fn push(&self, job: Job) {
        let mut state = self.0.state();
        state.waiting.push_back(job);
        if state.threads == MAX_REMOVALS {
            return;
        }
        let queue = Arc::clone(&self.0);
        match thread::Builder::new().name("removal".to_owned()).spawn(move || queue.work()) {
            Ok(_) => state.threads += 1,
            // The job waits for the next one, or for the next start.
            Err(error) => tracing::warn!(%error, "cannot start a thread to remove a working directory"),
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            match job {
                Job::Run { scripts, name } => self.remove(scripts, &name),
                Job::Leftovers => self.remove_leftovers(),
            }
        }
    }

    /// The next job; the thread ends when there is none.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        let job = state.waiting.pop_front();
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    fn remove(&self, scripts: &'static str, name: &OsStr) {
        let removed = || {
            let data_dir = open_data_dir(&self.names.data_dir)?;
            let dir = super::open_scripts_dir(data_dir.as_fd(), scripts, MountCheck::Openat2)?;
            let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
            Ok(removal::remove(dir.as_fd(), &name, Instant::now() + REMOVAL_TIMEOUT))
        };
        let scripts_dir = self.names.data_dir.join(scripts);
        match removed() {
            Ok(remains) => report(&scripts_dir, name, &remains),
            // The script has removed the directory of the scripts itself.
            Err(Errno::NOENT) => {}
            Err(error) => {
                let path = scripts_dir.join(name);
                tracing::warn!(path = %path.display(), %error, "a working directory cannot be removed");
            }
        }
    }

    fn remove_leftovers(&self) {
        for scripts in super::SCRIPTS_DIRS {
            let path = self.names.data_dir.join(scripts);
            let leftovers = match self.leftovers(scripts) {
                Ok(leftovers) => leftovers,
                Err(Errno::NOENT) => continue,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "leftovers in this directory cannot be removed");
                    continue;
                }
            };
            let occupied = if leftovers.is_empty() { HashSet::new() } else { occupied(&path) };
            for name in leftovers {
                if occupied.contains(&name) {
                    let path = path.join(&name);
                    tracing::info!(path = %path.display(), "a script of an earlier agent still runs in this directory");
                } else {
                    self.remove(scripts, &name);
                }
            }
        }
    }

    /// Names of the working directories that earlier agents left.
    fn leftovers(&self, scripts: &'static str) -> Result<Vec<OsString>, Errno> {
        let data_dir = open_data_dir(&self.names.data_dir)?;
        let dir = super::open_scripts_dir(data_dir.as_fd(), scripts, MountCheck::Openat2)?;
        let mut names = Vec::new();
        for entry in Dir::new(dir)? {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if self.names.is_leftover(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// Logs what could not be removed.
fn report(scripts_dir: &Path, name: &OsStr, remains: &removal::Remains) {
    for (path, error) in &remains.reported {
        let path = scripts_dir.join(path);
        tracing::warn!(path = %path.display(), %error, "an entry of a working directory cannot be removed");
    }
    if remains.count > remains.reported.len() as u64 {
        let path = scripts_dir.join(name);
        tracing::warn!(path = %path.display(), entries = remains.count, "a working directory cannot be removed");
    }
}

/// Names in a directory below which a process has its working directory.
fn occupied(scripts_dir: &Path) -> HashSet<OsString> {
    let Ok(scripts_dir) = scripts_dir.canonicalize() else { return HashSet::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return HashSet::new() };
    let name_of = |cwd: PathBuf| {
        let below = cwd.strip_prefix(&scripts_dir).ok()?;
        below.components().next().map(|name| name.as_os_str().to_owned())
    };
    processes
        .flatten()
        .filter_map(|process| name_of(fs::read_link(process.path().join("cwd")).ok()?))
        .collect()
}
